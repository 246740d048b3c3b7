//! The examples in `RECORDS.md` are true.

use std::fs;

use bytes::Bytes;
use expect_test::expect;
use millrace_schemas::EventId;
use millrace_schemas::cloud_event::{
    InboxRecord, InboxRequest, acceptance_event, read_inbox, rejection_event,
};
use millrace_schemas::codec::Codec;
use millrace_schemas::dead_letter::DeadLetter;
use millrace_schemas::internal::RecordPosition;

use crate::examples;

fn page() -> String {
    fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/RECORDS.md")).unwrap()
}

/// The contents of the fenced blocks with this info string.
fn blocks(info: &str) -> Vec<String> {
    let (page, fence) = (page(), format!("```{info}\n"));
    let blocks = page.split(&fence).skip(1).map(|rest| rest.split("```").next().unwrap().to_owned());
    blocks.collect()
}

/// Splits a line as a shell does: words, single quotes, and lines that go on after a backslash.
fn words(command: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut is_quoted = false;
    for c in command.replace("\\\n", " ").trim().chars() {
        match c {
            '\'' => is_quoted = !is_quoted,
            c if c.is_whitespace() && !is_quoted => words.push(String::new()),
            c => words.last_mut().unwrap().push(c),
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

/// What `echo '…' | kcat -P …` produces, read as a record of the inbox.
#[test]
fn kcat_examples_ask_for_what_the_page_says() {
    let mut lines = Vec::new();
    for block in blocks("sh kcat") {
        let (echo, kcat) = block.split_once('|').unwrap();
        let value = words(echo).split_off(1).join(" ");
        let options = words(kcat);
        let after = |option: &str| {
            let pairs = options.windows(2).filter(|pair| pair[0] == option).map(|pair| pair[1].clone());
            pairs.collect::<Vec<_>>()
        };
        assert_eq!(
            (options[0].as_str(), after("-t")),
            ("kcat", vec!["millrace.events".to_owned()]),
            "{block}"
        );
        assert!(options.contains(&"partitioner=murmur2_random".to_owned()), "{block}");
        let headers: Vec<_> = after("-H")
            .iter()
            .map(|header| header.split_once('=').unwrap())
            .map(|(name, value)| (name.to_owned(), Bytes::copy_from_slice(value.as_bytes())))
            .collect();
        let keys = after("-k");
        let record = InboxRecord {
            key: keys.first().map(String::as_bytes),
            headers: &headers,
            value: Some(value.as_bytes()),
            timestamp: examples::AT,
        };
        let command = examples::read_command(&record, &Codec::single_object())
            .unwrap_or_else(|error| panic!("{error}: {block}"));
        lines.push(format!("{} <- {}: {:?}\n", command.instance, command.cause, command.command));
    }
    expect![[r#"
        order-4711 <- /shop/checkout e-1: Start { workflow: WorkflowName { namespace: "shop", name: "order" }, version: None, input: {"cents":1999}, parent: None }
        order-4711 <- /shop/checkout e-1: Start { workflow: WorkflowName { namespace: "shop", name: "order" }, version: Some("1.2.0"), input: {"cents":1999}, parent: None }
        order-4711 <- /courier e-2: DeliverSignal { event: {"specversion":"1.0","id":"e-2","source":"/courier","type":"shop.courier.delivered","time":"2024-01-01T12:00:00Z","data":{"by":"Ann"}} }
        order-4711 <- /support e-3: Cancel { reason: "customer asked", compensate: false }
        order-4711 <- /payments order-4711/3.1: CompleteTask { token: TaskToken { execution: ExecutionId(3), dispatch: 1 }, output: {"receipt":"r-1"} }
        order-4711 <- /payments order-4711/3.1: FailTask { token: TaskToken { execution: ExecutionId(3), dispatch: 1 }, error: TaskError { error_type: "https://shop.example/errors/declined", status: 402, instance: None, title: Some("card declined"), detail: None }, retriable: false }
        order-4711 <- /payments order-4711/3.1/1: RecordHeartbeat { token: TaskToken { execution: ExecutionId(3), dispatch: 1 } }
        order-4711 <- /courier e-4: DeliverSignal { event: {"specversion":"1.0","id":"e-4","source":"/courier","type":"shop.courier.delivered","time":"2024-01-01T12:00:00Z","data":{"by":"Ann"}} }
    "#]].assert_eq(&lines.concat());
}

#[test]
fn the_published_event_is_for_whoever_listens() {
    let [block] = <[String; 1]>::try_from(blocks("sh kcat publish")).unwrap();
    let value = words(block.split_once('|').unwrap().0).split_off(1).join(" ");
    let record = InboxRecord::<Bytes> {
        key: Some(b"o-7"),
        headers: &[],
        value: Some(value.as_bytes()),
        timestamp: examples::AT,
    };
    let read = read_inbox(&record, &Codec::single_object()).unwrap();
    assert!(matches!(read, InboxRequest::Publish(_)), "{read:?}");
}

#[test]
fn the_task_on_the_page_is_what_a_worker_reads() {
    let bytes = Codec::single_object().encode_task(&examples::task());
    let [block] = <[String; 1]>::try_from(blocks("text task_command")).unwrap();
    assert_eq!(examples::hex(&examples::unhex(&block)), examples::hex(&bytes));
}

#[test]
fn the_rejection_on_the_page_is_what_is_written() {
    let id = EventId {
        source: "millrace:processor/millrace.changelog".to_owned(),
        id: "rejected/order-4711//shop/checkout/e-1".to_owned(),
    };
    let detail = "instance order-4711 exists already (running); a start is idempotent, nothing was done";
    let event =
        rejection_event(id, &examples::instance(), "start", &examples::cause(), "already_exists", detail);
    let record = event.with_time(examples::AT).to_binary();
    assert_eq!(blocks("text rejection"), [shown(&record.headers, record.value.as_deref())]);
}

#[test]
fn the_acceptance_on_the_page_is_what_is_written() {
    let id = EventId {
        source: "millrace:processor/millrace.changelog".to_owned(),
        id: "accepted/order-4711//courier/e-4".to_owned(),
    };
    let cause = EventId { source: "/courier".to_owned(), id: "e-4".to_owned() };
    let task = Some("/do/2/delivered");
    let event =
        acceptance_event(id, &examples::instance(), "deliver_signal", &cause, "taken", task, "completed");
    let record = event.with_time(examples::AT).to_binary();
    assert_eq!(blocks("text acceptance"), [shown(&record.headers, record.value.as_deref())]);
}

#[test]
fn the_dead_letter_on_the_page_is_what_is_written() {
    let value = br#"{"order": 4711}"#;
    let record =
        InboxRecord::<Bytes> { key: None, headers: &[], value: Some(value), timestamp: examples::AT };
    let error = examples::read_command(&record, &Codec::single_object()).unwrap_err();
    let letter = DeadLetter {
        reason: error.reason().to_owned(),
        detail: error.to_string(),
        source: RecordPosition {
            topic: "millrace.events".to_owned(),
            partition: 3,
            offset: millrace_schemas::Offset(41),
        },
        at: examples::AT,
    };
    assert_eq!(blocks("text dead-letter"), [shown(&letter.headers(&[]), Some(value))]);
}

/// As `kcat -C -f '%h\n%s\n'` shows it, with one header a line.
fn shown(headers: &[(String, Bytes)], value: Option<&[u8]>) -> String {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let headers = headers.iter().map(|(name, value)| format!("{name}={}\n", text(value)));
    headers.chain([text(value.unwrap_or_default()) + "\n"]).collect()
}
