//! Instances that start others, and are told of their ends.
#![allow(clippy::unwrap_used)]

use expect_test::expect;
use millrace_engine::{Instance, refused_start};
use millrace_schemas::command::Command;
use millrace_schemas::event::ParentTask;
use millrace_schemas::{InstanceId, WorkflowName};

use crate::conversation::{Conversation, check, program};

const ONE: &str = "
do:
  - ship: { run: { workflow: { namespace: shop, name: ship, version: '2.0.0', input: { order: '${ .id }' } } } }
  - done: { set: { tracking: '${ .code }' } }
";

#[test]
fn a_child_is_a_call_that_another_instance_answers() {
    check(
        ONE,
        "start {\"id\": 7}\ncomplete 1.1 {\"code\": \"x1\"}\ncomplete 1.1 {\"code\": \"x2\"}",
        expect![[r#"
            > start {"id": 7}
              InstanceStarted
              TaskStarted 1 in 0 /do/0/ship Call shop/ship/2.0.0 with {"order":7}
              TaskDispatched 1.1
              => to i.1.1 as i.1.1/start: start shop/ship/2.0.0 {"order":7} for i 1.1
            > complete 1.1 {"code": "x1"}
              TaskCompleted 1 -> {"code":"x1"}
              TaskRan in 0 /do/1/done -> {"tracking":"x1"}
              InstanceCompleted {"tracking":"x1"}
            > complete 1.1 {"code": "x2"}
              rejected: instance i has ended (completed); a complete_task has no effect
        "#]],
    );
}

#[test]
fn a_child_that_faults_is_an_error_of_its_task_and_is_tried_again_as_another_child() {
    check(
        "
do:
  - safe:
      try:
        - ship: { run: { workflow: { namespace: shop, name: ship, version: latest } } }
      catch: { retry: { delay: PT1S, limit: { attempt: { count: 1 } } } }
",
        "start\nfail 2.1 {\"type\": \"https://a.b/c\", \"status\": 500, \"detail\": \"no stock\"}\nfire 0\ncomplete 3.1 1",
        expect![[r#"
            > start
              InstanceStarted
              TaskStarted 1 in 0 /do/0/safe Trying
              TaskStarted 2 in 1 /do/0/safe/try/0/ship Call shop/ship with {}
              TaskDispatched 2.1
              => to i.2.1 as i.2.1/start: start shop/ship/newest {} for i 2.1
            > fail 2.1 {"type": "https://a.b/c", "status": 500, "detail": "no stock"}
              TaskFaulted 2 /do/0/safe/try/0/ship c 500 at /do/0/safe/try/0/ship: no stock
              RetryScheduled 1 timer 0 at 1000
            > fire 0
              TimerCleared 0
              RetryStarted 1
              TaskStarted 3 in 1 /do/0/safe/try/0/ship attempt 2 Call shop/ship with {}
              TaskDispatched 3.1
              => to i.3.1 as i.3.1/start: start shop/ship/newest {} for i 3.1
            > complete 3.1 1
              TaskCompleted 3 -> 1
              TaskCompleted 1 -> 1
              InstanceCompleted 1
        "#]],
    );
}

#[test]
fn nobody_waits_for_a_child_that_is_not_awaited() {
    check(
        "
do:
  - ship: { run: { workflow: { namespace: shop, name: ship, version: '1.0.0' }, await: false } }
  - later: { wait: PT1S }
",
        "start {\"id\": 7}\ncancel",
        expect![[r#"
            > start {"id": 7}
              InstanceStarted
              TaskStarted 1 in 0 /do/0/ship Call shop/ship/1.0.0 with {}
              TaskDispatched 1.1
              TaskCompleted 1 -> {"id":7}
              TaskStarted 2 in 0 /do/1/later Waiting
              TimerSet 0 Wait of 2 at 1000
              => to i.1.1 as i.1.1/start: start shop/ship/1.0.0 {}
            > cancel
              InstanceCancelled
        "#]],
    );
}

#[test]
fn what_ends_takes_its_children_with_it() {
    // A timeout, a lost race, a cancelled instance, and an end in another branch.
    check(
        "
do:
  - slow:
      try: [{ ship: { run: { workflow: { namespace: shop, name: ship, version: '1.0.0' } }, timeout: { after: PT5S } } }]
      catch: {}
  - race:
      fork:
        compete: true
        branches:
          - ours: { run: { workflow: { namespace: shop, name: ship, version: '1.0.0' } } }
          - theirs: { call: other }
  - last: { run: { workflow: { namespace: shop, name: ship, version: '1.0.0' } } }
",
        "start\nfire 0\ncomplete 5.1 1\ncancel enough",
        expect![[r#"
            > start
              InstanceStarted
              TaskStarted 1 in 0 /do/0/slow Trying
              TaskStarted 2 in 1 /do/0/slow/try/0/ship Call shop/ship/1.0.0 with {} by 5000
              TimerSet 0 Timeout of 2 at 5000
              TaskDispatched 2.1
              => to i.2.1 as i.2.1/start: start shop/ship/1.0.0 {} for i 2.1
            > fire 0
              TaskFaulted 2 /do/0/slow/try/0/ship timeout 408 at /do/0/slow/try/0/ship: /do/0/slow/try/0/ship did not end by 1970-01-01T00:00:05Z; it was entered at 1970-01-01T00:00:00Z
              ErrorCaught 1 timeout 408 at /do/0/slow/try/0/ship: /do/0/slow/try/0/ship did not end by 1970-01-01T00:00:05Z; it was entered at 1970-01-01T00:00:00Z
              TaskCompleted 1 -> null
              TaskStarted 3 in 0 /do/1/race Branches 2
              TaskStarted 4 in 3 /do/1/race/fork/branches/0/ours Call shop/ship/1.0.0 with {}
              TaskDispatched 4.1
              TaskStarted 5 in 3 /do/1/race/fork/branches/1/theirs Call other
              TaskDispatched 5.1
              => to i.2.1 as i.2.1/cancel: cancel, and undo
              => to i.4.1 as i.4.1/start: start shop/ship/1.0.0 {} for i 4.1
              => default: 5.1 other attempt 1 key i#/do/1/race/fork/branches/1/theirs null
            > complete 5.1 1
              TaskCompleted 5 -> 1
              TaskCancelled 4
              TaskCompleted 3 -> 1
              TaskStarted 6 in 0 /do/2/last Call shop/ship/1.0.0 with {}
              TaskDispatched 6.1
              => to i.4.1 as i.4.1/cancel: cancel, and undo
              => to i.6.1 as i.6.1/start: start shop/ship/1.0.0 {} for i 6.1
            > cancel enough
              InstanceCancelled
              => to i.6.1 as i.6.1/cancel: cancel
        "#]],
    );
}

#[test]
fn a_child_that_is_not_wanted_any_more_by_the_command_that_wanted_it_never_starts() {
    check(
        "
do:
  - both:
      fork:
        branches:
          - ours: { run: { workflow: { namespace: shop, name: ship, version: '1.0.0' } } }
          - fails: { raise: { error: { type: 'https://a.b/c', status: 500 } } }
",
        "start",
        expect![[r#"
            > start
              InstanceStarted
              TaskStarted 1 in 0 /do/0/both Branches 2
              TaskStarted 2 in 1 /do/0/both/fork/branches/0/ours Call shop/ship/1.0.0 with {}
              TaskDispatched 2.1
              TaskFaulted /do/0/both/fork/branches/1/fails c 500 at /do/0/both/fork/branches/1/fails: -
              TaskCancelled 2
              TaskFaulted 1 /do/0/both c 500 at /do/0/both/fork/branches/1/fails: -
              InstanceFaulted c 500 at /do/0/both/fork/branches/1/fails: -
        "#]],
    );
}

#[test]
fn a_parent_is_told_how_its_child_ended() {
    const CALL: &str = "do: [{ a: { call: x } }]";
    check(
        CALL,
        "child 1\ncomplete 1.1 {\"ok\": true}",
        expect![[r#"
        > child 1
          InstanceStarted
          TaskStarted 1 in 0 /do/0/a Call x
          TaskDispatched 1.1
          => default: 1.1 x attempt 1 key i#/do/0/a 1
        > complete 1.1 {"ok": true}
          TaskCompleted 1 -> {"ok":true}
          InstanceCompleted {"ok":true}
          => to parent as i/end: complete 3.1 {"ok":true}
    "#]],
    );
    check(
        CALL,
        "child 1\nfail 1.1 {\"type\": \"https://a.b/c\", \"status\": 409}",
        expect![[r#"
        > child 1
          InstanceStarted
          TaskStarted 1 in 0 /do/0/a Call x
          TaskDispatched 1.1
          => default: 1.1 x attempt 1 key i#/do/0/a 1
        > fail 1.1 {"type": "https://a.b/c", "status": 409}
          TaskFaulted 1 /do/0/a c 409 at /do/0/a: -
          InstanceFaulted c 409 at /do/0/a: -
          => to parent as i/end: fail 3.1 c 409 at /do/0/a: -
    "#]],
    );
    check(
        CALL,
        "child 1\ncancel by hand",
        expect![[r#"
        > child 1
          InstanceStarted
          TaskStarted 1 in 0 /do/0/a Call x
          TaskDispatched 1.1
          => default: 1.1 x attempt 1 key i#/do/0/a 1
        > cancel by hand
          InstanceCancelled
          => to parent as i/end: fail 3.1 for good runtime 500 at -: the child workflow was cancelled: by hand
    "#]],
    );
    // It asked for that itself, and waits for nothing.
    let mut conversation = Conversation::new(program(CALL));
    conversation.instance = Instance::absent(InstanceId::new("parent.3.1").unwrap());
    let out = conversation.run("child 1\nabandon");
    assert!(out.ends_with("> abandon\n  InstanceCancelled\n"), "{out}");
    check(
        "input: { schema: { document: { type: string } } }\ndo: [{ a: { call: x } }]",
        "child 1",
        expect![[r#"
            > child 1
              InstanceStarted
              InstanceFaulted validation 400 at /: input of the workflow: the value: 1 is not of type "string"
              => to parent as i/end: fail 3.1 validation 400 at /: input of the workflow: the value: 1 is not of type "string"
        "#]],
    );
}

#[test]
fn a_workflow_that_runs_itself_without_an_end_comes_to_one() {
    let text = "do: [{ again: { run: { workflow: { namespace: test, name: test, version: latest } } } }]";
    let mut id = "i".to_owned();
    let mut depth = 0;
    let fault = loop {
        let mut conversation = Conversation::new(program(text));
        conversation.instance = Instance::absent(InstanceId::new(&id).unwrap());
        let out = conversation.run("start");
        depth += 1;
        let Some(child) = out.split("=> to ").nth(1).and_then(|it| it.split(' ').next()) else { break out };
        id = child.to_owned();
        assert!(depth < 200, "{id}");
    };
    assert!(fault.contains("look for a workflow that runs itself without an end"), "{fault}");
    assert!(depth > 20, "{depth}");
}

#[test]
fn a_start_that_is_refused_is_told_unless_it_came_twice() {
    let child = InstanceId::new("p.3.1").unwrap();
    let parent = ParentTask { instance: InstanceId::new("p").unwrap(), token: "3.1".parse().unwrap() };
    let start = |parent: Option<ParentTask>| Command::Start {
        workflow: WorkflowName { namespace: "shop".into(), name: "ship".into() },
        version: None,
        input: serde_json::json!(1).into(),
        parent,
    };
    assert!(refused_start(&child, &start(Some(parent.clone())), None, "why").is_some());
    assert!(refused_start(&child, &start(None), None, "why").is_none(), "nobody waits");
    let mut there = Conversation::new(program("do: [{ a: { call: x } }]"));
    there.run("child 1");
    let state = there.instance.state();
    let theirs = state.unwrap().parent.clone().unwrap();
    assert!(refused_start(&child, &start(Some(theirs)), state, "why").is_none(), "it came twice");
    assert!(refused_start(&child, &start(Some(parent)), state, "why").is_some(), "the id is another's");
}

#[test]
fn nobody_is_cancelled_by_an_instance_that_is_not_its_parent() {
    // The instance `i` of a conversation is no child of `parent` 3.1, whatever it was started with.
    check(
        "do: [{ a: { call: x } }]",
        "child 1\nabandon",
        expect![[r#"
        > child 1
          InstanceStarted
          TaskStarted 1 in 0 /do/0/a Call x
          TaskDispatched 1.1
          => default: 1.1 x attempt 1 key i#/do/0/a 1
        > abandon
          rejected: instance i is nobody's child, and ends by itself
    "#]],
    );
    check(
        "do: [{ a: { call: x } }]",
        "start 1\nabandon",
        expect![[r#"
        > start 1
          InstanceStarted
          TaskStarted 1 in 0 /do/0/a Call x
          TaskDispatched 1.1
          => default: 1.1 x attempt 1 key i#/do/0/a 1
        > abandon
          rejected: instance i is nobody's child, and ends by itself
    "#]],
    );
}

#[test]
fn an_answer_of_a_child_that_is_too_large_fails_the_task_for_good() {
    check(
        ONE,
        "start {\"id\": 7}\nlimit 3000\ncomplete 1.1 x2500",
        expect![[r#"
            > start {"id": 7}
              InstanceStarted
              TaskStarted 1 in 0 /do/0/ship Call shop/ship/2.0.0 with {"order":7}
              TaskDispatched 1.1
              => to i.1.1 as i.1.1/start: start shop/ship/2.0.0 {"order":7} for i 1.1
            > complete 1.1 x2500
              TaskFaulted 1 /do/0/ship runtime 500 at /do/0/ship: task /do/1/done: a record of at least 3224 bytes, and 3000 are allowed (record_bytes_max); make the workflow shop/ship/2.0.0 give less, such as a reference to the data
              InstanceFaulted runtime 500 at /do/0/ship: task /do/1/done: a record of at least 3224 bytes, and 3000 are allowed (record_bytes_max); make the workflow shop/ship/2.0.0 give less, such as a reference to the data
        "#]],
    );
}

#[test]
fn answers_of_children_wait_for_a_resume_however_many_commands_do() {
    let mut conversation = Conversation::new(program(ONE));
    conversation.bounds.deferred_max = 1;
    let out = conversation.run("start {\"id\": 7}\nsuspend\nsignal a 1\nsignal b 2");
    assert!(out.contains("rejected: 1 commands wait already"), "{out}");
    let mut answer = conversation.address(Command::CompleteTask {
        token: "1.1".parse().unwrap(),
        output: serde_json::json!({ "code": 1 }).into(),
    });
    answer.cause.source = millrace_engine::INSTANCE_SOURCE.to_owned();
    assert!(conversation.send(&answer).is_ok());
    assert!(conversation.run("resume").contains("InstanceCompleted {\"tracking\":1}"));
}
