//! The few calls of Docker's API, over its socket.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use serde_json::Value;

use crate::ActionError;

const SOCKET: &str = "/var/run/docker.sock";
/// For everything but a pull.
const DEADLINE: Duration = Duration::from_secs(120);
/// A registry that sends nothing for so long is given up.
const PULL_DEADLINE: Duration = Duration::from_secs(3600);
/// Of an answer; the progress of a pull is the longest.
const ANSWER_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// An engine that answers.
pub(super) struct Docker {
    /// `/v1.41`: what the engine has at most.
    version: String,
}

struct Answer {
    status: u16,
    body: Vec<u8>,
}

impl Docker {
    /// Asks the engine for its version.
    pub(super) fn connect() -> Result<Self, ActionError> {
        let unversioned = Self { version: String::new() };
        let answer = unversioned.call("reach", "GET", "/version", None, DEADLINE)?;
        let version = answer.json().get("ApiVersion").and_then(Value::as_str).map(|version| format!("/v{version}"));
        Ok(Self { version: version.unwrap_or_default() })
    }

    /// Whether the image is there; an engine that cannot say so is asked to pull it.
    pub(super) fn has_image(&self, image: &str) -> Result<bool, ActionError> {
        Ok(self.call("look for an image in", "GET", &format!("/images/{image}/json"), None, DEADLINE)?.status == 200)
    }

    /// Pulls the image.
    pub(super) fn pull(&self, image: &str) -> Result<(), ActionError> {
        // A tag, a digest, or neither: without one all tags would be pulled.
        let named = image.rsplit('/').next().unwrap_or(image);
        let tag = if named.contains([':', '@']) { "" } else { "&tag=latest" };
        let path = format!("/images/create?fromImage={}{tag}", encoded(image));
        let answer =
            self.call("pull an image with", "POST", &path, None, PULL_DEADLINE)?.succeeded("pull an image with")?;
        // Once it has begun to answer, the engine says in the text that it failed.
        let failure = answer
            .body
            .split(|byte| *byte == b'\n')
            .find_map(|line| serde_json::from_slice::<Value>(line).ok()?.get("error")?.as_str().map(str::to_owned));
        failure.map_or(Ok(()), |reason| Err(ActionError::Engine { doing: "pull an image with", reason }))
    }

    /// What the engine says of the container we run in, whose id Docker makes the host's name.
    pub(super) fn own_container(&self) -> Result<Value, ActionError> {
        let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
        let doing = "find our own container in";
        Ok(self.call(doing, "GET", &format!("/containers/{host}/json"), None, DEADLINE)?.succeeded(doing)?.json())
    }

    /// Creates a container and starts it.
    pub(super) fn run(&self, container: &Value) -> Result<(), ActionError> {
        let doing = "create a container with";
        let created =
            self.call(doing, "POST", "/containers/create", Some(container), DEADLINE)?.succeeded(doing)?.json();
        let id = created.get("Id").and_then(Value::as_str).unwrap_or_default();
        let doing = "start a container with";
        self.call(doing, "POST", &format!("/containers/{id}/start"), None, DEADLINE)?.succeeded(doing).map(drop)
    }

    fn call(
        &self,
        doing: &'static str,
        method: &str,
        path: &str,
        body: Option<&Value>,
        deadline: Duration,
    ) -> Result<Answer, ActionError> {
        let failed = |error: std::io::Error| ActionError::Engine { doing, reason: error.to_string() };
        let mut stream = UnixStream::connect(SOCKET).map_err(failed)?;
        stream
            .set_read_timeout(Some(deadline))
            .and_then(|()| stream.set_write_timeout(Some(DEADLINE)))
            .map_err(failed)?;
        let body = body.map(Value::to_string).unwrap_or_default();
        let version = &self.version;
        let request = format!(
            "{method} {version}{path} HTTP/1.1\r\nHost: docker\r\nConnection: close\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(request.as_bytes()).map_err(failed)?;
        read_answer(&mut BufReader::new(stream.take(ANSWER_BYTES_MAX))).map_err(failed)
    }
}

impl Answer {
    /// An error with the engine's own words, unless it did what it was asked.
    fn succeeded(self, doing: &'static str) -> Result<Self, ActionError> {
        if matches!(self.status, 200..=204 | 304) {
            return Ok(self);
        }
        let said = self.json().get("message").and_then(Value::as_str).map(str::to_owned);
        let reason = said.unwrap_or_else(|| format!("it answered with status {}", self.status));
        Err(ActionError::Engine { doing, reason })
    }

    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

/// Reads status, headers and body. The connection is closed after it.
fn read_answer(from: &mut impl BufRead) -> std::io::Result<Answer> {
    let malformed = || std::io::Error::from(std::io::ErrorKind::InvalidData);
    let mut line = String::new();
    from.read_line(&mut line)?;
    let status = line.split_ascii_whitespace().nth(1).and_then(|status| status.parse().ok()).ok_or_else(malformed)?;
    let (mut chunked, mut length) = (false, None);
    loop {
        line.clear();
        if from.read_line(&mut line)? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        match name.to_ascii_lowercase().as_str() {
            "transfer-encoding" => chunked = value.trim().eq_ignore_ascii_case("chunked"),
            "content-length" => length = Some(value.trim().parse::<u64>().map_err(|_| malformed())?),
            _ => {}
        }
    }
    let mut body = Vec::new();
    match (chunked, length) {
        (true, _) => read_chunks(from, &mut body)?,
        (false, Some(length)) => {
            if from.take(length).read_to_end(&mut body)? as u64 != length {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
        }
        (false, None) => drop(from.read_to_end(&mut body)?),
    }
    Ok(Answer { status, body })
}

fn read_chunks(from: &mut impl BufRead, body: &mut Vec<u8>) -> std::io::Result<()> {
    loop {
        let mut line = String::new();
        from.read_line(&mut line)?;
        let size = line.trim().split(';').next().unwrap_or_default();
        let size = u64::from_str_radix(size, 16).map_err(|_| std::io::Error::from(std::io::ErrorKind::InvalidData))?;
        if size == 0 {
            return Ok(());
        }
        if from.take(size).read_to_end(body)? as u64 != size {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        line.clear();
        from.read_line(&mut line)?;
    }
}

/// For a query: everything but what may stand in one unchanged.
fn encoded(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'/');
    text.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> std::io::Result<(u16, String)> {
        let answer = read_answer(&mut text.as_bytes())?;
        Ok((answer.status, String::from_utf8(answer.body).unwrap()))
    }

    #[test]
    fn bodies_come_whole_in_chunks_or_to_the_end() {
        let head = "HTTP/1.1 200 OK\r\nX: y\r\n";
        assert_eq!(read(&format!("{head}Content-Length: 2\r\n\r\nok")).unwrap(), (200, "ok".to_owned()));
        let chunked = format!("{head}Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n1;x=y\r\nd\r\n0\r\n\r\n");
        assert_eq!(read(&chunked).unwrap(), (200, "abcd".to_owned()));
        assert_eq!(read("HTTP/1.1 404 Not Found\r\n\r\ntext").unwrap(), (404, "text".to_owned()));
    }

    #[test]
    fn an_answer_that_breaks_off_is_an_error() {
        for text in [
            "",
            "nonsense",
            "HTTP/1.1 200 OK\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab",
            "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        ] {
            assert!(read(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn an_engines_words_are_the_error() {
        let answer = |status| Answer { status, body: br#"{"message":"no such image"}"#.to_vec() };
        assert!(answer(204).succeeded("x").is_ok());
        let error = answer(404).succeeded("start a container with").err().unwrap();
        assert_eq!(
            error.to_string(),
            "failed to start a container with the engine at /var/run/docker.sock: no such image"
        );
    }

    #[test]
    fn names_are_encoded() {
        assert_eq!(encoded("127.0.0.1:5000/a@sha256:0"), "127.0.0.1%3A5000/a%40sha256%3A0");
    }
}
