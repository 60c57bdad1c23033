//! WGSL from the files of `shaders/`, and their few directives beyond WGSL:
//!
//! - `import folder::file;` includes a file, once.
//! - `@if(A && !B)` stands before what is there where a condition holds: a declaration, a member, a parameter, a
//!   statement, or several of them in braces, which are left out. `@elif(C)` and `@else` may follow. A comment directly
//!   above goes with it.
//! - `@for(x in LIST)` repeats what it stands before for each member of a list; what it declares inside a function needs
//!   braces of its own.
//! - `{x}`, `{x.field}` are replaced by a text.
//!
//! The conditions are those of WESL, which keeps the braces, and has no loops.

mod assembly;
mod condition;
mod file;
mod value;

pub(super) use assembly::assembled;
#[cfg(test)]
use assembly::assembled_from;
pub use assembly::{Asked, Assembly};
pub(super) use value::{Names, Value};
