//! The newest real transitions as the model's open-loop test reads them.

use candle_core::Tensor;

use crate::error::Result;
use crate::replay::Replay;
use crate::shape::Spec;

/// Real transitions as row-major columns, from the oldest to the newest.
pub(super) struct Columns {
    obs: Vec<f32>,
    action: Vec<f32>,
    reward: Vec<f32>,
    next_obs: Vec<f32>,
}

impl Columns {
    pub(super) fn newest(real: &Replay, n: usize) -> Result<Self> {
        let batch = real.last(n, &Spec::f32())?;
        let flat = |t: &Tensor| -> Result<Vec<f32>> { Ok(t.flatten_all()?.to_vec1()?) };
        Ok(Self {
            obs: flat(&batch.obs)?,
            action: flat(&batch.action)?,
            reward: flat(&batch.reward)?,
            next_obs: flat(&batch.next_obs)?,
        })
    }

    /// Unbroken stretches of at least `shortest` steps: `[L+1,O]` observations, `[L,A]` actions.
    /// An episode ends where the next observation is not the next row's observation.
    pub(super) fn stretches(
        &self,
        o: usize,
        a: usize,
        shortest: usize,
    ) -> Vec<(Vec<f32>, Vec<f32>)> {
        let n = self.reward.len();
        let row = |x: &'_ [f32], w: usize, i: usize| x[i * w..(i + 1) * w].to_vec();
        let mut all = Vec::new();
        let mut start = 0;
        for i in 0..n {
            let next = &self.next_obs[i * o..(i + 1) * o];
            let broken = i + 1 == n || *next != self.obs[(i + 1) * o..(i + 2) * o];
            if broken {
                if i + 1 - start >= shortest {
                    let mut obs = self.obs[start * o..(i + 1) * o].to_vec();
                    obs.extend(row(&self.next_obs, o, i));
                    all.push((obs, self.action[start * a..(i + 1) * a].to_vec()));
                }
                start = i + 1;
            }
        }
        all
    }
}
