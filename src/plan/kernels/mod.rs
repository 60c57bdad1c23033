//! What the plan knows of each kernel.

pub(super) mod columns;
pub(super) mod folding;
pub(super) mod rows;
