//! Environments on MuJoCo from the command line: fetching it, training, what is missing or broken.

use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use crate::ready::{ready, root};
use crate::small::{ENDLESS, Running, STEPS, Small, ended, fails};
use crate::{hstep, run};

/// `hstep setup mujoco` in `folder`, with python3 but without a network.
fn setup(folder: &Path) -> Command {
    let mut command = hstep(&["setup", "mujoco"]);
    command.current_dir(folder).env("PIP_NO_INDEX", "1");
    command.env("PATH", std::env::var_os("PATH").unwrap());
    command
}

/// A command in a folder without MuJoCo.
fn elsewhere(folder: &Path, args: &[&str]) -> Command {
    let mut command = hstep(args);
    command.current_dir(folder);
    command
}

const TRAIN: [&str; 4] = ["train", "sac", "--env", "HalfCheetah-v4"];

#[test]
fn a_second_set_up_finds_everything_there() {
    ready();
    // From the root, and from elsewhere by name; without python3.
    let elsewhere_by = |name: bool| {
        let mut again = elsewhere(&root().join("experiments"), &["setup", "mujoco"]);
        match name {
            true => again.env("HSTEP_MUJOCO", root().join(".mujoco")),
            false => again.arg("--out").arg(root().join(".mujoco")),
        };
        again
    };
    let here = elsewhere(&root(), &["setup", "mujoco"]);
    for mut again in [here, elsewhere_by(true), elsewhere_by(false)] {
        let out = again.env("PATH", "/nonexistent").output().unwrap();
        let text = String::from_utf8(out.stdout).unwrap();
        assert!(out.status.success() && text.starts_with("there already\n"), "{text}");
        assert!(text.contains("(MuJoCo 3.17.0)") && text.contains("assets"), "{text}");
    }
}

#[test]
fn a_set_up_that_cannot_be_made_says_why_and_leaves_nothing_half_made() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let words = ["there is no python3", "hstep setup mujoco"];
    // Without a search path the system's own default would be searched.
    fails(elsewhere(here, &["setup", "mujoco"]).env("PATH", "/nonexistent"), 3, &words);
    fails(&mut setup(here), 3, &["could not fetch mujoco 3.17.0", "is there a network?"]);

    let wheels = here.join(".mujoco/whl");
    for name in ["mujoco-3.17.0-x.whl", "gymnasium-1.4.0-x.whl"] {
        std::fs::write(wheels.join(name), "not a wheel").unwrap();
    }
    fails(&mut setup(here), 3, &["mujoco-3.17.0-x.whl is damaged or another one", "remove it"]);
    let left: Vec<_> = std::fs::read_dir(here.join(".mujoco")).unwrap().collect();
    assert_eq!(left.len(), 1, "{left:?}");
    // A file where the folder should be.
    let below = tempfile::tempdir().unwrap();
    std::fs::write(below.path().join(".mujoco"), "").unwrap();
    fails(&mut setup(below.path()), 6, &["cannot create .mujoco"]);
}

#[test]
fn a_set_up_with_a_model_missing_or_of_another_version_is_made_anew() {
    let site = ready().library.ancestors().nth(2).unwrap();
    for spoil in ["gymnasium/envs/mujoco/assets/ant.xml", "gymnasium-1.4.0.dist-info/METADATA"] {
        let folder = tempfile::tempdir().unwrap();
        let copy = folder.path().join(".mujoco/site");
        std::fs::create_dir_all(copy.parent().unwrap()).unwrap();
        ended(Command::new("cp").arg("-r").args([site, &copy]));
        assert!(ended(&mut setup(folder.path())).contains("mujoco 3.17.0"));
        let spoilt = copy.join(spoil);
        if spoilt.ends_with("METADATA") {
            std::fs::remove_dir_all(spoilt.parent().unwrap()).unwrap();
        } else {
            std::fs::remove_file(&spoilt).unwrap();
        }
        // It would be fetched, and there is no network.
        fails(&mut setup(folder.path()), 3, &["could not fetch mujoco 3.17.0"]);
        assert!(copy.is_dir(), "what was there stays until there is better");
    }
}

/// A folder with `.mujoco/site` as the real one, but for the model files: of those there is one.
fn with_model(file: &str, text: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let site = folder.path().join(".mujoco/site");
    let assets = site.join("gymnasium/envs/mujoco/assets");
    std::fs::create_dir_all(&assets).unwrap();
    std::fs::write(assets.join(file), text).unwrap();
    let library = &ready().library;
    std::fs::create_dir(site.join("mujoco")).unwrap();
    std::os::unix::fs::symlink(library, site.join("mujoco").join(library.file_name().unwrap()))
        .unwrap();
    folder
}

#[test]
fn what_is_missing_or_broken_is_one_message_with_its_remedy() {
    ready();
    let empty = tempfile::tempdir().unwrap();
    let train = || elsewhere(empty.path(), &TRAIN);
    let remedy = "`hstep setup mujoco` fetches it";
    let words = ["environment `HalfCheetah-v4`", "the MuJoCo library is not here", remedy];
    fails(&mut train(), 3, &words);
    fails(
        train().env("MUJOCO_LIB", "/nowhere/libmujoco.so"),
        3,
        &["/nowhere/libmujoco.so", remedy],
    );
    let file = empty.path().join("libmujoco.so");
    std::fs::write(&file, "not a library").unwrap();
    fails(
        train().env("MUJOCO_LIB", &file),
        3,
        &["cannot be loaded as a library", "file too short", remedy, "MUJOCO_LIB names this file"],
    );
    // The library is there and the models are not.
    let library = &ready().library;
    let words = ["the model file half_cheetah.xml is not here", remedy];
    fails(train().env("MUJOCO_LIB", library), 3, &words);

    for (text, words) in [("<mujoco><worldbodi/></mujoco>", "worldbodi"), ("", "refuses the model")]
    {
        let folder = with_model("half_cheetah.xml", text);
        fails(&mut elsewhere(folder.path(), &TRAIN), 3, &[words, "half_cheetah.xml"]);
    }
}

/// So many bodies on slides in a row, each with a motor.
fn slides(n: usize, timestep: f64) -> String {
    let body = |i: usize| {
        let joint = format!("<joint name='j{i}' type='slide'/><geom size='1'/>");
        format!("<body name='b{i}' pos='{} 0 0'>{joint}</body>", 3 * i)
    };
    let bodies: String = (0..n).map(body).collect();
    let motors: String = (0..n).map(|i| format!("<motor joint='j{i}'/>")).collect();
    format!(
        "<mujoco><option timestep='{timestep}'/><worldbody>{bodies}</worldbody>\
         <actuator>{motors}</actuator></mujoco>"
    )
}

#[test]
fn a_model_that_is_another_than_the_task_was_defined_on_is_refused() {
    ready();
    for (env, file, model, words) in [
        ("HalfCheetah-v4", "half_cheetah.xml", slides(5, 0.01), "has controls 5"),
        ("HalfCheetah-v4", "half_cheetah.xml", slides(6, 0.01), "has observations 11"),
        ("Reacher-v5", "reacher.xml", slides(2, 0.01), "has the body `fingertip` at None"),
        ("InvertedPendulum-v4", "inverted_pendulum.xml", slides(1, 0.02), "has positions 1, the"),
        ("Swimmer-v5", "swimmer.xml", slides(2, 0.01), "has observations 2"),
    ] {
        let folder = with_model(file, &model);
        let mut train = elsewhere(folder.path(), &["train", "sac", "--env", env]);
        let from = "it is another file than that of gymnasium 1.4.0";
        fails(&mut train, 3, &[&format!("environment `{env}`"), file, words, from]);
    }
    // Right in all but its time step.
    let assets = root().join(".mujoco/site/gymnasium/envs/mujoco/assets");
    let text = std::fs::read_to_string(assets.join("half_cheetah.xml")).unwrap();
    assert!(text.contains("timestep=\"0.01\""));
    let folder = with_model("half_cheetah.xml", &text.replace("\"0.01\"", "\"0.005\""));
    let words = ["has a time step of 0.005, the task expects 0.01"];
    fails(&mut elsewhere(folder.path(), &TRAIN), 3, &words);
}

/// `train` on a task that is found, as far as its first message.
fn finds(command: &mut Command, found: bool) {
    let out = command.output().unwrap();
    let text = String::from_utf8(out.stderr).unwrap();
    assert_eq!(!text.contains("the MuJoCo library is not here"), found, "{text}");
}

#[test]
fn mujoco_is_looked_for_where_it_is_said_and_nowhere_above() {
    ready();
    let folder = tempfile::tempdir().unwrap();
    let below = folder.path().join("sub/deep");
    std::fs::create_dir_all(&below).unwrap();
    let bench = || elsewhere(&below, &["bench", "env", "Hopper-v4", "--seconds", "0.01"]);
    let link = |to: &Path| {
        std::fs::create_dir_all(to.parent().unwrap()).unwrap();
        std::os::unix::fs::symlink(root().join(".mujoco"), to).unwrap();
    };
    link(&folder.path().join(".mujoco"));
    finds(&mut bench(), false);
    finds(bench().env("HSTEP_MUJOCO", root().join(".mujoco")), true);
    let cache = folder.path().join("cache");
    link(&cache.join("hstep/mujoco"));
    finds(bench().env("XDG_CACHE_HOME", &cache), true);
    let home = folder.path().join("home");
    link(&home.join(".cache/hstep/mujoco"));
    finds(bench().env("HOME", &home), true);
    let packages = folder.path().join("env/lib/python3.12/site-packages");
    std::fs::create_dir_all(packages.parent().unwrap()).unwrap();
    std::os::unix::fs::symlink(root().join(".mujoco/site"), packages).unwrap();
    finds(bench().env("CONDA_PREFIX", folder.path().join("env")), true);
    // What another user can write is not used.
    let open = folder.path().join("open");
    std::fs::create_dir_all(open.join("site/mujoco")).unwrap();
    std::fs::copy(&ready().library, open.join("site/mujoco/libmujoco.so.3.17.0")).unwrap();
    finds(bench().env("HSTEP_MUJOCO", &open), true);
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o777);
    std::fs::set_permissions(&open, mode).unwrap();
    let words = ["the MuJoCo library is not here", "another user can write"];
    fails(bench().env("HSTEP_MUJOCO", &open), 3, &words);
}

#[test]
fn modules_of_the_current_folder_are_not_run_by_a_set_up() {
    let folder = tempfile::tempdir().unwrap();
    for module in ["json", "pip", "zipfile", "hashlib"] {
        let text = "open('EXECUTED', 'w')\n";
        std::fs::write(folder.path().join(format!("{module}.py")), text).unwrap();
    }
    setup(folder.path()).env("PYTHONPATH", folder.path()).output().unwrap();
    let wheels = folder.path().join(".mujoco/whl");
    for name in ["mujoco-3.17.0-x.whl", "gymnasium-1.4.0-x.whl"] {
        std::fs::write(wheels.join(name), "not a wheel").unwrap();
    }
    fails(&mut setup(folder.path()), 3, &["is damaged or another one"]);
    assert!(!folder.path().join("EXECUTED").exists());
}

#[test]
fn a_virtual_environment_will_do_and_nothing_is_written_where_it_runs() {
    ready();
    let folder = tempfile::tempdir().unwrap();
    let packages = folder.path().join("env/lib/python3.12");
    std::fs::create_dir_all(&packages).unwrap();
    std::os::unix::fs::symlink(root().join(".mujoco/site"), packages.join("site-packages"))
        .unwrap();
    let here = folder.path().join("here");
    std::fs::create_dir(&here).unwrap();
    // The parser warns of this model, and MuJoCo by itself would keep a log of that.
    let args = ["bench", "env", "HalfCheetah-v4", "--seconds", "0.01", "--threads", "1"];
    ended(elsewhere(&here, &args).env("VIRTUAL_ENV", folder.path().join("env")));
    let left: Vec<_> = std::fs::read_dir(&here).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn environments_are_listed_without_a_library() {
    let empty = tempfile::tempdir().unwrap();
    let out = elsewhere(empty.path(), &["list", "envs"]).output().unwrap();
    let text = String::from_utf8(out.stdout).unwrap();
    let names: Vec<&str> = text.lines().filter_map(|line| line.split(' ').next()).collect();
    assert_eq!(names, [hstep::env::names(), vec!["gym:ID"]].concat());
    let line = "Ant-v5                     105 observations, 8 actions, 1000 steps an episode";
    assert!(text.lines().any(|l| l == line), "{text}");
    let pusher = ["train", "sac", "--env", "Pusher-v4"];
    fails(&mut elsewhere(empty.path(), &pusher), 2, &["`run.env`", "take `Pusher-v5`"]);
    let mut oracle = elsewhere(empty.path(), &["train", "mbpo", "--env", "Hopper-v4"]);
    let words = ["`run.model`", "no differentiable equations"];
    fails(oracle.arg("run.model=oracle"), 2, &words);
}

#[test]
fn training_killed_and_resumed_ends_as_if_it_had_not_been() {
    ready();
    // One that runs to the clock, and one whose observations lag behind the state and whose episodes
    // end early.
    for env in ["HalfCheetah-v4", "Ant-v5", "InvertedDoublePendulum-v5"] {
        let small = || Small::new("sac").on(env);
        let run = small();
        for step in [100, 400, 700] {
            let mut running = Running::start(&mut run.go_on(ENDLESS));
            running.wait_for_step(step);
            running.kill();
        }
        // A slow kill may have let a few more steps be saved.
        let steps = STEPS.max(run.saved_step().unwrap());
        ended(&mut run.resume(steps));
        run.assert_equals_uninterrupted(steps, "three kills");
        let meta = std::fs::read_to_string(run.file("meta.json")).unwrap();
        assert!(meta.contains("\"mujoco\": \"3.17.0\""), "{meta}");
    }
}

#[test]
fn steps_of_environments_are_measured_beside_the_bare_simulation() {
    ready();
    let bench = |threads: &str| {
        let args = ["bench", "env", "HalfCheetah-v4", "pendulum", "--seconds", "0.05", "--threads"];
        let out = run(&[&args[..], &[threads]].concat());
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        String::from_utf8(out.stdout).unwrap()
    };
    let number = |text: &str| text.parse::<f64>().unwrap();
    let check = |text: &str, expected: &[&str]| {
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), expected.len(), "{text}");
        for (line, start) in lines.iter().zip(expected) {
            let rest = line.strip_prefix(start).unwrap_or_else(|| panic!("{start}: {text}"));
            let fields: Vec<&str> = rest.split_whitespace().collect();
            if line.starts_with("ENV") {
                assert_eq!([fields[0], fields[2], fields[4]], ["med", "best", "percpu"], "{text}");
                assert!([1, 3, 5].iter().all(|i| number(fields[*i]) > 0.0), "{text}");
            } else {
                assert!(number(fields[0]) > 0.0, "{text}");
            }
        }
    };
    let alone = [
        "ENV HalfCheetah-v4 hstep t1",
        "ENV HalfCheetah-v4 bare t1",
        "SHARE HalfCheetah-v4",
        "ENV pendulum hstep t1",
    ];
    check(&bench("1"), &alone);
    let together = [
        "ENV HalfCheetah-v4 hstep t2",
        "ENV HalfCheetah-v4 hstep t1",
        "SCALING HalfCheetah-v4",
        "ENV pendulum hstep t2",
        "ENV pendulum hstep t1",
        "SCALING pendulum",
    ];
    check(&bench("2"), &together);
    crate::refused_with(&["bench", "env"], 2, "`environments`: expected at least 1");
    crate::refused_with(&["bench", "env", "Hoper-v4"], 2, "did you mean `Hopper-v4`?");
}

/// Copies a folder of folders of files.
fn copy_runs(from: &Path, to: &Path) {
    for run in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        let there = to.join(run.file_name());
        std::fs::create_dir_all(&there).unwrap();
        for file in std::fs::read_dir(run.path()).unwrap().map(Result::unwrap) {
            std::fs::copy(file.path(), there.join(file.file_name())).unwrap();
        }
    }
}

#[test]
fn a_part_of_a_figure_is_drawn_beside_it_from_the_runs_that_are_kept() {
    ready();
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().to_str().unwrap();
    copy_runs(&root().join("figures/data/mujoco"), &folder.path().join("data/mujoco"));
    let part = |settings: &[&str]| {
        let mut draw = hstep(&["reproduce", "maac-fig2", "--redraw", "--out", out]);
        draw.args(["--envs", "HalfCheetah-v4", "algos=[\"mbpo-2core\"]"]).args(settings);
        draw.current_dir(root());
        draw
    };
    let drawn = part(&["file=part"]).output().unwrap();
    assert!(drawn.status.success(), "{}", String::from_utf8_lossy(&drawn.stderr));
    let table = std::fs::read_to_string(folder.path().join("data/part.md")).unwrap();
    let row =
        "| HalfCheetah-v4 | MBPO (two cores) | 0 | 20 | 50000 | 4418 | 9105 | 9105 | 8451 | 9105 |";
    assert!(table.contains(row), "{table}");
    assert!(folder.path().join("part.png").is_file() && folder.path().join("part.svg").is_file());
    assert!(!folder.path().join("maac-fig2.png").exists());

    // Settings and names of its own, here those that the run was made with.
    let entry = "mbpo-2core model.max_epochs=20 model.max_steps=unset";
    let algos = format!("algos=[\"{entry}\"]");
    let labels = format!("labels={{ \"{entry}\" = \"MBPO, as it was\" }}");
    ended(&mut part(&[&algos, &labels, "file=variant"]));
    let table = std::fs::read_to_string(folder.path().join("data/variant.md")).unwrap();
    assert!(table.contains("| HalfCheetah-v4 | MBPO, as it was | 0 | 20 | 50000 | 4418 | 9105 |"));
    let words = ["`labels`: `sac` is not compared", "mbpo-2core"];
    fails(&mut part(&["labels={ sac = \"SAC\" }"]), 2, &words);
    let mut curves = hstep(&["reproduce", "maac-fig4", "--reference", "."]);
    fails(&mut curves, 2, &["`maac-fig4` draws no published curves; these do: mopac-fig2"]);

    fails(&mut part(&["file=../part"]), 2, &["`file`: expected letters, digits, `-` and `_`"]);
    let missing = ["no run of MBPO (two cores) on HalfCheetah-v4 with seed 7", "--redraw"];
    fails(&mut part(&["seeds=[7]"]), 4, &missing);
}
