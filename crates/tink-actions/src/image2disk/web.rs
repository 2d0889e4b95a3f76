//! The bytes that a web server sends, read as from a file.

use std::io;

use bytes::{Buf as _, Bytes};
use http::{HeaderMap, StatusCode};
use tink_image::{WebAnswer, WebClient, WebError};
use tokio::runtime::Runtime;

/// One URL on a web server. The thread that reads does all the work.
pub struct Web {
    answer: Option<WebAnswer>,
    /// What came and was not read yet.
    piece: Bytes,
    client: WebClient,
    // Dropped last: connections end with it.
    runtime: Runtime,
}

impl Web {
    /// Dials nothing yet.
    pub fn new(client: WebClient) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        Ok(Self { answer: None, piece: Bytes::new(), client, runtime })
    }

    /// Asks for the URL; what came of the answer before is dropped.
    pub fn ask(&mut self, url: &str, headers: &HeaderMap) -> Result<(StatusCode, HeaderMap), WebError> {
        (self.answer, self.piece) = (None, Bytes::new());
        let answer = self.runtime.block_on(self.client.get(url, headers))?;
        let head = (answer.status, answer.headers.clone());
        self.answer = Some(answer);
        Ok(head)
    }

    /// Reads; 0 is the end of the answer.
    pub fn read(&mut self, buffer: &mut [u8]) -> Result<usize, WebError> {
        let piece = self.piece()?;
        let length = buffer.len().min(piece.len());
        piece.copy_to_slice(&mut buffer[..length]);
        Ok(length)
    }

    /// Leaves out at most `bytes`, as many as have come; 0 is the end of the answer.
    pub fn skip(&mut self, bytes: u64) -> Result<u64, WebError> {
        let piece = self.piece()?;
        let length = usize::try_from(bytes).map_or(piece.len(), |bytes| bytes.min(piece.len()));
        piece.advance(length);
        Ok(length as u64)
    }

    /// What can be read now; empty at the end.
    fn piece(&mut self) -> Result<&mut Bytes, WebError> {
        if self.piece.is_empty()
            && let Some(answer) = &mut self.answer
        {
            self.piece = self.runtime.block_on(answer.next())?.unwrap_or_default();
        }
        Ok(&mut self.piece)
    }
}
