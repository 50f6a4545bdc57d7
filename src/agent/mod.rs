//! Hybrids (parts, uses and the steps of an update), and the builder that refuses what does not fit.

mod loops;

pub use loops::{BlockConfig, LoopConfig};

use std::collections::BTreeMap;

use crate::dynamics::{Dynamics, EnsembleConfig, Given, Model};
use crate::error::{Error, Result};
use crate::json::json;
use crate::limits::Network;
use crate::parts::{
    ACTOR, CRITIC, CriticPart, MODEL, Make, PolicyPart, TemperatureConfig, VALUE, ValuePart,
};
use crate::policy::ActorConfig;
use crate::uses::{
    Behave, Column, FollowEntropy, FollowTargets, Imagine, Improve, ImprovePolicy, Left, Needs,
    NoImagination, PolicySample, RegressCritic, RegressValue, SoftValue, Step, Target,
};
use crate::value::CriticConfig;

/// Parts that are still to be made, by name.
pub type Sources<P> = BTreeMap<String, Box<dyn Make<P>>>;

/// A composition: parts, the uses of the objective in the environment, and the steps of an update.
pub struct Hybrid {
    /// Its name, as the table prints it.
    pub name: String,
    /// Where it is from.
    pub citation: String,
    /// Discount of everything that has none of its own; `None` is one by the time limit.
    pub gamma: Option<f64>,
    /// The policies.
    pub policies: Sources<PolicyPart>,
    /// The action values.
    pub critics: Sources<CriticPart>,
    /// The state values.
    pub values: Sources<ValuePart>,
    /// The dynamics.
    pub models: Sources<Box<dyn Model>>,
    /// The temperature.
    pub temperature: Option<TemperatureConfig>,
    /// Data, fits and updates.
    pub schedule: LoopConfig,
    /// Which action to take.
    pub behave: Box<dyn Behave>,
    /// Which transitions to add.
    pub imagine: Box<dyn Imagine>,
    /// The steps of an update, in their order; none for agents that only plan.
    pub learn: Vec<Box<dyn Step>>,
}

impl Hybrid {
    /// Starts a composition.
    #[must_use]
    pub fn builder(name: impl Into<String>, citation: impl Into<String>) -> Builder {
        let hybrid = Self {
            name: name.into(),
            citation: citation.into(),
            gamma: Some(0.99),
            policies: Sources::new(),
            critics: Sources::new(),
            values: Sources::new(),
            models: Sources::new(),
            temperature: None,
            schedule: LoopConfig::default(),
            behave: Box::new(PolicySample),
            imagine: Box::new(NoImagination),
            learn: Vec::new(),
        };
        Builder { hybrid, improve: None, target: None }
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
        let Some(model) = self.models.get_mut(MODEL) else {
            let problem = "it uses no model, so none can be given to it".to_string();
            return Err(Error::Composition { agent: self.name, problem });
        };
        *model = Box::new(Given { name: name.into(), dynamics });
        Ok(self)
    }

    fn gamma_line(&self) -> String {
        format!("gamma: {}", self.gamma.map_or("by the time limit".into(), |g| g.to_string()))
    }

    /// Its discount in episodes of at most `limit` steps.
    #[must_use]
    pub fn discount(&self, limit: usize) -> f64 {
        self.gamma.unwrap_or((1.0 - 5.0 / limit.max(1) as f64).clamp(0.95, 0.995))
    }

    /// What it is made of, a line each: the parts with their settings, and the four uses as the
    /// table of algorithms names them. A checkpoint is refused by another composition's agent.
    ///
    /// # Errors
    /// [`Error::Config`] when a setting cannot be written as JSON.
    pub fn composition(&self) -> Result<Vec<String>> {
        let mut lines = vec![format!("name: {}", self.name), self.gamma_line()];
        settings(&self.policies, &mut lines)?;
        settings(&self.critics, &mut lines)?;
        settings(&self.values, &mut lines)?;
        settings(&self.models, &mut lines)?;
        lines.push(format!("temperature: {}", json(&self.temperature)?));
        lines.push(format!("loop: {}", json(&self.schedule)?));
        lines.push(format!("behave: {}", self.behave.describe()));
        lines.push(format!("imagine: {}", self.imagine.describe()));
        lines.extend(self.learn.iter().map(|step| match step.column() {
            Some(Column::Improve) => format!("improve: {}", step.describe()),
            Some(Column::Target) => format!("target: {}", step.describe()),
            None => format!("step: {}", step.describe()),
        }));
        Ok(lines)
    }

    /// The networks that it will have, as far as the sources of its parts say.
    #[must_use]
    pub fn networks(&self, obs_dim: usize, actions: usize) -> Vec<Network> {
        fn of<P>(all: &Sources<P>, obs_dim: usize, actions: usize) -> Vec<Network> {
            all.iter().flat_map(|(name, part)| part.networks(name, obs_dim, actions)).collect()
        }
        let mut all = of(&self.policies, obs_dim, actions);
        all.extend(of(&self.critics, obs_dim, actions));
        all.extend(of(&self.values, obs_dim, actions));
        all.extend(of(&self.models, obs_dim, actions));
        all
    }

    /// Its row of the table of algorithms: name, dynamics, behave, imagine, improve, target.
    #[must_use]
    pub fn row(&self) -> [String; 6] {
        let listed = |all: Vec<String>| match all.is_empty() {
            true => "none".to_string(),
            false => all.join(", "),
        };
        let steps = |column: Column| {
            let fill = self.learn.iter().filter(|step| step.column() == Some(column));
            listed(fill.map(|step| step.describe()).collect())
        };
        [
            self.name.clone(),
            listed(self.models.values().map(|model| model.describe()).collect()),
            self.behave.describe(),
            self.imagine.describe(),
            steps(Column::Improve),
            steps(Column::Target),
        ]
    }
}

/// A line a part with its settings.
fn settings<P>(parts: &Sources<P>, lines: &mut Vec<String>) -> Result<()> {
    for (name, part) in parts {
        lines.push(format!("{name}: {}", part.settings()?));
    }
    Ok(())
}

fn check_all<P>(parts: &Sources<P>) -> Result<()> {
    parts.values().try_for_each(|part| part.validate())
}

/// Puts a [`Hybrid`] together and refuses pairs that do not fit, by name.
pub struct Builder {
    hybrid: Hybrid,
    improve: Option<Box<dyn Improve>>,
    target: Option<Box<dyn Target>>,
}

impl Builder {
    /// The discount; 0.99 unless said otherwise.
    #[must_use]
    pub fn gamma(mut self, gamma: f64) -> Self {
        self.hybrid.gamma = Some(gamma);
        self
    }

    /// A discount by the time limit `L` of an episode: `1 - 5 / L`, kept within 0.95 and 0.995
    /// (Hansen et al. 2024).
    #[must_use]
    pub fn gamma_by_length(mut self) -> Self {
        self.hybrid.gamma = None;
        self
    }

    /// Discount, and the stock policy, critic and temperature.
    #[must_use]
    pub fn actor_critic(
        self,
        gamma: f64,
        actor: &ActorConfig,
        critic: &CriticConfig,
        temperature: &TemperatureConfig,
    ) -> Self {
        let stock = self.gamma(gamma).policy(ACTOR, actor.clone()).critic(CRITIC, critic.clone());
        stock.temperature(temperature)
    }

    /// A policy. The stock uses work on the one named [`ACTOR`].
    #[must_use]
    pub fn policy(mut self, name: &str, make: impl Make<PolicyPart> + 'static) -> Self {
        self.hybrid.policies.insert(name.into(), Box::new(make));
        self
    }

    /// Action values. The stock uses work on those named [`CRITIC`].
    #[must_use]
    pub fn critic(mut self, name: &str, make: impl Make<CriticPart> + 'static) -> Self {
        self.hybrid.critics.insert(name.into(), Box::new(make));
        self
    }

    /// A state value of one's own. The stock uses work on the one named [`VALUE`].
    #[must_use]
    pub fn own_value(mut self, name: &str, make: impl Make<ValuePart> + 'static) -> Self {
        self.hybrid.values.insert(name.into(), Box::new(make));
        self
    }

    /// The temperature of the policy's entropy.
    #[must_use]
    pub fn temperature(mut self, config: &TemperatureConfig) -> Self {
        self.hybrid.temperature = Some(config.clone());
        self
    }

    /// The stock state value.
    #[must_use]
    pub fn value(self, config: &CriticConfig) -> Self {
        self.own_value(VALUE, config.clone())
    }

    /// The stock learned model.
    #[must_use]
    pub fn model(self, config: &EnsembleConfig) -> Self {
        self.own_model(MODEL, config.clone())
    }

    /// A model of one's own. The stock uses roll out the one named [`MODEL`].
    #[must_use]
    pub fn own_model(mut self, name: &str, make: impl Make<Box<dyn Model>> + 'static) -> Self {
        self.hybrid.models.insert(name.into(), Box::new(make));
        self
    }

    /// A model that is given, its state being the observation.
    #[must_use]
    pub fn given_model(self, name: impl Into<String>, dynamics: Box<dyn Dynamics>) -> Self {
        self.own_model(MODEL, Given { name: name.into(), dynamics })
    }

    /// Data, fits and updates.
    #[must_use]
    pub fn schedule(mut self, config: &LoopConfig) -> Self {
        self.hybrid.schedule = config.clone();
        self
    }

    /// Which action to take; a sample of the policy unless said otherwise.
    #[must_use]
    pub fn behave(mut self, kind: impl Behave + 'static) -> Self {
        self.hybrid.behave = Box::new(kind);
        self
    }

    /// Which transitions to add; none unless said otherwise.
    #[must_use]
    pub fn imagine(mut self, kind: impl Imagine + 'static) -> Self {
        self.hybrid.imagine = Box::new(kind);
        self
    }

    /// The composition so far.
    pub(crate) fn hybrid_mut(&mut self) -> &mut Hybrid {
        &mut self.hybrid
    }

    /// Improve and target as the tables of a row have them.
    pub(crate) fn uses(
        self,
        improve: Option<Box<dyn Improve>>,
        target: Option<Box<dyn Target>>,
    ) -> Self {
        Self { improve, target, ..self }
    }

    /// How the policy is changed.
    #[must_use]
    pub fn improve(mut self, kind: impl Improve + 'static) -> Self {
        self.improve = Some(Box::new(kind));
        self
    }

    /// What the critic regresses on.
    #[must_use]
    pub fn target(mut self, kind: Box<dyn Target>) -> Self {
        self.target = Some(kind);
        self
    }

    /// The steps of an update, in their order, in place of the usual ones: critic on its target, V,
    /// policy, temperature, followers.
    #[must_use]
    pub fn learn(mut self, steps: Vec<Box<dyn Step>>) -> Self {
        self.hybrid.learn = steps;
        self
    }

    /// The composition, once every use has the parts that it needs.
    ///
    /// # Errors
    /// [`Error::Composition`] naming the use, what it lacks and what to add; [`Error::Config`] for
    /// settings out of range.
    pub fn build(self) -> Result<Hybrid> {
        let Self { hybrid: mut h, improve, target } = self;
        let refuse =
            |agent: &str, problem: String| Err(Error::Composition { agent: agent.into(), problem });
        if !h.learn.is_empty() && (improve.is_some() || target.is_some()) {
            let problem = "give `.learn(..)` or `.improve(..)` and `.target(..)`, not both";
            return refuse(&h.name, problem.into());
        }
        if h.learn.is_empty() {
            if improve.is_some() && target.is_none() {
                let problem = "improve climbs a critic that nothing trains: add a target";
                return refuse(&h.name, problem.into());
            }
            h.learn = usual_steps(improve, target, h.values.contains_key(VALUE));
        }
        let have = Needs {
            policy: h.policies.contains_key(ACTOR),
            critic: h.critics.contains_key(CRITIC),
            value: h.values.contains_key(VALUE),
            model: h.models.contains_key(MODEL),
        };
        let mut uses: Vec<(&str, String, Needs)> = vec![
            ("behave", h.behave.describe(), h.behave.needs()),
            ("imagine", h.imagine.describe(), h.imagine.needs()),
        ];
        uses.extend(h.learn.iter().map(|step| {
            let slot = match step.column() {
                Some(Column::Improve) => "improve",
                Some(Column::Target) => "target",
                None => "step",
            };
            (slot, step.describe(), step.needs())
        }));
        for (slot, kind, needs) in uses {
            if let [part, ..] = needs.lacking(have)[..] {
                let add = match part {
                    "model" => "add one with `.model(..)`, or set its horizon to 0",
                    "value" => "add one with `.value(..)`",
                    _ => "add one with `.actor_critic(..)`",
                };
                let problem = format!("{slot} `{kind}` needs a {part} and there is none: {add}");
                return refuse(&h.name, problem);
            }
        }
        check_order(&h)?;
        crate::check::fraction("gamma", h.gamma.unwrap_or(0.99))?;
        h.schedule.validate()?;
        h.behave.validate()?;
        h.imagine.validate()?;
        h.learn.iter().try_for_each(|step| step.validate())?;
        check_all(&h.values)?;
        check_all(&h.policies)?;
        check_all(&h.critics)?;
        h.temperature.as_ref().map_or(Ok(()), TemperatureConfig::validate)?;
        check_all(&h.models)?;
        // The first fit needs rows to hold out and rows to learn from.
        let least = h.models.values().map(|model| model.least_rows()).max().unwrap_or(0);
        crate::check::at_least("loop.random_steps", h.schedule.random_steps, least)?;
        Ok(h)
    }
}

/// Critic on its target, V on the critic, policy, temperature, followers: those that there are.
fn usual_steps(
    improve: Option<Box<dyn Improve>>,
    target: Option<Box<dyn Target>>,
    value: bool,
) -> Vec<Box<dyn Step>> {
    let mut steps: Vec<Box<dyn Step>> = Vec::new();
    let improves = improve.is_some();
    steps.extend(target.map(|target| Box::new(RegressCritic(target)) as Box<dyn Step>));
    if value {
        steps.push(Box::new(RegressValue(Box::new(SoftValue))));
    }
    steps.extend(improve.map(|improve| Box::new(ImprovePolicy(improve)) as Box<dyn Step>));
    if improves {
        steps.push(Box::new(FollowEntropy));
    }
    if !steps.is_empty() {
        steps.push(Box::new(FollowTargets));
    }
    steps
}

/// Refuses a step that reads what no earlier one leaves.
fn check_order(h: &Hybrid) -> Result<()> {
    let mut left: Vec<Left> = Vec::new();
    for step in &h.learn {
        if let Some(read) = step.reads().into_iter().find(|read| !left.contains(read)) {
            let lacks = match read {
                Left::LogProb => {
                    "heeds the log-probabilities of a policy's change, and no step before it \
                     changes one: put it after an improve"
                        .to_string()
                }
                Left::Rollout(name) => format!(
                    "scores the rollout `{name}`, and no step before it makes one: add it before"
                ),
            };
            let problem = format!("step `{}` {lacks}", step.describe());
            return Err(Error::Composition { agent: h.name.clone(), problem });
        }
        left.extend(step.leaves());
    }
    Ok(())
}

/// The table of the four uses, one row a composition, columns padded.
#[must_use]
pub fn table(rows: &[[String; 6]]) -> String {
    let head = ["algorithm", "dynamics", "behave", "imagine", "improve", "target"];
    let head = head.map(String::from);
    let all: Vec<&[String; 6]> = std::iter::once(&head).chain(rows).collect();
    let width = |c: usize| all.iter().map(|r| r[c].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..6).map(width).collect();
    let mut text = String::new();
    for (i, row) in all.iter().enumerate() {
        let cells: Vec<String> =
            row.iter().zip(&widths).map(|(cell, w)| format!("{cell:w$}")).collect();
        text.push_str(cells.join("  ").trim_end());
        text.push('\n');
        if i == 0 {
            let rules: Vec<String> = widths.iter().map(|w| "-".repeat(*w)).collect();
            text.push_str(&rules.join("  "));
            text.push('\n');
        }
    }
    text
}
