//! The true systems: two coordinates of state, one action, a smooth reward of the state.

use candle_core::Tensor;
use hstep::Result;
use hstep::lqr::Matrix;
use hstep::shape::Spec;

/// Seconds a step.
const DT: f64 = 0.05;

/// A system without chance. States are `(position, velocity)`, not wrapped and not clipped: wrapping
/// and clipping have no Lipschitz gradient.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum System {
    /// A mass on a line, pushed.
    DoubleIntegrator,
    /// Gymnasium's pendulum (1 kg, 1 m, 10 m/s^2), upright at 0.
    Pendulum,
}

impl System {
    pub fn name(self) -> &'static str {
        match self {
            Self::DoubleIntegrator => "double integrator",
            Self::Pendulum => "pendulum",
        }
    }

    /// `f(s, a)` of states `[B,2]` and actions `[B,1]`, `[B,2]`.
    pub fn next(self, s: &Tensor, a: &Tensor) -> Result<Tensor> {
        let (x, v) = (s.narrow(1, 0, 1)?, s.narrow(1, 1, 1)?);
        Ok(match self {
            Self::DoubleIntegrator => {
                let to = ((&x + (&v * DT)?)? + (a * (0.5 * DT * DT))?)?;
                Tensor::cat(&[to, (v + (a * DT)?)?], 1)?
            }
            Self::Pendulum => {
                let v = ((v + (x.sin()? * (15.0 * DT))?)? + (a * (3.0 * DT))?)?;
                Tensor::cat(&[(x + (&v * DT)?)?, v], 1)?
            }
        })
    }

    /// `r(s)` of states `[B,2]`, `[B]`.
    pub fn reward(self, s: &Tensor) -> Result<Tensor> {
        let (x, v) = (s.narrow(1, 0, 1)?.squeeze(1)?, s.narrow(1, 1, 1)?.squeeze(1)?);
        Ok(match self {
            Self::DoubleIntegrator => ((x.sqr()? * -1.0)? - (v.sqr()? * 0.1)?)?,
            Self::Pendulum => (x.cos()? - (v.sqr()? * 0.05)?)?,
        })
    }

    /// Lipschitz constants of `f` in the state and in the action. Exact: the derivative in the state
    /// is affine in one number between -1 and 1, so that its norm is largest at an end.
    pub fn lipschitz(self) -> Result<(f64, f64)> {
        let (state, action) = match self {
            Self::DoubleIntegrator => {
                (vec![Matrix::from_rows(&[&[1.0, DT], &[0.0, 1.0]])?], [0.5 * DT * DT, DT])
            }
            Self::Pendulum => {
                let at = |c: f64| {
                    Matrix::from_rows(&[&[1.0 + DT * 15.0 * DT * c, DT], &[15.0 * DT * c, 1.0]])
                };
                (vec![at(-1.0)?, at(1.0)?], [3.0 * DT * DT, 3.0 * DT])
            }
        };
        let norms = state.iter().map(norm).collect::<Result<Vec<f64>>>()?;
        Ok((norms.into_iter().fold(0.0, f64::max), action[0].hypot(action[1])))
    }

    /// Lipschitz constant of the reward's gradient: the largest second derivative.
    pub fn smooth_reward(self) -> f64 {
        match self {
            Self::DoubleIntegrator => 2.0,
            Self::Pendulum => 1.0,
        }
    }

    /// A feedback that holds the system near 0; what the policy is fitted to.
    pub fn feedback(self, x: f64, v: f64) -> f64 {
        match self {
            Self::DoubleIntegrator => -x - 1.2 * v,
            Self::Pendulum => -8.0 * x.sin() - 2.0 * v,
        }
    }

    /// Largest action that models and critics are trained with.
    pub fn reach(self) -> f64 {
        match self {
            Self::DoubleIntegrator => 3.0,
            Self::Pendulum => 10.0,
        }
    }
}

/// Spectral norm of any matrix, by way of its smaller side.
pub fn norm(m: &Matrix) -> Result<f64> {
    let (rows, cols) = m.dims();
    if rows <= cols { m.t().spectral_norm() } else { m.spectral_norm() }
}

/// The derivative `[M,D]` of `f: [1,D] -> [1,M]` at `x`, by reverse-mode differentiation.
pub fn jacobian(f: impl Fn(&Tensor) -> Result<Tensor>, x: &[f64]) -> Result<Matrix> {
    let at = candle_core::Var::from_tensor(&Spec::f64().tensor(x, (1, x.len()))?)?;
    let y = f(at.as_tensor())?.flatten_all()?;
    let mut rows = Vec::new();
    for i in 0..y.dim(0)? {
        let gradients = y.get(i)?.backward()?;
        rows.push(match gradients.get(at.as_tensor()) {
            Some(gradient) => hstep::shape::to_f64(gradient)?,
            None => vec![0.0; x.len()],
        });
    }
    Ok(Matrix::from_fn(rows.len(), x.len(), |i, j| rows[i][j]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constants_hold_for_the_derivatives() {
        let f = |system: System| {
            move |x: &Tensor| system.next(&x.narrow(1, 0, 2)?, &x.narrow(1, 2, 1)?)
        };
        for system in [System::DoubleIntegrator, System::Pendulum] {
            let (l_s, l_a) = system.lipschitz().unwrap();
            let mut largest = (0.0_f64, 0.0_f64);
            for i in 0..200 {
                let x = [0.1 * f64::from(i) - 10.0, 0.3, 1.0];
                let j = jacobian(f(system), &x).unwrap();
                let (s, a) = (j.block(0, 0, 2, 2).unwrap(), j.block(0, 2, 2, 1).unwrap());
                largest.0 = largest.0.max(norm(&s).unwrap());
                largest.1 = largest.1.max(norm(&a).unwrap());
            }
            // The grid comes within 0.05 of the angles where the cosine is 1 and -1.
            assert!(largest.0 <= l_s + 1e-12 && largest.0 > l_s - 1e-3, "{system:?} {largest:?}");
            assert!((largest.1 - l_a).abs() < 1e-12, "{system:?} {largest:?} {l_a}");
        }
    }
}
