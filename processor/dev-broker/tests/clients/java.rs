//! The console tools of Apache Kafka: the Java client, its consumer, its producer and its administration.

use expect_test::expect;

use crate::tools::{Java, java, topic, unique};

/// Lines with what differs between two runs replaced, and blanks folded.
fn clean(text: &str, replaced: &[(&str, &str)]) -> String {
    let mut lines = String::new();
    for line in text.lines() {
        let mut line = line.split_whitespace().collect::<Vec<_>>().join(" ");
        for (from, to) in replaced {
            line = line.replace(from, to);
        }
        if !line.is_empty() {
            lines.push_str(&line);
            lines.push('\n');
        }
    }
    lines
}

/// Only the line that begins so.
fn line_of<'a>(text: &'a str, start: &str) -> &'a str {
    text.lines()
        .find(|it| it.trim_start().starts_with(start))
        .unwrap_or_else(|| panic!("no line {start} in\n{text}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn topics_are_created_described_altered_listed_and_deleted() {
    let Some(java) = java() else { return };
    let (tool, name) = (java.tool("TopicCommand"), unique("topics"));
    let create = ["--create", "--topic", &name, "--partitions", "2", "--config", "retention.ms=3600000"];
    let create = [&create[..], &["--replication-factor", "1"]].concat();
    assert_eq!(tool.run(&create).await, format!("Created topic {name}.\n"));
    let again = tool.fails(&create).await;
    assert!(again.contains("exists"), "{again}");

    let described = tool.run(&["--describe", "--topic", &name]).await;
    assert!(described.contains("PartitionCount: 2\tReplicationFactor: 1\t"), "{described}");
    assert!(described.contains("retention.ms=3600000"), "{described}");
    assert_eq!(described.matches("Leader: 1\tReplicas: 1\tIsr: 1").count(), 2, "{described}");

    tool.run(&["--alter", "--topic", &name, "--partitions", "5"]).await;
    let described = tool.run(&["--describe", "--topic", &name]).await;
    assert!(described.contains("PartitionCount: 5"), "{described}");
    let fewer = tool.fails(&["--alter", "--topic", &name, "--partitions", "1"]).await;
    assert!(fewer.contains("InvalidPartitionsException"), "{fewer}");

    assert!(tool.run(&["--list"]).await.lines().any(|it| it == name));
    tool.run(&["--delete", "--topic", &name]).await;
    let gone = tool.fails(&["--describe", "--topic", &name]).await;
    assert!(gone.contains("does not exist as expected"), "{gone}");
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_of_topics_are_altered_and_described() {
    let Some(java) = java() else { return };
    let (tool, topic) = (java.tool("ConfigCommand"), topic(1).await);
    let of = ["--entity-type", "topics", "--entity-name", &topic];
    let alter = async |more: [&str; 2]| tool.run(&[&["--alter"], &of[..], &more].concat()).await;
    alter(["--add-config", "max.message.bytes=2000000,cleanup.policy=[compact,delete]"]).await;
    let described = tool.run(&[&["--describe"], &of[..]].concat()).await;
    assert!(line_of(&described, "max.message.bytes=2000000").contains("DYNAMIC_TOPIC_CONFIG"), "{described}");
    line_of(&described, "cleanup.policy=compact,delete");
    alter(["--delete-config", "max.message.bytes"]).await;
    let described = tool.run(&[&["--describe"], &of[..]].concat()).await;
    assert!(!described.contains("max.message.bytes"), "{described}");
    let all = tool.run(&[&["--describe", "--all"], &of[..]].concat()).await;
    line_of(&all, "max.message.bytes=1048588");

    let wrong = [&["--alter"], &of[..], &["--add-config", "retention.ms=soon"]].concat();
    assert!(tool.fails(&wrong).await.contains("InvalidConfigurationException"));
    let broker = tool.run(&["--describe", "--all", "--entity-type", "brokers", "--entity-name", "1"]).await;
    line_of(&broker, "num.partitions=");
}

impl Java {
    async fn produce(&self, topic: &str, input: &str) {
        let keyed = ["--reader-property", "parse.key=true", "--reader-property", "key.separator=:"];
        self.tool("ConsoleProducer").run_with(&[&["--topic", topic], &keyed[..]].concat(), input).await;
    }

    /// So many records, in the order of their offsets within a partition.
    async fn consume(&self, topic: &str, count: usize, more: &[&str]) -> String {
        let (count, shown) =
            (count.to_string(), ["print.key=true", "print.partition=true", "print.offset=true"]);
        let mut arguments = vec!["--topic", topic, "--from-beginning", "--max-messages", &count];
        arguments.extend(shown.iter().flat_map(|it| ["--formatter-property", it]));
        arguments.extend(more);
        self.tool("consumer.ConsoleConsumer").run(&arguments).await
    }

    async fn offsets(&self, topic: &str, time: &str) -> String {
        self.tool("GetOffsetShell").run(&["--topic", topic, "--time", time]).await.replace(topic, "topic")
    }

    async fn group(&self, arguments: &[&str]) -> String {
        self.tool("consumer.group.ConsumerGroupCommand").run(arguments).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn records_are_produced_consumed_and_counted() {
    let Some(java) = java() else { return };
    let topic = topic(1).await;
    // One after the other, so that the last has the largest timestamp.
    java.produce(&topic, "a:one\nb:two\n").await;
    java.produce(&topic, "a:three\n").await;
    expect![[r"
        Partition:0 Offset:0 a one
        Partition:0 Offset:1 b two
        Partition:0 Offset:2 a three
    "]]
    .assert_eq(&clean(&java.consume(&topic, 3, &[]).await, &[]));
    let committed = ["--command-property", "isolation.level=read_committed"];
    assert_eq!(java.consume(&topic, 3, &committed).await.lines().count(), 3);
    for (time, expected) in
        [("-1", "topic:0:3\n"), ("-2", "topic:0:0\n"), ("-3", "topic:0:2\n"), ("0", "topic:0:0\n")]
    {
        assert_eq!(java.offsets(&topic, time).await, expected, "{time}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn offsets_of_a_group_are_described_reset_and_deleted() {
    let Some(java) = java() else { return };
    let (topic, group) = (topic(1).await, unique("group"));
    java.produce(&topic, "a:1\nb:2\nc:3\nd:4\n").await;
    java.consume(&topic, 4, &["--group", &group]).await;
    java.produce(&topic, "e:5\n").await;
    assert!(java.group(&["--list"]).await.lines().any(|it| it == group));

    let describe = async || {
        let described = java.group(&["--describe", "--group", &group]).await;
        clean(&described, &[(&topic, "topic"), (&group, "group")])
    };
    expect![[r"
        GROUP TOPIC PARTITION CURRENT-OFFSET LOG-END-OFFSET LAG CONSUMER-ID HOST CLIENT-ID
        group topic 0 4 5 1 - - -
    "]]
    .assert_eq(&describe().await);
    let state = java.group(&["--describe", "--state", "--group", &group]).await;
    assert!(clean(&state, &[]).contains(" Empty 0"), "{state}");

    let reset = async |how: &[&str]| {
        let begin = ["--reset-offsets", "--group", &group, "--topic", &topic, "--execute"];
        clean(&java.group(&[&begin, how].concat()).await, &[(&topic, "topic"), (&group, "group")])
    };
    expect![[r"
        GROUP TOPIC PARTITION NEW-OFFSET
        group topic 0 0
    "]]
    .assert_eq(&reset(&["--to-earliest"]).await);
    assert_eq!(reset(&["--shift-by", "2"]).await.lines().last(), Some("group topic 0 2"));
    assert_eq!(describe().await.lines().last(), Some("group topic 0 2 5 3 - - -"));

    let deleted = java.group(&["--delete-offsets", "--group", &group, "--topic", &topic]).await;
    assert!(deleted.contains("Successful"), "{deleted}");
    java.group(&["--delete", "--group", &group]).await;
    assert!(!java.group(&["--list"]).await.lines().any(|it| it == group));
}

#[tokio::test(flavor = "multi_thread")]
async fn records_are_deleted_up_to_an_offset() {
    let Some(java) = java() else { return };
    let topic = topic(1).await;
    java.produce(&topic, "a:1\nb:2\nc:3\n").await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("offsets.json");
    let partitions =
        serde_json::json!({ "partitions": [{ "topic": topic, "partition": 0, "offset": 2 }], "version": 1 });
    std::fs::write(&file, partitions.to_string()).unwrap();
    let deleted =
        java.tool("DeleteRecordsCommand").run(&["--offset-json-file", file.to_str().unwrap()]).await;
    assert!(deleted.contains("low_watermark: 2"), "{deleted}");
    assert_eq!(java.offsets(&topic, "-2").await, "topic:0:2\n");
    assert_eq!(clean(&java.consume(&topic, 1, &[]).await, &[]), "Partition:0 Offset:2 c 3\n");
}
