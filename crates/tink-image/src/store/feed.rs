//! From the asynchronous network to the blocking unpacker, through a bounded channel.

use std::io::{self, BufRead, Read};

use bytes::{Buf as _, Bytes};
use tokio::sync::mpsc::{Receiver, Sender, channel};

use crate::unpack::SourceAborted;

/// Pieces on their way; each is at most what one read of the connection gives.
const PIECES: usize = 8;

/// The sending side gives bytes, then says that this was all.
pub(super) enum Piece {
    Data(Bytes),
    End,
}

pub(super) fn feed() -> (Sender<Piece>, Feed) {
    let (sender, receiver) = channel(PIECES);
    (sender, Feed { receiver, current: Bytes::new(), ended: false })
}

/// The reading side, for a thread that may block.
pub(super) struct Feed {
    receiver: Receiver<Piece>,
    current: Bytes,
    ended: bool,
}

impl BufRead for Feed {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        while self.current.is_empty() && !self.ended {
            match self.receiver.blocking_recv() {
                Some(Piece::Data(data)) => self.current = data,
                Some(Piece::End) => self.ended = true,
                // Whoever sent is gone without a word: this is no end of the data.
                None => return Err(io::Error::other(SourceAborted)),
            }
        }
        Ok(&self.current)
    }

    fn consume(&mut self, amount: usize) {
        self.current.advance(amount);
    }
}

impl Read for Feed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let have = self.fill_buf()?;
        let n = have.len().min(buffer.len());
        buffer[..n].copy_from_slice(&have[..n]);
        self.consume(n);
        Ok(n)
    }
}
