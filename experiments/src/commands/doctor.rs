//! `hstep doctor`: what there is on this machine, what is missing, and how to mend it.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;
use hstep::env::gymnasium::Options;
use hstep::{nn, pool};

use crate::output::say;
use crate::run_folder;

/// What was looked at, and how to mend it where it is not as it should be.
struct Finding {
    what: &'static str,
    found: String,
    mend: Option<String>,
}

fn fine(what: &'static str, found: String) -> Finding {
    Finding { what, found, mend: None }
}

fn missing(what: &'static str, found: String, mend: &str) -> Finding {
    Finding { what, found, mend: Some(mend.into()) }
}

pub fn run() -> Result<()> {
    let root = run_folder::root(None);
    let findings = [processor(), threads(), runs(&root), locks(&root), mujoco(), gymnasium()];
    say!("hstep       {}", env!("CARGO_PKG_VERSION"))?;
    for Finding { what, found, mend } in &findings {
        say!("{what:<11} {found}")?;
        if let Some(mend) = mend {
            say!("            -> {mend}")?;
        }
    }
    let lacking = findings.iter().filter(|finding| finding.mend.is_some()).count();
    match lacking {
        0 => say!("\nnothing is missing")?,
        n => say!(
            "\n{n} of {} could be better; native environments need none of it",
            findings.len()
        )?,
    }
    Ok(())
}

fn processor() -> Finding {
    let tiles = match (nn::has_tiles(), nn::has_bf16()) {
        (true, true) => "AVX-512 and its bfloat16: the fastest form of everything",
        (true, false) => "AVX-512; run.precision = \"bf16\" falls back to f32",
        (false, _) => "no AVX-512: networks go through general matrix products, some times slower",
    };
    fine("processor", format!("{}, {tiles}", std::env::consts::ARCH))
}

fn threads() -> Finding {
    let here = std::thread::available_parallelism().map_or(1, usize::from);
    let (used, rayon) = (pool::threads(), std::env::var("RAYON_NUM_THREADS").unwrap_or_default());
    let found = format!("{used} of {here}; RAYON_NUM_THREADS={rayon}");
    match (used > here, rayon.as_str()) {
        (true, _) => {
            missing("threads", found, "ask for no more than there are: --threads or HSTEP_THREADS")
        }
        (_, "1") => fine("threads", found),
        _ => missing("threads", found, "unset RAYON_NUM_THREADS: hstep splits work itself"),
    }
}

/// The nearest folder above that exists.
fn existing(path: &Path) -> PathBuf {
    let above = path.ancestors().find(|path| path.is_dir()).unwrap_or(Path::new("."));
    if above.as_os_str().is_empty() { ".".into() } else { above.into() }
}

fn runs(root: &Path) -> Finding {
    let folder = existing(root);
    let free = rustix::fs::statvfs(&folder).map(|disk| disk.f_bavail * disk.f_frsize);
    let gigabytes = free.map_or(f64::NAN, |bytes| bytes as f64 / 1e9);
    let probe = folder.join(format!(".hstep-doctor-{}", std::process::id()));
    let written = File::create_new(&probe).and_then(|_| std::fs::remove_file(&probe));
    let found = format!("{}: {gigabytes:.0} GB free", root.display());
    match written {
        Ok(()) if gigabytes < 1.0 => {
            missing("runs", found, "a run takes up to some GB: make room, or --out DIR")
        }
        Ok(()) => fine("runs", found),
        Err(e) => missing(
            "runs",
            format!("{found}; {e}"),
            "take a folder that can be written to: --out DIR or HSTEP_RUNS",
        ),
    }
}

fn locks(root: &Path) -> Finding {
    let folder = existing(root);
    match File::open(&folder)
        .map_err(std::fs::TryLockError::Error)
        .and_then(|folder| folder.try_lock())
    {
        Ok(()) | Err(std::fs::TryLockError::WouldBlock) => {
            fine("locks", "two processes cannot take one run folder".into())
        }
        Err(e) => missing(
            "locks",
            format!("none on this file system ({e})"),
            "take care that no two processes train in one run folder",
        ),
    }
}

#[cfg(feature = "mujoco")]
fn mujoco() -> Finding {
    match hstep::env::mujoco::Library::get() {
        Ok(library) => {
            fine("MuJoCo", format!("{} at {}", library.version(), library.path().display()))
        }
        Err(e) => missing("MuJoCo", format!("{e}"), "hstep setup mujoco"),
    }
}

#[cfg(not(feature = "mujoco"))]
fn mujoco() -> Finding {
    missing("MuJoCo", "not in this build".into(), "build with the feature `mujoco`")
}

fn gymnasium() -> Finding {
    let python = match Options::from_env() {
        Ok(options) => options.python,
        Err(e) => return missing("gymnasium", format!("{e}"), "correct the variable"),
    };
    let text = "import sys, gymnasium; print('Python', sys.version.split()[0] + ', gymnasium', gymnasium.__version__)";
    let name = python.display();
    // Isolated: nothing of the current folder is imported.
    match Command::new(&python).args(["-I", "-c", text]).output() {
        Err(e) => missing(
            "gymnasium",
            format!("{name}: {e}"),
            "for gym: environments install Python, or set HSTEP_PYTHON",
        ),
        Ok(done) if !done.status.success() => missing(
            "gymnasium",
            format!("not installed for {name}"),
            &format!("for gym: environments: {name} -m pip install gymnasium"),
        ),
        Ok(done) => fine("gymnasium", String::from_utf8_lossy(&done.stdout).trim().to_string()),
    }
}
