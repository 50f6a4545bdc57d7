//! Parts of a run's state as JSON.

use std::collections::BTreeMap;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{Error, Result};

/// A part of a run's state as JSON.
pub(crate) fn json<T: Serialize>(value: &T) -> Result<String> {
    serde_json::to_string(value).map_err(|e| Error::config("state", e.to_string()))
}

/// The part `name` of a run's state.
pub(crate) fn from_json<T: DeserializeOwned>(
    name: &str,
    all: &BTreeMap<String, String>,
) -> Result<T> {
    let text = all
        .get(name)
        .ok_or_else(|| Error::checkpoint(name, "this part of the state is missing"))?;
    serde_json::from_str(text).map_err(|e| Error::checkpoint(name, format!("garbled: {e}")))
}
