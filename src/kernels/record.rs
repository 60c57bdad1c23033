//! The stores of rows' records, written out: which word is which row's, nobody works out on the device.

use super::spec::{Kernel, Spec};

const ROWS: [&str; 4] = ["x", "y", "z", "w"];

/// The statements that stand for `{record}` in `record.wgsl`: stores of the fields, vectors over four rows
/// where a lane has as many, one row's record behind the other's.
pub(super) fn stores(spec: &Spec) -> String {
    let fields = spec.extras.record_fields();
    if !(spec.kernel == Kernel::Columns && spec.is_wide()) {
        let store = |(word, field)| format!("record[at + {word}u] = {field};");
        return joined(fields.iter().enumerate().map(store));
    }
    let word = |row: &str, field: &str| format!("{field}.{row}");
    let words: Vec<String> =
        ROWS.iter().flat_map(|row| fields.iter().map(move |field| word(row, field))).collect();
    match spec.record_packs {
        false => {
            joined(words.iter().enumerate().map(|(at, w)| format!("record[at + {at}u] = {w};")))
        }
        true => joined(
            words
                .chunks(4)
                .enumerate()
                .map(|(at, four)| format!("record[at + {at}u] = vec4<u32>({});", four.join(", "))),
        ),
    }
}

fn joined(statements: impl Iterator<Item = String>) -> String {
    statements.collect::<Vec<_>>().join("\n    ")
}
