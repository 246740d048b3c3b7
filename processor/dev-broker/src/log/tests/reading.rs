//! Reads by offset and by time.

use crate::log::compression::Codec;
use crate::log::testing::{BatchBuilder, Fixture, append, headers_of, one, read_all, read_batches};
use crate::log::{Log, ReadError};

/// Base offsets of the batches that a read returns.
fn bases(log: &Log, from: i64, upto: i64, bytes_max: usize, at_least_one_batch: bool) -> Vec<i64> {
    let bytes = log.read(from, upto, bytes_max, at_least_one_batch).unwrap();
    headers_of(&bytes).iter().map(|(header, _)| header.base_offset).collect()
}

/// Ten batches of three records, all of one length.
fn filled(fixture: &Fixture) -> (Log, usize) {
    let mut log = fixture.open();
    let mut batch = BatchBuilder::new();
    for nth in 0..3 {
        batch = batch.record(Some("key"), Some("value"), nth);
    }
    for _ in 0..10 {
        append(&mut log, &batch);
    }
    (log, batch.build().len())
}

#[test]
fn a_read_begins_with_the_batch_that_holds_the_offset_and_ends_below_the_bound() {
    let fixture = Fixture::new(|_| {});
    let (log, bytes) = filled(&fixture);
    assert_eq!(bases(&log, 0, 30, 1 << 20, false), [0, 3, 6, 9, 12, 15, 18, 21, 24, 27]);
    assert_eq!(bases(&log, 4, 30, 2 * bytes, false), [3, 6]);
    assert_eq!(bases(&log, 5, 30, 3 * bytes - 1, false), [3, 6]);
    assert_eq!(bases(&log, 6, 12, 1 << 20, false), [6, 9]);
    assert_eq!(bases(&log, 6, 11, 1 << 20, false), [6], "9 to 11 is not below 11");
    assert_eq!(bases(&log, 9, 11, 1 << 20, true), [0; 0]);
    assert_eq!(bases(&log, 29, 30, bytes, false), [27]);
    assert_eq!(bases(&log, 29, 30, bytes - 1, false), [0; 0]);
    assert_eq!(bases(&log, 29, 30, bytes - 1, true), [27]);
    assert_eq!(bases(&log, 13, 30, 0, true), [12]);
    assert_eq!(bases(&log, 30, 30, 1 << 20, true), [0; 0]);
    assert_eq!(bases(&log, 10, 10, 1 << 20, true), [0; 0]);
    assert_eq!(bases(&log, 10, 5, 1 << 20, true), [0; 0]);
    assert_eq!(bases(&log, 27, i64::MAX, 1 << 20, true), [27], "no bound beyond the end");
}

#[test]
fn every_offset_can_be_read_in_portions_of_any_size() {
    for segment_bytes in [1, 400, 1 << 20] {
        for index_interval_bytes in [0, 150, 1 << 20] {
            let fixture = Fixture::new(|it| {
                it.segment_bytes = segment_bytes;
                it.index_interval_bytes = index_interval_bytes;
            });
            let (log, bytes) = filled(&fixture);
            drop(log);
            let log = fixture.open();
            for from in 0..30 {
                for upto in from..=30 {
                    for bytes_max in [1, bytes, 2 * bytes + 5] {
                        let found = read_batches(&log, from, upto, bytes_max);
                        let found: Vec<_> = found.iter().map(|(header, _)| header.base_offset).collect();
                        let expected: Vec<_> = (from / 3..upto / 3).map(|it| it * 3).collect();
                        assert_eq!(found, expected, "{from} to {upto}");
                    }
                }
            }
        }
    }
}

#[test]
fn offsets_outside_of_the_log_are_out_of_range() {
    let fixture = Fixture::new(|_| {});
    let (mut log, _) = filled(&fixture);
    log.delete_records(4).unwrap();
    for offset in [-1, 3, 31] {
        let error = log.read(offset, 30, 1_000, true).unwrap_err();
        assert!(matches!(error, ReadError::OutOfRange { start: 4, end: 30, .. }), "{offset}: {error}");
    }
    assert_eq!(bases(&log, 4, 30, 1, true), [3], "the start may be within a batch");
}

#[test]
fn a_batch_larger_than_anything_before_it_is_read_whole() {
    let fixture = Fixture::new(|it| it.index_interval_bytes = 4096);
    let mut log = fixture.open();
    log.append(&one("k", "small"), 0).unwrap();
    log.append(&one("k", &"large".repeat(50_000)), 0).unwrap();
    log.append(&one("k", "small"), 0).unwrap();
    assert_eq!(bases(&log, 1, 3, 100, true), [1]);
    assert_eq!(bases(&log, 0, 3, 100, true), [0]);
    assert_eq!(bases(&log, 0, 3, 1 << 20, true), [0, 1, 2]);
    assert_eq!(read_all(&log)[1].value.as_ref().unwrap().len(), 250_000);
}

#[test]
fn an_offset_is_found_by_time() {
    for segment_bytes in [1, 300, 1 << 20] {
        for codec in [Codec::None, Codec::Zstd] {
            let fixture = Fixture::new(|it| it.segment_bytes = segment_bytes);
            let mut log = fixture.open();
            assert_eq!(log.offset_for_time(0, i64::MAX).unwrap(), None);
            assert_eq!(log.max_timestamp().unwrap(), None);
            let times = [[10, 20, 30], [25, 15, 5], [40, 70, 70], [50, 60, 70], [-1, -1, -1], [65, 71, 66]];
            for batch in times {
                let builder = BatchBuilder::new().codec(codec);
                let builder = batch.into_iter().fold(builder, |builder, it| builder.record(None, None, it));
                append(&mut log, &builder);
            }
            let times = times.concat();
            let check = |log: &Log| {
                for wanted in 0..80 {
                    let expected = times.iter().position(|it| *it >= wanted);
                    let expected = expected.map(|it| (it as i64, times[it]));
                    assert_eq!(log.offset_for_time(wanted, i64::MAX).unwrap(), expected, "{wanted}");
                }
                assert_eq!(log.offset_for_time(40, 6).unwrap(), None, "not below the bound");
                assert_eq!(log.max_timestamp().unwrap(), Some((16, 71)));
            };
            check(&log);
            drop(log);
            let mut log = fixture.open();
            check(&log);
            log.delete_records(2).unwrap();
            assert_eq!(log.offset_for_time(10, i64::MAX).unwrap(), Some((2, 30)));
        }
    }
}

#[test]
fn many_segments_need_one_open_file() {
    let fixture = Fixture::new(|it| it.segment_bytes = 1);
    let mut log = fixture.open();
    for _ in 0..50 {
        log.append(&one("k", "v"), 0).unwrap();
    }
    let dir = fixture.dir.path().canonicalize().unwrap();
    let open =
        std::fs::read_dir("/proc/self/fd").unwrap().filter_map(|it| it.unwrap().path().read_link().ok());
    assert_eq!(open.filter(|it| it.starts_with(&dir)).count(), 1);
}
