//! Shapes that could not be measured.

/// Such a shape, and why.
pub struct Refused {
    /// The shape.
    pub shape: Vec<usize>,
    /// The error.
    pub error: String,
}

/// A shape as on the command line.
pub fn named(shape: &[usize]) -> String {
    shape.iter().map(usize::to_string).collect::<Vec<_>>().join("x")
}
