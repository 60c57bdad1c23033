//! Shapes that could not be measured.

/// A shape that could not be measured, and its error.
pub struct Refused {
    /// The shape.
    pub shape: Vec<usize>,
    /// The error.
    pub error: String,
}

/// Returns a shape as it is written on the command line.
pub fn named(shape: &[usize]) -> String {
    shape.iter().map(usize::to_string).collect::<Vec<_>>().join("x")
}
