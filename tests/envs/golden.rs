//! Whole episodes recorded from Gymnasium 1.4.0 (`tests/golden/`, made by its `make_gymnasium.py`).

use hstep::env::Env;
use hstep::env::native::{MountainCar, Native, Pendulum, Physics};
use serde_json::Value;

/// A row of the CSV: action, observation, reward, terminated, truncated.
struct Row {
    episode: usize,
    fields: Vec<String>,
}

fn read(name: &str) -> (Vec<Value>, Vec<Row>) {
    let path = format!("{}/tests/golden/{name}", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(format!("{path}.json")).unwrap();
    let header: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(header["gymnasium"], "1.4.0");
    let rows = std::fs::read_to_string(format!("{path}.csv")).unwrap();
    let row = |line: &str| {
        let mut fields = line.split(',').map(str::to_owned);
        Row { episode: fields.next().unwrap().parse().unwrap(), fields: fields.collect() }
    };
    (header["episodes"].as_array().unwrap().clone(), rows.lines().map(row).collect())
}

/// Single-precision numbers are written with as many digits as they need to be read as such.
fn number(text: &str, single: bool) -> f64 {
    if single { f64::from(text.parse::<f32>().unwrap()) } else { text.parse().unwrap() }
}

/// Replays every recorded episode; the greatest differences of observations and rewards.
fn replay<P: Physics>(name: &str, physics: P) -> (f64, f64) {
    let (episodes, rows) = read(name);
    let mut env = Native::new(physics);
    let (mut worst_obs, mut worst_reward) = (0f64, 0f64);
    for (index, episode) in episodes.iter().enumerate() {
        let start: Vec<f64> =
            episode["start"].as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect();
        env.reset_to(&start).unwrap();
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
    let (obs, reward) = replay("pendulum", Pendulum);
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
