//! The numbers of the probabilistic ensemble.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::limits;
use crate::nn::{Activation, Init};

/// What the model predicts about the next observation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// `s' - s`.
    Change,
    /// `s'` itself.
    Next,
}

/// How much a member's predictions are taken to scatter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum NoiseKind {
    /// By a variance of each prediction, which the network gives (PETS).
    PerInput,
    /// By one learned standard deviation a member and output, at least 1e-3 of the target's (the
    /// released code of Kubo et al. 2025).
    PerOutput,
    /// Means trained on squared error; by the deviation of each member and output on held-out rows.
    Residual,
    /// Not at all: means trained on squared error.
    None,
}

impl NoiseKind {
    /// Whether there is one standard deviation a member and output.
    pub(super) fn is_by_output(self) -> bool {
        matches!(self, Self::PerOutput | Self::Residual)
    }
}

/// Which rows a member is fitted to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Resample {
    /// As many as there are, drawn with replacement.
    Bootstrap,
    /// All, each with an exponential weight of mean 1.
    Exponential,
}

/// When an imagined episode ends, by the probability that the model predicts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Termination {
    /// By a draw with that probability, from the noise of the rollout; without noise as `threshold`.
    Sample,
    /// Where it is above 1/2.
    Threshold,
}

/// The ensemble of PETS (Chua et al. 2018) as MBPO (Janner et al. 2019) uses it.
///
/// Every default is tagged: `paper` (MBPO's text), `code` (its released code) or `ours`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct EnsembleConfig {
    /// Networks `E`; 7 (paper).
    pub members: usize,
    /// Networks that predict: those with the lowest holdout error; 5 (code).
    pub elites: usize,
    /// Widths of the hidden layers; four of 200 (paper).
    pub hidden: Vec<usize>,
    /// Nonlinearity; swish (code).
    pub activation: Activation,
    /// Initialiser; truncated normal (code).
    pub init: Init,
    /// Adam's learning rate; `1e-3` (code).
    pub lr: f64,
    /// Rows a member and gradient step; 256 (code).
    pub batch: usize,
    /// L2 decay of the weights of each layer; `2.5e-5, 5e-5, 7.5e-5, 7.5e-5, 1e-4` (code). Empty
    /// means none; give one number a layer (hidden layers and the output).
    pub weight_decay: Vec<f64>,
    /// Where the learned upper bound of the log-variance starts; 0.5 (code).
    pub logvar_max: f64,
    /// Where the learned lower bound of the log-variance starts; -10 (code).
    pub logvar_min: f64,
    /// Weight of `sum(max) - sum(min)` of the bounds in the loss; 0.01 (code).
    pub logvar_bound_coef: f64,
    /// Share of the data held out; 0.2 (code).
    pub holdout_ratio: f64,
    /// Most rows held out; 5,000 (code).
    pub holdout_max: usize,
    /// Epochs in a row without improvement of any member after which a fit ends; 6 (code: it goes
    /// on until their number exceeds 5).
    pub patience: usize,
    /// Relative improvement of the holdout error that counts; 0.01 (code).
    pub improvement: f64,
    /// An improvement counts only if it is also this many standard errors, of the differences of the
    /// held-out rows; unset is without (paper).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub significance: Option<f64>,
    /// Most epochs a fit; unlimited (code).
    pub max_epochs: Option<usize>,
    /// Most gradient steps a fit; unlimited (ours).
    pub max_steps: Option<usize>,
    /// Most gradient steps of the first fit; `None` is as of every fit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_max_steps: Option<usize>,
    /// Mean and variance (`true`, paper), or means trained on squared error; what `noise` says goes
    /// first.
    pub probabilistic: bool,
    /// How predictions scatter; `None` is as `probabilistic` says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub noise: Option<NoiseKind>,
    /// Whether rollouts scatter by that noise; unset is yes (paper). `false` goes on with the means.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scatter: Option<bool>,
    /// The exponent beta of beta-NLL (Seitzer et al. 2022): a prediction's loss times its variance to that
    /// power, which has no gradient. Unset is the likelihood itself (paper); 0.5 is theirs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub beta: Option<f64>,
    /// Which rows a member is fitted to; `None` is bootstrap (paper).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resample: Option<Resample>,
    /// What is predicted; the change (paper).
    pub target: Target,
    /// Whether targets are standardised too; no (code; MAAC's code does).
    pub normalise_targets: bool,
    /// Whether the reward is learned with the dynamics; yes (paper). `false` needs a known one.
    pub learn_reward: bool,
    /// Whether a fit starts from the last one's weights and Adam moments; yes (code).
    pub warm_start: bool,
    /// Whether each member also learns with what probability a step ends the episode (a time limit is no
    /// end); unset is no (paper). Then imagined episodes end where the environment says, if it does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub learn_termination: Option<bool>,
    /// When an imagined episode ends by a learned probability; unset is `sample` (ours).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub termination: Option<Termination>,
}

impl Default for EnsembleConfig {
    fn default() -> Self {
        Self {
            members: 7,
            elites: 5,
            hidden: vec![200; 4],
            activation: Activation::Swish,
            init: Init::TruncatedNormal,
            lr: 1e-3,
            batch: 256,
            weight_decay: vec![2.5e-5, 5e-5, 7.5e-5, 7.5e-5, 1e-4],
            logvar_max: 0.5,
            logvar_min: -10.0,
            logvar_bound_coef: 0.01,
            holdout_ratio: 0.2,
            holdout_max: 5000,
            patience: 6,
            improvement: 0.01,
            significance: None,
            max_epochs: None,
            max_steps: None,
            first_max_steps: None,
            probabilistic: true,
            noise: None,
            scatter: None,
            beta: None,
            resample: None,
            target: Target::Change,
            normalise_targets: false,
            learn_reward: true,
            warm_start: true,
            learn_termination: None,
            termination: None,
        }
    }
}

impl EnsembleConfig {
    /// How predictions scatter.
    #[must_use]
    pub fn noise(&self) -> NoiseKind {
        let usual = if self.probabilistic { NoiseKind::PerInput } else { NoiseKind::None };
        self.noise.unwrap_or(usual)
    }

    /// How rollouts scatter.
    #[must_use]
    pub fn drawn(&self) -> NoiseKind {
        if self.scatter == Some(false) { NoiseKind::None } else { self.noise() }
    }

    /// Outputs of the network for `targets` predicted quantities.
    #[must_use]
    pub fn outputs(&self, targets: usize) -> usize {
        let usual = if self.noise() == NoiseKind::PerInput { 2 * targets } else { targets };
        usual + usize::from(self.learns_ends())
    }

    /// Whether the members learn where episodes end.
    #[must_use]
    pub fn learns_ends(&self) -> bool {
        self.learn_termination == Some(true)
    }

    /// Whether imagined episodes end by a draw with the learned probability.
    #[must_use]
    pub fn draws_ends(&self) -> bool {
        self.learns_ends() && self.termination != Some(Termination::Threshold)
    }

    /// Checks every number.
    ///
    /// # Errors
    /// [`Error::Config`] naming the key below `model`, what was expected and what came.
    pub fn validate(&self) -> Result<()> {
        crate::check::hidden("model.hidden", &self.hidden)?;
        let at_least_one = [
            ("members", self.members),
            ("elites", self.elites),
            ("batch", self.batch),
            ("holdout_max", self.holdout_max),
            ("patience", self.patience),
            ("max_epochs", self.max_epochs.unwrap_or(1)),
            ("max_steps", self.max_steps.unwrap_or(1)),
            ("first_max_steps", self.first_max_steps.unwrap_or(1)),
        ];
        for (key, value) in at_least_one {
            check(value >= 1, key, "at least 1", value)?;
        }
        crate::check::count("model.members", self.members, limits::MEMBERS)?;
        crate::check::count("model.batch", self.batch, limits::ROWS)?;
        check(self.elites <= self.members, "elites", "at most `model.members`", self.elites)?;
        check(self.lr.is_finite() && self.lr > 0.0, "lr", "a positive number", self.lr)?;
        let inside = self.holdout_ratio > 0.0 && self.holdout_ratio < 1.0;
        check(inside, "holdout_ratio", "a number inside (0, 1)", self.holdout_ratio)?;
        let share = (0.0..1.0).contains(&self.improvement);
        check(share, "improvement", "a number in [0, 1)", self.improvement)?;
        let coef = self.logvar_bound_coef;
        check(coef.is_finite() && coef >= 0.0, "logvar_bound_coef", "at least 0", coef)?;
        let ordered = self.logvar_min < self.logvar_max
            && self.logvar_min.is_finite()
            && self.logvar_max.is_finite();
        check(ordered, "logvar_min", "a number below `model.logvar_max`", self.logvar_min)?;
        let z = self.significance.unwrap_or(0.0);
        check(z.is_finite() && z >= 0.0, "significance", "at least 0", z)?;
        let beta = self.beta.unwrap_or(0.0);
        check((0.0..=1.0).contains(&beta), "beta", "a number in [0, 1]", beta)?;
        let has_variance = self.noise() == NoiseKind::PerInput || self.beta.is_none();
        check(has_variance, "beta", "nothing without `model.noise = \"per-input\"`", beta)?;
        let needless = self.termination.is_some() && !self.learns_ends();
        let expected = "nothing without `model.learn_termination = true`";
        check(!needless, "termination", expected, "a way to end by a learned probability")?;
        let layers = self.hidden.len() + 1;
        let fits = self.weight_decay.is_empty() || self.weight_decay.len() == layers;
        let expected = format!("none or {layers} numbers, one a layer");
        check(fits, "weight_decay", &expected, self.weight_decay.len())
    }
}

fn check(ok: bool, key: &str, expected: &str, got: impl std::fmt::Display) -> Result<()> {
    let key = format!("model.{key}");
    if ok { Ok(()) } else { Err(Error::config(key, format!("expected {expected}, got {got}"))) }
}
