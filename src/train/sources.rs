//! What a fresh run begins with: the weights of another run, and recorded transitions.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use super::folder::checkpoint_folder;
use super::run::RunConfig;
use crate::checkpoint::{CheckpointDir, Tensors};
use crate::error::{Error, Result};
use crate::files;
use crate::hash::{Stream, hex};
use crate::learner::Agent;
use crate::shape::to_f64;

/// The tensors of a run's newest checkpoint.
fn weights(run: &Path) -> Result<Tensors> {
    let wrong = |what: &str| {
        let problem =
            format!("{}: {what}; expected the folder of a run that was saved", run.display());
        Error::config("run.from", problem)
    };
    if !run.is_dir() {
        return Err(wrong("there is no such folder"));
    }
    files::check_folder(run)?;
    let loaded = CheckpointDir::new(checkpoint_folder(run)).load_parts()?;
    let parts = loaded.ok_or_else(|| wrong("it holds no checkpoint"))?.parts;
    Ok(parts.into_values().flatten().collect())
}

fn hash(weights: &Tensors) -> Result<String> {
    let mut stream = Stream::default();
    for (name, tensor) in weights {
        stream.add(format!("{name} {:?}\n", tensor.dims()).as_bytes());
        to_f64(tensor)?.iter().for_each(|x| stream.add(&x.to_le_bytes()));
    }
    Ok(hex(&stream.digest()))
}

/// The content hash of what `run.from` names: of the tensors of the newest checkpoint of a run.
///
/// # Errors
/// [`Error::Config`] where there is none, [`Error::Checkpoint`] where it cannot be read.
pub fn hash_of_run(run: &Path) -> Result<String> {
    hash(&weights(run)?)
}

/// The content hash of what `loop.data` names: a file.
///
/// # Errors
/// [`Error::Io`] when it cannot be read.
pub fn hash_of_data(path: &Path) -> Result<String> {
    let fail = || Error::io("cannot read `loop.data`", path);
    let mut file = File::open(path).map_err(fail())?;
    let (mut stream, mut piece) = (Stream::default(), vec![0; 1 << 16]);
    loop {
        match file.read(&mut piece).map_err(fail())? {
            0 => return Ok(hex(&stream.digest())),
            n => stream.add(&piece[..n]),
        }
    }
}

/// Whether a run begins with anything: then its first checkpoint is gone on with, and they are not
/// needed any more.
pub(super) fn any(config: &RunConfig, agent: &Agent) -> bool {
    config.from.is_some() || agent.hybrid.schedule.data.is_some()
}

/// Gives a fresh agent what the settings name.
pub(super) fn begin_with(agent: &mut Agent, config: &RunConfig) -> Result<()> {
    if let Some(run) = &config.from {
        let source = weights(Path::new(run))?;
        expect("run.from", run, config.from_hash.as_deref(), &hash(&source)?)?;
        let taken = agent.start_from(&source)?;
        tracing::info!("begins with {} of {run}", taken.join(", "));
    }
    let schedule = &agent.hybrid.schedule;
    if let Some(data) = schedule.data.clone() {
        let now = hash_of_data(Path::new(&data))?;
        expect("loop.data", &data, schedule.data_hash.as_deref(), &now)?;
        let rows = agent.remember(Path::new(&data))?;
        tracing::info!("begins with {rows} transitions of {data}");
    }
    Ok(())
}

fn expect(key: &str, what: &str, then: Option<&str>, now: &str) -> Result<()> {
    match then.filter(|then| *then != now) {
        None => Ok(()),
        Some(then) => {
            let problem = format!(
                "{what} has changed: expected what has the hash {then}, got {now}; put it back, or \
                 start a new run"
            );
            Err(Error::config(key, problem))
        }
    }
}
