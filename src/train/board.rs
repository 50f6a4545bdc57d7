//! What TensorBoard shows of a run: its numbers in groups, and its settings.

use toml::Table;

use crate::config;
use crate::error::Result;
use crate::log::seconds_since_1970;
use crate::metrics::{EventWriter, Row};

/// Writes `settings` as a text and as hyper-parameters.
pub(super) fn describe(board: &mut EventWriter, settings: &Table) -> Result<()> {
    let text = format!("```toml\n{settings}```");
    board.describe(seconds_since_1970(), &text, &config::flat(settings, &[]))
}

/// The same numbers by the names of their groups: `eval/return`, `model/open_loop_rmse_1`, `steps/env`.
pub(super) fn grouped(row: &Row) -> Row {
    row.iter().map(|(column, number)| (group(column), number)).collect()
}

fn group(column: &str) -> String {
    for (start, group) in [("eval_", "eval"), ("train_", "train")] {
        if let Some(rest) = column.strip_prefix(start) {
            return format!("{group}/{rest}");
        }
    }
    if let Some(what) = column.strip_suffix("_steps") {
        return format!("steps/{what}");
    }
    let of_model = ["model_", "open_loop_", "imagined", "termination_", "ends_"];
    let group = match column {
        "episodes" => "steps",
        _ if of_model.iter().any(|start| column.starts_with(start)) => "model",
        _ => "learn",
    };
    format!("{group}/{}", column.strip_prefix("model_").unwrap_or(column))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_go_into_groups() {
        let of = |column: &str| group(column);
        assert_eq!(of("eval_return"), "eval/return");
        assert_eq!(of("train_length"), "train/length");
        assert_eq!(
            (of("env_steps"), of("episodes")),
            ("steps/env".into(), "steps/episodes".into())
        );
        assert_eq!(of("model_rmse_0"), "model/rmse_0");
        assert_eq!(of("open_loop_rmse_5"), "model/open_loop_rmse_5");
        assert_eq!((of("alpha"), of("q_mean")), ("learn/alpha".into(), "learn/q_mean".into()));
    }
}
