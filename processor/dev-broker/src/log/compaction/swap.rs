//! How compacted segments take the place of the old ones, so that a crash at any step leaves one or the other.
//!
//! 1. `.cleaned` is written and brought to the disk. Until it has another name, opening the log removes it.
//! 2. It is renamed to `.swap`, with the offsets that it covers in the name. From now on opening the log goes on with what follows.
//! 3. The sidecar of the first old segment is removed, and all files of the others.
//! 4. `.swap` is renamed to be the first segment.
//! 5. A sidecar is written. Without it, opening the log reads the segment and writes one.

use std::path::{Path, PathBuf};

use crate::log::compaction::Cleaned;
use crate::log::error::{Doing, LogError};
use crate::log::files;
use crate::log::log::Log;

impl Log {
    /// Puts `cleaned` in the place of closed segments: steps 2 to 5.
    pub(super) fn swap_in(&mut self, first: usize, count: usize, cleaned: Cleaned) -> Result<(), LogError> {
        let base = cleaned.segment.base_offset;
        let end = self.end_of(first + count - 1);
        let replaced: Vec<_> =
            self.closed.range(first..first + count).map(|segment| segment.base_offset).collect();
        let swap = files::swap_path(&self.dir, base, end);
        files::rename(&cleaned.path, &swap).doing("rename", &cleaned.path)?;
        self.is_halted = true;
        files::sync_dir(&self.dir).doing("sync", &self.dir)?;
        complete_swap(&self.dir, base, end, replaced)?;
        self.closed.drain(first + 1..first + count);
        self.closed[first] = cleaned.segment;
        self.aborted.forget(&cleaned.spent_markers);
        self.is_halted = false;
        self.closed[first].write_index(&self.dir, end, &self.aborted, self.config.fsync)
    }
}

/// Steps 3 and 4, which may have been done in part. `replaced` are the base offsets of the old segments that are still there.
pub(in crate::log) fn complete_swap(
    dir: &Path,
    base: i64,
    end: i64,
    replaced: impl IntoIterator<Item = i64>,
) -> Result<(), LogError> {
    let remove = |path: PathBuf| files::remove(&path).doing("remove", &path);
    // The new segment may happen to be as long as the old one, which is what an index is known by.
    remove(files::index_path(dir, base))?;
    for other in replaced.into_iter().filter(|it| *it != base) {
        remove(files::segment_path(dir, other))?;
        remove(files::index_path(dir, other))?;
        remove(files::producers_path(dir, other))?;
    }
    let swap = files::swap_path(dir, base, end);
    files::rename(&swap, &files::segment_path(dir, base)).doing("rename", &swap)?;
    files::sync_dir(dir).doing("sync", dir)
}
