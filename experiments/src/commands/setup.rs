//! `hstep setup`: fetches what some environments need and tries it.

use std::path::Path;

use anyhow::Result;
use hstep::env::mujoco::find::own_folder;
use hstep::env::mujoco::setup::{PACKAGES, fetch};

use crate::cli::{Fetched, Setup};
use crate::output::say;

pub fn run(args: &Setup) -> Result<()> {
    match args.what {
        Fetched::Mujoco => mujoco(args.out.as_deref()),
    }
}

fn mujoco(out: Option<&Path>) -> Result<()> {
    let folder = out.map_or_else(own_folder, Path::to_path_buf);
    let packages = PACKAGES.map(|(package, version)| format!("{package} {version}")).join(" and ");
    tracing::info!("{packages} in {}", folder.display());
    let setup = fetch(&folder)?;
    say!("{}", if setup.was_there { "there already" } else { "fetched, unpacked and tried" })?;
    say!("library     {} (MuJoCo {})", setup.library.display(), setup.version)?;
    say!("models      {}", setup.models.display())?;
    Ok(())
}
