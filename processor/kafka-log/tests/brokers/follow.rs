//! The group, and the reading of sources.

use std::sync::Arc;
use std::time::Duration;

use crate::support::{
    Member, PATIENCE, committed, config, fleet, fleet_by, member, publish, record, share, text,
    with_both_group_protocols,
};
use millrace_kafka_log::{Admin, GroupProtocol, KafkaLog, Publisher};
use millrace_partition::{Located, Source};
use millrace_placement::{PartitionIndex, Topics, home, key_group};
use millrace_runtime::log::{Definition, Log, LogEnd, LogError, LogEvent};
use millrace_schemas::{Offset, Timestamp};
use tokio::time::timeout;

#[tokio::test(flavor = "multi_thread")]
async fn connecting_without_topics_says_what_to_do() {
    let error = KafkaLog::connect(config()).await.unwrap_err();
    assert!(error.to_string().contains("millrace topics apply"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn sources_are_read_from_the_given_position_for_the_incarnation_that_follows() {
    let config = fleet(1).await;
    let publisher = Publisher::new(&config).unwrap();
    for value in ["0", "1", "2", "3"] {
        publish(&publisher, &config.topics.events(), "key", value).await;
    }
    let mut member = Member::join(&config).await;
    let incarnation = member.assigned().await.remove(0);
    // Nothing comes before it is asked for.
    assert!(timeout(Duration::from_millis(500), member.events.recv()).await.is_err());

    let sources = vec![(Source::Internal(0), Offset(0)), (Source::Events(0), Offset(2))];
    member.log.follow(&incarnation, sources).await.unwrap();
    let records = member.records(2, &incarnation).await;
    assert_eq!(records.iter().map(|it| it.offset).collect::<Vec<_>>(), [Offset(2), Offset(3)]);
    assert!(records.iter().all(|it| it.source == Source::Events(0) && it.timestamp.0 > 0));

    // `.internal` is written in transactions, and its markers are passed over.
    let mut lane = member.log.lane(0).await.unwrap();
    let mut forward = share(&config, &incarnation, &["event"]);
    forward.transaction.records = vec![record(&config.topics.internal(), Some(0), "key", "forwarded")];
    committed(&mut lane, vec![forward.clone()]).await;
    committed(&mut lane, vec![forward]).await;
    let records = member.records(2, &incarnation).await;
    assert!(records.iter().all(|it| it.source == Source::Internal(0)));
    assert_eq!(records.iter().map(|it| it.offset).collect::<Vec<_>>(), [Offset(0), Offset(2)]);
    assert_eq!(text(records[0].value.as_ref().unwrap()), "forwarded");
    member.leave().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_ends_of_sources_are_known_without_asking() {
    let config = fleet(1).await;
    let publisher = Publisher::new(&config).unwrap();
    let events = Source::Events(0);
    for value in ["0", "1", "2"] {
        publish(&publisher, &config.topics.events(), "key", value).await;
    }
    let mut member = Member::join(&config).await;
    let incarnation = member.assigned().await.remove(0);
    assert_eq!(member.log.end_of(&events), None);
    let sources = vec![(Source::Internal(0), Offset(0)), (events.clone(), Offset(0))];
    member.log.follow(&incarnation, sources).await.unwrap();
    member.records(3, &incarnation).await;
    until_end(&member.log, &events, 3, true).await;

    // Markers of transactions are read, though no record comes of them.
    let mut lane = member.log.lane(0).await.unwrap();
    let mut forward = share(&config, &incarnation, &["event"]);
    forward.transaction.records = vec![record(&config.topics.internal(), Some(0), "key", "forwarded")];
    committed(&mut lane, vec![forward]).await;
    member.records(1, &incarnation).await;
    until_end(&member.log, &Source::Internal(0), 2, true).await;

    // What is paused is not fetched; it is asked for.
    member.log.pause(&incarnation, std::slice::from_ref(&events));
    publish(&publisher, &config.topics.events(), "key", "3").await;
    until_end(&member.log, &events, 4, false).await;
    member.log.resume(&incarnation, std::slice::from_ref(&events));
    member.records(1, &incarnation).await;
    until_end(&member.log, &events, 4, true).await;
    member.leave().await;
}

async fn until_end(log: &KafkaLog, source: &Source, end: i64, is_read: bool) {
    let expected = Some(LogEnd { end: Offset(end), is_read });
    let known = async {
        while log.end_of(source) != expected {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let known = timeout(PATIENCE, known).await;
    assert!(known.is_ok(), "{source:?} has {:?}, not {expected:?}", log.end_of(source));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renewed_incarnation_reads_again_and_the_old_one_gets_nothing() {
    let config = fleet(1).await;
    let publisher = Publisher::new(&config).unwrap();
    publish(&publisher, &config.topics.events(), "key", "0").await;
    let mut member = Member::join(&config).await;
    let old = member.assigned().await.remove(0);
    member.log.follow(&old, vec![(Source::Events(0), Offset(0))]).await.unwrap();
    member.records(1, &old).await;

    let new = member.log.renew(PartitionIndex(0)).unwrap();
    let error = member.log.follow(&old, vec![(Source::Events(0), Offset(0))]).await.unwrap_err();
    assert!(matches!(error, LogError::Fenced { .. }), "{error:?}");
    publish(&publisher, &config.topics.events(), "key", "1").await;
    assert!(timeout(Duration::from_millis(500), member.events.recv()).await.is_err());

    member.log.follow(&new, vec![(Source::Events(0), Offset(0))]).await.unwrap();
    let records = member.records(2, &new).await;
    assert_eq!(records.iter().map(|it| it.offset).collect::<Vec<_>>(), [Offset(0), Offset(1)]);
    assert!(member.log.renew(PartitionIndex(1)).is_none(), "it is not assigned");
    member.leave().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn paused_sources_keep_their_position() {
    let config = fleet(1).await;
    let publisher = Publisher::new(&config).unwrap();
    let mut member = Member::join(&config).await;
    let incarnation = member.assigned().await.remove(0);
    // A pause that comes before its follow counts.
    member.log.pause(&incarnation, &[Source::Events(0)]);
    member.log.follow(&incarnation, vec![(Source::Events(0), Offset(0))]).await.unwrap();
    publish(&publisher, &config.topics.events(), "key", "0").await;
    assert!(timeout(Duration::from_millis(700), member.events.recv()).await.is_err());

    member.log.resume(&incarnation, &[Source::Events(0)]);
    assert_eq!(member.records(1, &incarnation).await[0].offset, Offset(0));
    member.log.pause(&incarnation, &[Source::Events(0)]);
    publish(&publisher, &config.topics.events(), "key", "1").await;
    assert!(timeout(Duration::from_millis(700), member.events.recv()).await.is_err());
    member.log.resume(&incarnation, &[Source::Events(0)]);
    assert_eq!(member.records(1, &incarnation).await[0].offset, Offset(1));

    member.log.unfollow(&incarnation, vec![Source::Events(0)]);
    publish(&publisher, &config.topics.events(), "key", "2").await;
    assert!(timeout(Duration::from_millis(700), member.events.recv()).await.is_err());
    member.leave().await;
}

/// A lane may still order a pause for an incarnation that has died: the next one, which has paused nothing, would never resume.
#[tokio::test(flavor = "multi_thread")]
async fn a_late_pause_does_not_stop_the_next_incarnation() {
    let config = fleet(1).await;
    let publisher = Publisher::new(&config).unwrap();
    let mut member = Member::join(&config).await;
    let dead = member.assigned().await.remove(0);
    let next = member.log.renew(PartitionIndex(0)).unwrap();
    member.log.pause(&dead, &[Source::Events(0)]);
    member.log.follow(&next, vec![(Source::Events(0), Offset(0))]).await.unwrap();
    member.log.pause(&dead, &[Source::Events(0)]);
    publish(&publisher, &config.topics.events(), "key", "0").await;
    assert_eq!(member.records(1, &next).await[0].offset, Offset(0));
    member.leave().await;
}

/// librdkafka keeps a partition paused beyond its removal: who pauses, loses the partition and wins it back would read nothing for ever.
#[tokio::test(flavor = "multi_thread")]
async fn a_pause_ends_with_its_incarnation() {
    let config = fleet(1).await;
    let publisher = Publisher::new(&config).unwrap();
    let mut member = Member::join(&config).await;
    let first = member.assigned().await.remove(0);
    let source = [Source::Events(0)];
    member.log.follow(&first, vec![(Source::Events(0), Offset(0))]).await.unwrap();
    member.log.pause(&first, &source);
    let second = member.log.renew(PartitionIndex(0)).unwrap();
    member.log.follow(&second, vec![(Source::Events(0), Offset(0))]).await.unwrap();
    publish(&publisher, &config.topics.events(), "key", "0").await;
    assert_eq!(member.records(1, &second).await[0].offset, Offset(0));

    // The same, where it stops to read before it dies.
    member.log.pause(&second, &source);
    member.log.unfollow(&second, source.to_vec());
    let third = member.log.renew(PartitionIndex(0)).unwrap();
    member.log.follow(&third, vec![(Source::Events(0), Offset(0))]).await.unwrap();
    assert_eq!(member.records(1, &third).await[0].offset, Offset(0));
    member.leave().await;
}

/// Topics of somebody else: they come and go, and say so.
#[tokio::test(flavor = "multi_thread")]
async fn a_users_topic_is_located_and_followed() {
    let config = fleet(2).await;
    let publisher = Publisher::new(&config).unwrap();
    let mut member = Member::join(&config).await;
    let mut assigned = member.assigned().await;
    while assigned.len() < 2 {
        assigned.extend(member.assigned().await);
    }
    let incarnation = assigned.iter().find(|it| it.partition() == PartitionIndex(1)).unwrap();
    let topic: Arc<str> = format!("users-{}", uuid::Uuid::new_v4().simple()).into();
    assert_eq!(member.log.topic_partitions(&topic).await.unwrap(), None);
    Admin::new(&config).unwrap().apply(&[Topics::user_spec(&topic, 4)]).await.unwrap();
    assert_eq!(member.log.topic_partitions(&topic).await.unwrap(), Some(4));

    // Partition 3 belongs to index 1 of 2.
    let key = (0..).map(|it| it.to_string()).find(|it| key_group(it.as_bytes()).0 % 4 == 3).unwrap();
    for value in ["0", "1"] {
        assert_eq!(publish(&publisher, &topic, &key, value).await.0, 3);
    }
    tokio::time::sleep(Duration::from_millis(5)).await;
    let since = Timestamp(i64::try_from(now_ms()).unwrap());
    publish(&publisher, &topic, &key, "2").await;
    let source = Source::Topic(Arc::clone(&topic), 3);
    let located = member.log.locate(&source, Some(since)).await.unwrap();
    let bounds = Located { source: source.clone(), start: Offset(0), end: Offset(3), since: Some(Offset(2)) };
    assert_eq!(located, bounds);
    assert_eq!(member.log.locate(&source, None).await.unwrap(), Located { since: None, ..bounds });
    assert!(member.log.locate(&Source::Topic("users-nobody".into(), 0), None).await.is_err());

    member.log.follow(incarnation, vec![(source.clone(), Offset(1))]).await.unwrap();
    let records = member.records(2, incarnation).await;
    assert_eq!(records.iter().map(|it| it.offset).collect::<Vec<_>>(), [Offset(1), Offset(2)]);
    assert!(records.iter().all(|it| it.source == source));

    member.log.pause(incarnation, std::slice::from_ref(&source));
    publish(&publisher, &topic, &key, "3").await;
    assert!(timeout(Duration::from_millis(500), member.events.recv()).await.is_err());
    member.log.resume(incarnation, std::slice::from_ref(&source));
    assert_eq!(member.records(1, incarnation).await[0].offset, Offset(3));

    // An order that comes too late, for one that has died, means nobody else.
    let next = member.log.renew(PartitionIndex(1)).unwrap();
    member.log.follow(&next, vec![(source.clone(), Offset(3))]).await.unwrap();
    member.log.unfollow(incarnation, vec![source.clone()]);
    assert_eq!(member.records(1, &next).await[0].offset, Offset(3));
    publish(&publisher, &topic, &key, "4").await;
    assert_eq!(member.records(1, &next).await[0].offset, Offset(4));
    member.log.unfollow(&next, vec![source.clone()]);
    publish(&publisher, &topic, &key, "5").await;
    assert!(timeout(Duration::from_millis(500), member.events.recv()).await.is_err());

    // A position that the topic does not have, as after it was made anew, is read from the oldest record: the partition sees it.
    member.log.follow(&next, vec![(source, Offset(100))]).await.unwrap();
    assert_eq!(member.records(6, &next).await[0].offset, Offset(0));
    member.leave().await;
}

fn now_ms() -> u128 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_position_beyond_the_end_is_refused() {
    let config = fleet(1).await;
    let mut member = Member::join(&config).await;
    let incarnation = member.assigned().await.remove(0);
    let error = member.log.follow(&incarnation, vec![(Source::Events(0), Offset(5))]).await.unwrap_err();
    assert!(matches!(error, LogError::Fatal { .. }), "{error:?}");
    member.leave().await;
}

with_both_group_protocols!(a_second_member_gets_its_share_after_the_first_has_drained);

async fn a_second_member_gets_its_share_after_the_first_has_drained(protocol: GroupProtocol) {
    let config = fleet_by(protocol, 4).await;
    let mut first = Member::join(&config).await;
    let all = first.assigned().await;
    assert_eq!(all.len(), 4);
    let mut lane = first.log.lane(0).await.unwrap();

    let mut second = Member::join(&member(&config, 1)).await;
    let (revoked, done) = match first.event().await {
        LogEvent::Revoking { incarnations, done } => {
            (incarnations.iter().map(|it| it.partition()).collect::<Vec<_>>(), done)
        }
        other => panic!("not a revocation: {other:?}"),
    };
    assert_eq!(revoked.len(), 2);
    // While it drains it is the owner still, and commits.
    let draining = all.iter().find(|it| it.partition() == revoked[0]).unwrap();
    committed(&mut lane, vec![share(&config, draining, &["drained"])]).await;
    done.send(()).unwrap();
    assert!(matches!(first.event().await, LogEvent::Lost(partitions) if partitions == revoked));
    assert!(!draining.is_alive());

    let taken = second.assigned().await;
    assert_eq!(taken.iter().map(|it| it.partition()).collect::<Vec<_>>(), revoked);
    let mut other_lane = second.log.lane(0).await.unwrap();
    committed(&mut other_lane, vec![share(&config, &taken[0], &["next"])]).await;
    // What the first one kept it had all the time, and it commits in the new generation.
    let kept = all.iter().find(|it| it.is_alive()).unwrap();
    assert!(!revoked.contains(&kept.partition()));
    committed(&mut lane, vec![share(&config, kept, &["kept"])]).await;

    // Leaving is a revocation too; not answering holds it up for two seconds only.
    let leaving = tokio::spawn({
        let log = second.log.clone();
        async move { log.leave().await }
    });
    assert!(matches!(second.event().await, LogEvent::Revoking { .. }));
    assert!(matches!(second.event().await, LogEvent::Lost(_)));
    assert!(timeout(crate::support::PATIENCE, second.events.recv()).await.unwrap().is_none());
    leaving.await.unwrap();
    assert_eq!(first.assigned().await.len(), 2);
    first.leave().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn plain_producers_reach_the_home_of_a_key() {
    let config = fleet(8).await;
    let publisher = Publisher::new(&config).unwrap();
    for key in ["order-1", "order-2", "a", "ключ"] {
        let (partition, _) = publish(&publisher, &config.topics.events(), key, "value").await;
        assert_eq!(u32::try_from(partition).unwrap(), home(key_group(key.as_bytes()), 8).0, "{key}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn definitions_are_followed_and_their_end_is_told() {
    let config = fleet(1).await;
    let publisher = Publisher::new(&config).unwrap();
    let topic = config.topics.definitions();
    publish(&publisher, &topic, "a/b/1.0.0", "one").await;
    let log = KafkaLog::connect(config.clone()).await.unwrap();
    let end = log.definitions_end().await.unwrap();
    assert_eq!(end, Offset(1));

    let mut definitions = log.tail_definitions().await.unwrap();
    let mut next = async || timeout(crate::support::PATIENCE, definitions.recv()).await.unwrap().unwrap();
    assert!(matches!(next().await, Definition::Record { offset: Offset(0), value: Some(_), .. }));
    assert!(matches!(next().await, Definition::Position(position) if position >= end));
    publisher.send(&topic, Some(b"a/b/1.0.0"), &[], None).await.unwrap();
    assert!(matches!(next().await, Definition::Record { offset: Offset(1), value: None, .. }));
    assert!(matches!(next().await, Definition::Position(Offset(2))));
}
