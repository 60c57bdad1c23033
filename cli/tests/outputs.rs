//! Saved files: complete, in the right place, and as accessible as any other.

mod support;

use support::{Folder, LOGITS, close, exists, softmax};

#[test]
fn an_input_may_be_replaced() {
    let folder = Folder::with_logits();
    folder.cpu("softmax x.npy --save-output x.npy").good();
    let (shape, probs) = folder.load("x.npy");
    assert_eq!(shape, [4, 4]);
    close(&probs, &softmax(&LOGITS, 4));
    assert_eq!(folder.names(), ["t.npy", "x.npy"]);
}

#[test]
fn other_folders() {
    let folder = Folder::with_logits();
    std::fs::create_dir(folder.path("out")).unwrap();
    folder.cpu("softmax x.npy --save-output out/p.npy").good();
    let absolute = folder.path("q.NPY");
    folder.cpu(&format!("softmax x.npy --save-output {}", absolute.display())).good();
    assert_eq!(folder.load("out/p.npy"), folder.load("q.NPY"));
    assert_eq!(folder.names(), ["out", "q.NPY", "t.npy", "x.npy"]);
}

#[test]
#[cfg(unix)]
fn modes_and_links_are_kept() {
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
    let folder = Folder::with_logits();
    let mode = |name: &str| std::fs::metadata(folder.path(name)).unwrap().mode() & 0o777;
    // A new file is as readable as any that is made here.
    folder.cpu("softmax x.npy --save-output p.npy").good();
    assert_eq!(mode("p.npy"), mode("x.npy"));
    let permissions = std::fs::Permissions::from_mode(0o640);
    std::fs::set_permissions(folder.path("p.npy"), permissions).unwrap();
    folder.cpu("softmax x.npy --save-output p.npy").good();
    assert_eq!(mode("p.npy"), 0o640);

    std::fs::create_dir(folder.path("real")).unwrap();
    folder.write("real/p.npy", "old");
    symlink("real/p.npy", folder.path("link.npy")).unwrap();
    folder.cpu("softmax x.npy --save-output link.npy").good();
    assert!(folder.path("link.npy").symlink_metadata().unwrap().is_symlink());
    assert_eq!(folder.load("real/p.npy"), folder.load("p.npy"));
    assert!(exists(&folder.path("link.npy")));
}
