//! Bools whose bytes are other than 0 and 1: as in NumPy, all but 0 are true.

use serde_json::Value;

use super::{Folder, LOGITS, Member, npy, zip};

/// Asserts that two runs have the same loss.
#[track_caller]
fn alike(folder: &Folder, device: &str, given: &str, wanted: &str) {
    let loss = |words: &str| -> Value {
        folder.run(&format!("{words} --device {device} --json")).good().json()["loss"].clone()
    };
    assert_eq!(loss(given), loss(wanted), "{given} for {wanted}");
}

/// Labels, targets and weights that are bools, from every kind of file and in both orders.
pub fn are_true(device: &str) {
    let folder = Folder::new();
    folder.save("x.npy", &[4, 4], &LOGITS);
    folder.save("t.npy", &[4], &[1i64, 3, 0, 2]);
    folder.save("image.npy", &[2, 4, 2], &LOGITS);
    let (row, whole): ([u8; 4], [u8; 16]) =
        ([0, 2, 255, 1], [0, 3, 255, 1, 0, 0, 2, 254, 9, 0, 1, 1, 128, 0, 0, 4]);
    let truth = |bytes: &[u8]| bytes.iter().map(|&byte| f32::from(byte != 0)).collect::<Vec<_>>();
    let labels = |bytes: &[u8]| bytes.iter().map(|&byte| i64::from(byte != 0)).collect::<Vec<_>>();
    folder.save("row_floats.npy", &[4], &truth(&row));
    folder.save("row_labels.npy", &[4], &labels(&row));
    folder.save("whole_floats.npy", &[4, 4], &truth(&whole));
    let transposed = [row[0], row[2], row[1], row[3]];
    folder.save("pixel_labels.npy", &[2, 2], &labels(&transposed));
    folder.write("row.npy", npy("'|b1'", false, "4,", &row));
    folder.write("whole.npy", npy("'|b1'", false, "4, 4", &whole));
    folder.write("pixels.npy", npy("'|b1'", true, "2, 2", &row));
    let array = npy("'|b1'", false, "4,", &row);
    folder.write(
        "a.npz",
        zip(&[false, true]
            .map(|deflate| Member::new(if deflate { "d" } else { "s" }, &array, deflate))),
    );
    folder.save_tensors("m.safetensors", &[("b", "BOOL", &[4], row.to_vec())]);

    for file in ["row.npy", "a.npz:s", "a.npz:d", "m.safetensors:b"] {
        let entropy = "cross-entropy x.npy";
        alike(&folder, device, &format!("{entropy} {file}"), &format!("{entropy} row_labels.npy"));
        let weighted = "cross-entropy x.npy t.npy --row-weights";
        alike(
            &folder,
            device,
            &format!("{weighted} {file}"),
            &format!("{weighted} row_floats.npy"),
        );
    }
    alike(
        &folder,
        device,
        "cross-entropy image.npy pixels.npy",
        "cross-entropy image.npy pixel_labels.npy",
    );
    let points = "bce-with-logits x.npy";
    alike(&folder, device, &format!("{points} whole.npy"), &format!("{points} whole_floats.npy"));
    let all =
        |weights: &str| format!("{points} whole.npy --weight {weights} --pos-weight {weights}");
    alike(&folder, device, &all("whole.npy"), &all("whole_floats.npy"));
    let gauss = |var: &str| format!("gaussian-nll x.npy {var} --var {var}");
    alike(&folder, device, &gauss("whole.npy"), &gauss("whole_floats.npy"));
}

/// Labels that are read in pieces.
pub fn are_true_in_pieces(device: &str) {
    let folder = Folder::new();
    let rows = (16 << 20) + 5;
    folder.write(
        "x.npy",
        npy("'<f2'", false, &format!("{rows}, 2"), &[0x00, 0x3c, 0x00, 0x40].repeat(rows)),
    );
    folder.write("b.npy", npy("'|b1'", false, &format!("{rows},"), &vec![255; rows]));
    folder.write("u.npy", npy("'|u1'", false, &format!("{rows},"), &vec![1; rows]));
    alike(&folder, device, "cross-entropy x.npy b.npy", "cross-entropy x.npy u.npy");
}
