//! To come in this series of commits.
