//! The oldest Rust that is promised compiles what is published. Clippy knows since when there is a function
//! (`incompatible_msrv`); of the language, editions aside, nothing but a compiler of that age knows. What such a one has
//! found is looked for here.

use std::path::Path;

use syn::visit::{self, Visit};
use syn::{BinOp, Expr, ExprBinary};

/// Chains of `let` in conditions, which Rust 1.88 brought.
#[derive(Default)]
struct LetChains(usize);

impl<'ast> Visit<'ast> for LetChains {
    fn visit_expr_binary(&mut self, binary: &'ast ExprBinary) {
        let is_let = |side: &Expr| matches!(side, Expr::Let(_));
        if matches!(binary.op, BinOp::And(_)) && (is_let(&binary.left) || is_let(&binary.right)) {
            self.0 += 1;
        }
        visit::visit_expr_binary(self, binary);
    }
}

fn let_chains(text: &str) -> usize {
    let mut found = LetChains::default();
    found.visit_file(&syn::parse_file(text).expect("Rust"));
    found.0
}

fn check(folder: &Path, checked: &mut usize) {
    for entry in folder.read_dir().expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            check(&path, checked);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = std::fs::read_to_string(&path).expect("a file");
            assert_eq!(let_chains(&text), 0, "{} has chains of `let`", path.display());
            *checked += 1;
        }
    }
}

#[test]
fn no_source_has_chains_of_let() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let promised = std::fs::read_to_string(root.join("Cargo.toml")).expect("a manifest");
    assert!(promised.contains("\nrust-version = \"1.87\"\n"), "is the rule still needed?");
    let mut checked = 0;
    for folder in ["src", "cli/src", "integrations/mpi/src", "integrations/web/src"] {
        check(&root.join(folder), &mut checked);
    }
    assert!(checked > 150, "{checked} files");
}

#[test]
fn chains_of_let_are_found() {
    let found = |condition: &str| let_chains(&format!("fn f() {{ {condition} {{}} }}"));
    assert_eq!(found("if let Some(x) = a && x > 0"), 1);
    assert_eq!(found("while b && let Some(x) = a && let Some(y) = c"), 2);
    assert_eq!(found("if let Some(x) = a"), 0);
    assert_eq!(found("if a && b"), 0);
}
