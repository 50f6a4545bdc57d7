//! What behaving and imagining by a planner share: terminal, start of the search, horizon.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Needs;
use crate::error::Result;
use crate::objective::{Reduce, Terminal};
use crate::parts::{CRITIC, Parts, VALUE};

/// What a planned sequence's last state is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum PlanTerminal {
    /// Nothing.
    #[default]
    Zero,
    /// The target network of V at the last state.
    Value,
    /// The lowest Q at the last state and one more planned action.
    Q,
}

impl PlanTerminal {
    /// The terminal made of these parts; of an ensemble of V reduced by `optimism`, its mean without.
    ///
    /// # Errors
    /// [`crate::Error::Composition`] for a part that is missing.
    pub fn of(self, parts: &Parts, optimism: Option<Reduce>) -> Result<Terminal<'_>> {
        Ok(match self {
            PlanTerminal::Value if let Some(reduce) = optimism => {
                Terminal::Members { value: parts.value(VALUE)?.target(), reduce }
            }
            PlanTerminal::Zero => Terminal::Zero,
            PlanTerminal::Value => Terminal::State(parts.value(VALUE)?.target()),
            PlanTerminal::Q => Terminal::min_q(parts.critic(CRITIC)?.online.as_ref()),
        })
    }

    /// The parts it cannot do without.
    #[must_use]
    pub fn needs(self) -> Needs {
        Needs {
            value: self == PlanTerminal::Value,
            critic: self == PlanTerminal::Q,
            ..Needs::default()
        }
    }

    pub(super) fn label(self) -> &'static str {
        match self {
            PlanTerminal::Zero => "zero",
            PlanTerminal::Value => "target V",
            PlanTerminal::Q => "min Q",
        }
    }
}
