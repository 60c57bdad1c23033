//! An array in a file.

use std::ops::Range;
use std::path::{Path, PathBuf};

use wgpu_loss::{ElementType, Floats, LabelType, Labels};

use super::bytes::{Bytes, Memory};
use super::checksum::Checksum;
use super::gather::gather;
use super::layout::Layout;
use super::location::{Location, open_regular};
use super::npz::{self, Deflated, Member};
use super::scratch::Scratch;
use super::{Element, Kind, npy, reason, safetensors};
use crate::error::Failure;

/// Elements that have to be converted as a whole are converted in steps of this many bytes.
const STEP: usize = 16 << 20;

const UNKNOWN_ENDING: &str =
    "unknown file ending, expected FILE.npy, FILE.npz:ARRAY or FILE.safetensors:TENSOR";

/// An array in a file, whose header is read and checked against the file's length.
#[derive(Debug)]
pub struct Source {
    /// The user's name for it.
    pub name: PathBuf,
    /// Its element type in the file.
    pub element: Element,
    /// Its shape.
    pub shape: Vec<usize>,
    /// The layout of its elements in `bytes`.
    layout: Layout,
    bytes: Bytes,
    /// Present if `bytes` are those of an archive, and the array has to be inflated first.
    deflated: Option<Deflated>,
    /// Present if `bytes` are those of an archive, and the array is read in place.
    checksum: Option<Checksum>,
    /// True if elements of every type are read as f32.
    as_f32: bool,
}

impl Source {
    /// Opens the array called `name`: `FILE.npy`, `FILE.npz:ARRAY` or `FILE.safetensors:TENSOR`.
    pub fn open(name: &Path) -> Result<Self, Failure> {
        let source = Self::try_open(name);
        source.map_err(|problem| Failure::of(name.display(), problem))
    }

    fn try_open(name: &Path) -> Result<Self, String> {
        let Some(location) = Location::of(name) else {
            return Err(UNKNOWN_ENDING.into());
        };
        let file = open_regular(location.file())?;
        let bytes = Bytes::map(&file).map_err(|e| reason(&e))?;
        Self::find(name, &location, bytes)
    }

    /// Finds the array called `name` in the bytes of its file, which need not exist.
    pub fn in_bytes(name: &Path, bytes: &[u8]) -> Result<Self, Failure> {
        let found = Location::of(name).ok_or(UNKNOWN_ENDING.into()).and_then(|location| {
            let mut memory = Memory::zeros(bytes.len())?;
            memory.bytes_mut().copy_from_slice(bytes);
            Self::find(name, &location, memory.into())
        });
        found.map_err(|problem| Failure::of(name.display(), problem))
    }

    /// Finds the array in a file's bytes.
    fn find(name: &Path, location: &Location, bytes: Bytes) -> Result<Self, String> {
        let (mut deflated, mut checksum) = (None, None);
        let layout = match location {
            Location::Npy(_) => npy::read_layout(&bytes, bytes.len() as u64)?,
            Location::Safetensors(_, tensor) => {
                safetensors::read_layout(&bytes, tensor.as_deref())?
            }
            Location::Npz(_, array) => match npz::find(&bytes, array.as_deref())? {
                Member::Stored(range, sum) => {
                    let member = &bytes[range.clone()];
                    let layout = npy::read_layout(member, member.len() as u64)?;
                    checksum = Some(sum);
                    Layout { offset: layout.offset + range.start as u64, ..layout }
                }
                Member::Deflated(member) => {
                    let layout = member.read_layout(&bytes)?;
                    deflated = Some(member);
                    layout
                }
            },
        };
        let (element, shape, as_f32) = (layout.element, layout.shape.clone(), false);
        let name = name.to_path_buf();
        Ok(Self { name, element, shape, layout, bytes, deflated, checksum, as_f32 })
    }

    fn failed(&self, problem: impl std::fmt::Display) -> Failure {
        Failure::of(self.name.display(), problem)
    }

    /// Returns the type that the elements are read as; `None` for raw words without a type.
    pub fn kind(&self) -> Option<Kind> {
        match (self.element.float_type(), self.element.label_type()) {
            (Some(_), _) if self.as_f32 => Some(Kind::Floats(ElementType::F32)),
            (None, Some(_)) if self.as_f32 => Some(Kind::Floats(ElementType::F32)),
            (Some(own), _) => Some(Kind::Floats(own)),
            (None, labels) => labels.map(Kind::Labels),
        }
    }

    /// Returns the type of its floats, as they are read.
    pub fn float_type(&self) -> ElementType {
        match self.kind() {
            Some(Kind::Floats(element_type)) => element_type,
            _ => ElementType::F32,
        }
    }

    /// Refuses an array that is not of floats, and returns their type.
    pub fn want_floats(&self, role: &str) -> Result<ElementType, Failure> {
        if let Some(Kind::Floats(element_type)) = self.kind() {
            return Ok(element_type);
        }
        let name = self.element.name();
        let hint = match self.element.is_raw_16() {
            true => "if they are the bits of floats, say --dtype bf16 or --dtype f16",
            false => "convert it with a.astype('float32')",
        };
        Err(self.failed(format!("{role} of type {name}, expected floats; {hint}")))
    }

    /// Takes 16-bit words for floats of a type. Floats must have that type already.
    pub fn take_for(&mut self, element_type: ElementType) -> Result<(), Failure> {
        let wanted = Element::from(element_type);
        if self.element != wanted && !(self.element.is_raw_16() && wanted.bytes() == 2) {
            return Err(Failure::Usage(format!(
                "{}: it is {}, but --dtype is {}",
                self.name.display(),
                self.element.name(),
                element_type.name()
            )));
        }
        (self.element, self.layout.element) = (wanted, wanted);
        Ok(())
    }

    /// Reads floats of every type, integers and bools as f32.
    pub fn as_f32(&mut self) {
        self.as_f32 = true;
    }

    /// Returns the number of elements.
    pub fn count(&self) -> usize {
        self.layout.count
    }

    /// Returns the number of bytes of all elements in the file.
    pub fn stored_bytes(&self) -> u64 {
        (self.count() * self.element.bytes()) as u64
    }

    /// Returns the number of bytes of an element as it is read.
    fn width(&self) -> usize {
        match self.kind() {
            Some(Kind::Floats(element_type)) => element_type.bytes() as usize,
            _ => self.element.bytes(),
        }
    }

    /// Returns the stored bytes of all elements.
    fn stored(&self) -> &[u8] {
        let start = self.layout.offset as usize;
        &self.bytes[start..start + self.layout.count * self.layout.element.bytes()]
    }

    /// Returns true if elements can be used in place. Bools cannot: every byte but 0 is true, and is read as 1.
    pub fn in_place(&self) -> bool {
        self.deflated.is_none()
            && self.layout.element != Element::Bool
            && self.layout.in_c_order()
            && !self.layout.big_endian
            && self.width() == self.layout.element.bytes()
            && (!self.as_f32 || self.layout.element.float_type().is_some())
            && self.stored().as_ptr().align_offset(self.width()) == 0
    }

    /// Inflates a deflated array. To be called before elements are read.
    pub fn inflate(&mut self) -> Result<(), Failure> {
        if let Some(deflated) = &self.deflated {
            let inflated = deflated.inflate(&self.bytes, &self.layout);
            self.bytes = inflated.map_err(|problem| self.failed(problem))?;
            self.layout.offset = 0;
            self.deflated = None;
        }
        if self.layout.in_c_order() {
            self.bytes.will_be_read_in_order();
        }
        Ok(())
    }

    /// Releases the memory of a range of elements, in C order, that has been read and will hardly
    /// be read again.
    pub fn release(&self, range: Range<usize>) {
        if self.layout.in_c_order() && self.deflated.is_none() {
            let (start, width) = (self.layout.offset as usize, self.layout.element.bytes());
            let (start, end) = (start + range.start * width, start + range.end * width);
            if let Some(checksum) = &self.checksum {
                checksum.take(&self.bytes, end);
            }
            self.bytes.release(start..end);
        }
    }

    /// Refuses an array whose bytes do not have the checksum that its archive states. To be called after its elements
    /// have been read, and before any result of them is given away.
    pub fn verify(&self) -> Result<(), Failure> {
        let checked = self.checksum.as_ref().map_or(Ok(()), |sum| sum.check(&self.bytes));
        checked.map_err(|problem| self.failed(problem))
    }

    /// Returns a range of elements, in C order.
    pub fn part(&self, range: Range<usize>) -> Result<Part<'_>, Failure> {
        let Some(kind) = self.kind().filter(|_| self.deflated.is_none()) else {
            return Err(self.failed("its elements cannot be read yet"));
        };
        let (stored, width) = (self.stored(), self.width());
        if self.in_place() {
            return Ok(Part::there(kind, &stored[range.start * width..range.end * width]));
        }
        let memory = Memory::zeros(range.len() * width);
        let mut memory = memory.map_err(|problem| self.failed(problem))?;
        gather(stored, &self.layout, range, memory.bytes_mut(), self.as_f32);
        Ok(Part::Copied(kind, memory))
    }

    /// Reads all elements. Those that cannot be used in place are converted first, step by step: in memory, or in a
    /// temporary file if there are many.
    pub fn settle(&mut self) -> Result<(), Failure> {
        self.inflate()?;
        if self.in_place() || self.kind().is_none() {
            return Ok(());
        }
        let (count, width) = (self.count(), self.width());
        let scratch = Scratch::new((count * width) as u64);
        let mut scratch = scratch.map_err(|problem| self.failed(problem))?;
        for start in (0..count).step_by(STEP / width) {
            let range = start..count.min(start + STEP / width);
            let part = self.part(range.clone())?;
            let bytes = match &part {
                Part::Copied(_, memory) => memory.bytes(),
                Part::Floats(floats) => floats.bytes(),
                Part::Labels(labels) => labels.bytes(),
            };
            let written = scratch.write((start * width) as u64, bytes);
            written.map_err(|problem| self.failed(problem))?;
            self.release(range);
        }
        self.verify()?;
        self.checksum = None;
        self.bytes = scratch.done().map_err(|problem| self.failed(problem))?;
        self.layout.element = match self.kind() {
            Some(Kind::Floats(element_type)) => element_type.into(),
            Some(Kind::Labels(label_type)) => Element::Integer(label_type),
            None => self.layout.element,
        };
        (self.layout.offset, self.layout.big_endian) = (0, false);
        self.layout.fortran_order = false;
        Ok(())
    }
}

/// A range of a tensor's elements, in place or copied.
#[derive(Debug)]
pub enum Part<'a> {
    /// Floats in place.
    Floats(Floats<'a>),
    /// Labels in place.
    Labels(Labels<'a>),
    /// A copy.
    Copied(Kind, Memory),
}

impl<'a> Part<'a> {
    fn there(kind: Kind, bytes: &'a [u8]) -> Self {
        match kind {
            Kind::Floats(element_type) => Part::Floats(floats(element_type, bytes)),
            Kind::Labels(label_type) => Part::Labels(labels(label_type, bytes)),
        }
    }

    /// Returns the floats; none if they are labels.
    pub fn floats(&self) -> Floats<'_> {
        match self {
            Part::Floats(floats) => *floats,
            Part::Copied(Kind::Floats(element_type), memory) => {
                floats(*element_type, memory.bytes())
            }
            Part::Labels(_) | Part::Copied(..) => Floats::F32(&[]),
        }
    }

    /// Returns the labels; none if they are floats.
    pub fn labels(&self) -> Labels<'_> {
        match self {
            Part::Labels(labels) => *labels,
            Part::Copied(Kind::Labels(label_type), memory) => labels(*label_type, memory.bytes()),
            Part::Floats(_) | Part::Copied(..) => Labels::U8(&[]),
        }
    }
}

/// Returns bytes as floats. They must be aligned.
pub fn floats(element_type: ElementType, bytes: &[u8]) -> Floats<'_> {
    match element_type {
        ElementType::F16 => Floats::F16(bytemuck::cast_slice(bytes)),
        ElementType::BF16 => Floats::BF16(bytemuck::cast_slice(bytes)),
        _ => Floats::F32(bytemuck::cast_slice(bytes)),
    }
}

/// Returns bytes as labels. They must be aligned.
fn labels(label_type: LabelType, bytes: &[u8]) -> Labels<'_> {
    match label_type {
        LabelType::I8 => Labels::I8(bytemuck::cast_slice(bytes)),
        LabelType::U16 => Labels::U16(bytemuck::cast_slice(bytes)),
        LabelType::I16 => Labels::I16(bytemuck::cast_slice(bytes)),
        LabelType::U32 => Labels::U32(bytemuck::cast_slice(bytes)),
        LabelType::I32 => Labels::I32(bytemuck::cast_slice(bytes)),
        LabelType::U64 => Labels::U64(bytemuck::cast_slice(bytes)),
        LabelType::I64 => Labels::I64(bytemuck::cast_slice(bytes)),
        _ => Labels::U8(bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Finds an array in bytes and reads all of it, part by part and as a whole.
    fn read(name: &str, bytes: &[u8]) -> Result<Vec<f32>, Failure> {
        let mut source = Source::in_bytes(Path::new(name), bytes)?;
        if source.kind().is_none() {
            return Err(Failure::Failed("raw".into()));
        }
        source.inflate()?;
        let count = source.count();
        let some = source.part(count / 2..count)?;
        let some: Vec<f32> = some.floats().iter().collect();
        source.settle()?;
        assert!(source.in_place());
        let all = source.part(0..count)?;
        let all: Vec<f32> = all.floats().iter().collect();
        source.verify()?;
        let bits = |floats: &[f32]| floats.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
        assert!(bits(&all).ends_with(&bits(&some)));
        Ok(all)
    }

    /// Makes a file of each kind with the same twelve floats.
    fn files() -> Vec<(&'static str, Vec<u8>)> {
        let body: Vec<u8> = (0..12).flat_map(|i| (i as f32).to_le_bytes()).collect();
        let array = [npy::header(Element::F32, &[3, 4]), body.clone()].concat();
        let json = r#"{"x":{"dtype":"F32","shape":[3,4],"data_offsets":[0,48]}}"#;
        let size = (json.len() as u64).to_le_bytes();
        let tensors = [&size[..], json.as_bytes(), &body].concat();
        let stored = npz::tests::archive(&[("x.npy", &array, false), ("t.npy", &array, true)]);
        let deflated = npz::tests::archive(&[("x.npy", &array, true), ("t.npy", &array, false)]);
        let (npz, safetensors) = ("a.npz:x", "a.safetensors:x");
        vec![("a.npy", array), (safetensors, tensors), (npz, stored), (npz, deflated)]
    }

    #[test]
    fn every_kind_of_file_is_read() {
        for (name, bytes) in files() {
            let wanted: Vec<f32> = (0..12).map(|i| i as f32).collect();
            assert_eq!(read(name, &bytes).unwrap(), wanted, "{name}");
        }
    }

    /// Labels have the numbers of their own type, in place and as they are converted.
    #[test]
    fn labels_of_every_type_are_read() {
        let element = |descr: &str| -> Vec<u8> {
            let bytes = |number: i64| match &descr[1..] {
                "i1" | "u1" => number.to_le_bytes()[..1].to_vec(),
                "i2" | "u2" => number.to_le_bytes()[..2].to_vec(),
                "i4" | "u4" => number.to_le_bytes()[..4].to_vec(),
                _ => number.to_le_bytes().to_vec(),
            };
            let swapped = |mut bytes: Vec<u8>| {
                if descr.starts_with('>') {
                    bytes.reverse();
                }
                bytes
            };
            [3, -2, 100].into_iter().flat_map(|number| swapped(bytes(number))).collect()
        };
        for order in ["<", ">"] {
            for (kind, negative) in [
                ("i1", -2),
                ("i2", -2),
                ("i4", -2),
                ("i8", -2),
                ("u1", 0xfe),
                ("u2", 0xfffe),
                ("u4", 0xffff_fffe),
                ("u8", 0xffff_ffff_ffff_fffe_i128),
            ] {
                let descr = format!("{order}{kind}");
                let header = npy::header(Element::WORD, &[3]);
                let at = header.windows(3).position(|word| word == b"<u4").unwrap();
                let header = [&header[..at], descr.as_bytes(), &header[at + 3..]].concat();
                let file = [header, element(&descr)].concat();
                let mut source = Source::in_bytes(Path::new("t.npy"), &file).unwrap();
                for _ in 0..2 {
                    let part = source.part(0..3).unwrap();
                    let labels = part.labels();
                    assert_eq!([0, 1, 2].map(|row| labels.get(row)), [3, negative, 100], "{descr}");
                    source.settle().unwrap();
                }
            }
        }
    }

    /// The resident part of a mapping, in bytes.
    #[cfg(target_os = "linux")]
    fn resident(bytes: &[u8]) -> usize {
        let maps = std::fs::read_to_string("/proc/self/smaps").unwrap();
        let place = bytes.as_ptr() as usize;
        let holds = |line: &&str| {
            let range = line.split(' ').next().and_then(|range| range.split_once('-'));
            let number = |text| usize::from_str_radix(text, 16).ok();
            let range = range.and_then(|(start, end)| Some(number(start)?..number(end)?));
            range.is_some_and(|range| range.contains(&place))
        };
        let mut lines = maps.lines().skip_while(|line| !holds(line));
        let line = lines.find_map(|line| line.strip_prefix("Rss:")).unwrap();
        1024 * line.trim().trim_end_matches(" kB").parse::<usize>().unwrap()
    }

    /// A file may be larger than memory: what is released is read from the disk again.
    #[test]
    #[cfg(target_os = "linux")]
    fn released_elements_take_no_memory() {
        const COUNT: usize = 4 << 20;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.npy");
        let body: Vec<u8> = (0..COUNT).flat_map(|i| (i as f32).to_le_bytes()).collect();
        std::fs::write(&path, [npy::header(Element::F32, &[COUNT]), body].concat()).unwrap();
        let source = Source::open(&path).unwrap();
        let sum = |range| source.part(range).unwrap().floats().iter().map(f64::from).sum::<f64>();
        let whole = sum(0..COUNT);
        assert!(resident(&source.bytes) >= 4 * COUNT);
        // Whole mebibytes are released: a part of one stays at the end of each range.
        source.release(0..COUNT / 2);
        let left = resident(&source.bytes);
        assert!(left <= 2 * COUNT + (2 << 20), "{left} bytes");
        source.release(COUNT / 2..COUNT);
        let left = resident(&source.bytes);
        assert!(left <= 3 << 20, "{left} bytes");
        assert_eq!(sum(0..COUNT), whole);
    }

    /// A file in which any byte has any value, or that ends anywhere, is read or refused, and nothing panics.
    #[test]
    fn damaged_files_do_not_panic() {
        for (name, good) in files() {
            for at in 0..good.len() {
                for byte in [0, 1, 0x7f, 0x80, 0xff, good[at] ^ 1, good[at].wrapping_add(1)] {
                    let mut bad = good.clone();
                    bad[at] = byte;
                    let _ = read(name, &bad);
                }
                assert!(read(name, &good[..at]).is_err(), "{name} of {at} bytes");
            }
            let longer = [&good[..], b"more"].concat();
            assert!(read(name, &longer).is_err(), "{name} with more after");
        }
    }

    /// Archives have checksums: one with a flipped bit is refused, or is read as the same numbers.
    #[test]
    fn archives_with_a_flipped_bit_do_not_give_other_numbers() {
        let wanted: Vec<f32> = (0..12).map(|i| i as f32).collect();
        for (name, good) in files().into_iter().filter(|(name, _)| name.contains(".npz")) {
            for bit in 0..8 * good.len() {
                let mut bad = good.clone();
                bad[bit / 8] ^= 1 << (bit % 8);
                if let Ok(given) = read(name, &bad) {
                    assert_eq!(given, wanted, "bit {bit}");
                }
            }
        }
    }

    /// Files with several damaged bytes do not panic either.
    #[test]
    fn badly_damaged_files_do_not_panic() {
        // Knuth's multiplier for 64 bits.
        let mut state = 1u64;
        let mut random = move || {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (state >> 33) as usize
        };
        for (name, good) in files() {
            for _ in 0..5000 {
                let mut bad = good.clone();
                for _ in 0..1 + random() % 8 {
                    let at = random() % bad.len();
                    bad[at] = random() as u8;
                }
                let _ = read(name, &bad);
            }
        }
    }
}
