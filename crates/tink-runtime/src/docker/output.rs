//! The bytes a container writes, as the daemon sends them.
//!
//! Read here and not through the client library: that one keeps a terminal's output back until a newline comes, however
//! long that takes and however much it is, and trusts the lengths in the frames.

use std::path::Path;

use bytes::{Buf as _, Bytes, BytesMut};
use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tokio::task::JoinSet;

use super::call::{Failure, FailureKind, SHORT};
use crate::OutputStream;

/// Stream type, three zeros, length.
const HEADER_BYTES: usize = 8;
const ERROR_BYTES_MAX: usize = 64 * 1024;

/// An open stream of output. Dropped, it is closed.
#[derive(Debug)]
pub(super) struct Output {
    body: Incoming,
    frames: Frames,
    /// The connection's task; it ends with this.
    _connection: JoinSet<()>,
}

impl Output {
    /// Asks the daemon for a stream, within half a minute.
    pub(super) async fn open(socket: &Path, method: Method, target: &str, tty: bool) -> Result<Self, Failure> {
        match tokio::time::timeout(SHORT, Self::request(socket, method, target, tty)).await {
            Ok(opened) => opened,
            Err(_) => Err(Failure::unreachable(format!("docker did not answer within {} s", SHORT.as_secs()))),
        }
    }

    async fn request(socket: &Path, method: Method, target: &str, tty: bool) -> Result<Self, Failure> {
        let stream = UnixStream::connect(socket)
            .await
            .map_err(|error| Failure::unreachable(format!("cannot connect to {}: {error}", socket.display())))?;
        let lost = |error: hyper::Error| Failure::unreachable(format!("the connection to docker broke: {error}"));
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(lost)?;
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            // Its errors arrive at the body, too.
            connection.await.ok();
        });
        let request = Request::builder()
            .method(method)
            .uri(target)
            .header(header::HOST, "docker")
            .body(Empty::<Bytes>::new())
            .map_err(|error| Failure::unreachable(format!("cannot ask docker for {target}: {error}")))?;
        let response = sender.send_request(request).await.map_err(lost)?;
        if response.status() != StatusCode::OK {
            let status = response.status().as_u16();
            let text = Limited::new(response.into_body(), ERROR_BYTES_MAX).collect().await;
            let text = text.map(http_body_util::Collected::to_bytes).unwrap_or_default();
            return Err(Failure { kind: FailureKind::Status(status), message: error_message(&text) });
        }
        let frames = Frames { buffer: BytesMut::new(), raw: tty, current: None };
        Ok(Self { body: response.into_body(), frames, _connection: tasks })
    }

    /// The next bytes; `None` at the end. A dropped call loses nothing.
    pub(super) async fn next(&mut self) -> Result<Option<(OutputStream, Bytes)>, Failure> {
        loop {
            if let Some(piece) = self.frames.next()? {
                return Ok(Some(piece));
            }
            match self.body.frame().await {
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        self.frames.buffer.extend_from_slice(&data);
                    }
                }
                Some(Err(error)) => {
                    return Err(Failure::unreachable(format!("the connection to docker broke: {error}")));
                }
                None if self.is_between_frames() => return Ok(None),
                None => return Err(Failure::unreachable("docker ended the output in the middle of a frame")),
            }
        }
    }

    /// Whether what [`Output::next`] gave last was the end of a frame.
    pub(super) fn is_between_frames(&self) -> bool {
        self.frames.is_between_frames()
    }
}

/// `{"message": "…"}`, or whatever it is.
fn error_message(body: &[u8]) -> String {
    #[derive(serde::Deserialize)]
    struct Message {
        message: String,
    }
    match serde_json::from_slice::<Message>(body) {
        Ok(Message { message }) => message.trim_end().to_owned(),
        Err(_) => String::from_utf8_lossy(body).trim_end().to_owned(),
    }
}

/// Takes the daemon's frames apart. A payload is handed on as it comes: no frame is kept until it is complete.
#[derive(Debug)]
struct Frames {
    buffer: BytesMut,
    /// A terminal has one stream and no frames.
    raw: bool,
    /// The frame under way, and how much of it is still to come.
    current: Option<(Source, usize)>,
}

#[derive(Clone, Copy, Debug)]
enum Source {
    Container(OutputStream),
    /// The daemon itself has something to say of the stream.
    Daemon,
}

impl Frames {
    fn is_between_frames(&self) -> bool {
        if self.raw { self.buffer.is_empty() } else { self.current.is_none_or(|(_, left)| left == 0) }
    }

    fn next(&mut self) -> Result<Option<(OutputStream, Bytes)>, Failure> {
        if self.raw {
            let piece = self.buffer.split().freeze();
            return Ok(if piece.is_empty() { None } else { Some((OutputStream::Stdout, piece)) });
        }
        loop {
            let Some((source, left)) = self.current else {
                if self.buffer.len() < HEADER_BYTES {
                    return Ok(None);
                }
                self.current = Some(self.header()?);
                continue;
            };
            if left == 0 {
                self.current = None;
                continue;
            }
            if self.buffer.is_empty() {
                return Ok(None);
            }
            let piece = self.buffer.split_to(left.min(self.buffer.len())).freeze();
            self.current = Some((source, left - piece.len()));
            return match source {
                Source::Container(stream) => Ok(Some((stream, piece))),
                Source::Daemon => {
                    Err(Failure { kind: FailureKind::InStream, message: String::from_utf8_lossy(&piece).into_owned() })
                }
            };
        }
    }

    fn header(&mut self) -> Result<(Source, usize), Failure> {
        let kind = self.buffer.get_u32() >> 24;
        let length = usize::try_from(self.buffer.get_u32()).unwrap_or(usize::MAX);
        let source = match kind {
            0 | 1 => Source::Container(OutputStream::Stdout),
            2 => Source::Container(OutputStream::Stderr),
            3 => Source::Daemon,
            other => return Err(Failure::unreachable(format!("docker sent output of an unknown stream {other}"))),
        };
        Ok((source, length))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames(raw: bool) -> Frames {
        Frames { buffer: BytesMut::new(), raw, current: None }
    }

    fn all(frames: &mut Frames) -> Vec<(OutputStream, Vec<u8>)> {
        let mut pieces = Vec::new();
        while let Some((stream, piece)) = frames.next().unwrap() {
            pieces.push((stream, piece.to_vec()));
        }
        pieces
    }

    #[test]
    fn streams_are_told_apart() {
        let mut frames = frames(false);
        frames.buffer.extend_from_slice(b"\x01\0\0\0\0\0\0\x03out\x02\0\0\0\0\0\0\x03err");
        assert_eq!(
            all(&mut frames),
            [(OutputStream::Stdout, b"out".to_vec()), (OutputStream::Stderr, b"err".to_vec()),]
        );
        assert_eq!(frames.next().unwrap(), None);
        assert!(frames.buffer.is_empty());
    }

    #[test]
    fn a_frame_comes_in_any_chunks() {
        let bytes = b"\x01\0\0\0\0\0\0\x05hello\x01\0\0\0\0\0\0\0\x02\0\0\0\0\0\0\x01x";
        let mut frames = frames(false);
        let mut text = Vec::new();
        for byte in bytes {
            frames.buffer.extend_from_slice(&[*byte]);
            text.extend(all(&mut frames).into_iter().flat_map(|(_, piece)| piece));
        }
        assert_eq!(text, b"hellox");
    }

    #[test]
    fn a_giant_frame_is_not_kept() {
        let mut frames = frames(false);
        frames.buffer.extend_from_slice(b"\x01\0\0\0\xff\xff\xff\xffabc");
        assert_eq!(all(&mut frames), [(OutputStream::Stdout, b"abc".to_vec())]);
        assert!(frames.buffer.is_empty());
        assert!(!frames.is_between_frames());
    }

    #[test]
    fn a_terminal_has_no_frames() {
        let mut frames = frames(true);
        frames.buffer.extend_from_slice(b"\x01\0\0\0\0\0\0\x05\r10 %");
        assert_eq!(all(&mut frames), [(OutputStream::Stdout, b"\x01\0\0\0\0\0\0\x05\r10 %".to_vec())]);
    }

    #[test]
    fn what_the_daemon_says_of_the_stream_is_an_error() {
        let mut frames = frames(false);
        frames.buffer.extend_from_slice(b"\x03\0\0\0\0\0\0\x04oops");
        assert_eq!(frames.next().unwrap_err().message, "oops");
        frames.current = None;
        frames.buffer.extend_from_slice(b"\x09\0\0\0\0\0\0\x04oops");
        assert!(frames.next().is_err());
    }

    #[test]
    fn an_answer_that_is_no_json_is_its_own_message() {
        assert_eq!(error_message(b"{\"message\":\"no such container\"}\n"), "no such container");
        assert_eq!(error_message(b"bad gateway\n"), "bad gateway");
    }
}
