//! `hstep eval`: the policy of a run's newest checkpoint, on fixed start states.

use anyhow::Result;
use hstep::train::{EvalConfig, evaluate};
use hstep::{Error, check};

use crate::cli::Eval;
use crate::output::say;
use crate::run_folder::RunFolder;
use crate::settings::Settings;

pub fn run(args: &Eval) -> Result<()> {
    check::at_least("episodes", args.episodes, 1)?;
    let folder = RunFolder::open(&args.run)?;
    let settings = Settings::resolved(folder.config()?)?;
    let Some(agent) = settings.agent(folder.path())? else {
        let problem = "the run has no checkpoint yet: train it first";
        return Err(Error::checkpoint(folder.path(), problem).into());
    };
    let config = EvalConfig { episodes: args.episodes, ..settings.run.eval.clone() };
    let result = evaluate(&agent, &settings.factory(), &config)?;
    say!("env_steps   {}", agent.counters.env_steps)?;
    say!("episodes    {}", args.episodes)?;
    say!("return      {:.3} (standard deviation {:.3})", result.mean(), result.std())?;
    say!("length      {:.1}", result.length())?;
    Ok(())
}
