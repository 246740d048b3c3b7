//! Files that nobody of ours wrote.

use std::fs;

use proptest::prelude::*;

use crate::fuzz;
use crate::log::batch;
use crate::log::files;
use crate::log::testing::{BatchBuilder, Fixture, append, headers_of};
use crate::log::{BatchHeader, Outcome};

/// What a segment may contain: noise, batches, and batches with any header that a checksum was made for.
fn segment() -> impl Strategy<Value = Vec<u8>> {
    let header = (any::<[i64; 4]>(), any::<[i32; 4]>(), any::<[i16; 2]>());
    let forged =
        (header, proptest::collection::vec(any::<u8>(), 0..50)).prop_map(|((longs, ints, shorts), body)| {
            let header = BatchHeader {
                base_offset: longs[0] >> (ints[3].unsigned_abs() % 64),
                batch_bytes: 0,
                crc: 0,
                attributes: batch::Attributes(shorts[0] & 0x7f),
                last_offset_delta: ints[0] >> 24,
                base_timestamp_ms: longs[1],
                max_timestamp_ms: longs[2],
                producer_id: longs[3] >> 60,
                producer_epoch: shorts[1] >> 12,
                base_sequence: ints[1],
                record_count: ints[2] >> 26,
            };
            batch::build(&header, &body)
        });
    let noise = proptest::collection::vec(any::<u8>(), 0..200);
    let honest = (0_i64..50, 0..3_i32).prop_map(|(offset, sequence)| {
        let builder = BatchBuilder::new().producer(1, 0, sequence).record(Some("k"), None, offset);
        builder.transactional().header(|it| it.base_offset = offset).build()
    });
    let part = prop_oneof![1 => noise, 3 => forged, 5 => honest];
    proptest::collection::vec(part, 0..6).prop_map(|it| it.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_files_make_the_log_panic(
        segments in proptest::collection::vec((prop_oneof![0_i64..60, any::<i64>()], segment()), 0..5),
        sealed in proptest::collection::vec((0_i64..60, 0..4_u8, proptest::collection::vec(any::<u8>(), 0..120)), 0..5),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path();
        for (base, bytes) in &segments {
            fs::write(files::segment_path(dir, *base), bytes).unwrap();
        }
        for (base, kind, body) in &sealed {
            let path = match kind {
                0 => files::index_path(dir, *base),
                1 => files::producers_path(dir, *base),
                2 => files::swap_path(dir, *base, *base + 10),
                _ => dir.join(files::CHECKPOINT),
            };
            files::write_sealed(&path, &[&[1], &body[..]].concat(), false).unwrap();
        }
        let _ = fuzz::recover_segments(dir);
    }

    #[test]
    fn no_batches_make_an_append_panic(bytes in segment()) {
        let dir = tempfile::tempdir().unwrap();
        let _ = fuzz::append_batches(dir.path(), &bytes);
        let _ = fuzz::read_records(&bytes);
    }

    /// Any byte of any file changed, and any file cut.
    #[test]
    fn no_damage_makes_the_log_panic(damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), any::<u8>(), any::<bool>()), 1..4)) {
        let fixture = Fixture::new(|it| it.segment_bytes = 300);
        let mut log = fixture.open();
        for nth in 0..4 {
            append(&mut log, &BatchBuilder::new().record(Some("k"), Some("v"), i64::from(nth)));
            append(&mut log, &BatchBuilder::new().producer(1, 0, nth).transactional().record(Some("k"), None, 0));
            log.append_marker(1, 0, 0, Outcome::Abort, 0).unwrap();
        }
        log.delete_records(3).unwrap();
        drop(log);
        let mut paths: Vec<_> = fs::read_dir(fixture.dir.path()).unwrap().map(|it| it.unwrap().path()).collect();
        paths.sort();
        for (path, at, value, cuts) in damage {
            let path = path.get(&paths);
            let mut bytes = fs::read(path).unwrap();
            if bytes.is_empty() {
                continue;
            }
            let at = at.index(bytes.len());
            if cuts { bytes.truncate(at) } else { bytes[at] = value }
            fs::write(path, bytes).unwrap();
        }
        let _ = fuzz::recover_segments(fixture.dir.path());
    }
}

#[test]
fn the_entry_points_take_what_is_in_order() {
    let dir = tempfile::tempdir().unwrap();
    fuzz::recover_segments(dir.path()).unwrap();
    let batch = BatchBuilder::new().record(Some("k"), None, 0).record(None, None, 1).build();
    fuzz::append_batches(dir.path(), &batch).unwrap();
    assert_eq!(fuzz::read_records(&batch).unwrap(), 2);
}

/// An index with a valid checksum that points into the middle of batches.
#[test]
fn an_index_that_lies_makes_reads_fail_and_nothing_worse() {
    use crate::log::index::IndexEntry;
    use crate::log::sidecar::SegmentIndex;

    let fixture = Fixture::new(|it| it.segment_bytes = 500);
    let mut log = fixture.open();
    for nth in 0..20 {
        append(&mut log, &BatchBuilder::new().record(Some("k"), Some("v"), nth));
    }
    let path = files::index_path(fixture.dir.path(), 0);
    drop(log);
    let honest = SegmentIndex::read(&path).unwrap().unwrap();
    for position in 1..honest.segment_bytes {
        let entry = IndexEntry { offset: 1, position, max_timestamp_before_ms: -1 };
        SegmentIndex { entries: vec![entry], ..honest.clone() }.write(&path, false).unwrap();
        let log = fixture.open();
        for offset in 0..5 {
            if let Ok(bytes) = log.read(offset, log.end_offset(), 1_000, true) {
                headers_of(&bytes);
            }
        }
        let _ = log.offset_for_time(3, i64::MAX);
    }
}
