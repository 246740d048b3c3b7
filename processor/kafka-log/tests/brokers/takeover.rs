//! What a dead owner leaves behind: open transactions, pending offsets, aborted records at the end of the log. A producer that is dropped
//! without ending its transaction is to the brokers what a killed process is.

#![allow(clippy::print_stdout)] // How long things took.

use std::time::{Duration, Instant};

use crate::support::{
    Member, PATIENCE, committed, fleet, open_transaction, read_changelog, read_some, share, stable_offset,
    try_read_changelog,
};
use millrace_kafka_log::{KafkaConfig, KafkaLog};
use millrace_placement::PartitionIndex;
use millrace_runtime::log::{Log, LogError};
use millrace_schemas::Offset;
use rdkafka::TopicPartitionList;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::producer::{FutureProducer, Producer};

const INDEX: PartitionIndex = PartitionIndex(0);

/// The transactional id of the lane 0 of another member.
fn dead_lane(config: &KafkaConfig) -> String {
    format!("{}-7-0", config.app_id)
}

async fn end(log: &KafkaLog) -> Offset {
    log.changelog_bounds(INDEX).await.unwrap().1
}

/// Ends a transaction, on a thread that may block.
async fn ended(producer: FutureProducer, is_committed: bool) {
    let work = move || {
        if is_committed {
            producer.commit_transaction(PATIENCE)
        } else {
            producer.abort_transaction(PATIENCE)
        }
    };
    tokio::task::spawn_blocking(work).await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_reads_past_aborted_records_at_the_very_end() {
    let config = fleet(1).await;
    let mut member = Member::join(&config).await;
    let incarnation = member.assigned().await.remove(0);
    let mut lane = member.log.lane(0).await.unwrap();
    let offsets = committed(&mut lane, vec![share(&config, &incarnation, &["a", "b"])]).await;
    let expected = [(offsets[0][0].0, "a".to_owned()), (offsets[0][1].0, "b".to_owned())];

    let open = open_transaction(&config, &dead_lane(&config), &config.topics.changelog(), 0).await;
    // The last offset below this one is that of a record which is going to be aborted.
    let at_record = end(&member.log).await;
    ended(open, false).await;
    assert_eq!(read_changelog(&member.log, 0, 0, at_record.0).await, expected);
    // And the last below this one is the marker.
    let at_marker = end(&member.log).await;
    assert!(at_marker > at_record, "{at_marker:?}");
    assert_eq!(read_changelog(&member.log, 0, 0, at_marker.0).await, expected);
    // Nothing but what was aborted.
    assert_eq!(read_changelog(&member.log, 0, at_record.0 - 1, at_marker.0).await, []);
    assert_eq!(read_changelog(&member.log, 0, at_marker.0 - 1, at_marker.0).await, []);
    member.leave().await;
}

/// Markers and aborted records lie between the stretches, and at the end.
#[tokio::test(flavor = "multi_thread")]
async fn a_read_that_stops_early_is_gone_on_with_where_it_stopped() {
    let config = fleet(1).await;
    let mut member = Member::join(&config).await;
    let incarnation = member.assigned().await.remove(0);
    let mut lane = member.log.lane(0).await.unwrap();
    let mut expected = Vec::new();
    for values in [["a", "b"], ["c", "d"], ["e", "f"]] {
        let offsets = committed(&mut lane, vec![share(&config, &incarnation, &values)]).await;
        expected.extend(offsets[0].iter().map(|it| it.0).zip(values.map(str::to_owned)));
        let open = open_transaction(&config, &dead_lane(&config), &config.topics.changelog(), 0).await;
        ended(open, false).await;
    }
    let (log, until) = (&member.log, end(&member.log).await);
    let stable = read_changelog(log, 0, 0, until.0).await;
    assert_eq!(stable, expected);

    // The fewest bytes are one record, and three of these fit into 200.
    for (bytes_max, records_at_once) in [(0, 1), (1, 1), (200, 3), (usize::MAX, usize::MAX)] {
        let (mut position, mut all) = (Offset(0), Vec::new());
        while position < until {
            let (reached, some) = read_some(log, 0, position.0, until.0, bytes_max).await.unwrap();
            assert!(some.len() <= records_at_once, "{some:?} for {bytes_max} bytes");
            if reached < until {
                assert_eq!(some.len(), records_at_once, "{some:?} for {bytes_max} bytes");
                assert_eq!(reached.0, some.last().unwrap().0 + 1, "at a record's end");
            }
            (position, all) = (reached, [all, some].concat());
        }
        assert_eq!(all, expected, "{bytes_max} bytes at once");
    }
    assert_eq!(read_some(log, 0, until.0, until.0, 1).await.unwrap(), (until, vec![]), "nothing is left");
    member.leave().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_end_that_lies_beyond_the_log_is_told_from_an_open_transaction() {
    let config = fleet(1).await;
    let log = KafkaLog::connect(config.clone()).await.unwrap();
    let error = try_read_changelog(&log, 0, 0, 5).await.unwrap_err();
    assert!(matches!(error, LogError::Fatal { .. }), "{error:?}");
    assert!(error.to_string().contains("it ends at 0"), "{error}");
}

/// F4, and how long a killed owner keeps its successor waiting.
#[tokio::test(flavor = "multi_thread")]
async fn a_restore_is_held_up_by_an_open_transaction_until_the_broker_aborts_it() {
    let config = fleet(1).await;
    let mut member = Member::join(&config).await;
    let incarnation = member.assigned().await.remove(0);
    let mut lane = member.log.lane(0).await.unwrap();

    let open = open_transaction(&config, &dead_lane(&config), &config.topics.changelog(), 0).await;
    let began = Instant::now();
    drop(open);
    let offsets = committed(&mut lane, vec![share(&config, &incarnation, &["hidden at first"])]).await;
    let until = end(&member.log).await;
    // The marker is written after the commit was acknowledged, and may be missing yet.
    assert!(until > offsets[0][0], "the high watermark lies above the open transaction");

    let error = try_read_changelog(&member.log, 0, 0, until.0).await.unwrap_err();
    assert!(matches!(error, LogError::HeldUp { .. }), "{error:?}");
    let all = read_changelog(&member.log, 0, 0, until.0).await;
    println!("the broker aborted the transaction of a killed producer after {:?}", began.elapsed());
    assert!(began.elapsed() > Duration::from_secs(5), "nobody else ended it");
    assert_eq!(all, [(offsets[0][0].0, "hidden at first".into())]);
    member.leave().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_successor_ends_the_open_transaction_of_a_killed_owner_at_once() {
    let config = fleet(1).await;
    let mut member = Member::join(&config).await;
    let incarnation = member.assigned().await.remove(0);
    let mut lane = member.log.lane(0).await.unwrap();
    let offsets = committed(&mut lane, vec![share(&config, &incarnation, &["before"])]).await;

    // Of either of the lane's producers.
    for producer in ["", "-b"] {
        let id = dead_lane(&config) + producer;
        let dead = open_transaction(&config, &id, &config.topics.changelog(), 0).await;
        let until = end(&member.log).await;
        let error = try_read_changelog(&member.log, 0, 0, until.0).await.unwrap_err();
        assert!(matches!(error, LogError::HeldUp { .. }), "{error:?}");

        let began = Instant::now();
        member.log.end_transaction_of(&dead_lane(&config)).await.unwrap();
        let fenced = began.elapsed();
        let all = read_changelog(&member.log, 0, 0, until.0).await;
        println!("ending the transaction took {fenced:?}, with the restore {:?}", began.elapsed());
        assert!(began.elapsed() < Duration::from_secs(5), "by then the broker would have done it");
        assert_eq!(all, [(offsets[0][0].0, "before".into())]);

        // Were it not dead: it is now.
        let zombie = tokio::task::spawn_blocking(move || dead.commit_transaction(PATIENCE)).await.unwrap();
        assert!(zombie.is_err(), "a fenced producer committed");
    }
    // Once more does no harm, nor for an id that nobody has used.
    member.log.end_transaction_of(&dead_lane(&config)).await.unwrap();
    member.log.end_transaction_of(&format!("{}-8-0", config.app_id)).await.unwrap();
    member.leave().await;
}

/// F3: between the sending of the offsets and the end of the transaction, the offset is not told.
#[tokio::test(flavor = "multi_thread")]
async fn the_stable_offset_waits_for_a_transaction_that_has_sent_its_offsets() {
    let config = fleet(1).await;
    // Of a group that has no members and no offsets, brokers tell nothing, pending or not. The one who asks is a member.
    let mut member = Member::join(&config).await;
    member.assigned().await;
    let log = &member.log;
    for (is_committed, sent, expected) in
        [(false, 3, None), (true, 5, Some(Offset(5))), (false, 9, Some(Offset(5)))]
    {
        let pending = pending_offset(&config, sent).await;
        for _ in 0..2 {
            let error = log.stable_internal_offset(INDEX).await.unwrap_err();
            assert!(matches!(error, LogError::HeldUp { .. }), "{error:?}");
        }
        let began = Instant::now();
        let (offset, ()) = tokio::join!(stable_offset(log, 0), ended(pending, is_committed));
        println!("the offset was stable {:?} after the transaction was to end", began.elapsed());
        assert_eq!(offset, expected);
    }

    // The same of an owner that was killed, whose successor does not wait.
    drop(pending_offset(&config, 11).await);
    assert!(matches!(log.stable_internal_offset(INDEX).await, Err(LogError::HeldUp { .. })));
    let began = Instant::now();
    log.end_transaction_of(&dead_lane(&config)).await.unwrap();
    assert_eq!(stable_offset(log, 0).await, Some(Offset(5)));
    println!("a successor ended it, and had the stable offset after {:?}", began.elapsed());
    assert!(began.elapsed() < Duration::from_secs(5));
    member.leave().await;
}

/// An open transaction that has sent this offset of `.internal`. Its metadata is that of no member and no generation, of which the broker
/// checks nothing: this is why a lane never sends such.
async fn pending_offset(config: &KafkaConfig, offset: i64) -> FutureProducer {
    let open = open_transaction(config, &dead_lane(config), &config.topics.emitted(), 0).await;
    let stranger: BaseConsumer = rdkafka::ClientConfig::new()
        .set("bootstrap.servers", &config.bootstrap)
        .set("group.id", config.topics.group())
        .create()
        .unwrap();
    let metadata = stranger.group_metadata().unwrap();
    let mut offsets = TopicPartitionList::new();
    offsets.add_partition_offset(&config.topics.internal(), 0, rdkafka::Offset::Offset(offset)).unwrap();
    let sending = open.clone();
    let send = move || sending.send_offsets_to_transaction(&offsets, &metadata, PATIENCE);
    tokio::task::spawn_blocking(send).await.unwrap().unwrap();
    open
}
