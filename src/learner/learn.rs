//! Learning: what is due after a step of the environment.

use super::{Agent, OPEN_LOOP, step_at};
use crate::agent::BlockConfig;
use candle_core::Tensor;

use crate::dynamics::{MIN_FIT_ROWS, Model, Recorded, States, open_loop_error};
use crate::env::EnvInfo;
use crate::error::Result;
use crate::log::{Log, Phase, Stopwatch};
use crate::ops;
use crate::parts::MODEL;
use crate::replay::{Batch, NEXT_STATE, Replay, STATE, TransitionRow};
use crate::rng::Key;
use crate::uses::{Pass, Update};

impl Agent {
    /// Fits, imagines and updates as far as they are due after the newest transition.
    ///
    /// # Errors
    /// [`crate::Error::NonFinite`] naming the quantity and the step.
    pub fn learn(&mut self, log: &mut Log, watch: &mut Stopwatch) -> Result<()> {
        let step = self.counters.env_steps;
        let schedule = &self.hybrid.schedule;
        let update_every = schedule.update_every.unwrap_or(1) as u64;
        let updates_per_step = schedule.updates_per_step;
        let Some(since) = step.checked_sub(schedule.random_steps as u64) else { return Ok(()) };
        let learns = self.parts.models.values().any(|model| model.learns());
        let unfitted = learns && self.counters.fit_steps == 0;
        // Failed steps are no rows, and a repair may have dropped some: there may be too few.
        if self.real.len() < if learns { MIN_FIT_ROWS } else { 1 } {
            return Ok(());
        }
        if let Some(block) = schedule.block.clone() {
            let steps = block.steps.unwrap_or(1) as u64;
            return match since.is_multiple_of(steps) {
                // The first block stands for all of the random steps.
                true if since == 0 => self.learn_block(&block, step, steps, log, watch),
                true => self.learn_block(&block, steps, steps, log, watch),
                false => Ok(()),
            };
        }
        self.standardise()?;
        if !self.parts.models.is_empty() {
            let imagine_every = schedule.imagine_every.unwrap_or(schedule.fit_every);
            if unfitted || since.is_multiple_of(schedule.fit_every as u64) {
                watch.time(Phase::Model, || self.fit(log))?;
            }
            if unfitted || since.is_multiple_of(imagine_every as u64) {
                watch.time(Phase::Imagining, || self.imagine(log))?;
            }
        }
        if self.hybrid.learn.is_empty() || !since.is_multiple_of(update_every) {
            return Ok(());
        }
        watch.time(Phase::Updates, || {
            (0..updates_per_step).try_for_each(|_| self.update(Pass::Whole, log))
        })
    }

    /// A fit, updates of the critic alone, and the updates of `steps` environment steps.
    fn learn_block(
        &mut self,
        block: &BlockConfig,
        steps: u64,
        usual: u64,
        log: &mut Log,
        watch: &mut Stopwatch,
    ) -> Result<()> {
        self.standardise()?;
        let imagines = !self.parts.models.is_empty();
        if imagines {
            watch.time(Phase::Model, || self.fit(log))?;
            self.imagined.clear();
        }
        if self.hybrid.learn.is_empty() {
            return Ok(());
        }
        if block.reset_optimisers {
            self.parts.reset_optimisers()?;
        }
        let alone = (block.critic_share * usual as f64) as u64;
        let schedule = &self.hybrid.schedule;
        let every = schedule.update_every.unwrap_or(1) as u64;
        let all = steps * schedule.updates_per_step as u64 / every;
        let passes = [(Pass::Evaluation, alone), (Pass::Whole, all)];
        for (pass, updates) in passes {
            for update in 0..updates {
                let due = match pass {
                    Pass::Evaluation => update == 0,
                    Pass::Whole => update.is_multiple_of(block.imagine_every as u64),
                };
                if imagines && due {
                    watch.time(Phase::Imagining, || self.imagine(log))?;
                }
                watch.time(Phase::Updates, || self.update(pass, log))?;
            }
        }
        Ok(())
    }

    /// Takes over the mean and deviation of the observations seen.
    fn standardise(&self) -> Result<()> {
        self.seen.iter().try_for_each(|(moments, normaliser)| normaliser.follow(moments))
    }

    /// Fits the models on everything seen; reports their calibration.
    fn fit(&mut self, log: &mut Log) -> Result<()> {
        let Self { parts, real, streams, counters, hybrid, info, .. } = self;
        for model in parts.models.values_mut().filter(|model| model.learns()) {
            if counters.fit_steps > 0 {
                // The newest transitions are not in the training set yet: an honest open-loop test.
                open_loop(model.as_ref(), real, hybrid.schedule.fit_every, info, log)?;
            }
            let done = model.fit(real, &mut streams.fit)?;
            counters.fit_steps += done.steps;
            done.metrics.iter().for_each(|(name, x)| log.last(name, *x));
        }
        self.believe_anew()
    }

    /// What the model believes, computed anew from every episode's first observation on.
    pub(super) fn believe_anew(&mut self) -> Result<()> {
        let Self { parts, real, memory, spec, .. } = self;
        let Some(model) = parts.models.get(MODEL) else { return Ok(()) };
        if model.states() != States::Believed {
            return Ok(());
        }
        let width = model.dynamics().state_dim();
        let episodes = real.stretches(real.len(), 1);
        let mut states = [vec![0.0; real.len() * width], vec![0.0; real.len() * width]];
        let longest = episodes.iter().map(ExactSizeIterator::len).max().unwrap_or(0);
        let mut belief: Option<Tensor> = None;
        for t in 0..longest {
            // Those that are as long, still in one batch.
            let running: Vec<usize> =
                (0..episodes.len()).filter(|&i| episodes[i].len() > t).collect();
            let ages: Vec<usize> = running.iter().map(|&i| episodes[i].start + t).collect();
            let rows = real.gather(&ages, spec)?;
            let before = match belief.take() {
                None => model.initial(&rows.obs)?,
                Some(belief) => {
                    let went_on = (0..episodes.len()).filter(|&i| episodes[i].len() > t - 1);
                    let kept = went_on.enumerate().filter(|(_, i)| episodes[*i].len() > t);
                    let kept: Vec<u32> = kept.map(|(row, _)| row as u32).collect();
                    ops::take_rows(&belief, &kept)?
                }
            };
            let after = model.update(&before, &rows.action, &rows.next_obs)?;
            for (column, x) in states.iter_mut().zip([&before, &after]) {
                let x = super::flat(x)?;
                for (row, age) in ages.iter().enumerate() {
                    column[age * width..][..width].copy_from_slice(&x[row * width..][..width]);
                }
            }
            belief = Some(after);
        }
        let [before, after] = states;
        if let Some(belief) = memory.belief.as_mut().filter(|_| !after.is_empty()) {
            // The running episode is the newest one.
            let last: Vec<f64> = after[after.len() - width..].iter().map(|x| (*x).into()).collect();
            *belief = spec.tensor(&last, (1, width))?;
        }
        real.rewrite(STATE, before)?;
        real.rewrite(NEXT_STATE, after)
    }

    fn imagine(&mut self, log: &mut Log) -> Result<()> {
        let step = self.counters.env_steps;
        let capacity = self.hybrid.imagine.capacity(step);
        if capacity == 0 {
            return Ok(());
        }
        if capacity != self.imagined.capacity() {
            self.imagined.resize(capacity)?;
        }
        let rng = &mut self.streams.imagine;
        let (parts, real, spec) = (&self.parts, &self.real, &self.spec);
        let steps =
            self.hybrid.imagine.imagine(parts, real, &mut self.imagined, step, rng, spec)?;
        self.counters.model_steps += steps;
        log.last("imagined", self.imagined.len() as f64);
        Ok(())
    }

    /// One gradient step on a batch drawn from both buffers.
    fn update(&mut self, pass: Pass, log: &mut Log) -> Result<()> {
        let ratio = self.hybrid.imagine.real_ratio(self.counters.env_steps);
        let schedule = &self.hybrid.schedule;
        let actor_every = schedule.actor_every.unwrap_or(1) as u64;
        let pass = match pass {
            Pass::Whole if !self.counters.grad_steps.is_multiple_of(actor_every) => {
                Pass::Evaluation
            }
            pass => pass,
        };
        let n = schedule.batch;
        let rng = &mut self.streams.update;
        let batch = Replay::mixed(&self.real, &self.imagined, n, ratio, rng, &self.spec)?;
        let key = rng.key();
        self.pass(pass, &batch, key, log)
    }

    /// One gradient step of every part on a batch `[n,..]` that is given: critic, value, policy,
    /// temperature, then the target networks. All noise comes from `key`; losses go into `log`.
    ///
    /// # Errors
    /// [`crate::Error::Shape`] for a batch of another environment, [`crate::Error::NonFinite`] naming the loss
    /// and the step.
    pub fn gradient_step(&mut self, batch: &Batch, key: Key, log: &mut Log) -> Result<()> {
        self.pass(Pass::Whole, batch, key, log)
    }

    fn pass(&mut self, pass: Pass, batch: &Batch, key: Key, log: &mut Log) -> Result<()> {
        self.counters.grad_steps += 1;
        let watched = self.is_blind_to_ends();
        let Self { hybrid, parts, counters, .. } = self;
        let size_of_q = watched.then_some(0.0);
        let mut update = Update { pass, size_of_q, ..Update::new(parts, batch, key, log) };
        let mut steps = hybrid.learn.iter().filter(|step| pass == Pass::Whole || !step.improves());
        let taken = steps.try_for_each(|step| step.take(&mut update));
        let Update { model_steps, size_of_q, .. } = update;
        step_at(taken, counters)?;
        counters.model_steps += model_steps;
        size_of_q.map_or(Ok(()), |size| self.check_size_of_q(size))
    }
}

/// Reports the error over several steps on unbroken stretches of the newest `n` transitions.
fn open_loop(
    model: &dyn Model,
    real: &Replay,
    n: usize,
    info: &EnvInfo,
    log: &mut Log,
) -> Result<()> {
    let longest = OPEN_LOOP[OPEN_LOOP.len() - 1];
    let at = real.own().position(|(name, _)| name == STATE);
    let stretches = real.stretches(n, longest).into_iter().map(|ages| {
        let last = ages.end - 1;
        let rows: Vec<TransitionRow> = ages.filter_map(|age| real.get(age)).collect();
        let own = |pick: &dyn for<'a> Fn(&TransitionRow<'a>) -> &'a [f32]| {
            rows.iter().flat_map(pick).copied().collect::<Vec<f32>>()
        };
        let mut obs = own(&|row| row.obs);
        obs.extend(real.get(last).iter().flat_map(|row| row.next_obs));
        (obs, own(&|row| row.action), at.map_or_else(Vec::new, |at| own(&|row| row.own[at])))
    });
    let stretches: Vec<_> = stretches.collect();
    let recorded = stretches.iter().map(|(obs, action, state)| Recorded { obs, action, state });
    let recorded: Vec<Recorded> = recorded.collect();
    if recorded.is_empty() {
        return Ok(());
    }
    let error = open_loop_error(model.dynamics(), &recorded, longest)?;
    for horizon in OPEN_LOOP {
        let square: f64 = error.rmse[horizon - 1].iter().map(|e| e * e).sum();
        let rmse = (square / info.obs_dim as f64).sqrt();
        log.last(&format!("open_loop_rmse_{horizon}"), rmse);
    }
    Ok(())
}
