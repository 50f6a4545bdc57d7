//! The model: a GRU in candle-nn. What it believes is an observation and a memory side by side.

use hstep::candle_core::{self, Tensor};
use hstep::candle_nn::rnn::{GRUConfig, GRUState, RNN, gru};
use hstep::candle_nn::{Func, Module, VarBuilder, func, linear, loss::mse};
use hstep::dynamics::{Dynamics, Fitted, Model, States, StepNoise, Transition};
use hstep::nn::{AdamConfig, ModuleNet, NamedParams, Optimiser};
use hstep::parts::Place;
use hstep::replay::{Batch, Replay};
use hstep::rng::Rng;
use hstep::shape::{Spec, scalar};

/// Sizes of an observation, an action, and the memory.
const O: usize = 2;
const A: usize = 1;
const M: usize = 32;

/// From observation, action and memory to the change, ten times, a fifth of the reward, the memory.
fn cell(vb: &VarBuilder, remembers: bool) -> candle_core::Result<Func<'static>> {
    let unit = gru(O + A, M, GRUConfig::default(), vb.pp("gru"))?;
    let head = linear(M, O + 1, vb.pp("head"))?;
    Ok(func(move |x| {
        let h = (x.narrow(1, O + A, M)? * f64::from(u8::from(remembers)))?;
        let h = unit.step(&x.narrow(1, 0, O + A)?.contiguous()?, &GRUState { h })?.h;
        Tensor::cat(&[&head.forward(&h)?, &h], 1)
    }))
}

struct Remembers {
    net: ModuleNet<Func<'static>>,
    optimiser: Optimiser,
}

pub fn model(place: &Place, rng: &mut Rng, gru: bool) -> hstep::Result<Box<dyn Model>> {
    let net = ModuleNet::new(move |vb| cell(&vb, gru), O + A + M, rng, place.spec)?;
    let optimiser = Optimiser::new(&net.params(), &AdamConfig { lr: 3e-3, ..Default::default() })?;
    Ok(Box::new(Remembers { net, optimiser }))
}

/// Observation, action and memory side by side; a state is observation and memory.
fn input(state: &Tensor, action: &Tensor) -> candle_core::Result<Tensor> {
    Tensor::cat(&[&state.narrow(1, 0, O)?, action, &state.narrow(1, O, M)?], 1)
}

#[rustfmt::skip]
impl Dynamics for Remembers {
    fn state_dim(&self) -> usize { O + M }
    fn action_dim(&self) -> usize { A }
    fn spec(&self) -> &Spec { self.net.spec() }
    fn observe(&self, state: &Tensor) -> hstep::Result<Tensor> { Ok(state.narrow(1, 0, O)?.contiguous()?) }

    fn step(&self, state: &Tensor, action: &Tensor, _: &StepNoise) -> hstep::Result<Transition> {
        let out = self.net.frozen(&input(state, action)?)?;
        let next = (state.narrow(1, 0, O)? + (out.narrow(1, 0, O)? * 0.1)?)?;
        let reward = (out.narrow(1, O, 1)?.squeeze(1)? * 5.0)?;
        let next = Tensor::cat(&[next, out.narrow(1, O + 1, M)?], 1)?;
        Ok(Transition { next, cont: reward.ones_like()?, reward })
    }
}

#[rustfmt::skip]
impl Model for Remembers {
    fn describe(&self) -> String { "GRU".into() }
    fn dynamics(&self) -> &dyn Dynamics { self }
    fn states(&self) -> States { States::Believed }
    fn params(&self) -> NamedParams<'_> { self.net.params() }
    fn optimiser(&self) -> Option<&Optimiser> { Some(&self.optimiser) }
    fn optimiser_mut(&mut self) -> Option<&mut Optimiser> { Some(&mut self.optimiser) }
    fn columns(&self, _: usize) -> Vec<String> { vec!["error_10".into(), "persistence_10".into()] }

    fn initial(&self, obs: &Tensor) -> hstep::Result<Tensor> { Ok(obs.pad_with_zeros(1, 0, M)?) }
    fn update(&self, state: &Tensor, action: &Tensor, obs: &Tensor) -> hstep::Result<Tensor> {
        let out = self.net.frozen(&input(state, action)?)?;
        Ok(Tensor::cat(&[obs, &out.narrow(1, O + 1, M)?], 1)?)
    }

    /// On sequences of twenty steps. Reported before it: the error over ten steps of the newest data,
    /// which no fit has seen, beside that of an observation that stays as it is.
    fn fit(&mut self, data: &Replay, rng: &mut Rng) -> hstep::Result<Fitted> {
        let spec = self.net.spec().clone();
        let new = data.sequences(&data.windows(200, 10), 10, &spec)?;
        let mut state = new[0].start().state;
        for row in &new {
            state = self.step(&state, &row.action, &StepNoise::default())?.next;
        }
        let error = |obs: &Tensor| scalar(&mse(obs, &new[9].next_obs)?.sqrt()?);
        let metrics = [("error_10", self.observe(&state)?), ("persistence_10", new[0].obs.clone())];
        let metrics = metrics.iter().map(|(name, obs)| Ok(((*name).into(), error(obs)?)));
        let metrics = metrics.collect::<hstep::Result<_>>()?;
        let starts = data.windows(data.len(), 20);
        for _ in 0..300 {
            let picked: Vec<usize> = (0..32).map(|_| starts[rng.below(starts.len())]).collect();
            let rows = data.sequences(&picked, 20, &spec)?;
            let mut state = self.initial(&rows[0].obs)?;
            let mut loss = Vec::new();
            for Batch { obs, action, reward, next_obs, .. } in &rows {
                let out = self.net.tracked(&input(&state, action)?)?;
                let change = ((next_obs - obs)? * 10.0)?;
                let truth = Tensor::cat(&[change, (reward.unsqueeze(1)? / 5.0)?], 1)?;
                loss.push(mse(&out.narrow(1, 0, O + 1)?, &truth)?);
                state = Tensor::cat(&[next_obs, &out.narrow(1, O + 1, M)?], 1)?;
            }
            self.optimiser.descend(&Tensor::stack(&loss, 0)?.mean_all()?)?;
        }
        Ok(Fitted { steps: 300, metrics })
    }
}
