//! What the statements leave open: norms, ways of playing, reward ranges.

use std::fmt::{Display, Formatter};
use std::str::FromStr;

use super::errors::{l1_error, tv_error};
use super::mdp::{Kernel, Mdp};
use super::number::Number;
use hstep::config::nearest;
use hstep::{Error, Result};

/// The norm in which two transition distributions are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Norm {
    /// Total variation, in `[0, 1]`.
    Tv,
    /// The sum of absolute differences, twice the total variation. A printed bound with it in the
    /// place of `eps_f` is the weakest of the two, that is the more charitable reading.
    L1,
}

/// How a plan over H steps is played.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Play {
    /// Its first action is taken, then a new plan is made: what POLO's eq. (3) and MoPAC's text define.
    Receding,
    /// All of it is run, as a feedback plan, before the next is made.
    Executed,
}

/// Which number `r_max` stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RewardRange {
    /// The largest reward: the charitable reading where rewards begin at 0.
    Max,
    /// The largest absolute reward.
    Abs,
    /// The difference of the largest and the smallest reward.
    Span,
}

/// A reading of a statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reading {
    /// The norm of the model error.
    pub norm: Norm,
    /// How plans are played.
    pub play: Play,
    /// What `r_max` is.
    pub range: RewardRange,
}

impl Default for Reading {
    fn default() -> Self {
        Self { norm: Norm::Tv, play: Play::Receding, range: RewardRange::Max }
    }
}

impl Norm {
    /// `eps_f`: the largest distance of the rows of `model` and `truth`.
    #[must_use]
    pub fn error<T: Number>(self, model: &Kernel<T>, truth: &Kernel<T>) -> T {
        match self {
            Self::Tv => tv_error(model, truth),
            Self::L1 => l1_error(model, truth),
        }
    }

    /// The total variation that `eps` in this norm is.
    #[must_use]
    pub fn to_tv<T: Number>(self, eps: &T) -> T {
        match self {
            Self::Tv => eps.clone(),
            Self::L1 => eps.clone() / T::ratio(2, 1),
        }
    }
}

impl RewardRange {
    /// `r_max` of a process.
    #[must_use]
    pub fn of<T: Number>(self, mdp: &Mdp<T>) -> T {
        match self {
            Self::Max => mdp.largest_reward(),
            Self::Abs => mdp.largest_size(),
            Self::Span => mdp.reward_span(),
        }
    }
}

/// Words for the choices, as they are written on a command line.
macro_rules! words {
    ($type:ty, $what:literal, $($word:literal => $variant:path),+) => {
        impl Display for $type {
            fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
                f.write_str(match self { $($variant => $word),+ })
            }
        }

        impl FromStr for $type {
            type Err = Error;

            fn from_str(text: &str) -> Result<Self> {
                let known = [$($word),+];
                match text {
                    $($word => Ok($variant),)+
                    _ => {
                        let meant = nearest(text, known)
                            .map_or(String::new(), |near| format!("; did you mean `{near}`?"));
                        let problem =
                            format!("expected one of {}, got `{text}`{meant}", known.join(", "));
                        Err(Error::config($what, problem))
                    }
                }
            }
        }
    };
}
words!(Norm, "norm", "tv" => Self::Tv, "l1" => Self::L1);
words!(Play, "play", "receding" => Self::Receding, "executed" => Self::Executed);
words!(RewardRange, "reward-range", "max" => Self::Max, "abs" => Self::Abs, "span" => Self::Span);
