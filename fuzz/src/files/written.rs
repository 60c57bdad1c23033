//! Arrays that are written here, byte by byte, and the elements that reading them must give.

use std::io::Write;

use flate2::{Compression, Crc, write::DeflateEncoder};
use half::{bf16, f16};
use wgpu_loss::{ElementType, LabelType};
use wgpu_loss_cli::files::Element;

use super::How;
use crate::draw::Draw;

/// Elements at most.
const MOST: usize = 20_000;

const ELEMENTS: [Element; 14] = [
    Element::F32,
    Element::F16,
    Element::Bf16,
    Element::F64,
    Element::Bool,
    Element::Raw16,
    Element::Integer(LabelType::I64),
    Element::Integer(LabelType::U8),
    Element::Integer(LabelType::I8),
    Element::Integer(LabelType::U16),
    Element::Integer(LabelType::I16),
    Element::Integer(LabelType::U32),
    Element::Integer(LabelType::I32),
    Element::Integer(LabelType::U64),
];

/// The container of the array.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Container {
    Npy,
    Stored,
    Deflated,
    Safetensors,
}

/// An array and the way in which it is written.
#[derive(Debug)]
pub struct Written {
    container: Container,
    pub element: Element,
    big_endian: bool,
    fortran_order: bool,
    pub shape: Vec<usize>,
    /// The seed of the elements' bits.
    seed: u64,
}

impl Written {
    pub fn draw(draw: &Draw<'_>) -> Self {
        let container = draw.one_of(&[
            Container::Npy,
            Container::Stored,
            Container::Deflated,
            Container::Safetensors,
        ]);
        let of_numpy = container != Container::Safetensors;
        // NumPy has no bf16, and only NumPy has words without a type.
        let element = match draw.one_of(&ELEMENTS) {
            Element::Bf16 if of_numpy => Element::Raw16,
            Element::Raw16 if !of_numpy => Element::Bf16,
            element => element,
        };
        let mut shape = Vec::new();
        for _ in 0..draw.below(6) {
            let extent = draw.one_of(&[2, 0, 1, 3, 4, 5, 8, 31, 63, 64, 65, 130]);
            let count: usize = shape.iter().product();
            shape.push(if count * extent > MOST { 1 } else { extent });
        }
        Self {
            container,
            element,
            big_endian: of_numpy && element.bytes() > 1 && draw.comes(3),
            fortran_order: of_numpy && draw.comes(3),
            shape,
            seed: draw.bits(),
        }
    }

    /// The bits of the elements, in C order.
    fn words(&self) -> impl Iterator<Item = u64> {
        let mut state = self.seed;
        let is_bool = self.element == Element::Bool;
        (0..self.shape.iter().product()).map(move |_| {
            // Knuth's multiplier for 64 bits.
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            let bits = state ^ state >> 29;
            // NumPy takes any byte but 0 for true; half of them are 0 here.
            if is_bool && bits & 256 == 0 { 0 } else { bits }
        })
    }

    /// Returns the bytes of the elements as they are read; `None` if they are refused.
    pub fn wanted(&self, how: How) -> Option<Vec<u8>> {
        let size = self.element.bytes();
        let own = || {
            let bytes = |word: u64| word.to_le_bytes()[..size].to_vec();
            self.words().flat_map(bytes).collect::<Vec<u8>>()
        };
        let floats = |convert: &dyn Fn(u64) -> f32| {
            self.words().flat_map(|word| convert(word).to_le_bytes()).collect::<Vec<u8>>()
        };
        match (self.element, how) {
            (Element::Raw16 | Element::Integer(LabelType::U16), How::Words(_)) => Some(own()),
            (Element::F16, How::Words(ElementType::F16)) => Some(own()),
            (Element::Bf16, How::Words(ElementType::BF16)) => Some(own()),
            (Element::Raw16, _) | (_, How::Words(_)) => None,
            (Element::F64, _) => Some(floats(&|word| f64::from_bits(word) as f32)),
            (Element::F32, _) => Some(own()),
            (Element::F16, How::AsF32) => {
                Some(floats(&|word| f16::from_bits(word as u16).to_f32()))
            }
            (Element::Bf16, How::AsF32) => {
                Some(floats(&|word| bf16::from_bits(word as u16).to_f32()))
            }
            (Element::Bool, How::AsF32) => {
                Some(floats(&|word| f32::from(u8::from(word as u8 != 0))))
            }
            (Element::Bool, How::Own) => {
                Some(self.words().map(|word| u8::from(word as u8 != 0)).collect())
            }
            (Element::Integer(label_type), How::AsF32) => {
                Some(floats(&|word| integer(label_type, word)))
            }
            _ => Some(own()),
        }
    }

    /// Returns the file's name and its bytes.
    pub fn file(&self, draw: &Draw<'_>) -> (&'static str, Vec<u8>) {
        match self.container {
            Container::Npy => ("a.npy", self.npy(draw)),
            Container::Safetensors => ("a.safetensors:x", self.safetensors(draw)),
            container => {
                let member = (self.npy(draw), container == Container::Deflated);
                let other = Self { element: Element::F32, shape: vec![draw.below(9)], ..*self };
                let mut members = vec![("x.npy", member)];
                if draw.comes(3) {
                    members.push(("y.npy", (other.npy(draw), draw.comes(4))));
                }
                if draw.comes(2) {
                    members.insert(0, ("notes.txt", (draw.bytes(40).to_vec(), draw.comes(4))));
                }
                let alone = !members.iter().any(|(name, _)| *name == "y.npy");
                let name = if alone && draw.comes(4) { "a.npz" } else { "a.npz:x" };
                (name, zip(&members))
            }
        }
    }

    /// The elements as they are stored.
    fn body(&self) -> Vec<u8> {
        let (size, words) = (self.element.bytes(), Vec::from_iter(self.words()));
        let mut body = vec![0; size * words.len()];
        for (index, word) in words.iter().enumerate() {
            let place = if self.fortran_order { self.fortran_place(index) } else { index };
            let bytes = &mut body[place * size..][..size];
            bytes.copy_from_slice(&word.to_le_bytes()[..size]);
            if self.big_endian {
                bytes.reverse();
            }
        }
        body
    }

    /// Returns the position in Fortran order of the element at an index in C order.
    fn fortran_place(&self, mut index: usize) -> usize {
        let mut at = vec![0; self.shape.len()];
        for (axis, &extent) in self.shape.iter().enumerate().rev() {
            (at[axis], index) = (index % extent, index / extent);
        }
        let (mut place, mut stride) = (0, 1);
        for (axis, &extent) in self.shape.iter().enumerate() {
            place += at[axis] * stride;
            stride *= extent;
        }
        place
    }

    fn npy(&self, draw: &Draw<'_>) -> Vec<u8> {
        let code = match self.element {
            Element::F16 => "f2",
            Element::F32 => "f4",
            Element::F64 => "f8",
            Element::Bool => "b1",
            Element::Bf16 | Element::Raw16 => "V2",
            Element::Integer(LabelType::U8) => "u1",
            Element::Integer(LabelType::I8) => "i1",
            Element::Integer(LabelType::U16) => "u2",
            Element::Integer(LabelType::I16) => "i2",
            Element::Integer(LabelType::U32) => "u4",
            Element::Integer(LabelType::I32) => "i4",
            Element::Integer(LabelType::U64) => "u8",
            Element::Integer(_) => "i8",
        };
        let order = if self.big_endian { ">" } else { draw.one_of(&["<", "|", "=", ""]) };
        let quote = draw.one_of(&["'", "\""]);
        let blank = draw.one_of(&[" ", "", "  ", "\n"]);
        let long = draw.one_of(&["", "L"]);
        let mut extents = String::new();
        for &extent in &self.shape {
            extents += &format!("{extent}{long},{blank}");
        }
        let fortran = if self.fortran_order { "True" } else { "False" };
        let mut entries = [
            format!("{quote}descr{quote}:{blank}{quote}{order}{code}{quote}"),
            format!("'fortran_order': {fortran}"),
            format!("'shape'{blank}:({extents})"),
        ];
        entries.rotate_left(draw.below(3));
        let mut text = format!("{{{}{}}}", entries.join(","), draw.one_of(&[", ", ""]));
        text += &" ".repeat(draw.below(70));
        text += draw.one_of(&["\n", ""]);
        let version = draw.one_of(&[1, 2, 3]);
        let mut file = b"\x93NUMPY".to_vec();
        file.extend([version, 0]);
        let size = (text.len() as u32).to_le_bytes();
        file.extend(if version == 1 { &size[..2] } else { &size[..] });
        file.extend(text.bytes());
        file.extend(self.body());
        file
    }

    fn safetensors(&self, draw: &Draw<'_>) -> Vec<u8> {
        let dtype = match self.element {
            Element::F16 => "F16",
            Element::Bf16 | Element::Raw16 => "BF16",
            Element::F32 => "F32",
            Element::F64 => "F64",
            Element::Bool => "BOOL",
            Element::Integer(LabelType::U8) => "U8",
            Element::Integer(LabelType::I8) => "I8",
            Element::Integer(LabelType::U16) => "U16",
            Element::Integer(LabelType::I16) => "I16",
            Element::Integer(LabelType::U32) => "U32",
            Element::Integer(LabelType::I32) => "I32",
            Element::Integer(LabelType::U64) => "U64",
            Element::Integer(_) => "I64",
        };
        let (body, front, trailing) = (self.body(), draw.below(9), draw.below(9));
        let entry = |name: &str, dtype: &str, shape: &[usize], start: usize, end: usize| {
            format!(
                "{name:?}:{{\"dtype\":\"{dtype}\",\"shape\":{shape:?},\"data_offsets\":[{start},{end}]}}"
            )
        };
        let (start, end) = (front, front + body.len());
        let mut entries = vec![entry("x", dtype, &self.shape, start, end)];
        if front > 0 {
            entries.insert(draw.below(2), entry("f", "U8", &[front], 0, front));
        }
        if trailing > 0 {
            entries.insert(draw.below(2), entry("b", "I8", &[trailing], end, end + trailing));
        }
        if draw.comes(2) {
            entries.push("\"__metadata__\":{\"format\":\"pt\"}".into());
        }
        let json = format!("{{{}}}{}", entries.join(","), " ".repeat(draw.below(9)));
        let mut file = (json.len() as u64).to_le_bytes().to_vec();
        file.extend(json.bytes());
        file.extend(vec![1; front]);
        file.extend(body);
        file.extend(vec![1; trailing]);
        file
    }
}

/// The number that an integer's bits stand for.
fn integer(label_type: LabelType, word: u64) -> f32 {
    match label_type {
        LabelType::U8 => f32::from(word as u8),
        LabelType::I8 => f32::from(word as i8),
        LabelType::U16 => f32::from(word as u16),
        LabelType::I16 => f32::from(word as i16),
        LabelType::U32 => word as u32 as f32,
        LabelType::I32 => word as i32 as f32,
        LabelType::U64 => word as f32,
        _ => word as i64 as f32,
    }
}

/// A zip archive of files given as name, contents and whether they are deflated.
fn zip(files: &[(&str, (Vec<u8>, bool))]) -> Vec<u8> {
    let (mut archive, mut directory) = (Vec::new(), Vec::new());
    for (name, (contents, deflated)) in files {
        let data = if *deflated { deflate(contents) } else { contents.clone() };
        let mut crc = Crc::new();
        crc.update(contents);
        // Version, flags, method, time and date; checksum, sizes; lengths of the name and of nothing.
        let mut common = vec![20, 0, 0, 0, if *deflated { 8 } else { 0 }, 0, 0, 0, 0x21, 0];
        for number in [crc.sum(), data.len() as u32, contents.len() as u32, name.len() as u32] {
            common.extend(number.to_le_bytes());
        }
        directory.extend(b"PK\x01\x02\x14\x00");
        directory.extend(&common);
        directory.extend([0; 10]);
        directory.extend((archive.len() as u32).to_le_bytes());
        directory.extend(name.bytes());
        archive.extend(b"PK\x03\x04");
        archive.extend(&common);
        archive.extend(name.bytes());
        archive.extend(data);
    }
    let (start, count) = (archive.len() as u32, (files.len() as u16).to_le_bytes());
    archive.extend(&directory);
    archive.extend(b"PK\x05\x06\0\0\0\0");
    archive.extend([count, count].concat());
    archive.extend((directory.len() as u32).to_le_bytes());
    archive.extend(start.to_le_bytes());
    archive.extend([0, 0]);
    archive
}

fn deflate(contents: &[u8]) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
    // Into memory: it cannot fail.
    let written = encoder.write_all(contents).and_then(|()| encoder.finish());
    written.unwrap_or_default()
}
