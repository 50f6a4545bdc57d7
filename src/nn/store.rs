//! A sorted set of named tensors with notes, written as safetensors.

use std::collections::BTreeMap;
use std::path::Path;

use candle_core::safetensors::Load;
use candle_core::{Device, Tensor};
use safetensors::SafeTensors;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{Error, Result};

/// The one metadata key: safetensors writes several keys in random order.
const NOTES: &str = "hstep";

/// Largest file that is read: 16 GiB, far above any network here.
const MAX_BYTES: u64 = 16 << 30;

/// Named tensors and notes, sorted by name. Equal stores give equal bytes.
#[derive(Debug, Clone, Default)]
pub struct Store {
    /// The tensors.
    pub tensors: BTreeMap<String, Tensor>,
    /// Whatever else belongs to them, as JSON values.
    pub notes: BTreeMap<String, serde_json::Value>,
}

impl Store {
    /// A store of these tensors, without notes.
    #[must_use]
    pub fn new(tensors: BTreeMap<String, Tensor>) -> Self {
        Self { tensors, notes: BTreeMap::new() }
    }

    /// Adds a note.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] when `value` has no JSON form.
    pub fn note(&mut self, name: &str, value: &impl Serialize) -> Result<()> {
        let json = serde_json::to_value(value)
            .map_err(|e| Error::checkpoint(name, format!("cannot be written as JSON: {e}")))?;
        self.notes.insert(name.to_owned(), json);
        Ok(())
    }

    /// Reads a note.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] when it is missing or of another form.
    pub fn read_note<T: DeserializeOwned>(&self, name: &str) -> Result<T> {
        let missing = || Error::checkpoint(name, "this note is missing");
        let value = self.notes.get(name).ok_or_else(missing)?;
        T::deserialize(value).map_err(|e| Error::checkpoint(name, format!("garbled note: {e}")))
    }

    /// The tensor `name`.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] when it is missing.
    pub fn get(&self, name: &str) -> Result<&Tensor> {
        self.tensors.get(name).ok_or_else(|| Error::checkpoint(name, "this tensor is missing"))
    }

    /// The tensors whose name starts with `prefix.`, with that prefix taken off.
    #[must_use]
    pub fn below(&self, prefix: &str) -> BTreeMap<String, Tensor> {
        let start = format!("{prefix}.");
        let own =
            |(name, t): (&String, &Tensor)| Some((name.strip_prefix(&start)?.into(), t.clone()));
        self.tensors.iter().filter_map(own).collect()
    }

    /// Adds tensors under `prefix.`.
    pub fn put_below(&mut self, prefix: &str, tensors: BTreeMap<String, Tensor>) {
        self.tensors.extend(tensors.into_iter().map(|(n, t)| (format!("{prefix}.{n}"), t)));
    }

    /// The store as safetensors.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] when a tensor cannot be written.
    // The crate's signature asks for a HashMap; it holds one key, so that its order cannot matter.
    #[allow(clippy::disallowed_types)]
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let failed = |e: String| Error::checkpoint("tensors", format!("cannot be written: {e}"));
        let notes = serde_json::to_string(&self.notes).map_err(|e| failed(e.to_string()))?;
        let metadata = std::collections::HashMap::from([(NOTES.to_owned(), notes)]);
        let tensors = self.tensors.iter().map(|(n, t)| Ok((n, t.contiguous()?)));
        let tensors = tensors.collect::<Result<Vec<_>>>()?;
        safetensors::serialize(tensors, Some(metadata)).map_err(|e| failed(e.to_string()))
    }

    /// Reads what [`Store::to_bytes`] wrote; `path` names the source in messages.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] when the bytes are truncated or garbled.
    pub fn from_bytes(bytes: &[u8], path: impl AsRef<Path>, device: &Device) -> Result<Self> {
        let path = path.as_ref();
        let garbled = |e: &dyn std::fmt::Display| {
            Error::checkpoint(path, format!("truncated or garbled ({e}); use an older checkpoint"))
        };
        // Sizes in the header are checked against the bytes there are: nothing large is allocated.
        let (_, header) = SafeTensors::read_metadata(bytes).map_err(|e| garbled(&e))?;
        let file = SafeTensors::deserialize(bytes).map_err(|e| garbled(&e))?;
        let notes = match header.metadata().as_ref().and_then(|m| m.get(NOTES)) {
            Some(text) => serde_json::from_str(text).map_err(|e| garbled(&e))?,
            None => {
                return Err(Error::checkpoint(path, "not written by hstep: its notes are missing"));
            }
        };
        let tensors = file
            .iter()
            .map(|(name, view)| Ok((name.to_owned(), view.load(device).map_err(|e| garbled(&e))?)));
        Ok(Self { tensors: tensors.collect::<Result<_>>()?, notes })
    }

    /// Writes the store to `path`, not atomically: whoever keeps checkpoints does that.
    ///
    /// # Errors
    /// [`Error::Io`] when the file cannot be written, else as [`Store::to_bytes`].
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        std::fs::write(path, self.to_bytes()?).map_err(Error::io("cannot write", path))
    }

    /// Reads a store from `path`.
    ///
    /// # Errors
    /// [`Error::Io`] when the file cannot be read, else as [`Store::from_bytes`].
    pub fn load(path: impl AsRef<Path>, device: &Device) -> Result<Self> {
        let path = path.as_ref();
        let size = std::fs::metadata(path).map_err(Error::io("cannot read", path))?.len();
        if size > MAX_BYTES {
            return Err(Error::checkpoint(path, format!("{size} bytes: no store is that large")));
        }
        let bytes = std::fs::read(path).map_err(Error::io("cannot read", path))?;
        Self::from_bytes(&bytes, path, device)
    }
}
