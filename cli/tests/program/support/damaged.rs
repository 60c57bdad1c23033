//! Archives in which a bit is flipped: they are refused, whatever their data is used for, and nothing is saved.

use super::{Element, Folder, Member, bytes, npy, tuple, zip};

/// A member of an archive, and a place in it that a bit is flipped at.
struct Array {
    member: Member,
    /// Its length without the elements.
    header: usize,
}

impl Array {
    fn new<T: Element>(name: &str, fortran: bool, shape: &[usize], elements: &[T]) -> Self {
        let body = bytes(elements);
        let contents = npy(&format!("'{}'", T::DESCR), fortran, &tuple(shape), &body);
        let header = contents.len() - body.len();
        Self { member: Member::new(name, &contents, false), header }
    }

    /// Returns the array with the lowest bit of a byte flipped, and the checksum of the undamaged one.
    fn flipped(&self, byte: usize) -> Member {
        let mut member = self.member.clone();
        member.data[byte] ^= 1;
        member
    }
}

/// Asserts that a run of the program is refused because of an array in `a.npz`.
#[track_caller]
fn refused(folder: &Folder, words: &str, name: &str) {
    let said = ["a.npz", &format!("member \"{name}.npy\" is damaged"), "checksum"];
    folder.run(words).bad(1, &said);
    assert!(!folder.names().iter().any(|name| name.ends_with("g.npy")), "{words}");
}

/// Small arrays in every role, each in turn with its first or last element damaged: also class weights of
/// no label, and rows that are left out, which no loss depends on.
pub fn in_every_role(device: &str) {
    let folder = Folder::new();
    let x: Vec<f32> = (0..40).map(|i| (i * 7 % 13) as f32).collect();
    let (twice, labels): (Vec<f64>, Vec<i64>) = (vec![0.5; 40], (0..8).map(|i| i % 3).collect());
    let mut row_weights = [1.0f32; 8];
    (row_weights[0], row_weights[7]) = (0.0, 0.0);
    for fortran in [false, true] {
        // Names of other lengths lie at other addresses: the first of these can be read where it is.
        for name in ["logits", "x"] {
            let arrays = [
                Array::new(name, fortran, &[8, 5], &x),
                Array::new("t", false, &[8], &labels),
                Array::new("w", false, &[5], &[1.0f32; 5]),
                Array::new("r", false, &[8], &row_weights),
                Array::new("up", false, &[], &[2.0f32]),
                Array::new("d", fortran, &[8, 5], &twice),
            ];
            let entropy = format!(
                "cross-entropy a.npz:{name} a.npz:t --weight a.npz:w --row-weights a.npz:r \
                 --upstream a.npz:up --save-grad g.npy --device {device}"
            );
            let points = format!("bce-with-logits a.npz:{name} a.npz:d --device {device}");
            let all: Vec<Member> = arrays.iter().map(|array| array.member.clone()).collect();
            folder.write("a.npz", zip(&all));
            folder.run(&entropy).good();
            folder.run(&points).good();
            std::fs::remove_file(folder.path("g.npy")).unwrap();
            for (at, array) in arrays.iter().enumerate() {
                for byte in [array.header, array.member.data.len() - 1] {
                    let mut all = all.clone();
                    all[at] = array.flipped(byte);
                    folder.write("a.npz", zip(&all));
                    let called = array.member.name.strip_suffix(".npy").unwrap();
                    if called != "d" {
                        refused(&folder, &entropy, called);
                    }
                    if called == name || called == "d" {
                        refused(&folder, &points, called);
                    }
                }
            }
        }
    }
    // A label that is no longer a class: the damage is the reason, and is reported.
    let logits = Array::new("x", false, &[8, 5], &x);
    let mut labels = Array::new("t", false, &[8], &labels).member;
    let sign = labels.data.len() - 1;
    labels.data[sign] ^= 0x80;
    folder.write("a.npz", zip(&[logits.member, labels]));
    refused(&folder, &format!("cross-entropy a.npz:x a.npz:t --device {device}"), "t");
}

/// Logits that are read in pieces, where they lie or copied, damaged in one of them.
pub fn in_pieces(device: &str) {
    let folder = Folder::new();
    let (rows, classes) = (9000, 1000);
    let x: Vec<f32> = (0..rows * classes).map(|i| (i * 7 % 13) as f32).collect();
    folder.save("t.npy", &[rows], &vec![3u16; rows]);
    for name in ["logits", "x"] {
        let array = Array::new(name, false, &[rows, classes], &x);
        let words = format!("cross-entropy a.npz t.npy --device {device}");
        folder.write("a.npz", zip(std::slice::from_ref(&array.member)));
        folder.run(&words).good();
        for place in [0, x.len() - 1] {
            folder.write("a.npz", zip(&[array.flipped(array.header + 4 * place)]));
            refused(&folder, &words, name);
        }
        refused(&folder, &format!("{words} --check --histogram --save-grad g.npy"), name);
    }
}
