//! Instances that stand still: suspended, or with an incident.

use expect_test::expect;
use millrace_engine::Bounds;

use crate::conversation::{check, check_within};

const CALL_AND_WAIT: &str = "
do:
  - both: { fork: { branches: [{ a: { call: a } }, { b: { wait: PT5S } }, { c: { listen: { to: { one: { with: { type: t } } } } } }] } }
  - after: { set: '${ . }' }
";

#[test]
fn commands_wait_for_the_resume_and_are_decided_in_order() {
    check(
        CALL_AND_WAIT,
        "start\nsuspend lunch\nsuspend\ncomplete 2.1 1\nagain\nfire 0\nagain\nsignal t 2\nstate\nresume\nresume",
        expect![[r#"
            > start
              InstanceStarted
              TaskStarted 1 in 0 /do/0/both Branches 3
              TaskStarted 2 in 1 /do/0/both/fork/branches/0/a Call a
              TaskDispatched 2.1
              TaskStarted 3 in 1 /do/0/both/fork/branches/1/b Waiting
              TimerSet 0 Wait of 3 at 5000
              TaskStarted 4 in 1 /do/0/both/fork/branches/2/c Listening
              ChannelJoined 4.0 t/cb98
              => default: 2.1 a attempt 1 key i#/do/0/both/fork/branches/0/a null
              => subscribe 4.0 in t/cb98
            > suspend lunch
              InstanceSuspended
            > suspend
              rejected: instance i stands still already (suspended)
            > complete 2.1 1
              CommandDeferred complete_task
            > again
              rejected: complete_task test 4 waits already for the instance to be resumed
            > fire 0
              CommandDeferred fire_timer
            > again
              rejected: fire_timer test 5 waits already for the instance to be resumed
            > signal t 2
              SignalReceived
              CommandDeferred deliver_signal
            = suspended context null
            =   0 /do [] attempt 1: Sequence { data: null, jumps: 0 }
            =   1 /do/0/both [] attempt 1: Branches { branches: [Branch { output: None, context: None }, Branch { output: None, context: None }, Branch { output: None, context: None }] }
            =   2 /do/0/both/fork/branches/0/a [] attempt 1: Calling { queue: "default", function: "a", arguments: None, deadline: None, dispatch: 1 }
            =   3 /do/0/both/fork/branches/1/b [] attempt 1: Waiting
            =   4 /do/0/both/fork/branches/2/c [] attempt 1: Listening
            =   timer 0 Wait of 3 at 5000
            =   deferred 3
            > resume
              InstanceResumed
              DeferredCommandTaken
              TaskCompleted 2 -> 1
              DeferredCommandTaken
              TaskCompleted 3 -> null
              DeferredCommandTaken
              TaskCompleted 4 -> [2]
              TaskCompleted 1 -> [1,null,[2]]
              TaskRan in 0 /do/1/after -> [1,null,[2]]
              InstanceCompleted [1,null,[2]]
              => unsubscribe 4.0 in t/cb98
            > resume
              rejected: instance i has ended (completed); a resume has no effect
        "#]],
    );
}

#[test]
fn a_deferred_command_that_is_refused_by_then_is_dropped() {
    check(
        CALL_AND_WAIT,
        "start\nsuspend\ncomplete 2.1 1\ncomplete 2.1 2\nresume",
        expect![[r#"
            > start
              InstanceStarted
              TaskStarted 1 in 0 /do/0/both Branches 3
              TaskStarted 2 in 1 /do/0/both/fork/branches/0/a Call a
              TaskDispatched 2.1
              TaskStarted 3 in 1 /do/0/both/fork/branches/1/b Waiting
              TimerSet 0 Wait of 3 at 5000
              TaskStarted 4 in 1 /do/0/both/fork/branches/2/c Listening
              ChannelJoined 4.0 t/cb98
              => default: 2.1 a attempt 1 key i#/do/0/both/fork/branches/0/a null
              => subscribe 4.0 in t/cb98
            > suspend
              InstanceSuspended
            > complete 2.1 1
              CommandDeferred complete_task
            > complete 2.1 2
              CommandDeferred complete_task
            > resume
              InstanceResumed
              DeferredCommandTaken
              TaskCompleted 2 -> 1
              DeferredCommandTaken
        "#]],
    );
}

#[test]
fn what_can_never_be_decided_is_not_deferred() {
    check(
        CALL_AND_WAIT,
        "start\nsuspend\ncomplete 9.1\nearly 0\nfire 7\nsignal t\nresume",
        expect![[r#"
            > start
              InstanceStarted
              TaskStarted 1 in 0 /do/0/both Branches 3
              TaskStarted 2 in 1 /do/0/both/fork/branches/0/a Call a
              TaskDispatched 2.1
              TaskStarted 3 in 1 /do/0/both/fork/branches/1/b Waiting
              TimerSet 0 Wait of 3 at 5000
              TaskStarted 4 in 1 /do/0/both/fork/branches/2/c Listening
              ChannelJoined 4.0 t/cb98
              => default: 2.1 a attempt 1 key i#/do/0/both/fork/branches/0/a null
              => subscribe 4.0 in t/cb98
            > suspend
              InstanceSuspended
            > complete 9.1
              rejected: task 9.1 is not open: answered twice, late, or cancelled
            > early 0
              rejected: timer 0 is due at 1970-01-01T00:00:05Z, and it is only 1970-01-01T00:00:00Z
            > fire 7
              rejected: timer 7 is not set: it has fired, or is no longer wanted
            > signal t
              SignalReceived
              CommandDeferred deliver_signal
            > resume
              InstanceResumed
              DeferredCommandTaken
              TaskCompleted 4 -> [null]
              => unsubscribe 4.0 in t/cb98
        "#]],
    );
}

#[test]
fn only_so_many_commands_wait_but_every_timer_does() {
    let bounds = Bounds { deferred_max: 1, ..Bounds::default() };
    check_within(
        bounds,
        CALL_AND_WAIT,
        "start\nsuspend\ncomplete 2.1 1\nsignal t 2\nfire 0\nresume",
        expect![[r#"
            > start
              InstanceStarted
              TaskStarted 1 in 0 /do/0/both Branches 3
              TaskStarted 2 in 1 /do/0/both/fork/branches/0/a Call a
              TaskDispatched 2.1
              TaskStarted 3 in 1 /do/0/both/fork/branches/1/b Waiting
              TimerSet 0 Wait of 3 at 5000
              TaskStarted 4 in 1 /do/0/both/fork/branches/2/c Listening
              ChannelJoined 4.0 t/cb98
              => default: 2.1 a attempt 1 key i#/do/0/both/fork/branches/0/a null
              => subscribe 4.0 in t/cb98
            > suspend
              InstanceSuspended
            > complete 2.1 1
              CommandDeferred complete_task
            > signal t 2
              rejected: 1 commands wait already for the instance to be resumed, the most that may (deferred_max); resume it, then send again
            > fire 0
              CommandDeferred fire_timer
            > resume
              InstanceResumed
              DeferredCommandTaken
              TaskCompleted 2 -> 1
              DeferredCommandTaken
              TaskCompleted 3 -> null
        "#]],
    );
}

#[test]
fn a_suspended_instance_can_be_cancelled() {
    check(
        CALL_AND_WAIT,
        "start\nsuspend\ncancel enough\nresume\nstate",
        expect![[r#"
            > start
              InstanceStarted
              TaskStarted 1 in 0 /do/0/both Branches 3
              TaskStarted 2 in 1 /do/0/both/fork/branches/0/a Call a
              TaskDispatched 2.1
              TaskStarted 3 in 1 /do/0/both/fork/branches/1/b Waiting
              TimerSet 0 Wait of 3 at 5000
              TaskStarted 4 in 1 /do/0/both/fork/branches/2/c Listening
              ChannelJoined 4.0 t/cb98
              => default: 2.1 a attempt 1 key i#/do/0/both/fork/branches/0/a null
              => subscribe 4.0 in t/cb98
            > suspend
              InstanceSuspended
            > cancel enough
              InstanceCancelled
              => unsubscribe 4.0 in t/cb98
            > resume
              rejected: instance i has ended (cancelled); a resume has no effect
            = cancelled context null
        "#]],
    );
}

#[test]
fn an_answer_that_is_too_large_is_an_incident_and_the_task_is_sent_again() {
    check(
        "do: [{ a: { call: a, metadata: { millrace: { heartbeat: PT10S } } } }]",
        "
limit 500
start
complete 1.1 x500
again
state
fire 0
resume
complete 1.1 1
complete 1.2 2
",
        expect![[r#"
            > start
              InstanceStarted
              TaskStarted 1 in 0 /do/0/a Call a
              TaskDispatched 1.1
              TimerSet 0 Heartbeat of 1 at 10000
              => default: 1.1 a attempt 1 key i#/do/0/a null
            > complete 1.1 x500
              IncidentRaised payload-too-large call 1: task /do/0/a: a record of at least 518 bytes, and 500 are allowed (record_bytes_max); make the worker answer with less, such as a reference to the data, then resume the instance: the task is sent out again
            > again
              rejected: task 1.1 (/do/0/a) is not open: its answer was dropped by an incident; it is sent out again when the instance is resumed
            = incident context null
            =   0 /do [] attempt 1: Sequence { data: null, jumps: 0 }
            =   1 /do/0/a [] attempt 1: Calling { queue: "default", function: "a", arguments: None, deadline: None, dispatch: 1 }
            =   timer 0 Heartbeat of 1 at 10000
            > fire 0
              CommandDeferred fire_timer
            > resume
              InstanceResumed
              TaskDispatched 1.2
              TimerCleared 0
              TimerSet 1 Heartbeat of 1 at 20000
              DeferredCommandTaken
              => default: 1.2 a attempt 1 key i#/do/0/a null
            > complete 1.1 1
              rejected: task 1.1 (/do/0/a) is not open: the latest that was sent out is 1.2, and only that one may be answered
            > complete 1.2 2
              TaskCompleted 1 -> 2
              InstanceCompleted 2
        "#]],
    );
}

#[test]
fn a_second_answer_that_is_too_large_fails_its_task() {
    check(
        "do: [{ both: { fork: { branches: [{ a: { call: a } }, { b: { call: b } }] } } }]",
        "
start
limit 500
complete 2.1 x500
complete 3.1 x500
limit 2000
resume
",
        expect![[r#"
            > start
              InstanceStarted
              TaskStarted 1 in 0 /do/0/both Branches 2
              TaskStarted 2 in 1 /do/0/both/fork/branches/0/a Call a
              TaskDispatched 2.1
              TaskStarted 3 in 1 /do/0/both/fork/branches/1/b Call b
              TaskDispatched 3.1
              => default: 2.1 a attempt 1 key i#/do/0/both/fork/branches/0/a null
              => default: 3.1 b attempt 1 key i#/do/0/both/fork/branches/1/b null
            > complete 2.1 x500
              IncidentRaised payload-too-large call 2: task /do/0/both/fork/branches/0/a: a record of at least 518 bytes, and 500 are allowed (record_bytes_max); make the worker answer with less, such as a reference to the data, then resume the instance: the task is sent out again
            > complete 3.1 x500
              CommandDeferred fail_task
            > resume
              InstanceResumed
              TaskDispatched 2.2
              DeferredCommandTaken
              TaskFaulted 3 /do/0/both/fork/branches/1/b runtime 500 at /do/0/both/fork/branches/1/b: task /do/0/both/fork/branches/1/b: a record of at least 523 bytes, and 500 are allowed (record_bytes_max); make the worker answer with less
              TaskCancelled 2
              TaskFaulted 1 /do/0/both runtime 500 at /do/0/both/fork/branches/1/b: task /do/0/both/fork/branches/1/b: a record of at least 523 bytes, and 500 are allowed (record_bytes_max); make the worker answer with less
              InstanceFaulted runtime 500 at /do/0/both/fork/branches/1/b: task /do/0/both/fork/branches/1/b: a record of at least 523 bytes, and 500 are allowed (record_bytes_max); make the worker answer with less
        "#]],
    );
}

#[test]
fn a_suspended_instance_with_an_answer_that_is_too_large_has_an_incident() {
    check(
        "do: [{ a: { call: a } }]",
        "limit 500\nstart\nsuspend\ncomplete 1.1 x500\nresume\nresume",
        expect![[r#"
        > start
          InstanceStarted
          TaskStarted 1 in 0 /do/0/a Call a
          TaskDispatched 1.1
          => default: 1.1 a attempt 1 key i#/do/0/a null
        > suspend
          InstanceSuspended
        > complete 1.1 x500
          IncidentRaised payload-too-large call 1: task /do/0/a: a record of at least 523 bytes, and 500 are allowed (record_bytes_max); make the worker answer with less, such as a reference to the data, then resume the instance: the task is sent out again
        > resume
          InstanceResumed
          TaskDispatched 1.2
          => default: 1.2 a attempt 1 key i#/do/0/a null
        > resume
          rejected: instance i is running; there is nothing to resume
    "#]],
    );
}

#[test]
fn an_answer_whose_consequences_are_too_large_is_dropped_too() {
    check(
        "do: [{ a: { call: a } }, { b: { call: b, with: { it: '${ . * 20 }' } } }]",
        "limit 500\nstart\ncomplete 1.1 x100\nlimit 5000\nresume\ncomplete 1.2 x100",
        expect![[r#"
            > start
              InstanceStarted
              TaskStarted 1 in 0 /do/0/a Call a
              TaskDispatched 1.1
              => default: 1.1 a attempt 1 key i#/do/0/a null
            > complete 1.1 x100
              IncidentRaised payload-too-large call 1: task /do/1/b: a record of at least 2150 bytes, and 500 are allowed (record_bytes_max); make the worker answer with less, such as a reference to the data, then resume the instance: the task is sent out again
            > resume
              InstanceResumed
              TaskDispatched 1.2
              => default: 1.2 a attempt 1 key i#/do/0/a null
            > complete 1.2 x100
              TaskCompleted 1 -> "x*100"
              TaskStarted 2 in 0 /do/1/b Call b with {"it":"x*2000"}
              TaskDispatched 2.1
              => default: 2.1 b attempt 1 key i#/do/1/b {"it":"x*2000"}
        "#]],
    );
}

#[test]
fn a_start_whose_first_steps_are_too_large_waits_with_an_incident() {
    let definition = "timeout: { after: PT60S }\ndo: [{ a: { set: '${ . * 20 }' } }, { b: { call: b } }]";
    check(
        definition,
        "limit 500\nstart x100\nresume\nlimit 10000\nresume\nstate",
        expect![[r#"
        > start x100
          InstanceStarted
          TimerSet 0 Timeout of 0 at 60000
          IncidentRaised payload-too-large: task /do/0/a: a record of at least 2159 bytes, and 500 are allowed (record_bytes_max); start another instance with less data, and cancel this one; or raise the bound and resume it
        > resume
          IncidentRaised payload-too-large: task /do/0/a: a record of at least 2041 bytes, and 500 are allowed (record_bytes_max); raise the bound and resume the instance, or cancel it
        > resume
          InstanceResumed
          TaskRan in 0 /do/0/a -> "x*2000"
          TaskStarted 1 in 0 /do/1/b Call b
          TaskDispatched 1.1
          => default: 1.1 b attempt 1 key i#/do/1/b "x*2000"
        = running context null
        =   0 /do [] attempt 1: Sequence { data: "x*2000", jumps: 0 }
        =   1 /do/1/b [] attempt 1: Calling { queue: "default", function: "b", arguments: None, deadline: None, dispatch: 1 }
        =   timer 0 Timeout of 0 at 60000
    "#]],
    );
    check(
        definition,
        "limit 100\nstart x100\nstate",
        expect![[r#"
        > start x100
          rejected: the start carries 102 bytes of data, and what it makes does not fit a record of 100 bytes (record_bytes_max); send a reference to the data
        = absent
    "#]],
    );
}

#[test]
fn an_event_whose_consequences_are_too_large_waits_with_an_incident() {
    let definition =
        "do: [{ a: { listen: { to: { one: { with: { type: t } } } } } }, { b: { set: '${ .[0] * 20 }' } }]";
    check(
        definition,
        "limit 500\nstart\nsignal t x100\nstate\nresume\nlimit 10000\nresume",
        expect![[r#"
            > start
              InstanceStarted
              TaskStarted 1 in 0 /do/0/a Listening
              ChannelJoined 1.0 t/cb98
              => subscribe 1.0 in t/cb98
            > signal t x100
              SignalReceived
              CommandDeferred deliver_signal
              IncidentRaised payload-too-large: task /do/1/b: a record of at least 2177 bytes, and 500 are allowed (record_bytes_max); the command waits; raise the bound and resume the instance, or cancel it
            = incident context null
            =   0 /do [] attempt 1: Sequence { data: null, jumps: 0 }
            =   1 /do/0/a [] attempt 1: Listening
            =   deferred 1
            > resume
              InstanceResumed
              IncidentRaised payload-too-large: task /do/1/b: a record of at least 2161 bytes, and 500 are allowed (record_bytes_max); the deferred command waits; raise the bound and resume the instance, or cancel it
            > resume
              InstanceResumed
              DeferredCommandTaken
              TaskCompleted 1 -> ["x*100"]
              TaskRan in 0 /do/1/b -> "x*2000"
              InstanceCompleted "x*2000"
              => unsubscribe 1.0 in t/cb98
        "#]],
    );
}

#[test]
fn an_event_that_is_too_large_itself_is_refused() {
    check(
        "do: [{ a: { wait: PT1S } }]",
        "limit 100\nstart\nsignal t x100\nstate",
        expect![[r#"
        > start
          InstanceStarted
          TaskStarted 1 in 0 /do/0/a Waiting
          TimerSet 0 Wait of 1 at 1000
        > signal t x100
          rejected: the deliver_signal carries 167 bytes of data, and what it makes does not fit a record of 100 bytes (record_bytes_max); send a reference to the data
        = running context null
        =   0 /do [] attempt 1: Sequence { data: null, jumps: 0 }
        =   1 /do/0/a [] attempt 1: Waiting
        =   timer 0 Wait of 1 at 1000
    "#]],
    );
}

#[test]
fn the_texts_of_an_error_are_cut() {
    let definition = "do: [{ a: { call: a } }]";
    let fail = "fail 1.1 {\"type\": \"t\", \"status\": 500, \"detail\": \"LONG\"}"
        .replace("LONG", &"x".repeat(9_000));
    check(
        definition,
        &format!("start\n{fail}"),
        expect![[r#"
        > start
          InstanceStarted
          TaskStarted 1 in 0 /do/0/a Call a
          TaskDispatched 1.1
          => default: 1.1 a attempt 1 key i#/do/0/a null
        > fail 1.1 {"type": "t", "status": 500, "detail": "x*9000"}
          TaskFaulted 1 /do/0/a t 500 at /do/0/a: x*2000…
          InstanceFaulted t 500 at /do/0/a: x*2000…
    "#]],
    );
    check(
        definition,
        &format!("start\nlimit 5000\nsuspend\n{fail}\nlimit 9000\nresume"),
        expect![[r#"
        > start
          InstanceStarted
          TaskStarted 1 in 0 /do/0/a Call a
          TaskDispatched 1.1
          => default: 1.1 a attempt 1 key i#/do/0/a null
        > suspend
          InstanceSuspended
        > fail 1.1 {"type": "t", "status": 500, "detail": "x*9000"}
          CommandDeferred fail_task
        > resume
          InstanceResumed
          DeferredCommandTaken
          TaskFaulted 1 /do/0/a t 500 at /do/0/a: x*2000…
          InstanceFaulted t 500 at /do/0/a: x*2000…
    "#]],
    );
}

#[test]
fn deferred_commands_that_do_not_fit_one_record_take_several_resumes() {
    check(
        "do: [{ both: { fork: { branches: [{ a: { call: a } }, { b: { call: b } }, { c: { call: c } }] } } }]",
        "
limit 500
start
suspend
complete 2.1 x200
complete 3.1 x200
complete 4.1 x200
resume
resume
limit 10000
resume
complete 4.2 x10
",
        expect![[r#"
            > start
              InstanceStarted
              TaskStarted 1 in 0 /do/0/both Branches 3
              TaskStarted 2 in 1 /do/0/both/fork/branches/0/a Call a
              TaskDispatched 2.1
              TaskStarted 3 in 1 /do/0/both/fork/branches/1/b Call b
              TaskDispatched 3.1
              TaskStarted 4 in 1 /do/0/both/fork/branches/2/c Call c
              TaskDispatched 4.1
              => default: 2.1 a attempt 1 key i#/do/0/both/fork/branches/0/a null
              => default: 3.1 b attempt 1 key i#/do/0/both/fork/branches/1/b null
              => default: 4.1 c attempt 1 key i#/do/0/both/fork/branches/2/c null
            > suspend
              InstanceSuspended
            > complete 2.1 x200
              CommandDeferred complete_task
            > complete 3.1 x200
              CommandDeferred complete_task
            > complete 4.1 x200
              CommandDeferred complete_task
            > resume
              InstanceResumed
              DeferredCommandTaken
              TaskCompleted 2 -> "x*200"
              DeferredCommandTaken
              TaskCompleted 3 -> "x*200"
              IncidentRaised payload-too-large: task /do/0/both/fork/branches/2/c: a record of at least 670 bytes, and 500 are allowed (record_bytes_max); resume the instance again for the 1 deferred commands that are left
            > resume
              InstanceResumed
              DeferredCommandTaken
              IncidentRaised payload-too-large call 4: task /do/0/both/fork/branches/2/c: a record of at least 860 bytes, and 500 are allowed (record_bytes_max); the answer was dropped; make the worker answer with less, then resume the instance: the task is sent out again
            > resume
              InstanceResumed
              TaskDispatched 4.2
              => default: 4.2 c attempt 1 key i#/do/0/both/fork/branches/2/c null
            > complete 4.2 x10
              TaskCompleted 4 -> "xxxxxxxxxx"
              TaskCompleted 1 -> ["x*200","x*200","xxxxxxxxxx"]
              InstanceCompleted ["x*200","x*200","xxxxxxxxxx"]
        "#]],
    );
}
