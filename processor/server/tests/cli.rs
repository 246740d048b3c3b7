//! The command line without any server: help, wrong arguments, `deploy --check`, exit codes.

#![allow(clippy::unwrap_used)]

use std::path::PathBuf;
use std::process::{Command, Output};

use serde_json::Value;

/// Nothing listens there: port 9 is "discard", and nobody runs it.
const NOWHERE: &str = "127.0.0.1:9";

fn millrace(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_millrace"))
        .args(arguments)
        .env_clear()
        .env("MILLRACE_BOOTSTRAP", NOWHERE)
        .env("MILLRACE_CQL", NOWHERE)
        .output()
        .unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

/// A file in a folder that is gone when the guard is.
fn file(name: &str, text: &str) -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let path: PathBuf = folder.path().join(name);
    std::fs::write(&path, text).unwrap();
    let path = path.to_str().unwrap().to_owned();
    (folder, path)
}

const HELLO: &str = "\
document:
  dsl: '1.0.3'
  namespace: demo
  name: hello
  version: '1.0.0'
do:
  - greet:
      call: greet
      with:
        name: ${ .name }
      timeout:
        after: PT1M
";

#[test]
fn help_lists_every_command_and_every_exit_code() {
    let help = millrace(&["--help"]);
    assert_eq!(code(&help), 0);
    let text = stdout(&help);
    for command in [
        "topics",
        "deploy",
        "describe",
        "start",
        "signal",
        "cancel",
        "suspend",
        "resume",
        "retry",
        "edit",
        "skip",
        "restart",
        "get",
        "query",
        "list",
        "history",
        "dead-letters",
        "doctor",
        "processor",
        "ctk",
    ] {
        assert!(text.contains(&format!("\n  {command} ")), "{command} in\n{text}");
    }
    for exit in 0..=7 {
        assert!(text.contains(&format!("\n  {exit}  ")), "exit code {exit} in\n{text}");
    }
}

#[test]
fn every_command_has_help_of_its_own() {
    for command in [
        "topics apply",
        "topics plan",
        "deploy",
        "start",
        "signal",
        "get",
        "query",
        "list",
        "processor",
        "dead-letters list",
    ] {
        let arguments: Vec<_> = command.split(' ').chain(["--help"]).collect();
        let help = millrace(&arguments);
        assert_eq!(code(&help), 0, "{command}");
        assert!(stdout(&help).contains("--bootstrap"), "{command}");
    }
}

#[test]
fn wrong_arguments_are_told_before_any_server_is_asked() {
    let table: [(&[&str], &str); 17] = [
        (&["start", "hello"], "namespace/name"),
        (&["start", "demo/hello", "--input", "{"], "is not JSON"),
        (&["start", "demo/hello", "--input", "@/no/such/file"], "cannot read /no/such/file"),
        (&["start", "demo/hello", "--wait", "--timeout", "soon"], "is no duration"),
        (&["start", "demo/hello", "--timeout", "1s"], "--wait"),
        (&["start", "demo/hello", "--id", ""], "instance id"),
        (&["signal", "i-1", "--type", "io.millrace.instance.strat"], "none of Millrace's types"),
        (&["edit", "i-1", "--task", "/do/0/a", "--input", "{"], "is not JSON"),
        (&["restart", "i-1"], "--from"),
        (&["list", "demo/hello/1.0.0"], "leave the version out"),
        (&["list", "demo/hello", "--where", "customer"], "customer=acme"),
        (&["signal", "i-1", "--type", "t", "--now"], "--wait"),
        (&["cancel", "i-1", "--timeout", "1s"], "--wait"),
        (&["start", "demo/hello", "--wait", "--accepted"], "cannot be used with"),
        (&["query", "i-1"], "<EXPRESSION|--name"),
        (&["topics", "plan", "--partitions", "6"], "power of two"),
        (&["--prefix", "a b", "doctor"], "letters, digits"),
    ];
    for (arguments, message) in table {
        let output = millrace(arguments);
        assert_eq!(code(&output), 2, "{arguments:?}: {}", stderr(&output));
        assert!(stderr(&output).contains(message), "{arguments:?}: {}", stderr(&output));
        assert!(output.stdout.is_empty(), "{arguments:?}");
    }
}

#[test]
fn a_good_definition_is_checked_without_a_server() {
    let (_folder, path) = file("hello.yaml", HELLO);
    let output = millrace(&["deploy", "--check", &path]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    assert_eq!(stdout(&output), format!("{path}: demo/hello/1.0.0 checked\n"));

    let output = millrace(&["deploy", "--check", "--output", "json", &path]);
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(document["deployed"][0]["workflow"], "demo/hello/1.0.0");
    assert_eq!(document["deployed"][0]["queues"][0], "default");
    assert_eq!(document["findings"], Value::Array(Vec::new()));
}

#[test]
fn a_bad_definition_is_refused_with_its_place_and_a_fix() {
    let (_folder, path) = file("bad.yaml", &HELLO.replace("name: ${ .name }", "name: ${ .name | }"));
    let output = millrace(&["deploy", "--check", &path]);
    assert_eq!(code(&output), 2);
    assert!(stderr(&output).contains(&format!("{path}:10:")), "{}", stderr(&output));
    assert!(stderr(&output).contains("error"), "{}", stderr(&output));

    let output = millrace(&["deploy", "--check", "--output", "json", &path]);
    assert_eq!(code(&output), 2);
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    let finding = &document["findings"][0];
    assert_eq!((finding["severity"].as_str(), finding["line"].as_u64()), (Some("error"), Some(10)));
    assert!(!finding["fix"].as_str().unwrap().is_empty(), "{finding}");
}

#[test]
fn nothing_is_deployed_if_one_of_the_files_is_refused() {
    let (_folder, good) = file("hello.yaml", HELLO);
    let (_other, bad) = file("bad.yaml", "document: {}\n");
    // Kafka is out of reach: had anything been sent, the exit code would be 1.
    let output = millrace(&["deploy", &good, &bad]);
    assert_eq!(code(&output), 2, "{}", stderr(&output));
}

#[test]
fn two_files_may_not_say_different_things_about_one_version() {
    let (_folder, one) = file("one.yaml", HELLO);
    let (_other, two) = file("two.yaml", &HELLO.replace("call: greet", "call: wave"));
    let output = millrace(&["deploy", "--check", &one, &two]);
    assert_eq!(code(&output), 2);
    assert!(stderr(&output).contains("raise document.version"), "{}", stderr(&output));
}

#[test]
fn a_definition_can_be_described() {
    let (_folder, path) = file("hello.yaml", HELLO);
    let output = millrace(&["describe", &path]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    assert!(stdout(&output).contains("greet"), "{}", stdout(&output));
}

#[test]
fn a_file_that_is_not_there_is_told() {
    let output = millrace(&["deploy", "/no/such/file.yaml"]);
    assert_eq!(code(&output), 2);
    assert!(stderr(&output).contains("cannot read /no/such/file.yaml"), "{}", stderr(&output));
    assert!(stderr(&output).contains("to do:"), "{}", stderr(&output));
}

#[test]
fn a_broker_out_of_reach_is_an_error_with_what_to_do_for_people_and_for_programs() {
    let output = millrace(&["cancel", "i-1"]);
    assert_eq!(code(&output), 1, "{}", stderr(&output));
    assert!(stderr(&output).contains("to do:"), "{}", stderr(&output));
    assert!(stderr(&output).contains(NOWHERE), "{}", stderr(&output));

    let output = millrace(&["--output", "json", "topics", "plan"]);
    assert_eq!(code(&output), 1);
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(document["error"]["exit_code"], 1);
    assert!(document["error"]["fix"].is_string(), "{document}");
}

#[test]
fn the_doctor_reports_every_server_that_is_out_of_reach() {
    let output = millrace(&["--output", "json", "doctor"]);
    assert_eq!(code(&output), 1);
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    let failed: Vec<_> =
        document["checks"].as_array().unwrap().iter().filter(|it| it["state"] == "fail").collect();
    assert_eq!(failed.iter().map(|it| it["name"].as_str().unwrap()).collect::<Vec<_>>(), ["kafka", "store"]);
    assert!(failed.iter().all(|it| it["fix"].is_string()));
}

#[test]
fn a_scenario_with_a_definition_that_is_refused_is_invalid() {
    let (_folder, path) = file("hello.yaml", &HELLO.replace("call: greet", "call: mcp"));
    let output = millrace(&["ctk", "--workflow", &path]);
    assert_eq!(code(&output), 2);
    let document: Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!(document["status"], "invalid");
    assert!(!document["findings"].as_array().unwrap().is_empty());
    assert!(stderr(&output).contains("hello.yaml:"), "{}", stderr(&output));
}

#[test]
fn what_a_scenario_wants_of_the_worker_is_refused_with_a_cluster() {
    let (_folder, path) = file("hello.yaml", HELLO);
    for (arguments, name) in [
        (["--http-map", "https://a.example=http://127.0.0.1:1"], "--http-map"),
        (["--kill-after", "1"], "--kill-after"),
    ] {
        let output = millrace(&[&["ctk", "--workflow", &path][..], &arguments].concat());
        // Not 2, which says that the definition was refused.
        assert_eq!((code(&output), stdout(&output).as_str()), (1, ""));
        let said = stderr(&output);
        assert!(said.contains(name) && said.contains("not for a cluster"), "{said}");
    }
}
