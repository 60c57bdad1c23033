//! The program as a person or a script starts it. `gpu` needs a device, the others none.

mod support;

mod damaged;
mod errors;
mod extras;
mod family;
mod files;
mod generate;
mod hostile;
mod inspect;
mod interrupted;
mod large;
mod outputs;
mod pages;
mod progress;
mod report;
mod shards;
mod values;

/// Fails where there is no adapter.
mod gpu {
    mod any_size;
    mod bench;
    mod checks;
    mod damaged;
    mod diagnose;
    mod extras;
    mod family;
    mod inspect;
    mod interrupted;
    mod pages;
    mod shards;
    mod tune;
    mod types;
}
