//! Damaged archives on the CPU.

use crate::support::{Folder, LABELS, LOGITS, Member, bytes, damaged, npy, zip};

#[test]
fn an_array_in_every_role() {
    damaged::in_every_role("cpu");
}

#[test]
fn an_array_that_is_read_in_pieces() {
    damaged::in_pieces("cpu");
}

/// Deflated data whose bits are flipped may inflate all the same, to something else.
#[test]
fn deflated_arrays() {
    let folder = Folder::new();
    let x = Member::new("x", &npy("'<f4'", false, "4, 4", &bytes(&LOGITS)), true);
    let t = Member::new("t", &npy("'<i8'", false, "4,", &bytes(&LABELS)), true);
    folder.write("a.npz", zip(&[x.clone(), t.clone()]));
    let good = folder.json("cross-entropy a.npz:x a.npz:t")["loss"].clone();
    let mut checksums = 0;
    for bit in 0..8 * x.data.len() {
        let mut bad = x.clone();
        bad.data[bit / 8] ^= 1 << (bit % 8);
        folder.write("a.npz", zip(&[bad, t.clone()]));
        let run = folder.cpu("cross-entropy a.npz:x a.npz:t --json");
        match run.code {
            // Bits without meaning, after the end of the stream.
            Some(0) => assert_eq!(run.json()["loss"], good, "bit {bit}"),
            _ => {
                checksums += usize::from(run.stderr.contains("checksum"));
                run.bad(1, &["a.npz:x"]);
            }
        }
    }
    assert!(checksums > 0, "no flipped bit inflates");
}
