//! Tensors in `.safetensors`: a length (u64), that many bytes of JSON, then the elements.
//!
//! The crate checks the JSON: the tensors must follow each other without gaps and have the number of bytes that their
//! shapes need.

use std::ffi::OsStr;
use std::fmt;

use safetensors::Dtype;
use safetensors::tensor::Metadata;
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};
use wgpu_loss::LabelType;

use super::Element;
use super::layout::{Layout, checked_count};

/// The format's own readers have the same limit.
const MAX_HEADER: u64 = 100_000_000;

/// Reads the header of a file and finds a tensor in it.
pub fn read_layout(file: &[u8], name: Option<&OsStr>) -> Result<Layout, String> {
    let length = file.len() as u64;
    let Some((size, rest)) = file.split_first_chunk::<8>() else {
        return Err("is not a .safetensors file".into());
    };
    let size = u64::from_le_bytes(*size);
    if size > MAX_HEADER || size > rest.len() as u64 {
        return Err(format!(
            "is cut short or not a .safetensors file: a header of {size} bytes in {length}"
        ));
    }
    let header = &rest[..size as usize];
    let metadata: Metadata = serde_json::from_slice(header)
        .map_err(|e| format!("has a .safetensors header that cannot be parsed: {e}"))?;
    if let Some(name) = serde_json::from_slice(header).ok().and_then(|Names(all)| twice(all)) {
        return Err(format!("has two tensors called {name:?}"));
    }
    let (held, wanted) = (length - 8 - size, metadata.data_len() as u64);
    if held != wanted {
        return Err(match held < wanted {
            true => format!("is cut short: its header says {wanted} bytes, but {held} follow"),
            false => format!("has {} extra bytes after its tensors", held - wanted),
        });
    }
    let Some(name) = name else {
        return Err(format!("which tensor? write FILE.safetensors:TENSOR; {}", known(&metadata)));
    };
    // A name that is not UTF-8 is no tensor's.
    let Some(info) = name.to_str().and_then(|name| metadata.info(name)) else {
        return Err(format!("has no tensor {name:?}; {}", known(&metadata)));
    };
    let element = element(info.dtype)?;
    let (start, end) = info.data_offsets;
    let count = checked_count(&info.shape, element, (end - start) as u64)?;
    let (shape, offset) = (info.shape.clone(), 8 + size + start as u64);
    Ok(Layout { element, big_endian: false, fortran_order: false, shape, offset, count })
}

/// Lists the names that exist, so that a typing error is easy to see.
fn known(metadata: &Metadata) -> String {
    super::layout::listed(metadata.offset_keys())
}

/// A header's names in their order. The crate keeps the last of those that are equal.
struct Names(Vec<String>);

impl<'de> Deserialize<'de> for Names {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect;
        impl<'de> Visitor<'de> for Collect {
            type Value = Names;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Names, M::Error> {
                let mut names = Vec::new();
                while let Some((name, IgnoredAny)) = map.next_entry()? {
                    names.push(name);
                }
                Ok(Names(names))
            }
        }
        deserializer.deserialize_map(Collect)
    }
}

fn twice(mut names: Vec<String>) -> Option<String> {
    names.sort_unstable();
    names.windows(2).find(|pair| pair[0] == pair[1]).map(|pair| pair[0].clone())
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
        other => return Err(format!("is of type {other}, which is not supported")),
    })
}
