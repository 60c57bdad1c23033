//! What can go wrong, said with what was given and what was wanted.

use std::path::PathBuf;

/// Everything this library refuses or fails at.
///
/// What the host can see is checked before any GPU work is recorded; what only the device can see
/// ([`Error::BadTargets`]) comes back with the results.
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
///     "1 of 6 elements are out of range: the first is target 1.5 at position 2, where a probability from 0 to 1 is wanted"
/// );
/// ```
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The class axis does not exist in the input.
    #[error("class axis {axis} is out of range for an input of shape {shape:?}")]
    ClassAxis {
        /// The axis asked for; negative counts from the end.
        axis: isize,
        /// The input's shape.
        shape: Vec<usize>,
    },

    /// A tensor's shape does not fit the others.
    #[error("{what} has shape {given:?}, but {wanted:?} was wanted")]
    Shape {
        /// Which tensor.
        what: &'static str,
        /// Its shape.
        given: Vec<usize>,
        /// The shape that would fit.
        wanted: Vec<usize>,
    },

    /// A slice or buffer holds another number of elements than its shape says.
    #[error("{what} holds {given} elements, but its shape {shape:?} wants {wanted}")]
    Length {
        /// Which tensor.
        what: &'static str,
        /// Elements given.
        given: usize,
        /// Elements wanted.
        wanted: usize,
        /// The shape.
        shape: Vec<usize>,
    },

    /// The loss needs a target of another kind, or none at all.
    #[error("{loss} takes {wanted}, but got {given}")]
    Target {
        /// The loss.
        loss: &'static str,
        /// What was given.
        given: &'static str,
        /// What it takes.
        wanted: &'static str,
    },

    /// An option has a value it cannot have.
    #[error("{option} is {given}, but {wanted}")]
    Option {
        /// The option's name.
        option: &'static str,
        /// Its value.
        given: String,
        /// What is allowed.
        wanted: &'static str,
    },

    /// Some labels are neither a class nor `ignore_index`.
    #[error(
        "{count} of {rows} labels are out of range: the first is {value}, at position {first}, \
         where classes run from 0 to {} and ignore_index is {ignore_index}",
        *classes as i128 - 1
    )]
    BadTargets {
        /// How many.
        count: u64,
        /// Of how many.
        rows: u64,
        /// The flat index of the first of them in the labels.
        first: u64,
        /// Its value.
        value: i128,
        /// The number of classes.
        classes: usize,
        /// The label that means "leave this row out".
        ignore_index: i64,
    },

    /// A tensor's shape does not broadcast to the input's.
    #[error("{what} has shape {given:?}, which does not broadcast to the input's {input:?}")]
    Broadcast {
        /// Which tensor.
        what: &'static str,
        /// Its shape.
        given: Vec<usize>,
        /// The input's shape.
        input: Vec<usize>,
    },

    /// Tensors are broadcast along so many different axes that a plan cannot tell them apart. Calls on
    /// host data write such tensors out; others have to do so beforehand.
    #[error(
        "the tensors that are broadcast divide the input's axes into {groups} groups, but a plan knows \
         three: expand one of them to the input's shape"
    )]
    Groups {
        /// Neighbouring axes that the same tensors have make a group.
        groups: usize,
    },

    /// A tensor was not given, though the loss needs it, or the other way round.
    #[error("{loss} {} {operand}", if *.wanted { "needs" } else { "takes no" })]
    Operand {
        /// The loss.
        loss: &'static str,
        /// The tensor.
        operand: &'static str,
        /// Whether the loss needs it.
        wanted: bool,
    },

    /// Some elements have values that the loss is not defined for.
    #[error(
        "{count} of {of} elements are out of range: the first is {what} {value} at position {first}, \
         where {wanted} is wanted"
    )]
    BadValues {
        /// The tensor of the first of them.
        what: &'static str,
        /// How many.
        count: u64,
        /// Of how many.
        of: u64,
        /// The flat index of the first of them in its tensor.
        first: u64,
        /// Its value.
        value: f32,
        /// What values may be.
        wanted: &'static str,
    },

    /// Something is larger than the device allows.
    #[error("{what} needs {needed}, but the device's {limit} is {allowed}")]
    Limit {
        /// What is too large.
        what: &'static str,
        /// The limit's name in `wgpu::Limits`.
        limit: &'static str,
        /// How much is needed.
        needed: u64,
        /// How much there is.
        allowed: u64,
    },

    /// A buffer was not given, though the plan needs it, or the other way round.
    #[error("the plan {} a buffer for {what}", if *.needed { "needs" } else { "has no use for" })]
    Binding {
        /// Which buffer.
        what: &'static str,
        /// Whether the plan needs it.
        needed: bool,
    },

    /// A buffer range is too small, misaligned, or reaches past the buffer's end.
    #[error("{what}: the range {offset}..{end} of a buffer of {size} bytes {problem}")]
    Range {
        /// Which buffer.
        what: &'static str,
        /// First byte of the range.
        offset: u64,
        /// First byte past it.
        end: u64,
        /// The buffer's size in bytes.
        size: u64,
        /// What is wrong with it.
        problem: String,
    },

    /// A buffer lacks a usage.
    #[error("{what}: the buffer lacks the usage {missing}")]
    Usage {
        /// Which buffer.
        what: &'static str,
        /// The missing usage flag.
        missing: &'static str,
    },

    /// Two ranges that are written, or written and read, share bytes.
    #[error("{first} and {second} share bytes of one buffer")]
    Overlap {
        /// One of them.
        first: &'static str,
        /// The other.
        second: &'static str,
    },

    /// A plan was made for a device with a feature that this one was opened without.
    #[error("{what} needs the feature {feature}, which the device was opened without")]
    Feature {
        /// What needs it.
        what: &'static str,
        /// The feature's name in `wgpu::Features`.
        feature: &'static str,
    },

    /// No adapter fits.
    #[error("no GPU adapter {wanted}; {hint}")]
    NoAdapter {
        /// What was looked for.
        wanted: String,
        /// What to do about it.
        hint: String,
    },

    /// The adapter gave no device.
    #[error("the adapter {adapter:?} gave no device: {reason}")]
    NoDevice {
        /// The adapter's name.
        adapter: String,
        /// What the driver said.
        reason: String,
    },

    /// The folder of stored tunings cannot be written, or there is none.
    #[error("the stored tuning {}: {reason}", .path.display())]
    Store {
        /// The file or folder.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },

    /// The memory that a call may take is too small for the least it could hold.
    #[error("a memory budget of {given} bytes is too small for {what}: {needed} are needed")]
    Budget {
        /// What does not fit.
        what: &'static str,
        /// The smallest budget that would do, in bytes.
        needed: u64,
        /// The budget, in bytes.
        given: u64,
    },

    /// The device has no memory left. It stays usable, and a smaller
    /// `GpuOptions::memory_budget` may do.
    #[error("the GPU is out of memory: {bytes} bytes were wanted for {what}")]
    OutOfMemory {
        /// What the memory was for.
        what: &'static str,
        /// How many bytes were wanted in this allocation; 0 where wgpu alone knows.
        bytes: u64,
    },

    /// A `Sink` could not take what was computed.
    #[error("{what} could not be written: {reason}")]
    Sink {
        /// What was written.
        what: &'static str,
        /// What went wrong.
        reason: String,
    },

    /// A `Sink` asked for the work to end.
    #[error("stopped")]
    Stopped,

    /// A call that blocks, in a browser, where nobody may.
    #[error("this call blocks, which a browser does not allow; its async form does not")]
    Blocking,

    /// Something can be done once at a time, and is being done.
    #[error("{what} is under way already")]
    Busy {
        /// What is being done.
        what: &'static str,
    },

    /// The device is lost: destroyed by the host, taken out, or given up by its driver. Nothing that was made
    /// on it works any more; a new device needs new [`Kernels`](crate::Kernels).
    #[error("the device was lost; noticed while {during}")]
    Lost {
        /// What was going on when it was noticed.
        during: &'static str,
    },

    /// The device failed while it worked, with what wgpu reported.
    #[error("the GPU failed while {during}: {reason}")]
    Device {
        /// What it was doing.
        during: &'static str,
        /// What wgpu reported.
        reason: String,
    },
}
