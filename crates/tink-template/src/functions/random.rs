//! Random bytes of the operating system, for salts and keys.

use crate::exec::Fault;

/// Fills the buffer.
pub(super) fn fill(buffer: &mut [u8]) -> Result<(), Fault> {
    getrandom::fill(buffer).map_err(|fault| Fault::new(format!("the system gives no random bytes: {fault}")))
}
