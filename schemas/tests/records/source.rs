//! Records of topics that are not the inbox, as events.

use bytes::Bytes;
use expect_test::{Expect, expect};
use millrace_schemas::cloud_event::{
    CloudEvent, EventRecord, InboxError, InboxRecord, PlainValue, PublishedEvent, read_plain, read_published,
    start_event,
};
use millrace_schemas::codec::Codec;
use millrace_schemas::internal::RecordPosition;
use millrace_schemas::{EventId, InstanceId, Offset, WorkflowName};
use serde_json::json;

use crate::examples;

const SCHEMA: &str = r#"{"type": "record", "name": "Order", "fields": [{"name": "id", "type": "string"}, {"name": "cents", "type": "long"}]}"#;

/// Behind the id 7 of a registry: `id` a, `cents` 5.
const AVRO: &[u8] = &[0, 0, 0, 0, 7, 2, b'a', 10];

fn event_id(id: &str) -> EventId {
    EventId { source: "/shop".to_owned(), id: id.to_owned() }
}

fn shown(read: Result<Option<PublishedEvent>, InboxError>) -> String {
    match read {
        Ok(Some(it)) => {
            assert_eq!(it.business_key, None);
            let trace = it.traceparent.map(|it| format!(" traced {it}")).unwrap_or_default();
            format!("{}{trace}: {}", it.cause, it.event.value())
        }
        Ok(None) => "nothing".to_owned(),
        Err(error) => format!("{}: {error}", error.reason()),
    }
}

fn plain(value: PlainValue, key: Option<&[u8]>, bytes: Option<&[u8]>, codec: &Codec) -> String {
    let headers: &[(String, Bytes)] = &[];
    let record = InboxRecord { key, headers, value: bytes, timestamp: examples::AT };
    let position = RecordPosition { topic: "orders".to_owned(), partition: 3, offset: Offset(17) };
    shown(read_plain(&record, &position, value, "order.placed", codec).map(Some))
}

fn cloud(key: Option<&[u8]>, headers: &[(String, Bytes)], value: Option<&[u8]>) -> String {
    let record = InboxRecord { key, headers, value, timestamp: examples::AT };
    shown(read_published(&record, &Codec::single_object()))
}

fn check(lines: &[String], expected: Expect) {
    expected.assert_eq(&(lines.join("\n") + "\n"));
}

#[test]
fn plain_json_becomes_an_event_that_says_where_it_was() {
    let codec = Codec::single_object();
    let json = |key: Option<&[u8]>, value: Option<&[u8]>| plain(PlainValue::Json, key, value, &codec);
    let deep = format!("{}1{}", "[".repeat(120), "]".repeat(120));
    check(
        &[
            json(Some(b"a"), Some(br#"{"id": "a", "cents": 5}"#)),
            json(None, Some(b"5")),
            // Keys that are no text, such as the id of a schema, or nothing.
            json(Some(&[0, 0, 0, 0, 7, 2]), Some(b"null")),
            json(Some(&[0xff]), None),
            json(Some(b""), Some(b"{")),
            json(None, Some(b"")),
            json(None, Some(deep.as_bytes())),
        ],
        expect![[r#"
            kafka:orders orders/3/17: {"specversion":"1.0","id":"orders/3/17","source":"kafka:orders","type":"order.placed","time":"2023-11-14T22:13:20Z","datacontenttype":"application/json","partitionkey":"a","data":{"id":"a","cents":5}}
            kafka:orders orders/3/17: {"specversion":"1.0","id":"orders/3/17","source":"kafka:orders","type":"order.placed","time":"2023-11-14T22:13:20Z","datacontenttype":"application/json","data":5}
            kafka:orders orders/3/17: {"specversion":"1.0","id":"orders/3/17","source":"kafka:orders","type":"order.placed","time":"2023-11-14T22:13:20Z","datacontenttype":"application/json","data":null}
            kafka:orders orders/3/17: {"specversion":"1.0","id":"orders/3/17","source":"kafka:orders","type":"order.placed","time":"2023-11-14T22:13:20Z"}
            unreadable-data: unreadable data: the value is not JSON: EOF while parsing an object at line 1 column 1
            unreadable-data: unreadable data: the value is not JSON: EOF while parsing a value at line 1 column 0
            unreadable-data: unreadable data: it is nested more than 100 deep; flatten it
        "#]],
    );
}

#[test]
fn avro_is_read_once_its_schema_is_known() {
    let codec = Codec::single_object();
    let avro = |value: &[u8]| plain(PlainValue::Avro, Some(b"a"), Some(value), &codec);
    let unknown = avro(AVRO);
    codec.learn(7, SCHEMA).unwrap();
    codec.forget_as_unknown(8);
    check(
        &[unknown, avro(AVRO), avro(&[0, 0, 0, 0, 8]), avro(&AVRO[..7]), avro(b"{}")],
        expect![[r#"
            unknown-schema: schema id 7 of the data is not known yet: fetch it from the schema registry
            kafka:orders orders/3/17: {"specversion":"1.0","id":"orders/3/17","source":"kafka:orders","type":"order.placed","time":"2023-11-14T22:13:20Z","datacontenttype":"application/json","partitionkey":"a","data":{"id":"a","cents":5}}
            unknown-schema: schema id 8 of the data cannot be used: the schema registry does not have it
            unreadable-data: unreadable data: Avro data is damaged at byte 2: the record ends too early
            unreadable-data: unreadable data: the record begins with byte 0x7b, or ends within its header; expected Avro in single-object encoding (0xc3 0x01) or in the Confluent wire format (0x00): check which producer writes this topic
        "#]],
    );
}

#[test]
fn a_cloud_event_is_for_whoever_listens_and_never_a_command() {
    let event = CloudEvent::new(event_id("e-1"), "order.placed")
        .with_subject("order-1")
        .with_extension("businesskey", "b")
        .with_extension("correlate", true)
        .with_data(json!({"cents": 5}));
    let (structured, binary) = (event.to_structured(), event.to_binary());
    let workflow = WorkflowName { namespace: "shop".into(), name: "order".into() };
    let instance = InstanceId::new("order-1").unwrap();
    let command = start_event(event_id("e-2"), &instance, &workflow, None, json!({})).to_structured();
    let value = |it: &EventRecord| it.value.clone().unwrap();
    check(
        &[
            cloud(Some(b"k"), &structured.headers, Some(&value(&structured))),
            cloud(Some(b"k"), &binary.headers, Some(&value(&binary))),
            cloud(Some(b"k"), &binary.headers, None),
            cloud(None, &[], Some(&value(&structured))),
            cloud(Some(b"k"), &[], None),
            cloud(Some(b"order-1"), &command.headers, Some(&value(&command))),
            cloud(None, &[], Some(b"{}")),
            cloud(None, &[], Some(b"\x01")),
        ],
        expect![[r#"
            /shop e-1: {"specversion":"1.0","id":"e-1","source":"/shop","type":"order.placed","subject":"order-1","time":"2023-11-14T22:13:20Z","datacontenttype":"application/json","businesskey":"b","correlate":true,"data":{"cents":5}}
            /shop e-1: {"specversion":"1.0","id":"e-1","source":"/shop","type":"order.placed","subject":"order-1","time":"2023-11-14T22:13:20Z","datacontenttype":"application/json","businesskey":"b","correlate":"true","data":{"cents":5}}
            /shop e-1: {"specversion":"1.0","id":"e-1","source":"/shop","type":"order.placed","subject":"order-1","time":"2023-11-14T22:13:20Z","datacontenttype":"application/json","businesskey":"b","correlate":"true"}
            /shop e-1: {"specversion":"1.0","id":"e-1","source":"/shop","type":"order.placed","subject":"order-1","time":"2023-11-14T22:13:20Z","datacontenttype":"application/json","businesskey":"b","correlate":true,"data":{"cents":5}}
            nothing
            own-type: type "io.millrace.instance.start" is Millrace's own, and means something only in the inbox
            not-a-cloudevent: not a CloudEvent: the value is JSON without "specversion", and there are no ce_ headers
            not-a-cloudevent: not a CloudEvent: the value is not JSON: expected value at line 1 column 1
        "#]],
    );
}
