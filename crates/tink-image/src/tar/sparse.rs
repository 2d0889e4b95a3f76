//! Maps of sparse files: where the stored bytes belong.

use super::pax::{PaxSparse, decimal};
use super::{SEGMENTS_MAX, TarError, header, shown};

/// A run of stored bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Segment {
    /// Where it starts in the file.
    pub(crate) offset: u64,
    /// Its length in bytes.
    pub(crate) len: u64,
}

/// A map in the making.
#[derive(Debug, Default)]
pub(super) struct Map {
    segments: Vec<Segment>,
}

impl Map {
    fn push(&mut self, offset: u64, len: u64) -> bool {
        self.segments.push(Segment { offset, len });
        self.segments.len() <= SEGMENTS_MAX
    }

    /// Reads 24-byte pairs of GNU's old format; an empty pair ends the list.
    pub(super) fn add_gnu(&mut self, pairs: &[u8], path: &[u8]) -> Result<(), TarError> {
        for pair in pairs.chunks_exact(24) {
            if pair[0] == 0 {
                break;
            }
            let part = |field| header::number(field).and_then(|n| u64::try_from(n).ok());
            let (Some(offset), Some(len)) = (part(&pair[..12]), part(&pair[12..])) else {
                return Err(bad(path));
            };
            if !self.push(offset, len) {
                return Err(bad(path));
            }
        }
        Ok(())
    }

    /// The map of the PAX formats 0.0 and 0.1.
    pub(super) fn from_pax(sparse: &PaxSparse, path: &[u8]) -> Result<Self, TarError> {
        let mut map = Self::default();
        if !sparse.numbers.len().is_multiple_of(2) {
            return Err(bad(path));
        }
        for pair in sparse.numbers.chunks_exact(2) {
            if !map.push(pair[0], pair[1]) {
                return Err(bad(path));
            }
        }
        Ok(map)
    }

    /// Checks the map against the file's size and the stored bytes.
    pub(super) fn finish(self, real_size: u64, stored: u64, path: &[u8]) -> Result<Vec<Segment>, TarError> {
        let (mut end, mut sum) = (0_u64, 0_u64);
        for segment in &self.segments {
            if segment.offset < end {
                return Err(bad(path));
            }
            end = segment.offset.checked_add(segment.len).ok_or_else(|| bad(path))?;
            sum = sum.checked_add(segment.len).ok_or_else(|| bad(path))?;
        }
        if end > real_size || sum != stored || i64::try_from(real_size).is_err() {
            return Err(bad(path));
        }
        Ok(self.segments)
    }
}

/// Reads the map of PAX format 1.0 line by line: a count, then offsets and lengths.
#[derive(Debug, Default)]
pub(super) struct MapLines {
    map: Map,
    line: Vec<u8>,
    pairs_left: Option<u64>,
    offset: Option<u64>,
}

impl MapLines {
    /// Takes bytes of the map; true once it is complete.
    pub(super) fn feed(&mut self, bytes: &[u8], path: &[u8]) -> Result<bool, TarError> {
        for byte in bytes {
            if self.pairs_left == Some(0) {
                break;
            }
            if *byte != b'\n' {
                self.line.push(*byte);
                if self.line.len() > 20 {
                    return Err(bad(path));
                }
                continue;
            }
            let number = decimal(&self.line).ok_or_else(|| bad(path))?;
            self.line.clear();
            match (self.pairs_left, self.offset.take()) {
                (None, _) => self.pairs_left = Some(number),
                (Some(_), None) => self.offset = Some(number),
                (Some(left), Some(offset)) => {
                    if !self.map.push(offset, number) {
                        return Err(bad(path));
                    }
                    self.pairs_left = Some(left - 1);
                }
            }
        }
        Ok(self.pairs_left == Some(0))
    }

    pub(super) fn into_map(self) -> Map {
        self.map
    }
}

pub(super) fn bad(path: &[u8]) -> TarError {
    TarError::Sparse { path: shown(path) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_map_must_be_sorted_and_fit() {
        let map = |list: &[(u64, u64)]| {
            let mut map = Map::default();
            for (offset, len) in list {
                map.push(*offset, *len);
            }
            map
        };
        assert!(map(&[(0, 10), (20, 10)]).finish(30, 20, b"f").is_ok());
        assert!(map(&[(0, 10), (5, 10)]).finish(30, 20, b"f").is_err(), "overlap");
        assert!(map(&[(0, 10), (25, 10)]).finish(30, 20, b"f").is_err(), "past the end");
        assert!(map(&[(0, 10)]).finish(30, 20, b"f").is_err(), "stored bytes left over");
        assert!(map(&[(u64::MAX, 10)]).finish(30, 10, b"f").is_err(), "overflow");
        assert!(map(&[]).finish(u64::MAX, 0, b"f").is_err(), "no file is that large");
    }

    #[test]
    fn a_map_in_the_data_is_read_across_blocks() {
        let mut lines = MapLines::default();
        assert!(!lines.feed(b"2\n0\n5", b"f").unwrap());
        assert!(lines.feed(b"12\n1024\n512\n\0\0\0", b"f").unwrap());
        assert_eq!(lines.into_map().finish(2048, 1024, b"f").unwrap()[0], Segment { offset: 0, len: 512 });
    }
}
