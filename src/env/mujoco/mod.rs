//! Environments on MuJoCo, which is loaded at run time: the tasks of Gymnasium and some of papers.
//!
//! Nothing is needed to build this and nothing is loaded before an environment is made. Then the
//! library is looked for ([`find::library`]), of a version that was tried ([`version`]); `hstep setup
//! mujoco` ([`setup`]) fetches it together with Gymnasium's model files. One library and one model
//! serve the whole process; every environment has its own simulation.
//!
//! [`tasks`] has one [`definition`] a task. [`Mujoco`] makes an environment of it, [`Data`] is the bare
//! simulation.

mod arrays;
mod cup;
pub mod definition;
pub mod find;
mod functions;
mod jacobian;
mod library;
mod looks;
mod model;
mod offscreen;
mod physical;
mod rules;
pub mod setup;
mod task;
pub mod tasks;
mod verify;
pub mod version;
mod visual;

pub use definition::Task;
pub use jacobian::Jacobian;
pub use library::Library;
pub use model::{Data, Model, Parts, Sizes};
pub use task::Mujoco;
pub use version::Field;
pub use visual::{Geom, Kind};

/// Tasks of Gymnasium that are not here, and why.
const NOT_HERE: [(&str, &str); 1] = [(
    "Pusher-v4",
    "it is not defined on MuJoCo 3 and later, where Gymnasium refuses it too (its object is lighter \
     than air); take `Pusher-v5`",
)];

/// The names of the tasks.
#[must_use]
pub fn names() -> Vec<&'static str> {
    tasks::TASKS.iter().map(|task| task.name).collect()
}

/// The definition of a task.
#[must_use]
pub fn task(name: &str) -> Option<&'static Task> {
    tasks::TASKS.iter().find(|task| task.name == name)
}

/// Why a task that Gymnasium lists is not here.
#[must_use]
pub fn not_here(name: &str) -> Option<&'static str> {
    NOT_HERE.iter().find(|(known, _)| *known == name).map(|(_, why)| *why)
}
