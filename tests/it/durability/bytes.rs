//! A file of the disk model: bytes that can be overwritten and truncated.

use std::ops::Range;

/// The unit that a disk writes atomically.
pub(super) const SECTOR: usize = 512;

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
