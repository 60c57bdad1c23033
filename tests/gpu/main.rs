//! Results of devices, compared with the reference and with PyTorch's numbers. A test hands its devices and their
//! pipelines to a later one ([`support::gpus`]).

mod devices;
mod doc_examples;
mod edge_cases;
mod examples;
mod extras;
mod few_launches;
mod finite_path;
mod fixtures;
mod hostile_compilers;
mod invariance;
mod large;
mod multi;
mod overflow;
mod partial;
mod pieces;
mod pointwise;
mod pointwise_edge_cases;
mod pointwise_pieces;
mod properties;
mod shards;
mod sizes;
mod stored_tunings;
mod stream;
mod threads;
mod tuning;
mod types;
