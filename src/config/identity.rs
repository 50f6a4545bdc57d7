//! What tells resolved configurations apart: a hash that names a run, and the first difference.

use std::collections::BTreeMap;

use toml::{Table, Value};

use super::join;

/// The first 8 hexadecimal digits of a 64-bit FNV-1a hash of the table's canonical form (keys
/// sorted at every depth), without the dotted keys `leave_out`.
///
/// It names a run's folder: equal for equal configurations on every machine and in every version.
#[must_use]
pub fn hash8(table: &Table, leave_out: &[&str]) -> String {
    let mut canonical = String::new();
    for (key, value) in flat(table, leave_out) {
        canonical.push_str(&format!("{key} = {value}\n"));
    }
    let hash = canonical
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3));
    format!("{:08x}", hash >> 32)
}

/// The values of a table under their dotted keys, without the dotted keys `leave_out`.
#[must_use]
pub fn flat(table: &Table, leave_out: &[&str]) -> BTreeMap<String, Value> {
    let mut all = leaves(table);
    all.retain(|key, _| !is_left_out(key, leave_out));
    all
}

/// A key at which two resolved configurations differ.
#[derive(Debug, Clone, PartialEq)]
pub struct Difference {
    /// The dotted key.
    pub key: String,
    /// Its value on the left, `None` when it is absent there.
    pub left: Option<Value>,
    /// Its value on the right, `None` when it is absent there.
    pub right: Option<Value>,
}

impl std::fmt::Display for Difference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let show = |v: &Option<Value>| v.as_ref().map_or("(absent)".to_owned(), Value::to_string);
        write!(f, "`{}`: {} against {}", self.key, show(&self.left), show(&self.right))
    }
}

/// The first dotted key, in sorted order, at which `left` and `right` differ, without `leave_out`.
#[must_use]
pub fn first_difference(left: &Table, right: &Table, leave_out: &[&str]) -> Option<Difference> {
    let (left, right) = (flat(left, leave_out), flat(right, leave_out));
    let mut keys: Vec<&String> = left.keys().chain(right.keys()).collect();
    keys.sort();
    keys.into_iter().find(|key| left.get(*key) != right.get(*key)).map(|key| Difference {
        key: key.clone(),
        left: left.get(key).cloned(),
        right: right.get(key).cloned(),
    })
}

/// A left-out key takes everything below it along.
fn is_left_out(key: &str, leave_out: &[&str]) -> bool {
    leave_out.iter().any(|out| {
        key.strip_prefix(out).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    })
}

/// Every value that is no table, under its dotted key.
fn leaves(table: &Table) -> BTreeMap<String, Value> {
    fn walk(table: &Table, at: &str, out: &mut BTreeMap<String, Value>) {
        for (key, value) in table {
            match value {
                Value::Table(below) => walk(below, &join(at, key), out),
                _ => {
                    out.insert(join(at, key), value.clone());
                }
            }
        }
    }
    let mut out = BTreeMap::new();
    walk(table, "", &mut out);
    out
}
