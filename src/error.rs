//! The errors, each with the given value and the wanted one.

use std::path::PathBuf;

/// Every error of this library.
///
/// Errors that the host can detect are returned before any GPU work is recorded; errors that only the device can detect
/// ([`Error::BadTargets`]) are returned with the results.
///
/// ```
/// use wgpu_loss::{Bce, CrossEntropy, Error, Inputs, Outputs, Tensor, reference};
///
/// let inputs = Inputs::new(Tensor::new(&[0.5; 6], &[2, 3])).labels(&[0u8, 7], &[2]);
/// match reference::run(&CrossEntropy::new(), &inputs, Outputs::loss()) {
///     Err(Error::BadTargets { first, value, .. }) => assert_eq!((first, value), (1, 7)),
///     other => panic!("{other:?}"),
/// }
///
/// let inputs = inputs.target(Tensor::new(&[0.0, 0.0, 1.5, 0.0, 1.0, 0.0], &[2, 3]));
/// let error = reference::run(&Bce::new(), &inputs, Outputs::loss()).unwrap_err();
/// assert_eq!(
///     error.to_string(),
///     "1 of 6 elements are out of range: the first is target 1.5 at position 2, expected a probability from 0 to 1"
/// );
/// ```
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The class axis does not exist in the input.
    #[error("class axis {axis} is out of range for an input of shape {shape:?}")]
    ClassAxis {
        /// The requested axis; negative counts from the end.
        axis: isize,
        /// The input's shape.
        shape: Vec<usize>,
    },

    /// A tensor's shape does not fit the others.
    #[error("{what} has shape {given:?}, expected {wanted:?}")]
    Shape {
        /// The tensor's name.
        what: &'static str,
        /// The tensor's shape.
        given: Vec<usize>,
        /// The shape that would fit.
        wanted: Vec<usize>,
    },

    /// A slice or buffer holds another number of elements than its shape has.
    #[error("{what} has {given} elements, but its shape {shape:?} needs {wanted}")]
    Length {
        /// The tensor's name.
        what: &'static str,
        /// The number of elements given.
        given: usize,
        /// The number of elements wanted.
        wanted: usize,
        /// The shape.
        shape: Vec<usize>,
    },

    /// The loss needs a target of another kind, or none at all.
    #[error("{loss} expects {wanted}, got {given}")]
    Target {
        /// The loss.
        loss: &'static str,
        /// The kind of target that was given.
        given: &'static str,
        /// The kinds of target that the loss takes.
        wanted: &'static str,
    },

    /// The value of an option is not allowed.
    #[error("{option} is {given}, but {wanted}")]
    Option {
        /// The option's name.
        option: &'static str,
        /// The option's value.
        given: String,
        /// The allowed values.
        wanted: &'static str,
    },

    /// Some labels are neither a class nor `ignore_index`.
    #[error(
        "{count} of {rows} labels are out of range: the first is {value}, at position {first}; \
         classes are 0 to {}, and ignore_index is {ignore_index}",
        *classes as i128 - 1
    )]
    BadTargets {
        /// The number of such labels.
        count: u64,
        /// The number of all labels.
        rows: u64,
        /// The flat index of the first bad label.
        first: u64,
        /// The value of the first bad label.
        value: i128,
        /// The number of classes.
        classes: usize,
        /// The label that excludes its row.
        ignore_index: i64,
    },

    /// A tensor's shape does not broadcast to the input's.
    #[error("{what} has shape {given:?}, which does not broadcast to the input's {input:?}")]
    Broadcast {
        /// The tensor's name.
        what: &'static str,
        /// The tensor's shape.
        given: Vec<usize>,
        /// The input's shape.
        input: Vec<usize>,
    },

    /// Tensors are broadcast along so many different axes that a plan cannot distinguish them. Calls on host data write
    /// such tensors out; other callers must do so beforehand.
    #[error(
        "the broadcast tensors divide the input's axes into {groups} groups, and at most three are supported: \
         expand one of them to the input's shape"
    )]
    Groups {
        /// The number of groups: neighbouring axes that the same tensors have form one.
        groups: usize,
    },

    /// A tensor is missing that the loss needs, or was given to a loss that does not take it.
    #[error("{loss} {} {operand}", if *.wanted { "needs" } else { "takes no" })]
    Operand {
        /// The loss.
        loss: &'static str,
        /// The tensor's name.
        operand: &'static str,
        /// True if the loss needs the tensor.
        wanted: bool,
    },

    /// Some elements have values that the loss is not defined for.
    #[error(
        "{count} of {of} elements are out of range: the first is {what} {value} at position {first}, \
         expected {wanted}"
    )]
    BadValues {
        /// The tensor of the first such element.
        what: &'static str,
        /// The number of such elements.
        count: u64,
        /// The number of all elements.
        of: u64,
        /// The flat index of the first such element in its tensor.
        first: u64,
        /// The value of the first such element.
        value: f32,
        /// The allowed values.
        wanted: &'static str,
    },

    /// A size is larger than the device allows.
    #[error("{what} needs {needed}, but the device's {limit} is {allowed}")]
    Limit {
        /// The thing that is too large.
        what: &'static str,
        /// The limit's name in `wgpu::Limits`.
        limit: &'static str,
        /// The size that is needed.
        needed: u64,
        /// The size that the device allows.
        allowed: u64,
    },

    /// A buffer is missing that the plan needs, or was given to a plan that does not use it.
    #[error("the plan {} a buffer for {what}", if *.needed { "needs" } else { "does not use" })]
    Binding {
        /// The buffer's name.
        what: &'static str,
        /// True if the plan needs the buffer.
        needed: bool,
    },

    /// A buffer range is too small, misaligned, or reaches past the buffer's end.
    #[error("{what}: the range {offset}..{end} of a buffer of {size} bytes {problem}")]
    Range {
        /// The buffer's name.
        what: &'static str,
        /// First byte of the range.
        offset: u64,
        /// First byte after the range.
        end: u64,
        /// The buffer's size in bytes.
        size: u64,
        /// The fault of the range.
        problem: String,
    },

    /// A buffer lacks a usage.
    #[error("{what}: the buffer lacks the usage {missing}")]
    Usage {
        /// The buffer's name.
        what: &'static str,
        /// The missing usage flag.
        missing: &'static str,
    },

    /// Two ranges that are written, or written and read, share bytes.
    #[error("{first} and {second} share bytes of one buffer")]
    Overlap {
        /// One of the ranges.
        first: &'static str,
        /// The other range.
        second: &'static str,
    },

    /// A plan was made for a device with a feature that this one was opened without.
    #[error("{what} needs the feature {feature}, which the device does not have")]
    Feature {
        /// The thing that needs the feature.
        what: &'static str,
        /// The feature's name in `wgpu::Features`.
        feature: &'static str,
    },

    /// No adapter matches.
    #[error("no GPU adapter {wanted}; {hint}")]
    NoAdapter {
        /// The adapters that were searched for.
        wanted: String,
        /// Advice on a remedy.
        hint: String,
    },

    /// The adapter returned no device.
    #[error("the adapter {adapter:?} could not open a device: {reason}")]
    NoDevice {
        /// The adapter's name.
        adapter: String,
        /// The driver's message.
        reason: String,
    },

    /// The folder of stored tunings cannot be written, or does not exist.
    #[error("the stored tuning {}: {reason}", .path.display())]
    Store {
        /// The file or folder.
        path: PathBuf,
        /// The reason of the failure.
        reason: String,
    },

    /// A call's memory budget is smaller than its smallest piece.
    #[error("a memory budget of {given} bytes is too small for {what}: {needed} are needed")]
    Budget {
        /// The thing that does not fit.
        what: &'static str,
        /// The smallest budget that is enough, in bytes.
        needed: u64,
        /// The budget, in bytes.
        given: u64,
    },

    /// The device has no memory left. It stays usable, and a smaller `GpuOptions::memory_budget` may succeed.
    #[error("the GPU is out of memory: {bytes} bytes were needed for {what}")]
    OutOfMemory {
        /// The purpose of the memory.
        what: &'static str,
        /// The size of the failed allocation in bytes; 0 if only wgpu knows it.
        bytes: u64,
    },

    /// Partials whose rows were computed in different ways do not add up.
    #[error(
        "partials of different calls cannot be merged: {what} is {given}, but was {wanted} before"
    )]
    Merge {
        /// The option, or the other property, that differs.
        what: String,
        /// Its value in the partial that was to be added.
        given: String,
        /// Its value in the partial to which it was to be added.
        wanted: String,
    },

    /// Bytes or text are not a partial, or are damaged.
    #[error("not a partial of this library: {reason}")]
    Partial {
        /// The fault that was found.
        reason: String,
    },

    /// A `Sink` could not store an output.
    #[error("{what} could not be written: {reason}")]
    Sink {
        /// The output that was written.
        what: &'static str,
        /// The reason of the failure.
        reason: String,
    },

    /// A `Sink` asked for the work to end.
    #[error("stopped")]
    Stopped,

    /// A blocking call in a browser, where blocking is not allowed.
    #[error("this call blocks, which browsers do not allow; use its async form")]
    Blocking,

    /// A second use of something that allows one at a time.
    #[error("{what} is already in progress")]
    Busy {
        /// The work in progress.
        what: &'static str,
    },

    /// The device is lost: destroyed by the host, removed, or given up by its driver. Nothing that was made on it works
    /// any more; a new device needs new [`Kernels`](crate::Kernels).
    #[error("the device was lost while {during}")]
    Lost {
        /// The work in progress when the loss was noticed.
        during: &'static str,
    },

    /// The device failed during its work. The reason is wgpu's message.
    #[error("the GPU failed while {during}: {reason}")]
    Device {
        /// The work in progress.
        during: &'static str,
        /// wgpu's message.
        reason: String,
    },
}
