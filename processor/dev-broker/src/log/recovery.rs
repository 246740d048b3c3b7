//! Opening a log, whatever state its files are in.
//!
//! A process that was killed leaves a prefix of what it wrote: at most the last batches of the active segment are incomplete, and those were
//! not acknowledged. They are cut off. Anything else that is wrong is damage, and the log ends before it, as Apache Kafka's does; but what
//! is taken out of the log by that stays beside it in `*.broken` files, for it may have been acknowledged.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{self, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use crate::log::aborted::{AbortedTransaction, AbortedTransactions};
use crate::log::batch::BatchError;
use crate::log::checkpoint::Checkpoint;
use crate::log::compaction;
use crate::log::config::LogConfig;
use crate::log::error::{Doing, LogError};
use crate::log::files::{self, FileKind};
use crate::log::log::Log;
use crate::log::marker::Outcome;
use crate::log::producers::Producers;
use crate::log::scan::{Damage, Scan};
use crate::log::segment::Segment;
use crate::log::sidecar::{self, SegmentIndex};

/// What [`Log::open`] found.
#[derive(Debug, Default)]
pub(crate) struct Recovery {
    pub(crate) segments: usize,
    /// Those that had to be read; the last one always is.
    pub(crate) segments_scanned: usize,
    /// Taken off the end of a segment.
    pub(crate) bytes_cut: u64,
    /// Why, unless a batch was merely incomplete.
    pub(crate) damage: Option<BatchError>,
    /// Files that hold what was taken out of the log because of the damage.
    pub(crate) set_aside: Vec<PathBuf>,
    /// Compactions that had been interrupted after they were decided.
    pub(crate) compactions_completed: usize,
    /// The checkpoint cannot be read. Records that were deleted by offset may be back, down to the start of their segment.
    pub(crate) is_checkpoint_lost: bool,
}

impl Log {
    /// Opens the log in `dir`, and makes both if they are not there. No other process may have it open.
    ///
    /// Reads the active segment and those without a valid sidecar, in constant memory but for what is kept of them.
    pub(crate) fn open(dir: &Path, config: LogConfig) -> Result<(Log, Recovery), LogError> {
        fs::create_dir_all(dir).doing("create", dir)?;
        let mut recovery = Recovery::default();
        let checkpoint = Checkpoint::read(dir).doing("read the checkpoint in", dir)?;
        recovery.is_checkpoint_lost = checkpoint.is_none();
        let checkpoint = checkpoint.unwrap_or_default();
        complete_compactions(dir, &mut recovery)?;
        let mut bases = tidy_up(dir)?;
        if bases.is_empty() {
            bases.push(checkpoint.start_offset);
        }
        let loader = Loader { dir, config: &config, bases: &bases, recovery: &mut recovery };
        let Loaded { mut segments, mut producers, aborted, mut next_offset } = loader.load()?;
        if next_offset < checkpoint.start_offset {
            // The end was lost after everything had been deleted up to it. Offsets are not given twice.
            for segment in segments.drain(..) {
                let path = segment.path(dir);
                recovery.bytes_cut += segment.size_bytes;
                files::remove(&path).doing("remove", &path)?;
            }
            next_offset = checkpoint.start_offset;
            producers = Producers::default();
        }
        let active =
            segments.pop_back().unwrap_or_else(|| Segment::new(next_offset, config.index_interval_bytes));
        let path = active.path(dir);
        let file = files::open_segment(&path).doing("open", &path)?;
        if config.fsync {
            files::sync_dir(dir).doing("sync", dir)?;
        }
        let first_base = segments.front().unwrap_or(&active).base_offset;
        let start_offset = checkpoint.start_offset.max(first_base);
        let mut log = Log {
            dir: dir.to_owned(),
            closed: segments,
            file,
            start_offset,
            next_offset,
            cleaned_to: checkpoint.cleaned_to.clamp(first_base, active.base_offset),
            producers,
            aborted,
            roll_from_ms: active.first_timestamp_ms.filter(|it| *it >= 0),
            synced_to: first_base,
            is_halted: false,
            active,
            config,
        };
        log.aborted.forget_below(start_offset);
        recovery.segments = log.segments().count();
        Ok((log, recovery))
    }
}

/// Swaps in the segments that were compacted and on the disk when the process died.
fn complete_compactions(dir: &Path, recovery: &mut Recovery) -> Result<(), LogError> {
    let found = files::list(dir).doing("list", dir)?;
    let bases: Vec<_> = segment_bases(&found);
    let mut swaps: Vec<_> = found
        .into_iter()
        .filter_map(|(kind, path)| match kind {
            FileKind::Swap { base, end } => Some((base, end, path)),
            FileKind::Segment { .. }
            | FileKind::Index { .. }
            | FileKind::Producers { .. }
            | FileKind::Unfinished => None,
        })
        .collect();
    swaps.sort_unstable();
    for (base, end, path) in swaps {
        if is_whole(&path, base, end)? {
            let replaced = bases.iter().copied().filter(|it| (base..end).contains(it));
            compaction::complete_swap(dir, base, end, replaced)?;
            recovery.compactions_completed += 1;
        } else {
            // It was on the disk before it got its name, so this is damage; what it would have replaced may still be there.
            recovery.set_aside.push(files::set_aside(&path).doing("set aside", &path)?);
        }
    }
    Ok(())
}

fn is_whole(path: &Path, base: i64, end: i64) -> Result<bool, LogError> {
    let mut scan = Scan::open(path, 0, file_bytes(path)?)?;
    let mut lowest = base;
    while let Some((header, _)) = match scan.next_checked()? {
        Ok(next) => next,
        Err(_) => return Ok(false),
    } {
        if header.base_offset < lowest || header.last_offset() >= end {
            return Ok(false);
        }
        lowest = header.last_offset() + 1;
    }
    Ok(true)
}

/// Removes what was not finished and what belongs to no segment. The base offsets of the segments, in order.
fn tidy_up(dir: &Path) -> Result<Vec<i64>, LogError> {
    let found = files::list(dir).doing("list", dir)?;
    let bases = segment_bases(&found);
    for (kind, path) in found {
        let is_stray = match kind {
            FileKind::Segment { .. } | FileKind::Swap { .. } => false,
            FileKind::Index { base } | FileKind::Producers { base } => bases.binary_search(&base).is_err(),
            FileKind::Unfinished => true,
        };
        if is_stray {
            files::remove(&path).doing("remove", &path)?;
        }
    }
    Ok(bases)
}

fn segment_bases(found: &[(FileKind, PathBuf)]) -> Vec<i64> {
    let mut bases: Vec<_> = found
        .iter()
        .filter_map(|(kind, _)| match kind {
            FileKind::Segment { base } => Some(*base),
            FileKind::Index { .. }
            | FileKind::Producers { .. }
            | FileKind::Swap { .. }
            | FileKind::Unfinished => None,
        })
        .collect();
    bases.sort_unstable();
    bases
}

fn file_bytes(path: &Path) -> Result<u64, LogError> {
    match path.metadata() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
        metadata => Ok(metadata.doing("inspect", path)?.len()),
    }
}

/// What the files hold.
struct Loaded {
    segments: VecDeque<Segment>,
    producers: Producers,
    aborted: AbortedTransactions,
    next_offset: i64,
}

/// Loads the segments that begin at `bases`.
struct Loader<'a> {
    dir: &'a Path,
    config: &'a LogConfig,
    bases: &'a [i64],
    recovery: &'a mut Recovery,
}

impl Loader<'_> {
    fn load(mut self) -> Result<Loaded, LogError> {
        let plan = self.plan()?;
        let mut loaded = Loaded {
            segments: VecDeque::new(),
            producers: Producers::default(),
            aborted: AbortedTransactions::default(),
            next_offset: self.bases[0],
        };
        let mut was_scanned = false;
        for (nth, SegmentPlan { index, producers }) in plan.into_iter().enumerate() {
            let base = self.bases[nth];
            loaded.next_offset = base;
            if let Some(index) = index {
                index.aborted.iter().for_each(|it| loaded.aborted.push(*it));
                loaded.segments.push_back(Segment::from_index(base, index));
                was_scanned = false;
                continue;
            }
            match producers {
                Some(producers) => loaded.producers = producers,
                // What was found below goes on, and next time it need not be looked for.
                None if was_scanned => {
                    let path = files::producers_path(self.dir, base);
                    sidecar::write_producers(&path, &loaded.producers, self.config.fsync)
                        .doing("write", &path)?;
                }
                None => loaded.producers = Producers::default(),
            }
            was_scanned = true;
            let is_damaged = self.scan(nth, &mut loaded)?;
            if is_damaged {
                break;
            }
        }
        Ok(loaded)
    }

    /// Which segments have to be read: the last one, those without a valid index, and those below them down to where the state of the
    /// producers is known.
    fn plan(&self) -> Result<Vec<SegmentPlan>, LogError> {
        let mut plan = Vec::new();
        let mut needs_state = false;
        for nth in (0..self.bases.len()).rev() {
            let is_last = nth + 1 == self.bases.len();
            let index = if is_last || needs_state { None } else { self.index(nth)? };
            let path = files::producers_path(self.dir, self.bases[nth]);
            let producers = match index {
                Some(_) => None,
                None => sidecar::read_producers(&path).doing("read", &path)?,
            };
            needs_state = index.is_none() && producers.is_none();
            plan.push(SegmentPlan { index, producers });
        }
        plan.reverse();
        Ok(plan)
    }

    fn index(&self, nth: usize) -> Result<Option<SegmentIndex>, LogError> {
        let (base, end) = (self.bases[nth], self.bases[nth + 1]);
        let path = files::index_path(self.dir, base);
        let segment_bytes = file_bytes(&files::segment_path(self.dir, base))?;
        let index = SegmentIndex::read(&path).doing("read", &path)?;
        Ok(index.filter(|it| {
            it.segment_bytes == segment_bytes
                && it.entries.iter().all(|it| (base..end).contains(&it.offset))
                && it.aborted.iter().all(|it| (base..end).contains(&it.marker_offset))
        }))
    }

    /// Reads a segment and cuts off what cannot be read. Whether it was damaged, so that what follows does not follow any more.
    fn scan(&mut self, nth: usize, loaded: &mut Loaded) -> Result<bool, LogError> {
        self.recovery.segments_scanned += 1;
        let base = self.bases[nth];
        let next_base = self.bases.get(nth + 1).copied();
        let path = files::segment_path(self.dir, base);
        let bytes = file_bytes(&path)?;
        let mut segment = Segment::new(base, self.config.index_interval_bytes);
        let damage = if bytes == 0 {
            None
        } else {
            let mut scan = Scan::open(&path, 0, bytes)?;
            self.scan_batches(&mut scan, next_base, &mut segment, loaded)?
        };
        if let Some(damage) = &damage {
            // First, so that a crash in between leaves the damage for the next opening to find.
            self.set_aside_from(nth + 1)?;
            self.cut(&path, bytes, damage, next_base.is_none())?;
        } else if let Some(end) = next_base {
            segment.write_index(self.dir, end, &loaded.aborted, self.config.fsync)?;
        }
        loaded.segments.push_back(segment);
        Ok(damage.is_some())
    }

    fn scan_batches(
        &self,
        scan: &mut Scan,
        next_base: Option<i64>,
        segment: &mut Segment,
        loaded: &mut Loaded,
    ) -> Result<Option<Damage>, LogError> {
        loop {
            let position = scan.position();
            let (header, marker) = match scan.next_checked()? {
                Ok(Some(next)) => next,
                Ok(None) => return Ok(None),
                Err(damage) => return Ok(Some(damage)),
            };
            let (base, last) = (header.base_offset, header.last_offset());
            if base < loaded.next_offset {
                let error = BatchError::Overlap { base, lowest: loaded.next_offset };
                return Ok(Some(Damage { position, error }));
            }
            if let Some(next_base) = next_base.filter(|it| last >= *it) {
                return Ok(Some(Damage { position, error: BatchError::BeyondSegment { last, next_base } }));
            }
            segment.observe(&header);
            loaded.next_offset = last + 1;
            let ended = loaded.producers.replay(&header, marker);
            if let Some(ended) = ended.filter(|it| it.outcome == Outcome::Abort) {
                loaded.aborted.push(AbortedTransaction {
                    producer_id: ended.producer_id,
                    first_offset: ended.first_offset,
                    marker_offset: ended.marker_offset,
                    last_stable_offset: loaded.producers.first_open_offset().unwrap_or(last + 1),
                });
            }
        }
    }

    fn cut(&mut self, path: &Path, bytes: u64, damage: &Damage, is_last: bool) -> Result<(), LogError> {
        let is_torn = is_last && matches!(damage.error, BatchError::Truncated { .. });
        if !is_torn {
            let mut file = File::open(path).doing("open", path)?;
            file.seek(SeekFrom::Start(damage.position)).doing("read", path)?;
            let aside = files::free_broken_path(path);
            let mut copy = files::create(&aside).doing("create", &aside)?;
            io::copy(&mut file, &mut copy).doing("write", &aside)?;
            copy.sync_all().doing("sync", &aside)?;
            self.recovery.set_aside.push(aside);
            self.recovery.damage = Some(damage.error.clone());
        }
        self.recovery.bytes_cut += bytes - damage.position;
        let file = files::open_segment(path).doing("open", path)?;
        file.set_len(damage.position).doing("cut", path)?;
        file.sync_all().doing("sync", path)
    }

    /// Takes the segments from the `nth` on out of the log. Offsets between two segments would otherwise be missing without a word.
    fn set_aside_from(&mut self, nth: usize) -> Result<(), LogError> {
        for &base in self.bases.iter().skip(nth).rev() {
            let path = files::segment_path(self.dir, base);
            self.recovery.set_aside.push(files::set_aside(&path).doing("set aside", &path)?);
            for path in [files::index_path(self.dir, base), files::producers_path(self.dir, base)] {
                files::remove(&path).doing("remove", &path)?;
            }
        }
        Ok(())
    }
}

/// How a segment is loaded: by its index, or else by reading it, from these producers on if they are known.
struct SegmentPlan {
    index: Option<SegmentIndex>,
    producers: Option<Producers>,
}
