//! What is drawn and tabulated of the measurements.

use super::data::Measured;
use super::points::{PANELS, Point, Step, Varied};
use crate::bench::memory::{StepMemory, activations};
use crate::bench::workload::Sizes;
use crate::plot::{Axis, Figure, Panel, Series};
use crate::reproduce::compare::Markdown;

const MIB: f64 = 1024.0 * 1024.0;

/// The middle of some seconds with the lowest and the highest, in milliseconds.
struct Spread {
    median: f64,
    low: f64,
    high: f64,
}

fn spread(seconds: &[f64]) -> Spread {
    let mut sorted: Vec<f64> = seconds.iter().map(|s| 1e3 * s).collect();
    sorted.sort_by(f64::total_cmp);
    let (half, last) = (sorted.len() / 2, sorted.len().saturating_sub(1));
    let at = |i: usize| sorted.get(i).copied().unwrap_or(f64::NAN);
    Spread { median: f64::midpoint(at(half), at(last - half)), low: at(0), high: at(last) }
}

/// Milliseconds that the matrix products of a point take at `gflops`.
fn least(point: Point, gflops: f64) -> f64 {
    1e3 * point.flops() / (1e9 * gflops)
}

fn threads(n: usize) -> String {
    format!("{n} thread{}", if n == 1 { "" } else { "s" })
}

/// Time against every size.
pub fn time(measured: &Measured) -> Figure {
    let turns = measured.limits.len();
    let panels: Vec<Panel> =
        PANELS.iter().map(|(varied, steps)| panel(measured, *varied, steps)).collect();
    let (least, most) = beyond(&panels);
    Figure {
        name: super::NAME.into(),
        title: format!("A step takes {least:.1} to {most:.1} times as long as its matrix products"),
        caption: format!(
            "Median of {turns} interleaved turns with the lowest and the highest, {}; lines: the \
             matrix products alone at {:.0} GFLOP/s, the best of the same run",
            threads(measured.threads),
            measured.limit()
        ),
        size: (1240, 1040),
        panels,
    }
}

/// The least and the largest ratio of a time to its limit, over all panels.
fn beyond(panels: &[Panel]) -> (f64, f64) {
    let mut ends = (f64::INFINITY, 0.0_f64);
    for panel in panels {
        for series in &panel.series {
            let limit = format!("{}, limit", series.label);
            let limit = panel.series.iter().find(|other| other.label == limit);
            let pairs = limit.iter().flat_map(|limit| series.points.iter().zip(&limit.points));
            for (time, least) in pairs {
                ends = (ends.0.min(time.1 / least.1), ends.1.max(time.1 / least.1));
            }
        }
    }
    ends
}

fn panel(measured: &Measured, varied: Varied, steps: &[Step]) -> Panel {
    let Sizes { batch, members, model_width, width, .. } = Sizes::USUAL;
    let (title, x) = match varied {
        Varied::Members => {
            (format!("Members ({model_width} wide, batch {batch})"), "members of the ensemble")
        }
        Varied::Width => {
            (format!("Width ({members} members, batch {batch})"), "units in every hidden layer")
        }
        Varied::Batch => (
            format!("Batch ({members} members {model_width} wide; SAC {width} wide)"),
            "rows of a batch",
        ),
        Varied::Horizon => (
            format!("Horizon (actor: {batch} states; plan: 100 candidates, {members} members)"),
            "horizon H (model steps)",
        ),
    };
    let mut series = Vec::new();
    for (style, step) in steps.iter().enumerate() {
        let of_it = |p: &Point| p.varied == varied && p.step == *step;
        let times: Vec<_> = measured.times.iter().filter(|(point, _)| of_it(point)).collect();
        let spread_at = |(point, seconds): &&(Point, Vec<f64>)| {
            let Spread { median, low, high } = spread(seconds);
            (point.size as f64, median, (low, high))
        };
        let points: Vec<_> = times.iter().map(spread_at).collect();
        let limit = measured.limit();
        let line = times.iter().map(|(p, _)| (p.size as f64, least(*p, limit))).collect();
        let label = step.names().1;
        series.push(Series::whiskers(label, style, &points));
        series.push(Series::line(format!("{label}, limit"), style, line).without_markers());
    }
    Panel { title, x: Axis::log(x), y: Axis::log("time of a step (ms)"), series, notes: Vec::new() }
}

/// A straight line through points, by least squares: at 0, and a unit.
fn straight(points: &[(f64, f64)]) -> (f64, f64) {
    let n = points.len() as f64;
    let mean = |f: fn(&(f64, f64)) -> f64| points.iter().map(f).sum::<f64>() / n;
    let (x, y) = (mean(|p| p.0), mean(|p| p.1));
    let both: f64 = points.iter().map(|p| (p.0 - x) * (p.1 - y)).sum();
    let slope = both / points.iter().map(|p| (p.0 - x).powi(2)).sum::<f64>();
    (y - slope * x, slope)
}

/// By horizon in MiB, as `pick` says.
fn mib(measured: &Measured, pick: fn(&StepMemory) -> u64) -> Vec<(f64, f64)> {
    measured.memory.iter().map(|(h, memory)| (*h as f64, pick(memory) as f64 / MIB)).collect()
}

/// Memory against the horizon.
pub fn memory(measured: &Measured) -> Figure {
    let forward = mib(measured, |m| m.forward);
    let (start, slope) = straight(&forward);
    let hidden = activations(&Sizes::USUAL) / MIB;
    let ends: Vec<f64> =
        [forward.first(), forward.last()].into_iter().flatten().map(|p| p.0).collect();
    let line = |at: f64, slope: f64| ends.iter().map(|h| (*h, at + slope * h)).collect();
    let highest = mib(measured, |m| m.peak).iter().map(|p| p.1).fold(0.0, f64::max);
    Figure {
        name: format!("{}-memory", super::NAME),
        title: format!("MAAC's actor step keeps {slope:.2} MiB for every step of its horizon"),
        caption: format!(
            "Kept for the backward pass, {hidden:.2} MiB of them hidden activations; {} start states",
            Sizes::USUAL.batch
        ),
        size: (1000, 560),
        panels: vec![Panel {
            title: String::new(),
            x: Axis::linear("horizon H (model steps)").between(0.0, 1.04 * ends[ends.len() - 1]),
            y: Axis::linear("memory in use beyond the start of the step (MiB)")
                .between(0.0, 1.06 * highest),
            series: vec![
                Series::points("end of the forward pass", 0, forward.clone()),
                Series::line("least squares", 0, line(start, slope)).without_markers(),
                Series::points("peak of the whole step", 1, mib(measured, |m| m.peak)),
                Series::line("hidden activations alone", 4, line(0.0, hidden)).without_markers(),
            ],
            notes: Vec::new(),
        }],
    }
}

/// The numbers of both figures.
pub fn tables(measured: &Measured) -> String {
    let mut out = Markdown::default();
    let (limit, turns) = (measured.limit(), measured.limits.len());
    out.text(&format!(
        "Time of a step on {}: median of {turns} interleaved turns, lowest and highest; what its \
         matrix products alone take at {limit:.1} GFLOP/s, the best rate of the same run; and the \
         share of that in the median.",
        threads(measured.threads)
    ));
    out.head(&["varied", "step", "size", "ms", "range", "limit", "share"]);
    for (point, seconds) in &measured.times {
        let (Spread { median, low, high }, least) = (spread(seconds), least(*point, limit));
        out.row(&[
            point.varied.name().to_owned(),
            point.step.names().1.to_owned(),
            point.size.to_string(),
            format!("{median:.3}"),
            format!("[{low:.3}, {high:.3}]"),
            format!("{least:.3}"),
            format!("{:.2}", least / median),
        ]);
    }
    let (start, slope) = straight(&mib(measured, |m| m.forward));
    out.text(&format!(
        "Memory of an actor step beyond its start, counted by the allocator in bytes asked for, in \
         a process of its own for every horizon: {slope:.3} MiB a model step and {start:.3} MiB by \
         least squares at the end of the forward pass; the hidden activations of a model step are \
         {:.3} MiB.",
        activations(&Sizes::USUAL) / MIB
    ));
    out.head(&["H", "end of the forward pass (MiB)", "peak (MiB)"]);
    for (horizon, StepMemory { forward, peak }) in &measured.memory {
        let mib = |bytes: u64| format!("{:.3}", bytes as f64 / MIB);
        out.row(&[horizon.to_string(), mib(*forward), mib(*peak)]);
    }
    out.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_is_between_the_two_of_an_even_number() {
        let Spread { median, low, high } = spread(&[0.004, 0.001, 0.003, 0.002]);
        assert_eq!((median, low, high), (2.5, 1.0, 4.0));
        assert_eq!(spread(&[0.001, 0.005, 0.002]).median, 2.0);
    }

    #[test]
    fn least_squares_give_back_a_line() {
        let (start, slope) = straight(&[(1.0, 5.0), (2.0, 7.0), (5.0, 13.0)]);
        // Sums of three numbers below 20.
        assert!((start - 3.0).abs() < 1e-12 && (slope - 2.0).abs() < 1e-12);
    }

    #[test]
    fn a_limit_is_operations_by_their_rate() {
        let point = Point { varied: Varied::Members, step: Step::Fit, size: 7 };
        // 7 members x 256 rows x (3 x 131 800 - 4 600) multiply-adds, two operations each.
        let flops = 2.0 * 7.0 * 256.0 * 390_800.0;
        assert_eq!(point.flops(), flops);
        assert!((least(point, 100.0) - 1e3 * flops / 1e11).abs() < 1e-12);
    }
}
