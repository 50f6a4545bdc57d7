//! What MuJoCo's visualiser makes of a state: a list of bodies' shapes, seen by a camera.
//!
//! Unsafe because structures of MuJoCo's are laid out here. What makes it sound: those that only
//! MuJoCo looks into have room for more than any version in the table needs; what is read of the
//! others lies where it does in every version of the table, and the step from one shape to the next,
//! which differs, is in the table; both are tried on a known model when a library is loaded.
#![allow(unsafe_code)]

use std::ffi::c_int;
use std::sync::Arc;

use super::library::{guarded, text_at};
use super::{Data, Model};
use crate::error::Result;

/// `mjvOption` (92 bytes): what is shown; MuJoCo's defaults.
#[repr(C)]
pub(super) struct RawOption([u64; 64]);

/// `mjvPerturb` (144 bytes): no one pulls at anything.
#[repr(C)]
pub(super) struct RawPerturb([u64; 64]);

/// `mjrContext` (61,512 bytes): what a renderer holds.
#[repr(C)]
pub(super) struct RawContext([u64; 10_000]);

impl RawContext {
    pub fn zeroed() -> Box<Self> {
        Box::new(Self([0; 10_000]))
    }
}

/// `mjvCamera`, and room.
#[repr(C)]
pub(super) struct RawCamera {
    kind: c_int,
    fixed: c_int,
    tracked: c_int,
    rest: [u64; 32],
}

/// `mjvScene` (11,584 bytes), and room.
#[repr(C)]
pub(super) struct RawScene {
    most: c_int,
    count: c_int,
    geoms: *const RawGeom,
    rest: [u64; 2000],
}

/// `mjrRect`
#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct Rect {
    pub left: c_int,
    pub bottom: c_int,
    pub width: c_int,
    pub height: c_int,
}

/// The beginning of `mjvGeom`.
#[repr(C)]
#[derive(Clone, Copy)]
struct RawGeom {
    kind: c_int,
    data: c_int,
    object_kind: c_int,
    object: c_int,
    category: c_int,
    material: [c_int; 5],
    size: [f32; 3],
    pos: [f32; 3],
    mat: [f32; 9],
}

/// The shape of a [`Geom`] (`mjtGeom`), as far as the tasks have them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A plane, its normal along z.
    Plane,
    /// A ball.
    Sphere,
    /// A cylinder along z with round ends.
    Capsule,
    /// A cylinder along z.
    Cylinder,
    /// Anything else.
    Other,
}

/// A shape of a body, in the world.
#[derive(Debug, Clone, PartialEq)]
pub struct Geom {
    /// Its shape.
    pub kind: Kind,
    /// Its name in the model; empty where it has none.
    pub name: String,
    /// Radius, again, and half the length without round ends, m.
    pub size: [f64; 3],
    /// Its middle, m.
    pub pos: [f64; 3],
    /// Where its own z axis points.
    pub axis: [f64; 3],
}

/// The most shapes of a model that are seen; the tasks have 25.
const MOST: c_int = 500;
/// `mjCAT_ALL`
const ALL: c_int = 7;
/// `mjOBJ_GEOM`
const GEOM: c_int = 5;
/// `mjOBJ_CAMERA`
const CAMERA: c_int = 7;
/// `mjCAMERA_FIXED`
const FIXED: c_int = 2;

/// A model's shapes as a camera sees them.
pub(super) struct Visible {
    model: Arc<Model>,
    options: Box<RawOption>,
    perturb: Box<RawPerturb>,
    camera: Box<RawCamera>,
    scene: Box<RawScene>,
}

impl Visible {
    /// Nothing yet, seen by the model's own camera `track` if it has one, else by a free one.
    pub fn new(model: &Arc<Model>) -> Result<Self> {
        let mut all = Self {
            model: Arc::clone(model),
            options: Box::new(RawOption([0; 64])),
            perturb: Box::new(RawPerturb([0; 64])),
            camera: Box::new(RawCamera { kind: 0, fixed: 0, tracked: 0, rest: [0; 32] }),
            scene: Box::new(RawScene {
                most: 0,
                count: 0,
                geoms: std::ptr::null(),
                rest: [0; 2000],
            }),
        };
        let track = model.number(CAMERA, "track");
        let f = &model.library.functions;
        let made = guarded(|| {
            // SAFETY: each has the room that it needs.
            unsafe {
                (f.mjv_defaultOption)(&raw mut *all.options);
                (f.mjv_defaultPerturb)(&raw mut *all.perturb);
                (f.mjv_defaultCamera)(&raw mut *all.camera);
                (f.mjv_defaultFreeCamera)(model.raw.as_ptr(), &raw mut *all.camera);
                (f.mjv_defaultScene)(&raw mut *all.scene);
                (f.mjv_makeScene)(model.raw.as_ptr(), &raw mut *all.scene, MOST);
            }
        });
        made.map_err(|fatal| model.fatal(&fatal))?;
        if let Some(track) = track {
            (all.camera.kind, all.camera.fixed) = (FIXED, track);
        }
        Ok(all)
    }

    /// What is seen of a simulation of the model, whose positions must be computed.
    pub fn update(&mut self, data: &mut Data) -> Result<()> {
        assert!(Arc::ptr_eq(&self.model, &data.model), "a simulation of another model");
        let f = self.model.library.functions.mjv_updateScene;
        let done = guarded(|| {
            // SAFETY: model and simulation belong together; the rest was made in `new`.
            unsafe {
                f(
                    self.model.raw.as_ptr(),
                    data.raw.as_ptr(),
                    &raw const *self.options,
                    &raw const *self.perturb,
                    &raw mut *self.camera,
                    ALL,
                    &raw mut *self.scene,
                );
            }
        });
        done.map_err(|fatal| self.model.fatal(&fatal))
    }

    /// For a renderer.
    pub fn scene(&mut self) -> *mut RawScene {
        &raw mut *self.scene
    }

    /// The shapes.
    pub fn geoms(&self) -> Vec<Geom> {
        let library = &self.model.library;
        let count = usize::try_from(self.scene.count.min(self.scene.most)).unwrap_or(0);
        let raw = (0..count).map(|i| {
            // SAFETY: MuJoCo has written so many, so far apart.
            unsafe { self.scene.geoms.byte_add(i * library.version.geom).read_unaligned() }
        });
        let geom = |raw: RawGeom| {
            // SAFETY: asks the model for the name of a geom of its own, null where it has none.
            let name = guarded(|| unsafe {
                text_at((library.functions.mj_id2name)(self.model.raw.as_ptr(), GEOM, raw.object))
            });
            Geom {
                kind: match raw.kind {
                    0 => Kind::Plane,
                    2 => Kind::Sphere,
                    3 => Kind::Capsule,
                    5 => Kind::Cylinder,
                    _ => Kind::Other,
                },
                name: name.unwrap_or_default(),
                size: raw.size.map(f64::from),
                pos: raw.pos.map(f64::from),
                axis: [2, 5, 8].map(|i| f64::from(raw.mat[i])),
            }
        };
        raw.filter(|raw| raw.object_kind == GEOM).map(geom).collect()
    }
}

impl Drop for Visible {
    fn drop(&mut self) {
        let f = self.model.library.functions.mjv_freeScene;
        // SAFETY: made in `new`.
        let _ = guarded(|| unsafe { f(&raw mut *self.scene) });
    }
}

impl Model {
    /// The shapes of the bodies in a state ([`Parts::INTEGRATION`](super::Parts::INTEGRATION)), in
    /// the order of the model; decorations are left out.
    ///
    /// # Errors
    /// [`Error::Shape`](crate::Error::Shape) for a state of another length;
    /// [`Error::Env`](crate::Error::Env) when MuJoCo gives up.
    pub fn geoms(self: &Arc<Self>, state: &[f64]) -> Result<Vec<Geom>> {
        let mut data = self.at(state)?;
        let mut visible = Visible::new(self)?;
        visible.update(&mut data)?;
        Ok(visible.geoms())
    }

    /// A simulation of its own in a state, with all that follows from it.
    pub(super) fn at(self: &Arc<Self>, state: &[f64]) -> Result<Data> {
        let mut data = Data::new(self)?;
        data.set(super::Parts::INTEGRATION, state)?;
        // A state that deserves a warning may still be looked at.
        data.forward()?;
        Ok(data)
    }
}
