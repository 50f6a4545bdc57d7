//! Strokes, fills and words on a plotters backend, in fractions of a CSS pixel.

use ab_glyph::{Font, FontRef, PxScale, ScaleFont, point};
use hstep::{Error, Result};
use plotters::prelude::*;
use plotters::style::FontStyle;
use plotters::style::text_anchor::{HPos, Pos, VPos};

/// Device units in a CSS pixel: plotters counts in whole units, so fine work needs many.
pub const UNITS: f64 = 4.0;

/// The generic family: an SVG is shown in the reader's own font.
const FAMILY: &str = "sans-serif";

static REGULAR: &[u8] = include_bytes!("../../assets/Roboto-Regular.ttf");
static MEDIUM: &[u8] = include_bytes!("../../assets/Roboto-Medium.ttf");

/// The bundled font and its scale for letters of `em` device units.
fn font(em: f64, bold: bool) -> Result<(FontRef<'static>, PxScale)> {
    let font = FontRef::try_from_slice(if bold { MEDIUM } else { REGULAR }).map_err(failed)?;
    let per_em = font.units_per_em().unwrap_or(2048.0);
    let scale = PxScale::from(em as f32 * font.height_unscaled() / per_em);
    Ok((font, scale))
}

/// How words get onto a backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// As text elements.
    Svg,
    /// As pixels, drawn here: plotters drops the space to the left of every letter.
    Bitmap,
}

/// Which end of a text its position names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Anchor {
    Left,
    Middle,
    Right,
}

/// The dark grey of words and axes.
pub const INK: RGBColor = RGBColor(38, 38, 38);
/// The grey of what is secondary.
pub const SOFT: RGBColor = RGBColor(95, 95, 95);
/// The grey of grid lines.
pub const GRID: RGBColor = RGBColor(226, 226, 226);

/// A backend with a few operations in CSS pixels.
pub struct Painter<DB: DrawingBackend> {
    backend: DB,
    target: Target,
}

/// A position in CSS pixels, downwards positive.
pub type Point = (f64, f64);

impl<DB: DrawingBackend> Painter<DB> {
    pub fn new(backend: DB, target: Target) -> Self {
        Self { backend, target }
    }

    pub fn finish(mut self) -> Result<()> {
        self.backend.present().map_err(failed)
    }

    pub fn rect(&mut self, a: Point, b: Point, color: RGBAColor) -> Result<()> {
        self.backend.draw_rect(units(a), units(b), &color, true).map_err(failed)
    }

    pub fn stroke(&mut self, path: &[Point], color: RGBColor, width: f64) -> Result<()> {
        if path.len() < 2 {
            return Ok(());
        }
        let style = color.stroke_width((width * UNITS).round().max(1.0) as u32);
        self.backend.draw_path(path.iter().map(|&p| units(p)), &style).map_err(failed)
    }

    /// A stroke in alternating marks and gaps of the given lengths; none means a full line.
    pub fn dashed(
        &mut self,
        path: &[Point],
        color: RGBColor,
        width: f64,
        dash: &[f64],
    ) -> Result<()> {
        if dash.is_empty() {
            return self.stroke(path, color, width);
        }
        dashes(path, dash).iter().try_for_each(|piece| self.stroke(piece, color, width))
    }

    pub fn fill(&mut self, polygon: &[Point], color: RGBAColor) -> Result<()> {
        self.backend.fill_polygon(polygon.iter().map(|&p| units(p)), &color).map_err(failed)
    }

    /// A filled disc with a thin white rim, or a ring.
    pub fn disc(&mut self, at: Point, radius: f64, color: RGBColor, filled: bool) -> Result<()> {
        let radius = (radius * UNITS).round() as u32;
        let style = color.stroke_width((1.6 * UNITS) as u32);
        self.backend.draw_circle(units(at), radius, &style, filled).map_err(failed)
    }

    /// Words with their baseline at `at`; `em` is the letter size.
    pub fn text(
        &mut self,
        text: &str,
        at: Point,
        anchor: Anchor,
        em: f64,
        color: RGBColor,
        bold: bool,
    ) -> Result<()> {
        match self.target {
            Target::Svg => self.text_element(text, at, anchor, em, color, bold),
            Target::Bitmap => self.text_pixels(text, at, anchor, em, color, bold),
        }
    }

    fn text_element(
        &mut self,
        text: &str,
        at: Point,
        anchor: Anchor,
        em: f64,
        color: RGBColor,
        bold: bool,
    ) -> Result<()> {
        let h = match anchor {
            Anchor::Left => HPos::Left,
            Anchor::Middle => HPos::Center,
            Anchor::Right => HPos::Right,
        };
        // plotters-svg divides sizes by 1.24 and puts the top anchor 0.76 em above the baseline.
        let style = if bold { FontStyle::Bold } else { FontStyle::Normal };
        let style = (FAMILY, 1.24 * em * UNITS, style).into_text_style(&self.backend.get_size());
        let style = style.color(&color).pos(Pos::new(h, VPos::Top));
        self.backend.draw_text(text, &style, units((at.0, at.1 - 0.76 * em))).map_err(failed)
    }

    fn text_pixels(
        &mut self,
        text: &str,
        at: Point,
        anchor: Anchor,
        em: f64,
        color: RGBColor,
        bold: bool,
    ) -> Result<()> {
        let mut result = Ok(());
        letters(
            text,
            (at.0 * UNITS, at.1 * UNITS),
            anchor,
            em * UNITS,
            bold,
            &mut |place, cover| {
                let pixel = color.mix(f64::from(cover)).to_backend_color();
                if let Err(e) = self.backend.draw_pixel(place, pixel) {
                    result = Err(failed(e));
                }
            },
        )?;
        result
    }
}

/// The pixels of a line of text, each with the share that is covered, by the bundled font. All
/// lengths are in pixels.
pub fn letters(
    text: &str,
    at: Point,
    anchor: Anchor,
    em: f64,
    bold: bool,
    pixel: &mut dyn FnMut((i32, i32), f32),
) -> Result<()> {
    let (font, scale) = font(em, bold)?;
    let shift = match anchor {
        Anchor::Left => 0.0,
        Anchor::Middle => 0.5,
        Anchor::Right => 1.0,
    };
    let mut x = at.0 - shift * advance(&font, scale, text);
    for c in text.chars() {
        let id = font.glyph_id(c);
        let glyph = id.with_scale_and_position(scale, point(x as f32, at.1 as f32));
        x += f64::from(font.as_scaled(scale).h_advance(id));
        let Some(outline) = font.outline_glyph(glyph) else { continue };
        let corner = outline.px_bounds().min;
        outline.draw(|dx, dy, cover| {
            pixel((corner.x as i32 + dx as i32, corner.y as i32 + dy as i32), cover);
        });
    }
    Ok(())
}

/// The width of a line of text in device units.
fn advance(font: &FontRef<'_>, scale: PxScale, text: &str) -> f64 {
    let scaled = font.as_scaled(scale);
    text.chars().map(|c| f64::from(scaled.h_advance(font.glyph_id(c)))).sum()
}

/// The width of `text` in CSS pixels, by the bundled font.
pub fn text_width(text: &str, em: f64) -> Result<f64> {
    let (font, scale) = font(em * UNITS, false)?;
    Ok(advance(&font, scale, text) / UNITS)
}

/// Cuts a path into the pieces that a dash pattern leaves visible.
fn dashes(path: &[Point], dash: &[f64]) -> Vec<Vec<Point>> {
    let (mut pieces, mut piece) =
        (Vec::new(), path.first().copied().into_iter().collect::<Vec<_>>());
    let (mut index, mut left) = (0, dash[0]);
    for pair in path.windows(2) {
        let (mut from, to) = (pair[0], pair[1]);
        loop {
            let length = (to.0 - from.0).hypot(to.1 - from.1);
            if length <= left {
                left -= length;
                if index % 2 == 0 {
                    piece.push(to);
                }
                break;
            }
            let f = left / length;
            from = (from.0 + f * (to.0 - from.0), from.1 + f * (to.1 - from.1));
            if index % 2 == 0 {
                piece.push(from);
                pieces.push(std::mem::take(&mut piece));
            } else {
                piece = vec![from];
            }
            index = (index + 1) % dash.len();
            left = dash[index];
        }
    }
    pieces.push(piece);
    pieces
}

fn units((x, y): Point) -> (i32, i32) {
    ((x * UNITS).round() as i32, (y * UNITS).round() as i32)
}

pub fn failed(e: impl std::fmt::Display) -> Error {
    Error::Io {
        action: "cannot draw",
        path: "the figure".into(),
        cause: std::io::Error::other(e.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dashes_cover_their_share_of_a_bent_path() {
        let path = [(0.0, 0.0), (6.0, 0.0), (6.0, 14.0)];
        let pieces = dashes(&path, &[3.0, 2.0]);
        let length = |p: &[Point]| -> f64 {
            p.windows(2).map(|w| (w[1].0 - w[0].0).hypot(w[1].1 - w[0].1)).sum()
        };
        let total: f64 = pieces.iter().map(|p| length(p)).sum();
        assert!((total - 12.0).abs() < 1e-9, "{total}");
        // The second mark, 5..8, goes round the corner at 6.
        assert_eq!(pieces[1], vec![(5.0, 0.0), (6.0, 0.0), (6.0, 2.0)]);
    }

    #[test]
    fn the_bundled_font_measures_text() {
        let (one, two) = (text_width("M", 20.0).unwrap(), text_width("MM", 20.0).unwrap());
        assert!(one > 10.0 && one < 25.0 && (two - 2.0 * one).abs() < 1.0, "{one} {two}");
    }
}
