//! All devices are closed, and opened with other options.

use support::close::Judged;
use wgpu_loss_fuzz::draw::Draw;

use crate::call::Call;
use crate::devices::Devices;

/// Reopens the devices and makes a call.
pub fn step(devices: &mut Devices, bytes: &[u8]) -> Judged {
    devices.reopen();
    Call::small(&Draw::new(bytes)).check("reopened", &*devices.gpu)
}
