//! A figure a statement, one of all, the distributions of ratios, counterexamples and a table.

use std::path::{Path, PathBuf};

use hstep::config::hash8;
use hstep::{Error, Result};
use hstep_proofs::check::{Report, Searched};
use toml::Table;

use super::words;
use crate::plot::{self, Axis, Figure, Note, Panel, Provenance, Series};

/// The folder of the figures, below the one that was asked for.
const FOLDER: &str = "bounds";
/// What a histogram shows of the ratios.
const RATIOS: (f64, f64) = (1e-3, 1e3);
/// The lowest share of instances that is shown, in per cent.
const SELDOM: f64 = 5e-5;
/// Where ratios without a bound are drawn.
const TOP: f64 = 1e5;

/// Writes everything below `folder`; returns the files.
pub fn write(reports: &[Report], command: &str, folder: &Path) -> Result<Vec<PathBuf>> {
    let mut settings = Table::new();
    settings.insert("command".into(), command.into());
    let provenance = Provenance {
        command: format!("{command} --out {}", folder.display()),
        config_hash: hash8(&settings, &[]),
        commit: plot::commit(),
        seeds: reports.first().map(|r| r.attack.seed).into_iter().collect(),
    };
    let mut files = Vec::new();
    for report in reports {
        files.extend(one(report).save(folder, &provenance)?);
    }
    let data = folder.join("data").join(FOLDER);
    std::fs::create_dir_all(&data).map_err(Error::io("cannot create", &data))?;
    for report in reports {
        if let Some(found) = report.counterexample() {
            let path = data.join(format!("{}.json", report.statement.name));
            // What `--mdp` reads, where the instance is a process.
            let instance = found.instance.get("mdp").unwrap_or(&found.instance);
            plot::write(&path, format!("{instance}\n").as_bytes())?;
            files.push(path);
        }
    }
    if reports.len() > 1 {
        files.extend(summary(reports).save(folder, &provenance)?);
        for (name, text) in [
            ("ratios.csv", distributions(reports)),
            ("search.csv", searches(reports)),
            ("table.md", words::table(reports)),
        ] {
            let path = data.join(name);
            plot::write(&path, text.as_bytes())?;
            files.push(path);
        }
    }
    Ok(files)
}

/// Loss and bounds along a parameter, and how the ratios are spread.
fn one(report: &Report) -> Figure {
    let s = report.statement;
    let curve = &report.curve;
    let column = |i: usize| curve.points.iter().map(|p| (p[0], p[i])).collect::<Vec<_>>();
    let positive = curve.points.iter().flat_map(|p| &p[1..]).filter(|y| **y > 0.0);
    let (low, high) = positive.fold((f64::INFINITY, 0.0_f64), |(l, h), y| (l.min(*y), h.max(*y)));
    let log = high > 30.0 * low && curve.points.iter().all(|p| p[1..].iter().all(|y| *y > 0.0));
    let y =
        if log { Axis::log("left side and bounds") } else { Axis::linear("left side and bounds") };
    let left = Panel {
        title: String::new(),
        x: Axis::linear(curve.x),
        y,
        series: vec![
            Series::line("left side", 4, column(1)),
            Series::line("printed", 1, column(2)),
            Series::line("corrected", 0, column(3)),
        ],
        notes: Vec::new(),
    };
    let (printed, corrected) = (steps(&report.attack.printed), steps(&report.attack.corrected));
    let right = Panel {
        title: String::new(),
        x: Axis::log("left side / bound").between(RATIOS.0, RATIOS.1),
        y: Axis::log("% of instances in a tenth of a decade").between(SELDOM, 150.0),
        series: vec![
            Series::line("printed", 1, printed).without_markers(),
            Series::line("corrected", 0, corrected).without_markers(),
            Series::line("bound attained", 4, vec![(1.0, SELDOM), (1.0, 150.0)]).without_markers(),
        ],
        notes: Vec::new(),
    };
    Figure {
        name: format!("{FOLDER}/{}", s.name),
        title: format!(
            "{}, {}: {}; {}",
            s.paper,
            s.equation,
            verdict("printed", report.largest_printed()),
            verdict("corrected", report.tightness())
        ),
        caption: format!(
            "{}. Left: {}. Right: {} instances of the search",
            capital(s.about),
            curve.about,
            words::grouped(report.attack.evaluations)
        ),
        size: (1240, 520),
        panels: vec![left, right],
    }
}

/// Whether a form is exceeded, by the largest ratio that was found.
fn verdict(form: &str, ratio: f64) -> String {
    match ratio {
        r if r.is_infinite() => format!("{form} exceeded without limit"),
        r if r > 100.0 => format!("{form} exceeded up to {} times", words::grouped(r as u64)),
        r if r > 1.0 => format!("{form} exceeded up to {r:.2} times"),
        r => format!("{form} holds, attained to {:.1} %", 100.0 * r),
    }
}

/// The same with a capital first letter.
fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

/// The outline of a histogram, in per cent.
fn steps(searched: &Searched) -> Vec<(f64, f64)> {
    let all: u64 = searched.histogram.iter().map(|b| b.2).sum();
    let share = |n: u64| (100.0 * n as f64 / all.max(1) as f64).max(SELDOM);
    let inside =
        searched.histogram.iter().filter(|b| b.0 >= 0.999 * RATIOS.0 && b.1 <= 1.001 * RATIOS.1);
    inside.flat_map(|&(low, high, n)| [(low, share(n)), (high, share(n))]).collect()
}

/// The largest ratio of every statement, printed and corrected.
fn summary(reports: &[Report]) -> Figure {
    let points = |of: fn(&Report) -> f64| -> Vec<(f64, f64)> {
        reports.iter().enumerate().map(|(i, r)| (i as f64, of(r).min(TOP))).collect()
    };
    let names = reports.iter().map(|r| r.statement.short.to_owned()).collect();
    let end = reports.len() as f64 - 0.5;
    let unbounded = reports.iter().enumerate().filter(|(_, r)| r.largest_printed().is_infinite());
    let note = |(i, _)| Note {
        at: (i as f64, TOP),
        offset: (0.0, 34.0),
        text: "unbounded".into(),
        style: 1,
    };
    Figure {
        name: format!("{FOLDER}/summary"),
        title: format!(
            "{} of {} bounds are exceeded as printed, {} as corrected",
            reports.iter().filter(|r| r.largest_printed() > 1.0).count(),
            reports.len(),
            reports.iter().filter(|r| r.tightness() > 1.0).count()
        ),
        caption: format!(
            "The largest ratio of left side to bound; above 1 a bound is false. Exact families and a search of {} instances each",
            words::grouped(reports.iter().map(|r| r.attack.evaluations).min().unwrap_or(0))
        ),
        size: (1400, 520),
        panels: vec![Panel {
            title: String::new(),
            x: Axis::named("", names),
            y: Axis::log("left side / bound").between(0.3, 3e5),
            series: vec![
                Series::points("printed", 1, points(Report::largest_printed)),
                Series::points("corrected", 0, points(Report::tightness)),
                Series::line("bound attained", 4, vec![(-0.5, 1.0), (end, 1.0)]).without_markers(),
            ],
            notes: unbounded.map(note).collect(),
        }],
    }
}

fn forms(report: &Report) -> [(&'static str, &Searched); 2] {
    [("printed", &report.attack.printed), ("corrected", &report.attack.corrected)]
}

/// How many instances had which ratio: a row a bin, a column a form.
fn distributions(reports: &[Report]) -> String {
    let columns: Vec<(String, &Searched)> = reports
        .iter()
        .flat_map(|r| forms(r).map(|(form, s)| (format!("{} {form}", r.statement.name), s)))
        .collect();
    let names: Vec<&str> = columns.iter().map(|c| c.0.as_str()).collect();
    let mut out = format!("ratio_from,ratio_to,{}\n", names.join(","));
    let bins = columns.first().map_or(0, |c| c.1.histogram.len());
    for i in 0..bins {
        let (low, high, _) = columns[0].1.histogram[i];
        let counts: Vec<String> = columns.iter().map(|c| c.1.histogram[i].2.to_string()).collect();
        out.push_str(&format!("{low:.3e},{high:.3e},{}\n", counts.join(",")));
    }
    out
}

/// What was searched, and the extremes.
fn searches(reports: &[Report]) -> String {
    let mut out =
        String::from("result,form,seed,instances,different,with_error,above_one,largest_ratio\n");
    for report in reports {
        let a = &report.attack;
        for (form, s) in forms(report) {
            out.push_str(&format!(
                "{},{form},{},{},{},{},{},{}\n",
                report.statement.name,
                a.seed,
                a.evaluations,
                a.distinct,
                a.with_error,
                s.violations,
                s.largest
            ));
        }
    }
    out
}
