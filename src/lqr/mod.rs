//! The discounted linear-quadratic regulator: optimal and evaluated policies in closed form.
//!
//! Costs, not rewards, as in the literature (Bertsekas, *Dynamic Programming and Optimal Control*,
//! vol. I, ch. 3):
//!
//! `J = sum_t gamma^t (x_t' Q x_t + u_t' R u_t)`, `x_{t+1} = A x_t + B u_t`, `u_t = -K x_t`.
//!
//! With independent noise of covariance `W` on the state the gains stay as they are and every cost
//! below gains the constant `gamma / (1 - gamma) trace(P W)`.
//!
//! | quantity | equation | function |
//! |---|---|---|
//! | cost | `P = Q + K'RK + gamma F'PF`, `F = A - BK` | [`Lqr::evaluate`] |
//! | action-cost | `M = [[Q + gamma A'PA, gamma A'PB], [gamma B'PA, R + gamma B'PB]]` | [`Lqr::q_function`] |
//! | discounted visits | `S = S0 + gamma F S F'` | [`Lqr::visits`] |
//! | objective | `J = trace(P S0)` | [`Lqr::objective`] |
//! | policy gradient | `dJ/dK = 2 (M_uu K - M_ux) S` | [`Lqr::policy_gradient`] |
//! | H-step gradient | adjoint recursion, `M` held fixed | [`Lqr::h_step_gradient`] |

mod gradient;
mod matrix;

pub use matrix::Matrix;

use crate::error::{Error, Result};

/// A linear system with a quadratic cost and a discount.
#[derive(Debug, Clone, PartialEq)]
pub struct Lqr {
    /// `A`, `[n,n]`.
    pub a: Matrix,
    /// `B`, `[n,m]`.
    pub b: Matrix,
    /// `Q`, symmetric, positive semi-definite, `[n,n]`.
    pub q: Matrix,
    /// `R`, symmetric, positive semi-definite, `[m,m]`.
    pub r: Matrix,
    /// The discount, in `(0, 1]`.
    pub gamma: f64,
}

/// Backward recursions of Riccati's equation before it counts as divergent.
const MAX_SWEEPS: usize = 100_000;
/// Doublings of Lyapunov's sum: 2^40 terms.
const MAX_DOUBLINGS: usize = 40;
/// Relative change at which an iteration has settled.
const SETTLED: f64 = 1e-15;

impl Lqr {
    /// A checked system.
    ///
    /// # Errors
    /// [`Error::Shape`] when the matrices do not fit each other, [`Error::Config`] for a discount
    /// outside `(0, 1]`.
    pub fn new(a: Matrix, b: Matrix, q: Matrix, r: Matrix, gamma: f64) -> Result<Self> {
        let (n, m) = b.dims();
        for (name, matrix, size) in [("A", &a, n), ("Q", &q, n), ("R", &r, m)] {
            if matrix.dims() != (size, size) {
                let expected = format!("[{size},{size}] beside B of [{n},{m}]");
                return Err(Error::shape(format!("LQR matrix {name}"), expected, matrix.dims()));
            }
        }
        if !(gamma > 0.0 && gamma <= 1.0) {
            return Err(Error::config(
                "gamma",
                format!("expected a number in (0, 1], got {gamma}"),
            ));
        }
        Ok(Self { a, b, q, r, gamma })
    }

    /// The optimal gain `K [m,n]` and its cost `P [n,n]`: the fixed point of
    ///
    /// `K = gamma (R + gamma B'PB)^-1 B'PA`, `P = Q + K'RK + gamma (A-BK)'P(A-BK)`.
    ///
    /// # Errors
    /// [`Error::Config`] when the recursion does not settle: no gain makes the cost finite.
    pub fn riccati(&self) -> Result<(Matrix, Matrix)> {
        let mut p = self.q.clone();
        for _ in 0..MAX_SWEEPS {
            let k = self.greedy(&p)?;
            let next = self.backup(&k, &p)?.symmetrised();
            let change = next.add(-1.0, &p)?.max_abs();
            p = next;
            if !p.max_abs().is_finite() {
                break;
            }
            if change <= SETTLED * p.max_abs() {
                return Ok((self.greedy(&p)?, p));
            }
        }
        Err(Error::config("lqr", "Riccati's recursion does not settle: is (A, B) stabilisable?"))
    }

    /// The gain that is greedy for the next cost `P`.
    fn greedy(&self, p: &Matrix) -> Result<Matrix> {
        let inner = self.r.add(self.gamma, &p.between(&self.b, &self.b)?)?;
        inner.solve(&p.between(&self.b, &self.a)?.scale(self.gamma))
    }

    /// One step of cost under `K` and `P` from there on.
    fn backup(&self, k: &Matrix, p: &Matrix) -> Result<Matrix> {
        let closed = self.closed_loop(k)?;
        self.stage(k)?.add(self.gamma, &p.between(&closed, &closed)?)
    }

    /// The closed loop `A - BK`, `[n,n]`.
    ///
    /// # Errors
    /// [`Error::Shape`] for a gain that is not `[m,n]`.
    pub fn closed_loop(&self, k: &Matrix) -> Result<Matrix> {
        self.a.add(-1.0, &self.b.mul(k)?)
    }

    /// The cost of one step under `u = -Kx`: `Q + K'RK`, `[n,n]`.
    ///
    /// # Errors
    /// [`Error::Shape`] for a gain that is not `[m,n]`.
    pub fn stage(&self, k: &Matrix) -> Result<Matrix> {
        self.q.add(1.0, &self.r.between(k, k)?)
    }

    /// The cost matrix `P^K [n,n]` of the policy `u = -Kx`, so that `J = x' P^K x`: the solution of
    /// the discounted Lyapunov equation `P = Q + K'RK + gamma (A-BK)'P(A-BK)`.
    ///
    /// # Errors
    /// [`Error::Shape`] for a gain that is not `[m,n]`, [`Error::Config`] when the discounted cost
    /// is infinite.
    pub fn evaluate(&self, k: &Matrix) -> Result<Matrix> {
        lyapunov(&self.stage(k)?, &self.closed_loop(k)?, self.gamma)
    }

    /// The matrix `M [n+m,n+m]` of the action-cost of the policy `u = -Kx`,
    /// `Q^K(x, u) = [x; u]' M [x; u]`:
    ///
    /// `M = [[Q + gamma A'PA, gamma A'PB], [gamma B'PA, R + gamma B'PB]]`, `P = P^K`.
    ///
    /// # Errors
    /// As [`Lqr::evaluate`].
    pub fn q_function(&self, k: &Matrix) -> Result<Matrix> {
        let p = self.evaluate(k)?;
        let (a, b, (n, m)) = (&self.a, &self.b, self.b.dims());
        let xx = self.q.add(self.gamma, &p.between(a, a)?)?.symmetrised();
        let xu = p.between(a, b)?.scale(self.gamma);
        let uu = self.r.add(self.gamma, &p.between(b, b)?)?.symmetrised();
        Ok(Matrix::from_fn(n + m, n + m, |i, j| match (i < n, j < n) {
            (true, true) => xx.at(i, j),
            (true, false) => xu.at(i, j - n),
            (false, true) => xu.at(j, i - n),
            (false, false) => uu.at(i - n, j - n),
        }))
    }
}

/// The symmetric solution of `X = C + gamma F' X F`.
///
/// Its sum `sum_t gamma^t F'^t C F^t` is doubled in length every iteration (Smith 1968).
fn lyapunov(c: &Matrix, f: &Matrix, gamma: f64) -> Result<Matrix> {
    let (mut x, mut f) = (c.clone(), f.scale(gamma.sqrt()));
    for _ in 0..MAX_DOUBLINGS {
        let tail = x.between(&f, &f)?;
        x = x.add(1.0, &tail)?;
        if x.max_abs().is_finite() && tail.max_abs() <= SETTLED * SETTLED * x.max_abs() {
            return Ok(x.symmetrised());
        }
        f = f.mul(&f)?;
    }
    Err(Error::config(
        "gain",
        "the discounted closed loop is not stable, so the cost is infinite: sqrt(gamma) (A - BK) \
         must have all eigenvalues inside the unit circle; choose another gain or a smaller gamma",
    ))
}
