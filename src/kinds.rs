//! What a slot of a composition can hold, by name: the stock kinds, and a person's own.

mod schema;
mod stock;

use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use toml::{Table, Value};

use crate::config;
use crate::dynamics::Model;
use crate::error::{Error, Result};
use crate::parts::{CriticPart, Make, PolicyPart, ValuePart};
use crate::planner::Planner;
use crate::schema::of;
use crate::suggest::nearest;
use crate::uses::{Behave, Imagine, Improve, Step, Target};
use stock::RolloutConfig;

/// What is set outside of every table.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Head {
    /// Discount; unset, it is by the time limit, or the planner's own where one acts without values.
    pub gamma: Option<f64>,
    /// Whether the planner acts in place of imagining.
    pub acts: Option<bool>,
    /// The steps of an update, in their order; unset, the usual ones.
    pub learn: Option<Vec<String>>,
}

/// The rest of the composition, as far as a kind is made of it.
pub struct Within<'a> {
    /// The kinds that there are.
    pub kinds: &'a Kinds,
    /// The whole table.
    pub table: &'a Table,
}

impl Within<'_> {
    /// What the slot `name` holds; `None` for one that the table leaves out.
    ///
    /// # Errors
    /// [`Error::Config`] for settings that do not fit.
    pub(crate) fn slot<T: ?Sized>(&self, name: &str, slot: &Slot<T>) -> Result<Option<Box<T>>> {
        match section(self.table, name)? {
            Some(own) => Ok(Some(slot.build(name, own, self)?)),
            None => Ok(None),
        }
    }

    fn needed<T: ?Sized>(&self, name: &str, slot: &Slot<T>) -> Result<Box<T>> {
        let missing = || Error::config(name, "something is made of it: add this table");
        self.slot(name, slot)?.ok_or_else(missing)
    }

    /// The planner.
    ///
    /// # Errors
    /// [`Error::Config`] where there is none.
    pub fn planner(&self) -> Result<Box<dyn Planner>> {
        self.needed("planner", &self.kinds.planner)
    }

    /// The planner with one of its settings replaced.
    fn planner_with(&self, setting: Option<(&str, Value)>) -> Result<Box<dyn Planner>> {
        let mut own = section(self.table, "planner")?.cloned().unwrap_or_default();
        own.extend(setting.map(|(key, value)| (key.to_string(), value)));
        self.kinds.planner.build("planner", &own, self)
    }

    /// How the policy is changed.
    ///
    /// # Errors
    /// As [`Within::planner`].
    pub fn improve(&self) -> Result<Box<dyn Improve>> {
        self.needed("improve", &self.kinds.improve)
    }

    /// What the critic regresses on.
    ///
    /// # Errors
    /// As [`Within::planner`].
    pub fn target(&self) -> Result<Box<dyn Target>> {
        self.target_of("target")
    }

    /// The target that the table `name` sets.
    ///
    /// # Errors
    /// As [`Within::planner`].
    pub fn target_of(&self, name: &str) -> Result<Box<dyn Target>> {
        self.needed(name, &self.kinds.target)
    }

    /// Model steps of the shared rollout that the table `name` sets.
    ///
    /// # Errors
    /// [`Error::Config`] where there is none.
    pub fn horizon(&self, name: &str) -> Result<usize> {
        Ok(parse::<RolloutConfig>(name, &self.of(name)?)?.horizon)
    }

    /// The table `name` without its kind.
    fn of(&self, name: &str) -> Result<Table> {
        let mut own = section(self.table, name)?.cloned().unwrap_or_default();
        own.remove("kind");
        Ok(own)
    }
}

/// The table `name` of a composition.
pub(crate) fn section<'a>(table: &'a Table, name: &str) -> Result<Option<&'a Table>> {
    match table.get(name) {
        None => Ok(None),
        Some(Value::Table(own)) => Ok(Some(own)),
        Some(other) => {
            let got = if other.is_array() { "a list" } else { other.type_str() };
            let problem = format!("expected a table, such as {{ key = value }}, got {got}");
            Err(Error::config(name, problem))
        }
    }
}

/// [`config::parse`] of the table `name`, which stands before the key of an error.
pub(crate) fn parse<T: Serialize + DeserializeOwned + Default>(
    name: &str,
    own: &Table,
) -> Result<T> {
    config::parse(own).map_err(|error| match error {
        Error::Config { key, problem } => {
            let unknown = "unknown key; did you mean `";
            let problem = problem.replace(unknown, &format!("{unknown}{name}."));
            let key = if key == "(whole)" { name.to_string() } else { format!("{name}.{key}") };
            Error::Config { key, problem }
        }
        other => other,
    })
}

/// One thing that a slot can hold: its settings, and how it is made of them.
pub trait Kind {
    /// Settings, in serde's words; their defaults are neutral, and their doc comments are the words of
    /// the schema. Derive `JsonSchema` with `#[schemars(crate = "hstep::schemars")]` where schemars is no
    /// dependency of one's own.
    type Config: Serialize + DeserializeOwned + Default + JsonSchema;
    /// What it is: `dyn Behave`, `dyn Target`, ...
    type Slot: ?Sized;
    /// The word that chooses it: `kind = "..."`.
    const NAME: &'static str;
    /// Raised when the same settings come to mean something else. For a kind that is added to the stock
    /// ones it stands beside the word, `version = 1`, and so is part of what names a run.
    const VERSION: u32 = 1;

    /// Makes it.
    ///
    /// # Errors
    /// [`Error::Config`] for settings out of range.
    fn build(config: Self::Config, within: &Within) -> Result<Box<Self::Slot>>;
}

struct Choice<T: ?Sized> {
    name: &'static str,
    /// `None` for a stock kind.
    version: Option<u32>,
    schema: fn() -> Json,
    resolve: fn(&str, &Table) -> Result<Table>,
    build: fn(&str, &Table, &Within) -> Result<Box<T>>,
}

/// The kinds of one slot; the first is taken where none is named.
pub struct Slot<T: ?Sized>(Vec<Choice<T>>);

impl<T: ?Sized> Slot<T> {
    fn new() -> Self {
        Self(Vec::new())
    }

    /// Adds a kind; one of the same name is replaced.
    pub fn add<K: Kind<Slot = T>>(&mut self) {
        self.put::<K>(Some(K::VERSION));
    }

    fn put<K: Kind<Slot = T>>(&mut self, version: Option<u32>) {
        self.0.retain(|choice| choice.name != K::NAME);
        self.0.push(Choice {
            name: K::NAME,
            version,
            schema: of::<K::Config>,
            resolve: |name, own| config::to_table(&parse::<K::Config>(name, own)?),
            build: |name, own, within| K::build(parse::<K::Config>(name, own)?, within),
        });
    }

    fn with<K: Kind<Slot = T>>(mut self) -> Self {
        self.put::<K>(None);
        self
    }

    /// The words that choose.
    pub fn names(&self) -> impl Iterator<Item = &'static str> + '_ {
        self.0.iter().map(|choice| choice.name)
    }

    /// The kind that a table asks for, and the table without the word.
    fn choose(&self, name: &str, own: &Table) -> Result<(&Choice<T>, Table)> {
        let mut own = own.clone();
        let key = format!("{name}.kind");
        let word = match own.remove("kind") {
            None => self.0.first().map_or("", |choice| choice.name).to_string(),
            Some(Value::String(word)) => word,
            Some(other) => {
                let problem = format!("expected the name of a kind, got {}", other.type_str());
                return Err(Error::config(key, problem));
            }
        };
        if let Some(choice) = self.0.iter().find(|choice| choice.name == word) {
            if let Some(version) = choice.version
                && let Some(given) = own.remove("version")
                && given.as_integer() != Some(version.into())
            {
                let problem = format!(
                    "this program has version {version} of `{word}`, got {given}: take the program that \
                     has that one, or start a new run"
                );
                return Err(Error::config(format!("{name}.version"), problem));
            }
            return Ok((choice, own));
        }
        let problem = match nearest(&word, self.names()) {
            Some(near) => format!("`{word}` is not a choice here; did you mean `{near}`?"),
            None => {
                let all: Vec<_> = self.names().collect();
                format!("`{word}` is not a choice here; choose from {}", all.join(", "))
            }
        };
        Err(Error::config(key, problem))
    }

    pub(crate) fn resolve(&self, name: &str, own: &Table) -> Result<Table> {
        let (choice, own) = self.choose(name, own)?;
        let mut table = (choice.resolve)(name, &own)?;
        table.insert("kind".into(), Value::String(choice.name.into()));
        table.extend(choice.version.map(|v| ("version".into(), Value::Integer(v.into()))));
        Ok(table)
    }

    pub(crate) fn build(&self, name: &str, own: &Table, within: &Within) -> Result<Box<T>> {
        let (choice, own) = self.choose(name, own)?;
        (choice.build)(name, &own, within)
    }

    /// Whether a table's settings are those of its kind.
    pub(crate) fn is_default(&self, name: &str, own: &Table) -> Result<bool> {
        let (choice, own) = self.choose(name, own)?;
        Ok((choice.resolve)(name, &own)? == (choice.resolve)(name, &Table::new())?)
    }
}

/// What the slots of a composition can hold. Nothing is global: a person's own kinds are added to a
/// value of this type, which is handed on.
pub struct Kinds {
    /// Policies.
    pub policy: Slot<dyn Make<PolicyPart>>,
    /// Action values.
    pub critic: Slot<dyn Make<CriticPart>>,
    /// State values.
    pub value: Slot<dyn Make<ValuePart>>,
    /// Models.
    pub model: Slot<dyn Make<Box<dyn Model>>>,
    /// Planners.
    pub planner: Slot<dyn Planner>,
    /// Ways of acting.
    pub behave: Slot<dyn Behave>,
    /// Ways of adding data.
    pub imagine: Slot<dyn Imagine>,
    /// Ways of changing the policy.
    pub improve: Slot<dyn Improve>,
    /// What a critic regresses on.
    pub target: Slot<dyn Target>,
    /// Steps of an update.
    pub step: Slot<dyn Step>,
}

/// What a slot holds, with its place among the [`Kinds`].
pub trait Slotted {
    /// The kinds of this slot.
    fn slot(kinds: &mut Kinds) -> &mut Slot<Self>;
}

macro_rules! slotted {
    ($($field:ident: $ty:ty),*) => {
        $(impl Slotted for $ty {
            fn slot(kinds: &mut Kinds) -> &mut Slot<Self> {
                &mut kinds.$field
            }
        })*
    };
}

slotted!(policy: dyn Make<PolicyPart>, critic: dyn Make<CriticPart>, value: dyn Make<ValuePart>);
slotted!(model: dyn Make<Box<dyn Model>>, planner: dyn Planner, behave: dyn Behave);
slotted!(imagine: dyn Imagine, improve: dyn Improve, target: dyn Target, step: dyn Step);

impl Kinds {
    /// Adds a kind to its slot; one of the same name is replaced.
    pub fn add<K: Kind<Slot: Slotted>>(&mut self) {
        K::Slot::slot(self).add::<K>();
    }
}
