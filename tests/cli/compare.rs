//! `hstep compare`: simulated runs, grouped, summed up and drawn.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use crate::hstep;
use crate::small::{ended, fails};

/// A simulated run whose return rises to `top`, plus its seed.
fn simulate(root: &Path, algo: &str, env: &str, seed: u64, horizon: u64, top: f64) {
    let folder = root.join(format!("{algo}-{env}-s{seed}-{horizon:08}"));
    std::fs::create_dir_all(&folder).unwrap();
    let config = format!(
        "[improve]\nhorizon = {horizon}\n[run]\nalgo = \"{algo}\"\nenv = \"{env}\"\nseed = {seed}\n"
    );
    std::fs::write(folder.join("config.toml"), config).unwrap();
    std::fs::write(folder.join("meta.json"), "{ \"threads\": 2 }").unwrap();
    let (mut metrics, mut timing) =
        ("env_steps,other,eval_return\n".to_owned(), "env_steps,total_s\n0,0\n".to_owned());
    for step in 0..=10 {
        let value = (top + seed as f64) * f64::from(step) / 10.0;
        writeln!(metrics, "{},,{value}", step * 100).unwrap();
        if step > 0 {
            writeln!(timing, "{},{}", step * 100, step * 180).unwrap();
        }
    }
    std::fs::write(folder.join("metrics.csv"), metrics).unwrap();
    std::fs::write(folder.join("timing.csv"), timing).unwrap();
}

/// Two algorithms, one with two horizons, on two environments.
fn simulated(seeds: u64) -> TempDir {
    let root = tempfile::tempdir().unwrap();
    for seed in 0..seeds {
        for (env, scale) in [("pendulum", 1.0), ("acrobot", 10.0)] {
            simulate(root.path(), "maac", env, seed, 2, scale * 50.0);
            simulate(root.path(), "maac", env, seed, 5, scale * 80.0);
            simulate(root.path(), "sac", env, seed, 0, scale * 30.0);
        }
    }
    root
}

fn compare(root: &Path, args: &[&str]) -> Command {
    let mut command = hstep(&["compare"]);
    command.arg(root).args(args);
    command
}

fn out(command: &mut Command) -> String {
    let out = command.output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).unwrap()
}

#[test]
fn groups_are_named_by_what_differs_and_summed_up_over_seeds() {
    let root = simulated(5);
    let json = root.path().join("all.json");
    let text = out(&mut compare(root.path(), &["--json", json.to_str().unwrap()]));
    for words in [
        "pendulum at step 1000: the last `eval_return`",
        "MAAC improve.horizon=5",
        "narrow at five seeds",
        "gain per core-hour",
    ] {
        assert!(text.contains(words), "{words}\n{text}");
    }
    // The seeds are 30 to 34: rliable's IQM of five is the mean of the middle three.
    let all: Value = serde_json::from_slice(&std::fs::read(json).unwrap()).unwrap();
    let group = |env: &str, label: &str| {
        let groups = all["groups"].as_array().unwrap();
        groups.iter().find(|g| g["env"] == env && g["label"] == label).unwrap().clone()
    };
    let sac = group("pendulum", "SAC");
    assert_eq!(sac["iqm"]["value"], 32.0);
    assert_eq!(sac["iqm"]["by"], "bootstrap");
    // 31 to 33 within a bootstrap's reach; half an hour on two threads.
    let (low, high) =
        (sac["iqm"]["interval"][0].as_f64().unwrap(), sac["iqm"]["interval"][1].as_f64().unwrap());
    assert!((30.0..31.5).contains(&low) && (32.5..34.0).contains(&high), "{low} {high}");
    assert_eq!(sac["area"]["value"], 16.0);
    let gain = sac["per_core_hour"]["value"].as_f64().unwrap();
    assert!((gain - 32.0).abs() < 1e-9, "{gain}");
    let beats = all["improvement"].as_array().unwrap();
    let beats = beats.iter().find(|b| b["left"] == "SAC" && b["right"] == "MAAC improve.horizon=2");
    assert_eq!(beats.unwrap()["probability"]["value"], 0.0);
}

#[test]
fn below_five_seeds_intervals_are_of_student() {
    let root = simulated(3);
    let text = out(&mut compare(root.path(), &[]));
    assert!(text.contains("95 % t interval of the mean below five seeds"), "{text}");
    // 30, 31, 32: t(0.975, 2) / sqrt(3) = 2.484.
    assert!(text.contains("31.0 [28.5, 33.5]"), "{text}");
}

#[test]
fn what_needs_a_scale_is_refused_without_and_given_with_one() {
    let root = simulated(5);
    let file = root.path().join("scale.toml");
    let scale = "[pendulum]\nrandom = 0\nreference = 100\n";
    std::fs::write(&file, scale).unwrap();
    let args = ["--normalise", file.to_str().unwrap()];
    fails(&mut compare(root.path(), &args), 2, &["nothing about `acrobot`", "reference = -150"]);
    std::fs::write(&file, format!("{scale}[acrobot]\nrandom = 0\nreference = 1000\n")).unwrap();
    let text = out(&mut compare(root.path(), &args));
    // Scores are 0.30 to 0.34 and 0.300 to 0.304: of ten, two are cut at each end.
    let line =
        text.lines().skip_while(|l| !l.contains("optimality gap")).find(|l| l.starts_with("SAC"));
    assert!(line.unwrap().contains("0.307 ["), "{text}");
    let without = out(&mut compare(root.path(), &[]));
    assert!(!without.contains("optimality gap"));
}

#[test]
fn figures_tables_and_the_metrics_of_all_runs_are_written() {
    let root = simulated(5);
    let to = tempfile::tempdir().unwrap();
    let file = to.path().join("scale.toml");
    let scales =
        "[pendulum]\nrandom = 0\nreference = 100\n[acrobot]\nrandom = 0\nreference = 1000\n";
    std::fs::write(&file, scales).unwrap();
    let path = |name: &str| to.path().join(name).to_str().unwrap().to_owned();
    let (csv, md) = (path("all.csv"), path("all.md"));
    let args = ["--csv", &csv, "--markdown", &md, "--normalise", &path("scale.toml"), "--out"];
    out(compare(root.path(), &args).arg(to.path()));
    for name in ["curves", "curves-core-hours", "profiles", "improvement"] {
        for ending in ["svg", "png"] {
            assert!(to.path().join(format!("{name}.{ending}")).exists(), "{name}.{ending}");
        }
    }
    let svg = std::fs::read_to_string(to.path().join("curves.svg")).unwrap();
    assert!(svg.contains("leads on 2") && svg.contains("n = 5 seeds"), "title and caption");
    let csv = std::fs::read_to_string(csv).unwrap();
    assert!(csv.starts_with("run,group,env,seed,env_steps,other,eval_return\n"));
    assert_eq!(csv.lines().count(), 1 + 30 * 11);
    assert!(std::fs::read_to_string(md).unwrap().contains("| SAC | 5 |"));
}

#[test]
fn broken_folders_are_named_and_left_out() {
    let root = simulated(2);
    let broken = root.path().join("broken");
    std::fs::create_dir(&broken).unwrap();
    std::fs::write(broken.join("config.toml"), "[run]\nalgo = 3\n").unwrap();
    let said = ended(&mut compare(root.path(), &[]));
    assert!(said.contains("left out") && said.contains("broken"), "{said}");
    let only = fails(&mut compare(&broken, &[]), 2, &["no run is left to compare"]);
    assert!(only.contains("left out"), "{only}");
    let empty = tempfile::tempdir().unwrap();
    fails(&mut compare(empty.path(), &[]), 2, &["no run folder there"]);
    let args = ["--column", "nothing"];
    fails(&mut compare(root.path(), &args), 2, &["`nothing`", "there are env_steps"]);
}

#[test]
fn paired_seeds_are_compared_with_their_like() {
    let root = tempfile::tempdir().unwrap();
    for seed in 0..6 {
        simulate(root.path(), "sac", "pendulum", seed, 0, 10.0);
        simulate(root.path(), "maac", "pendulum", seed, 0, 10.5);
    }
    let text = |args: &[&str]| out(&mut compare(root.path(), args));
    let paired = text(&["--paired"]);
    assert!(
        paired.contains("with the same seed") && paired.contains("1.000 [1.000, 1.000]"),
        "{paired}"
    );
    assert!(!text(&[]).contains("1.000 [1.000, 1.000]"));
}

#[test]
fn a_report_has_a_row_for_every_folder() {
    let root = simulated(1);
    let folder = |name: &str| root.path().join(name);
    for name in ["empty", "waiting", "failed"] {
        std::fs::create_dir(folder(name)).unwrap();
    }
    for name in ["waiting", "failed"] {
        std::fs::write(folder(name).join("config.toml"), "").unwrap();
    }
    std::fs::write(folder("failed").join("FAILED"), "the reason\nand more\n").unwrap();
    let names = ["empty", "waiting", "failed", "sac-pendulum-s0-00000000"];
    let text = out(hstep(&["report"]).args(names.map(folder)));
    let row = |name: &str| text.lines().find(|l| l.starts_with(name)).unwrap().to_owned();
    assert!(row("empty").contains("unreadable") && row("empty").contains("no config.toml"));
    assert!(row("waiting ").contains("no evaluation yet"), "{text}");
    assert!(row("failed").contains("the reason;"), "{text}");
    assert!(row("sac-pendulum").contains("30.0"), "{text}");
}

#[test]
fn published_curves_are_drawn_beside_the_runs() {
    let root = tempfile::tempdir().unwrap();
    for seed in 0..2 {
        simulate(root.path(), "sac", "Hopper-v4", seed, 0, 10.0);
    }
    let to = tempfile::tempdir().unwrap();
    let known = to.path().join("published");
    std::fs::create_dir(&known).unwrap();
    let write = |name: &str, text: &str| std::fs::write(known.join(name), text).unwrap();
    write("gym_mujoco_v4_curves_simbav2repo.csv", "algo,env,seed,env_step,return\n");
    write("tianshou_mujoco_v3_sac_td3_reinforce.csv", "env,env_step,rew,rew_std,Agent\n");
    let rows = "performance/eval_return,0,1\nperformance/eval_return,900,7\n";
    write("mbpo_x35f_Hopper.csv", &format!("tag,env_step,value\n{rows}"));
    let args = ["--reference", known.to_str().unwrap()];
    fails(&mut compare(root.path(), &args), 2, &["--out"]);
    out(compare(root.path(), &args).arg("--out").arg(to.path()));
    let svg = std::fs::read_to_string(to.path().join("curves.svg")).unwrap();
    assert!(svg.contains("MBPO, published (one run)") && svg.contains("x35f"));
}

/// What a browser makes of it is tried in `tests/page/browser.py`.
#[test]
fn a_page_has_every_run_and_nothing_in_it_ends_its_data() {
    let root = simulated(5);
    let hurt = "</script><script>alert(1)";
    simulate(root.path(), "sac", "pendulum", 9, 2, 5.0);
    let from = root.path().join("sac-pendulum-s9-00000002");
    let config = std::fs::read_to_string(from.join("config.toml")).unwrap();
    std::fs::write(from.join("config.toml"), config + &format!("note = \"{hurt}\"\n")).unwrap();
    std::fs::create_dir(root.path().join("broken")).unwrap();
    std::fs::write(root.path().join("broken/config.toml"), "[run").unwrap();
    let out = root.path().join("page.html");
    ended(hstep(&["report", "--html"]).arg(&out).arg(root.path()));
    let page = std::fs::read_to_string(&out).unwrap();
    assert!(!page.contains(hurt), "the data end early");
    let data = page.split("id=\"data\">").nth(1).unwrap().split("</script>").next().unwrap();
    let data: Value = serde_json::from_str(data).unwrap();
    let runs = data["runs"].as_array().unwrap();
    let folders = std::fs::read_dir(root.path()).unwrap().flatten().filter(|e| e.path().is_dir());
    assert_eq!(runs.len(), folders.count());
    let run = |name: &str| runs.iter().find(|run| run["name"] == name).unwrap();
    assert!(run("broken")["note"].as_str().unwrap().contains("config.toml"), "{}", run("broken"));
    let maac = run("maac-pendulum-s0-00000002");
    assert_eq!((&maac["label"], &maac["last"]), (&"MAAC improve.horizon=2".into(), &50.0.into()));
    assert_eq!(maac["settings"]["improve.horizon"], "2");
    // The same estimates as in the tables.
    let json = root.path().join("all.json");
    std::fs::remove_dir_all(root.path().join("broken")).unwrap();
    ended(hstep(&["compare", "--json"]).arg(&json).arg(root.path()));
    let compared: Value = serde_json::from_slice(&std::fs::read(&json).unwrap()).unwrap();
    let rows = compared.as_array().or_else(|| compared["groups"].as_array()).unwrap();
    for (group, row) in data["groups"].as_array().unwrap().iter().zip(rows) {
        assert_eq!((&group["env"], &group["iqm"]), (&row["env"], &row["iqm"]));
    }
    // No two can listen at one port.
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    fails(hstep(&["watch", "--port", &port]).arg(root.path()), 6, &["cannot listen at", &port]);
}
