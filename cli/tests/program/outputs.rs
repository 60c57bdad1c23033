//! Saved files: complete, in the right place, and with the permissions of any other file.

use crate::support::{Folder, LOGITS, close, exists, softmax};

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

    // Whatever the mask of new files is.
    let permissions = std::fs::Permissions::from_mode(0o666);
    std::fs::set_permissions(folder.path("p.npy"), permissions).unwrap();
    folder.cpu("softmax x.npy --save-output p.npy").good();
    assert_eq!(mode("p.npy"), 0o666);

    std::fs::create_dir(folder.path("real")).unwrap();
    folder.write("real/p.npy", "old");
    symlink("real/p.npy", folder.path("link.npy")).unwrap();
    folder.cpu("softmax x.npy --save-output link.npy").good();
    assert!(folder.path("link.npy").symlink_metadata().unwrap().is_symlink());
    assert_eq!(folder.load("real/p.npy"), folder.load("p.npy"));
    assert!(exists(&folder.path("link.npy")));
}

/// A result is written to the target of a link, whether that exists or not.
#[test]
#[cfg(unix)]
fn links_are_followed() {
    use std::os::unix::fs::symlink;
    let folder = Folder::with_logits();
    let link = |target: &str, name: &str| symlink(target, folder.path(name)).unwrap();
    std::fs::create_dir_all(folder.path("disk/deep")).unwrap();
    link("disk/deep", "folder");
    link("disk/a.npy", "relative.npy");
    link(folder.path("disk/b.npy").to_str().unwrap(), "absolute.npy");
    link("second.npy", "first.npy");
    link("disk/c.npy", "second.npy");
    // Relative to the folder that the link is in, not to the one that it is reached by.
    link("../d.npy", "disk/deep/up.npy");
    for (name, file) in [
        ("relative.npy", "disk/a.npy"),
        ("absolute.npy", "disk/b.npy"),
        ("first.npy", "disk/c.npy"),
        ("folder/up.npy", "disk/d.npy"),
    ] {
        // At first there is nothing; then there is the result.
        for _ in 0..2 {
            folder.cpu(&format!("softmax x.npy --save-output {name}")).good();
            assert!(folder.path(name).is_symlink(), "{name} is no link any more");
            assert!(!folder.path(file).is_symlink(), "{file} is a link");
            close(&folder.load(file).1, &softmax(&LOGITS, 4));
        }
    }
    assert_eq!(std::fs::read_dir(folder.path("disk")).unwrap().count(), 5);

    link("nowhere/p.npy", "lost.npy");
    link("ring.npy", "ring2.npy");
    link("ring2.npy", "ring.npy");
    let names = folder.names();
    let words = "softmax x.npy --save-output";
    folder.cpu(&format!("{words} lost.npy")).bad(1, &["lost.npy", "no such folder"]);
    folder.cpu(&format!("{words} ring.npy")).bad(1, &["ring.npy", "cannot be written"]);
    folder
        .cpu("nll x.npy t.npy --save-loss first.npy --save-grad disk/c.npy")
        .bad(2, &["disk/c.npy", "two results"]);
    assert_eq!(folder.names(), names);
}

/// The owner of a file that is replaced stays, or the file does. Only root can give files away: for
/// other users the test does nothing.
#[test]
#[cfg(unix)]
fn owners_are_kept() {
    use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
    use std::os::unix::process::CommandExt;
    const SOMEBODY: u32 = 12345;
    let folder = Folder::with_logits();
    folder.write("p.npy", "old");
    if chown(folder.path("p.npy"), Some(SOMEBODY), Some(SOMEBODY)).is_err() {
        return;
    }
    let permissions = |mode| std::fs::Permissions::from_mode(mode);
    std::fs::set_permissions(folder.path("p.npy"), permissions(0o664)).unwrap();
    let words = "softmax x.npy --device cpu --save-output p.npy";
    folder.run(words).good();
    let metadata = std::fs::metadata(folder.path("p.npy")).unwrap();
    assert_eq!((metadata.uid(), metadata.gid()), (SOMEBODY, SOMEBODY));
    assert_eq!(metadata.mode() & 0o777, 0o664);

    std::fs::set_permissions(folder.path(""), permissions(0o777)).unwrap();
    let before = std::fs::read(folder.path("p.npy")).unwrap();
    let mut command = folder.command(words);
    let output = command.uid(SOMEBODY + 1).gid(SOMEBODY + 1).output().unwrap();
    let said = ["p.npy", "cannot be written", "user 12345", "cannot be kept"];
    crate::support::Run::new(words, output).bad(1, &said);
    assert_eq!(std::fs::read(folder.path("p.npy")).unwrap(), before);
    assert_eq!(folder.names(), ["p.npy", "t.npy", "x.npy"]);
}

/// Bytes are on the disk before a file has its name, and the names before the program reports them. A library in front
/// of the system's records the calls, and the files under the names at that time.
#[test]
#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn results_are_on_the_disk() {
    use std::process::Command;
    const SOURCE: &str = r#"
        #define _GNU_SOURCE
        #include <dlfcn.h>
        #include <stdio.h>
        #include <stdlib.h>
        #include <unistd.h>
        int fsync(int file) {
            char link[64], name[4096];
            snprintf(link, sizeof link, "/proc/self/fd/%d", file);
            ssize_t length = readlink(link, name, sizeof name - 1);
            name[length < 0 ? 0 : length] = 0;
            FILE *log = fopen(getenv("SYNC_LOG"), "a");
            int named = (access("l.npy", F_OK) == 0) + (access("g.npy", F_OK) == 0);
            fprintf(log, "%s %d\n", name, named);
            fclose(log);
            return ((int (*)(int))dlsym(RTLD_NEXT, "fsync"))(file);
        }
    "#;
    let folder = Folder::with_logits();
    let tools = Folder::new();
    tools.write("sync.c", SOURCE);
    let library = tools.path("sync.so");
    let compiled = Command::new("cc")
        .args(["-shared", "-fPIC", "-o"])
        .arg(&library)
        .arg(tools.path("sync.c"))
        .arg("-ldl")
        .status();
    assert!(compiled.unwrap().success());
    let words = "cross-entropy x.npy t.npy --device cpu --save-loss l.npy --save-grad g.npy";
    let mut command = folder.command(words);
    command.env("LD_PRELOAD", &library).env("SYNC_LOG", tools.path("log"));
    crate::support::Run::new(words, command.output().unwrap()).good();
    let log = std::fs::read_to_string(tools.path("log")).unwrap();
    let calls: Vec<(&str, &str)> = log.lines().map(|line| line.rsplit_once(' ').unwrap()).collect();
    let files = calls.iter().filter(|(name, _)| name.ends_with(".tmp"));
    assert!(files.clone().all(|&(_, named)| named == "0"), "{log}");
    assert_eq!(files.count(), 2, "{log}");
    let place = std::fs::canonicalize(folder.path("")).unwrap();
    assert_eq!(calls.last(), Some(&(place.to_str().unwrap(), "2")), "{log}");
}
