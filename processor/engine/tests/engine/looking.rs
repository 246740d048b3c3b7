//! Search attributes and queries.
#![allow(clippy::unwrap_used)]

use expect_test::expect;
use millrace_engine::Instance;
use serde_json::json;

use crate::conversation::{Conversation, admit, check_program};

fn program(metadata: &str, body: &str) -> millrace_workflow::program::Program {
    admit(&format!(
        "document: {{ dsl: '1.0.3', namespace: test, name: flow, version: '1.0.0', metadata: {{ millrace: {{ {metadata} }} }} }}\n{body}"
    ))
}

#[test]
fn an_instance_is_found_by_what_its_input_and_context_give() {
    check_program(
        program(
            "searchAttributes: { customer: '${ .customer }', total: '${ $context.total }', kind: order, whole: '${ 6 / 4 * 2 }' }",
            "do: [{ a: { set: { n: 1 } } }, { b: { call: f, export: { as: '{ total: . }' } } }, { c: { call: g, export: { as: '{ total: $context.total, more: . }' } } }]",
        ),
        "start {\"customer\": \"acme\"}\ncomplete 1.1 12.5\ncomplete 2.1 1\nstate",
        expect![[r#"
            > start {"customer": "acme"}
              InstanceStarted
              TaskRan in 0 /do/0/a -> {"n":1}
              TaskStarted 1 in 0 /do/1/b Call f
              TaskDispatched 1.1
              AttributesChanged {"customer":"acme","kind":"order","whole":3}
              => default: 1.1 f attempt 1 key i#/do/1/b {"n":1}
            > complete 1.1 12.5
              TaskCompleted 1 -> 12.5 context {"total":12.5}
              TaskStarted 2 in 0 /do/2/c Call g
              TaskDispatched 2.1
              AttributesChanged {"customer":"acme","kind":"order","total":12.5,"whole":3}
              => default: 2.1 g attempt 1 key i#/do/2/c 12.5
            > complete 2.1 1
              TaskCompleted 2 -> 1 context {"total":12.5,"more":1}
              InstanceCompleted 1
            = completed 1 context null
        "#]],
    );
}

#[test]
fn what_cannot_be_an_attribute_is_left_out() {
    check_program(
        program(
            "searchAttributes: { long: '${ .long }', list: '${ .list }', none: '${ .none }', fails: '${ .n | ltrimstr(1) + {} }', empty: '${ \"\" }', n: '${ .n }' }",
            "do: [{ a: { call: f } }]",
        ),
        &format!("start {}", json!({ "long": "x".repeat(257), "list": [1], "n": 3 })),
        expect![[r#"
            > start {"long":"x*257","list":[1],"n":3}
              InstanceStarted
              TaskStarted 1 in 0 /do/0/a Call f
              TaskDispatched 1.1
              AttributesChanged {"n":3}
              => default: 1.1 f attempt 1 key i#/do/0/a {"long":"x*257","list":[1],"n":3}
        "#]],
    );
    check_program(
        program("searchAttributes: { a: '${ .a }' }", "do: [{ a: { call: f } }]"),
        "start {}",
        expect![[r#"
            > start {}
              InstanceStarted
              TaskStarted 1 in 0 /do/0/a Call f
              TaskDispatched 1.1
              => default: 1.1 f attempt 1 key i#/do/0/a {}
        "#]],
    );
}

#[test]
fn an_attribute_may_go_away_and_what_has_ended_keeps_the_last_ones() {
    check_program(
        program(
            "searchAttributes: { step: '${ $context.step }' }",
            "do: [{ a: { call: f, export: { as: '{ step: . }' } } }, { b: { call: f, export: { as: '{ step: . }' } } }, { c: { call: f, export: { as: '{ step: . }' } } }]",
        ),
        "start\ncomplete 1.1 \"one\"\ncomplete 2.1\ncomplete 3.1 \"three\"",
        expect![[r#"
            > start
              InstanceStarted
              TaskStarted 1 in 0 /do/0/a Call f
              TaskDispatched 1.1
              => default: 1.1 f attempt 1 key i#/do/0/a null
            > complete 1.1 "one"
              TaskCompleted 1 -> "one" context {"step":"one"}
              TaskStarted 2 in 0 /do/1/b Call f
              TaskDispatched 2.1
              AttributesChanged {"step":"one"}
              => default: 2.1 f attempt 1 key i#/do/1/b "one"
            > complete 2.1
              TaskCompleted 2 -> null context {"step":null}
              TaskStarted 3 in 0 /do/2/c Call f
              TaskDispatched 3.1
              AttributesChanged {}
              => default: 3.1 f attempt 1 key i#/do/2/c null
            > complete 3.1 "three"
              TaskCompleted 3 -> "three" context {"step":"three"}
              AttributesChanged {"step":"three"}
              InstanceCompleted "three"
        "#]],
    );
}

#[test]
fn the_branches_of_a_fork_change_nothing_before_they_join() {
    check_program(
        program(
            "searchAttributes: { step: '${ $context.step }' }",
            "do: [{ both: { fork: { branches: [{ a: { call: f, export: { as: '{ step: . }' } } }, { b: { call: f, export: { as: '{ step: . }' } } }] } } }, { c: { call: g } }]",
        ),
        "start\ncomplete 2.1 \"a\"\ncomplete 3.1 \"b\"",
        expect![[r#"
            > start
              InstanceStarted
              TaskStarted 1 in 0 /do/0/both Branches 2
              TaskStarted 2 in 1 /do/0/both/fork/branches/0/a Call f
              TaskDispatched 2.1
              TaskStarted 3 in 1 /do/0/both/fork/branches/1/b Call f
              TaskDispatched 3.1
              => default: 2.1 f attempt 1 key i#/do/0/both/fork/branches/0/a null
              => default: 3.1 f attempt 1 key i#/do/0/both/fork/branches/1/b null
            > complete 2.1 "a"
              TaskCompleted 2 -> "a" context {"step":"a"}
            > complete 3.1 "b"
              TaskCompleted 3 -> "b" context {"step":"b"}
              TaskCompleted 1 -> ["a","b"] context {"step":"b"}
              TaskStarted 4 in 0 /do/1/c Call g
              TaskDispatched 4.1
              AttributesChanged {"step":"b"}
              => default: 4.1 g attempt 1 key i#/do/1/c ["a","b"]
        "#]],
    );
}

#[test]
fn a_query_sees_what_is_committed() {
    check_program(
        program(
            "queries: { progress: '($context.done | length) / ($input.all | length)', whole: { status: '${ .status }', id: '${ $workflow.id }' } }",
            "do: [{ a: { call: f, export: { as: '{ done: . }' } } }, { b: { call: g } }]",
        ),
        "start {\"all\": [1, 2]}\nquery progress\ncomplete 1.1 [1]\nquery progress\nquery whole\nquery .status\nquery $task\nquery error(\"no\")\nquery $runtime.name\nquery [range(1000000)] | length\ncomplete 2.1\nquery $context",
        expect![[r#"
            > start {"all": [1, 2]}
              InstanceStarted
              TaskStarted 1 in 0 /do/0/a Call f
              TaskDispatched 1.1
              => default: 1.1 f attempt 1 key i#/do/0/a {"all":[1,2]}
            ? progress
              0
            > complete 1.1 [1]
              TaskCompleted 1 -> [1] context {"done":[1]}
              TaskStarted 2 in 0 /do/1/b Call g
              TaskDispatched 2.1
              => default: 2.1 g attempt 1 key i#/do/1/b [1]
            ? progress
              0.5
            ? whole
              {"status":"running","id":"i"}
            ? .status
              "running"
            ? $task
              null
            ? error("no")
              expression `error("no")`: "no"
            ? $runtime.name
              "millrace"
            ? [range(1000000)] | length
              1000000
            > complete 2.1
              TaskCompleted 2 -> null
              InstanceCompleted null
            ? $context
              null
        "#]],
    );
}

#[test]
fn an_instance_of_an_earlier_release_is_found_once_its_context_changes() {
    let plain = program("", "do: [{ a: { call: f, export: { as: '{ step: . }' } } }, { b: { call: g } }]");
    let mut conversation = Conversation::new(plain);
    conversation.run("start");
    let state = conversation.instance.state().cloned().unwrap();
    assert_eq!(state.attributes, None);
    conversation.program = program(
        "searchAttributes: { step: '${ $context.step }' }",
        "do: [{ a: { call: f, export: { as: '{ step: . }' } } }, { b: { call: g } }]",
    );
    conversation.instance = Instance::from_state(conversation.instance.id().clone(), state);
    expect![[r#"
        > signal t
          SignalReceived
          SignalBuffered test 2
        > complete 1.1 1
          TaskCompleted 1 -> 1 context {"step":1}
          TaskStarted 2 in 0 /do/1/b Call g
          TaskDispatched 2.1
          AttributesChanged {"step":1}
          => default: 2.1 g attempt 1 key i#/do/1/b 1
    "#]]
    .assert_eq(&conversation.run("signal t\ncomplete 1.1 1"));
}
