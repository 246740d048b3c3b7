//! Time: waits, timeouts, timers that are gone.

use expect_test::expect;

use crate::conversation::check;

#[test]
fn a_wait_gives_its_input() {
    check(
        "do: [{ a: { wait: '${ .pause }' } }]",
        "start {\"pause\": \"PT2S\"}\nearly 0\nmoved 0\nfire 0\nagain",
        expect![[r#"
        > start {"pause": "PT2S"}
          InstanceStarted
          TaskStarted 1 in 0 /do/0/a Waiting
          TimerSet 0 Wait of 1 at 2000
        > early 0
          rejected: timer 0 is due at 1970-01-01T00:00:02Z, and it is only 1970-01-01T00:00:00Z
        > moved 0
          rejected: timer 0 was moved from 1970-01-01T00:00:01.999Z to 1970-01-01T00:00:02Z
        > fire 0
          TaskCompleted 1 -> {"pause":"PT2S"}
          InstanceCompleted {"pause":"PT2S"}
        > again
          rejected: instance i has ended (completed); a fire_timer has no effect
    "#]],
    );
}

#[test]
fn a_duration_that_is_none_faults_the_task() {
    check(
        "do: [{ a: { wait: '${ . }' } }]",
        "start \"soon\"",
        expect![[r#"
            > start "soon"
              InstanceStarted
              TaskFaulted /do/0/a expression 400 at /do/0/a: a duration was wanted: "soon" is no ISO 8601 duration of days, hours, minutes and seconds, such as P1DT2H or PT0.5S
              InstanceFaulted expression 400 at /do/0/a: a duration was wanted: "soon" is no ISO 8601 duration of days, hours, minutes and seconds, such as P1DT2H or PT0.5S
        "#]],
    );
}

#[test]
fn a_task_that_times_out_is_an_error_of_its_scope() {
    check(
        "
do:
  - t:
      try:
        - slow:
            timeout: { after: '${ .after }' }
            do: [{ both: { fork: { branches: [{ a: { call: a } }, { b: { wait: PT60S } }] } } }]
      catch: { errors: { with: { status: 408 } }, do: [{ late: { set: '${ $error | [.status, .instance] }' } }] }
",
        "start {\"after\": \"PT3S\"}\nstate\nfire 0\ncomplete 4.1\nfire 1",
        expect![[r#"
            > start {"after": "PT3S"}
              InstanceStarted
              TaskStarted 1 in 0 /do/0/t Trying
              TaskStarted 2 in 1 /do/0/t/try/0/slow Sequence
              TimerSet 0 Timeout of 2 at 3000
              TaskStarted 3 in 2 /do/0/t/try/0/slow/do/0/both Branches 2
              TaskStarted 4 in 3 /do/0/t/try/0/slow/do/0/both/fork/branches/0/a Call a
              TaskDispatched 4.1
              TaskStarted 5 in 3 /do/0/t/try/0/slow/do/0/both/fork/branches/1/b Waiting
              TimerSet 1 Wait of 5 at 60000
              => default: 4.1 a attempt 1 key i#/do/0/t/try/0/slow/do/0/both/fork/branches/0/a {"after":"PT3S"}
            = running context null
            =   0 /do [] attempt 1: Sequence { data: {"after":"PT3S"}, jumps: 0 }
            =   1 /do/0/t [] attempt 1: Trying { data: {"after":"PT3S"}, jumps: 0, retries: 0 }
            =   2 /do/0/t/try/0/slow [] attempt 1: Sequence { data: {"after":"PT3S"}, jumps: 0 }
            =   3 /do/0/t/try/0/slow/do/0/both [] attempt 1: Branches { branches: [Branch { output: None, context: None }, Branch { output: None, context: None }] }
            =   4 /do/0/t/try/0/slow/do/0/both/fork/branches/0/a [] attempt 1: Calling { queue: "default", function: "a", arguments: None, deadline: None, dispatch: 1 }
            =   5 /do/0/t/try/0/slow/do/0/both/fork/branches/1/b [] attempt 1: Waiting
            =   timer 0 Timeout of 2 at 3000
            =   timer 1 Wait of 5 at 60000
            > fire 0
              TaskCancelled 3
              TaskFaulted 2 /do/0/t/try/0/slow timeout 408 at /do/0/t/try/0/slow: /do/0/t/try/0/slow did not end by 1970-01-01T00:00:03Z; it was entered at 1970-01-01T00:00:00Z
              ErrorCaught 1 timeout 408 at /do/0/t/try/0/slow: /do/0/t/try/0/slow did not end by 1970-01-01T00:00:03Z; it was entered at 1970-01-01T00:00:00Z
              TaskRan in 1 /do/0/t/catch/do/0/late -> [408,"/do/0/t/try/0/slow"]
              TaskCompleted 1 -> [408,"/do/0/t/try/0/slow"]
              InstanceCompleted [408,"/do/0/t/try/0/slow"]
            > complete 4.1
              rejected: instance i has ended (completed); a complete_task has no effect
            > fire 1
              rejected: instance i has ended (completed); a fire_timer has no effect
        "#]],
    );
}

#[test]
fn a_call_that_times_out_tells_its_worker_the_deadline() {
    check(
        "do: [{ a: { call: a, timeout: { after: PT3S } } }]",
        "start\nfire 0\ncomplete 1.1",
        expect![[r#"
        > start
          InstanceStarted
          TaskStarted 1 in 0 /do/0/a Call a by 3000
          TimerSet 0 Timeout of 1 at 3000
          TaskDispatched 1.1
          => default: 1.1 a attempt 1 key i#/do/0/a null
        > fire 0
          TaskFaulted 1 /do/0/a timeout 408 at /do/0/a: /do/0/a did not end by 1970-01-01T00:00:03Z; it was entered at 1970-01-01T00:00:00Z
          InstanceFaulted timeout 408 at /do/0/a: /do/0/a did not end by 1970-01-01T00:00:03Z; it was entered at 1970-01-01T00:00:00Z
        > complete 1.1
          rejected: instance i has ended (faulted); a complete_task has no effect
    "#]],
    );
}

#[test]
fn a_workflow_that_times_out_faults_from_any_depth() {
    check(
        "timeout: { after: PT3S }\ndo: [{ t: { try: [{ a: { wait: PT60S } }], catch: {} } }]",
        "start\nfire 0\nstate",
        expect![[r#"
        > start
          InstanceStarted
          TimerSet 0 Timeout of 0 at 3000
          TaskStarted 1 in 0 /do/0/t Trying
          TaskStarted 2 in 1 /do/0/t/try/0/a Waiting
          TimerSet 1 Wait of 2 at 60000
        > fire 0
          TaskCancelled 1
          InstanceFaulted timeout 408 at /do: the workflow did not end by 1970-01-01T00:00:03Z; it was entered at 1970-01-01T00:00:00Z
        = faulted timeout 408 at /do: the workflow did not end by 1970-01-01T00:00:03Z; it was entered at 1970-01-01T00:00:00Z context null
    "#]],
    );
}

#[test]
fn the_timeout_of_a_try_is_not_caught_by_it() {
    check(
        "do: [{ t: { timeout: { after: PT3S }, try: [{ a: { wait: PT60S } }], catch: { do: [{ c: { set: '${ \"caught\" }' } }] } } }]",
        "start\nfire 0",
        expect![[r#"
            > start
              InstanceStarted
              TaskStarted 1 in 0 /do/0/t Trying
              TimerSet 0 Timeout of 1 at 3000
              TaskStarted 2 in 1 /do/0/t/try/0/a Waiting
              TimerSet 1 Wait of 2 at 60000
            > fire 0
              TaskCancelled 2
              TaskFaulted 1 /do/0/t timeout 408 at /do/0/t: /do/0/t did not end by 1970-01-01T00:00:03Z; it was entered at 1970-01-01T00:00:00Z
              InstanceFaulted timeout 408 at /do/0/t: /do/0/t did not end by 1970-01-01T00:00:03Z; it was entered at 1970-01-01T00:00:00Z
        "#]],
    );
}

#[test]
fn timers_die_with_their_task() {
    check(
        "do: [{ a: { call: a, timeout: { after: PT3S } } }, { b: { call: b } }]",
        "start\ncomplete 1.1\nstate\nfire 0",
        expect![[r#"
        > start
          InstanceStarted
          TaskStarted 1 in 0 /do/0/a Call a by 3000
          TimerSet 0 Timeout of 1 at 3000
          TaskDispatched 1.1
          => default: 1.1 a attempt 1 key i#/do/0/a null
        > complete 1.1
          TaskCompleted 1 -> null
          TaskStarted 2 in 0 /do/1/b Call b
          TaskDispatched 2.1
          => default: 2.1 b attempt 1 key i#/do/1/b null
        = running context null
        =   0 /do [] attempt 1: Sequence { data: null, jumps: 0 }
        =   2 /do/1/b [] attempt 1: Calling { queue: "default", function: "b", arguments: None, deadline: None, dispatch: 1 }
        > fire 0
          rejected: timer 0 is not set: it has fired, or is no longer wanted
    "#]],
    );
}
