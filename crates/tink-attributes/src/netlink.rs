//! As much of generic netlink as it takes to ask the kernel a question: one request, one answer.

use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::io::{Errno, Result};
use rustix::net::netlink::{self, SocketAddrNetlink};
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, sendto, socket_with};

/// The kernel answers at once, or an answer was lost.
const PATIENCE: Duration = Duration::from_secs(2);
/// Answers are a few kilobytes; names of features make up most of it.
const ANSWER_BYTES_MAX: usize = 256 * 1024;

const HEADER_BYTES: usize = 16;
const GENERIC_HEADER_BYTES: usize = 4;
const REQUEST: u16 = 1;
const ERROR: u16 = 2;
const CONTROLLER: u16 = 0x10;
const GET_FAMILY: u8 = 3;
const FAMILY_ID: u16 = 1;
const FAMILY_NAME: u16 = 2;
/// The upper bits of an attribute's type are flags.
const TYPE_MASK: u16 = 0x3fff;
pub(crate) const NESTED: u16 = 0x8000;

/// A family of the kernel's, spoken to.
pub(crate) struct Family {
    socket: OwnedFd,
    id: u16,
    sequence: u32,
}

impl Family {
    pub(crate) fn open(name: &str) -> Result<Self> {
        let flags = SocketFlags::CLOEXEC;
        let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, Some(netlink::GENERIC))?;
        set_socket_timeout(&socket, Timeout::Recv, Some(PATIENCE))?;
        let mut controller = Self { socket, id: CONTROLLER, sequence: 0 };
        let mut text = name.as_bytes().to_vec();
        text.push(0);
        let answer = controller.ask(GET_FAMILY, &attribute(FAMILY_NAME, &text))?;
        let id = find(&answer, FAMILY_ID).and_then(|bytes| Some(u16::from_ne_bytes(bytes.get(..2)?.try_into().ok()?)));
        controller.id = id.ok_or(Errno::PROTO)?;
        Ok(controller)
    }

    /// Sends a command with these attributes; the attributes of the answer.
    pub(crate) fn ask(&mut self, command: u8, attributes: &[u8]) -> Result<Vec<u8>> {
        self.sequence = self.sequence.wrapping_add(1);
        let length = HEADER_BYTES + GENERIC_HEADER_BYTES + attributes.len();
        let mut message = Vec::with_capacity(length);
        message.extend(u32::try_from(length).map_err(|_| Errno::MSGSIZE)?.to_ne_bytes());
        message.extend(self.id.to_ne_bytes());
        message.extend(REQUEST.to_ne_bytes());
        message.extend(self.sequence.to_ne_bytes());
        message.extend(0_u32.to_ne_bytes());
        message.extend([command, 1, 0, 0]);
        message.extend(attributes);
        sendto(&self.socket, &message, SendFlags::empty(), &SocketAddrNetlink::new(0, 0))?;
        let mut buffer = vec![0; ANSWER_BYTES_MAX];
        // What was sent before and answered too late is skipped.
        for _ in 0..16 {
            let (length, _) = recv(&self.socket, buffer.as_mut_slice(), RecvFlags::empty())?;
            let message = buffer.get(..length).unwrap_or_default();
            if number(message, 8) == Some(self.sequence) {
                return answer(message);
            }
        }
        Err(Errno::PROTO)
    }
}

fn answer(message: &[u8]) -> Result<Vec<u8>> {
    let kind = message.get(4..6).and_then(|bytes| Some(u16::from_ne_bytes(bytes.try_into().ok()?)));
    if kind == Some(ERROR) {
        let code = number(message, HEADER_BYTES).unwrap_or(0).cast_signed();
        return Err(Errno::from_raw_os_error(code.wrapping_neg().max(1)));
    }
    let length = number(message, 0).and_then(|length| usize::try_from(length).ok()).unwrap_or(0);
    let attributes = message.get(HEADER_BYTES + GENERIC_HEADER_BYTES..length.min(message.len()));
    attributes.map(<[u8]>::to_vec).ok_or(Errno::PROTO)
}

pub(crate) fn number(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at.checked_add(4)?)?.try_into().ok()?))
}

/// An attribute as it is sent, padded.
pub(crate) fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(4 + value.len()).unwrap_or(u16::MAX);
    let mut bytes = [length.to_ne_bytes(), kind.to_ne_bytes()].concat();
    bytes.extend(value);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

/// The attributes in some bytes, in order; what is cut off or damaged ends them.
pub(crate) fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let length = usize::from(u16::from_ne_bytes(bytes.get(..2)?.try_into().ok()?));
        let kind = u16::from_ne_bytes(bytes.get(2..4)?.try_into().ok()?) & TYPE_MASK;
        let value = bytes.get(4..length)?;
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, value))
    })
}

/// The first attribute of a kind.
pub(crate) fn find(bytes: &[u8], wanted: u16) -> Option<&[u8]> {
    attributes(bytes).find(|(kind, _)| *kind == wanted).map(|(_, value)| value)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn attributes_are_padded_and_found() {
        let bytes = [attribute(1, b"abc"), attribute(2 | NESTED, &attribute(7, b"x"))].concat();
        assert_eq!(bytes.len() % 4, 0);
        assert_eq!(find(&bytes, 1), Some(&b"abc"[..]));
        assert_eq!(find(&bytes, 2).and_then(|nested| find(nested, 7)), Some(&b"x"[..]));
        assert_eq!(find(&bytes, 3), None);
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            let _ = attributes(&bytes).count();
            let _ = answer(&bytes);
        }
    }
}
