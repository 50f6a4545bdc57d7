//! The ensemble on plain rows: what planning and imagining step with.

use candle_core::{Device, Tensor};

use super::ensemble_model::{LEAST_STD, Pick};
use super::{Dynamics as _, EnsembleModel, NoiseKind, Target, ends};
use crate::error::{Error, Result};
use crate::forward::{Member, RowDynamics, StepIn, StepOut, Workspace};
use crate::nn::tile::PackedNet;
use crate::nn::{exp_half, softplus_values};

/// Rows that go through a member's layers together: their activations stay in the second cache.
const TILE: usize = 96;

pub(super) struct EnsembleRows<'a> {
    model: &'a EnsembleModel,
    net: PackedNet,
    elites: Vec<u32>,
    /// Mean and standard deviation of inputs and of targets.
    inputs: (Vec<f32>, Vec<f32>),
    targets: (Vec<f32>, Vec<f32>),
    /// `max` and `min`; or the standard deviations `[E,T]`, and nothing.
    bounds: (Vec<f32>, Vec<f32>),
    /// By how much the logits of an end are too high, where they are learned.
    log_weight: Option<f64>,
}

impl<'a> EnsembleRows<'a> {
    pub fn new(model: &'a EnsembleModel) -> Option<Self> {
        let narrow = |x: Vec<f64>| x.into_iter().map(|x| x as f32).collect::<Vec<f32>>();
        let moments = |(mean, std)| (narrow(mean), narrow(std));
        let mut max = narrow(model.bounds.to_flat().ok()?);
        let min = match model.config.noise().is_by_output() {
            true => {
                max.iter_mut().for_each(|x| *x = x.max(LEAST_STD.ln() as f32).exp());
                Vec::new()
            }
            // Laid out as `max`, then `min`.
            false => max.split_off(model.target_dim()),
        };
        Some(Self {
            net: model.net.packed()?,
            elites: model.elites(),
            inputs: moments(model.inputs.moments().ok()?),
            targets: moments(model.targets.moments().ok()?),
            bounds: (max, min),
            log_weight: model.learns_ends().then(|| model.log_weight()).transpose().ok()?,
            model,
        })
    }

    /// Standardised inputs of these rows, `[rows,O+A]`.
    fn gather(&self, rows: &[u32], given: &StepIn, input: &mut Vec<f32>) {
        let (o, a) = (self.model.obs_dim, self.model.action_dim);
        let (mean, std) = &self.inputs;
        input.clear();
        for row in rows.iter().map(|row| *row as usize) {
            let state = given.state[row * o..][..o].iter();
            let raw = state.chain(&given.action[row * a..][..a]);
            input.extend(raw.zip(mean).zip(std).map(|((x, m), s)| (x - m) / s));
        }
    }

    /// Writes what the raw targets `[T]` of a row say into the results.
    fn put(&self, row: usize, target: &[f32], given: &StepIn, out: &mut StepOut) {
        let o = self.model.obs_dim;
        let (state, next) = (&given.state[row * o..][..o], &mut out.next[row * o..][..o]);
        match self.model.config.target {
            Target::Change => {
                for ((next, s), d) in next.iter_mut().zip(state).zip(target) {
                    *next = s + d;
                }
            }
            Target::Next => next.copy_from_slice(&target[..o]),
        }
        if let Some(reward) = target.get(o) {
            out.reward[row] = *reward;
        }
    }

    /// The probability of an end that a row of the network's outputs has.
    fn end(&self, head: &[f32], log_weight: f64) -> f64 {
        ends::probability(f64::from(head[head.len() - 1]) - log_weight)
    }

    /// Rows of one member: mean and noise of the raw targets.
    fn of_member(
        &self,
        member: u32,
        rows: &[u32],
        given: &StepIn,
        out: &mut StepOut,
        work: &mut Workspace,
    ) {
        let (t, width) = (self.model.target_dim(), self.model.noise_dim());
        let (mean, scale) = &self.targets;
        let draws = given.normal.filter(|_| self.model.config.draws_ends());
        for rows in rows.chunks(TILE) {
            let n = rows.len();
            self.gather(rows, given, &mut work.input);
            work.output.resize(n * self.net.output, 0.0);
            self.net.forward(member as usize, n, &work.input, &mut work.output, &mut work.room);
            let kind = self.model.config.drawn();
            let noise = given.normal.filter(|_| kind != NoiseKind::None);
            match (noise, kind) {
                (None, _) => {}
                (_, NoiseKind::PerOutput | NoiseKind::Residual) => {
                    let own = &self.bounds.0[member as usize * t..][..t];
                    work.head.clear();
                    (0..n).for_each(|_| work.head.extend_from_slice(own));
                }
                _ => self.deviations(&work.output, &mut work.head),
            }
            for (i, (row, head)) in
                rows.iter().zip(work.output.chunks_exact_mut(self.net.output)).enumerate()
            {
                let row = *row as usize;
                if let Some(log_weight) = self.log_weight {
                    let eps = draws.map(|eps| f64::from(eps[(row + 1) * width - 1]));
                    out.cont[row] = ends::goes_on(self.end(head, log_weight), eps) as f32;
                }
                let head = &mut head[..t];
                for ((x, m), s) in head.iter_mut().zip(mean).zip(scale) {
                    *x = *x * s + m;
                }
                if let Some(eps) = noise {
                    let (std, eps) = (&work.head[i * t..][..t], &eps[row * width..][..t]);
                    for (((x, std), s), eps) in head.iter_mut().zip(std).zip(scale).zip(eps) {
                        *x += std * s * eps;
                    }
                }
                self.put(row, head, given, out);
            }
        }
    }

    /// Standard deviations `[n,T]` of normalised targets from the network's outputs `[n,2T]` or `[n,2T+1]`.
    fn deviations(&self, output: &[f32], std: &mut Vec<f32>) {
        let t = self.model.target_dim();
        let (max, min) = &self.bounds;
        std.clear();
        for head in output.chunks_exact(self.net.output) {
            std.extend(max.iter().zip(&head[t..]).map(|(max, raw)| max - raw));
        }
        softplus_values(std);
        for row in std.chunks_exact_mut(t) {
            row.iter_mut().zip(max.iter().zip(min)).for_each(|(v, (max, min))| *v = max - *v - min);
        }
        softplus_values(std);
        for row in std.chunks_exact_mut(t) {
            row.iter_mut().zip(min).for_each(|(v, min)| *v += min);
        }
        exp_half(std);
    }

    /// The mean over the elites, without noise.
    fn mean(&self, n: usize, given: &StepIn, out: &mut StepOut, work: &mut Workspace) {
        let t = self.model.target_dim();
        let (mean, scale) = &self.targets;
        let all: Vec<u32> = (0..n as u32).collect();
        for rows in all.chunks(TILE) {
            let n = rows.len();
            self.gather(rows, given, &mut work.input);
            work.output.resize(n * self.net.output, 0.0);
            work.head.clear();
            work.head.resize(n * t, 0.0);
            let mut ended = vec![0.0; n];
            for member in &self.elites {
                let member = *member as usize;
                self.net.forward(member, n, &work.input, &mut work.output, &mut work.room);
                let heads = work.output.chunks_exact(self.net.output);
                let sums = work.head.chunks_exact_mut(t).zip(&mut ended);
                for ((sum, ended), head) in sums.zip(heads) {
                    sum.iter_mut().zip(head).for_each(|(sum, x)| *sum += x);
                    *ended += self.log_weight.map_or(0.0, |log_weight| self.end(head, log_weight));
                }
            }
            let count = self.elites.len().max(1) as f32;
            let sums = work.head.chunks_exact_mut(t).zip(ended);
            for (row, (sum, ended)) in rows.iter().zip(sums) {
                if self.log_weight.is_some() {
                    let mean = ended / self.elites.len().max(1) as f64;
                    out.cont[*row as usize] = ends::goes_on(mean, None) as f32;
                }
                for ((x, m), s) in sum.iter_mut().zip(mean).zip(scale) {
                    *x = *x / count * s + m;
                }
                self.put(*row as usize, sum, given, out);
            }
        }
    }

    /// What is known of reward and continuation.
    fn known(&self, n: usize, given: &StepIn, out: &mut StepOut) -> Result<()> {
        let (known, o, a) = (&self.model.known, self.model.obs_dim, self.model.action_dim);
        let reward = known.reward.as_ref().filter(|_| !self.model.config.learn_reward);
        let continuation = known.continuation.as_ref().filter(|_| self.log_weight.is_none());
        if self.log_weight.is_none() {
            out.cont.fill(1.0);
        }
        if reward.is_none() && continuation.is_none() {
            return Ok(());
        }
        let tensor = |x: &[f32], width| Tensor::from_slice(x, (n, width), &Device::Cpu);
        let (state, action) = (tensor(given.state, o)?, tensor(given.action, a)?);
        let next = tensor(out.next, o)?;
        let flat = |t: Tensor| -> Result<Vec<f32>> {
            crate::shape::exact(&t, &[n], "known reward or continuation")?;
            Ok(t.to_vec1()?)
        };
        if let Some(reward) = reward {
            out.reward.copy_from_slice(&flat(reward(&state, &action, &next)?)?);
        }
        if let Some(continuation) = continuation {
            out.cont.copy_from_slice(&flat(continuation(&state, &action, &next)?)?);
        }
        Ok(())
    }
}

impl RowDynamics for EnsembleRows<'_> {
    fn members(&self) -> usize {
        self.elites.len()
    }

    fn step(&self, given: StepIn, mut out: StepOut, work: &mut Workspace) -> Result<()> {
        let n = out.reward.len();
        let one = match (self.model.pick, given.member) {
            (Pick::Mean, _) | (Pick::Elites, Member::Mean) => {
                self.mean(n, &given, &mut out, work);
                return self.known(n, &given, &mut out);
            }
            (Pick::Member(m), _) => Some(m),
            (Pick::Elites, Member::Best) => Some(self.elites.first().copied().unwrap_or(0)),
            (Pick::Elites, Member::Rows(_)) => None,
        };
        let mut order = std::mem::take(&mut work.order);
        order.clear();
        match (one, given.member) {
            (None, Member::Rows(u)) => {
                if u.len() != n {
                    return Err(Error::shape("member noise", format!("[{n}]"), [u.len()]));
                }
                let elites = self.elites.len();
                let of_row = |u: &f64| ((u * elites as f64) as usize).min(elites - 1);
                for (i, member) in self.elites.iter().enumerate() {
                    order.clear();
                    let own = u.iter().zip(0u32..).filter(|(u, _)| of_row(u) == i);
                    order.extend(own.map(|(_, row)| row));
                    self.of_member(*member, &order, &given, &mut out, work);
                }
            }
            (member, _) => {
                order.extend(0..n as u32);
                self.of_member(member.unwrap_or(0), &order, &given, &mut out, work);
            }
        }
        work.order = order;
        self.known(n, &given, &mut out)
    }
}
