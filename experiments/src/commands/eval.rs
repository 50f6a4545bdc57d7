//! `hstep eval`: the policy of a run's newest checkpoint, on fixed start states.

use anyhow::Result;
use hstep::train::{EvalConfig, evaluate};
use hstep::{Error, check};

use crate::cli::Eval;
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
    println!("env_steps   {}", agent.counters.env_steps);
    println!("episodes    {}", args.episodes);
    println!("return      {:.3} (standard deviation {:.3})", result.mean(), result.std());
    println!("length      {:.1}", result.length());
    Ok(())
}
