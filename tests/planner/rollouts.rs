//! What a candidate is rolled out with: particles, members, noise.

use candle_core::Tensor;
use hstep::dynamics::{Dynamics, FnDynamics, Member, StepNoise, Transition};
use hstep::objective::{Cost, HStep, Members, Noise, Normals, Terminal};
use hstep::planner::{Base, MemberChoice, MirrorDescentConfig, MppiConfig, SamplesConfig, Utility};
use hstep::rng::Key;
use hstep::shape::Spec;

use super::fixtures::*;

const H: usize = 2;
const GAMMA: f64 = 0.9;

fn over<'a>(model: &'a dyn Dynamics) -> HStep<'a> {
    let terminal = Terminal::Zero;
    HStep { dynamics: Some(model), terminal, horizon: H, gamma: GAMMA, cost: Cost::NONE }
}

/// The key of the rollouts of the first iteration, for `each` rollouts a start state.
fn rollouts(seed: u64, each: usize) -> Key {
    key(seed).fork("rollouts").fork("0").spread(each)
}

/// `s' = s + a + 0.5 eps`, reward `-s'^2`.
fn noisy() -> impl Dynamics {
    let step = |s: &Tensor, a: &Tensor, noise: &StepNoise| {
        let mut next = (s + a)?;
        if let Some(eps) = &noise.normal {
            next = (next + (eps * 0.5)?)?;
        }
        let reward = next.sqr()?.sum(1)?.neg()?;
        Ok(Transition { next, cont: reward.ones_like()?, reward })
    };
    FnDynamics::new(1, 1, Spec::f64(), step).with_noise(1)
}

#[test]
fn particles_are_averaged_before_candidates_are_weighed() {
    let (model, b, k, p) = (noisy(), 2, 5, 3);
    let s0 = tensor(&[0.7, -0.2], &[2, 1]);
    let config = MppiConfig { samples: samples(k, p, 1.0), ..MppiConfig::default() };
    let plan = mppi(&config, over(&model), &s0, Base::Zero, key(81));
    let (x, noise) = (numbers(&plan.samples), rollouts(81, k * p).fork("model"));
    for start in 0..b {
        let mut returns = vec![0.0; k];
        for (candidate, sum) in returns.iter_mut().enumerate() {
            for particle in 0..p {
                let row = (start * k + candidate) * p + particle;
                let mut s = [0.7, -0.2][start];
                for t in 0..H {
                    let mut eps = [0.0];
                    noise.fill_normals(row, t, &mut eps);
                    s += x[(start * k + candidate) * H + t] + 0.5 * eps[0];
                    *sum -= GAMMA.powi(t as i32) * s * s / p as f64;
                }
            }
        }
        let got = &numbers(&plan.returns)[start * k..(start + 1) * k];
        close(got, &returns, 1e-12, "returns");
        let raw: Vec<f64> = returns.iter().map(|r| r.exp()).collect();
        let want: Vec<f64> = raw.iter().map(|w| w / raw.iter().sum::<f64>()).collect();
        let got = &numbers(&plan.weights)[start * k..(start + 1) * k];
        close(got, &want, 1e-12, "weights");
    }
}

/// The discounted rewards of one row's actions, by single steps of the model.
fn by_hand(
    model: &dyn Dynamics,
    s0: &Tensor,
    actions: &[f64],
    noise: impl Fn(usize) -> StepNoise,
) -> f64 {
    let (mut s, mut sum) = (s0.clone(), 0.0);
    for (t, a) in actions.chunks(ACT).enumerate() {
        let step = model.step(&s, &tensor(a, &[1, ACT]), &noise(t)).unwrap();
        sum += GAMMA.powi(t as i32) * numbers(&step.reward)[0];
        s = step.next;
    }
    sum
}

#[test]
fn rollouts_step_with_the_members_that_were_asked_for() {
    let (model, b, k, p) = (ensemble(&[7], &Spec::f64()), 2, 6, 2);
    let s0 = normals(82, &[b, OBS]);
    let mut seen = Vec::new();
    for members in [
        MemberChoice::Step,
        MemberChoice::Rollout,
        MemberChoice::Start,
        MemberChoice::Mean,
        MemberChoice::Every,
    ] {
        let config = MppiConfig {
            samples: SamplesConfig { members, ..samples(k, p, 1.0) },
            ..Default::default()
        };
        let plan = mppi(&config, over(&model), &s0, Base::Zero, key(83));
        let each = rollouts(83, k * p);
        let (x, spec) = (numbers(&plan.samples), Spec::f64());
        // One key for the start states, one for their rollouts.
        let start_key = key(83).fork("rollouts").fork("0").fork("member");
        let mut want = vec![0.0; b * k];
        for row in 0..b * k * p {
            let (start, candidate) = (row / (k * p), row / p);
            let noise = |t: usize| {
                let uniform = match members {
                    MemberChoice::Step => each.fork("member").uniform(row, t),
                    MemberChoice::Rollout => each.fork("member").uniform(row, 0),
                    MemberChoice::Start => start_key.uniform(start, 0),
                    MemberChoice::Mean => {
                        return StepNoise { normal: None, member: Member::Mean };
                    }
                    MemberChoice::Every => {
                        let u = ((row % p) as f64 + 0.5) / p as f64;
                        return StepNoise { normal: None, member: Member::Rows(vec![u]) };
                    }
                };
                let width = model.noise_dim();
                let normal = each.fork("model").normals(row, 1, width, t, &spec).unwrap();
                StepNoise { normal: Some(normal), member: Member::Rows(vec![uniform]) }
            };
            let actions = &x[candidate * H * ACT..(candidate + 1) * H * ACT];
            let from = s0.narrow(0, start, 1).unwrap();
            want[candidate] += by_hand(&model, &from, actions, noise) / p as f64;
        }
        close(&numbers(&plan.returns), &want, 1e-12, &format!("{members:?}"));
        // A rollout that follows the plan chooses its members in the same way, with fresh noise.
        let Noise { member: follows, model: normals, .. } = plan.noise(key(84)).unwrap();
        let same_kind = match members {
            MemberChoice::Step => matches!(follows, Members::Key(_)),
            MemberChoice::Mean => matches!(follows, Members::Mean),
            MemberChoice::Rollout | MemberChoice::Start | MemberChoice::Every => {
                let fresh = |row| key(84).fork("member").uniform(row, 0);
                matches!(follows, Members::Pinned(u) if u == [fresh(0), fresh(1)])
            }
        };
        assert!(same_kind, "{members:?}");
        let free = matches!(members, MemberChoice::Mean | MemberChoice::Every);
        assert_eq!(free, matches!(normals, Normals::Zero), "{members:?}");
        seen.push(want);
    }
    // No two choices are the same here.
    for i in 0..seen.len() {
        for j in 0..i {
            assert!(seen[i] != seen[j]);
        }
    }
}

#[test]
fn every_elite_steps_a_candidate_once_when_there_are_as_many_particles() {
    let (model, k) = (ensemble(&[7], &Spec::f64()), 5);
    let (s0, elites) = (normals(85, &[1, OBS]), model.elites());
    let choice = SamplesConfig { members: MemberChoice::Every, ..samples(k, elites.len(), 1.0) };
    let config = MppiConfig { samples: choice, ..MppiConfig::default() };
    let plan = mppi(&config, over(&model), &s0, Base::Zero, key(86));
    let quiet = |_| StepNoise { normal: None, member: Member::Best };
    for (x, r) in numbers(&plan.samples).chunks(H * ACT).zip(numbers(&plan.returns)) {
        let of = |m: &u32| by_hand(&model.member(*m as usize).unwrap(), &s0, x, quiet);
        let mean = elites.iter().map(of).sum::<f64>() / elites.len() as f64;
        // The same sums in another order.
        close(&[r], &[mean], 1e-12, "return");
    }
}

#[test]
fn the_mean_is_free_of_noise_where_there_are_no_members() {
    let (model, s0) = (noisy(), tensor(&[0.7], &[1, 1]));
    let choice = SamplesConfig { members: MemberChoice::Mean, ..samples(4, 2, 1.0) };
    let config = MppiConfig { samples: choice, ..MppiConfig::default() };
    let plan = mppi(&config, over(&model), &s0, Base::Zero, key(84));
    for (x, r) in numbers(&plan.samples).chunks(H).zip(numbers(&plan.returns)) {
        let (s1, s2) = (0.7 + x[0], 0.7 + x[0] + x[1]);
        close(&[r], &[-s1 * s1 - GAMMA * s2 * s2], 1e-13, "return");
    }
}

/// Rewards that are not finite where the first action is above 0.3.
fn poisoned() -> impl Dynamics {
    let step = |s: &Tensor, a: &Tensor, _: &StepNoise| {
        let bad = a.gt(0.3)?.squeeze(1)?;
        let reward = a.sqr()?.squeeze(1)?.neg()?;
        let reward = bad.where_cond(&(reward.zeros_like()? / 0.0)?, &reward)?;
        Ok(Transition { next: s.clone(), cont: reward.ones_like()?, reward })
    };
    FnDynamics::new(1, 1, Spec::f64(), step)
}

#[test]
fn a_candidate_without_a_finite_return_has_no_weight() {
    let (model, s0) = (poisoned(), tensor(&[0.0], &[1, 1]));
    let utility = |utility| MirrorDescentConfig {
        samples: samples(40, 1, 1.0),
        elites: 0.9,
        utility,
        ..MirrorDescentConfig::default()
    };
    let config = MppiConfig { samples: samples(40, 1, 1.0), ..MppiConfig::default() };
    for plan in [
        mppi(&config, over(&model), &s0, Base::Zero, key(85)),
        descent(&utility(Utility::Elites), over(&model), &s0, Base::Zero, key(85)),
        descent(&utility(Utility::Cost), over(&model), &s0, Base::Zero, key(85)),
    ] {
        let (returns, weights) = (numbers(&plan.returns), numbers(&plan.weights));
        assert!(returns.contains(&f64::NEG_INFINITY));
        for (r, w) in returns.iter().zip(&weights) {
            assert!(r.is_finite() || (*r == f64::NEG_INFINITY && *w == 0.0), "{r}: {w}");
        }
        close(&[weights.iter().sum()], &[1.0], 1e-12, "sum of weights");
        assert!(numbers(&plan.value)[0].is_finite());
        assert!(numbers(&plan.actions).iter().all(|a| a.is_finite()));
    }
    // Where none is finite there is no plan.
    let far = tensor(&[0.9; H], &[1, H, 1]);
    let config = MppiConfig { samples: samples(8, 1, 1.0), noise: 0.01, ..config };
    let planner = hstep::planner::Mppi::new(config);
    let problem =
        hstep::planner::Problem { objective: over(&model), s0: &s0, base: Base::Open(&far) };
    let message =
        hstep::planner::Planner::plan(&planner, &problem, key(86)).unwrap_err().to_string();
    assert!(message.contains("return of each of 8 planned sequences"), "{message}");
}
