//! Files: any bytes are read or refused. An array is the same whether it is read in parts, as a whole or after
//! conversion; an undamaged file is read as it was written, and so is an archive with one wrong bit, or it is refused.

use std::path::Path;

use wgpu_loss::ElementType;
use wgpu_loss_cli::files::{Element, Part, Source};

use crate::draw::Draw;
use written::Written;

mod written;

/// The names of files.
const NAMES: [&str; 4] = ["a.npy", "a.npz", "a.npz:x", "a.safetensors:x"];

/// Runs the fuzzer's bytes: the first one decides if the others are a file, or choices for one that is written here.
pub fn run(data: &[u8]) {
    let Some((&kind, rest)) = data.split_first() else { return };
    let how = How::of(kind >> 3);
    match NAMES.get(usize::from(kind % 8)) {
        Some(name) => drop(read(name, rest, how)),
        None => written(Draw::new(rest), how),
    }
}

/// The type that the elements are read as.
#[derive(Clone, Copy, Debug, PartialEq)]
enum How {
    Own,
    AsF32,
    Words(ElementType),
}

impl How {
    fn of(number: u8) -> Self {
        match number % 4 {
            0 | 1 => How::Own,
            2 => How::AsF32,
            _ => How::Words(if number % 8 < 4 { ElementType::F16 } else { ElementType::BF16 }),
        }
    }
}

/// An array that was read.
struct Read {
    shape: Vec<usize>,
    element: Element,
    /// The elements in C order, as the library takes them.
    bytes: Vec<u8>,
}

/// Reads an array in parts, and as a whole.
///
/// # Panics
/// If the two differ.
fn read(name: &str, file: &[u8], how: How) -> Result<Read, String> {
    let mut source =
        Source::in_bytes(Path::new(name), file).map_err(|failure| failure.message())?;
    match how {
        How::Own => {}
        How::AsF32 => source.as_f32(),
        How::Words(element_type) => {
            source.take_for(element_type).map_err(|failure| failure.message())?;
        }
    }
    if source.kind().is_none() {
        return Err("raw words".into());
    }
    source.inflate().map_err(|failure| failure.message())?;
    let count = source.count();
    let wanted = match source.shape.contains(&0) {
        true => 0,
        false => source.shape.iter().product(),
    };
    assert_eq!(count, wanted, "{name}: elements of {:?}", source.shape);
    let cuts = [0, count / 3, count / 2, count];
    let mut parts = Vec::new();
    for cut in cuts.windows(2) {
        parts.extend(bytes_of(&source.part(cut[0]..cut[1]).map_err(|failure| failure.message())?));
        source.release(cut[0]..cut[1]);
    }
    source.settle().map_err(|failure| failure.message())?;
    assert!(source.in_place(), "{name}: settled elsewhere");
    let bytes = bytes_of(&source.part(0..count).map_err(|failure| failure.message())?);
    source.verify().map_err(|failure| failure.message())?;
    assert!(bytes == parts, "{name}: the parts of {:?} are not the whole", source.shape);
    Ok(Read { shape: source.shape.clone(), element: source.element, bytes })
}

fn bytes_of(part: &Part<'_>) -> Vec<u8> {
    let (floats, labels) = (part.floats(), part.labels());
    [floats.bytes(), labels.bytes()].concat()
}

/// Writes an array into a file and reads it. Some files are damaged first, and only must not cause a panic.
fn written(draw: Draw<'_>, how: How) {
    let array = Written::draw(&draw);
    let (name, mut file) = array.file(&draw);
    let edits = draw.below(6);
    for _ in 0..edits {
        damage(&mut file, &draw);
    }
    // Archives have checksums: one wrong bit is found, or has no effect.
    let flipped = edits == 0 && name.contains(".npz") && draw.comes(3);
    if flipped {
        let at = draw.below(file.len());
        file[at] ^= 1 << draw.below(8);
    }
    let read = read(name, &file, how);
    if edits > 0 || flipped && read.is_err() {
        return;
    }
    let what = format!("{name}: {array:?} read as {how:?}, with a wrong bit: {flipped}");
    match (read, array.wanted(how)) {
        (Ok(read), Some(bytes)) => {
            assert_eq!(read.shape, array.shape, "{what}");
            assert!(read.bytes == bytes, "{what}: {:?}, expected {bytes:?}", read.bytes);
            assert!(matches!(how, How::Words(_)) || read.element == array.element, "{what}");
        }
        (Err(_), None) => {}
        (Err(error), Some(_)) => panic!("{what}: {error}"),
        (Ok(_), None) => panic!("{what}: not refused"),
    }
}

/// Makes one change to a file's bytes.
fn damage(file: &mut Vec<u8>, draw: &Draw<'_>) {
    if file.is_empty() {
        return;
    }
    let at = draw.below(file.len());
    match draw.below(7) {
        0 => file[at] = draw.bits() as u8,
        1 => file[at] ^= 1 << draw.below(8),
        2 => file.truncate(at),
        3 => drop(file.drain(at..(at + draw.below(64)).min(file.len()))),
        4 => drop(file.splice(at..at, draw.bytes(64).to_vec())),
        5 => {
            let again = file[at..(at + draw.below(256)).min(file.len())].to_vec();
            drop(file.splice(at..at, again));
        }
        // A field: zip's are of two and four bytes, others' of two, four and eight.
        _ => {
            let size = draw.one_of(&[2, 4, 8]).min(file.len() - at);
            let length = file.len() as u64;
            let value = draw.one_of(&[0, 1, u64::MAX, 1 << 31, length, length - 1, length + 1]);
            file[at..at + size].copy_from_slice(&value.to_le_bytes()[..size]);
        }
    }
}
