//! Chunks: up to 65,536 rows of a replay buffer in one immutable file named by its content.
//!
//! Format, little-endian: magic (8 bytes), version `u32`, length of the payload `u64`, content hash
//! of the payload (16 bytes). The payload is the number of rows `u32`, the number of columns `u32`
//! and for each column the length of its name `u32`, the name and its width `u32`; then the columns
//! one after the other as `f32`.

use std::path::Path;

use super::file::{Failure, garbled, other_version};
use super::manifest::Column;
use crate::hash::{Digest, digest};
use crate::replay::Replay;

/// Rows in a full chunk.
pub(super) const ROWS: usize = 65_536;
const MAGIC: &[u8; 8] = b"hstepchk";
const VERSION: u32 = 2;
const HEADER: usize = 8 + 4 + 8 + 16;

/// The columns of a buffer as files name them.
pub(super) fn columns(replay: &Replay) -> Vec<Column> {
    let named = replay.columns().into_iter();
    named.map(|(name, width)| Column { name: name.to_owned(), width }).collect()
}

/// What a payload starts with: it says what the numbers after it are.
fn shape(rows: usize, columns: &[Column]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut number = |n: usize, name: &str| {
        bytes.extend_from_slice(name.as_bytes());
        bytes.extend_from_slice(&(n as u32).to_le_bytes());
    };
    number(rows, "");
    number(columns.len(), "");
    for Column { name, width } in columns {
        number(name.len(), "");
        number(*width, name);
    }
    bytes
}

/// The bytes of a chunk file and the hash that names it, for the stored rows `first..first + rows`.
pub(super) fn encode(replay: &Replay, first: usize, rows: usize) -> (Vec<u8>, Digest) {
    let cells = replay.stored(first, rows);
    let shape = shape(rows, &columns(replay));
    let numbers: usize = cells.iter().map(|c| c.len()).sum();
    let mut file = Vec::with_capacity(HEADER + shape.len() + 4 * numbers);
    file.resize(HEADER, 0);
    file.extend_from_slice(&shape);
    for column in cells {
        let start = file.len();
        file.resize(start + 4 * column.len(), 0);
        let (cells, _) = file[start..].as_chunks_mut::<4>();
        for (cell, number) in cells.iter_mut().zip(column) {
            *cell = number.to_le_bytes();
        }
    }
    let hash = digest(&file[HEADER..]);
    let length = (file.len() - HEADER) as u64;
    file[..8].copy_from_slice(MAGIC);
    file[8..12].copy_from_slice(&VERSION.to_le_bytes());
    file[12..20].copy_from_slice(&length.to_le_bytes());
    file[20..HEADER].copy_from_slice(&hash);
    (file, hash)
}

/// The size in bytes of a chunk file, `None` if no such chunk can be.
pub(super) fn file_len(rows: usize, columns: &[Column]) -> Option<u64> {
    let width = columns.iter().try_fold(0usize, |sum, c| sum.checked_add(c.width))?;
    let numbers = rows.checked_mul(width)?.checked_mul(4)?;
    numbers.checked_add(HEADER + shape(rows, columns).len()).map(|n| n as u64)
}

/// The columns in a chunk file, which must hold `rows` rows of these.
pub(super) fn decode<'a>(
    path: &Path,
    file: &[u8],
    hash: &Digest,
    rows: usize,
    columns: &'a [Column],
) -> Result<Vec<(&'a str, Vec<f32>)>, Failure> {
    let Some((header, payload)) = file.split_at_checked(HEADER) else {
        return Err(garbled(path, format!("has {} bytes, less than a header", file.len())));
    };
    if &header[..8] != MAGIC {
        return Err(garbled(path, "is no replay chunk of hstep (its first 8 bytes are others)"));
    }
    let version = header[8..12].iter().rev().fold(0, |n, &b| n << 8 | u32::from(b));
    if version != VERSION {
        return Err(other_version(path, version, VERSION));
    }
    if header[12..20] != (payload.len() as u64).to_le_bytes() {
        return Err(garbled(path, "its length differs from the one in its header"));
    }
    if &header[20..] != hash || digest(payload) != *hash {
        return Err(garbled(path, "its content does not match its checksum"));
    }
    let fits = file_len(rows, columns) == Some(file.len() as u64);
    let Some(mut rest) = payload.strip_prefix(&*shape(rows, columns)).filter(|_| fits) else {
        return Err(garbled(path, "holds rows of another shape than the manifest says"));
    };
    let numbers = columns.iter().map(|column| {
        let (bytes, after) = rest.split_at(4 * rows * column.width);
        rest = after;
        let (cells, _) = bytes.as_chunks::<4>();
        let numbers = cells.iter().map(|&cell| f32::from_le_bytes(cell)).collect();
        (column.name.as_str(), numbers)
    });
    Ok(numbers.collect())
}
