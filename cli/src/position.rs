//! Positions in tensors, as they are printed.

/// Returns a flat index as one index per axis, such as `[0, 13, 7]`.
pub fn position(flat: u64, shape: &[usize]) -> String {
    format!("{:?}", index(flat, shape))
}

/// Returns the indices as numbers.
pub fn index(flat: u64, shape: &[usize]) -> Vec<u64> {
    let mut index = vec![0; shape.len()];
    let mut rest = flat;
    for (i, &extent) in index.iter_mut().zip(shape).rev() {
        let extent = (extent as u64).max(1);
        *i = rest % extent;
        rest /= extent;
    }
    index
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_count_the_last_axis_fastest() {
        assert_eq!(position(0, &[]), "[]");
        assert_eq!(position(7, &[10]), "[7]");
        assert_eq!(position(13 * 16 + 7, &[2, 14, 16]), "[0, 13, 7]");
        assert_eq!(position(14 * 16, &[2, 14, 16]), "[1, 0, 0]");
    }
}
