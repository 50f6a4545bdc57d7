//! Hybrids (parts and four uses), the builder that refuses illegal pairs, and the agent that runs
//! them.

use serde::{Deserialize, Serialize};

use crate::dynamics::{Dynamics, EnsembleConfig, MIN_FIT_ROWS};
use crate::error::{Error, Result};
use crate::limits;
use crate::parts::TemperatureConfig;
use crate::policy::ActorConfig;
use crate::uses::{Behave, Imagine, Improve, Needs, NoImagination, PolicySample, Target};
use crate::value::CriticConfig;

/// How data, model fits and updates follow each other; counted in environment steps.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LoopConfig {
    /// Uniformly random steps before anything is trained; they count as environment steps.
    /// 5,000: code (MBPO).
    pub random_steps: usize,
    /// Gradient steps an environment step (updates-to-data). 1: paper (SAC).
    pub updates_per_step: usize,
    /// Rows a gradient step. 256: code (MBPO).
    pub batch: usize,
    /// Transitions that the real buffer holds. 1,000,000: code (MBPO).
    pub replay: usize,
    /// The model is fitted every so many environment steps. 250: code (MBPO).
    pub fit_every: usize,
    /// Rollouts are imagined every so many environment steps; `None` is after every fit: code
    /// (MBPO).
    pub imagine_every: Option<usize>,
}

impl Default for LoopConfig {
    fn default() -> Self {
        Self {
            random_steps: 5_000,
            updates_per_step: 1,
            batch: 256,
            replay: 1_000_000,
            fit_every: 250,
            imagine_every: None,
        }
    }
}

impl LoopConfig {
    /// # Errors
    /// [`Error::Config`] naming the key below `loop`.
    pub fn validate(&self) -> Result<()> {
        crate::check::at_least("loop.random_steps", self.random_steps, 1)?;
        crate::check::count("loop.batch", self.batch, limits::ROWS)?;
        crate::check::at_least("loop.fit_every", self.fit_every, 1)?;
        crate::check::at_least("loop.imagine_every", self.imagine_every.unwrap_or(1), 1)?;
        crate::check::at_least("loop.replay", self.replay, self.batch)
    }
}

/// Discount and settings of everything that learns a policy and a critic.
#[derive(Debug, Clone, PartialEq)]
pub struct ActorCriticConfig {
    /// Discount.
    pub gamma: f64,
    /// The policy.
    pub actor: ActorConfig,
    /// The critic.
    pub critic: CriticConfig,
    /// The temperature.
    pub temperature: TemperatureConfig,
}

impl ActorCriticConfig {
    fn validate(&self) -> Result<()> {
        crate::check::fraction("gamma", self.gamma)?;
        self.actor.validate()?;
        self.critic.validate()?;
        self.temperature.validate()
    }
}

/// Where the dynamics come from.
pub enum ModelSource {
    /// Learned from the real data.
    Learned(EnsembleConfig),
    /// Given under a name, its state being the observation: the true model, a closure.
    Given(String, Box<dyn Dynamics>),
}

/// A composition: parts and the four uses of the objective.
pub struct Hybrid {
    /// Its name, as the table prints it.
    pub name: String,
    /// Where it is from.
    pub citation: String,
    /// Discount, policy, critic, temperature.
    pub actor_critic: Option<ActorCriticConfig>,
    /// A separate state value.
    pub value: Option<CriticConfig>,
    /// The dynamics.
    pub model: Option<ModelSource>,
    /// Data, fits and updates.
    pub schedule: LoopConfig,
    /// Which action to take.
    pub behave: Box<dyn Behave>,
    /// Which transitions to add.
    pub imagine: Box<dyn Imagine>,
    /// How the policy is changed.
    pub improve: Option<Box<dyn Improve>>,
    /// What the critic regresses on.
    pub target: Option<Box<dyn Target>>,
}

impl Hybrid {
    /// Starts a composition.
    #[must_use]
    pub fn builder(name: impl Into<String>, citation: impl Into<String>) -> Builder {
        Builder(Self {
            name: name.into(),
            citation: citation.into(),
            actor_critic: None,
            value: None,
            model: None,
            schedule: LoopConfig::default(),
            behave: Box::new(PolicySample),
            imagine: Box::new(NoImagination),
            improve: None,
            target: None,
        })
    }

    /// The same composition on given dynamics instead of learned ones.
    ///
    /// # Errors
    /// [`Error::Composition`] when it uses no dynamics at all.
    pub fn with_given_model(
        mut self,
        name: impl Into<String>,
        dynamics: Box<dyn Dynamics>,
    ) -> Result<Self> {
        if self.model.is_none() {
            let problem = "it uses no model, so none can be given to it".to_string();
            return Err(Error::Composition { agent: self.name, problem });
        }
        self.model = Some(ModelSource::Given(name.into(), dynamics));
        Ok(self)
    }

    /// Its row of the table of algorithms: name, dynamics, behave, imagine, improve, target.
    #[must_use]
    pub fn row(&self) -> [String; 6] {
        let none = || "none".to_string();
        [
            self.name.clone(),
            match &self.model {
                None => none(),
                Some(ModelSource::Learned(m)) => format!("ensemble of {}", m.members),
                Some(ModelSource::Given(name, _)) => name.clone(),
            },
            self.behave.describe(),
            self.imagine.describe(),
            self.improve.as_ref().map_or_else(none, |i| i.describe()),
            self.target.as_ref().map_or_else(none, |t| t.describe()),
        ]
    }
}

/// Puts a [`Hybrid`] together and refuses pairs that do not fit, by name.
pub struct Builder(Hybrid);

impl Builder {
    /// Discount, policy, critic and temperature.
    #[must_use]
    pub fn actor_critic(
        mut self,
        gamma: f64,
        actor: &ActorConfig,
        critic: &CriticConfig,
        temperature: &TemperatureConfig,
    ) -> Self {
        self.0.actor_critic = Some(ActorCriticConfig {
            gamma,
            actor: actor.clone(),
            critic: critic.clone(),
            temperature: temperature.clone(),
        });
        self
    }

    /// A separate state value.
    #[must_use]
    pub fn value(mut self, config: &CriticConfig) -> Self {
        self.0.value = Some(config.clone());
        self
    }

    /// A learned model.
    #[must_use]
    pub fn model(mut self, config: &EnsembleConfig) -> Self {
        self.0.model = Some(ModelSource::Learned(config.clone()));
        self
    }

    /// A model that is given, its state being the observation.
    #[must_use]
    pub fn given_model(mut self, name: impl Into<String>, dynamics: Box<dyn Dynamics>) -> Self {
        self.0.model = Some(ModelSource::Given(name.into(), dynamics));
        self
    }

    /// Data, fits and updates.
    #[must_use]
    pub fn schedule(mut self, config: &LoopConfig) -> Self {
        self.0.schedule = config.clone();
        self
    }

    /// Which action to take; a sample of the policy unless said otherwise.
    #[must_use]
    pub fn behave(mut self, kind: impl Behave + 'static) -> Self {
        self.0.behave = Box::new(kind);
        self
    }

    /// Which transitions to add; none unless said otherwise.
    #[must_use]
    pub fn imagine(mut self, kind: impl Imagine + 'static) -> Self {
        self.0.imagine = Box::new(kind);
        self
    }

    /// How the policy is changed.
    #[must_use]
    pub fn improve(mut self, kind: impl Improve + 'static) -> Self {
        self.0.improve = Some(Box::new(kind));
        self
    }

    /// What the critic regresses on.
    #[must_use]
    pub fn target(mut self, kind: Box<dyn Target>) -> Self {
        self.0.target = Some(kind);
        self
    }

    /// The composition, once every use has the parts that it needs.
    ///
    /// # Errors
    /// [`Error::Composition`] naming the use, what it lacks and what to add; [`Error::Config`] for
    /// settings out of range.
    pub fn build(self) -> Result<Hybrid> {
        let h = self.0;
        let have = Needs {
            policy: h.actor_critic.is_some(),
            critic: h.actor_critic.is_some(),
            value: h.value.is_some(),
            model: h.model.is_some(),
        };
        let mut uses: Vec<(&str, String, Needs)> = vec![
            ("behave", h.behave.describe(), h.behave.needs()),
            ("imagine", h.imagine.describe(), h.imagine.needs()),
        ];
        uses.extend(h.improve.iter().map(|i| ("improve", i.describe(), i.needs())));
        uses.extend(h.target.iter().map(|t| ("target", t.describe(), t.needs())));
        for (slot, kind, needs) in uses {
            if let [part, ..] = needs.lacking(have)[..] {
                let add = match part {
                    "model" => "add one with `.model(..)`, or set its horizon to 0",
                    "value" => "add one with `.value(..)`",
                    _ => "add one with `.actor_critic(..)`",
                };
                let problem = format!("{slot} `{kind}` needs a {part} and there is none: {add}");
                return Err(Error::Composition { agent: h.name, problem });
            }
        }
        if h.value.is_some() && h.actor_critic.is_none() {
            let problem = "a value is trained on the critic under the policy, and there is \
                           neither: add `.actor_critic(..)`"
                .to_string();
            return Err(Error::Composition { agent: h.name, problem });
        }
        if h.improve.is_some() && h.target.is_none() {
            let problem = "improve climbs a critic that nothing trains: add a target".to_string();
            return Err(Error::Composition { agent: h.name, problem });
        }
        h.schedule.validate()?;
        h.behave.validate()?;
        h.imagine.validate()?;
        h.improve.as_ref().map_or(Ok(()), |improve| improve.validate())?;
        h.target.as_ref().map_or(Ok(()), |target| target.validate())?;
        if let Some(config) = &h.value {
            config.validate()?;
        }
        if let Some(config) = &h.actor_critic {
            config.validate()?;
        }
        if let Some(ModelSource::Learned(config)) = &h.model {
            config.validate()?;
            // The first fit needs rows to hold out and rows to learn from.
            crate::check::at_least("loop.random_steps", h.schedule.random_steps, MIN_FIT_ROWS)?;
        }
        Ok(h)
    }
}
