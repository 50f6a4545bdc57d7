//! `hstep export`: what a run has learned, for other programs.
//!
//! Safetensors and npz hold the tensors of policies, critics, values and models by their names in the checkpoint, without what
//! only training needs, and a few observations and actions with what the networks make of them (`example.*`), to
//! check a reader against. ONNX holds graphs.

mod graphs;
mod onnx;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Result;
use candle_core::Tensor;
use hstep::Error;
use hstep::dynamics::{Member, StepNoise};
use hstep::learner::Agent;
use hstep::nn::Store;
use hstep::parts::{ACTOR, CRITIC, MODEL};
use hstep::rng::Rng;
use hstep::shape::Spec;
use serde_json::{Map, Value, json};

use crate::cli::{Export, ExportFormat};
use crate::output::say;
use crate::plot::write;
use crate::registry::Registry;
use crate::run_folder::RunFolder;
use crate::settings::Settings;

/// Rows of the example.
const ROWS: usize = 8;

/// Runs the command.
pub fn run(args: &Export, registry: &Arc<Registry>) -> Result<()> {
    let folder = RunFolder::open(&args.run)?;
    let settings = Settings::resolved(registry, folder.config()?)?;
    let agent = settings.trained(folder.path(), args.best)?;
    let out = args.out.clone().unwrap_or_else(|| folder.path().join("export"));
    let env = (settings.factory())()?;
    let info = env.info();
    let about = json!({
        "run": folder.path().file_name().map(|name| name.to_string_lossy()),
        "env": info.name,
        "env_steps": agent.counters.env_steps,
        "obs_dim": info.obs_dim,
        // Networks read and give actions in [-1, 1].
        "action_low": info.action_low,
        "action_high": info.action_high,
        "settings": serde_json::to_value(settings.table()?)?,
    });
    let written = match args.format {
        ExportFormat::Onnx => graphs::write_all(&agent, &settings.table()?, &about, &out)?,
        format => {
            vec![tensors(&agent, (info.obs_dim, info.action_low.len()), &about, format, &out)?]
        }
    };
    for path in written {
        say!("{}", path.display())?;
    }
    Ok(())
}

/// What of a checkpoint other programs want.
fn learned(agent: &Agent) -> Result<BTreeMap<String, Tensor>> {
    let mut all = agent.tensors()?;
    all.retain(|name, _| {
        let training =
            name.starts_with("adam.") || name.contains(".adam.") || name.contains("bounds_adam");
        let kept = ["actor.", "critic.", "critic_bounds.", "value.", "model.", "observations."];
        !training && kept.iter().any(|start| name.starts_with(start))
    });
    Ok(all)
}

/// Observations, actions, and what the networks make of them.
fn example(agent: &Agent, (o, a): (usize, usize)) -> Result<BTreeMap<String, Tensor>> {
    let (spec, mut rng, parts) = (Spec::f32(), Rng::new(0), &agent.parts);
    let obs = rng.normals((ROWS, o), &spec)?;
    let action = rng.normals((ROWS, a), &spec)?.tanh()?;
    let mut all = BTreeMap::new();
    if let Ok(policy) = parts.policy(ACTOR) {
        all.insert("example.mode".to_owned(), policy.mode(&obs)?.detach());
    }
    if let Ok(critic) = parts.critic(CRITIC) {
        all.insert("example.q".to_owned(), critic.online.q(&obs, &action)?.detach());
    }
    if let Ok(model) = parts.model(MODEL)
        && model.learns()
    {
        let mean = StepNoise { normal: None, member: Member::Mean };
        let step = model.dynamics().step(&obs, &action, &mean)?;
        all.insert("example.next_obs".to_owned(), step.next.detach());
        all.insert("example.reward".to_owned(), step.reward.detach());
    }
    all.insert("example.obs".to_owned(), obs);
    all.insert("example.action".to_owned(), action);
    Ok(all)
}

fn tensors(
    agent: &Agent,
    widths: (usize, usize),
    about: &Value,
    format: ExportFormat,
    out: &Path,
) -> Result<PathBuf> {
    let mut all = learned(agent)?;
    all.extend(example(agent, widths)?);
    let path = |ending: &str| match out.extension() {
        Some(own) if own == ending => out.to_owned(),
        _ => out.join(format!("run.{ending}")),
    };
    let path = path(if format == ExportFormat::Npz { "npz" } else { "safetensors" });
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).map_err(Error::io("cannot create", parent))?;
    }
    if format == ExportFormat::Npz {
        // The words as bytes: numpy has no place for them beside arrays.
        let words = serde_json::to_vec(about)?;
        let n = words.len();
        all.insert("about".to_owned(), Tensor::from_vec(words, n, &candle_core::Device::Cpu)?);
        let all: Vec<(&String, &Tensor)> = all.iter().collect();
        Tensor::write_npz(&all, &path)?;
    } else {
        let mut store = Store::new(all);
        store.note("about", about)?;
        write(&path, &store.to_bytes()?)?;
    }
    Ok(path)
}

/// A table of settings, `actor` or another.
fn section(settings: &toml::Table, name: &str) -> Map<String, Value> {
    let own = settings.get(name).and_then(|own| serde_json::to_value(own).ok());
    own.and_then(|own| own.as_object().cloned()).unwrap_or_default()
}
