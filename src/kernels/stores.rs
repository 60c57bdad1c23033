//! The stores of rows' records, written out, so that the device does not compute the row of each word.

use super::spec::{Kernel, Spec};

/// The components of a vector.
pub(super) const COMPONENTS: [&str; 4] = ["x", "y", "z", "w"];

/// Returns the statements of RECORD_STORES in `record.wgsl`: stores of the fields, as vectors over four rows if a lane
/// has as many, one row's record after the other's.
pub(super) fn stores(spec: &Spec) -> Vec<String> {
    let fields = spec.row_features.record.names();
    if !(spec.kernel == Kernel::Columns && spec.layout.is_wide()) {
        let store = |(word, field)| format!("record[at + {word}u] = {field};");
        return fields.iter().enumerate().map(store).collect();
    }
    let word = |row: &str, field: &str| format!("{field}.{row}");
    let words: Vec<String> = COMPONENTS
        .iter()
        .flat_map(|row| fields.iter().map(move |field| word(row, field)))
        .collect();
    if !spec.layout.record_packs {
        let store = |(at, word)| format!("record[at + {at}u] = {word};");
        return words.iter().enumerate().map(store).collect();
    }
    let store = |(at, four): (usize, &[String])| {
        format!("record[at + {at}u] = vec4<u32>({});", four.join(", "))
    };
    words.chunks(4).enumerate().map(store).collect()
}
