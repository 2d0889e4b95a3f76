//! A name server that can be moody.

use std::net::{Ipv4Addr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::NetNs;

/// How it answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Answers {
    /// Every name has the one address.
    Right = 0,
    /// SERVFAIL.
    Failure = 1,
    /// NXDOMAIN.
    NoSuchName = 2,
    /// Not at all.
    Silence = 3,
}

/// Answers on port 53 of loopback of a namespace. Stopped when dropped.
#[derive(Debug)]
pub struct NameServer {
    answers: Arc<AtomicU8>,
    asked: Arc<AtomicU64>,
}

const STOPPED: u8 = u8::MAX;

impl NameServer {
    /// Starts it.
    ///
    /// # Errors
    /// When the port is taken.
    pub fn start(netns: &NetNs, address: Ipv4Addr) -> Result<Self> {
        let socket = netns.inside(|| UdpSocket::bind("127.0.0.1:53").context("failed to listen on port 53"))?;
        socket.set_read_timeout(Some(Duration::from_millis(200)))?;
        let (answers, asked) = (Arc::new(AtomicU8::new(0)), Arc::new(AtomicU64::new(0)));
        let server = Self { answers: Arc::clone(&answers), asked: Arc::clone(&asked) };
        thread::spawn(move || {
            let mut buffer = [0; 512];
            while answers.load(Ordering::SeqCst) != STOPPED {
                let Ok((length, client)) = socket.recv_from(&mut buffer) else { continue };
                asked.fetch_add(1, Ordering::SeqCst);
                let mood = answers.load(Ordering::SeqCst);
                if mood != Answers::Silence as u8
                    && let Some(answer) = answer(buffer.get(..length).unwrap_or_default(), mood, address)
                {
                    let _ = socket.send_to(&answer, client);
                }
            }
        });
        Ok(server)
    }

    /// Answers so from now on.
    pub fn answer(&self, answers: Answers) {
        self.answers.store(answers as u8, Ordering::SeqCst);
    }

    /// Questions so far.
    #[must_use]
    pub fn asked(&self) -> u64 {
        self.asked.load(Ordering::SeqCst)
    }
}

impl Drop for NameServer {
    fn drop(&mut self) {
        self.answers.store(STOPPED, Ordering::SeqCst);
    }
}

/// The answer to a question (RFC 1035): an address record for a question of type A, no record for others.
fn answer(question: &[u8], mood: u8, address: Ipv4Addr) -> Option<Vec<u8>> {
    let mut end = 12;
    while *question.get(end)? != 0 {
        end += usize::from(*question.get(end)?) + 1;
    }
    let asked = question.get(12..end + 5)?;
    let is_address = question.get(end + 1..end + 3)? == [0, 1];
    let has_record = mood == Answers::Right as u8 && is_address;
    let code = match mood {
        1 => 2,
        2 => 3,
        _ => 0,
    };
    let mut answer = question.get(..2)?.to_vec();
    answer.extend([0x81, 0x80 | code, 0, 1, 0, u8::from(has_record), 0, 0, 0, 0]);
    answer.extend_from_slice(asked);
    if has_record {
        // The name is the one asked for; the record lives for no second, so that nobody remembers it.
        answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4]);
        answer.extend(address.octets());
    }
    Some(answer)
}
