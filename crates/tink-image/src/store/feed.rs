//! From the asynchronous network to the blocking unpacker, through a bounded channel.

use std::io::{self, BufRead, Read};

use bytes::{Buf as _, Bytes};
use tokio::sync::mpsc::{Receiver, Sender, channel};

use crate::unpack::SourceAborted;

/// Pieces on their way to one unpacker at most; each is at most what one read of the connection gives.
const PIECES: usize = 8;
/// And to all unpackers of one pull: more layers at a time are no reason to hold more in memory.
const PIECES_OF_ALL: usize = 32;

/// The sending side gives bytes, then says that this was all.
pub(super) enum Piece {
    Data(Bytes),
    End,
}

/// How many pieces may wait for each of so many unpackers: two at least, so that one is there while the other comes.
pub(super) fn pieces_for_each(unpackers: usize) -> usize {
    (PIECES_OF_ALL / unpackers.max(1)).clamp(2, PIECES)
}

pub(super) fn feed(pieces: usize) -> (Sender<Piece>, Feed) {
    let (sender, receiver) = channel(pieces);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_layers_hold_no_more_in_memory_than_few() {
        assert_eq!([0, 1, 4, 8, 16, 200].map(pieces_for_each), [8, 8, 8, 4, 2, 2]);
    }
}
