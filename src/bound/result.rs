//! Decodes the result that the last kernel writes.

use crate::{BadValue, Error, Problem, Summary};

/// Bytes of the range behind [`Bound::result`](crate::Bound::result). [`Buffers`](crate::Buffers) has an example of one
/// among a host's tensors.
pub const RESULT_BYTES: u64 = 64;

/// What the last words of a result count in.
const RAISED: f64 = (1u128 << 64) as f64;

/// What is in [`Bound::result`](crate::Bound::result). A [`Reader`](crate::Reader) brings it.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Decoded {
    /// The reduced loss.
    pub loss: f32,
    /// The reduced z-loss; 0 where there is none.
    pub z_loss: f32,
    /// What was seen in the rows.
    pub summary: Summary,
    /// The loss and the z-loss, beyond what an f32 reaches too: a mean over pieces divides their sums.
    pub(crate) wide: [f64; 2],
}

/// What the bytes of a result say.
pub(super) fn decoded(problem: &Problem, bytes: &[u8]) -> Result<Decoded, Error> {
    let wanted = RESULT_BYTES as usize;
    if bytes.len() != wanted {
        let shape = vec![wanted];
        return Err(Error::Length { what: "result", given: bytes.len(), wanted, shape });
    }
    let words: Vec<u32> = bytemuck::pod_collect_to_vec(bytes);
    let bits = u64::from(words[7]) << 32 | u64::from(words[6]);
    let signed = problem.label_type().is_some_and(|label| label.signed());
    let value = if signed { i128::from(bits as i64) } else { i128::from(bits) };
    let labels = problem.pointwise.is_none();
    // Of rows that are NaN or infinite there is no sum beyond an f32.
    let real = |at: usize, raised: usize| match f32::from_bits(words[at]) {
        infinite if infinite.is_infinite() && words[3] == 0 => {
            f64::from(f32::from_bits(words[raised])) * RAISED
        }
        value => value.into(),
    };
    let summary = Summary {
        rows: problem.losses() as u64,
        live: words[2].into(),
        weight: real(1, 14),
        bad: words[4].into(),
        first_bad: (words[4] > 0 && labels).then_some((words[5].into(), value)),
        first_bad_value: (words[4] > 0 && !labels).then_some(BadValue {
            position: words[5].into(),
            what: refused_operand(words[7]),
            value: f32::from_bits(words[6]),
        }),
        nonfinite: words[8].into(),
        first_nonfinite: (words[8] > 0).then_some(words[9].into()),
        correct: words[11].into(),
        top_k: words[12].into(),
    };
    let [loss, z_loss] = [words[0], words[10]].map(f32::from_bits);
    Ok(Decoded { loss, z_loss, summary, wide: [real(0, 13), real(10, 15)] })
}

/// The operand of that number in `formulas.wgsl`.
fn refused_operand(number: u32) -> &'static str {
    match number {
        1 => "input",
        2 => "target",
        _ => "var",
    }
}
