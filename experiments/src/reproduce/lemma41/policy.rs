//! The policy: one hidden layer of tanh, trainable, its derivatives and their Lipschitz constants in
//! closed form.

use candle_core::{Tensor, Var};
use hstep::lqr::Matrix;
use hstep::policy::{ActionSample, Policy};
use hstep::rng::Rng;
use hstep::shape::{Spec, to_f64};
use hstep::{Error, Result};

use super::system::System;

/// Largest `|tanh''|`: `4 / (3 sqrt 3)`.
const BEND: f64 = 0.769_800_358_919_501;

/// `a = w_2 tanh(W_1 s + b_1) + b_2`, without noise. All parameters are one row `theta`: `W_1 [N,2]`,
/// `b_1 [N]`, `w_2 [N]`, `b_2`.
pub struct Tanh {
    theta: Var,
    units: usize,
    track: bool,
}

/// Lipschitz constants in the state, over `|s_i| <= w`.
pub struct Smoothness {
    /// Of the policy.
    pub policy: f64,
    /// Of its derivative in the state.
    pub state: f64,
    /// Of its derivative in the parameters.
    pub parameters: f64,
}

impl Tanh {
    /// Random features with the output layer that comes nearest, by least squares over the box, to
    /// the system's feedback.
    pub fn fitted(system: System, units: usize, half_width: f64, rng: &mut Rng) -> Result<Self> {
        let hidden: Vec<f64> = (0..2 * units).map(|_| 0.5 * rng.normal()).collect();
        let shift: Vec<f64> = (0..units).map(|_| 0.5 * rng.normal()).collect();
        let (mut square, mut target) = (Matrix::zeros(units + 1, units + 1), vec![0.0; units + 1]);
        let rows = 500;
        for _ in 0..rows {
            let [x, v] = [(); 2].map(|()| half_width * (2.0 * rng.uniform() - 1.0));
            let mut features: Vec<f64> = (0..units)
                .map(|j| (hidden[2 * j] * x + hidden[2 * j + 1] * v + shift[j]).tanh())
                .collect();
            features.push(1.0);
            let outer = Matrix::from_fn(units + 1, units + 1, |i, j| features[i] * features[j]);
            square = square.add(1.0, &outer)?;
            for (sum, feature) in target.iter_mut().zip(&features) {
                *sum += feature * system.feedback(x, v);
            }
        }
        // A ridge keeps the weights, and with them all constants, small.
        square = square.add(0.01 * f64::from(rows), &Matrix::identity(units + 1))?;
        let last = square.solve(&Matrix::from_fn(units + 1, 1, |i, _| target[i]))?;
        let theta = [&hidden[..], &shift, last.data()].concat();
        let theta = Var::from_tensor(&Spec::f64().tensor(&theta, theta.len())?)?;
        Ok(Self { theta, units, track: true })
    }

    /// The same policy without gradients to its parameters.
    pub fn frozen(&self) -> Self {
        Self { theta: self.theta.clone(), units: self.units, track: false }
    }

    /// The gradient of a scalar in the parameters, `[P]`.
    pub fn gradient(&self, j: &Tensor) -> Result<Vec<f64>> {
        let gradients = j.backward()?;
        let gradient = gradients.get(self.theta.as_tensor()).ok_or_else(|| Error::Composition {
            agent: "maac-lemma-4.1".into(),
            problem: "the objective does not depend on the policy".into(),
        })?;
        to_f64(gradient)
    }

    /// The numbers `W_1`, `b_1`, `w_2`, of unit `j`.
    fn unit(&self, theta: &[f64], j: usize) -> ([f64; 2], f64, f64) {
        let n = self.units;
        ([theta[2 * j], theta[2 * j + 1]], theta[2 * n + j], theta[3 * n + j])
    }

    /// `d_s pi [1,2]` and `d_theta pi [1,P]` at `s`.
    pub fn slopes(&self, s: &[f64]) -> Result<(Matrix, Matrix)> {
        let (theta, n) = (to_f64(self.theta.as_tensor())?, self.units);
        let (mut state, mut parameters) = ([0.0; 2], vec![0.0; 4 * n + 1]);
        for j in 0..n {
            let (w, b, out) = self.unit(&theta, j);
            let h = (w[0] * s[0] + w[1] * s[1] + b).tanh();
            let slope = out * (1.0 - h * h);
            for k in 0..2 {
                state[k] += slope * w[k];
                parameters[2 * j + k] = slope * s[k];
            }
            parameters[2 * n + j] = slope;
            parameters[3 * n + j] = h;
        }
        parameters[4 * n] = 1.0;
        let p = parameters.len();
        Ok((Matrix::from_rows(&[&state])?, Matrix::from_fn(1, p, |_, i| parameters[i])))
    }

    /// Bounds by the norms of the weights: `tanh` has slopes to 1 and second derivatives to 0.77.
    pub fn smoothness(&self, half_width: f64) -> Result<Smoothness> {
        let theta = to_f64(self.theta.as_tensor())?;
        let (mut policy, mut state, mut squares) = (0.0, 0.0, 0.0);
        for j in 0..self.units {
            let (w, _, out) = self.unit(&theta, j);
            let (w, out) = (w[0].hypot(w[1]), out.abs());
            policy += out * w;
            state += out * BEND * w * w;
            // The rows for w_2, b_1 and W_1: h' w, out h'' w, and out (h'' w s_k + h' e_k).
            let of_hidden = out * (BEND * w * half_width * std::f64::consts::SQRT_2 + 1.0);
            squares += w * w + (out * BEND * w).powi(2) + of_hidden * of_hidden;
        }
        Ok(Smoothness { policy, state, parameters: squares.sqrt() })
    }
}

impl Policy for Tanh {
    fn action_dim(&self) -> usize {
        1
    }

    fn sample(&self, obs: &Tensor, _noise: &Tensor) -> Result<ActionSample> {
        let action = self.mode(obs)?;
        let log_prob = Tensor::zeros(action.dim(0)?, action.dtype(), action.device())?;
        Ok(ActionSample { action, log_prob })
    }

    fn mode(&self, obs: &Tensor) -> Result<Tensor> {
        let theta = match self.track {
            true => self.theta.as_tensor().clone(),
            false => self.theta.as_detached_tensor(),
        };
        let n = self.units;
        let part = |from: usize, dims: (usize, usize)| -> Result<Tensor> {
            Ok(theta.narrow(0, from, dims.0 * dims.1)?.reshape(dims)?)
        };
        let hidden = obs.matmul(&part(0, (n, 2))?.t()?)?.broadcast_add(&part(2 * n, (1, n))?)?;
        let out = hidden.tanh()?.matmul(&part(3 * n, (n, 1))?)?;
        Ok(out.broadcast_add(&part(4 * n, (1, 1))?)?)
    }

    fn log_prob(&self, obs: &Tensor, _action: &Tensor) -> Result<Tensor> {
        Ok(Tensor::zeros(obs.dim(0)?, obs.dtype(), obs.device())?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reproduce::lemma41::system::{jacobian, norm};

    #[test]
    fn closed_forms_agree_with_automatic_differentiation() {
        let policy = Tanh::fitted(System::Pendulum, 5, 3.0, &mut Rng::new(1)).unwrap();
        let s = [0.4, -1.3];
        let (state, parameters) = policy.slopes(&s).unwrap();
        let by_candle = jacobian(|x| policy.frozen().mode(x), &s).unwrap();
        assert!(state.add(-1.0, &by_candle).unwrap().max_abs() < 1e-13);
        let at = Spec::f64().tensor(&s, (1, 2)).unwrap();
        let gradient = policy.gradient(&policy.mode(&at).unwrap().sum_all().unwrap()).unwrap();
        for (a, b) in parameters.data().iter().zip(&gradient) {
            assert!((a - b).abs() < 1e-13, "{a} {b}");
        }
    }

    #[test]
    fn derivatives_change_no_faster_than_their_constants() {
        let policy = Tanh::fitted(System::Pendulum, 5, 3.0, &mut Rng::new(2)).unwrap();
        let l = policy.smoothness(3.0).unwrap();
        let mut rng = Rng::new(3);
        for _ in 0..500 {
            let [a, b] = [(); 2].map(|()| [(); 2].map(|()| 3.0 * (2.0 * rng.uniform() - 1.0)));
            let ((sa, pa), (sb, pb)) = (policy.slopes(&a).unwrap(), policy.slopes(&b).unwrap());
            let far = (a[0] - b[0]).hypot(a[1] - b[1]);
            let change = |x: &Matrix, y: &Matrix| norm(&x.add(-1.0, y).unwrap()).unwrap();
            assert!(norm(&sa).unwrap() <= l.policy);
            assert!(change(&sa, &sb) <= l.state * far + 1e-12);
            assert!(change(&pa, &pb) <= l.parameters * far + 1e-12);
        }
    }
}
