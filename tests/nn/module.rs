//! A person's own candle-nn networks as parts: the stock numbers with equal weights, and what is
//! refused.

use candle_core::{Tensor, Var};
use candle_nn::{Activation as Act, Dropout, Module, Sequential, VarBuilder, linear, seq};
use hstep::nn::{Activation, AdamConfig, ModuleNet};
use hstep::parts::CriticPart;
use hstep::policy::{ActorConfig, LearnedPolicy, ModulePolicy, Policy, SquashedGaussian};
use hstep::rng::Rng;
use hstep::shape::{Spec, to_f64};
use hstep::value::{Critic, CriticConfig, ModuleCritic, QNet};

const O: usize = 3;
const A: usize = 2;
const B: usize = 7;

fn mlp(vb: &VarBuilder, input: usize, output: usize) -> candle_core::Result<Sequential> {
    Ok(seq().add(linear(input, 5, vb.pp("first"))?).add(Act::Silu).add(linear(
        5,
        output,
        vb.pp("last"),
    )?))
}

fn net(input: usize, output: usize, seed: u64) -> ModuleNet<Sequential> {
    let build = move |vb: VarBuilder| mlp(&vb, input, output);
    ModuleNet::new(build, input, &Rng::new(seed), &Spec::f64()).unwrap()
}

/// Weights `[D,O]` of ours into candle's `[O,D]`, biases as they are.
fn copy(from: &hstep::nn::Params, member: usize, to: &ModuleNet<Sequential>) {
    for (name, params) in to.params() {
        let (layer, kind) = name.split_once('.').unwrap();
        let layer = if layer == "first" { "l0" } else { "l1" };
        let ours = |kind: &str| from.view(&format!("{layer}.{kind}")).unwrap().get(member).unwrap();
        let tensor = if kind == "weight" { ours("w").t().unwrap() } else { ours("b") };
        params.set_flat(&to_f64(&tensor.contiguous().unwrap()).unwrap()).unwrap();
    }
}

fn close(got: &[f64], want: &[f64], what: &str) {
    assert_eq!(got.len(), want.len(), "{what}");
    for (got, want) in got.iter().zip(want) {
        assert!((got - want).abs() < 1e-12 * (1.0 + want.abs()), "{what}: {got} against {want}");
    }
}

fn numbers(t: &Tensor) -> Vec<f64> {
    to_f64(t).unwrap()
}

fn normals(seed: u64, width: usize) -> Tensor {
    Rng::new(seed).normals((B, width), &Spec::f64()).unwrap()
}

#[test]
fn a_copy_of_the_stock_policy_has_its_numbers_and_gradients() {
    let config = ActorConfig {
        hidden: vec![5],
        activation: Activation::Swish,
        log_std_min: -1.0,
        log_std_max: 0.5,
        ..ActorConfig::default()
    };
    let stock = SquashedGaussian::new(&config, O, A, &mut Rng::new(1), &Spec::f64()).unwrap();
    let own = net(O, 2 * A, 2);
    copy(stock.net().params(), 0, &own);
    let own = ModulePolicy::new(own, O, A, (-1.0, 0.5));
    let (obs, eps) = (Var::from_tensor(&normals(3, O)).unwrap(), normals(4, A));
    let (got, want) = (own.sample(&obs, &eps).unwrap(), stock.sample(&obs, &eps).unwrap());
    close(&numbers(&got.action), &numbers(&want.action), "action");
    close(&numbers(&got.log_prob), &numbers(&want.log_prob), "log pi");
    close(&numbers(&own.mode(&obs).unwrap()), &numbers(&stock.mode(&obs).unwrap()), "mode");
    let inner = |policy: &dyn Policy| policy.log_prob(&obs, &want.action.detach()).unwrap();
    close(&numbers(&inner(&own)), &numbers(&inner(&stock)), "log pi of given actions");
    let gradients = |sampled: &hstep::policy::ActionSample| {
        let action = sampled.action.sqr().unwrap().sum_all().unwrap();
        let loss = sampled.log_prob.sum_all().unwrap() + action;
        loss.unwrap().backward().unwrap()
    };
    let (got, want) = (gradients(&got), gradients(&want));
    close(&numbers(got.get(&obs).unwrap()), &numbers(want.get(&obs).unwrap()), "gradient of obs");
    let ours = stock.net().params().grad(&want).unwrap().unwrap();
    for (name, params) in LearnedPolicy::params(&own) {
        let (layer, kind) = name.split_once('.').unwrap();
        let slot = if layer == "first" { "l0" } else { "l1" };
        let slot = stock.net().params().slot(&format!("{slot}.{}", &kind[..1])).unwrap();
        let want = ours.narrow(0, slot.offset, slot.len()).unwrap();
        let want = match kind {
            "weight" => want.reshape((slot.shape[1], slot.shape[2])).unwrap().t().unwrap(),
            _ => want,
        };
        let got = params.grad(&got).unwrap().unwrap();
        close(&numbers(&got), &numbers(&want.contiguous().unwrap()), &name);
    }
    // Frozen, it sees later changes and gets no gradient.
    let frozen = own.frozen();
    let before = numbers(&frozen.mode(&obs).unwrap());
    let first = LearnedPolicy::params(&own)[0].1;
    first.set_flat(&vec![0.1; first.len()]).unwrap();
    let after = frozen.mode(&obs).unwrap();
    assert_ne!(before, numbers(&after));
    assert!(first.grad(&after.sum_all().unwrap().backward().unwrap()).unwrap().is_none());
}

#[test]
fn a_copy_of_the_stock_critic_learns_as_it_does() {
    let config =
        CriticConfig { hidden: vec![5], activation: Activation::Swish, ..CriticConfig::default() };
    let stock = QNet::new(&config, O, A, &mut Rng::new(5), &Spec::f64()).unwrap();
    let members: Vec<_> = (0..2).map(|i| net(O + A, 1, 6 + i)).collect();
    members.iter().enumerate().for_each(|(i, net)| copy(stock.net().params(), i, net));
    let own = ModuleCritic::new(members, O, A).unwrap();
    let (obs, action, y) = (normals(8, O), normals(9, A), normals(10, 1).squeeze(1).unwrap());
    close(
        &numbers(&own.q(&obs, &action).unwrap()),
        &numbers(&stock.q(&obs, &action).unwrap()),
        "Q",
    );
    let adam = AdamConfig { lr: 1e-2, ..AdamConfig::default() };
    let mut stock = CriticPart::new(stock, &adam, Some(0.1)).unwrap();
    let mut own = CriticPart::new(own, &adam, Some(0.1)).unwrap();
    assert_eq!(own.online.params().len(), 8);
    for part in [&mut stock, &mut own] {
        for _ in 0..3 {
            part.regress(&obs, &action, &mut |q| Ok((q.broadcast_sub(&y)? / B as f64)?)).unwrap();
            part.follow().unwrap();
        }
    }
    let q = |part: &CriticPart| numbers(&part.online.q(&obs, &action).unwrap());
    let slow = |part: &CriticPart| numbers(&part.target().q(&obs, &action).unwrap());
    close(&q(&own), &q(&stock), "Q after three steps");
    close(&slow(&own), &slow(&stock), "the follower after three steps");
    assert_ne!(q(&own), slow(&own));
}

fn refused<M: Module>(
    build: impl Fn(VarBuilder) -> candle_core::Result<M> + Send + Sync + 'static,
) -> String {
    // In f32: candle's layers have no other form.
    ModuleNet::new(build, O, &Rng::new(11), &Spec::f32()).map(|_| ()).unwrap_err().to_string()
}

#[test]
fn a_layer_without_a_gradient_is_refused_by_name() {
    let message = refused(|vb| {
        let norm = candle_nn::layer_norm(5, 1e-5, vb.pp("norm"))?;
        Ok(seq().add(linear(O, 5, vb.pp("in"))?).add(norm).add(linear(5, 1, vb.pp("out"))?))
    });
    assert!(message.contains("variable `in.") && message.contains("no gradient"), "{message}");
    assert!(message.contains("layer_norm_no_bias"), "{message}");
    let no_bias = |vb: VarBuilder| {
        let norm = candle_nn::layer_norm_no_bias(5, 1e-5, vb.pp("norm"))?;
        Ok(seq().add(linear(O, 5, vb.pp("in"))?).add(norm).add(linear(5, 1, vb.pp("out"))?))
    };
    ModuleNet::new(no_bias, O, &Rng::new(11), &Spec::f32()).unwrap();
}

#[test]
fn a_module_that_draws_for_itself_is_refused() {
    let message = refused(|vb| {
        let drop = Dropout::new(0.5);
        Ok(seq().add(linear(O, 64, vb)?).add_fn(move |x| drop.forward(x, true)))
    });
    assert!(message.contains("two forward passes") && message.contains("Dropout"), "{message}");
}

#[test]
fn a_module_without_variables_is_refused() {
    let message = refused(|_| Ok(seq().add(Act::Silu)));
    assert!(message.contains("no variable"), "{message}");
}

#[test]
fn first_numbers_depend_on_the_seed_and_the_name_alone() {
    let numbers = |seed: u64| -> Vec<f64> {
        net(O, 1, seed).params().iter().flat_map(|(_, p)| p.to_flat().unwrap()).collect()
    };
    assert_eq!(numbers(1), numbers(1));
    assert_ne!(numbers(1), numbers(2));
    // Another layer in front changes nothing of the ones that were there.
    let build = |vb: VarBuilder| Ok(seq().add(linear(O, O, vb.pp("zeroth"))?).add(mlp(&vb, O, 1)?));
    let longer = ModuleNet::new(build, O, &Rng::new(1), &Spec::f64()).unwrap();
    let kept: Vec<f64> = longer
        .params()
        .iter()
        .filter(|(name, _)| !name.starts_with("zeroth"))
        .flat_map(|(_, p)| p.to_flat().unwrap())
        .collect();
    assert_eq!(kept, numbers(1));
}
