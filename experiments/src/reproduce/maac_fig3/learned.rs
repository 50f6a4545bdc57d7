//! A linear model and a quadratic Q learned from the same noisy transitions.

use hstep::Result;
use hstep::lqr::{Lqr, Matrix};
use hstep::rng::Rng;

use super::config::Config;

/// Transitions in rows: `z = (s, a)` `[N,S+A]`, cost `[N,1]`, next state `[N,S]`.
pub struct Data {
    z: Matrix,
    cost: Matrix,
    next: Matrix,
}

impl Data {
    /// `n` transitions from standard normal states under the policy with exploration; the next
    /// state and the cost are observed with noise.
    pub fn draw(lqr: &Lqr, k: &Matrix, n: usize, config: &Config, rng: &mut Rng) -> Result<Self> {
        let (states, actions) = lqr.b.dims();
        let s = Matrix::normal(n, states, rng);
        let explore = Matrix::normal(n, actions, rng);
        let a = s.mul(&k.t())?.scale(-1.0).add(config.exploration, &explore)?;
        let next = s.mul(&lqr.a.t())?.add(1.0, &a.mul(&lqr.b.t())?)?;
        let next = next.add(config.transition_noise, &Matrix::normal(n, states, rng))?;
        let costs = s.data().chunks(states).zip(a.data().chunks(actions));
        let costs = costs
            .map(|(s, a)| Ok(lqr.q.quadratic(s)? + lqr.r.quadratic(a)?))
            .collect::<Result<Vec<f64>>>()?;
        let cost = Matrix::from_fn(n, 1, |i, _| costs[i]);
        let cost = cost.add(config.cost_noise, &Matrix::normal(n, 1, rng))?;
        Ok(Self { z: beside(&s, &a)?, cost, next })
    }

    /// Ridge regression of the next state on state and action: `(A, B)`.
    pub fn fit_dynamics(&self, ridge: f64) -> Result<(Matrix, Matrix)> {
        let (d, n) = (self.z.dims().1, self.next.dims().1);
        let gram = self.z.t().mul(&self.z)?.add(ridge, &Matrix::identity(d))?;
        let theta = gram.solve(&self.z.t().mul(&self.next)?)?.t();
        Ok((theta.block(0, 0, n, n)?, theta.block(0, n, n, d - n)?))
    }

    /// LSTD-Q: the `M` `[S+A,S+A]` and constant `c` for which
    /// `z' M z + c = cost + gamma (z'' M z' + c)` holds best, projected on the features; `z'` is the
    /// next state with the policy's action. The constant takes up what noise adds to every value.
    pub fn fit_q(&self, k: &Matrix, gamma: f64, ridge: f64) -> Result<Matrix> {
        let action = self.next.mul(&k.t())?.scale(-1.0);
        let now = features(&self.z);
        let then = features(&beside(&self.next, &action)?);
        let eye = Matrix::identity(now.dims().1);
        let left = now.t().mul(&now.add(-gamma, &then)?)?.add(ridge, &eye)?;
        let theta = left.solve(&now.t().mul(&self.cost)?)?;
        let d = self.z.dims().1;
        let mut m = vec![0.0; d * d];
        for (&(i, j), &weight) in pairs(d).iter().zip(theta.data()) {
            // The weight of z_i z_j is shared by both off-diagonal entries.
            let share = if i == j { weight } else { 0.5 * weight };
            m[i * d + j] = share;
            m[j * d + i] = share;
        }
        Ok(Matrix::from_fn(d, d, |i, j| m[i * d + j]))
    }
}

/// Columns of `left`, then those of `right`.
fn beside(left: &Matrix, right: &Matrix) -> Result<Matrix> {
    Ok(left.t().above(&right.t())?.t())
}

/// The pairs `(i, j)`, `i <= j < d`.
fn pairs(d: usize) -> Vec<(usize, usize)> {
    (0..d).flat_map(|i| (i..d).map(move |j| (i, j))).collect()
}

/// The products `z_i z_j`, `i <= j`, and a one, for every row.
fn features(z: &Matrix) -> Matrix {
    let (rows, d) = z.dims();
    let pairs = pairs(d);
    Matrix::from_fn(rows, pairs.len() + 1, |row, f| {
        pairs.get(f).map_or(1.0, |&(i, j)| z.at(row, i) * z.at(row, j))
    })
}

#[cfg(test)]
mod tests {
    use hstep::env::native::DoubleIntegrator;

    use super::*;

    #[test]
    fn without_noise_both_fits_are_exact() {
        let lqr = DoubleIntegrator { r: 0.0, ..Default::default() }.lqr(0.95).unwrap();
        let k = Matrix::from_rows(&[&[1.0, 1.2]]).unwrap();
        let clean =
            Config { transition_noise: 0.0, cost_noise: 0.0, ridge: 0.0, ..Config::default() };
        let data = Data::draw(&lqr, &k, 50, &clean, &mut Rng::new(1)).unwrap();
        let (a, b) = data.fit_dynamics(0.0).unwrap();
        let off = |x: &Matrix, exact: &Matrix| x.add(-1.0, exact).unwrap().l1();
        assert!(off(&a, &lqr.a) < 1e-12 && off(&b, &lqr.b) < 1e-12);
        let m = data.fit_q(&k, lqr.gamma, 0.0).unwrap();
        let exact = lqr.q_function(&k).unwrap();
        assert!(off(&m, &exact) < 1e-8 * exact.l1(), "{m:?} {exact:?}");
    }
}
