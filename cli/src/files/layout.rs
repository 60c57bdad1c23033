//! The contents of an array's header.

use super::Element;

/// The most axes an array may have, as in NumPy.
const MAX_AXES: usize = 64;

/// The place, type and shape of an array's elements.
#[derive(Clone, Debug, PartialEq)]
pub struct Layout {
    /// Their type.
    pub element: Element,
    /// True if the bytes of each element are swapped.
    pub big_endian: bool,
    /// True if the first axis is the fastest, not the last.
    pub fortran_order: bool,
    /// The shape.
    pub shape: Vec<usize>,
    /// First byte of the elements.
    pub offset: u64,
    /// Their number.
    pub count: usize,
}

impl Layout {
    /// Returns true if the elements are in C order, first axis slowest.
    pub fn in_c_order(&self) -> bool {
        // With one axis of more than one element, or none, both orders are the same bytes.
        !self.fortran_order
            || self.count <= 1
            || self.shape.iter().filter(|&&extent| extent > 1).count() <= 1
    }
}

/// Returns the number of elements of a shape, which must fit in `available` bytes.
pub fn checked_count(shape: &[usize], element: Element, available: u64) -> Result<usize, String> {
    if shape.len() > MAX_AXES {
        return Err(format!("has {} axes, but at most {MAX_AXES} are supported", shape.len()));
    }
    let count = match shape.contains(&0) {
        true => Some(0),
        false => shape.iter().try_fold(1usize, |n, &extent| n.checked_mul(extent)),
    };
    let bytes = count.and_then(|count| count.checked_mul(element.bytes()));
    match (count, bytes) {
        (Some(count), Some(bytes)) if bytes as u64 == available => Ok(count),
        (_, Some(bytes)) if (bytes as u64) < available => Err(format!(
            "has {} extra bytes after its array of shape {shape:?}",
            available - bytes as u64
        )),
        _ => Err(format!(
            "is cut short: its header says {} of shape {shape:?}, but {available} bytes follow",
            element.name()
        )),
    }
}

/// Lists the names that exist, so that a typing error is easy to see.
pub fn listed(mut names: Vec<String>) -> String {
    /// Models hold hundreds of tensors; the line stays readable.
    const MOST: usize = 20;
    let more = names.len().saturating_sub(MOST);
    names.truncate(MOST);
    match (names.is_empty(), more) {
        (true, _) => "there are none".into(),
        (_, 0) => format!("there are {}", names.join(", ")),
        (_, more) => format!("there are {} and {more} more", names.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_must_fill_the_file() {
        assert_eq!(checked_count(&[2, 3], Element::F32, 24), Ok(6));
        assert_eq!(checked_count(&[], Element::F32, 4), Ok(1));
        assert_eq!(checked_count(&[usize::MAX, 0, usize::MAX], Element::F32, 0), Ok(0));
        assert!(checked_count(&[2, 3], Element::F32, 23).unwrap_err().contains("cut short"));
        assert!(checked_count(&[2, 3], Element::F32, 25).unwrap_err().contains("1 extra bytes"));
        assert!(checked_count(&[usize::MAX, 2], Element::F32, 8).is_err());
        assert!(checked_count(&[1 << 62], Element::F64, 0).is_err());
        assert!(checked_count(&[1; 65], Element::F32, 4).is_err());
    }

    #[test]
    fn the_order_of_a_line_does_not_matter() {
        let layout = |shape: &[usize]| Layout {
            element: Element::F32,
            big_endian: false,
            fortran_order: true,
            shape: shape.to_vec(),
            offset: 0,
            count: shape.iter().product(),
        };
        for shape in [&[][..], &[5], &[1, 5, 1], &[0, 5, 2]] {
            assert!(layout(shape).in_c_order(), "{shape:?}");
        }
        assert!(!layout(&[2, 1, 3]).in_c_order());
    }
}
