//! What several test programs share.

// Each program uses a part of it.
#![allow(dead_code)]

pub mod answer;
pub mod bound_points;
pub mod close;
pub mod contractions;
pub mod data;
pub mod embedded;
pub mod extras;
pub mod fixtures;
pub mod fixtures_extras;
pub mod fixtures_pointwise;
pub mod fixtures_softmax;
pub mod floats;
pub mod frame;
pub mod gpus;
pub mod hostile;
pub mod hurts;
pub mod labels;
pub mod places;
pub mod points;
pub mod random;
pub mod recorder;
pub mod records;
pub mod rounding;
pub mod rounding_row;
pub mod specs;
pub mod subgroups;
pub mod texts;
pub mod tunings;
