//! The one place for signals, for all commands.
//!
//! Where there is something to save, SIGINT, SIGTERM and the warnings of schedulers (SIGHUP, SIGUSR1,
//! SIGUSR2, SIGXCPU) ask the work to save and stop; a second SIGINT or SIGTERM ends the process at once.
//! A warning never does: SIGXCPU comes every second, and a closed terminal sends several SIGHUP. Other
//! commands have nothing to save, and a signal ends them as it ends any program.
//!
//! SIGXFSZ, a file beyond its size limit, ends no command: the write then fails as on a full disk.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGUSR2, SIGXCPU, SIGXFSZ};
use signal_hook::flag;

use crate::exit;

/// Sets up the signals of a command; the flag is raised when it should save and stop, which only one
/// that `saves` is asked to.
pub fn listen(saves: bool) -> std::io::Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    flag::register(SIGXFSZ, Arc::default())?;
    if !saves {
        return Ok(stop);
    }
    let asked = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        // In this order: the shutdown looks at the flag before this signal has set it.
        flag::register_conditional_shutdown(signal, i32::from(exit::KILLED), Arc::clone(&asked))?;
        flag::register(signal, Arc::clone(&asked))?;
        flag::register(signal, Arc::clone(&stop))?;
    }
    for signal in [SIGHUP, SIGUSR1, SIGUSR2, SIGXCPU] {
        // Under `nohup` a closed terminal is no reason to stop.
        if signal != SIGHUP || !is_ignored(signal) {
            flag::register(signal, Arc::clone(&stop))?;
        }
    }
    Ok(stop)
}

/// Whether this process was started with the signal ignored; only Linux says so.
fn is_ignored(signal: i32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask >> (signal - 1) & 1 == 1)
}
