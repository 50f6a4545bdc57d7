//! A linear model and a quadratic Q learned from the same noisy transitions.

use super::lqr::{Lqr, Mat};
use hstep::Result;
use hstep::rng::Rng;

use super::config::Config;

/// Transitions in rows: `z = (s, a)` `[N,S+A]`, cost `[N,1]`, next state `[N,S]`.
pub struct Data {
    z: Mat,
    cost: Mat,
    next: Mat,
}

impl Data {
    /// `n` transitions from standard normal states under the policy with exploration; the next
    /// state and the cost are observed with noise.
    pub fn draw(lqr: &Lqr, k: &Mat, n: usize, config: &Config, rng: &mut Rng) -> Self {
        let s = Mat::normal(n, lqr.a.rows, rng);
        let a = s.mul(&k.t()).scaled(-1.0).plus(config.exploration, &Mat::normal(n, k.rows, rng));
        let next = s.mul(&lqr.a.t()).plus(1.0, &a.mul(&lqr.b.t()));
        let next = next.plus(config.transition_noise, &Mat::normal(n, lqr.a.rows, rng));
        let cost = Mat::from_fn(n, 1, |i, _| {
            let row = |m: &Mat| Mat::from_fn(1, m.cols, |_, j| m.at(i, j));
            let of = |x: Mat, q: &Mat| x.mul(q).mul(&x.t()).trace();
            of(row(&s), &lqr.state_cost) + of(row(&a), &lqr.action_cost)
        });
        let cost = cost.plus(config.cost_noise, &Mat::normal(n, 1, rng));
        Self { z: s.t().above(&a.t()).t(), cost, next }
    }

    /// Ridge regression of the next state on state and action: `(A, B)`.
    pub fn fit_dynamics(&self, ridge: f64) -> Result<(Mat, Mat)> {
        let gram = self.z.t().mul(&self.z).plus(ridge, &Mat::identity(self.z.cols));
        let theta = gram.solve(&self.z.t().mul(&self.next))?.t();
        let n = self.next.cols;
        Ok((theta.block(0, 0, n, n), theta.block(0, n, n, theta.cols - n)))
    }

    /// LSTD-Q: the `M` `[S+A,S+A]` and constant `c` for which
    /// `z' M z + c = cost + gamma (z'' M z' + c)` holds best, projected on the features; `z'` is the
    /// next state with the policy's action. The constant takes up what noise adds to every value.
    pub fn fit_q(&self, k: &Mat, gamma: f64, ridge: f64) -> Result<Mat> {
        let action = self.next.mul(&k.t()).scaled(-1.0);
        let now = features(&self.z);
        let then = features(&self.next.t().above(&action.t()).t());
        let left = now.t().mul(&now.plus(-gamma, &then)).plus(ridge, &Mat::identity(now.cols));
        let theta = left.solve(&now.t().mul(&self.cost))?;
        let mut at = 0;
        let d = self.z.cols;
        let mut m = Mat::from_fn(d, d, |_, _| 0.0);
        for i in 0..d {
            for j in i..d {
                // The weight of z_i z_j is shared by both off-diagonal entries.
                let share = theta.data[at] * if i == j { 1.0 } else { 0.5 };
                m.data[i * d + j] = share;
                m.data[j * d + i] = share;
                at += 1;
            }
        }
        Ok(m)
    }
}

/// The products `z_i z_j`, `i <= j`, and a one, for every row.
fn features(z: &Mat) -> Mat {
    let d = z.cols;
    let pairs: Vec<(usize, usize)> = (0..d).flat_map(|i| (i..d).map(move |j| (i, j))).collect();
    Mat::from_fn(z.rows, pairs.len() + 1, |row, f| {
        pairs.get(f).map_or(1.0, |&(i, j)| z.at(row, i) * z.at(row, j))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_noise_both_fits_are_exact() {
        let lqr = Lqr::double_integrator(0.1, 0.95).unwrap();
        let k = Mat::new(1, 2, &[1.0, 1.2]).unwrap();
        let clean =
            Config { transition_noise: 0.0, cost_noise: 0.0, ridge: 0.0, ..Config::default() };
        let data = Data::draw(&lqr, &k, 50, &clean, &mut Rng::new(1));
        let (a, b) = data.fit_dynamics(0.0).unwrap();
        assert!(a.plus(-1.0, &lqr.a).l1() < 1e-12 && b.plus(-1.0, &lqr.b).l1() < 1e-12);
        let m = data.fit_q(&k, lqr.gamma, 0.0).unwrap();
        let exact = lqr.action_value(&k).unwrap();
        assert!(m.plus(-1.0, &exact).l1() < 1e-8 * exact.l1(), "{m:?} {exact:?}");
    }
}
