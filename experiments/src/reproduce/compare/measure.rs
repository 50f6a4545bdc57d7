//! What a learning curve comes to, in one number.

use hstep::Result;
use hstep::env;
use hstep::rng::Rng;

/// Episodes behind the return of the random policy.
const EPISODES: usize = 200;

/// The step of the second value in a row at `level` or better.
pub fn held(points: &[(f64, f64)], level: f64) -> Option<f64> {
    points.windows(2).find(|w| w[0].1 >= level && w[1].1 >= level).map(|w| w[1].0)
}

/// The step of the last of the first `window` values in a row whose mean is `level` or better.
pub fn reached(points: &[(f64, f64)], level: f64, window: usize) -> Option<f64> {
    let mean = |w: &[(f64, f64)]| w.iter().map(|p| p.1).sum::<f64>() / w.len() as f64;
    points.windows(window).find(|w| mean(w) >= level).and_then(|w| w.last()).map(|p| p.0)
}

/// Mean return of uniformly random actions on `env`, over fixed episodes.
///
/// # Errors
/// As the environment.
pub fn random_return(env: &str) -> Result<f64> {
    let mut env = env::make(env)?;
    let mut rng = Rng::new(0).fork("random policy");
    let width = env.info().action_dim();
    let mut total = 0.0;
    for _ in 0..EPISODES {
        env.reset(&mut rng)?;
        loop {
            let action: Vec<f64> = (0..width).map(|_| 2.0 * rng.uniform() - 1.0).collect();
            let action = env.info().denormalise(&action)?;
            let step = env.step(&action)?;
            total += step.reward;
            if step.terminated || step.truncated {
                break;
            }
        }
    }
    Ok(total / EPISODES as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::last_mean;

    #[test]
    fn one_good_evaluation_is_not_holding() {
        let curve = [(0.0, -300.0), (1.0, -150.0), (2.0, -250.0), (3.0, -199.0), (4.0, -200.0)];
        assert_eq!(held(&curve, -200.0), Some(4.0));
        assert_eq!(held(&curve[..4], -200.0), None);
        assert_eq!(reached(&curve, -200.0, 1), Some(1.0));
        assert_eq!(reached(&curve, -200.0, 2), Some(2.0));
        assert_eq!(reached(&curve, -100.0, 1), None);
        assert_eq!(last_mean(&curve, 2), -199.5);
        assert_eq!(last_mean(&curve[..1], 5), -300.0);
    }

    #[test]
    fn random_actions_on_the_pendulum_earn_what_gymnasium_users_know() {
        // About -1200 with a standard deviation of 300 an episode: an error of 20 for the mean.
        let value = random_return("pendulum").unwrap();
        assert!((-1300.0..-1100.0).contains(&value), "{value}");
        assert_eq!(value, random_return("pendulum").unwrap());
    }
}
