//! Figures of compared runs: learning curves, performance profiles, the matrix of improvement.

use std::cmp::Ordering;
use std::path::Path;

use hstep::Result;
use hstep::rng::Rng;
use hstep::stats::{Resamples, Scores, Statistic};

use super::curve::{Points, SEEDS_FOR_A_BAND, between, line, seeds};
use super::groups::Group;
use super::names::environment;
use super::summary::{Beats, Estimate, Overall, Row};
use super::{LEVEL, published};
use crate::plot::{Axis, Figure, Panel, Series, grouped};

/// Groups in one panel at most: fifteen lines and bands over one another say nothing. Of more each has
/// a panel of its own, with the others' lines in grey.
const TOGETHER: usize = 3;
/// The same of groups of one run each, which have no bands.
const SINGLE: usize = 6;
/// The first style of published curves.
const PUBLISHED: usize = 5;
/// The style of what is grey.
const GREY: usize = 4;
/// Panels in a figure at most.
const PANELS: usize = 12;
/// Points of a profile, and of a curve over core-hours.
const GRID: usize = 101;
/// Rounds of the bootstrap at every point of a profile.
const ROUNDS: usize = 2_000;

/// Letters of a name that fits below a column of the matrix.
const SHORT: usize = 9;

/// What is drawn on the horizontal axis.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Across {
    Steps,
    CoreHours,
}

/// The curves of a group up to `end`, by step or by core-hours; `None` where these are not known.
fn curves(group: &Group, end: f64, across: Across) -> Option<Vec<Points>> {
    let upto = |run: &super::folders::Run| -> Option<Points> {
        let curve = run.curve.iter().copied().filter(|p| p.0 <= end);
        match across {
            Across::Steps => Some(curve.collect()),
            Across::CoreHours => {
                let hours = run.hours.as_deref()?;
                let curve: Points =
                    curve.filter_map(|p| Some((between(hours, p.0)?, p.1))).collect();
                (curve.len() > 1).then_some(curve)
            }
        }
    };
    group.runs.iter().map(upto).collect()
}

/// Brings curves onto one grid, where all of them have a value between points.
fn on_a_grid(curves: &[Points]) -> Vec<Points> {
    let first = curves.iter().filter_map(|c| c.first()).map(|p| p.0).fold(0.0, f64::max);
    let last = curves.iter().filter_map(|c| c.last()).map(|p| p.0).fold(f64::INFINITY, f64::min);
    let at = |i: usize| first + (last - first) * i as f64 / (GRID - 1) as f64;
    let points =
        |curve: &Points| (0..GRID).filter_map(|i| Some((at(i), between(curve, at(i))?))).collect();
    curves.iter().map(points).collect()
}

/// Lines and seeds of one group.
fn lines(group: &Group, style: usize, end: f64, across: Across) -> Result<Vec<Series>> {
    let Some(curves) = curves(group, end, across) else { return Ok(Vec::new()) };
    let joint = if across == Across::Steps { &curves } else { &on_a_grid(&curves) };
    let mut all = vec![line(&group.label, style, joint)?];
    if curves.len() > 1 {
        all.extend(seeds(style, &curves));
    }
    Ok(all)
}

/// What is common to the figures of a comparison.
pub struct Drawing<'a> {
    /// The groups, sorted by environment.
    pub groups: &'a [Group],
    /// What they came to.
    pub rows: &'a [Row],
    /// The column of the vertical axis.
    pub column: &'a str,
    /// A folder with published curves.
    pub reference: Option<&'a Path>,
    /// Whether every run is drawn to its own end, not to the last step that all have.
    pub whole: bool,
    /// The styles of algorithms that share a panel.
    pub styles: fn(&[&str]) -> Vec<usize>,
}

/// A style each, one after the other.
pub fn in_order(algos: &[&str]) -> Vec<usize> {
    (0..algos.len()).collect()
}

/// Whether the groups of an environment share a panel.
fn share(of_env: &[Group]) -> bool {
    let single = of_env.iter().all(|group| group.runs.len() == 1);
    of_env.len() <= if single { SINGLE } else { TOGETHER }
}

impl Drawing<'_> {
    /// Learning curves: a panel an environment, or, of more than [`TOGETHER`] groups, a panel a group.
    ///
    /// # Errors
    /// As the curves, and for published ones that cannot be read.
    pub fn curves(&self, across: Across) -> Result<Vec<Figure>> {
        let mut together = Vec::new();
        let mut figures = Vec::new();
        let mut sources = Vec::new();
        for of_env in self.groups.chunk_by(|a, b| a.env == b.env) {
            let (env, shared) = (&of_env[0].env, share(of_env));
            let end = if self.whole { f64::INFINITY } else { self.end(env) };
            let algos: Vec<&str> =
                of_env.iter().filter_map(|group| Some(&*group.runs.first()?.algo)).collect();
            let styles = (self.styles)(&algos);
            let all: Vec<Vec<Series>> = of_env
                .iter()
                .enumerate()
                .map(|(i, group)| {
                    let style = styles.get(i).copied().filter(|_| shared).unwrap_or_default();
                    lines(group, style, end, across)
                })
                .collect::<Result<_>>()?;
            let mut known = Vec::new();
            if let (Some(folder), Across::Steps) = (self.reference, across) {
                let last = of_env.iter().flat_map(|g| &g.runs).filter_map(|run| run.curve.last());
                let last = last.map(|p| p.0).fold(0.0, f64::max).min(end);
                let found = published(folder, env, last, PUBLISHED)?;
                known = found.series;
                sources.extend(found.sources);
            }
            if shared {
                let series: Vec<Series> = all.into_iter().flatten().chain(known).collect();
                if !series.is_empty() {
                    together.push(self.panel(environment(env), series, across));
                }
                continue;
            }
            // One scale for all panels.
            let ends = Axis::linear("").ends(heights(all.iter().flatten()));
            let others: Vec<Series> = all
                .iter()
                .filter_map(|series| series.first())
                .map(|line| Series::thin(GREY, line.points.clone()))
                .collect();
            let panels = of_env.iter().zip(all).filter(|(_, series)| !series.is_empty()).map(
                |(group, series)| {
                    let mut own = series;
                    let line = own[0].points.clone();
                    own.splice(1..1, known.clone());
                    own.extend(others.iter().filter(|other| other.points != line).cloned());
                    own[0].label = "IQM".into();
                    let panel = self.panel(group.label.clone(), own, across);
                    Panel { y: panel.y.between(ends.0, ends.1), ..panel }
                },
            );
            let name = format!("{}-{}", name(across), file_name(env));
            let title = self.finding(&[env.as_str()]);
            figures.extend(self.split(
                &name,
                &title,
                &panels.collect::<Vec<_>>(),
                across,
                &sources,
            ));
        }
        let envs: Vec<&str> = together_envs(self.groups);
        let title = self.finding(&envs);
        let mut all = self.split(name(across), &title, &together, across, &sources);
        all.extend(figures);
        Ok(all)
    }

    fn end(&self, env: &str) -> f64 {
        self.rows.iter().find(|row| row.env == env).map_or(0.0, |row| row.steps)
    }

    fn panel(&self, title: String, series: Vec<Series>, across: Across) -> Panel {
        let x = Axis::linear(match across {
            Across::Steps => "environment steps",
            Across::CoreHours => "core-hours",
        });
        let y = Axis::linear(match self.column {
            "eval_return" => "evaluation return".to_owned(),
            "train_return" => "return of training episodes".to_owned(),
            other => other.replace('_', " "),
        });
        Panel { title, x, y, series, notes: Vec::new() }
    }

    /// Figures of at most [`PANELS`] panels.
    fn split(
        &self,
        name: &str,
        title: &str,
        panels: &[Panel],
        across: Across,
        sources: &[&str],
    ) -> Vec<Figure> {
        let parts = panels.chunks(PANELS).enumerate();
        let figure = |(i, panels): (usize, &[Panel])| {
            let lines = if panels.len() > 8 {
                panels.len().div_ceil(4)
            } else if panels.len() > 3 {
                2
            } else {
                1
            };
            let wide = if panels.len() > 1 { 1280 } else { 820 };
            let tall = if panels.len() > 1 { 380 } else { 460 };
            Figure {
                name: if i == 0 { name.to_owned() } else { format!("{name}-{}", i + 1) },
                title: title.to_owned(),
                caption: self.caption(across, sources),
                size: (wide, 140 + tall * lines as u32),
                panels: panels.to_vec(),
            }
        };
        parts.map(figure).collect()
    }

    fn caption(&self, across: Across, sources: &[&str]) -> String {
        let seeds: Vec<usize> = self.rows.iter().map(|row| row.seeds.len()).collect();
        let (few, many) = (seeds.iter().min().unwrap_or(&0), seeds.iter().max().unwrap_or(&0));
        let n = if few == many { format!("{few}") } else { format!("{few} to {many}") };
        let band = if *many < SEEDS_FOR_A_BAND {
            "no band below five seeds".to_owned()
        } else {
            let narrow = if seeds.contains(&5) { " (narrow at five seeds)" } else { "" };
            format!("bands: 95 % stratified bootstrap of the IQM from five seeds on{narrow}")
        };
        let mut text = match *many {
            1 => "One seed each".to_owned(),
            _ => format!("n = {n} seeds, thin; thick: their interquartile mean; {band}"),
        };
        if self.groups.chunk_by(|a, b| a.env == b.env).any(|of_env| !share(of_env)) {
            text.push_str("; grey: the lines of the other panels");
        }
        if across == Across::CoreHours {
            text.push_str("; core-hours: wall time of all processes times threads");
        }
        if !sources.is_empty() {
            text.push_str(&format!("; published: {}", sources.join(", ")));
        }
        text
    }

    /// Who leads where, as the intervals allow to say.
    fn finding(&self, envs: &[&str]) -> String {
        let of = |env: &str| self.rows.iter().filter(|row| row.env == env).collect::<Vec<_>>();
        if let [env] = envs {
            let steps = grouped(self.end(env) as u64);
            let rows = of(env);
            let at = format!("{} at {steps} steps", environment(env));
            let said = match rows.as_slice() {
                [row] => {
                    let reached = format!("{:.1}", row.iqm.value).replace('-', "\u{2212}");
                    format!("{} reaches {reached} on {at}", row.label)
                }
                rows => standing(rows).map_or_else(
                    || format!("No clear leader on {at}"),
                    |(label, how)| format!("{label} {how} on {at}"),
                ),
            };
            return said;
        }
        let mut wins: Vec<(&str, usize)> = Vec::new();
        for label in envs.iter().filter_map(|env| Some(leader(&of(env))?.label.as_str())) {
            match wins.iter_mut().find(|(known, _)| *known == label) {
                Some((_, n)) => *n += 1,
                None => wins.push((label, 1)),
            }
        }
        let led: usize = wins.iter().map(|(_, n)| n).sum();
        let mut parts: Vec<String> =
            wins.iter().map(|(l, n)| format!("{l} leads on {n}")).collect();
        if led < envs.len() {
            parts.push(format!("no clear leader on {}", envs.len() - led));
        }
        format!("Of {} environments: {}", envs.len(), parts.join(", "))
    }
}

/// Environments whose groups share a panel.
fn together_envs(groups: &[Group]) -> Vec<&str> {
    let few = groups.chunk_by(|a, b| a.env == b.env).filter(|of_env| share(of_env));
    few.map(|of_env| of_env[0].env.as_str()).collect()
}

/// Who stands out among several rows, and how: at the end, else over the whole of the curves. Of single
/// seeds no interval tells; the highest is named as such.
fn standing<'a>(rows: &[&'a Row]) -> Option<(&'a str, &'static str)> {
    if rows.iter().all(|row| row.seeds.len() == 1) {
        let best = rows.iter().max_by(|a, b| a.iqm.value.total_cmp(&b.iqm.value))?;
        return Some((&best.label, "is highest of one seed each"));
    }
    let area = |row: &Row| row.area;
    let found = [
        (apart(rows, end, Ordering::Greater), "leads"),
        (apart(rows, end, Ordering::Less), "is behind"),
        (apart(rows, area, Ordering::Greater), "learns fastest"),
        (apart(rows, area, Ordering::Less), "learns slowest"),
    ];
    found.into_iter().find_map(|(row, how)| Some((&*row?.label, how)))
}

/// What a row came to at the end: the IQM where it has an interval, else the mean.
fn end(row: &Row) -> Estimate {
    if row.iqm.interval.is_some() { row.iqm } else { row.mean }
}

/// The row whose interval lies above, or below, all other estimates; none without an interval.
fn apart<'a>(rows: &[&'a Row], of: fn(&Row) -> Estimate, side: Ordering) -> Option<&'a Row> {
    rows.iter().copied().find(|row| {
        let others = rows.iter().filter(|other| other.label != row.label);
        of(row).interval.is_some_and(|(low, high)| {
            let near = if side == Ordering::Greater { low } else { high };
            others.clone().all(|other| near.total_cmp(&of(other).value) == side)
        })
    })
}

/// The row that leads at the end.
fn leader<'a>(rows: &[&'a Row]) -> Option<&'a Row> {
    apart(rows, end, Ordering::Greater)
}

fn name(across: Across) -> &'static str {
    match across {
        Across::Steps => "curves",
        Across::CoreHours => "curves-core-hours",
    }
}

/// A name without what a file's name cannot have.
fn file_name(env: &str) -> String {
    env.chars().map(|c| if c.is_alphanumeric() || "-_.".contains(c) { c } else { '_' }).collect()
}

fn heights<'a>(series: impl Iterator<Item = &'a Series>) -> impl Iterator<Item = f64> {
    series.flat_map(|s| s.points.iter().map(|p| p.1).chain(s.band.iter().flat_map(|b| [b.0, b.1])))
}

/// Performance profiles: the share of runs above each normalised score.
///
/// # Errors
/// As [`Scores::new`].
pub fn profiles(overall: &[Overall]) -> Result<Option<Figure>> {
    let all = || overall.iter().flat_map(|o| o.scores.iter().flatten().copied());
    let (low, high) = all().fold((1.0_f64, 1.0_f64), |(l, h), s| (l.min(s), h.max(s)));
    let pad = 0.03 * (high - low).max(0.1);
    let (low, high) = (low - pad, high + pad);
    let tau = |i: usize| low + (high - low) * i as f64 / (GRID - 1) as f64;
    let mut series = Vec::new();
    for (style, of) in overall.iter().enumerate() {
        let scores = Scores::new(&of.scores)?;
        let share = |i: usize| (tau(i), Statistic::Above(tau(i)).of(&scores));
        let profile = Series::line(&of.label, style, (0..GRID).map(share).collect());
        let mut band = Vec::new();
        if scores.fewest_runs() >= SEEDS_FOR_A_BAND {
            let draws = Resamples::new(&scores, ROUNDS, &mut Rng::new(0))?;
            for i in 0..GRID {
                let of = draws.interval(&scores, Statistic::Above(tau(i)), LEVEL)?;
                band.push((of.low, of.high));
            }
        }
        series.push(profile.with_band(band));
    }
    let highest = overall.iter().max_by(|a, b| a.iqm.value.total_cmp(&b.iqm.value));
    let Some(highest) = highest else { return Ok(None) };
    let envs = highest.scores.len();
    Ok(Some(Figure {
        name: "profiles".into(),
        title: format!("{} has the highest IQM: {:.2}", highest.label, highest.iqm.value),
        caption: format!(
            "Share of runs above a normalised score, {envs} environment{} (0 is random, 1 the \
             reference); bands from five seeds on: 95 % stratified bootstrap",
            if envs == 1 { "" } else { "s" }
        ),
        size: (820, 600),
        panels: vec![Panel {
            title: String::new(),
            x: Axis::linear("normalised score"),
            y: Axis::linear("share of runs above it").between(0.0, 1.0),
            series,
            notes: Vec::new(),
        }],
    }))
}

/// The matrix of improvement.
pub fn matrix(labels: &[&str], beats: &[Beats], paired: bool) -> Option<Figure> {
    let most = beats.iter().max_by(|a, b| a.probability.value.total_cmp(&b.probability.value))?;
    let n = labels.len();
    let place = |label: &str| labels.iter().position(|l| *l == label);
    let cells: Vec<(f64, f64, f64)> = beats
        .iter()
        .filter_map(|b| {
            let (row, column) = (place(&b.left)?, place(&b.right)?);
            Some((column as f64, (n - 1 - row) as f64, b.probability.value))
        })
        .collect();
    // Numbers below the columns, where names would run into one another.
    let short = labels.iter().all(|label| label.chars().count() <= SHORT);
    let name = |i: usize| if short { labels[i].to_owned() } else { format!("{}", i + 1) };
    let full = |i: usize| if short { name(i) } else { format!("{}: {}", i + 1, labels[i]) };
    let (best, worst) = (place(&most.left)?, place(&most.right)?);
    let widest = (0..n).map(|i| full(i).chars().count()).max().unwrap_or(0) as u32;
    let side = (n as u32 * 90).clamp(260, 1000);
    let which = if paired { "of the same seed, " } else { "" };
    Some(Figure {
        name: "improvement".into(),
        title: format!(
            "{} beats {} with probability {:.2}",
            name(best),
            name(worst),
            most.probability.value
        ),
        caption: format!(
            "Probability that a run of the row beats one of the column, {which}mean over environments"
        ),
        size: (side + 10 * widest + 80, side + 190),
        panels: vec![Panel {
            title: String::new(),
            x: Axis::named("beaten", (0..n).map(name).collect()),
            y: Axis::named("beats", (0..n).rev().map(full).collect()),
            series: vec![Series::cells(0, &cells)],
            notes: Vec::new(),
        }],
    })
}
