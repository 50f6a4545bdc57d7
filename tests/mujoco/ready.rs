//! MuJoCo for the tests: fetched once into `.mujoco` of the repository, as `hstep setup mujoco` does.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use hstep::env::mujoco::setup::{MODELS, Setup, fetch, fetch_bundle};

/// The repository.
pub fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    // The tests of the command line belong to the package below.
    let root = if here.ends_with("experiments") { here.parent().unwrap() } else { here };
    root.to_path_buf()
}

/// Sees to it that MuJoCo is there; says what is missing where it cannot.
pub fn ready() -> &'static Setup {
    static READY: OnceLock<Result<Setup, String>> = OnceLock::new();
    let folder = root().join(".mujoco");
    let all = || fetch(&folder).and_then(|setup| fetch_bundle(&MODELS, &folder).map(|_| setup));
    let ready = READY.get_or_init(|| all().map_err(|e| e.to_string()));
    match ready {
        Ok(setup) => setup,
        Err(why) => panic!("the tests of MuJoCo need it: {why}"),
    }
}
