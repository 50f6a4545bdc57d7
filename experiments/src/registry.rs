//! What a command line knows by name: environments, algorithms and kinds, the stock ones and a person's own.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::Arc;

use hstep::algo::{self, Entry};
#[cfg(unix)]
use hstep::env::gymnasium;
use hstep::env::{self, Env, EnvFactory, EnvInfo};
use hstep::kinds::{Kind, Kinds, Slotted};
use hstep::{Error, Result, config};

/// The environments, algorithms and kinds of a command line. Nothing is global: what is added here is
/// known to the commands of [`Registry::main`] and to nothing else.
///
/// ```no_run
/// use hstep_experiments::Registry;
///
/// fn main() -> std::process::ExitCode {
///     Registry::new().env("mine", || hstep::env::make("pendulum")).main()
/// }
/// ```
pub struct Registry {
    envs: BTreeMap<String, EnvFactory>,
    rows: Vec<Entry>,
    kinds: Kinds,
}

impl Default for Registry {
    fn default() -> Self {
        Self::new()
    }
}

impl Registry {
    /// The stock environments, algorithms and kinds.
    #[must_use]
    pub fn new() -> Self {
        Self { envs: BTreeMap::new(), rows: Vec::new(), kinds: Kinds::stock() }
    }

    /// Adds an environment; a stock one of the same name is replaced. Every call of `make` gives a fresh
    /// one: to train in, to evaluate in, to plan with.
    #[must_use]
    pub fn env(
        mut self,
        name: &str,
        make: impl Fn() -> Result<Box<dyn Env>> + Send + Sync + 'static,
    ) -> Self {
        self.envs.insert(name.to_owned(), Arc::new(make));
        self
    }

    /// Adds a kind, for example of a target; a stock one of the same name is replaced.
    #[must_use]
    pub fn kind<K: Kind<Slot: Slotted>>(mut self) -> Self {
        self.kinds.add::<K>();
        self
    }

    /// Adds an algorithm: a table as those in `src/algo/` of hstep, its section `row` among it, by a
    /// name that no stock one has.
    #[must_use]
    pub fn algo(mut self, name: &'static str, text: &'static str) -> Self {
        self.rows.push(Entry { name, text, presets: &[("paper", "")] });
        self
    }

    /// Runs the command that the process's arguments ask for, and says how it ended. Call it first in
    /// `main`, before there are other threads: it sets `RAYON_NUM_THREADS` to 1 where that is unset.
    pub fn main(self) -> ExitCode {
        crate::start::main(self)
    }

    pub(crate) fn kinds(&self) -> &Kinds {
        &self.kinds
    }

    /// A person's own algorithms, then the stock ones.
    pub(crate) fn rows(&self) -> Vec<Entry> {
        [self.rows.clone(), algo::registry()].concat()
    }

    /// As [`algo::find`], a person's own among them.
    pub(crate) fn find(&self, name: &str) -> Result<(Entry, Option<String>)> {
        match self.rows.iter().find(|row| row.name == name) {
            Some(row) => Ok((*row, None)),
            None => algo::find(name)
                .map_err(|error| nearer(error, name, self.rows.iter().map(|row| row.name))),
        }
    }

    /// The names of all environments, a person's own first.
    pub(crate) fn env_names(&self) -> Vec<&str> {
        let stock = env::names().into_iter().filter(|name| !self.envs.contains_key(*name));
        self.envs.keys().map(String::as_str).chain(stock).collect()
    }

    pub(crate) fn check_env(&self, name: &str) -> Result<()> {
        if self.envs.contains_key(name) {
            return Ok(());
        }
        env::check(name).map_err(|error| nearer(error, name, self.envs.keys().map(String::as_str)))
    }

    pub(crate) fn env_info(&self, name: &str) -> Result<EnvInfo> {
        match self.envs.get(name) {
            Some(make) => Ok(make()?.info().clone()),
            None => env::info(name),
        }
    }

    /// Fresh environments of a name that [`Registry::check_env`] lets pass.
    pub(crate) fn factory(&self, name: &str) -> EnvFactory {
        if let Some(make) = self.envs.get(name) {
            return Arc::clone(make);
        }
        let name = name.to_owned();
        #[cfg(unix)]
        if name.starts_with(gymnasium::PREFIX) {
            let bridge = Arc::new(gymnasium::Bridge::new(name));
            return Arc::new(move || Ok(Box::new(bridge.lend()?)));
        }
        Arc::new(move || env::make(&name))
    }
}

/// An error about an unknown name, which may be near to one of a person's own.
fn nearer<'a>(error: Error, name: &str, own: impl Iterator<Item = &'a str>) -> Error {
    match (error, config::nearest(name, own)) {
        (Error::Config { key, .. }, Some(near)) => {
            Error::config(key, format!("there is no `{name}`; did you mean `{near}`?"))
        }
        (error, _) => error,
    }
}
