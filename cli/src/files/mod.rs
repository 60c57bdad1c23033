//! Arrays in files: `.npy`, and tensors in `.safetensors`.
//!
//! A [`Source`] is an opened array whose header is read and checked against the file's length, so
//! that shapes can be compared before gigabytes are read, and no header makes us allocate more than
//! the file holds.

mod npy;
mod output;
mod safetensors;

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use bytemuck::Pod;
use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};
use wgpu_loss::{LabelType, Labels};

pub use self::output::{Destination, Picture, save};
use crate::error::Failure;

/// Elements of a file are read in steps of this many bytes: small enough to stay in the cache while
/// they are converted, large enough that the calls do not count.
const STEP: usize = 1 << 20;

/// The most axes an array may have, as in NumPy.
const MAX_AXES: usize = 64;

/// The element types that are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Element {
    /// IEEE half precision.
    F16,
    /// The upper half of an f32.
    Bf16,
    /// IEEE single precision.
    F32,
    /// IEEE double precision.
    F64,
    /// One byte, 0 or 1.
    Bool,
    /// An integer.
    Integer(LabelType),
}

impl Element {
    /// Its size in a file.
    pub fn bytes(self) -> usize {
        match self {
            Element::Bool => 1,
            Element::F16 | Element::Bf16 => 2,
            Element::F32 => 4,
            Element::F64 => 8,
            Element::Integer(label) => label.bytes() as usize,
        }
    }

    /// Its name, as NumPy has it.
    pub fn name(self) -> &'static str {
        match self {
            Element::F16 => "float16",
            Element::Bf16 => "bfloat16",
            Element::F32 => "float32",
            Element::F64 => "float64",
            Element::Bool => "bool",
            Element::Integer(LabelType::U8) => "uint8",
            Element::Integer(LabelType::I8) => "int8",
            Element::Integer(LabelType::U16) => "uint16",
            Element::Integer(LabelType::I16) => "int16",
            Element::Integer(LabelType::U32) => "uint32",
            Element::Integer(LabelType::I32) => "int32",
            Element::Integer(LabelType::U64) => "uint64",
            Element::Integer(LabelType::I64) => "int64",
            Element::Integer(_) => "integer",
        }
    }

    /// The label type it is, where it can be labels.
    pub fn label_type(self) -> Option<LabelType> {
        match self {
            Element::Bool => Some(LabelType::U8),
            Element::Integer(label) => Some(label),
            Element::F16 | Element::Bf16 | Element::F32 | Element::F64 => None,
        }
    }
}

/// What a header says of an array: where its elements lie, what they are, and in which shape.
#[derive(Debug, PartialEq)]
struct Layout {
    element: Element,
    shape: Vec<usize>,
    /// First byte of the elements in the file.
    offset: u64,
    /// Their number.
    count: usize,
}

/// An array in a file, opened but not read.
#[derive(Debug)]
pub struct Source {
    /// What the user called it.
    pub name: PathBuf,
    /// Its element type.
    pub element: Element,
    /// Its shape.
    pub shape: Vec<usize>,
    file: File,
    offset: u64,
    count: usize,
}

/// Where an array lies, by what the user wrote.
#[derive(Debug, PartialEq)]
enum Location<'a> {
    Npy(&'a Path),
    /// The file and the tensor's name; no name where the user gave none.
    Safetensors(PathBuf, Option<String>),
}

impl Source {
    /// Opens the array called `name`: a `.npy` file or `FILE.safetensors:TENSOR`.
    pub fn open(name: &Path) -> Result<Self, Failure> {
        Self::try_open(name).map_err(|problem| Failure::of(name.display(), problem))
    }

    fn try_open(name: &Path) -> Result<Self, String> {
        let Some(location) = locate(name) else {
            return Err("unknown file ending; wanted FILE.npy or FILE.safetensors:TENSOR".into());
        };
        let path = match &location {
            Location::Npy(path) => path,
            Location::Safetensors(path, _) => path.as_path(),
        };
        let (mut file, length) = open_regular(path)?;
        let layout = match &location {
            Location::Npy(_) => npy::read_layout(&mut file, length)?,
            Location::Safetensors(_, tensor) => {
                safetensors::read_layout(&mut file, length, tensor.as_deref())?
            }
        };
        let Layout { element, shape, offset, count } = layout;
        Ok(Self { name: name.to_path_buf(), element, shape, file, offset, count })
    }

    /// Whether the elements are floats.
    pub fn is_float(&self) -> bool {
        self.element.label_type().is_none()
    }

    /// Refuses an array that is not of floats.
    pub fn want_floats(&self, role: &str) -> Result<(), Failure> {
        if self.is_float() {
            return Ok(());
        }
        let problem = format!(
            "{role} of type {}, but floats are wanted; convert it with a.astype('float32')",
            self.element.name()
        );
        Err(Failure::of(self.name.display(), problem))
    }

    /// Reads the elements as f32.
    pub fn floats(self) -> Result<Vec<f32>, Failure> {
        match self.element {
            Element::F32 => self.read::<f32, f32>(<[f32]>::copy_from_slice),
            Element::F16 => self.read(|to, from: &[f16]| from.convert_to_f32_slice(to)),
            Element::Bf16 => self.read(|to, from: &[bf16]| from.convert_to_f32_slice(to)),
            Element::F64 => self.read(|to, from: &[f64]| {
                to.iter_mut().zip(from).for_each(|(to, from)| *to = *from as f32);
            }),
            Element::Bool | Element::Integer(_) => {
                Err(Failure::of(self.name.display(), "not of floats"))
            }
        }
    }

    /// Reads the elements as labels in the type they have.
    pub fn labels(self) -> Result<OwnedLabels, Failure> {
        let Some(label_type) = self.element.label_type() else {
            return Err(Failure::of(self.name.display(), "not of integers"));
        };
        Ok(match label_type {
            LabelType::U8 => OwnedLabels::U8(self.read(<[u8]>::copy_from_slice)?),
            LabelType::I8 => OwnedLabels::I8(self.read(<[i8]>::copy_from_slice)?),
            LabelType::U16 => OwnedLabels::U16(self.read(<[u16]>::copy_from_slice)?),
            LabelType::I16 => OwnedLabels::I16(self.read(<[i16]>::copy_from_slice)?),
            LabelType::U32 => OwnedLabels::U32(self.read(<[u32]>::copy_from_slice)?),
            LabelType::I32 => OwnedLabels::I32(self.read(<[i32]>::copy_from_slice)?),
            LabelType::U64 => OwnedLabels::U64(self.read(<[u64]>::copy_from_slice)?),
            LabelType::I64 => OwnedLabels::I64(self.read(<[i64]>::copy_from_slice)?),
            _ => return Err(Failure::of(self.name.display(), "unsupported label type")),
        })
    }

    /// Reads all elements, stored as `S`, and converts them step by step to `T`.
    fn read<S: Pod, T: Pod>(mut self, convert: impl Fn(&mut [T], &[S])) -> Result<Vec<T>, Failure> {
        let name = self.name.display().to_string();
        let failed = |problem: String| Failure::of(&name, problem);
        let mut elements: Vec<T> = Vec::new();
        // A file may be larger than the memory: an error, where a plain allocation would abort.
        elements.try_reserve_exact(self.count).map_err(|_| {
            let bytes = self.count as u128 * size_of::<T>() as u128;
            failed(format!("{bytes} bytes of elements do not fit into memory"))
        })?;
        self.file.seek(SeekFrom::Start(self.offset)).map_err(|e| failed(reason(&e)))?;
        let mut step = vec![S::zeroed(); (STEP / size_of::<S>()).min(self.count)];
        while elements.len() < self.count {
            let from = elements.len();
            let step = &mut step[..(self.count - from).min(STEP / size_of::<S>())];
            self.file.read_exact(bytemuck::cast_slice_mut(step)).map_err(|e| failed(reason(&e)))?;
            elements.resize(from + step.len(), T::zeroed());
            convert(&mut elements[from..], step);
        }
        Ok(elements)
    }
}

/// Labels read from a file.
#[derive(Debug)]
pub enum OwnedLabels {
    /// Of type `u8` or `bool`.
    U8(Vec<u8>),
    /// Of type `i8`.
    I8(Vec<i8>),
    /// Of type `u16`.
    U16(Vec<u16>),
    /// Of type `i16`.
    I16(Vec<i16>),
    /// Of type `u32`.
    U32(Vec<u32>),
    /// Of type `i32`.
    I32(Vec<i32>),
    /// Of type `u64`.
    U64(Vec<u64>),
    /// Of type `i64`.
    I64(Vec<i64>),
}

impl OwnedLabels {
    /// The library's view of them.
    pub fn borrow(&self) -> Labels<'_> {
        match self {
            OwnedLabels::U8(labels) => labels.into(),
            OwnedLabels::I8(labels) => labels.into(),
            OwnedLabels::U16(labels) => labels.into(),
            OwnedLabels::I16(labels) => labels.into(),
            OwnedLabels::U32(labels) => labels.into(),
            OwnedLabels::I32(labels) => labels.into(),
            OwnedLabels::U64(labels) => labels.into(),
            OwnedLabels::I64(labels) => labels.into(),
        }
    }
}

/// What kind of file a name means; `None` for an unknown ending.
fn locate(name: &Path) -> Option<Location<'_>> {
    const ENDING: &str = ".safetensors";
    // A tensor's name may hold anything, so the file ends at the first `.safetensors:`.
    let tensor = name.to_str().and_then(|text| Some((text, text.find(".safetensors:")?)));
    if let Some((text, at)) = tensor {
        let (file, tensor) = text.split_at(at + ENDING.len());
        return Some(Location::Safetensors(file.into(), Some(tensor[1..].into())));
    }
    match name.extension()?.to_str()?.to_ascii_lowercase().as_str() {
        "npy" => Some(Location::Npy(name)),
        "safetensors" => Some(Location::Safetensors(name.to_path_buf(), None)),
        _ => None,
    }
}

/// Opens a file whose length means something, and gives the length.
fn open_regular(path: &Path) -> Result<(File, u64), String> {
    // Looked at before it is opened, because opening a named pipe waits for its writer.
    let metadata = std::fs::metadata(path).map_err(|e| reason(&e))?;
    if metadata.is_dir() {
        return Err("is a folder, not a file".into());
    }
    if !metadata.is_file() {
        return Err("is not a regular file".into());
    }
    let file = File::open(path).map_err(|e| reason(&e))?;
    let length = file.metadata().map_err(|e| reason(&e))?.len();
    Ok((file, length))
}

/// The number of elements of a shape that must lie in `available` bytes.
fn checked_count(shape: &[usize], element: Element, available: u64) -> Result<usize, String> {
    if shape.len() > MAX_AXES {
        return Err(format!("has {} axes, but {MAX_AXES} are the most", shape.len()));
    }
    let count = match shape.contains(&0) {
        true => Some(0),
        false => shape.iter().try_fold(1usize, |n, &extent| n.checked_mul(extent)),
    };
    let bytes = count.and_then(|count| count.checked_mul(element.bytes()));
    match (count, bytes) {
        (Some(count), Some(bytes)) if bytes as u64 == available => Ok(count),
        (_, Some(bytes)) if (bytes as u64) < available => Err(format!(
            "has {} bytes of something else after its array of shape {shape:?}",
            available - bytes as u64
        )),
        _ => Err(format!(
            "is cut short: its header says {} of shape {shape:?}, but {available} bytes follow",
            element.name()
        )),
    }
}

/// An I/O error in plain words.
pub(crate) fn reason(error: &std::io::Error) -> String {
    use std::io::ErrorKind;
    match error.kind() {
        ErrorKind::NotFound => "no such file".into(),
        ErrorKind::PermissionDenied => "permission denied".into(),
        ErrorKind::UnexpectedEof => "ends before its array does".into(),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_located() {
        assert_eq!(locate(Path::new("a/b.npy")), Some(Location::Npy(Path::new("a/b.npy"))));
        assert_eq!(
            locate(Path::new("C:\\m.safetensors:a.b:c")),
            Some(Location::Safetensors("C:\\m.safetensors".into(), Some("a.b:c".into())))
        );
        assert_eq!(
            locate(Path::new("m.safetensors:x.npy")),
            Some(Location::Safetensors("m.safetensors".into(), Some("x.npy".into())))
        );
        assert_eq!(
            locate(Path::new("m.safetensors")),
            Some(Location::Safetensors("m.safetensors".into(), None))
        );
        for name in ["x", "x.npz", "x.safetensors.gz", "", "..", ".npy", "x."] {
            assert_eq!(locate(Path::new(name)), None, "{name}");
        }
    }

    #[test]
    fn counts_must_fill_the_file() {
        assert_eq!(checked_count(&[2, 3], Element::F32, 24), Ok(6));
        assert_eq!(checked_count(&[], Element::F32, 4), Ok(1));
        assert_eq!(checked_count(&[usize::MAX, 0, usize::MAX], Element::F32, 0), Ok(0));
        assert!(checked_count(&[2, 3], Element::F32, 23).unwrap_err().contains("cut short"));
        assert!(checked_count(&[2, 3], Element::F32, 25).unwrap_err().contains("1 bytes"));
        assert!(checked_count(&[usize::MAX, 2], Element::F32, 8).is_err());
        assert!(checked_count(&[1 << 62], Element::F64, 0).is_err());
        assert!(checked_count(&[1; 65], Element::F32, 4).is_err());
    }
}
