//! Undoing: which tasks, in which order, and what becomes of what fails in it.
#![allow(clippy::unwrap_used)]

use expect_test::expect;
use millrace_engine::{Bounds, INSTANCE_SOURCE, Instance};
use millrace_schemas::InstanceId;
use millrace_schemas::command::Command;

use crate::conversation::{Conversation, check, check_within, program};

const SAGA: &str = "
do:
  - reserve: { call: reserve, metadata: { millrace: { compensate: [{ release: { call: release, with: { held: '${ .output }', of: '${ .input.id }' } } }] } } }
  - charge: { call: charge, output: { as: '{ charged: . }' }, export: { as: '{ seen: .charged }' }, metadata: { millrace: { compensate: [{ refund: { call: refund, with: { it: '${ [.output.charged, $context] }' } } }, { log: { set: '${ 1 }' } }] } } }
  - ship: { call: ship }
";

#[test]
fn an_error_that_nothing_catches_undoes_what_has_ended_the_last_first() {
    check(
        SAGA,
        "start {\"id\":7}\ncomplete 1.1 1\ncomplete 2.1 5\nfail 3.1 permanent\nstate\ncomplete 5.1\ncomplete 7.1",
        expect![[r#"
            > start {"id":7}
              InstanceStarted
              TaskStarted 1 in 0 /do/0/reserve Call reserve
              TaskDispatched 1.1
              => default: 1.1 reserve attempt 1 key i#/do/0/reserve {"id":7}
            > complete 1.1 1
              TaskCompleted 1 -> 1
              CompensationAdded in 0 /do/0/reserve {"id":7}
              TaskStarted 2 in 0 /do/1/charge Call charge
              TaskDispatched 2.1
              => default: 2.1 charge attempt 1 key i#/do/1/charge 1
            > complete 2.1 5
              TaskCompleted 2 -> {"charged":5} context {"seen":5}
              CompensationAdded in 0 /do/1/charge 1
              TaskStarted 3 in 0 /do/2/ship Call ship
              TaskDispatched 3.1
              => default: 3.1 ship attempt 1 key i#/do/2/ship {"charged":5}
            > fail 3.1 permanent
              TaskFaulted 3 /do/2/ship runtime 500 at /do/2/ship: the worker gave no reason
              CompensationStarted, will fault: runtime 500 at /do/2/ship: the worker gave no reason
              TaskStarted 4 in 0 /do/1/charge/metadata/millrace/compensate Sequence input {"input":1,"output":{"charged":5}}
              TaskStarted 5 in 4 /do/1/charge/metadata/millrace/compensate/0/refund Call refund with {"it":[5,{"seen":5}]}
              TaskDispatched 5.1
              => default: 5.1 refund attempt 1 key i#/do/1/charge/metadata/millrace/compensate/0/refund {"it":[5,{"seen":5}]}
            = running context {"seen":5}
            =   0 /do [] attempt 1: Sequence { data: {"charged":5}, jumps: 0 }
            =   4 /do/1/charge/metadata/millrace/compensate [] attempt 1: Sequence { data: {"input":1,"output":{"charged":5}}, jumps: 0 }
            =   5 /do/1/charge/metadata/millrace/compensate/0/refund [] attempt 1: Calling { queue: "default", function: "refund", arguments: Some({"it":[5,{"seen":5}]}), deadline: None, dispatch: 1 }
            =   undo /do/0/reserve: {"id":7} -> 1
            =   undo /do/1/charge: 1 -> {"charged":5}
            =   compensating
            > complete 5.1
              TaskCompleted 5 -> null
              TaskRan in 4 /do/1/charge/metadata/millrace/compensate/1/log -> 1
              TaskCompleted 4 -> 1
              TaskCompensated /do/1/charge
              TaskStarted 6 in 0 /do/0/reserve/metadata/millrace/compensate Sequence input {"input":{"id":7},"output":1}
              TaskStarted 7 in 6 /do/0/reserve/metadata/millrace/compensate/0/release Call release with {"held":1,"of":7}
              TaskDispatched 7.1
              => default: 7.1 release attempt 1 key i#/do/0/reserve/metadata/millrace/compensate/0/release {"held":1,"of":7}
            > complete 7.1
              TaskCompleted 7 -> null
              TaskCompleted 6 -> null
              TaskCompensated /do/0/reserve
              InstanceFaulted runtime 500 at /do/2/ship: the worker gave no reason
        "#]],
    );
}

/// `then: end` in a branch ends all that undoes the task, with what is open in other branches: nobody listens or runs for it any more.
#[test]
fn what_undoes_a_task_may_end_while_its_branches_are_open() {
    check(
        "
do:
  - a:
      call: a
      metadata:
        millrace:
          compensate:
            - both:
                fork:
                  branches:
                    - hears: { listen: { to: { one: { with: { type: t } } } } }
                    - runs: { run: { workflow: { namespace: test, name: child, version: '1.0.0' } } }
                    - ends: { call: last, then: end }
  - b: { call: b }
",
        "start\ncomplete 1.1\nfail 2.1 permanent\ncomplete 7.1",
        expect![[r#"
            > start
              InstanceStarted
              TaskStarted 1 in 0 /do/0/a Call a
              TaskDispatched 1.1
              => default: 1.1 a attempt 1 key i#/do/0/a null
            > complete 1.1
              TaskCompleted 1 -> null
              CompensationAdded in 0 /do/0/a null
              TaskStarted 2 in 0 /do/1/b Call b
              TaskDispatched 2.1
              => default: 2.1 b attempt 1 key i#/do/1/b null
            > fail 2.1 permanent
              TaskFaulted 2 /do/1/b runtime 500 at /do/1/b: the worker gave no reason
              CompensationStarted, will fault: runtime 500 at /do/1/b: the worker gave no reason
              TaskStarted 3 in 0 /do/0/a/metadata/millrace/compensate Sequence input {"input":null,"output":null}
              TaskStarted 4 in 3 /do/0/a/metadata/millrace/compensate/0/both Branches 3
              TaskStarted 5 in 4 /do/0/a/metadata/millrace/compensate/0/both/fork/branches/0/hears Listening
              ChannelJoined 5.0 t/cb98
              TaskStarted 6 in 4 /do/0/a/metadata/millrace/compensate/0/both/fork/branches/1/runs Call test/child/1.0.0 with {}
              TaskDispatched 6.1
              TaskStarted 7 in 4 /do/0/a/metadata/millrace/compensate/0/both/fork/branches/2/ends Call last
              TaskDispatched 7.1
              => subscribe 5.0 in t/cb98
              => to i.6.1 as i.6.1/start: start test/child/1.0.0 {} for i 6.1
              => default: 7.1 last attempt 1 key i#/do/0/a/metadata/millrace/compensate/0/both/fork/branches/2/ends {"input":null,"output":null}
            > complete 7.1
              TaskCompleted 7 -> null
              TaskCompleted 3 -> null
              TaskCompensated /do/0/a
              InstanceFaulted runtime 500 at /do/1/b: the worker gave no reason
              => unsubscribe 5.0 in t/cb98
              => to i.6.1 as i.6.1/cancel: cancel, and undo
        "#]],
    );
}

#[test]
fn an_instance_that_ends_well_undoes_nothing() {
    check(
        SAGA,
        "start {\"id\":7}\ncomplete 1.1 1\ncomplete 2.1 5\nstate\ncomplete 3.1\nstate",
        expect![[r#"
            > start {"id":7}
              InstanceStarted
              TaskStarted 1 in 0 /do/0/reserve Call reserve
              TaskDispatched 1.1
              => default: 1.1 reserve attempt 1 key i#/do/0/reserve {"id":7}
            > complete 1.1 1
              TaskCompleted 1 -> 1
              CompensationAdded in 0 /do/0/reserve {"id":7}
              TaskStarted 2 in 0 /do/1/charge Call charge
              TaskDispatched 2.1
              => default: 2.1 charge attempt 1 key i#/do/1/charge 1
            > complete 2.1 5
              TaskCompleted 2 -> {"charged":5} context {"seen":5}
              CompensationAdded in 0 /do/1/charge 1
              TaskStarted 3 in 0 /do/2/ship Call ship
              TaskDispatched 3.1
              => default: 3.1 ship attempt 1 key i#/do/2/ship {"charged":5}
            = running context {"seen":5}
            =   0 /do [] attempt 1: Sequence { data: {"charged":5}, jumps: 0 }
            =   3 /do/2/ship [] attempt 1: Calling { queue: "default", function: "ship", arguments: None, deadline: None, dispatch: 1 }
            =   undo /do/0/reserve: {"id":7} -> 1
            =   undo /do/1/charge: 1 -> {"charged":5}
            > complete 3.1
              TaskCompleted 3 -> null
              InstanceCompleted null
            = completed null context null
        "#]],
    );
}

#[test]
fn a_cancel_undoes_if_it_says_so() {
    check(
        SAGA,
        "start {\"id\":7}\ncomplete 1.1 1\nundo enough\nundo\ncomplete 4.1\nstate",
        expect![[r#"
        > start {"id":7}
          InstanceStarted
          TaskStarted 1 in 0 /do/0/reserve Call reserve
          TaskDispatched 1.1
          => default: 1.1 reserve attempt 1 key i#/do/0/reserve {"id":7}
        > complete 1.1 1
          TaskCompleted 1 -> 1
          CompensationAdded in 0 /do/0/reserve {"id":7}
          TaskStarted 2 in 0 /do/1/charge Call charge
          TaskDispatched 2.1
          => default: 2.1 charge attempt 1 key i#/do/1/charge 1
        > undo enough
          CompensationStarted, will be cancelled
          TaskStarted 3 in 0 /do/0/reserve/metadata/millrace/compensate Sequence input {"input":{"id":7},"output":1}
          TaskStarted 4 in 3 /do/0/reserve/metadata/millrace/compensate/0/release Call release with {"held":1,"of":7}
          TaskDispatched 4.1
          => default: 4.1 release attempt 1 key i#/do/0/reserve/metadata/millrace/compensate/0/release {"held":1,"of":7}
        > undo
          rejected: instance i undoes already what it has done; if it stands still, retry or skip what failed, or cancel it without compensation
        > complete 4.1
          TaskCompleted 4 -> null
          TaskCompleted 3 -> null
          TaskCompensated /do/0/reserve
          InstanceCancelled
        = cancelled context null
    "#]],
    );
}

#[test]
fn a_cancel_without_a_word_of_it_undoes_nothing_as_does_one_with_nothing_to_undo() {
    check(
        SAGA,
        "start {\"id\":7}\nundo\nstart",
        expect![[r#"
        > start {"id":7}
          InstanceStarted
          TaskStarted 1 in 0 /do/0/reserve Call reserve
          TaskDispatched 1.1
          => default: 1.1 reserve attempt 1 key i#/do/0/reserve {"id":7}
        > undo
          InstanceCancelled
        > start
          rejected: instance i exists already (cancelled); a start is idempotent, nothing was done
    "#]],
    );
}

#[test]
fn a_cancel_without_compensation_ends_an_instance_that_undoes() {
    check(
        SAGA,
        "start {\"id\":7}\ncomplete 1.1 1\nfail 2.1\ncancel leave it\nstate",
        expect![[r#"
        > start {"id":7}
          InstanceStarted
          TaskStarted 1 in 0 /do/0/reserve Call reserve
          TaskDispatched 1.1
          => default: 1.1 reserve attempt 1 key i#/do/0/reserve {"id":7}
        > complete 1.1 1
          TaskCompleted 1 -> 1
          CompensationAdded in 0 /do/0/reserve {"id":7}
          TaskStarted 2 in 0 /do/1/charge Call charge
          TaskDispatched 2.1
          => default: 2.1 charge attempt 1 key i#/do/1/charge 1
        > fail 2.1
          TaskFaulted 2 /do/1/charge communication 500 at /do/1/charge: the worker gave no reason
          CompensationStarted, will fault: communication 500 at /do/1/charge: the worker gave no reason
          TaskStarted 3 in 0 /do/0/reserve/metadata/millrace/compensate Sequence input {"input":{"id":7},"output":1}
          TaskStarted 4 in 3 /do/0/reserve/metadata/millrace/compensate/0/release Call release with {"held":1,"of":7}
          TaskDispatched 4.1
          => default: 4.1 release attempt 1 key i#/do/0/reserve/metadata/millrace/compensate/0/release {"held":1,"of":7}
        > cancel leave it
          InstanceCancelled
        = cancelled context null
    "#]],
    );
}

#[test]
fn what_undoes_a_task_waits_while_the_instance_is_suspended() {
    check(
        SAGA,
        "start {\"id\":7}\ncomplete 1.1 1\nsuspend\nundo\nsuspend\ncomplete 4.1\nresume",
        expect![[r#"
            > start {"id":7}
              InstanceStarted
              TaskStarted 1 in 0 /do/0/reserve Call reserve
              TaskDispatched 1.1
              => default: 1.1 reserve attempt 1 key i#/do/0/reserve {"id":7}
            > complete 1.1 1
              TaskCompleted 1 -> 1
              CompensationAdded in 0 /do/0/reserve {"id":7}
              TaskStarted 2 in 0 /do/1/charge Call charge
              TaskDispatched 2.1
              => default: 2.1 charge attempt 1 key i#/do/1/charge 1
            > suspend
              InstanceSuspended
            > undo
              CompensationStarted, will be cancelled
              TaskStarted 3 in 0 /do/0/reserve/metadata/millrace/compensate Sequence input {"input":{"id":7},"output":1}
              TaskStarted 4 in 3 /do/0/reserve/metadata/millrace/compensate/0/release Call release with {"held":1,"of":7}
              TaskDispatched 4.1
              => default: 4.1 release attempt 1 key i#/do/0/reserve/metadata/millrace/compensate/0/release {"held":1,"of":7}
            > suspend
              InstanceSuspended
            > complete 4.1
              CommandDeferred complete_task
            > resume
              InstanceResumed
              DeferredCommandTaken
              TaskCompleted 4 -> null
              TaskCompleted 3 -> null
              TaskCompensated /do/0/reserve
              InstanceCancelled
        "#]],
    );
}

/// What fails in it, and nothing catches, waits for somebody.
#[test]
fn what_fails_while_it_undoes_is_an_incident() {
    check(
        SAGA,
        "start {\"id\":7}\ncomplete 1.1 1\nfail 2.1\nfail 4.1\nstate\nfail 4.1\nresume\nfail 5.1\nretry /do/0/reserve/metadata/millrace/compensate/0/release {\"output\":2,\"input\":{\"id\":8}}\nfail 6.1\nskip /do/0/reserve/metadata/millrace/compensate/0/release",
        expect![[r#"
            > start {"id":7}
              InstanceStarted
              TaskStarted 1 in 0 /do/0/reserve Call reserve
              TaskDispatched 1.1
              => default: 1.1 reserve attempt 1 key i#/do/0/reserve {"id":7}
            > complete 1.1 1
              TaskCompleted 1 -> 1
              CompensationAdded in 0 /do/0/reserve {"id":7}
              TaskStarted 2 in 0 /do/1/charge Call charge
              TaskDispatched 2.1
              => default: 2.1 charge attempt 1 key i#/do/1/charge 1
            > fail 2.1
              TaskFaulted 2 /do/1/charge communication 500 at /do/1/charge: the worker gave no reason
              CompensationStarted, will fault: communication 500 at /do/1/charge: the worker gave no reason
              TaskStarted 3 in 0 /do/0/reserve/metadata/millrace/compensate Sequence input {"input":{"id":7},"output":1}
              TaskStarted 4 in 3 /do/0/reserve/metadata/millrace/compensate/0/release Call release with {"held":1,"of":7}
              TaskDispatched 4.1
              => default: 4.1 release attempt 1 key i#/do/0/reserve/metadata/millrace/compensate/0/release {"held":1,"of":7}
            > fail 4.1
              TaskHalted 4 in 3 /do/0/reserve/metadata/millrace/compensate/0/release communication 500 at /do/0/reserve/metadata/millrace/compensate/0/release: the worker gave no reason
              IncidentRaised compensation-failed: task /do/0/reserve/metadata/millrace/compensate/0/release failed, and nothing caught it: the worker gave no reason; retry it, perhaps with another input, skip it by giving its output, or cancel the instance, which leaves undone what is not undone yet
            = incident context null
            =   0 /do [] attempt 1: Sequence { data: 1, jumps: 0 }
            =   3 /do/0/reserve/metadata/millrace/compensate [] attempt 1: Sequence { data: {"input":{"id":7},"output":1}, jumps: 0 }
            =   undo /do/0/reserve: {"id":7} -> 1
            =   halted /do/0/reserve/metadata/millrace/compensate/0/release in 3
            =   compensating
            > fail 4.1
              rejected: task 4.1 is not open: answered twice, late, or cancelled
            > resume
              InstanceResumed
              TaskRetried in 3 /do/0/reserve/metadata/millrace/compensate/0/release by 
              TaskStarted 5 in 3 /do/0/reserve/metadata/millrace/compensate/0/release attempt 2 Call release with {"held":1,"of":7}
              TaskDispatched 5.1
              => default: 5.1 release attempt 2 key i#/do/0/reserve/metadata/millrace/compensate/0/release {"held":1,"of":7}
            > fail 5.1
              TaskHalted 5 in 3 /do/0/reserve/metadata/millrace/compensate/0/release communication 500 at /do/0/reserve/metadata/millrace/compensate/0/release: the worker gave no reason
              IncidentRaised compensation-failed: task /do/0/reserve/metadata/millrace/compensate/0/release failed, and nothing caught it: the worker gave no reason; retry it, perhaps with another input, skip it by giving its output, or cancel the instance, which leaves undone what is not undone yet
            > retry /do/0/reserve/metadata/millrace/compensate/0/release {"output":2,"input":{"id":8}}
              InstanceResumed
              TaskEdited in 3 /do/0/reserve/metadata/millrace/compensate/0/release by ann input {"output":2,"input":{"id":8}}
              TaskRetried in 3 /do/0/reserve/metadata/millrace/compensate/0/release by ann
              TaskStarted 6 in 3 /do/0/reserve/metadata/millrace/compensate/0/release attempt 3 Call release with {"held":2,"of":8}
              TaskDispatched 6.1
              => default: 6.1 release attempt 3 key i#/do/0/reserve/metadata/millrace/compensate/0/release {"held":2,"of":8}
            > fail 6.1
              TaskHalted 6 in 3 /do/0/reserve/metadata/millrace/compensate/0/release communication 500 at /do/0/reserve/metadata/millrace/compensate/0/release: the worker gave no reason
              IncidentRaised compensation-failed: task /do/0/reserve/metadata/millrace/compensate/0/release failed, and nothing caught it: the worker gave no reason; retry it, perhaps with another input, skip it by giving its output, or cancel the instance, which leaves undone what is not undone yet
            > skip /do/0/reserve/metadata/millrace/compensate/0/release
              InstanceResumed
              TaskSkipped in 3 /do/0/reserve/metadata/millrace/compensate/0/release by ann -> null
              TaskCompleted 3 -> null
              TaskCompensated /do/0/reserve
              InstanceFaulted communication 500 at /do/1/charge: the worker gave no reason
        "#]],
    );
}

#[test]
fn what_undoes_a_task_has_its_own_try() {
    check(
        "
do:
  - a: { call: a, metadata: { millrace: { compensate: [{ patiently: { try: [{ undo: { call: undo } }], catch: { retry: { delay: PT1S, limit: { attempt: { count: 1 } } }, do: [{ note: { set: '${ \"noted\" }' } }] } } }] } } }
  - b: { raise: { error: { type: 'https://x', status: 400 } } }
",
        "start\ncomplete 1.1 1\nfail 4.1\nfire 0\nfail 5.1",
        expect![[r#"
            > start
              InstanceStarted
              TaskStarted 1 in 0 /do/0/a Call a
              TaskDispatched 1.1
              => default: 1.1 a attempt 1 key i#/do/0/a null
            > complete 1.1 1
              TaskCompleted 1 -> 1
              CompensationAdded in 0 /do/0/a null
              TaskFaulted /do/1/b x 400 at /do/1/b: -
              CompensationStarted, will fault: x 400 at /do/1/b: -
              TaskStarted 2 in 0 /do/0/a/metadata/millrace/compensate Sequence input {"input":null,"output":1}
              TaskStarted 3 in 2 /do/0/a/metadata/millrace/compensate/0/patiently Trying
              TaskStarted 4 in 3 /do/0/a/metadata/millrace/compensate/0/patiently/try/0/undo Call undo
              TaskDispatched 4.1
              => default: 4.1 undo attempt 1 key i#/do/0/a/metadata/millrace/compensate/0/patiently/try/0/undo {"input":null,"output":1}
            > fail 4.1
              TaskFaulted 4 /do/0/a/metadata/millrace/compensate/0/patiently/try/0/undo communication 500 at /do/0/a/metadata/millrace/compensate/0/patiently/try/0/undo: the worker gave no reason
              RetryScheduled 3 timer 0 at 1000
            > fire 0
              TimerCleared 0
              RetryStarted 3
              TaskStarted 5 in 3 /do/0/a/metadata/millrace/compensate/0/patiently/try/0/undo attempt 2 Call undo
              TaskDispatched 5.1
              => default: 5.1 undo attempt 2 key i#/do/0/a/metadata/millrace/compensate/0/patiently/try/0/undo {"input":null,"output":1}
            > fail 5.1
              TaskFaulted 5 /do/0/a/metadata/millrace/compensate/0/patiently/try/0/undo communication 500 at /do/0/a/metadata/millrace/compensate/0/patiently/try/0/undo: the worker gave no reason
              ErrorCaught 3 communication 500 at /do/0/a/metadata/millrace/compensate/0/patiently/try/0/undo: the worker gave no reason
              TaskRan in 3 /do/0/a/metadata/millrace/compensate/0/patiently/catch/do/0/note -> "noted"
              TaskCompleted 3 -> "noted"
              TaskCompleted 2 -> "noted"
              TaskCompensated /do/0/a
              InstanceFaulted x 400 at /do/1/b: -
        "#]],
    );
}

#[test]
fn tasks_count_wherever_they_stood() {
    check(
        "
do:
  - each:
      for: { in: '[1, 2]' }
      do:
        - both: { fork: { branches: [{ a: { set: '${ $item }', metadata: { millrace: { compensate: [{ undo: { set: '${ .output }' } }] } } } }, { b: { call: b } }] } }
        - tries: { try: [{ c: { set: '${ $index }', metadata: { millrace: { compensate: [{ undo: { set: '${ .output }' } }] } } } }, { fails: { raise: { error: { type: 'https://x', status: 400 } } } }], catch: { do: [{ go: { set: '${ \"on\" }' } }] } }
",
        "start\ncomplete 3.1\nfail 6.1",
        expect![[r#"
            > start
              InstanceStarted
              TaskStarted 1 in 0 /do/0/each Loop [1,2]
              TaskStarted 2 in 1 /do/0/each/do/0/both [0] Branches 2
              TaskRan in 2 /do/0/each/do/0/both/fork/branches/0/a [0] -> 1
              CompensationAdded in 2 /do/0/each/do/0/both/fork/branches/0/a [0] null
              TaskStarted 3 in 2 /do/0/each/do/0/both/fork/branches/1/b [0] Call b
              TaskDispatched 3.1
              => default: 3.1 b attempt 1 key i#/do/0/each/do/0/both/fork/branches/1/b#0 null
            > complete 3.1
              TaskCompleted 3 -> null
              TaskCompleted 2 -> [1,null]
              TaskStarted 4 in 1 /do/0/each/do/1/tries [0] Trying
              TaskRan in 4 /do/0/each/do/1/tries/try/0/c [0] -> 0
              CompensationAdded in 4 /do/0/each/do/1/tries/try/0/c [0] [1,null]
              TaskFaulted /do/0/each/do/1/tries/try/1/fails x 400 at /do/0/each/do/1/tries/try/1/fails: -
              ErrorCaught 4 x 400 at /do/0/each/do/1/tries/try/1/fails: -
              TaskRan in 4 /do/0/each/do/1/tries/catch/do/0/go [0] -> "on"
              TaskCompleted 4 -> "on"
              IterationStarted 1 [1]
              TaskStarted 5 in 1 /do/0/each/do/0/both [1] Branches 2
              TaskRan in 5 /do/0/each/do/0/both/fork/branches/0/a [1] -> 2
              CompensationAdded in 5 /do/0/each/do/0/both/fork/branches/0/a [1] "on"
              TaskStarted 6 in 5 /do/0/each/do/0/both/fork/branches/1/b [1] Call b
              TaskDispatched 6.1
              => default: 6.1 b attempt 1 key i#/do/0/each/do/0/both/fork/branches/1/b#1 "on"
            > fail 6.1
              TaskFaulted 6 /do/0/each/do/0/both/fork/branches/1/b communication 500 at /do/0/each/do/0/both/fork/branches/1/b: the worker gave no reason
              TaskFaulted 5 /do/0/each/do/0/both communication 500 at /do/0/each/do/0/both/fork/branches/1/b: the worker gave no reason
              TaskFaulted 1 /do/0/each communication 500 at /do/0/each/do/0/both/fork/branches/1/b: the worker gave no reason
              CompensationStarted, will fault: communication 500 at /do/0/each/do/0/both/fork/branches/1/b: the worker gave no reason
              TaskStarted 7 in 0 /do/0/each/do/0/both/fork/branches/0/a/metadata/millrace/compensate [1] Sequence input {"input":"on","output":2}
              TaskRan in 7 /do/0/each/do/0/both/fork/branches/0/a/metadata/millrace/compensate/0/undo [1] -> 2
              TaskCompleted 7 -> 2
              TaskCompensated /do/0/each/do/0/both/fork/branches/0/a [1]
              TaskStarted 8 in 0 /do/0/each/do/1/tries/try/0/c/metadata/millrace/compensate [0] Sequence input {"input":[1,null],"output":0}
              TaskRan in 8 /do/0/each/do/1/tries/try/0/c/metadata/millrace/compensate/0/undo [0] -> 0
              TaskCompleted 8 -> 0
              TaskCompensated /do/0/each/do/1/tries/try/0/c [0]
              TaskStarted 9 in 0 /do/0/each/do/0/both/fork/branches/0/a/metadata/millrace/compensate [0] Sequence input {"input":null,"output":1}
              TaskRan in 9 /do/0/each/do/0/both/fork/branches/0/a/metadata/millrace/compensate/0/undo [0] -> 1
              TaskCompleted 9 -> 1
              TaskCompensated /do/0/each/do/0/both/fork/branches/0/a [0]
              InstanceFaulted communication 500 at /do/0/each/do/0/both/fork/branches/1/b: the worker gave no reason
        "#]],
    );
}

/// They have one idempotency key, so they were one thing.
#[test]
fn attempts_of_one_task_are_undone_once() {
    check(
        "
do:
  - t: { try: [{ a: { call: a, metadata: { millrace: { compensate: [{ undo: { call: undo, with: { it: '${ .output }' } } }] } } } }, { b: { call: b } }], catch: { retry: { delay: PT1S, limit: { attempt: { count: 1 } } }, do: [{ c: { raise: { error: { type: 'https://x', status: 400 } } } }] } }
",
        "start\ncomplete 2.1 1\nfail 3.1\nfire 0\ncomplete 4.1 2\nstate\nfail 5.1\ncomplete 7.1",
        expect![[r#"
            > start
              InstanceStarted
              TaskStarted 1 in 0 /do/0/t Trying
              TaskStarted 2 in 1 /do/0/t/try/0/a Call a
              TaskDispatched 2.1
              => default: 2.1 a attempt 1 key i#/do/0/t/try/0/a null
            > complete 2.1 1
              TaskCompleted 2 -> 1
              CompensationAdded in 1 /do/0/t/try/0/a null
              TaskStarted 3 in 1 /do/0/t/try/1/b Call b
              TaskDispatched 3.1
              => default: 3.1 b attempt 1 key i#/do/0/t/try/1/b 1
            > fail 3.1
              TaskFaulted 3 /do/0/t/try/1/b communication 500 at /do/0/t/try/1/b: the worker gave no reason
              RetryScheduled 1 timer 0 at 1000
            > fire 0
              TimerCleared 0
              RetryStarted 1
              TaskStarted 4 in 1 /do/0/t/try/0/a attempt 2 Call a
              TaskDispatched 4.1
              => default: 4.1 a attempt 2 key i#/do/0/t/try/0/a null
            > complete 4.1 2
              TaskCompleted 4 -> 2
              CompensationAdded again in 1 /do/0/t/try/0/a null
              TaskStarted 5 in 1 /do/0/t/try/1/b attempt 2 Call b
              TaskDispatched 5.1
              => default: 5.1 b attempt 2 key i#/do/0/t/try/1/b 2
            = running context null
            =   0 /do [] attempt 1: Sequence { data: null, jumps: 0 }
            =   1 /do/0/t [] attempt 2: Trying { data: 2, jumps: 0, retries: 1 }
            =   5 /do/0/t/try/1/b [] attempt 2: Calling { queue: "default", function: "b", arguments: None, deadline: None, dispatch: 1 }
            =   undo /do/0/t/try/0/a: null -> 2
            > fail 5.1
              TaskFaulted 5 /do/0/t/try/1/b communication 500 at /do/0/t/try/1/b: the worker gave no reason
              ErrorCaught 1 communication 500 at /do/0/t/try/1/b: the worker gave no reason
              TaskFaulted /do/0/t/catch/do/0/c x 400 at /do/0/t/catch/do/0/c: -
              TaskFaulted 1 /do/0/t x 400 at /do/0/t/catch/do/0/c: -
              CompensationStarted, will fault: x 400 at /do/0/t/catch/do/0/c: -
              TaskStarted 6 in 0 /do/0/t/try/0/a/metadata/millrace/compensate Sequence input {"input":null,"output":2}
              TaskStarted 7 in 6 /do/0/t/try/0/a/metadata/millrace/compensate/0/undo Call undo with {"it":2}
              TaskDispatched 7.1
              => default: 7.1 undo attempt 1 key i#/do/0/t/try/0/a/metadata/millrace/compensate/0/undo {"it":2}
            > complete 7.1
              TaskCompleted 7 -> null
              TaskCompleted 6 -> null
              TaskCompensated /do/0/t/try/0/a
              InstanceFaulted x 400 at /do/0/t/catch/do/0/c: -
        "#]],
    );
}

#[test]
fn the_timeout_of_the_workflow_undoes_too_and_then_no_longer_counts() {
    check(
        "
timeout: { after: PT10S }
do:
  - a: { call: a, metadata: { millrace: { compensate: [{ undo: { wait: PT1H } }] } } }
  - b: { call: b }
",
        "start\ncomplete 1.1 1\nfire 0\nfire 1",
        expect![[r#"
            > start
              InstanceStarted
              TimerSet 0 Timeout of 0 at 10000
              TaskStarted 1 in 0 /do/0/a Call a
              TaskDispatched 1.1
              => default: 1.1 a attempt 1 key i#/do/0/a null
            > complete 1.1 1
              TaskCompleted 1 -> 1
              CompensationAdded in 0 /do/0/a null
              TaskStarted 2 in 0 /do/1/b Call b
              TaskDispatched 2.1
              => default: 2.1 b attempt 1 key i#/do/1/b 1
            > fire 0
              TaskCancelled 2
              CompensationStarted, will fault: timeout 408 at /do: the workflow did not end by 1970-01-01T00:00:10Z; it was entered at 1970-01-01T00:00:00Z
              TaskStarted 3 in 0 /do/0/a/metadata/millrace/compensate Sequence input {"input":null,"output":1}
              TaskStarted 4 in 3 /do/0/a/metadata/millrace/compensate/0/undo Waiting
              TimerSet 1 Wait of 4 at 3610000
            > fire 1
              TaskCompleted 4 -> {"input":null,"output":1}
              TaskCompleted 3 -> {"input":null,"output":1}
              TaskCompensated /do/0/a
              InstanceFaulted timeout 408 at /do: the workflow did not end by 1970-01-01T00:00:10Z; it was entered at 1970-01-01T00:00:00Z
        "#]],
    );
}

#[test]
fn the_end_in_what_undoes_a_task_is_the_end_of_that() {
    check(
        "
do:
  - a: { set: '${ 1 }', metadata: { millrace: { compensate: [{ first: { do: [{ x: { set: '${ \"x\" }', then: end } }] } }, { never: { set: '${ \"y\" }' } }] } } }
  - b: { set: '${ 2 }', metadata: { millrace: { compensate: [{ only: { set: '${ \"z\" }', then: exit } }, { never: { set: '${ \"y\" }' } }] } } }
  - c: { raise: { error: { type: 'https://x', status: 400 } } }
",
        "start",
        expect![[r#"
            > start
              InstanceStarted
              TaskRan in 0 /do/0/a -> 1
              CompensationAdded in 0 /do/0/a null
              TaskRan in 0 /do/1/b -> 2
              CompensationAdded in 0 /do/1/b 1
              TaskFaulted /do/2/c x 400 at /do/2/c: -
              CompensationStarted, will fault: x 400 at /do/2/c: -
              TaskStarted 1 in 0 /do/1/b/metadata/millrace/compensate Sequence input {"input":1,"output":2}
              TaskRan in 1 /do/1/b/metadata/millrace/compensate/0/only -> "z"
              TaskCompleted 1 -> "z"
              TaskCompensated /do/1/b
              TaskStarted 2 in 0 /do/0/a/metadata/millrace/compensate Sequence input {"input":null,"output":1}
              TaskStarted 3 in 2 /do/0/a/metadata/millrace/compensate/0/first Sequence
              TaskRan in 3 /do/0/a/metadata/millrace/compensate/0/first/do/0/x -> "x"
              TaskCompleted 2 -> "x"
              TaskCompensated /do/0/a
              InstanceFaulted x 400 at /do/2/c: -
        "#]],
    );
}

#[test]
fn a_child_that_ended_well_is_undone_by_its_parent_and_an_open_one_undoes_itself() {
    check(
        "
do:
  - both: { fork: { branches: [{ a: { run: { workflow: { namespace: shop, name: pay, version: '1.0.0' } }, metadata: { millrace: { compensate: [{ undo: { run: { workflow: { namespace: shop, name: refund, version: '1.0.0' }, await: true } } }] } } } }, { b: { run: { workflow: { namespace: shop, name: ship, version: '1.0.0' } } } }, { c: { call: c } }] } }
",
        "start\ncomplete 2.1 1\nfail 4.1\ncomplete 6.1",
        expect![[r#"
            > start
              InstanceStarted
              TaskStarted 1 in 0 /do/0/both Branches 3
              TaskStarted 2 in 1 /do/0/both/fork/branches/0/a Call shop/pay/1.0.0 with {}
              TaskDispatched 2.1
              TaskStarted 3 in 1 /do/0/both/fork/branches/1/b Call shop/ship/1.0.0 with {}
              TaskDispatched 3.1
              TaskStarted 4 in 1 /do/0/both/fork/branches/2/c Call c
              TaskDispatched 4.1
              => to i.2.1 as i.2.1/start: start shop/pay/1.0.0 {} for i 2.1
              => to i.3.1 as i.3.1/start: start shop/ship/1.0.0 {} for i 3.1
              => default: 4.1 c attempt 1 key i#/do/0/both/fork/branches/2/c null
            > complete 2.1 1
              TaskCompleted 2 -> 1
              CompensationAdded in 1 /do/0/both/fork/branches/0/a null
            > fail 4.1
              TaskFaulted 4 /do/0/both/fork/branches/2/c communication 500 at /do/0/both/fork/branches/2/c: the worker gave no reason
              TaskCancelled 3
              TaskFaulted 1 /do/0/both communication 500 at /do/0/both/fork/branches/2/c: the worker gave no reason
              CompensationStarted, will fault: communication 500 at /do/0/both/fork/branches/2/c: the worker gave no reason
              TaskStarted 5 in 0 /do/0/both/fork/branches/0/a/metadata/millrace/compensate Sequence input {"input":null,"output":1}
              TaskStarted 6 in 5 /do/0/both/fork/branches/0/a/metadata/millrace/compensate/0/undo Call shop/refund/1.0.0 with {}
              TaskDispatched 6.1
              => to i.3.1 as i.3.1/cancel: cancel, and undo
              => to i.6.1 as i.6.1/start: start shop/refund/1.0.0 {} for i 6.1
            > complete 6.1
              TaskCompleted 6 -> null
              TaskCompleted 5 -> null
              TaskCompensated /do/0/both/fork/branches/0/a
              InstanceFaulted communication 500 at /do/0/both/fork/branches/2/c: the worker gave no reason
        "#]],
    );
}

#[test]
fn a_child_that_its_parent_cancels_undoes_what_it_has_done_and_does_not_answer() {
    let mut conversation = Conversation::new(program(SAGA));
    conversation.instance = Instance::absent(InstanceId::new("parent.3.1").unwrap());
    conversation.run("child {\"id\":7}\ncomplete 1.1 1");
    let mut cancel = conversation.address(Command::Cancel { reason: String::new(), compensate: true });
    cancel.cause.source = INSTANCE_SOURCE.to_owned();
    conversation.send(&cancel).unwrap();
    let out = conversation.run("complete 4.1");
    assert!(out.ends_with("InstanceCancelled\n"), "{out}");
}

#[test]
fn a_child_answers_when_all_is_undone() {
    check(
        SAGA,
        "child {\"id\":7}\ncomplete 1.1 1\nfail 2.1 {\"detail\":\"no cover\"}\ncomplete 4.1",
        expect![[r#"
            > child {"id":7}
              InstanceStarted
              TaskStarted 1 in 0 /do/0/reserve Call reserve
              TaskDispatched 1.1
              => default: 1.1 reserve attempt 1 key i#/do/0/reserve {"id":7}
            > complete 1.1 1
              TaskCompleted 1 -> 1
              CompensationAdded in 0 /do/0/reserve {"id":7}
              TaskStarted 2 in 0 /do/1/charge Call charge
              TaskDispatched 2.1
              => default: 2.1 charge attempt 1 key i#/do/1/charge 1
            > fail 2.1 {"detail":"no cover"}
              TaskFaulted 2 /do/1/charge communication 500 at /do/1/charge: no cover
              CompensationStarted, will fault: communication 500 at /do/1/charge: no cover
              TaskStarted 3 in 0 /do/0/reserve/metadata/millrace/compensate Sequence input {"input":{"id":7},"output":1}
              TaskStarted 4 in 3 /do/0/reserve/metadata/millrace/compensate/0/release Call release with {"held":1,"of":7}
              TaskDispatched 4.1
              => default: 4.1 release attempt 1 key i#/do/0/reserve/metadata/millrace/compensate/0/release {"held":1,"of":7}
            > complete 4.1
              TaskCompleted 4 -> null
              TaskCompleted 3 -> null
              TaskCompensated /do/0/reserve
              InstanceFaulted communication 500 at /do/1/charge: no cover
              => to parent as i/end: fail 3.1 communication 500 at /do/1/charge: no cover
        "#]],
    );
}

/// A record for each part.
#[test]
fn many_are_undone_in_several_records() {
    check(
        "
do:
  - each: { for: { in: '[range(12)]' }, do: [{ a: { set: '${ \"x\" * 20 }', metadata: { millrace: { compensate: [{ undo: { set: '${ 1 }' } }] } } } }] }
  - wait: { wait: PT1S }
  - b: { raise: { error: { type: 'https://x', status: 400 } } }
",
        "start\nlimit 1500\nfire 0\nfire 1\nfire 2\nfire 3",
        expect![[r#"
            > start
              InstanceStarted
              TaskStarted 1 in 0 /do/0/each Loop [0,1,2,3,4,5,6,7,8,9,10,11]
              TaskRan in 1 /do/0/each/do/0/a [0] -> "x*20"
              CompensationAdded in 1 /do/0/each/do/0/a [0] null
              IterationStarted 1 [1]
              TaskRan in 1 /do/0/each/do/0/a [1] -> "x*20"
              CompensationAdded in 1 /do/0/each/do/0/a [1] "x*20"
              IterationStarted 1 [2]
              TaskRan in 1 /do/0/each/do/0/a [2] -> "x*20"
              CompensationAdded in 1 /do/0/each/do/0/a [2] "x*20"
              IterationStarted 1 [3]
              TaskRan in 1 /do/0/each/do/0/a [3] -> "x*20"
              CompensationAdded in 1 /do/0/each/do/0/a [3] "x*20"
              IterationStarted 1 [4]
              TaskRan in 1 /do/0/each/do/0/a [4] -> "x*20"
              CompensationAdded in 1 /do/0/each/do/0/a [4] "x*20"
              IterationStarted 1 [5]
              TaskRan in 1 /do/0/each/do/0/a [5] -> "x*20"
              CompensationAdded in 1 /do/0/each/do/0/a [5] "x*20"
              IterationStarted 1 [6]
              TaskRan in 1 /do/0/each/do/0/a [6] -> "x*20"
              CompensationAdded in 1 /do/0/each/do/0/a [6] "x*20"
              IterationStarted 1 [7]
              TaskRan in 1 /do/0/each/do/0/a [7] -> "x*20"
              CompensationAdded in 1 /do/0/each/do/0/a [7] "x*20"
              IterationStarted 1 [8]
              TaskRan in 1 /do/0/each/do/0/a [8] -> "x*20"
              CompensationAdded in 1 /do/0/each/do/0/a [8] "x*20"
              IterationStarted 1 [9]
              TaskRan in 1 /do/0/each/do/0/a [9] -> "x*20"
              CompensationAdded in 1 /do/0/each/do/0/a [9] "x*20"
              IterationStarted 1 [10]
              TaskRan in 1 /do/0/each/do/0/a [10] -> "x*20"
              CompensationAdded in 1 /do/0/each/do/0/a [10] "x*20"
              IterationStarted 1 [11]
              TaskRan in 1 /do/0/each/do/0/a [11] -> "x*20"
              CompensationAdded in 1 /do/0/each/do/0/a [11] "x*20"
              TaskCompleted 1 -> "x*20"
              TaskStarted 2 in 0 /do/1/wait Waiting
              TimerSet 0 Wait of 2 at 1000
            > fire 0
              TaskCompleted 2 -> "x*20"
              TaskFaulted /do/2/b x 400 at /do/2/b: -
              CompensationStarted, will fault: x 400 at /do/2/b: -
              TaskStarted 3 in 0 /do/0/each/do/0/a/metadata/millrace/compensate [11] Sequence input {"input":"x*20","output":"x*20"}
              TaskRan in 3 /do/0/each/do/0/a/metadata/millrace/compensate/0/undo [11] -> 1
              TaskCompleted 3 -> 1
              TaskCompensated /do/0/each/do/0/a [11]
              TaskStarted 4 in 0 /do/0/each/do/0/a/metadata/millrace/compensate [10] Sequence input {"input":"x*20","output":"x*20"}
              TaskRan in 4 /do/0/each/do/0/a/metadata/millrace/compensate/0/undo [10] -> 1
              TaskCompleted 4 -> 1
              TaskCompensated /do/0/each/do/0/a [10]
              TaskStarted 5 in 0 /do/0/each/do/0/a/metadata/millrace/compensate [9] Sequence input {"input":"x*20","output":"x*20"}
              TaskRan in 5 /do/0/each/do/0/a/metadata/millrace/compensate/0/undo [9] -> 1
              TaskCompleted 5 -> 1
              TaskCompensated /do/0/each/do/0/a [9]
              TimerSet 1 Compensation of 0 at 1000
            > fire 1
              TimerCleared 1
              TaskStarted 6 in 0 /do/0/each/do/0/a/metadata/millrace/compensate [8] Sequence input {"input":"x*20","output":"x*20"}
              TaskRan in 6 /do/0/each/do/0/a/metadata/millrace/compensate/0/undo [8] -> 1
              TaskCompleted 6 -> 1
              TaskCompensated /do/0/each/do/0/a [8]
              TaskStarted 7 in 0 /do/0/each/do/0/a/metadata/millrace/compensate [7] Sequence input {"input":"x*20","output":"x*20"}
              TaskRan in 7 /do/0/each/do/0/a/metadata/millrace/compensate/0/undo [7] -> 1
              TaskCompleted 7 -> 1
              TaskCompensated /do/0/each/do/0/a [7]
              TaskStarted 8 in 0 /do/0/each/do/0/a/metadata/millrace/compensate [6] Sequence input {"input":"x*20","output":"x*20"}
              TaskRan in 8 /do/0/each/do/0/a/metadata/millrace/compensate/0/undo [6] -> 1
              TaskCompleted 8 -> 1
              TaskCompensated /do/0/each/do/0/a [6]
              TimerSet 2 Compensation of 0 at 1000
            > fire 2
              TimerCleared 2
              TaskStarted 9 in 0 /do/0/each/do/0/a/metadata/millrace/compensate [5] Sequence input {"input":"x*20","output":"x*20"}
              TaskRan in 9 /do/0/each/do/0/a/metadata/millrace/compensate/0/undo [5] -> 1
              TaskCompleted 9 -> 1
              TaskCompensated /do/0/each/do/0/a [5]
              TaskStarted 10 in 0 /do/0/each/do/0/a/metadata/millrace/compensate [4] Sequence input {"input":"x*20","output":"x*20"}
              TaskRan in 10 /do/0/each/do/0/a/metadata/millrace/compensate/0/undo [4] -> 1
              TaskCompleted 10 -> 1
              TaskCompensated /do/0/each/do/0/a [4]
              TaskStarted 11 in 0 /do/0/each/do/0/a/metadata/millrace/compensate [3] Sequence input {"input":"x*20","output":"x*20"}
              TaskRan in 11 /do/0/each/do/0/a/metadata/millrace/compensate/0/undo [3] -> 1
              TaskCompleted 11 -> 1
              TaskCompensated /do/0/each/do/0/a [3]
              TimerSet 3 Compensation of 0 at 1000
            > fire 3
              TimerCleared 3
              TaskStarted 12 in 0 /do/0/each/do/0/a/metadata/millrace/compensate [2] Sequence input {"input":"x*20","output":"x*20"}
              TaskRan in 12 /do/0/each/do/0/a/metadata/millrace/compensate/0/undo [2] -> 1
              TaskCompleted 12 -> 1
              TaskCompensated /do/0/each/do/0/a [2]
              TaskStarted 13 in 0 /do/0/each/do/0/a/metadata/millrace/compensate [1] Sequence input {"input":"x*20","output":"x*20"}
              TaskRan in 13 /do/0/each/do/0/a/metadata/millrace/compensate/0/undo [1] -> 1
              TaskCompleted 13 -> 1
              TaskCompensated /do/0/each/do/0/a [1]
              TaskStarted 14 in 0 /do/0/each/do/0/a/metadata/millrace/compensate [0] Sequence input {"input":null,"output":"x*20"}
              TaskRan in 14 /do/0/each/do/0/a/metadata/millrace/compensate/0/undo [0] -> 1
              TaskCompleted 14 -> 1
              TaskCompensated /do/0/each/do/0/a [0]
              InstanceFaulted x 400 at /do/2/b: -
        "#]],
    );
}

#[test]
fn past_the_bound_on_steps_there_are_as_many_to_undo() {
    check_within(
        Bounds { steps_max: 4, ..Bounds::default() },
        "
do:
  - a: { set: '${ 1 }', metadata: { millrace: { compensate: [{ one: { set: '${ 1 }' } }, { two: { set: '${ 2 }' } }, { three: { call: three } }] } } }
  - b: { set: '${ 2 }' }
  - c: { wait: PT1S }
  - d: { set: '${ 2 }' }
  - e: { set: '${ 2 }' }
",
        "start\nfire 0\ncomplete 3.1",
        expect![[r#"
            > start
              InstanceStarted
              TaskRan in 0 /do/0/a -> 1
              CompensationAdded in 0 /do/0/a null
              TaskRan in 0 /do/1/b -> 2
              TaskStarted 1 in 0 /do/2/c Waiting
              TimerSet 0 Wait of 1 at 1000
            > fire 0
              TaskCompleted 1 -> 2
              TaskRan in 0 /do/3/d -> 2
              CompensationStarted, will fault: runtime 500 at /do/4/e: the instance has entered 4 tasks, the most that one instance may enter (steps_max); split the work over several instances, or raise the bound
              TaskStarted 2 in 0 /do/0/a/metadata/millrace/compensate Sequence input {"input":null,"output":1}
              TaskRan in 2 /do/0/a/metadata/millrace/compensate/0/one -> 1
              TaskRan in 2 /do/0/a/metadata/millrace/compensate/1/two -> 2
              TaskStarted 3 in 2 /do/0/a/metadata/millrace/compensate/2/three Call three
              TaskDispatched 3.1
              => default: 3.1 three attempt 1 key i#/do/0/a/metadata/millrace/compensate/2/three 2
            > complete 3.1
              TaskCompleted 3 -> null
              TaskCompleted 2 -> null
              TaskCompensated /do/0/a
              InstanceFaulted runtime 500 at /do/4/e: the instance has entered 4 tasks, the most that one instance may enter (steps_max); split the work over several instances, or raise the bound
        "#]],
    );
}

#[test]
fn a_task_of_a_function_and_one_with_extensions_are_undone() {
    check(
        "
use:
  functions: { pay: { do: [{ charge: { call: charge, metadata: { millrace: { compensate: [{ refund: { call: refund } }] } } } }] } }
  extensions: [{ log: { extend: call, before: [{ note: { set: '${ \"noted\" }' } }] } }]
do:
  - pay: { call: pay, with: { cents: 5 }, metadata: { millrace: { compensate: [{ note: { set: '${ .input }' } }] } } }
  - b: { raise: { error: { type: 'https://x', status: 400 } } }
",
        "start {\"n\":1}\ncomplete 5.1 9\ncomplete 9.1",
        expect![[r#"
            > start {"n":1}
              InstanceStarted
              TaskStarted 1 in 0 /do/0/pay/extensions/0 Sequence
              TaskRan in 1 /do/0/pay/extensions/0/before/0/note -> "noted"
              TaskStarted 2 in 1 /do/0/pay Sequence input {"cents":5}
              TaskStarted 3 in 2 /do/0/pay/call/pay Sequence
              TaskStarted 4 in 3 /do/0/pay/call/pay/do/0/charge/extensions/0 Sequence
              TaskRan in 4 /do/0/pay/call/pay/do/0/charge/extensions/0/before/0/note -> "noted"
              TaskStarted 5 in 4 /do/0/pay/call/pay/do/0/charge Call charge input {"cents":5}
              TaskDispatched 5.1
              => default: 5.1 charge attempt 1 key i#/do/0/pay/call/pay/do/0/charge {"cents":5}
            > complete 5.1 9
              TaskCompleted 5 -> 9
              CompensationAdded in 4 /do/0/pay/call/pay/do/0/charge {"cents":5}
              TaskCompleted 4 -> 9
              TaskCompleted 3 -> 9
              TaskCompleted 2 -> 9
              CompensationAdded in 1 /do/0/pay {"cents":5}
              TaskCompleted 1 -> 9
              TaskFaulted /do/1/b x 400 at /do/1/b: -
              CompensationStarted, will fault: x 400 at /do/1/b: -
              TaskStarted 6 in 0 /do/0/pay/metadata/millrace/compensate Sequence input {"input":{"cents":5},"output":9}
              TaskRan in 6 /do/0/pay/metadata/millrace/compensate/0/note -> {"cents":5}
              TaskCompleted 6 -> {"cents":5}
              TaskCompensated /do/0/pay
              TaskStarted 7 in 0 /do/0/pay/call/pay/do/0/charge/metadata/millrace/compensate Sequence input {"input":{"cents":5},"output":9}
              TaskStarted 8 in 7 /do/0/pay/call/pay/do/0/charge/metadata/millrace/compensate/0/refund/extensions/0 Sequence
              TaskRan in 8 /do/0/pay/call/pay/do/0/charge/metadata/millrace/compensate/0/refund/extensions/0/before/0/note -> "noted"
              TaskStarted 9 in 8 /do/0/pay/call/pay/do/0/charge/metadata/millrace/compensate/0/refund Call refund input {"input":{"cents":5},"output":9}
              TaskDispatched 9.1
              => default: 9.1 refund attempt 1 key i#/do/0/pay/call/pay/do/0/charge/metadata/millrace/compensate/0/refund {"input":{"cents":5},"output":9}
            > complete 9.1
              TaskCompleted 9 -> null
              TaskCompleted 8 -> null
              TaskCompleted 7 -> null
              TaskCompensated /do/0/pay/call/pay/do/0/charge
              InstanceFaulted x 400 at /do/1/b: -
        "#]],
    );
}
