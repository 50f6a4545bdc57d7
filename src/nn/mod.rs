//! Neural networks: dense stacks (single and ensemble), Adam, seeded initialisers, the squashed
//! Gaussian and the parameter store.
//!
//! The parameters of a network are one flat tensor ([`Params`]), so that Adam, Polyak averaging and
//! checkpoints are single loops. A [`Stack`] runs either through plain candle operations (the
//! reference, and what other devices use) or as one fused operation with its own backward pass;
//! [`crate::shape::Ops`] chooses, and nothing outside `stack.rs` knows which one ran.

mod activation;
mod adam;
mod fused;
mod init;
mod kernel;
mod layout;
mod module;
mod nll;
mod normaliser;
/// What an operation on raw slices is built of.
pub(crate) mod ops {
    pub(crate) use super::fused::pass::{Tape, Wanted};
    pub(crate) use super::fused::rows::Rows;
    pub(crate) use super::kernel::Real;
    pub(crate) use super::layout::{Net, Route};
    pub(crate) use super::slices::{slice, with_slices};
}
mod optimiser;
mod params;
mod plain;
mod scratch;
mod slices;
pub mod squashed;
mod stack;
mod store;
pub(crate) mod tile;

pub use activation::Activation;
pub use adam::{Adam, AdamConfig};
pub use init::Init;
pub(crate) use kernel::{exp_half, softplus_all, softplus_values};
pub use layout::StackConfig;
pub use module::ModuleNet;
pub use nll::bounded_nll;
pub(crate) use nll::{fit_gradients, own_gradients};
pub use normaliser::{Moments, Normaliser};
pub(crate) use normaliser::{RowNormaliser, standardised};
pub use optimiser::Optimiser;
pub(crate) use params::check_finite;
pub use params::{NamedParams, Params, Slot, joined, polyak};
pub use slices::Grad;
pub use squashed::softplus;
pub use stack::Stack;
pub use store::Store;
pub use tile::{fast as has_tiles, has_bf16};
