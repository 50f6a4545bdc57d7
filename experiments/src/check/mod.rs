//! `hstep check`: a bound of the papers as printed and as it holds, searched, or on one's own problem.

mod figures;
mod words;

use std::path::Path;

use anyhow::{Context as _, Result};
use hstep::files;
use hstep_proofs::check::{
    FINITE, Options, Report, STATEMENTS, WIDE, check, find, measure, measure_wide,
};
use hstep_proofs::file::{self, Decidable, MAX_BYTES};
use serde_json::Value;

use crate::cli::Check;
use crate::output::say;
use crate::progress::Progress;

/// Runs the command.
pub fn run(args: &Check, quiet: bool) -> Result<()> {
    let options = Options {
        norm: args.norm,
        play: args.play,
        range: args.reward_range,
        horizon: args.horizon,
        evaluations: args.evaluations,
        seconds: args.seconds,
        seed: args.seed,
    };
    if let Some(path) = &args.mdp {
        return given(args, &options, path).with_context(|| path.display().to_string());
    }
    let names: Vec<&str> = match args.result.as_str() {
        "all" => STATEMENTS.iter().map(|s| s.name).collect(),
        name => vec![find(name)?.name],
    };
    let mut reports = Vec::new();
    for name in names {
        // A horizon that one statement has no use for must not stop the others.
        let horizon = options.horizon.filter(|_| args.result != "all" || name != "polo-lemma-1");
        let bar = Progress::counting("instances", name, args.evaluations, quiet);
        let found = check(name, &Options { horizon, ..options.clone() }, &|n| bar.update(n, &[]));
        bar.finish();
        let report = found?;
        if !args.json {
            words::report(&report)?;
        }
        reports.push(report);
    }
    if let Some(folder) = &args.out {
        for path in figures::write(&reports, &command(args), folder)? {
            tracing::info!("wrote {}", path.display());
        }
    }
    if args.json {
        let all: Vec<Value> = reports.iter().map(Report::to_json).collect();
        match (args.result.as_str(), all.as_slice()) {
            ("all", _) => say!("{:#}", Value::from(all))?,
            (_, one) => say!("{:#}", one.first().unwrap_or(&Value::Null))?,
        }
    } else if args.result == "all" {
        say!("{}", words::table(&reports))?;
    }
    Ok(())
}

/// The command line that does this again.
fn command(args: &Check) -> String {
    let mut words = vec![format!("hstep check {}", args.result)];
    words.extend(args.horizon.map(|h| format!("--horizon {h}")));
    words.push(format!("--norm {} --play {}", args.norm, args.play));
    words.extend(args.reward_range.map(|r| format!("--reward-range {r}")));
    words.push(format!("--evaluations {} --seed {}", args.evaluations, args.seed));
    words.extend(args.seconds.map(|s| format!("--seconds {s}")));
    words.join(" ")
}

/// Measures one's own problem: one statement, or all that are about finite processes and need nothing
/// that the problem does not have.
fn given(args: &Check, options: &Options, path: &Path) -> Result<()> {
    let text = files::text(path, MAX_BYTES)?;
    let all = args.result == "all";
    let given = file::read(&text, args.round, args.intervals)?;
    let measured = measure_given(&args.result, &given, options)?;
    match (args.json, measured.as_slice()) {
        (true, _) if all => say!("{:#}", Value::from(measured))?,
        (true, one) => say!("{:#}", one.first().unwrap_or(&Value::Null))?,
        (false, each) => {
            for (i, one) in each.iter().enumerate() {
                if i > 0 {
                    say!()?;
                }
                words::measured(one)?;
            }
        }
    }
    Ok(())
}

/// Measures a problem of one's own: the statement of this name, or `all` that need nothing that the problem
/// does not have. One JSON object each.
///
/// # Errors
/// For a name that there is not, and as [`measure`].
pub fn measure_given(
    result: &str,
    given: &Decidable,
    options: &Options,
) -> hstep::Result<Vec<Value>> {
    let all = result == "all";
    let names = match (given, find(result)) {
        (_, Ok(one)) if !all => vec![one.name],
        (_, Err(error)) if !all => return Err(error),
        (Decidable::Exact(_), _) => FINITE.to_vec(),
        (Decidable::Wide(..), _) => WIDE.to_vec(),
    };
    let mut measured = Vec::new();
    for name in names {
        // The greedy policy looks one step ahead, whatever the others do.
        let horizon = options.horizon.filter(|_| !all || name != "polo-lemma-1");
        let options = Options { horizon, ..options.clone() };
        measured.push(match given {
            Decidable::Exact(given)
                if all
                    && name == "maac-theorem-4.1"
                    && (given.policy.is_none() || given.data_policy.is_none()) =>
            {
                tracing::info!("{name} is left out: it compares `policy` and `data_policy`");
                continue;
            }
            Decidable::Exact(given) => measure(name, given, &options)?,
            Decidable::Wide(problem, rounded) => measure_wide(name, problem, *rounded, &options)?,
        });
    }
    Ok(measured)
}
