//! Records of the inbox as commands, in both modes, and what is refused.

use bytes::Bytes;
use expect_test::{Expect, expect};
use millrace_schemas::cloud_event::{
    CloudEvent, EventRecord, InboxRecord, InboxRequest, cancel_event, complete_event, control_event,
    fail_event, heartbeat_event, pause_schedule_event, read_inbox, resume_event, resume_schedule_event,
    signal_event, start_event, suspend_event, trigger_schedule_event, types,
};
use millrace_schemas::codec::Codec;
use millrace_schemas::command::Command;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::examples;

/// What a record asks for, as text.
fn outcome(codec: &Codec, key: Option<&str>, headers: &[(&str, &str)], value: Option<&[u8]>) -> String {
    let headers: Vec<_> = headers
        .iter()
        .map(|(name, value)| ((*name).to_owned(), Bytes::copy_from_slice(value.as_bytes())))
        .collect();
    let record =
        InboxRecord { key: key.map(str::as_bytes), headers: &headers, value, timestamp: examples::AT };
    match examples::read_command(&record, codec) {
        Ok(it) => {
            let trace = it.traceparent.map(|trace| format!(" traced {trace}")).unwrap_or_default();
            format!("{} <- {}{trace}: {:?}", it.instance, it.cause, it.command)
        }
        Err(error) => format!("{}: {error}", error.reason()),
    }
}

fn structured(key: Option<&str>, value: Value) -> String {
    outcome(&Codec::single_object(), key, &[], Some(value.to_string().as_bytes()))
}

/// An event of a type, with more attributes.
fn event(event_type: &str, more: Value) -> Value {
    let mut event = json!({"specversion": "1.0", "id": "e-1", "source": "/shop", "type": event_type, "subject": "order-1"});
    event.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    event
}

fn check(lines: &[String], expected: Expect) {
    expected.assert_eq(&(lines.join("\n") + "\n"));
}

#[test]
fn events_become_commands() {
    let is = |event_type: &str, more: Value| structured(None, event(event_type, more));
    check(
        &[
            is("io.millrace.instance.start", json!({"workflow": "shop/order", "data": {"cents": 5}})),
            is("io.millrace.instance.start", json!({"workflow": "shop/order/1.2.0"})),
            is("io.millrace.instance.cancel", json!({"data": {"reason": "late"}})),
            is("io.millrace.instance.cancel", json!({"data": "late"})),
            is("io.millrace.instance.suspend", json!({})),
            is("io.millrace.instance.resume", json!({"data": null})),
            is("io.millrace.task.completed", json!({"tasktoken": "3.1", "data": {"receipt": "r"}})),
            is("io.millrace.task.completed", json!({"tasktoken": "3.1"})),
            is("io.millrace.task.failed", json!({"tasktoken": "3.1"})),
            is("io.millrace.task.failed", json!({"tasktoken": "3.1", "data": "card declined"})),
            is(
                "io.millrace.task.failed",
                json!({"tasktoken": "3.1", "data": {"type": "shop:declined", "status": 402, "title": "t", "detail": "d", "retriable": false}}),
            ),
            is("io.millrace.task.heartbeat", json!({"tasktoken": "3.1"})),
            is("shop.courier.delivered", json!({"data": {"by": "Ann"}, "priority": 3})),
            is("shop.courier.delivered", json!({"time": "2024-01-01T00:00:00Z", "data_base64": "AAE="})),
        ],
        expect![[r#"
            order-1 <- /shop e-1: Start { workflow: WorkflowName { namespace: "shop", name: "order" }, version: None, input: {"cents":5}, parent: None }
            order-1 <- /shop e-1: Start { workflow: WorkflowName { namespace: "shop", name: "order" }, version: Some("1.2.0"), input: {}, parent: None }
            order-1 <- /shop e-1: Cancel { reason: "late", compensate: false }
            order-1 <- /shop e-1: Cancel { reason: "late", compensate: false }
            order-1 <- /shop e-1: Suspend { reason: "" }
            order-1 <- /shop e-1: Resume { reason: "" }
            order-1 <- /shop e-1: CompleteTask { token: TaskToken { execution: ExecutionId(3), dispatch: 1 }, output: {"receipt":"r"} }
            order-1 <- /shop e-1: CompleteTask { token: TaskToken { execution: ExecutionId(3), dispatch: 1 }, output: null }
            order-1 <- /shop e-1: FailTask { token: TaskToken { execution: ExecutionId(3), dispatch: 1 }, error: TaskError { error_type: "https://serverlessworkflow.io/spec/1.0.0/errors/runtime", status: 500, instance: None, title: None, detail: None }, retriable: true }
            order-1 <- /shop e-1: FailTask { token: TaskToken { execution: ExecutionId(3), dispatch: 1 }, error: TaskError { error_type: "https://serverlessworkflow.io/spec/1.0.0/errors/runtime", status: 500, instance: None, title: None, detail: Some("card declined") }, retriable: true }
            order-1 <- /shop e-1: FailTask { token: TaskToken { execution: ExecutionId(3), dispatch: 1 }, error: TaskError { error_type: "shop:declined", status: 402, instance: None, title: Some("t"), detail: Some("d") }, retriable: false }
            order-1 <- /shop e-1: RecordHeartbeat { token: TaskToken { execution: ExecutionId(3), dispatch: 1 } }
            order-1 <- /shop e-1: DeliverSignal { event: {"specversion":"1.0","id":"e-1","source":"/shop","type":"shop.courier.delivered","subject":"order-1","time":"2023-11-14T22:13:20Z","priority":3,"data":{"by":"Ann"}} }
            order-1 <- /shop e-1: DeliverSignal { event: {"specversion":"1.0","id":"e-1","source":"/shop","type":"shop.courier.delivered","subject":"order-1","time":"2024-01-01T00:00:00Z","data_base64":"AAE="} }
        "#]],
    );
}

#[test]
fn a_sender_may_ask_for_the_outcome() {
    let asked = |answer: Value| {
        let signal = event(
            "shop.courier.delivered",
            json!({ "time": "2024-01-01T00:00:00Z", "millraceanswer": answer }),
        );
        let bytes = signal.to_string().into_bytes();
        let record =
            InboxRecord::<Bytes> { key: None, headers: &[], value: Some(&bytes), timestamp: examples::AT };
        match examples::read_command(&record, &Codec::single_object()) {
            Ok(it) => format!("{:?}: {:?}", it.answer, it.command),
            Err(error) => format!("{}: {error}", error.reason()),
        }
    };
    check(
        &[
            asked(Value::Null),
            asked(json!(true)),
            asked(json!("true")),
            asked(json!("now")),
            asked(json!(false)),
            asked(json!("please")),
        ],
        expect![[r#"
            Refusal: DeliverSignal { event: {"specversion":"1.0","id":"e-1","source":"/shop","type":"shop.courier.delivered","subject":"order-1","time":"2024-01-01T00:00:00Z"} }
            Outcome: DeliverSignal { event: {"specversion":"1.0","id":"e-1","source":"/shop","type":"shop.courier.delivered","subject":"order-1","time":"2024-01-01T00:00:00Z"} }
            Outcome: DeliverSignal { event: {"specversion":"1.0","id":"e-1","source":"/shop","type":"shop.courier.delivered","subject":"order-1","time":"2024-01-01T00:00:00Z"} }
            AtOnce: DeliverSignal { event: {"specversion":"1.0","id":"e-1","source":"/shop","type":"shop.courier.delivered","subject":"order-1","time":"2024-01-01T00:00:00Z"} }
            Refusal: DeliverSignal { event: {"specversion":"1.0","id":"e-1","source":"/shop","type":"shop.courier.delivered","subject":"order-1","time":"2024-01-01T00:00:00Z"} }
            invalid-attribute: attribute millraceanswer is "please": `true` asks for the outcome, `now` for that of an event that must not wait for a `listen`
        "#]],
    );
}

#[test]
fn the_instance_is_the_subject_or_else_the_key() {
    let heartbeat = |subject: Value| json!({"specversion": "1.0", "id": "e-1", "source": "/w", "type": "io.millrace.task.heartbeat", "tasktoken": "1.1", "subject": subject});
    check(
        &[
            structured(Some("by-key"), heartbeat(json!("by-subject"))),
            structured(Some("by-key"), heartbeat(Value::Null)),
            structured(None, heartbeat(Value::Null)),
            structured(Some("by-key"), heartbeat(json!(""))),
            structured(Some(&"x".repeat(257)), heartbeat(Value::Null)),
        ],
        expect![[r#"
            by-subject <- /w e-1: RecordHeartbeat { token: TaskToken { execution: ExecutionId(1), dispatch: 1 } }
            by-key <- /w e-1: RecordHeartbeat { token: TaskToken { execution: ExecutionId(1), dispatch: 1 } }
            missing-attribute: attribute subject is missing: it is the instance id; a record without a subject must have it as its key
            invalid-instance-id: "" is no instance id: it must be 1 to 256 bytes of UTF-8
            invalid-instance-id: "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx" is no instance id: it must be 1 to 256 bytes of UTF-8
        "#]],
    );
}

#[test]
fn what_asks_for_nothing_is_refused_with_a_reason() {
    let codec = Codec::single_object();
    let raw =
        |headers: &[(&str, &str)], value: &str| outcome(&codec, Some("k"), headers, Some(value.as_bytes()));
    let is = |event_type: &str, more: Value| structured(None, event(event_type, more));
    check(
        &[
            outcome(&codec, Some("k"), &[], None),
            raw(&[], "hello"),
            raw(&[], "[1]"),
            raw(&[], r#"{"id": 1}"#),
            raw(&[("content-type", "text/plain")], "hello"),
            raw(&[("content-type", "application/cloudevents+json")], r#"{"id": 1}"#),
            raw(&[("content-type", "application/cloudevents-batch+json")], "[]"),
            raw(&[("content-type", "application/cloudevents+avro")], ""),
            raw(&[("ce_type", "t")], ""),
            raw(&[("ce_specversion", "0.3"), ("ce_id", "1"), ("ce_source", "s"), ("ce_type", "t")], ""),
            raw(
                &[("ce_specversion", "1.0"), ("ce_id", "1"), ("ce_source", "s"), ("ce_type", "t")],
                "not JSON",
            ),
            is("t", json!({"id": ""})),
            is("t", json!({"id": 7})),
            is("t", json!({"extension": {"a": 1}})),
            is("t", json!({"data_base64": 7})),
            is("io.millrace.instance.begin", json!({})),
            is("io.millrace.instance.start", json!({})),
            is("io.millrace.instance.start", json!({"workflow": "order"})),
            is("io.millrace.instance.start", json!({"workflow": "shop/order/"})),
            is("io.millrace.instance.cancel", json!({"data": 7})),
            is("io.millrace.instance.cancel", json!({"data": {"reason": 7}})),
            is("io.millrace.task.completed", json!({})),
            is("io.millrace.task.completed", json!({"tasktoken": "three"})),
            is("io.millrace.task.completed", json!({"tasktoken": 3.1})),
            is("io.millrace.task.failed", json!({"tasktoken": "3.1", "data": 7})),
            is("io.millrace.task.failed", json!({"tasktoken": "3.1", "data": {"status": "bad"}})),
            is("io.millrace.task.failed", json!({"tasktoken": "3.1", "data": {"retriable": "no"}})),
            is("t", json!({"data": (0..101).fold(Value::Null, |inner, _| json!([inner]))})),
            is(
                "io.millrace.task.completed",
                json!({"tasktoken": "3.1", "datacontenttype": "application/json", "data_base64": "AA=="}),
            ),
        ],
        expect![[r#"
            not-a-cloudevent: not a CloudEvent: the record has no value and no ce_ headers
            not-a-cloudevent: not a CloudEvent: the value is not JSON: expected value at line 1 column 1
            not-a-cloudevent: not a CloudEvent: the value is JSON without "specversion", and there are no ce_ headers
            not-a-cloudevent: not a CloudEvent: the value is JSON without "specversion", and there are no ce_ headers
            not-a-cloudevent: not a CloudEvent: neither ce_ headers nor a structured event
            not-a-cloudevent: not a CloudEvent: the value is JSON without "specversion", and there are no ce_ headers
            not-a-cloudevent: not a CloudEvent: application/cloudevents-batch+json is not supported; send application/cloudevents+json, or use binary mode
            not-a-cloudevent: not a CloudEvent: application/cloudevents+avro is not supported; send application/cloudevents+json, or use binary mode
            missing-attribute: attribute specversion is missing: every CloudEvent has specversion, id, source and type, none of them empty
            invalid-attribute: attribute specversion is "0.3": only 1.0 is supported
            unreadable-data: unreadable data: the data is not JSON: expected ident at line 1 column 2; there is no content-type header, so it was read as JSON
            missing-attribute: attribute id is missing: every CloudEvent has specversion, id, source and type, none of them empty
            invalid-attribute: attribute id is 7: it must be a string
            invalid-attribute: attribute extension is {"a":1}: it must be a string, a number or a boolean
            unreadable-data: unreadable data: data_base64 is no string
            unknown-type: type "io.millrace.instance.begin" does not exist: check its spelling; types that begin with io.millrace. are Millrace's own
            missing-attribute: attribute workflow is missing: it names the workflow to start, as namespace/name or namespace/name/version
            invalid-attribute: attribute workflow is "order": it names the workflow to start, as namespace/name or namespace/name/version
            invalid-attribute: attribute workflow is "shop/order/": it names the workflow to start, as namespace/name or namespace/name/version
            unreadable-data: unreadable data: expected {"reason": "…"}, or no data
            unreadable-data: unreadable data: reason is no string
            missing-attribute: attribute tasktoken is missing: a worker copies it from the task into its answer, as a string: execution.dispatch
            invalid-token: "three" is no task token: it must be two numbers with a dot between them, as the task record gives it
            invalid-attribute: attribute tasktoken is 3.1: a worker copies it from the task into its answer, as a string: execution.dispatch
            unreadable-data: unreadable data: expected an object with problem details, or no data
            unreadable-data: unreadable data: status is no HTTP status
            unreadable-data: unreadable data: retriable is no boolean
            unreadable-data: unreadable data: it is nested more than 100 deep; flatten it
            unreadable-data: unreadable data: the data is not JSON: expected value at line 1 column 1
        "#]],
    );
}

const BINARY: [(&str, &str); 4] =
    [("ce_specversion", "1.0"), ("ce_id", "e-1"), ("ce_source", "/shop"), ("ce_type", "shop.note")];

fn binary(codec: &Codec, more: &[(&str, &str)], value: Option<&[u8]>) -> String {
    outcome(codec, Some("order-1"), &[&BINARY, more].concat(), value)
}

#[test]
fn data_of_binary_mode_follows_its_content_type() {
    let codec = Codec::single_object();
    check(
        &[
            binary(&codec, &[], None),
            binary(&codec, &[], Some(b"{\"a\":1}")),
            binary(
                &codec,
                &[("content-type", "application/problem+json; charset=utf-8")],
                Some(b"{\"a\":1}"),
            ),
            binary(&codec, &[("Content-Type", "text/plain")], Some(b"hello")),
            binary(&codec, &[("content-type", "application/octet-stream")], Some(&[0, 1])),
            binary(&codec, &[("ce_datacontenttype", "text/plain"), ("ce_priority", "3")], Some(b"hello")),
            binary(&codec, &[("content-type", "application/json")], Some(b"hello")),
            binary(&codec, &[("content-type", "text/plain")], Some(&[0xff])),
        ],
        expect![[r#"
            order-1 <- /shop e-1: DeliverSignal { event: {"specversion":"1.0","id":"e-1","source":"/shop","type":"shop.note","time":"2023-11-14T22:13:20Z"} }
            order-1 <- /shop e-1: DeliverSignal { event: {"specversion":"1.0","id":"e-1","source":"/shop","type":"shop.note","time":"2023-11-14T22:13:20Z","data":{"a":1}} }
            order-1 <- /shop e-1: DeliverSignal { event: {"specversion":"1.0","id":"e-1","source":"/shop","type":"shop.note","time":"2023-11-14T22:13:20Z","datacontenttype":"application/problem+json; charset=utf-8","data":{"a":1}} }
            order-1 <- /shop e-1: DeliverSignal { event: {"specversion":"1.0","id":"e-1","source":"/shop","type":"shop.note","time":"2023-11-14T22:13:20Z","datacontenttype":"text/plain","data":"hello"} }
            order-1 <- /shop e-1: DeliverSignal { event: {"specversion":"1.0","id":"e-1","source":"/shop","type":"shop.note","time":"2023-11-14T22:13:20Z","datacontenttype":"application/octet-stream","data_base64":"AAE="} }
            order-1 <- /shop e-1: DeliverSignal { event: {"specversion":"1.0","id":"e-1","source":"/shop","type":"shop.note","time":"2023-11-14T22:13:20Z","datacontenttype":"text/plain","priority":"3","data":"hello"} }
            unreadable-data: unreadable data: the data is not JSON: expected value at line 1 column 1
            unreadable-data: unreadable data: the data is not UTF-8
        "#]],
    );
}

#[test]
fn avro_data_needs_its_schema() {
    let codec = Codec::single_object();
    let avro: [(&str, &str); 1] = [("content-type", "application/avro")];
    let data = [0, 0, 0, 0, 9, 2, 6, b'A', b'n', b'n', 0];
    let schema = r#"{"type":"record","name":"Note","fields":[
        {"name":"by","type":["null","string"]},{"name":"at","type":{"type":"long","logicalType":"timestamp-millis"}}]}"#;
    let unknown = binary(&codec, &avro, Some(&data));
    codec.forget_as_unknown(9);
    let unusable = binary(&codec, &avro, Some(&data));
    codec.learn(9, schema).unwrap();
    check(
        &[
            unknown,
            unusable,
            binary(&codec, &avro, Some(&data)),
            binary(&codec, &avro, Some(&data[..8])),
            binary(&codec, &avro, Some(b"{}")),
        ],
        expect![[r#"
            unknown-schema: schema id 9 of the data is not known yet: fetch it from the schema registry
            unknown-schema: schema id 9 of the data cannot be used: the schema registry does not have it
            order-1 <- /shop e-1: DeliverSignal { event: {"specversion":"1.0","id":"e-1","source":"/shop","type":"shop.note","time":"2023-11-14T22:13:20Z","datacontenttype":"application/json","data":{"by":"Ann","at":"1970-01-01T00:00:00Z"}} }
            unreadable-data: unreadable data: Avro data is damaged at byte 2: 3 bytes expected, 1 are left
            unreadable-data: unreadable data: the record begins with byte 0x7b, or ends within its header; expected Avro in single-object encoding (0xc3 0x01) or in the Confluent wire format (0x00): check which producer writes this topic
        "#]],
    );
}

#[test]
fn the_trace_is_the_headers_or_else_the_events() {
    let codec = Codec::single_object();
    let (header, own) = (examples::TRACEPARENT, examples::TRACEPARENT.replace("4bf9", "0000"));
    check(
        &[
            binary(&codec, &[("traceparent", header), ("ce_traceparent", &own)], None),
            binary(&codec, &[("ce_traceparent", &own)], None),
            binary(&codec, &[("traceparent", "nonsense")], None),
        ],
        expect![[r#"
            order-1 <- /shop e-1 traced 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01: DeliverSignal { event: {"specversion":"1.0","id":"e-1","source":"/shop","type":"shop.note","time":"2023-11-14T22:13:20Z","traceparent":"00-00002f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"} }
            order-1 <- /shop e-1 traced 00-00002f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01: DeliverSignal { event: {"specversion":"1.0","id":"e-1","source":"/shop","type":"shop.note","time":"2023-11-14T22:13:20Z","traceparent":"00-00002f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"} }
            order-1 <- /shop e-1: DeliverSignal { event: {"specversion":"1.0","id":"e-1","source":"/shop","type":"shop.note","time":"2023-11-14T22:13:20Z"} }
        "#]],
    );
}

fn read(record: &EventRecord, codec: &Codec) -> Command {
    let record = InboxRecord {
        key: None,
        headers: &record.headers,
        value: record.value.as_deref(),
        timestamp: examples::AT,
    };
    let command = examples::read_command(&record, codec).unwrap();
    assert_eq!((command.instance, command.cause), (examples::instance(), examples::cause()));
    command.command
}

#[test]
fn built_events_ask_for_what_they_are_built_for() {
    let (id, instance, token) = (examples::cause, examples::instance(), examples::token());
    let workflow = examples::workflow().workflow;
    let reason = || "customer asked".to_owned();
    let signal =
        signal_event(id(), &instance, "shop.note", Some(json!({"a": [1.5, null]}))).with_time(examples::AT);
    let as_command = Command::DeliverSignal { event: signal.to_json().into() };
    let error = millrace_schemas::event::TaskError { instance: None, ..examples::error() };
    for (event, expected) in [
        (
            start_event(id(), &instance, &workflow, Some("1.2.0"), json!({"cents": 1999})),
            Command::Start {
                workflow: workflow.clone(),
                version: Some("1.2.0".into()),
                input: json!({"cents": 1999}).into(),
                parent: None,
            },
        ),
        (
            start_event(id(), &instance, &workflow, None, json!("text")),
            Command::Start { workflow, version: None, input: json!("text").into(), parent: None },
        ),
        (signal, as_command),
        (
            complete_event(id(), &instance, token, json!([])),
            Command::CompleteTask { token, output: json!([]).into() },
        ),
        (
            fail_event(id(), &instance, token, &error, false),
            Command::FailTask { token, error, retriable: false },
        ),
        (heartbeat_event(id(), &instance, token), Command::RecordHeartbeat { token }),
        (
            cancel_event(id(), &instance, "customer asked", false),
            Command::Cancel { reason: reason(), compensate: false },
        ),
        (suspend_event(id(), &instance, "customer asked"), Command::Suspend { reason: reason() }),
        (resume_event(id(), &instance, "customer asked"), Command::Resume { reason: reason() }),
    ] {
        let codec = Codec::single_object();
        assert_eq!(read(&event.to_structured(), &codec), expected);
        assert_eq!(read(&event.to_binary(), &codec), expected);
    }
}

#[test]
fn what_an_operator_asks_for_survives_both_modes() {
    let instance = examples::instance();
    let codec = Codec::single_object();
    for command in examples::control_commands() {
        let event = match &command {
            Command::Cancel { reason, compensate } => {
                cancel_event(examples::cause(), &instance, reason, *compensate)
            }
            command => control_event(examples::cause(), &instance, command).unwrap(),
        };
        assert_eq!(read(&event.to_structured(), &codec), command);
        assert_eq!(read(&event.to_binary(), &codec), command);
    }
}

#[test]
fn an_operator_who_says_nothing_is_the_source_of_the_event() {
    let event = CloudEvent::new(examples::cause(), types::RETRY).with_subject("order-4711");
    let by = examples::cause().source;
    let expected = Command::Retry { task: None, input: None, by, reason: String::new() };
    assert_eq!(read(&event.to_structured(), &Codec::single_object()), expected);
}

#[test]
fn what_an_operator_left_out_is_named() {
    let refused = |event_type: &str, data: Value| {
        let event = CloudEvent::new(examples::cause(), event_type).with_subject("order-4711").with_data(data);
        let record = event.to_structured();
        let inbox = InboxRecord {
            key: None,
            headers: &record.headers,
            value: record.value.as_deref(),
            timestamp: examples::AT,
        };
        examples::read_command(&inbox, &Codec::single_object()).unwrap_err().to_string()
    };
    expect_test::expect![[r#"
        unreadable data: task is missing: the JSON pointer of a task, such as /do/2/charge
        unreadable data: input is missing
        unreadable data: output is missing
        unreadable data: task is no string
        unreadable data: number is no whole number below 2^32
        unreadable data: rawInput is missing
        unreadable data: compensations is no array
        unreadable data: compensate is no boolean
        unreadable data: expected an object"#]]
    .assert_eq(
        &[
            refused(types::EDIT, json!({"input": 1})),
            refused(types::EDIT, json!({"task": "/do/0/a"})),
            refused(types::SKIP, json!({"task": "/do/0/a"})),
            refused(types::RETRY, json!({"task": 1})),
            refused(types::RESTART, json!({"task": "/do/0/a", "input": 1, "number": -1})),
            refused(types::RESTART, json!({"task": "/do/0/a", "input": 1, "reopening": {}})),
            refused(
                types::RESTART,
                json!({"task": "/do/0/a", "input": 1, "reopening": {"compensations": 1}}),
            ),
            refused(types::CANCEL, json!({"compensate": 1})),
            refused(types::RETRY, json!([])),
        ]
        .join("\n"),
    );
}

proptest! {
    #[test]
    fn any_record_is_answered_without_a_panic(
        key in prop::option::of(prop::collection::vec(any::<u8>(), 0..8)),
        headers in prop::collection::vec(
            (prop::sample::select(vec!["content-type", "ce_specversion", "ce_id", "ce_source", "ce_type", "ce_tasktoken", "ce_"]),
             prop_oneof![
                prop::sample::select(vec!["1.0", "application/avro", "application/cloudevents+json", "io.millrace.task.failed", "1.1"])
                    .prop_map(|text| text.as_bytes().to_vec()),
                prop::collection::vec(any::<u8>(), 0..8)]),
            0..8),
        value in prop::option::of(prop::collection::vec(any::<u8>(), 0..64)),
    ) {
        let headers: Vec<_> = headers.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        let record = InboxRecord { key: key.as_deref(), headers: &headers, value: value.as_deref(), timestamp: examples::AT };
        if let Err(error) = read_inbox(&record, &Codec::single_object()) {
            prop_assert!(!error.reason().is_empty());
        }
    }

    #[test]
    fn an_event_survives_both_modes(
        texts in prop::array::uniform4("[ -~ü]{1,12}"),
        subject in prop::option::of("[a-z]{1,8}"),
        extension in prop::option::of("[ -~]{0,8}"),
        number in any::<f64>(),
    ) {
        let [id, source, event_type, text] = texts;
        let mut event = CloudEvent::new(millrace_schemas::EventId { source, id }, event_type).with_data(json!({"n": number, "t": text}));
        event.subject = subject;
        if let Some(extension) = extension {
            event = event.with_extension("more", extension);
        }
        for record in [event.to_structured(), event.to_binary()] {
            let inbox = InboxRecord { key: None, headers: &record.headers, value: record.value.as_deref(), timestamp: examples::AT };
            prop_assert_eq!(CloudEvent::read(&inbox, &Codec::single_object()).unwrap(), event.clone());
        }
    }
}

/// What an event asks a schedule for.
fn asked(event: &Value) -> String {
    let (value, codec) = (event.to_string(), Codec::single_object());
    let record = InboxRecord::<Bytes> {
        key: None,
        headers: &[],
        value: Some(value.as_bytes()),
        timestamp: examples::AT,
    };
    match read_inbox(&record, &codec) {
        Ok(InboxRequest::Schedule(it)) => format!("{} <- {}: {:?}", it.instance, it.cause, it.command),
        Ok(other) => format!("not for a schedule: {other:?}"),
        Err(error) => format!("{}: {error}", error.reason()),
    }
}

#[test]
fn events_become_commands_for_schedules() {
    let to = "millrace:schedule/shop/report";
    let is = |event_type: &str, more: Value| asked(&event(event_type, more));
    check(
        &[
            is("io.millrace.schedule.pause", json!({"subject": to, "data": {"reason": "holidays"}})),
            is("io.millrace.schedule.resume", json!({"subject": to})),
            is("io.millrace.schedule.trigger", json!({"subject": to, "data": {"ignored": true}})),
            is(
                "io.millrace.task.completed",
                json!({"subject": to, "tasktoken": "3.1", "data": {"large": []}}),
            ),
            is("io.millrace.task.failed", json!({"subject": to, "tasktoken": "3.1", "data": "declined"})),
            is("io.millrace.schedule.trigger", json!({})),
            is("io.millrace.schedule.pause", json!({"subject": to, "data": 5})),
            is("io.millrace.schedule.stop", json!({"subject": to})),
            is("io.millrace.instance.cancel", json!({"subject": to})),
            is("shop.courier.delivered", json!({"subject": to})),
            is("io.millrace.schedule.trigger", json!({"subject": "millrace:schedule/shop"})),
        ],
        expect![[r#"
            millrace:schedule/shop/report <- /shop e-1: Pause { reason: "holidays" }
            millrace:schedule/shop/report <- /shop e-1: Resume { reason: "" }
            millrace:schedule/shop/report <- /shop e-1: Trigger
            millrace:schedule/shop/report <- /shop e-1: EndRun { token: TaskToken { execution: ExecutionId(3), dispatch: 1 }, error: None }
            millrace:schedule/shop/report <- /shop e-1: EndRun { token: TaskToken { execution: ExecutionId(3), dispatch: 1 }, error: Some("declined") }
            invalid-attribute: attribute subject is order-1: it must be the id of a schedule: millrace:schedule/namespace/name
            unreadable-data: unreadable data: expected {"reason": "…"}, or no data
            unknown-type: type "io.millrace.schedule.stop" does not exist: check its spelling; types that begin with io.millrace. are Millrace's own
            invalid-attribute: attribute type is io.millrace.instance.cancel: a schedule can be paused, resumed and triggered, and is told when what it has started ends
            invalid-attribute: attribute type is shop.courier.delivered: a schedule can be paused, resumed and triggered, and is told when what it has started ends
            invalid-attribute: attribute subject is "millrace:schedule/shop": ids that begin with millrace: are Millrace's own; choose another
        "#]],
    );
}

#[test]
fn what_is_built_for_a_schedule_is_read_as_such() {
    let (id, workflow) = (examples::cause(), examples::workflow().workflow);
    let lines: Vec<String> = [
        pause_schedule_event(id.clone(), &workflow, "holidays"),
        resume_schedule_event(id.clone(), &workflow, ""),
        trigger_schedule_event(id, &workflow),
    ]
    .map(|event| asked(&event.to_json()))
    .into();
    check(
        &lines,
        expect![[r#"
        millrace:schedule/shop/order <- /shop/checkout e-1: Pause { reason: "holidays" }
        millrace:schedule/shop/order <- /shop/checkout e-1: Resume { reason: "" }
        millrace:schedule/shop/order <- /shop/checkout e-1: Trigger
    "#]],
    );
}
