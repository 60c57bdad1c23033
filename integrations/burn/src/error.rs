//! Errors of the losses.

/// The reason why a loss cannot be computed.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The tensors' device is not one of Burn's wgpu backend.
    #[error("the tensors are on {device}: wgpu-loss-burn works on Burn's wgpu backend")]
    Backend {
        /// The device.
        device: String,
    },

    /// The device is not attached, and Burn does not say which wgpu queue it has.
    #[error(
        "{device} is not attached: open it with wgpu_loss_burn::init, or call wgpu_loss_burn::attach \
         with the handles it runs on"
    )]
    Unattached {
        /// The device.
        device: String,
    },

    /// The tensors of a call are on several devices.
    #[error("{what} is on {given}, but the input is on {wanted}")]
    Device {
        /// The tensor.
        what: &'static str,
        /// Its device.
        given: String,
        /// The input's.
        wanted: String,
    },

    /// A tensor has elements that the kernels do not read.
    #[error("{what} has elements of type {given}, expected {wanted}")]
    ElementType {
        /// The tensor.
        what: &'static str,
        /// Its type.
        given: String,
        /// Those that are read.
        wanted: &'static str,
    },

    /// Burn has no buffer for a tensor, for example because the work that was to write it failed.
    #[error("Burn hands out no buffer: {reason}")]
    Buffer {
        /// Burn's message.
        reason: String,
    },

    /// An error of the library, or of the device.
    #[error(transparent)]
    Loss(#[from] wgpu_loss::Error),
}
