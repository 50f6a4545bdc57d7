//! Planners against closed forms.

mod cem;
mod gradient;
