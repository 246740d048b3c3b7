//! Retention, and deletion by offset.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::log::testing::{BatchBuilder, Fixture, append, one, read_all, segment_sizes};
use crate::log::{DeleteRecordsError, Log, Outcome};

/// One record at each of these times.
fn filled(fixture: &Fixture, times_ms: impl IntoIterator<Item = i64>) -> Log {
    let mut log = fixture.open();
    for time_ms in times_ms {
        log.append(&BatchBuilder::new().record(Some("k"), Some("v"), time_ms).build(), time_ms).unwrap();
    }
    log
}

fn offsets(log: &Log) -> Vec<i64> {
    read_all(log).iter().map(|it| it.offset).collect()
}

#[test]
fn a_segment_is_closed_by_size_and_by_age() {
    let record_bytes = one("k", "v").len() as u64;
    let fixture = Fixture::new(|it| {
        it.segment_bytes = 2 * record_bytes;
        it.segment_ms = 100;
    });
    let mut log = filled(&fixture, [0, 10, 20]);
    assert_eq!(segment_sizes(fixture.dir.path()).into_keys().collect::<Vec<_>>(), [0, 2]);
    log.maintain(120).unwrap();
    assert_eq!(log.closed.len(), 1, "the age of a segment is that of its first record");
    log.maintain(121).unwrap();
    assert_eq!(log.closed.len(), 2);
    log.maintain(1_000).unwrap();
    assert_eq!(log.closed.len(), 2, "an empty segment has no age");
    log.append(&one("k", "v"), 1_000).unwrap();
    log.append(&one("k", "v"), 1_101).unwrap();
    assert_eq!(log.closed.len(), 3, "without anybody calling maintain");
    drop(log);
    let mut log = fixture.open();
    assert_eq!(log.closed.len(), 3);
    log.maintain(2_000).unwrap();
    assert_eq!(log.closed.len(), 4, "its age outlives a restart");
}

#[test]
fn old_segments_go_and_so_does_the_active_one_when_all_of_it_is_old() {
    let fixture = Fixture::new(|it| {
        it.segment_bytes = 2 * one("k", "v").len() as u64;
        it.retention_ms = Some(100);
    });
    let mut log = filled(&fixture, [0, 10, 20, 30, 40]);
    assert_eq!(log.maintain(110).unwrap().deleted_segments, 0);
    let maintained = log.maintain(111).unwrap();
    assert_eq!((maintained.deleted_segments, log.start_offset()), (1, 2));
    assert_eq!(maintained.deleted_bytes, 2 * one("k", "v").len() as u64);
    assert_eq!(offsets(&log), [2, 3, 4]);
    assert_eq!(log.maintain(1_000).unwrap().deleted_segments, 2);
    assert_eq!((log.start_offset(), log.end_offset(), log.size_bytes()), (5, 5, 0));
    assert_eq!(log.maintain(1_000).unwrap().deleted_segments, 0);
    drop(log);
    let log = fixture.open();
    assert_eq!((log.start_offset(), log.end_offset()), (5, 5), "offsets are not given twice");
    assert_eq!(segment_sizes(fixture.dir.path()).into_iter().collect::<Vec<_>>(), [(5, 0)]);
}

#[test]
fn the_oldest_segments_go_until_the_log_is_small_enough() {
    let record_bytes = one("k", "v").len() as u64;
    let fixture = Fixture::new(|it| {
        it.segment_bytes = 2 * record_bytes;
        it.retention_bytes = Some(3 * record_bytes);
    });
    let mut log = filled(&fixture, 0..6);
    assert_eq!(log.maintain(10).unwrap().deleted_segments, 1);
    assert_eq!(offsets(&log), [2, 3, 4, 5], "one record too many, but no segment can be spared");
    log.append(&one("k", "v"), 0).unwrap();
    assert_eq!(log.maintain(10).unwrap().deleted_segments, 1);
    assert_eq!(log.size_bytes(), 3 * record_bytes);
    log.set_config(crate::log::LogConfig { delete: false, retention_bytes: Some(0), ..log.config().clone() });
    assert_eq!(log.maintain(10).unwrap().deleted_segments, 0, "the policy does not have delete");
    log.set_config(crate::log::LogConfig { delete: true, ..log.config().clone() });
    assert_eq!(log.maintain(10).unwrap().deleted_segments, 2);
    assert_eq!((log.start_offset(), log.end_offset()), (7, 7));
}

#[test]
fn without_timestamps_the_age_is_that_of_the_file() {
    let fixture = Fixture::new(|it| {
        it.segment_bytes = 1;
        it.retention_ms = Some(60_000);
    });
    let mut log = filled(&fixture, [-1, -1]);
    let now_ms = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64;
    assert_eq!(log.maintain(now_ms).unwrap().deleted_segments, 0);
    assert_eq!(log.maintain(now_ms + 3_600_000).unwrap().deleted_segments, 2);
}

#[test]
fn producers_are_known_though_all_of_their_records_are_gone() {
    let fixture = Fixture::new(|it| it.retention_ms = Some(100));
    let mut log = fixture.open();
    let batch = |sequence| BatchBuilder::new().producer(7, 0, sequence).record(None, None, 0).build();
    log.append(&batch(0), 0).unwrap();
    log.append(&batch(1), 0).unwrap();
    log.maintain(1_000).unwrap();
    assert_eq!(log.size_bytes(), 0);
    drop(log);
    let mut log = fixture.open();
    assert_eq!(log.append(&batch(1), 0).unwrap().base_offset, 1, "a repeat");
    log.append(&batch(3), 0).unwrap_err();
    log.append(&batch(2), 0).unwrap();
}

#[test]
fn records_are_deleted_up_to_an_offset_for_good() {
    let fixture = Fixture::new(|it| it.segment_bytes = 2 * one("k", "v").len() as u64);
    let mut log = filled(&fixture, 0..7);
    assert_eq!(log.delete_records(3).unwrap(), 3);
    assert_eq!(offsets(&log), [3, 4, 5, 6]);
    assert_eq!(segment_sizes(fixture.dir.path()).into_keys().collect::<Vec<_>>(), [2, 4, 6]);
    assert_eq!(log.delete_records(1).unwrap(), 3, "the start never goes back");
    for offset in [8, -2] {
        assert!(matches!(
            log.delete_records(offset),
            Err(DeleteRecordsError::OutOfRange { high_watermark: 7, .. })
        ));
    }
    drop(log);
    let mut log = fixture.open();
    assert_eq!((log.start_offset(), offsets(&log)), (3, vec![3, 4, 5, 6]));
    assert_eq!(log.delete_records(-1).unwrap(), 7);
    assert_eq!(offsets(&log), [0; 0]);
    drop(log);
    let mut log = fixture.open();
    assert_eq!((log.start_offset(), log.end_offset()), (7, 7));
    assert_eq!(log.append(&one("k", "v"), 0).unwrap().base_offset, 7);
    assert_eq!(offsets(&log), [7]);
}

#[test]
fn deleting_into_an_open_transaction_leaves_the_rest_of_it_undecided() {
    let fixture = Fixture::new(|_| {});
    let mut log = fixture.open();
    for sequence in 0..3 {
        append(&mut log, &BatchBuilder::new().producer(1, 0, sequence).transactional().record(None, None, 0));
    }
    assert_eq!(log.last_stable_offset(), 0);
    log.delete_records(2).unwrap();
    assert_eq!((log.last_stable_offset(), log.open_transactions().count()), (2, 1));
    log.append_marker(1, 0, 0, Outcome::Abort, 0).unwrap();
    assert_eq!((log.last_stable_offset(), log.aborted(2, 4).len()), (4, 1));
}

#[test]
fn an_end_that_was_lost_below_the_start_begins_anew_at_the_start() {
    let fixture = Fixture::new(|_| {});
    let mut log = filled(&fixture, 0..5);
    log.delete_records(4).unwrap();
    let path = log.active.path(&log.dir);
    drop(log);
    std::fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(150).unwrap();
    let (mut log, recovery) = fixture.recover();
    assert!(recovery.bytes_cut > 0);
    assert_eq!((log.start_offset(), log.end_offset()), (4, 4));
    assert_eq!(log.append(&one("k", "v"), 0).unwrap().base_offset, 4);
    drop(log);
    assert_eq!(offsets(&fixture.open()), [4]);
}
