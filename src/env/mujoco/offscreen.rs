//! MuJoCo's own pictures, made without a screen: its renderer on Mesa's OSMesa, a library that is
//! loaded when the first picture is asked for.
//!
//! Unsafe because foreign libraries are called. What makes it sound: the functions of OSMesa are
//! declared as in its header; a context and its buffer live as long as each other, and neither leaves
//! the thread that made them; the renderer's structures have room for more than they need.
#![allow(unsafe_code)]

use std::ffi::{c_int, c_uint, c_void};
use std::ptr::{NonNull, null_mut};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use libloading::os::unix::{Library as Shared, RTLD_GLOBAL, RTLD_NOW};

use super::library::{guarded, reason};
use super::visual::{RawContext, Rect, Visible};
use super::{Data, Model};
use crate::env::scene::{Image, Painter};
use crate::error::{Error, Result};

/// Where OSMesa is looked for, in this order; `HSTEP_OSMESA` names another file.
const FILES: [&str; 4] = ["libOSMesa.so.8", "libOSMesa.so.6", "libOSMesa.so", "libOSMesa.dylib"];
const VARIABLE: &str = "HSTEP_OSMESA";

type Create = unsafe extern "C" fn(c_uint, c_int, c_int, c_int, *mut c_void) -> *mut c_void;
type MakeCurrent = unsafe extern "C" fn(*mut c_void, *mut c_void, c_uint, c_int, c_int) -> u8;
type Destroy = unsafe extern "C" fn(*mut c_void);

/// OSMesa's functions.
struct Mesa {
    create: Create,
    make_current: MakeCurrent,
    destroy: Destroy,
    // Keeps the functions valid.
    _handle: Shared,
}

impl Mesa {
    /// OSMesa, loaded once a process and never unloaded.
    fn get() -> Result<&'static Self> {
        static LOADED: OnceLock<Result<Mesa, String>> = OnceLock::new();
        let loaded = LOADED.get_or_init(Self::load);
        loaded.as_ref().map_err(|problem| Error::env("mujoco", problem))
    }

    fn load() -> Result<Self, String> {
        let named = std::env::var_os(VARIABLE).filter(|file| !file.is_empty());
        let files: Vec<std::ffi::OsString> = match named {
            Some(file) => vec![file],
            None => FILES.map(Into::into).to_vec(),
        };
        if std::env::var_os("MUJOCO_GL").is_none_or(|gl| gl != "osmesa") {
            // SAFETY: before Mesa is there, with threads of its own. MuJoCo reads it in `mjr_makeContext`
            // alone; whoever reads the environment beside that does so through the standard library, which
            // takes its own lock. A program whose C code calls `getenv` in other threads sets the variable
            // before it starts them.
            unsafe { std::env::set_var("MUJOCO_GL", "osmesa") };
        }
        let mut first = None;
        for file in &files {
            // MuJoCo looks for OSMesa's functions among those that everybody can see.
            // SAFETY: Mesa's initialisers set up its own tables.
            match unsafe { Shared::open(Some(file), RTLD_NOW | RTLD_GLOBAL) } {
                Ok(handle) => return Self::of(handle),
                Err(error) => first = first.or(Some(reason(&error))),
            }
        }
        Err(format!(
            "pictures by MuJoCo's own renderer need the library OSMesa, which cannot be loaded ({}); \
             Debian has it in the package libosmesa6, and {VARIABLE} may name its file",
            first.unwrap_or_default()
        ))
    }

    fn of(handle: Shared) -> Result<Self, String> {
        let missing = |error: libloading::Error| format!("the library is not OSMesa: {error}");
        // SAFETY: the types are those of OSMesa's header.
        unsafe {
            Ok(Self {
                create: *handle.get::<Create>(b"OSMesaCreateContextExt\0").map_err(missing)?,
                make_current: *handle
                    .get::<MakeCurrent>(b"OSMesaMakeCurrent\0")
                    .map_err(missing)?,
                destroy: *handle.get::<Destroy>(b"OSMesaDestroyContext\0").map_err(missing)?,
                _handle: handle,
            })
        }
    }
}

/// A context of OSMesa and the buffer that it draws into.
struct Context {
    mesa: &'static Mesa,
    raw: NonNull<c_void>,
    buffer: Vec<u8>,
    size: [c_int; 2],
}

impl Context {
    fn new(size: [usize; 2]) -> Result<Self> {
        const RGBA: c_uint = 0x1908;
        const DEPTH_BITS: c_int = 24;
        const STENCIL_BITS: c_int = 8;
        let mesa = Mesa::get()?;
        let [width, height] = size.map(c_int::try_from).map(std::result::Result::ok);
        let (Some(w), Some(h)) = (width, height) else {
            return Err(failed("a picture of that size cannot be made"));
        };
        // SAFETY: no context to share with.
        let raw = unsafe { (mesa.create)(RGBA, DEPTH_BITS, STENCIL_BITS, 0, null_mut()) };
        let raw = NonNull::new(raw).ok_or_else(|| failed("OSMesa makes no context"))?;
        let context = Self { mesa, raw, buffer: vec![0; 4 * size[0] * size[1]], size: [w, h] };
        Ok(context)
    }

    /// Makes it the one that is drawn on.
    fn enter(&mut self) -> Result<()> {
        const UNSIGNED_BYTE: c_uint = 0x1401;
        let ([w, h], raw) = (self.size, self.raw.as_ptr());
        // SAFETY: the buffer holds four bytes a pixel, and lives as long as the context.
        let done = unsafe {
            (self.mesa.make_current)(raw, self.buffer.as_mut_ptr().cast(), UNSIGNED_BYTE, w, h)
        };
        if done == 1 { Ok(()) } else { Err(failed("OSMesa does not take up its context")) }
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        // SAFETY: made in `new`, by this thread.
        unsafe { (self.mesa.destroy)(self.raw.as_ptr()) };
    }
}

fn failed(problem: &str) -> Error {
    Error::env("mujoco", problem)
}

/// MuJoCo's renderer with a model's textures.
pub(super) struct Offscreen {
    model: Arc<Model>,
    visible: Visible,
    renderer: Box<RawContext>,
    // Last: the renderer needs it when it goes.
    context: Context,
}

impl Offscreen {
    /// A renderer of pictures of so many pixels (width, height).
    pub fn new(model: &Arc<Model>, size: [usize; 2]) -> Result<Self> {
        const FONT: c_int = 100;
        const OFFSCREEN: c_int = 1;
        if size.contains(&0) {
            return Err(failed("a picture needs a pixel at least"));
        }
        let mut context = Context::new(size)?;
        context.enter()?;
        let visible = Visible::new(model)?;
        let mut renderer = RawContext::zeroed();
        let f = &model.library.functions;
        // The first of them looks up OpenGL's functions for all.
        static MAKING: Mutex<()> = Mutex::new(());
        let making = MAKING.lock().unwrap_or_else(PoisonError::into_inner);
        let made = guarded(|| {
            // SAFETY: a context of OpenGL is current, and the structure has the room that it needs.
            unsafe {
                (f.mjr_defaultContext)(&raw mut *renderer);
                (f.mjr_makeContext)(model.raw.as_ptr(), &raw mut *renderer, FONT);
                (f.mjr_resizeOffscreen)(context.size[0], context.size[1], &raw mut *renderer);
                (f.mjr_setBuffer)(OFFSCREEN, &raw mut *renderer);
            }
        });
        drop(making);
        made.map_err(|fatal| model.fatal(&fatal))?;
        Ok(Self { model: Arc::clone(model), visible, renderer, context })
    }

    /// The picture of a simulation whose positions are computed.
    fn picture(&mut self, data: &mut Data) -> Result<Image> {
        self.visible.update(data)?;
        self.context.enter()?;
        let [width, height] = self.context.size;
        let rect = Rect { left: 0, bottom: 0, width, height };
        let [w, h] = [width, height].map(|n| usize::try_from(n).unwrap_or(0));
        let mut below = vec![0_u8; 3 * w * h];
        let f = &self.model.library.functions;
        let scene = self.visible.scene();
        let drawn = guarded(|| {
            // SAFETY: the context is current, and three bytes a pixel are asked for, no depths.
            unsafe {
                (f.mjr_render)(rect, scene, &raw const *self.renderer);
                let (pixels, renderer) = (below.as_mut_ptr(), &raw const *self.renderer);
                (f.mjr_readPixels)(pixels, null_mut(), rect, renderer);
            }
        });
        drawn.map_err(|fatal| self.model.fatal(&fatal))?;
        // OpenGL begins at the bottom.
        let rgb = below.chunks_exact(3 * w).rev().flatten().copied().collect();
        Ok(Image { width: w, height: h, rgb })
    }
}

impl Painter for Offscreen {
    fn paint(&mut self, state: &[f64]) -> Result<Image> {
        // What lags behind the state and the clock of the episode follow in a saved state.
        let integration = self.model.sizes().integration;
        let Some(state) = state.get(..integration) else {
            let place = format!("saved state of the model {}", self.model.name());
            return Err(Error::shape(place, format!("[{integration}] or more"), [state.len()]));
        };
        let mut data = self.model.at(state)?;
        self.picture(&mut data)
    }
}

impl Drop for Offscreen {
    fn drop(&mut self) {
        if self.context.enter().is_ok() {
            let f = self.model.library.functions.mjr_freeContext;
            // SAFETY: made in `new`; its context is current.
            let _ = guarded(|| unsafe { f(&raw mut *self.renderer) });
        }
    }
}
