//! Topics, and the plain reader.

use crate::support::{Member, config, fleet, publish, text};
use millrace_kafka_log::{Admin, Isolation, KafkaLog, Publisher, Start, Tail, TailSource, TopicDifference};
use millrace_placement::topics::WRAPPING_BYTES_MAX;
use millrace_runtime::log::Log;
use millrace_schemas::Offset;

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_names_what_is_missing_and_what_differs() {
    let config = config();
    let admin = Admin::new(&config).unwrap();
    let specs = config.topics.specs(2, &[]).unwrap();
    let plan = admin.plan(&specs).await.unwrap();
    assert_eq!(plan, specs.iter().cloned().map(TopicDifference::Missing).collect::<Vec<_>>());

    assert_eq!(admin.apply(&specs).await.unwrap().len(), specs.len());
    assert_eq!(admin.plan(&specs).await.unwrap(), []);
    assert_eq!(admin.apply(&specs).await.unwrap(), Vec::<String>::new());

    let mut other = config.topics.specs(4, &[]).unwrap().remove(0);
    other.settings = vec![("retention.ms", "1".to_owned())];
    let plan = admin.plan(std::slice::from_ref(&other)).await.unwrap();
    assert!(
        matches!(&plan[..], [
        TopicDifference::Partitions { wanted: 4, found: 2, .. },
        TopicDifference::Setting { name, found: Some(_), .. }
    ] if name == "retention.ms"),
        "{plan:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_cluster_its_groups_and_limits_are_described() {
    let config = fleet(1).await;
    let admin = Admin::new(&config).unwrap();
    let cluster = admin.cluster().await.unwrap();
    assert!(cluster.id.is_some() && !cluster.brokers.is_empty());
    assert_eq!(admin.partitions(&config.topics.events()).await.unwrap(), Some(1));
    assert_eq!(admin.partitions("no-such-topic").await.unwrap(), None);

    let log = KafkaLog::connect(config.clone()).await.unwrap();
    // Kafka's default, of the topics that do not wrap others.
    let smallest = log.record_bytes_max().await.unwrap();
    assert!(smallest < usize::try_from(WRAPPING_BYTES_MAX).unwrap(), "{smallest}");

    assert_eq!(admin.group_members(&config.topics.group()).await.unwrap(), 0);
    let mut member = Member::join(&config).await;
    member.assigned().await;
    assert_eq!(admin.group_members(&config.topics.group()).await.unwrap(), 1);
    member.leave().await;
    assert_eq!(admin.group_members(&config.topics.group()).await.unwrap(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tail_reads_what_exists_and_then_what_comes() {
    let config = fleet(1).await;
    let publisher = Publisher::new(&config).unwrap();
    let topic = config.topics.events();
    for value in ["0", "1", "2"] {
        publish(&publisher, &topic, "key", value).await;
    }
    let source = |start| [TailSource { topic: topic.clone(), partition: 0, start }];

    let mut tail = Tail::open(&config, &source(Start::At(Offset(1))), Isolation::Committed).await.unwrap();
    let mut values = Vec::new();
    while let Some(record) = tail.next_existing().await.unwrap() {
        values.push(text(&record.value.unwrap()));
    }
    assert_eq!(values, ["1", "2"]);

    let mut empty = Tail::open(&config, &source(Start::End), Isolation::Uncommitted).await.unwrap();
    assert_eq!(empty.next_existing().await.unwrap(), None);
    publish(&publisher, &topic, "key", "3").await;
    let record = empty.next().await.unwrap();
    assert_eq!((record.offset, text(&record.value.unwrap())), (Offset(3), "3".to_owned()));
}
