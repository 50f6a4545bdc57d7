//! The workloads as calls into the library: the public types that training uses, on fixed inputs.

use anyhow::Result;
use candle_core::Tensor;
use hstep::agent::Hybrid;
use hstep::dynamics::{Ensemble, EnsembleConfig};
use hstep::env::{EnvInfo, Known};
use hstep::learner::Agent;
use hstep::log::Log;
use hstep::objective::{Cost, Entropy, HStep, Members, Noise, Reduce, Rollout, Terminal};
use hstep::parts::{ACTOR, TemperatureConfig};
use hstep::planner::{Base, MemberChoice, Mppi, MppiConfig, Planner, Problem, SamplesConfig};
use hstep::policy::{ActorConfig, SquashedGaussian};
use hstep::replay::Batch;
use hstep::rng::Rng;
use hstep::shape::Spec;
use hstep::uses::{BRANCH_ROWS, Pathwise, PathwiseConfig, Td0, branch};
use hstep::value::{CriticConfig, VNet};

use super::workload::{ACT, OBS, Sizes, TARGETS, Workload};

/// One call of a workload.
pub type Work = Box<dyn FnMut() -> Result<()>>;

/// What `workload` repeats at these sizes, with everything it needs made beforehand.
///
/// # Errors
/// When the library refuses a part.
pub fn work(workload: Workload, sizes: &Sizes) -> Result<Work> {
    match workload {
        Workload::Update => update(sizes),
        Workload::Fit => fit(sizes),
        Workload::Branch(rows) => branched(rows, sizes),
        Workload::Plan { samples, starts, horizon, prior } => {
            plan((samples, starts, horizon), prior, sizes)
        }
        Workload::Actor(horizon) => {
            let mut actor = ActorStep::new(horizon, sizes)?;
            Ok(Box::new(move || actor.step()))
        }
    }
}

/// Where the numbers of a workload come from.
pub fn rng() -> Rng {
    Rng::new(0)
}

/// The ensemble's settings, predicting with the first `elites` members.
fn model(elites: usize, sizes: &Sizes) -> EnsembleConfig {
    let hidden = sizes.model_hidden();
    EnsembleConfig {
        members: sizes.members,
        elites,
        batch: sizes.batch,
        lr: 1e-3,
        weight_decay: vec![1e-5; hidden.len() + 1],
        hidden: hidden.to_vec(),
        ..EnsembleConfig::default()
    }
}

/// An ensemble whose members all predict.
pub fn ensemble(sizes: &Sizes) -> Result<Ensemble> {
    let (config, rng) = (model(sizes.members, sizes), &mut rng().fork("model"));
    Ok(Ensemble::new(&config, OBS, ACT, Known::default(), rng, &sizes.spec())?)
}

pub fn critic(sizes: &Sizes) -> CriticConfig {
    CriticConfig { hidden: sizes.hidden().to_vec(), ..CriticConfig::default() }
}

/// An agent with policy, twin critics, temperature and, where `elites` are given, a model.
fn agent(
    pathwise: Pathwise,
    temperature: &TemperatureConfig,
    elites: Option<usize>,
    sizes: &Sizes,
) -> Result<Agent> {
    let actor = ActorConfig { hidden: sizes.hidden().to_vec(), ..ActorConfig::default() };
    let mut builder = Hybrid::builder("bench", "")
        .actor_critic(0.99, &actor, &critic(sizes), temperature)
        .improve(pathwise)
        .target(Box::new(Td0(Reduce::Min)));
    if let Some(elites) = elites {
        builder = builder.model(&model(elites, sizes));
    }
    let info = EnvInfo {
        name: "bench".into(),
        obs_dim: OBS,
        action_low: vec![-1.0; ACT],
        action_high: vec![1.0; ACT],
        max_steps: 1000,
    };
    Ok(Agent::new(builder.build()?, &info, Known::default(), &rng(), &sizes.spec())?)
}

/// One SAC update: both critics, policy, temperature, target networks.
fn update(sizes: &Sizes) -> Result<Work> {
    let mut agent = agent(Pathwise::model_free(), &TemperatureConfig::default(), None, sizes)?;
    let (spec, mut rng) = (Spec::f32(), rng().fork("batch"));
    let rows = sizes.batch;
    let obs = rng.normals((rows, OBS), &spec)?;
    let batch = Batch {
        next_obs: rng.normals((rows, OBS), &spec)?,
        action: rng.normals((rows, ACT), &spec)?.tanh()?,
        reward: rng.normals(rows, &spec)?,
        cont: Tensor::ones(rows, spec.dtype, &spec.device)?,
        obs,
        own: std::collections::BTreeMap::new(),
    };
    let mut log = Log::default();
    Ok(Box::new(move || Ok(agent.gradient_step(&batch, rng.key(), &mut log)?)))
}

/// One training step of every member and of the bounds.
fn fit(sizes: &Sizes) -> Result<Work> {
    let (spec, mut rng, mut ensemble) = (Spec::f32(), rng().fork("rows"), ensemble(sizes)?);
    let (members, rows) = (sizes.members, sizes.batch);
    let x = rng.normals((members, rows, OBS + ACT), &spec)?;
    let y = rng.normals((members, rows, TARGETS), &spec)?;
    Ok(Box::new(move || {
        ensemble.fit_step(&x, &y)?;
        Ok(())
    }))
}

/// One step of the policy through the model from `rows` states, in MBPO's blocks: a random one of
/// five elites a row, policy and model noise.
fn branched(rows: usize, sizes: &Sizes) -> Result<Work> {
    let agent = agent(Pathwise::model_free(), &TemperatureConfig::default(), Some(5), sizes)?;
    let (spec, mut rng) = (Spec::f32(), rng().fork("starts"));
    let blocks = (0..rows)
        .step_by(BRANCH_ROWS)
        .map(|at| rng.normals((BRANCH_ROWS.min(rows - at), OBS), &spec))
        .collect::<hstep::Result<Vec<_>>>()?;
    Ok(Box::new(move || {
        for s0 in &blocks {
            std::hint::black_box(branch(&agent.parts, s0, 1, rng.key())?);
        }
        Ok(())
    }))
}

/// One MPPI plan from each of `starts` states; every candidate goes through every member and, with
/// a `prior`, pays for what a policy would not do.
fn plan(
    (samples, starts, horizon): (usize, usize, usize),
    prior: bool,
    sizes: &Sizes,
) -> Result<Work> {
    let (spec, mut rng, ensemble) = (Spec::f32(), rng().fork("starts"), ensemble(sizes)?);
    let value = VNet::new(&critic(sizes), OBS, &mut rng.fork("value"), &sizes.spec())?;
    let planner = Mppi::new(MppiConfig {
        samples: SamplesConfig {
            count: samples,
            particles: sizes.members,
            members: MemberChoice::Every,
            ..SamplesConfig::default()
        },
        iterations: 1,
        temperature: 1.0,
        noise: 0.5,
        ..MppiConfig::default()
    });
    let s0 = rng.normals((starts, OBS), &spec)?;
    let actor = ActorConfig { hidden: sizes.hidden().to_vec(), ..ActorConfig::default() };
    let policy =
        SquashedGaussian::new(&actor, OBS, ACT, &mut rng.fork("prior"), &sizes.spec())?.frozen();
    Ok(Box::new(move || {
        let of_prior = Cost { steps: Entropy::All, coefficient: 0.1, prior: Some(&policy) };
        let objective = HStep {
            dynamics: Some(&ensemble),
            terminal: Terminal::State(&value),
            horizon,
            gamma: 1.0,
            cost: if prior { of_prior } else { Cost::NONE },
        };
        let problem = Problem { objective, s0: &s0, base: Base::Zero };
        std::hint::black_box(planner.plan(&problem, rng.key())?);
        Ok(())
    }))
}

/// One step of the actor through so many model steps, ending in the smaller of two Q; every step
/// goes through a fresh member, the same one for all rows.
pub struct ActorStep {
    agent: Agent,
    pathwise: Pathwise,
    s0: Tensor,
    rng: Rng,
}

impl ActorStep {
    /// Policy, critics, model and start states.
    ///
    /// # Errors
    /// When the library refuses a part.
    pub fn new(horizon: usize, sizes: &Sizes) -> Result<Self> {
        let pathwise = Pathwise(PathwiseConfig { horizon, ..PathwiseConfig::default() });
        let fixed =
            TemperatureConfig { initial: 0.1, automatic: false, ..TemperatureConfig::default() };
        let agent = agent(pathwise.clone(), &fixed, Some(sizes.members), sizes)?;
        let mut rng = rng().fork("starts");
        let s0 = rng.normals((sizes.batch, OBS), &Spec::f32())?;
        Ok(Self { agent, pathwise, s0, rng })
    }

    fn noise(&mut self) -> Result<Noise> {
        let (horizon, rows) = (self.pathwise.0.horizon, self.s0.dim(0)?);
        let member: Vec<f64> =
            (0..horizon).flat_map(|_| std::iter::repeat_n(self.rng.uniform(), rows)).collect();
        let member = Members::Tensor(Spec::f32().tensor(&member, (horizon, rows))?);
        Ok(Noise { member, ..Noise::key(self.rng.key()) })
    }

    /// The forward pass: the loss with its graph, and the rollout behind it.
    ///
    /// # Errors
    /// As [`Pathwise::loss`].
    pub fn forward(&mut self) -> Result<(Tensor, Rollout)> {
        let noise = self.noise()?;
        Ok(self.pathwise.loss(&self.agent.parts, &self.s0, &noise)?)
    }

    /// The whole step.
    ///
    /// # Errors
    /// As [`Pathwise::loss`]; [`hstep::Error::NonFinite`] as the optimiser.
    pub fn step(&mut self) -> Result<()> {
        let noise = self.noise()?;
        let (loss, _) = self.pathwise.loss(&self.agent.parts, &self.s0, &noise)?;
        self.agent.parts.policy_mut(ACTOR)?.optimiser.descend(&loss)?;
        Ok(())
    }
}
