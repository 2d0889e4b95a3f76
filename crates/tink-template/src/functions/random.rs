//! Random bytes of the operating system, for salts and keys.

use ring::rand::{SecureRandom as _, SystemRandom};

use crate::exec::Fault;

/// Fills the buffer.
pub(super) fn fill(buffer: &mut [u8]) -> Result<(), Fault> {
    SystemRandom::new().fill(buffer).map_err(|_| Fault::new("the system gives no random bytes"))
}
