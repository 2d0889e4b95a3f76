//! Bringing up the loopback interface of a new network namespace, by one netlink message.

use rustix::io::Errno;
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, bind, recv, sendto, socket_with};

/// `RTM_NEWLINK` of rtnetlink(7): change an interface.
const NEW_LINK: u16 = 16;
/// `NLM_F_REQUEST | NLM_F_ACK` of netlink(7).
const REQUEST_WITH_ANSWER: u16 = 0x1 | 0x4;
/// `IFF_UP` of netdevice(7).
const UP: u32 = 0x1;
/// The loopback interface is the first of every network namespace.
const LOOPBACK_INDEX: u32 = 1;
/// Bytes of `nlmsghdr` and `ifinfomsg` together.
const MESSAGE_BYTES: u32 = 32;

/// Sets the interface up; the kernel gives it its addresses.
pub(super) fn up() -> std::io::Result<()> {
    // Protocol 0 is routing, NETLINK_ROUTE.
    let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, None)?;
    let kernel = SocketAddrNetlink::new(0, 0);
    bind(&socket, &kernel)?;
    let mut message = Vec::with_capacity(32);
    message.extend(MESSAGE_BYTES.to_ne_bytes());
    message.extend(NEW_LINK.to_ne_bytes());
    message.extend(REQUEST_WITH_ANSWER.to_ne_bytes());
    message.extend([0; 8]); // sequence and sender: there is one message and one answer
    message.extend([0; 4]); // address family and interface type: any
    message.extend(LOOPBACK_INDEX.to_ne_bytes());
    message.extend(UP.to_ne_bytes()); // the flags
    message.extend(UP.to_ne_bytes()); // which of them change
    sendto(&socket, &message, SendFlags::empty(), &kernel)?;
    let mut answer = [0_u8; 128];
    recv(&socket, &mut answer, RecvFlags::empty())?;
    // The answer's header is followed by a negative error number, or by zero.
    let code = answer.get(16..20).and_then(|bytes| bytes.try_into().ok()).map(i32::from_ne_bytes);
    match code {
        Some(0) => Ok(()),
        Some(code) => Err(std::io::Error::from_raw_os_error(-code)),
        None => Err(Errno::BADMSG.into()),
    }
}
