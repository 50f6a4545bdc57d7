//! What goes wrong with a simulator: libraries that are none, models with errors, simulations that
//! explode, MuJoCo giving up.

use std::path::{Path, PathBuf};
use std::process::Command;

use hstep::Error;
use hstep::dynamics::simulated::{FAILED, SimulatedDynamics};
use hstep::dynamics::{Dynamics as _, StepNoise};
use hstep::env::mujoco::definition::{END, End, File, Part, Reward, Start, Task, Within};
use hstep::env::mujoco::{Data, Library, Model, Mujoco, Parts};
use hstep::env::{Env, Simulator};
use hstep::rng::Rng;
use hstep::shape::{Spec, to_f64};

use super::{bits, on_its_way, ready, task};

/// A library that a C compiler makes of a text.
fn compiled(folder: &Path, name: &str, text: &str) -> PathBuf {
    let (source, library) = (folder.join(format!("{name}.c")), folder.join(name));
    std::fs::write(&source, text).unwrap();
    let mut cc = Command::new("cc");
    cc.args(["-shared", "-fPIC", "-o"]).arg(&library).arg(&source);
    assert!(cc.status().unwrap().success(), "{cc:?}");
    library
}

/// The message of a library that must be refused, which names the remedy.
fn refused(library: &Path) -> String {
    let error = Library::open(library).unwrap_err();
    assert!(matches!(error, Error::Env { .. }), "{error}");
    let text = error.to_string();
    let (remedy, which) = ("`hstep setup mujoco` fetches it", library.display().to_string());
    assert!(text.contains(remedy) && text.contains(&which), "{text}");
    text
}

#[test]
fn a_library_of_another_version_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    for version in ["3.3.0", "3.16.0", "4.0.1", "nonsense"] {
        let text = format!("const char *mj_versionString(void) {{ return \"{version}\"; }}");
        let text = refused(&compiled(folder.path(), &format!("lib{version}.so"), &text));
        let words = format!("is MuJoCo {version}; expected one of the versions");
        assert!(text.contains(&words) && text.contains("3.17.0 and 4.0.0"), "{text}");
    }
}

#[test]
fn a_file_that_is_no_library_or_another_library_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("libmujoco.so.3.17.0");
    std::fs::write(&file, "not a library").unwrap();
    assert!(refused(&file).contains("cannot be loaded as a library"));
    std::fs::write(&file, "").unwrap();
    assert!(refused(&file).contains("cannot be loaded as a library"));
    let other = compiled(folder.path(), "libother.so", "int answer(void) { return 42; }");
    assert!(refused(&other).contains("is not the MuJoCo library: it has no `mj_versionString`"));
    // The right name on the outside.
    let version = "const char *mj_versionString(void) { return \"3.17.0\"; }";
    let hollow = compiled(folder.path(), "libhollow.so", version);
    assert!(refused(&hollow).contains("it has no `mju_user_error`"));
    let missing = Library::open(&folder.path().join("libmissing.so")).unwrap_err();
    assert!(missing.to_string().contains("libmissing.so"), "{missing}");
}

fn model(text: &str) -> Result<Model, Error> {
    ready::ready();
    Model::from_text(&Library::get().unwrap(), "a test", text)
}

#[test]
fn models_with_errors_are_refused_with_the_parsers_words() {
    ready::ready();
    let library = Library::get().unwrap();
    for (text, words) in [
        ("<mujoco><worldbody><body></worldbody></mujoco>", "XML"),
        ("<mujoco><worldbodi/></mujoco>", "worldbodi"),
        // Parses, and does not compile.
        ("<mujoco><worldbody><body><freejoint/></body></worldbody></mujoco>", "mass"),
        ("nothing", ""),
    ] {
        let error = model(text).unwrap_err().to_string();
        assert!(error.contains("MuJoCo refuses the model") && error.contains(words), "{error}");
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("broken.xml");
        std::fs::write(&file, text).unwrap();
        let error = Model::from_file(&library, &file).unwrap_err().to_string();
        assert!(error.contains("broken.xml") && error.contains(words), "{error}");
    }
    assert!(model("\0").unwrap_err().to_string().contains("zero byte"));
    let missing = Model::from_file(&library, Path::new("/nowhere/there.xml")).unwrap_err();
    assert!(missing.to_string().contains("/nowhere/there.xml"), "{missing}");
}

/// Its state with one velocity so large that the next step cannot be taken.
pub fn exploding(env: &mut Mujoco) {
    let mut state = env.save();
    // Time, positions, velocities.
    state[1 + env.qpos().len()] = 1e12;
    env.restore(&state).unwrap();
}

#[test]
fn a_simulation_that_explodes_truncates_the_episode_and_says_why() {
    for name in ["HalfCheetah-v4", "Ant-v5", "leg-2r-mujoco"] {
        let (mut env, mut rng) = (task(name), Rng::new(1));
        let zero = vec![0.0; env.info().action_dim()];
        // The second time as the first: a warning is not lost because it was heard once.
        for _ in 0..2 {
            env.reset(&mut rng).unwrap();
            for _ in 0..3 {
                env.step(&zero).unwrap();
            }
            assert_eq!(env.failure(), None);
            exploding(&mut env);
            let (before, obs) = (env.save(), env.observe());
            let step = env.step(&zero).unwrap();
            assert_eq!(
                (step.terminated, step.truncated, step.reward),
                (false, true, 0.0),
                "{name}"
            );
            let why = env.failure().unwrap().to_string();
            assert_eq!(env.failure_kind(), Some("qvel"));
            assert!(env.failure_kinds().contains(&"qvel"));
            assert!(why.contains("QVEL") && why.contains("unstable"), "{name}: {why}");
            // Where it was, not where MuJoCo itself put it: only the episode is over.
            assert_eq!(bits(&step.obs), bits(&obs), "{name}");
            let after = env.save();
            assert_eq!(
                bits(&after[..after.len() - 1]),
                bits(&before[..before.len() - 1]),
                "{name}"
            );
            assert!(env.step(&zero).unwrap_err().to_string().contains("call reset"));
            assert!(env.jacobian(&zero, 1e-6).unwrap_err().to_string().contains("QVEL"), "{name}");
        }
        // As in an environment that never saw it.
        let mut rngs = [Rng::new(9), Rng::new(9)];
        let mut fresh = task(name);
        env.reset(&mut rngs[0]).unwrap();
        fresh.reset(&mut rngs[1]).unwrap();
        for _ in 0..20 {
            let (a, b) = (env.step(&zero).unwrap(), fresh.step(&zero).unwrap());
            assert_eq!(bits(&a.obs), bits(&b.obs), "{name}");
        }
        assert_eq!((env.failure(), env.failure_kind()), (None, None));
    }
}

#[test]
fn a_model_of_an_exploding_simulation_ends_there_for_nothing() {
    let mut env = on_its_way("Hopper-v4", &mut Rng::new(2));
    let zero = [0.0; 3];
    exploding(&mut env);
    let obs = env.observe();
    for _ in 0..2 {
        let step = env.simulate(&zero).unwrap();
        assert_eq!((step.terminated, step.truncated, step.reward), (true, false, 0.0));
        assert_eq!(bits(&step.obs), bits(&obs));
    }
    assert!(env.failure().unwrap().contains("QVEL"));
}

#[test]
fn a_start_that_cannot_be_simulated_is_an_error() {
    let mut env = task("HalfCheetah-v4");
    let (qpos, qvel) = ([0.0; 9], [f64::NAN; 9]);
    let error = env.reset_to(&qpos, &qvel).unwrap_err();
    assert!(matches!(error, Error::Env { .. } | Error::NonFinite { .. }), "{error}");
    assert!(env.step(&[0.0; 6]).unwrap_err().to_string().contains("call reset"));
    env.reset_to(&qpos, &[0.0; 9]).unwrap();
    env.step(&[0.0; 6]).unwrap();
}

/// Balls of radius 0.1, so far apart and so high over a floor, with so much memory for what they
/// touch.
fn balls(memory: &str, apart: f64, high: f64) -> String {
    let ball = |i: usize| {
        format!(
            r#"<body pos="{} {} {high}"><freejoint/><geom size="0.1"/></body>"#,
            apart * (i % 5) as f64,
            apart * (i / 5) as f64
        )
    };
    let all: String = (0..25).map(ball).collect();
    format!(
        r#"<mujoco><size memory="{memory}"/><worldbody><geom type="plane" size="5 5 1"/>{all}</worldbody></mujoco>"#
    )
}

#[test]
fn mujoco_giving_up_is_an_error_and_not_the_end_of_the_process() {
    let model = std::sync::Arc::new(model(&balls("160K", 0.15, 0.09)).unwrap());
    for _ in 0..2 {
        let mut data = Data::new(&model).unwrap();
        let error = data.step(1).unwrap_err();
        assert!(matches!(error, Error::Env { .. }), "{error}");
        let text = error.to_string();
        assert!(text.contains("MuJoCo gave up") && text.contains("stack"), "{text}");
    }
    // The process and the library are as good as before.
    let mut env = task("HalfCheetah-v4");
    env.reset(&mut Rng::new(0)).unwrap();
    env.step(&[0.0; 6]).unwrap();
}

#[test]
fn a_full_buffer_of_contacts_is_heard() {
    let model = std::sync::Arc::new(model(&balls("60K", 0.15, 0.09)).unwrap());
    let mut data = Data::new(&model).unwrap();
    for _ in 0..2 {
        let warning = data.step(1).unwrap().unwrap();
        assert!(warning.contains("full") || warning.contains("memory"), "{warning}");
        data.reset().unwrap();
    }
    assert!(matches!(data.get(Parts::QPOS, &mut [0.0]), Err(Error::Shape { .. })));
}

/// A task on a model of our own, with actions up to `limit`.
fn own(text: String, obs_dim: usize, limit: f64) -> Task {
    Task {
        parameters: &[],
        name: "own",
        file: File::Own("own", text.leak()),
        frames: 1,
        timestep: 0.002,
        limits: vec![limit].leak(),
        obs_dim,
        obs: &[Part::Qpos(0, END)],
        bodies: &[],
        start: Start::Uniform(0.0, 0.0),
        reward: Reward::Balance { always: true },
        end: End::Never,
        max_steps: 10,
    }
}

/// A body on a slide, with a motor that takes any force.
const SLIDE: &str = r#"<worldbody><body><joint name="j" type="slide"/><geom size="1"/></body></worldbody>
    <actuator><motor joint="j"/></actuator>"#;

/// Cut, where it was, for the reason `kind`.
fn assert_cut(env: &mut Mujoco, action: &[f64], kind: &str) {
    let before = env.observe();
    let step = env.step(action).unwrap();
    let ends = (step.terminated, step.truncated, step.reward);
    assert_eq!(ends, (false, true, 0.0), "expected {kind}");
    assert_eq!(bits(&step.obs), bits(&before));
    assert_eq!(env.failure_kind(), Some(kind), "{:?}", env.failure());
}

#[test]
fn huge_actions_truncate_the_episode() {
    let slide = format!("<mujoco>{SLIDE}</mujoco>");
    let geared = slide.replace("<motor", r#"<motor gear="1e6""#);
    for (text, limit, kind) in [(slide, 1e18, "ctrl"), (geared, 1e9, "qacc")] {
        let task = Box::leak(Box::new(own(text, 1, limit)));
        let mut env = Mujoco::new(task, &Library::get().unwrap()).unwrap();
        for _ in 0..2 {
            env.reset(&mut Rng::new(1)).unwrap();
            assert_cut(&mut env, &[limit], kind);
        }
        // In a model, plans through it must be the worst.
        env.reset(&mut Rng::new(1)).unwrap();
        let state = Spec::f64().tensor(&env.save(), (1, env.state_dim())).unwrap();
        let model = SimulatedDynamics::new(Box::new(env), Spec::f64());
        for (action, reward, cont) in [(1.0, FAILED, 0.0), (0.0, 1.0, 1.0)] {
            let action = Spec::f64().tensor(&[action], (1, 1)).unwrap();
            let step = model.step(&state, &action, &StepNoise::default()).unwrap();
            let numbers = [to_f64(&step.reward).unwrap()[0], to_f64(&step.cont).unwrap()[0]];
            assert_eq!(numbers, [reward, cont]);
        }
    }
}

/// An environment of balls that lie apart at first: at a start that is too crowded, the reset is an
/// error.
fn crowd(memory: &str) -> Mujoco {
    let with_motor = r#"<body pos="0 0 9"><joint name="j" type="slide"/><geom size="0.1"/></body>
        </worldbody><actuator><motor joint="j"/></actuator>"#;
    let apart = balls(memory, 0.25, 0.2).replace("</worldbody>", with_motor);
    let task = Box::leak(Box::new(own(apart, 25 * 7 + 1, 1.0)));
    Mujoco::new(task, &Library::get().unwrap()).unwrap()
}

/// Puts them into each other.
fn crowded(env: &mut Mujoco) {
    env.reset(&mut Rng::new(1)).unwrap();
    let mut state = env.save();
    for ball in 0..25 {
        // Time, then x, y, z and a quaternion each.
        let place = &mut state[1 + 7 * ball..][..3];
        place.copy_from_slice(&[0.15 * (ball % 5) as f64, 0.15 * (ball / 5) as f64, 0.09]);
    }
    env.restore(&state).unwrap();
}

#[test]
fn a_full_buffer_of_constraints_truncates_the_episode() {
    let mut env = crowd("60K");
    for _ in 0..2 {
        crowded(&mut env);
        assert_cut(&mut env, &[0.0], "constraints_full");
    }
}

#[test]
fn an_environment_goes_on_after_a_reset_where_mujoco_gave_up() {
    let mut env = crowd("160K");
    env.reset(&mut Rng::new(1)).unwrap();
    let expected = bits(&env.step(&[0.5]).unwrap().obs);
    for _ in 0..2 {
        crowded(&mut env);
        let error = env.step(&[0.0]).unwrap_err().to_string();
        assert!(error.contains("environment `own`") && error.contains("MuJoCo gave up"), "{error}");
        let error = env.step(&[0.0]).unwrap_err().to_string();
        assert!(error.contains("call reset"), "{error}");
        env.reset(&mut Rng::new(1)).unwrap();
        assert_eq!(bits(&env.step(&[0.5]).unwrap().obs), expected);
    }
}

#[test]
fn a_definition_of_numbers_that_are_not_there_is_refused() {
    let task = || own(format!("<mujoco>{SLIDE}</mujoco>"), 1, 1.0);
    let within = Within { qpos: 3, low: 0.0, high: 1.0, closed: true };
    let within: &'static [Within] = vec![within].leak();
    for (task, words) in [
        (
            Task { reward: Reward::Seen { velocity: 1, height: None }, ..task() },
            "reads 2 observations, and there are 1",
        ),
        (
            Task { end: End::Unhealthy { within, most: f64::INFINITY }, ..task() },
            "ends by position 3, with which no observation begins",
        ),
        (
            // As many observations as that, but the fourth is another number.
            Task {
                obs: &[
                    Part::Cos(0, END),
                    Part::Qpos(0, END),
                    Part::Qvel(0, END),
                    Part::Qvel(0, END),
                ],
                obs_dim: 4,
                end: End::Unhealthy { within, most: f64::INFINITY },
                ..task()
            },
            "ends by position 3, with which no observation begins",
        ),
        (
            Task {
                end: End::Unhealthy { within: &[], most: 9.0 },
                obs: &[Part::Qvel(0, END)],
                ..task()
            },
            "bounds numbers that its observation does not begin with",
        ),
        (Task { limits: &[-1.0], ..task() }, "limits an action to -1"),
        (
            Task {
                obs: &[
                    Part::Qpos(0, END),
                    Part::Qvel(0, END),
                    Part::Qvel(0, END),
                    Part::Qvel(0, END),
                ],
                obs_dim: 4,
                end: End::Unhealthy { within, most: f64::INFINITY },
                ..task()
            },
            "positions 1, the task expects 4 or more",
        ),
        (
            Task { obs: &[Part::Between(0, 0, 4)], obs_dim: 4, ..task() },
            "shows 4 coordinates of a difference, which has 3",
        ),
    ] {
        let library = Library::get().unwrap();
        let error = Mujoco::new(Box::leak(Box::new(task)), &library).unwrap_err().to_string();
        assert!(error.contains("environment `own`") && error.contains(words), "{error}");
    }
}
