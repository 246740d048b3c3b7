//! What the store is told of what instances are found by.

use expect_test::expect;
use millrace_schemas::cloud_event::{cancel_event, complete_event, start_event};
use millrace_schemas::{EventId, InstanceId, WorkflowName};
use serde_json::{Value, json};

use crate::world::World;

const STEPS: &str = "
document:
  dsl: 1.0.3
  namespace: test
  name: steps
  version: 1.0.0
  metadata: {millrace: {searchAttributes: {customer: '${ .customer }', step: '${ $context.step }'}}}
do:
  - one: {call: work, export: {as: '{ step: . }'}}
  - two: {call: work, export: {as: '{ step: . }'}}
  - three: {call: work, export: {as: '{ step: . }'}}
";

fn event_id(text: &str) -> EventId {
    EventId { source: "test".to_owned(), id: text.to_owned() }
}

fn instance() -> InstanceId {
    InstanceId::new("a").unwrap()
}

fn start(world: &mut World) {
    let workflow = WorkflowName { namespace: "test".into(), name: "steps".into() };
    world.produce(&start_event(event_id("start"), &instance(), &workflow, None, json!({"customer": "acme"})));
    world.settle();
}

fn complete(world: &mut World, output: Value) {
    let token = world.tasks().last().unwrap().token;
    world.produce(&complete_event(event_id(&token.to_string()), &instance(), token, output));
    world.settle();
}

/// The rows of the list that were written since the last look.
fn listed(world: &mut World) -> String {
    world.pass(10);
    let rows = std::mem::take(&mut world.listings).into_iter().map(|it| {
        let retired: Vec<_> = it.retired.iter().map(|it| format!(" -{it}")).collect();
        let ttl = it.ttl.map(|_| " expires").unwrap_or_default();
        format!("{} {}{}{ttl}\n", it.status, it.attributes.to_json(), retired.concat())
    });
    rows.collect()
}

#[test]
fn a_row_is_written_when_what_an_instance_is_found_by_has_changed() {
    let mut world = World::new(&[STEPS]);
    world.restart();
    start(&mut world);
    expect![[r#"
        running {"customer":"acme"}
    "#]]
    .assert_eq(&listed(&mut world));
    complete(&mut world, json!("packed"));
    expect![[r#"
        running {"customer":"acme","step":"packed"}
    "#]]
    .assert_eq(&listed(&mut world));
    complete(&mut world, json!("packed"));
    expect![[r#"
        running {"customer":"acme","step":"packed"}
    "#]]
    .assert_eq(&listed(&mut world));
    complete(&mut world, json!("sent"));
    expect![[r#"
        completed {"customer":"acme","step":"sent"} -step=packed expires
    "#]]
    .assert_eq(&listed(&mut world));
}

#[test]
fn the_next_owner_retires_what_the_store_has() {
    let mut world = World::new(&[STEPS]);
    world.restart();
    start(&mut world);
    complete(&mut world, json!("packed"));
    expect![[r#"
        running {"customer":"acme","step":"packed"}
    "#]]
    .assert_eq(&listed(&mut world));
    // In the changelog, and not in the store yet.
    complete(&mut world, json!("sent"));
    world.restart();
    world.settle();
    expect![[r#"
        running {"customer":"acme","step":"sent"} -step=packed
    "#]]
    .assert_eq(&listed(&mut world));
    world.restart();
    world.produce(&cancel_event(event_id("c"), &instance(), "", false));
    world.settle();
    expect![[r#"
        cancelled {"customer":"acme","step":"sent"} expires
    "#]]
    .assert_eq(&listed(&mut world));
}
