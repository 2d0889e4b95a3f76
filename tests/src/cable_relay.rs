//! The program in the middle of a [`Cable`](crate::Cable).

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io::Read as _;
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use nix::sys::socket::{
    AddressFamily, LinkAddr, MsgFlags, SockFlag, SockProtocol, SockType, bind, recvfrom, send, socket,
};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::cable::Faults;
use crate::crash::Dice;

/// The type of a packet that we sent ourselves (`PACKET_OUTGOING`).
const OUTGOING: u8 = 4;
const FRAME_BYTES_MAX: usize = 70_000;
/// Packets on their way at most; more are lost, as in any queue.
const QUEUE_MAX: usize = 10_000;

/// What `tink-e2e-cable LEFT RIGHT SEED` does, until its standard input ends: lines set [`Faults`] or ask for `counts`.
///
/// # Errors
/// When a device cannot be opened.
pub fn relay(left: &str, right: &str, seed: u64) -> Result<()> {
    let sockets = [open(left)?, open(right)?];
    let mut relay = Relay {
        sockets,
        faults: Faults::default(),
        dice: Dice::new(seed),
        queue: BinaryHeap::new(),
        sent: 0,
        counts: [0; 5],
    };
    eprintln!("joined {left} {right}, seed {seed}");
    relay.run()
}

fn open(device: &str) -> Result<OwnedFd> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let socket = socket(AddressFamily::Packet, SockType::Raw, flags, SockProtocol::EthAll)
        .context("failed to open a packet socket")?;
    let mut all = nix::ifaddrs::getifaddrs().context("failed to list the devices")?;
    let address = all.find_map(|found| {
        let address = found.address.filter(|_| found.interface_name == device)?;
        address.as_link_addr().copied()
    });
    let address: LinkAddr = address.with_context(|| format!("there is no device {device}"))?;
    bind(socket.as_raw_fd(), &address).with_context(|| format!("failed to listen on {device}"))?;
    Ok(socket)
}

/// A packet on its way.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Packet {
    due: Instant,
    /// In which order it came.
    number: u64,
    to: usize,
    frame: Vec<u8>,
}

struct Relay {
    sockets: [OwnedFd; 2],
    faults: Faults,
    dice: Dice,
    /// The next one first.
    queue: BinaryHeap<Reverse<Packet>>,
    sent: u64,
    counts: [u64; 5],
}

impl Relay {
    fn run(&mut self) -> Result<()> {
        let mut orders = Vec::new();
        loop {
            let wait = self.queue.peek().map(|Reverse(packet)| packet.due.saturating_duration_since(Instant::now()));
            let limit = wait.and_then(|wait| Timespec::try_from(wait).ok());
            let stdin = std::io::stdin();
            let mut fds = [
                PollFd::from_borrowed_fd(self.sockets[0].as_fd(), PollFlags::IN),
                PollFd::from_borrowed_fd(self.sockets[1].as_fd(), PollFlags::IN),
                PollFd::from_borrowed_fd(stdin.as_fd(), PollFlags::IN),
            ];
            rustix::io::retry_on_intr(|| poll(&mut fds, limit.as_ref())).context("failed to wait")?;
            let [left, right, has_orders] = [0, 1, 2].map(|nth| !fds[nth].revents().is_empty());
            if has_orders && !self.read_orders(&mut orders)? {
                return Ok(());
            }
            for (side, ready) in [left, right].into_iter().enumerate() {
                if ready {
                    self.take(side);
                }
            }
            self.send_due();
        }
    }

    /// `false` at the end of the orders.
    fn read_orders(&mut self, pending: &mut Vec<u8>) -> Result<bool> {
        let mut buffer = [0; 512];
        let read = std::io::stdin().lock().read(&mut buffer).context("failed to read orders")?;
        pending.extend_from_slice(buffer.get(..read).unwrap_or_default());
        while let Some(end) = pending.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = pending.drain(..=end).collect();
            let line = String::from_utf8_lossy(&line).trim().to_owned();
            if line == "counts" {
                let [passed, lost, doubled, damaged, reset] = self.counts;
                eprintln!("counts {passed} {lost} {doubled} {damaged} {reset}");
            } else if let Some(faults) = Faults::from_line(&line) {
                self.faults = faults;
                eprintln!("now {line}");
            } else {
                bail!("not an order: {line}");
            }
        }
        Ok(read > 0)
    }

    /// Takes everything that came in on a side.
    fn take(&mut self, side: usize) {
        let mut buffer = vec![0; FRAME_BYTES_MAX];
        while let Ok((length, from)) = recvfrom::<LinkAddr>(self.sockets[side].as_raw_fd(), &mut buffer) {
            if from.is_some_and(|from| from.pkttype() == OUTGOING) {
                continue;
            }
            self.pass_on(1 - side, buffer.get(..length).unwrap_or_default().to_vec());
        }
    }

    fn pass_on(&mut self, to: usize, mut frame: Vec<u8>) {
        let faults = self.faults;
        if faults.blackhole || self.dice.percent(faults.loss) || self.queue.len() >= QUEUE_MAX {
            self.counts[1] += 1;
            return;
        }
        // What comes from a local sender has no checksum yet: its device is believed to add it.
        fill_checksum(&mut frame);
        if self.dice.percent(faults.reset)
            && let Some((back, on)) = resets(&frame)
        {
            self.counts[4] += 1;
            self.enqueue(1 - to, back, Duration::ZERO);
            self.enqueue(to, on, Duration::ZERO);
            return;
        }
        if self.dice.percent(faults.duplicate) {
            self.counts[2] += 1;
            let delay = self.delay();
            self.enqueue(to, frame.clone(), delay);
        }
        if frame.len() > 54 && self.dice.percent(faults.corrupt) {
            self.counts[3] += 1;
            let at = 34 + usize::try_from(self.dice.below(frame.len() as u64 - 34)).unwrap_or(0);
            if let Some(byte) = frame.get_mut(at) {
                *byte ^= 0x55;
            }
        }
        let delay = self.delay();
        self.enqueue(to, frame, delay);
    }

    fn delay(&mut self) -> Duration {
        let by_chance = self.dice.below(self.faults.delay_ms + 1);
        Duration::from_millis(if self.faults.delay_ms == 0 { 0 } else { self.faults.delay_ms + by_chance })
    }

    fn enqueue(&mut self, to: usize, frame: Vec<u8>, delay: Duration) {
        self.sent += 1;
        self.queue.push(Reverse(Packet { due: Instant::now() + delay, number: self.sent, to, frame }));
    }

    fn send_due(&mut self) {
        while let Some(Reverse(packet)) = self.queue.peek()
            && packet.due <= Instant::now()
        {
            let Some(Reverse(Packet { to, frame, .. })) = self.queue.pop() else { return };
            match send(self.sockets[to].as_raw_fd(), &frame, MsgFlags::empty()) {
                Ok(_) => self.counts[0] += 1,
                Err(_) => self.counts[1] += 1,
            }
        }
    }
}

/// Where the TCP header of an IPv4 frame begins, and the end of its segment.
fn tcp_of(frame: &[u8]) -> Option<(usize, usize)> {
    if frame.get(12..14)? != [0x08, 0x00] || *frame.get(23)? != 6 {
        return None;
    }
    let start = 14 + usize::from(frame.get(14)? & 0x0f) * 4;
    let end = 14 + usize::from(u16::from_be_bytes([*frame.get(16)?, *frame.get(17)?]));
    (start + 20 <= end && end <= frame.len()).then_some((start, end))
}

fn fill_checksum(frame: &mut [u8]) {
    let Some((start, end)) = tcp_of(frame) else { return };
    frame[start + 16..start + 18].fill(0);
    let length = u32::try_from(end - start).unwrap_or(0);
    let mut sum = 6 + length;
    for pair in frame[26..34].chunks(2).chain(frame[start..end].chunks(2)) {
        sum += u32::from(u16::from_be_bytes([pair[0], pair.get(1).copied().unwrap_or(0)]));
    }
    let folded = folded(sum);
    frame[start + 16..start + 18].copy_from_slice(&folded.to_be_bytes());
}

fn folded(mut sum: u32) -> u16 {
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).unwrap_or(0)
}

/// Resets of a segment's connection: one for its sender, one for its receiver. None for a segment that is no part of an
/// open connection.
fn resets(frame: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    const ACK: u8 = 0x10;
    const RST: u8 = 0x04;
    let (start, _) = tcp_of(frame)?;
    let flags = *frame.get(start + 13)?;
    if flags & ACK == 0 || flags & RST != 0 {
        return None;
    }
    let (sequence, acknowledged) = (frame.get(start + 4..start + 8)?, frame.get(start + 8..start + 12)?);
    let mut on = frame.get(..start + 20)?.to_vec();
    on[16..18].copy_from_slice(&u16::try_from(start + 20 - 14).ok()?.to_be_bytes());
    on[start + 12] = 5 << 4;
    on[start + 13] = RST | ACK;
    let mut back = on.clone();
    back[..6].copy_from_slice(&frame[6..12]);
    back[6..12].copy_from_slice(&frame[..6]);
    back[26..30].copy_from_slice(&frame[30..34]);
    back[30..34].copy_from_slice(&frame[26..30]);
    back[start..start + 2].copy_from_slice(&frame[start + 2..start + 4]);
    back[start + 2..start + 4].copy_from_slice(&frame[start..start + 2]);
    back[start + 4..start + 8].copy_from_slice(acknowledged);
    back[start + 8..start + 12].copy_from_slice(sequence);
    for reset in [&mut on, &mut back] {
        reset[24..26].fill(0);
        let header: u32 =
            reset[14..start].chunks(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]]))).sum();
        let sum = folded(header);
        reset[24..26].copy_from_slice(&sum.to_be_bytes());
        fill_checksum(reset);
    }
    Some((back, on))
}
