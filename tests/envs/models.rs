//! Every native environment's tensor form against its `f64` form, and against finite differences.

use candle_core::{Tensor, Var};
use hstep::dynamics::{Dynamics, StepNoise, native_model};
use hstep::env::Env;
use hstep::env::native::{
    self, Acrobot, CartpoleSwingup, DoubleIntegrator, Leg2R, Maze, Model, MountainCar, Native,
    Pendulum, Physics, Reacher2, StandIn,
};
use hstep::rng::Rng;
use hstep::shape::{Spec, scalar, to_f64};

fn close(a: &[f64], b: &[f64], tolerance: f64) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| (a - b).abs() <= tolerance * (1.0 + b.abs()))
}

fn row(x: &[f64], spec: &Spec) -> Tensor {
    spec.tensor(x, (1, x.len())).unwrap()
}

/// Holds the model and the known functions against the environment over random episodes.
fn agrees<P: Physics>(physics: &P, spec: &Spec, tolerance: f64) {
    let name = physics.info().name;
    let mut env = Native::new(physics.clone());
    let model = Model::new(physics.clone(), spec.clone());
    let known = env.known();
    assert_eq!(known.continuation.is_some(), P::TERMINATES);
    let mut rng = Rng::new(13);
    let mut terminated = 0;
    for episode in 0..12 {
        let mut obs = env.reset(&mut rng).unwrap();
        let dim = env.info().action_dim();
        let mut action = vec![0.0; dim];
        for t in 0.. {
            // Beyond the range too, held long enough to reach walls, springs and goals.
            if t % 12 == 0 {
                action = (0..dim).map(|_| 3.0 * (2.0 * rng.uniform() - 1.0)).collect();
            }
            if episode % 3 == 0 {
                action = vec![env.state()[1].signum(); dim];
            }
            let units = env.info().denormalise(&action).unwrap();
            let step = env.step(&units).unwrap();
            let (s, a, next) = (row(&obs, spec), row(&action, spec), row(&step.obs, spec));
            let model = model.step(&s, &a, &StepNoise::default()).unwrap();
            let place = format!("{name}, episode {episode}, step {t}");
            let cont = if step.terminated { 0.0 } else { 1.0 };
            assert!(close(&to_f64(&model.next).unwrap(), &step.obs, tolerance), "{place}");
            assert!(close(&to_f64(&model.reward).unwrap(), &[step.reward], tolerance), "{place}");
            assert_eq!(to_f64(&model.cont).unwrap(), [cont], "{place}");
            assert_eq!(model.next.dtype(), spec.dtype);
            let reward = known.reward.as_ref().unwrap()(&s, &a, &next).unwrap();
            assert!(close(&to_f64(&reward).unwrap(), &[step.reward], tolerance), "{place}");
            if let Some(continuation) = &known.continuation {
                assert_eq!(to_f64(&continuation(&s, &a, &next).unwrap()).unwrap(), [cont]);
            }
            obs = step.obs;
            if step.terminated || step.truncated {
                terminated += usize::from(step.terminated);
                break;
            }
        }
    }
    assert_eq!(terminated > 0, P::TERMINATES, "{name}: {terminated} episodes terminated");
}

#[test]
fn models_equal_their_environments_in_double_precision() {
    let spec = Spec::f64();
    agrees(&Pendulum::default(), &spec, 1e-9);
    agrees(&MountainCar::double(), &spec, 1e-9);
    agrees(&CartpoleSwingup::default(), &spec, 1e-9);
    agrees(&DoubleIntegrator::default(), &spec, 1e-9);
    agrees(&Acrobot::default(), &spec, 1e-9);
    agrees(&Reacher2::default(), &spec, 1e-9);
    agrees(&Leg2R::default(), &spec, 1e-9);
    agrees(&StandIn::default(), &spec, 1e-9);
}

#[test]
fn models_equal_their_environments_in_single_precision() {
    let spec = Spec::f32();
    agrees(&Pendulum::default(), &spec, 1e-5);
    agrees(&MountainCar::double(), &spec, 1e-5);
    agrees(&CartpoleSwingup::default(), &spec, 1e-5);
    agrees(&DoubleIntegrator::default(), &spec, 1e-5);
    agrees(&Acrobot::default(), &spec, 1e-5);
    agrees(&Reacher2::default(), &spec, 1e-5);
    agrees(&Leg2R::default(), &spec, 1e-5);
    agrees(&StandIn::default(), &spec, 1e-5);
}

/// Random episodes seldom roll back through the goal: the tensor form at chosen states.
#[test]
fn the_goal_needs_position_and_velocity() {
    let (spec, known) = (Spec::f64(), Native::new(MountainCar::default()).known());
    let next = [0.45, 0.0, 0.44, 0.05, 0.5, -0.01, 0.6, 0.07];
    let next = spec.tensor(&next, (4, 2)).unwrap();
    let action = spec.tensor(&[1.0, 0.0, 0.5, -1.0], (4, 1)).unwrap();
    let of = |f: &hstep::env::RewardFn| to_f64(&f(&next, &action, &next).unwrap()).unwrap();
    assert_eq!(of(known.continuation.as_ref().unwrap()), [0.0, 1.0, 1.0, 0.0]);
    assert!(close(&of(known.reward.as_ref().unwrap()), &[99.9, 0.0, -0.025, 99.9], 1e-12));
}

/// What Gymnasium's rounding costs: the registered car and its model differ by single precision.
#[test]
fn the_rounded_car_is_its_model_to_single_precision() {
    let (mut car, mut rng) = (Native::new(MountainCar::default()), Rng::new(0));
    let model = native_model("mountain-car", &Spec::f64()).unwrap();
    let mut obs = car.reset(&mut rng).unwrap();
    for _ in 0..300 {
        let action = [2.0 * rng.uniform() - 1.0];
        let spec = Spec::f64();
        let step = model.step(&row(&obs, &spec), &row(&action, &spec), &StepNoise::default());
        obs = car.step(&action).unwrap().obs;
        assert!(close(&to_f64(&step.unwrap().next).unwrap(), &obs, 2e-7));
    }
}

#[test]
fn a_batch_is_its_rows() {
    for name in native::names() {
        let model = native_model(name, &Spec::f64()).unwrap();
        let (mut env, mut rng) = (native::simulator(name).unwrap(), Rng::new(3));
        let obs: Vec<Vec<f64>> = (0..5).map(|_| env.reset(&mut rng).unwrap()).collect();
        let dim = model.action_dim();
        let actions: Vec<f64> = (0..5 * dim).map(|_| 2.0 * rng.uniform() - 1.0).collect();
        let states = Spec::f64().tensor(&obs.concat(), (5, obs[0].len())).unwrap();
        let batch = model
            .step(&states, &Spec::f64().tensor(&actions, (5, dim)).unwrap(), &StepNoise::default())
            .unwrap();
        assert_eq!((batch.reward.dims(), batch.cont.dims()), (&[5][..], &[5][..]));
        for i in 0..5 {
            let (s, a) =
                (row(&obs[i], &Spec::f64()), row(&actions[i * dim..(i + 1) * dim], &Spec::f64()));
            let one = model.step(&s, &a, &StepNoise::default()).unwrap();
            let same =
                |a: Tensor, b: Tensor| close(&to_f64(&a).unwrap(), &to_f64(&b).unwrap(), 0.0);
            assert!(same(batch.next.narrow(0, i, 1).unwrap(), one.next), "{name}");
            assert!(same(batch.reward.narrow(0, i, 1).unwrap(), one.reward), "{name}");
        }
    }
}

#[test]
fn models_refuse_other_shapes_by_name() {
    let model = native_model("pendulum", &Spec::f32()).unwrap();
    let step = |s: (usize, usize), a: (usize, usize)| {
        let zeros = |shape| Spec::f32().zeros(shape).unwrap();
        model.step(&zeros(s), &zeros(a), &StepNoise::default())
    };
    assert!(step((4, 3), (4, 1)).is_ok());
    for (s, a) in [((4, 2), (4, 1)), ((4, 3), (3, 1)), ((4, 3), (4, 2))] {
        let error = step(s, a).unwrap_err().to_string();
        assert!(error.contains("native model") && error.contains("expected"), "{error}");
    }
}

/// A smooth number that depends on every output: `w . next + 0.7 reward`.
fn probe(model: &dyn Dynamics, s: &Tensor, a: &Tensor) -> Tensor {
    let step = model.step(s, a, &StepNoise::default()).unwrap();
    let width = step.next.dims()[1];
    let weights: Vec<f64> = (0..width).map(|i| 0.3 + 0.4 * i as f64).collect();
    let next = step.next.broadcast_mul(&row(&weights, &Spec::f64())).unwrap();
    (next.sum_all().unwrap() + (step.reward.sum_all().unwrap() * 0.7).unwrap()).unwrap()
}

/// Gradients of [`probe`] by autodiff and by central differences, state then action.
fn gradients(model: &dyn Dynamics, s: &[f64], a: &[f64]) -> (Vec<f64>, Vec<f64>) {
    let spec = Spec::f64();
    let var = |x: &[f64]| Var::from_tensor(&row(x, &spec)).unwrap();
    let (sv, av) = (var(s), var(a));
    let grads = probe(model, sv.as_tensor(), av.as_tensor()).backward().unwrap();
    let of = |v: &Var| match grads.get(v.as_tensor()) {
        Some(g) => to_f64(g).unwrap(),
        None => vec![0.0; v.elem_count()],
    };
    let autodiff = [of(&sv), of(&av)].concat();

    // Central differences: truncation h^2 and rounding 1e-16/h balance near 1e-5.
    let (h, x) = (1e-5, [s, a].concat());
    let at = |i: usize, by: f64| {
        let mut x = x.clone();
        x[i] += by;
        scalar(&probe(model, &row(&x[..s.len()], &spec), &row(&x[s.len()..], &spec))).unwrap()
    };
    let differences = (0..x.len()).map(|i| (at(i, h) - at(i, -h)) / (2.0 * h)).collect();
    (autodiff, differences)
}

/// States of a task, off any kink: what gradients are checked at.
fn points(name: &str, rng: &mut Rng) -> Vec<f64> {
    let mut normal = |scale: f64| scale * rng.normal();
    match name {
        // Also off the unit circle, where learned models put their observations.
        "pendulum" | "pendulum-mpq" => {
            let (angle, length) = (normal(2.0), 1.0 + normal(0.05));
            vec![length * angle.cos(), length * angle.sin(), normal(2.0)]
        }
        "mountain-car" => vec![-0.5 + normal(0.2), normal(0.02)],
        "cartpole-swingup" => {
            let angle = normal(2.0);
            vec![normal(2.5), normal(2.0), angle.cos(), angle.sin(), normal(4.0)]
        }
        "acrobot" | "reacher-2" | "leg-2r" => {
            // Near where the foot's ellipse is, elsewhere the leg's reward is flat.
            let (hip, knee) = (0.8 + normal(0.3), -1.5 + normal(0.5));
            let mut obs = vec![hip.cos(), hip.sin(), knee.cos(), knee.sin()];
            obs.extend([normal(2.0), normal(4.0)]);
            let phase = normal(2.0);
            match name {
                "leg-2r" => obs.extend([phase.cos(), phase.sin()]),
                "reacher-2" => obs.extend([normal(0.5), normal(0.5), normal(0.5), normal(0.5)]),
                _ => {}
            }
            obs
        }
        "maze" => loop {
            let place = [normal(0.5), normal(0.5)].map(|x: f64| x.clamp(-0.9, 0.9));
            if !Maze::default().is_wall(place) {
                return place.to_vec();
            }
        },
        "stand-in" => (0..17).map(|_| normal(0.5)).collect(),
        _ => vec![normal(1.0), normal(1.0)],
    }
}

#[test]
fn gradients_are_those_of_finite_differences() {
    for name in native::names() {
        let model = native_model(name, &Spec::f64()).unwrap();
        let mut rng = Rng::new(21);
        for _ in 0..40 {
            let s = points(name, &mut rng);
            let a: Vec<f64> = (0..model.action_dim()).map(|_| 1.8 * rng.uniform() - 0.9).collect();
            let (autodiff, differences) = gradients(&*model, &s, &a);
            assert!(
                close(&autodiff, &differences, 1e-7),
                "{name} at {s:?}, {a:?}: {autodiff:?} by autodiff, {differences:?} by differences"
            );
            assert!(autodiff.iter().any(|g| *g != 0.0));
        }
    }
}

#[test]
fn clipped_quantities_have_the_gradient_of_the_clip() {
    // An action outside the range moves nothing; on the range's edge it still does (saturated tanh).
    for name in native::names() {
        let model = native_model(name, &Spec::f64()).unwrap();
        let s = points(name, &mut Rng::new(8));
        for i in 0..model.action_dim() {
            let action_gradient = |x: f64| {
                let mut a = vec![0.0; model.action_dim()];
                a[i] = x;
                gradients(&*model, &s, &a).0[s.len() + i]
            };
            assert_eq!(action_gradient(1.5), 0.0, "{name}");
            let (edge, inside) = (action_gradient(1.0), action_gradient(1.0 - 1e-9));
            assert!(edge != 0.0 && (edge - inside).abs() < 1e-6 * (1.0 + edge.abs()), "{name}");
        }
    }
    // A pendulum at its greatest speed: torque changes the cost, but no longer the motion.
    let model = native_model("pendulum", &Spec::f64()).unwrap();
    let s = [0f64.cos(), 1f64.sin(), 8.0];
    let (autodiff, differences) = gradients(&*model, &s, &[0.5]);
    assert!(close(&autodiff, &differences, 1e-7), "{autodiff:?} {differences:?}");
    assert!((autodiff[3] + 0.7 * 0.001 * 2.0 * 0.5 * 4.0).abs() < 1e-12);
    // A car against the left wall: its next velocity is 0 whatever it does.
    let model = native_model("mountain-car", &Spec::f64()).unwrap();
    let (autodiff, differences) = gradients(&*model, &[-1.19, -0.06], &[0.5]);
    assert!(close(&autodiff, &differences, 1e-9), "{autodiff:?} {differences:?}");
    assert_eq!(autodiff[..2], [0.0, 0.0]);
}

#[test]
fn the_pathwise_gradient_holds_over_many_steps() {
    // The sum of rewards over 15 steps with one action held, in that action.
    for name in ["cartpole-swingup", "acrobot", "reacher-2", "leg-2r"] {
        let model = native_model(name, &Spec::f64()).unwrap();
        let mut env = native::simulator(name).unwrap();
        let start = row(&env.reset(&mut Rng::new(0)).unwrap(), &Spec::f64());
        let total = |a: &Tensor| {
            let mut sum = Tensor::zeros((), a.dtype(), a.device()).unwrap();
            let mut s = start.clone();
            for _ in 0..15 {
                let step = model.step(&s, a, &StepNoise::default()).unwrap();
                (s, sum) = (step.next, (sum + step.reward.sum_all().unwrap()).unwrap());
            }
            sum
        };
        let held = &[0.4, -0.3][..model.action_dim()];
        let a = Var::from_tensor(&row(held, &Spec::f64())).unwrap();
        let grads = total(a.as_tensor()).backward().unwrap();
        let gradient = to_f64(grads.get(a.as_tensor()).unwrap()).unwrap();
        for (i, gradient) in gradient.into_iter().enumerate() {
            let at = |by: f64| {
                let mut x = held.to_vec();
                x[i] += by;
                scalar(&total(&row(&x, &Spec::f64()))).unwrap()
            };
            let difference = (at(1e-5) - at(-1e-5)) / 2e-5;
            let error = (gradient - difference).abs();
            assert!(error < 1e-7 * (1.0 + difference.abs()), "{name}: {gradient} {difference}");
            assert!(gradient.abs() > 1e-3, "{name}: {gradient}");
        }
    }
}
