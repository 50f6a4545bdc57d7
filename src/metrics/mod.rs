//! Metrics: the numbers a run reports, as CSV and as TensorBoard events.
//!
//! `metrics.csv` holds only what is a function of the configuration, so that a resumed run ends
//! with the same bytes; clock times go to `timing.csv`.

mod csv;
mod seal;
mod tensorboard;

use std::collections::BTreeMap;

pub use self::csv::{MetricsWriter, Table, read_columns, read_csv};
pub use seal::Seal;
pub use tensorboard::EventWriter;

/// Named numbers of one moment of a run.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Row(BTreeMap<String, f64>);

impl Row {
    /// No number yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets `name` to `value`, in place of what it was.
    pub fn set(&mut self, name: impl Into<String>, value: f64) -> &mut Self {
        self.0.insert(name.into(), value);
        self
    }

    /// The number called `name`.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<f64> {
        self.0.get(name).copied()
    }

    /// The numbers in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, f64)> {
        self.0.iter().map(|(name, &value)| (name.as_str(), value))
    }
}

impl<S: Into<String>> FromIterator<(S, f64)> for Row {
    fn from_iter<I: IntoIterator<Item = (S, f64)>>(numbers: I) -> Self {
        Self(numbers.into_iter().map(|(name, value)| (name.into(), value)).collect())
    }
}

impl<S: Into<String>> Extend<(S, f64)> for Row {
    fn extend<I: IntoIterator<Item = (S, f64)>>(&mut self, numbers: I) {
        self.0.extend(numbers.into_iter().map(|(name, value)| (name.into(), value)));
    }
}
