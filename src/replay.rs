//! Replay: a ring buffer of transitions, and the batches drawn from it.
//!
//! Rows are stored as `f32` in one contiguous vector a column. Memory grows with the rows that are
//! there, never beyond the capacity. Rows are addressed by age (0 is the oldest), so what a draw
//! returns does not depend on where the ring happens to start.
//!
//! Five columns are in every buffer; more are added by name: the states of a model, a person's own.

mod batch;
mod layout;
mod recorded;

pub use batch::{Batch, Rows, Start, TransitionRow};
pub use recorded::Recorded;

use std::ops::Range;

use candle_core::{DType, Tensor};

use crate::error::{Error, Result};
use crate::rng::Rng;
use crate::shape::{Spec, exact, rows};

/// The columns of every buffer, in the order in which a checkpoint writes them.
const COLUMNS: [&str; 5] = ["obs", "action", "reward", "next_obs", "cont"];
const REWARD: usize = 2;
const CONT: usize = 4;

/// The column of a model's states, where they are not the observations.
pub const STATE: &str = "state";
/// The column of the states after the action.
pub const NEXT_STATE: &str = "next_state";

/// A column: its name, its numbers a row, and those of all rows.
#[derive(Debug, Clone, PartialEq)]
struct Column {
    name: String,
    width: usize,
    numbers: Vec<f32>,
}

impl Column {
    fn new(name: impl Into<String>, width: usize) -> Self {
        Self { name: name.into(), width, numbers: Vec::new() }
    }

    fn row(&self, place: usize) -> &[f32] {
        &self.numbers[place * self.width..][..self.width]
    }
}

/// A ring buffer of transitions: once full, each new row replaces the oldest.
#[derive(Debug, Clone, PartialEq)]
pub struct Replay {
    capacity: usize,
    columns: Vec<Column>,
    /// Where the oldest row lies; 0 until the ring is full.
    oldest: usize,
}

impl Replay {
    /// An empty buffer for at most `capacity` rows of `[obs_dim]` observations and `[action_dim]`
    /// actions. Nothing is allocated yet.
    ///
    /// # Errors
    /// [`Error::Config`] when `capacity` is 0.
    pub fn new(capacity: usize, obs_dim: usize, action_dim: usize) -> Result<Self> {
        check_capacity(capacity)?;
        let widths = [obs_dim, action_dim, 1, obs_dim, 1];
        let columns = COLUMNS.into_iter().zip(widths).map(|(name, width)| Column::new(name, width));
        Ok(Self { capacity, columns: columns.collect(), oldest: 0 })
    }

    /// The same, empty, with a column of its own of `width` numbers a row.
    ///
    /// # Errors
    /// [`Error::Config`] for a name that is taken, or no width.
    pub fn with_column(mut self, name: &str, width: usize) -> Result<Self> {
        let taken = self.columns.iter().any(|column| column.name == name);
        if taken || width == 0 {
            let problem = match taken {
                true => "this column of a replay buffer occurs twice",
                false => "a column of a replay buffer needs at least one number a row",
            };
            return Err(Error::config(name, problem));
        }
        self.clear();
        self.columns.push(Column::new(name, width));
        Ok(self)
    }

    /// The names and widths of its own columns, in their order.
    pub fn own(&self) -> impl Iterator<Item = (&str, usize)> {
        self.columns[COLUMNS.len()..].iter().map(|column| (column.name.as_str(), column.width))
    }

    /// The number of rows.
    #[must_use]
    pub fn len(&self) -> usize {
        self.columns[REWARD].numbers.len()
    }

    /// Whether there is no row.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The largest number of rows.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// Numbers a row.
    #[must_use]
    pub fn width(&self) -> usize {
        self.columns.iter().map(|column| column.width).sum()
    }

    /// The length `O` of an observation.
    #[must_use]
    pub fn obs_dim(&self) -> usize {
        self.columns[0].width
    }

    /// The length `A` of an action.
    #[must_use]
    pub fn action_dim(&self) -> usize {
        self.columns[1].width
    }

    /// Bytes held for rows, including room to grow.
    #[must_use]
    pub fn allocated_bytes(&self) -> usize {
        self.columns.iter().map(|c| c.numbers.capacity() * size_of::<f32>()).sum()
    }

    /// Forgets every row and gives the memory back.
    pub fn clear(&mut self) {
        self.columns.iter_mut().for_each(|column| column.numbers = Vec::new());
        self.oldest = 0;
    }

    /// Changes the capacity and keeps the newest rows that fit.
    ///
    /// # Errors
    /// [`Error::Config`] when `capacity` is 0.
    pub fn resize(&mut self, capacity: usize) -> Result<()> {
        check_capacity(capacity)?;
        let surplus = self.len().saturating_sub(capacity);
        for Column { width, numbers, .. } in &mut self.columns {
            numbers.rotate_left(self.oldest * *width);
            numbers.drain(..surplus * *width);
            numbers.shrink_to(capacity.saturating_mul(*width));
        }
        self.oldest = 0;
        self.capacity = capacity;
        Ok(())
    }

    /// Adds one transition.
    ///
    /// # Errors
    /// As [`Replay::push_batch`].
    pub fn push(&mut self, row: &TransitionRow) -> Result<()> {
        let rows = Rows {
            obs: row.obs,
            action: row.action,
            reward: &[row.reward],
            next_obs: row.next_obs,
            cont: &[row.cont],
            own: row.own.clone(),
        };
        self.push_batch(&rows, None).map(drop)
    }

    /// Adds the rows of a batch in order, of a mask `live` `[n]` only the true ones, and returns
    /// how many. Either all of them are added or, on an error, none.
    ///
    /// # Errors
    /// [`Error::Shape`] when a column does not have `n` rows of its width; [`Error::NonFinite`]
    /// naming the column when a live row has a NaN or an infinity; [`Error::Config`] when a live
    /// continuation is neither 0 nor 1.
    pub fn push_batch(&mut self, rows: &Rows, live: Option<&[bool]>) -> Result<usize> {
        let cells = rows.cells();
        let n = rows.reward.len();
        self.check_shapes(&cells, n, live)?;
        let live = |row: usize| live.is_none_or(|mask| mask[row]);
        for row in (0..n).filter(|&row| live(row)) {
            self.check_row(&cells, row)?;
        }
        for row in (0..n).filter(|&row| live(row)) {
            self.write(&cells, row);
        }
        Ok((0..n).filter(|&row| live(row)).count())
    }

    /// [`Replay::push_batch`] from tensors of any float type.
    ///
    /// # Errors
    /// As [`Replay::push_batch`]; [`Error::Tensor`] when a tensor cannot be read.
    pub fn push_tensors(&mut self, batch: &Batch, live: Option<&[bool]>) -> Result<usize> {
        let n = rows(&batch.obs, self.obs_dim(), "replay: obs")?;
        exact(&batch.action, &[n, self.action_dim()], "replay: action")?;
        exact(&batch.reward, &[n], "replay: reward")?;
        exact(&batch.next_obs, &[n, self.obs_dim()], "replay: next_obs")?;
        exact(&batch.cont, &[n], "replay: cont")?;
        let mut own = Vec::new();
        for (name, width) in self.own() {
            let missing =
                || Error::shape(format!("replay: {name}"), format!("[{n},{width}]"), "none");
            let column = batch.own.get(name).ok_or_else(missing)?;
            exact(column, &[n, width], &format!("replay: {name}"))?;
            own.push(to_f32(column)?);
        }
        let rows = Rows {
            obs: &to_f32(&batch.obs)?,
            action: &to_f32(&batch.action)?,
            reward: &to_f32(&batch.reward)?,
            next_obs: &to_f32(&batch.next_obs)?,
            cont: &to_f32(&batch.cont)?,
            own: own.iter().map(Vec::as_slice).collect(),
        };
        self.push_batch(&rows, live)
    }

    fn check_shapes(&self, cells: &[&[f32]], n: usize, live: Option<&[bool]>) -> Result<()> {
        if cells.len() != self.columns.len() {
            let names: Vec<&str> = self.own().map(|(name, _)| name).collect();
            let got = cells.len() - COLUMNS.len();
            return Err(Error::shape("replay: own columns", format!("{names:?}"), got));
        }
        for (cell, Column { width, name, .. }) in cells.iter().zip(&self.columns) {
            if cell.len() != n * width {
                let expected = format!("{n} rows of {width}, that is {} numbers", n * width);
                return Err(Error::shape(format!("replay: {name}"), expected, cell.len()));
            }
        }
        match live {
            Some(mask) if mask.len() != n => {
                Err(Error::shape("replay: live mask", format!("[{n}]"), [mask.len()]))
            }
            _ => Ok(()),
        }
    }

    fn check_row(&self, cells: &[&[f32]], row: usize) -> Result<()> {
        for (cell, Column { width, name, .. }) in cells.iter().zip(&self.columns) {
            if !cell[row * width..][..*width].iter().all(|x| x.is_finite()) {
                let held = self.len();
                return Err(Error::NonFinite {
                    quantity: format!("{name} of a transition"),
                    step: format!("row {row} of those added to a replay buffer of {held} rows"),
                });
            }
        }
        let cont = cells[CONT][row];
        if cont != 0.0 && cont != 1.0 {
            return Err(Error::config("cont", format!("must be 0 or 1 in row {row}, got {cont}")));
        }
        Ok(())
    }

    /// Writes row `row` of `cells` as the newest.
    fn write(&mut self, cells: &[&[f32]], row: usize) {
        let full = self.len() == self.capacity;
        for (Column { width, numbers, .. }, cell) in self.columns.iter_mut().zip(cells) {
            let new = &cell[row * *width..][..*width];
            if full {
                numbers[self.oldest * *width..][..*width].copy_from_slice(new);
            } else {
                reserve(numbers, *width, *width, self.capacity);
                numbers.extend_from_slice(new);
            }
        }
        if full {
            self.oldest = (self.oldest + 1) % self.capacity;
        }
    }

    /// Where the row of age rank `age` lies (0 is the oldest).
    fn place(&self, age: usize) -> usize {
        let place = self.oldest + age;
        if place < self.len() { place } else { place - self.len() }
    }

    /// The transition of age rank `age` (0 is the oldest), if there are that many.
    #[must_use]
    pub fn get(&self, age: usize) -> Option<TransitionRow<'_>> {
        if age >= self.len() {
            return None;
        }
        let place = self.place(age);
        let [obs, action, reward, next_obs, cont] =
            std::array::from_fn(|i| self.columns[i].row(place));
        let own = self.columns[COLUMNS.len()..].iter().map(|column| column.row(place)).collect();
        Some(TransitionRow { obs, action, reward: reward[0], next_obs, cont: cont[0], own })
    }

    /// The transitions from the oldest to the newest.
    pub fn iter(&self) -> impl Iterator<Item = TransitionRow<'_>> {
        (0..self.len()).filter_map(|age| self.get(age))
    }

    /// The rows with these age ranks (0 is the oldest), in the order given.
    ///
    /// # Errors
    /// [`Error::Shape`] when an index is not below [`Replay::len`].
    pub fn gather(&self, ages: &[usize], spec: &Spec) -> Result<Batch> {
        let mut out = self.empty();
        self.collect(ages.iter().copied(), &mut out)?;
        batch(out, spec)
    }

    /// `n` rows drawn uniformly with replacement.
    ///
    /// # Errors
    /// [`Error::Shape`] when the buffer is empty.
    pub fn sample(&self, n: usize, rng: &mut Rng, spec: &Spec) -> Result<Batch> {
        let mut out = self.empty();
        self.draw(n, rng, &mut out)?;
        batch(out, spec)
    }

    /// The newest `n` rows (all, when there are fewer), from the oldest to the newest.
    ///
    /// # Errors
    /// [`Error::Tensor`] when candle refuses the shape.
    pub fn last(&self, n: usize, spec: &Spec) -> Result<Batch> {
        let mut out = self.empty();
        self.collect(self.len().saturating_sub(n)..self.len(), &mut out)?;
        batch(out, spec)
    }

    /// MBPO's mixed batch: `floor(n * real_ratio)` rows of `real`, then the rest of `model`, each
    /// drawn uniformly with replacement. An empty `model` gives `n` real rows.
    ///
    /// # Errors
    /// [`Error::Config`] when `real_ratio` is not in `[0, 1]`; [`Error::Shape`] when the buffers'
    /// columns differ or a buffer that is drawn from is empty.
    pub fn mixed(
        real: &Self,
        model: &Self,
        n: usize,
        real_ratio: f64,
        rng: &mut Rng,
        spec: &Spec,
    ) -> Result<Batch> {
        if !(0.0..=1.0).contains(&real_ratio) {
            return Err(Error::config(
                "real_ratio",
                format!("must be in [0, 1], got {real_ratio}"),
            ));
        }
        if !model.is_empty() && real.columns() != model.columns() {
            let place = "replay: columns of the model buffer";
            return Err(Error::shape(place, format!("{:?}", real.columns()), model.columns()));
        }
        let n_real = if model.is_empty() { n } else { (n as f64 * real_ratio) as usize };
        let mut out = real.empty();
        real.draw(n_real, rng, &mut out)?;
        model.draw(n - n_real, rng, &mut out)?;
        batch(out, spec)
    }

    fn draw(&self, n: usize, rng: &mut Rng, out: &mut [Column]) -> Result<()> {
        if self.is_empty() && n > 0 {
            return Err(Error::shape("replay: sample", "a buffer with at least one row", 0));
        }
        self.collect((0..n).map(|_| rng.below(self.len())), out)
    }

    /// The columns without a row.
    fn empty(&self) -> Vec<Column> {
        let columns = self.columns.iter();
        columns.map(|column| Column::new(column.name.clone(), column.width)).collect()
    }

    /// Appends the rows with these age ranks to `out`, column by column.
    fn collect(
        &self,
        ages: impl ExactSizeIterator<Item = usize>,
        out: &mut [Column],
    ) -> Result<()> {
        for Column { width, numbers, .. } in out.iter_mut() {
            numbers.reserve(ages.len() * *width);
        }
        for age in ages {
            if age >= self.len() {
                return Err(Error::shape("replay: index", format!("below {}", self.len()), age));
            }
            let place = self.place(age);
            for (to, from) in out.iter_mut().zip(&self.columns) {
                to.numbers.extend_from_slice(from.row(place));
            }
        }
        Ok(())
    }

    /// The age ranks among the newest `n` at which `length` unbroken transitions begin.
    #[must_use]
    pub fn windows(&self, n: usize, length: usize) -> Vec<usize> {
        let begin = |ages: Range<usize>| ages.start..=ages.end - length;
        self.stretches(n, length).into_iter().flat_map(begin).collect()
    }

    /// `length` transitions from each of the age ranks `starts` on: of every step a batch `[n,..]`.
    ///
    /// # Errors
    /// As [`Replay::gather`].
    pub fn sequences(&self, starts: &[usize], length: usize, spec: &Spec) -> Result<Vec<Batch>> {
        let at = |t| self.gather(&starts.iter().map(|start| start + t).collect::<Vec<_>>(), spec);
        (0..length).map(at).collect()
    }

    /// The age ranks of unbroken stretches of at least `shortest` transitions among the newest `n`. An
    /// episode ends where the next observation is not the next row's observation.
    #[must_use]
    pub fn stretches(&self, n: usize, shortest: usize) -> Vec<Range<usize>> {
        let (obs, next_obs) = (&self.columns[0], &self.columns[3]);
        let goes_on = |age: usize| {
            age + 1 < self.len() && next_obs.row(self.place(age)) == obs.row(self.place(age + 1))
        };
        let mut start = self.len().saturating_sub(n);
        let mut all = Vec::new();
        for end in (start..self.len()).filter(|age| !goes_on(*age)) {
            if end + 1 - start >= shortest {
                all.push(start..end + 1);
            }
            start = end + 1;
        }
        all
    }
}

fn check_capacity(capacity: usize) -> Result<()> {
    if capacity == 0 {
        return Err(Error::config("replay capacity", "must be at least 1, got 0"));
    }
    Ok(())
}

/// Makes room for `more` numbers, growing by a quarter (at least to 64 rows, at most to the
/// capacity). Each column grows by itself, so that even while the widest (at most half of a row) is
/// copied, under twice the rows' size is held.
fn reserve(column: &mut Vec<f32>, more: usize, width: usize, capacity: usize) {
    let needed = column.len() + more;
    if needed > column.capacity() {
        let grown = (needed + needed / 4).max(64 * width).min(capacity.saturating_mul(width));
        column.reserve_exact(grown.max(needed) - column.len());
    }
}

fn to_f32(t: &Tensor) -> Result<Vec<f32>> {
    Ok(t.to_dtype(DType::F32)?.flatten_all()?.to_vec1()?)
}

/// The first five columns are those of [`COLUMNS`].
fn batch(columns: Vec<Column>, spec: &Spec) -> Result<Batch> {
    let tensor = |Column { width, numbers, .. }: Column| -> Result<Tensor> {
        let rows = numbers.len() / width.max(1);
        Ok(Tensor::from_vec(numbers, (rows, width), &spec.device)?.to_dtype(spec.dtype)?)
    };
    let mut columns = columns.into_iter();
    let mut next = || columns.next().map_or_else(|| spec.zeros((0, 0)), tensor);
    let (obs, action, reward) = (next()?, next()?, next()?.squeeze(1)?);
    let (next_obs, cont) = (next()?, next()?.squeeze(1)?);
    let own = columns.map(|column| Ok((column.name.clone(), tensor(column)?)));
    Ok(Batch { obs, action, reward, next_obs, cont, own: own.collect::<Result<_>>()? })
}
