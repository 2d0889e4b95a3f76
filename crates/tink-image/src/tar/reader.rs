//! The reader: entries in order, each with its data, from any stream.

use std::io::Read;

use super::header::Header;
use super::pax::Pax;
use super::sparse::{self, Map, MapLines, Segment};
use super::{BLOCK, Entry, Kind, PATH_BYTES_MAX, SPECIAL_BYTES_MAX, TarError, shown};

/// Bytes read from the stream at once.
const BUFFER_BYTES: usize = 128 * 1024;

/// Reads a tar archive from a stream.
pub(crate) struct TarReader<R> {
    source: R,
    buffer: Box<[u8]>,
    start: usize,
    end: usize,
    /// Bytes of the current entry's data not yet consumed.
    data_left: u64,
    /// Zeroes between the data's end and the next header.
    padding: u64,
    /// Bytes that came from the stream.
    came: u64,
    ended: bool,
}

/// What stands before an entry and changes it.
#[derive(Default)]
struct Overrides {
    path: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    pax: Pax,
}

impl<R: Read> TarReader<R> {
    pub(crate) fn new(source: R) -> Self {
        let buffer = vec![0; BUFFER_BYTES].into_boxed_slice();
        Self { source, buffer, start: 0, end: 0, data_left: 0, padding: 0, came: 0, ended: false }
    }

    /// The next entry, or `None` at the end; what is left of the current entry's data is skipped.
    pub(crate) fn next(&mut self) -> Result<Option<Entry>, TarError> {
        if self.ended {
            return Ok(None);
        }
        let mut overrides = Overrides::default();
        loop {
            self.skip_entry()?;
            let Some(block) = self.block()? else {
                self.ended = true;
                return Ok(None);
            };
            // Two zero blocks end an archive; one alone is taken, too, as all readers do.
            if block.iter().all(|b| *b == 0) {
                self.ended = true;
                return Ok(None);
            }
            let header = Header::parse(block)?;
            match header.flag() {
                b'x' | b'X' => overrides.pax = Pax::parse(&self.special("PAX header", &header)?)?,
                b'g' => drop(self.special("global PAX header", &header)?),
                b'L' => overrides.path = Some(self.long_name("long name", &header)?),
                b'K' => overrides.link = Some(self.long_name("long link target", &header)?),
                // A volume's label.
                b'V' => self.begin_data(header.size()?),
                _ => return self.entry(&header, overrides).map(Some),
            }
        }
    }

    /// The next piece of the current entry's data; empty at its end. [`Self::consume`] takes it.
    pub(crate) fn data(&mut self) -> Result<&[u8], TarError> {
        if self.data_left == 0 {
            return Ok(&[]);
        }
        self.fill()?;
        if self.start == self.end {
            return Err(TarError::Truncated);
        }
        let have = self.end - self.start;
        let take = usize::try_from(self.data_left).map_or(have, |left| left.min(have));
        Ok(&self.buffer[self.start..self.start + take])
    }

    /// Where in the stream the next byte of the entry's data lies.
    pub(crate) fn position(&self) -> u64 {
        self.came - (self.end - self.start) as u64
    }

    /// Takes bytes that [`Self::data`] gave.
    pub(crate) fn consume(&mut self, amount: usize) {
        self.start += amount;
        self.data_left -= amount as u64;
    }

    /// The stream, after reading what follows the archive's end up to `bytes_max`, so that digests cover all of it.
    pub(crate) fn drain(mut self, bytes_max: u64) -> Result<R, (TarError, R)> {
        let mut drained = 0_u64;
        loop {
            self.start = self.end;
            if let Err(error) = self.fill() {
                return Err((error, self.source));
            }
            let have = (self.end - self.start) as u64;
            if have == 0 {
                return Ok(self.source);
            }
            drained += have;
            if drained > bytes_max {
                let what = "padding after the archive";
                return Err((TarError::TooLarge { what, bytes: drained, bytes_max }, self.source));
            }
        }
    }

    /// The stream as it is, for draining after a failure.
    pub(crate) fn into_source(self) -> R {
        self.source
    }

    fn fill(&mut self) -> Result<(), TarError> {
        if self.start < self.end {
            return Ok(());
        }
        loop {
            match self.source.read(&mut self.buffer) {
                Ok(n) => {
                    (self.start, self.end) = (0, n);
                    self.came += n as u64;
                    return Ok(());
                }
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(TarError::Io(error)),
            }
        }
    }

    /// One block; `None` at the clean end of the stream.
    fn block(&mut self) -> Result<Option<[u8; BLOCK]>, TarError> {
        let mut block = [0_u8; BLOCK];
        let mut filled = 0;
        while filled < BLOCK {
            self.fill()?;
            let have = (self.end - self.start).min(BLOCK - filled);
            if have == 0 {
                return if filled == 0 { Ok(None) } else { Err(TarError::Truncated) };
            }
            block[filled..filled + have].copy_from_slice(&self.buffer[self.start..self.start + have]);
            self.start += have;
            filled += have;
        }
        Ok(Some(block))
    }

    fn begin_data(&mut self, size: u64) {
        self.data_left = size;
        self.padding = (BLOCK as u64 - size % BLOCK as u64) % BLOCK as u64;
    }

    fn skip_entry(&mut self) -> Result<(), TarError> {
        while !self.data()?.is_empty() {
            let have = self.data()?.len();
            self.consume(have);
        }
        self.data_left = std::mem::take(&mut self.padding);
        while self.data_left > 0 {
            let have = self.data()?.len();
            self.consume(have);
        }
        Ok(())
    }

    /// The whole data of a header that describes the next entry.
    fn special(&mut self, what: &'static str, header: &Header) -> Result<Vec<u8>, TarError> {
        let size = header.size()?;
        if size > SPECIAL_BYTES_MAX {
            return Err(TarError::TooLarge { what, bytes: size, bytes_max: SPECIAL_BYTES_MAX });
        }
        self.begin_data(size);
        let mut data = Vec::new();
        loop {
            let piece = self.data()?;
            let len = piece.len();
            if len == 0 {
                return Ok(data);
            }
            data.extend_from_slice(piece);
            self.consume(len);
        }
    }

    fn long_name(&mut self, what: &'static str, header: &Header) -> Result<Vec<u8>, TarError> {
        let mut name = self.special(what, header)?;
        name.truncate(name.iter().position(|b| *b == 0).unwrap_or(name.len()));
        Ok(name)
    }

    fn entry(&mut self, header: &Header, overrides: Overrides) -> Result<Entry, TarError> {
        let Overrides { path, link, pax } = overrides;
        let path = pax.sparse.name.clone().or(pax.path.clone()).or(path).unwrap_or_else(|| header.path());
        let link = pax.link.clone().or(link).unwrap_or_else(|| header.link());
        check_name("path", &path, &path)?;
        check_name("link target", &link, &path)?;
        let kind = match header.flag() {
            // Before there was a type for directories, a trailing slash told them.
            b'0' | 0 if path.ends_with(b"/") => Kind::Directory,
            b'0' | 0 | b'7' | b'S' => Kind::File,
            b'1' => Kind::HardLink,
            b'2' => Kind::Symlink,
            b'3' => Kind::CharDevice,
            b'4' => Kind::BlockDevice,
            b'5' => Kind::Directory,
            b'6' => Kind::Fifo,
            flag => return Err(TarError::Kind { path: shown(&path), flag: char::from(flag) }),
        };
        // Only files have data; what other entries state as their size is not stored.
        let stored = if kind == Kind::File { pax.size.map_or_else(|| header.size(), Ok)? } else { 0 };
        self.begin_data(stored);
        let (size, segments) = if kind == Kind::File { self.sparse(header, &pax, &path, stored)? } else { (0, None) };
        let device = if matches!(kind, Kind::CharDevice | Kind::BlockDevice) { header.device()? } else { (0, 0) };
        Ok(Entry {
            kind,
            mode: header.mode()?,
            uid: pax.uid.map_or_else(|| header.uid(), Ok)?,
            gid: pax.gid.map_or_else(|| header.gid(), Ok)?,
            size,
            mtime: pax.mtime.map_or_else(|| header.mtime().map(|s| (s, 0)), Ok)?,
            device,
            xattrs: pax.xattrs,
            segments,
            path,
            link,
        })
    }

    /// Real size and map of a file, in whichever of the four sparse formats, or none.
    fn sparse(
        &mut self,
        header: &Header,
        pax: &Pax,
        path: &[u8],
        stored: u64,
    ) -> Result<(u64, Option<Vec<Segment>>), TarError> {
        if header.flag() == b'S' {
            if !header.is_gnu() {
                return Err(sparse::bad(path));
            }
            let (pairs, mut more, real_size) = header.gnu_sparse()?;
            let mut map = Map::default();
            map.add_gnu(pairs, path)?;
            while more {
                let Some(block) = self.block()? else { return Err(TarError::Truncated) };
                map.add_gnu(&block[..21 * 24], path)?;
                more = block[504] != 0;
            }
            return Ok((real_size, Some(map.finish(real_size, stored, path)?)));
        }
        if !pax.sparse.is_sparse() {
            return Ok((stored, None));
        }
        let real_size = pax.sparse.real_size.ok_or_else(|| sparse::bad(path))?;
        if !pax.sparse.map_in_data {
            let map = Map::from_pax(&pax.sparse, path)?;
            return Ok((real_size, Some(map.finish(real_size, stored, path)?)));
        }
        let mut lines = MapLines::default();
        let mut read = 0_u64;
        loop {
            if stored - read < BLOCK as u64 {
                return Err(sparse::bad(path));
            }
            let Some(block) = self.block()? else { return Err(TarError::Truncated) };
            read += BLOCK as u64;
            self.data_left -= BLOCK as u64;
            if lines.feed(&block, path)? {
                break;
            }
        }
        Ok((real_size, Some(lines.into_map().finish(real_size, stored - read, path)?)))
    }
}

fn check_name(what: &'static str, name: &[u8], path: &[u8]) -> Result<(), TarError> {
    if name.len() > PATH_BYTES_MAX {
        let bytes_max = PATH_BYTES_MAX as u64;
        return Err(TarError::TooLarge { what, bytes: name.len() as u64, bytes_max });
    }
    if name.contains(&0) {
        return Err(TarError::Nul { what, path: shown(path) });
    }
    Ok(())
}
