//! `hstep setup`: fetches what some environments need and tries it.

use std::path::Path;

use anyhow::Result;
use hstep::env::mujoco::find::own_folder;
use hstep::env::mujoco::setup::{Bundle, MODELS, MUJOCO, Package, fetch_bundle};

use crate::cli::{Fetched, Setup};
use crate::output::say;

pub fn run(args: &Setup) -> Result<()> {
    let bundle = match args.what {
        Fetched::Mujoco => MUJOCO,
        Fetched::Models => MODELS,
    };
    fetched(&bundle, args.out.as_deref())
}

fn fetched(bundle: &Bundle, out: Option<&Path>) -> Result<()> {
    let folder = out.map_or_else(own_folder, Path::to_path_buf);
    let label = |package: &Package| format!("{} ({})", package.label(), package.licence);
    let packages: Vec<String> = bundle.packages.iter().map(label).collect();
    tracing::info!("{} in {}", packages.join(" and "), folder.display());
    let setup = fetch_bundle(bundle, &folder)?;
    say!("{}", if setup.was_there { "there already" } else { "fetched, unpacked and tried" })?;
    say!("library     {} (MuJoCo {})", setup.library.display(), setup.version)?;
    say!("models      {}", setup.models.display())?;
    say!("licences    {}", packages.join(", "))?;
    Ok(())
}
