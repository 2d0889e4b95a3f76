//! What the shim tells its launcher: one JSON line each, over the shim's standard output.

use std::io::Write;

use serde::{Deserialize, Serialize};

use crate::failure::StartFailure;
use crate::process::ProcessId;
use crate::record::Record;

/// A line of the handshake: `Shim` first, then one of the others, then the end of the stream.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Message {
    /// The shim is up, and this is it.
    Shim(ProcessId),
    /// The container's program runs.
    Started(Box<Record>),
    /// It does not, and nothing of it is left but its state directory.
    Failed(StartFailure),
}

impl Message {
    /// Sends the message. Nobody may be listening any more (a launcher that died): that is no error of the container's.
    pub(crate) fn send(&self, to: &mut impl Write) {
        if let Ok(mut line) = serde_json::to_vec(self) {
            line.push(b'\n');
            let _ = to.write_all(&line);
        }
    }
}
