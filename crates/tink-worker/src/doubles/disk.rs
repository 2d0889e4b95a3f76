//! A real directory without syncs, whose calls fail or stop at a step.

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;

use super::Steps;
use super::fault::Hit;
use crate::{Disk, DiskFile, RealDisk};

#[derive(Debug)]
pub(crate) struct FaultyDisk(pub(crate) Arc<Steps>);

fn full(_hit: Hit) -> io::Error {
    io::Error::new(io::ErrorKind::StorageFull, "planned: no space left on device")
}

impl FaultyDisk {
    fn around<T>(&self, name: &str, effect: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        self.0.step_now(&format!("before {name}")).map_err(full)?;
        let done = effect()?;
        self.0.step_now(&format!("after {name}")).map_err(full)?;
        Ok(done)
    }
}

impl Disk for FaultyDisk {
    fn create_dir(&self, path: &Path) -> io::Result<()> {
        self.around("create_dir", || RealDisk.create_dir(path))
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let name = name_of(path);
        self.0.step_now(&format!("create {name}")).map_err(full)?;
        if self.0.is_full() {
            return Err(full(Hit));
        }
        Ok(Box::new(Halves { file: RealDisk.create(path)?, name, steps: Arc::clone(&self.0) }))
    }

    fn append(&self, path: &Path, keep: u64) -> io::Result<Box<dyn DiskFile>> {
        self.0.step_now("append").map_err(full)?;
        Ok(Box::new(Halves { file: RealDisk.append(path, keep)?, name: name_of(path), steps: Arc::clone(&self.0) }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.around(&format!("rename {}", name_of(to)), || RealDisk.rename(from, to))
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        self.around("remove_dir", || RealDisk.remove_dir(path))
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.around("remove_file", || RealDisk.remove_file(path))
    }

    fn sync_dir(&self, _path: &Path) -> io::Result<()> {
        self.0.step_now("sync_dir").map_err(full)
    }

    fn list(&self, path: &Path) -> io::Result<Vec<OsString>> {
        RealDisk.list(path)
    }

    fn read(&self, path: &Path, bytes_max: u64) -> io::Result<Option<Vec<u8>>> {
        RealDisk.read(path, bytes_max)
    }

    fn len(&self, path: &Path) -> io::Result<u64> {
        RealDisk.len(path)
    }
}

/// The name that a file has or is about to get.
fn name_of(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    name.strip_suffix(".tmp").unwrap_or(&name).to_owned()
}

/// Writes in two halves with a step between them.
struct Halves {
    file: Box<dyn DiskFile>,
    name: String,
    steps: Arc<Steps>,
}

impl Write for Halves {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.steps.step_now(&format!("before write {}", self.name)).map_err(full)?;
        let half = bytes.len() / 2;
        self.file.write_all(&bytes[..half])?;
        self.steps.step_now(&format!("inside write {}", self.name)).map_err(full)?;
        self.file.write_all(&bytes[half..])?;
        self.steps.step_now(&format!("after write {}", self.name)).map_err(full)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl DiskFile for Halves {
    fn sync(&mut self) -> io::Result<()> {
        self.steps.step_now(&format!("sync {}", self.name)).map_err(full)
    }
}
