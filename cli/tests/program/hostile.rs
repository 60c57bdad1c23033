//! Files with false headers: refused by one line, quickly and without taking memory.

#![cfg(target_os = "linux")]

use crate::support::{Folder, LOGITS, Member, bytes, npy, zip};

fn x() -> Member {
    Member::new("x", &npy("'<f4'", false, "4, 4", &bytes(&LOGITS)), true)
}

/// Runs softmax over an archive, which must be refused.
#[track_caller]
fn bad(archive: &[u8], name: &str, said: &[&str]) {
    let folder = Folder::new();
    folder.write("a.npz", archive);
    // The address space is limited, so that a program which trusts a false size fails.
    let program = crate::support::program();
    let script = format!("ulimit -v 4000000; exec {program} softmax {name} --device cpu");
    let mut shell = std::process::Command::new("sh");
    let output = shell.arg("-c").arg(script).current_dir(folder.path("")).output().unwrap();
    crate::support::Run::new(name, output).bad(1, &[&[name][..], said].concat());
    assert_eq!(folder.names(), ["a.npz"]);
}

#[test]
fn archives_that_are_none() {
    let good = zip(&[x()]);
    bad(b"", "a.npz", &["not an .npz file"]);
    bad(b"PK", "a.npz:x", &["not an .npz file"]);
    bad(&npy("'<f4'", false, "4, 4", &bytes(&LOGITS)), "a.npz:x", &["not an .npz file"]);
    bad(&good[..good.len() - 1], "a.npz:x", &["ends inside its archive"]);
    bad(&good[good.len() / 2..], "a.npz:x", &[]);
    bad(&[&good[..], b"garbage"].concat(), "a.npz:x", &["7 extra bytes"]);
    // A directory of two of which one is gone.
    let mut two = zip(&[x()]);
    let end = two.len() - 22;
    (two[end + 8], two[end + 10]) = (2, 2);
    bad(&two, "a.npz:x", &["damaged directory", "1 files instead of 2"]);
}

#[test]
fn names_that_are_not_there_or_twice() {
    let other = |name: &str| Member { name: format!("{name}.npy"), ..x() };
    bad(&zip(&[x(), other("y")]), "a.npz", &["which array", "FILE.npz:ARRAY", "x, y"]);
    bad(&zip(&[x(), other("y")]), "a.npz:z", &["no array \"z\"", "x, y"]);
    bad(&zip(&[x(), x()]), "a.npz:x", &["2 arrays called \"x\""]);
    bad(&zip(&[]), "a.npz", &["there are none"]);
    let nested = Member { name: "b.npz".into(), ..x() };
    bad(&zip(&[nested]), "a.npz:b", &["no array \"b\"", "there are none"]);
    let many: Vec<Member> = (0..30).map(|i| other(&format!("layer{i}"))).collect();
    bad(&zip(&many), "a.npz", &["layer0, layer1", "and 10 more"]);
}

#[test]
fn sizes_that_are_lies() {
    let lie = |change: &dyn Fn(&mut Member)| {
        let mut member = x();
        change(&mut member);
        zip(&[member])
    };
    // 4 GiB out of a hundred bytes.
    bad(&lie(&|m| m.size = u32::MAX), "a.npz:x", &["deflated bytes are", "cannot be"]);
    bad(&lie(&|m| m.size += 4), "a.npz:x", &["4 extra bytes"]);
    bad(&lie(&|m| m.size -= 4), "a.npz:x", &["cut short"]);
    bad(&lie(&|m| m.crc ^= 1), "a.npz:x", &["checksum"]);
    bad(&lie(&|m| m.method = 0), "a.npz:x", &["stored bytes are"]);
    bad(&lie(&|m| m.method = 12), "a.npz:x", &["method 12"]);
    bad(&lie(&|m| m.flags = 1), "a.npz:x", &["encrypted"]);
    bad(&lie(&|m| m.data.truncate(40)), "a.npz:x", &["inflate"]);
    bad(&lie(&|m| m.data = vec![0xff; 100]), "a.npz:x", &["cannot be inflated"]);
}

/// A header may state more than the file holds, and a zip may hold more than its header states.
#[test]
fn bombs() {
    // A gigabyte of zeros in a megabyte, of which the header wants 64 bytes.
    let mut contents = npy("'<f4'", false, "4, 4", &bytes(&LOGITS));
    contents.resize(1 << 30, 0);
    let bomb = Member::new("x", &contents, true);
    assert!(bomb.data.len() < 2 << 20);
    bad(&zip(std::slice::from_ref(&bomb)), "a.npz:x", &["extra bytes after its array"]);
    // The same, said to be as long as the header wants it.
    let quiet = Member { size: 192, ..bomb };
    bad(&zip(&[quiet]), "a.npz:x", &["inflates to more than the 192 bytes"]);
    // A terabyte in the header, and nothing after it.
    for shape in ["262144, 1048576", "18446744073709551615, 2", "9223372036854775807, 4"] {
        let member = Member::new("x", &npy("'<f4'", false, shape, &[]), true);
        bad(&zip(&[member]), "a.npz:x", &["cut short"]);
    }
    let member = Member::new("x", &npy("'<f4'", false, "-1, 4", &[]), true);
    bad(&zip(&[member]), "a.npz:x", &["cannot be parsed"]);
}

#[test]
fn npy_headers_of_other_orders_are_checked_alike() {
    let folder = Folder::new();
    for (descr, fortran) in [("'>f4'", false), ("'<f4'", true), ("'>f8'", true), ("'<f2'", true)] {
        for shape in ["1000000000000, 1000", "4294967296, 4294967296", "99, 99"] {
            folder.write("x.npy", npy(descr, fortran, shape, &bytes(&LOGITS)));
            folder.cpu("softmax x.npy").bad(1, &["x.npy", "cut short"]);
        }
    }
}

#[test]
fn safetensors_with_a_name_twice() {
    let folder = Folder::new();
    let entry = r#"{"dtype":"F32","shape":[4,4],"data_offsets":[0,64]}"#;
    let json = format!(r#"{{"x":{entry},"x":{entry}}}"#);
    let size = (json.len() as u64).to_le_bytes();
    folder.write("m.safetensors", [&size[..], json.as_bytes(), &bytes(&LOGITS)].concat());
    folder.cpu("softmax m.safetensors:x").bad(1, &["m.safetensors:x", "two tensors called \"x\""]);
}

/// Inflated elements may find no room. A limit on the size of files stands in for the disk.
#[test]
fn no_room_for_what_is_inflated() {
    let folder = Folder::new();
    let array = npy("'<f4'", false, "1024, 8192", &vec![0; 1 << 25]);
    folder.save_npz("a.npz", &[("x", array)], true);
    let program = crate::support::program();
    let script = format!("ulimit -f 1000; trap '' XFSZ; exec {program} softmax a.npz --device cpu");
    let mut shell = std::process::Command::new("sh");
    let output = shell.arg("-c").arg(script).current_dir(folder.path("")).output().unwrap();
    crate::support::Run::new("a.npz", output).bad(1, &["a.npz", "no room", "TMPDIR"]);
    // With room there is no complaint.
    folder.cpu("softmax a.npz").good();
}
