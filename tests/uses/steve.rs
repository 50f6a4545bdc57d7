//! STEVE's target against its formula, written out member by member.

use hstep::dynamics::{Dynamics, StepNoise};
use hstep::env::Known;
use hstep::parts::{ACTOR, CRITIC};
use hstep::rng::Rng;
use hstep::shape::{Spec, to_f64};
use hstep::uses::{Ask, Goals, Rollouts, Steve, SteveConfig, Target};

use super::{batch, parts_and_model};

#[test]
fn it_is_its_formula_over_every_member_and_every_q() {
    let (parts, model) = parts_and_model(Known::default());
    let (batch, spec, b) = (batch(5, 21), Spec::f64(), 5);
    let key = Rng::new(22).key();
    let (horizon, gamma, alpha) = (2usize, 0.9f64, 0.2);
    let config = SteveConfig { horizon, min: true, epsilon: 1e-8 };
    let ask = Ask { parts: &parts, batch: &batch, key, rollouts: &Rollouts::new() };
    let Goals { y, model_steps: steps, .. } = Steve(config).targets(&ask).unwrap();

    let (policy, q) = (parts.policy(ACTOR).unwrap(), parts.critic(CRITIC).unwrap().target());
    let elites = model.elites();
    assert_eq!((elites.len(), steps), (3, (horizon * 3 * b) as u64));
    // candidates[h][row]: one number a member and Q.
    let mut candidates = vec![vec![Vec::<[f64; 2]>::new(); b]; horizon + 1];
    for (copy, member) in elites.iter().enumerate() {
        let member = model.member(*member as usize).unwrap();
        let normals = |name: &str, width: usize, t: usize| {
            key.fork(name).normals(copy * b, b, width, t, &spec)
        };
        let mut state = batch.next_obs.clone();
        let mut earned = vec![0.0; b];
        for (h, candidates) in candidates.iter_mut().enumerate() {
            let taken = policy.sample(&state, &normals("policy", 1, h).unwrap()).unwrap();
            let log_prob = to_f64(&taken.log_prob).unwrap();
            let q = to_f64(&q.q(&state, &taken.action).unwrap()).unwrap();
            let discount = gamma.powi(h as i32);
            for i in 0..b {
                let worth = |e: usize| earned[i] + discount * (q[e * b + i] - alpha * log_prob[i]);
                candidates[i].push([worth(0), worth(1)]);
            }
            if h == horizon {
                break;
            }
            let normal = Some(normals("model", member.noise_dim(), h).unwrap());
            let step =
                member.step(&state, &taken.action, &StepNoise { normal, ..StepNoise::default() });
            let step = step.unwrap();
            let reward = to_f64(&step.reward).unwrap();
            for i in 0..b {
                earned[i] += discount * (reward[i] - alpha * log_prob[i]);
            }
            state = step.next;
        }
    }
    let (reward, cont) = (to_f64(&batch.reward).unwrap(), to_f64(&batch.cont).unwrap());
    let y = to_f64(&y).unwrap();
    for i in 0..b {
        let (mut mixed, mut total) = (0.0, 0.0);
        for candidates in &candidates {
            let all: Vec<f64> = candidates[i].iter().flatten().copied().collect();
            let mean = all.iter().sum::<f64>() / 6.0;
            let variance = all.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / 6.0;
            let low = candidates[i].iter().map(|q| q[0].min(q[1])).sum::<f64>() / 3.0;
            let weight = 1.0 / (variance + 1e-8);
            mixed += weight * low;
            total += weight;
        }
        let want = reward[i] + gamma * cont[i] * mixed / total;
        assert!((y[i] - want).abs() < 1e-9 * want.abs().max(1.0), "row {i}: {} {want}", y[i]);
    }
}
