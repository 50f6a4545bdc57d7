//! A buffer as it lies: what checkpoints write and read.

use super::{COLUMNS, Column, Replay, reserve};
use crate::error::{Error, Result};

impl Replay {
    /// Replaces the numbers of one of its own columns, from the oldest row to the newest.
    ///
    /// # Errors
    /// [`Error::Config`] for a column that it does not have, [`Error::Shape`] for another size.
    pub(crate) fn rewrite(&mut self, name: &str, numbers: Vec<f32>) -> Result<()> {
        let (rows, oldest) = (self.len(), self.oldest);
        let column = self.columns.iter_mut().skip(COLUMNS.len()).find(|c| c.name == name);
        let Some(column) = column else {
            return Err(Error::config(name, "no own column of a replay buffer has this name"));
        };
        if numbers.len() != rows * column.width {
            let expected = format!("[{rows},{}]", column.width);
            return Err(Error::shape(format!("replay: {name}"), expected, numbers.len()));
        }
        column.numbers = numbers;
        column.numbers.rotate_right(oldest * column.width);
        Ok(())
    }

    /// Where the oldest row lies: with [`Replay::stored`] the exact layout, for checkpoints.
    pub(crate) fn oldest(&self) -> usize {
        self.oldest
    }

    /// The columns of the stored rows `first..first + n`, as they lie.
    pub(crate) fn stored(&self, first: usize, n: usize) -> Vec<&[f32]> {
        let rows = |c: &'_ Column| first * c.width..(first + n) * c.width;
        self.columns.iter().map(|c| &c.numbers[rows(c)]).collect()
    }

    /// The columns of [`Replay::stored`]: their names and widths.
    pub(crate) fn columns(&self) -> Vec<(&str, usize)> {
        self.columns.iter().map(|column| (column.name.as_str(), column.width)).collect()
    }

    /// An empty buffer with columns as [`Replay::columns`] gave them, in any order.
    pub(crate) fn of_columns(capacity: usize, columns: &[(&str, usize)]) -> Result<Self> {
        let width = |name: &str| {
            let found = columns.iter().find(|(column, _)| *column == name);
            found
                .map(|(_, width)| *width)
                .ok_or_else(|| Error::config(name, "the column is missing"))
        };
        let widths =
            [width("obs")?, width("action")?, width("reward")?, width("next_obs")?, width("cont")?];
        let [obs, action, reward, next_obs, cont] = widths;
        if (reward, cont, next_obs) != (1, 1, obs) {
            let expected = format!("reward and cont of 1, next_obs of {obs} as obs");
            return Err(Error::shape("replay: widths of the columns", expected, widths));
        }
        let fixed = Self::new(capacity, obs, action)?;
        let mut seen: Vec<&str> = Vec::new();
        columns.iter().try_fold(fixed, |replay, (name, width)| {
            let first = !seen.contains(name);
            seen.push(name);
            match COLUMNS.contains(name) && first {
                true => Ok(replay),
                false => replay.with_column(name, *width),
            }
        })
    }

    /// Appends stored rows, as [`Replay::stored`] gave them, without looking at the numbers.
    pub(crate) fn append_stored(&mut self, numbers: &[(&str, Vec<f32>)]) -> Result<()> {
        for (name, from) in numbers {
            let capacity = self.capacity;
            let Some(to) = self.columns.iter_mut().find(|column| column.name == *name) else {
                return Err(Error::config(*name, "is no column of this replay buffer"));
            };
            reserve(&mut to.numbers, from.len(), to.width, capacity);
            to.numbers.extend_from_slice(from);
        }
        Ok(())
    }

    /// Sets where the oldest row lies, after the last [`Replay::append_stored`].
    pub(crate) fn set_oldest(&mut self, oldest: usize) {
        self.oldest = oldest;
    }
}
