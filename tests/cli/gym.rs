//! Environments in Python, trained on from the command line.

use std::io::Read as _;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use crate::small::{Running, ended, fails, list};
use crate::{hstep, refused_with};

/// Ten evaluations and twenty checkpoints in 400 steps of little work.
const SETTINGS: [&str; 9] = [
    "run.eval.every=100",
    "run.eval.episodes=2",
    "run.checkpoint_every=50",
    "run.checkpoint_share=1.0",
    "loop.random_steps=50",
    "loop.batch=16",
    "loop.updates_per_step=1",
    "actor.hidden=[16]",
    "critic.hidden=[16]",
];

/// The command with the stand-in for Gymnasium in Python's search path.
pub fn with_fakes(mut command: Command) -> Command {
    let fakes = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/data/fake_gymnasium");
    command.env("PYTHONPATH", fakes).env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command
}

fn train(root: &TempDir, arguments: &str, steps: &str) -> Command {
    let env = format!("gym:fakes:Line-v0?{arguments}");
    let mut command = hstep(&["train", "sac", "--env", &env, "--steps", steps, "--out"]);
    command.arg(root.path()).args(SETTINGS);
    with_fakes(command)
}

fn folder(root: &TempDir) -> PathBuf {
    list(&root.path().join("train")).pop().unwrap()
}

#[test]
fn a_python_environment_is_trained_on_resumed_and_evaluated() {
    let root = tempfile::tempdir().unwrap();
    ended(&mut train(&root, "gain=0.9", "200"));
    let run = folder(&root);
    let name = run.file_name().unwrap().to_str().unwrap();
    assert!(name.starts_with("sac-gym_fakes_Line-v0_gain_0.9-s0-"), "{name}");
    let metrics = std::fs::read_to_string(run.join("metrics.csv")).unwrap();
    // Twice the same: the process, the pipes and the clock leave no trace in the numbers.
    let again = tempfile::tempdir().unwrap();
    ended(&mut train(&again, "gain=0.9", "200"));
    assert_eq!(std::fs::read_to_string(folder(&again).join("metrics.csv")).unwrap(), metrics);

    let resume = ["resume", run.to_str().unwrap(), "--steps", "300"];
    let text = ended(&mut with_fakes(hstep(&resume)));
    assert!(text.contains("cannot restore its state: the episode starts anew"), "{text}");
    let out = with_fakes(hstep(&["eval", run.to_str().unwrap(), "--episodes", "3"])).output();
    let out = String::from_utf8(out.unwrap().stdout).unwrap();
    assert!(out.contains("env_steps   300") && out.contains("length      8.0"), "{out}");
}

#[test]
fn settings_that_do_not_fit_the_environment_leave_no_folder() {
    let root = tempfile::tempdir().unwrap();
    let mut train = hstep(&["train", "pets", "--env", "gym:fakes:Line-v0", "--out"]);
    train.arg(root.path());
    fails(&mut with_fakes(train), 2, &["`model.learn_reward`: false needs a known reward"]);
    fails(&mut self::train(&root, "gian=1", "10"), 3, &["unexpected keyword argument 'gian'"]);
    assert!(!root.path().join("train").exists());
}

#[test]
fn one_environment_evaluates_however_many_episodes_and_evaluations() {
    // One to train in, and one more.
    for (most, code) in [(2, 0), (1, 3)] {
        let root = tempfile::tempdir().unwrap();
        let env = format!("gym:fakes:Heavy-v0?most={most}");
        let mut train = hstep(&["train", "sac", "--env", &env, "--steps", "250", "--out"]);
        let mut train = with_fakes({
            train.arg(root.path()).args(SETTINGS).arg("run.eval.episodes=7");
            train
        });
        if code == 0 {
            ended(&mut train);
            for kind in [&[][..], &["--critic"]] {
                let run = folder(&root);
                let mut eval = hstep(&["eval", run.to_str().unwrap(), "--episodes", "5"]);
                eval.args(kind);
                ended(&mut with_fakes(eval));
            }
        } else {
            fails(&mut train, code, &["the port is in use"]);
            // Without an evaluation, the one is enough.
            ended(train.arg("run.eval.every=0"));
        }
    }
}

#[test]
fn what_simulates_an_environment_is_written_down_and_compared() {
    let root = tempfile::tempdir().unwrap();
    ended(&mut train(&root, "gain=0.9", "100"));
    let run = folder(&root);
    let meta = std::fs::read_to_string(run.join("meta.json")).unwrap();
    assert!(
        meta.contains("\"environment\": \"fakes:Line\"") && meta.contains("\"python\": \"3."),
        "{meta}"
    );
    let resume =
        |steps: &str| with_fakes(hstep(&["resume", run.to_str().unwrap(), "--steps", steps]));
    assert!(!ended(&mut resume("120")).contains("was simulated by"));
    // A package that was not there before.
    let numpy = root.path().join("numpy");
    std::fs::create_dir(&numpy).unwrap();
    let text = "__version__ = '9.9'\ndef array(x, dtype=None):\n    return A(x)\n\n\nclass A(list):\n    def \
                reshape(self, shape):\n        return self\n";
    std::fs::write(numpy.join("__init__.py"), text).unwrap();
    let fakes = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/data/fake_gymnasium");
    let mut other = resume("140");
    let path = std::env::join_paths([fakes.as_path(), root.path()]).unwrap();
    std::fs::write(root.path().join("sitecustomize.py"), "import numpy\n").unwrap();
    let text = ended(other.env("PYTHONPATH", path));
    assert!(text.contains("was simulated by") && text.contains("numpy 9.9"), "{text}");
}

#[test]
fn modules_of_the_current_folder_come_last_and_for_a_named_module_only() {
    let root = tempfile::tempdir().unwrap();
    let here = root.path().join("here");
    std::fs::create_dir(&here).unwrap();
    let text = "open('EXECUTED', 'w')\n";
    for module in ["json", "struct", "ast", "numpy", "gymnasium"] {
        std::fs::write(here.join(format!("{module}.py")), text).unwrap();
    }
    std::fs::write(here.join("mine.py"), "from fakes import *\n").unwrap();
    let train = |env: &str, python: &str| {
        let mut command = hstep(&["train", "sac", "--env", env, "--steps", "20", "--out"]);
        command.arg(root.path().join("runs")).args(SETTINGS).current_dir(&here);
        let mut command = with_fakes(command);
        let fakes = command.get_envs().find(|(key, _)| *key == "PYTHONPATH").unwrap().1.unwrap();
        let path = format!("{}{python}", fakes.to_str().unwrap());
        command.env("PYTHONPATH", path);
        command
    };
    ended(&mut train("gym:mine:Line-v0", ""));
    // An empty entry, which Python takes for the current folder.
    ended(&mut train("gym:mine:Line-v0?gain=0.1", ":"));
    fails(&mut train("gym:Line-v0", ""), 3, &["Environment `Line-v0` doesn't exist"]);
    assert!(!here.join("EXECUTED").exists());
}

#[test]
fn a_module_that_a_foreign_configuration_names_is_imported_after_the_checks_only() {
    let root = tempfile::tempdir().unwrap();
    ended(&mut train(&root, "gain=0.9", "100"));
    let run = folder(&root);
    let config = std::fs::read_to_string(run.join("config.toml")).unwrap();
    let other = config.replace("gym:fakes:Line-v0", "gym:evil:Line-v0");
    assert_ne!(other, config);
    std::fs::write(run.join("config.toml"), other).unwrap();
    std::fs::remove_file(run.join("meta.json")).unwrap();
    let executed = root.path().join("EXECUTED");
    let text = format!("open({:?}, 'w')\n", executed.to_str().unwrap());
    std::fs::write(root.path().join("evil.py"), text).unwrap();
    for command in ["resume", "eval"] {
        let mut command = with_fakes(hstep(&[command, run.to_str().unwrap()]));
        command.env("PYTHONPATH", root.path());
        fails(&mut command, 4, &["written with other settings"]);
        assert!(!executed.exists());
    }
}

#[test]
fn long_arguments_give_a_folder_whose_name_fits() {
    let root = tempfile::tempdir().unwrap();
    let gain = format!("gain=0.9{}", "0".repeat(300));
    ended(&mut train(&root, &gain, "20"));
    let name = folder(&root).file_name().unwrap().len();
    assert!((254..=255).contains(&name), "{name}");
    let config = std::fs::read_to_string(folder(&root).join("config.toml")).unwrap();
    assert!(config.contains(&gain));
}

#[test]
fn an_end_that_the_learned_model_does_not_know_is_told_once() {
    let model = ["model.members=2", "model.elites=1", "model.hidden=[8, 8]", "model.max_epochs=1"];
    let rest = ["model.weight_decay=[]", "imagine.starts=20", "loop.fit_every=50"];
    let learned = "model.learn_termination=true";
    for (env, setting, warnings) in [
        ("gym:fakes:Line-v0?edge=-1e9", None, 1),
        ("gym:fakes:Line-v0?edge=1e9", None, 0),
        ("gym:fakes:Line-v0?edge=-1e9", Some(learned), 0),
        ("gym:falls:Falls-v0", None, 1),
        ("gym:falls:Told-v0", None, 0),
    ] {
        let root = tempfile::tempdir().unwrap();
        let mut train = hstep(&["train", "mbpo", "--env", env, "--steps", "60", "--out"]);
        train.arg(root.path()).args(SETTINGS).args(model).args(rest).args(setting);
        let text = ended(&mut with_fakes(train));
        assert_eq!(text.matches("in the learned model they go on").count(), warnings, "{text}");
        // Both ways out, by their names.
        for way in [learned, "`terminated(obs, action, next_obs)`"] {
            assert_eq!(text.matches(way).count(), warnings, "{text}");
        }
    }
}

#[test]
fn values_that_run_away_where_ends_are_unknown_stop_the_run() {
    let model = ["model.members=2", "model.elites=1", "model.hidden=[8, 8]", "model.max_epochs=1"];
    // Steps of the critic so long that its values explode.
    let rest = [
        "model.weight_decay=[]",
        "imagine.starts=20",
        "loop.fit_every=50",
        "critic.lr=10",
        "gamma=0.9",
    ];
    let train = |root: &TempDir, env: &str| {
        let mut train = hstep(&["train", "mbpo", "--env", env, "--steps", "150", "--out"]);
        train
            .arg(root.path())
            .args(SETTINGS)
            .args(model)
            .args(rest)
            .arg("loop.updates_per_step=20");
        with_fakes(train)
    };
    let root = tempfile::tempdir().unwrap();
    let text = fails(
        &mut train(&root, "gym:falls:Falls-v0"),
        5,
        &["mean |Q| of the last 1000 updates is", "`model.learn_termination=true`"],
    );
    let run = folder(&root);
    let reason = std::fs::read_to_string(run.join("FAILED")).unwrap();
    assert!(text.contains(reason.trim()), "{reason}");
    // What was saved stays, and the same stop comes again.
    assert!(run.join("ckpt/manifest-000000000050.json").exists());
    let mut resume = with_fakes(hstep(&["resume", run.to_str().unwrap()]));
    fails(&mut resume, 5, &["mean |Q| of the last 1000 updates is"]);
    // Who knows the ends is not watched.
    ended(&mut train(&tempfile::tempdir().unwrap(), "gym:falls:Told-v0"));
}

#[test]
fn a_python_that_fails_leaves_the_last_checkpoint() {
    for (then, words) in [
        ("raise", &["step failed in Python:\nTraceback", "ValueError: the joint"][..]),
        ("exit", &["Python ended in step (exit status: 3)", "leaving"]),
        ("hang", &["no answer to step within 5 s (HSTEP_GYM_TIMEOUT", "in fail"]),
    ] {
        let root = tempfile::tempdir().unwrap();
        let mut train = train(&root, &format!("at=170&then={then}"), "400");
        // Long enough for Python to start on a busy machine.
        train.env("HSTEP_GYM_TIMEOUT", "5");
        let text = fails(&mut train, 3, words);
        let run = folder(&root);
        let reason = std::fs::read_to_string(run.join("FAILED")).unwrap();
        assert!(text.contains(reason.trim()), "{reason}");
        let saved = list(&run.join("ckpt")).into_iter().filter_map(|path| {
            Some(path.file_name()?.to_str()?.strip_prefix("manifest-")?.to_owned())
        });
        let saved: Vec<String> = saved.collect();
        assert_eq!(saved, ["000000000100.json", "000000000150.json"]);
        // The environment's count starts anew with its process: the run goes on past that step.
        let resume = ["resume", run.to_str().unwrap(), "--steps", "300"];
        ended(&mut with_fakes(hstep(&resume)));
        assert!(run.join("DONE").exists() && !run.join("FAILED").exists());
    }
}

#[test]
fn a_killed_run_takes_python_with_it() {
    // `hold` lets no other thread of Python run, and has started a process that outlives Python.
    for then in ["hang", "hold"] {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("line");
        let listener = UnixListener::bind(&path).unwrap();
        let arguments = format!("at=8&then={then}&line={}", path.display());
        let running = Running::start(&mut train(&root, &arguments, "400"));
        // The first environment is the one to train in; the other evaluates, and hangs in its eighth
        // step, deep in a call that never returns.
        let mut lines: Vec<_> = (0..2).map(|_| listener.accept().unwrap().0).collect();
        let mut word = [0; 1];
        lines[1].read_exact(&mut word).unwrap();
        assert_eq!(word, *b"h");
        running.kill();
        for line in &mut lines {
            // Only the end of all processes that have it closes the other end of the line.
            line.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
            assert_eq!(line.read(&mut word).unwrap(), 0, "{then}");
        }
    }
}

#[test]
fn names_and_time_limits_are_checked() {
    let train = |env: &str| ["train", "sac", "--env", env].map(str::to_owned);
    for (env, code, words) in [
        ("gym:", 2, "`run.env`: expected gym:ID"),
        ("gym:A-v0?key", 2, "for example `gym:Pendulum-v1`"),
        ("gmy:A-v0", 2, "there is no environment `gmy:A-v0`"),
        ("my_module:MyEnv-v0", 2, "environments are written `gym:my_module:MyEnv-v0`"),
        ("LunarLanderContinuous-v3", 2, "are written `gym:LunarLanderContinuous-v3`"),
        ("Nothing?a=1", 2, "are written `gym:Nothing?a=1`"),
        (
            "pendulum?g=9",
            2,
            "`run.env`: `pendulum` has no parameter `g`; it has mass, length, gravity",
        ),
        ("pendulum?mass=-1", 2, "`run.env`: expected a number above 0 for `mass`, got -1"),
        (
            "HalfCheetah-v4?g=9",
            2,
            "`gym:HalfCheetah-v4?g=9` takes arguments (Python's Gymnasium), `HalfCheetah-v4` has",
        ),
    ] {
        let args = train(env);
        refused_with(&args.each_ref().map(String::as_str), code, words);
    }
    let root = tempfile::tempdir().unwrap();
    let mut refused = self::train(&root, "gain=0.9", "10");
    refused.env("HSTEP_GYM_TIMEOUT", "soon");
    fails(&mut refused, 2, &["`HSTEP_GYM_TIMEOUT`: expected a number of seconds above 0"]);
    let mut absent = self::train(&root, "gain=0.9", "10");
    absent.env("HSTEP_PYTHON", "/no/python");
    fails(&mut absent, 3, &["cannot start Python as `/no/python`"]);
    let list = crate::run(&["list", "envs"]);
    assert!(String::from_utf8(list.stdout).unwrap().contains("\ngym:ID  "));
}
