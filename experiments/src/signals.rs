//! SIGINT and SIGTERM: the first asks the work to save and stop, the second ends the process.
//! SIGXFSZ, a file beyond its size limit, must not end it: the write then fails as on a full disk.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use signal_hook::consts::{SIGINT, SIGTERM, SIGXFSZ};
use signal_hook::flag;

use crate::exit;

/// A flag that the first signal sets.
pub fn stop_flag() -> std::io::Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        // In this order: the shutdown looks at the flag before this signal has set it.
        flag::register_conditional_shutdown(signal, i32::from(exit::KILLED), Arc::clone(&stop))?;
        flag::register(signal, Arc::clone(&stop))?;
    }
    flag::register(SIGXFSZ, Arc::new(AtomicBool::new(false)))?;
    Ok(stop)
}
