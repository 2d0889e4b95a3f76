//! What tells one version of a file on a server from another, so that two are never joined.

use http::HeaderMap;
use http::header::{CONTENT_LENGTH, CONTENT_RANGE, ETAG, LAST_MODIFIED};

/// A version of a file, as far as the server tells.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Version {
    /// Bytes in all.
    pub total: Option<u64>,
    tag: Option<String>,
    modified: Option<String>,
}

impl Version {
    /// Of what is known by its length alone.
    pub fn of_length(total: u64) -> Self {
        Self { total: Some(total), ..Self::default() }
    }

    /// Of an answer that holds the whole file.
    pub fn of_whole(headers: &HeaderMap) -> Self {
        let total = text(headers, CONTENT_LENGTH).and_then(|length| length.parse().ok());
        Self { total, ..Self::of_any(headers) }
    }

    /// Of an answer that holds a range, and where the range begins.
    pub fn of_range(headers: &HeaderMap) -> Option<(Self, u64)> {
        let (range, total) = text(headers, CONTENT_RANGE)?.strip_prefix("bytes ")?.split_once('/')?;
        let begin = range.split_once('-')?.0.trim().parse().ok()?;
        Some((Self { total: total.trim().parse().ok(), ..Self::of_any(headers) }, begin))
    }

    fn of_any(headers: &HeaderMap) -> Self {
        // A weak tag does not promise the same bytes.
        let tag = text(headers, ETAG).filter(|tag| !tag.starts_with("W/")).map(str::to_owned);
        Self { total: None, tag, modified: text(headers, LAST_MODIFIED).map(str::to_owned) }
    }

    /// What goes on only with this version is asked for with this header.
    pub fn if_range(&self) -> Option<&str> {
        self.tag.as_deref().or(self.modified.as_deref())
    }

    /// Whether nothing in two answers says that they are of different files.
    pub fn may_be(&self, other: &Self) -> bool {
        fn agree<T: PartialEq>(one: &Option<T>, other: &Option<T>) -> bool {
            one.is_none() || other.is_none() || one == other
        }
        agree(&self.total, &other.total) && agree(&self.tag, &other.tag) && agree(&self.modified, &other.modified)
    }
}

fn text(headers: &HeaderMap, name: http::HeaderName) -> Option<&str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    #[test]
    fn a_range_tells_its_begin_and_the_whole_length() {
        let (version, begin) = Version::of_range(&headers(&[("content-range", "bytes 5-9/10")])).unwrap();
        assert_eq!((version.total, begin), (Some(10), 5));
        let (version, begin) = Version::of_range(&headers(&[("content-range", "bytes 5-9/*")])).unwrap();
        assert_eq!((version.total, begin), (None, 5));
        for bad in ["", "5-9/10", "bytes */10", "bytes x-9/10"] {
            assert!(Version::of_range(&headers(&[("content-range", bad)])).is_none(), "{bad}");
        }
        assert!(Version::of_range(&headers(&[])).is_none());
    }

    #[test]
    fn another_length_tag_or_date_is_another_file() {
        let first = Version::of_whole(&headers(&[("content-length", "10"), ("etag", "\"a\""), ("last-modified", "x")]));
        assert!(first.may_be(&Version::of_whole(&headers(&[("content-length", "10")]))));
        for other in [("content-length", "11"), ("etag", "\"b\""), ("last-modified", "y")] {
            assert!(!first.may_be(&Version::of_whole(&headers(&[other]))), "{other:?}");
        }
        assert_eq!(first.if_range(), Some("\"a\""));
        let weak = Version::of_whole(&headers(&[("etag", "W/\"a\""), ("last-modified", "x")]));
        assert_eq!(weak.if_range(), Some("x"));
    }
}
