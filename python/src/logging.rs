//! What the library logs, as records of Python's logger `hstep`.

use std::fmt::Write as _;
use std::sync::Once;

use pyo3::prelude::*;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

/// Hands every event to `logging.getLogger("hstep")`.
struct Logger;

struct Message(String);

impl Visit for Message {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        if field.name() == "message" {
            // Writing to a string cannot fail.
            let _ = write!(self.0, "{value:?}");
        }
    }
}

impl Subscriber for Logger {
    fn enabled(&self, about: &Metadata) -> bool {
        about.target().starts_with("hstep") && *about.level() <= Level::INFO
    }
    fn new_span(&self, _: &Attributes) -> Id {
        Id::from_u64(1)
    }
    fn record(&self, _: &Id, _: &Record) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn event(&self, event: &Event) {
        let mut message = Message(String::new());
        event.record(&mut message);
        let method = match *event.metadata().level() {
            Level::ERROR => "error",
            Level::WARN => "warning",
            _ => "info",
        };
        Python::attach(|py| {
            // A logger that raises is no reason to stop computing.
            let _ = py
                .import("logging")
                .and_then(|logging| logging.call_method1("getLogger", ("hstep",)))
                .and_then(|logger| logger.call_method1(method, ("%s", message.0)));
        });
    }
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

/// From now on, unless another subscriber is there already.
pub fn begin() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let _ = tracing::subscriber::set_global_default(Logger);
    });
}
