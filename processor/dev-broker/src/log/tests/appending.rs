//! What is appended, and what is refused.

use crate::log::batch::BatchError;
use crate::log::batch::{Attributes, BatchHeader};
use crate::log::compression::Codec;
use crate::log::producers::ProducerError;
use crate::log::testing::{BatchBuilder, Fixture, append, headers_of, one, read_all, records_of};
use crate::log::{AppendError, Appended, Log, Outcome, TimestampType};

fn refusal(log: &mut Log, bytes: &[u8]) -> AppendError {
    let before = log.end_offset();
    let error = log.append(bytes, 0).unwrap_err();
    assert_eq!(log.end_offset(), before, "nothing was appended");
    error
}

#[test]
fn batches_are_kept_as_they_come_but_for_their_place() {
    let fixture = Fixture::new(|_| {});
    let mut log = fixture.open();
    append(&mut log, &BatchBuilder::new().record(Some("a"), Some("1"), 10).record(Some("b"), None, 12));
    let mut second = BatchBuilder::new().record(None, Some("3"), 11).header(|it| it.base_offset = 99).build();
    second[12..16].copy_from_slice(&7_i32.to_be_bytes());
    assert_eq!(
        log.append(&second, 0).unwrap(),
        Appended { base_offset: 2, last_offset: 2, append_time_ms: None }
    );
    let stored = log.read(2, 3, 1_000, true).unwrap();
    let stored = headers_of(&stored).remove(0).1;
    assert_eq!(stored[..8], 2_i64.to_be_bytes());
    assert_eq!(stored[8..12], second[8..12]);
    assert_eq!(stored[12..16], [0; 4]);
    assert_eq!(stored[16..], second[16..]);
    assert_eq!((log.start_offset(), log.end_offset(), log.last_stable_offset()), (0, 3, 3));
    assert_eq!(log.size_bytes(), std::fs::metadata(log.active.path(&log.dir)).unwrap().len());
}

#[test]
fn several_batches_are_appended_all_or_none() {
    let fixture = Fixture::new(|_| {});
    let mut log = fixture.open();
    let batches = [one("a", "1"), one("b", "2")].concat();
    let appended = log.append(&batches, 0).unwrap();
    assert_eq!((appended.base_offset, appended.last_offset), (0, 1));
    let mut half = [one("c", "3"), one("d", "4")].concat();
    *half.last_mut().unwrap() ^= 1;
    assert!(matches!(refusal(&mut log, &half), AppendError::Corrupt(BatchError::Checksum)));
    half.pop();
    assert!(matches!(refusal(&mut log, &half), AppendError::Corrupt(BatchError::Truncated { .. })));
    assert_eq!(read_all(&log).len(), 2);
}

#[test]
fn the_log_may_set_the_time() {
    let fixture = Fixture::new(|it| it.message_timestamp_type = TimestampType::LogAppend);
    let mut log = fixture.open();
    let batch = BatchBuilder::new()
        .record(Some("a"), None, 5)
        .record(Some("b"), None, 6)
        .producer(1, 0, 0)
        .codec(Codec::Lz4);
    assert_eq!(log.append(&batch.build(), 700).unwrap().append_time_ms, Some(700));
    assert_eq!(log.append(&batch.build(), 900).unwrap().append_time_ms, Some(700), "of the first time");
    let records = records_of(&log.read(0, 2, 1_000, true).unwrap());
    assert_eq!(records.iter().map(|it| it.timestamp_ms).collect::<Vec<_>>(), [700, 700]);
    assert_eq!(log.max_timestamp().unwrap(), Some((0, 700)));
}

#[test]
fn what_is_no_batch_of_a_client_is_refused() {
    let fixture = Fixture::new(|it| it.max_message_bytes = 200);
    let mut log = fixture.open();
    let batch = || BatchBuilder::new().record(Some("k"), Some("v"), 0);
    let changed = |change: &dyn Fn(&mut BatchHeader)| batch().header(change).build();

    assert!(matches!(refusal(&mut log, &[]), AppendError::Corrupt(BatchError::Truncated { bytes: 0 })));
    let mut old = one("k", "v");
    old[16] = 1;
    assert!(matches!(refusal(&mut log, &old), AppendError::UnsupportedMagic(1)));
    old[16] = 3;
    assert!(matches!(refusal(&mut log, &old), AppendError::Corrupt(BatchError::Magic(3))));
    let large = BatchBuilder::new().record(None, Some(&"v".repeat(200)), 0).build();
    let AppendError::TooLarge { bytes, bytes_max } = refusal(&mut log, &large) else { panic!("not refused") };
    assert_eq!((bytes, bytes_max), (large.len(), 200));

    for (expected, bytes) in [
        ("clients may not write control", changed(&|it| it.attributes.0 |= Attributes::CONTROL)),
        ("number of records", changed(&|it| it.last_offset_delta = 1)),
        ("number of records", batch().header(|it| it.record_count = -1).build()),
        ("compression is unknown", changed(&|it| it.attributes.0 |= 7)),
        ("producer id", batch().producer(-2, 0, 0).build()),
        ("needs an epoch", batch().producer(1, -1, 0).build()),
        ("needs an epoch", batch().producer(1, 0, -1).build()),
        ("needs a producer id", batch().transactional().build()),
        ("delete horizon", changed(&|it| it.attributes.0 |= 1 << 6)),
    ] {
        let error = refusal(&mut log, &bytes);
        let AppendError::InvalidRecord(problem) = error else { panic!("{expected}: {error:?}") };
        assert!(problem.contains(expected), "{problem}");
    }
}

#[test]
fn a_compacted_topic_needs_keys_in_every_codec_and_holds_no_bombs() {
    let fixture = Fixture::new(|it| it.compact = true);
    let mut log = fixture.open();
    for codec in [Codec::None, Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd] {
        let batch = BatchBuilder::new().codec(codec).record(Some("k"), Some("v"), 0);
        append(&mut log, &batch);
        let error = refusal(&mut log, &batch.record(None, Some("v"), 0).build());
        assert!(matches!(error, AppendError::InvalidRecord(_)), "{codec:?}");
    }
    // A megabyte of gzip holds a gigabyte of nothing; this one has 80 MiB.
    let bomb = crate::log::batch::build(
        &BatchHeader {
            attributes: Attributes(1),
            record_count: 1,
            ..BatchHeader::parse(&one("k", "v")).unwrap()
        },
        &Codec::Gzip.compress(&vec![0; 80 << 20]).unwrap(),
    );
    assert!(matches!(refusal(&mut log, &bomb), AppendError::UnreadableRecords(_)));
}

/// One producer's batches, as `epoch/sequence+count`, and what becomes of each.
fn conversation(script: &[(&str, &str)]) {
    let fixture = Fixture::new(|_| {});
    let mut log = fixture.open();
    for (batch, expected) in script {
        let answer = if let Some(epoch) = batch.strip_prefix("marker ") {
            log.append_marker(7, epoch.parse().unwrap(), 0, Outcome::Abort, 0)
                .map(|it| format!("marker at {it}"))
        } else {
            let (epoch, rest) = batch.split_once('/').unwrap();
            let (sequence, count) = rest.split_once('+').unwrap();
            let mut builder =
                BatchBuilder::new().producer(7, epoch.parse().unwrap(), sequence.parse().unwrap());
            for _ in 0..count.parse().unwrap() {
                builder = builder.record(None, None, 0);
            }
            log.append(&builder.build(), 0).map(|it| format!("{} to {}", it.base_offset, it.last_offset))
        };
        let answer = match answer {
            Ok(answer) => answer,
            Err(AppendError::Producer(ProducerError::OutOfOrderSequence { expected, .. })) => {
                format!("expected {expected}")
            }
            Err(AppendError::Producer(ProducerError::InvalidEpoch { current, .. })) => {
                format!("fenced by {current}")
            }
            Err(error) => panic!("{batch}: {error}"),
        };
        assert_eq!(answer, *expected, "{batch}");
    }
}

#[test]
fn sequences_of_a_producer() {
    // In order, again, with a gap, and in part again.
    conversation(&[
        ("0/0+2", "0 to 1"),
        ("0/2+1", "2 to 2"),
        ("0/0+2", "0 to 1"),
        ("0/2+1", "2 to 2"),
        ("0/4+1", "expected 3"),
        ("0/0+1", "expected 3"),
        ("0/2+2", "expected 3"),
        ("0/3+1", "3 to 3"),
    ]);
    // Only the last five are known again.
    conversation(&[
        ("0/0+1", "0 to 0"),
        ("0/1+1", "1 to 1"),
        ("0/2+1", "2 to 2"),
        ("0/3+1", "3 to 3"),
        ("0/4+1", "4 to 4"),
        ("0/0+1", "0 to 0"),
        ("0/5+1", "5 to 5"),
        ("0/0+1", "expected 6"),
        ("0/1+1", "1 to 1"),
    ]);
    // A producer that is not known begins where it likes; the largest sequence is followed by 0.
    conversation(&[
        ("3/2147483646+1", "0 to 0"),
        ("3/2147483647+2", "1 to 2"),
        ("3/1+1", "3 to 3"),
        ("3/2147483647+2", "1 to 2"),
    ]);
    conversation(&[("0/2147483647+1", "0 to 0"), ("0/1+1", "expected 0"), ("0/0+1", "1 to 1")]);
}

#[test]
fn epochs_of_a_producer() {
    conversation(&[
        ("1/0+1", "0 to 0"),
        ("0/1+1", "fenced by 1"),
        ("2/1+1", "expected 0"),
        ("2/0+1", "1 to 1"),
        ("1/1+1", "fenced by 2"),
        ("2/0+1", "1 to 1"),
    ]);
    // A marker fences, and its epoch begins at 0.
    conversation(&[
        ("0/0+3", "0 to 2"),
        ("marker 1", "marker at 3"),
        ("0/3+1", "fenced by 1"),
        ("1/3+1", "expected 0"),
        ("1/0+1", "4 to 4"),
        ("marker 0", "fenced by 1"),
    ]);
    // One of the same epoch changes nothing about sequences.
    conversation(&[("0/0+3", "0 to 2"), ("marker 0", "marker at 3"), ("0/3+1", "4 to 4")]);
}

#[test]
fn batches_of_one_append_are_checked_together() {
    let fixture = Fixture::new(|_| {});
    let mut log = fixture.open();
    let batch = |sequence| BatchBuilder::new().producer(7, 0, sequence).record(None, None, 0).build();
    let both = [batch(0), batch(1)].concat();
    assert_eq!(log.append(&both, 0).unwrap().last_offset, 1);
    assert_eq!(log.append(&both, 0).unwrap().base_offset, 0, "a repeat");
    assert_eq!(log.end_offset(), 2);
    refusal(&mut log, &[batch(2), batch(4)].concat());
    refusal(&mut log, &[batch(1), batch(2)].concat());
    assert_eq!(log.append(&[batch(2), batch(3)].concat(), 0).unwrap().base_offset, 2);
}

#[test]
fn a_silent_producer_is_forgotten_unless_it_has_a_transaction_open() {
    let fixture = Fixture::new(|it| it.producer_expiry_ms = 1_000);
    let mut log = fixture.open();
    let record = || BatchBuilder::new().record(None, None, 0);
    log.append(&record().producer(1, 0, 0).build(), 500).unwrap();
    log.append(&record().producer(2, 0, 0).transactional().build(), 500).unwrap();
    assert_eq!(log.maintain(1_499).unwrap().expired_producers, 0);
    assert_eq!(log.maintain(1_500).unwrap().expired_producers, 1);
    assert_eq!(log.producers().map(|(id, _)| id).collect::<Vec<_>>(), [2]);
    log.append(&record().producer(1, 0, 44).build(), 1_600).unwrap();
    log.append_marker(2, 0, 0, Outcome::Commit, 1_600).unwrap();
    assert_eq!(log.maintain(2_600).unwrap().expired_producers, 2);
}
