//! Linear-quadratic control in closed form: the ground truth that the learned things are held to.
//!
//! `s' = A s + B a`, policy `a = -K s`, cost `s' Qc s + a' Rc a`, discount `gamma`, start states of
//! covariance `S0`. Everything is a cost here (the return is its negative) and plain `f64`.
//!
//! | quantity | equation |
//! |---|---|
//! | value | `P = Qc + K'Rc K + gamma Ac' P Ac`, `Ac = A - B K` |
//! | action value | `M = [Qc + gamma A'PA, gamma A'PB; gamma B'PA, Rc + gamma B'PB]` on `z = (s, a)` |
//! | discounted visits | `S = S0 + gamma Ac S Ac'` |
//! | objective | `J = tr(P S0)` |
//! | policy gradient | `dJ/dK = 2 (M_aa K - M_as) S` |

use hstep::rng::Rng;
use hstep::{Error, Result};

/// A small dense matrix, row-major. Operations assume matching shapes, which [`Lqr::new`] checks.
#[derive(Debug, Clone, PartialEq)]
pub struct Mat {
    /// Number of rows.
    pub rows: usize,
    /// Number of columns.
    pub cols: usize,
    /// The entries, row by row.
    pub data: Vec<f64>,
}

impl Mat {
    /// A matrix with the entry `f(row, column)`.
    pub fn from_fn(rows: usize, cols: usize, mut f: impl FnMut(usize, usize) -> f64) -> Self {
        let data = (0..rows * cols).map(|i| f(i / cols, i % cols)).collect();
        Self { rows, cols, data }
    }

    /// A matrix from numbers in row-major order.
    ///
    /// # Errors
    /// [`Error::Shape`] when there are not `rows * cols` numbers.
    pub fn new(rows: usize, cols: usize, data: &[f64]) -> Result<Self> {
        if data.len() == rows * cols {
            Ok(Self { rows, cols, data: data.to_vec() })
        } else {
            Err(Error::shape("Mat::new", format!("{rows} x {cols} numbers"), data.len()))
        }
    }

    /// The identity.
    #[must_use]
    pub fn identity(n: usize) -> Self {
        Self::from_fn(n, n, |i, j| f64::from(u8::from(i == j)))
    }

    /// The diagonal matrix of `entries`.
    #[must_use]
    pub fn diagonal(entries: &[f64]) -> Self {
        Self::from_fn(entries.len(), entries.len(), |i, j| if i == j { entries[i] } else { 0.0 })
    }

    /// Entries drawn from the standard normal distribution.
    #[must_use]
    pub fn normal(rows: usize, cols: usize, rng: &mut Rng) -> Self {
        Self::from_fn(rows, cols, |_, _| rng.normal())
    }

    /// The entry at `(row, column)`.
    #[must_use]
    pub fn at(&self, row: usize, column: usize) -> f64 {
        self.data[row * self.cols + column]
    }

    /// The transpose.
    #[must_use]
    pub fn t(&self) -> Self {
        Self::from_fn(self.cols, self.rows, |i, j| self.at(j, i))
    }

    /// The product `self other`.
    #[must_use]
    pub fn mul(&self, other: &Self) -> Self {
        Self::from_fn(self.rows, other.cols, |i, j| {
            (0..self.cols).map(|k| self.at(i, k) * other.at(k, j)).sum()
        })
    }

    /// The sum `self + factor * other`.
    #[must_use]
    pub fn plus(&self, factor: f64, other: &Self) -> Self {
        Self::from_fn(self.rows, self.cols, |i, j| self.at(i, j) + factor * other.at(i, j))
    }

    /// `factor * self`.
    #[must_use]
    pub fn scaled(&self, factor: f64) -> Self {
        Self::from_fn(self.rows, self.cols, |i, j| factor * self.at(i, j))
    }

    /// The block of `rows x cols` entries from `(row, column)`.
    #[must_use]
    pub fn block(&self, row: usize, column: usize, rows: usize, cols: usize) -> Self {
        Self::from_fn(rows, cols, |i, j| self.at(row + i, column + j))
    }

    /// `self` above `other`.
    #[must_use]
    pub fn above(&self, other: &Self) -> Self {
        let data = self.data.iter().chain(&other.data).copied().collect();
        Self { rows: self.rows + other.rows, cols: self.cols, data }
    }

    /// `self' inner self`: the congruence that carries a quadratic form through a linear map.
    #[must_use]
    pub fn congruence(&self, inner: &Self) -> Self {
        self.t().mul(inner).mul(self)
    }

    /// The sum of the diagonal.
    #[must_use]
    pub fn trace(&self) -> f64 {
        (0..self.rows.min(self.cols)).map(|i| self.at(i, i)).sum()
    }

    /// The sum of absolute entries.
    #[must_use]
    pub fn l1(&self) -> f64 {
        self.data.iter().map(|x| x.abs()).sum()
    }

    /// The largest singular value.
    ///
    /// Power iteration by repeated squaring of `X'X`, which has converged to machine precision
    /// after 60 squarings unless two singular values agree to 1e-15, when either will do.
    #[must_use]
    pub fn spectral_norm(&self) -> f64 {
        let gram = self.t().mul(self);
        let size = gram.trace();
        if size == 0.0 {
            return 0.0;
        }
        let mut power = gram.scaled(1.0 / size);
        for _ in 0..60 {
            power = power.mul(&power);
            power = power.scaled(1.0 / power.trace());
        }
        // `power` is now the projection on the leading singular vectors, of trace one.
        gram.mul(&power).trace().sqrt()
    }

    /// The solution `X` of `self X = right`, by elimination with row pivoting.
    ///
    /// # Errors
    /// [`Error::Shape`] when `self` is not square or is singular to working precision.
    pub fn solve(&self, right: &Self) -> Result<Self> {
        if self.rows != self.cols || self.rows != right.rows {
            let got = [self.rows, self.cols, right.rows];
            return Err(Error::shape("Mat::solve", "a square matrix and as many rows", got));
        }
        let (n, mut a, mut x) = (self.rows, self.clone(), right.clone());
        let size = self.data.iter().fold(0.0_f64, |m, v| m.max(v.abs()));
        for k in 0..n {
            let pivot =
                (k..n).max_by(|&i, &j| a.at(i, k).abs().total_cmp(&a.at(j, k).abs())).unwrap_or(k);
            if a.at(pivot, k).abs() <= 1e-14 * size {
                return Err(Error::shape("Mat::solve", "a regular matrix", "a singular one"));
            }
            a.swap_rows(k, pivot);
            x.swap_rows(k, pivot);
            for i in (0..n).filter(|&i| i != k) {
                let factor = a.at(i, k) / a.at(k, k);
                a.add_row(i, -factor, k);
                x.add_row(i, -factor, k);
            }
        }
        Ok(Self::from_fn(n, x.cols, |i, j| x.at(i, j) / a.at(i, i)))
    }

    fn swap_rows(&mut self, i: usize, j: usize) {
        for c in 0..self.cols {
            self.data.swap(i * self.cols + c, j * self.cols + c);
        }
    }

    fn add_row(&mut self, to: usize, factor: f64, from: usize) {
        for c in 0..self.cols {
            self.data[to * self.cols + c] += factor * self.data[from * self.cols + c];
        }
    }
}

/// Solves `X = C + gamma F' X F` by doubling: `X <- X + G' X G`, `G <- G G`, `G = sqrt(gamma) F`.
///
/// # Errors
/// [`Error::Config`] when the sum diverges (`gamma F` is not stable).
pub fn lyapunov(c: &Mat, f: &Mat, gamma: f64) -> Result<Mat> {
    let (mut x, mut g) = (c.clone(), f.scaled(gamma.sqrt()));
    // 2^60 terms: a stable sum has long ended, an unstable one overflowed.
    for _ in 0..60 {
        let step = g.congruence(&x);
        x = x.plus(1.0, &step);
        g = g.mul(&g);
        if !x.l1().is_finite() {
            break;
        }
        if step.l1() <= 1e-17 * x.l1() {
            return Ok(x);
        }
    }
    Err(Error::config(
        "k",
        "the discounted closed loop is not stable, so its cost is infinite: choose another \
         feedback gain or a smaller gamma",
    ))
}

/// A linear system with quadratic cost.
#[derive(Debug, Clone, PartialEq)]
pub struct Lqr {
    /// State matrix `[S,S]`.
    pub a: Mat,
    /// Input matrix `[S,A]`.
    pub b: Mat,
    /// State cost `[S,S]`, symmetric.
    pub state_cost: Mat,
    /// Action cost `[A,A]`, symmetric.
    pub action_cost: Mat,
    /// Discount factor.
    pub gamma: f64,
}

impl Lqr {
    /// A system from its parts.
    ///
    /// # Errors
    /// [`Error::Shape`] when the matrices do not fit, [`Error::Config`] for a discount outside
    /// `[0, 1]`.
    pub fn new(a: Mat, b: Mat, state_cost: Mat, action_cost: Mat, gamma: f64) -> Result<Self> {
        let (n, m) = (a.rows, b.cols);
        let want = [("A", &a, n, n), ("B", &b, n, m), ("Qc", &state_cost, n, n)];
        for (name, x, rows, cols) in want.into_iter().chain([("Rc", &action_cost, m, m)]) {
            if (x.rows, x.cols) != (rows, cols) {
                let expected = format!("{name} [{rows},{cols}]");
                return Err(Error::shape("Lqr::new", expected, [x.rows, x.cols]));
            }
        }
        if !(0.0..=1.0).contains(&gamma) {
            return Err(Error::config("gamma", format!("expected 0 <= gamma <= 1, got {gamma}")));
        }
        Ok(Self { a, b, state_cost, action_cost, gamma })
    }

    /// The double integrator `A = [1 dt; 0 1]`, `B = [dt^2/2, dt]'`, cost `diag(1, .1)` on position
    /// and velocity, none on the action.
    ///
    /// # Errors
    /// Those of [`Lqr::new`].
    pub fn double_integrator(dt: f64, gamma: f64) -> Result<Self> {
        let a = Mat::new(2, 2, &[1.0, dt, 0.0, 1.0])?;
        let b = Mat::new(2, 1, &[dt * dt / 2.0, dt])?;
        Self::new(a, b, Mat::diagonal(&[1.0, 0.1]), Mat::diagonal(&[0.0]), gamma)
    }

    /// `A - B K`, the state matrix under `a = -K s`, for a gain `[A,S]`.
    #[must_use]
    pub fn closed_loop(&self, k: &Mat) -> Mat {
        self.a.plus(-1.0, &self.b.mul(k))
    }

    /// `Qc + K' Rc K`, the cost of a state under the policy.
    #[must_use]
    pub fn stage_cost(&self, k: &Mat) -> Mat {
        self.state_cost.plus(1.0, &k.congruence(&self.action_cost))
    }

    /// `P` `[S,S]`: the cost to go of the policy is `s' P s`.
    ///
    /// # Errors
    /// Those of [`lyapunov`].
    pub fn value(&self, k: &Mat) -> Result<Mat> {
        lyapunov(&self.stage_cost(k), &self.closed_loop(k), self.gamma)
    }

    /// `M` `[S+A,S+A]`: the cost of action `a` in `s`, then the policy, is `z' M z`, `z = (s, a)`.
    ///
    /// # Errors
    /// Those of [`lyapunov`].
    pub fn action_value(&self, k: &Mat) -> Result<Mat> {
        let p = self.value(k)?.scaled(self.gamma);
        let ss = self.state_cost.plus(1.0, &self.a.congruence(&p));
        let sa = self.a.t().mul(&p).mul(&self.b);
        let aa = self.action_cost.plus(1.0, &self.b.congruence(&p));
        Ok(ss.t().above(&sa.t()).t().above(&sa.above(&aa).t()))
    }

    /// `J(K) = tr(P S0)`, the expected discounted cost.
    ///
    /// # Errors
    /// Those of [`lyapunov`].
    pub fn objective(&self, k: &Mat, s0: &Mat) -> Result<f64> {
        Ok(self.value(k)?.mul(s0).trace())
    }

    /// The policy gradient `dJ/dK` `[A,S]`.
    ///
    /// # Errors
    /// Those of [`lyapunov`].
    pub fn policy_gradient(&self, k: &Mat, s0: &Mat) -> Result<Mat> {
        let visits = lyapunov(s0, &self.closed_loop(k).t(), self.gamma)?;
        Ok(self.greedy_gradient(k, &self.action_value(k)?).mul(&visits))
    }

    /// `2 (M_aa K - M_as)`: the gradient of `z' M z` at `a = -K s`, to be multiplied by a
    /// covariance of states.
    fn greedy_gradient(&self, k: &Mat, m: &Mat) -> Mat {
        let (n, u) = (self.a.rows, self.b.cols);
        m.block(n, n, u, u).mul(k).plus(-1.0, &m.block(n, 0, u, n)).scaled(2.0)
    }

    /// The H-step objective with a fixed quadratic terminal `m` `[S+A,S+A]`:
    /// `J_H = E[sum_{t<H} gamma^t cost(s_t) + gamma^H z_H' M z_H]`.
    #[must_use]
    pub fn h_step_objective(&self, k: &Mat, m: &Mat, s0: &Mat, horizon: usize) -> f64 {
        self.cost_to_go(k, m, horizon)[0].mul(s0).trace()
    }

    /// `dJ_H/dK` `[A,S]` with the terminal held fixed, by the adjoint recursion.
    ///
    /// ```text
    /// L_H = gamma^H [I; -K]' M [I; -K],   L_t = gamma^t (Qc + K'Rc K) + Ac' L_{t+1} Ac
    /// dJ_H/dK = sum_{t<H} 2 (gamma^t Rc K - B' L_{t+1} Ac) S_t + 2 gamma^H (M_aa K - M_as) S_H
    /// ```
    #[must_use]
    pub fn h_step_gradient(&self, k: &Mat, m: &Mat, s0: &Mat, horizon: usize) -> Mat {
        let (ac, l) = (self.closed_loop(k), self.cost_to_go(k, m, horizon));
        let (mut s, mut discount) = (s0.clone(), 1.0);
        let mut gradient = Mat::from_fn(k.rows, k.cols, |_, _| 0.0);
        for next in l.iter().skip(1) {
            let direct = self.action_cost.mul(k).scaled(discount);
            let carried = self.b.t().mul(next).mul(&ac);
            gradient = gradient.plus(2.0, &direct.plus(-1.0, &carried).mul(&s));
            s = ac.mul(&s).mul(&ac.t());
            discount *= self.gamma;
        }
        gradient.plus(discount, &self.greedy_gradient(k, m).mul(&s))
    }

    /// The discounted cost to go `L_0 .. L_H` of the H-step objective.
    fn cost_to_go(&self, k: &Mat, m: &Mat, horizon: usize) -> Vec<Mat> {
        let z = Mat::identity(self.a.rows).above(&k.scaled(-1.0));
        let (ac, stage) = (self.closed_loop(k), self.stage_cost(k));
        let mut l = vec![z.congruence(m).scaled(self.gamma.powi(horizon as i32))];
        for t in (0..horizon).rev() {
            let next = ac.congruence(&l[l.len() - 1]);
            l.push(next.plus(self.gamma.powi(t as i32), &stage));
        }
        l.reverse();
        l
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example() -> (Lqr, Mat, Mat) {
        let mut lqr = Lqr::double_integrator(0.1, 0.95).unwrap();
        lqr.action_cost = Mat::diagonal(&[0.05]);
        let k = Mat::new(1, 2, &[1.0, 1.2]).unwrap();
        (lqr, k, Mat::new(2, 2, &[1.0, 0.3, 0.3, 2.0]).unwrap())
    }

    /// The discounted cost by simulating two thousand steps from both columns of a root of `s0`.
    fn simulated(lqr: &Lqr, k: &Mat, s0: &Mat) -> f64 {
        let l11 = s0.at(0, 0).sqrt();
        let l21 = s0.at(1, 0) / l11;
        let l22 = (s0.at(1, 1) - l21 * l21).sqrt();
        [[l11, l21], [0.0, l22]]
            .iter()
            .map(|start| {
                let (mut x, mut v, mut sum, mut g) = (start[0], start[1], 0.0, 1.0);
                for _ in 0..2000 {
                    let u = -(k.at(0, 0) * x + k.at(0, 1) * v);
                    sum += g * (x * x + 0.1 * v * v + lqr.action_cost.at(0, 0) * u * u);
                    (x, v) = (x + 0.1 * v + 0.005 * u, v + 0.1 * u);
                    g *= lqr.gamma;
                }
                sum
            })
            .sum()
    }

    fn difference(f: impl Fn(&Mat) -> f64, k: &Mat) -> Mat {
        let eps = 1e-5;
        Mat::from_fn(k.rows, k.cols, |i, j| {
            let moved = |e: f64| {
                let mut k = k.clone();
                k.data[i * k.cols + j] += e;
                f(&k)
            };
            (moved(eps) - moved(-eps)) / (2.0 * eps)
        })
    }

    #[test]
    fn the_objective_is_what_a_simulation_costs() {
        let (lqr, k, s0) = example();
        let (j, sim) = (lqr.objective(&k, &s0).unwrap(), simulated(&lqr, &k, &s0));
        assert!((j - sim).abs() < 1e-10 * sim, "{j} against {sim}");
    }

    #[test]
    fn the_policy_gradient_is_the_slope_of_the_simulated_cost() {
        let (lqr, k, s0) = example();
        let exact = lqr.policy_gradient(&k, &s0).unwrap();
        let slope = difference(|k| simulated(&lqr, k, &s0), &k);
        assert!(exact.plus(-1.0, &slope).l1() < 1e-8 * exact.l1(), "{exact:?} {slope:?}");
    }

    #[test]
    fn the_h_step_gradient_is_the_slope_with_the_terminal_held_fixed() {
        let (lqr, k, s0) = example();
        let m = lqr.action_value(&k).unwrap();
        for horizon in [0, 1, 2, 7] {
            let exact = lqr.h_step_gradient(&k, &m, &s0, horizon);
            let slope = difference(|k| lqr.h_step_objective(k, &m, &s0, horizon), &k);
            assert!(exact.plus(-1.0, &slope).l1() < 1e-8 * exact.l1(), "H = {horizon}");
        }
    }

    #[test]
    fn with_the_exact_terminal_the_objective_does_not_depend_on_the_horizon() {
        let (lqr, k, s0) = example();
        let (m, j) = (lqr.action_value(&k).unwrap(), lqr.objective(&k, &s0).unwrap());
        for horizon in [0, 1, 5, 40] {
            let h = lqr.h_step_objective(&k, &m, &s0, horizon);
            assert!((h - j).abs() < 1e-12 * j, "H = {horizon}: {h} against {j}");
        }
    }

    #[test]
    fn an_unstable_policy_is_refused_and_norms_and_solves_are_right() {
        let (lqr, _, s0) = example();
        let unstable = Mat::new(1, 2, &[-30.0, 0.0]).unwrap();
        assert!(lqr.objective(&unstable, &s0).unwrap_err().to_string().contains("not stable"));
        // [3 4; 0 5]: singular values 3 sqrt(5) and sqrt(5).
        let x = Mat::new(2, 2, &[3.0, 4.0, 0.0, 5.0]).unwrap();
        assert!((x.spectral_norm() - 45.0_f64.sqrt()).abs() < 1e-12);
        // Opposite eigenvalues of equal size: no single leading vector.
        assert!((Mat::diagonal(&[2.0, -2.0]).spectral_norm() - 2.0).abs() < 1e-12);
        let y = x.solve(&Mat::identity(2)).unwrap();
        assert!(x.mul(&y).plus(-1.0, &Mat::identity(2)).l1() < 1e-14);
        assert!(Mat::diagonal(&[1.0, 0.0]).solve(&Mat::identity(2)).is_err());
    }
}
