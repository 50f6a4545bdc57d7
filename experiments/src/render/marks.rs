//! What a picture is made of, before it becomes text or pixels.

use std::rc::Rc;

use hstep::env::scene::Image;

use crate::plot::Anchor;

/// A position in CSS pixels: to the right, downwards.
pub type Point = (f64, f64);

/// An opaque colour. Pale colours are mixed with the paper, so that shapes of one pose that lie over
/// one another stay one silhouette.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Color(pub u8, pub u8, pub u8);

impl Color {
    /// This colour with a share of another.
    pub fn mixed(self, other: Self, share: f64) -> Self {
        let mix =
            |a: u8, b: u8| (f64::from(a) + share * (f64::from(b) - f64::from(a))).round() as u8;
        Self(mix(self.0, other.0), mix(self.1, other.1), mix(self.2, other.2))
    }
}

/// One thing to draw.
#[derive(Debug, Clone, PartialEq)]
pub enum Mark {
    /// A line with round ends and corners; of a single point it is a disc.
    Line { points: Vec<Point>, width: f64, color: Color },
    /// A filled polygon.
    Area { points: Vec<Point>, color: Color },
    /// A line of text; `at` is on its baseline.
    Text { text: String, at: Point, anchor: Anchor, em: f64, bold: bool, color: Color },
    /// A picture between two corners.
    Image { from: Point, to: Point, image: Rc<Image> },
    /// Marks of which only what lies between two corners is seen.
    Clipped { from: Point, to: Point, marks: Vec<Mark> },
}

impl Mark {
    pub fn line(points: Vec<Point>, width: f64, color: Color) -> Self {
        Self::Line { points, width, color }
    }

    pub fn disc(at: Point, radius: f64, color: Color) -> Self {
        Self::Line { points: vec![at], width: 2.0 * radius, color }
    }

    pub fn rect(from: Point, to: Point, color: Color) -> Self {
        Self::Area { points: vec![from, (to.0, from.1), to, (from.0, to.1)], color }
    }
}

/// A picture and its size in CSS pixels.
#[derive(Debug, Clone, PartialEq)]
pub struct Picture {
    pub size: (f64, f64),
    pub marks: Vec<Mark>,
}
