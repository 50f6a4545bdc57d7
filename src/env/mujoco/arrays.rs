//! The arrays of a model that are its physical parameters, and copies of a model to write them in.
//!
//! Unsafe because they lie where the table of the version says ([`super::version`]); that is checked on a
//! known model when the library is loaded.
#![allow(unsafe_code)]

use std::ffi::c_int;
use std::ptr::NonNull;
use std::sync::Arc;

use super::Model;
use super::library::{guarded, text_at};
use super::version::Array;
use crate::error::Result;

impl Model {
    /// A copy that shares nothing with it.
    ///
    /// # Errors
    /// [`crate::Error::Env`] when MuJoCo has no memory for it.
    pub fn copied(&self) -> Result<Self> {
        let f = self.library.functions.mj_copyModel;
        // SAFETY: the model is whole; without a destination MuJoCo makes one.
        let raw = guarded(|| unsafe { f(std::ptr::null_mut(), self.raw.as_ptr()) });
        let raw = NonNull::new(raw.map_err(|fatal| self.fatal(&fatal))?);
        let raw = raw.ok_or_else(|| self.fatal("no memory for a model"))?;
        let (library, name) = (Arc::clone(&self.library), self.name.clone());
        Ok(Self { library, raw, sizes: self.sizes, name })
    }

    /// How many joints, geoms and tendons it has.
    pub(super) fn counts(&self) -> [usize; 3] {
        // SAFETY: the offsets are those of these numbers in `mjModel` of this version, checked on a known
        // model when the library was loaded.
        self.library.version.model.counts.map(|offset| unsafe {
            usize::try_from(self.raw.as_ptr().byte_add(offset).cast::<i64>().read()).unwrap_or(0)
        })
    }

    /// The first velocity of a joint.
    pub(super) fn first_velocity(&self, joint: usize) -> Option<usize> {
        if joint >= self.counts()[0] {
            return None;
        }
        let offset = self.library.version.model.first_velocity;
        // SAFETY: as in `counts`; the array has a number a joint.
        let first = unsafe {
            self.raw.as_ptr().byte_add(offset).cast::<*const c_int>().read().add(joint).read()
        };
        usize::try_from(first).ok()
    }

    fn array(&self, array: Array) -> (*mut f64, usize) {
        let ([joints, geoms, tendons], sizes) = (self.counts(), &self.sizes);
        let length = match array {
            Array::Mass => sizes.bodies,
            Array::Inertia => 3 * sizes.bodies,
            Array::Friction => 3 * geoms,
            Array::JointStiffness => joints,
            Array::Damping | Array::FrictionLoss | Array::Armature => sizes.velocities,
            Array::TendonStiffness | Array::TendonDamping => tendons,
        };
        let offset = self.library.version.model.arrays[array as usize];
        // SAFETY: as in `counts`.
        (unsafe { self.raw.as_ptr().byte_add(offset).cast::<*mut f64>().read() }, length)
    }

    /// An array of physical parameters.
    pub(super) fn numbers(&self, array: Array) -> &[f64] {
        let (pointer, length) = self.array(array);
        // SAFETY: the array has this length and lives as long as the model; writing takes `&mut self`.
        if length == 0 { &[] } else { unsafe { std::slice::from_raw_parts(pointer, length) } }
    }

    /// The same to be written.
    pub(super) fn numbers_mut(&mut self, array: Array) -> &mut [f64] {
        let (pointer, length) = self.array(array);
        // SAFETY: as in `numbers`.
        if length == 0 {
            &mut []
        } else {
            unsafe { std::slice::from_raw_parts_mut(pointer, length) }
        }
    }

    /// The names of the things of a kind (`mjtObj`), none for those without.
    pub(super) fn names(&self, kind: c_int, count: usize) -> Vec<Option<String>> {
        let f = self.library.functions.mj_id2name;
        let name = |id: usize| {
            // SAFETY: asks the model for a name, null where there is none.
            let text = guarded(|| unsafe { f(self.raw.as_ptr(), kind, id as c_int) }).ok()?;
            // SAFETY: MuJoCo's names end in 0.
            (!text.is_null()).then(|| unsafe { text_at(text) })
        };
        (0..count).map(name).collect()
    }
}
