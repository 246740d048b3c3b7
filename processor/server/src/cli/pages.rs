//! Whether the commands that pages tell people to run are commands that there are.

use std::path::{Path, PathBuf};

use clap::CommandFactory as _;

use super::Cli;

/// What words in capitals stand for, and paths that are not on this machine.
const STAND_FOR: [(&str, &str); 11] = [
    ("N", "7"),
    ("PARTITION", "7"),
    ("WORKFLOW", "shop/order"),
    ("ID", "order-1"),
    ("TASK", "/do/2/charge"),
    ("JSON", "{}"),
    ("FILE", "workflow.yaml"),
    ("PLACE", "3/41"),
    ("REASON", "the card was charged"),
    ("http://HOST:PORT", "http://127.0.0.1:8080"),
    ("/run/secrets/millrace", "."),
];

/// Commands of a page: in its blocks, and in its sentences where more than the name of a command is given.
fn commands(page: &str) -> Vec<String> {
    let page = page.replace("\\\n", " ");
    let mut commands = Vec::new();
    let mut is_block = false;
    for line in page.lines() {
        if line.trim_start().starts_with("```") {
            is_block = !is_block;
        } else if is_block {
            commands.extend(line.trim_start().strip_prefix("millrace ").map(str::to_owned));
        } else {
            let spans = line.split('`').skip(1).step_by(2);
            let spans = spans.filter_map(|it| it.strip_prefix("millrace "));
            commands.extend(spans.filter(|it| it.contains(' ') && !it.contains('…')).map(str::to_owned));
        }
    }
    commands
}

/// Why it is no command, if it is none.
fn problem(command: &str) -> Option<String> {
    let Some(words) = shlex::split(command) else { return Some("its quotes do not match".to_owned()) };
    let words = words.into_iter().map(|word| {
        STAND_FOR
            .iter()
            .find(|(it, _)| *it == word)
            .map_or_else(|| word.clone(), |(_, meant)| (*meant).to_owned())
    });
    let parsed = Cli::command().try_get_matches_from(std::iter::once("millrace".to_owned()).chain(words));
    parsed.err().map(|it| it.to_string())
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn pages() -> Vec<PathBuf> {
    let runbooks = std::fs::read_dir(root().join("ops/runbooks")).expect("there are runbooks");
    let runbooks = runbooks.map(|it| it.expect("it can be listed").path());
    runbooks.chain(["README.md", "ops/RUNBOOK.md"].map(|it| root().join(it))).collect()
}

#[test]
fn what_pages_tell_people_to_run_can_be_run() {
    let mut problems = String::new();
    for page in pages() {
        let text = std::fs::read_to_string(&page).expect("it is there");
        let commands = commands(&text);
        assert!(commands.len() >= 4, "{} tells of {} commands only", page.display(), commands.len());
        for command in commands {
            if let Some(problem) = problem(&command) {
                problems.push_str(&format!("{}: millrace {command}\n  {problem}\n", page.display()));
            }
        }
    }
    assert!(problems.is_empty(), "{problems}");
}

#[test]
fn what_cannot_be_run_is_seen() {
    assert!(problem("era open --partition N --yes").is_none());
    for wrong in ["era close --partition N", "era open", "list", "retry ID --tsk TASK", "start 'shop/order"] {
        assert!(problem(wrong).is_some(), "{wrong}");
    }
    let page = "Use `millrace get ID`, or `millrace doctor`.\n\n   ```sh\n   millrace list WORKFLOW\n   curl x\n   ```\n";
    assert_eq!(commands(page), ["get ID", "list WORKFLOW"]);
}
