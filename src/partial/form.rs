//! A partial as text and as bytes.
//!
//! Both are of [`Stored`], whose names and types are the format of [`VERSION`]. What is read may come from anywhere, so
//! it is checked before it becomes a [`Partial`].

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::Partial;
use super::asked::Asked;
use super::exact::ExactSum;
use super::found::{ClassTotals, Found};
use crate::call::BadValue;
use crate::loss::Function;
use crate::{EmptyMean, Error, Reduction, Summary};

/// The version of the format.
const VERSION: u32 = 1;
/// The first bytes of the binary form, before the version.
const MAGIC: [u8; 8] = *b"wgpuLoss";
/// Bytes before the content: magic and version.
const HEAD: usize = MAGIC.len() + 4;
/// Bytes of the checksum at the end.
const TAIL: usize = 4;
/// The operands that may have a bad value.
const OPERANDS: [&str; 3] = ["input", "target", "var"];

impl Partial {
    /// Returns the binary form: eight bytes of magic, the version as a `u32`, the content in
    /// [postcard](https://docs.rs/postcard), and the CRC-32 of all bytes before it; numbers of fixed size have the low
    /// byte first, on every machine.
    pub fn to_bytes(&self) -> Vec<u8> {
        let head = [&MAGIC[..], &VERSION.to_le_bytes()].concat();
        // The extension of a vector does not fail, and nothing that is stored has a size that postcard cannot know.
        let mut bytes = postcard::to_extend(&Stored::of(self), head).unwrap_or_default();
        let checksum = crc32fast::hash(&bytes).to_le_bytes();
        bytes.extend(checksum);
        bytes
    }

    /// Reads the binary form.
    ///
    /// # Errors
    /// [`Error::Partial`] for bytes that are cut short, damaged, of another version, or contradict themselves.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Error> {
        let fault = |reason: String| Err(Error::Partial { reason });
        if bytes.len() < HEAD + TAIL || bytes[..MAGIC.len()] != MAGIC {
            return fault(format!("{} bytes that do not begin like one", bytes.len()));
        }
        let (content, tail) = bytes.split_at(bytes.len() - TAIL);
        let word =
            |bytes: &[u8]| bytes.iter().rev().fold(0, |word, &byte| word << 8 | u32::from(byte));
        check_version(word(&content[MAGIC.len()..HEAD]))?;
        if crc32fast::hash(content) != word(tail) {
            return fault(
                "the bytes do not have their checksum: they are damaged or cut short".into(),
            );
        }
        match postcard::from_bytes::<Stored>(&content[HEAD..]) {
            Ok(stored) => stored.checked(),
            Err(error) => fault(error.to_string()),
        }
    }

    /// Returns the text form, JSON.
    pub fn to_json(&self) -> String {
        // Every key is a string, and no number is refused: this does not fail.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Reads the text form.
    ///
    /// # Errors
    /// [`Error::Partial`] for other text, another version, or contents that contradict themselves.
    pub fn from_json(text: &str) -> Result<Self, Error> {
        serde_json::from_str(text).map_err(|error| Error::Partial { reason: error.to_string() })
    }
}

impl Serialize for Partial {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Stored::of(self).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Partial {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let stored = Stored::deserialize(deserializer)?;
        stored.checked().map_err(|error| match error {
            Error::Partial { reason } => serde::de::Error::custom(reason),
            error => serde::de::Error::custom(error),
        })
    }
}

/// The stored form.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    version: u32,
    loss: String,
    classes: u64,
    ignore_index: i64,
    reduction: String,
    empty_mean: String,
    divisor: Option<Real>,
    weighs_rows: bool,
    has_z_loss: bool,
    accuracy: bool,
    top_k: u32,
    class_losses: bool,
    options: Vec<(String, String)>,
    batch: u64,
    counts: Counts,
    loss_sum: Vec<Real>,
    z_loss_sum: Vec<Real>,
    weight_sum: Vec<Real>,
    loss_squares: Option<Vec<Real>>,
    class_loss_sums: Vec<Vec<Real>>,
    class_rows: Vec<u64>,
    class_correct: Vec<u64>,
}

/// The stored counts of rows.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Counts {
    rows: u64,
    live: u64,
    bad: u64,
    /// Position and label.
    first_bad: Option<(u64, i128)>,
    /// Position, operand and value.
    first_bad_value: Option<(u64, String, Real)>,
    nonfinite: u64,
    first_nonfinite: Option<u64>,
    correct: u64,
    top_k: u64,
}

impl Stored {
    fn of(partial: &Partial) -> Self {
        let Partial { asked, batch, found } = partial;
        // All classes are there: a number of classes alone would have readers make room for any number of them.
        let classes = found.classes.clone();
        let sum = |sum: &ExactSum| sum.digits().into_iter().map(Real).collect();
        Self {
            version: VERSION,
            loss: asked.function.name().into(),
            classes: asked.classes,
            ignore_index: asked.ignore_index,
            reduction: asked.reduction.name().into(),
            empty_mean: asked.empty_mean.name().into(),
            divisor: asked.divisor.map(Real),
            weighs_rows: asked.weighs_rows,
            has_z_loss: asked.has_z_loss,
            accuracy: asked.accuracy,
            top_k: asked.top_k,
            class_losses: asked.class_losses,
            options: asked.options.clone(),
            batch: *batch,
            counts: Counts::of(&partial.summary()),
            loss_sum: sum(&found.loss),
            z_loss_sum: sum(&found.z_loss),
            weight_sum: sum(&found.weight),
            loss_squares: found.squares.as_ref().map(sum),
            class_loss_sums: classes.loss.iter().map(sum).collect(),
            class_rows: classes.rows,
            class_correct: classes.correct,
        }
    }

    /// Returns the partial, if its parts agree with each other.
    fn checked(self) -> Result<Partial, Error> {
        check_version(self.version)?;
        let sum = |digits: Vec<Real>| digits.into_iter().map(|Real(digit)| digit).collect();
        let classes = ClassTotals {
            loss: self.class_loss_sums.into_iter().map(sum).collect(),
            rows: self.class_rows,
            correct: self.class_correct,
        };
        let counts = [classes.loss.len(), classes.rows.len(), classes.correct.len()];
        let wanted = if self.class_losses { self.classes } else { 0 };
        if counts.map(|count| count as u64) != [wanted; 3] {
            return contradiction("the sums of classes");
        }
        let asked = Asked {
            function: named("loss", &self.loss, &Function::ALL, Function::name)?,
            classes: self.classes,
            ignore_index: self.ignore_index,
            reduction: named("reduction", &self.reduction, &Reduction::ALL, Reduction::name)?,
            empty_mean: named("empty_mean", &self.empty_mean, &EmptyMean::ALL, EmptyMean::name)?,
            divisor: self.divisor.map(|Real(divisor)| divisor),
            weighs_rows: self.weighs_rows,
            has_z_loss: self.has_z_loss,
            accuracy: self.accuracy,
            top_k: self.top_k,
            class_losses: self.class_losses,
            options: self.options,
        };
        let sums = [self.loss_sum, self.z_loss_sum, self.weight_sum].map(sum);
        let squares = self.loss_squares.map(sum);
        let found = Found::stored(sums, squares, classes, self.counts.checked()?);
        Ok(Partial { asked, batch: self.batch, found })
    }
}

impl Counts {
    fn of(summary: &Summary) -> Self {
        // All fields are named, so that the compiler reports a new one that is missing here.
        let Summary {
            rows,
            live,
            weight: _,
            bad,
            first_bad,
            first_bad_value,
            nonfinite,
            first_nonfinite,
            correct,
            top_k,
        } = *summary;
        let first_bad_value = first_bad_value
            .map(|BadValue { position, what, value }| (position, what.into(), Real(value.into())));
        Self {
            rows,
            live,
            bad,
            first_bad,
            first_bad_value,
            nonfinite,
            first_nonfinite,
            correct,
            top_k,
        }
    }

    fn checked(self) -> Result<Summary, Error> {
        let Self { rows, live, bad, nonfinite, correct, top_k, .. } = self;
        let first_bad_value = match self.first_bad_value {
            None => None,
            Some((position, what, Real(value))) => {
                let what = named("operand", &what, &OPERANDS, |name| name)?;
                Some(BadValue { position, what, value: value as f32 })
            }
        };
        let summary = Summary {
            rows,
            live,
            weight: 0.0,
            bad,
            first_bad: self.first_bad,
            first_bad_value,
            nonfinite,
            first_nonfinite: self.first_nonfinite,
            correct,
            top_k,
        };
        let firsts = [
            summary.first_bad.map(|(row, _)| row),
            first_bad_value.map(|value| value.position),
            summary.first_nonfinite,
        ];
        let has_bad = summary.first_bad.is_some() || first_bad_value.is_some();
        let agree = live.checked_add(bad).is_some_and(|seen| seen <= rows)
            && [nonfinite, correct, top_k].iter().all(|&count| count <= live)
            && firsts.iter().flatten().all(|&row| row < rows)
            && has_bad == (bad > 0)
            && summary.first_nonfinite.is_some() == (nonfinite > 0);
        if agree { Ok(summary) } else { contradiction("the counts of rows") }
    }
}

fn check_version(version: u32) -> Result<(), Error> {
    match version {
        VERSION => Ok(()),
        other => {
            let reason =
                format!("its format has version {other}, and this library reads {VERSION}");
            Err(Error::Partial { reason })
        }
    }
}

fn contradiction<T>(what: &str) -> Result<T, Error> {
    Err(Error::Partial { reason: format!("{what} contradict each other") })
}

/// Returns what has a name.
fn named<T: Copy>(
    what: &str,
    name: &str,
    all: &[T],
    name_of: impl Fn(T) -> &'static str,
) -> Result<T, Error> {
    let found = all.iter().copied().find(|&one| name_of(one) == name);
    found.ok_or_else(|| Error::Partial { reason: format!("no {what} has the name {name:?}") })
}

/// A number. Text has no NaN and no infinity: there they are strings.
struct Real(f64);

impl Serialize for Real {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match serializer.is_human_readable() && !self.0.is_finite() {
            true => serializer.serialize_str(&self.0.to_string()),
            false => serializer.serialize_f64(self.0),
        }
    }
}

impl<'de> Deserialize<'de> for Real {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Text {
            Number(f64),
            Name(String),
        }
        if !deserializer.is_human_readable() {
            return f64::deserialize(deserializer).map(Real);
        }
        match Text::deserialize(deserializer)? {
            Text::Number(number) => Ok(Real(number)),
            Text::Name(name) if ["NaN", "inf", "-inf"].contains(&&*name) => {
                Ok(Real(name.parse().unwrap_or(f64::NAN)))
            }
            Text::Name(name) => Err(serde::de::Error::custom(format!("{name:?} is no number"))),
        }
    }
}
