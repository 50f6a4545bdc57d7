//! The MuJoCo library, loaded at run time: its functions, its version, its ways to complain.
//!
//! Unsafe because a foreign library is loaded and its functions and variables are taken by name.
//! What makes it sound: the functions are declared as in the headers of the versions in the table,
//! and a library of any other version is refused (and unloaded) before anything but its version is
//! asked; one that was accepted is never unloaded, so that what was taken from it stays.
//!
//! MuJoCo ends the process on a fatal error, unless its handler does not return. Ours unwinds, as
//! `extern "C-unwind"` allows (the library is built with unwind tables), and [`guarded`] turns that
//! into an error; a program built with `panic = "abort"` ends instead. Warnings are
//! kept for the thread that raised them.
#![allow(unsafe_code)]

use std::any::Any;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ffi::{CStr, c_char, c_int};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use super::find::{self, REMEDY, problem};
use super::version::{self, Version};
use super::visual::{RawCamera, RawContext, RawOption, RawPerturb, RawScene, Rect};
use super::{Model, verify};
use crate::error::{Error, Result};

/// `mjModel`, which only MuJoCo looks into.
#[repr(C)]
pub(super) struct RawModel {
    _opaque: [u8; 0],
}

/// `mjData`, of which we read the arrays of [`super::Field`].
#[repr(C)]
pub(super) struct RawData {
    _opaque: [u8; 0],
}

/// `mjSpec`, which only MuJoCo looks into.
#[repr(C)]
pub(super) struct RawSpec {
    _opaque: [u8; 0],
}

/// The functions in use, as the headers declare them.
macro_rules! functions {
    ($($name:ident: ($($arg:ty),*) $(-> $out:ty)?;)*) => {
        // The names are MuJoCo's.
        #[allow(non_snake_case)]
        pub(super) struct Functions {
            $(pub $name: unsafe extern "C-unwind" fn($($arg),*) $(-> $out)?,)*
        }

        impl Functions {
            /// # Safety
            /// The library must be MuJoCo of a version in the table.
            unsafe fn of(library: &libloading::Library, path: &Path) -> Result<Self> {
                Ok(Self {
                    // SAFETY: the type is that of the headers.
                    $($name: unsafe { *symbol(library, path, stringify!($name))? },)*
                })
            }
        }
    };
}

functions! {
    mj_loadXML: (*const c_char, *const RawSpec, *mut c_char, c_int) -> *mut RawModel;
    mj_parseXMLString: (*const c_char, *const RawSpec, *mut c_char, c_int) -> *mut RawSpec;
    mj_compile: (*mut RawSpec, *const RawSpec) -> *mut RawModel;
    mjs_getError: (*mut RawSpec) -> *const c_char;
    mj_deleteSpec: (*mut RawSpec);
    mj_deleteModel: (*mut RawModel);
    mj_copyModel: (*mut RawModel, *const RawModel) -> *mut RawModel;
    mj_setConst: (*mut RawModel, *mut RawData);
    mj_makeData: (*const RawModel) -> *mut RawData;
    mj_deleteData: (*mut RawData);
    mj_resetData: (*const RawModel, *mut RawData);
    mj_forward: (*const RawModel, *mut RawData);
    mj_step: (*const RawModel, *mut RawData);
    mj_rnePostConstraint: (*const RawModel, *mut RawData);
    mj_stateSize: (*const RawModel, c_int) -> c_int;
    mj_getState: (*const RawModel, *const RawData, *mut f64, c_int);
    mj_setState: (*const RawModel, *mut RawData, *const f64, c_int);
    mj_id2name: (*const RawModel, c_int, c_int) -> *const c_char;
    mj_name2id: (*const RawModel, c_int, *const c_char) -> c_int;
    mj_integratePos: (*const RawModel, *mut f64, *const f64, f64);
    mj_differentiatePos: (*const RawModel, *mut f64, f64, *const f64, *const f64);
    mjv_defaultOption: (*mut RawOption);
    mjv_defaultPerturb: (*mut RawPerturb);
    mjv_defaultCamera: (*mut RawCamera);
    mjv_defaultFreeCamera: (*const RawModel, *mut RawCamera);
    mjv_defaultScene: (*mut RawScene);
    mjv_makeScene: (*const RawModel, *mut RawScene, c_int);
    mjv_freeScene: (*mut RawScene);
    mjv_updateScene: (
        *const RawModel, *mut RawData, *const RawOption, *const RawPerturb, *mut RawCamera, c_int,
        *mut RawScene
    );
    mjr_defaultContext: (*mut RawContext);
    mjr_makeContext: (*const RawModel, *mut RawContext, c_int);
    mjr_freeContext: (*mut RawContext);
    mjr_resizeOffscreen: (c_int, c_int, *mut RawContext);
    mjr_setBuffer: (c_int, *mut RawContext);
    mjr_render: (Rect, *mut RawScene, *const RawContext);
    mjr_readPixels: (*mut u8, *mut f32, Rect, *const RawContext);
}

/// What MuJoCo calls with a message.
type Handler = unsafe extern "C-unwind" fn(*const c_char);

/// A loaded library of a known version.
pub struct Library {
    pub(super) functions: Functions,
    pub(super) version: &'static Version,
    path: PathBuf,
    // Keeps the functions valid.
    _handle: libloading::Library,
}

impl std::fmt::Debug for Library {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "MuJoCo {} in {}", self.version(), self.path().display())
    }
}

/// The libraries of this process; there is seldom more than one.
static LOADED: Mutex<BTreeMap<PathBuf, Arc<Library>>> = Mutex::new(BTreeMap::new());

impl Library {
    /// The library that [`find::library`] finds, loaded once a process.
    ///
    /// # Errors
    /// [`Error::Env`] as [`find::library`] and [`Library::open`].
    pub fn get() -> Result<Arc<Self>> {
        let path = find::library()?;
        Self::open(&path).map_err(|error| match error {
            Error::Env { env, problem } if find::named_outright() => {
                let problem = format!(
                    "{problem}; {} names this file and goes before what that fetches: unset it, or name \
                     another file",
                    find::LIBRARY_VARIABLE
                );
                Error::Env { env, problem }
            }
            other => other,
        })
    }

    /// The library in the file `path`, loaded once a process.
    ///
    /// # Errors
    /// [`Error::Io`] where there is no file; [`Error::Env`] for one that is no library, is not MuJoCo, is
    /// of a version that was never tried, or computes something else than that version should.
    pub fn open(path: &Path) -> Result<Arc<Self>> {
        let path = std::fs::canonicalize(path).map_err(Error::io("cannot find", path))?;
        // What a panicking thread left in the map is whole: entries are added last.
        let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(library) = loaded.get(&path) {
            return Ok(Arc::clone(library));
        }
        let library = Arc::new(Self::load(&path)?);
        verify::check(&library)?;
        loaded.insert(path, Arc::clone(&library));
        Ok(library)
    }

    fn load(path: &Path) -> Result<Self> {
        // SAFETY: MuJoCo's initialisers set up its own tables and nothing else. That the file is
        // MuJoCo is the word of whoever names it, as with any library that a program loads.
        let handle = unsafe { libloading::Library::new(path) }.map_err(|error| {
            let why = reason(&error);
            problem(format!("{} cannot be loaded as a library: {why}; {REMEDY}", path.display()))
        })?;
        // SAFETY: declared so in every version.
        let version = unsafe {
            type Text = unsafe extern "C-unwind" fn() -> *const c_char;
            let text = symbol::<Text>(&handle, path, "mj_versionString")?;
            text_at(text())
        };
        let Some(version) = version::find(&version) else {
            return Err(problem(format!(
                "{} is MuJoCo {version}; expected one of the versions that were tried, {}; {REMEDY}",
                path.display(),
                version::known()
            )));
        };
        // SAFETY: the version is one of the table; both handlers are of the type of the headers.
        let functions = unsafe {
            **symbol::<*mut Option<Handler>>(&handle, path, "mju_user_error")? = Some(on_error);
            **symbol::<*mut Option<Handler>>(&handle, path, "mju_user_warning")? = Some(on_warning);
            Functions::of(&handle, path)?
        };
        Ok(Self { functions, version, path: path.to_path_buf(), _handle: handle })
    }

    /// Its version, for example `3.17.0`.
    #[must_use]
    pub fn version(&self) -> &'static str {
        self.version.name
    }

    /// The file that it came from.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A model of this library from its file, loaded once a process.
    ///
    /// # Errors
    /// As [`Model::from_file`].
    pub fn model(self: &Arc<Self>, file: &Path) -> Result<Arc<Model>> {
        shared(self, file.display().to_string(), || Model::from_file(self, file))
    }

    /// A model of this library from its text, loaded once a process.
    ///
    /// # Errors
    /// As [`Model::from_text`].
    pub fn model_of_text(self: &Arc<Self>, name: &str, text: &str) -> Result<Arc<Model>> {
        shared(self, format!("{name}\0{text}"), || Model::from_text(self, name, text))
    }
}

/// The models of this process, by library and by file, or by name and text.
type Models = BTreeMap<(PathBuf, String), Arc<Model>>;
static MODELS: Mutex<Models> = Mutex::new(BTreeMap::new());

fn shared(
    library: &Arc<Library>,
    name: String,
    make: impl FnOnce() -> Result<Model>,
) -> Result<Arc<Model>> {
    // Locked all the while, so that a model is made once.
    let mut models = MODELS.lock().unwrap_or_else(PoisonError::into_inner);
    let key = (library.path.clone(), name);
    if let Some(model) = models.get(&key) {
        return Ok(Arc::clone(model));
    }
    let model = Arc::new(make()?);
    models.insert(key, Arc::clone(&model));
    Ok(model)
}

/// The symbol `name`.
///
/// # Safety
/// `T` must be its type.
unsafe fn symbol<'a, T>(
    library: &'a libloading::Library,
    path: &Path,
    name: &str,
) -> Result<libloading::Symbol<'a, T>> {
    // SAFETY: passed on to the caller.
    unsafe { library.get(name.as_bytes()) }.map_err(|_| {
        problem(format!(
            "{} is not the MuJoCo library: it has no `{name}`; {REMEDY}",
            path.display()
        ))
    })
}

/// What the system's loader says, which libloading keeps behind its own words.
pub(super) fn reason(error: &libloading::Error) -> String {
    use std::error::Error as _;
    error.source().map_or_else(|| error.to_string(), ToString::to_string)
}

/// The text at a pointer, which may be null.
///
/// # Safety
/// Not null, it must point to a text that ends in 0.
pub(super) unsafe fn text_at(text: *const c_char) -> String {
    if text.is_null() {
        return String::new();
    }
    // SAFETY: passed on to the caller.
    unsafe { CStr::from_ptr(text) }.to_string_lossy().trim().to_string()
}

/// What a fatal error unwinds with.
struct Fatal(String);

thread_local! {
    /// The first warning of this thread since it was last asked.
    static WARNING: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// MuJoCo's handler of fatal errors: unwinds to [`guarded`], without a word of the panic hook.
unsafe extern "C-unwind" fn on_error(message: *const c_char) {
    // SAFETY: MuJoCo hands over its message.
    let message = unsafe { text_at(message) };
    resume_unwind(Box::new(Fatal(message)));
}

/// MuJoCo's handler of warnings: without it they go to a file in the working folder.
unsafe extern "C-unwind" fn on_warning(message: *const c_char) {
    // SAFETY: MuJoCo hands over its message.
    let message = unsafe { text_at(message) };
    WARNING.with(|warning| {
        warning.borrow_mut().get_or_insert(message);
    });
}

/// The first warning of this thread since the last call.
pub(super) fn take_warning() -> Option<String> {
    WARNING.with(|warning| warning.borrow_mut().take())
}

/// Calls MuJoCo; a fatal error becomes its message.
pub(super) fn guarded<T>(call: impl FnOnce() -> T) -> Result<T, String> {
    // What MuJoCo was at work on is set back or thrown away by whoever gets the error.
    catch_unwind(AssertUnwindSafe(call)).map_err(|payload: Box<dyn Any + Send>| {
        match payload.downcast::<Fatal>() {
            Ok(fatal) => fatal.0,
            // Not MuJoCo's: a fault of ours goes on as one.
            Err(payload) => resume_unwind(payload),
        }
    })
}
