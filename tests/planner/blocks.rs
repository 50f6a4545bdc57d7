//! Start states do not see each other, whatever is planned at once and on however many threads.

use candle_core::Tensor;
use hstep::objective::{Cost, HStep, Terminal};
use hstep::planner::{
    Base, Cem, CemConfig, MemberChoice, MirrorDescent, MirrorDescentConfig, Mppi, MppiConfig, Plan,
    Planner, Problem, SamplesConfig, Utility,
};
use hstep::pool;
use hstep::rng::Rng;
use hstep::shape::Spec;

use super::fixtures::*;

const B: usize = 64;
const H: usize = 2;

fn planners(samples: &SamplesConfig) -> [Box<dyn Planner>; 4] {
    let samples = samples.clone();
    let descent = |utility| MirrorDescentConfig {
        samples: samples.clone(),
        utility,
        temperature: 0.5,
        ..MirrorDescentConfig::default()
    };
    [
        Box::new(Mppi::new(MppiConfig {
            samples: samples.clone(),
            temperature: 0.5,
            noise_decay: 0.9,
            filter: vec![0.8, 0.2],
            prior_ratio: true,
            ..MppiConfig::default()
        })),
        Box::new(MirrorDescent::new(descent(Utility::Exponential))),
        Box::new(MirrorDescent::new(descent(Utility::Elites))),
        Box::new(Cem::new(CemConfig {
            samples: samples.clone(),
            iterations: 2,
            policy_noise: 0.3,
            ..CemConfig::default()
        })),
    ]
}

/// Everything in a plan that belongs to start states.
fn parts(plan: &Plan) -> [&Tensor; 7] {
    let Plan { actions, mean, samples, returns, weights, value, log_normaliser, .. } = plan;
    [actions, mean, samples, returns, weights, value, log_normaliser]
}

#[test]
fn many_start_states_at_once_are_planned_as_one_by_one() {
    let spec = Spec::f32();
    let (model, policy) = (ensemble(&[7], &spec), policy(&spec));
    let s0 = Rng::new(101).normals((B, OBS), &spec).unwrap();
    let open = (Rng::new(102).normals((B, H, ACT), &spec).unwrap() * 0.3).unwrap();
    let objective = HStep {
        dynamics: Some(&model),
        terminal: Terminal::Zero,
        horizon: H,
        gamma: 0.9,
        cost: Cost::NONE,
    };
    for members in [
        MemberChoice::Step,
        MemberChoice::Rollout,
        MemberChoice::Start,
        MemberChoice::Mean,
        MemberChoice::Every,
    ] {
        // 280 rollouts a start state: 58 start states are rolled out at once (16,384 rows), so the
        // 64 are two blocks.
        let samples = SamplesConfig { members, ..samples(140, 2, 1.0) };
        for base in [
            Base::Zero,
            Base::Open(&open),
            Base::Policy { policy: &policy, sample: false },
            Base::Policy { policy: &policy, sample: true },
        ] {
            for planner in planners(&samples) {
                let plan = |base: Base, s0: &Tensor, key| {
                    planner.plan(&Problem { objective, s0, base }, key).unwrap()
                };
                let whole = plan(base, &s0, key(103));
                let mut steps = 0;
                for i in 0..B {
                    let row = |t: &Tensor| t.narrow(0, i, 1).unwrap().contiguous().unwrap();
                    let own = row(&open);
                    let base = if let Base::Open(_) = base { Base::Open(&own) } else { base };
                    let alone = plan(base, &row(&s0), key(103).skip(i));
                    for (got, want) in parts(&alone).into_iter().zip(parts(&whole)) {
                        // Not a bit differs: a row's rollout does not see the rows beside it.
                        let name = planner.describe();
                        assert!(
                            numbers(got) == numbers(&row(want)),
                            "{name}, {members:?}, start {i}: {got} against {want}"
                        );
                    }
                    steps = alone.model_steps;
                }
                assert_eq!(whole.model_steps, steps * B as u64);
                // Another row's numbers give another plan: the comparison can fail.
                let other = plan(Base::Zero, &s0.narrow(0, 1, 1).unwrap(), key(103));
                assert!(
                    numbers(&other.samples) != numbers(&whole.samples.narrow(0, 1, 1).unwrap())
                );
            }
        }
    }
}

#[test]
fn a_seed_gives_a_plan_on_one_thread_or_several() {
    let spec = Spec::f32();
    // Wide enough for its layers to be shared out among threads.
    let model = ensemble(&[96, 96], &spec);
    let s0 = Rng::new(104).normals((8, OBS), &spec).unwrap();
    let objective = HStep {
        dynamics: Some(&model),
        terminal: Terminal::Zero,
        horizon: H,
        gamma: 0.9,
        cost: Cost::NONE,
    };
    for planner in planners(&samples(200, 2, 1.0)) {
        let plan = |seed| {
            let problem = Problem { objective, s0: &s0, base: Base::Zero };
            let plan = planner.plan(&problem, key(seed)).unwrap();
            parts(&plan).map(numbers)
        };
        let pooled = plan(105);
        assert!(pooled == plan(105), "the same seed again");
        assert!(pooled == pool::serially(|| plan(105)), "one thread");
        assert!(pooled != plan(106), "another seed");
    }
}
