//! What is kept: replay buffers, checkpoints and metrics.

mod checkpoint;
mod metrics;
mod replay;
