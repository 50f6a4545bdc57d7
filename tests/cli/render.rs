//! Episodes drawn from a run's newest checkpoint.

use std::path::Path;
use std::process::Command;

use crate::gym::with_fakes;
use crate::hstep;
use crate::small::{Small, ended, fails, list};

fn render(run: &Small, more: &[&str]) -> Command {
    let mut command = hstep(&["render"]);
    command.arg(run.folder()).args(more);
    command
}

fn stdout(command: &mut Command) -> String {
    let out = command.output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).unwrap()
}

fn line<'a>(text: &'a str, start: &str) -> &'a str {
    text.lines().find(|line| line.starts_with(start)).unwrap()
}

fn names(folder: &Path) -> Vec<String> {
    let name = |path: &std::path::PathBuf| path.file_name().unwrap().to_str().unwrap().to_owned();
    list(folder).iter().map(name).collect()
}

#[test]
fn a_run_is_drawn_in_every_format() {
    let run = Small::finished("sac");
    let before = run.saved();
    let text = stdout(&mut render(&run, &[]));
    assert!(run.saved() == before, "drawing changes nothing of the run");
    let folder = run.file("render");
    let name = run.folder().file_name().unwrap().to_str().unwrap().to_owned();
    let all = ["gif", "html", "png", "svg"].map(|ending| format!("{name}.{ending}"));
    assert_eq!(names(&folder), all);
    assert!(all.iter().all(|file| text.contains(file)), "{text}");
    let read = |ending: &str| std::fs::read(folder.join(format!("{name}.{ending}"))).unwrap();

    let svg = String::from_utf8(read("svg")).unwrap();
    // Eight pictures of a rod on its pivot, the first at the start and the last at the end.
    assert_eq!(svg.matches("\u{a0}s</text>").count(), 8, "{svg}");
    assert!(svg.contains(">0.00\u{a0}s<") && svg.contains(">10.00\u{a0}s<"));
    for words in [">pendulum<", ">SAC, seed 0, after 900 steps<", ">return \u{2212}"] {
        assert!(svg.contains(words), "{words}");
    }
    assert!(!svg.contains("NaN") && !svg.contains("inf"));
    let png = read("png");
    assert_eq!(png[..8], *b"\x89PNG\r\n\x1a\n");
    assert_eq!(u32::from_be_bytes(png[16..20].try_into().unwrap()), 2560);
    let gif = read("gif");
    assert!(gif.starts_with(b"GIF89a") && gif.ends_with(&[0x3b]));
    // 201 states, 20 a second: in real time.
    assert_eq!(gif.windows(7).filter(|w| w[..3] == [0x21, 0xf9, 4] && w[4] == 5).count(), 200);
    let html = String::from_utf8(read("html")).unwrap();
    assert_eq!(html.matches("<g display=\"none\">").count(), 201);
    assert!(html.contains("}, 50);") && html.contains("max=\"200\""));

    // The episodes are those of `hstep eval`, and the picture of the same run is the same.
    let eval = stdout(hstep(&["eval"]).arg(run.folder()).args(["--episodes", "1"]));
    assert_eq!(line(&text, "return"), line(&eval, "return"));
    let again = stdout(&mut render(&run, &[]));
    assert!(again == text && read("gif") == gif && read("png") == png);
}

#[test]
fn what_is_drawn_can_be_chosen() {
    let run = Small::finished("sac");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("below/strip.svg");
    let file = file.to_str().unwrap();
    let part = ["--from", "20", "--to", "60", "--step", "10", "--frames", "4"];
    ended(render(&run, &part).args(["--episodes", "2", "--out", file]));
    let svg = std::fs::read_to_string(file).unwrap();
    for time in ["1.00", "1.50", "2.00", "2.50"] {
        assert_eq!(svg.matches(&format!(">{time}\u{a0}s<")).count(), 2, "{time}");
    }
    assert!(!svg.contains(">3.00\u{a0}s<") && svg.contains(">mean return \u{2212}"));
    let out = folder.path().to_str().unwrap();
    ended(&mut render(&run, &["--out", out, "--format", "html"]));
    assert_eq!(names(folder.path()).len(), 2);
}

#[test]
fn what_cannot_be_drawn_is_refused() {
    let run = Small::finished("sac");
    for (more, words) in [
        (&["--out", "strip.jpg"][..], "expected a folder, or a file ending in .svg, .png, .gif"),
        (&["--out", "a.svg", "--format", "png"], "`a.svg` is no name of a png file"),
        (&["--episodes", "0"], "`episodes`: expected at least 1"),
        (&["--frames", "0"], "`frames`: expected at least 1"),
        (&["--step", "0"], "`step`: expected at least 1"),
        (&["--from", "60", "--to", "20"], "`--from`: expected at most --to, which is 20, got 60"),
        (
            &["--from", "5000"],
            "`--from`: expected a step of an episode, of which the longest has 200",
        ),
        (&["--offscreen", "--format", "svg"], "expected PNG or GIF with --offscreen"),
    ] {
        fails(&mut render(&run, more), 2, &[words]);
    }
    let words = ["environment `pendulum`", "has no renderer of its own"];
    fails(&mut render(&run, &["--offscreen"]), 3, &words);
    assert!(!run.file("render").exists());
    let empty = tempfile::tempdir().unwrap();
    let none = empty.path().to_str().unwrap();
    fails(&mut hstep(&["render", none]), 4, &["no run folder"]);
    std::fs::copy(run.file("config.toml"), empty.path().join("config.toml")).unwrap();
    fails(&mut hstep(&["render", none]), 4, &["the run has no checkpoint yet: train it first"]);

    let root = tempfile::tempdir().unwrap();
    let mut train = hstep(&["train", "sac", "--env", "stand-in", "--steps", "1", "--out"]);
    let small = ["run.eval.episodes=1", "critic.hidden=[4]", "actor.hidden=[4]"];
    ended(train.arg(root.path()).args(small));
    let run = list(&root.path().join("train")).pop().unwrap();
    let words = [
        "`stand-in` does not say what it looks like",
        "pendulum, pendulum-mpq, mountain-car, cartpole-swingup",
        "leg-2r, maze and the MuJoCo tasks do",
    ];
    fails(hstep(&["render"]).arg(run), 2, &words);
}

/// A run on a MuJoCo task, of hardly any training.
#[cfg(feature = "mujoco")]
fn cheetah(root: &Path) -> std::path::PathBuf {
    crate::ready::ready();
    let mut train = hstep(&["train", "sac", "--env", "HalfCheetah-v4", "--steps", "1", "--out"]);
    let small = ["run.eval.episodes=1", "critic.hidden=[4]", "actor.hidden=[4]"];
    ended(train.arg(root).args(small).current_dir(crate::ready::root()));
    list(&root.join("train")).pop().unwrap()
}

#[cfg(feature = "mujoco")]
#[test]
fn a_mujoco_task_is_drawn_and_painted() {
    let root = tempfile::tempdir().unwrap();
    let run = cheetah(root.path());
    let file = root.path().join("strip.svg");
    let drawn = |more: &[&str]| {
        let mut command = hstep(&["render"]);
        command.arg(&run).args(["--frames", "3", "--to", "20"]).args(more);
        command.current_dir(crate::ready::root());
        command
    };
    ended(&mut drawn(&["--out", file.to_str().unwrap()]));
    let svg = std::fs::read_to_string(&file).unwrap();
    assert!(svg.contains(">HalfCheetah v4<") && svg.contains(">1.00\u{a0}s<"), "{svg}");
    // Three poses of eight shapes, an edge and a filling each.
    assert!(svg.matches("<polyline").count() > 3 * 16);

    let painted = root.path().join("strip.png");
    let painted = ["--offscreen", "--out", painted.to_str().unwrap()];
    let nowhere = "/nowhere/libOSMesa.so";
    let words = ["environment `HalfCheetah-v4`", "libosmesa6", nowhere];
    fails(drawn(&painted).env("HSTEP_OSMESA", nowhere), 3, &words);
    let out = drawn(&painted).output().unwrap();
    let text = String::from_utf8(out.stderr).unwrap();
    match out.status.code() {
        Some(0) => {
            let png = std::fs::read(painted[2]).unwrap();
            assert_eq!(u32::from_be_bytes(png[16..20].try_into().unwrap()), 2560);
        }
        // A machine without the library.
        code => assert!(code == Some(3) && text.contains("libosmesa6"), "{text}"),
    }
}

/// By the environment's own renderer, which runs as the episode does.
#[test]
fn a_python_environment_is_shown_by_its_own_renderer() {
    let root = tempfile::tempdir().unwrap();
    let mut train =
        hstep(&["train", "sac", "--env", "gym:falls:Seen-v0", "--steps", "60", "--out"]);
    train.arg(root.path()).args(["loop.random_steps=40", "actor.hidden=[8]", "critic.hidden=[8]"]);
    ended(&mut with_fakes(train));
    let run = list(&root.path().join("train")).pop().unwrap();
    let mut plain = hstep(&["render"]);
    plain.arg(&run);
    fails(&mut with_fakes(plain), 2, &["does not say what it looks like", "--offscreen"]);
    let mut painted = hstep(&["render", "--offscreen", "--frames", "4"]);
    painted.arg(&run);
    ended(&mut with_fakes(painted));
    let name = run.file_name().unwrap().to_str().unwrap().to_owned();
    let file = |ending: &str| std::fs::read(run.join(format!("render/{name}.{ending}"))).unwrap();
    assert!(file("png").starts_with(b"\x89PNG") && file("gif").starts_with(b"GIF89a"));
}
