//! Copies between the host's memory and mapped buffers, by all cores: a single core does not use all of a memory's
//! bandwidth, and takes a fault for every page of fresh memory.

use std::mem::MaybeUninit;

/// The bytes that justify a thread.
const CHUNK: usize = 1 << 19;

/// Fills mapped memory; `from` is as long as `to`. A software driver computes on the same cores at the same time; using
/// all cores was measured to be faster all the same.
pub fn fill(mut to: wgpu::WriteOnly<'_, [u8]>, from: &[u8]) {
    if from.len() < 2 * CHUNK {
        return to.copy_from_slice(from);
    }
    let middle = from.len() / 2 / CHUNK * CHUNK;
    let (front, back) = to.split_at(middle);
    let (front, back) = (DisjointPart(front), DisjointPart(back));
    rayon::join(|| front.fill(&from[..middle]), || back.fill(&from[middle..]));
}

/// A part of mapped memory that another thread may write.
struct DisjointPart<'a>(wgpu::WriteOnly<'a, [u8]>);

// SAFETY: no other value can write these bytes, and any thread may write a byte. wgpu implements `Send` for every sized
// type that is `Send`, but not for slices.
unsafe impl Send for DisjointPart<'_> {}

impl DisjointPart<'_> {
    fn fill(self, from: &[u8]) {
        fill(self.0, from);
    }
}

/// Appends numbers of `N` bytes each.
pub(super) fn extend<const N: usize>(
    values: &mut Vec<f32>,
    bytes: &[u8],
    number: impl Fn([u8; N]) -> f32 + Sync,
) {
    let count = bytes.len() / N;
    values.reserve(count);
    set(&mut values.spare_capacity_mut()[..count], &bytes[..count * N], &number);
    // SAFETY: `set` has initialised each of them.
    unsafe { values.set_len(values.len() + count) };
}

/// Sets each element to the number in its `N` bytes.
fn set<const N: usize>(
    places: &mut [MaybeUninit<f32>],
    bytes: &[u8],
    number: &(impl Fn([u8; N]) -> f32 + Sync),
) {
    assert_eq!(places.len() * N, bytes.len());
    if bytes.len() < 2 * CHUNK {
        for (place, bytes) in places.iter_mut().zip(bytes.chunks_exact(N)) {
            let mut of_number = [0; N];
            of_number.copy_from_slice(bytes);
            place.write(number(of_number));
        }
        return;
    }
    let middle = places.len() / 2;
    let (front, back) = places.split_at_mut(middle);
    let (front_bytes, back_bytes) = bytes.split_at(middle * N);
    rayon::join(|| set(front, front_bytes, number), || set(back, back_bytes, number));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_appended_in_order() {
        for count in [0, 1, 1000, 3 * CHUNK + 1] {
            let numbers: Vec<f32> = (0..count).map(|i| i as f32).collect();
            // The leading byte puts the numbers at an odd address.
            let bytes = [&[0], bytemuck::cast_slice(&numbers)].concat();
            let mut values = vec![-1.0];
            extend(&mut values, &bytes[1..], f32::from_ne_bytes);
            assert!(values[0] == -1.0 && values[1..] == numbers, "{count} numbers");
        }
    }
}
