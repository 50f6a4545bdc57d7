//! The control suite's ball in a cup, and physical parameters of models.

use hstep::dynamics::simulated::SimulatedDynamics;
use hstep::dynamics::{Dynamics, Member, SimulatorConfig, StepNoise};
use hstep::env::mujoco::definition::File;
use hstep::env::mujoco::{self, Library, Mujoco, Task};
use hstep::env::{self, Env, EnvFactory, Simulator};
use hstep::rng::Rng;
use hstep::shape::{Spec, to_f64};

use super::golden::{Lcg, fnv, folder, json, numbers};
use super::{bits, on_its_way, ready, task};

/// As the Python package steps it, to the bit; `tests/golden/make_dm_control.py` made the file.
#[test]
fn the_cup_goes_the_way_of_the_control_suite_to_the_bit() {
    ready::ready();
    let header = json("ball-in-cup.json");
    assert_eq!(header["provenance"]["mujoco"], Library::get().unwrap().version());
    let (mut env, mut lcg) = (task("ball-in-cup"), Lcg(header["seed"].as_u64().unwrap()));
    let mut obs = env.reset_to(&numbers(&header["qpos"]), &[0.0; 4]).unwrap();
    let rows = std::fs::read_to_string(folder().join("ball-in-cup.csv")).unwrap();
    assert_eq!(rows.lines().count(), 500);
    let mut caught = 0.0;
    for (row, i) in rows.lines().zip(1..) {
        let action = [f64::from(lcg.next()), f64::from(lcg.next())];
        let step = env.step(&action).unwrap();
        if let Some(full) = header["observations"].get(i.to_string()) {
            assert_eq!(bits(&step.obs), bits(&numbers(full)), "step {i}");
        }
        let own = format!("{:08x},{}", fnv(step.obs.iter().copied()), step.reward);
        assert_eq!(own, row, "step {i}");
        caught += step.reward;
        obs = step.obs;
    }
    assert!(caught > 5.0 && obs.len() == 8);
}

#[test]
fn mpqs_cup_is_the_same_body_with_its_own_numbers() {
    let (suite, mpq) = (task("ball-in-cup"), task("ball-in-cup-sparse"));
    let of = |env: &Mujoco, name: &str| {
        env.parameters().into_iter().find(|p| p.name == name).unwrap().value
    };
    for (name, own) in [("mass:ball", 0.058), ("inertia:ball", 1.47e-5), ("stiffness:string", 0.05)]
    {
        assert!((of(&mpq, name) - own).abs() < 1e-12 * own, "{name}");
        assert!((of(&suite, name) - own).abs() > 0.05 * own, "{name}");
    }
    let mut env = mpq;
    let obs = env.reset_to(&[0.01, 0.02, 0.013, 0.36], &[0.0; 4]).unwrap();
    let near = |got: &[f64], want: &[f64]| got.iter().zip(want).all(|(a, b)| (a - b).abs() < 1e-12);
    // The ball, and from it to the middle of the cup.
    assert_eq!(obs.len(), 12);
    assert!(near(&obs[8..], &[0.013, 0.56, -0.003, 0.01]), "{obs:?}");
    assert_eq!(env.step(&[0.0, 0.0]).unwrap().reward, 0.0);
    env.reset_to(&[0.0, 0.0, 0.1, 0.3], &[0.0; 4]).unwrap();
    assert_eq!(env.step(&[0.0, 0.0]).unwrap().reward, -1.0);
}

/// A pendulum of this mass, inertia (of which the others are shares), damping and stiffness.
fn text(mass: f64, inertia: f64, damping: f64, stiffness: f64) -> String {
    let others = [0.5 * inertia, inertia, 0.75 * inertia];
    format!(
        r#"<mujoco><worldbody><body name="rod"><inertial pos="0 0 -0.5" mass="{mass}"
          diaginertia="{} {} {}"/><joint name="pin" axis="0 1 0" damping="{damping}"
          stiffness="{stiffness}"/></body></worldbody><actuator><motor joint="pin"/></actuator></mujoco>"#,
        others[0], others[1], others[2]
    )
}

fn pendulum(text: String) -> Mujoco {
    ready::ready();
    let leg = *mujoco::task("InvertedPendulum-v4").unwrap();
    let task = Task {
        name: "rod",
        file: File::Own(Box::leak(text.clone().into_boxed_str()), Box::leak(text.into_boxed_str())),
        timestep: 0.002,
        limits: &[1.0],
        obs_dim: 2,
        end: mujoco::definition::End::Never,
        ..leg
    };
    Mujoco::new(Box::leak(Box::new(task)), &Library::get().unwrap()).unwrap()
}

/// A model whose parameters are set is the model that was written with them.
#[test]
fn a_model_with_parameters_set_is_the_model_written_so() {
    let mut set = pendulum(text(1.0, 0.25, 0.125, 0.5));
    let names = ["mass:rod", "inertia:rod", "damping:pin", "stiffness:pin"];
    set.vary(&names).unwrap();
    for values in [[2.0, 0.375, 0.25, 0.75], [0.5, 0.125, 0.0625, 0.25], [1.0, 0.25, 0.125, 0.5]] {
        let mut written = pendulum(text(values[0], values[1], values[2], values[3]));
        set.set_varied(&values).unwrap();
        let first = [set.reset_to(&[0.7], &[0.1]), written.reset_to(&[0.7], &[0.1])];
        let [a, b] = first.map(Result::unwrap);
        assert_eq!(bits(&a), bits(&b));
        for t in 0..50 {
            // Setting again, in the middle of an episode, changes nothing.
            set.set_varied(&values).unwrap();
            let action = [(f64::from(t)).sin()];
            let (a, b) = (set.step(&action).unwrap(), written.step(&action).unwrap());
            assert_eq!(bits(&a.obs), bits(&b.obs), "{values:?} at {t}");
        }
    }
    let error = set.vary(&["mass:rot"]).unwrap_err().to_string();
    assert!(error.contains("did you mean `mass:rod`?"), "{error}");
}

/// Drawing a mass in the middle of an episode leaves the state alone, and does not reach the other
/// simulations of the same file.
#[test]
fn a_draw_leaves_the_state_and_other_simulations_alone() {
    let mut rng = Rng::new(3);
    let mut env = on_its_way("ball-in-cup-sparse", &mut rng);
    let mut other = task("ball-in-cup-sparse");
    other.reset(&mut rng).unwrap();
    let saved = env.save();
    env.vary(&["mass:ball", "stiffness:string"]).unwrap();
    env.set_varied(&[0.5, 1.0]).unwrap();
    assert_eq!(bits(&env.save()), bits(&saved));
    assert_eq!(other.parameters().iter().find(|p| p.name == "mass:ball").unwrap().value, 0.058);
    other.restore(&saved).unwrap();
    let (mut a, mut b) = (0.0, 0.0);
    for _ in 0..20 {
        a = env.simulate(&[1.0, -1.0]).unwrap().obs[3];
        b = other.simulate(&[1.0, -1.0]).unwrap().obs[3];
    }
    assert_ne!(a, b);
}

#[test]
fn simulators_of_a_task_are_drawn_like_those_of_a_native_one() {
    ready::ready();
    let name = "ball-in-cup-sparse";
    let config = SimulatorConfig {
        bias: [("mass:ball".to_string(), 1.0)].into(),
        spread: [("mass:ball".to_string(), 0.5), ("stiffness:string".to_string(), 0.9)].into(),
        ..SimulatorConfig::default()
    };
    let make: EnvFactory = std::sync::Arc::new(move || env::make(name));
    let spec = Spec::f64();
    let many = SimulatedDynamics::many(make, spec.clone()).unwrap();
    let many = many.with(&config, Rng::new(1)).unwrap();
    let one = SimulatedDynamics::new(env::simulator(name).unwrap(), spec.clone());
    let one = one.with(&config, Rng::new(1)).unwrap();
    let saved = on_its_way(name, &mut Rng::new(8)).save();
    let rows: Vec<f64> = saved.iter().copied().cycle().take(40 * saved.len()).collect();
    let mut states = [(); 2].map(|()| spec.tensor(&rows, (40, saved.len())).unwrap());
    let u = Rng::new(2).key().uniforms(0, 40, 0);
    for t in 0..10 {
        let action = Rng::new(t).normals((40, 2), &spec).unwrap();
        let noise = StepNoise { normal: None, member: Member::Rows(u.clone()) };
        let steps = [&many, &one].map(|m| m.step(&states[0], &action, &noise).unwrap().next);
        let [a, b] = steps.each_ref().map(|x| bits(&to_f64(x).unwrap()));
        assert_eq!(a, b, "step {t}");
        let distinct: std::collections::BTreeSet<u64> =
            a.chunks(saved.len()).map(|row| row[4]).collect();
        assert!(distinct.len() > 30, "{}", distinct.len());
        states = steps;
    }
}
