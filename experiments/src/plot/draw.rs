//! Layout: a [`Figure`] onto a [`Painter`].

use std::path::Path;

use hstep::Result;
use plotters::prelude::*;

use super::marks::{STYLES, marker, pale};
use super::paint::{Anchor, GRID, INK, Painter, Point, SOFT, Target, UNITS, failed, text_width};
use super::{Figure, Look, Note, Panel, Scale, Series};

const TITLE: f64 = 25.0;
const HEADING: f64 = 20.0;
const TEXT: f64 = 18.0;
const MARGIN: f64 = 18.0;
const ROW: f64 = 27.0;
const KEY: f64 = 46.0;
/// Opacity of a band, and the width of its outline. Three areas over one another must not turn
/// brown.
const BAND: f64 = 0.08;
const EDGE: f64 = 1.2;
/// Opacity of a bar: its interval must be seen inside it.
const BAR: f64 = 0.62;

/// The figure as SVG text, in units of a quarter CSS pixel.
pub fn svg(figure: &Figure) -> Result<String> {
    let (w, h) = figure.size;
    let (units_w, units_h) = (w * UNITS as u32, h * UNITS as u32);
    let mut text = String::new();
    let painter = Painter::new(SVGBackend::with_string(&mut text, (units_w, units_h)), Target::Svg);
    draw(painter, figure)?;
    Ok(text
        .replacen(
            &format!("width=\"{units_w}\" height=\"{units_h}\""),
            &format!("width=\"{w}\" height=\"{h}\""),
            1,
        )
        .replace(
            "font-family=\"sans-serif\"",
            "font-family=\"Roboto, Helvetica, Arial, sans-serif\"",
        ))
}

/// The figure as a PNG of two pixels a CSS pixel, each the mean of four drawn ones: plotters draws
/// thick lines without smoothing.
pub fn png(figure: &Figure, path: &Path) -> Result<()> {
    let (w, h) = (figure.size.0 * UNITS as u32, figure.size.1 * UNITS as u32);
    let mut fine = vec![255_u8; (w * h * 3) as usize];
    draw(Painter::new(BitMapBackend::with_buffer(&mut fine, (w, h)), Target::Bitmap), figure)?;
    let (half_w, half_h) = (w as usize / 2, h as usize / 2);
    let row = w as usize * 3;
    let mut small = Vec::with_capacity(half_w * half_h * 3);
    for y in 0..half_h {
        for i in 0..half_w * 3 {
            let at = 2 * y * row + i / 3 * 6 + i % 3;
            let sum: u32 =
                [at, at + 3, at + row, at + row + 3].iter().map(|&p| u32::from(fine[p])).sum();
            small.push((sum / 4) as u8);
        }
    }
    save_pixels(path, (half_w as u32, half_h as u32), &small)
}

/// Writes rows of red, green and blue as a PNG; `path` must end in `.png`.
pub fn save_pixels(path: &Path, size: (u32, u32), rgb: &[u8]) -> Result<()> {
    let mut backend = BitMapBackend::new(path, size);
    backend.blit_bitmap((0, 0), size, rgb).map_err(failed)?;
    backend.present().map_err(failed)
}

fn draw<DB: DrawingBackend>(mut p: Painter<DB>, figure: &Figure) -> Result<()> {
    let (w, h) = (f64::from(figure.size.0), f64::from(figure.size.1));
    p.rect((0.0, 0.0), (w, h), WHITE.to_rgba())?;
    let mut top = MARGIN;
    let lines = wrapped(&figure.title, (w - 2.0 * MARGIN) * TEXT / TITLE / BOLD)?;
    for (i, line) in lines.iter().enumerate() {
        p.text(line, (MARGIN, top + 0.8 * TITLE), Anchor::Left, TITLE, INK, true)?;
        top += if i + 1 == lines.len() { 1.5 } else { 1.2 } * TITLE;
    }
    let lines = wrapped(&figure.caption, w - 2.0 * MARGIN)?;
    for (i, line) in lines.iter().enumerate() {
        p.text(line, (MARGIN, top + 0.7 * TEXT), Anchor::Left, TEXT, SOFT, false)?;
        top += if i + 1 == lines.len() { 1.7 } else { 1.35 } * TEXT;
    }
    let gap = 30.0;
    let columns = columns(figure.panels.len());
    let width = (w - 2.0 * MARGIN - gap * (columns as f64 - 1.0)) / columns as f64;
    let lines = figure.panels.len().div_ceil(columns) as f64;
    let height = (h - MARGIN + 6.0 - top - gap * (lines - 1.0)) / lines;
    let (mut rows, mut headings) = (0, 0);
    for panel in &figure.panels {
        headings = headings.max(heading(panel, width)?.len());
        rows = rows.max(legend(panel, width)?.last().map_or(0, |e| e.row + 1));
    }
    for (i, panel) in figure.panels.iter().enumerate() {
        let left = MARGIN + (i % columns) as f64 * (width + gap);
        let top = top + (i / columns) as f64 * (height + gap);
        draw_panel(&mut p, panel, (left, top), (left + width, top + height), (headings, rows))?;
    }
    p.finish()
}

/// A text of the usual size in lines of a width, broken between words; no line of no text.
fn wrapped(text: &str, width: f64) -> Result<Vec<String>> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ').filter(|word| !word.is_empty()) {
        match lines.last_mut() {
            Some(line) if text_width(&format!("{line} {word}"), TEXT)? <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.into()),
        }
    }
    Ok(lines)
}

/// How much wider bold letters are.
const BOLD: f64 = 1.08;

/// A panel's title in lines that stay inside it.
fn heading(panel: &Panel, width: f64) -> Result<Vec<String>> {
    wrapped(&panel.title, width * TEXT / HEADING / BOLD)
}

/// Panels side by side: up to three in one line, up to eight in two, more in lines of four.
fn columns(panels: usize) -> usize {
    if panels > 3 { panels.div_ceil(2).min(4) } else { panels.max(1) }
}

/// A place in the legend.
struct Entry {
    row: usize,
    x: f64,
}

/// The width of a series' sample in the legend.
fn key(series: &Series) -> f64 {
    if lined(series) { KEY } else { 16.0 }
}

/// Whether its points are joined.
fn lined(series: &Series) -> bool {
    matches!(series.look, Look::Line | Look::Rule)
}

/// Whether it stands in the legend.
fn named(series: &Series) -> bool {
    !matches!(series.look, Look::Thin | Look::Cells)
}

/// Places the legend's entries in rows no wider than the panel.
fn legend(panel: &Panel, width: f64) -> Result<Vec<Entry>> {
    let (mut row, mut x, mut out) = (0, 0.0, Vec::new());
    for series in panel.series.iter().filter(|series| named(series)) {
        // A reader's own font in the SVG may be a tenth wider than ours.
        let wide = key(series) + 8.0 + 1.1 * text_width(&series.label, TEXT)?;
        if x > 0.0 && x + wide > width {
            (row, x) = (row + 1, 0.0);
        }
        out.push(Entry { row, x });
        x += wide + 22.0;
    }
    Ok(out)
}

/// The rectangle of the data and the ends of its axes.
struct Frame<'a> {
    panel: &'a Panel,
    min: Point,
    max: Point,
    x: (f64, f64),
    y: (f64, f64),
}

impl Frame<'_> {
    fn place(&self, (x, y): Point) -> Point {
        let fx = self.panel.x.fraction(x, self.x);
        let fy = self.panel.y.fraction(y, self.y);
        (self.min.0 + fx * (self.max.0 - self.min.0), self.max.1 - fy * (self.max.1 - self.min.1))
    }

    /// Below the axis when a logarithm does not exist; far out points stay paintable.
    fn place_clamped(&self, point: Point) -> Point {
        let (x, y) = self.place(point);
        let y = if y.is_nan() { self.max.1 } else { y };
        (x, y.clamp(self.min.1, self.max.1))
    }
}

fn draw_panel<DB: DrawingBackend>(
    p: &mut Painter<DB>,
    panel: &Panel,
    (left, top): Point,
    (right, bottom): Point,
    (headings, rows): (usize, usize),
) -> Result<()> {
    let mut y = top;
    for (i, line) in heading(panel, right - left)?.iter().enumerate() {
        let baseline = y + (0.8 + 1.25 * i as f64) * HEADING;
        p.text(line, (left, baseline), Anchor::Left, HEADING, INK, true)?;
    }
    if headings > 0 {
        // The same for all panels, so that their axes stand side by side.
        y += (1.5 + 1.25 * (headings as f64 - 1.0)) * HEADING;
    }
    let listed = panel.series.iter().filter(|series| named(series));
    for (series, entry) in listed.zip(legend(panel, right - left)?) {
        let at = (left + entry.x, y + (entry.row as f64 + 0.5) * ROW);
        let end = (at.0 + key(series), at.1);
        let (color, dash, _) = STYLES[series.style % STYLES.len()];
        if lined(series) {
            if !series.band.is_empty() {
                let (top, bottom) = (at.1 - 8.0, at.1 + 8.0);
                p.rect((at.0, top), (end.0, bottom), color.mix(BAND))?;
                for y in [top, bottom] {
                    p.stroke(&[(at.0, y), (end.0, y)], pale(color), EDGE)?;
                }
            }
            p.dashed(&[at, end], color, 2.6, dash)?;
        }
        match series.look {
            Look::Rule | Look::Thin | Look::Cells => {}
            Look::Bars => p.rect((at.0, at.1 - 8.0), (end.0, at.1 + 8.0), color.mix(BAR))?,
            _ => marker(p, series.style, (f64::midpoint(at.0, end.0), at.1))?,
        }
        p.text(&series.label, (end.0 + 8.0, at.1 + 0.35 * TEXT), Anchor::Left, TEXT, INK, false)?;
    }
    y += rows as f64 * ROW + 10.0;
    // The vertical axis is named above it: upright letters read faster than turned ones.
    p.text(&panel.y.label, (left, y + 0.8 * TEXT), Anchor::Left, TEXT, SOFT, false)?;
    y += 1.4 * TEXT;

    let all = || panel.series.iter().flat_map(|s| s.points.iter());
    let band = || panel.series.iter().flat_map(|s| s.band.iter().flat_map(|b| [b.0, b.1]));
    let x_ends = panel.x.ends(all().map(|q| q.0));
    let y_ends = panel.y.ends(all().map(|q| q.1).chain(band()));
    let mut ticks = 0.0_f64;
    for (_, text) in panel.y.ticks(y_ends) {
        ticks = ticks.max(text_width(&text, TEXT)?);
    }
    let frame = Frame {
        panel,
        min: (left + ticks + 10.0, y + 4.0),
        max: (right - 8.0, bottom - 3.2 * TEXT),
        x: x_ends,
        y: y_ends,
    };
    axes(p, &frame)?;
    for series in panel.series.iter().filter(|series| series.look == Look::Cells) {
        cells_of(p, &frame, series)?;
    }
    for series in panel.series.iter().filter(|series| series.look == Look::Thin) {
        thin_of(p, &frame, series)?;
    }
    // All areas lie below all their edges, and those below all lines.
    for series in panel.series.iter().rev() {
        band_of(p, &frame, series)?;
    }
    for series in panel.series.iter().rev() {
        edges_of(p, &frame, series)?;
    }
    for series in panel.series.iter().rev() {
        line_of(p, &frame, series)?;
    }
    panel.notes.iter().try_for_each(|note| remark(p, &frame, note))
}

fn axes<DB: DrawingBackend>(p: &mut Painter<DB>, f: &Frame) -> Result<()> {
    for (value, text) in f.panel.y.ticks(f.y) {
        let y = f.place((f.x.0, value)).1;
        p.stroke(&[(f.min.0, y), (f.max.0, y)], GRID, 1.0)?;
        p.text(&text, (f.min.0 - 8.0, y + 0.35 * TEXT), Anchor::Right, TEXT, SOFT, false)?;
    }
    for (value, text) in f.panel.x.ticks(f.x) {
        let x = f.place((value, f.y.0)).0;
        p.stroke(&[(x, f.max.1), (x, f.max.1 + 5.0)], SOFT, 1.0)?;
        p.text(&text, (x, f.max.1 + 1.25 * TEXT), Anchor::Middle, TEXT, SOFT, false)?;
    }
    p.stroke(&[(f.min.0, f.max.1), (f.max.0, f.max.1)], SOFT, 1.2)?;
    let middle = f64::midpoint(f.min.0, f.max.0);
    p.text(&f.panel.x.label, (middle, f.max.1 + 2.6 * TEXT), Anchor::Middle, TEXT, SOFT, false)
}

fn band_of<DB: DrawingBackend>(p: &mut Painter<DB>, f: &Frame, series: &Series) -> Result<()> {
    if series.look == Look::Bars {
        return bars_of(p, f, series);
    }
    if !lined(series) || series.band.is_empty() {
        return Ok(());
    }
    let mut outline = edge(f, series, |b| b.0);
    outline.extend(edge(f, series, |b| b.1).into_iter().rev());
    p.fill(&outline, STYLES[series.style % STYLES.len()].0.mix(BAND))
}

/// Bars from zero; together those of all series fill most of a unit of the axis.
fn bars_of<DB: DrawingBackend>(p: &mut Painter<DB>, f: &Frame, series: &Series) -> Result<()> {
    let beside = f.panel.series.iter().filter(|s| s.look == Look::Bars).count().max(1);
    let half = 0.36 / beside as f64;
    series.points.iter().try_for_each(|&(x, y)| {
        let (from, to) = (f.place_clamped((x - half, 0.0)), f.place_clamped((x + half, y)));
        p.rect((from.0, to.1), (to.0, from.1), STYLES[series.style % STYLES.len()].0.mix(BAR))
    })
}

/// Squares of a matrix, the darker the larger their share, with the number in them.
fn cells_of<DB: DrawingBackend>(p: &mut Painter<DB>, f: &Frame, series: &Series) -> Result<()> {
    let color = STYLES[series.style % STYLES.len()].0;
    series.points.iter().zip(&series.band).try_for_each(|(&(x, y), &(share, _))| {
        let (from, to) = (f.place((x - 0.48, y + 0.48)), f.place((x + 0.48, y - 0.48)));
        // The lines of the axis end at the squares.
        p.rect(from, to, WHITE.to_rgba())?;
        p.rect(from, to, color.mix(0.5 * share))?;
        let at = f.place((x, y));
        p.text(&format!("{share:.2}"), (at.0, at.1 + 0.35 * TEXT), Anchor::Middle, TEXT, INK, false)
    })
}

/// A pale line without markers, for one of many.
fn thin_of<DB: DrawingBackend>(p: &mut Painter<DB>, f: &Frame, series: &Series) -> Result<()> {
    let placed: Vec<Point> = series.points.iter().map(|&q| f.place(q)).collect();
    let color = pale(STYLES[series.style % STYLES.len()].0);
    clipped(&placed, f.min.1, f.max.1).iter().try_for_each(|path| p.stroke(path, color, EDGE))
}

/// The lower or the upper edge of a band, as far as there are points.
fn edge(f: &Frame, series: &Series, pick: fn(&(f64, f64)) -> f64) -> Vec<Point> {
    let both = series.points.iter().zip(&series.band);
    both.map(|(q, b)| f.place_clamped((q.0, pick(b)))).collect()
}

/// Thin outlines, by which overlapping bands are told apart; upright bars of whiskers.
fn edges_of<DB: DrawingBackend>(p: &mut Painter<DB>, f: &Frame, series: &Series) -> Result<()> {
    let color = match series.look {
        Look::Bars => INK,
        _ => STYLES[series.style % STYLES.len()].0,
    };
    let (low, high) = (edge(f, series, |b| b.0), edge(f, series, |b| b.1));
    match series.look {
        Look::Line | Look::Rule => {
            p.stroke(&low, pale(color), EDGE)?;
            p.stroke(&high, pale(color), EDGE)
        }
        Look::Points | Look::Thin | Look::Cells => Ok(()),
        Look::Whiskers | Look::Bars => low.iter().zip(&high).try_for_each(|(&a, &b)| {
            p.stroke(&[a, b], color, 2.2)?;
            [a, b]
                .iter()
                .try_for_each(|q| p.stroke(&[(q.0 - 5.0, q.1), (q.0 + 5.0, q.1)], color, 2.2))
        }),
    }
}

fn line_of<DB: DrawingBackend>(p: &mut Painter<DB>, f: &Frame, series: &Series) -> Result<()> {
    let (color, dash, _) = STYLES[series.style % STYLES.len()];
    let usable = |y: f64| y.is_finite() && (f.panel.y.scale == Scale::Linear || y > 0.0);
    let placed: Vec<Point> =
        series.points.iter().filter(|q| usable(q.1)).map(|&q| f.place(q)).collect();
    let line = lined(series);
    for path in clipped(&placed, f.min.1, f.max.1).iter().filter(|_| line) {
        p.dashed(path, color, 2.6, dash)?;
    }
    if matches!(series.look, Look::Rule | Look::Bars | Look::Thin | Look::Cells) {
        return Ok(());
    }
    // About eight markers a line, at other places for other styles.
    let every = if line { placed.len().div_ceil(8).max(1) } else { 1 };
    let first = (series.style * every / 3) % every;
    for &at in placed.iter().skip(first).step_by(every) {
        if (f.min.1..=f.max.1).contains(&at.1) {
            marker(p, series.style, at)?;
        }
    }
    Ok(())
}

/// The pieces of a path between two heights.
fn clipped(path: &[Point], top: f64, bottom: f64) -> Vec<Vec<Point>> {
    let (mut pieces, mut piece): (Vec<Vec<Point>>, Vec<Point>) = (Vec::new(), Vec::new());
    for pair in path.windows(2) {
        let (a, b) = (pair[0], pair[1]);
        let at = |y: f64| (a.0 + (y - a.1) / (b.1 - a.1) * (b.0 - a.0), y);
        let inside = |q: Point| {
            if q.1 < top {
                at(top)
            } else if q.1 > bottom {
                at(bottom)
            } else {
                q
            }
        };
        if (a.1 < top && b.1 < top) || (a.1 > bottom && b.1 > bottom) {
            continue;
        }
        let (from, to) = (inside(a), inside(b));
        if piece.last() != Some(&from) {
            pieces.push(std::mem::take(&mut piece));
            piece.push(from);
        }
        piece.push(to);
    }
    pieces.push(piece);
    pieces
}

fn remark<DB: DrawingBackend>(p: &mut Painter<DB>, f: &Frame, note: &Note) -> Result<()> {
    let at = f.place_clamped(note.at);
    let words = (at.0 + note.offset.0, at.1 + note.offset.1);
    let color = STYLES[note.style % STYLES.len()].0;
    let above = note.offset.1 < 0.0;
    let end = (words.0, words.1 + if above { 0.5 * TEXT } else { -0.75 * TEXT });
    let length = (end.0 - at.0).hypot(end.1 - at.1).max(1.0);
    let start = (at.0 + 10.0 * (end.0 - at.0) / length, at.1 + 10.0 * (end.1 - at.1) / length);
    p.stroke(&[start, end], SOFT, 1.2)?;
    p.disc(at, 9.5, color, false)?;
    p.text(&note.text, (words.0, words.1 + 0.35 * TEXT), Anchor::Middle, TEXT, INK, false)
}

#[cfg(test)]
mod tests {
    use super::super::Axis;
    use super::*;

    #[test]
    fn a_path_is_cut_where_it_leaves_the_frame() {
        let pieces = clipped(&[(0.0, 5.0), (10.0, 15.0), (20.0, 5.0), (30.0, 5.0)], 0.0, 10.0);
        let pieces: Vec<_> = pieces.into_iter().filter(|q| !q.is_empty()).collect();
        assert_eq!(pieces[0], vec![(0.0, 5.0), (5.0, 10.0)]);
        assert_eq!(pieces[1], vec![(15.0, 10.0), (20.0, 5.0), (30.0, 5.0)]);
    }

    #[test]
    fn a_caption_is_broken_between_words_and_stays_inside() {
        let text =
            "One run each, seed 0; published: SAC of two benchmarks, mean and band over both";
        let lines = wrapped(text, 300.0).unwrap();
        assert_eq!(lines.join(" "), text);
        assert!(lines.len() > 1 && lines.len() < 5, "{lines:?}");
        assert!(lines.iter().all(|line| text_width(line, TEXT).unwrap() <= 300.0), "{lines:?}");
        assert_eq!(wrapped(text, 5000.0).unwrap(), [text]);
        // A word that is too long stands alone; nothing stays nothing.
        assert_eq!(wrapped("a word", 1.0).unwrap(), ["a", "word"]);
        assert!(wrapped("", 100.0).unwrap().is_empty());
    }

    #[test]
    fn a_long_heading_stays_inside_its_panel() {
        let panel = Panel {
            title: "MAAC improve.horizon=3 improve.samples=5 target.kind=steve".into(),
            x: Axis::linear(""),
            y: Axis::linear(""),
            series: vec![],
            notes: vec![],
        };
        let lines = heading(&panel, 300.0).unwrap();
        assert!(lines.len() > 1 && lines.join(" ") == panel.title, "{lines:?}");
        let wide = |line: &String| text_width(line, HEADING).unwrap();
        assert!(lines.iter().all(|line| wide(line) <= 300.0));
    }

    #[test]
    fn legend_entries_wrap_inside_the_panel() {
        let line = |label: &str| Series::line(label, 0, vec![]);
        let panel = Panel {
            title: String::new(),
            x: Axis::linear(""),
            y: Axis::linear(""),
            series: vec![line("a long name here"), line("another long name"), line("c")],
            notes: vec![],
        };
        let rows: Vec<_> = legend(&panel, 330.0).unwrap().iter().map(|e| e.row).collect();
        assert_eq!(rows, [0, 1, 1]);
    }

    #[test]
    fn svg_text_names_a_generic_family_and_counts_in_css_pixels() {
        let figure = Figure {
            name: "t".into(),
            title: "T < 1".into(),
            caption: String::new(),
            size: (400, 300),
            panels: vec![Panel {
                title: "p".into(),
                x: Axis::linear("x"),
                y: Axis::log("y"),
                series: vec![Series::line("s", 1, vec![(0.0, 1.0), (1.0, 0.0), (2.0, 0.01)])],
                notes: vec![],
            }],
        };
        let text = svg(&figure).unwrap();
        assert!(text.starts_with("<svg width=\"400\" height=\"300\" viewBox=\"0 0 1600 1200\""));
        assert!(text.contains("sans-serif\"") && text.contains("T &lt; 1"));
        assert!(!text.contains("NaN"));
    }
}
