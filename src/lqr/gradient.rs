//! The expected cost of a gain, and its gradients: of the infinite sum and of H steps.

use super::{Lqr, Matrix, lyapunov};
use crate::error::Result;

impl Lqr {
    /// The discounted second moment of the states `S [n,n]` that `u = -Kx` visits from starts of
    /// second moment `s0 [n,n]`: `S = S0 + gamma (A-BK) S (A-BK)'`.
    ///
    /// # Errors
    /// As [`Lqr::evaluate`], and [`crate::Error::Shape`] for an `s0` that does not fit.
    pub fn visits(&self, k: &Matrix, s0: &Matrix) -> Result<Matrix> {
        lyapunov(s0, &self.closed_loop(k)?.t(), self.gamma)
    }

    /// `J(K) = trace(P S0)`, the expected discounted cost from starts of second moment `s0 [n,n]`.
    ///
    /// # Errors
    /// As [`Lqr::visits`].
    pub fn objective(&self, k: &Matrix, s0: &Matrix) -> Result<f64> {
        Ok(self.evaluate(k)?.mul(s0)?.trace())
    }

    /// The policy gradient `dJ/dK = 2 (M_uu K - M_ux) S`, `[m,n]`, with `M` the action-cost of `K`
    /// and `S` its [`Lqr::visits`].
    ///
    /// # Errors
    /// As [`Lqr::visits`].
    pub fn policy_gradient(&self, k: &Matrix, s0: &Matrix) -> Result<Matrix> {
        self.action_slope(k, &self.q_function(k)?)?.mul(&self.visits(k, s0)?)
    }

    /// `2 (M_uu K - M_ux)`, `[m,n]`: the gradient in `K` of `[x; -Kx]' M [x; -Kx]`, but for the
    /// second moment of the states on its right.
    fn action_slope(&self, k: &Matrix, m: &Matrix) -> Result<Matrix> {
        let (n, u) = self.b.dims();
        let (uu, ux) = (m.block(n, n, u, u)?, m.block(n, 0, u, n)?);
        Ok(uu.mul(k)?.add(-1.0, &ux)?.scale(2.0))
    }

    /// The H-step objective with the fixed quadratic terminal `m [n+m,n+m]`:
    ///
    /// `J_H(K) = E[ sum_{t<H} gamma^t (x_t' Q x_t + u_t' R u_t) + gamma^H z_H' M z_H ]`,
    /// `z = [x; u]`.
    ///
    /// # Errors
    /// [`crate::Error::Shape`] when `k`, `m` or `s0` does not fit.
    pub fn h_step_objective(
        &self,
        k: &Matrix,
        m: &Matrix,
        s0: &Matrix,
        horizon: usize,
    ) -> Result<f64> {
        Ok(self.costs_to_go(k, m, horizon)?[0].mul(s0)?.trace())
    }

    /// `dJ_H/dK [m,n]`, with the terminal `m` held fixed, by the adjoint recursion:
    ///
    /// ```text
    /// L_H = gamma^H [I; -K]' M [I; -K]        L_t = gamma^t (Q + K'RK) + F' L_{t+1} F
    /// S_0 given                               S_{t+1} = F S_t F',    F = A - BK
    /// dJ_H/dK = sum_{t<H} 2 (gamma^t R K - B' L_{t+1} F) S_t + gamma^H 2 (M_uu K - M_ux) S_H
    /// ```
    ///
    /// # Errors
    /// [`crate::Error::Shape`] when `k`, `m` or `s0` does not fit.
    pub fn h_step_gradient(
        &self,
        k: &Matrix,
        m: &Matrix,
        s0: &Matrix,
        horizon: usize,
    ) -> Result<Matrix> {
        let f = self.closed_loop(k)?;
        let (mut s, mut discount) = (s0.clone(), 1.0);
        let mut gradient = k.scale(0.0);
        for next in self.costs_to_go(k, m, horizon)?.iter().skip(1) {
            let direct = self.r.mul(k)?.scale(discount);
            let carried = next.between(&self.b, &f)?;
            gradient = gradient.add(2.0, &direct.add(-1.0, &carried)?.mul(&s)?)?;
            s = s.between(&f.t(), &f.t())?;
            discount *= self.gamma;
        }
        gradient.add(discount, &self.action_slope(k, m)?.mul(&s)?)
    }

    /// The costs to go `L_0, .., L_H` of the H-step objective.
    fn costs_to_go(&self, k: &Matrix, m: &Matrix, horizon: usize) -> Result<Vec<Matrix>> {
        let (f, stage) = (self.closed_loop(k)?, self.stage(k)?);
        let z = Matrix::identity(f.dims().0).above(&k.scale(-1.0))?;
        let mut l = m.between(&z, &z)?.scale(self.gamma.powi(horizon as i32));
        let mut out = vec![l.clone()];
        for t in (0..horizon).rev() {
            l = l.between(&f, &f)?.add(self.gamma.powi(t as i32), &stage)?;
            out.push(l.clone());
        }
        out.reverse();
        Ok(out)
    }
}
