//! One start state: the gradients through truth and model, and everything that the lemma's two forms
//! ask for, measured along both trajectories.

use candle_core::Tensor;
use hstep::dynamics::{FnDynamics, StepNoise, Transition};
use hstep::lqr::Matrix;
use hstep::objective::{Actions, Cost, HStep, Noise, Reduce, Terminal};
use hstep::shape::Spec;
use hstep::value::FnCritic;
use hstep::{Error, Result};
use hstep_proofs::maac::{Constants, PrintedLemma, Step};

use super::config::Config;
use super::models::{Critic, Kind, Model, true_q};
use super::policy::Tanh;
use super::system::{System, jacobian, norm};

/// Everything of one policy and one model.
pub struct Case<'a> {
    pub system: System,
    pub kind: Kind,
    pub policy: &'a Tanh,
    pub model: &'a Model,
    pub critic: &'a Critic,
    pub config: &'a Config,
}

/// What one start state says about one horizon.
#[derive(Debug, Clone)]
pub struct Point {
    pub horizon: usize,
    /// `|grad J - grad J^|`.
    pub error: f64,
    /// `|grad J|`.
    pub size: f64,
    /// The corrected right side.
    pub corrected: f64,
    /// The printed right side.
    pub printed: f64,
}

/// A trajectory with its derivatives in the parameters.
struct Path {
    /// `s_t`.
    states: Vec<Vec<f64>>,
    /// `a_t`.
    actions: Vec<f64>,
    /// `grad s_t`, `[2,P]`.
    state_gradients: Vec<Matrix>,
    /// `grad a_t`, `[1,P]`.
    action_gradients: Vec<Matrix>,
    /// `[d_s f, d_a f]` at `x_t`, `[2,3]`.
    slopes: Vec<Matrix>,
}

impl Case<'_> {
    /// Every horizon up to the longest from `s0`.
    ///
    /// # Errors
    /// [`Error::Config`] when a state leaves the box in which the constants hold.
    pub fn points(&self, s0: &[f64]) -> Result<Vec<Point>> {
        let truth = self.path(s0, |s, a| self.system.next(s, a))?;
        let model = self.path(s0, |s, a| self.model.next(s, a))?;
        (0..=self.config.horizon).map(|h| self.point(s0, &truth, &model, h)).collect()
    }

    fn path(&self, s0: &[f64], f: impl Fn(&Tensor, &Tensor) -> Result<Tensor>) -> Result<Path> {
        let (width, w) = (4 * self.config.units + 1, self.config.half_width);
        let (mut path, mut s, mut g) = (
            Path {
                states: vec![],
                actions: vec![],
                state_gradients: vec![],
                action_gradients: vec![],
                slopes: vec![],
            },
            s0.to_vec(),
            Matrix::zeros(2, width),
        );
        let policy = self.policy.frozen();
        for t in 0..=self.config.horizon {
            if s.iter().any(|x| x.abs() > w || !x.is_finite()) {
                let problem = format!(
                    "{}, {} model: step {t} from {s0:?} is at {s:?}, outside of |s_i| <= {w}, where \
                     the constants hold; expected a wider box or closer starts",
                    self.system.name(),
                    self.kind.name()
                );
                return Err(Error::config("half_width", problem));
            }
            let a = numbers(&hstep::policy::Policy::mode(&policy, &row(&s)?)?)?[0];
            let (of_state, of_parameters) = self.policy.slopes(&s)?;
            let action_gradient = of_parameters.add(1.0, &of_state.mul(&g)?)?;
            let x = [s[0], s[1], a];
            let slopes = jacobian(|x| f(&x.narrow(1, 0, 2)?, &x.narrow(1, 2, 1)?), &x)?;
            let next = numbers(&f(&row(&s)?, &row(&[a])?)?)?;
            let carried = slopes.block(0, 0, 2, 2)?.mul(&g)?;
            let next_g = carried.add(1.0, &slopes.block(0, 2, 2, 1)?.mul(&action_gradient)?)?;
            path.states.push(std::mem::replace(&mut s, next));
            path.actions.push(a);
            path.state_gradients.push(std::mem::replace(&mut g, next_g));
            path.action_gradients.push(action_gradient);
            path.slopes.push(slopes);
        }
        Ok(path)
    }

    fn point(&self, s0: &[f64], truth: &Path, model: &Path, h: usize) -> Result<Point> {
        let at = |path: &Path| [path.states[h][0], path.states[h][1], path.actions[h]];
        let q = |s: &Tensor, a: &Tensor| true_q(self.system, self.policy, self.config, s, a);
        let q_slope = jacobian(split(&q), &at(truth))?;
        // The shifted Q of the biased model has, at its own last point, the true slope at the truth's.
        let linear = Spec::f64().tensor(q_slope.data(), (3, 1))?;
        let q_hat = |s: &Tensor, a: &Tensor| match self.kind {
            Kind::Biased => Ok(Tensor::cat(&[s, a], 1)?.matmul(&linear)?.squeeze(1)?),
            _ => self.critic.q(self.system, self.policy, self.config, s, a),
        };
        let q_hat_slope = jacobian(split(&q_hat), &at(model))?;
        let exact = self.gradient(s0, |s, a| self.system.next(s, a), q, h)?;
        let through_model = self.gradient(s0, |s, a| self.model.next(s, a), q_hat, h)?;
        let constants = self.constants(truth, model, (&q_slope, &q_hat_slope), h)?;
        let difference = exact.iter().zip(&through_model).map(|(a, b)| a - b);
        Ok(Point {
            horizon: h,
            error: length(difference),
            size: length(exact.iter().copied()),
            corrected: constants.bound()?.total(),
            printed: self.printed(truth, model, (&q_slope, &q_hat_slope), h)?.printed(),
        })
    }

    /// `grad J_h` by reverse-mode differentiation of the objective that training uses.
    fn gradient(
        &self,
        s0: &[f64],
        f: impl Fn(&Tensor, &Tensor) -> Result<Tensor> + Send + Sync,
        q: impl Fn(&Tensor, &Tensor) -> Result<Tensor> + Send + Sync,
        horizon: usize,
    ) -> Result<Vec<f64>> {
        let step = |s: &Tensor, a: &Tensor, _: &StepNoise| {
            let reward = self.system.reward(s)?;
            Ok(Transition { next: f(s, a)?, cont: reward.ones_like()?, reward })
        };
        let dynamics = FnDynamics::new(2, 1, Spec::f64(), step);
        let critic =
            FnCritic { members: 1, function: |s: &Tensor, a: &Tensor| Ok(q(s, a)?.unsqueeze(0)?) };
        let objective = HStep {
            dynamics: Some(&dynamics),
            terminal: Terminal::Action { critic: &critic, reduce: Reduce::Member(0), samples: 1 },
            horizon,
            gamma: self.config.gamma,
            cost: Cost::NONE,
        };
        let actions = Actions::Policy(self.policy);
        let rollout = objective.rollout(&row(s0)?, actions, &Noise::default())?;
        self.policy.gradient(&objective.score(&rollout)?.mean_all()?)
    }

    fn constants(
        &self,
        truth: &Path,
        model: &Path,
        (q, q_hat): (&Matrix, &Matrix),
        h: usize,
    ) -> Result<Constants<f64>> {
        let smooth = self.policy.smoothness(self.config.half_width)?;
        let (lipschitz_state, lipschitz_action) = self.system.lipschitz()?;
        let error = q_hat.add(-1.0, q)?;
        let (state, action) = ((0, 2), (2, 1));
        let part = |m: &Matrix, (at, n): (usize, usize)| norm(&m.block(0, at, m.dims().0, n)?);
        let steps = (0..h).map(|t| {
            let x = &model.states[t];
            let exact = numbers(&self.system.next(&row(x)?, &row(&[model.actions[t]])?)?)?;
            let off = model.states[t + 1].iter().zip(&exact).map(|(a, b)| a - b);
            let slopes = model.slopes[t].add(-1.0, &truth.slopes[t])?;
            let reward = jacobian(|s| self.system.reward(s), &truth.states[t])?;
            Ok(Step {
                value_error: length(off),
                state_slope_error: part(&slopes, state)?,
                action_slope_error: part(&slopes, action)?,
                state_gradient: norm(&model.state_gradients[t])?,
                action_gradient: norm(&model.action_gradients[t])?,
                reward_slope: norm(&reward)?,
            })
        });
        Ok(Constants {
            gamma: self.config.gamma,
            lipschitz_state,
            lipschitz_action,
            lipschitz_policy: smooth.policy,
            smooth_parameters: smooth.parameters,
            smooth_policy: smooth.state,
            smooth_reward: self.system.smooth_reward(),
            steps: steps.collect::<Result<_>>()?,
            last_state_gradient: norm(&model.state_gradients[h])?,
            last_gradients: (norm(&truth.state_gradients[h])?, norm(&truth.action_gradients[h])?),
            q_slopes: (part(q_hat, state)?, part(q_hat, action)?),
            q_slope_errors: (part(&error, state)?, part(&error, action)?),
        })
    }

    /// The printed form with the constants that its proof uses, the most charitable reading: the
    /// errors of the derivatives along this very pair of trajectories, `K` from the growth of the true
    /// one.
    fn printed(
        &self,
        truth: &Path,
        model: &Path,
        (q, q_hat): (&Matrix, &Matrix),
        h: usize,
    ) -> Result<PrintedLemma<f64>> {
        let (mut eps_f, mut growth) = (0.0_f64, 1.0_f64);
        let mut lipschitz_model = 0.0_f64;
        for t in 0..h {
            eps_f = eps_f.max(norm(&model.slopes[t].add(-1.0, &truth.slopes[t])?)?);
            lipschitz_model = lipschitz_model.max(norm(&model.slopes[t])?);
            lipschitz_model = lipschitz_model.max(norm(&truth.slopes[t])?);
        }
        for t in 1..=h {
            let x = truth.state_gradients[t].above(&truth.action_gradients[t])?;
            growth = growth.max(norm(&x)?.powf(1.0 / t as f64));
        }
        Ok(PrintedLemma {
            gamma: self.config.gamma,
            horizon: h,
            eps_f,
            eps_q: norm(&q_hat.add(-1.0, q)?)?,
            lipschitz_model,
            lipschitz_policy: self.policy.smoothness(self.config.half_width)?.policy,
            lipschitz_q: norm(q_hat)?,
            growth,
        })
    }
}

/// A function of states and actions as one of `[B,3]`.
fn split<'a>(
    f: &'a impl Fn(&Tensor, &Tensor) -> Result<Tensor>,
) -> impl Fn(&Tensor) -> Result<Tensor> + 'a {
    |x| f(&x.narrow(1, 0, 2)?, &x.narrow(1, 2, 1)?)
}

fn row(x: &[f64]) -> Result<Tensor> {
    Spec::f64().tensor(x, (1, x.len()))
}

fn numbers(x: &Tensor) -> Result<Vec<f64>> {
    hstep::shape::to_f64(&x.flatten_all()?)
}

fn length(x: impl Iterator<Item = f64>) -> f64 {
    x.map(|x| x * x).sum::<f64>().sqrt()
}

#[cfg(test)]
mod tests {
    use hstep::rng::Rng;

    use super::*;

    #[test]
    fn the_chain_rule_along_the_path_is_the_gradient_of_the_objective() {
        let config = Config { units: 4, horizon: 3, q_steps: 10, ..Config::default() };
        let (system, mut rng) = (System::Pendulum, Rng::new(5));
        let policy = Tanh::fitted(system, config.units, 2.0, &mut rng).unwrap();
        let model = Model::new(Kind::Perturbed, system, &config, &mut rng).unwrap();
        let critic = Critic::new(Kind::Perturbed, system, &policy, &config, &mut rng).unwrap();
        let case = Case {
            system,
            kind: Kind::Perturbed,
            policy: &policy,
            model: &model,
            critic: &critic,
            config: &config,
        };
        let s0 = [0.5, -0.4];
        let path = case.path(&s0, |s, a| model.next(s, a)).unwrap();
        let q = |s: &Tensor, a: &Tensor| critic.q(system, &policy, &config, s, a);
        for h in 0..=3 {
            let x = [path.states[h][0], path.states[h][1], path.actions[h]];
            let slope = jacobian(split(&q), &x).unwrap();
            let last = path.state_gradients[h].above(&path.action_gradients[h]).unwrap();
            let mut sum = slope.mul(&last).unwrap().scale(config.gamma.powi(h as i32));
            for t in 0..h {
                let r = jacobian(|s| system.reward(s), &path.states[t]).unwrap();
                let term = r.mul(&path.state_gradients[t]).unwrap();
                sum = sum.add(config.gamma.powi(t as i32), &term).unwrap();
            }
            let auto = case.gradient(&s0, |s, a| model.next(s, a), q, h).unwrap();
            for (a, b) in auto.iter().zip(sum.data()) {
                assert!((a - b).abs() < 1e-11 * (1.0 + a.abs()), "H = {h}: {a} {b}");
            }
        }
    }
}
