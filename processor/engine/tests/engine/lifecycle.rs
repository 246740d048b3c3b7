//! Lifecycle events.

use expect_test::expect;

use millrace_engine::Bounds;
use millrace_workflow::program::{Lifecycle, OnFault};

use crate::conversation::check_within;

#[test]
fn those_of_the_workflow_tell_how_the_instance_stands() {
    check_within(
        Bounds { lifecycle: Lifecycle::Workflow, ..Bounds::default() },
        "do: [{ a: { call: x } }]",
        "start 1\nsuspend\nresume\ncomplete 1.1 2",
        expect![[r#"
            > start 1
              InstanceStarted
              TaskStarted 1 in 0 /do/0/a Call x
              TaskDispatched 1.1
              => io.serverlessworkflow.workflow.started.v1 {"definition":{"namespace":"test","name":"flow","version":"1.0.0"},"startedAt":"1970-01-01T00:00:00Z","name":"i"}
              => default: 1.1 x attempt 1 key i#/do/0/a 1
            > suspend
              InstanceSuspended
              => io.serverlessworkflow.workflow.suspended.v1 {"suspendedAt":"1970-01-01T00:00:00Z","name":"i"}
            > resume
              InstanceResumed
              => io.serverlessworkflow.workflow.resumed.v1 {"resumedAt":"1970-01-01T00:00:00Z","name":"i"}
            > complete 1.1 2
              TaskCompleted 1 -> 2
              InstanceCompleted 2
              => io.serverlessworkflow.workflow.completed.v1 {"completedAt":"1970-01-01T00:00:00Z","output":2,"name":"i"}
        "#]],
    );
}

#[test]
fn those_of_tasks_tell_of_each_task() {
    check_within(
        Bounds { lifecycle: Lifecycle::Task, ..Bounds::default() },
        "do:
  - a: { set: { n: 1 } }
  - b:
      try: [{ c: { call: x } }]
      catch: { retry: { delay: PT1S, limit: { attempt: { count: 1 } } } }
",
        "start 1\nfail 2.1 {\"type\": \"https://a.b/c\", \"status\": 500}\nfire 0\nsuspend\ncancel",
        expect![[r#"
            > start 1
              InstanceStarted
              TaskRan in 0 /do/0/a -> {"n":1}
              TaskStarted 1 in 0 /do/1/b Trying
              TaskStarted 2 in 1 /do/1/b/try/0/c Call x
              TaskDispatched 2.1
              => io.serverlessworkflow.workflow.started.v1 {"definition":{"namespace":"test","name":"flow","version":"1.0.0"},"startedAt":"1970-01-01T00:00:00Z","name":"i"}
              => io.serverlessworkflow.task.created.v1 {"createdAt":"1970-01-01T00:00:00Z","workflow":"i","task":"/do/0/a"}
              => io.serverlessworkflow.task.started.v1 {"startedAt":"1970-01-01T00:00:00Z","workflow":"i","task":"/do/0/a"}
              => io.serverlessworkflow.task.completed.v1 {"completedAt":"1970-01-01T00:00:00Z","output":{"n":1},"workflow":"i","task":"/do/0/a"}
              => io.serverlessworkflow.task.created.v1 {"createdAt":"1970-01-01T00:00:00Z","workflow":"i","task":"/do/1/b"}
              => io.serverlessworkflow.task.started.v1 {"startedAt":"1970-01-01T00:00:00Z","workflow":"i","task":"/do/1/b"}
              => io.serverlessworkflow.task.created.v1 {"createdAt":"1970-01-01T00:00:00Z","workflow":"i","task":"/do/1/b/try/0/c"}
              => io.serverlessworkflow.task.started.v1 {"startedAt":"1970-01-01T00:00:00Z","workflow":"i","task":"/do/1/b/try/0/c"}
              => default: 2.1 x attempt 1 key i#/do/1/b/try/0/c {"n":1}
            > fail 2.1 {"type": "https://a.b/c", "status": 500}
              TaskFaulted 2 /do/1/b/try/0/c c 500 at /do/1/b/try/0/c: -
              RetryScheduled 1 timer 0 at 1000
              => io.serverlessworkflow.task.faulted.v1 {"faultedAt":"1970-01-01T00:00:00Z","error":{"type":"https://a.b/c","status":500,"instance":"/do/1/b/try/0/c"},"workflow":"i","task":"/do/1/b/try/0/c"}
            > fire 0
              TimerCleared 0
              RetryStarted 1
              TaskStarted 3 in 1 /do/1/b/try/0/c attempt 2 Call x
              TaskDispatched 3.1
              => io.serverlessworkflow.task.retried.v1 {"retriedAt":"1970-01-01T00:00:01Z","workflow":"i","task":"/do/1/b"}
              => io.serverlessworkflow.task.created.v1 {"createdAt":"1970-01-01T00:00:01Z","workflow":"i","task":"/do/1/b/try/0/c"}
              => io.serverlessworkflow.task.started.v1 {"startedAt":"1970-01-01T00:00:01Z","workflow":"i","task":"/do/1/b/try/0/c"}
              => default: 3.1 x attempt 2 key i#/do/1/b/try/0/c {"n":1}
            > suspend
              InstanceSuspended
              => io.serverlessworkflow.workflow.suspended.v1 {"suspendedAt":"1970-01-01T00:00:01Z","name":"i"}
              => io.serverlessworkflow.task.suspended.v1 {"suspendedAt":"1970-01-01T00:00:01Z","workflow":"i","task":"/do/1/b"}
              => io.serverlessworkflow.task.suspended.v1 {"suspendedAt":"1970-01-01T00:00:01Z","workflow":"i","task":"/do/1/b/try/0/c"}
            > cancel
              InstanceCancelled
              => io.serverlessworkflow.task.cancelled.v1 {"cancelledAt":"1970-01-01T00:00:01Z","workflow":"i","task":"/do/1/b"}
              => io.serverlessworkflow.task.cancelled.v1 {"cancelledAt":"1970-01-01T00:00:01Z","workflow":"i","task":"/do/1/b/try/0/c"}
              => io.serverlessworkflow.workflow.cancelled.v1 {"cancelledAt":"1970-01-01T00:00:01Z","name":"i"}
        "#]],
    );
}

#[test]
fn what_the_workflow_ends_from_within_is_completed_and_the_rest_is_cancelled() {
    check_within(
        Bounds { lifecycle: Lifecycle::Task, ..Bounds::default() },
        "
use: { extensions: [{ log: { extend: composite, before: [{ told: { set: { x: 1 } } }], after: [{ never: { set: { x: 2 } } }] } }] }
do:
  - both:
      fork:
        branches:
          - left: { call: x }
          - right: { do: [{ last: { set: { n: 1 }, then: end } }] }
",
        "start 1",
        expect![[r#"
            > start 1
              InstanceStarted
              TaskStarted 1 in 0 /do/0/both/extensions/0 Sequence
              TaskRan in 1 /do/0/both/extensions/0/before/0/told -> {"x":1}
              TaskStarted 2 in 1 /do/0/both Branches 2 input 1
              TaskStarted 3 in 2 /do/0/both/fork/branches/0/left Call x
              TaskDispatched 3.1
              TaskStarted 4 in 2 /do/0/both/fork/branches/1/right/extensions/0 Sequence
              TaskRan in 4 /do/0/both/fork/branches/1/right/extensions/0/before/0/told -> {"x":1}
              TaskStarted 5 in 4 /do/0/both/fork/branches/1/right Sequence input 1
              TaskRan in 5 /do/0/both/fork/branches/1/right/do/0/last -> {"n":1}
              InstanceCompleted {"n":1}
              => io.serverlessworkflow.workflow.started.v1 {"definition":{"namespace":"test","name":"flow","version":"1.0.0"},"startedAt":"1970-01-01T00:00:00Z","name":"i"}
              => io.serverlessworkflow.task.created.v1 {"createdAt":"1970-01-01T00:00:00Z","workflow":"i","task":"/do/0/both/extensions/0/before/0/told"}
              => io.serverlessworkflow.task.started.v1 {"startedAt":"1970-01-01T00:00:00Z","workflow":"i","task":"/do/0/both/extensions/0/before/0/told"}
              => io.serverlessworkflow.task.completed.v1 {"completedAt":"1970-01-01T00:00:00Z","output":{"x":1},"workflow":"i","task":"/do/0/both/extensions/0/before/0/told"}
              => io.serverlessworkflow.task.created.v1 {"createdAt":"1970-01-01T00:00:00Z","workflow":"i","task":"/do/0/both"}
              => io.serverlessworkflow.task.started.v1 {"startedAt":"1970-01-01T00:00:00Z","workflow":"i","task":"/do/0/both"}
              => io.serverlessworkflow.task.created.v1 {"createdAt":"1970-01-01T00:00:00Z","workflow":"i","task":"/do/0/both/fork/branches/0/left"}
              => io.serverlessworkflow.task.started.v1 {"startedAt":"1970-01-01T00:00:00Z","workflow":"i","task":"/do/0/both/fork/branches/0/left"}
              => io.serverlessworkflow.task.created.v1 {"createdAt":"1970-01-01T00:00:00Z","workflow":"i","task":"/do/0/both/fork/branches/1/right/extensions/0/before/0/told"}
              => io.serverlessworkflow.task.started.v1 {"startedAt":"1970-01-01T00:00:00Z","workflow":"i","task":"/do/0/both/fork/branches/1/right/extensions/0/before/0/told"}
              => io.serverlessworkflow.task.completed.v1 {"completedAt":"1970-01-01T00:00:00Z","output":{"x":1},"workflow":"i","task":"/do/0/both/fork/branches/1/right/extensions/0/before/0/told"}
              => io.serverlessworkflow.task.created.v1 {"createdAt":"1970-01-01T00:00:00Z","workflow":"i","task":"/do/0/both/fork/branches/1/right"}
              => io.serverlessworkflow.task.started.v1 {"startedAt":"1970-01-01T00:00:00Z","workflow":"i","task":"/do/0/both/fork/branches/1/right"}
              => io.serverlessworkflow.task.created.v1 {"createdAt":"1970-01-01T00:00:00Z","workflow":"i","task":"/do/0/both/fork/branches/1/right/do/0/last"}
              => io.serverlessworkflow.task.started.v1 {"startedAt":"1970-01-01T00:00:00Z","workflow":"i","task":"/do/0/both/fork/branches/1/right/do/0/last"}
              => io.serverlessworkflow.task.completed.v1 {"completedAt":"1970-01-01T00:00:00Z","output":{"n":1},"workflow":"i","task":"/do/0/both/fork/branches/1/right/do/0/last"}
              => io.serverlessworkflow.task.cancelled.v1 {"cancelledAt":"1970-01-01T00:00:00Z","workflow":"i","task":"/do/0/both/fork/branches/0/left"}
              => io.serverlessworkflow.task.completed.v1 {"completedAt":"1970-01-01T00:00:00Z","workflow":"i","task":"/do/0/both/fork/branches/1/right"}
              => io.serverlessworkflow.task.completed.v1 {"completedAt":"1970-01-01T00:00:00Z","workflow":"i","task":"/do/0/both"}
              => io.serverlessworkflow.workflow.completed.v1 {"completedAt":"1970-01-01T00:00:00Z","output":{"n":1},"name":"i"}
        "#]],
    );
}

#[test]
fn what_is_around_the_tasks_of_an_extension_is_no_task() {
    check_within(
        Bounds { lifecycle: Lifecycle::Task, ..Bounds::default() },
        "
use: { extensions: [{ log: { extend: set, before: [{ ahead: { set: { x: 1 } } }], after: [{ behind: { set: { x: 2 } } }] } }] }
do: [{ a: { set: { n: 1 } } }]
",
        "start 1",
        expect![[r#"
            > start 1
              InstanceStarted
              TaskStarted 1 in 0 /do/0/a/extensions/0 Sequence
              TaskRan in 1 /do/0/a/extensions/0/before/0/ahead -> {"x":1}
              TaskRan in 1 /do/0/a -> {"n":1}
              TaskStarted 2 in 1 /do/0/a/extensions/0/after Sequence
              TaskRan in 2 /do/0/a/extensions/0/after/0/behind -> {"x":2}
              TaskCompleted 2 -> {"n":1}
              TaskCompleted 1 -> {"n":1}
              InstanceCompleted {"n":1}
              => io.serverlessworkflow.workflow.started.v1 {"definition":{"namespace":"test","name":"flow","version":"1.0.0"},"startedAt":"1970-01-01T00:00:00Z","name":"i"}
              => io.serverlessworkflow.task.created.v1 {"createdAt":"1970-01-01T00:00:00Z","workflow":"i","task":"/do/0/a/extensions/0/before/0/ahead"}
              => io.serverlessworkflow.task.started.v1 {"startedAt":"1970-01-01T00:00:00Z","workflow":"i","task":"/do/0/a/extensions/0/before/0/ahead"}
              => io.serverlessworkflow.task.completed.v1 {"completedAt":"1970-01-01T00:00:00Z","output":{"x":1},"workflow":"i","task":"/do/0/a/extensions/0/before/0/ahead"}
              => io.serverlessworkflow.task.created.v1 {"createdAt":"1970-01-01T00:00:00Z","workflow":"i","task":"/do/0/a"}
              => io.serverlessworkflow.task.started.v1 {"startedAt":"1970-01-01T00:00:00Z","workflow":"i","task":"/do/0/a"}
              => io.serverlessworkflow.task.completed.v1 {"completedAt":"1970-01-01T00:00:00Z","output":{"n":1},"workflow":"i","task":"/do/0/a"}
              => io.serverlessworkflow.task.created.v1 {"createdAt":"1970-01-01T00:00:00Z","workflow":"i","task":"/do/0/a/extensions/0/after/0/behind"}
              => io.serverlessworkflow.task.started.v1 {"startedAt":"1970-01-01T00:00:00Z","workflow":"i","task":"/do/0/a/extensions/0/after/0/behind"}
              => io.serverlessworkflow.task.completed.v1 {"completedAt":"1970-01-01T00:00:00Z","output":{"x":2},"workflow":"i","task":"/do/0/a/extensions/0/after/0/behind"}
              => io.serverlessworkflow.workflow.completed.v1 {"completedAt":"1970-01-01T00:00:00Z","output":{"n":1},"name":"i"}
        "#]],
    );
}

#[test]
fn what_undoes_a_task_is_told_before_the_end() {
    check_within(
        Bounds { lifecycle: Lifecycle::Task, ..Bounds::default() },
        "
do:
  - a: { call: a, metadata: { millrace: { compensate: [{ undo: { call: undo } }] } } }
  - b: { call: b }
",
        "start 1\ncomplete 1.1 2\nsuspend\nundo enough\nfail 4.1\nretry\ncomplete 5.1",
        expect![[r#"
            > start 1
              InstanceStarted
              TaskStarted 1 in 0 /do/0/a Call a
              TaskDispatched 1.1
              => io.serverlessworkflow.workflow.started.v1 {"definition":{"namespace":"test","name":"flow","version":"1.0.0"},"startedAt":"1970-01-01T00:00:00Z","name":"i"}
              => io.serverlessworkflow.task.created.v1 {"createdAt":"1970-01-01T00:00:00Z","workflow":"i","task":"/do/0/a"}
              => io.serverlessworkflow.task.started.v1 {"startedAt":"1970-01-01T00:00:00Z","workflow":"i","task":"/do/0/a"}
              => default: 1.1 a attempt 1 key i#/do/0/a 1
            > complete 1.1 2
              TaskCompleted 1 -> 2
              CompensationAdded in 0 /do/0/a 1
              TaskStarted 2 in 0 /do/1/b Call b
              TaskDispatched 2.1
              => io.serverlessworkflow.task.completed.v1 {"completedAt":"1970-01-01T00:00:00Z","output":2,"workflow":"i","task":"/do/0/a"}
              => io.serverlessworkflow.task.created.v1 {"createdAt":"1970-01-01T00:00:00Z","workflow":"i","task":"/do/1/b"}
              => io.serverlessworkflow.task.started.v1 {"startedAt":"1970-01-01T00:00:00Z","workflow":"i","task":"/do/1/b"}
              => default: 2.1 b attempt 1 key i#/do/1/b 2
            > suspend
              InstanceSuspended
              => io.serverlessworkflow.workflow.suspended.v1 {"suspendedAt":"1970-01-01T00:00:00Z","name":"i"}
              => io.serverlessworkflow.task.suspended.v1 {"suspendedAt":"1970-01-01T00:00:00Z","workflow":"i","task":"/do/1/b"}
            > undo enough
              CompensationStarted, will be cancelled
              TaskStarted 3 in 0 /do/0/a/metadata/millrace/compensate Sequence input {"input":1,"output":2}
              TaskStarted 4 in 3 /do/0/a/metadata/millrace/compensate/0/undo Call undo
              TaskDispatched 4.1
              => io.serverlessworkflow.workflow.resumed.v1 {"resumedAt":"1970-01-01T00:00:00Z","name":"i"}
              => io.serverlessworkflow.task.cancelled.v1 {"cancelledAt":"1970-01-01T00:00:00Z","workflow":"i","task":"/do/1/b"}
              => io.serverlessworkflow.task.created.v1 {"createdAt":"1970-01-01T00:00:00Z","workflow":"i","task":"/do/0/a/metadata/millrace/compensate/0/undo"}
              => io.serverlessworkflow.task.started.v1 {"startedAt":"1970-01-01T00:00:00Z","workflow":"i","task":"/do/0/a/metadata/millrace/compensate/0/undo"}
              => default: 4.1 undo attempt 1 key i#/do/0/a/metadata/millrace/compensate/0/undo {"input":1,"output":2}
            > fail 4.1
              TaskHalted 4 in 3 /do/0/a/metadata/millrace/compensate/0/undo communication 500 at /do/0/a/metadata/millrace/compensate/0/undo: the worker gave no reason
              IncidentRaised compensation-failed: task /do/0/a/metadata/millrace/compensate/0/undo failed, and nothing caught it: the worker gave no reason; retry it, perhaps with another input, skip it by giving its output, or cancel the instance, which leaves undone what is not undone yet
              => io.serverlessworkflow.task.faulted.v1 {"faultedAt":"1970-01-01T00:00:00Z","error":{"type":"https://serverlessworkflow.io/spec/1.0.0/errors/communication","status":500,"instance":"/do/0/a/metadata/millrace/compensate/0/undo","title":"Communication Error","detail":"the worker gave no reason"},"workflow":"i","task":"/do/0/a/metadata/millrace/compensate/0/undo"}
              => io.serverlessworkflow.workflow.suspended.v1 {"suspendedAt":"1970-01-01T00:00:00Z","name":"i"}
            > retry
              InstanceResumed
              TaskRetried in 3 /do/0/a/metadata/millrace/compensate/0/undo by ann
              TaskStarted 5 in 3 /do/0/a/metadata/millrace/compensate/0/undo attempt 2 Call undo
              TaskDispatched 5.1
              => io.serverlessworkflow.workflow.resumed.v1 {"resumedAt":"1970-01-01T00:00:00Z","name":"i"}
              => io.serverlessworkflow.task.retried.v1 {"retriedAt":"1970-01-01T00:00:00Z","workflow":"i","task":"/do/0/a/metadata/millrace/compensate/0/undo"}
              => io.serverlessworkflow.task.created.v1 {"createdAt":"1970-01-01T00:00:00Z","workflow":"i","task":"/do/0/a/metadata/millrace/compensate/0/undo"}
              => io.serverlessworkflow.task.started.v1 {"startedAt":"1970-01-01T00:00:00Z","workflow":"i","task":"/do/0/a/metadata/millrace/compensate/0/undo"}
              => default: 5.1 undo attempt 2 key i#/do/0/a/metadata/millrace/compensate/0/undo {"input":1,"output":2}
            > complete 5.1
              TaskCompleted 5 -> null
              TaskCompleted 3 -> null
              TaskCompensated /do/0/a
              InstanceCancelled
              => io.serverlessworkflow.task.completed.v1 {"completedAt":"1970-01-01T00:00:00Z","output":null,"workflow":"i","task":"/do/0/a/metadata/millrace/compensate/0/undo"}
              => io.serverlessworkflow.workflow.cancelled.v1 {"cancelledAt":"1970-01-01T00:00:00Z","name":"i"}
        "#]],
    );
}

#[test]
fn a_task_that_is_halted_has_faulted_and_is_retried_or_completes_when_it_is_skipped() {
    check_within(
        Bounds { lifecycle: Lifecycle::Task, on_fault: OnFault::Incident, ..Bounds::default() },
        "
do:
  - a: { do: [{ b: { call: b } }] }
  - c: { call: c }
",
        "start 1\nfail 2.1\nretry\nsuspend\nedit /do/0/a 2\nresume\nfail 5.1\nskip /do/0/a/do/0/b 3\nrestart /do/0/a 4\ncancel",
        expect![[r#"
            > start 1
              InstanceStarted
              TaskStarted 1 in 0 /do/0/a Sequence
              TaskStarted 2 in 1 /do/0/a/do/0/b Call b
              TaskDispatched 2.1
              => io.serverlessworkflow.workflow.started.v1 {"definition":{"namespace":"test","name":"flow","version":"1.0.0"},"startedAt":"1970-01-01T00:00:00Z","name":"i"}
              => io.serverlessworkflow.task.created.v1 {"createdAt":"1970-01-01T00:00:00Z","workflow":"i","task":"/do/0/a"}
              => io.serverlessworkflow.task.started.v1 {"startedAt":"1970-01-01T00:00:00Z","workflow":"i","task":"/do/0/a"}
              => io.serverlessworkflow.task.created.v1 {"createdAt":"1970-01-01T00:00:00Z","workflow":"i","task":"/do/0/a/do/0/b"}
              => io.serverlessworkflow.task.started.v1 {"startedAt":"1970-01-01T00:00:00Z","workflow":"i","task":"/do/0/a/do/0/b"}
              => default: 2.1 b attempt 1 key i#/do/0/a/do/0/b 1
            > fail 2.1
              TaskHalted 2 in 1 /do/0/a/do/0/b communication 500 at /do/0/a/do/0/b: the worker gave no reason
              IncidentRaised task-faulted: task /do/0/a/do/0/b failed, and nothing caught it: the worker gave no reason; retry it, perhaps with another input, skip it by giving its output, restart the instance from an earlier task, or cancel it
              => io.serverlessworkflow.task.faulted.v1 {"faultedAt":"1970-01-01T00:00:00Z","error":{"type":"https://serverlessworkflow.io/spec/1.0.0/errors/communication","status":500,"instance":"/do/0/a/do/0/b","title":"Communication Error","detail":"the worker gave no reason"},"workflow":"i","task":"/do/0/a/do/0/b"}
              => io.serverlessworkflow.workflow.suspended.v1 {"suspendedAt":"1970-01-01T00:00:00Z","name":"i"}
              => io.serverlessworkflow.task.suspended.v1 {"suspendedAt":"1970-01-01T00:00:00Z","workflow":"i","task":"/do/0/a"}
            > retry
              InstanceResumed
              TaskRetried in 1 /do/0/a/do/0/b by ann
              TaskStarted 3 in 1 /do/0/a/do/0/b attempt 2 Call b
              TaskDispatched 3.1
              => io.serverlessworkflow.workflow.resumed.v1 {"resumedAt":"1970-01-01T00:00:00Z","name":"i"}
              => io.serverlessworkflow.task.resumed.v1 {"resumedAt":"1970-01-01T00:00:00Z","workflow":"i","task":"/do/0/a"}
              => io.serverlessworkflow.task.retried.v1 {"retriedAt":"1970-01-01T00:00:00Z","workflow":"i","task":"/do/0/a/do/0/b"}
              => io.serverlessworkflow.task.created.v1 {"createdAt":"1970-01-01T00:00:00Z","workflow":"i","task":"/do/0/a/do/0/b"}
              => io.serverlessworkflow.task.started.v1 {"startedAt":"1970-01-01T00:00:00Z","workflow":"i","task":"/do/0/a/do/0/b"}
              => default: 3.1 b attempt 2 key i#/do/0/a/do/0/b 1
            > suspend
              InstanceSuspended
              => io.serverlessworkflow.workflow.suspended.v1 {"suspendedAt":"1970-01-01T00:00:00Z","name":"i"}
              => io.serverlessworkflow.task.suspended.v1 {"suspendedAt":"1970-01-01T00:00:00Z","workflow":"i","task":"/do/0/a"}
              => io.serverlessworkflow.task.suspended.v1 {"suspendedAt":"1970-01-01T00:00:00Z","workflow":"i","task":"/do/0/a/do/0/b"}
            > edit /do/0/a 2
              TaskEdited 1 in 0 /do/0/a by ann input 2
              => io.serverlessworkflow.task.cancelled.v1 {"cancelledAt":"1970-01-01T00:00:00Z","workflow":"i","task":"/do/0/a/do/0/b"}
              => io.serverlessworkflow.task.cancelled.v1 {"cancelledAt":"1970-01-01T00:00:00Z","workflow":"i","task":"/do/0/a"}
            > resume
              InstanceResumed
              TaskRetried in 0 /do/0/a by 
              TaskStarted 4 in 0 /do/0/a attempt 3 Sequence
              TaskStarted 5 in 4 /do/0/a/do/0/b attempt 3 Call b
              TaskDispatched 5.1
              => io.serverlessworkflow.workflow.resumed.v1 {"resumedAt":"1970-01-01T00:00:00Z","name":"i"}
              => io.serverlessworkflow.task.retried.v1 {"retriedAt":"1970-01-01T00:00:00Z","workflow":"i","task":"/do/0/a"}
              => io.serverlessworkflow.task.created.v1 {"createdAt":"1970-01-01T00:00:00Z","workflow":"i","task":"/do/0/a"}
              => io.serverlessworkflow.task.started.v1 {"startedAt":"1970-01-01T00:00:00Z","workflow":"i","task":"/do/0/a"}
              => io.serverlessworkflow.task.created.v1 {"createdAt":"1970-01-01T00:00:00Z","workflow":"i","task":"/do/0/a/do/0/b"}
              => io.serverlessworkflow.task.started.v1 {"startedAt":"1970-01-01T00:00:00Z","workflow":"i","task":"/do/0/a/do/0/b"}
              => default: 5.1 b attempt 3 key i#/do/0/a/do/0/b 2
            > fail 5.1
              TaskHalted 5 in 4 /do/0/a/do/0/b communication 500 at /do/0/a/do/0/b: the worker gave no reason
              IncidentRaised task-faulted: task /do/0/a/do/0/b failed, and nothing caught it: the worker gave no reason; retry it, perhaps with another input, skip it by giving its output, restart the instance from an earlier task, or cancel it
              => io.serverlessworkflow.task.faulted.v1 {"faultedAt":"1970-01-01T00:00:00Z","error":{"type":"https://serverlessworkflow.io/spec/1.0.0/errors/communication","status":500,"instance":"/do/0/a/do/0/b","title":"Communication Error","detail":"the worker gave no reason"},"workflow":"i","task":"/do/0/a/do/0/b"}
              => io.serverlessworkflow.workflow.suspended.v1 {"suspendedAt":"1970-01-01T00:00:00Z","name":"i"}
              => io.serverlessworkflow.task.suspended.v1 {"suspendedAt":"1970-01-01T00:00:00Z","workflow":"i","task":"/do/0/a"}
            > skip /do/0/a/do/0/b 3
              InstanceResumed
              TaskSkipped in 4 /do/0/a/do/0/b by ann -> 3
              TaskCompleted 4 -> 3
              TaskStarted 6 in 0 /do/1/c Call c
              TaskDispatched 6.1
              => io.serverlessworkflow.workflow.resumed.v1 {"resumedAt":"1970-01-01T00:00:00Z","name":"i"}
              => io.serverlessworkflow.task.resumed.v1 {"resumedAt":"1970-01-01T00:00:00Z","workflow":"i","task":"/do/0/a"}
              => io.serverlessworkflow.task.completed.v1 {"completedAt":"1970-01-01T00:00:00Z","output":3,"workflow":"i","task":"/do/0/a/do/0/b"}
              => io.serverlessworkflow.task.completed.v1 {"completedAt":"1970-01-01T00:00:00Z","output":3,"workflow":"i","task":"/do/0/a"}
              => io.serverlessworkflow.task.created.v1 {"createdAt":"1970-01-01T00:00:00Z","workflow":"i","task":"/do/1/c"}
              => io.serverlessworkflow.task.started.v1 {"startedAt":"1970-01-01T00:00:00Z","workflow":"i","task":"/do/1/c"}
              => default: 6.1 c attempt 1 key i#/do/1/c 3
            > restart /do/0/a 4
              InstanceRestarted in 0 /do/0/a by ann with 4
              TaskStarted 7 in 0 /do/0/a [!1] Sequence
              TaskStarted 8 in 7 /do/0/a/do/0/b [!1] Call b
              TaskDispatched 8.1
              => io.serverlessworkflow.task.cancelled.v1 {"cancelledAt":"1970-01-01T00:00:00Z","workflow":"i","task":"/do/1/c"}
              => io.serverlessworkflow.task.created.v1 {"createdAt":"1970-01-01T00:00:00Z","workflow":"i","task":"/do/0/a"}
              => io.serverlessworkflow.task.started.v1 {"startedAt":"1970-01-01T00:00:00Z","workflow":"i","task":"/do/0/a"}
              => io.serverlessworkflow.task.created.v1 {"createdAt":"1970-01-01T00:00:00Z","workflow":"i","task":"/do/0/a/do/0/b"}
              => io.serverlessworkflow.task.started.v1 {"startedAt":"1970-01-01T00:00:00Z","workflow":"i","task":"/do/0/a/do/0/b"}
              => default: 8.1 b attempt 1 key i#/do/0/a/do/0/b#!1 4
            > cancel
              InstanceCancelled
              => io.serverlessworkflow.task.cancelled.v1 {"cancelledAt":"1970-01-01T00:00:00Z","workflow":"i","task":"/do/0/a"}
              => io.serverlessworkflow.task.cancelled.v1 {"cancelledAt":"1970-01-01T00:00:00Z","workflow":"i","task":"/do/0/a/do/0/b"}
              => io.serverlessworkflow.workflow.cancelled.v1 {"cancelledAt":"1970-01-01T00:00:00Z","name":"i"}
        "#]],
    );
}
