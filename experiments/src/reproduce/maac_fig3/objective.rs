//! The H-step objective of linear parts, and its gradient by automatic differentiation.

use super::lqr::{Lqr, Mat};
use candle_core::{Tensor, Var};
use hstep::shape::{Spec, to_f64};
use hstep::{Error, Result};

/// What a rollout is made of, as tensors: `[S,S]`, `[S,A]`, `[S,S]`, `[A,A]`, `[S+A,S+A]`.
pub struct Parts {
    a: Tensor,
    b: Tensor,
    state_cost: Tensor,
    action_cost: Tensor,
    terminal: Tensor,
    gamma: f64,
}

impl Parts {
    /// The dynamics and costs of `lqr` with the quadratic action value `terminal` `[S+A,S+A]`.
    pub fn new(lqr: &Lqr, terminal: &Mat) -> Result<Self> {
        Ok(Self {
            a: tensor(&lqr.a)?,
            b: tensor(&lqr.b)?,
            state_cost: tensor(&lqr.state_cost)?,
            action_cost: tensor(&lqr.action_cost)?,
            terminal: tensor(terminal)?,
            gamma: lqr.gamma,
        })
    }
}

/// `J_H(K) = mean over starts of [sum_{t<H} gamma^t r_t + gamma^H Q(s_H, a_H)]`, a scalar, for the
/// gain `k` `[A,S]` and start states `s0` `[B,S]`, with costs counted negatively.
fn j_h(parts: &Parts, k: &Tensor, s0: &Tensor, horizon: usize) -> Result<Tensor> {
    let quadratic = |x: &Tensor, m: &Tensor| -> Result<Tensor> { Ok((x.matmul(m)? * x)?.sum(1)?) };
    let (a_t, b_t, k_t) = (parts.a.t()?, parts.b.t()?, k.t()?);
    let mut s = s0.clone();
    let mut action = s.matmul(&k_t)?.neg()?;
    let mut cost = Tensor::zeros(s0.dim(0)?, s0.dtype(), s0.device())?;
    let mut discount = 1.0;
    for _ in 0..horizon {
        let stage = (quadratic(&s, &parts.state_cost)? + quadratic(&action, &parts.action_cost)?)?;
        cost = (cost + (stage * discount)?)?;
        s = (s.matmul(&a_t)? + action.matmul(&b_t)?)?;
        action = s.matmul(&k_t)?.neg()?;
        discount *= parts.gamma;
    }
    let z = Tensor::cat(&[&s, &action], 1)?;
    cost = (cost + (quadratic(&z, &parts.terminal)? * discount)?)?;
    Ok(cost.mean_all()?.neg()?)
}

/// `dJ_H/dK` `[A,S]` by automatic differentiation, for start states `N(0, s0)`.
pub fn gradient(parts: &Parts, k: &Mat, s0: &Mat, horizon: usize) -> Result<Mat> {
    let var = Var::from_tensor(&tensor(k)?)?;
    let objective = j_h(parts, var.as_tensor(), &starts(s0)?, horizon)?;
    let grads = objective.backward()?;
    let grad = grads.get(&var).ok_or_else(|| Error::Composition {
        agent: "maac-fig3".into(),
        problem: "the objective does not depend on the gain".into(),
    })?;
    Mat::new(k.rows, k.cols, &to_f64(grad)?)
}

/// Start states `[S,S]` whose mean of any quadratic form is its expectation under `N(0, s0)`,
/// exactly: the columns of `sqrt(S) L` with `L L' = s0`. J_H is a quadratic form in the start.
fn starts(s0: &Mat) -> Result<Tensor> {
    let n = s0.rows;
    let mut l = Mat::from_fn(n, n, |_, _| 0.0);
    for i in 0..n {
        for j in 0..=i {
            let rest = s0.at(i, j) - (0..j).map(|c| l.at(i, c) * l.at(j, c)).sum::<f64>();
            l.data[i * n + j] = if i == j { rest.max(0.0).sqrt() } else { rest / l.at(j, j) };
        }
    }
    tensor(&l.t().scaled((n as f64).sqrt()))
}

fn tensor(m: &Mat) -> Result<Tensor> {
    Spec::f64().tensor(&m.data, (m.rows, m.cols))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn autodiff_agrees_with_the_adjoint_recursion() {
        let mut lqr = Lqr::double_integrator(0.1, 0.95).unwrap();
        lqr.action_cost = Mat::diagonal(&[0.2]);
        let k = Mat::new(1, 2, &[1.0, 1.2]).unwrap();
        let s0 = Mat::new(2, 2, &[1.0, 0.3, 0.3, 2.0]).unwrap();
        let m = lqr.action_value(&k).unwrap();
        let parts = Parts::new(&lqr, &m).unwrap();
        for horizon in [0, 1, 2, 9, 60] {
            let auto = gradient(&parts, &k, &s0, horizon).unwrap();
            // A return here, a cost there.
            let exact = lqr.h_step_gradient(&k, &m, &s0, horizon).scaled(-1.0);
            assert!(auto.plus(-1.0, &exact).l1() < 1e-12 * exact.l1(), "H = {horizon}");
        }
    }
}
