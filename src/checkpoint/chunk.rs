//! Chunks: up to 65,536 rows of a replay buffer in one immutable file named by its content.
//!
//! Format, little-endian: magic (8 bytes), version `u32`, length of the payload `u64`, content hash
//! of the payload (16 bytes); the payload is the number of rows `u32`, the six column widths `u32`,
//! then the columns one after the other as `f32`.

use std::path::Path;

use super::file::{Failure, garbled, other_version};
use super::hash::digest;
use crate::replay::Replay;

/// Rows in a full chunk.
pub(super) const ROWS: usize = 65_536;
const MAGIC: &[u8; 8] = b"hstepchk";
const VERSION: u32 = 1;
const HEADER: usize = 8 + 4 + 8 + 16;
const SHAPE: usize = 4 * (1 + WIDTHS);
const WIDTHS: usize = 6;

/// The bytes of a chunk file and the hash that names it, for the stored rows `first..first + rows`.
pub(super) fn encode(replay: &Replay, first: usize, rows: usize) -> (Vec<u8>, [u8; 16]) {
    let columns = replay.stored(first, rows);
    let numbers: usize = columns.iter().map(|c| c.len()).sum();
    let mut file = Vec::with_capacity(HEADER + SHAPE + 4 * numbers);
    file.resize(HEADER, 0);
    file.extend_from_slice(&(rows as u32).to_le_bytes());
    for width in replay.widths() {
        file.extend_from_slice(&(width as u32).to_le_bytes());
    }
    for column in columns {
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
pub(super) fn file_len(rows: usize, widths: [usize; WIDTHS]) -> Option<u64> {
    let width = widths.iter().try_fold(0usize, |sum, &w| sum.checked_add(w))?;
    let numbers = rows.checked_mul(width)?.checked_mul(4)?;
    numbers.checked_add(HEADER + SHAPE).map(|n| n as u64)
}

/// The columns in a chunk file, which must hold `rows` rows of these widths.
pub(super) fn decode(
    path: &Path,
    file: &[u8],
    hash: &[u8; 16],
    rows: usize,
    widths: [usize; WIDTHS],
) -> Result<[Vec<f32>; WIDTHS], Failure> {
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
    let (shape, _) = payload.as_chunks::<4>();
    let shape = shape.iter().take(1 + WIDTHS).map(|&n| u32::from_le_bytes(n) as usize);
    if !shape.eq(std::iter::once(rows).chain(widths))
        || file_len(rows, widths) != Some(file.len() as u64)
    {
        return Err(garbled(path, "holds rows of another shape than the manifest says"));
    }
    let mut rest = &payload[SHAPE..];
    Ok(widths.map(|width| {
        let (column, after) = rest.split_at(4 * rows * width);
        rest = after;
        let (cells, _) = column.as_chunks::<4>();
        cells.iter().map(|&cell| f32::from_le_bytes(cell)).collect()
    }))
}
