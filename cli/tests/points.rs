//! The losses of single elements: their numbers are PyTorch's, by the fixtures of the library's tests.

mod support;
