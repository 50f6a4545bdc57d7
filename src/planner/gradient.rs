//! stub
/// stub
#[derive(Debug, Clone, Default)]
pub struct GradientConfig {}
/// stub
#[derive(Debug, Clone, Default)]
pub struct Gradient {}
/// stub
#[derive(Debug, Clone, Default)]
pub enum Ascent {
    /// stub
    #[default]
    Adam,
}
