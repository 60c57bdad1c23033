//! Elements of files, in the order and type that the library reads: C order, little-endian,
//! aligned, and no f64.
//!
//! Any range of elements can be read alone, so that an array never has to be in memory as a whole.

use std::ops::Range;

use bytemuck::Pod;
use half::{bf16, f16};
use wgpu_loss::LabelType;

use super::Element;
use super::layout::Layout;

/// Fortran order is undone in squares of this many elements: 64 cache lines on either side.
const TILE: usize = 64;

/// Elements are converted in steps of this many, which stay in the cache.
const STEP: usize = 1 << 16;

/// An element's bits.
pub trait Word: Pod {
    fn swapped(self) -> Self;
}

macro_rules! words {
    ($($type:ty),*) => {$(impl Word for $type {
        fn swapped(self) -> Self { self.swap_bytes() }
    })*};
}
words!(u8, u16, u32, u64);

/// Copies the elements of a range as they are stored, with their bytes in native order. `stored`
/// are the bytes of all elements.
fn words<W: Word>(stored: &[u8], layout: &Layout, range: Range<usize>, to: &mut [W]) {
    if layout.in_c_order() {
        let size = size_of::<W>();
        let bytes = &stored[range.start * size..range.end * size];
        bytemuck::cast_slice_mut(to).copy_from_slice(bytes);
    } else {
        transposed(stored, &layout.shape, range, to);
    }
    if layout.big_endian {
        to.iter_mut().for_each(|word| *word = word.swapped());
    }
}

/// Copies a range, in C order, of an array that is stored in Fortran order.
///
/// With the first axis `i` and all others together as `j` in C order, element `(i, j)` is wanted at
/// `i * others + j` and stored at `place(j) * first + i`: the other axes are in Fortran order, too.
fn transposed<W: Word>(stored: &[u8], shape: &[usize], range: Range<usize>, to: &mut [W]) {
    let (first, others) = (shape[0], shape[1..].iter().product::<usize>());
    let load = |place: usize, i: usize| {
        let at = (place * first + i) * size_of::<W>();
        bytemuck::pod_read_unaligned::<W>(&stored[at..at + size_of::<W>()])
    };
    let mut places = [0; TILE];
    // The first and last steps, of which a part may be wanted, are copied alone; those between them
    // in squares.
    let mut at = range.start;
    while at < range.end {
        let (i, j) = (at / others, at % others);
        let whole = (range.end - at) / others;
        let (rows, columns) = match j == 0 && whole > 0 {
            true => (whole, others),
            false => (1, (others - j).min(range.end - at)),
        };
        let out = &mut to[at - range.start..][..rows * columns];
        for left in (0..columns).step_by(TILE) {
            let width = (columns - left).min(TILE);
            for (k, place) in places[..width].iter_mut().enumerate() {
                *place = place_of(j + left + k, &shape[1..]);
            }
            for top in (0..rows).step_by(TILE) {
                for (k, &place) in places[..width].iter().enumerate() {
                    for row in top..(top + TILE).min(rows) {
                        out[row * columns + left + k] = load(place, i + row);
                    }
                }
            }
        }
        at += rows * columns;
    }
}

/// Returns the index in Fortran order of the element at an index in C order.
fn place_of(mut index: usize, shape: &[usize]) -> usize {
    let (mut place, mut stride) = (0, shape.iter().product::<usize>());
    for &extent in shape.iter().rev() {
        stride /= extent;
        place += index % extent * stride;
        index /= extent;
    }
    place
}

/// Writes a range of elements, in the type they are read as, to `to`, whose length must be theirs.
pub fn gather(stored: &[u8], layout: &Layout, range: Range<usize>, to: &mut [u8], as_f32: bool) {
    match layout.element {
        Element::F64 => {
            converted(stored, layout, range, to, |word: u64| f64::from_bits(word) as f32)
        }
        Element::F16 if as_f32 => {
            converted(stored, layout, range, to, |word: u16| f16::from_bits(word).to_f32());
        }
        Element::Bf16 if as_f32 => {
            converted(stored, layout, range, to, |word: u16| bf16::from_bits(word).to_f32());
        }
        Element::Integer(label_type) if as_f32 => {
            integers(stored, layout, label_type, range, to);
        }
        Element::Bool if as_f32 => {
            converted(stored, layout, range, to, |word: u8| f32::from(u8::from(word != 0)));
        }
        // Any byte but 0 is true, as in NumPy.
        Element::Bool => {
            words::<u8>(stored, layout, range, to);
            to.iter_mut().for_each(|byte| *byte = u8::from(*byte != 0));
        }
        element => match element.bytes() {
            1 => words::<u8>(stored, layout, range, to),
            2 => words::<u16>(stored, layout, range, bytemuck::cast_slice_mut(to)),
            4 => words::<u32>(stored, layout, range, bytemuck::cast_slice_mut(to)),
            _ => words::<u64>(stored, layout, range, bytemuck::cast_slice_mut(to)),
        },
    }
}

/// Converts whole numbers to floats: large ones are rounded.
fn integers(
    stored: &[u8],
    layout: &Layout,
    label_type: LabelType,
    range: Range<usize>,
    to: &mut [u8],
) {
    match label_type {
        LabelType::I8 => converted(stored, layout, range, to, |word: u8| f32::from(word as i8)),
        LabelType::I16 => converted(stored, layout, range, to, |word: u16| f32::from(word as i16)),
        LabelType::U16 => converted(stored, layout, range, to, |word: u16| f32::from(word)),
        LabelType::I32 => converted(stored, layout, range, to, |word: u32| word as i32 as f32),
        LabelType::U32 => converted(stored, layout, range, to, |word: u32| word as f32),
        LabelType::I64 => converted(stored, layout, range, to, |word: u64| word as i64 as f32),
        LabelType::U64 => converted(stored, layout, range, to, |word: u64| word as f32),
        _ => converted(stored, layout, range, to, |word: u8| f32::from(word)),
    }
}

/// Copies elements in another type, step by step.
fn converted<W: Word>(
    stored: &[u8],
    layout: &Layout,
    range: Range<usize>,
    to: &mut [u8],
    convert: impl Fn(W) -> f32,
) {
    let to: &mut [f32] = bytemuck::cast_slice_mut(to);
    let mut step = vec![W::zeroed(); STEP.min(to.len())];
    for (k, to) in to.chunks_mut(STEP).enumerate() {
        let (from, step) = (range.start + k * STEP, &mut step[..to.len()]);
        words(stored, layout, from..from + to.len(), step);
        to.iter_mut().zip(step).for_each(|(to, word)| *to = convert(*word));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(shape: &[usize], element: Element, big_endian: bool, fortran_order: bool) -> Layout {
        let count = shape.iter().product();
        Layout { element, big_endian, fortran_order, shape: shape.to_vec(), offset: 0, count }
    }

    /// Every range of arrays of every rank: what NumPy calls `a[i, j, ...]` is at its place.
    #[test]
    fn fortran_order_is_undone_in_any_range() {
        for shape in [&[2, 3][..], &[3, 1, 4], &[2, 3, 4, 5], &[1, 7, 3], &[130, 70]] {
            let count: usize = shape.iter().product();
            let mut stored = vec![0u16; count];
            for index in 0..count {
                stored[place_of(index, shape)] = index as u16;
            }
            // The first axis is the fastest: its second element is stored second.
            if shape[0] > 1 {
                assert_eq!(usize::from(stored[1]), count / shape[0]);
            }
            let layout = layout(shape, Element::F16, false, true);
            let ends =
                if count < 200 { (0..=count).collect() } else { vec![0, 1, 69, 5000, count] };
            for &start in &ends {
                for &end in ends.iter().filter(|&&end| end >= start) {
                    let mut to = vec![0u16; end - start];
                    let bytes = bytemuck::cast_slice_mut(&mut to);
                    gather(bytemuck::cast_slice(&stored), &layout, start..end, bytes, false);
                    let wanted: Vec<u16> = (start..end).map(|index| index as u16).collect();
                    assert_eq!(to, wanted, "{shape:?} {start}..{end}");
                }
            }
        }
    }

    #[test]
    fn types_and_byte_orders() {
        let values = [1.5f32, -2.25, 1024.0];
        let mut to = [0f32; 2];
        let mut check = |element, big_endian, stored: Vec<u8>| {
            let layout = layout(&[3], element, big_endian, false);
            gather(&stored, &layout, 1..3, bytemuck::cast_slice_mut(&mut to), true);
            assert_eq!(to, values[1..], "{element:?}");
        };
        let all = |bytes: &dyn Fn(f32) -> Vec<u8>| values.iter().flat_map(|&x| bytes(x)).collect();
        check(Element::F32, false, all(&|x| x.to_le_bytes().to_vec()));
        check(Element::F32, true, all(&|x| x.to_be_bytes().to_vec()));
        check(Element::F64, false, all(&|x| f64::from(x).to_le_bytes().to_vec()));
        check(Element::F64, true, all(&|x| f64::from(x).to_be_bytes().to_vec()));
        check(Element::F16, false, all(&|x| f16::from_f32(x).to_le_bytes().to_vec()));
        check(Element::F16, true, all(&|x| f16::from_f32(x).to_be_bytes().to_vec()));
        check(Element::Bf16, true, all(&|x| bf16::from_f32(x).to_be_bytes().to_vec()));
        let integers = |label_type, stored: Vec<u8>| {
            let mut to = [0f32; 2];
            let layout = layout(&[3], Element::Integer(label_type), true, false);
            gather(&stored, &layout, 1..3, bytemuck::cast_slice_mut(&mut to), true);
            assert_eq!(to, [-2.0, 100.0], "{label_type:?}");
        };
        integers(LabelType::I8, vec![7, 254, 100]);
        integers(LabelType::I16, [7i16, -2, 100].iter().flat_map(|x| x.to_be_bytes()).collect());
        integers(LabelType::I32, [7i32, -2, 100].iter().flat_map(|x| x.to_be_bytes()).collect());
        integers(LabelType::I64, [7i64, -2, 100].iter().flat_map(|x| x.to_be_bytes()).collect());
        let layout = layout(&[3], Element::Integer(wgpu_loss::LabelType::I64), true, false);
        let stored: Vec<u8> = [1i64, -100, 3].iter().flat_map(|x| x.to_be_bytes()).collect();
        let mut labels = [0i64; 2];
        gather(&stored, &layout, 0..2, bytemuck::cast_slice_mut(&mut labels), false);
        assert_eq!(labels, [1, -100]);
    }
}
