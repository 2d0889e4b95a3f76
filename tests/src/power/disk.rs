//! What is on a disk for sure, and what may be.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context as _, Result};

use super::trace::What;
use crate::crash::Dice;

/// What a disk writes at once.
const SECTOR: u64 = 512;

type Names = BTreeMap<String, usize>;

#[derive(Clone, Debug)]
enum Node {
    File {
        synced: Vec<u8>,
        /// Not synced yet, in order.
        pending: Vec<Change>,
        /// As the program sees it.
        length: u64,
    },
    Directory {
        synced: Names,
        /// As the program sees them.
        names: Names,
    },
}

#[derive(Clone, Debug)]
enum Change {
    Write { at: u64, bytes: Vec<u8> },
    Truncate(u64),
}

/// A change of names, of one directory or of two, which happens as a whole or not at all.
#[derive(Clone, Debug)]
struct Renaming(Vec<(usize, String, Option<usize>)>);

/// The disk. Node 0 is the root.
#[derive(Debug)]
pub(super) struct Disk {
    nodes: Vec<Node>,
    pending: Vec<Renaming>,
}

impl Default for Disk {
    fn default() -> Self {
        Self { nodes: vec![Node::Directory { synced: Names::new(), names: Names::new() }], pending: Vec::new() }
    }
}

impl Disk {
    /// What the program did. What is about a file that the trace does not know is left out.
    pub(super) fn apply(&mut self, what: &What) {
        match what {
            What::Create { path, truncate } => match self.find(path) {
                Some(node) if *truncate => self.change(node, Change::Truncate(0)),
                Some(_) => {}
                None => self.link(path, Node::File { synced: vec![], pending: vec![], length: 0 }),
            },
            What::MakeDir { path } => {
                if self.find(path).is_none() {
                    self.link(path, Node::Directory { synced: Names::new(), names: Names::new() });
                }
            }
            What::Write { path, at, bytes } => {
                let Some(node) = self.find(path) else { return };
                let Some(Node::File { length, .. }) = self.nodes.get(node) else { return };
                let at = at.unwrap_or(*length);
                self.change(node, Change::Write { at, bytes: bytes.clone() });
            }
            What::Truncate { path, length } => {
                if let Some(node) = self.find(path) {
                    self.change(node, Change::Truncate(*length));
                }
            }
            What::Rename { from, to } => {
                let (Some(node), Some(from), Some(to)) = (self.find(from), self.place(from), self.place(to)) else {
                    return;
                };
                self.rename(vec![(from.0, from.1, None), (to.0, to.1, Some(node))]);
            }
            What::Remove { path } => {
                if let Some((directory, name)) = self.place(path) {
                    self.rename(vec![(directory, name, None)]);
                }
            }
            What::Sync { path } => {
                if let Some(node) = self.find(path) {
                    self.sync(node);
                }
            }
        }
    }

    fn find(&self, path: &Path) -> Option<usize> {
        path.iter().try_fold(0, |at, name| match self.nodes.get(at)? {
            Node::Directory { names, .. } => names.get(name.to_str()?).copied(),
            Node::File { .. } => None,
        })
    }

    /// The directory of a path, and its name in it.
    fn place(&self, path: &Path) -> Option<(usize, String)> {
        Some((self.find(path.parent()?)?, path.file_name()?.to_str()?.to_owned()))
    }

    fn link(&mut self, path: &Path, node: Node) {
        let Some((directory, name)) = self.place(path) else { return };
        self.nodes.push(node);
        let node = self.nodes.len() - 1;
        self.rename(vec![(directory, name, Some(node))]);
    }

    fn rename(&mut self, changes: Vec<(usize, String, Option<usize>)>) {
        for (directory, name, node) in &changes {
            if let Some(Node::Directory { names, .. }) = self.nodes.get_mut(*directory) {
                set(names, name, *node);
            }
        }
        self.pending.push(Renaming(changes));
    }

    fn change(&mut self, node: usize, change: Change) {
        let Some(Node::File { pending, length, .. }) = self.nodes.get_mut(node) else { return };
        match &change {
            Change::Write { at, bytes } => *length = (*length).max(at + bytes.len() as u64),
            Change::Truncate(to) => *length = *to,
        }
        pending.push(change);
    }

    fn sync(&mut self, node: usize) {
        match self.nodes.get_mut(node) {
            Some(Node::File { synced, pending, .. }) => {
                for change in pending.drain(..) {
                    carry_out(synced, &change);
                }
            }
            Some(Node::Directory { .. }) => {
                let touches = |renaming: &Renaming| renaming.0.iter().any(|(directory, ..)| *directory == node);
                let (now, later) = std::mem::take(&mut self.pending).into_iter().partition(touches);
                self.pending = later;
                self.settle(now);
            }
            None => {}
        }
    }

    fn settle(&mut self, renamings: Vec<Renaming>) {
        for (directory, name, node) in renamings.into_iter().flat_map(|renaming| renaming.0) {
            if let Some(Node::Directory { synced, .. }) = self.nodes.get_mut(directory) {
                set(synced, &name, node);
            }
        }
    }

    /// The power is cut: of what was not synced nothing is there, or all, or the first part, or any part.
    pub(super) fn survive(&mut self, dice: &mut Dice) {
        let mode = dice.below(4);
        let pending = std::mem::take(&mut self.pending);
        let survivors = survivors(pending, mode, dice);
        self.settle(survivors);
        for node in &mut self.nodes {
            if let Node::File { synced, pending, .. } = node {
                for change in survivors_torn(std::mem::take(pending), mode, dice) {
                    carry_out(synced, &change);
                }
            }
        }
    }

    /// Writes it into a directory.
    pub(super) fn write(&self, to: &Path) -> Result<()> {
        self.write_node(0, to)
    }

    fn write_node(&self, node: usize, to: &Path) -> Result<()> {
        match self.nodes.get(node) {
            Some(Node::File { synced, .. }) => {
                std::fs::write(to, synced).with_context(|| format!("failed to write {}", to.display()))
            }
            Some(Node::Directory { synced, .. }) => {
                std::fs::create_dir_all(to).with_context(|| format!("failed to make {}", to.display()))?;
                synced.iter().try_for_each(|(name, node)| self.write_node(*node, &to.join(name)))
            }
            None => Ok(()),
        }
    }
}

fn set(names: &mut Names, name: &str, node: Option<usize>) {
    match node {
        Some(node) => drop(names.insert(name.to_owned(), node)),
        None => drop(names.remove(name)),
    }
}

fn survivors<T>(all: Vec<T>, mode: u64, dice: &mut Dice) -> Vec<T> {
    let first = dice.below(all.len() as u64 + 1);
    let mut nth = 0;
    all.into_iter()
        .filter(|_| {
            nth += 1;
            match mode {
                0 => false,
                1 => true,
                2 => nth <= first,
                _ => dice.percent(50),
            }
        })
        .collect()
}

/// Any part in the last mode includes any part of the sectors of a write.
fn survivors_torn(all: Vec<Change>, mode: u64, dice: &mut Dice) -> Vec<Change> {
    let kept = survivors(all, mode, dice);
    if mode != 3 {
        return kept;
    }
    let mut torn = Vec::new();
    for change in kept {
        match change {
            Change::Write { at, bytes } => {
                let mut start = 0;
                while start < bytes.len() {
                    let to_boundary = SECTOR - (at + start as u64) % SECTOR;
                    let end = (start + usize::try_from(to_boundary).unwrap_or(1)).min(bytes.len());
                    if dice.percent(70) {
                        torn.push(Change::Write { at: at + start as u64, bytes: bytes[start..end].to_vec() });
                    }
                    start = end;
                }
            }
            other => torn.push(other),
        }
    }
    torn
}

fn carry_out(content: &mut Vec<u8>, change: &Change) {
    match change {
        Change::Truncate(length) => content.resize(usize::try_from(*length).unwrap_or(0), 0),
        Change::Write { at, bytes } => {
            let start = usize::try_from(*at).unwrap_or(0);
            let end = start + bytes.len();
            if content.len() < end {
                content.resize(end, 0);
            }
            content[start..end].copy_from_slice(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn disk(operations: &[What]) -> Disk {
        let mut disk = Disk::default();
        operations.iter().for_each(|what| disk.apply(what));
        disk
    }

    /// Every disk there may be, as far as many seeds show.
    fn seen(operations: &[What]) -> std::collections::BTreeSet<Option<Vec<u8>>> {
        (0..200)
            .map(|seed| {
                let mut disk = disk(operations);
                disk.survive(&mut Dice::new(seed));
                let dir = tempfile::tempdir().unwrap();
                disk.write(dir.path()).unwrap();
                std::fs::read(dir.path().join("f")).ok()
            })
            .collect()
    }

    fn created() -> What {
        What::Create { path: "f".into(), truncate: true }
    }

    fn written(text: &str) -> What {
        What::Write { path: "f".into(), at: None, bytes: text.as_bytes().to_vec() }
    }

    #[test]
    fn what_was_not_synced_may_be_there_or_not() {
        let seen = seen(&[created(), written("a")]);
        assert_eq!(seen, [None, Some(vec![]), Some(b"a".to_vec())].into());
    }

    #[test]
    fn a_synced_file_without_a_synced_name_may_be_gone_but_not_empty() {
        let seen = seen(&[created(), written("a"), What::Sync { path: "f".into() }]);
        assert_eq!(seen, [None, Some(b"a".to_vec())].into());
    }

    #[test]
    fn what_was_synced_with_its_name_is_there() {
        let all = [created(), written("a"), What::Sync { path: "f".into() }, What::Sync { path: "".into() }];
        assert_eq!(seen(&all), [Some(b"a".to_vec())].into());
    }

    #[test]
    fn a_renamed_file_is_the_old_one_or_the_new_one() {
        let all = [
            created(),
            written("old"),
            What::Sync { path: "f".into() },
            What::Sync { path: "".into() },
            What::Create { path: "g".into(), truncate: true },
            What::Write { path: "g".into(), at: None, bytes: b"new".to_vec() },
            What::Sync { path: "g".into() },
            What::Rename { from: "g".into(), to: "f".into() },
        ];
        assert_eq!(seen(&all), [Some(b"new".to_vec()), Some(b"old".to_vec())].into());
    }

    #[test]
    fn a_write_may_be_torn_at_a_sector() {
        let all = [
            created(),
            What::Sync { path: "".into() },
            What::Write { path: "f".into(), at: Some(0), bytes: vec![1; 1024] },
        ];
        let torn = seen(&all).into_iter().flatten().any(|content| content.len() == 1024 && content[0] != content[1023]);
        assert!(torn);
    }
}
