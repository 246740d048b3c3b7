//! Errors: raised, caught, retried.

use expect_test::expect;

use crate::conversation::check;

#[test]
fn a_raised_error_faults_the_workflow() {
    check(
        "do: [{ a: { do: [{ b: { raise: { error: { type: https://x/compliance, status: 400, title: T, detail: '${ .why }' } } } }] } }]",
        r#"start {"why": "because"}"#,
        expect![[r#"
            > start {"why": "because"}
              InstanceStarted
              TaskStarted 1 in 0 /do/0/a Sequence
              TaskFaulted /do/0/a/do/0/b compliance 400 at /do/0/a/do/0/b: because
              TaskFaulted 1 /do/0/a compliance 400 at /do/0/a/do/0/b: because
              InstanceFaulted compliance 400 at /do/0/a/do/0/b: because
        "#]],
    );
}

#[test]
fn a_raised_error_must_be_one() {
    check(
        "do: [{ b: { raise: { error: { type: https://x, status: 400, detail: '${ . }' } } } }]",
        "start 5",
        expect![[r#"
        > start 5
          InstanceStarted
          TaskFaulted /do/0/b expression 400 at /do/0/b: `raise.error.detail` must be a string, and is 5
          InstanceFaulted expression 400 at /do/0/b: `raise.error.detail` must be a string, and is 5
    "#]],
    );
}

#[test]
fn what_is_caught_is_seen_by_the_handler() {
    check(
        "
do:
  - t:
      try: [{ a: { set: '${ \"lost\" }' } }, { b: { raise: { error: { type: https://x/y, status: 404 } } } }]
      catch:
        as: err
        do: [{ c: { set: { error: '${ $err }', input: '${ . }' } } }]
",
        "start 5",
        expect![[r#"
            > start 5
              InstanceStarted
              TaskStarted 1 in 0 /do/0/t Trying
              TaskRan in 1 /do/0/t/try/0/a -> "lost"
              TaskFaulted /do/0/t/try/1/b y 404 at /do/0/t/try/1/b: -
              ErrorCaught 1 y 404 at /do/0/t/try/1/b: -
              TaskRan in 1 /do/0/t/catch/do/0/c -> {"error":{"type":"https://x/y","status":404,"instance":"/do/0/t/try/1/b"},"input":5}
              TaskCompleted 1 -> {"error":{"type":"https://x/y","status":404,"instance":"/do/0/t/try/1/b"},"input":5}
              InstanceCompleted {"error":{"type":"https://x/y","status":404,"instance":"/do/0/t/try/1/b"},"input":5}
        "#]],
    );
}

#[test]
fn a_filter_lets_other_errors_pass() {
    let definition = |with: &str| {
        format!("
do:
  - t:
      try: [{{ b: {{ raise: {{ error: {{ type: https://open-workflow-specification.org/dsl/errors/types/timeout, status: 408 }} }} }} }}]
      catch: {{ errors: {{ with: {with} }}, do: [{{ c: {{ set: '${{ \"caught\" }}' }} }}] }}
")
    };
    check(
        &definition(
            "{ type: 'https://serverlessworkflow.io/spec/1.0.0/errors/timeout', instance: /do/0/t/try/0/b }",
        ),
        "start",
        expect![[r#"
        > start
          InstanceStarted
          TaskStarted 1 in 0 /do/0/t Trying
          TaskFaulted /do/0/t/try/0/b timeout 408 at /do/0/t/try/0/b: -
          ErrorCaught 1 timeout 408 at /do/0/t/try/0/b: -
          TaskRan in 1 /do/0/t/catch/do/0/c -> "caught"
          TaskCompleted 1 -> "caught"
          InstanceCompleted "caught"
    "#]],
    );
    check(
        &definition("{ status: 500 }"),
        "start",
        expect![[r#"
        > start
          InstanceStarted
          TaskStarted 1 in 0 /do/0/t Trying
          TaskFaulted /do/0/t/try/0/b timeout 408 at /do/0/t/try/0/b: -
          TaskFaulted 1 /do/0/t timeout 408 at /do/0/t/try/0/b: -
          InstanceFaulted timeout 408 at /do/0/t/try/0/b: -
    "#]],
    );
}

#[test]
fn conditions_of_a_catch_see_the_error() {
    let definition = "
do:
  - t:
      try: [{ b: { call: b } }]
      catch: { when: $error.status >= 500, exceptWhen: $error.status == 501 }
";
    check(
        definition,
        "start\nfail 2.1 {\"type\": \"https://x\", \"status\": 500}",
        expect![[r#"
        > start
          InstanceStarted
          TaskStarted 1 in 0 /do/0/t Trying
          TaskStarted 2 in 1 /do/0/t/try/0/b Call b
          TaskDispatched 2.1
          => default: 2.1 b attempt 1 key i#/do/0/t/try/0/b null
        > fail 2.1 {"type": "https://x", "status": 500}
          TaskFaulted 2 /do/0/t/try/0/b x 500 at /do/0/t/try/0/b: -
          ErrorCaught 1 x 500 at /do/0/t/try/0/b: -
          TaskCompleted 1 -> null
          InstanceCompleted null
    "#]],
    );
    check(
        definition,
        "start\nfail 2.1 {\"type\": \"https://x\", \"status\": 501}",
        expect![[r#"
        > start
          InstanceStarted
          TaskStarted 1 in 0 /do/0/t Trying
          TaskStarted 2 in 1 /do/0/t/try/0/b Call b
          TaskDispatched 2.1
          => default: 2.1 b attempt 1 key i#/do/0/t/try/0/b null
        > fail 2.1 {"type": "https://x", "status": 501}
          TaskFaulted 2 /do/0/t/try/0/b x 501 at /do/0/t/try/0/b: -
          TaskFaulted 1 /do/0/t x 501 at /do/0/t/try/0/b: -
          InstanceFaulted x 501 at /do/0/t/try/0/b: -
    "#]],
    );
    check(
        definition,
        "start\nfail 2.1 {\"type\": \"https://x\", \"status\": 400}",
        expect![[r#"
        > start
          InstanceStarted
          TaskStarted 1 in 0 /do/0/t Trying
          TaskStarted 2 in 1 /do/0/t/try/0/b Call b
          TaskDispatched 2.1
          => default: 2.1 b attempt 1 key i#/do/0/t/try/0/b null
        > fail 2.1 {"type": "https://x", "status": 400}
          TaskFaulted 2 /do/0/t/try/0/b x 400 at /do/0/t/try/0/b: -
          TaskFaulted 1 /do/0/t x 400 at /do/0/t/try/0/b: -
          InstanceFaulted x 400 at /do/0/t/try/0/b: -
    "#]],
    );
}

#[test]
fn an_error_in_a_handler_goes_on() {
    check(
        "
do:
  - outer:
      try:
        - inner:
            try: [{ a: { raise: { error: { type: https://a, status: 400 } } } }]
            catch: { do: [{ b: { raise: { error: { type: https://b, status: 400 } } } }] }
      catch: { as: e, do: [{ c: { set: '${ $e.type }' } }] }
",
        "start",
        expect![[r#"
            > start
              InstanceStarted
              TaskStarted 1 in 0 /do/0/outer Trying
              TaskStarted 2 in 1 /do/0/outer/try/0/inner Trying
              TaskFaulted /do/0/outer/try/0/inner/try/0/a a 400 at /do/0/outer/try/0/inner/try/0/a: -
              ErrorCaught 2 a 400 at /do/0/outer/try/0/inner/try/0/a: -
              TaskFaulted /do/0/outer/try/0/inner/catch/do/0/b b 400 at /do/0/outer/try/0/inner/catch/do/0/b: -
              TaskFaulted 2 /do/0/outer/try/0/inner b 400 at /do/0/outer/try/0/inner/catch/do/0/b: -
              ErrorCaught 1 b 400 at /do/0/outer/try/0/inner/catch/do/0/b: -
              TaskRan in 1 /do/0/outer/catch/do/0/c -> "https://b"
              TaskCompleted 1 -> "https://b"
              InstanceCompleted "https://b"
        "#]],
    );
}

const RETRY: &str = "
do:
  - t:
      try: [{ a: { set: '${ . + 1 }' } }, { b: { call: b } }]
      catch:
        retry: { delay: PT1S, backoff: { exponential: {} }, limit: { attempt: { count: 2 } } }
        do: [{ c: { set: { status: '${ $error.status }' } } }]
";

#[test]
fn a_retry_starts_from_the_input_with_the_same_key_and_the_next_attempt() {
    check(
        RETRY,
        "start 1\nfail 2.1\nstate\nfire 0\nstate\ncomplete 3.1 \"ok\"",
        expect![[r#"
        > start 1
          InstanceStarted
          TaskStarted 1 in 0 /do/0/t Trying
          TaskRan in 1 /do/0/t/try/0/a -> 2
          TaskStarted 2 in 1 /do/0/t/try/1/b Call b
          TaskDispatched 2.1
          => default: 2.1 b attempt 1 key i#/do/0/t/try/1/b 2
        > fail 2.1
          TaskFaulted 2 /do/0/t/try/1/b communication 500 at /do/0/t/try/1/b: the worker gave no reason
          RetryScheduled 1 timer 0 at 1000
        = running context null
        =   0 /do [] attempt 1: Sequence { data: 1, jumps: 0 }
        =   1 /do/0/t [] attempt 1: BackingOff { error: TaskError { error_type: "https://serverlessworkflow.io/spec/1.0.0/errors/communication", status: 500, instance: Some("/do/0/t/try/1/b"), title: Some("Communication Error"), detail: Some("the worker gave no reason") }, retries: 0 }
        =   timer 0 RetryBackoff of 1 at 1000
        > fire 0
          TimerCleared 0
          RetryStarted 1
          TaskRan in 1 /do/0/t/try/0/a -> 2
          TaskStarted 3 in 1 /do/0/t/try/1/b attempt 2 Call b
          TaskDispatched 3.1
          => default: 3.1 b attempt 2 key i#/do/0/t/try/1/b 2
        = running context null
        =   0 /do [] attempt 1: Sequence { data: 1, jumps: 0 }
        =   1 /do/0/t [] attempt 2: Trying { data: 2, jumps: 0, retries: 1 }
        =   3 /do/0/t/try/1/b [] attempt 2: Calling { queue: "default", function: "b", arguments: None, deadline: None, dispatch: 1 }
        > complete 3.1 "ok"
          TaskCompleted 3 -> "ok"
          TaskCompleted 1 -> "ok"
          InstanceCompleted "ok"
    "#]],
    );
}

#[test]
fn after_the_last_retry_the_handler_runs_once() {
    check(
        RETRY,
        "start 1\nfail 2.1\nfire 0\nfail 3.1\nfire 1\nfail 4.1 {\"type\": \"t\", \"status\": 503}",
        expect![[r#"
        > start 1
          InstanceStarted
          TaskStarted 1 in 0 /do/0/t Trying
          TaskRan in 1 /do/0/t/try/0/a -> 2
          TaskStarted 2 in 1 /do/0/t/try/1/b Call b
          TaskDispatched 2.1
          => default: 2.1 b attempt 1 key i#/do/0/t/try/1/b 2
        > fail 2.1
          TaskFaulted 2 /do/0/t/try/1/b communication 500 at /do/0/t/try/1/b: the worker gave no reason
          RetryScheduled 1 timer 0 at 1000
        > fire 0
          TimerCleared 0
          RetryStarted 1
          TaskRan in 1 /do/0/t/try/0/a -> 2
          TaskStarted 3 in 1 /do/0/t/try/1/b attempt 2 Call b
          TaskDispatched 3.1
          => default: 3.1 b attempt 2 key i#/do/0/t/try/1/b 2
        > fail 3.1
          TaskFaulted 3 /do/0/t/try/1/b communication 500 at /do/0/t/try/1/b: the worker gave no reason
          RetryScheduled 1 timer 1 at 3000
        > fire 1
          TimerCleared 1
          RetryStarted 1
          TaskRan in 1 /do/0/t/try/0/a -> 2
          TaskStarted 4 in 1 /do/0/t/try/1/b attempt 3 Call b
          TaskDispatched 4.1
          => default: 4.1 b attempt 3 key i#/do/0/t/try/1/b 2
        > fail 4.1 {"type": "t", "status": 503}
          TaskFaulted 4 /do/0/t/try/1/b t 503 at /do/0/t/try/1/b: -
          ErrorCaught 1 t 503 at /do/0/t/try/1/b: -
          TaskRan in 1 /do/0/t/catch/do/0/c -> {"status":503}
          TaskCompleted 1 -> {"status":503}
          InstanceCompleted {"status":503}
    "#]],
    );
}

#[test]
fn a_permanent_failure_is_not_retried() {
    check(
        RETRY,
        "start 1\nfail 2.1 permanent",
        expect![[r#"
        > start 1
          InstanceStarted
          TaskStarted 1 in 0 /do/0/t Trying
          TaskRan in 1 /do/0/t/try/0/a -> 2
          TaskStarted 2 in 1 /do/0/t/try/1/b Call b
          TaskDispatched 2.1
          => default: 2.1 b attempt 1 key i#/do/0/t/try/1/b 2
        > fail 2.1 permanent
          TaskFaulted 2 /do/0/t/try/1/b runtime 500 at /do/0/t/try/1/b: the worker gave no reason
          ErrorCaught 1 runtime 500 at /do/0/t/try/1/b: the worker gave no reason
          TaskRan in 1 /do/0/t/catch/do/0/c -> {"status":500}
          TaskCompleted 1 -> {"status":500}
          InstanceCompleted {"status":500}
    "#]],
    );
}

#[test]
fn an_answer_to_an_earlier_attempt_is_late() {
    check(
        RETRY,
        "start 1\nfail 2.1\ncomplete 2.1\nfire 0\ncomplete 2.1",
        expect![[r#"
        > start 1
          InstanceStarted
          TaskStarted 1 in 0 /do/0/t Trying
          TaskRan in 1 /do/0/t/try/0/a -> 2
          TaskStarted 2 in 1 /do/0/t/try/1/b Call b
          TaskDispatched 2.1
          => default: 2.1 b attempt 1 key i#/do/0/t/try/1/b 2
        > fail 2.1
          TaskFaulted 2 /do/0/t/try/1/b communication 500 at /do/0/t/try/1/b: the worker gave no reason
          RetryScheduled 1 timer 0 at 1000
        > complete 2.1
          rejected: task 2.1 is not open: answered twice, late, or cancelled
        > fire 0
          TimerCleared 0
          RetryStarted 1
          TaskRan in 1 /do/0/t/try/0/a -> 2
          TaskStarted 3 in 1 /do/0/t/try/1/b attempt 2 Call b
          TaskDispatched 3.1
          => default: 3.1 b attempt 2 key i#/do/0/t/try/1/b 2
        > complete 2.1
          rejected: task 2.1 is not open: answered twice, late, or cancelled
    "#]],
    );
}

#[test]
fn a_retry_is_wanted_or_not() {
    check(
        "
do:
  - t:
      try: [{ b: { call: b } }]
      catch: { retry: { delay: PT1S, when: $error.status == 503, exceptWhen: .tired } }
",
        "start {}\nfail 1.1\nfail 2.1 {\"type\": \"x\", \"status\": 503}\nfire 0\nfail 3.1 {\"type\": \"x\", \"status\": 500}",
        expect![[r#"
            > start {}
              InstanceStarted
              TaskStarted 1 in 0 /do/0/t Trying
              TaskStarted 2 in 1 /do/0/t/try/0/b Call b
              TaskDispatched 2.1
              => default: 2.1 b attempt 1 key i#/do/0/t/try/0/b {}
            > fail 1.1
              rejected: task 1.1 is not open: answered twice, late, or cancelled
            > fail 2.1 {"type": "x", "status": 503}
              TaskFaulted 2 /do/0/t/try/0/b x 503 at /do/0/t/try/0/b: -
              RetryScheduled 1 timer 0 at 1000
            > fire 0
              TimerCleared 0
              RetryStarted 1
              TaskStarted 3 in 1 /do/0/t/try/0/b attempt 2 Call b
              TaskDispatched 3.1
              => default: 3.1 b attempt 2 key i#/do/0/t/try/0/b {}
            > fail 3.1 {"type": "x", "status": 500}
              TaskFaulted 3 /do/0/t/try/0/b x 500 at /do/0/t/try/0/b: -
              ErrorCaught 1 x 500 at /do/0/t/try/0/b: -
              TaskCompleted 1 -> {}
              InstanceCompleted {}
        "#]],
    );
}

#[test]
fn retries_end_with_their_time() {
    check(
        "do: [{ t: { try: [{ b: { call: b } }], catch: { retry: { delay: PT3S, backoff: { linear: {} }, limit: { duration: PT4S } } } } }]",
        "start\nfail 2.1\nfire 0\nfail 3.1",
        expect![[r#"
            > start
              InstanceStarted
              TaskStarted 1 in 0 /do/0/t Trying
              TaskStarted 2 in 1 /do/0/t/try/0/b Call b
              TaskDispatched 2.1
              => default: 2.1 b attempt 1 key i#/do/0/t/try/0/b null
            > fail 2.1
              TaskFaulted 2 /do/0/t/try/0/b communication 500 at /do/0/t/try/0/b: the worker gave no reason
              RetryScheduled 1 timer 0 at 3000
            > fire 0
              TimerCleared 0
              RetryStarted 1
              TaskStarted 3 in 1 /do/0/t/try/0/b attempt 2 Call b
              TaskDispatched 3.1
              => default: 3.1 b attempt 2 key i#/do/0/t/try/0/b null
            > fail 3.1
              TaskFaulted 3 /do/0/t/try/0/b communication 500 at /do/0/t/try/0/b: the worker gave no reason
              ErrorCaught 1 communication 500 at /do/0/t/try/0/b: the worker gave no reason
              TaskCompleted 1 -> null
              InstanceCompleted null
        "#]],
    );
}

#[test]
fn jitter_is_drawn_once_and_recorded() {
    check(
        "
do:
  - t:
      try: [{ b: { call: b } }]
      catch: { retry: { delay: PT1S, jitter: { from: { milliseconds: 100 }, to: { milliseconds: 900 } } } }
",
        "start\nfail 2.1\nfire 0\nfail 3.1",
        expect![[r#"
            > start
              InstanceStarted
              TaskStarted 1 in 0 /do/0/t Trying
              TaskStarted 2 in 1 /do/0/t/try/0/b Call b
              TaskDispatched 2.1
              => default: 2.1 b attempt 1 key i#/do/0/t/try/0/b null
            > fail 2.1
              TaskFaulted 2 /do/0/t/try/0/b communication 500 at /do/0/t/try/0/b: the worker gave no reason
              RetryScheduled 1 timer 0 at 1490
            > fire 0
              TimerCleared 0
              RetryStarted 1
              TaskStarted 3 in 1 /do/0/t/try/0/b attempt 2 Call b
              TaskDispatched 3.1
              => default: 3.1 b attempt 2 key i#/do/0/t/try/0/b null
            > fail 3.1
              TaskFaulted 3 /do/0/t/try/0/b communication 500 at /do/0/t/try/0/b: the worker gave no reason
              RetryScheduled 1 timer 1 at 2980
        "#]],
    );
}

#[test]
fn an_attempt_that_takes_too_long_is_an_error_of_the_try_itself() {
    check(
        "
do:
  - t:
      try: [{ b: { do: [{ c: { call: c } }] } }]
      catch:
        retry: { delay: PT1S, limit: { attempt: { count: 1, duration: PT5S } } }
        do: [{ late: { set: '${ $error.status }' } }]
",
        "start\nfire 0\nstate\nfire 1\nfire 2",
        expect![[r#"
            > start
              InstanceStarted
              TaskStarted 1 in 0 /do/0/t Trying
              TimerSet 0 AttemptTimeout of 1 at 5000
              TaskStarted 2 in 1 /do/0/t/try/0/b Sequence
              TaskStarted 3 in 2 /do/0/t/try/0/b/do/0/c Call c
              TaskDispatched 3.1
              => default: 3.1 c attempt 1 key i#/do/0/t/try/0/b/do/0/c null
            > fire 0
              TaskCancelled 2
              TimerCleared 0
              RetryScheduled 1 timer 1 at 6000
            = running context null
            =   0 /do [] attempt 1: Sequence { data: null, jumps: 0 }
            =   1 /do/0/t [] attempt 1: BackingOff { error: TaskError { error_type: "https://serverlessworkflow.io/spec/1.0.0/errors/timeout", status: 408, instance: Some("/do/0/t"), title: Some("Timeout Error"), detail: Some("an attempt of /do/0/t did not end by 1970-01-01T00:00:05Z; it was entered at 1970-01-01T00:00:00Z") }, retries: 0 }
            =   timer 1 RetryBackoff of 1 at 6000
            > fire 1
              TimerCleared 1
              RetryStarted 1
              TimerSet 2 AttemptTimeout of 1 at 11000
              TaskStarted 4 in 1 /do/0/t/try/0/b attempt 2 Sequence
              TaskStarted 5 in 4 /do/0/t/try/0/b/do/0/c attempt 2 Call c
              TaskDispatched 5.1
              => default: 5.1 c attempt 2 key i#/do/0/t/try/0/b/do/0/c null
            > fire 2
              TaskCancelled 4
              TimerCleared 2
              ErrorCaught 1 timeout 408 at /do/0/t: an attempt of /do/0/t did not end by 1970-01-01T00:00:11Z; it was entered at 1970-01-01T00:00:00Z
              TaskRan in 1 /do/0/t/catch/do/0/late -> 408
              TaskCompleted 1 -> 408
              InstanceCompleted 408
        "#]],
    );
}

#[test]
fn attempts_of_nested_tries_have_numbers_of_their_own() {
    check(
        "
do:
  - outer:
      try:
        - inner: { try: [{ a: { call: a } }], catch: { errors: { with: { status: 503 } }, retry: { delay: PT1S } } }
        - b: { call: b }
      catch: { retry: { delay: PT1S } }
",
        r#"
start
fail 3.1 {"type": "x", "status": 503}
fire 0
complete 4.1
fail 5.1
fire 1
"#,
        expect![[r#"
            > start
              InstanceStarted
              TaskStarted 1 in 0 /do/0/outer Trying
              TaskStarted 2 in 1 /do/0/outer/try/0/inner Trying
              TaskStarted 3 in 2 /do/0/outer/try/0/inner/try/0/a Call a
              TaskDispatched 3.1
              => default: 3.1 a attempt 1 key i#/do/0/outer/try/0/inner/try/0/a null
            > fail 3.1 {"type": "x", "status": 503}
              TaskFaulted 3 /do/0/outer/try/0/inner/try/0/a x 503 at /do/0/outer/try/0/inner/try/0/a: -
              RetryScheduled 2 timer 0 at 1000
            > fire 0
              TimerCleared 0
              RetryStarted 2
              TaskStarted 4 in 2 /do/0/outer/try/0/inner/try/0/a attempt 2 Call a
              TaskDispatched 4.1
              => default: 4.1 a attempt 2 key i#/do/0/outer/try/0/inner/try/0/a null
            > complete 4.1
              TaskCompleted 4 -> null
              TaskCompleted 2 -> null
              TaskStarted 5 in 1 /do/0/outer/try/1/b Call b
              TaskDispatched 5.1
              => default: 5.1 b attempt 1 key i#/do/0/outer/try/1/b null
            > fail 5.1
              TaskFaulted 5 /do/0/outer/try/1/b communication 500 at /do/0/outer/try/1/b: the worker gave no reason
              RetryScheduled 1 timer 1 at 2000
            > fire 1
              TimerCleared 1
              RetryStarted 1
              TaskStarted 6 in 1 /do/0/outer/try/0/inner attempt 3 Trying
              TaskStarted 7 in 6 /do/0/outer/try/0/inner/try/0/a attempt 3 Call a
              TaskDispatched 7.1
              => default: 7.1 a attempt 3 key i#/do/0/outer/try/0/inner/try/0/a null
        "#]],
    );
}
