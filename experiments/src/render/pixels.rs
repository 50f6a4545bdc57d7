//! A picture as pixels: every shape covers a pixel by the share that it takes of it.

use hstep::Result;
use hstep::env::scene::Image;

use super::marks::{Color, Mark, Picture, Point};
use crate::plot::letters;

/// Rows of red, green and blue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pixels {
    pub width: usize,
    pub height: usize,
    pub rgb: Vec<u8>,
}

/// The pixels that may be drawn on: columns and rows from, to (exclusive).
#[derive(Debug, Clone, Copy)]
struct Window {
    x: (usize, usize),
    y: (usize, usize),
}

impl Window {
    /// The pixels of this window that a box touches.
    fn within(&self, low: Point, high: Point) -> Self {
        let cut = |low: f64, high: f64, (from, to): (usize, usize)| {
            let from = from.max(low.floor().max(0.0) as usize);
            (from, to.min(high.ceil().max(0.0) as usize).max(from))
        };
        Self { x: cut(low.0, high.0, self.x), y: cut(low.1, high.1, self.y) }
    }
}

/// The picture with `scale` pixels a CSS pixel.
pub fn pixels(picture: &Picture, scale: f64) -> Result<Pixels> {
    let (width, height) =
        ((picture.size.0 * scale).round() as usize, (picture.size.1 * scale).round() as usize);
    let mut canvas =
        Canvas { image: Pixels { width, height, rgb: vec![255; 3 * width * height] }, scale };
    canvas.draw(&picture.marks, Window { x: (0, width), y: (0, height) })?;
    Ok(canvas.image)
}

/// The cells of a row of `count` that lie between two places, and how much of each does.
fn covered(from: f64, to: f64, count: usize) -> impl Iterator<Item = (usize, f64)> {
    let first = from.floor().max(0.0) as usize;
    let last = (to.ceil().max(0.0) as usize).min(count);
    (first..last).map(move |i| (i, (to.min(i as f64 + 1.0) - from.max(i as f64)).max(0.0)))
}

struct Canvas {
    image: Pixels,
    scale: f64,
}

impl Canvas {
    fn scaled(&self, points: &[Point]) -> Vec<Point> {
        points.iter().map(|p| (p.0 * self.scale, p.1 * self.scale)).collect()
    }

    fn draw(&mut self, marks: &[Mark], window: Window) -> Result<()> {
        for mark in marks {
            match mark {
                Mark::Line { points, width, color } => {
                    self.line(&self.scaled(points), 0.5 * width * self.scale, *color, window);
                }
                Mark::Area { points, color } => self.area(&self.scaled(points), *color, window),
                Mark::Text { text, at, anchor, em, bold, color } => {
                    let at = (at.0 * self.scale, at.1 * self.scale);
                    let em = em * self.scale;
                    letters(text, at, *anchor, em, *bold, &mut |(x, y), cover| {
                        let Ok(x) = usize::try_from(x) else { return };
                        let Ok(y) = usize::try_from(y) else { return };
                        if x < window.x.1 && x >= window.x.0 && y < window.y.1 && y >= window.y.0 {
                            self.blend(x, y, *color, f64::from(cover));
                        }
                    })?;
                }
                Mark::Image { from, to, image } => {
                    let corner = |p: &Point| (p.0 * self.scale, p.1 * self.scale);
                    self.image(corner(from), corner(to), image, window);
                }
                Mark::Clipped { from, to, marks } => {
                    let corner =
                        |p: &Point| ((p.0 * self.scale).round(), (p.1 * self.scale).round());
                    self.draw(marks, window.within(corner(from), corner(to)))?;
                }
            }
        }
        Ok(())
    }

    fn blend(&mut self, x: usize, y: usize, Color(r, g, b): Color, cover: f64) {
        let at = 3 * (y * self.image.width + x);
        let cover = cover.clamp(0.0, 1.0);
        for (old, new) in self.image.rgb[at..at + 3].iter_mut().zip([r, g, b]) {
            *old = (f64::from(*old) + cover * (f64::from(new) - f64::from(*old))).round() as u8;
        }
    }

    /// A picture, larger or smaller: every pixel is the mean of what it covers, and is covered by the
    /// share that lies between the corners.
    fn image(&mut self, from: Point, to: Point, image: &Image, window: Window) {
        let all = window.within(from, to);
        let across = |n: usize, (low, high): (f64, f64)| {
            let scale = n as f64 / (high - low);
            move |x: usize| {
                let inside = |x: f64| x.clamp(low, high);
                let (a, b) = (inside(x as f64), inside(x as f64 + 1.0));
                ((a - low) * scale, (b - low) * scale, b - a)
            }
        };
        let columns = across(image.width, (from.0, to.0));
        let rows = across(image.height, (from.1, to.1));
        for y in all.y.0..all.y.1 {
            let (top, bottom, high) = rows(y);
            for x in all.x.0..all.x.1 {
                let (left, right, wide) = columns(x);
                let mut sum = [0.0; 3];
                for (row, tall) in covered(top, bottom, image.height) {
                    for (column, broad) in covered(left, right, image.width) {
                        let at = 3 * (row * image.width + column);
                        for (sum, v) in sum.iter_mut().zip(&image.rgb[at..at + 3]) {
                            *sum += tall * broad * f64::from(*v);
                        }
                    }
                }
                let area = (bottom - top) * (right - left);
                if area > 0.0 {
                    let [r, g, b] = sum.map(|v| (v / area).round() as u8);
                    self.blend(x, y, Color(r, g, b), high * wide);
                }
            }
        }
    }

    /// A line of round ends and corners. A pixel is covered by what its distance to the line says,
    /// once, however many of its pieces come near.
    fn line(&mut self, points: &[Point], radius: f64, color: Color, window: Window) {
        if points.is_empty() {
            return;
        }
        let reach = radius + 1.0;
        let (low, high) = bounds(points);
        let all = window.within((low.0 - reach, low.1 - reach), (high.0 + reach, high.1 + reach));
        let width = all.x.1 - all.x.0;
        let mut cover = vec![0.0_f64; width * (all.y.1 - all.y.0)];
        // A line thinner than a pixel covers none whole.
        let most = (2.0 * radius).min(1.0);
        for i in 0..points.len().max(2) - 1 {
            let (a, b) = (points[i], *points.get(i + 1).unwrap_or(&points[i]));
            let (low, high) = bounds(&[a, b]);
            let near = all.within((low.0 - reach, low.1 - reach), (high.0 + reach, high.1 + reach));
            for y in near.y.0..near.y.1 {
                for x in near.x.0..near.x.1 {
                    let d = distance((x as f64 + 0.5, y as f64 + 0.5), a, b);
                    let share = most * (radius + 0.5 - d).clamp(0.0, 1.0);
                    let old = &mut cover[(y - all.y.0) * width + x - all.x.0];
                    *old = old.max(share);
                }
            }
        }
        for y in all.y.0..all.y.1 {
            for x in all.x.0..all.x.1 {
                let share = cover[(y - all.y.0) * width + x - all.x.0];
                if share > 0.0 {
                    self.blend(x, y, color, share);
                }
            }
        }
    }

    /// A polygon by the even-odd rule: a few lines through every row of pixels, each with its exact
    /// length inside.
    fn area(&mut self, points: &[Point], color: Color, window: Window) {
        const LINES: usize = 4;
        let (low, high) = bounds(points);
        let all = window.within(low, high);
        let mut cover = vec![0.0_f64; all.x.1 - all.x.0];
        for y in all.y.0..all.y.1 {
            cover.fill(0.0);
            for line in 0..LINES {
                let at = y as f64 + (line as f64 + 0.5) / LINES as f64;
                for pair in crossings(points, at).chunks_exact(2) {
                    let row = all.within((pair[0], low.1), (pair[1], high.1)).x;
                    for x in row.0..row.1 {
                        let inside = pair[1].min(x as f64 + 1.0) - pair[0].max(x as f64);
                        cover[x - all.x.0] += inside.max(0.0) / LINES as f64;
                    }
                }
            }
            for (i, &share) in cover.iter().enumerate() {
                if share > 0.0 {
                    self.blend(all.x.0 + i, y, color, share);
                }
            }
        }
    }
}

/// Lowest and highest coordinates.
fn bounds(points: &[Point]) -> (Point, Point) {
    let start = ((f64::INFINITY, f64::INFINITY), (f64::NEG_INFINITY, f64::NEG_INFINITY));
    points.iter().fold(start, |(low, high), p| {
        ((low.0.min(p.0), low.1.min(p.1)), (high.0.max(p.0), high.1.max(p.1)))
    })
}

/// From a point to a piece of a line.
fn distance(p: Point, a: Point, b: Point) -> f64 {
    let (dx, dy) = (b.0 - a.0, b.1 - a.1);
    let square = dx * dx + dy * dy;
    let along = if square > 0.0 {
        (((p.0 - a.0) * dx + (p.1 - a.1) * dy) / square).clamp(0.0, 1.0)
    } else {
        0.0
    };
    (p.0 - a.0 - along * dx).hypot(p.1 - a.1 - along * dy)
}

/// Where the edges of a polygon cross a height, in order.
fn crossings(points: &[Point], y: f64) -> Vec<f64> {
    let edges = points.iter().zip(points.iter().cycle().skip(1));
    let mut all: Vec<f64> = edges
        .filter(|(a, b)| (a.1 <= y) != (b.1 <= y))
        .map(|(a, b)| a.0 + (y - a.1) / (b.1 - a.1) * (b.0 - a.0))
        .collect();
    all.sort_by(f64::total_cmp);
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::rc::Rc;

    const BLACK: Color = Color(0, 0, 0);

    fn drawn(marks: Vec<Mark>) -> Pixels {
        pixels(&Picture { size: (20.0, 20.0), marks }, 1.0).unwrap()
    }

    /// Everything that is black, in pixels.
    fn ink(image: &Pixels) -> f64 {
        image.rgb.iter().step_by(3).map(|&v| 1.0 - f64::from(v) / 255.0).sum()
    }

    #[test]
    fn shapes_cover_their_area() {
        // Half a grey level and the kinks of the distance at the rim: a few hundredths of a pixel
        // each, over a rim of some 40 pixels.
        let disc = ink(&drawn(vec![Mark::disc((10.3, 9.8), 6.0, BLACK)]));
        assert!((disc - 36.0 * std::f64::consts::PI).abs() < 1.0, "{disc}");
        let capsule = ink(&drawn(vec![Mark::line(vec![(6.0, 6.0), (14.0, 12.0)], 4.0, BLACK)]));
        assert!((capsule - (40.0 + 4.0 * std::f64::consts::PI)).abs() < 1.0, "{capsule}");
        // Areas are exact in x, and in y where edges lie on quarters.
        let area = ink(&drawn(vec![Mark::rect((2.5, 3.25), (9.1, 7.75), BLACK)]));
        assert!((area - 6.6 * 4.5).abs() < 0.1, "{area}");
        // A line that crosses itself is no darker there.
        let cross = vec![(2.0, 10.0), (18.0, 10.0), (10.0, 10.0), (10.0, 2.0)];
        let once = ink(&drawn(vec![Mark::line(cross, 1.0, Color(128, 128, 128))]));
        assert!(once < 0.5 * 26.0 + 1.0, "{once}");
    }

    #[test]
    fn nothing_is_drawn_outside_its_window_or_the_picture() {
        let far =
            vec![Mark::disc((-50.0, 300.0), 20.0, BLACK), Mark::disc((10.0, 10.0), 50.0, BLACK)];
        let (from, to) = ((5.0, 6.0), (8.0, 10.0));
        let image = drawn(vec![Mark::Clipped { from, to, marks: far }]);
        assert_eq!(ink(&image), 12.0);
        assert_eq!(image.rgb[3 * (6 * 20 + 5)], 0);
    }

    #[test]
    fn an_image_is_scaled_to_its_corners_and_keeps_its_means() {
        // Four columns: 0, 100, 200, 40.
        let rgb = [0, 100, 200, 40_u8].iter().flat_map(|&v| [v, v, 255 - v]).collect();
        let image = Rc::new(Image { width: 4, height: 1, rgb });
        let shown = |from: Point, to: Point, size: Point| {
            let marks = vec![Mark::Image { from, to, image: Rc::clone(&image) }];
            pixels(&Picture { size, marks }, 1.0).unwrap()
        };
        let red = |p: &Pixels| p.rgb.chunks_exact(3).map(|p| p[0]).collect::<Vec<_>>();
        // Pixel by pixel, twice as large, half as large, and a third.
        assert_eq!(red(&shown((0.0, 0.0), (4.0, 1.0), (4.0, 1.0))), [0, 100, 200, 40]);
        let large = shown((0.0, 0.0), (8.0, 1.0), (8.0, 1.0));
        assert_eq!(red(&large), [0, 0, 100, 100, 200, 200, 40, 40]);
        let small = shown((0.0, 0.0), (2.0, 1.0), (2.0, 1.0));
        assert_eq!(small.rgb, [50, 50, 205, 120, 120, 135]);
        // A column and a third of the next; two thirds and two thirds; a third and a column.
        let third = red(&shown((0.0, 0.0), (3.0, 1.0), (3.0, 1.0)));
        assert_eq!(third, [25, 150, 80]);
        // Half of the first and of the last pixel; what lies outside stays paper.
        let shifted = red(&shown((1.5, 0.0), (5.5, 1.0), (7.0, 2.0)));
        assert_eq!(shifted[..7], [255, 128, 50, 150, 120, 148, 255]);
        assert!(shifted[7..].iter().all(|v| *v == 255));
    }
}
