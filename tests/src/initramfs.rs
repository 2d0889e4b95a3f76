//! A kernel's first file system, as an archive in cpio's "newc" format.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

const DIRECTORY: u32 = 0o040_000;
const FILE: u32 = 0o100_000;
const CHARACTER_DEVICE: u32 = 0o020_000;
/// The name of the entry that ends an archive.
const TRAILER: &str = "TRAILER!!!";

/// What the root file system of a guest holds. Directories are to be added before what is in them.
#[derive(Debug, Default)]
pub struct Initramfs {
    entries: Vec<Entry>,
}

#[derive(Debug)]
struct Entry {
    path: String,
    mode: u32,
    device: (u32, u32),
    content: Content,
}

#[derive(Debug)]
enum Content {
    Bytes(Vec<u8>),
    /// Copied when the archive is written.
    File(PathBuf),
}

impl Initramfs {
    /// A root without a file, but for the console that the first process writes to.
    #[must_use]
    pub fn new() -> Self {
        let mut new = Self::default().directory("dev");
        new.push("dev/console", CHARACTER_DEVICE | 0o600, (5, 1), Content::Bytes(Vec::new()));
        new
    }

    /// Adds a directory.
    #[must_use]
    pub fn directory(mut self, path: &str) -> Self {
        self.push(path, DIRECTORY | 0o755, (0, 0), Content::Bytes(Vec::new()));
        self
    }

    /// Adds a file that anyone may run.
    #[must_use]
    pub fn file(mut self, path: &str, content: impl Into<Vec<u8>>) -> Self {
        self.push(path, FILE | 0o755, (0, 0), Content::Bytes(content.into()));
        self
    }

    /// Adds a copy of a file of this machine, which anyone may run.
    #[must_use]
    pub fn copy(mut self, path: &str, from: &Path) -> Self {
        self.push(path, FILE | 0o755, (0, 0), Content::File(from.to_owned()));
        self
    }

    /// Adds a directory with copies of all files right in `from`.
    ///
    /// # Errors
    /// When `from` cannot be read or holds a name that is not UTF-8.
    pub fn folder(mut self, path: &str, from: &Path) -> Result<Self> {
        self = self.directory(path);
        for entry in fs::read_dir(from).with_context(|| format!("failed to read {}", from.display()))? {
            let file = entry.with_context(|| format!("failed to read {}", from.display()))?.path();
            if file.is_file() {
                let name = file.file_name().and_then(|name| name.to_str()).context("a name is not UTF-8")?;
                self = self.copy(&format!("{path}/{name}"), &file);
            }
        }
        Ok(self)
    }

    fn push(&mut self, path: &str, mode: u32, device: (u32, u32), content: Content) {
        self.entries.push(Entry { path: path.to_owned(), mode, device, content });
    }

    /// Writes the archive.
    ///
    /// # Errors
    /// When a file cannot be read or is too large for the format, or the archive cannot be written.
    pub fn write(&self, to: &Path) -> Result<()> {
        let failed = || format!("failed to write {}", to.display());
        let mut archive = io::BufWriter::new(fs::File::create(to).with_context(failed)?);
        for (number, entry) in self.entries.iter().enumerate() {
            let bytes = match &entry.content {
                Content::Bytes(bytes) => bytes,
                Content::File(path) => &fs::read(path).with_context(|| format!("failed to read {}", path.display()))?,
            };
            let number = u32::try_from(number + 1).context("too many files")?;
            write_entry(&mut archive, number, &entry.path, entry.mode, entry.device, bytes).with_context(failed)?;
        }
        write_entry(&mut archive, 0, TRAILER, 0, (0, 0), &[]).with_context(failed)?;
        archive.flush().with_context(failed)
    }
}

fn write_entry(
    archive: &mut impl Write,
    number: u32,
    path: &str,
    mode: u32,
    (major, minor): (u32, u32),
    content: &[u8],
) -> io::Result<()> {
    let too_large = |_| io::Error::from(io::ErrorKind::FileTooLarge);
    let size = u32::try_from(content.len()).map_err(too_large)?;
    let name_size = u32::try_from(path.len() + 1).map_err(too_large)?;
    let links = if mode & DIRECTORY == DIRECTORY { 2 } else { 1 };
    // ino, mode, uid, gid, nlink, mtime, filesize, major and minor of the disk, of the device, namesize, checksum.
    let fields = [number, mode, 0, 0, links, 0, size, 0, 0, major, minor, name_size, 0];
    write!(archive, "070701")?;
    for field in fields {
        write!(archive, "{field:08x}")?;
    }
    archive.write_all(path.as_bytes())?;
    archive.write_all(&[0])?;
    pad(archive, 110 + path.len() + 1)?;
    archive.write_all(content)?;
    pad(archive, content.len())
}

/// Each part ends on a multiple of four bytes.
fn pad(archive: &mut impl Write, written: usize) -> io::Result<()> {
    archive.write_all(&[0; 3][..written.wrapping_neg() % 4])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_as_the_format_says() {
        let mut archive = Vec::new();
        write_entry(&mut archive, 7, "dev/x", CHARACTER_DEVICE | 0o600, (5, 1), b"12345").unwrap();
        let head = "07070100000007000021800000000000000000000000010000000000000005\
                    000000000000000000000005000000010000000600000000dev/x\0";
        // 110 bytes of header and 6 of name are a multiple of four; the content is not.
        assert_eq!(archive, [head.as_bytes(), b"12345\0\0\0"].concat());
    }
}
