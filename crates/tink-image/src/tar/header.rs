//! The 512-byte header block.

use super::{BLOCK, TarError, shown};

/// One header block, checksum verified.
pub(super) struct Header {
    block: [u8; BLOCK],
}

impl Header {
    /// Verifies the checksum; both the standard's unsigned sum and old programs' signed one are taken.
    pub(super) fn parse(block: [u8; BLOCK]) -> Result<Self, TarError> {
        let header = Self { block };
        let stated = number(header.field(148, 8)).ok_or(TarError::Checksum)?;
        let (mut unsigned, mut signed) = (0_i64, 0_i64);
        for (at, byte) in header.block.iter().enumerate() {
            let byte = if (148..156).contains(&at) { b' ' } else { *byte };
            unsigned += i64::from(byte);
            signed += i64::from(byte.cast_signed());
        }
        if stated == unsigned || stated == signed { Ok(header) } else { Err(TarError::Checksum) }
    }

    fn field(&self, at: usize, len: usize) -> &[u8] {
        &self.block[at..at + len]
    }

    pub(super) fn flag(&self) -> u8 {
        self.block[156]
    }

    fn is_ustar(&self) -> bool {
        self.field(257, 6) == b"ustar\0"
    }

    pub(super) fn is_gnu(&self) -> bool {
        self.field(257, 8) == b"ustar  \0"
    }

    /// The short name, with ustar's prefix where there is one.
    pub(super) fn path(&self) -> Vec<u8> {
        let name = text(self.field(0, 100));
        let prefix = text(self.field(345, 155));
        if self.is_ustar() && !prefix.is_empty() { [prefix, b"/", name].concat() } else { name.to_vec() }
    }

    pub(super) fn link(&self) -> Vec<u8> {
        text(self.field(157, 100)).to_vec()
    }

    pub(super) fn mode(&self) -> Result<u32, TarError> {
        // Only the permission bits are used; old programs store the file type above them.
        let mode = self.number("mode", 100, 8)?;
        u32::try_from(mode & 0o7777).map_err(|_| self.bad("mode"))
    }

    pub(super) fn uid(&self) -> Result<u32, TarError> {
        id(self.number("uid", 108, 8)?).ok_or_else(|| self.bad("uid"))
    }

    pub(super) fn gid(&self) -> Result<u32, TarError> {
        id(self.number("gid", 116, 8)?).ok_or_else(|| self.bad("gid"))
    }

    pub(super) fn size(&self) -> Result<u64, TarError> {
        u64::try_from(self.number("size", 124, 12)?).map_err(|_| self.bad("size"))
    }

    pub(super) fn mtime(&self) -> Result<i64, TarError> {
        self.number("mtime", 136, 12)
    }

    pub(super) fn device(&self) -> Result<(u32, u32), TarError> {
        let part = |field, at| u32::try_from(self.number(field, at, 8)?).map_err(|_| self.bad(field));
        Ok((part("device major", 329)?, part("device minor", 337)?))
    }

    /// GNU's old sparse format: the four segments in the header, whether a map block follows, and the real size.
    pub(super) fn gnu_sparse(&self) -> Result<(&[u8], bool, u64), TarError> {
        let real_size = u64::try_from(self.number("sparse size", 483, 12)?).map_err(|_| self.bad("sparse size"))?;
        Ok((self.field(386, 4 * 24), self.block[482] != 0, real_size))
    }

    fn number(&self, field: &'static str, at: usize, len: usize) -> Result<i64, TarError> {
        number(self.field(at, len)).ok_or_else(|| self.bad(field))
    }

    pub(super) fn bad(&self, field: &'static str) -> TarError {
        TarError::Number { field, path: shown(&self.path()) }
    }
}

/// A user or group number; `u32::MAX` means "unchanged" to the kernel and is none.
pub(super) fn id(number: i64) -> Option<u32> {
    u32::try_from(number).ok().filter(|id| *id != u32::MAX)
}

/// Up to the first NUL.
fn text(field: &[u8]) -> &[u8] {
    let end = field.iter().position(|b| *b == 0).unwrap_or(field.len());
    &field[..end]
}

/// Octal text or GNU's base 256; an empty field is 0.
pub(super) fn number(field: &[u8]) -> Option<i64> {
    let (first, rest) = field.split_first()?;
    if first & 0x80 != 0 {
        // Two's complement over all bits but the marker; the sign is the next bit.
        let negative = first & 0x40 != 0;
        let mut value: i128 = if negative { i128::from(first | 0x80) - 256 } else { i128::from(first & 0x3f) };
        for byte in rest {
            value = value.checked_mul(256)?.checked_add(i128::from(*byte))?;
        }
        return i64::try_from(value).ok();
    }
    let trimmed = field.trim_ascii_start();
    let end = trimmed.iter().position(|b| matches!(b, 0 | b' ')).unwrap_or(trimmed.len());
    if trimmed[end..].iter().any(|b| !matches!(b, 0 | b' ')) && end != 0 {
        return None;
    }
    let mut value = 0_i64;
    for digit in &trimmed[..end] {
        if !(b'0'..=b'7').contains(digit) {
            return None;
        }
        value = value.checked_mul(8)?.checked_add(i64::from(digit - b'0'))?;
    }
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_octal_or_base_256() {
        assert_eq!(number(b"0000644\0"), Some(0o644));
        assert_eq!(number(b"   644 \0"), Some(0o644));
        assert_eq!(number(b"\0\0\0\0\0\0\0\0"), Some(0));
        assert_eq!(number(&[0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0]), Some(256));
        assert_eq!(number(&[0xff; 12]), Some(-1));
        assert_eq!(number(b"12x4567\0"), None);
        assert_eq!(number(b"0008\0"), None);
        let mut huge = [0xff; 12];
        huge[0] = 0x80;
        assert_eq!(number(&huge), None, "more than 63 bits");
    }

    #[test]
    fn the_id_that_means_unchanged_is_refused() {
        assert_eq!(id(0xffff_fffe), Some(0xffff_fffe));
        assert_eq!(id(0xffff_ffff), None);
        assert_eq!(id(-1), None);
    }
}
