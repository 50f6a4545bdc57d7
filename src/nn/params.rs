//! The parameters of a network: one flat tensor and a table of what lies where.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use candle_core::backprop::GradStore;
use candle_core::{CpuStorage, DType, InplaceOp2, Layout, Storage, Tensor, Var};

use super::kernel;
use crate::error::{Error, Result};
use crate::shape::{Ops, Spec, to_f64};

/// The parameters of a part by name; the empty name where there is one tensor only.
pub type NamedParams<'a> = Vec<(String, &'a Params)>;

/// `prefix.name`, or what is there of the two.
#[must_use]
pub fn joined(prefix: &str, name: &str) -> String {
    match (prefix, name) {
        ("", only) | (only, "") => only.to_string(),
        _ => format!("{prefix}.{name}"),
    }
}

/// Where one named parameter lies in the flat tensor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slot {
    /// First element.
    pub offset: usize,
    /// Shape of the parameter.
    pub shape: Vec<usize>,
}

impl Slot {
    /// Number of elements.
    #[must_use]
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Whether the parameter has no element.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Named parameters stored as one flat variable `[P]`.
///
/// A clone is a view of the same numbers: training one trains the other. [`Params::copy`] is what a
/// target network needs.
#[derive(Debug, Clone)]
pub struct Params {
    var: Var,
    layout: Arc<BTreeMap<String, Slot>>,
    tracked: bool,
    ops: Ops,
    /// How often the numbers were changed; shared with every view of them.
    writes: Arc<AtomicU64>,
}

impl Params {
    /// Parameters from `(name, shape, numbers)`, laid out in the order given.
    ///
    /// # Errors
    /// [`Error::Shape`] when numbers and shape disagree, [`Error::Config`] for a repeated name.
    pub fn new(entries: &[(String, Vec<usize>, Vec<f64>)], spec: &Spec) -> Result<Self> {
        let (mut layout, mut flat) = (BTreeMap::new(), Vec::new());
        for (name, shape, numbers) in entries {
            let slot = Slot { offset: flat.len(), shape: shape.clone() };
            if slot.len() != numbers.len() {
                return Err(Error::shape(
                    format!("parameter `{name}`"),
                    format!("{shape:?}"),
                    [numbers.len()],
                ));
            }
            if layout.insert(name.clone(), slot).is_some() {
                return Err(Error::config(name, "the name of a parameter is used twice"));
            }
            flat.extend_from_slice(numbers);
        }
        // The tensor is fresh, so that no other tensor shares the variable's storage.
        let len = flat.len();
        let var = Var::from_tensor(&spec.tensor(&flat, len)?)?;
        let (layout, writes) = (Arc::new(layout), Arc::default());
        Ok(Self { var, layout, tracked: true, ops: spec.ops, writes })
    }

    /// The flat tensor `[P]`; detached when frozen.
    #[must_use]
    pub fn theta(&self) -> Tensor {
        if self.tracked { self.var.as_tensor().clone() } else { self.var.as_detached_tensor() }
    }

    /// The parameter `name` in its own shape, as a view of [`Params::theta`].
    ///
    /// # Errors
    /// [`Error::Config`] for an unknown name.
    pub fn view(&self, name: &str) -> Result<Tensor> {
        let slot = self.slot(name)?;
        Ok(self.theta().narrow(0, slot.offset, slot.len())?.reshape(slot.shape.as_slice())?)
    }

    /// Where the parameter `name` lies.
    ///
    /// # Errors
    /// [`Error::Config`] for an unknown name.
    pub fn slot(&self, name: &str) -> Result<&Slot> {
        self.layout.get(name).ok_or_else(|| {
            let known: Vec<&str> = self.names().collect();
            Error::config(name, format!("no such parameter; there are: {}", known.join(", ")))
        })
    }

    /// The names, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.layout.keys().map(String::as_str)
    }

    /// Names and places, sorted by name.
    #[must_use]
    pub fn layout(&self) -> &BTreeMap<String, Slot> {
        &self.layout
    }

    /// Number of parameters `P`.
    #[must_use]
    pub fn len(&self) -> usize {
        self.var.elem_count()
    }

    /// Whether there is no parameter at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether gradients reach these parameters.
    #[must_use]
    pub fn is_tracked(&self) -> bool {
        self.tracked
    }

    /// Which implementation they were made for; their optimiser follows it.
    #[must_use]
    pub fn ops(&self) -> Ops {
        self.ops
    }

    /// The same numbers, still shared, without gradients.
    #[must_use]
    pub fn frozen(&self) -> Self {
        Self { tracked: false, ..self.clone() }
    }

    /// A deep copy that shares nothing, with gradients.
    ///
    /// # Errors
    /// [`Error::Tensor`] when memory runs out.
    pub fn copy(&self) -> Result<Self> {
        // `Var::from_tensor` copies a plain tensor, but hands a variable back as it is: online and
        // target network would be one.
        let var = Var::from_tensor(&self.var.as_detached_tensor())?;
        Ok(Self { var, tracked: true, writes: Arc::default(), ..self.clone() })
    }

    /// How often the numbers were changed since they were made. A graph reads them as they are when
    /// it is gone through backward, so one that was built before a change gives wrong gradients.
    #[must_use]
    pub fn writes(&self) -> u64 {
        self.writes.load(Ordering::Relaxed)
    }

    /// Notes a change of the numbers through [`Params::var`].
    pub(super) fn wrote(&self) {
        self.writes.fetch_add(1, Ordering::Relaxed);
    }

    /// All numbers in storage order.
    ///
    /// # Errors
    /// [`Error::Tensor`] when the tensor cannot be read.
    pub fn to_flat(&self) -> Result<Vec<f64>> {
        to_f64(&self.var.as_detached_tensor())
    }

    /// Replaces all numbers, in storage order.
    ///
    /// # Errors
    /// [`Error::Shape`] for another length.
    pub fn set_flat(&self, numbers: &[f64]) -> Result<()> {
        if numbers.len() != self.len() {
            return Err(Error::shape("parameters", format!("[{}]", self.len()), [numbers.len()]));
        }
        let spec =
            Spec { dtype: self.var.dtype(), device: self.var.device().clone(), ..Spec::f32() };
        self.wrote();
        Ok(self.var.set(&spec.tensor(numbers, numbers.len())?)?)
    }

    /// Replaces the numbers in `ranges` of the storage order by those of `from`.
    ///
    /// # Errors
    /// [`Error::Shape`] when the two do not have equally many numbers of one type, or a range
    /// reaches beyond them; nothing is changed then.
    pub fn copy_ranges(&self, from: &Self, ranges: &[Range<usize>]) -> Result<()> {
        let n = self.len();
        if from.len() != n || from.var.dtype() != self.var.dtype() {
            let got = format!("[{}] of {:?}", from.len(), from.var.dtype());
            let expected = format!("[{n}] of {:?}", self.var.dtype());
            return Err(Error::shape("parameters to copy", expected, got));
        }
        if let Some(range) = ranges.iter().find(|r| r.start > r.end || r.end > n) {
            return Err(Error::shape("range of parameters", format!("inside 0..{n}"), range));
        }
        // The in-place loop would wait for its own lock.
        if ranges.is_empty() || self.var.id() == from.var.id() {
            return Ok(());
        }
        self.wrote();
        let (to, from) = (self.var.as_tensor(), from.var.as_tensor());
        if to.device().is_cpu() && matches!(to.dtype(), DType::F32 | DType::F64) {
            return Ok(to.inplace_op2(from, &CopyRanges(ranges))?);
        }
        let (mut numbers, new) = (to_f64(&to.detach())?, to_f64(&from.detach())?);
        for range in ranges {
            numbers[range.clone()].copy_from_slice(&new[range.clone()]);
        }
        self.set_flat(&numbers)
    }

    /// Every parameter as a tensor of its own, named `prefix.name`.
    ///
    /// # Errors
    /// [`Error::Tensor`] when memory runs out.
    pub fn named_tensors(&self, prefix: &str) -> Result<BTreeMap<String, Tensor>> {
        let frozen = self.frozen();
        self.names().map(|n| Ok((joined(prefix, n), frozen.view(n)?.copy()?))).collect()
    }

    /// Replaces every parameter by the tensor named `prefix.name`.
    ///
    /// Nothing is changed unless everything fits.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] for a missing name or one that starts with `prefix.` and is unknown,
    /// [`Error::Shape`] for another shape.
    pub fn load_named(&self, prefix: &str, tensors: &BTreeMap<String, Tensor>) -> Result<()> {
        let own = format!("{prefix}.");
        // One tensor without a name of its own has the whole prefix for a name.
        let unnamed = self.layout.contains_key("");
        for name in tensors.keys().filter_map(|n| n.strip_prefix(&own)) {
            if !unnamed && !self.layout.contains_key(name) {
                let problem = format!("it holds `{own}{name}`, which this network does not have");
                return Err(Error::checkpoint(prefix, problem));
            }
        }
        let mut flat = vec![0.0; self.len()];
        for (name, slot) in self.layout.iter() {
            let full = joined(prefix, name);
            let Some(tensor) = tensors.get(&full) else {
                let problem = format!("`{full}` is missing: it was saved by another network");
                return Err(Error::checkpoint(prefix, problem));
            };
            crate::shape::exact(tensor, &slot.shape, &full)?;
            flat[slot.offset..slot.offset + slot.len()].copy_from_slice(&to_f64(tensor)?);
        }
        self.set_flat(&flat)
    }

    /// The variable behind [`Params::theta`].
    #[must_use]
    pub fn var(&self) -> &Var {
        &self.var
    }

    /// The flat gradient `[P]`, if the loss depends on these parameters.
    ///
    /// # Errors
    /// None at present.
    pub fn grad(&self, grads: &GradStore) -> Result<Option<Tensor>> {
        Ok(grads.get(self.var.as_tensor()).cloned())
    }

    /// Fails when a parameter is NaN or infinite.
    ///
    /// # Errors
    /// [`Error::NonFinite`] naming `quantity` and `step`.
    pub fn check_finite(&self, quantity: impl Display, step: impl Display) -> Result<()> {
        check_finite(&self.var.as_detached_tensor(), quantity, step)
    }
}

/// Fails when an element of `t` is NaN or infinite.
pub(crate) fn check_finite(t: &Tensor, quantity: impl Display, step: impl Display) -> Result<()> {
    if is_finite(t)? {
        return Ok(());
    }
    Err(Error::NonFinite { quantity: quantity.to_string(), step: step.to_string() })
}

fn is_finite(t: &Tensor) -> Result<bool> {
    let t = t.contiguous()?;
    let (storage, layout) = t.storage_and_layout();
    let range = layout.start_offset()..layout.start_offset() + t.elem_count();
    match &*storage {
        Storage::Cpu(CpuStorage::F32(x)) => return Ok(kernel::all_finite(&x[range])),
        Storage::Cpu(CpuStorage::F64(x)) => return Ok(kernel::all_finite(&x[range])),
        _ => {}
    }
    drop(storage);
    Ok(to_f64(&t)?.iter().all(|x| x.is_finite()))
}

/// Polyak averaging, in place: `target <- (1 - tau) target + tau online`.
///
/// # Errors
/// [`Error::Config`] when the two are not laid out alike or `tau` lies outside `[0, 1]`.
pub fn polyak(target: &Params, online: &Params, tau: f64) -> Result<()> {
    if !(0.0..=1.0).contains(&tau) {
        return Err(Error::config("tau", format!("expected a number in [0, 1], got {tau}")));
    }
    if target.layout != online.layout || target.var.dtype() != online.var.dtype() {
        return Err(Error::config("tau", "target and online network are not laid out alike"));
    }
    // A network averaged with itself stays; the in-place loop would wait for its own lock.
    if target.var.id() == online.var.id() {
        return Ok(());
    }
    target.wrote();
    let (t, o) = (target.var.as_tensor(), online.var.as_tensor());
    if t.device().is_cpu() && matches!(t.dtype(), DType::F32 | DType::F64) {
        return Ok(t.inplace_op2(o, &Polyak(tau))?);
    }
    Ok(target.var.set(&((t.detach() * (1.0 - tau))? + (o.detach() * tau)?)?)?)
}

struct Polyak(f64);

impl InplaceOp2 for Polyak {
    fn name(&self) -> &'static str {
        "polyak"
    }

    fn cpu_fwd(
        &self,
        target: &mut CpuStorage,
        _: &Layout,
        online: &CpuStorage,
        _: &Layout,
    ) -> candle_core::Result<()> {
        match (target, online) {
            (CpuStorage::F32(t), CpuStorage::F32(o)) => kernel::polyak(t, o, self.0 as f32),
            (CpuStorage::F64(t), CpuStorage::F64(o)) => kernel::polyak(t, o, self.0),
            _ => candle_core::bail!("polyak: expected f32 or f64"),
        }
        Ok(())
    }
}

struct CopyRanges<'a>(&'a [Range<usize>]);

impl CopyRanges<'_> {
    fn run<T: Copy>(&self, to: &mut [T], from: &[T]) {
        for range in self.0 {
            to[range.clone()].copy_from_slice(&from[range.clone()]);
        }
    }
}

impl InplaceOp2 for CopyRanges<'_> {
    fn name(&self) -> &'static str {
        "copy-ranges"
    }

    fn cpu_fwd(
        &self,
        to: &mut CpuStorage,
        _: &Layout,
        from: &CpuStorage,
        _: &Layout,
    ) -> candle_core::Result<()> {
        match (to, from) {
            (CpuStorage::F32(to), CpuStorage::F32(from)) => self.run(to, from),
            (CpuStorage::F64(to), CpuStorage::F64(from)) => self.run(to, from),
            _ => candle_core::bail!("copy-ranges: expected two of f32 or two of f64"),
        }
        Ok(())
    }
}
