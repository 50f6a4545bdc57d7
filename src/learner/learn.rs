//! Learning: what is due after a step of the environment.

use super::columns::Columns;
use super::{Agent, OPEN_LOOP, step_at};
use crate::agent::BlockConfig;
use crate::dynamics::{Dynamics, MIN_FIT_ROWS, Recorded, open_loop_error};
use crate::env::EnvInfo;
use crate::error::Result;
use crate::log::{Log, Phase, Stopwatch};
use crate::replay::{Batch, Replay};
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
        let updates_per_step = schedule.updates_per_step;
        let Some(since) = step.checked_sub(schedule.random_steps as u64) else { return Ok(()) };
        let unfitted = self.parts.models.values().any(|model| !model.is_fitted());
        let learns = self.parts.models.values().any(|model| model.learns());
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
        if self.hybrid.learn.is_empty() {
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
        let all = steps * self.hybrid.schedule.updates_per_step as u64;
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
            if model.is_fitted() {
                // The newest transitions are not in the training set yet: an honest open-loop test.
                let recent = Columns::newest(real, hybrid.schedule.fit_every)?;
                open_loop(model.dynamics(), &recent, info, log)?;
            }
            let done = model.fit(real, &mut streams.fit)?;
            counters.fit_steps += done.steps;
            done.metrics.iter().for_each(|(name, x)| log.last(name, *x));
        }
        Ok(())
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
        let n = self.hybrid.schedule.batch;
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
        let Self { hybrid, parts, counters, .. } = self;
        let mut update = Update { pass, ..Update::new(parts, batch, key, log) };
        let mut steps = hybrid.learn.iter().filter(|step| pass == Pass::Whole || !step.improves());
        let taken = steps.try_for_each(|step| step.take(&mut update));
        let model_steps = update.model_steps;
        step_at(taken, counters)?;
        counters.model_steps += model_steps;
        Ok(())
    }
}

/// Reports the error over several steps on unbroken stretches of `recent` transitions.
fn open_loop(
    dynamics: &dyn Dynamics,
    recent: &Columns,
    info: &EnvInfo,
    log: &mut Log,
) -> Result<()> {
    let longest = OPEN_LOOP[OPEN_LOOP.len() - 1];
    let stretches = recent.stretches(info.obs_dim, info.action_dim(), longest);
    let recorded: Vec<Recorded> =
        stretches.iter().map(|(obs, action)| Recorded { obs, action }).collect();
    if recorded.is_empty() {
        return Ok(());
    }
    let error = open_loop_error(dynamics, &recorded, longest)?;
    for horizon in OPEN_LOOP {
        let square: f64 = error.rmse[horizon - 1].iter().map(|e| e * e).sum();
        let rmse = (square / info.obs_dim as f64).sqrt();
        log.last(&format!("open_loop_rmse_{horizon}"), rmse);
    }
    Ok(())
}
