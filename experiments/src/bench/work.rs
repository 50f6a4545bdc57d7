//! The workloads as calls into the library: the public types that training uses, on fixed inputs.

use anyhow::Result;
use candle_core::Tensor;
use hstep::agent::Hybrid;
use hstep::dynamics::{Ensemble, EnsembleConfig};
use hstep::env::{EnvInfo, Known};
use hstep::learner::Agent;
use hstep::objective::{Cost, HStep, Members, Noise, Reduce, Terminal};
use hstep::parts::TemperatureConfig;
use hstep::planner::{Base, MemberChoice, Mppi, MppiConfig, Planner, Problem, SamplesConfig};
use hstep::replay::Batch;
use hstep::rng::Rng;
use hstep::shape::{Precision, Spec};
use hstep::train::Log;
use hstep::uses::{BRANCH_ROWS, Pathwise, PathwiseConfig, Td0, branch};
use hstep::value::{CriticConfig, VNet};

use super::workload::Workload;
use super::workload::{ACT, BATCH, HIDDEN, MEMBERS, MODEL_HIDDEN, OBS, PLAN_HORIZON, TARGETS};

/// One call of a workload.
pub type Work = Box<dyn FnMut() -> Result<()>>;

/// What `workload` repeats, with everything it needs made beforehand.
///
/// # Errors
/// When the library refuses a part.
pub fn work(workload: Workload, precision: Precision) -> Result<Work> {
    let spec = Spec { precision, ..Spec::f32() };
    match workload {
        Workload::Update => update(),
        Workload::Fit => fit(),
        Workload::Branch(rows) => branched(rows, &spec),
        Workload::Plan { samples, starts } => plan(samples, starts, &spec),
        Workload::Actor(horizon) => actor(horizon),
    }
}

/// Where the numbers of a workload come from.
fn rng() -> Rng {
    Rng::new(0)
}

/// The ensemble's settings, predicting with the first `elites` members.
fn model(elites: usize) -> EnsembleConfig {
    EnsembleConfig {
        members: MEMBERS,
        elites,
        hidden: MODEL_HIDDEN.to_vec(),
        batch: BATCH,
        lr: 1e-3,
        weight_decay: vec![1e-5; MODEL_HIDDEN.len() + 1],
        ..EnsembleConfig::default()
    }
}

fn ensemble(elites: usize, spec: &Spec) -> Result<Ensemble> {
    let rng = &mut rng().fork("model");
    Ok(Ensemble::new(&model(elites), OBS, ACT, Known::default(), rng, spec)?)
}

fn critic() -> CriticConfig {
    CriticConfig { hidden: HIDDEN.to_vec(), ..CriticConfig::default() }
}

/// An agent with policy, twin critics, temperature and, where `elites` are given, a model.
fn agent(
    pathwise: Pathwise,
    temperature: &TemperatureConfig,
    elites: Option<usize>,
    spec: &Spec,
) -> Result<Agent> {
    let mut builder = Hybrid::builder("bench", "")
        .actor_critic(0.99, &Default::default(), &critic(), temperature)
        .improve(pathwise)
        .target(Box::new(Td0(Reduce::Min)));
    if let Some(elites) = elites {
        builder = builder.model(&model(elites));
    }
    let info = EnvInfo {
        name: "bench".into(),
        obs_dim: OBS,
        action_low: vec![-1.0; ACT],
        action_high: vec![1.0; ACT],
        max_steps: 1000,
    };
    Ok(Agent::new(builder.build()?, &info, Known::default(), &rng(), spec)?)
}

/// One SAC update: both critics, policy, temperature, target networks.
fn update() -> Result<Work> {
    let mut agent =
        agent(Pathwise::model_free(), &TemperatureConfig::default(), None, &Spec::f32())?;
    let (spec, mut rng) = (Spec::f32(), rng().fork("batch"));
    let obs = rng.normals((BATCH, OBS), &spec)?;
    let batch = Batch {
        next_obs: rng.normals((BATCH, OBS), &spec)?,
        action: rng.normals((BATCH, ACT), &spec)?.tanh()?,
        reward: rng.normals(BATCH, &spec)?,
        cont: Tensor::ones(BATCH, spec.dtype, &spec.device)?,
        obs,
        state: None,
    };
    let mut log = Log::default();
    Ok(Box::new(move || Ok(agent.gradient_step(&batch, rng.key(), &mut log)?)))
}

/// One training step of every member and of the bounds.
fn fit() -> Result<Work> {
    let (spec, mut rng, mut ensemble) =
        (Spec::f32(), rng().fork("rows"), ensemble(MEMBERS, &Spec::f32())?);
    let x = rng.normals((MEMBERS, BATCH, OBS + ACT), &spec)?;
    let y = rng.normals((MEMBERS, BATCH, TARGETS), &spec)?;
    Ok(Box::new(move || {
        ensemble.fit_step(&x, &y)?;
        Ok(())
    }))
}

/// One step of the policy through the model from `rows` states, in MBPO's blocks: a random one of
/// five elites a row, policy and model noise.
fn branched(rows: usize, spec: &Spec) -> Result<Work> {
    let agent = agent(Pathwise::model_free(), &TemperatureConfig::default(), Some(5), spec)?;
    let mut rng = rng().fork("starts");
    let blocks = (0..rows)
        .step_by(BRANCH_ROWS)
        .map(|at| rng.normals((BRANCH_ROWS.min(rows - at), OBS), spec))
        .collect::<hstep::Result<Vec<_>>>()?;
    Ok(Box::new(move || {
        for s0 in &blocks {
            std::hint::black_box(branch(&agent.parts, s0, 1, rng.key())?);
        }
        Ok(())
    }))
}

/// One MPPI plan from each of `starts` states; every candidate goes through every member.
fn plan(samples: usize, starts: usize, spec: &Spec) -> Result<Work> {
    let (mut rng, ensemble) = (rng().fork("starts"), ensemble(MEMBERS, spec)?);
    let value = VNet::new(&critic(), OBS, &mut rng.fork("value"), spec)?;
    let planner = Mppi::new(MppiConfig {
        samples: SamplesConfig {
            count: samples,
            particles: MEMBERS,
            members: MemberChoice::Every,
            ..SamplesConfig::default()
        },
        iterations: 1,
        temperature: 1.0,
        noise: 0.5,
        ..MppiConfig::default()
    });
    let s0 = rng.normals((starts, OBS), spec)?;
    Ok(Box::new(move || {
        let objective = HStep {
            dynamics: Some(&ensemble),
            terminal: Terminal::State(&value),
            horizon: PLAN_HORIZON,
            gamma: 1.0,
            cost: Cost::NONE,
        };
        let problem = Problem { objective, s0: &s0, base: Base::Zero };
        std::hint::black_box(planner.plan(&problem, rng.key())?);
        Ok(())
    }))
}

/// One step of the actor through `horizon` model steps, ending in the smaller of two Q; every step
/// goes through a fresh member, the same one for all rows.
fn actor(horizon: usize) -> Result<Work> {
    let pathwise = Pathwise(PathwiseConfig { horizon, ..PathwiseConfig::default() });
    let fixed =
        TemperatureConfig { initial: 0.1, automatic: false, ..TemperatureConfig::default() };
    let mut agent = agent(pathwise.clone(), &fixed, Some(MEMBERS), &Spec::f32())?;
    let (spec, mut rng) = (Spec::f32(), rng().fork("starts"));
    let s0 = rng.normals((BATCH, OBS), &spec)?;
    Ok(Box::new(move || {
        let member: Vec<f64> =
            (0..horizon).flat_map(|_| std::iter::repeat_n(rng.uniform(), BATCH)).collect();
        let member = Members::Tensor(spec.tensor(&member, (horizon, BATCH))?);
        let noise = Noise { member, ..Noise::key(rng.key()) };
        pathwise.step(&mut agent.parts, &s0, &noise)?;
        Ok(())
    }))
}
