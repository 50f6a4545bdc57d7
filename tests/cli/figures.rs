//! Figures: their numbers, files and settings.

use std::path::Path;
use std::process::Output;

use crate::{hstep, refused_with, run};

/// `y` by `x` of one line of one panel.
fn line(csv: &Path, panel: &str, series: &str) -> Vec<f64> {
    let mut reader = csv::Reader::from_path(csv).unwrap();
    let rows: Vec<_> = reader.records().map(Result::unwrap).collect();
    let line: Vec<f64> = rows
        .iter()
        .filter(|r| r[0].contains(panel) && &r[1] == series)
        .map(|r| r[3].parse().unwrap())
        .collect();
    assert!(!line.is_empty(), "no `{series}` in `{panel}`");
    line
}

fn lowest(errors: &[f64]) -> (usize, f64) {
    errors.iter().copied().enumerate().min_by(|a, b| a.1.total_cmp(&b.1)).unwrap()
}

#[test]
fn maac_fig3_has_its_shape_and_needs_no_system_font() {
    let folder = tempfile::tempdir().unwrap();
    let out = run(&["reproduce", "maac-fig3", "--out", folder.path().to_str().unwrap()]);
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let csv = folder.path().join("data/maac-fig3.csv");

    let perturbed = line(&csv, "Q perturbed", "perturbed dynamics");
    let (h, e) = lowest(&perturbed);
    assert!((0.75..=1.15).contains(&perturbed[0]), "H = 0: {}", perturbed[0]);
    assert!((7..=13).contains(&h) && (0.15..=0.27).contains(&e), "lowest {e} at {h}");
    assert!((0.2..=0.55).contains(&perturbed[60]), "H = 60: {}", perturbed[60]);

    let exact = line(&csv, "Q perturbed", "true dynamics");
    assert!(exact.windows(2).all(|w| w[1] < w[0]), "true dynamics must fall: {exact:?}");
    assert!(exact[60] < 2e-4, "H = 60: {}", exact[60]);

    // Learned from data: more data is better, and little data has a best horizon.
    let learned = |n: &str| line(&csv, "learned", n);
    let (few, more, many) =
        (learned("N = 100"), learned("N = 1\u{a0}000"), learned("N = 10\u{a0}000"));
    let (h, e) = lowest(&few);
    assert!((3..=25).contains(&h) && few[60] > 1.05 * e, "N = 100: lowest {e} at {h}");
    assert!(few[60] > 1.5 * more[60] && more[60] > 1.5 * many[60]);

    // The lemma's reading: at H = 0 no model is used, so only Q's error is left, the same for both.
    let same = folder.path().join("data/maac-fig3-same-horizon.csv");
    let (wrong, right) = (line(&same, "", "perturbed dynamics"), line(&same, "", "true dynamics"));
    assert!((wrong[0] - right[0]).abs() < 1e-9 && wrong[60] > 100.0 * right[60]);

    let png = std::fs::read(folder.path().join("maac-fig3.png")).unwrap();
    assert_eq!(png[..8], *b"\x89PNG\r\n\x1a\n");
    assert_eq!(u32::from_be_bytes(png[16..20].try_into().unwrap()), 2400);
    let svg = std::fs::read_to_string(folder.path().join("maac-fig3.svg")).unwrap();
    assert!(svg.contains("best at H = ") && svg.contains("sans-serif") && !svg.contains("NaN"));
    let manifest = std::fs::read_to_string(folder.path().join("manifest.json")).unwrap();
    let manifest: serde_json::Value = serde_json::from_str(&manifest).unwrap();
    let seeds = manifest["maac-fig3"]["seeds"].as_array().unwrap();
    assert_eq!(seeds.len(), 20);
    assert_eq!(manifest["maac-fig3"]["config_hash"].as_str().unwrap().len(), 8);
}

#[test]
fn maac_fig3_takes_its_numbers_from_the_command_line() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().to_str().unwrap();
    let settings = ["gamma=0.9", "dt=0.05", "k=[1, 1]", "model_error=0", "critic_error=0.2"];
    let more = ["seeds=[3, 5]", "horizon_max=12", "data_sizes=[50]"];
    let mut args = vec!["reproduce", "maac-fig3", "--out", out];
    args.extend(settings.iter().chain(&more));
    let output = run(&args);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let csv = folder.path().join("data/maac-fig3.csv");
    let perturbed = line(&csv, "Q perturbed", "perturbed dynamics");
    assert_eq!(perturbed.len(), 13);
    // Without model error both lines are one.
    assert_eq!(perturbed, line(&csv, "Q perturbed", "true dynamics"));
    let seeds = std::fs::read_to_string(folder.path().join("data/maac-fig3-seeds.csv")).unwrap();
    assert!(seeds.contains(",3,12,") && seeds.contains(",5,0,") && !seeds.contains(",0,0,"));
}

/// A figure of learning curves with runs of a few hundred steps: the arguments after `--out`.
const TINY: [&str; 3] = ["seeds=[0, 1]", "episodes=1", "jobs=2"];
/// Fifty steps of learning after the pendulum's random ones.
const SHORT: [&str; 2] = ["steps=450", "every=150"];

/// Draws `figure` with tiny runs into `folder`; runs go into `runs`.
fn tiny(figure: &str, folder: &Path, runs: &Path, settings: &[&[&str]]) -> Output {
    let settings = settings.concat();
    let mut command = hstep(&["-q", "reproduce", figure, "--out", folder.to_str().unwrap()]);
    command.env("HSTEP_RUNS", runs).args(TINY).args(settings).output().unwrap()
}

fn succeeded(out: &Output) -> String {
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout.clone()).unwrap()
}

#[test]
fn a_figure_of_curves_is_trained_once_and_drawn_again_from_its_data() {
    let folder = tempfile::tempdir().unwrap();
    let (out, runs) = (folder.path().join("figures"), folder.path().join("runs"));
    let settings =
        ["envs=[\"pendulum\"]", "horizon=2", "horizons=[3]", "samples=2", "starts=8", "last=1"];
    let text = succeeded(&tiny("maac-fig4", &out, &runs, &[&SHORT, &settings]));
    assert!(text.contains("severe drop"), "{text}");
    // Four of the ablation and one horizon more, two seeds each: the full one's horizon is shared.
    assert_eq!(std::fs::read_dir(runs.join("maac-fig4")).unwrap().count(), 10);
    let csv = out.join("data/maac-fig4.csv");
    for label in ["MAAC", "H = 0", "no STEVE", "one sample"] {
        assert_eq!(line(&csv, label, "IQM").len(), 4, "{label}");
    }
    let sweep = out.join("data/maac-fig4-horizons.csv");
    assert_eq!(line(&sweep, "pendulum", "H = 2"), line(&csv, "MAAC", "IQM"));
    assert_ne!(line(&sweep, "pendulum", "H = 2"), line(&sweep, "pendulum", "H = 3"));

    let drawn = ["maac-fig4.svg", "maac-fig4-horizons.svg", "data/maac-fig4.md"];
    let read = || drawn.map(|name| std::fs::read_to_string(out.join(name)).unwrap());
    let first = read();
    assert!(first[0].contains("n = 2 seeds, thin; thick: their interquartile mean"));
    for meta in std::fs::read_dir(out.join("data/maac-fig4")).unwrap() {
        let meta = std::fs::read_to_string(meta.unwrap().path().join("meta.json")).unwrap();
        assert!(!meta.contains("host") && !meta.contains("command_line"), "{meta}");
    }
    drawn.iter().for_each(|name| std::fs::remove_file(out.join(name)).unwrap());
    let nowhere = folder.path().join("nowhere");
    succeeded(&tiny("maac-fig4", &out, &nowhere, &[&SHORT, &settings, &["--redraw"]]));
    assert!(read() == first && !nowhere.exists());

    // Data that are not there are not made up.
    let other = ["starts=9", "--redraw"];
    let refused = tiny("maac-fig4", &out, &nowhere, &[&SHORT, &settings, &other]);
    let words = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(words.contains("no run of MAAC on pendulum with seed 0"), "{words}");
    assert!(words.contains("`improve.starts`: 8 against 9"), "{words}");
    assert_eq!(refused.status.code(), Some(4));
}

#[test]
fn other_figures_of_curves_are_drawn_with_any_algorithm() {
    let folder = tempfile::tempdir().unwrap();
    let (out, runs) = (folder.path().join("figures"), folder.path().join("runs"));
    let elites = ["algo=mbpo", "key=imagine.real_ratio", "elites=[0.5, 1.0]"];
    // Everything is better than -1e9, nothing better than 0.
    let text = succeeded(&tiny("demorl-fig3", &out, &runs, &[&SHORT, &elites, &["level=-1e9"]]));
    assert!(text.contains("| 50\u{a0}% | 450 | 150 | 150 | 2 of 2 |"), "{text}");
    let text = succeeded(&tiny("demorl-fig3", &out, &runs, &[&SHORT, &elites, &["level=0"]]));
    assert!(text.contains("| 100\u{a0}% | 450 | - | - | 0 of 2 |"), "{text}");

    let leg = ["env=pendulum", "algos=[\"mbpo\", \"sac\"]", "of=mbpo", "last=1"];
    let text = succeeded(&tiny("demorl-fig4", &out, &runs, &[&SHORT, &leg]));
    // Returns below zero have no ratio.
    assert!(text.contains("| as it is | - | - | open |"), "{text}");

    let planners = ["learners=[\"mbpo\"]", "planners=[\"sac\"]", "enough=1"];
    let steps = ["steps=500", "planner_steps=1000"];
    let text = succeeded(&tiny("planners-learning", &out, &runs, &[&steps, &planners]));
    assert!(text.contains("| MBPO | 0 | no |"), "{text}");
}

#[test]
fn settings_of_figures_of_curves_are_checked_before_anything_is_trained() {
    let with = |figure, setting| ["reproduce", figure, setting];
    let near = "`sedes`: unknown key; did you mean `seeds`?";
    for figure in ["native-learning", "maac-fig4", "maac-table1", "planners-learning"] {
        refused_with(&with(figure, "sedes=[1]"), 2, near);
    }
    for figure in ["demorl-fig3", "demorl-fig4"] {
        refused_with(&["reproduce", figure, "algo=maac", "of=maac", "sedes=[1]"], 2, "unknown key");
    }
    refused_with(&with("maac-fig4", "seeds=[]"), 2, "`seeds`: expected at least 1, got 0");
    refused_with(&with("maac-fig4", "seeds=[1, 1]"), 2, "expected every seed once");
    refused_with(&with("maac-fig4", "envs=[\"pendulm\"]"), 2, "did you mean `pendulum`?");
    refused_with(&with("maac-fig4", "horizons=[0]"), 2, "`horizons`");
    refused_with(&with("demorl-fig3", "elites=[1.5]"), 2, "`elites`");
    refused_with(&with("demorl-fig4", "against=dreamer"), 2, "`against`: expected one of");
    let redraw = ["reproduce", "maac-fig3", "--redraw"];
    refused_with(&redraw, 2, "draw it without --redraw");
}

#[test]
fn the_peers_are_drawn_from_what_was_measured() {
    let folder = tempfile::tempdir().unwrap();
    let (out, data) = (folder.path().to_str().unwrap(), folder.path().join("data"));
    refused_with(&["reproduce", "peers", "--out", out], 6, "summary.csv");
    refused_with(&["reproduce", "peers", "turns=3", "--out", out], 2, "has no settings");
    std::fs::create_dir_all(data.join("peers")).unwrap();
    let rows = "workload,threads,precision,turns,ratio,low,high\n\
                a,1,f32,3,1.5,1.4,1.6\na,2,f32,3,2.5,2.4,2.6\nd64,2,bf16,3,0.5,0.4,0.6\n";
    std::fs::write(data.join("peers/summary.csv"), rows).unwrap();
    std::fs::write(data.join("peers.md"), "| workload |\n").unwrap();
    let text = succeeded(&run(&["reproduce", "peers", "--redraw", "--out", out]));
    assert!(text.starts_with("| workload |\n"), "{text}");
    assert_eq!(line(&data.join("peers.csv"), "", "2 threads"), [2.5]);
    assert_eq!(line(&data.join("peers-bf16.csv"), "", "2 threads"), [0.5]);
    let svg = std::fs::read_to_string(folder.path().join("peers.svg")).unwrap();
    assert!(svg.contains("SAC update") && !svg.contains("NaN"));
    assert!(folder.path().join("peers-bf16.png").exists());
}

/// Times are whatever they are; what is said of sizes, limits and memory is exact or nearly so.
#[test]
fn the_cost_is_measured_once_and_drawn_again_from_its_data() {
    let folder = tempfile::tempdir().unwrap();
    let (out, data) = (folder.path().to_str().unwrap(), folder.path().join("data"));
    let sizes = ["members=[1, 2]", "widths=[8, 16]", "batches=[4, 12]", "horizons=[1, 2, 3]"];
    let tiny = ["turns=2", "seconds=0.001", "memory_horizons=[1, 6, 11]"];
    let cost = |more: &[&str]| {
        run(&[&["-q", "reproduce", "cost", "--out", out], &sizes[..], &tiny, more].concat())
    };
    let text = succeeded(&cost(&["--threads", "2"]));
    assert!(text.starts_with("Time of a step on 2 threads: median of 2 interleaved"), "{text}");

    let csv = data.join("cost.csv");
    for (panel, series, sizes) in [
        ("Members", "ensemble fit", 2),
        ("Width", "ensemble fit", 2),
        ("Width", "SAC update", 2),
        ("Batch", "ensemble fit", 2),
        ("Batch", "SAC update", 2),
        ("Horizon", "MPPI plan", 3),
        ("Horizon", "MAAC actor step", 3),
    ] {
        let (times, limit) =
            (line(&csv, panel, series), line(&csv, panel, &format!("{series}, limit")));
        assert_eq!((times.len(), limit.len()), (sizes, sizes), "{panel}: {series}");
        assert!(times.iter().chain(&limit).all(|ms| *ms > 0.0), "{panel}: {series}");
    }
    // Twice the members and three times the rows are as much more arithmetic.
    let limit = |panel: &str, step: &str| line(&csv, panel, &format!("{step}, limit"));
    let ratio = |limit: Vec<f64>| limit[1] / limit[0];
    assert!((ratio(limit("Members", "ensemble fit")) - 2.0).abs() < 1e-12);
    assert!((ratio(limit("Batch", "ensemble fit")) - 3.0).abs() < 1e-12);
    assert!((ratio(limit("Batch", "SAC update")) - 3.0).abs() < 1e-12);
    // Every model step is as much as the one before.
    for step in ["MPPI plan", "MAAC actor step"] {
        let ms = limit("Horizon", step);
        assert!(((ms[2] - ms[1]) / (ms[1] - ms[0]) - 1.0).abs() < 1e-9, "{step}: {ms:?}");
    }
    let times = std::fs::read_to_string(data.join("cost/times.csv")).unwrap();
    assert_eq!(times.lines().count(), 1 + 2 * (5 * 2 + 2 * 3));

    // 256 rows of two policy layers of 256 and four model layers of 200, four bytes each, and less
    // than a fifth more for states, actions, noise and what the heads keep. A buffer that the
    // library used again or not is 0.2 MiB: a few hundredths over five steps.
    let mib = line(&data.join("cost-memory.csv"), "", "end of the forward pass");
    let hidden = 256.0 * (2.0 * 256.0 + 4.0 * 200.0) * 4.0 / 1024.0 / 1024.0;
    let slopes = [(mib[1] - mib[0]) / 5.0, (mib[2] - mib[1]) / 5.0];
    assert!(slopes.iter().all(|s| (1.0..1.2).contains(&(s / hidden))), "{mib:?}");
    assert!((slopes[0] / slopes[1] - 1.0).abs() < 0.06, "{mib:?}");
    let peak = line(&data.join("cost-memory.csv"), "", "peak of the whole step");
    assert!(peak.iter().zip(&mib).all(|(peak, end)| peak > end), "{peak:?} {mib:?}");

    let drawn = ["cost.svg", "cost-memory.svg", "data/cost.md"];
    let read = || drawn.map(|name| std::fs::read_to_string(folder.path().join(name)).unwrap());
    let first = read();
    assert!(first.iter().all(|text| !text.contains("NaN") && !text.contains("inf")));
    assert!(first[0].contains("2 threads") && first[1].contains("MiB for every step"));
    drawn.iter().for_each(|name| std::fs::remove_file(folder.path().join(name)).unwrap());
    succeeded(&cost(&["--redraw", "--threads", "1"]));
    assert!(read() == first);
    let manifest = std::fs::read_to_string(folder.path().join("manifest.json")).unwrap();
    let manifest: serde_json::Value = serde_json::from_str(&manifest).unwrap();
    for name in ["cost", "cost-memory"] {
        let command = manifest[name]["command"].as_str().unwrap();
        assert!(command.starts_with("hstep reproduce cost --redraw"), "{command}");
    }

    // Data that are not there are not made up.
    let refused = |out: Output, words: &str| {
        let said = String::from_utf8_lossy(&out.stderr).into_owned();
        assert!(out.status.code() == Some(4) && said.contains(words), "{said}");
    };
    let other = "expected 2 rows of members,fit,3, got 0";
    refused(cost(&["--redraw", "members=[1, 3]"]), other);
    refused(cost(&["--redraw", "memory_horizons=[1, 7]"]), "expected 1 rows of 7, got 0");
    std::fs::write(data.join("cost/times.csv"), times.replace("width,fit,8,0,", "width,fit,8,0,-"))
        .unwrap();
    refused(cost(&["--redraw"]), "is no row of varied,step,size,turn,seconds");
}

#[test]
fn settings_of_the_cost_are_checked_before_anything_is_measured() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().to_str().unwrap();
    for (setting, words) in [
        ("turns=0", "`turns`: expected at least 1"),
        ("seconds=-1", "`seconds`: expected a finite number above 0"),
        ("widths=[]", "`widths`: expected 1 or more rising numbers from 1 to 4096, got []"),
        ("horizons=[5, 1]", "`horizons`: expected 1 or more rising"),
        ("memory_horizons=[5]", "`memory_horizons`: expected 2 or more rising"),
        ("member=[1]", "`member`: unknown key; did you mean `members`?"),
    ] {
        refused_with(&["reproduce", "cost", "--out", out, setting], 2, words);
    }
    refused_with(&["reproduce", "cost", "--out", out, "--redraw"], 6, "limits.csv");
    refused_with(&["memory", "--horizon", "201"], 2, "`improve.horizon`");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}
