//! stub
/// stub
#[derive(Debug, Clone, Default)]
pub struct CemConfig {}
/// stub
#[derive(Debug, Clone, Default)]
pub struct Cem {}
