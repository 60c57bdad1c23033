//! Damaged archives on a GPU.

use crate::support::damaged;

#[test]
fn an_array_in_every_role() {
    damaged::in_every_role("gpu");
}

#[test]
fn an_array_that_is_read_in_pieces() {
    damaged::in_pieces("gpu");
}
