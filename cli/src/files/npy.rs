//! The `.npy` header.
//!
//! ```text
//! "\x93NUMPY" major minor  length (u16, from version 2 on u32)  length bytes of a Python literal:
//! {'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }   padded with spaces and a newline
//! ```
//!
//! We parse the literal ourselves, without recursion and without arithmetic that could overflow: of
//! the crates for it, npyz 0.9 multiplies a hostile shape past `u64` before it can be checked.

use wgpu_loss::LabelType;

use super::Element;
use super::layout::{Layout, checked_count};

const MAGIC: &[u8; 6] = b"\x93NUMPY";

/// Longer headers belong to structured types, which are refused anyway.
const MAX_HEADER: usize = 1 << 20;

/// The most bytes of a file that its header can take.
pub const MOST_BEFORE_ELEMENTS: usize = 12 + MAX_HEADER;

/// Reads the header of a file of `length` bytes, of which `start` are the first.
pub fn read_layout(start: &[u8], length: u64) -> Result<Layout, String> {
    // A file that is shorter than the magic and version is not a .npy file.
    if start.len() < 8 || start[..6] != *MAGIC {
        return Err("is not an .npy file".into());
    }
    let (prefix, size) = match (start[6], &start[8..]) {
        (1, [a, b, ..]) => (10, usize::from(u16::from_le_bytes([*a, *b]))),
        (2 | 3, [a, b, c, d, ..]) => (12, u32::from_le_bytes([*a, *b, *c, *d]) as usize),
        (1..=3, _) => return Err(cut_short()),
        (version, _) => {
            return Err(format!(
                "has .npy version {version}, but only versions 1 to 3 are supported"
            ));
        }
    };
    let offset = prefix as u64 + size as u64;
    if offset > length {
        return Err(cut_short());
    }
    if size > MAX_HEADER {
        return Err(format!(
            "has an .npy header of {size} bytes, but at most {MAX_HEADER} are supported"
        ));
    }
    let header = start.get(prefix..prefix + size).ok_or_else(cut_short)?;
    let Header { descr, fortran_order, shape } = Header::parse(header)?;
    let (element, big_endian) = element(&descr)?;
    let count = checked_count(&shape, element, length - offset)?;
    Ok(Layout { element, big_endian, fortran_order, shape, offset, count })
}

fn cut_short() -> String {
    "is cut short: it ends inside its .npy header".into()
}

/// The header's three entries.
#[derive(Debug, PartialEq)]
struct Header {
    descr: String,
    fortran_order: bool,
    shape: Vec<usize>,
}

impl Header {
    fn parse(bytes: &[u8]) -> Result<Self, String> {
        let malformed = || "has an .npy header that cannot be parsed".to_string();
        let text = std::str::from_utf8(bytes).map_err(|_| malformed())?;
        let mut literal = Literal { rest: text };
        let (mut descr, mut fortran_order, mut shape) = (None, None, None);
        literal.eat('{').ok_or_else(malformed)?;
        while literal.eat('}').is_none() {
            let key = literal.string().ok_or_else(malformed)?;
            literal.eat(':').ok_or_else(malformed)?;
            match key {
                "descr" if literal.peek('[') => {
                    return Err(
                        "is of a structured type; save one of its fields, a['field']".into()
                    );
                }
                "descr" => descr = Some(literal.string().ok_or_else(malformed)?.to_string()),
                "fortran_order" => {
                    fortran_order = Some(literal.boolean().ok_or_else(malformed)?);
                }
                "shape" => shape = Some(literal.extents().ok_or_else(malformed)?),
                _ => return Err(malformed()),
            }
            // Python allows a comma after the last entry and wants one between entries.
            if literal.eat(',').is_none() && !literal.peek('}') {
                return Err(malformed());
            }
        }
        if !literal.rest.trim().is_empty() {
            return Err(malformed());
        }
        match (descr, fortran_order, shape) {
            (Some(descr), Some(fortran_order), Some(shape)) => {
                Ok(Self { descr, fortran_order, shape })
            }
            _ => Err(malformed()),
        }
    }
}

/// A parser of those of Python's literals that the header needs. Every method skips blanks first. If one returns
/// `None`, the header is refused as a whole.
struct Literal<'a> {
    rest: &'a str,
}

impl<'a> Literal<'a> {
    fn peek(&mut self, c: char) -> bool {
        self.rest = self.rest.trim_start();
        self.rest.starts_with(c)
    }

    fn eat(&mut self, c: char) -> Option<()> {
        let found = self.peek(c);
        found.then(|| self.rest = &self.rest[c.len_utf8()..])
    }

    /// A string without escapes.
    fn string(&mut self) -> Option<&'a str> {
        let quote = if self.peek('\'') { '\'' } else { '"' };
        self.eat(quote)?;
        let (string, rest) = self.rest.split_once(quote)?;
        self.rest = rest;
        (!string.contains('\\')).then_some(string)
    }

    fn boolean(&mut self) -> Option<bool> {
        self.rest = self.rest.trim_start();
        for (word, value) in [("True", true), ("False", false)] {
            if let Some(rest) = self.rest.strip_prefix(word) {
                self.rest = rest;
                return Some(value);
            }
        }
        None
    }

    /// A tuple of extents, whose numbers may carry the `L` of Python 2.
    fn extents(&mut self) -> Option<Vec<usize>> {
        self.eat('(')?;
        let mut extents = Vec::new();
        while self.eat(')').is_none() {
            self.rest = self.rest.trim_start();
            let end = self.rest.find(|c: char| !c.is_ascii_digit())?;
            let (digits, rest) = self.rest.split_at(end);
            // Too many digits for usize are more elements than any file holds.
            extents.push(digits.parse().ok()?);
            self.rest = rest.strip_prefix('L').unwrap_or(rest);
            if self.eat(',').is_none() && !self.peek(')') {
                return None;
            }
        }
        Some(extents)
    }
}

/// Parses a `descr` such as `<f4`: returns the element type and whether its bytes are swapped, or the reason why it is
/// not read.
fn element(descr: &str) -> Result<(Element, bool), String> {
    let mut rest = descr.chars();
    let order = match rest.as_str().chars().next() {
        Some(order @ ('<' | '>' | '|' | '=')) => {
            rest.next();
            order
        }
        _ => '|',
    };
    let element = match rest.as_str() {
        "f2" => Element::F16,
        "f4" => Element::F32,
        "f8" => Element::F64,
        "b1" => Element::Bool,
        "u1" => Element::Integer(LabelType::U8),
        "i1" => Element::Integer(LabelType::I8),
        "u2" => Element::Integer(LabelType::U16),
        "i2" => Element::Integer(LabelType::I16),
        "u4" => Element::Integer(LabelType::U32),
        "i4" => Element::Integer(LabelType::I32),
        "u8" => Element::Integer(LabelType::U64),
        "i8" => Element::Integer(LabelType::I64),
        "V2" => Element::Raw16,
        other => return Err(unsupported(descr, other)),
    };
    Ok((element, order == '>' && element.bytes() > 1))
}

/// Returns the reason why an element type is not read.
fn unsupported(descr: &str, kind: &str) -> String {
    let name = match kind.chars().next() {
        Some('O') => return format!("holds Python objects ('{descr}'), which are not supported"),
        Some('f') => "extended-precision floats",
        Some('c') => "complex numbers",
        Some('S' | 'a') => "byte strings",
        Some('U') => "strings",
        Some('M') => "dates",
        Some('m') => "time differences",
        Some('V') => "raw bytes",
        _ => "an unknown type",
    };
    format!("holds {name} ('{descr}'), expected floats, integers or bools")
}

/// Returns a type's name in the header. There is no name for bf16: its bits are saved as integers.
fn descr(element: Element) -> &'static str {
    match element {
        Element::F16 => "<f2",
        Element::Bf16 => "<u2",
        Element::Integer(_) => "<u4",
        _ => "<f4",
    }
}

/// Returns the header of a C-order array, padded so that the elements start on 64 bytes.
pub fn header(element: Element, shape: &[usize]) -> Vec<u8> {
    let extents: Vec<String> = shape.iter().map(usize::to_string).collect();
    // One extent needs a comma to be a tuple.
    let comma = if shape.len() == 1 { "," } else { "" };
    let literal = format!(
        "{{'descr': '{}', 'fortran_order': False, 'shape': ({}{comma}), }}",
        descr(element),
        extents.join(", ")
    );
    let size = (10 + literal.len() + 1).next_multiple_of(64) - 10;
    // At most 64 axes of 20 digits: far below the 64 KiB that version 1 holds.
    let mut header = MAGIC.to_vec();
    header.extend([1, 0]);
    header.extend((size as u16).to_le_bytes());
    header.extend(literal.bytes());
    header.resize(10 + size - 1, b' ');
    header.push(b'\n');
    header
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Header, String> {
        Header::parse(text.as_bytes())
    }

    #[test]
    fn headers_are_read() {
        let header =
            parse("{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }   \n").unwrap();
        assert_eq!(header, Header { descr: "<f4".into(), fortran_order: false, shape: vec![3, 4] });
        let header = parse("{\"shape\":(7L,),'fortran_order':True,'descr':'|b1'}").unwrap();
        assert_eq!(header, Header { descr: "|b1".into(), fortran_order: true, shape: vec![7] });
        let header = parse("{'descr': '<f8', 'fortran_order': False, 'shape': (), }").unwrap();
        assert!(header.shape.is_empty());
    }

    #[test]
    fn what_is_written_is_read() {
        for shape in [vec![], vec![0], vec![5], vec![2, 3], vec![usize::MAX; 64]] {
            let bytes = header(Element::F32, &shape);
            assert_eq!(bytes.len() % 64, 0);
            let size = u16::from_le_bytes([bytes[8], bytes[9]]) as usize;
            assert_eq!(bytes.len(), 10 + size);
            let padding = bytes.iter().rev().skip(1).take_while(|&&byte| byte == b' ').count();
            assert!(padding < 64, "{padding} spaces");
            assert_eq!(Header::parse(&bytes[10..]).unwrap().shape, shape);
        }
    }

    #[test]
    fn nonsense_is_refused() {
        let deep = "{'descr': ".to_string() + &"(".repeat(100_000);
        for text in [
            "",
            "{",
            "}",
            "{}",
            "{'descr': '<f4', 'fortran_order': False}",
            "{'descr': '<f4', 'fortran_order': 0, 'shape': (3,)}",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (-3,)}",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (3 4)}",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (3",
            "{'descr': '<f4', 'fortran_order': False, 'shape': 3}",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999999999,)}",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (,)}",
            "{'descr': '<f4' 'fortran_order': False, 'shape': (3,)}",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (3,)} and more",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (3,), 'more': 1}",
            "{'descr': '\\x3cf4', 'fortran_order': False, 'shape': (3,)}",
            "{'descr': 4, 'fortran_order': False, 'shape': (3,)}",
            "{'descr",
            &deep,
        ] {
            assert!(parse(text).is_err(), "{text:.80}");
        }
        let structured = "{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (3,)}";
        assert!(parse(structured).unwrap_err().contains("structured"));
    }

    /// A header in which any one byte has any value is read or refused, and nothing panics.
    #[test]
    fn damaged_headers_do_not_panic() {
        let good = header(Element::F32, &[3, 4]);
        for at in 10..good.len() {
            for byte in 0..=255 {
                let mut bad = good.clone();
                bad[at] = byte;
                let _ = Header::parse(&bad[10..]).map(|header| element(&header.descr));
            }
            let _ = Header::parse(&good[10..at]);
        }
    }

    #[test]
    fn element_types_are_known_or_named() {
        assert_eq!(element("<f4"), Ok((Element::F32, false)));
        assert_eq!(element(">f4"), Ok((Element::F32, true)));
        assert_eq!(element("|u1"), Ok((Element::Integer(LabelType::U8), false)));
        assert_eq!(element(">i1"), Ok((Element::Integer(LabelType::I8), false)));
        assert_eq!(element("<i8"), Ok((Element::Integer(LabelType::I64), false)));
        assert_eq!(element(">i8"), Ok((Element::Integer(LabelType::I64), true)));
        assert_eq!(element("|V2"), Ok((Element::Raw16, false)));
        for (descr, name) in [
            ("|O", "objects"),
            ("<c8", "complex"),
            ("<f16", "extended"),
            ("|S3", "byte strings"),
            ("<U3", "strings"),
            ("<M8[ns]", "dates"),
            ("<m8[s]", "time differences"),
            ("<V3", "raw bytes"),
            ("", "unknown"),
            ("é", "unknown"),
        ] {
            let error = element(descr).unwrap_err();
            assert!(error.contains(name), "{descr}: {error}");
        }
    }
}
