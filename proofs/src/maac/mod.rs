//! MAAC (Clavera, Fu, Abbeel, "Model-Augmented Actor-Critic: Backpropagating through Paths", ICLR
//! 2020): Lemmas 4.1 and 4.2, Theorem 4.1.

mod gradient;
mod improvement;
mod system;
mod variation;

pub use gradient::{Constants, GradientBound, PrintedLemma, Step};
pub use improvement::{Improvement, Step as PolicyStep, bad_habit, drifting};
pub use system::{GradientError, Maps, System, biased, feedback, positive};
pub use variation::{Bernoulli, Gaussian, PolicyFamily, Rise, Variation};
