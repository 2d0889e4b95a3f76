//! The writer: reproducible archives, ustar with PAX headers where a name or number is too long for it.

use std::io::{self, Read, Write};

use super::{BLOCK, Entry, Kind};

/// Writes a tar archive to a stream.
pub(crate) struct TarWriter<W> {
    inner: W,
}

impl<W: Write> TarWriter<W> {
    pub(crate) fn new(inner: W) -> Self {
        Self { inner }
    }

    /// Adds an entry; `data` must give exactly `entry.size` bytes.
    pub(crate) fn add(&mut self, entry: &Entry, mut data: impl Read) -> io::Result<()> {
        let records = pax_records(entry);
        if !records.is_empty() {
            let size = records.len() as u64;
            self.inner.write_all(&block(b"pax_header", b"", b'x', size, 0o644, 0, 0, 0, (0, 0)))?;
            self.inner.write_all(&records)?;
            self.pad(size)?;
        }
        let flag = match entry.kind {
            Kind::File => b'0',
            Kind::HardLink => b'1',
            Kind::Symlink => b'2',
            Kind::CharDevice => b'3',
            Kind::BlockDevice => b'4',
            Kind::Directory => b'5',
            Kind::Fifo => b'6',
        };
        let seconds = u64::try_from(entry.mtime.0).unwrap_or(0);
        self.inner.write_all(&block(
            &entry.path,
            &entry.link,
            flag,
            entry.size,
            entry.mode,
            entry.uid,
            entry.gid,
            seconds,
            entry.device,
        ))?;
        let written = io::copy(&mut (&mut data).take(entry.size), &mut self.inner)?;
        if written != entry.size || data.read(&mut [0])? != 0 {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the file changed its size while it was packed"));
        }
        self.pad(entry.size)
    }

    /// Ends the archive.
    pub(crate) fn finish(mut self) -> io::Result<W> {
        self.inner.write_all(&[0; 2 * BLOCK])?;
        Ok(self.inner)
    }

    fn pad(&mut self, size: u64) -> io::Result<()> {
        let over = usize::try_from(size % BLOCK as u64).unwrap_or(0);
        if over > 0 {
            self.inner.write_all(&[0; BLOCK][over..])?;
        }
        Ok(())
    }
}

/// Records for all that does not fit into the header.
fn pax_records(entry: &Entry) -> Vec<u8> {
    let mut records = Vec::new();
    if entry.path.len() > 100 {
        record(&mut records, b"path", &entry.path);
    }
    if entry.link.len() > 100 {
        record(&mut records, b"linkpath", &entry.link);
    }
    if entry.size > 0o77_777_777_777 {
        record(&mut records, b"size", entry.size.to_string().as_bytes());
    }
    if entry.uid > 0o7_777_777 {
        record(&mut records, b"uid", entry.uid.to_string().as_bytes());
    }
    if entry.gid > 0o7_777_777 {
        record(&mut records, b"gid", entry.gid.to_string().as_bytes());
    }
    for (name, value) in &entry.xattrs {
        record(&mut records, &[b"SCHILY.xattr.", name.as_slice()].concat(), value);
    }
    records
}

/// `LENGTH KEY=VALUE\n`, where the length counts its own digits.
fn record(records: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + 1;
    while length != rest + length.to_string().len() {
        length = rest + length.to_string().len();
    }
    records.extend_from_slice(format!("{length} ").as_bytes());
    records.extend_from_slice(key);
    records.push(b'=');
    records.extend_from_slice(value);
    records.push(b'\n');
}

#[expect(clippy::too_many_arguments, reason = "the fields of one fixed block, used twice in this file")]
fn block(
    path: &[u8],
    link: &[u8],
    flag: u8,
    size: u64,
    mode: u32,
    uid: u32,
    gid: u32,
    seconds: u64,
    device: (u32, u32),
) -> [u8; BLOCK] {
    let mut block = [0_u8; BLOCK];
    let mut put = |at: usize, max: usize, bytes: &[u8]| {
        let len = bytes.len().min(max);
        block[at..at + len].copy_from_slice(&bytes[..len]);
    };
    let octal = |value: u64, digits: usize| {
        let limit = 1_u64 << (3 * digits);
        format!("{:0digits$o}", if value < limit { value } else { 0 })
    };
    put(0, 100, path);
    put(100, 8, octal(u64::from(mode), 7).as_bytes());
    put(108, 8, octal(u64::from(uid), 7).as_bytes());
    put(116, 8, octal(u64::from(gid), 7).as_bytes());
    put(124, 12, octal(size, 11).as_bytes());
    put(136, 12, octal(seconds, 11).as_bytes());
    put(148, 8, b"        ");
    put(156, 1, &[flag]);
    put(157, 100, link);
    put(257, 8, b"ustar\x0000");
    put(329, 8, octal(u64::from(device.0), 7).as_bytes());
    put(337, 8, octal(u64::from(device.1), 7).as_bytes());
    let sum: u64 = block.iter().map(|b| u64::from(*b)).sum();
    let sum = format!("{sum:06o}\0 ");
    block[148..156].copy_from_slice(sum.as_bytes());
    block
}
