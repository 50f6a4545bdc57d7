//! The leg on MuJoCo against the native leg: two implementations of one body.

use hstep::dynamics::{Dynamics, StepNoise};
use hstep::env::mujoco::Jacobian;
use hstep::env::native::{Leg2R, Model, Native};
use hstep::env::{Env, Simulator};
use hstep::rng::Rng;
use hstep::shape::{Spec, to_f64};

use super::{random_action, task};

#[test]
fn both_legs_go_the_same_way_and_earn_the_same() {
    for seed in 0..4 {
        let (mut ours, mut native) = (task("leg-2r-mujoco"), Native::new(Leg2R::default()));
        assert_eq!(
            (ours.info().obs_dim, &ours.info().action_high, ours.info().max_steps),
            (native.info().obs_dim, &native.info().action_high, native.info().max_steps)
        );
        let first = ours.reset(&mut Rng::new(seed)).unwrap();
        let same = native.reset(&mut Rng::new(seed)).unwrap();
        let near = |a: &[f64], b: &[f64]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-9);
        assert!(near(&first, &same), "{first:?} {same:?}");
        let mut rng = Rng::new(seed).fork("actions");
        for t in 1..=200 {
            let action = random_action(&native, &mut rng);
            let (a, b) = (ours.step(&action).unwrap(), native.step(&action).unwrap());
            // The same Runge-Kutta steps of the same equations: only their arithmetic differs.
            assert!(near(&a.obs, &b.obs) && (a.reward - b.reward).abs() < 1e-9, "step {t}");
            assert_eq!((a.terminated, a.truncated), (b.terminated, b.truncated), "step {t}");
        }
    }
}

#[test]
fn differences_of_the_simulator_are_the_gradients_of_the_model() {
    let spec = Spec::f64();
    let model = Model::new(Leg2R::default(), spec.clone());
    let (mut env, mut rng) = (task("leg-2r-mujoco"), Rng::new(4));
    env.reset(&mut rng).unwrap();
    for _ in 0..20 {
        let action: Vec<f64> = random_action(&env, &mut rng).iter().map(|a| 0.9 * a).collect();
        let Jacobian { states, actions, state, action: by_action } =
            env.jacobian(&action, 1e-6).unwrap();
        assert_eq!((states, actions), (4, 2));
        let high = env.info().action_high.clone();
        let normal: Vec<f64> = action.iter().zip(&high).map(|(a, most)| a / most).collect();
        let obs = candle_core::Var::from_tensor(&spec.tensor(&env.observe(), (1, 8)).unwrap());
        let obs = obs.unwrap();
        let normal = candle_core::Var::from_tensor(&spec.tensor(&normal, (1, 2)).unwrap()).unwrap();
        let next = model.step(&obs, &normal, &StepNoise::default()).unwrap().next;
        for (row, column) in [(2, 4), (3, 5)] {
            // The rates of both joints, and what moves them: angles through their cos and sin.
            let gradients = next.narrow(1, column, 1).unwrap().sum_all().unwrap().backward();
            let gradients = gradients.unwrap();
            let of_obs = to_f64(gradients.get(&obs).unwrap()).unwrap();
            let of_action = to_f64(gradients.get(&normal).unwrap()).unwrap();
            let x = env.observe();
            let angle = |i: usize| of_obs[i + 1] * x[i] - of_obs[i] * x[i + 1];
            let expected = [angle(0), angle(2), of_obs[4], of_obs[5]];
            for (column, expected) in expected.iter().enumerate() {
                let got = state[row * 4 + column];
                // Centred differences over 2e-6: 1e-16 / 1e-6 by rounding, h^2 by the third order.
                assert!((got - expected).abs() < 1e-6, "{row}, {column}: {got} {expected}");
            }
            for (column, (gradient, most)) in of_action.iter().zip(&high).enumerate() {
                let got = by_action[row * 2 + column];
                assert!((got - gradient / most).abs() < 1e-6, "{row}, action {column}: {got}");
            }
        }
        env.step(&action).unwrap();
    }
}
