//! Replay: a ring buffer of transitions, and the batches drawn from it.
//!
//! Rows are stored as `f32` in one contiguous vector a column. Memory grows with the rows that are
//! there, never beyond the capacity. Rows are addressed by age (0 is the oldest), so what a draw
//! returns does not depend on where the ring happens to start.

use candle_core::{DType, Tensor};

use crate::error::{Error, Result};
use crate::rng::Rng;
use crate::shape::{Spec, exact, rows};

/// The columns of a transition, in the order in which a checkpoint writes them.
const COLUMNS: [&str; 6] = ["obs", "action", "reward", "next_obs", "cont", "state"];
const N: usize = COLUMNS.len();
const REWARD: usize = 2;
const CONT: usize = 4;
const STATE: usize = 5;

/// One transition `(s_t, a_t, r_t, s_tp1, cont_t)`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TransitionRow<'a> {
    /// The observation `[O]`.
    pub obs: &'a [f32],
    /// The normalised action `[A]`, each in `[-1, 1]`.
    pub action: &'a [f32],
    /// The reward.
    pub reward: f32,
    /// The next observation `[O]`.
    pub next_obs: &'a [f32],
    /// 0 when the episode terminated here, otherwise 1 (also when it was truncated).
    pub cont: f32,
    /// The simulator's state `[S]` before the action; empty where the buffer carries none.
    pub state: &'a [f32],
}

/// Many transitions, each column row-major.
#[derive(Debug, Clone, Copy)]
pub struct Rows<'a> {
    /// Observations `[n,O]`.
    pub obs: &'a [f32],
    /// Normalised actions `[n,A]`.
    pub action: &'a [f32],
    /// Rewards `[n]`.
    pub reward: &'a [f32],
    /// Next observations `[n,O]`.
    pub next_obs: &'a [f32],
    /// Continuations `[n]`, each 0 or 1.
    pub cont: &'a [f32],
    /// Simulator states `[n,S]`; empty where the buffer carries none.
    pub state: &'a [f32],
}

impl<'a> Rows<'a> {
    fn cells(&self) -> [&'a [f32]; N] {
        [self.obs, self.action, self.reward, self.next_obs, self.cont, self.state]
    }
}

/// A batch of transitions as tensors of a [`Spec`]'s number type.
#[derive(Debug, Clone)]
pub struct Batch {
    /// Observations `[n,O]`.
    pub obs: Tensor,
    /// Normalised actions `[n,A]`.
    pub action: Tensor,
    /// Rewards `[n]`.
    pub reward: Tensor,
    /// Next observations `[n,O]`.
    pub next_obs: Tensor,
    /// Continuations `[n]`, each 0 or 1.
    pub cont: Tensor,
    /// Simulator states `[n,S]`, where the buffer carries them.
    pub state: Option<Tensor>,
}

impl Batch {
    /// The number of rows.
    #[must_use]
    pub fn len(&self) -> usize {
        self.reward.elem_count()
    }

    /// Whether there is no row.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A ring buffer of transitions: once full, each new row replaces the oldest.
#[derive(Debug, Clone, PartialEq)]
pub struct Replay {
    capacity: usize,
    widths: [usize; N],
    columns: [Vec<f32>; N],
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
        let widths = [obs_dim, action_dim, 1, obs_dim, 1, 0];
        Ok(Self { capacity, widths, columns: Default::default(), oldest: 0 })
    }

    /// The same, empty, with a column for simulator states `[state_dim]`.
    #[must_use]
    pub fn with_state(mut self, state_dim: usize) -> Self {
        self.clear();
        self.widths[STATE] = state_dim;
        self
    }

    /// The number of rows.
    #[must_use]
    pub fn len(&self) -> usize {
        self.columns[REWARD].len()
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

    /// The length `O` of an observation.
    #[must_use]
    pub fn obs_dim(&self) -> usize {
        self.widths[0]
    }

    /// The length `A` of an action.
    #[must_use]
    pub fn action_dim(&self) -> usize {
        self.widths[1]
    }

    /// The length `S` of a simulator state, 0 where the buffer carries none.
    #[must_use]
    pub fn state_dim(&self) -> usize {
        self.widths[STATE]
    }

    /// Bytes held for rows, including room to grow.
    #[must_use]
    pub fn allocated_bytes(&self) -> usize {
        self.columns.iter().map(|c| c.capacity() * size_of::<f32>()).sum()
    }

    /// Forgets every row and gives the memory back.
    pub fn clear(&mut self) {
        self.columns = Default::default();
        self.oldest = 0;
    }

    /// Changes the capacity and keeps the newest rows that fit.
    ///
    /// # Errors
    /// [`Error::Config`] when `capacity` is 0.
    pub fn resize(&mut self, capacity: usize) -> Result<()> {
        check_capacity(capacity)?;
        let surplus = self.len().saturating_sub(capacity);
        for (column, width) in self.columns.iter_mut().zip(self.widths) {
            column.rotate_left(self.oldest * width);
            column.drain(..surplus * width);
            column.shrink_to(capacity.saturating_mul(width));
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
            state: row.state,
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
            check_row(&cells, &self.widths, row, self.len())?;
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
        let state = batch.state.as_ref().map(to_f32).transpose()?.unwrap_or_default();
        let rows = Rows {
            obs: &to_f32(&batch.obs)?,
            action: &to_f32(&batch.action)?,
            reward: &to_f32(&batch.reward)?,
            next_obs: &to_f32(&batch.next_obs)?,
            cont: &to_f32(&batch.cont)?,
            state: &state,
        };
        self.push_batch(&rows, live)
    }

    fn check_shapes(&self, cells: &[&[f32]; N], n: usize, live: Option<&[bool]>) -> Result<()> {
        for ((cell, width), name) in cells.iter().zip(self.widths).zip(COLUMNS) {
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

    /// Writes row `row` of `cells` as the newest.
    fn write(&mut self, cells: &[&[f32]; N], row: usize) {
        let full = self.len() == self.capacity;
        for ((column, width), cell) in self.columns.iter_mut().zip(self.widths).zip(cells) {
            let new = &cell[row * width..][..width];
            if full {
                column[self.oldest * width..][..width].copy_from_slice(new);
            } else {
                reserve(column, width, width, self.capacity);
                column.extend_from_slice(new);
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
        let [obs, action, reward, next_obs, cont, state] =
            std::array::from_fn(|i| &self.columns[i][place * self.widths[i]..][..self.widths[i]]);
        Some(TransitionRow { obs, action, reward: reward[0], next_obs, cont: cont[0], state })
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
        let mut out = Default::default();
        self.collect(ages.iter().copied(), &mut out)?;
        batch(out, &self.widths, spec)
    }

    /// `n` rows drawn uniformly with replacement.
    ///
    /// # Errors
    /// [`Error::Shape`] when the buffer is empty.
    pub fn sample(&self, n: usize, rng: &mut Rng, spec: &Spec) -> Result<Batch> {
        let mut out = Default::default();
        self.draw(n, rng, &mut out)?;
        batch(out, &self.widths, spec)
    }

    /// The newest `n` rows (all, when there are fewer), from the oldest to the newest.
    ///
    /// # Errors
    /// [`Error::Tensor`] when candle refuses the shape.
    pub fn last(&self, n: usize, spec: &Spec) -> Result<Batch> {
        let mut out = Default::default();
        self.collect(self.len().saturating_sub(n)..self.len(), &mut out)?;
        batch(out, &self.widths, spec)
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
        if real.widths != model.widths {
            let place = "replay: widths of the model buffer's columns";
            return Err(Error::shape(place, format!("{:?}", real.widths), model.widths));
        }
        let n_real = if model.is_empty() { n } else { (n as f64 * real_ratio) as usize };
        let mut out = Default::default();
        real.draw(n_real, rng, &mut out)?;
        model.draw(n - n_real, rng, &mut out)?;
        batch(out, &real.widths, spec)
    }

    fn draw(&self, n: usize, rng: &mut Rng, out: &mut [Vec<f32>; N]) -> Result<()> {
        if self.is_empty() && n > 0 {
            return Err(Error::shape("replay: sample", "a buffer with at least one row", 0));
        }
        self.collect((0..n).map(|_| rng.below(self.len())), out)
    }

    /// Appends the rows with these age ranks to `out`, column by column.
    fn collect(
        &self,
        ages: impl ExactSizeIterator<Item = usize>,
        out: &mut [Vec<f32>; N],
    ) -> Result<()> {
        for (column, width) in out.iter_mut().zip(self.widths) {
            column.reserve(ages.len() * width);
        }
        for age in ages {
            if age >= self.len() {
                return Err(Error::shape("replay: index", format!("below {}", self.len()), age));
            }
            let place = self.place(age);
            for ((to, from), width) in out.iter_mut().zip(&self.columns).zip(self.widths) {
                to.extend_from_slice(&from[place * width..][..width]);
            }
        }
        Ok(())
    }

    /// Where the oldest row lies: with [`Replay::stored`] the exact layout, for checkpoints.
    pub(crate) fn oldest(&self) -> usize {
        self.oldest
    }

    /// The columns of the stored rows `first..first + n`, as they lie.
    pub(crate) fn stored(&self, first: usize, n: usize) -> [&[f32]; N] {
        std::array::from_fn(|i| &self.columns[i][first * self.widths[i]..][..n * self.widths[i]])
    }

    /// The columns of [`Replay::stored`] that have a width: their names and widths.
    pub(crate) fn columns(&self) -> Vec<(&'static str, usize)> {
        COLUMNS.into_iter().zip(self.widths).filter(|(_, width)| *width > 0).collect()
    }

    /// An empty buffer with columns as [`Replay::columns`] gave them, in any order.
    pub(crate) fn of_columns(capacity: usize, columns: &[(&str, usize)]) -> Result<Self> {
        let mut widths = [0; N];
        for (name, width) in columns {
            let at = column_at(name)?;
            if std::mem::replace(&mut widths[at], *width) > 0 {
                return Err(Error::config(*name, "this column of a replay buffer occurs twice"));
            }
        }
        let [obs, action, reward, next_obs, cont, state] = widths;
        if (reward, cont, next_obs) != (1, 1, obs) {
            let expected = format!("reward and cont of 1, next_obs of {obs} as obs");
            return Err(Error::shape("replay: widths of the columns", expected, widths));
        }
        Ok(Self::new(capacity, obs, action)?.with_state(state))
    }

    /// Appends stored rows, as [`Replay::stored`] gave them, without looking at the numbers.
    pub(crate) fn append_stored(&mut self, numbers: &[(&str, Vec<f32>)]) -> Result<()> {
        for (name, from) in numbers {
            let at = column_at(name)?;
            let to = &mut self.columns[at];
            reserve(to, from.len(), self.widths[at], self.capacity);
            to.extend_from_slice(from);
        }
        Ok(())
    }

    /// Sets where the oldest row lies, after the last [`Replay::append_stored`].
    pub(crate) fn set_oldest(&mut self, oldest: usize) {
        self.oldest = oldest;
    }
}

fn column_at(name: &str) -> Result<usize> {
    COLUMNS.iter().position(|column| *column == name).ok_or_else(|| {
        let problem = format!("is no column of a replay buffer; there are {}", COLUMNS.join(", "));
        Error::config(name, problem)
    })
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

fn check_row(cells: &[&[f32]; N], widths: &[usize; N], row: usize, held: usize) -> Result<()> {
    for ((cell, &width), name) in cells.iter().zip(widths).zip(COLUMNS) {
        if !cell[row * width..][..width].iter().all(|x| x.is_finite()) {
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

fn to_f32(t: &Tensor) -> Result<Vec<f32>> {
    Ok(t.to_dtype(DType::F32)?.flatten_all()?.to_vec1()?)
}

fn batch(columns: [Vec<f32>; N], widths: &[usize; N], spec: &Spec) -> Result<Batch> {
    let n = columns[REWARD].len();
    let [obs, action, reward, next_obs, cont, state] = columns;
    let vector = |data: Vec<f32>| -> Result<Tensor> {
        Ok(Tensor::from_vec(data, n, &spec.device)?.to_dtype(spec.dtype)?)
    };
    let matrix = |data: Vec<f32>, width: usize| -> Result<Tensor> {
        Ok(Tensor::from_vec(data, (n, width), &spec.device)?.to_dtype(spec.dtype)?)
    };
    Ok(Batch {
        obs: matrix(obs, widths[0])?,
        action: matrix(action, widths[1])?,
        reward: vector(reward)?,
        next_obs: matrix(next_obs, widths[3])?,
        cont: vector(cont)?,
        state: (widths[STATE] > 0).then(|| matrix(state, widths[STATE])).transpose()?,
    })
}
