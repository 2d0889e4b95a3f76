//! PAX extended headers: `LENGTH KEY=VALUE\n`, repeated.

use super::{PATH_BYTES_MAX, TarError, header};

/// The records that mean something to us.
#[derive(Clone, Debug, Default)]
pub(super) struct Pax {
    pub(super) path: Option<Vec<u8>>,
    pub(super) link: Option<Vec<u8>>,
    pub(super) size: Option<u64>,
    pub(super) uid: Option<u32>,
    pub(super) gid: Option<u32>,
    pub(super) mtime: Option<(i64, u32)>,
    pub(super) xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    pub(super) sparse: PaxSparse,
}

/// The records of the three PAX sparse formats.
#[derive(Clone, Debug, Default)]
pub(super) struct PaxSparse {
    pub(super) name: Option<Vec<u8>>,
    /// `GNU.sparse.size` (0.x) or `GNU.sparse.realsize` (1.0).
    pub(super) real_size: Option<u64>,
    /// 0.0 and 0.1: offsets and lengths, alternating.
    pub(super) numbers: Vec<u64>,
    /// 1.0: the map stands before the data.
    pub(super) map_in_data: bool,
}

impl PaxSparse {
    pub(super) fn is_sparse(&self) -> bool {
        self.map_in_data || !self.numbers.is_empty() || self.real_size.is_some()
    }
}

impl Pax {
    pub(super) fn parse(mut data: &[u8]) -> Result<Self, TarError> {
        let mut pax = Self::default();
        while !data.is_empty() {
            // Some writers pad the header's data with NULs.
            if data.iter().all(|b| *b == 0) {
                break;
            }
            let space = data.iter().take(20).position(|b| *b == b' ').ok_or(TarError::Pax)?;
            let length = usize::try_from(decimal(&data[..space]).ok_or(TarError::Pax)?).map_err(|_| TarError::Pax)?;
            if length <= space + 1 || length > data.len() || data[length - 1] != b'\n' {
                return Err(TarError::Pax);
            }
            let record = &data[space + 1..length - 1];
            let equals = record.iter().position(|b| *b == b'=').ok_or(TarError::Pax)?;
            pax.set(&record[..equals], &record[equals + 1..])?;
            data = &data[length..];
        }
        Ok(pax)
    }

    fn set(&mut self, key: &[u8], value: &[u8]) -> Result<(), TarError> {
        let wanted = |value: Option<u64>| value.map(Some).ok_or(TarError::Pax);
        match key {
            // An empty value takes the record back.
            b"path" => self.path = name(value)?,
            b"linkpath" => self.link = name(value)?,
            b"size" if value.is_empty() => self.size = None,
            b"size" => self.size = wanted(decimal(value))?,
            b"uid" if !value.is_empty() => self.uid = Some(id(value)?),
            b"gid" if !value.is_empty() => self.gid = Some(id(value)?),
            b"mtime" if !value.is_empty() => self.mtime = Some(time(value).ok_or(TarError::Pax)?),
            b"GNU.sparse.name" => self.sparse.name = name(value)?,
            b"GNU.sparse.size" | b"GNU.sparse.realsize" => self.sparse.real_size = wanted(decimal(value))?,
            b"GNU.sparse.major" => self.sparse.map_in_data = value == b"1",
            b"GNU.sparse.offset" | b"GNU.sparse.numbytes" => {
                self.sparse.numbers.push(decimal(value).ok_or(TarError::Pax)?);
            }
            b"GNU.sparse.map" => {
                self.sparse.numbers = value
                    .split(|b| *b == b',')
                    .filter(|part| !part.is_empty())
                    .map(|part| decimal(part).ok_or(TarError::Pax))
                    .collect::<Result<_, _>>()?;
            }
            _ => {
                if let Some(xattr) = key.strip_prefix(b"SCHILY.xattr.") {
                    self.xattrs.retain(|(known, _)| known != xattr);
                    self.xattrs.push((xattr.to_vec(), value.to_vec()));
                }
            }
        }
        Ok(())
    }
}

fn name(value: &[u8]) -> Result<Option<Vec<u8>>, TarError> {
    if value.len() > PATH_BYTES_MAX {
        return Err(TarError::TooLarge { what: "path", bytes: value.len() as u64, bytes_max: PATH_BYTES_MAX as u64 });
    }
    Ok((!value.is_empty()).then(|| value.to_vec()))
}

fn id(value: &[u8]) -> Result<u32, TarError> {
    let number = decimal(value).and_then(|n| i64::try_from(n).ok());
    number.and_then(header::id).ok_or(TarError::Pax)
}

pub(super) fn decimal(text: &[u8]) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    text.iter().try_fold(0_u64, |value, byte| {
        if !byte.is_ascii_digit() {
            return None;
        }
        value.checked_mul(10)?.checked_add(u64::from(byte - b'0'))
    })
}

/// `-1.25` is 1.25 s before 1970: seconds -2 and 750,000,000 ns.
fn time(text: &[u8]) -> Option<(i64, u32)> {
    let (negative, text) = match text.strip_prefix(b"-") {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let dot = text.iter().position(|b| *b == b'.').unwrap_or(text.len());
    let seconds = i64::try_from(decimal(&text[..dot])?).ok()?;
    let mut nanos = 0_u32;
    let fraction = text.get(dot + 1..).unwrap_or_default();
    for at in 0..9 {
        let digit = match fraction.get(at) {
            None => 0,
            Some(byte) if byte.is_ascii_digit() => u32::from(byte - b'0'),
            Some(_) => return None,
        };
        nanos = nanos * 10 + digit;
    }
    match (negative, nanos) {
        (false, _) => Some((seconds, nanos)),
        (true, 0) => Some((-seconds, 0)),
        (true, _) => Some((-seconds - 1, 1_000_000_000 - nanos)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_read_by_their_length() {
        let pax = Pax::parse(b"14 path=a\nb=c\n20 mtime=1350244992.5\n"[..14].as_ref()).unwrap();
        assert_eq!(pax.path.unwrap(), b"a\nb=c");
        let pax = Pax::parse(b"22 mtime=1350244992.5\n").unwrap();
        assert_eq!(pax.mtime, Some((1_350_244_992, 500_000_000)));
    }

    #[test]
    fn malformed_records_are_refused() {
        for bad in
            [&b"5 a=\n"[..5], b"999 path=a\n", b"0 a=b\n", b"path=a\n", b"9 path a\n", b"18446744073709551616 a=b\n"]
        {
            let parsed = Pax::parse(bad);
            if bad == b"5 a=\n" {
                assert!(parsed.is_ok(), "an unknown record with an empty value");
            } else {
                assert!(parsed.is_err(), "{:?}", String::from_utf8_lossy(bad));
            }
        }
    }

    #[test]
    fn times_before_1970_round_down() {
        assert_eq!(time(b"-1.25"), Some((-2, 750_000_000)));
        assert_eq!(time(b"-3"), Some((-3, 0)));
        assert_eq!(time(b"1.x"), None);
        assert_eq!(time(b""), None);
    }
}
