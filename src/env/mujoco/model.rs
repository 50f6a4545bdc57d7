//! A model and the simulation of it: `mjModel` and `mjData` behind a safe face.
//!
//! Unsafe because every function here calls MuJoCo. What makes it sound: a pointer is that of a
//! model or simulation that MuJoCo made and that lives as long as its owner here; every slice handed
//! over has the length that MuJoCo itself says (`mj_stateSize`), checked before the call; a model is
//! written to through its only owner alone, so threads may share it to read; a simulation belongs to
//! one owner at a time.
#![allow(unsafe_code)]

use std::ffi::{CString, c_char, c_int};
use std::path::Path;
use std::ptr::{NonNull, null};
use std::sync::{Arc, Mutex, PoisonError};

use super::Field;
use super::library::{Library, RawData, RawModel, guarded, take_warning, text_at};
use crate::error::{Error, Result};

/// Parts of the state of a simulation, in the order in which they lie in a saved state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parts(c_int);

impl Parts {
    /// The clock, s.
    pub const TIME: Self = Self(1);
    /// Positions.
    pub const QPOS: Self = Self(1 << 1);
    /// Velocities.
    pub const QVEL: Self = Self(1 << 2);
    /// Controls.
    pub const CTRL: Self = Self(1 << 6);
    /// Forces on the bodies from outside, force first. `[bodies,6]`
    pub const XFRC_APPLIED: Self = Self(1 << 8);
    /// Everything that the next step depends on (`mjSTATE_INTEGRATION`); which parts those are, is a
    /// matter of the version.
    pub const INTEGRATION: Self = Self(-1);

    /// These and those.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// As MuJoCo has it.
    fn mask(self, library: &Library) -> c_int {
        if self == Self::INTEGRATION { library.version.integration } else { self.0 }
    }
}

/// How many numbers a model has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sizes {
    /// Positions; a free or ball joint has one more than velocities.
    pub positions: usize,
    /// Velocities.
    pub velocities: usize,
    /// Controls.
    pub controls: usize,
    /// Bodies, the world included.
    pub bodies: usize,
    /// Whether it has a site.
    pub site: bool,
    /// Numbers of [`Parts::INTEGRATION`].
    pub integration: usize,
}

/// A compiled model; shared by the simulations of it.
pub struct Model {
    pub(super) library: Arc<Library>,
    pub(super) raw: NonNull<RawModel>,
    pub(super) sizes: Sizes,
    pub(super) name: String,
}

// SAFETY: a model is written to through its only owner alone.
unsafe impl Send for Model {}
// SAFETY: as above.
unsafe impl Sync for Model {}

impl std::fmt::Debug for Model {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "model {} of {:?}", self.name, self.library)
    }
}

/// Bytes for the parser's message.
const MESSAGE: usize = 1000;

/// MuJoCo's parser has global state: one model at a time.
static PARSER: Mutex<()> = Mutex::new(());

impl Model {
    /// The model in an MJCF file.
    ///
    /// # Errors
    /// [`Error::Env`] with the parser's message.
    pub fn from_file(library: &Arc<Library>, file: &Path) -> Result<Self> {
        let name = file.display().to_string();
        let path = CString::new(file.as_os_str().as_encoded_bytes())
            .map_err(|_| Error::env(&name, "a path with a zero byte cannot be opened"))?;
        let mut message = [0 as c_char; MESSAGE];
        let f = &library.functions;
        let _alone = PARSER.lock().unwrap_or_else(PoisonError::into_inner);
        let raw = guarded(|| {
            // SAFETY: a text ending in 0, no virtual files, and a buffer of the length given.
            unsafe { (f.mj_loadXML)(path.as_ptr(), null(), message.as_mut_ptr(), MESSAGE as c_int) }
        });
        // SAFETY: MuJoCo ends what it writes into the buffer with 0.
        Self::made(library, name, raw, || unsafe { text_at(message.as_ptr()) })
    }

    /// The model that an MJCF text describes; `name` stands for it in errors.
    ///
    /// # Errors
    /// As [`Model::from_file`].
    pub fn from_text(library: &Arc<Library>, name: &str, text: &str) -> Result<Self> {
        let text = CString::new(text).map_err(|_| Error::env(name, "MJCF with a zero byte"))?;
        let mut message = [0 as c_char; MESSAGE];
        let f = &library.functions;
        let mut complaint = String::new();
        let _alone = PARSER.lock().unwrap_or_else(PoisonError::into_inner);
        let raw = guarded(|| {
            // SAFETY: as in `from_file`; a specification is compiled, asked why not, and deleted.
            unsafe {
                let buffer = message.as_mut_ptr();
                let spec = (f.mj_parseXMLString)(text.as_ptr(), null(), buffer, MESSAGE as c_int);
                if spec.is_null() {
                    complaint = text_at(message.as_ptr());
                    return std::ptr::null_mut();
                }
                let raw = (f.mj_compile)(spec, null());
                if raw.is_null() {
                    complaint = text_at((f.mjs_getError)(spec));
                }
                (f.mj_deleteSpec)(spec);
                raw
            }
        });
        Self::made(library, name.to_string(), raw, || complaint)
    }

    fn made(
        library: &Arc<Library>,
        name: String,
        raw: Result<*mut RawModel, String>,
        complaint: impl FnOnce() -> String,
    ) -> Result<Self> {
        let raw = raw.map(NonNull::new);
        // A model with warnings is a model; they are not those of a step to come.
        if let Some(warning) = take_warning() {
            tracing::debug!("MuJoCo on the model {name}: {warning}");
        }
        let raw = match raw {
            Ok(Some(raw)) => raw,
            Ok(None) => return Err(refused(&name, &complaint())),
            Err(fatal) => return Err(refused(&name, &fatal)),
        };
        let size = |parts: Parts| {
            let mask = parts.mask(library);
            // SAFETY: asks a fresh model for a number.
            guarded(|| unsafe { (library.functions.mj_stateSize)(raw.as_ptr(), mask) })
                .map(|n| usize::try_from(n).unwrap_or(0))
                .map_err(|fatal| refused(&name, &fatal))
        };
        /// `mjOBJ_SITE`
        const SITE: c_int = 6;
        // SAFETY: asks a fresh model for the name of its first site, null where there is none.
        let site = guarded(|| unsafe { (library.functions.mj_id2name)(raw.as_ptr(), SITE, 0) });
        let sizes = Sizes {
            site: site.is_ok_and(|name| !name.is_null()),
            positions: size(Parts::QPOS)?,
            velocities: size(Parts::QVEL)?,
            controls: size(Parts::CTRL)?,
            bodies: size(Parts::XFRC_APPLIED)? / 6,
            integration: size(Parts::INTEGRATION)?,
        };
        Ok(Self { library: Arc::clone(library), raw, sizes, name })
    }

    /// How many numbers it has.
    #[must_use]
    pub fn sizes(&self) -> &Sizes {
        &self.sizes
    }

    /// The file it came from, or the name of its text.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The number of the body called `name`.
    #[must_use]
    pub fn body(&self, name: &str) -> Option<usize> {
        /// `mjOBJ_BODY`
        const BODY: c_int = 1;
        self.number(BODY, name).and_then(|id| usize::try_from(id).ok())
    }

    /// The number of the thing called `name` of a kind (`mjtObj`).
    pub(super) fn number(&self, kind: c_int, name: &str) -> Option<c_int> {
        let name = CString::new(name).ok()?;
        // SAFETY: a text ending in 0; asks for a number.
        let id = guarded(|| unsafe {
            (self.library.functions.mj_name2id)(self.raw.as_ptr(), kind, name.as_ptr())
        });
        id.ok().filter(|id| *id >= 0)
    }

    /// Turns positions `qpos` along the velocities `qvel` for `time` s.
    ///
    /// # Errors
    /// [`Error::Shape`] for slices of other lengths.
    pub fn integrate(&self, qpos: &mut [f64], qvel: &[f64], time: f64) -> Result<()> {
        self.expect("positions", self.sizes.positions, qpos.len())?;
        self.expect("velocities", self.sizes.velocities, qvel.len())?;
        let f = self.library.functions.mj_integratePos;
        // SAFETY: both lengths have just been checked.
        guarded(|| unsafe { f(self.raw.as_ptr(), qpos.as_mut_ptr(), qvel.as_ptr(), time) })
            .map_err(|fatal| self.fatal(&fatal))
    }

    /// The velocities that lead from the positions `from` to `to` in 1 s.
    ///
    /// # Errors
    /// [`Error::Shape`] for slices of other lengths.
    pub fn differentiate(&self, qvel: &mut [f64], from: &[f64], to: &[f64]) -> Result<()> {
        self.expect("velocities", self.sizes.velocities, qvel.len())?;
        self.expect("positions", self.sizes.positions, from.len())?;
        self.expect("positions", self.sizes.positions, to.len())?;
        let f = self.library.functions.mj_differentiatePos;
        guarded(|| {
            // SAFETY: the three lengths have just been checked.
            unsafe { f(self.raw.as_ptr(), qvel.as_mut_ptr(), 1.0, from.as_ptr(), to.as_ptr()) }
        })
        .map_err(|fatal| self.fatal(&fatal))
    }

    fn expect(&self, what: &str, expected: usize, got: usize) -> Result<()> {
        if expected == got {
            return Ok(());
        }
        let place = format!("{what} of the model {}", self.name);
        Err(Error::shape(place, format!("[{expected}]"), [got]))
    }

    pub(super) fn fatal(&self, message: &str) -> Error {
        Error::env(&self.name, format!("MuJoCo gave up: {message}"))
    }
}

fn refused(name: &str, message: &str) -> Error {
    Error::env(name, format!("MuJoCo refuses the model: {message}"))
}

impl Drop for Model {
    fn drop(&mut self) {
        // SAFETY: its only owner goes; the simulations of it hold it alive.
        let _ = guarded(|| unsafe { (self.library.functions.mj_deleteModel)(self.raw.as_ptr()) });
    }
}

/// A simulation of a [`Model`].
///
/// Where a function returns a warning, the simulation went wrong (MuJoCo itself may have set it back
/// to its start): [`Data::reset`] it before anything else, else the same warning is not heard again.
pub struct Data {
    pub(super) model: Arc<Model>,
    pub(super) raw: NonNull<RawData>,
}

// SAFETY: it has one owner and no ties to the thread that made it.
unsafe impl Send for Data {}

impl std::fmt::Debug for Data {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "simulation of {:?}", self.model)
    }
}

impl Data {
    /// A simulation at the model's own start.
    ///
    /// # Errors
    /// [`Error::Env`] when MuJoCo has no memory for it.
    pub fn new(model: &Arc<Model>) -> Result<Self> {
        let f = model.library.functions.mj_makeData;
        // SAFETY: the model is whole.
        let raw = guarded(|| unsafe { f(model.raw.as_ptr()) }).map_err(|e| model.fatal(&e))?;
        let raw = NonNull::new(raw).ok_or_else(|| model.fatal("no memory for a simulation"))?;
        Ok(Self { model: Arc::clone(model), raw })
    }

    /// The model.
    #[must_use]
    pub fn model(&self) -> &Arc<Model> {
        &self.model
    }

    /// Back to the model's own start, without warnings.
    ///
    /// # Errors
    /// [`Error::Env`] when MuJoCo gives up.
    pub fn reset(&mut self) -> Result<()> {
        let f = self.model.library.functions.mj_resetData;
        self.call(|model, data| {
            // SAFETY: the simulation is of this model.
            unsafe { f(model, data) }
        })?;
        take_warning();
        Ok(())
    }

    /// Computes what follows from the state without a step; a warning, if there was one.
    ///
    /// # Errors
    /// As [`Data::reset`].
    pub fn forward(&mut self) -> Result<Option<String>> {
        let f = self.model.library.functions.mj_forward;
        take_warning();
        // SAFETY: the simulation is of this model.
        self.call(|model, data| unsafe { f(model, data) })?;
        Ok(take_warning())
    }

    /// `frames` time steps; a warning, if there was one.
    ///
    /// # Errors
    /// As [`Data::reset`].
    pub fn step(&mut self, frames: usize) -> Result<Option<String>> {
        let f = self.model.library.functions.mj_step;
        // One that a renderer raised, for example, is not of this step.
        take_warning();
        self.call(|model, data| {
            for _ in 0..frames {
                // SAFETY: the simulation is of this model.
                unsafe { f(model, data) };
            }
        })?;
        Ok(take_warning())
    }

    /// Computes [`Field::CfrcExt`] (`mj_rnePostConstraint`).
    ///
    /// # Errors
    /// As [`Data::reset`].
    pub fn external_forces(&mut self) -> Result<()> {
        let f = self.model.library.functions.mj_rnePostConstraint;
        // SAFETY: the simulation is of this model.
        self.call(|model, data| unsafe { f(model, data) })
    }

    /// Gives the simulation a model of its own, in the place of the one that it shares.
    ///
    /// # Errors
    /// As [`Model::copied`].
    pub fn own_model(&mut self) -> Result<()> {
        // Both are of the same sizes, which is all that a simulation holds of its model.
        self.model = Arc::new(self.model.copied()?);
        Ok(())
    }

    /// The model to be written, where the simulation is alone with it.
    pub(super) fn model_mut(&mut self) -> Option<&mut Model> {
        Arc::get_mut(&mut self.model)
    }

    /// Computes anew what a model holds of masses and inertias; the state is lost.
    ///
    /// # Errors
    /// [`Error::Env`] where the model is shared, or when MuJoCo gives up.
    pub(super) fn set_constants(&mut self) -> Result<()> {
        let (f, data) = (self.model.library.functions.mj_setConst, self.raw.as_ptr());
        let shared = self.model.fatal("a shared model cannot be changed");
        let model = Arc::get_mut(&mut self.model).ok_or(shared)?;
        let raw = model.raw.as_ptr();
        // SAFETY: the simulation is of this model, which nobody else has.
        guarded(|| unsafe { f(raw, data) }).map_err(|fatal| model.fatal(&fatal))
    }

    fn call(&mut self, call: impl FnOnce(*const RawModel, *mut RawData)) -> Result<()> {
        let (model, data) = (self.model.raw.as_ptr(), self.raw.as_ptr());
        guarded(|| call(model, data)).map_err(|fatal| self.model.fatal(&fatal))
    }

    fn mask(&self, parts: Parts) -> c_int {
        parts.mask(&self.model.library)
    }

    /// Length of some parts of the state.
    ///
    /// # Errors
    /// As [`Data::reset`].
    pub fn len(&self, parts: Parts) -> Result<usize> {
        let f = self.model.library.functions.mj_stateSize;
        // SAFETY: asks the model for a number.
        let n = guarded(|| unsafe { f(self.model.raw.as_ptr(), self.mask(parts)) });
        Ok(usize::try_from(n.map_err(|fatal| self.model.fatal(&fatal))?).unwrap_or(0))
    }

    /// Copies parts of the state out.
    ///
    /// # Errors
    /// [`Error::Shape`] for a slice of another length.
    pub fn get(&self, parts: Parts, out: &mut [f64]) -> Result<()> {
        self.model.expect("state", self.len(parts)?, out.len())?;
        let (f, mask) = (self.model.library.functions.mj_getState, self.mask(parts));
        // SAFETY: the length has just been checked.
        guarded(|| unsafe {
            f(self.model.raw.as_ptr(), self.raw.as_ptr(), out.as_mut_ptr(), mask);
        })
        .map_err(|fatal| self.model.fatal(&fatal))
    }

    /// Sets parts of the state.
    ///
    /// # Errors
    /// [`Error::Shape`] for a slice of another length.
    pub fn set(&mut self, parts: Parts, from: &[f64]) -> Result<()> {
        self.model.expect("state", self.len(parts)?, from.len())?;
        let (f, mask) = (self.model.library.functions.mj_setState, self.mask(parts));
        // SAFETY: the length has just been checked.
        self.call(|model, data| unsafe { f(model, data, from.as_ptr(), mask) })
    }

    /// What was computed last of a field; empty for the site of a model without (named) sites.
    #[must_use]
    pub fn field(&self, field: Field) -> &[f64] {
        let Sizes { bodies, velocities, site, .. } = self.model.sizes;
        let length = match field {
            Field::Xpos | Field::Xipos => 3 * bodies,
            Field::Site => 3 * usize::from(site),
            Field::Cinert => 10 * bodies,
            Field::Cvel | Field::CfrcExt => 6 * bodies,
            Field::QfrcActuator | Field::QfrcConstraint => velocities,
        };
        let offset = self.model.library.version.offsets[field as usize];
        // SAFETY: the offset is that of the pointer to this array in `mjData` of this version, which
        // was checked on a known model when the library was loaded. The array has this length, is in
        // the simulation's own memory, and is not written while `self` is borrowed.
        unsafe {
            let pointer = self.raw.as_ptr().byte_add(offset).cast::<*const f64>().read();
            if length == 0 { &[] } else { std::slice::from_raw_parts(pointer, length) }
        }
    }
}

impl Drop for Data {
    fn drop(&mut self) {
        let f = self.model.library.functions.mj_deleteData;
        // SAFETY: its only owner goes.
        let _ = guarded(|| unsafe { f(self.raw.as_ptr()) });
    }
}
