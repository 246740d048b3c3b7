//! kcat: librdkafka as its makers use it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use expect_test::expect;
use serde_json::Value;

use crate::tools::{Tool, kcat, topic, unique};

impl Tool {
    /// All records of a topic, in the form `key=value headers @partition/offset`.
    async fn records(&self, topic: &str, more: &[&str]) -> Vec<String> {
        let usual = ["-C", "-q", "-e", "-Z", "-t", topic, "-o", "beginning", "-f", "%k=%s %h @%p/%o\n"];
        let printed = self.run(&[&usual, more].concat()).await;
        printed.lines().map(str::to_owned).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn records_come_back_with_key_headers_and_offset() {
    let Some(kcat) = kcat() else { return };
    let topic = topic(2).await;
    let produce = ["-P", "-t", &topic, "-p", "1", "-K", ":", "-H", "colour=blue"];
    kcat.run_with(&produce, "a:one\nb:two\n").await;
    // With -Z an empty value is none.
    kcat.run_with(&["-P", "-t", &topic, "-p", "1", "-K", ":", "-Z"], "a:\n").await;
    let all = kcat.records(&topic, &[]).await;
    assert_eq!(all, ["a=one colour=blue @1/0", "b=two colour=blue @1/1", "a=NULL  @1/2"]);
    let tail = kcat.run(&["-C", "-q", "-e", "-t", &topic, "-p", "1", "-o", "-1", "-f", "%o\n"]).await;
    assert_eq!(tail, "2\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_compression_is_stored_as_it_comes() {
    let Some(kcat) = kcat() else { return };
    let topic = topic(1).await;
    let long = "millrace ".repeat(500);
    for codec in ["none", "gzip", "snappy", "lz4", "zstd"] {
        kcat.run_with(&["-P", "-t", &topic, "-z", codec], &format!("{codec} {long}\n")).await;
    }
    let all = kcat.records(&topic, &[]).await;
    let codecs: Vec<_> =
        all.iter().map(|it| it.trim_start_matches("NULL=").split(' ').next().unwrap()).collect();
    assert_eq!(codecs, ["none", "gzip", "snappy", "lz4", "zstd"]);
    assert!(all.iter().all(|it| it.contains(&long)));
}

#[tokio::test(flavor = "multi_thread")]
async fn metadata_tells_topics_partitions_and_leaders() {
    let Some(kcat) = kcat() else { return };
    let topic = topic(3).await;
    let metadata: Value = serde_json::from_str(&kcat.run(&["-L", "-J", "-t", &topic]).await).unwrap();
    assert_eq!(metadata["brokers"].as_array().unwrap().len(), 1);
    assert_eq!(metadata["topics"][0]["topic"], *topic);
    assert_eq!(
        metadata["topics"][0]["partitions"].to_string(),
        r#"[{"partition":0,"leader":1,"replicas":[{"id":1}],"isrs":[{"id":1}]},{"partition":1,"leader":1,"replicas":[{"id":1}],"isrs":[{"id":1}]},{"partition":2,"leader":1,"replicas":[{"id":1}],"isrs":[{"id":1}]}]"#
    );
    let all: Value = serde_json::from_str(&kcat.run(&["-L", "-J"]).await).unwrap();
    assert!(all["topics"].as_array().unwrap().iter().any(|it| it["topic"] == *topic));
    let unknown = kcat.run(&["-L", "-t", "no-such-topic"]).await;
    assert!(unknown.contains("Broker: Unknown topic or partition"), "{unknown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn offsets_are_found_by_time() {
    let Some(kcat) = kcat() else { return };
    let topic = topic(1).await;
    let offset = async |time: String| {
        let answer = kcat.run(&["-Q", "-t", &format!("{topic}:0:{time}")]).await;
        answer.trim().rsplit(' ').next().unwrap().parse::<i64>().unwrap()
    };
    assert_eq!((offset("-2".to_owned()).await, offset("-1".to_owned()).await), (0, 0));
    let began = now_ms();
    kcat.run_with(&["-P", "-t", &topic], "a\nb\n").await;
    tokio::time::sleep(Duration::from_millis(20)).await;
    let between = now_ms();
    kcat.run_with(&["-P", "-t", &topic], "c\n").await;
    assert_eq!((offset("-2".to_owned()).await, offset("-1".to_owned()).await), (0, 3));
    assert_eq!(offset(began.to_string()).await, 0);
    assert_eq!(offset(between.to_string()).await, 2);
    assert_eq!(offset((now_ms() + 60_000).to_string()).await, -1, "nothing is so young");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_goes_on_where_it_stopped() {
    let Some(kcat) = kcat() else { return };
    let topic = topic(2).await;
    let group = unique("group");
    // With -e a member of a group ends at the end of all its partitions.
    let consume = ["-G", &group, "-q", "-e", "-X", "auto.offset.reset=earliest", "-f", "%s\n", &topic];
    for (partition, input) in [("0", "a\nb\n"), ("1", "c\n")] {
        kcat.run_with(&["-P", "-t", &topic, "-p", partition], input).await;
    }
    let first = kcat.run(&consume).await;
    let mut first: Vec<_> = first.lines().collect();
    first.sort_unstable();
    assert_eq!(first, ["a", "b", "c"]);
    kcat.run_with(&["-P", "-t", &topic, "-p", "1"], "d\n").await;
    assert_eq!(kcat.run(&consume).await, "d\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_is_too_large_is_refused() {
    let Some(kcat) = kcat() else { return };
    let topic = topic(1).await;
    let large = format!("{}\n", "x".repeat(1_100_000));
    let arguments = ["-P", "-t", &topic, "-X", "message.max.bytes=3000000"];
    let refused = kcat.fails_with(&arguments, &large).await;
    expect!["% Delivery failed for message: Broker: Message size too large"].assert_eq(refused.trim());
    assert_eq!(kcat.records(&topic, &[]).await, Vec::<String>::new());
}

fn now_ms() -> u128 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()
}
