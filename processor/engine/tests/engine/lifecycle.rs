//! Lifecycle events.

use expect_test::expect;

use millrace_engine::Bounds;
use millrace_workflow::program::Lifecycle;

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
