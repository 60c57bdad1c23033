//! Parsers of single values, and their errors.

use std::num::ParseFloatError;
use std::ops::RangeInclusive;
use std::path::PathBuf;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use wgpu_loss::ElementType;
use wgpu_loss::gpu::Field;

/// A tensor as the user gives it.
#[derive(Clone, Debug, PartialEq)]
pub enum Tensor {
    /// An array in a file.
    File(PathBuf),
    /// A single number.
    Number(f32),
}

/// `--shape`: two axes or more, none of them empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shape(pub Vec<usize>);

/// `--shard`: some of the shards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    /// The number of the first one, from 0.
    pub first: u64,
    /// The distance to the next one.
    pub of: u64,
}

/// A share such as 0/4.
pub fn share(text: &str) -> Result<Share, String> {
    let parts =
        text.split_once('/').and_then(|(first, of)| Some((first.parse().ok()?, of.parse().ok()?)));
    match parts {
        Some((first, of)) if first < of => Ok(Share { first, of }),
        _ => Err("it must be I/N, such as 0/4, with I from 0 to N - 1".into()),
    }
}

/// Rounds a number, as written, to f32. Returns `None` if the number is finite and not zero, but the f32 is infinite or
/// 0.
fn held(text: &str) -> Result<Option<f32>, ParseFloatError> {
    let number: f32 = text.parse()?;
    let digits = text.split(['e', 'E']).next().unwrap_or_default();
    let written = |digits: RangeInclusive<char>| move |c: char| digits.contains(&c);
    let lost = match number {
        0.0 => digits.contains(written('1'..='9')),
        _ => number.is_infinite() && digits.contains(written('0'..='9')),
    };
    Ok((!lost).then_some(number))
}

/// Parses an f32 that is allowed; the error names what is wanted instead.
fn number(text: &str, wanted: &str, allowed: impl Fn(f32) -> bool) -> Result<f32, String> {
    match held(text) {
        Ok(Some(number)) if allowed(number) => Ok(number),
        Ok(None) => Err(format!("it must be {wanted}, and an f32 does not reach so far")),
        _ => Err(format!("it must be {wanted}")),
    }
}

/// A number from 0 to 1. NaN is refused.
pub fn fraction(text: &str) -> Result<f32, String> {
    number(text, "a number from 0 to 1", |number| (0.0..=1.0).contains(&number))
}

/// A finite number.
pub fn finite(text: &str) -> Result<f32, String> {
    number(text, "a finite number", f32::is_finite)
}

/// A finite number above 0.
pub fn positive(text: &str) -> Result<f32, String> {
    number(text, "a finite number above 0", |number| number.is_finite() && number > 0.0)
}

/// A number, or the name of a file.
pub fn tensor(text: &str) -> Result<Tensor, String> {
    match held(text) {
        Ok(Some(number)) => Ok(Tensor::Number(number)),
        Ok(None) => Err("an f32 does not reach so far".into()),
        Err(_) => Ok(Tensor::File(text.into())),
    }
}

/// A shape such as 4096x1000.
pub fn shape(text: &str) -> Result<Shape, String> {
    let extents: Result<Vec<usize>, _> = text.split('x').map(str::parse).collect();
    let wanted = "it must be two extents or more, such as 4096x1000 or 4x21x512x512";
    let extents = extents.map_err(|_| wanted)?;
    if extents.len() < 2 || extents.contains(&0) {
        return Err(wanted.into());
    }
    // Counted as bytes of logits and of labels, so that nothing overflows later.
    let bytes = extents.iter().try_fold(8u64, |n, &extent| n.checked_mul(extent as u64));
    match bytes.is_some_and(|bytes| usize::try_from(bytes).is_ok()) {
        true => Ok(Shape(extents)),
        false => Err("it has more elements than memory has addresses".into()),
    }
}

/// A type of logits.
pub fn dtype(text: &str) -> Result<ElementType, String> {
    let found = ElementType::ALL.into_iter().find(|element_type| element_type.name() == text);
    found.ok_or_else(|| "it must be f32, f16 or bf16".into())
}

/// The name of a number that can be tuned.
pub fn field() -> impl TypedValueParser<Value = Field> {
    PossibleValuesParser::new(Field::ALL.map(Field::name)).try_map(|text| {
        let found = Field::ALL.into_iter().find(|field| field.name() == text);
        found.ok_or("there is no such number")
    })
}

/// A number of bytes, in binary units (KiB, MiB, GiB) or decimal ones (KB, MB, GB).
pub fn size(text: &str) -> Result<u64, String> {
    match parse_size::parse_size(text) {
        Ok(bytes) if bytes > 0 => Ok(bytes),
        _ => Err("it must be a size such as 512MiB, 2GB or 1000000".into()),
    }
}

/// A number from 1.
pub fn count(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|&n| n > 0).ok_or_else(|| "it must be a number from 1".into())
}

/// A number from 1 that the library stores in 32 bits.
pub fn small_count(text: &str) -> Result<u32, String> {
    let given = count(text)?;
    u32::try_from(given).map_err(|_| format!("it must be a number from 1 to {}", u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_have_two_axes_or_more() {
        assert_eq!(shape("4096x1000"), Ok(Shape(vec![4096, 1000])));
        assert_eq!(shape("4x21x512x512"), Ok(Shape(vec![4, 21, 512, 512])));
        for wrong in ["", "x", "10", "10x", "10x0", "-1x2", "10×2", "10x1e3", "3x4 "] {
            assert!(shape(wrong).is_err(), "{wrong}");
        }
        assert!(shape(&format!("{0}x{0}", usize::MAX)).is_err());
    }

    #[test]
    fn numbers_are_told_from_files() {
        assert_eq!(tensor("0.5"), Ok(Tensor::Number(0.5)));
        assert_eq!(tensor("1e-3"), Ok(Tensor::Number(1e-3)));
        for file in ["v.npy", "a.npz:v", "1.npy"] {
            assert_eq!(tensor(file), Ok(Tensor::File(file.into())));
        }
        assert_eq!(tensor("-inf"), Ok(Tensor::Number(f32::NEG_INFINITY)));
        assert_eq!(tensor("-0e-99"), Ok(Tensor::Number(0.0)));
        assert_eq!(finite("-1e-45"), Ok(-1e-45));
        for wrong in ["1e-46", "-1e-46", "0.0001e-300", "1e-999", "1e39", "-9.9e99"] {
            assert!(tensor(wrong).is_err() && finite(wrong).is_err(), "{wrong}");
        }
        assert_eq!(small_count("4294967295"), Ok(u32::MAX));
        for wrong in ["0", "-1", "1.5", "4294967296", "18446744073709551616"] {
            assert!(small_count(wrong).is_err(), "{wrong}");
        }
        assert_eq!(positive("0.5"), Ok(0.5));
        for wrong in ["0", "-1", "nan", "inf", "1e99", "x", ""] {
            assert!(positive(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn shares_are_counted_from_0() {
        assert_eq!(share("0/1"), Ok(Share { first: 0, of: 1 }));
        assert_eq!(share("3/64"), Ok(Share { first: 3, of: 64 }));
        for wrong in ["", "1", "1/1", "4/4", "-1/4", "0/0", "0/", "/4", "1/2/3", "0.5/2"] {
            assert!(share(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn sizes_have_units() {
        let sizes = [("512MiB", 512 << 20), ("2GB", 2_000_000_000), ("1 KiB", 1024), ("77", 77)];
        for (text, bytes) in sizes {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        for wrong in ["", "x", "MiB", "-1", "0", "1e99GB", "99999999999999999999"] {
            assert!(size(wrong).is_err(), "{wrong}");
        }
    }
}
