//! What is packed for other machines is complete.

use std::path::Path;

/// Each test file that needs a GPU is a module of the program that has all of them.
#[test]
fn every_gpu_test_is_packed() {
    for folder in ["tests", "cli/tests"] {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
        let packed = std::fs::read_to_string(folder.join("packed.rs")).unwrap();
        let mut found = 0;
        for entry in folder.read_dir().unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_none_or(|extension| extension != "rs") {
                continue;
            }
            let name = path.file_stem().unwrap().to_str().unwrap();
            let text = std::fs::read_to_string(&path).unwrap();
            if name.starts_with("gpu") || text.contains("\nuse support::gpus::") {
                let module = format!("\n#[path = \"{name}.rs\"]\nmod {name};\n");
                assert!(packed.contains(&module), "{}/packed.rs lacks {name}", folder.display());
                found += 1;
            }
        }
        assert!(found >= 9, "{found} files in {}", folder.display());
    }
}
