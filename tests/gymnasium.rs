//! The bridge to Python's Gymnasium, with a stand-in for that package (`tests/data`).

mod functions;

use std::io::Read as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use hstep::env::gymnasium::{Gymnasium, GymnasiumVec, Options, is_name};
use hstep::env::{Env, Step};
use hstep::rng::Rng;
use hstep::{Error, Result};

fn options() -> Options {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/fake_gymnasium");
    Options { path: vec![path], ..Options::default() }
}

fn line(arguments: &str) -> Result<Gymnasium> {
    Gymnasium::new(&format!("gym:fakes:Line-v0{arguments}"), &options())
}

/// The message of an error, which must be the environment's.
fn message<T>(result: Result<T>) -> String {
    match result {
        Err(error @ Error::Env { .. }) => error.to_string(),
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("no error"),
    }
}

/// Whether the process is there, be it as a zombie.
fn is_there(process: u32) -> bool {
    Path::new(&format!("/proc/{process}")).exists()
}

/// A socket in a folder of its own, for an environment to hold for as long as its process lives.
struct Lifeline {
    listener: UnixListener,
    path: PathBuf,
    _folder: tempfile::TempDir,
}

impl Lifeline {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("line");
        Self { listener: UnixListener::bind(&path).unwrap(), path, _folder: folder }
    }

    fn accept(&self) -> UnixStream {
        let stream = self.listener.accept().unwrap().0;
        // A process that does not end fails the test instead of holding it up.
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        stream
    }

    /// What was written to a stream until nobody holds its other end.
    fn rest(mut stream: UnixStream) -> String {
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        text
    }
}

/// The fake's own formula; `round` is what becomes of an action's numbers on their way.
fn expected(gain: f64, x: f64, action: [f64; 2], round: impl Fn(f64) -> f64) -> (f64, f64) {
    let [first, second] = action.map(|a| round(a.clamp(-1.0, 1.0)));
    let x = gain * x + first - 2.0 * second;
    (x, x - first * second)
}

/// Compares an episode with the formula, bit for bit.
fn follows(env: &mut dyn Env, seed: u64, round: fn(f64) -> f64) {
    let mut rng = Rng::new(seed);
    let drawn = rng.clone().below(1 << 31) as u64;
    let obs = env.reset(&mut rng).unwrap();
    let mut x = (drawn % 1000) as f64 / 1000.0;
    assert_eq!(obs, [x, 0.0, drawn as f64]);
    for t in 1..=8 {
        // The third action is out of range, to be clipped.
        let action = [0.1 * f64::from(t), if t == 3 { -7.0 } else { 0.3 }];
        let step = env.step(&action).unwrap();
        let reward;
        (x, reward) = expected(0.25, x, action, round);
        let obs = vec![x, f64::from(t), drawn as f64];
        assert_eq!(step, Step { obs, reward, terminated: false, truncated: t == 8 });
    }
    assert!(message(env.step(&[0.0, 0.0])).contains("step without a running episode: call reset"));
}

#[test]
fn values_are_those_of_the_environment_in_its_own_number_type() {
    let single = |x: f64| f64::from(x as f32);
    let mut env = line("?gain=0.25").unwrap();
    assert_eq!(env.info().name, "gym:fakes:Line-v0?gain=0.25");
    assert_eq!((env.info().obs_dim, env.info().max_steps), (3, 8));
    assert_eq!(
        (&env.info().action_low[..], &env.info().action_high[..]),
        (&[-1.0; 2][..], &[1.0; 2][..])
    );
    follows(&mut env, 4, single);
    // Another episode, another seed; what was printed did not come between.
    follows(&mut env, 5, single);
    let mut env = line("?gain=0.25&dtype=float64&shape=[2,1]&bound=1").unwrap();
    follows(&mut env, 4, |x| x);
    assert!(env.as_simulator().is_none());
}

#[test]
fn an_end_of_its_own_is_no_end_of_time() {
    let mut env = line("?edge=-1e9&max_episode_steps=5").unwrap();
    assert_eq!(env.info().max_steps, 5);
    env.reset(&mut Rng::new(0)).unwrap();
    let step = env.step(&[0.0, 0.0]).unwrap();
    assert!(step.terminated && !step.truncated);
    assert!(message(env.step(&[0.0, 0.0])).contains("call reset"));
    assert!(message(line("").unwrap().step(&[0.0, 0.0])).contains("call reset"));
}

#[test]
fn errors_of_python_are_shown_whole() {
    let mut env = line("?then=raise").unwrap();
    let mut rng = Rng::new(0);
    env.reset(&mut rng).unwrap();
    env.step(&[0.0, 0.0]).unwrap();
    env.step(&[0.0, 0.0]).unwrap();
    let text = message(env.step(&[0.0, 0.0]));
    for words in [
        "environment `gym:fakes:Line-v0?then=raise`: step failed in Python:\nTraceback",
        "KeyError: 'the cause'",
        "The above exception was the direct cause",
        "fakes.py\", line",
        "in deeper",
        "\nValueError: the joint is out of its socket",
    ] {
        assert!(text.contains(words), "`{words}` is not in:\n{text}");
    }
    assert!(!text.contains("<string>"), "the server's own lines:\n{text}");
    // The process has survived, and so has the way to a new episode.
    env.reset(&mut rng).unwrap();
    env.step(&[0.0, 0.0]).unwrap();

    assert!(message(line("?then=reset").unwrap().reset(&mut rng)).contains("no start today"));
    assert!(message(line("?gian=1")).contains("make failed in Python:\nTraceback"));
    assert!(message(line("?gian=1")).contains("unexpected keyword argument 'gian'"));
    let absent = |name| message(Gymnasium::new(name, &options()));
    assert!(absent("gym:fakes:Lion-v0").contains("Environment `Lion-v0` doesn't exist"));
    assert!(absent("gym:fables:Lion-v0").contains("No module named 'fables'"));
}

#[test]
fn a_missing_package_and_a_missing_python_say_how_to_mend_it() {
    // A module of this name that cannot be imported, for a machine that has the true one.
    let folder = tempfile::tempdir().unwrap();
    let text = "raise ModuleNotFoundError(\"No module named 'gymnasium'\")\n";
    std::fs::write(folder.path().join("gymnasium.py"), text).unwrap();
    let without = Options { path: vec![folder.path().into()], ..Options::default() };
    let text = message(Gymnasium::new("gym:Pendulum-v1", &without));
    assert!(text.contains("`python3 -m pip install gymnasium`"), "{text}");
    assert!(text.contains("in HSTEP_PYTHON"), "{text}");

    let python = |name: &str| Options { python: name.into(), ..options() };
    let text = message(Gymnasium::new("gym:Pendulum-v1", &python("/no/python")));
    assert!(text.contains("cannot start Python as `/no/python`"), "{text}");
    assert!(text.contains("HSTEP_PYTHON names another interpreter"), "{text}");
    let text = message(Gymnasium::new("gym:Pendulum-v1", &python("echo")));
    assert!(
        text.contains("\"-c \\\"\\\"\\\"Serves") && text.contains("is `echo` Python"),
        "{text}"
    );
    let text = message(Gymnasium::new("gym:Pendulum-v1", &python("true")));
    assert!(text.contains("Python ended in make (exit status: 0)"), "{text}");
}

#[test]
fn other_spaces_are_refused_by_name() {
    for (what, words) in [
        ("observation", "the observation space is Discrete(7); expected a Box"),
        ("discrete", "the action space is Discrete(5); expected a Box"),
        ("whole", "of int32; expected a Box of floats"),
        ("endless", "action 0 is bounded by -1 and inf; expected finite bounds"),
        ("empty", "the action space is Box(-1.0, 1.0, (0,), float32), with 0 numbers"),
        ("huge", "with 4194304 numbers"),
    ] {
        let name = format!("gym:fakes:Odd-v0?what={what}");
        let text = message(Gymnasium::new(&name, &options()));
        assert!(text.contains(words), "{text}");
    }
    let text = message(Gymnasium::new("gym:fakes:Endless-v0", &options()));
    assert!(text.contains("no `max_episode_steps`"), "{text}");
    let given = Gymnasium::new("gym:fakes:Endless-v0?max_episode_steps=6", &options()).unwrap();
    assert_eq!(given.info().max_steps, 6);
}

#[test]
fn answers_of_another_form_are_refused() {
    let mut rng = Rng::new(0);
    for (then, words) in [
        ("old", "step returned ([0."),
        ("old", "expected (observation, reward, terminated, truncated, info)"),
        ("short", "an observation of 1 numbers; its space has 3"),
        ("nothing", "step returned the reward None; expected a number"),
        ("words", "step returned the observation 'a text'; expected numbers"),
        ("unended", "step returned `terminated` as None; expected a number"),
        ("longer", "an answer of another length came"),
        ("garble", "a frame of 2147483648 bytes came, where 1 to 16777216 fit"),
    ] {
        let mut env = line(&format!("?at=1&then={then}")).unwrap();
        env.reset(&mut rng).unwrap();
        let text = message(env.step(&[0.0, 0.0]));
        assert!(text.contains(words), "{text}");
    }
    // An array of one number is that number.
    let mut env = line("?at=1&then=arrays").unwrap();
    let x = env.reset(&mut rng).unwrap()[0];
    assert_eq!(env.step(&[0.0, 0.0]).unwrap().reward, x);
    let mut env = line("").unwrap();
    env.reset(&mut rng).unwrap();
    assert!(matches!(env.step(&[0.0]), Err(Error::Shape { .. })));
    assert!(matches!(env.step(&[0.0, f64::NAN]), Err(Error::NonFinite { .. })));
}

#[test]
fn a_python_that_hangs_says_where_and_is_gone() {
    let mut env = line("?at=1&then=hang").unwrap();
    env.reset(&mut Rng::new(0)).unwrap();
    env.set_timeout(Duration::from_millis(50));
    let process = env.process_id();
    assert!(is_there(process));
    let text = message(env.step(&[0.0, 0.0]));
    assert!(text.contains("no answer to step within 0.05 s (HSTEP_GYM_TIMEOUT"), "{text}");
    assert!(text.contains("its last words:\n") && text.contains("fakes.py\", line"), "{text}");
    assert!(text.contains("in fail"), "{text}");
    assert!(!is_there(process));
    let after = message(env.reset(&mut Rng::new(0)));
    assert!(after.contains("Python has ended before: no answer to step"), "{after}");
}

#[test]
fn a_python_that_ends_says_how_and_leaves_nothing() {
    for (then, words) in [
        ("exit", &["Python ended in step (exit status: 3); its last words:", "leaving"][..]),
        ("crash", &["Python ended in step (signal: 6 (SIGABRT)", "Fatal Python error: Aborted"]),
        // A forked child that goes on keeps no pipe open, but for what both say.
        ("orphan", &["Python ended in step (signal: 6 (SIGABRT)", "Fatal Python error: Aborted"]),
    ] {
        let mut env = line(&format!("?at=2&then={then}")).unwrap();
        env.reset(&mut Rng::new(0)).unwrap();
        env.step(&[0.0, 0.0]).unwrap();
        let process = env.process_id();
        let text = message(env.step(&[0.0, 0.0]));
        assert!(words.iter().all(|words| text.contains(words)), "{text}");
        assert!(!is_there(process), "{then}");
    }
}

#[test]
fn a_drop_closes_the_environment_and_leaves_no_process() {
    let lifeline = Lifeline::new();
    let mut env = line(&format!("?line={}", lifeline.path.display())).unwrap();
    let stream = lifeline.accept();
    env.reset(&mut Rng::new(0)).unwrap();
    let process = env.process_id();
    assert!(is_there(process));
    drop(env);
    assert!(!is_there(process));
    assert_eq!(Lifeline::rest(stream), "c");
}

#[test]
fn words_do_not_fill_the_pipes() {
    let mut env = line("?at=1&then=shout").unwrap();
    env.reset(&mut Rng::new(0)).unwrap();
    env.step(&[0.0, 0.0]).unwrap();
    env.step(&[0.0, 0.0]).unwrap();
}

/// A stand-in for Python that announces an environment of these sizes.
fn announcing(folder: &Path, obs: u32, actions: u32) -> Options {
    let python = folder.join("python");
    let text = format!(
        "#!/usr/bin/env python3
import os, struct, sys
out = os.fdopen(1, 'wb', 0)
bounds = struct.pack('<%dd' % (2 * {actions}), *([-1.0] * {actions} + [1.0] * {actions}))
made = b'\\0' + struct.pack('<IIQ', {obs}, {actions}, 9) + bounds
out.write(b'HSTEPGYM' + struct.pack('<I', 2) + struct.pack('<I', len(made)) + made)
sys.stdin.buffer.read()
"
    );
    std::fs::write(&python, text).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&python, mode).unwrap();
    Options { python, ..Options::default() }
}

#[test]
fn announced_sizes_are_checked_before_anything_is_made_of_them() {
    let folder = tempfile::tempdir().unwrap();
    for (obs, actions) in [(u32::MAX, 1), (100_000_000, 1), (1 << 21, 1), (0, 1), (3, 0)] {
        let text = message(Gymnasium::new("gym:A-v0", &announcing(folder.path(), obs, actions)));
        let words = format!("it announced {obs} observations and {actions} actions; expected");
        assert!(text.contains(&words), "{text}");
    }
    let env = Gymnasium::new("gym:A-v0", &announcing(folder.path(), 1_000_000, 2)).unwrap();
    assert_eq!((env.info().obs_dim, env.info().action_dim()), (1_000_000, 2));
    assert!(env.versions().is_empty());
}

#[test]
fn an_environment_says_what_simulates_it() {
    let versions = line("").unwrap().versions();
    assert_eq!(versions["environment"], "fakes:Line", "{versions:?}");
    assert!(versions["python"].starts_with("3."), "{versions:?}");
}

#[test]
fn a_vector_equals_its_members_alone() {
    let mut all = GymnasiumVec::new("gym:fakes:Line-v0?gain=0.25", 3, &options()).unwrap();
    let ids: Vec<u32> = all.members().iter().map(Gymnasium::process_id).collect();
    assert!(ids[0] != ids[1] && ids[1] != ids[2] && ids[0] != ids[2]);
    let (mut rng, mut alone) = (Rng::new(3), Vec::new());
    let first = all.reset(&[0, 1, 2], &mut rng).unwrap();
    let mut rng = Rng::new(3);
    for obs in &first {
        let mut env = line("?gain=0.25").unwrap();
        assert_eq!(&env.reset(&mut rng).unwrap(), obs);
        alone.push(env);
    }
    for which in [&[0, 1, 2][..], &[2, 0], &[1]] {
        let actions: Vec<_> = which.iter().map(|&i| vec![0.1 * i as f64, 0.2]).collect();
        let steps = all.step(which, &actions).unwrap();
        for ((&i, action), step) in which.iter().zip(&actions).zip(steps) {
            assert_eq!(alone[i].step(action).unwrap(), step);
        }
    }
    assert!(matches!(all.step(&[0, 0], &[vec![], vec![]]), Err(Error::Shape { .. })));
    assert!(matches!(all.step(&[3], &[vec![]]), Err(Error::Shape { .. })));
    assert!(matches!(all.step(&[0], &[]), Err(Error::Shape { .. })));
    drop(all);
    assert!(!ids.into_iter().any(is_there));
}

#[test]
fn one_member_that_fails_does_not_shift_the_answers_of_the_others() {
    let mut all = GymnasiumVec::new("gym:fakes:Line-v0?at=1&then=raise", 2, &options()).unwrap();
    let mut rng = Rng::new(0);
    all.reset(&[0, 1], &mut rng).unwrap();
    let still = || vec![0.0, 0.0];
    assert!(message(all.step(&[0, 1], &[still(), still()])).contains("out of its socket"));
    // A wrong action of one member: the other has taken its step nevertheless, and its answer was
    // read.
    all.reset(&[0, 1], &mut rng).unwrap();
    let refused = all.step(&[0, 1], &[still(), vec![0.0]]);
    assert!(matches!(refused, Err(Error::Shape { .. })));
    let obs = all.reset(&[0], &mut rng).unwrap();
    assert_eq!((obs[0].len(), obs[0][1]), (3, 0.0));
    assert_eq!(all.step(&[0], &[still()]).unwrap()[0].obs[1], 1.0);
}

#[test]
fn names_are_checked_before_python_starts() {
    assert!(is_name("gym:Pendulum-v1").unwrap() && !is_name("pendulum").unwrap());
    for wrong in ["gym:", "gym:A?b"] {
        let error = is_name(wrong).unwrap_err().to_string();
        assert!(
            error.contains("`run.env`: expected gym:ID, for example `gym:Pendulum-v1`"),
            "{error}"
        );
    }
}
