//! TensorBoard event files: scalars, a text and hyper-parameters.
//!
//! An event file is a sequence of records (length `u64`, masked CRC-32C of the length, data, masked
//! CRC-32C of the data, all little-endian), each record a protocol buffer `Event`. The few fields
//! that these need are encoded by hand.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use toml::Value;

use super::Row;
use crate::error::{Error, Result};

/// Writes scalars to one TensorBoard event file.
#[derive(Debug)]
pub struct EventWriter {
    path: PathBuf,
    file: File,
}

impl EventWriter {
    /// A new event file in the folder `dir`, which must exist, named after `start_time` (seconds
    /// since 1970) and the first free number: files of earlier parts of a run stay.
    ///
    /// With `resumed_after`, readers forget what an interrupted run had written for later steps.
    ///
    /// # Errors
    /// [`Error::Io`] when the file cannot be written.
    pub fn create(dir: &Path, start_time: f64, resumed_after: Option<u64>) -> Result<Self> {
        let mut attempt = 0;
        let (path, file) = loop {
            // Readers take the files of a folder in the order of their names.
            let name = format!("events.out.tfevents.{:010}.hstep.{attempt:04}", start_time as u64);
            let path = dir.join(name);
            match OpenOptions::new().write(true).create_new(true).open(&path) {
                Ok(file) => break (path, file),
                Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => attempt += 1,
                Err(e) => return Err(Error::io("cannot create", path)(e)),
            }
        };
        let mut writer = Self { path, file };
        let mut event = Message::event(start_time, 0);
        event.bytes(3, b"brain.Event:2");
        writer.record(&event.0)?;
        if let Some(step) = resumed_after {
            // SessionLog { status: START } at the first step that is new.
            let mut log = Message::default();
            log.varint(1, 1);
            let mut event = Message::event(start_time, step + 1);
            event.bytes(7, &log.0);
            writer.record(&event.0)?;
        }
        Ok(writer)
    }

    /// Where the file lies.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Adds the numbers of `row` at `step`, as `f32` (what TensorBoard's scalars are).
    ///
    /// `wall_time` is in seconds since 1970.
    ///
    /// # Errors
    /// [`Error::Io`] when the disk is full.
    pub fn write(&mut self, step: u64, wall_time: f64, row: &Row) -> Result<()> {
        let mut summary = Message::default();
        for (tag, number) in row.iter() {
            let mut value = Message::default();
            value.bytes(1, tag.as_bytes());
            value.fixed32(2, number as f32);
            summary.bytes(1, &value.0);
        }
        let mut event = Message::event(wall_time, step);
        event.bytes(5, &summary.0);
        self.record(&event.0)
    }

    /// Says with which settings the run is made: `text` under the name `config` (Markdown), and each of `settings` as a
    /// hyper-parameter.
    ///
    /// # Errors
    /// [`Error::Io`] when the disk is full.
    pub fn describe(
        &mut self,
        wall_time: f64,
        text: &str,
        settings: &BTreeMap<String, Value>,
    ) -> Result<()> {
        // TensorProto { dtype: STRING, tensor_shape: {}, string_val }.
        let mut words = Message::default();
        words.varint(1, 7);
        words.bytes(2, &[]);
        words.bytes(8, text.as_bytes());
        let mut config = Message::default();
        config.bytes(1, b"config/text_summary");
        config.bytes(8, &words.0);
        config.bytes(9, &plugin("text", &[]));

        // HParamsPluginData { session_start_info: { hparams: map<string, google.protobuf.Value> } }.
        let mut info = Message::default();
        for (key, setting) in settings {
            let mut value = Message::default();
            match setting {
                Value::Integer(x) => value.fixed64(2, *x as f64),
                Value::Float(x) => value.fixed64(2, *x),
                Value::Boolean(x) => value.varint(4, u64::from(*x)),
                Value::String(text) => value.bytes(3, text.as_bytes()),
                other => value.bytes(3, other.to_string().as_bytes()),
            }
            let mut entry = Message::default();
            entry.bytes(1, key.as_bytes());
            entry.bytes(2, &value.0);
            info.bytes(1, &entry.0);
        }
        let mut data = Message::default();
        data.bytes(3, &info.0);
        let mut session = Message::default();
        session.bytes(1, b"_hparams_/session_start_info");
        session.bytes(9, &plugin("hparams", &data.0));

        let mut summary = Message::default();
        summary.bytes(1, &config.0);
        summary.bytes(1, &session.0);
        let mut event = Message::event(wall_time, 0);
        event.bytes(5, &summary.0);
        self.record(&event.0)
    }

    fn record(&mut self, data: &[u8]) -> Result<()> {
        let length = (data.len() as u64).to_le_bytes();
        let mut record = Vec::with_capacity(data.len() + 16);
        record.extend_from_slice(&length);
        record.extend_from_slice(&masked_crc(&length).to_le_bytes());
        record.extend_from_slice(data);
        record.extend_from_slice(&masked_crc(data).to_le_bytes());
        self.file.write_all(&record).map_err(Error::io("cannot write", &self.path))
    }
}

/// `SummaryMetadata { plugin_data: { plugin_name, content } }`.
fn plugin(name: &str, content: &[u8]) -> Vec<u8> {
    let (mut data, mut metadata) = (Message::default(), Message::default());
    data.bytes(1, name.as_bytes());
    data.bytes(2, content);
    metadata.bytes(1, &data.0);
    metadata.0
}

/// A protocol buffer that is being encoded.
#[derive(Default)]
struct Message(Vec<u8>);

impl Message {
    /// `Event { wall_time, step }`.
    fn event(wall_time: f64, step: u64) -> Self {
        let mut event = Self::default();
        event.fixed64(1, wall_time);
        event.varint(2, step);
        event
    }

    /// A field's number and wire type: 0 varint, 1 eight bytes, 2 counted bytes, 5 four bytes.
    fn tag(&mut self, field: u8, wire: u8) {
        self.0.push(field << 3 | wire);
    }

    fn raw_varint(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.0.push(number as u8 | 0x80);
            number >>= 7;
        }
        self.0.push(number as u8);
    }

    fn varint(&mut self, field: u8, number: u64) {
        self.tag(field, 0);
        self.raw_varint(number);
    }

    fn bytes(&mut self, field: u8, bytes: &[u8]) {
        self.tag(field, 2);
        self.raw_varint(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }

    fn fixed64(&mut self, field: u8, number: f64) {
        self.tag(field, 1);
        self.0.extend_from_slice(&number.to_le_bytes());
    }

    fn fixed32(&mut self, field: u8, number: f32) {
        self.tag(field, 5);
        self.0.extend_from_slice(&number.to_le_bytes());
    }
}

/// The CRC-32C remainders of the 256 bytes, polynomial 0x1EDC6F41 with its bits reversed.
const CRC_TABLE: [u32; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut crc = byte as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ 0x82f6_3b78 } else { crc >> 1 };
            bit += 1;
        }
        table[byte] = crc;
        byte += 1;
    }
    table
};

fn crc32c(data: &[u8]) -> u32 {
    !data.iter().fold(!0, |crc, &b| (crc >> 8) ^ CRC_TABLE[(crc as u8 ^ b) as usize])
}

/// The checksum as event files store it.
fn masked_crc(data: &[u8]) -> u32 {
    crc32c(data).rotate_right(15).wrapping_add(0xa282_ead8)
}

#[cfg(test)]
mod tests {
    use super::crc32c;

    /// The test vectors of RFC 3720, appendix B.4, and the usual check value.
    #[test]
    fn crc32c_has_its_published_values() {
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
        assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
        assert_eq!(crc32c(&[0xff; 32]), 0x62a8_ab43);
        assert_eq!(crc32c(&(0..32).collect::<Vec<u8>>()), 0x46dd_794e);
        assert_eq!(crc32c(&(0..32).rev().collect::<Vec<u8>>()), 0x113f_db5c);
    }
}
