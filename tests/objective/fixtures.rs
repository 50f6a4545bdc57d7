//! Small parts in f64 that the tests of the objective share.

use candle_core::{Tensor, Var};
use hstep::dynamics::{Ensemble, EnsembleConfig, FitData, FnDynamics, StepNoise, Transition};
use hstep::env::Known;
use hstep::nn::{Activation, Init, Stack, StackConfig};
use hstep::policy::{ActorConfig, SquashedGaussian};
use hstep::rng::Rng;
use hstep::shape::{Spec, to_f64};
use hstep::value::{CriticConfig, QNet};

pub const OBS: usize = 3;
pub const ACT: usize = 2;
pub const B: usize = 4;

/// Smooth networks: finite differences across a ReLU's kink measure nothing.
pub fn policy(seed: u64) -> SquashedGaussian {
    let config =
        ActorConfig { hidden: vec![6, 5], activation: Activation::Tanh, ..ActorConfig::default() };
    SquashedGaussian::new(&config, OBS, ACT, &mut Rng::new(seed), &Spec::f64()).unwrap()
}

pub fn critic(seed: u64) -> QNet {
    let config = CriticConfig {
        hidden: vec![6, 5],
        activation: Activation::Swish,
        ..CriticConfig::default()
    };
    QNet::new(&config, OBS, ACT, &mut Rng::new(seed), &Spec::f64()).unwrap()
}

/// A nonlinear, noisy "true" model in plain tensor operations.
pub fn true_model() -> impl hstep::dynamics::Dynamics {
    let model = |s: &Tensor, a: &Tensor, noise: &StepNoise| {
        let push = Tensor::cat(&[a, &a.narrow(1, 0, 1)?], 1)?;
        let mut next = ((s * 0.9)? + (s.sin()? * push)?)?;
        if let Some(eps) = &noise.normal {
            next = (next + (eps * 0.1)?)?;
        }
        let reward = (s.sqr()?.sum(1)? + (a.sqr()?.sum(1)? * 0.3)?)?.neg()?;
        let cont = Tensor::ones(s.dim(0)?, s.dtype(), s.device())?;
        Ok(Transition { next, reward, cont })
    };
    FnDynamics::new(OBS, ACT, Spec::f64(), model).with_noise(OBS)
}

/// A learned deterministic model: one network for change and reward.
pub fn network_model(seed: u64) -> impl hstep::dynamics::Dynamics {
    let config = StackConfig {
        input: OBS + ACT,
        hidden: vec![7],
        output: OBS + 1,
        activation: Activation::Swish,
        members: 1,
        init: Init::GlorotUniform,
    };
    let net = Stack::new(&config, &mut Rng::new(seed), &Spec::f64()).unwrap().frozen();
    FnDynamics::new(OBS, ACT, Spec::f64(), move |s: &Tensor, a: &Tensor, _: &StepNoise| {
        let out = net.forward(&Tensor::cat(&[s, a], 1)?)?;
        Ok(Transition {
            next: (s + out.narrow(1, 0, OBS)?)?,
            reward: out.narrow(1, OBS, 1)?.squeeze(1)?,
            cont: Tensor::ones(s.dim(0)?, s.dtype(), s.device())?,
        })
    })
}

/// The probabilistic ensemble, fitted for a few steps so that its normaliser is not trivial.
pub fn ensemble(seed: u64) -> Ensemble {
    let config = EnsembleConfig {
        members: 3,
        elites: 2,
        hidden: vec![7, 6],
        weight_decay: vec![0.0; 3],
        batch: 16,
        max_epochs: Some(3),
        ..EnsembleConfig::default()
    };
    let mut rng = Rng::new(seed);
    let mut model =
        Ensemble::new(&config, OBS, ACT, Known::default(), &mut rng, &Spec::f64()).unwrap();
    let truth = true_model();
    let (s, a) = (normals(&mut rng, &[64, OBS]), normals(&mut rng, &[64, ACT]));
    let step = hstep::dynamics::Dynamics::step(&truth, &s, &a, &StepNoise::default()).unwrap();
    let flat =
        |t: &Tensor| -> Vec<f32> { to_f64(t).unwrap().into_iter().map(|x| x as f32).collect() };
    let (s, a, r, next) = (flat(&s), flat(&a), flat(&step.reward), flat(&step.next));
    let data = FitData { obs: &s, action: &a, reward: &r, next_obs: &next, cont: &[] };
    model.fit(&data, &mut rng).unwrap();
    model
}

pub fn normals(rng: &mut Rng, shape: &[usize]) -> Tensor {
    rng.normals(shape, &Spec::f64()).unwrap()
}

/// Largest error of `gradient` against central differences of `f` at `x`, relative to the
/// gradient's largest entry.
///
/// The step is the cube root of the machine epsilon times the coordinate's scale: it balances
/// the rounding error (eps / h) against the truncation error (h^2).
pub fn difference(x: &Var, gradient: &Tensor, f: impl Fn() -> f64) -> f64 {
    let gradient = to_f64(gradient).unwrap();
    let start = to_f64(x.as_tensor()).unwrap();
    let scale = gradient.iter().fold(1e-3_f64, |m, g| m.max(g.abs()));
    let set = |values: &[f64]| {
        let t = Spec::f64().tensor(values, x.shape().clone()).unwrap();
        x.set(&t).unwrap();
    };
    let mut worst = 0.0_f64;
    for i in 0..start.len() {
        let h = 6e-6 * start[i].abs().max(1.0);
        let mut moved = start.clone();
        moved[i] = start[i] + h;
        set(&moved);
        let up = f();
        moved[i] = start[i] - h;
        set(&moved);
        let down = f();
        worst = worst.max(((up - down) / (2.0 * h) - gradient[i]).abs() / scale);
    }
    set(&start);
    worst
}
