//! Compilers that change a kernel's text as WGSL allows, and as the installed drivers do not.
//!
//! WGSL's accuracy rules (section "Floating Point Evaluation") let an implementation reassociate sums and products,
//! fuse a product with a sum or evaluate `fma` as both, flush denormals, and assume that no NaN and no infinity
//! occurs; `exp`, `log` and division have errors. Its memory model lets a store to a component of a vector write the
//! whole vector. Metal's and DirectX's compilers do several of these; llvmpipe and SwiftShader do none.
//!
//! A [`Compiler`] parses a text with naga, rewrites each function (`rewrite.rs`, `sums.rs`) and writes the module as
//! WGSL again. A sum is what one expression tree and its `let`s show: a rewriter sees no sum through a variable, a
//! call, `min`, `max`, `select` or a bit cast. The last four hide a sum from real compilers too.

mod helpers;
mod rewrite;
mod sums;

use naga::back::wgsl;

pub use sums::reals;

use super::mutants::mutated;
use super::texts::{capabilities, parsed};

/// The changes that a compiler makes to a text.
#[derive(Clone, Copy, Debug)]
pub struct Compiler {
    pub name: &'static str,
    /// Sums and products of three and more terms begin with this term (modulo their number), and go round.
    pub first_term: usize,
    pub products: Products,
    /// The direction of the errors of `exp`, `log` and divisions, which are as large as allowed.
    pub errors: Errors,
    /// Denormals are zero, as f16 in a word too: where they are loaded, and as results.
    pub flushes: bool,
    /// An infinity or NaN is replaced by some number.
    pub assumes_finite: bool,
}

/// The treatment of products in sums, and of `fma`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Products {
    /// All of them are rounded before they are added.
    Split,
    /// None of them are.
    Fused,
}

/// The sign of the errors.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Errors {
    Up,
    Down,
    /// By a bit of the argument, so that they do not cancel in quotients.
    Mixed,
}

/// The compilers. Every pair of a sum of three is added first by one of them.
pub const COMPILERS: [Compiler; 3] = [
    Compiler {
        name: "hostile 1",
        first_term: 0,
        products: Products::Split,
        errors: Errors::Up,
        flushes: true,
        assumes_finite: false,
    },
    Compiler {
        name: "hostile 2",
        first_term: 1,
        products: Products::Fused,
        errors: Errors::Down,
        flushes: false,
        assumes_finite: true,
    },
    Compiler {
        name: "hostile 3",
        first_term: 2,
        products: Products::Split,
        errors: Errors::Mixed,
        flushes: true,
        assumes_finite: true,
    },
];

/// The compilers as the library's hook takes them.
pub const EDITS: [fn(String) -> String; 3] = [
    |text| COMPILERS[0].compile(&mutated(text)),
    |text| COMPILERS[1].compile(&mutated(text)),
    |text| COMPILERS[2].compile(&mutated(text)),
];

impl Compiler {
    /// The text that this compiler makes of another.
    ///
    /// # Panics
    /// If naga does not accept either of them.
    pub fn compile(&self, text: &str) -> String {
        let whole = format!("{}\n{text}", helpers::text(self));
        let (mut module, info) = parsed(&whole);
        let helpers = helpers::handles(&module);
        let functions: Vec<_> = module.functions.iter().map(|(handle, _)| handle).collect();
        for handle in functions {
            if !helpers.contains(handle) {
                let rewritten = rewrite::function(
                    self,
                    &helpers,
                    &module,
                    &module.functions[handle],
                    &info[handle],
                );
                module.functions[handle] = rewritten;
            }
        }
        for number in 0..module.entry_points.len() {
            let old = &module.entry_points[number].function;
            let rewritten =
                rewrite::function(self, &helpers, &module, old, info.get_entry_point(number));
            module.entry_points[number].function = rewritten;
        }
        let mut validator =
            naga::valid::Validator::new(naga::valid::ValidationFlags::all(), capabilities());
        let info = validator
            .validate(&module)
            .unwrap_or_else(|error| panic!("{}: {error:?}\n{text}", self.name));
        wgsl::write_string(&module, &info, wgsl::WriterFlags::empty()).expect("WGSL")
    }
}
