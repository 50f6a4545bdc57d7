//! Fitting the ensemble: holdout, bootstrap, early stop with the best snapshot a member, elites.

use candle_core::{D, DType, Tensor};
use serde::{Deserialize, Serialize};

use super::calibration::{self, Calibration};
use super::ends::{self, Ended};
use super::ensemble_model::LEAST_STD;
use super::loss;
use super::{Ensemble, EnsembleConfig, EnsembleModel, NoiseKind, Resample, Target};
use crate::error::{Error, Result};
use crate::nn::{Params, Stack};
use crate::rng::Rng;
use crate::shape::to_f64;

/// Fewest transitions a fit accepts: fewer have no holdout worth the name.
pub const MIN_FIT_ROWS: usize = 10;

/// Recorded transitions, row-major; the number of rows `N` is that of `reward`.
#[derive(Debug, Clone, Copy)]
pub struct FitData<'a> {
    /// Observations `[N,O]`.
    pub obs: &'a [f32],
    /// Normalised actions `[N,A]`.
    pub action: &'a [f32],
    /// Rewards `[N]`.
    pub reward: &'a [f32],
    /// Next observations `[N,O]`.
    pub next_obs: &'a [f32],
    /// 0 where the episode terminated, else 1 (a time limit is no end) `[N]`; may be empty where the model
    /// does not learn ends.
    pub cont: &'a [f32],
}

/// What a fit did and how good the result is on held-out data.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FitReport {
    /// Passes over the training rows.
    pub epochs: usize,
    /// Gradient steps.
    pub steps: usize,
    /// Rows trained on and rows held out.
    pub rows: (usize, usize),
    /// Mean training loss over the last epoch.
    pub train_loss: f64,
    /// Best holdout error a member: mean squared error of the raw targets, or of the normalised ones
    /// where noise is learned by output; times a factor from 1 to 2 of how well ends are foreseen, where they
    /// are learned. `[E]`
    pub holdout_mse: Vec<f64>,
    /// The elites, best first.
    pub elites: Vec<u32>,
    /// The elites' predictions on the holdout rows.
    pub calibration: Calibration,
}

/// Model inputs `[N,D]` and targets `[N,T]`, row-major.
struct Rows {
    x: Vec<f32>,
    y: Vec<f32>,
    /// 1 where the episode ended `[N]`; empty where that is not learned.
    ended: Vec<f32>,
    n: usize,
}

impl FitData<'_> {
    fn check(&self, obs_dim: usize, action_dim: usize, ends: bool) -> Result<usize> {
        let n = self.reward.len();
        if ends && (self.cont.len() != n || self.cont.iter().any(|x| *x != 0.0 && *x != 1.0)) {
            let expected = format!("{n} numbers 0 or 1, for `model.learn_termination`");
            return Err(Error::shape("model data `cont`", expected, self.cont.len()));
        }
        if u32::try_from(n).is_err() {
            return Err(Error::shape("model data", "at most 4,294,967,295 transitions", n));
        }
        for (name, data, width) in [
            ("obs", self.obs, obs_dim),
            ("action", self.action, action_dim),
            ("next_obs", self.next_obs, obs_dim),
            ("reward", self.reward, 1),
        ] {
            if data.len() != n * width {
                let expected = format!("{n} rows of {width} numbers (as many rows as rewards)");
                return Err(Error::shape(format!("model data `{name}`"), expected, data.len()));
            }
            if let Some(i) = data.iter().position(|x| !x.is_finite()) {
                let quantity = format!("model data `{name}`");
                return Err(Error::NonFinite { quantity, step: format!("row {}", i / width) });
            }
        }
        if n < MIN_FIT_ROWS {
            let expected = format!("at least {MIN_FIT_ROWS} transitions (lengthen the warm-up)");
            return Err(Error::shape("model data", expected, n));
        }
        Ok(n)
    }

    /// Raw inputs and targets of the rows `index`.
    fn rows(&self, index: &[usize], model: &EnsembleModel) -> Rows {
        let (o, t) = (self.obs.len() / self.reward.len(), model.target_dim());
        let a = self.action.len() / self.reward.len();
        let mut rows = Rows {
            x: Vec::with_capacity(index.len() * (o + a)),
            y: Vec::with_capacity(index.len() * t),
            ended: match model.learns_ends() {
                true => index.iter().map(|i| 1.0 - self.cont[*i]).collect(),
                false => Vec::new(),
            },
            n: index.len(),
        };
        for &i in index {
            let (obs, next) = (&self.obs[i * o..][..o], &self.next_obs[i * o..][..o]);
            rows.x.extend_from_slice(obs);
            rows.x.extend_from_slice(&self.action[i * a..][..a]);
            match model.config.target {
                Target::Change => rows.y.extend(next.iter().zip(obs).map(|(n, s)| n - s)),
                Target::Next => rows.y.extend_from_slice(next),
            }
            if model.config.learn_reward {
                rows.y.push(self.reward[i]);
            }
        }
        rows
    }
}

impl Rows {
    fn normalise(&mut self, model: &EnsembleModel) -> Result<()> {
        model.inputs.apply_slice(&mut self.x)?;
        model.targets.apply_slice(&mut self.y)
    }

    /// Inputs `[E,B,D]` and targets `[E,B,T]` of one batch: for every member its own rows.
    fn batch(&self, index: &[&[u32]], net: &Stack) -> Result<(Tensor, Tensor)> {
        let (e, b) = (index.len(), index.first().map_or(0, |i| i.len()));
        let gather = |data: &[f32]| {
            let width = data.len() / self.n;
            let mut picked: Vec<f32> = Vec::with_capacity(e * b * width);
            for row in index.iter().flat_map(|i| i.iter()) {
                picked.extend_from_slice(&data[*row as usize * width..][..width]);
            }
            let batch = Tensor::from_vec(picked, (e, b, width), &net.spec().device)?;
            Ok::<_, Error>(batch.to_dtype(net.spec().dtype)?)
        };
        Ok((gather(&self.x)?, gather(&self.y)?))
    }
}

/// For every member its own `n` rows, drawn with replacement. Short numbers: with a million rows
/// these are a sixth of the data.
fn bootstrap(members: usize, n: usize, rng: &mut Rng) -> Vec<Vec<u32>> {
    (0..members).map(|_| (0..n).map(|_| rng.below(n) as u32).collect()).collect()
}

/// For every member a weight of each of `n` rows, exponential with mean 1: the Bayesian bootstrap
/// (Rubin 1981), up to its normalisation.
fn exponential(members: usize, n: usize, rng: &mut Rng) -> Vec<Vec<f32>> {
    let weight = |rng: &mut Rng| -(1.0 - rng.uniform()).ln() as f32;
    (0..members).map(|_| (0..n).map(|_| weight(rng)).collect()).collect()
}

/// A number `[E,B]` of each row of a batch: of `numbers[m][row]`.
fn weigh(weights: &[Vec<f32>], rows: &[&[u32]], net: &Stack) -> Result<Tensor> {
    let of_member = |(weights, rows): (&Vec<f32>, &&[u32])| {
        rows.iter().map(|row| weights[*row as usize]).collect::<Vec<_>>()
    };
    let all: Vec<f32> = weights.iter().zip(rows).flat_map(of_member).collect();
    let dims = (weights.len(), all.len() / weights.len().max(1));
    Ok(Tensor::from_vec(all, dims, &net.spec().device)?.to_dtype(net.spec().dtype)?)
}

fn shuffle(rows: &mut [u32], rng: &mut Rng) {
    for i in (1..rows.len()).rev() {
        rows.swap(i, rng.below(i + 1));
    }
}

/// The best weights of every member so far.
struct Best {
    /// Holdout error a member.
    error: Vec<f64>,
    /// The same of each held-out row `[E][N]`.
    rows: Vec<Vec<f64>>,
    weights: Params,
    /// Epochs since any member improved.
    stale: usize,
}

impl Best {
    fn new(net: &Stack) -> Result<Self> {
        let members = net.config().members;
        let (error, rows) = (vec![f64::INFINITY; members], vec![Vec::new(); members]);
        Ok(Self { error, rows, weights: net.params().copy()?, stale: 0 })
    }

    /// Keeps the weights of the members whose error, the mean of its `rows`, fell by more than the share
    /// and the standard errors that `config` asks for.
    fn update(
        &mut self,
        error: &[f64],
        rows: Vec<Vec<f64>>,
        config: &EnsembleConfig,
        net: &Stack,
    ) -> Result<()> {
        let members = error.len();
        let mut better = Vec::new();
        self.stale += 1;
        for (m, (new, rows)) in error.iter().zip(rows).enumerate() {
            let (best, before) = (&mut self.error[m], &mut self.rows[m]);
            let clear = config.significance.is_none_or(|z| is_below(&rows, before, z));
            if *new >= *best * (1.0 - config.improvement) || !clear {
                continue;
            }
            (*best, *before, self.stale) = (*new, rows, 0);
            for slot in net.params().layout().values() {
                let own = slot.len() / members;
                better.push(slot.offset + m * own..slot.offset + (m + 1) * own);
            }
        }
        self.weights.copy_ranges(net.params(), &better)
    }

    /// The members with the lowest error, best first.
    fn elites(&self, n: usize) -> Vec<u32> {
        let mut order: Vec<usize> = (0..self.error.len()).collect();
        order.sort_by(|a, b| self.error[*a].total_cmp(&self.error[*b]));
        order.into_iter().take(n).map(|m| m as u32).collect()
    }
}

/// Whether the mean of `new` is below that of `old` by `z` standard errors of the paired differences.
fn is_below(new: &[f64], old: &[f64], z: f64) -> bool {
    if old.is_empty() {
        return true;
    }
    let n = new.len() as f64;
    let differences = || old.iter().zip(new).map(|(old, new)| old - new);
    let mean = differences().sum::<f64>() / n;
    let squares = differences().map(|d| (d - mean).powi(2)).sum::<f64>();
    mean > z * (squares / (n - 1.0).max(1.0) / n).sqrt()
}

impl Ensemble {
    /// Trains on `data` until no member improves on held-out rows any more.
    ///
    /// Part of the rows is held out; every member trains on rows of its own, drawn with replacement
    /// from the rest, or on all of it with weights of its own, reshuffled each epoch. A member ends with the weights of its best epoch.
    /// After an error the weights are those of the failing step: go back to a checkpoint.
    ///
    /// # Errors
    /// [`Error::Shape`] for lengths that do not agree or fewer than ten rows, [`Error::NonFinite`]
    /// for NaN in the data or the loss.
    pub fn fit(&mut self, data: &FitData, rng: &mut Rng) -> Result<FitReport> {
        let config = self.model.config.clone();
        let (a, learns_ends) = (self.action_width(), self.model.learns_ends());
        let n = data.check(self.model.inputs.width() - a, a, learns_ends)?;
        if self.fitted && !config.warm_start {
            self.reset(rng)?;
        }
        let order = rng.permutation(n);
        let held = ((n as f64 * config.holdout_ratio) as usize).min(config.holdout_max).max(1);
        let (held, kept) = order.split_at(held);
        let (mut train, mut holdout) = (data.rows(kept, &self.model), data.rows(held, &self.model));
        drop(order);
        self.model.inputs.fit(&train.x)?;
        if config.normalise_targets {
            self.model.targets.fit(&train.y)?;
        }
        train.normalise(&self.model)?;
        holdout.normalise(&self.model)?;

        let weight_of_ends = ends::Weight::of(&train.ended);
        if let Some(of_fit) = &self.model.ends {
            of_fit.set_flat(&[weight_of_ends.end.ln()])?;
        }
        // The same of every member.
        let ended = vec![std::mem::take(&mut train.ended); config.members];

        let all: Vec<u32> = (0..holdout.n as u32).collect();
        let (x, y) = holdout.batch(&[&all], &self.model.net)?;
        let (x, y) = (x.squeeze(0)?, y.squeeze(0)?);
        let (mut index, weights) = match config.resample {
            Some(Resample::Exponential) => {
                let rows: Vec<u32> = (0..train.n as u32).collect();
                let weights = exponential(config.members, train.n, rng);
                (vec![rows; config.members], Some(weights))
            }
            _ => (bootstrap(config.members, train.n, rng), None),
        };
        let mut best = Best::new(&self.model.net)?;
        let (mut epochs, mut steps) = (0, 0);
        let first = config.first_max_steps.filter(|_| !self.fitted);
        let max_steps = first.or(config.max_steps).unwrap_or(usize::MAX);
        let train_loss = loop {
            index.iter_mut().for_each(|rows| shuffle(rows, rng));
            let (mut sum, start) = (0.0, steps);
            for at in (0..train.n).step_by(config.batch) {
                let end = (at + config.batch).min(train.n);
                let rows: Vec<&[u32]> = index.iter().map(|i| &i[at..end]).collect();
                let (x, y) = train.batch(&rows, &self.model.net)?;
                let weight = match &weights {
                    Some(weights) => Some(weigh(weights, &rows, &self.model.net)?),
                    None => None,
                };
                let ended = match learns_ends {
                    true => Some(Ended {
                        rows: weigh(&ended, &rows, &self.model.net)?,
                        weight: weight_of_ends,
                    }),
                    false => None,
                };
                steps += 1;
                let loss = self.weighted_step(&x, &y, weight.as_ref(), ended.as_ref());
                sum += loss.map_err(|error| step_at(error, epochs, steps))?;
                if steps == max_steps {
                    break;
                }
            }
            epochs += 1;
            crate::fault::point("inside-model-fitting");
            let errors = holdout_errors(&self.model, &x, &y)?;
            let mut error = to_f64(&errors.mean(D::Minus1)?)?;
            let mut rows = match config.significance {
                Some(_) => errors.to_dtype(DType::F64)?.to_vec2()?,
                None => vec![Vec::new(); config.members],
            };
            if learns_ends {
                let factors = ends::factors(&self.model, &x, &holdout.ended)?;
                for ((error, rows), factor) in error.iter_mut().zip(&mut rows).zip(factors) {
                    *error *= factor;
                    rows.iter_mut().for_each(|row| *row *= factor);
                }
            }
            if let Some(m) = error.iter().position(|e| !e.is_finite()) {
                let quantity = format!("holdout error of model member {m}");
                return Err(Error::NonFinite { quantity, step: format!("epoch {epochs}") });
            }
            best.update(&error, rows, &config, &self.model.net)?;
            let enough = steps >= max_steps || config.max_epochs.is_some_and(|max| epochs >= max);
            if enough || best.stale >= config.patience {
                break sum / (steps - start) as f64;
            }
        };
        let whole = 0..best.weights.len();
        self.model.net.params().copy_ranges(&best.weights, &[whole])?;
        let elites = best.elites(config.elites);
        self.model.set_elites(elites.clone());
        if config.noise() == NoiseKind::Residual {
            self.model.bounds.set_flat(&log_deviations(&self.model, &x, &y)?)?;
        }
        self.fitted = true;
        let calibration = calibration::holdout(&self.model, &elites, &x, &y, &holdout.ended)?;
        let rows = (train.n, holdout.n);
        let holdout_mse = best.error;
        Ok(FitReport { epochs, steps, rows, train_loss, holdout_mse, elites, calibration })
    }

    fn action_width(&self) -> usize {
        super::Dynamics::action_dim(&self.model)
    }

    /// One gradient step of every member, and of the bounds, on rows that are given: normalised
    /// inputs `x` `[E,B,O+A]` and normalised targets `y` `[E,B,T]`. Returns the loss before it.
    ///
    /// [`Ensemble::fit`] is many of these on bootstrapped rows; normalisers and elites are its
    /// business, not this one's. The logit of ends, where there is one, is not trained by it.
    ///
    /// # Errors
    /// [`Error::Shape`] for inputs or targets of another shape, [`Error::NonFinite`] when the loss
    /// is not finite.
    pub fn fit_step(&mut self, x: &Tensor, y: &Tensor) -> Result<f64> {
        self.weighted_step(x, y, None, None)
    }

    fn weighted_step(
        &mut self,
        x: &Tensor,
        y: &Tensor,
        weight: Option<&Tensor>,
        ended: Option<&Ended>,
    ) -> Result<f64> {
        let (value, grad, bounds) = loss::gradients(&self.model, x, y, weight, ended)?;
        if !value.is_finite() {
            let step = "a gradient step of the model".into();
            return Err(Error::NonFinite { quantity: "model loss".into(), step });
        }
        self.adam.step_flat(&grad)?;
        if let Some(bounds) = bounds {
            self.bounds_adam.step_grad(&bounds)?;
        }
        Ok(value)
    }
}

/// Says which step of a fit met a non-finite number.
fn step_at(error: Error, epoch: usize, step: usize) -> Error {
    match error {
        Error::NonFinite { quantity, .. } => {
            let step = format!("epoch {epoch}, gradient step {step} of the model's fit");
            Error::NonFinite { quantity, step }
        }
        other => other,
    }
}

/// Errors of the members' means `[E,N,T]`: rows `x [N,D]`, normalised targets `y [N,T]`.
fn residuals(model: &EnsembleModel, x: &Tensor, y: &Tensor) -> Result<Tensor> {
    let mean = members_forward(model, x)?.narrow(D::Minus1, 0, model.target_dim())?;
    Ok(mean.broadcast_sub(y)?)
}

/// The logs of the root mean squared residuals, a member and output `[E*T]`.
fn log_deviations(model: &EnsembleModel, x: &Tensor, y: &Tensor) -> Result<Vec<f64>> {
    let square = to_f64(&residuals(model, x, y)?.sqr()?.mean(1)?)?;
    Ok(square.into_iter().map(|square| square.sqrt().max(LEAST_STD).ln()).collect())
}

/// Mean squared error of the raw targets, or of the normalised ones where noise is learned by output
/// and so no output is louder than another; a member and row each `[E,N]`.
fn holdout_errors(model: &EnsembleModel, x: &Tensor, y: &Tensor) -> Result<Tensor> {
    let error = residuals(model, x, y)?;
    let error = match model.config.noise() {
        NoiseKind::PerOutput => error,
        _ => model.targets.undo_scale(&error)?,
    };
    Ok(error.sqr()?.mean(D::Minus1)?)
}

/// `[N,D]` through every member: `[E,N,..]`, also when there is only one.
pub(super) fn members_forward(model: &EnsembleModel, x: &Tensor) -> Result<Tensor> {
    let out = model.net.frozen().forward(x)?;
    Ok(if model.config.members == 1 { out.unsqueeze(0)? } else { out })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bootstrap_sets_differ_and_repeat_rows() {
        let sets = bootstrap(3, 400, &mut Rng::new(1));
        assert!(sets[0] != sets[1] && sets[1] != sets[2]);
        for set in &sets {
            let mut distinct = set.clone();
            distinct.sort_unstable();
            distinct.dedup();
            // 1 - 1/e of the rows are expected: 253, standard error 6.
            assert!((225..281).contains(&distinct.len()), "{}", distinct.len());
        }
    }
}
