//! Configuration in layers: defaults, then a TOML file, then `key=value` overrides.
//!
//! Everything works on [`toml::Table`]s, so that one set of functions serves every algorithm's
//! struct. Errors name the full dotted key, what was expected, what came and, for an unknown key,
//! the nearest known one.

mod identity;

use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;
use toml::{Table, Value};

use crate::error::{Error, Result};
use crate::files;

pub use crate::suggest::nearest;
pub use identity::{Difference, first_difference, flat, hash8};

/// Range checks of values, with the key in the message.
pub mod check {
    pub use crate::check::{at_least, count, fraction, hidden, not_negative, positive};
}

/// Reads a TOML file into a table.
///
/// # Errors
/// [`Error::Io`] when it cannot be read, [`Error::Config`] with line and column when it is no TOML.
pub fn read(path: impl AsRef<Path>) -> Result<Table> {
    let path = path.as_ref();
    parse_text(path, &files::text(path, files::TEXT)?)
}

/// The table in the text of a TOML file, which is named in an error.
///
/// # Errors
/// [`Error::Config`] with line and column when it is no TOML.
pub fn parse_text(path: &Path, text: &str) -> Result<Table> {
    text.parse::<Table>().map_err(|e| {
        Error::config(path.display().to_string(), format!("this is no TOML file:\n{e}"))
    })
}

/// The value that takes a setting of a lower layer back: `model.max_epochs=unset`.
pub const UNSET: &str = "unset";

/// Lays `over` upon `base`: tables are merged key by key at every depth, any other value replaces, and
/// [`UNSET`] leaves a key out, so that it has its default again. Where another `kind` is chosen, what
/// was set for the one before goes with it.
pub fn merge(base: &mut Table, over: Table) {
    if let (Some(Value::String(old)), Some(Value::String(new))) =
        (base.get("kind"), over.get("kind"))
        && old != new
    {
        base.clear();
    }
    for (key, value) in over {
        match (base.get_mut(&key), value) {
            (Some(Value::Table(below)), Value::Table(above)) => merge(below, above),
            (_, Value::String(word)) if word == UNSET => {
                base.remove(&key);
            }
            (_, value) => {
                base.insert(key, value);
            }
        }
    }
}

/// Applies one `key=value` override; dots in the key descend into tables.
///
/// The value is read as TOML (`3`, `1e-4`, `[1, 1.2]`, `true`, `"text"`, `{ a = 1 }`); a bare word,
/// which is no TOML, is taken as a string.
///
/// # Errors
/// [`Error::Config`] when there is no `=`, the key is empty, the value is broken TOML, or the key
/// goes through something that is no table.
pub fn set(table: &mut Table, assignment: &str) -> Result<()> {
    let (key, text) = assignment.split_once('=').ok_or_else(|| {
        Error::config(assignment, "expected `key=value`, for example `improve.horizon=5`")
    })?;
    let (key, text) = (key.trim(), text.trim());
    if key.split('.').any(|part| part.trim().is_empty()) {
        return Err(Error::config(key, "the key or a part of it is empty: write `part.key=value`"));
    }
    insert(table, key, value_of(key, text)?)
}

/// Lays several `key=value` overrides upon `table`, the last one winning.
///
/// # Errors
/// Those of [`set`].
pub fn set_all<S: AsRef<str>>(table: &mut Table, assignments: &[S]) -> Result<()> {
    assignments.iter().try_for_each(|a| set(table, a.as_ref()))
}

/// Puts a value under a dotted key.
pub(crate) fn insert(table: &mut Table, key: &str, value: Value) -> Result<()> {
    let mut parts: Vec<&str> = key.split('.').map(str::trim).collect();
    let last = parts.pop().unwrap_or(key);
    let mut here = table;
    let mut path = String::new();
    for part in parts {
        push_key(&mut path, part);
        let below = here.entry(part.to_owned()).or_insert_with(|| Value::Table(Table::new()));
        let kind = below.type_str();
        here = below.as_table_mut().ok_or_else(|| {
            Error::config(key, format!("`{path}` is a value ({kind}), not a table: it has no keys"))
        })?;
    }
    here.insert(last.to_owned(), value);
    Ok(())
}

fn value_of(key: &str, text: &str) -> Result<Value> {
    match format!("v = {text}").parse::<Table>() {
        Ok(mut one) if one.len() == 1 => Ok(one.remove("v").unwrap_or(Value::Boolean(false))),
        Err(e) if text.starts_with(['[', '{', '"', '\'']) => {
            Err(Error::config(key, format!("the value `{text}` is broken TOML: {}", e.message())))
        }
        _ if text.is_empty() => {
            Err(Error::config(key, "the value is empty; for an empty text write `key=\"\"`"))
        }
        _ => Ok(Value::String(text.to_owned())),
    }
}

/// Turns a table into a `T`, missing keys taking the defaults of `T`.
///
/// Unknown keys are refused at every depth, whether or not `T` denies them itself: a key that `T`
/// neither has by default nor gives back when it is serialised again was not understood.
///
/// # Errors
/// [`Error::Config`] with the dotted key: unknown (the nearest known one is named), or of a wrong
/// type (what was expected and what came).
pub fn parse<T: Serialize + DeserializeOwned + Default>(table: &Table) -> Result<T> {
    let known = to_table(&T::default())?;
    // Laid upon the defaults, so that a nested struct needs no `serde(default)` of its own.
    let mut full = known.clone();
    merge(&mut full, table.clone());
    match full.try_into::<T>().or_else(|first| {
        // An enum with data cannot be merged with its default variant: try what was given alone.
        table.clone().try_into::<T>().map_err(|_| first)
    }) {
        Ok(value) => {
            let back = to_table(&value)?;
            if let Some((path, siblings)) = first_unknown(table, &back, &known, "") {
                return Err(unknown(&path, siblings.iter().map(String::as_str)));
            }
            match first_list_for_table(table, &back, "") {
                Some(path) => {
                    let problem = "expected a table, such as { key = value }, got a list";
                    Err(Error::config(path, problem))
                }
                None => Ok(value),
            }
        }
        Err(e) => Err(explain(&e)),
    }
}

/// Serialises a configuration into a table: the resolved form that is hashed, compared and saved.
///
/// # Errors
/// [`Error::Config`] when `value` is not something TOML can hold, such as a number beyond 63 bits.
pub fn to_table<T: Serialize>(value: &T) -> Result<Table> {
    Table::try_from(value).map_err(|e| Error::config("(whole)", format!("cannot be TOML: {e}")))
}

/// The first key of `given` that is in neither `back` nor `known`, with the keys known beside it.
fn first_unknown(
    given: &Table,
    back: &Table,
    known: &Table,
    at: &str,
) -> Option<(String, Vec<String>)> {
    for (key, value) in given {
        let path = join(at, key);
        let Some(understood) = back.get(key).or_else(|| known.get(key)) else {
            let mut siblings: Vec<String> = known.keys().chain(back.keys()).cloned().collect();
            siblings.sort();
            siblings.dedup();
            return Some((path, siblings));
        };
        if let (Value::Table(given), Value::Table(back)) = (value, understood) {
            let empty = Table::new();
            let known = known.get(key).and_then(Value::as_table).unwrap_or(&empty);
            if let Some(found) = first_unknown(given, back, known, &path) {
                return Some(found);
            }
        }
    }
    None
}

/// The first key of `given` whose list was read as a table: serde takes the fields of a struct from a
/// list, too, in the order in which they happen to be declared.
fn first_list_for_table(given: &Table, back: &Table, at: &str) -> Option<String> {
    fn mistaken(given: &Value, back: &Value, path: String) -> Option<String> {
        match (given, back) {
            (Value::Array(_), Value::Table(_)) => Some(path),
            (Value::Table(given), Value::Table(back)) => first_list_for_table(given, back, &path),
            (Value::Array(given), Value::Array(back)) => given
                .iter()
                .zip(back)
                .enumerate()
                .find_map(|(i, (given, back))| mistaken(given, back, format!("{path}[{i}]"))),
            _ => None,
        }
    }
    given.iter().find_map(|(key, value)| mistaken(value, back.get(key)?, join(at, key)))
}

/// An unknown key beside those that are known.
pub(crate) fn unknown<'a>(path: &str, siblings: impl Iterator<Item = &'a str>) -> Error {
    let siblings: Vec<&str> = siblings.collect();
    let (parent, word) = path.rsplit_once('.').unwrap_or(("", path));
    let problem = match nearest(word, siblings.iter().copied()) {
        Some(near) => format!("unknown key; did you mean `{}`?", join(parent, near)),
        None if siblings.is_empty() => "unknown key; nothing can be set here".to_owned(),
        None => format!("unknown key; known here: {}", siblings.join(", ")),
    };
    Error::config(path, problem)
}

/// Finds the dotted key in serde's error and says what it means.
fn explain(e: &toml::de::Error) -> Error {
    let text = e.to_string();
    // toml appends "in `a.b`" on a line of its own; there is no accessor for it.
    let at = text
        .lines()
        .rev()
        .find_map(|l| l.strip_prefix("in `").and_then(|l| l.strip_suffix('`')))
        .unwrap_or("");
    let message = e.message();
    if let Some(rest) = message.strip_prefix("unknown field `") {
        let mut quoted = rest.split('`');
        let word = quoted.next().unwrap_or("");
        // The rest alternates between separators and names.
        let names: Vec<&str> = quoted.skip(1).step_by(2).collect();
        return unknown(&join(at, word), names.into_iter());
    }
    let problem = if let Some(rest) = message.strip_prefix("unknown variant `") {
        let mut quoted = rest.split('`');
        let word = quoted.next().unwrap_or("");
        let names: Vec<&str> = quoted.skip(1).step_by(2).collect();
        match nearest(word, names.iter().copied()) {
            Some(near) => format!("`{word}` is not a choice here; did you mean `{near}`?"),
            None => format!("`{word}` is not a choice here; choose from {}", names.join(", ")),
        }
    } else if let Some((came, expected)) = message
        .strip_prefix("invalid type: ")
        .or_else(|| message.strip_prefix("invalid value: "))
        .and_then(|rest| rest.split_once(", expected "))
    {
        // serde's words for a value that cannot be an enum's name at all.
        let came = if came == "unit variant" { "something that is no text" } else { came };
        format!("expected {}, got {came}", plain_type(expected))
    } else {
        message.to_owned()
    };
    Error::config(if at.is_empty() { "(whole)" } else { at }, problem)
}

/// Rust's type names in words.
fn plain_type(expected: &str) -> &str {
    match expected {
        "f32" | "f64" => "a number",
        "usize" | "u8" | "u16" | "u32" | "u64" => "a whole number, zero or more",
        "i8" | "i16" | "i32" | "i64" => "a whole number",
        "a boolean" => "true or false",
        "a string" => "a text",
        "string only" => "the name of a choice",
        "a sequence" => "a list such as [1, 2]",
        other => other,
    }
}

fn join(at: &str, key: &str) -> String {
    if at.is_empty() { key.to_owned() } else { format!("{at}.{key}") }
}

fn push_key(path: &mut String, part: &str) {
    *path = join(path, part);
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
    #[serde(rename_all = "lowercase")]
    enum Entropy {
        #[default]
        First,
        All,
    }

    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
    struct Imagine {
        horizon: usize,
        ratio: f64,
        schedule: Option<Vec<usize>>,
    }

    // `Strict` denies unknown fields itself, `Imagine` does not: both must be caught.
    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
    #[serde(default, deny_unknown_fields)]
    struct Strict {
        seed: u64,
        learning_rate: f64,
        entropy: Entropy,
        alpha: Option<f64>,
        imagine: Imagine,
    }

    impl Default for Strict {
        fn default() -> Self {
            Self {
                seed: 0,
                learning_rate: 3e-4,
                entropy: Entropy::First,
                alpha: None,
                imagine: Imagine { horizon: 1, ratio: 0.05, schedule: None },
            }
        }
    }

    fn parsed(args: &[&str]) -> Result<Strict> {
        let mut table = Table::new();
        set_all(&mut table, args)?;
        parse(&table)
    }

    fn message(args: &[&str]) -> String {
        parsed(args).unwrap_err().to_string()
    }

    #[test]
    fn what_a_lower_layer_sets_can_be_taken_back() {
        let mut layers: Table = "alpha = 0.5\n[imagine]\nhorizon = 7".parse().unwrap();
        let mut over = Table::new();
        set_all(&mut over, &["alpha=unset", "imagine.horizon=unset", "seed=3"]).unwrap();
        merge(&mut layers, over);
        let strict: Strict = parse(&layers).unwrap();
        let default = Strict::default();
        assert_eq!((strict.alpha, strict.seed), (default.alpha, 3));
        assert_eq!(strict.imagine, default.imagine);
    }

    #[test]
    fn overrides_lie_upon_defaults_at_every_depth() {
        let got = parsed(&["imagine.horizon=5", "learning_rate=1e-3", "entropy=all", "alpha=1"]);
        let mut want = Strict { learning_rate: 1e-3, alpha: Some(1.0), ..Strict::default() };
        want.imagine.horizon = 5;
        want.entropy = Entropy::All;
        assert_eq!(got.unwrap(), want);
        assert_eq!(
            parsed(&["imagine.schedule=[1, 2]"]).unwrap().imagine.schedule,
            Some(vec![1, 2])
        );
    }

    #[test]
    fn unknown_keys_name_the_nearest_full_key() {
        assert_eq!(
            message(&["learnign_rate=1"]),
            "config: `learnign_rate`: unknown key; did you mean `learning_rate`?"
        );
        assert_eq!(
            message(&["imagine.horizn=1"]),
            "config: `imagine.horizn`: unknown key; did you mean `imagine.horizon`?"
        );
        // `alpha` is absent from the serialised defaults: serde's own list is the fallback.
        assert_eq!(message(&["alhpa=1"]), "config: `alhpa`: unknown key; did you mean `alpha`?");
        let none = message(&["imagine.qqq=1"]);
        assert!(none.contains("`imagine.qqq`: unknown key; known here: horizon, ratio"), "{none}");
    }

    #[test]
    fn wrong_types_name_key_expectation_and_what_came() {
        assert_eq!(
            message(&["imagine.horizon=long"]),
            "config: `imagine.horizon`: expected a whole number, zero or more, got string \"long\""
        );
        assert_eq!(
            message(&["learning_rate=true"]),
            "config: `learning_rate`: expected a number, got boolean `true`"
        );
        let negative = message(&["seed=-1"]);
        assert!(negative.contains("`seed`: expected a whole number"), "{negative}");
        assert_eq!(
            message(&["entropy=frist"]),
            "config: `entropy`: `frist` is not a choice here; did you mean `first`?"
        );
    }

    #[test]
    fn broken_assignments_say_how_to_write_them() {
        assert!(message(&["seed"]).contains("expected `key=value`"));
        assert!(message(&["=3"]).contains("empty"));
        assert!(message(&["seed="]).contains("the value is empty"));
        assert!(message(&["imagine.schedule=[1,"]).contains("broken TOML"));
        assert!(message(&["seed=3", "seed.deep=1"]).contains("not a table"));
    }

    #[test]
    fn the_hash_ignores_order_and_what_is_left_out_and_nothing_else() {
        let a: Table = "x = 1\n[t]\ny = 2.5\nsteps = 3".parse().unwrap();
        let b: Table = "t = { steps = 9, y = 2.5 }\nx = 1".parse().unwrap();
        assert_eq!(hash8(&a, &["t.steps"]), hash8(&b, &["t.steps"]));
        assert_ne!(hash8(&a, &[]), hash8(&b, &[]));
        assert_eq!(hash8(&a, &[]).len(), 8);
        // FNV-1a of the text "x = 1\n", computed by a separate script: folder names must not drift.
        let one: Table = "x = 1".parse().unwrap();
        assert_eq!(hash8(&one, &[]), "78a1ef16");
    }

    #[test]
    fn the_first_difference_names_key_and_both_values() {
        let a: Table = "x = 1\nsteps = 1\n[t]\ny = 2.5".parse().unwrap();
        let b: Table = "x = 1\nsteps = 2\n[t]\ny = 3.5".parse().unwrap();
        let d = first_difference(&a, &b, &["steps"]).unwrap();
        assert_eq!(d.to_string(), "`t.y`: 2.5 against 3.5");
        assert_eq!(first_difference(&a, &a, &[]), None);
        assert_eq!(first_difference(&a, &b, &["steps", "t"]), None);
        let c: Table = "x = 1\n[t]\ny = 2.5".parse().unwrap();
        assert_eq!(first_difference(&a, &c, &[]).unwrap().right, None);
    }
}
