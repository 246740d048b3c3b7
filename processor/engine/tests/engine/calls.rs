//! Tasks for workers, and their answers.

use expect_test::expect;

use crate::conversation::check;

#[test]
fn arguments_are_those_of_the_definition_or_the_input() {
    check(
        "
do:
  - a: { call: charge, with: { amount: '${ .n * 2 }' }, metadata: { millrace: { queue: money } } }
  - b: { call: ship, input: { from: .receipt } }
",
        "start {\"n\": 2}\ncomplete 1.1 {\"receipt\": 9}\ncomplete 2.1 \"done\"",
        expect![[r#"
            > start {"n": 2}
              InstanceStarted
              TaskStarted 1 in 0 /do/0/a Call charge with {"amount":4}
              TaskDispatched 1.1
              => money: 1.1 charge attempt 1 key i#/do/0/a {"amount":4}
            > complete 1.1 {"receipt": 9}
              TaskCompleted 1 -> {"receipt":9}
              TaskStarted 2 in 0 /do/1/b Call ship input 9
              TaskDispatched 2.1
              => default: 2.1 ship attempt 1 key i#/do/1/b 9
            > complete 2.1 "done"
              TaskCompleted 2 -> "done"
              InstanceCompleted "done"
        "#]],
    );
}

#[test]
fn an_answer_counts_once() {
    check(
        "do: [{ a: { call: a } }, { b: { call: b } }]",
        "start\ncomplete 1.1 1\nagain\nfail 1.1\nbeat 1.1\ncomplete 2.2\ncomplete 9.1",
        expect![[r#"
        > start
          InstanceStarted
          TaskStarted 1 in 0 /do/0/a Call a
          TaskDispatched 1.1
          => default: 1.1 a attempt 1 key i#/do/0/a null
        > complete 1.1 1
          TaskCompleted 1 -> 1
          TaskStarted 2 in 0 /do/1/b Call b
          TaskDispatched 2.1
          => default: 2.1 b attempt 1 key i#/do/1/b 1
        > again
          rejected: task 1.1 is not open: answered twice, late, or cancelled
        > fail 1.1
          rejected: task 1.1 is not open: answered twice, late, or cancelled
        > beat 1.1
          rejected: task 1.1 is not open: answered twice, late, or cancelled
        > complete 2.2
          rejected: task 2.2 (/do/1/b) is not open: the latest that was sent out is 2.1, and only that one may be answered
        > complete 9.1
          rejected: task 9.1 is not open: answered twice, late, or cancelled
    "#]],
    );
}

#[test]
fn a_failure_says_what_the_worker_said_or_the_usual() {
    let definition = "do: [{ a: { call: a } }]";
    check(
        definition,
        "start\nfail 1.1",
        expect![[r#"
        > start
          InstanceStarted
          TaskStarted 1 in 0 /do/0/a Call a
          TaskDispatched 1.1
          => default: 1.1 a attempt 1 key i#/do/0/a null
        > fail 1.1
          TaskFaulted 1 /do/0/a communication 500 at /do/0/a: the worker gave no reason
          InstanceFaulted communication 500 at /do/0/a: the worker gave no reason
    "#]],
    );
    check(
        definition,
        "start\nfail 1.1 permanent",
        expect![[r#"
        > start
          InstanceStarted
          TaskStarted 1 in 0 /do/0/a Call a
          TaskDispatched 1.1
          => default: 1.1 a attempt 1 key i#/do/0/a null
        > fail 1.1 permanent
          TaskFaulted 1 /do/0/a runtime 500 at /do/0/a: the worker gave no reason
          InstanceFaulted runtime 500 at /do/0/a: the worker gave no reason
    "#]],
    );
    check(
        definition,
        r#"start
fail 1.1 permanent {"type": "https://shop/no-stock", "status": 409, "detail": "sold out"}"#,
        expect![[r#"
    > start
      InstanceStarted
      TaskStarted 1 in 0 /do/0/a Call a
      TaskDispatched 1.1
      => default: 1.1 a attempt 1 key i#/do/0/a null
    > fail 1.1 permanent {"type": "https://shop/no-stock", "status": 409, "detail": "sold out"}
      TaskFaulted 1 /do/0/a no-stock 409 at /do/0/a: sold out
      InstanceFaulted no-stock 409 at /do/0/a: sold out
"#]],
    );
}

#[test]
fn a_worker_that_falls_silent_is_timed_out() {
    let definition = "do: [{ a: { call: a, metadata: { millrace: { heartbeat: PT10S } } } }]";
    check(
        definition,
        "start\nwait 4000\nbeat 1.1\nstate\nmoved 0\nearly 0\nfire 0",
        expect![[r#"
        > start
          InstanceStarted
          TaskStarted 1 in 0 /do/0/a Call a
          TaskDispatched 1.1
          TimerSet 0 Heartbeat of 1 at 10000
          => default: 1.1 a attempt 1 key i#/do/0/a null
        > beat 1.1
          HeartbeatRecorded 1 until 14000
        = running context null
        =   0 /do [] attempt 1: Sequence { data: null, jumps: 0 }
        =   1 /do/0/a [] attempt 1: Calling { queue: "default", function: "a", arguments: None, deadline: None, dispatch: 1 }
        =   timer 0 Heartbeat of 1 at 14000
        > moved 0
          rejected: timer 0 was moved from 1970-01-01T00:00:13.999Z to 1970-01-01T00:00:14Z
        > early 0
          rejected: timer 0 is due at 1970-01-01T00:00:14Z, and it is only 1970-01-01T00:00:04Z
        > fire 0
          TaskFaulted 1 /do/0/a timeout 408 at /do/0/a: there was no heartbeat for /do/0/a by 1970-01-01T00:00:14Z; it was entered at 1970-01-01T00:00:00Z
          InstanceFaulted timeout 408 at /do/0/a: there was no heartbeat for /do/0/a by 1970-01-01T00:00:14Z; it was entered at 1970-01-01T00:00:00Z
    "#]],
    );
    check(
        definition,
        "start\nbeat 1.1\ncomplete 1.1",
        expect![[r#"
        > start
          InstanceStarted
          TaskStarted 1 in 0 /do/0/a Call a
          TaskDispatched 1.1
          TimerSet 0 Heartbeat of 1 at 10000
          => default: 1.1 a attempt 1 key i#/do/0/a null
        > beat 1.1
          HeartbeatRecorded 1 until 10000
        > complete 1.1
          TaskCompleted 1 -> null
          InstanceCompleted null
    "#]],
    );
}

#[test]
fn a_heartbeat_that_nobody_wants_is_refused() {
    check(
        "do: [{ a: { call: a } }]",
        "start\nbeat 1.1",
        expect![[r#"
        > start
          InstanceStarted
          TaskStarted 1 in 0 /do/0/a Call a
          TaskDispatched 1.1
          => default: 1.1 a attempt 1 key i#/do/0/a null
        > beat 1.1
          rejected: task 1.1 asks for no heartbeats; set `metadata.millrace.heartbeat` on it, or send none
    "#]],
    );
}

#[test]
fn an_http_call_goes_to_the_built_in_worker_and_what_may_pass_is_tried_again() {
    check(
        "
do:
  - a:
      try:
        - get:
            call: http
            with:
              method: get
              endpoint: 'https://pets.example/{kind}/{id}'
              query: { full: '${ $input.full | tostring }' }
            timeout: { after: PT10S }
      catch:
        errors: { with: { type: https://serverlessworkflow.io/spec/1.0.0/errors/communication } }
        retry: { delay: PT1S, limit: { attempt: { count: 3 } } }
        do: [{ none: { set: { pet: '${ $error.status }' } } }]
",
        r#"start {"kind": "cats & dogs", "id": 7, "full": true}
fail 2.1 {"type": "https://serverlessworkflow.io/spec/1.0.0/errors/communication", "status": 503, "detail": "busy"}
fire 1
fail 3.1 permanent {"type": "https://serverlessworkflow.io/spec/1.0.0/errors/communication", "status": 404, "detail": "no such pet"}"#,
        expect![[r#"
            > start {"kind": "cats & dogs", "id": 7, "full": true}
              InstanceStarted
              TaskStarted 1 in 0 /do/0/a Trying
              TaskStarted 2 in 1 /do/0/a/try/0/get Call http with {"method":"get","endpoint":"https://pets.example/cats%20%26%20dogs/7","query":{"full":"true"}} by 10000
              TimerSet 0 Timeout of 2 at 10000
              TaskDispatched 2.1
              => builtin: 2.1 http attempt 1 key i#/do/0/a/try/0/get {"method":"get","endpoint":"https://pets.example/cats%20%26%20dogs/7","query":{"full":"true"}}
            > fail 2.1 {"type": "https://serverlessworkflow.io/spec/1.0.0/errors/communication", "status": 503, "detail": "busy"}
              TaskFaulted 2 /do/0/a/try/0/get communication 503 at /do/0/a/try/0/get: busy
              RetryScheduled 1 timer 1 at 1000
            > fire 1
              TimerCleared 1
              RetryStarted 1
              TaskStarted 3 in 1 /do/0/a/try/0/get attempt 2 Call http with {"method":"get","endpoint":"https://pets.example/cats%20%26%20dogs/7","query":{"full":"true"}} by 11000
              TimerSet 2 Timeout of 3 at 11000
              TaskDispatched 3.1
              => builtin: 3.1 http attempt 2 key i#/do/0/a/try/0/get {"method":"get","endpoint":"https://pets.example/cats%20%26%20dogs/7","query":{"full":"true"}}
            > fail 3.1 permanent {"type": "https://serverlessworkflow.io/spec/1.0.0/errors/communication", "status": 404, "detail": "no such pet"}
              TaskFaulted 3 /do/0/a/try/0/get communication 404 at /do/0/a/try/0/get: no such pet
              ErrorCaught 1 communication 404 at /do/0/a/try/0/get: no such pet
              TaskRan in 1 /do/0/a/catch/do/0/none -> {"pet":404}
              TaskCompleted 1 -> {"pet":404}
              InstanceCompleted {"pet":404}
        "#]],
    );
}

#[test]
fn a_uri_that_the_data_cannot_fill_is_an_error_before_anything_is_sent() {
    let definition =
        "do: [{ a: { call: http, with: { method: get, endpoint: 'https://pets.example/{id}/toys' } } }]";
    check(
        definition,
        r#"start {"id": {}}"#,
        expect![[r#"
        > start {"id": {}}
          InstanceStarted
          TaskFaulted /do/0/a expression 400 at /do/0/a: expression `https://pets.example/{id}/toys`: `id` must be text, a number, true, false or null in a URI
          InstanceFaulted expression 400 at /do/0/a: expression `https://pets.example/{id}/toys`: `id` must be text, a number, true, false or null in a URI
    "#]],
    );
    check(
        definition,
        r#"start {"id": ".."}"#,
        expect![[r#"
        > start {"id": ".."}
          InstanceStarted
          TaskFaulted /do/0/a expression 400 at /do/0/a: expression `https://pets.example/{id}/toys`: the data makes it https://pets.example/../toys, with `.` or `..` as a step
          InstanceFaulted expression 400 at /do/0/a: expression `https://pets.example/{id}/toys`: the data makes it https://pets.example/../toys, with `.` or `..` as a step
    "#]],
    );
    check(
        "do: [{ a: { call: http, with: { method: get, endpoint: '${ .uri }' } } }]",
        r#"start {"uri": "https://pets.example/{id}", "id": 7}"#,
        expect![[r#"
            > start {"uri": "https://pets.example/{id}", "id": 7}
              InstanceStarted
              TaskStarted 1 in 0 /do/0/a Call http with {"method":"get","endpoint":"https://pets.example/{id}"}
              TaskDispatched 1.1
              => builtin: 1.1 http attempt 1 key i#/do/0/a {"method":"get","endpoint":"https://pets.example/{id}"}
        "#]],
    );
}
