//! Decodes the result that the last kernel writes.

use crate::words::{
    BAD_AT, BAD_OPERAND_AT, BAD_VALUE_AT, CORRECT_AT, FIRST_BAD_AT, FIRST_NONFINITE_AT, FLAGS_AT,
    LIVE_AT, LOSS_AT, NONFINITE_AT, RAISED_BY, RAISED_LOSS_AT, RAISED_WEIGHT_AT, RAISED_Z_LOSS_AT,
    REFUSED_INPUT, REFUSED_TARGET, TOP_K_AT, TOTALS_WORDS, WEIGHT_AT, Z_LOSS_AT,
};
use crate::{BadValue, Error, Problem, Summary};

/// Bytes of [`Bound::result`](crate::Bound::result). [`Buffers`](crate::Buffers) has an example of such a range among a
/// host's tensors.
pub const RESULT_BYTES: u64 = 4 * TOTALS_WORDS as u64;

/// The unit of the last words of a result.
const RAISED_UNIT: f64 = (1u128 << RAISED_BY) as f64;

/// The content of [`Bound::result`](crate::Bound::result), as a [`Reader`](crate::Reader) returns it.
///
/// ```
/// use wgpu_loss::Decoded;
///
/// /// The perplexity of a step's tokens, if any of them counted.
/// fn perplexity(result: &Decoded) -> Option<f32> {
///     (result.summary.live > 0).then(|| result.loss.exp())
/// }
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Decoded {
    /// The reduced loss.
    pub loss: f32,
    /// The reduced z-loss; 0 if there is none.
    pub z_loss: f32,
    /// The counts and sums over the rows.
    pub summary: Summary,
    /// The loss and the z-loss, also beyond the range of an f32: a mean over pieces divides their sums.
    pub(crate) wide: [f64; 2],
}

/// Decodes the bytes of a result.
pub(super) fn decoded(problem: &Problem, bytes: &[u8]) -> Result<Decoded, Error> {
    let wanted = RESULT_BYTES as usize;
    if bytes.len() != wanted {
        let shape = vec![wanted];
        return Err(Error::Length { what: "result", given: bytes.len(), wanted, shape });
    }
    let words: Vec<u32> = bytemuck::pod_collect_to_vec(bytes);
    let word = |at: u32| words[at as usize];
    let bits = u64::from(word(BAD_OPERAND_AT)) << 32 | u64::from(word(BAD_VALUE_AT));
    let signed = problem.label_type().is_some_and(|label| label.signed());
    let value = if signed { i128::from(bits as i64) } else { i128::from(bits) };
    let labels = problem.pointwise.is_none();
    // NaN and infinite rows have no sum beyond an f32.
    let real = |at: u32, raised: u32| match f32::from_bits(word(at)) {
        infinite if infinite.is_infinite() && word(FLAGS_AT) == 0 => {
            f64::from(f32::from_bits(word(raised))) * RAISED_UNIT
        }
        value => value.into(),
    };
    let (bad, nonfinite) = (word(BAD_AT), word(NONFINITE_AT));
    let summary = Summary {
        rows: problem.losses() as u64,
        live: word(LIVE_AT).into(),
        weight: real(WEIGHT_AT, RAISED_WEIGHT_AT),
        bad: bad.into(),
        first_bad: (bad > 0 && labels).then_some((word(FIRST_BAD_AT).into(), value)),
        first_bad_value: (bad > 0 && !labels).then_some(BadValue {
            position: word(FIRST_BAD_AT).into(),
            what: refused_operand(word(BAD_OPERAND_AT)),
            value: f32::from_bits(word(BAD_VALUE_AT)),
        }),
        nonfinite: nonfinite.into(),
        first_nonfinite: (nonfinite > 0).then_some(word(FIRST_NONFINITE_AT).into()),
        correct: word(CORRECT_AT).into(),
        top_k: word(TOP_K_AT).into(),
    };
    let [loss, z_loss] = [LOSS_AT, Z_LOSS_AT].map(|at| f32::from_bits(word(at)));
    let wide = [real(LOSS_AT, RAISED_LOSS_AT), real(Z_LOSS_AT, RAISED_Z_LOSS_AT)];
    Ok(Decoded { loss, z_loss, summary, wide })
}

fn refused_operand(number: u32) -> &'static str {
    match number {
        REFUSED_INPUT => "input",
        REFUSED_TARGET => "target",
        _ => "var",
    }
}
