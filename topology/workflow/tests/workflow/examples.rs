//! The examples: ours run, those of the specification are admitted or refused for a reason.

use std::fmt::Write as _;
use std::path::Path;

use expect_test::{expect, expect_file};
use millrace_workflow::admission::{Finding, Severity, admit};

/// The definitions in a folder of this repository, by name.
fn definitions(folder: &str) -> Vec<(String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let mut found: Vec<(String, String)> = std::fs::read_dir(folder)
        .unwrap()
        .map(|it| it.unwrap().path())
        .filter(|it| it.extension().is_some_and(|it| it == "yaml"))
        .map(|it| {
            (it.file_name().unwrap().to_string_lossy().into_owned(), std::fs::read_to_string(it).unwrap())
        })
        .collect();
    found.sort();
    found
}

#[test]
fn our_examples_are_admitted_without_a_warning() {
    let examples = definitions("../examples");
    assert!(examples.len() >= 5);
    for (name, text) in examples {
        let admitted = admit(&name, &text).unwrap_or_else(|findings| {
            panic!("{}", findings.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
        });
        assert_eq!(admitted.warnings, [], "{name}");
    }
}

#[test]
fn the_order_example_compiles_to_this() {
    let text = include_str!("../../../examples/order.yaml");
    let program = admit("order.yaml", text).unwrap().program;
    assert_eq!(program.queues().iter().map(|it| &**it).collect::<Vec<_>>(), ["orders"]);
    expect_file!["../../testdata/order.txt"].assert_eq(&program.describe());
}

#[test]
fn the_report_example_says_when_it_starts() {
    let program = admit("report.yaml", include_str!("../../../examples/report.yaml")).unwrap().program;
    let described = program.describe();
    let when = described.lines().find(|it| it.starts_with("  starts ")).unwrap();
    expect![[
        r#"  starts cron 30 2 * * MON-FRI Europe/Berlin; overlap skip; up to 6h late; with {"region":"eu"}"#
    ]]
    .assert_eq(when);
}

#[test]
fn references_are_json_pointers_into_the_definition() {
    let program = admit("order.yaml", include_str!("../../../examples/order.yaml")).unwrap().program;
    for task in &program.tasks {
        let found = program.definition.pointer(&task.reference);
        assert_eq!(found, Some(&*task.definition), "{}", task.reference);
        assert_eq!(program.find(&task.reference).map(|it| it.index), Some(task.index));
    }
    let references: Vec<&str> = program.tasks.iter().map(|it| &*it.reference).take(6).collect();
    expect![[r#"
        [
            "/do/0/prepare",
            "/do/0/prepare/fork/branches/0/reserve",
            "/do/0/prepare/fork/branches/0/reserve/try/0/reserveStock",
            "/do/0/prepare/fork/branches/0/reserve/try/1/reserved",
            "/do/0/prepare/fork/branches/0/reserve/catch/do/0/notReserved",
            "/do/0/prepare/fork/branches/1/charge",
        ]
    "#]]
    .assert_debug_eq(&references);
}

#[test]
fn the_published_examples_are_admitted_or_refused_for_a_reason() {
    let mut report = String::new();
    let page = std::fs::read_to_string("../LANGUAGE.md").unwrap();
    let count = definitions("testdata/published").len();
    assert!(page.contains(&format!("publishes {count} examples")), "{count}");
    for (name, text) in definitions("testdata/published") {
        let is_listed = page.contains(&format!("| `{name}` |"));
        assert_eq!(
            is_listed,
            admit(&name, &text).is_err(),
            "{name}: the page lists what is refused, and nothing else"
        );
        match admit(&name, &text) {
            Ok(admitted) => {
                writeln!(report, "{name}: admitted").unwrap();
                for warning in admitted.warnings {
                    let Finding { line, column, message, .. } = warning;
                    writeln!(report, "  {line}:{column}: warning: {message}").unwrap();
                }
            }
            Err(findings) => {
                writeln!(report, "{name}: refused").unwrap();
                assert!(findings.iter().any(|it| it.severity == Severity::Error));
                for finding in findings {
                    writeln!(report, "  {finding}").unwrap();
                }
            }
        }
    }
    expect_file!["../../testdata/published.txt"].assert_eq(&report);
}
