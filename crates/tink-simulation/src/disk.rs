//! A machine's disk: what was not synced is there until the power goes, and then as it happens.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io::{self, Write};
use std::path::{Component, Path};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tink_worker::{Disk, DiskFile};

use crate::life::Life;
use crate::random::Random;

type Names = BTreeMap<OsString, usize>;

#[derive(Debug)]
enum Node {
    Directory { names: Names, synced: Names },
    File { content: Vec<u8>, synced: Vec<u8>, lost: bool },
}

#[derive(Debug)]
struct State {
    nodes: Vec<Node>,
    full: bool,
    /// Syncs that fail, of a thousand.
    failing: u64,
    /// Whether anything went wrong that may cost output.
    hurt: bool,
}

/// What is on the platter; it outlives every process of its machine.
#[derive(Clone, Debug)]
pub struct Platter {
    state: Arc<Mutex<State>>,
    random: Random,
}

impl Platter {
    /// An empty disk.
    #[must_use]
    pub fn new(random: Random) -> Self {
        let state = State { nodes: vec![directory()], full: false, failing: 0, hurt: false };
        Self { state: Arc::new(Mutex::new(state)), random }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on it takes nothing new, or everything again.
    pub fn set_full(&self, full: bool) {
        let mut state = self.lock();
        state.full = full;
        state.hurt |= full;
    }

    /// From now on so many syncs of a thousand fail.
    pub fn set_failing(&self, permille: u64) {
        let mut state = self.lock();
        state.failing = permille;
        state.hurt |= permille > 0;
    }

    /// Whether output may be missing for a reason that nobody can help.
    #[must_use]
    pub fn is_hurt(&self) -> bool {
        self.lock().hurt
    }

    /// Everything is gone, as with a disk that is RAM.
    pub fn wipe(&self) {
        let mut state = self.lock();
        state.nodes = vec![directory()];
        state.hurt = true;
    }

    /// The power goes: each directory and each file is as it was synced, or as it was last, or (a file) cut short.
    pub fn lose_power(&self) {
        let mut guard = self.lock();
        let state = &mut *guard;
        state.hurt = true;
        for node in &mut state.nodes {
            match node {
                Node::Directory { names, synced } => {
                    if *names != *synced && self.random.chance(500) {
                        names.clone_from(synced);
                    }
                    synced.clone_from(names);
                }
                Node::File { content, synced, lost } => {
                    if *content != *synced {
                        match self.random.below(3) {
                            0 => {}
                            1 => content.clone_from(synced),
                            _ => {
                                let end = usize::try_from(self.random.below(content.len() as u64 + 1)).unwrap_or(0);
                                content.truncate(end);
                            }
                        }
                    }
                    synced.clone_from(content);
                    *lost = false;
                }
            }
        }
    }

    /// The content of a file.
    #[must_use]
    pub fn read(&self, path: &Path) -> Option<Vec<u8>> {
        self.lock().content(path).ok().cloned()
    }

    /// The names in a directory.
    #[must_use]
    pub fn list(&self, path: &Path) -> Vec<OsString> {
        self.lock().names(path).map(|names| names.keys().cloned().collect()).unwrap_or_default()
    }
}

fn directory() -> Node {
    Node::Directory { names: Names::new(), synced: Names::new() }
}

fn not_found() -> io::Error {
    io::Error::from(io::ErrorKind::NotFound)
}

fn parts(path: &Path) -> impl Iterator<Item = &OsStr> {
    path.components().filter_map(|part| match part {
        Component::Normal(name) => Some(name),
        _ => None,
    })
}

fn split(path: &Path) -> io::Result<(&Path, &OsStr)> {
    Ok((path.parent().ok_or_else(not_found)?, path.file_name().ok_or_else(not_found)?))
}

impl State {
    fn find(&self, path: &Path) -> io::Result<usize> {
        let mut at = 0;
        for name in parts(path) {
            let Some(Node::Directory { names, .. }) = self.nodes.get(at) else { return Err(not_found()) };
            at = *names.get(name).ok_or_else(not_found)?;
        }
        Ok(at)
    }

    fn names(&self, path: &Path) -> io::Result<&Names> {
        match &self.nodes[self.find(path)?] {
            Node::Directory { names, .. } => Ok(names),
            Node::File { .. } => Err(io::Error::from(io::ErrorKind::NotADirectory)),
        }
    }

    fn names_mut(&mut self, path: &Path) -> io::Result<&mut Names> {
        let at = self.find(path)?;
        match &mut self.nodes[at] {
            Node::Directory { names, .. } => Ok(names),
            Node::File { .. } => Err(io::Error::from(io::ErrorKind::NotADirectory)),
        }
    }

    fn content(&self, path: &Path) -> io::Result<&Vec<u8>> {
        match &self.nodes[self.find(path)?] {
            Node::File { content, .. } => Ok(content),
            Node::Directory { .. } => Err(io::Error::from(io::ErrorKind::IsADirectory)),
        }
    }

    fn make(&mut self, path: &Path, node: Node) -> io::Result<usize> {
        let (parent, name) = split(path)?;
        let at = self.nodes.len();
        self.names_mut(parent)?.insert(name.to_owned(), at);
        self.nodes.push(node);
        Ok(at)
    }
}

/// A process's view of its machine's disk. After the process is dead, nothing has an effect any more.
#[derive(Clone, Debug)]
pub struct SimulatedDisk {
    platter: Platter,
    life: Life,
}

impl SimulatedDisk {
    /// The disk as `life` sees it.
    #[must_use]
    pub fn new(platter: Platter, life: Life) -> Self {
        Self { platter, life }
    }

    fn step(&self) -> io::Result<MutexGuard<'_, State>> {
        if self.life.step() { Ok(self.platter.lock()) } else { Err(io::Error::other("this process is dead")) }
    }

    fn step_with_room(&self) -> io::Result<MutexGuard<'_, State>> {
        let state = self.step()?;
        if state.full { Err(io::Error::from(io::ErrorKind::StorageFull)) } else { Ok(state) }
    }
}

impl Disk for SimulatedDisk {
    fn may_block(&self) -> bool {
        false
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        let mut state = self.step()?;
        let mut at = Path::new("/").to_path_buf();
        for name in parts(path) {
            at.push(name);
            if state.find(&at).is_err() {
                if state.full {
                    return Err(io::Error::from(io::ErrorKind::StorageFull));
                }
                state.make(&at, directory())?;
            }
        }
        Ok(())
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let mut state = self.step_with_room()?;
        let node = match state.find(path) {
            Ok(node) => {
                if let Node::File { content, lost, .. } = &mut state.nodes[node] {
                    content.clear();
                    // What is written anew is dirty anew.
                    *lost = false;
                }
                node
            }
            Err(_) => state.make(path, Node::File { content: Vec::new(), synced: Vec::new(), lost: false })?,
        };
        drop(state);
        Ok(Box::new(OpenFile { disk: self.clone(), node }))
    }

    fn append(&self, path: &Path, keep: u64) -> io::Result<Box<dyn DiskFile>> {
        let mut state = self.step_with_room()?;
        let node = match state.find(path) {
            Ok(node) => node,
            Err(_) => state.make(path, Node::File { content: Vec::new(), synced: Vec::new(), lost: false })?,
        };
        if let Node::File { content, .. } = &mut state.nodes[node] {
            content.truncate(usize::try_from(keep).unwrap_or(usize::MAX));
        }
        drop(state);
        Ok(Box::new(OpenFile { disk: self.clone(), node }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.step()?;
        let (from_parent, from_name) = split(from)?;
        let (to_parent, to_name) = split(to)?;
        let node = *state.names(from_parent)?.get(from_name).ok_or_else(not_found)?;
        state.names(to_parent)?;
        state.names_mut(from_parent)?.remove(from_name);
        state.names_mut(to_parent)?.insert(to_name.to_owned(), node);
        Ok(())
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        self.remove_file(path)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        let mut state = self.step()?;
        let (parent, name) = split(path)?;
        match state.names_mut(parent) {
            Ok(names) => {
                names.remove(name);
                Ok(())
            }
            Err(_) => Ok(()),
        }
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        let mut state = self.step()?;
        if self.platter.random.chance(state.failing) {
            return Err(io::Error::other("the sync failed"));
        }
        let at = state.find(path)?;
        if let Node::Directory { names, synced } = &mut state.nodes[at] {
            synced.clone_from(names);
        }
        Ok(())
    }

    fn list(&self, path: &Path) -> io::Result<Vec<OsString>> {
        Ok(self.step()?.names(path)?.keys().cloned().collect())
    }

    fn read(&self, path: &Path, bytes_max: u64) -> io::Result<Option<Vec<u8>>> {
        let state = self.step()?;
        match state.content(path) {
            Ok(content) => {
                let end = content.len().min(usize::try_from(bytes_max).unwrap_or(usize::MAX));
                Ok(Some(content[..end].to_vec()))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn len(&self, path: &Path) -> io::Result<u64> {
        self.step()?.content(path).map(|content| content.len() as u64)
    }
}

struct OpenFile {
    disk: SimulatedDisk,
    node: usize,
}

impl Write for OpenFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // In two halves: a process may die, and a disk fill up, between them.
        let half = bytes.len() / 2;
        for part in [&bytes[..half], &bytes[half..]] {
            let mut state = self.disk.step_with_room()?;
            // A disk that was wiped took the file with it.
            if let Some(Node::File { content, .. }) = state.nodes.get_mut(self.node) {
                content.extend_from_slice(part);
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl DiskFile for OpenFile {
    fn sync(&mut self) -> io::Result<()> {
        let mut state = self.disk.step()?;
        let fails = self.disk.platter.random.chance(state.failing);
        if let Some(Node::File { content, synced, lost }) = state.nodes.get_mut(self.node) {
            // As with Linux: after a sync that failed, the next one says nothing and what it was about is lost.
            if fails {
                *lost = true;
                return Err(io::Error::other("the sync failed"));
            }
            if !*lost {
                synced.clone_from(content);
            }
        }
        Ok(())
    }
}
