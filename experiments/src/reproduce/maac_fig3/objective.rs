//! The H-step objective of linear parts, and its gradients by automatic differentiation.

use candle_core::{Tensor, Var};
use hstep::dynamics::{FnDynamics, StepNoise, Transition};
use hstep::lqr::{Lqr, Matrix};
use hstep::objective::{Actions, Cost, HStep, Noise, Reduce, Terminal};
use hstep::policy::Linear;
use hstep::shape::{Spec, to_f64};
use hstep::value::FnCritic;
use hstep::{Error, Result};

/// `dJ_H/dK [A,S]` for `H = 0, .., horizon`, from one rollout of `a = -K s` through the dynamics
/// and rewards of `lqr`, with `Q(s, a) = -[s; a]' M [s; a]` of the matrix `terminal [S+A,S+A]` held
/// fixed. Starts have the second moment `s0 [S,S]`.
///
/// The rollout has no noise, so the action at `s_h` on the way is the terminal action of `J_h` too.
pub fn gradients(
    lqr: &Lqr,
    terminal: &Matrix,
    k: &Matrix,
    s0: &Matrix,
    horizon: usize,
) -> Result<Vec<Matrix>> {
    let (n, m) = lqr.b.dims();
    let (a_t, b_t) = (tensor(&lqr.a.t())?, tensor(&lqr.b.t())?);
    let (q, r, terminal) = (tensor(&lqr.q)?, tensor(&lqr.r)?, tensor(terminal)?);
    let dynamics = FnDynamics::new(n, m, Spec::f64(), |s: &Tensor, a: &Tensor, _: &StepNoise| {
        let reward = (quadratic(s, &q)? + quadratic(a, &r)?)?.neg()?;
        let next = (s.matmul(&a_t)? + a.matmul(&b_t)?)?;
        Ok(Transition { next, cont: reward.ones_like()?, reward })
    });
    let critic = FnCritic {
        members: 1,
        function: |s: &Tensor, a: &Tensor| {
            Ok(quadratic(&Tensor::cat(&[s, a], 1)?, &terminal)?.neg()?.unsqueeze(0)?)
        },
    };
    let policy = Linear::new(k.data(), m, n, 0.0, &Spec::f64())?;
    let objective = HStep {
        dynamics: Some(&dynamics),
        terminal: Terminal::Action { critic: &critic, reduce: Reduce::Member(0), samples: 1 },
        horizon,
        gamma: lqr.gamma,
        cost: Cost::NONE,
    };
    let rollout = objective.rollout(&starts(s0)?, Actions::Policy(&policy), &Noise::default())?;
    let by_horizon = objective.by_horizon(&rollout)?;
    by_horizon.iter().map(|j| gradient(&j.mean_all()?, policy.gain())).collect()
}

/// `x' M x` of every row of `x [B,N]`, `[B]`.
fn quadratic(x: &Tensor, m: &Tensor) -> Result<Tensor> {
    Ok((x.matmul(m)? * x)?.sum(1)?)
}

/// The gradient of a scalar in the gain.
fn gradient(j: &Tensor, gain: &Var) -> Result<Matrix> {
    let gradients = j.backward()?;
    let gradient = gradients.get(gain).ok_or_else(|| Error::Composition {
        agent: "maac-fig3".into(),
        problem: "the objective does not depend on the gain".into(),
    })?;
    let ((rows, cols), data) = (gradient.dims2()?, to_f64(gradient)?);
    Ok(Matrix::from_fn(rows, cols, |i, j| data[i * cols + j]))
}

/// Start states `[S,S]` whose mean of any quadratic form is its expectation under the second moment
/// `s0`, exactly: the columns of `sqrt(S) L` with `L L' = s0`. `J_H` is a quadratic form in the
/// start.
fn starts(s0: &Matrix) -> Result<Tensor> {
    let root = s0.cholesky()?.t();
    tensor(&root.scale((root.dims().0 as f64).sqrt()))
}

fn tensor(m: &Matrix) -> Result<Tensor> {
    Spec::f64().tensor(m.data(), m.dims())
}

#[cfg(test)]
mod tests {
    use hstep::env::native::DoubleIntegrator;

    use super::*;

    #[test]
    fn autodiff_agrees_with_the_adjoint_recursion() {
        let lqr = DoubleIntegrator { r: 0.2, ..Default::default() }.lqr(0.95).unwrap();
        let k = Matrix::from_rows(&[&[1.0, 1.2]]).unwrap();
        let s0 = Matrix::from_rows(&[&[1.0, 0.3], &[0.3, 2.0]]).unwrap();
        let m = lqr.q_function(&k).unwrap();
        let auto = gradients(&lqr, &m, &k, &s0, 60).unwrap();
        assert_eq!(auto.len(), 61);
        for horizon in [0, 1, 2, 9, 60] {
            // A return there, a cost here.
            let exact = lqr.h_step_gradient(&k, &m, &s0, horizon).unwrap().scale(-1.0);
            let difference = auto[horizon].add(-1.0, &exact).unwrap().l1();
            assert!(difference < 1e-12 * exact.l1(), "H = {horizon}: {difference}");
        }
    }
}
