//! Paths of entries: cleaned, split, and written down in records.

use super::LayerError;
use crate::tar::shown;

/// Longest name, in bytes: what the kernel takes.
const NAME_BYTES_MAX: usize = 255;

/// Splits a path into components, resolving `.`, `..` and repeated slashes; absolute paths start at the root.
/// Nothing on disk is looked at: this is what the path *says*.
pub(super) fn components(path: &[u8]) -> Result<Vec<&[u8]>, LayerError> {
    let mut parts: Vec<&[u8]> = Vec::new();
    for part in path.split(|b| *b == b'/') {
        match part {
            b"" | b"." => {}
            b".." => {
                if parts.pop().is_none() {
                    return Err(LayerError::Escapes { path: shown(path) });
                }
            }
            name if name.len() > NAME_BYTES_MAX => return Err(LayerError::Name { path: shown(path) }),
            name => parts.push(name),
        }
    }
    Ok(parts)
}

/// A path as text for a JSON record: `%` and whatever is not UTF-8 in hex.
pub(crate) fn escape(path: &[u8]) -> String {
    use std::fmt::Write as _;
    let mut text = String::with_capacity(path.len());
    for chunk in path.utf8_chunks() {
        for c in chunk.valid().chars() {
            if c == '%' || c.is_control() {
                let mut buffer = [0; 4];
                for byte in c.encode_utf8(&mut buffer).bytes() {
                    let _ = write!(text, "%{byte:02x}");
                }
            } else {
                text.push(c);
            }
        }
        for byte in chunk.invalid() {
            let _ = write!(text, "%{byte:02x}");
        }
    }
    text
}

/// The inverse of [`escape`]; `None` for what it never writes.
pub(crate) fn unescape(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        if *first == b'%' {
            let hex = std::str::from_utf8(tail.get(..2)?).ok()?;
            bytes.push(u8::from_str_radix(hex, 16).ok()?);
            rest = &tail[2..];
        } else {
            bytes.push(*first);
            rest = tail;
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_cleaned_and_never_leave_the_root() {
        assert_eq!(components(b"/a//./b/../c/").unwrap(), [b"a", b"c"]);
        assert!(components(b"./").unwrap().is_empty());
        for bad in [&b"../a"[..], b"a/../../b", b"/..", b".."] {
            assert!(matches!(components(bad), Err(LayerError::Escapes { .. })));
        }
    }

    #[test]
    fn a_name_that_no_file_can_have_is_refused_as_such() {
        assert!(components(&[b'x'; NAME_BYTES_MAX]).is_ok());
        assert!(matches!(components(&[b'x'; NAME_BYTES_MAX + 1]), Err(LayerError::Name { .. })));
    }

    #[test]
    fn any_bytes_survive_a_record() {
        for path in [&b"a/b"[..], b"100%", b"\xff\x00\n", "größe".as_bytes()] {
            assert_eq!(unescape(&escape(path)).unwrap(), path);
        }
        assert_eq!(unescape("%4"), None);
    }
}
