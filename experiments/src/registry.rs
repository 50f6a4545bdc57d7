//! What a command line knows by name: environments, algorithms and kinds, the stock ones and a person's own.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::Arc;

use hstep::algo::{self, Entry};
use hstep::dynamics::Dynamics;
#[cfg(unix)]
use hstep::env::gymnasium;
use hstep::env::{self, Env, EnvFactory, EnvInfo};
use hstep::kinds::{Kind, Kinds, Slotted};
use hstep::{Error, Result, config};

/// How the names of environments begin that a Python program has made.
pub const IN_PYTHON: &str = "py:";

/// Makes the dynamics that a program gives.
type MakeDynamics = Arc<dyn Fn() -> Result<Box<dyn Dynamics>> + Send + Sync>;

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
    dynamics: BTreeMap<String, MakeDynamics>,
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
        Self {
            envs: BTreeMap::new(),
            dynamics: BTreeMap::new(),
            rows: Vec::new(),
            kinds: Kinds::stock(),
        }
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

    /// Gives an environment dynamics of one's own, which `run.model = "given"` uses in the place of a
    /// learned model. Actions are normalised there, as in every [`Dynamics`].
    #[must_use]
    pub fn dynamics(
        mut self,
        env: &str,
        make: impl Fn() -> Result<Box<dyn Dynamics>> + Send + Sync + 'static,
    ) -> Self {
        self.dynamics.insert(env.to_owned(), Arc::new(make));
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

    /// [`Registry::main`] with arguments of one's own, the program's name first: for a program that is
    /// started by another language's interpreter.
    pub fn main_with(self, arguments: Vec<std::ffi::OsString>) -> u8 {
        crate::start::main_with(self, arguments)
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
        if name.starts_with(IN_PYTHON) {
            let problem = format!(
                "`{name}` lives in a Python program: open the run there, with `hstep.Run(path, env=...)`"
            );
            return Err(Error::config("env", problem));
        }
        env::check(name).map_err(|error| nearer(error, name, self.envs.keys().map(String::as_str)))
    }

    pub(crate) fn env_info(&self, name: &str) -> Result<EnvInfo> {
        match self.envs.get(name) {
            Some(make) => Ok(make()?.info().clone()),
            None => env::info(name),
        }
    }

    /// The dynamics that the program gives an environment.
    pub(crate) fn dynamics_of(&self, env: &str) -> Result<Box<dyn Dynamics>> {
        let none = || {
            let problem = format!(
                "`given` needs a program that gives `{env}` its dynamics: `Registry::dynamics`, or \
                 `dynamics_fn` in Python"
            );
            Error::config("model", problem)
        };
        self.dynamics.get(env).ok_or_else(none)?()
    }

    /// Fresh environments of a known name.
    pub fn factory(&self, name: &str) -> EnvFactory {
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

#[cfg(test)]
mod tests {
    use hstep::kinds::Within;
    use hstep::uses::{Behave, PolicySample};
    use serde::{Deserialize, Serialize};

    use super::*;
    use crate::settings::Settings;

    #[derive(Default, Serialize, Deserialize, hstep::schemars::JsonSchema)]
    #[schemars(crate = "hstep::schemars")]
    #[serde(deny_unknown_fields, default)]
    struct Own {
        share: f64,
    }

    struct Mine<const V: u32>;

    impl<const V: u32> Kind for Mine<V> {
        type Config = Own;
        type Slot = dyn Behave;
        const NAME: &'static str = "mine";
        const VERSION: u32 = V;

        fn build(_: Own, _: &Within) -> Result<Box<dyn Behave>> {
            Ok(Box::new(PolicySample))
        }
    }

    fn settings(registry: Registry, algo: &str, own: &[&str]) -> Result<Settings> {
        let mut layers = toml::Table::new();
        config::set_all(&mut layers, &[&format!("run.algo={algo}"), "run.env=pendulum"])?;
        config::set_all(&mut layers, own)?;
        Settings::layered(&Arc::new(registry), layers)
    }

    #[test]
    fn kinds_of_ones_own_stand_in_the_identity_with_their_version() {
        let (one, two) =
            (|| Registry::new().kind::<Mine<1>>(), || Registry::new().kind::<Mine<2>>());
        let stock = settings(Registry::new(), "sac", &[]).unwrap().identity().unwrap();
        assert_eq!(settings(one(), "sac", &[]).unwrap().identity().unwrap(), stock);

        let own = ["behave.kind=mine", "behave.share=0.5"];
        let first = settings(one(), "mbpo", &own).unwrap();
        let second = settings(two(), "mbpo", &own).unwrap();
        assert_ne!(first.identity().unwrap(), second.identity().unwrap());
        let table = first.table().unwrap();
        let behave = "{ kind = \"mine\", share = 0.5, version = 1 }";
        assert_eq!(table["behave"].to_string(), behave);
        // The folder of the first is one of the first only.
        let again = Settings::resolved(&Arc::new(one()), table.clone()).unwrap();
        assert_eq!(again.identity().unwrap(), first.identity().unwrap());
        let message = Settings::resolved(&Arc::new(two()), table).err().unwrap().to_string();
        assert!(message.contains("`behave.version`: this program has version 2"), "{message}");
        let message = settings(one(), "mbpo", &["behave.kind=mien"]).err().unwrap().to_string();
        assert!(message.contains("did you mean `mine`?"), "{message}");
        // A stock kind has no such setting.
        let message = settings(one(), "sac", &["target.version=1"]).err().unwrap().to_string();
        assert!(message.contains("`target.version`: unknown key"), "{message}");
    }

    #[test]
    fn an_algorithm_of_ones_own_is_found_by_name() {
        const TEXT: &str = "[loop]\nbatch = 7 # ours\n[actor]\n[critic]\n[temperature]\n\
                            [improve]\n[target]\n[behave]\nkind = \"mine\" # ours\n\
                            [row]\ntitle = \"Mine\"\ncitation = \"nobody\"";
        let registry = || Registry::new().kind::<Mine<1>>().algo("my-sac", TEXT);
        let own = settings(registry(), "my-sac", &["improve.horizon=0"]).unwrap();
        let table = own.table().unwrap();
        assert_eq!(table["loop"]["batch"].as_integer(), Some(7));
        assert_eq!(table["behave"]["version"].as_integer(), Some(1));
        assert!(settings(registry(), "sac", &[]).is_ok());
        let message = settings(registry(), "my-sca", &[]).err().unwrap().to_string();
        assert!(message.contains("did you mean `my-sac`?"), "{message}");
    }
}
