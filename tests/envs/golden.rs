//! Whole episodes recorded elsewhere (`tests/golden/`): from Gymnasium 1.4.0 by `make_gymnasium.py`,
//! and from rods held together by constraint forces by `make_two_link.py`.

use hstep::env::native::{
    Acrobot, Leg2R, MountainCar, Native, Pendulum, Physics, Reacher2, TwoLink,
};
use hstep::env::{Env, Step};
use serde_json::Value;

/// A row of the CSV: action, observation, reward, terminated, truncated.
struct Row {
    episode: usize,
    fields: Vec<String>,
}

fn read(name: &str) -> (Value, Vec<Row>) {
    let path = format!("{}/tests/golden/{name}", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(format!("{path}.json")).unwrap();
    let header: Value = serde_json::from_str(&text).unwrap();
    let rows = std::fs::read_to_string(format!("{path}.csv")).unwrap();
    let row = |line: &str| {
        let mut fields = line.split(',').map(str::to_owned);
        Row { episode: fields.next().unwrap().parse().unwrap(), fields: fields.collect() }
    };
    (header, rows.lines().map(row).collect())
}

/// Single-precision numbers are written with as many digits as they need to be read as such.
fn number(text: &str, single: bool) -> f64 {
    if single { f64::from(text.parse::<f32>().unwrap()) } else { text.parse().unwrap() }
}

fn start(episode: &Value) -> Vec<f64> {
    episode["start"].as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect()
}

/// Replays every recorded episode; the greatest differences of observations and rewards.
fn replay<P: Physics>(name: &str, physics: P) -> (f64, f64) {
    let (header, rows) = read(name);
    assert_eq!(header["gymnasium"], "1.4.0");
    let episodes = header["episodes"].as_array().unwrap();
    let mut env = Native::new(physics);
    let (mut worst_obs, mut worst_reward) = (0f64, 0f64);
    for (index, episode) in episodes.iter().enumerate() {
        env.reset_to(&start(episode)).unwrap();
        let rows: Vec<&Row> = rows.iter().filter(|r| r.episode == index).collect();
        assert_eq!(rows.len() as u64, episode["steps"].as_u64().unwrap());
        for (t, row) in rows.iter().enumerate() {
            let place = format!("{name}, episode {index}, step {t}");
            let [action, obs @ .., reward, terminated, truncated] = row.fields.as_slice() else {
                panic!("{place}: too few columns")
            };
            let step = env.step(&[number(action, episode["dtype"] == "float32")]).unwrap();
            assert_eq!(step.obs.len(), obs.len());
            for (ours, theirs) in step.obs.iter().zip(obs) {
                worst_obs = worst_obs.max((ours - number(theirs, true)).abs());
            }
            worst_reward = worst_reward.max((step.reward - number(reward, false)).abs());
            assert_eq!(step.terminated, terminated == "1", "{place}: terminated");
            assert_eq!(step.truncated, truncated == "1", "{place}: truncated");
        }
        assert!(env.step(&[0.0]).is_err(), "{name}, episode {index}: goes on after its end");
    }
    (worst_obs, worst_reward)
}

#[test]
fn pendulum_equals_gymnasium_over_whole_episodes() {
    // Gymnasium's observations are rounded to f32: at velocities near 8 by 2.4e-7.
    let (obs, reward) = replay("pendulum", Pendulum::default());
    assert!(obs < 1e-6 && reward < 1e-6, "observations differ by {obs:e}, rewards by {reward:e}");
}

#[test]
fn mountain_car_equals_gymnasium_over_whole_episodes() {
    let (obs, reward) = replay("mountain-car", MountainCar::default());
    assert!(obs < 1e-6 && reward < 1e-6, "observations differ by {obs:e}, rewards by {reward:e}");
}

/// The rounding is needed: the same equations in double precision drift over the same episodes.
#[test]
fn mountain_car_in_double_precision_drifts_but_slightly() {
    let (obs, _) = replay("mountain-car", MountainCar::double());
    assert!((1e-7..1e-4).contains(&obs), "{obs:e}");
}

/// Replays every recorded episode of a two-link task. The greatest differences: of observations and
/// rewards over whole episodes; of them, each step from the recorded state before; of the joints
/// alone, each step so but in three hundred parts.
fn replay_links<P: Physics>(name: &str, physics: &P, body: TwoLink, dt: f64) -> [f64; 3] {
    let (header, rows) = read(name);
    let mut env = Native::new(physics.clone());
    let (limit, mut worst) = (physics.info().action_high, [0f64; 3]);
    for (index, episode) in header["episodes"].as_array().unwrap().iter().enumerate() {
        let mut recorded = start(episode);
        env.reset_to(&recorded).unwrap();
        let mut steps = 0;
        for row in rows.iter().filter(|r| r.episode == index) {
            let row: Vec<f64> = row.fields.iter().map(|x| x.parse().unwrap()).collect();
            let (action, outcome) = row.split_at(limit.len());
            let results = |step: Step| [step.obs, vec![step.reward]].concat();
            let whole = results(env.step(action).unwrap());
            let mut one = Native::new(physics.clone());
            one.reset_to(&recorded).unwrap();
            let single = results(one.step(action).unwrap());
            assert_eq!((whole.len(), single.len()), (outcome.len(), outcome.len()));

            // The acrobot's one torque is the elbow's.
            let torques: Vec<f64> =
                action.iter().zip(&limit).map(|(a, most)| a.clamp(-most, *most)).collect();
            let torque =
                if let [hip, knee] = torques[..] { [hip, knee] } else { [0.0, torques[0]] };
            let [q1, q2, w1, w2, ..] = recorded[..] else { panic!("{name}: {recorded:?}") };
            let [q1, q2, w1, w2] = body.advance([q1, q2, w1, w2], torque, dt, 300);
            let fine = vec![q1.cos(), q1.sin(), q2.cos(), q2.sin(), w1, w2];
            for (worst, ours) in worst.iter_mut().zip([whole, single, fine]) {
                for (ours, theirs) in ours.iter().zip(outcome) {
                    *worst = worst.max((ours - theirs).abs());
                }
            }

            // The state of an observation: angles by the arc tangent, rates and target as they are.
            let angle = |i: usize| outcome[i + 1].atan2(outcome[i]);
            recorded[..4].copy_from_slice(&[angle(0), angle(2), outcome[4], outcome[5]]);
            if name == "leg-2r" {
                recorded[4] = angle(6);
            }
            steps += 1;
        }
        assert_eq!(steps, episode["steps"].as_u64().unwrap());
    }
    worst
}

#[test]
fn two_links_move_as_rods_held_together_by_constraint_forces() {
    let leg = replay_links("leg-2r", &Leg2R::default(), Leg2R::body(), 0.02);
    let reacher = replay_links("reacher-2", &Reacher2::default(), Reacher2::body(), 0.04);
    let acrobot = replay_links("acrobot", &Acrobot::default(), Acrobot::body(), 0.04);
    // In a task's few Runge-Kutta steps the rates of a flailing body err by 3e-4 of their up to 40
    // rad/s. The acrobot swung over is chaotic: a whole episode of it is no measure.
    let bounds = [(leg, 3e-3, 3e-3), (reacher, 3e-3, 3e-3), (acrobot, f64::INFINITY, 1.2e-2)];
    for ([whole, single, fine], most_whole, most_single) in bounds {
        // In three hundred parts only the arithmetic and the recorded digits differ.
        assert!(fine < 1e-8, "joints differ by {fine:e}");
        assert!(whole < most_whole && single < most_single, "{whole:e} and {single:e}");
    }
}
