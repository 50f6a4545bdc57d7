//! What is kept: replay buffers, checkpoints and metrics.

mod checkpoint;
mod damage;
mod metrics;
mod replay;
