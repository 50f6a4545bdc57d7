//! An episode as a strip of pictures, one beside the other.

use std::rc::Rc;

use super::marks::{Mark, Picture, Point};
use super::record::{Episode, Part, ghosts};
use super::stage::{INK, PAPER, SOFT, Stage};
use super::title::Title;
use crate::plot::Anchor;

/// CSS pixels.
const WIDTH: f64 = 1280.0;
const MARGIN: f64 = 20.0;
const GAP: f64 = 6.0;
/// Room for the time below a picture.
const LABEL: f64 = 26.0;
/// Earlier poses behind each; fewer in a film, which moves by itself.
const GHOSTS: usize = 4;
/// Steps of which a traced point's way is shown, at most.
const WAY: usize = 75;

/// The strip: a row of pictures an episode, or two where they are wide.
pub fn strip(episodes: &[Episode], part: Part, pictures: usize, title: &Title) -> Picture {
    let mut marks = Vec::new();
    let mut y = MARGIN + title.marks((MARGIN, MARGIN), WIDTH - 2.0 * MARGIN, 1.0, &mut marks);
    for episode in episodes {
        let steps = part.still(episode, pictures);
        let Some(first) = episode.first() else { continue };
        let [w, h] = first.scene.camera.size;
        let columns = columns(w / h, pictures);
        let width = (WIDTH - 2.0 * MARGIN - GAP * (columns as f64 - 1.0)) / columns as f64;
        let height = (width * h / w).round();
        for (i, &step) in steps.iter().enumerate() {
            let x = MARGIN + (i % columns) as f64 * (width + GAP);
            let top = y + (i / columns) as f64 * (height + LABEL);
            let before = if i == 0 { step } else { steps[i - 1] };
            let stage = Stage { from: (x, top), to: (x + width, top + height) };
            picture(episode, step, before, GHOSTS, stage, &mut marks);
            let at = (x + 0.5 * width, top + height + 17.0);
            marks.push(label(title.time(&episode[step].scene, step), at));
        }
        y += steps.len().div_ceil(columns) as f64 * (height + LABEL) + GAP;
    }
    let size = (WIDTH, (y + 0.5 * MARGIN - GAP).round());
    marks.insert(0, Mark::rect((0.0, 0.0), size, PAPER));
    Picture { size, marks }
}

/// The state of `step`, with some poses since step `before`.
fn picture(
    episode: &Episode,
    step: usize,
    before: usize,
    poses: usize,
    stage: Stage,
    marks: &mut Vec<Mark>,
) {
    if let Some(image) = &episode[step].image {
        marks.push(Mark::Image { from: stage.from, to: stage.to, image: Rc::clone(image) });
        return;
    }
    let start = step.saturating_sub(WAY);
    let scenes: Vec<_> = episode[start..=step].iter().map(|frame| &frame.scene).collect();
    let behind = ghosts(episode, step, before.max(start), poses);
    let behind: Vec<usize> = behind.into_iter().map(|at| at - start).collect();
    marks.extend(stage.marks(&scenes, &behind));
}

fn label(text: String, at: Point) -> Mark {
    Mark::Text { text, at, anchor: Anchor::Middle, em: 14.0, bold: false, color: SOFT }
}

/// Narrow pictures stand in one row, wide ones in rows of four.
fn columns(aspect: f64, pictures: usize) -> usize {
    pictures.min(if aspect > 1.6 { 4 } else { 8 }).max(1)
}

/// One picture of a film: the state of `step` with its time, the return so far and the action.
pub fn film_picture(episode: &Episode, step: usize, title: &Title) -> Picture {
    let frame = &episode[step];
    let [w, h] = frame.scene.camera.size;
    // As much area for a wide camera as for a square one.
    let width = (330.0 * (w / h).clamp(1.0, 3.0).sqrt()).round();
    let (height, margin) = ((width * h / w).round(), 12.0);
    let mut marks = Vec::new();
    // What it reaches is counted below.
    let over = Title { reached: String::new(), ..title.clone() };
    let top = margin + over.marks((margin, margin), width, 0.72, &mut marks);
    let stage = Stage { from: (margin, top), to: (margin + width, top + height) };
    let bottom = top + height;
    let size = (width + 2.0 * margin, bottom + 44.0);
    marks.insert(0, Mark::rect((0.0, 0.0), size, PAPER));
    let back = frame.scene.time_step.map_or(6, |dt| ((0.2 / dt) as usize).max(3));
    picture(episode, step, step.saturating_sub(back), 2, stage, &mut marks);

    let text = |text, x, anchor| {
        let at = (x, bottom + 20.0);
        Mark::Text { text, at, anchor, em: 14.0, bold: false, color: INK }
    };
    marks.push(text(title.time(&frame.scene, step), margin, Anchor::Left));
    let total = format!("return {}", Title::number(frame.total));
    marks.push(text(total, margin + width, Anchor::Right));
    actions(&frame.action, (margin + 0.5 * width, bottom + 15.0), &mut marks);

    // How far the episode has come.
    let (from, y) = (margin + 1.5, bottom + 35.0);
    let (length, last) = (width - 3.0, episode.len().saturating_sub(1).max(1));
    let here = from + length * step as f64 / last as f64;
    marks.push(Mark::line(vec![(from, y), (from + length, y)], 3.0, SOFT.mixed(PAPER, 0.75)));
    marks.push(Mark::line(vec![(from, y), (here, y)], 3.0, SOFT));
    Picture { size, marks }
}

/// A bar for every number of an action, upwards from its middle for positive ones.
fn actions(action: &[f64], middle: Point, marks: &mut Vec<Mark>) {
    let (width, reach) = (7.0, 10.0);
    let left = middle.0 - 0.5 * width * (action.len() as f64 - 1.0) * 1.4;
    if !action.is_empty() {
        marks.push(Mark::Text {
            text: "action".into(),
            at: (left - width, middle.1 + 4.0),
            anchor: Anchor::Right,
            em: 11.0,
            bold: false,
            color: SOFT,
        });
    }
    for (i, a) in action.iter().enumerate() {
        let x = left + 1.4 * width * i as f64;
        let half = 0.5 * width;
        let end = middle.1 - reach * a.clamp(-1.0, 1.0);
        let faint = SOFT.mixed(PAPER, 0.85);
        marks.push(Mark::rect((x - half, middle.1 - reach), (x + half, middle.1 + reach), faint));
        let (high, low) = (end.min(middle.1) - 0.5, end.max(middle.1) + 0.5);
        marks.push(Mark::rect((x - half, high), (x + half, low), SOFT));
    }
}
