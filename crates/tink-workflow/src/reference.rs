//! Image references, normalised as Docker does (`distribution/reference`: `ParseNormalizedNamed`).

use std::fmt;

use serde::{Deserialize, Serialize};

const DEFAULT_REGISTRY: &str = "docker.io";
const LEGACY_DEFAULT_REGISTRY: &str = "index.docker.io";
const OFFICIAL_PREFIX: &str = "library/";
const NAME_BYTES_MAX: usize = 255;
const TAG_BYTES_MAX: usize = 128;

/// Why a text is no image reference.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ImageRefError {
    /// Nothing there.
    #[error("it is empty")]
    Empty,
    /// 64 hex digits are an image id, which no registry can be asked for.
    #[error("it is a bare 64-digit image id, not a name")]
    BareId,
    /// Docker repositories are lower case.
    #[error("the repository {found:?} holds upper-case letters; repositories are lower case")]
    UpperCase {
        /// The repository.
        found: String,
    },
    /// The registry part is no host with an optional port.
    #[error("{found:?} is not a registry host with an optional port")]
    Registry {
        /// The registry part.
        found: String,
    },
    /// A path component breaks the grammar.
    #[error(
        "{found:?} is not a repository path component (a-z, 0-9, separated by one '.', one or two '_' or any number of '-')"
    )]
    Component {
        /// The component.
        found: String,
    },
    /// The tag breaks the grammar.
    #[error("{found:?} is not a tag (1 to 128 of A-Z, a-z, 0-9, '_', '.', '-', not starting with '.' or '-')")]
    Tag {
        /// The tag.
        found: String,
    },
    /// The digest breaks the grammar.
    #[error("{found:?} is not a digest such as sha256:<64 hex digits>")]
    Digest {
        /// The digest.
        found: String,
    },
    /// The repository name is too long.
    #[error("the name has {bytes} bytes; at most {NAME_BYTES_MAX} are allowed")]
    TooLong {
        /// Its length.
        bytes: usize,
    },
}

/// A normalised image reference: `alpine` is `docker.io/library/alpine:latest`.
///
/// ```
/// use tink_workflow::ImageRef;
/// let image = ImageRef::parse("quay.io:443/tinkerbell/actions/cexec:latest").unwrap();
/// assert_eq!(image.registry(), "quay.io:443");
/// assert_eq!(image.repository(), "tinkerbell/actions/cexec");
/// assert_eq!(ImageRef::parse("alpine").unwrap().to_string(), "docker.io/library/alpine:latest");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ImageRef {
    registry: String,
    repository: String,
    tag: Option<String>,
    digest: Option<String>,
}

impl ImageRef {
    /// Parses and normalises a reference. A reference without tag and digest gets the tag `latest`.
    ///
    /// # Errors
    /// [`ImageRefError`] names the part that breaks the grammar.
    pub fn parse(text: &str) -> Result<Self, ImageRefError> {
        if text.is_empty() {
            return Err(ImageRefError::Empty);
        }
        if text.len() == 64 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
            return Err(ImageRefError::BareId);
        }
        let (registry, rest) = split_registry(text);
        let (rest, digest) = match rest.split_once('@') {
            Some((rest, digest)) => (rest, Some(check_digest(digest)?)),
            None => (rest, None),
        };
        let (path, tag) = match rest.rsplit_once(':') {
            Some((path, tag)) => (path, Some(check_tag(tag)?)),
            None => (rest, None),
        };
        check_registry(&registry)?;
        if path.bytes().any(|b| b.is_ascii_uppercase()) {
            return Err(ImageRefError::UpperCase { found: path.to_owned() });
        }
        for component in path.split('/') {
            if !is_component(component) {
                return Err(ImageRefError::Component { found: component.to_owned() });
            }
        }
        let repository = if registry == DEFAULT_REGISTRY && !path.contains('/') {
            format!("{OFFICIAL_PREFIX}{path}")
        } else {
            path.to_owned()
        };
        let bytes = registry.len() + 1 + repository.len();
        if bytes > NAME_BYTES_MAX {
            return Err(ImageRefError::TooLong { bytes });
        }
        let tag = match (tag, &digest) {
            (None, None) => Some("latest".to_owned()),
            (tag, _) => tag,
        };
        Ok(Self { registry, repository, tag, digest })
    }

    /// The registry host with its port, `docker.io` for short names.
    #[must_use]
    pub fn registry(&self) -> &str {
        &self.registry
    }

    /// The repository inside the registry, `library/alpine` for `alpine`.
    #[must_use]
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// The tag; `None` only where a digest says more.
    #[must_use]
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The digest, if the reference pins one.
    #[must_use]
    pub fn digest(&self) -> Option<&str> {
        self.digest.as_deref()
    }

    /// What a registry is asked for: the digest where there is one, else the tag.
    #[must_use]
    pub fn version(&self) -> &str {
        self.digest.as_deref().or(self.tag.as_deref()).unwrap_or("latest")
    }

    /// The short form people write: `alpine:latest`, `quay.io/x/y:v1`.
    #[must_use]
    pub fn familiar(&self) -> String {
        let full = self.to_string();
        match full.strip_prefix("docker.io/") {
            Some(rest) => rest.strip_prefix(OFFICIAL_PREFIX).unwrap_or(rest).to_owned(),
            None => full,
        }
    }
}

impl fmt::Display for ImageRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.registry, self.repository)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        if let Some(digest) = &self.digest {
            write!(f, "@{digest}")?;
        }
        Ok(())
    }
}

impl TryFrom<String> for ImageRef {
    type Error = ImageRefError;
    fn try_from(text: String) -> Result<Self, ImageRefError> {
        Self::parse(&text)
    }
}

impl From<ImageRef> for String {
    fn from(image: ImageRef) -> String {
        image.to_string()
    }
}

/// The first component is a registry if it holds a dot or a colon, is `localhost` or holds upper-case letters.
fn split_registry(text: &str) -> (String, &str) {
    let (registry, rest) = match text.split_once('/') {
        Some((first, rest))
            if first.contains(['.', ':']) || first == "localhost" || first.bytes().any(|b| b.is_ascii_uppercase()) =>
        {
            (first, rest)
        }
        _ => (DEFAULT_REGISTRY, text),
    };
    let registry = if registry == LEGACY_DEFAULT_REGISTRY { DEFAULT_REGISTRY } else { registry };
    (registry.to_owned(), rest)
}

fn check_registry(registry: &str) -> Result<(), ImageRefError> {
    let bad = || ImageRefError::Registry { found: registry.to_owned() };
    let (host, port) = match registry.strip_prefix('[') {
        Some(rest) => {
            let (address, after) = rest.split_once(']').ok_or_else(bad)?;
            if address.is_empty() || !address.bytes().all(|b| b.is_ascii_hexdigit() || b == b':') {
                return Err(bad());
            }
            match after.strip_prefix(':') {
                Some(port) => (None, Some(port)),
                None if after.is_empty() => (None, None),
                None => return Err(bad()),
            }
        }
        None => match registry.split_once(':') {
            Some((host, port)) => (Some(host), Some(port)),
            None => (Some(registry), None),
        },
    };
    if port.is_some_and(|port| port.is_empty() || !port.bytes().all(|b| b.is_ascii_digit())) {
        return Err(bad());
    }
    let label = |l: &str| {
        !l.is_empty()
            && l.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !l.starts_with('-')
            && !l.ends_with('-')
    };
    match host {
        Some(host) if !host.split('.').all(label) => Err(bad()),
        _ => Ok(()),
    }
}

/// `alpha-numeric [separator alpha-numeric]*` with the separators `.`, `_`, `__` and any number of `-`.
fn is_component(text: &str) -> bool {
    let alnum = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let bytes = text.as_bytes();
    let (Some(first), Some(last)) = (bytes.first(), bytes.last()) else { return false };
    if !alnum(*first) || !alnum(*last) {
        return false;
    }
    let mut rest = bytes;
    while let Some(at) = rest.iter().position(|b| !alnum(*b)) {
        let length = rest[at..].iter().take_while(|b| !alnum(**b)).count();
        let separator = &rest[at..at + length];
        if !(separator == b"." || separator == b"_" || separator == b"__" || separator.iter().all(|b| *b == b'-')) {
            return false;
        }
        rest = &rest[at + length..];
    }
    true
}

fn check_tag(tag: &str) -> Result<String, ImageRefError> {
    let good = !tag.is_empty()
        && tag.len() <= TAG_BYTES_MAX
        && !tag.starts_with(['.', '-'])
        && tag.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-'));
    if good { Ok(tag.to_owned()) } else { Err(ImageRefError::Tag { found: tag.to_owned() }) }
}

fn check_digest(digest: &str) -> Result<String, ImageRefError> {
    let bad = || ImageRefError::Digest { found: digest.to_owned() };
    let (algorithm, hex) = digest.split_once(':').ok_or_else(bad)?;
    let digits = match algorithm {
        "sha256" => 64,
        "sha384" => 96,
        "sha512" => 128,
        _ => return Err(bad()),
    };
    if hex.len() == digits && hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
        Ok(digest.to_owned())
    } else {
        Err(bad())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn full(text: &str) -> String {
        ImageRef::parse(text).unwrap_or_else(|e| panic!("{text}: {e}")).to_string()
    }

    #[test]
    fn short_names_go_to_docker_hub() {
        assert_eq!(full("alpine"), "docker.io/library/alpine:latest");
        assert_eq!(full("bash:5"), "docker.io/library/bash:5");
        assert_eq!(full("tinkerbell/hub"), "docker.io/tinkerbell/hub:latest");
        assert_eq!(full("index.docker.io/alpine"), "docker.io/library/alpine:latest");
        assert_eq!(ImageRef::parse("docker.io/library/alpine:3").unwrap().familiar(), "alpine:3");
    }

    #[test]
    fn registries_are_told_by_dot_colon_or_localhost() {
        assert_eq!(full("localhost/tink-actions"), "localhost/tink-actions:latest");
        assert_eq!(full("127.0.0.1:5000/a/b:v1"), "127.0.0.1:5000/a/b:v1");
        assert_eq!(full("[::1]:5000/a"), "[::1]:5000/a:latest");
        assert_eq!(full("10.0.0.1/embedded/actions/cexec"), "10.0.0.1/embedded/actions/cexec:latest");
    }

    #[test]
    fn a_digest_stands_alone_or_beside_a_tag() {
        let digest = format!("sha256:{}", "a".repeat(64));
        assert_eq!(full(&format!("alpine@{digest}")), format!("docker.io/library/alpine@{digest}"));
        let both = ImageRef::parse(&format!("alpine:3@{digest}")).unwrap();
        assert_eq!((both.tag(), both.version()), (Some("3"), digest.as_str()));
    }

    #[test]
    fn what_docker_refuses_is_refused() {
        let id = "a".repeat(64);
        let long = format!("example.com/{}", "a/".repeat(130) + "a");
        for bad in [
            "",
            "Alpine",
            "a//b",
            "/a",
            "a/",
            "a:",
            "a:b:c",
            "-a",
            "a-",
            "a..b",
            "a___b",
            "a@sha256:12",
            "a@b",
            "http://a/b",
            "exa mple/a",
            "ä/b",
            "registry.io:x/a",
            "a:-tag",
            id.as_str(),
            long.as_str(),
        ] {
            assert!(ImageRef::parse(bad).is_err(), "{bad:?} was taken");
        }
    }

    #[test]
    fn separators_follow_the_grammar() {
        for good in ["a.b", "a_b", "a__b", "a---b", "0/1"] {
            assert!(ImageRef::parse(good).is_ok(), "{good:?} was refused");
        }
    }
}
