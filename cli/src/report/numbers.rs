//! Formats of numbers for a person, and in JSON.

use std::time::Duration;

use serde::ser::SerializeSeq;
use serde::{Serialize, Serializer};

use crate::visible::visible_json;

/// Returns one line of JSON.
pub fn to_json(value: &impl Serialize) -> String {
    match serde_json::to_string(value) {
        Ok(text) => visible_json(&text) + "\n",
        // Serializing fails only for maps with keys that are not strings and for serializers that
        // fail; there are none here.
        Err(error) => format!("{{\"error\":{:?}}}\n", error.to_string()),
    }
}

/// An f32 that is printed with the shortest digits that identify it. JSON has no NaN and no
/// infinity: they are strings.
#[derive(Clone, Copy, Debug)]
pub struct Number(pub f32);

impl Serialize for Number {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0.is_finite() {
            true => serializer.serialize_f32(self.0),
            false => serializer.serialize_str(&self.0.to_string()),
        }
    }
}

/// An f64 that is printed in the same way.
#[derive(Clone, Copy, Debug)]
pub struct Wide(pub f64);

impl Serialize for Wide {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0.is_finite() {
            true => serializer.serialize_f64(self.0),
            false => serializer.serialize_str(&self.0.to_string()),
        }
    }
}

/// Several f32 that are printed in the same way.
pub struct Numbers<'a>(pub &'a [f32]);

impl Serialize for Numbers<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut seq = serializer.serialize_seq(Some(self.0.len()))?;
        for &number in self.0 {
            seq.serialize_element(&Number(number))?;
        }
        seq.end()
    }
}

/// Formats nine significant digits, as C's `%.9g`: enough to distinguish any two f32.
pub fn general(x: f64) -> String {
    digits(x, 9)
}

/// Formats so many significant digits, without zeros at the end.
pub fn digits(x: f64, count: usize) -> String {
    if !x.is_finite() {
        return x.to_string();
    }
    let scientific = format!("{x:.*e}", count - 1);
    let Some((digits, exponent)) = scientific.split_once('e') else { return scientific };
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let trimmed = |digits: &str| match digits.contains('.') {
        true => digits.trim_end_matches('0').trim_end_matches('.').to_string(),
        false => digits.to_string(),
    };
    if (-5..count as i32).contains(&exponent) {
        let decimals = (count as i32 - 1 - exponent) as usize;
        trimmed(&format!("{x:.decimals$}"))
    } else {
        format!("{}e{exponent}", trimmed(digits))
    }
}

/// Formats a duration in a suitable unit.
pub fn short(time: Duration) -> String {
    let seconds = time.as_secs_f64();
    match seconds {
        1.0.. => format!("{seconds:.2} s"),
        1e-3.. => format!("{:.2} ms", seconds * 1e3),
        1e-4.. => format!("{:.0} µs", seconds * 1e6),
        _ => format!("{:.1} µs", seconds * 1e6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_the_digits_of_an_f32() {
        for (x, text) in [
            (0.0, "0"),
            (1.0, "1"),
            (-2.5, "-2.5"),
            (0.13484926521778107, "0.134849265"),
            (123456789.0, "123456789"),
            (1234567890.0, "1.23456789e9"),
            (1e-12, "1e-12"),
            (0.00001, "0.00001"),
            (1e300, "1e300"),
            (f64::NAN, "NaN"),
            (f64::NEG_INFINITY, "-inf"),
        ] {
            assert_eq!(general(x), text);
        }
        assert_eq!(to_json(&Numbers(&[0.1, f32::NAN, -f32::INFINITY])), "[0.1,\"NaN\",\"-inf\"]\n");
    }

    #[test]
    fn times_have_units() {
        assert_eq!(short(Duration::from_micros(12)), "12.0 µs");
        assert_eq!(short(Duration::from_micros(123)), "123 µs");
        assert_eq!(short(Duration::from_micros(1234)), "1.23 ms");
        assert_eq!(short(Duration::from_millis(2346)), "2.35 s");
    }
}
