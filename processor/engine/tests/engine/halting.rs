//! Tasks that fail and are kept for somebody to look at: retried, given another input, skipped.

use expect_test::expect;
use millrace_engine::Bounds;
use millrace_workflow::program::OnFault;
use serde_json::json;

use crate::conversation::{Conversation, check_within, program_of};

fn incident() -> Bounds {
    Bounds { on_fault: OnFault::Incident, ..Bounds::default() }
}

const CALLS: &str = "
do:
  - a: { call: a }
  - b: { set: '${ [., $task.input] }' }
";

#[test]
fn an_error_that_nothing_catches_is_an_incident_if_the_fleet_says_so() {
    check_within(
        incident(),
        CALLS,
        "start 1\nfail 1.1 {\"detail\":\"no cover\"}\nstate\ncomplete 1.1 5\nretry\ncomplete 2.1 2",
        expect![[r#"
            > start 1
              InstanceStarted
              TaskStarted 1 in 0 /do/0/a Call a
              TaskDispatched 1.1
              => default: 1.1 a attempt 1 key i#/do/0/a 1
            > fail 1.1 {"detail":"no cover"}
              TaskHalted 1 in 0 /do/0/a communication 500 at /do/0/a: no cover
              IncidentRaised task-faulted: task /do/0/a failed, and nothing caught it: no cover; retry it, perhaps with another input, skip it by giving its output, restart the instance from an earlier task, or cancel it
            = incident context null
            =   0 /do [] attempt 1: Sequence { data: 1, jumps: 0 }
            =   halted /do/0/a in 0
            > complete 1.1 5
              rejected: task 1.1 is not open: answered twice, late, or cancelled
            > retry
              InstanceResumed
              TaskRetried in 0 /do/0/a by ann
              TaskStarted 2 in 0 /do/0/a attempt 2 Call a
              TaskDispatched 2.1
              => default: 2.1 a attempt 2 key i#/do/0/a 1
            > complete 2.1 2
              TaskCompleted 2 -> 2
              TaskRan in 0 /do/1/b -> [2,2]
              InstanceCompleted [2,2]
        "#]],
    );
}

#[test]
fn a_task_is_retried_with_another_input() {
    check_within(
        incident(),
        CALLS,
        "start 1\nfail 1.1\nretry /do/0/a {\"x\":2}\nstate\ncomplete 2.1 2",
        expect![[r#"
            > start 1
              InstanceStarted
              TaskStarted 1 in 0 /do/0/a Call a
              TaskDispatched 1.1
              => default: 1.1 a attempt 1 key i#/do/0/a 1
            > fail 1.1
              TaskHalted 1 in 0 /do/0/a communication 500 at /do/0/a: the worker gave no reason
              IncidentRaised task-faulted: task /do/0/a failed, and nothing caught it: the worker gave no reason; retry it, perhaps with another input, skip it by giving its output, restart the instance from an earlier task, or cancel it
            > retry /do/0/a {"x":2}
              InstanceResumed
              TaskEdited in 0 /do/0/a by ann input {"x":2}
              TaskRetried in 0 /do/0/a by ann
              TaskStarted 2 in 0 /do/0/a attempt 2 Call a
              TaskDispatched 2.1
              => default: 2.1 a attempt 2 key i#/do/0/a {"x":2}
            = running context null
            =   0 /do [] attempt 1: Sequence { data: {"x":2}, jumps: 0 }
            =   2 /do/0/a [] attempt 2: Calling { queue: "default", function: "a", arguments: None, deadline: None, dispatch: 1 }
            > complete 2.1 2
              TaskCompleted 2 -> 2
              TaskRan in 0 /do/1/b -> [2,2]
              InstanceCompleted [2,2]
        "#]],
    );
}

#[test]
fn a_task_is_skipped_and_the_flow_goes_on_behind_it() {
    check_within(
        incident(),
        CALLS,
        "start 1\nfail 1.1\nskip /do/0/a 7\nskip /do/1/b 8",
        expect![[r#"
        > start 1
          InstanceStarted
          TaskStarted 1 in 0 /do/0/a Call a
          TaskDispatched 1.1
          => default: 1.1 a attempt 1 key i#/do/0/a 1
        > fail 1.1
          TaskHalted 1 in 0 /do/0/a communication 500 at /do/0/a: the worker gave no reason
          IncidentRaised task-faulted: task /do/0/a failed, and nothing caught it: the worker gave no reason; retry it, perhaps with another input, skip it by giving its output, restart the instance from an earlier task, or cancel it
        > skip /do/0/a 7
          InstanceResumed
          TaskSkipped in 0 /do/0/a by ann -> 7
          TaskRan in 0 /do/1/b -> [7,7]
          InstanceCompleted [7,7]
        > skip /do/1/b 8
          rejected: instance i has ended (completed); a skip has no effect
    "#]],
    );
}

#[test]
fn what_fails_while_it_is_entered_is_kept_as_well() {
    check_within(
        incident(),
        "
do:
  - a: { set: '${ .x.y }', input: { schema: { document: { type: object } } } }
",
        "start 1\nresume\nretry /do/0/a {\"x\":{\"y\":3}}",
        expect![[r#"
            > start 1
              InstanceStarted
              TaskHalted in 0 /do/0/a validation 400 at /do/0/a: input: the value: 1 is not of type "object"
              IncidentRaised task-faulted: task /do/0/a failed, and nothing caught it: input: the value: 1 is not of type "object"; retry it, perhaps with another input, skip it by giving its output, restart the instance from an earlier task, or cancel it
            > resume
              InstanceResumed
              TaskRetried in 0 /do/0/a by 
              TaskHalted in 0 /do/0/a validation 400 at /do/0/a: input: the value: 1 is not of type "object"
              IncidentRaised task-faulted: task /do/0/a failed, and nothing caught it: input: the value: 1 is not of type "object"; retry it, perhaps with another input, skip it by giving its output, restart the instance from an earlier task, or cancel it
            > retry /do/0/a {"x":{"y":3}}
              InstanceResumed
              TaskEdited in 0 /do/0/a by ann input {"x":{"y":3}}
              TaskRetried in 0 /do/0/a by ann
              TaskRan in 0 /do/0/a -> 3
              InstanceCompleted 3
        "#]],
    );
}

#[test]
fn what_is_caught_is_no_incident() {
    check_within(
        incident(),
        "
do:
  - t: { try: [{ a: { call: a } }], catch: { errors: { with: { status: 500 } }, when: '$error.title != \"x\"', do: [{ h: { call: h } }] } }
",
        "start\nfail 2.1\nfail 3.1\nretry\ncomplete 4.1 1\n",
        expect![[r#"
            > start
              InstanceStarted
              TaskStarted 1 in 0 /do/0/t Trying
              TaskStarted 2 in 1 /do/0/t/try/0/a Call a
              TaskDispatched 2.1
              => default: 2.1 a attempt 1 key i#/do/0/t/try/0/a null
            > fail 2.1
              TaskFaulted 2 /do/0/t/try/0/a communication 500 at /do/0/t/try/0/a: the worker gave no reason
              ErrorCaught 1 communication 500 at /do/0/t/try/0/a: the worker gave no reason
              TaskStarted 3 in 1 /do/0/t/catch/do/0/h Call h
              TaskDispatched 3.1
              => default: 3.1 h attempt 1 key i#/do/0/t/catch/do/0/h null
            > fail 3.1
              TaskHalted 3 in 1 /do/0/t/catch/do/0/h communication 500 at /do/0/t/catch/do/0/h: the worker gave no reason
              IncidentRaised task-faulted: task /do/0/t/catch/do/0/h failed, and nothing caught it: the worker gave no reason; retry it, perhaps with another input, skip it by giving its output, restart the instance from an earlier task, or cancel it
            > retry
              InstanceResumed
              TaskRetried in 1 /do/0/t/catch/do/0/h by ann
              TaskStarted 4 in 1 /do/0/t/catch/do/0/h attempt 2 Call h
              TaskDispatched 4.1
              => default: 4.1 h attempt 2 key i#/do/0/t/catch/do/0/h null
            > complete 4.1 1
              TaskCompleted 4 -> 1
              TaskCompleted 1 -> 1
              InstanceCompleted 1
        "#]],
    );
}

#[test]
fn what_is_not_caught_is_kept_within_its_try() {
    check_within(
        incident(),
        "
do:
  - t: { try: [{ a: { call: a } }], catch: { errors: { with: { status: 409 } }, do: [{ h: { set: '${ 1 }' } }] } }
",
        "start\nfail 2.1\nretry\nfail 3.1 {\"status\":409}",
        expect![[r#"
            > start
              InstanceStarted
              TaskStarted 1 in 0 /do/0/t Trying
              TaskStarted 2 in 1 /do/0/t/try/0/a Call a
              TaskDispatched 2.1
              => default: 2.1 a attempt 1 key i#/do/0/t/try/0/a null
            > fail 2.1
              TaskHalted 2 in 1 /do/0/t/try/0/a communication 500 at /do/0/t/try/0/a: the worker gave no reason
              IncidentRaised task-faulted: task /do/0/t/try/0/a failed, and nothing caught it: the worker gave no reason; retry it, perhaps with another input, skip it by giving its output, restart the instance from an earlier task, or cancel it
            > retry
              InstanceResumed
              TaskRetried in 1 /do/0/t/try/0/a by ann
              TaskStarted 3 in 1 /do/0/t/try/0/a attempt 2 Call a
              TaskDispatched 3.1
              => default: 3.1 a attempt 2 key i#/do/0/t/try/0/a null
            > fail 3.1 {"status":409}
              TaskFaulted 3 /do/0/t/try/0/a communication 409 at /do/0/t/try/0/a: the worker gave no reason
              ErrorCaught 1 communication 409 at /do/0/t/try/0/a: the worker gave no reason
              TaskRan in 1 /do/0/t/catch/do/0/h -> 1
              TaskCompleted 1 -> 1
              InstanceCompleted 1
        "#]],
    );
}

#[test]
fn branches_fail_one_by_one_and_are_retried_alone_or_together() {
    check_within(
        incident(),
        "
do:
  - both: { fork: { branches: [{ a: { call: a } }, { b: { call: b } }, { c: { raise: { error: { type: 'https://x', status: 400 } } } }, { d: { call: d } }] } }
",
        "start 1\nfail 2.1\nfail 3.1\nretry /do/0/both/fork/branches/2/c 1\nskip /do/0/both/fork/branches/2/c 9\nretry\nretry /do/0/both/fork/branches/1/b {\"x\":1}\nstate\ncomplete 5.1 5",
        expect![[r#"
            > start 1
              InstanceStarted
              TaskStarted 1 in 0 /do/0/both Branches 4
              TaskStarted 2 in 1 /do/0/both/fork/branches/0/a Call a
              TaskDispatched 2.1
              TaskStarted 3 in 1 /do/0/both/fork/branches/1/b Call b
              TaskDispatched 3.1
              TaskHalted in 1 /do/0/both/fork/branches/2/c x 400 at /do/0/both/fork/branches/2/c: -
              TaskStarted 4 in 1 /do/0/both/fork/branches/3/d Call d
              TaskDispatched 4.1
              IncidentRaised task-faulted: task /do/0/both/fork/branches/2/c failed, and nothing caught it: https://x; retry it, perhaps with another input, skip it by giving its output, restart the instance from an earlier task, or cancel it
              => default: 2.1 a attempt 1 key i#/do/0/both/fork/branches/0/a 1
              => default: 3.1 b attempt 1 key i#/do/0/both/fork/branches/1/b 1
              => default: 4.1 d attempt 1 key i#/do/0/both/fork/branches/3/d 1
            > fail 2.1
              CommandDeferred fail_task
            > fail 3.1
              CommandDeferred fail_task
            > retry /do/0/both/fork/branches/2/c 1
              InstanceResumed
              TaskEdited in 1 /do/0/both/fork/branches/2/c by ann input 1
              TaskRetried in 1 /do/0/both/fork/branches/2/c by ann
              TaskHalted in 1 /do/0/both/fork/branches/2/c x 400 at /do/0/both/fork/branches/2/c: -
              DeferredCommandTaken
              TaskHalted 2 in 1 /do/0/both/fork/branches/0/a communication 500 at /do/0/both/fork/branches/0/a: the worker gave no reason
              DeferredCommandTaken
              TaskHalted 3 in 1 /do/0/both/fork/branches/1/b communication 500 at /do/0/both/fork/branches/1/b: the worker gave no reason
              IncidentRaised task-faulted: task /do/0/both/fork/branches/2/c (and 2 more) failed, and nothing caught it: https://x; retry it, perhaps with another input, skip it by giving its output, restart the instance from an earlier task, or cancel it
            > skip /do/0/both/fork/branches/2/c 9
              InstanceResumed
              TaskSkipped in 1 /do/0/both/fork/branches/2/c by ann -> 9
              IncidentRaised task-faulted: task /do/0/both/fork/branches/0/a (and 1 more) failed, and nothing caught it: the worker gave no reason; retry it, perhaps with another input, skip it by giving its output, restart the instance from an earlier task, or cancel it
            > retry
              InstanceResumed
              TaskRetried in 1 /do/0/both/fork/branches/0/a by ann
              TaskRetried in 1 /do/0/both/fork/branches/1/b by ann
              TaskStarted 5 in 1 /do/0/both/fork/branches/0/a attempt 2 Call a
              TaskDispatched 5.1
              TaskStarted 6 in 1 /do/0/both/fork/branches/1/b attempt 3 Call b
              TaskDispatched 6.1
              => default: 5.1 a attempt 2 key i#/do/0/both/fork/branches/0/a 1
              => default: 6.1 b attempt 3 key i#/do/0/both/fork/branches/1/b 1
            > retry /do/0/both/fork/branches/1/b {"x":1}
              rejected: no task of instance i has failed and waits for somebody; resume the instance if it stands still, or restart it from a task
            = running context null
            =   0 /do [] attempt 1: Sequence { data: 1, jumps: 0 }
            =   1 /do/0/both [] attempt 1: Branches { branches: [Branch { output: None, context: None }, Branch { output: None, context: None }, Branch { output: Some(9), context: None }, Branch { output: None, context: None }] }
            =   4 /do/0/both/fork/branches/3/d [] attempt 1: Calling { queue: "default", function: "d", arguments: None, deadline: None, dispatch: 1 }
            =   5 /do/0/both/fork/branches/0/a [] attempt 2: Calling { queue: "default", function: "a", arguments: None, deadline: None, dispatch: 1 }
            =   6 /do/0/both/fork/branches/1/b [] attempt 3: Calling { queue: "default", function: "b", arguments: None, deadline: None, dispatch: 1 }
            > complete 5.1 5
              TaskCompleted 5 -> 5
        "#]],
    );
}

#[test]
fn a_list_that_did_not_end_in_time_begins_anew() {
    check_within(
        incident(),
        "
do:
  - d: { do: [{ a: { call: a } }, { b: { call: b } }], timeout: { after: PT5S } }
",
        "start 1\ncomplete 2.1 2\nfire 0\nretry\ncomplete 5.1",
        expect![[r#"
            > start 1
              InstanceStarted
              TaskStarted 1 in 0 /do/0/d Sequence
              TimerSet 0 Timeout of 1 at 5000
              TaskStarted 2 in 1 /do/0/d/do/0/a Call a
              TaskDispatched 2.1
              => default: 2.1 a attempt 1 key i#/do/0/d/do/0/a 1
            > complete 2.1 2
              TaskCompleted 2 -> 2
              TaskStarted 3 in 1 /do/0/d/do/1/b Call b
              TaskDispatched 3.1
              => default: 3.1 b attempt 1 key i#/do/0/d/do/1/b 2
            > fire 0
              TaskCancelled 3
              TaskHalted 1 in 0 /do/0/d timeout 408 at /do/0/d: /do/0/d did not end by 1970-01-01T00:00:05Z; it was entered at 1970-01-01T00:00:00Z
              IncidentRaised task-faulted: task /do/0/d failed, and nothing caught it: /do/0/d did not end by 1970-01-01T00:00:05Z; it was entered at 1970-01-01T00:00:00Z; retry it, perhaps with another input, skip it by giving its output, restart the instance from an earlier task, or cancel it
            > retry
              InstanceResumed
              TaskRetried in 0 /do/0/d by ann
              TaskStarted 4 in 0 /do/0/d attempt 2 Sequence
              TimerSet 1 Timeout of 4 at 10000
              TaskStarted 5 in 4 /do/0/d/do/0/a attempt 2 Call a
              TaskDispatched 5.1
              => default: 5.1 a attempt 2 key i#/do/0/d/do/0/a 1
            > complete 5.1
              TaskCompleted 5 -> null
              TaskStarted 6 in 4 /do/0/d/do/1/b attempt 2 Call b
              TaskDispatched 6.1
              => default: 6.1 b attempt 2 key i#/do/0/d/do/1/b null
        "#]],
    );
}

#[test]
fn the_timeout_of_the_workflow_is_no_incident() {
    check_within(
        incident(),
        "
timeout: { after: PT5S }
do:
  - a: { call: a }
",
        "start\nfire 0",
        expect![[r#"
            > start
              InstanceStarted
              TimerSet 0 Timeout of 0 at 5000
              TaskStarted 1 in 0 /do/0/a Call a
              TaskDispatched 1.1
              => default: 1.1 a attempt 1 key i#/do/0/a null
            > fire 0
              TaskCancelled 1
              InstanceFaulted timeout 408 at /do: the workflow did not end by 1970-01-01T00:00:05Z; it was entered at 1970-01-01T00:00:00Z
        "#]],
    );
}

#[test]
fn a_task_that_stands_still_is_given_another_input_and_late_answers_are_refused() {
    check_within(
        incident(),
        CALLS,
        "start 1\nedit /do/0/a 2\nsuspend\ncomplete 1.1 9\nedit /do/0/a 2\nedit /do/0/a 3\nedit /do/1/b 3\ncomplete 1.1 9\nstate\nresume",
        expect![[r#"
            > start 1
              InstanceStarted
              TaskStarted 1 in 0 /do/0/a Call a
              TaskDispatched 1.1
              => default: 1.1 a attempt 1 key i#/do/0/a 1
            > edit /do/0/a 2
              rejected: instance i is running, and a task gets another input only while it stands still; suspend it first
            > suspend
              InstanceSuspended
            > complete 1.1 9
              CommandDeferred complete_task
            > edit /do/0/a 2
              TaskEdited 1 in 0 /do/0/a by ann input 2
            > edit /do/0/a 3
              TaskEdited in 0 /do/0/a by ann input 3
            > edit /do/1/b 3
              rejected: task /do/1/b is not open in instance i: open are /do/0/a
            > complete 1.1 9
              rejected: task 1.1 is not open: answered twice, late, or cancelled
            = suspended context null
            =   0 /do [] attempt 1: Sequence { data: 1, jumps: 0 }
            =   halted /do/0/a in 0 input 3
            =   deferred 1
            > resume
              InstanceResumed
              TaskRetried in 0 /do/0/a by 
              TaskStarted 2 in 0 /do/0/a attempt 2 Call a
              TaskDispatched 2.1
              DeferredCommandTaken
              => default: 2.1 a attempt 2 key i#/do/0/a 3
        "#]],
    );
}

#[test]
fn a_child_that_is_started_again_with_another_input_is_another_one() {
    check_within(
        incident(),
        "
do:
  - a: { run: { workflow: { namespace: shop, name: pay, version: '1.0.0', input: { it: '${ . }' } } } }
",
        "start 1\nsuspend\nedit /do/0/a 2\nresume",
        expect![[r#"
            > start 1
              InstanceStarted
              TaskStarted 1 in 0 /do/0/a Call shop/pay/1.0.0 with {"it":1}
              TaskDispatched 1.1
              => to i.1.1 as i.1.1/start: start shop/pay/1.0.0 {"it":1} for i 1.1
            > suspend
              InstanceSuspended
            > edit /do/0/a 2
              TaskEdited 1 in 0 /do/0/a by ann input 2
              => to i.1.1 as i.1.1/cancel: cancel, and undo
            > resume
              InstanceResumed
              TaskRetried in 0 /do/0/a by 
              TaskStarted 2 in 0 /do/0/a attempt 2 Call shop/pay/1.0.0 with {"it":2}
              TaskDispatched 2.1
              => to i.2.1 as i.2.1/start: start shop/pay/1.0.0 {"it":2} for i 2.1
        "#]],
    );
}

#[test]
fn what_is_halted_goes_with_the_scope_it_is_in() {
    check_within(
        incident(),
        "
do:
  - both: { fork: { compete: true, branches: [{ a: { do: [{ x: { call: x } }] } }, { b: { call: b } }] } }
",
        "start 1\nfail 3.1\nstate\ncomplete 4.1 2\nresume",
        expect![[r#"
            > start 1
              InstanceStarted
              TaskStarted 1 in 0 /do/0/both Branches 2
              TaskStarted 2 in 1 /do/0/both/fork/branches/0/a Sequence
              TaskStarted 3 in 2 /do/0/both/fork/branches/0/a/do/0/x Call x
              TaskDispatched 3.1
              TaskStarted 4 in 1 /do/0/both/fork/branches/1/b Call b
              TaskDispatched 4.1
              => default: 3.1 x attempt 1 key i#/do/0/both/fork/branches/0/a/do/0/x 1
              => default: 4.1 b attempt 1 key i#/do/0/both/fork/branches/1/b 1
            > fail 3.1
              TaskHalted 3 in 2 /do/0/both/fork/branches/0/a/do/0/x communication 500 at /do/0/both/fork/branches/0/a/do/0/x: the worker gave no reason
              IncidentRaised task-faulted: task /do/0/both/fork/branches/0/a/do/0/x failed, and nothing caught it: the worker gave no reason; retry it, perhaps with another input, skip it by giving its output, restart the instance from an earlier task, or cancel it
            = incident context null
            =   0 /do [] attempt 1: Sequence { data: 1, jumps: 0 }
            =   1 /do/0/both [] attempt 1: Branches { branches: [Branch { output: None, context: None }, Branch { output: None, context: None }] }
            =   2 /do/0/both/fork/branches/0/a [] attempt 1: Sequence { data: 1, jumps: 0 }
            =   4 /do/0/both/fork/branches/1/b [] attempt 1: Calling { queue: "default", function: "b", arguments: None, deadline: None, dispatch: 1 }
            =   halted /do/0/both/fork/branches/0/a/do/0/x in 2
            > complete 4.1 2
              CommandDeferred complete_task
            > resume
              InstanceResumed
              TaskRetried in 2 /do/0/both/fork/branches/0/a/do/0/x by 
              TaskStarted 5 in 2 /do/0/both/fork/branches/0/a/do/0/x attempt 2 Call x
              TaskDispatched 5.1
              DeferredCommandTaken
              TaskCompleted 4 -> 2
              TaskCancelled 2
              TaskCompleted 1 -> 2
              InstanceCompleted 2
        "#]],
    );
}

#[test]
fn there_is_nothing_to_retry_or_to_skip_without_a_failed_task() {
    check_within(
        incident(),
        CALLS,
        "start 1\nretry\nsuspend\nretry\nskip /do/0/a 1\nresume\nfail 1.1\nretry /do/1/b",
        expect![[r#"
            > start 1
              InstanceStarted
              TaskStarted 1 in 0 /do/0/a Call a
              TaskDispatched 1.1
              => default: 1.1 a attempt 1 key i#/do/0/a 1
            > retry
              rejected: no task of instance i has failed and waits for somebody; resume the instance if it stands still, or restart it from a task
            > suspend
              InstanceSuspended
            > retry
              rejected: no task of instance i has failed and waits for somebody; resume the instance if it stands still, or restart it from a task
            > skip /do/0/a 1
              rejected: no task of instance i has failed and waits for somebody; resume the instance if it stands still, or restart it from a task
            > resume
              InstanceResumed
            > fail 1.1
              TaskHalted 1 in 0 /do/0/a communication 500 at /do/0/a: the worker gave no reason
              IncidentRaised task-faulted: task /do/0/a failed, and nothing caught it: the worker gave no reason; retry it, perhaps with another input, skip it by giving its output, restart the instance from an earlier task, or cancel it
            > retry /do/1/b
              rejected: task /do/1/b does not wait for somebody; /do/0/a waits
        "#]],
    );
}

#[test]
fn the_workflow_says_what_becomes_of_an_error_and_goes_before_the_fleet() {
    for (says, becomes) in [("incident", "IncidentRaised task-faulted"), ("fault", "InstanceFaulted")] {
        let mut definition =
            json!({ "do": [{ "a": { "raise": { "error": { "type": "https://x", "status": 400 } } } }] });
        definition["document"] = json!({ "metadata": { "millrace": { "onFault": says } } });
        for on_fault in [OnFault::Fault, OnFault::Incident] {
            let mut conversation = Conversation::new(program_of(&definition));
            conversation.bounds.on_fault = on_fault;
            let out = conversation.run("start");
            assert!(out.contains(becomes), "{says}: {out}");
        }
    }
}
