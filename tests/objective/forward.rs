//! Rollouts without gradients, on rows, against those through tensors.

use std::sync::Arc;

use candle_core::Tensor;
use hstep::dynamics::{Dynamics, Ensemble, EnsembleConfig, StepNoise, Transition};
use hstep::env::{Known, RewardFn};
use hstep::nn::Activation;
use hstep::objective::{
    Actions, Cost, Entropy, HStep, Members, Noise, Normals, Reduce, Rollout, Terminal,
};
use hstep::policy::{ActorConfig, Linear, SquashedGaussian};
use hstep::pool;
use hstep::rng::Rng;
use hstep::shape::{Spec, to_f64};
use hstep::value::{CriticConfig, FnCritic, FnValue, QNet, VNet};

use super::fixtures::{ACT, OBS};
use crate::ensemble::made::arbitrary;

pub const H: usize = 3;

pub fn all(t: &Tensor) -> Vec<f64> {
    to_f64(t).unwrap()
}

/// Rows end where their first coordinate is large; one that is NaN there goes on.
pub fn ending() -> Known {
    let continuation: RewardFn = Arc::new(|_: &Tensor, _: &Tensor, next: &Tensor| {
        let beyond = next.narrow(1, 0, 1)?.squeeze(1)?.ge(1.0)?;
        Ok((1.0 - beyond.to_dtype(next.dtype())?)?)
    });
    Known { reward: None, continuation: Some(continuation) }
}

pub fn model(hidden: &[usize], known: Known, spec: &Spec) -> Ensemble {
    let config = EnsembleConfig {
        members: 4,
        elites: 3,
        hidden: hidden.to_vec(),
        weight_decay: vec![],
        ..EnsembleConfig::default()
    };
    arbitrary(&config, (OBS, ACT), known, 11, spec)
}

pub fn policy(obs: usize, actions: usize, spec: &Spec) -> SquashedGaussian {
    let config =
        ActorConfig { hidden: vec![6, 5], activation: Activation::Tanh, ..ActorConfig::default() };
    SquashedGaussian::new(&config, obs, actions, &mut Rng::new(12), spec).unwrap()
}

pub fn critic(obs: usize, actions: usize, spec: &Spec) -> QNet {
    let config = CriticConfig { hidden: vec![9], members: 3, ..CriticConfig::default() };
    QNet::new(&config, obs, actions, &mut Rng::new(13), spec).unwrap()
}

pub fn value(obs: usize, spec: &Spec) -> VNet {
    let config = CriticConfig { hidden: vec![8, 3], ..CriticConfig::default() };
    VNet::new(&config, obs, &mut Rng::new(14), spec).unwrap()
}

pub fn over<'a>(model: &'a dyn Dynamics, terminal: Terminal<'a>) -> HStep<'a> {
    HStep { dynamics: Some(model), terminal, horizon: H, gamma: 0.9, cost: Cost::NONE }
}

/// Single precision over three steps: relative to the number, or to one where it is smaller.
fn close(got: &[f64], want: &[f64], what: &str) {
    assert_eq!(got.len(), want.len(), "{what}");
    for (i, (g, w)) in got.iter().zip(want).enumerate() {
        let near = (g - w).abs() <= 1e-5 * w.abs().max(1.0) || g == w;
        let near = near || (g.is_nan() && w.is_nan());
        assert!(near, "{what} [{i}]: {g} against {w}");
    }
}

fn close_all(got: &[Tensor], want: &[Tensor], what: &str) {
    assert_eq!(got.len(), want.len(), "{what}");
    for (got, want) in got.iter().zip(want) {
        assert_eq!(got.dims(), want.dims(), "{what}");
        close(&all(got), &all(want), what);
    }
}

/// Both forms without gradients against the rollout through tensors, scored.
pub fn compare(hstep: &HStep, s0: &Tensor, actions: Actions, noise: &Noise, what: &str) -> Rollout {
    let want = hstep.rollout(s0, actions, noise).unwrap();
    let score = all(&hstep.score(&want).unwrap());
    let found = hstep.returns(s0, actions, noise, true).unwrap();
    close(&found.returns, &score, &format!("returns, {what}"));
    let taken = found.actions.unwrap();
    let decided = match want.actions.as_slice() {
        [] => Vec::new(),
        actions => all(&Tensor::stack(actions, 1).unwrap()),
    };
    close(&taken, &decided, &format!("taken, {what}"));
    let without = hstep.returns(s0, actions, noise, false).unwrap();
    assert!(without.actions.is_none());
    close(&without.returns, &score, what);

    let got = hstep.rollout_forward(s0, actions, noise).unwrap();
    close(&all(&hstep.score(&got).unwrap()), &score, &format!("score, {what}"));
    close_all(&got.states, &want.states, &format!("states, {what}"));
    close_all(&got.next, &want.next, &format!("next, {what}"));
    close_all(&got.actions, &want.actions, &format!("actions, {what}"));
    close_all(&got.rewards, &want.rewards, &format!("rewards, {what}"));
    close_all(&got.cont, &want.cont, &format!("cont, {what}"));
    let more = |r: &Rollout| r.more.iter().map(|(action, _)| action.clone()).collect::<Vec<_>>();
    close_all(&more(&got), &more(&want), &format!("more, {what}"));
    let costs = |r: &Rollout| -> Vec<Tensor> {
        r.costs.iter().chain(r.more.iter().map(|(_, cost)| cost)).flatten().cloned().collect()
    };
    close_all(&costs(&got), &costs(&want), &format!("costs, {what}"));
    if hstep.cost.coefficient != 0.0 && hstep.cost.steps != Entropy::None {
        close_all(&got.log_probs, &want.log_probs, &format!("log-probabilities, {what}"));
    }
    for (got, want) in got.alive.iter().zip(&want.alive) {
        assert_eq!(got.as_ref().map(all), want.as_ref().map(all), "alive, {what}");
    }
    assert_eq!(got.log_probs.len(), want.log_probs.len());
    got
}

#[test]
fn rows_are_the_rollout_through_tensors() {
    let (spec, b, mut rng) = (Spec::f32(), 21, Rng::new(21));
    let (policy, q, v) = (policy(OBS, ACT, &spec), critic(OBS, ACT, &spec), value(OBS, &spec));
    let mut starts = all(&rng.normals((b, OBS), &spec).unwrap());
    starts[5 * OBS + 1] = f64::NAN;
    let s0 = spec.tensor(&starts, (b, OBS)).unwrap();
    let sequence = (rng.normals((b, H + 1, ACT), &spec).unwrap() * 0.4).unwrap();
    let uniform: Vec<f64> = (0..b).map(|_| rng.uniform()).collect();
    let of_steps: Vec<f64> = (0..H * b).map(|_| rng.uniform()).collect();
    let members = [
        Members::Best,
        Members::Mean,
        Members::Pinned(uniform),
        Members::Key(rng.key()),
        Members::Tensor(spec.tensor(&of_steps, (H, b)).unwrap()),
    ];
    let (wide, narrow) = ((H, b, OBS + 1), (H + 3, b, ACT));
    let normals = [
        (Normals::Zero, Normals::Zero),
        (Normals::Key(rng.key()), Normals::Key(rng.key())),
        (
            Normals::Tensor(rng.normals(wide, &spec).unwrap()),
            Normals::Tensor(rng.normals(narrow, &spec).unwrap()),
        ),
    ];
    let mut terminals = vec![("zero", Terminal::Zero), ("state", Terminal::State(&v))];
    for reduce in [Reduce::Min, Reduce::Mean, Reduce::Member(1)] {
        for samples in [1, 3] {
            terminals.push(("action", Terminal::Action { critic: &q, reduce, samples }));
        }
    }
    for known in [Known::default(), ending()] {
        let ends = known.continuation.is_some();
        let model = model(&[17, 6], known, &spec);
        let views: [&dyn Dynamics; 3] = [&model, &model.mean(), &model.member(2).unwrap()];
        for (name, terminal) in &terminals {
            for member in &members {
                for (i, (of_model, of_policy)) in normals.iter().enumerate() {
                    for (source, actions) in [
                        ("open", Actions::Open(&sequence)),
                        ("policy", Actions::Policy(&policy)),
                        (
                            "perturbed",
                            Actions::Perturbed { policy: &policy, delta: &sequence, limit: 0.3 },
                        ),
                    ] {
                        for (view, model) in views.iter().enumerate() {
                            let noise = Noise {
                                // The mean takes no numbers, not even as a tensor.
                                model: if model.noise_dim() == 0 {
                                    Normals::Zero
                                } else {
                                    of_model.clone()
                                },
                                policy: of_policy.clone(),
                                member: member.clone(),
                            };
                            let what =
                                format!("{name}, {member:?}, {i}, {source}, {view}, ends: {ends}");
                            let hstep = over(*model, *terminal);
                            let got = compare(&hstep, &s0, actions, &noise, &what);
                            if view == 0 {
                                // Some rows end, some do not, and the NaN is where it was.
                                let last = all(&got.cont[H - 1]);
                                assert_eq!(last.contains(&0.0), ends, "{what}");
                                assert!(last.contains(&1.0), "{what}");
                                let returns = all(&hstep.score(&got).unwrap());
                                assert!(returns[5].is_nan() && returns[4].is_finite(), "{what}");
                            }
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn without_steps_a_critic_or_a_value_is_left() {
    let (spec, b, mut rng) = (Spec::f32(), 9, Rng::new(22));
    let (policy, q, v) = (policy(OBS, ACT, &spec), critic(OBS, ACT, &spec), value(OBS, &spec));
    let model = model(&[5], Known::default(), &spec);
    let s0 = rng.normals((b, OBS), &spec).unwrap();
    let noise = Noise::key(rng.key());
    for terminal in [Terminal::min_q(&q), Terminal::State(&v), Terminal::Zero] {
        for dynamics in [None, Some(&model as &dyn Dynamics)] {
            let hstep = HStep { dynamics, terminal, horizon: 0, gamma: 0.9, cost: Cost::NONE };
            compare(&hstep, &s0, Actions::Policy(&policy), &noise, "horizon 0");
        }
    }
}

/// The state is a pair of numbers; they are observed with their product.
struct Observing(Spec);

impl Dynamics for Observing {
    fn state_dim(&self) -> usize {
        2
    }

    fn action_dim(&self) -> usize {
        ACT
    }

    fn spec(&self) -> &Spec {
        &self.0
    }

    fn observe(&self, state: &Tensor) -> hstep::Result<Tensor> {
        let product = (state.narrow(1, 0, 1)? * state.narrow(1, 1, 1)?)?;
        Ok(Tensor::cat(&[state, &product], 1)?)
    }

    fn step(&self, s: &Tensor, a: &Tensor, _: &StepNoise) -> hstep::Result<Transition> {
        let next = (s + a)?;
        let reward = next.sqr()?.sum(1)?.neg()?;
        Ok(Transition { next, cont: reward.ones_like()?, reward })
    }
}

#[test]
fn parts_without_a_form_on_rows_go_through_tensors() {
    let (spec, b, mut rng) = (Spec::f32(), 9, Rng::new(23));
    let (gaussian, q, v) = (policy(OBS, ACT, &spec), critic(OBS, ACT, &spec), value(OBS, &spec));
    let learned = model(&[5], ending(), &spec);
    let observing = Observing(Spec::f32());
    let gains = [0.1, 0.2, -0.3, 0.4, 0.1, -0.2];
    let linear = Linear::new(&gains, ACT, OBS, 0.1, &spec).unwrap();
    let on_states = FnValue(|obs: &Tensor| Ok(obs.sqr()?.sum(1)?));
    let on_actions =
        FnCritic { members: 1, function: |_: &Tensor, a: &Tensor| Ok(a.sum(1)?.unsqueeze(0)?) };
    let s0 = rng.normals((b, OBS), &spec).unwrap();
    let pairs = s0.narrow(1, 0, 2).unwrap().contiguous().unwrap();
    let noise = Noise::key(rng.key());
    let follow = Actions::Policy(&gaussian);
    let whole = over(&learned, Terminal::State(&v));
    let prior = Cost { steps: Entropy::All, coefficient: 0.3, prior: Some(&linear) };
    let near = HStep { cost: prior, ..whole };
    let free = HStep { cost: Cost::entropy(Entropy::All, 0.0), ..whole };
    let at_once = HStep { horizon: 0, ..over(&observing, Terminal::min_q(&q)) };
    let cases = [
        ("policy", whole, &s0, Actions::Policy(&linear)),
        ("value", over(&learned, Terminal::State(&on_states)), &s0, follow),
        ("critic", over(&learned, Terminal::min_q(&on_actions)), &s0, follow),
        ("dynamics", over(&observing, Terminal::State(&v)), &pairs, follow),
        ("dynamics that are not stepped", at_once, &pairs, follow),
        ("a prior", near, &s0, follow),
        ("a cost of nothing", free, &s0, follow),
    ];
    for (what, hstep, s0, actions) in cases {
        let got = compare(&hstep, s0, actions, &noise, what);
        let through = hstep.rollout(s0, actions, &noise).unwrap();
        // Log-probabilities tell which way it went: rows leave them out.
        let tensors = what != "a cost of nothing";
        assert_eq!(got.log_probs.iter().any(|l| all(l) != vec![0.0; b]), tensors, "{what}");
        if tensors {
            let want = all(&hstep.score(&through).unwrap());
            let got = hstep.returns(s0, actions, &noise, false).unwrap().returns;
            assert_eq!(got, want, "{what}: the same operations");
        }
    }
    for spec in [Spec::f64(), Spec::f32().plain(), Spec::f64().plain()] {
        let (policy, q) = (policy(OBS, ACT, &spec), critic(OBS, ACT, &spec));
        let (model, s0) = (model(&[5], ending(), &spec), rng.normals((b, OBS), &spec).unwrap());
        let hstep = over(&model, Terminal::Action { critic: &q, reduce: Reduce::Min, samples: 2 });
        let actions = Actions::Policy(&policy);
        let got = compare(&hstep, &s0, actions, &noise, "another kind");
        assert!(got.log_probs.iter().all(|l| all(l) != vec![0.0; b]));
        // Nothing is rounded on the way out.
        let taken = hstep.returns(&s0, actions, &noise, true).unwrap().actions.unwrap();
        assert_eq!(taken, all(&Tensor::stack(&got.actions, 1).unwrap()));
    }
    // No start state is no return.
    let none = s0.narrow(0, 0, 0).unwrap();
    assert!(whole.returns(&none, follow, &noise, false).unwrap().returns.is_empty());
}

/// Below it there may be where it came from.
fn first_line(error: &hstep::Error) -> String {
    error.to_string().lines().next().unwrap_or_default().to_owned()
}

#[test]
fn misfits_are_named_as_they_are_with_gradients() {
    let (spec, b, mut rng) = (Spec::f32(), 4, Rng::new(24));
    let model = model(&[5], Known::default(), &spec);
    let (good, q, v) = (policy(OBS, ACT, &spec), critic(OBS, ACT, &spec), value(OBS, &spec));
    let (blind, long) = (policy(OBS - 1, ACT, &spec), policy(OBS, ACT + 1, &spec));
    let (q_blind, q_long) = (critic(OBS - 1, ACT, &spec), critic(OBS, ACT + 1, &spec));
    let v_blind = value(OBS - 1, &spec);
    let s0 = rng.normals((b, OBS), &spec).unwrap();
    let mut sequence = |width: usize| rng.normals((b, H + 1, width), &spec).unwrap();
    let (right, wide, short) = (sequence(ACT), sequence(ACT + 1), sequence(ACT - 1));
    let perturbed = |policy, delta| Actions::Perturbed { policy, delta, limit: 1.0 };
    let (q, v) = (Terminal::min_q(&q), Terminal::State(&v));
    let follow = Actions::Policy(&good);
    let missing = Terminal::Action {
        critic: &critic(OBS, ACT, &spec),
        reduce: Reduce::Member(3),
        samples: 1,
    };
    let cases = [
        ("a longer action", q, Actions::Open(&wide)),
        ("a shorter action", q, Actions::Open(&short)),
        ("a policy of shorter observations", v, Actions::Policy(&blind)),
        ("a policy of longer actions", v, Actions::Policy(&long)),
        ("around a policy of shorter observations", v, perturbed(&blind, &right)),
        ("around a policy of longer actions", v, perturbed(&long, &right)),
        ("around a policy by more", v, perturbed(&good, &wide)),
        ("a critic of shorter observations", Terminal::min_q(&q_blind), follow),
        ("a critic of longer actions", Terminal::min_q(&q_long), follow),
        ("a value of shorter observations", Terminal::State(&v_blind), follow),
        ("no such critic", missing, follow),
    ];
    for (what, terminal, actions) in cases {
        let hstep = over(&model, terminal);
        let want = hstep.objective(&s0, actions, &Noise::default()).err().as_ref().map(first_line);
        let got =
            hstep.returns(&s0, actions, &Noise::default(), true).err().as_ref().map(first_line);
        assert!(want.is_some(), "{what}");
        assert_eq!(got, want, "{what}");
    }
    // The mean reads no numbers, and does not mind their shape.
    let odd = Noise {
        model: Normals::Tensor(spec.zeros((1, 1, 1)).unwrap()),
        member: Members::Mean,
        ..Noise::default()
    };
    compare(&over(&model, v), &s0, follow, &odd, "numbers for the mean");
}

fn bits(ts: &[Tensor]) -> Vec<Vec<u64>> {
    ts.iter().map(|t| all(t).into_iter().map(f64::to_bits).collect()).collect()
}

/// Everything of a rollout on rows, bit for bit.
fn everything(hstep: &HStep, s0: &Tensor, actions: Actions, noise: &Noise) -> Vec<Vec<u64>> {
    let rollout = hstep.rollout_forward(s0, actions, noise).unwrap();
    let Rollout { states, actions: taken, rewards, cont, .. } = &rollout;
    let mut all: Vec<Vec<u64>> =
        [states, taken, rewards, cont].into_iter().flat_map(|ts| bits(ts)).collect();
    let returns = hstep.returns(s0, actions, noise, false).unwrap().returns;
    all.push(returns.into_iter().map(f64::to_bits).collect());
    all
}

#[test]
fn a_row_has_the_same_bits_in_any_batch_and_on_any_number_of_threads() {
    // Three blocks of rows, each of several tiles of every member.
    let (spec, b, mut rng) = (Spec::f32(), 1100, Rng::new(25));
    let (policy, q) = (policy(OBS, ACT, &spec), critic(OBS, ACT, &spec));
    let model = model(&[40, 33], ending(), &spec);
    let s0 = rng.normals((b, OBS), &spec).unwrap();
    let key = rng.key();
    let pins: Vec<f64> = (0..b).map(|_| rng.uniform()).collect();
    let hstep = over(&model, Terminal::Action { critic: &q, reduce: Reduce::Min, samples: 2 });
    let follow = Actions::Policy(&policy);
    let noise = |pinned: bool, rows: std::ops::Range<usize>| {
        let key = key.skip(rows.start);
        if pinned { Noise::pinned(key, pins[rows].to_vec()) } else { Noise::key(key) }
    };
    for pinned in [false, true] {
        let whole = everything(&hstep, &s0, follow, &noise(pinned, 0..b));
        let serial = pool::serially(|| everything(&hstep, &s0, follow, &noise(pinned, 0..b)));
        assert!(whole == serial, "one thread, pinned: {pinned}");
        for rows in [0..1, 1..3, 3..16, 16..113, 113..640, 640..1100, 7..1100, 1099..1100] {
            let part = s0.narrow(0, rows.start, rows.len()).unwrap().contiguous().unwrap();
            let got = everything(&hstep, &part, follow, &noise(pinned, rows.clone()));
            for (i, (got, whole)) in got.iter().zip(&whole).enumerate() {
                let width = whole.len() / b;
                let own = &whole[rows.start * width..rows.end * width];
                assert!(got == own, "tensor {i}, rows {rows:?}, pinned: {pinned}");
            }
        }
    }
}
