//! Transactions, as the console tool of Apache Kafka shows them. librdkafka writes them: the console producer cannot.

use std::time::Duration;

use millrace_dev_broker::testing::bootstrap;
use rdkafka::ClientConfig;
use rdkafka::producer::{FutureProducer, FutureRecord, Producer as _};

use crate::tools::{Java, java, kcat, topic, unique};

const PATIENCE: Duration = Duration::from_secs(30);
const CLASS: &str = "TransactionsCommand";

/// The values in the row below a head that has this column.
fn row(table: &str, column: &str) -> Vec<(String, String)> {
    let mut lines = table.lines().skip_while(|it| !it.contains(column));
    let cells =
        |line: Option<&str>| line.unwrap_or_default().split('\t').map(|it| it.trim().to_owned()).collect();
    let (head, row): (Vec<String>, Vec<String>) = (cells(lines.next()), cells(lines.next()));
    head.into_iter().zip(row).collect()
}

fn value<'a>(row: &'a [(String, String)], column: &str) -> &'a str {
    row.iter().find(|it| it.0 == column).map_or_else(|| panic!("no {column} in {row:?}"), |it| &it.1)
}

async fn describe(java: &Java, id: &str) -> Vec<(String, String)> {
    let described = java.tool(CLASS).run(&["describe", "--transactional-id", id]).await;
    row(&described, "CoordinatorId")
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_transaction_is_described_and_what_it_wrote_is_not_read() {
    let Some(java) = java() else { return };
    let (topic, id) = (topic(1).await, unique("transaction"));
    let producer: FutureProducer = ClientConfig::new()
        .set("bootstrap.servers", bootstrap())
        .set("transactional.id", &id)
        .set("transaction.timeout.ms", "60000")
        .create()
        .unwrap();
    let initialising = producer.clone();
    tokio::task::spawn_blocking(move || initialising.init_transactions(PATIENCE)).await.unwrap().unwrap();
    producer.begin_transaction().unwrap();
    let record: FutureRecord<'_, str, str> = FutureRecord::to(&topic).partition(0).payload("open");
    producer.send(record, PATIENCE).await.unwrap();

    let open = describe(&java, &id).await;
    assert_eq!(value(&open, "TransactionState"), "Ongoing");
    assert_eq!(value(&open, "TransactionTimeoutMs"), "60000");
    assert_eq!(value(&open, "TopicPartitions"), format!("{topic}-0"));
    let listed = java.tool(CLASS).run(&["list"]).await;
    assert!(listed.lines().any(|it| it.contains(&id) && it.contains("Ongoing")), "{listed}");
    let producers =
        java.tool(CLASS).run(&["describe-producers", "--topic", &topic, "--partition", "0"]).await;
    let producers = row(&producers, "CurrentTransactionStartOffset");
    assert_eq!(value(&producers, "ProducerId"), value(&open, "ProducerId"));
    assert_eq!(value(&producers, "CurrentTransactionStartOffset"), "0");
    let committed_end = ["--topic", &topic, "--time", "-1"];
    assert_eq!(java.tool("GetOffsetShell").run(&committed_end).await, format!("{topic}:0:1\n"));

    tokio::task::spawn_blocking(move || producer.abort_transaction(PATIENCE)).await.unwrap().unwrap();
    let ended = describe(&java, &id).await;
    assert_eq!(value(&ended, "TransactionState"), "CompleteAbort");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_of_kcat_is_read_as_a_whole() {
    let Some(kcat) = kcat() else { return };
    let (topic, id) = (topic(1).await, unique("transaction"));
    let transactional = format!("transactional.id={id}");
    kcat.run_with(&["-P", "-t", &topic, "-X", &transactional], "a\nb\n").await;
    kcat.run_with(&["-P", "-t", &topic, "-X", &transactional], "c\n").await;
    let consume = ["-C", "-q", "-e", "-t", &topic, "-X", "isolation.level=read_committed", "-f", "%s %o\n"];
    // A marker stands behind each.
    assert_eq!(kcat.run(&consume).await, "a 0\nb 1\nc 3\n");
    let Some(java) = java() else { return };
    assert_eq!(value(&describe(&java, &id).await, "TransactionState"), "CompleteCommit");
}
