//! The seven styles of lines: colour, dash and marker.

use hstep::Result;
use plotters::prelude::*;

use super::paint::{Painter, Point};

/// Okabe and Ito's colours, told apart by colour-blind eyes; dash and marker tell them apart in
/// grey.
pub const STYLES: [(RGBColor, &[f64], Marker); 7] = [
    (RGBColor(0, 114, 178), &[], Marker::Disc),
    (RGBColor(213, 94, 0), &[13.0, 6.0], Marker::Square),
    (RGBColor(0, 158, 115), &[3.0, 5.0], Marker::Triangle),
    (RGBColor(160, 80, 140), &[14.0, 5.0, 3.0, 5.0], Marker::Diamond),
    (RGBColor(20, 20, 20), &[7.0, 4.0], Marker::Ring),
    (RGBColor(86, 180, 233), &[20.0, 5.0], Marker::Square),
    (RGBColor(230, 159, 0), &[8.0, 3.0, 2.0, 3.0, 2.0, 3.0], Marker::Triangle),
];

#[derive(Debug, Clone, Copy)]
pub enum Marker {
    Disc,
    Square,
    Triangle,
    Diamond,
    Ring,
}

/// A colour half way to white: strokes are opaque.
pub fn pale(color: RGBColor) -> RGBColor {
    let half = |c: u8| c / 2 + 128;
    RGBColor(half(color.0), half(color.1), half(color.2))
}

/// A marker with a white rim.
pub fn marker<DB: DrawingBackend>(p: &mut Painter<DB>, style: usize, (x, y): Point) -> Result<()> {
    let (color, _, shape) = STYLES[style % STYLES.len()];
    let polygon = |r: f64, corners: &[(f64, f64)]| -> Vec<Point> {
        corners.iter().map(|c| (x + r * c.0, y + r * c.1)).collect()
    };
    let corners: &[(f64, f64)] = match shape {
        Marker::Disc | Marker::Ring => {
            p.disc((x, y), 6.6, WHITE, true)?;
            p.disc((x, y), 5.0, color, true)?;
            return if matches!(shape, Marker::Ring) {
                p.disc((x, y), 2.6, WHITE, true)
            } else {
                Ok(())
            };
        }
        Marker::Square => &[(-0.85, -0.85), (0.85, -0.85), (0.85, 0.85), (-0.85, 0.85)],
        Marker::Triangle => &[(0.0, -1.2), (1.1, 0.8), (-1.1, 0.8)],
        Marker::Diamond => &[(0.0, -1.25), (1.1, 0.0), (0.0, 1.25), (-1.1, 0.0)],
    };
    p.fill(&polygon(7.2, corners), WHITE.to_rgba())?;
    p.fill(&polygon(5.4, corners), color.to_rgba())
}
