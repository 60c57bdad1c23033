//! The library in a host's hands: the host's device, buffers and passes, its mistakes and its lost devices.

mod cookbook;
mod device_failures;
mod host_pipeline;
mod no_allocation;
mod rebinding;
