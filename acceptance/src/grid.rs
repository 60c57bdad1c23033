//! The shapes that are measured. Classes are on axis 1.

use serde_json::Value;

/// A shape of logits.
pub type Shape = Vec<u64>;

/// Classes of rows.
const CLASSES: [u64; 28] = [
    2, 3, 4, 8, 10, 16, 21, 32, 50, 64, 100, 128, 256, 512, 1000, 1001, 1024, 2048, 4096, 8192,
    16_384, 32_000, 50_257, 65_536, 128_256, 151_936, 262_144, 1_048_576,
];
/// Those that are compared with other libraries: torch.compile takes a while for each.
const PEER_CLASSES: [u64; 5] = [32, 256, 4096, 16_384, 262_144];
/// Classes and positions of images; 513 by 513 starts no row on 16 bytes, and 7 by 7 are few positions.
const IMAGES: [[u64; 3]; 7] = [
    [2, 512, 512],
    [19, 512, 1024],
    [21, 512, 512],
    [21, 513, 513],
    [150, 512, 512],
    [1000, 7, 7],
    [1000, 14, 14],
];
/// Rows, and classes: shapes that fill no GPU, or hardly.
const FEW: [[u64; 2]; 8] = [
    [1, 1000],
    [128, 10],
    [256, 1000],
    [4096, 1000],
    [4, 151_936],
    [16, 32_000],
    [64, 151_936],
    [1, 4_000_000],
];

/// The shapes that figures refer to on a GPU.
pub const LARGE_ROWS: [&[u64]; 2] = [&[8192, 32_000], &[4096, 151_936]];
pub const ROWS: [&[u64]; 1] = [&[65_536, 1000]];
pub const SHORT_AND_COLUMNS: [&[u64]; 2] = [&[16_777_216, 10], &[16, 21, 1024, 1024]];

/// Returns all shapes that figures refer to, the largest last.
pub fn wanted() -> Vec<Shape> {
    let all = ROWS.iter().chain(&SHORT_AND_COLUMNS).chain(&LARGE_ROWS);
    all.map(|shape| shape.to_vec()).collect()
}

/// Returns the whole grid, in groups that are measured by one process each: about `elements` elements per shape, and on
/// a GPU the shapes that figures refer to: these come first, in case the time runs out.
pub fn groups(elements: u64, gpu: bool) -> Vec<Vec<Shape>> {
    // Large shapes take the processor a minute each to check: each has its own process, so that a limit of the machine
    // stops one alone.
    let mut all: Vec<Vec<Shape>> = Vec::new();
    if gpu {
        all.extend(wanted().into_iter().map(|shape| vec![shape]));
    }
    all.push(rows(&CLASSES[..9], elements));
    all.push(rows(&CLASSES[9..19], elements));
    all.push(rows(&CLASSES[19..], elements));
    all.push(IMAGES.iter().filter_map(|&image| images(image, elements)).collect());
    let few = FEW.iter().filter(|[rows, classes]| rows * classes <= elements.max(1 << 22));
    all.push(few.map(|shape| shape.to_vec()).collect());
    all.retain(|group: &Vec<Shape>| !group.is_empty());
    all
}

/// Returns the shapes that are compared with other libraries, those with figures first.
pub fn beside_peers(elements: u64, gpu: bool) -> Vec<Shape> {
    let mut all = if gpu { wanted() } else { Vec::new() };
    all.extend(rows(&PEER_CLASSES, elements));
    all.extend([vec![4096, 1000], vec![4, 151_936]]);
    all.extend(images([21, 512, 512], elements));
    all.retain(|shape| gpu || shape.iter().product::<u64>() <= elements.max(1 << 22));
    all
}

/// Returns shapes of rows of so many classes.
fn rows(classes: &[u64], elements: u64) -> Vec<Shape> {
    let fit = classes.iter().filter(|&&classes| classes <= elements);
    fit.map(|&classes| vec![elements / classes, classes]).collect()
}

/// Returns a shape of as many images as `elements` allows.
fn images([classes, height, width]: [u64; 3], elements: u64) -> Option<Shape> {
    let count = elements / (classes * height * width);
    (count > 0).then(|| vec![count, classes, height, width])
}

/// Returns a shape as it is written on the command line.
pub fn named(shape: &[u64]) -> String {
    shape.iter().map(u64::to_string).collect::<Vec<_>>().join("x")
}

/// Reads a shape from JSON; empty if there is none.
pub fn read(shape: &Value) -> Shape {
    shape.as_array().into_iter().flatten().filter_map(Value::as_u64).collect()
}

/// Returns the bytes that have to move for a pass over logits of `size` bytes each, with labels of 8: counted as
/// `wgpu-loss bench` does.
pub fn bytes(shape: &[u64], size: u64, gradient: bool) -> u64 {
    let elements: u64 = shape.iter().product();
    let classes = shape.get(1).copied().unwrap_or(1).max(1);
    (if gradient { 3 } else { 1 }) * elements * size + 8 * elements / classes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_have_about_as_many_elements() {
        for elements in [1u64 << 12, 1 << 20, 1 << 26] {
            let groups = groups(elements, false);
            let largest = groups.iter().flatten().map(|shape| shape.iter().product::<u64>()).max();
            assert!(largest.unwrap() <= elements.max(1 << 22), "{elements}: {largest:?}");
            assert!(groups.iter().flatten().all(|shape| !shape.contains(&0)));
        }
        let all = groups(1 << 26, true).concat();
        assert!(all.contains(&vec![1 << 25, 2]) && all.contains(&vec![64, 1 << 20]));
        assert!(all.contains(&vec![12, 21, 512, 512]) && all.contains(&vec![4096, 151_936]));
        assert!(wanted().iter().all(|shape| beside_peers(1 << 26, true).contains(shape)));
    }

    #[test]
    fn bytes_are_counted_as_by_the_bench() {
        assert_eq!(bytes(&[64, 10], 4, false), 4 * 640 + 8 * 64);
        assert_eq!(bytes(&[64, 10], 2, true), 3 * 2 * 640 + 8 * 64);
        assert_eq!(bytes(&[2, 5, 3, 7], 4, false), 4 * 210 + 8 * 42);
    }
}
