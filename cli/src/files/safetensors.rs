//! Tensors in `.safetensors`: a length (u64), that many bytes of JSON, then the elements.
//!
//! The crate checks the JSON; we read only the header and later only the one tensor, where the
//! crate would want the whole file in memory.

use std::fs::File;
use std::io::Read;

use safetensors::Dtype;
use safetensors::tensor::Metadata;
use wgpu_loss::LabelType;

use super::{Element, Layout, checked_count, reason};

/// As the format's own readers have it.
const MAX_HEADER: u64 = 100_000_000;

/// Reads the header of a file of `length` bytes and finds a tensor in it.
pub fn read_layout(file: &mut File, length: u64, name: Option<&str>) -> Result<Layout, String> {
    let mut size = [0; 8];
    if length < 8 {
        return Err("is not a .safetensors file".into());
    }
    file.read_exact(&mut size).map_err(|e| reason(&e))?;
    let size = u64::from_le_bytes(size);
    if size > MAX_HEADER || size > length - 8 {
        return Err(format!(
            "is cut short or not a .safetensors file: a header of {size} bytes in {length}"
        ));
    }
    let mut header = vec![0; size as usize];
    file.read_exact(&mut header).map_err(|e| reason(&e))?;
    let metadata: Metadata = serde_json::from_slice(&header)
        .map_err(|e| format!("has a .safetensors header that makes no sense: {e}"))?;
    let (held, wanted) = (length - 8 - size, metadata.data_len() as u64);
    if held != wanted {
        return Err(match held < wanted {
            true => format!("is cut short: its header says {wanted} bytes, but {held} follow"),
            false => format!("has {} bytes of something else after its tensors", held - wanted),
        });
    }
    let Some(name) = name else {
        return Err(format!("which tensor? write FILE.safetensors:TENSOR; {}", known(&metadata)));
    };
    let Some(info) = metadata.info(name) else {
        return Err(format!("has no tensor {name:?}; {}", known(&metadata)));
    };
    let element = element(info.dtype)?;
    let (start, end) = info.data_offsets;
    let count = checked_count(&info.shape, element, (end - start) as u64)?;
    Ok(Layout { element, shape: info.shape.clone(), offset: 8 + size + start as u64, count })
}

/// The names there are, so that a slip of the pen is seen at once.
fn known(metadata: &Metadata) -> String {
    /// Models hold hundreds of tensors; the line stays readable.
    const MOST: usize = 20;
    let mut names = metadata.offset_keys();
    let more = names.len().saturating_sub(MOST);
    names.truncate(MOST);
    match (names.is_empty(), more) {
        (true, _) => "there are none".into(),
        (_, 0) => format!("there are {}", names.join(", ")),
        (_, more) => format!("there are {} and {more} more", names.join(", ")),
    }
}

fn element(dtype: Dtype) -> Result<Element, String> {
    Ok(match dtype {
        Dtype::BOOL => Element::Bool,
        Dtype::F16 => Element::F16,
        Dtype::BF16 => Element::Bf16,
        Dtype::F32 => Element::F32,
        Dtype::F64 => Element::F64,
        Dtype::U8 => Element::Integer(LabelType::U8),
        Dtype::I8 => Element::Integer(LabelType::I8),
        Dtype::U16 => Element::Integer(LabelType::U16),
        Dtype::I16 => Element::Integer(LabelType::I16),
        Dtype::U32 => Element::Integer(LabelType::U32),
        Dtype::I32 => Element::Integer(LabelType::I32),
        Dtype::U64 => Element::Integer(LabelType::U64),
        Dtype::I64 => Element::Integer(LabelType::I64),
        other => return Err(format!("is of type {other}, which is not read")),
    })
}
