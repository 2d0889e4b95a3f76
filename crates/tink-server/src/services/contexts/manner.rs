//! How a worker wants to be told where its workflows stand.

use tonic::metadata::MetadataMap;

/// The metadata of a call that says it: `held` or `now`.
const KEY: &str = "tink-contexts";

/// What a call for contexts asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Manner {
    /// States as they are, RUNNING included. Upstream's workers draw the wrong conclusion from that one.
    pub exact: bool,
    /// Whether the call may be held while there is no work. One that may not is no request for work but a look.
    pub waits: bool,
}

impl Manner {
    /// Reads a call's metadata; without any it is one of upstream's workers.
    pub fn of(metadata: &MetadataMap) -> Self {
        match metadata.get(KEY).map(|value| value.as_bytes()) {
            Some(b"now") => Self { exact: true, waits: false },
            Some(_) => Self { exact: true, waits: true },
            None => Self { exact: false, waits: true },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_without_metadata_is_one_of_upstreams_workers() {
        let of = |value: Option<&'static str>| {
            let mut metadata = MetadataMap::new();
            if let Some(value) = value {
                metadata.insert(KEY, value.parse().unwrap());
            }
            let manner = Manner::of(&metadata);
            (manner.exact, manner.waits)
        };
        assert_eq!(of(None), (false, true));
        assert_eq!(of(Some("held")), (true, true));
        assert_eq!(of(Some("now")), (true, false));
        assert_eq!(of(Some("later")), (true, true));
    }
}
