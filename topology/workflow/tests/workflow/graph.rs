//! Programs as graphs: those of the examples, and that every graph can be drawn.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use expect_test::{ExpectFile, expect_file};
use millrace_workflow::admission::admit;
use millrace_workflow::graph::{END, Graph, START};

fn graph_of(name: &str, text: &str) -> Graph {
    let admitted = admit(name, text).unwrap_or_else(|findings| panic!("{name}: {findings:?}"));
    admitted.program.graph()
}

/// A line for each node, and for each edge.
fn shown(graph: &Graph) -> String {
    let mut text = String::new();
    for node in &graph.nodes {
        let depth = std::iter::successors(node.parent.as_ref(), |parent| {
            graph.nodes.iter().find(|it| it.id == **parent)?.parent.as_ref()
        });
        let indent = "  ".repeat(depth.count());
        write!(text, "{indent}{} ({})", node.name, node.kind).unwrap();
        let notes = node.detail.iter().cloned().chain(node.condition.iter().map(|it| format!("if {it}")));
        notes.for_each(|it| write!(text, " {it}").unwrap());
        writeln!(text, "  [{}]", node.id).unwrap();
    }
    for edge in &graph.edges {
        let label = edge.label.as_ref().map_or_else(String::new, |it| format!("  {it}"));
        writeln!(text, "{} -> {}  {}{label}", edge.from, edge.to, edge.kind.name()).unwrap();
    }
    text
}

fn check(text: &str, expected: ExpectFile) {
    expected.assert_eq(&shown(&graph_of("example", text)));
}

#[test]
fn an_order_shows_its_branches_and_where_errors_go() {
    check(include_str!("../../../examples/order.yaml"), expect_file!["../../testdata/graph-order.txt"]);
}

#[test]
fn a_trip_shows_what_undoes_it() {
    check(include_str!("../../../examples/trip.yaml"), expect_file!["../../testdata/graph-trip.txt"]);
}

#[test]
fn jumps_cases_and_exits_are_edges() {
    let text = "\
document: {dsl: '1.0.3', namespace: test, name: jumps, version: '1.0.0'}
do:
  - first: {set: {n: 1}}
  - choose:
      switch:
        - again: {when: .n < 3, then: first}
        - done: {when: .n > 9, then: end}
        - other: {then: many}
  - many:
      for: {in: '[1, 2]', each: it}
      do:
        - odd: {if: $it == 1, set: {n: 2}, then: exit}
        - even: {raise: {error: {type: https://a.example/e, status: 500}}}
  - last: {wait: PT1S}
";
    check(text, expect_file!["../../testdata/graph-jumps.txt"]);
}

/// Whatever is admitted can be drawn: edges lead somewhere, nothing is inside of itself, each task is there once.
#[test]
fn every_example_has_a_whole_graph() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples");
    let files = std::fs::read_dir(folder).unwrap().map(|it| it.unwrap().path());
    let mut count = 0;
    for file in files.filter(|it| it.extension().is_some_and(|it| it == "yaml")) {
        let text = std::fs::read_to_string(&file).unwrap();
        // What refers to a document elsewhere is not whole, and is not admitted.
        let Ok(admitted) = admit(file.to_str().unwrap(), &text) else { continue };
        count += 1;
        let graph = admitted.program.graph();
        let ids: BTreeSet<_> = graph.nodes.iter().map(|it| &*it.id).collect();
        assert_eq!(ids.len(), graph.nodes.len(), "{}", file.display());
        assert!(ids.contains(START) && ids.contains(END));
        for edge in &graph.edges {
            assert!(ids.contains(&*edge.from) && ids.contains(&*edge.to), "{}: {edge:?}", file.display());
        }
        let mut seen = BTreeSet::new();
        for node in &graph.nodes {
            assert!(node.parent.as_ref().is_none_or(|it| seen.contains(it)), "{}: {node:?}", file.display());
            seen.insert(node.id.clone());
        }
        let tasks: BTreeSet<_> = admitted.program.tasks.iter().map(|it| &*it.reference).collect();
        let drawn: BTreeSet<_> = ids.into_iter().filter(|it| it.starts_with('/')).collect();
        assert_eq!(drawn, tasks, "{}", file.display());
    }
    assert!(count >= 8, "{count} examples were drawn");
}
