//! How data, fits and updates follow each other.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::limits;

/// How data, model fits and updates follow each other; counted in environment steps.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LoopConfig {
    /// Uniformly random steps before anything is trained; they count as environment steps.
    /// 5,000: code (MBPO).
    pub random_steps: usize,
    /// Gradient steps an environment step (updates-to-data). 1: paper (SAC).
    pub updates_per_step: usize,
    /// Those gradient steps follow every so many environment steps only: ratios below 1; `None` is every
    /// one. 1: paper (SAC).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub update_every: Option<usize>,
    /// Policy and temperature change at every so many gradient steps only; `None` is every one. 1: paper
    /// (SAC).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub actor_every: Option<usize>,
    /// Rows a gradient step. 256: code (MBPO).
    pub batch: usize,
    /// Transitions that the real buffer holds. 1,000,000: code (MBPO).
    pub replay: usize,
    /// The model is fitted every so many environment steps. 250: code (MBPO).
    pub fit_every: usize,
    /// Rollouts are imagined every so many environment steps; `None` is after every fit: code
    /// (MBPO).
    pub imagine_every: Option<usize>,
    /// Whether policies, critics and values standardise observations by the running mean and
    /// deviation of those seen; `None` is no: code (MBPO).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub standardise: Option<bool>,
    /// Fits and updates in blocks of steps, in place of a little after every step; `None` is
    /// without: code (MBPO).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub block: Option<BlockConfig>,
    /// Whether it learns in simulation only: where the parameters of its simulator are drawn anew every
    /// step, in the place of the environment's own. It is evaluated in the environment. `None` is no.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub simulated: Option<bool>,
    /// A file of recorded transitions, `.csv` or `.npz`, that are in the replay before the first step:
    /// obs, action (in the environment's own units), reward, next_obs and terminated or cont.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data: Option<String>,
    /// The content hash of that file, written by the program; another file is refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data_hash: Option<String>,
}

/// Learning in blocks (Kubo et al. 2025): after every block of environment steps a fit, then some
/// updates of the critic alone, then the updates of all of the block's steps in one burst. Imagined
/// data and the optimisers' moments are forgotten at a fit; the acting policy is fixed within a block.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct BlockConfig {
    /// Environment steps of a block; `None` is the time limit of an episode: code.
    pub steps: Option<usize>,
    /// Blocks of random steps, and no fewer steps than `loop.random_steps`. 5: code.
    pub random: usize,
    /// Updates of the critic alone, as a share of the block's steps. 0.25: code.
    pub critic_share: f64,
    /// Rollouts are imagined anew every so many updates, and before those of the critic alone. 20:
    /// code.
    pub imagine_every: usize,
    /// Whether the optimisers' moments are forgotten at a fit. true: code.
    pub reset_optimisers: bool,
}

impl Default for BlockConfig {
    fn default() -> Self {
        let (steps, random) = (None, 5);
        Self { steps, random, critic_share: 0.25, imagine_every: 20, reset_optimisers: true }
    }
}

impl Default for LoopConfig {
    fn default() -> Self {
        Self {
            random_steps: 5_000,
            updates_per_step: 1,
            update_every: None,
            actor_every: None,
            batch: 256,
            replay: 1_000_000,
            fit_every: 250,
            imagine_every: None,
            standardise: None,
            block: None,
            simulated: None,
            data: None,
            data_hash: None,
        }
    }
}

impl LoopConfig {
    /// # Errors
    /// [`crate::Error::Config`] naming the key below `loop`.
    pub fn validate(&self) -> Result<()> {
        crate::check::count("loop.batch", self.batch, limits::ROWS)?;
        crate::check::at_least("loop.fit_every", self.fit_every, 1)?;
        crate::check::at_least("loop.imagine_every", self.imagine_every.unwrap_or(1), 1)?;
        crate::check::at_least("loop.update_every", self.update_every.unwrap_or(1), 1)?;
        crate::check::at_least("loop.actor_every", self.actor_every.unwrap_or(1), 1)?;
        if let Some(block) = &self.block {
            crate::check::at_least("loop.block.steps", block.steps.unwrap_or(1), 1)?;
            crate::check::at_least("loop.block.imagine_every", block.imagine_every, 1)?;
            crate::check::not_negative("loop.block.critic_share", block.critic_share)?;
        }
        crate::check::at_least("loop.replay", self.replay, self.batch)
    }

    /// The same with what depends on the time limit `limit` of an episode written out.
    #[must_use]
    pub fn within(&self, limit: usize) -> Self {
        let mut own = self.clone();
        if let Some(block) = &mut own.block {
            let steps = *block.steps.get_or_insert(limit);
            own.random_steps = own.random_steps.max(block.random.saturating_mul(steps));
        }
        own
    }
}
