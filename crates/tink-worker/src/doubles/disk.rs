//! A real directory without syncs, whose calls fail or stop at a step.

use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;

use super::Steps;
use super::fault::Hit;
use crate::Disk;

#[derive(Debug)]
pub(crate) struct FaultyDisk(pub(crate) Arc<Steps>);

fn full(_hit: Hit) -> io::Error {
    io::Error::new(io::ErrorKind::StorageFull, "planned: no space left on device")
}

impl FaultyDisk {
    fn around(&self, name: &str, effect: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        self.0.step_now(&format!("before {name}")).map_err(full)?;
        effect()?;
        self.0.step_now(&format!("after {name}")).map_err(full)
    }
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

impl Disk for FaultyDisk {
    fn create_dir(&self, path: &Path) -> io::Result<()> {
        self.around("create_dir", || fs::create_dir_all(path))
    }

    fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let temporary = path.with_extension("tmp");
        self.0.step_now(&format!("before write {}", file_name(path))).map_err(full)?;
        if self.0.is_full() {
            return Err(full(Hit));
        }
        fs::write(&temporary, &bytes[..bytes.len() / 2])?;
        self.0.step_now(&format!("inside write {}", file_name(path))).map_err(full)?;
        fs::write(&temporary, bytes)?;
        fs::rename(&temporary, path)?;
        self.0.step_now(&format!("after write {}", file_name(path))).map_err(full)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.around("rename", || fs::rename(from, to))
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        self.around("remove_dir", || fs::remove_dir_all(path).or_else(gone))
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.around("remove_file", || fs::remove_file(path).or_else(gone))
    }

    fn append(&self, path: &Path, keep: u64) -> io::Result<Box<dyn Write + Send>> {
        self.0.step_now("append").map_err(full)?;
        let file = crate::RealDisk.append(path, keep)?;
        Ok(Box::new(Appender { file, steps: Arc::clone(&self.0) }))
    }
}

fn gone(error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) }
}

/// Writes in two halves with a step between them.
struct Appender {
    file: Box<dyn Write + Send>,
    steps: Arc<Steps>,
}

impl Write for Appender {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.steps.step_now("before log write").map_err(full)?;
        let half = bytes.len() / 2;
        self.file.write_all(&bytes[..half])?;
        self.steps.step_now("inside log write").map_err(full)?;
        self.file.write_all(&bytes[half..])?;
        self.steps.step_now("after log write").map_err(full)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}
