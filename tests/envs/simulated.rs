//! A simulator as the model, and closures as models.

use std::sync::Arc;

use candle_core::Tensor;
use hstep::Error;
use hstep::dynamics::simulated::{FnDynamics, SimulatedDynamics};
use hstep::dynamics::{Dynamics, StepNoise, Transition, native_model};
use hstep::env::native::{self, MountainCar, Native, Pendulum};
use hstep::env::{Env, EnvFactory, Simulator};
use hstep::rng::Rng;
use hstep::shape::{Spec, to_f64};

fn oracle(name: &str) -> SimulatedDynamics {
    SimulatedDynamics::new(native::simulator(name).unwrap(), Spec::f64())
}

#[test]
fn the_oracle_is_its_simulator_and_agrees_with_the_model() {
    for name in [
        "pendulum",
        "cartpole-swingup",
        "double-integrator",
        "acrobot",
        "reacher-2",
        "leg-2r",
        "stand-in",
    ] {
        let (oracle, model) = (oracle(name), native_model(name, &Spec::f64()).unwrap());
        let mut rng = Rng::new(4);
        let mut envs: Vec<_> = (0..3).map(|_| native::simulator(name).unwrap()).collect();
        let mut saved = Vec::new();
        for env in &mut envs {
            env.reset(&mut rng).unwrap();
            saved.extend(env.save());
        }
        let mut state = Spec::f64().tensor(&saved, (3, oracle.state_dim())).unwrap();
        let mut obs = oracle.observe(&state).unwrap();
        for _ in 0..30 {
            let dim = oracle.action_dim();
            let a: Vec<f64> = (0..3 * dim).map(|_| 2.4 * rng.uniform() - 1.2).collect();
            let action = Spec::f64().tensor(&a, (3, dim)).unwrap();
            let step = oracle.step(&state, &action, &StepNoise::default()).unwrap();
            let smooth = model.step(&obs, &action, &StepNoise::default()).unwrap();
            let next = oracle.observe(&step.next).unwrap();
            let (observed, rewards) = (to_f64(&next).unwrap(), to_f64(&step.reward).unwrap());
            let width = observed.len() / 3;
            for (i, env) in envs.iter_mut().enumerate() {
                let units = env.info().denormalise(&a[i * dim..(i + 1) * dim]).unwrap();
                let real = env.step(&units).unwrap();
                assert_eq!(real.obs, observed[i * width..(i + 1) * width], "{name}");
                assert_eq!(real.reward, rewards[i]);
            }
            for (ours, theirs) in [(&next, &smooth.next), (&step.reward, &smooth.reward)] {
                let pairs = to_f64(ours).unwrap().into_iter().zip(to_f64(theirs).unwrap());
                assert!(pairs.into_iter().all(|(x, y)| (x - y).abs() < 1e-9 * (1.0 + y.abs())));
            }
            assert_eq!(to_f64(&step.cont).unwrap(), [1.0; 3]);
            (state, obs) = (step.next, next);
        }
    }
}

#[test]
fn the_clock_does_not_end_a_rollout() {
    let mut env = Native::new(Pendulum::default());
    env.reset(&mut Rng::new(0)).unwrap();
    for _ in 0..200 {
        env.step(&[0.5]).unwrap();
    }
    let oracle = oracle("pendulum");
    let state = Spec::f64().tensor(&env.save(), (1, env.state_dim())).unwrap();
    let action = Spec::f64().zeros((1, 1)).unwrap();
    let step = oracle.step(&state, &action, &StepNoise::default()).unwrap();
    assert_eq!(to_f64(&step.cont).unwrap(), [1.0]);
    assert_ne!(to_f64(&step.reward).unwrap(), [0.0]);
}

#[test]
fn terminated_rows_stay_and_their_neighbours_go_on() {
    let (mut car, mut saved) = (Native::new(MountainCar::default()), Vec::new());
    for start in [[0.44, 0.05], [-0.5, 0.0]] {
        car.reset_to(&start).unwrap();
        saved.extend(car.save());
    }
    let oracle = oracle("mountain-car");
    let start = Spec::f64().tensor(&saved, (2, oracle.state_dim())).unwrap();
    let action = Spec::f64().tensor(&[1.0, 1.0], (2, 1)).unwrap();
    let goal = oracle.step(&start, &action, &StepNoise::default()).unwrap();
    assert_eq!(to_f64(&goal.cont).unwrap(), [0.0, 1.0]);
    assert!((to_f64(&goal.reward).unwrap()[0] - 99.9).abs() < 1e-12);
    let after = oracle.step(&goal.next, &action, &StepNoise::default()).unwrap();
    assert_eq!(to_f64(&after.cont).unwrap(), [0.0, 1.0]);
    assert_eq!(to_f64(&after.reward).unwrap()[0], 0.0);
    let rows = |t: &Tensor| t.to_vec2::<f64>().unwrap();
    assert_eq!(rows(&after.next)[0], rows(&goal.next)[0]);
    assert_ne!(rows(&after.next)[1], rows(&goal.next)[1]);
}

#[test]
fn shapes_and_bad_actions_are_refused() {
    let oracle = oracle("pendulum");
    let zeros = |shape: (usize, usize)| Spec::f64().zeros(shape).unwrap();
    let step = |s: &Tensor, a: &Tensor| oracle.step(s, a, &StepNoise::default());
    assert!(step(&zeros((2, 4)), &zeros((2, 1))).is_ok());
    assert!(matches!(step(&zeros((2, 3)), &zeros((2, 1))), Err(Error::Shape { .. })));
    assert!(matches!(step(&zeros((2, 4)), &zeros((1, 1))), Err(Error::Shape { .. })));
    assert!(matches!(oracle.observe(&zeros((1, 3))), Err(Error::Shape { .. })));
    let nan = Spec::f64().tensor(&[0.0, f64::NAN], (2, 1)).unwrap();
    assert!(matches!(step(&zeros((2, 4)), &nan), Err(Error::NonFinite { .. })));
    // The failure leaves the model usable.
    assert!(step(&zeros((2, 4)), &zeros((2, 1))).is_ok());
}

#[test]
fn a_closure_is_a_model_whose_results_are_checked() {
    let sum = |s: &Tensor, a: &Tensor, noise: &StepNoise| {
        let moved = (s + a)?;
        let next = match &noise.normal {
            Some(n) => (moved + n)?,
            None => moved,
        };
        let reward = next.sum(1)?;
        Ok(Transition { cont: reward.ones_like()?, reward, next })
    };
    let model = FnDynamics::new(2, 2, Spec::f64(), sum).with_noise(2);
    assert_eq!((model.state_dim(), model.action_dim(), model.noise_dim()), (2, 2, 2));
    let t = |x: &[f64]| Spec::f64().tensor(x, (1, x.len())).unwrap();
    let noise = StepNoise { normal: Some(t(&[10.0, 20.0])), ..StepNoise::default() };
    let step = model.step(&t(&[1.0, 2.0]), &t(&[0.5, 0.5]), &noise).unwrap();
    assert_eq!(to_f64(&step.next).unwrap(), [11.5, 22.5]);
    assert_eq!(to_f64(&step.reward).unwrap(), [34.0]);
    assert!(model.step(&t(&[1.0]), &t(&[0.5, 0.5]), &noise).is_err());

    let wrong = FnDynamics::new(2, 2, Spec::f64(), |s: &Tensor, _: &Tensor, _: &StepNoise| {
        let flat = s.sum_keepdim(1)?;
        Ok(Transition { next: s.clone(), reward: flat.clone(), cont: flat })
    });
    let error = wrong.step(&t(&[1.0, 2.0]), &t(&[0.5, 0.5]), &noise).unwrap_err().to_string();
    assert!(error.contains("reward that a closure model returned"), "{error}");
}

/// Many rows on a simulator a thread are the rows that one simulator steps one after the other.
#[test]
fn a_pool_of_simulators_has_the_bits_of_one() {
    let make: EnvFactory = Arc::new(|| native::make("acrobot"));
    let many = SimulatedDynamics::many(make, Spec::f32()).unwrap();
    let one = SimulatedDynamics::new(native::simulator("acrobot").unwrap(), Spec::f32());
    let (mut rng, mut saved) = (Rng::new(4), Vec::new());
    for _ in 0..101 {
        let mut env = native::simulator("acrobot").unwrap();
        env.reset(&mut rng).unwrap();
        saved.extend(env.save());
    }
    let mut state = Spec::f32().tensor(&saved, (101, one.state_dim())).unwrap();
    let bits = |t: &Tensor| t.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    for _ in 0..5 {
        let action = rng.normals((101, one.action_dim()), &Spec::f32()).unwrap();
        let noise = StepNoise::default();
        let (a, b) = (
            many.step(&state, &action, &noise).unwrap(),
            one.step(&state, &action, &noise).unwrap(),
        );
        for (a, b) in [(&a.next, &b.next), (&a.reward, &b.reward), (&a.cont, &b.cont)] {
            assert_eq!(bits(a), bits(b));
        }
        assert_eq!(bits(&many.observe(&a.next).unwrap()), bits(&one.observe(&a.next).unwrap()));
        state = a.next;
    }
    // An error in one row is that of the whole, and the pool goes on.
    let mut broken = saved.clone();
    broken[one.state_dim() * 60 + one.state_dim() - 1] = 77.0;
    let broken = Spec::f32().tensor(&broken, (101, one.state_dim())).unwrap();
    assert!(many.observe(&broken).is_err());
    assert_eq!(bits(&many.observe(&state).unwrap()), bits(&one.observe(&state).unwrap()));
}
