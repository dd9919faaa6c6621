//! What a disk may hold after a power cut: everything that was synced, and any part of the rest.
//!
//! A file's data is durable once the file was synced, its name once the folder was: no more than POSIX
//! promises. Names change in order, as in a journal; data in any order.

use std::{collections::BTreeMap, ops::Range};

use rand::{RngExt as _, rngs::StdRng};

use super::recording::Event;

/// The files of the folder by name.
pub(super) type Image = BTreeMap<String, Vec<u8>>;
/// The unit that a disk writes atomically.
pub(super) const SECTOR: usize = 512;

/// What the disk keeps of unsynced changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kept {
    Nothing,
    /// Some of the writes.
    Some,
    /// Some of the 512-byte sectors of the writes.
    Torn,
    All,
}

#[derive(Clone, Debug, Default)]
struct File {
    safe: Vec<u8>,
    pending: Vec<Change>,
}

#[derive(Clone, Debug)]
enum NameChange {
    Add(String, usize),
    Remove(String),
}

/// A disk with one folder, empty at first.
#[derive(Clone, Debug, Default)]
pub(super) struct Disk {
    files: Vec<File>,
    /// The file that currently has the inode.
    by_inode: BTreeMap<u64, usize>,
    names: BTreeMap<String, usize>,
    pending_names: Vec<NameChange>,
}

impl Disk {
    /// Applies an event; a sync or write with `counts` false has no effect.
    pub(super) fn apply(&mut self, event: &Event, counts: bool) {
        match event {
            Event::Create { name, inode } => {
                self.by_inode.insert(*inode, self.files.len());
                let change = NameChange::Add(name.clone(), self.files.len());
                self.pending_names.push(change);
                self.files.push(File::default());
            }
            Event::Unlink { name } => {
                self.pending_names.push(NameChange::Remove(name.clone()));
            }
            Event::Write {
                inode,
                offset,
                data,
            } if counts => {
                let (offset, data) = (*offset, data.clone());
                self.file(*inode)
                    .pending
                    .push(Change::Write { offset, data });
            }
            Event::Truncate { inode, size } => {
                self.file(*inode)
                    .pending
                    .push(Change::Truncate { size: *size });
            }
            Event::Sync { inode } if counts => {
                let File { safe, pending } = self.file(*inode);
                pending.drain(..).for_each(|change| change.apply(safe));
            }
            Event::SyncFailed { inode } => self.file(*inode).pending.clear(),
            Event::SyncFolder if counts => {
                let changes = std::mem::take(&mut self.pending_names);
                for change in changes {
                    change.apply(&mut self.names);
                }
            }
            Event::Write { .. } | Event::Sync { .. } | Event::SyncFolder | Event::Reply { .. } => {}
        }
    }

    fn file(&mut self, inode: u64) -> &mut File {
        &mut self.files[self.by_inode[&inode]]
    }

    /// What the disk holds if the power is cut now.
    pub(super) fn image(&self, kept: Kept, dice: &mut StdRng) -> Image {
        let mut names = self.names.clone();
        let changed = match kept {
            Kept::Nothing => 0,
            Kept::Some | Kept::Torn => dice.random_range(0..=self.pending_names.len()),
            Kept::All => self.pending_names.len(),
        };
        for change in &self.pending_names[..changed] {
            change.apply(&mut names);
        }
        let mut content = |file: &usize| {
            let File { safe, pending } = &self.files[*file];
            let mut content = safe.clone();
            // A random share, so that sometimes nearly nothing and sometimes nearly everything is kept.
            let share = dice.random_range(0.0..1.0);
            for change in pending {
                match kept {
                    Kept::Some if dice.random_bool(share) => change.apply(&mut content),
                    Kept::Nothing | Kept::Some => {}
                    Kept::Torn => change.apply_torn(&mut content, || dice.random_bool(share)),
                    Kept::All => change.apply(&mut content),
                }
            }
            content
        };
        let files = names.iter();
        files
            .map(|(name, file)| (name.clone(), content(file)))
            .collect()
    }
}

impl NameChange {
    fn apply(&self, names: &mut BTreeMap<String, usize>) {
        match self {
            Self::Add(name, file) => names.insert(name.clone(), *file),
            Self::Remove(name) => names.remove(name),
        };
    }
}

/// A change of a file that is not yet synced.
#[derive(Clone, Debug)]
pub(super) enum Change {
    Write { offset: usize, data: Vec<u8> },
    Truncate { size: usize },
}

impl Change {
    /// Applies the change; a write only within `part` of the file.
    fn apply_part(&self, file: &mut Vec<u8>, part: &Range<usize>) {
        match self {
            Self::Truncate { size } => file.resize(*size, 0),
            Self::Write { offset, data } => {
                let begin = part.start.max(*offset);
                let end = part.end.min(offset + data.len());
                if begin < end {
                    if file.len() < end {
                        file.resize(end, 0);
                    }
                    file[begin..end].copy_from_slice(&data[begin - offset..end - offset]);
                }
            }
        }
    }

    pub(super) fn apply(&self, file: &mut Vec<u8>) {
        self.apply_part(file, &(0..usize::MAX));
    }

    /// Applies only the sectors of a write that `keep` selects; other changes entirely or not at all.
    pub(super) fn apply_torn(&self, file: &mut Vec<u8>, mut keep: impl FnMut() -> bool) {
        match self {
            Self::Truncate { .. } => {
                if keep() {
                    self.apply(file);
                }
            }
            Self::Write { offset, data } => {
                let sectors = offset / SECTOR..(offset + data.len()).div_ceil(SECTOR);
                for sector in sectors {
                    if keep() {
                        self.apply_part(file, &(sector * SECTOR..(sector + 1) * SECTOR));
                    }
                }
            }
        }
    }
}
