//! Opening a log after it was closed, killed or damaged.

use std::fs;
use std::path::{Path, PathBuf};

use crate::log::batch::BatchError;
use crate::log::batch::HEADER_BYTES;
use crate::log::files::{self, faults};
use crate::log::testing::{BatchBuilder, Fixture, Seen, append, one, read_all, read_committed};
use crate::log::{AppendError, Log, LogConfig, LogError, Outcome};

/// A few producers' batches, with transactions of both outcomes, one of them open.
fn fill(log: &mut Log) {
    for nth in 0..6 {
        append(
            log,
            &BatchBuilder::new().record(Some("plain"), Some("v"), i64::from(nth)).record(None, None, 0),
        );
        let batch = |id| BatchBuilder::new().producer(id, 0, nth).record(Some("k"), Some("value"), 5);
        append(log, &batch(1));
        append(log, &batch(2).transactional());
        append(log, &batch(3).transactional());
        let outcome = if nth % 2 == 0 { Outcome::Abort } else { Outcome::Commit };
        log.append_marker(2, 0, 0, outcome, 0).unwrap();
    }
}

/// Everything that a caller can see.
fn state(log: &Log) -> String {
    let mut producers: Vec<_> = log.producers().collect();
    producers.sort_by_key(|it| it.0);
    format!(
        "{} {} {} {:?} {:?} {:?} {:?} {:?}",
        log.start_offset(),
        log.end_offset(),
        log.last_stable_offset(),
        producers,
        log.open_transactions().collect::<Vec<_>>(),
        log.aborted(log.start_offset(), log.end_offset()),
        read_all(log),
        read_committed(log, log.start_offset(), 500),
    )
}

/// The expiry of producers goes by the time of the append, which no file has.
fn without_times(mut log: Log) -> Log {
    let producers: Vec<_> = log.producers().map(|(id, it)| (id, it.clone())).collect();
    for (id, mut producer) in producers {
        producer.last_timestamp_ms = 0;
        log.producers.restore(id, producer);
    }
    log
}

fn copy(from: &Path) -> tempfile::TempDir {
    let to = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), to.path().join(entry.file_name())).unwrap();
    }
    to
}

fn small_segments() -> Fixture {
    Fixture::new(|it| it.segment_bytes = 500)
}

fn files_with(dir: &Path, ending: &str) -> Vec<PathBuf> {
    let names = fs::read_dir(dir).unwrap().map(|it| it.unwrap().path());
    let mut found: Vec<_> = names.filter(|it| it.to_str().unwrap().ends_with(ending)).collect();
    found.sort();
    found
}

#[test]
fn a_log_is_the_same_after_a_restart_and_only_the_active_segment_is_read() {
    let fixture = small_segments();
    let mut log = fixture.open();
    fill(&mut log);
    log.flush().unwrap();
    let before = state(&without_times(log));
    let (log, recovery) = fixture.recover();
    assert!(recovery.segments > 3);
    assert_eq!((recovery.segments_scanned, recovery.bytes_cut), (1, 0));
    assert!(recovery.damage.is_none() && recovery.set_aside.is_empty());
    assert_eq!(state(&without_times(log)), before);
}

#[test]
fn sidecars_can_be_lost_or_damaged() {
    let fixture = small_segments();
    let mut log = fixture.open();
    fill(&mut log);
    let segments = log.segments().count();
    let before = state(&without_times(log));
    let sidecars = [".index", ".producers"].map(|ending| files_with(fixture.dir.path(), ending)).concat();
    let damage: [&dyn Fn(&Path); 3] =
        [&|path| fs::remove_file(path).unwrap(), &|path| fs::write(path, "").unwrap(), &|path| {
            let mut bytes = fs::read(path).unwrap();
            bytes[5] ^= 1;
            fs::write(path, bytes).unwrap();
        }];
    for damage in damage {
        for sidecar in &sidecars {
            damage(sidecar);
            let (log, _) = fixture.recover();
            assert_eq!(state(&without_times(log)), before, "{}", sidecar.display());
            let (_, recovery) = fixture.recover();
            assert_eq!(recovery.segments_scanned, 1, "it was written again");
        }
        sidecars.iter().for_each(|it| damage(it));
        let (log, recovery) = fixture.recover();
        assert_eq!(recovery.segments_scanned, segments);
        assert_eq!(state(&without_times(log)), before);
        assert_eq!(fixture.recover().1.segments_scanned, 1);
    }
}

#[test]
fn files_that_were_not_finished_or_belong_to_nothing_go_and_others_stay() {
    let fixture = small_segments();
    let mut log = fixture.open();
    fill(&mut log);
    drop(log);
    let dir = fixture.dir.path();
    let stray = [
        files::cleaned_path(dir, 0),
        files::index_path(dir, 1),
        files::producers_path(dir, 1),
        dir.join("checkpoint.tmp"),
        dir.join("00000000000000000000.index.tmp"),
    ];
    let foreign = [dir.join("notes.txt"), dir.join("00000000000000000000.log.broken")];
    for path in stray.iter().chain(&foreign) {
        fs::write(path, "x").unwrap();
    }
    fixture.recover();
    assert!(stray.iter().all(|it| !it.exists()));
    assert!(foreign.iter().all(|it| it.exists()));
}

/// Which records are there when the active segment ends after so many bytes.
#[test]
fn whatever_was_appended_before_the_cut_is_there() {
    let fixture = Fixture::new(|_| {});
    let mut log = fixture.open();
    let mut states = vec![(0, state(&fixture.open()))];
    for nth in 0..5 {
        let batch = BatchBuilder::new().producer(1, 0, nth).transactional().record(Some("k"), None, 0);
        append(&mut log, &batch);
        states.push((log.size_bytes(), state(&log)));
        if nth % 2 == 1 {
            log.append_marker(1, 0, 0, Outcome::Abort, 0).unwrap();
            states.push((log.size_bytes(), state(&log)));
        }
    }
    let path = log.active.path(&log.dir);
    drop(log);
    let whole = fs::read(&path).unwrap();
    for bytes in (0..=whole.len()).rev() {
        fs::write(&path, &whole[..bytes]).unwrap();
        let (mut log, recovery) = fixture.recover();
        let (kept, expected) = states.iter().rfind(|(size, _)| *size <= bytes as u64).unwrap();
        assert_eq!(&state(&log), expected, "cut at {bytes}");
        assert_eq!(recovery.bytes_cut, bytes as u64 - kept);
        assert_eq!(path.metadata().unwrap().len(), *kept);
        assert!(recovery.damage.is_none() && recovery.set_aside.is_empty(), "a torn end is no damage");
        let offset = log.end_offset();
        assert_eq!(log.append(&one("k", "next"), 0).unwrap().base_offset, offset);
        drop(log);
        assert_eq!(fixture.recover().1.bytes_cut, 0);
    }
}

#[test]
fn the_log_ends_before_a_damaged_batch_and_what_followed_is_beside_it() {
    let fixture = Fixture::new(|_| {});
    let mut log = fixture.open();
    for nth in 0..4 {
        log.append(&one("k", &nth.to_string()), 0).unwrap();
    }
    let path = log.active.path(&log.dir);
    let before = read_all(&log);
    drop(log);
    let whole = fs::read(&path).unwrap();
    let batch_bytes = whole.len() / 4;
    for at in 0..whole.len() {
        let mut flipped = whole.clone();
        flipped[at] ^= 1 << (at % 8);
        fs::write(&path, &flipped).unwrap();
        let (log, recovery) = fixture.recover();
        let (nth, within) = (at / batch_bytes, at % batch_bytes);
        // The leader epoch is under no checksum, and nothing depends on it. The base offset is under none either; a higher one looks like
        // the gap that compaction leaves.
        match within {
            12..16 => assert_eq!(read_all(&log), before),
            0..8 => assert_eq!(read_all(&log)[..nth], before[..nth]),
            _ => {
                assert_eq!(read_all(&log), before[..nth], "byte {at}");
                assert_eq!(recovery.bytes_cut as usize, whole.len() - nth * batch_bytes);
                // A length that is now too large looks like a torn end.
                for aside in &recovery.set_aside {
                    assert_eq!(fs::read(aside).unwrap(), flipped[nth * batch_bytes..]);
                }
                assert!(!recovery.set_aside.is_empty() || (8..12).contains(&within), "byte {at}");
            }
        }
        drop(log);
        for aside in files_with(fixture.dir.path(), ".broken") {
            fs::remove_file(aside).unwrap();
        }
    }
}

#[test]
fn damage_in_a_closed_segment_ends_the_log_there_and_loses_nothing() {
    let fixture = small_segments();
    let mut log = fixture.open();
    fill(&mut log);
    let before = read_all(&log);
    let damaged = log.closed[2].clone();
    let later = log.segments().count() - 3;
    drop(log);
    let dir = fixture.dir.path();
    let path = damaged.path(dir);
    let mut bytes = fs::read(&path).unwrap();
    bytes[HEADER_BYTES + 2] ^= 1;
    fs::write(&path, &bytes).unwrap();
    assert_eq!(fixture.recover().1.segments_scanned, 1, "a closed segment with a sidecar is believed");
    fs::remove_file(files::index_path(dir, damaged.base_offset)).unwrap();
    let (mut log, recovery) = fixture.recover();
    assert_eq!(recovery.damage, Some(BatchError::Checksum));
    assert_eq!(log.end_offset(), damaged.base_offset);
    let upto = |it: &&Seen| it.offset < damaged.base_offset;
    assert_eq!(read_all(&log), before.iter().filter(upto).cloned().collect::<Vec<_>>());
    assert_eq!(recovery.set_aside.len(), later + 1, "the later segments, and the rest of this one");
    assert!(recovery.set_aside.iter().all(|it| it.exists()));
    assert_eq!(recovery.bytes_cut, bytes.len() as u64);
    append(&mut log, &BatchBuilder::new().producer(9, 0, 0).record(None, None, 0));
    drop(log);
    let (log, recovery) = fixture.recover();
    assert_eq!((recovery.bytes_cut, recovery.set_aside.len()), (0, 0));
    assert_eq!(log.end_offset(), damaged.base_offset + 1);
}

#[test]
fn a_lost_checkpoint_is_reported() {
    let fixture = Fixture::new(|_| {});
    let mut log = fixture.open();
    log.append(&one("k", "v"), 0).unwrap();
    log.append(&one("k", "v"), 0).unwrap();
    log.delete_records(1).unwrap();
    drop(log);
    assert!(!fixture.recover().1.is_checkpoint_lost);
    fs::write(fixture.dir.path().join(files::CHECKPOINT), "x").unwrap();
    let (log, recovery) = fixture.recover();
    assert!(recovery.is_checkpoint_lost);
    assert_eq!(log.start_offset(), 0);
}

/// Appends, rolls, deletes and retains until the files may not change any more, then opens what is there.
#[test]
fn a_crash_at_any_change_to_the_files_loses_nothing_that_was_acknowledged() {
    for changes in 0.. {
        let fixture = Fixture::new(|it| {
            it.segment_bytes = 300;
            it.retention_bytes = Some(900);
        });
        faults::allow(changes);
        let mut log = match Log::open(fixture.dir.path(), fixture.config.clone()) {
            Ok((log, _)) => log,
            Err(_) => continue,
        };
        let (mut acknowledged, mut start) = (0, 0);
        let mut crashed = false;
        for nth in 0..20 {
            match log.append(&BatchBuilder::new().producer(1, 0, nth).record(None, None, 0).build(), 0) {
                Ok(appended) => acknowledged = appended.last_offset + 1,
                Err(_) => crashed = true,
            }
            let deleted =
                if nth == 12 { log.delete_records(11).map(|it| start = it).is_err() } else { false };
            crashed |= deleted || (nth % 4 == 0 && log.maintain(0).is_err());
            if crashed {
                break;
            }
        }
        start = start.max(log.start_offset());
        drop(log);
        let reopened = Log::open(fixture.dir.path(), fixture.config.clone());
        faults::allow(u32::MAX);
        // Also after a second crash, while it was opened.
        drop(reopened);
        let (mut log, recovery) = fixture.recover();
        assert!(recovery.set_aside.is_empty() && recovery.damage.is_none(), "after {changes} changes");
        assert_eq!(log.end_offset(), acknowledged, "after {changes} changes");
        assert!(log.start_offset() <= start, "after {changes} changes");
        let offsets: Vec<_> = read_all(&log).iter().map(|it| it.offset).collect();
        let first = *offsets.first().unwrap_or(&acknowledged);
        assert_eq!(offsets, (first..acknowledged).collect::<Vec<_>>());
        let next = BatchBuilder::new().producer(1, 0, acknowledged as i32).record(None, None, 0);
        append(&mut log, &next);
        if !crashed {
            assert!(changes > 20);
            return;
        }
    }
}

#[test]
fn a_failed_append_leaves_the_log_usable() {
    let fixture = Fixture::new(|it| it.segment_bytes = 1);
    let mut log = fixture.open();
    log.append(&one("k", "1"), 0).unwrap();
    for changes in 0..5 {
        faults::allow(changes);
        log.append(&one("k", "2"), 0).unwrap_err();
        faults::allow(u32::MAX);
        assert_eq!((log.end_offset(), log.closed.len()), (1, 0));
    }
    log.append(&one("k", "2"), 0).unwrap();
    drop(log);
    assert_eq!(read_all(&fixture.open()).len(), 2);
}

#[test]
fn a_write_that_fails_and_cannot_be_undone_halts_the_log_until_it_is_opened_again() {
    let fixture = Fixture::new(|_| {});
    let mut log = fixture.open();
    log.append(&one("k", "1"), 0).unwrap();
    // Neither writes nor cuts.
    log.file = fs::File::open(log.active.path(&log.dir)).unwrap();
    assert!(matches!(log.append(&one("k", "2"), 0), Err(AppendError::Log(LogError::Io { .. }))));
    assert!(matches!(log.append(&one("k", "2"), 0), Err(AppendError::Log(LogError::Halted { .. }))));
    log.read(0, 1, 1, true).unwrap_err();
    drop(log);
    let mut log = fixture.open();
    log.append(&one("k", "2"), 0).unwrap();
    assert_eq!(read_all(&log).len(), 2);
}

#[test]
fn with_fsync_the_log_is_the_same() {
    let fixture = Fixture::new(|it| {
        it.segment_bytes = 500;
        it.fsync = true;
    });
    let mut log = fixture.open();
    fill(&mut log);
    assert_eq!(log.synced_to, log.end_offset());
    log.flush().unwrap();
    let before = state(&without_times(log));
    let without_fsync = LogConfig { fsync: false, ..fixture.config };
    let elsewhere = copy(fixture.dir.path());
    let (log, _) = Log::open(elsewhere.path(), without_fsync).unwrap();
    assert_eq!(state(&without_times(log)), before);
}
