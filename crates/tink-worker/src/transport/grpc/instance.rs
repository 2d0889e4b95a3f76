//! Which process of a worker calls.

use std::sync::{Mutex, PoisonError};

use tonic::Request;
use tonic::metadata::{Ascii, MetadataMap, MetadataValue};
use tracing::{info, warn};

/// What the process is called, in the metadata of every call.
const SENT: &str = "tink-worker-instance";
/// Who has the action that this process does not get, in the metadata of an answer.
const HEARD: &str = "tink-held-by";

/// How long an action stays with a process that is not heard of, in the metadata of an answer that brings one.
const LEASE: &str = "tink-lease-seconds";

/// The lease that an answer speaks of, in seconds; 0 where it speaks of none.
pub(super) fn lease_s(answer: &MetadataMap) -> u64 {
    answer.get(LEASE).and_then(|value| value.to_str().ok()).and_then(|text| text.parse().ok()).unwrap_or(0)
}

/// The name of this process, and what the server says of another one with the same worker id.
#[derive(Debug, Default)]
pub(super) struct Instance {
    name: Option<MetadataValue<Ascii>>,
    beside: Mutex<Option<String>>,
}

impl Instance {
    /// An empty name, or one that cannot be sent, is none.
    pub(super) fn new(name: &str) -> Self {
        let name = Some(name).filter(|name| !name.is_empty()).and_then(|name| name.parse().ok());
        Self { name, beside: Mutex::default() }
    }

    /// A request that says who sends it.
    pub(super) fn sign<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        if let Some(name) = &self.name {
            request.metadata_mut().insert(SENT, name.clone());
        }
        request
    }

    /// Takes in an answer to a request for work: the metadata of a "nothing", or none with an action. A change is logged.
    pub(super) fn hear(&self, nothing: Option<&MetadataMap>) {
        let now = nothing.and_then(|metadata| metadata.get(HEARD)).and_then(|value| value.to_str().ok());
        let mut beside = self.beside.lock().unwrap_or_else(PoisonError::into_inner);
        match (now, beside.is_some()) {
            (Some(holder), false) => warn!(
                holder,
                "another process calls itself this worker and has an action; this one gets no work before that one is \
                 gone: give each machine an id of its own"
            ),
            (None, true) => info!("no other process of this worker has an action any more"),
            _ => {}
        }
        *beside = now.map(str::to_owned);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_is_sent_where_there_is_one() {
        let sent =
            |name: &str| Instance::new(name).sign(()).metadata().get(SENT).map(|v| v.to_str().unwrap().to_owned());
        assert_eq!(sent("0a1b").as_deref(), Some("0a1b"));
        assert_eq!(sent(""), None);
        assert_eq!(sent("a\nb"), None);
    }

    #[test]
    fn the_other_process_is_remembered_until_it_is_gone() {
        let instance = Instance::new("a");
        let mut metadata = MetadataMap::new();
        metadata.insert(HEARD, "instance b".parse().unwrap());
        instance.hear(Some(&metadata));
        assert_eq!(instance.beside.lock().unwrap().as_deref(), Some("instance b"));
        instance.hear(Some(&MetadataMap::new()));
        assert_eq!(*instance.beside.lock().unwrap(), None);
    }
}
