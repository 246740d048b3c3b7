//! Real programs on this machine.
#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::time::Duration;

use axum::Router;
use axum::http::{HeaderMap, StatusCode, header};
use axum::routing::get;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::processes::has_program;
use super::{ProcessLimits, ProcessSettings, Processes, Script, Shell};
use crate::builtin::{Caller, HttpSettings, Targets};
use crate::task::tests::{command, until};
use crate::{Handler as _, Task, TaskFailure};

fn settings() -> ProcessSettings {
    ProcessSettings {
        is_allowed: true,
        output_bytes_max: 10_000,
        kill_grace: Duration::from_millis(50),
        ..ProcessSettings::default()
    }
}

async fn shell_with(settings: ProcessSettings, arguments: Value) -> Result<Value, TaskFailure> {
    let processes = Processes::new(settings);
    Shell::new(&processes).handle(Task::detached(command("shell", arguments))).await
}

async fn shell(arguments: Value) -> Result<Value, TaskFailure> {
    shell_with(settings(), arguments).await
}

/// What a command writes.
async fn written(line: &str) -> String {
    shell(json!({ "shell": { "command": line } })).await.unwrap().as_str().unwrap().to_owned()
}

fn caller(targets: Targets) -> Caller {
    Caller::new(HttpSettings { targets, resource_bytes_max: 1_000, ..HttpSettings::default() }).unwrap()
}

async fn script(arguments: Value) -> Result<Value, TaskFailure> {
    let processes = Processes::new(settings());
    Script::new(&processes, &caller(Targets::PUBLIC.and_loopback()))
        .handle(Task::detached(command("script", arguments)))
        .await
}

/// The failure's type, status and whether it may pass.
fn kind(failure: &TaskFailure) -> (&str, u16, bool) {
    let name = failure.error.error_type.rsplit('/').next().unwrap();
    (name, failure.error.status, failure.retriable)
}

/// Waits for a file with something in it.
async fn content(path: &Path) -> String {
    let text = || std::fs::read_to_string(path).ok().filter(|it| it.ends_with('\n'));
    until(&path.display().to_string(), || text().is_some()).await;
    text().unwrap().trim().to_owned()
}

/// Waits until there is no such process, or nothing is left of it but its entry.
async fn until_gone(process: &str) {
    let stat = format!("/proc/{process}/stat");
    until("it has gone", || !std::fs::read_to_string(&stat).is_ok_and(|it| !it.contains(") Z "))).await;
}

#[tokio::test]
async fn nothing_is_run_unless_the_operator_allows_it() {
    let off = ProcessSettings::default();
    let failure = shell_with(off.clone(), json!({ "shell": { "command": "ls" } })).await.unwrap_err();
    assert_eq!(kind(&failure), ("configuration", 400, false));
    assert!(failure.error.detail.unwrap().contains("--allow-processes"));
    let (processes, caller) = (Processes::new(off), caller(Targets::PUBLIC));
    let task = Task::detached(command("script", json!({ "script": { "language": "js", "code": "" } })));
    let failure = Script::new(&processes, &caller).handle(task).await.unwrap_err();
    assert_eq!(kind(&failure), ("configuration", 400, false));
}

#[tokio::test]
async fn a_shell_command_gets_its_arguments_its_input_and_its_variables() {
    let arguments = json!({
        "shell": {
            "command": "cat; echo \" $# $1 $2 $COUNT $GONE\"",
            "arguments": ["$(id) 'quoted'", 7],
            "stdin": { "a": 1 },
            "environment": { "COUNT": 5, "GONE": null },
        },
    });
    assert_eq!(shell(arguments).await.unwrap(), json!("{\"a\":1} 2 $(id) 'quoted' 7 5 "));
    assert_eq!(written("printf 'two\\nlines\\n\\n'").await, "two\nlines");
}

#[tokio::test]
async fn a_program_is_given_nothing_of_the_worker() {
    // The worker has Kafka clients, whose sockets are not Rust's.
    let mut config = rdkafka::ClientConfig::new();
    config.set("bootstrap.servers", "127.0.0.1:1");
    let _producer: rdkafka::producer::BaseProducer = config.create().unwrap();
    let _listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let names = written("env | cut -d = -f 1 | sort").await;
    // The last two are the shell's own.
    let expected = ["HOME", "PATH", "TMPDIR", "OLDPWD", "PWD", "SHLVL", "_"];
    assert!(names.lines().all(|it| expected.contains(&it)), "{names}");
    // The fourth is the folder that is listed.
    assert_eq!(written("ls /proc/self/fd").await, "0\n1\n2\n3");
}

#[tokio::test]
async fn a_program_has_a_folder_that_is_gone_after_it() {
    let folder = written("touch made; cd \"$HOME\"; ls > /dev/null && test -f made && pwd").await;
    assert!(folder.contains("millrace-"), "{folder}");
    assert!(!Path::new(&folder).exists());
}

#[tokio::test]
async fn the_limits_hold() {
    let limits = ProcessLimits { cpu_seconds: 7, memory_bytes: 1 << 30, file_bytes: 4096, processes: 5_000 };
    let limited = ProcessSettings { limits, ..settings() };
    let line = "ulimit -t; ulimit -v; ulimit -f; ulimit -c; ulimit -u 2>/dev/null || ulimit -p";
    let output = shell_with(limited.clone(), json!({ "shell": { "command": line } })).await.unwrap();
    assert_eq!(output, json!("7\n1048576\n8\n0\n5000"));
    let line = "head -c 5000 /dev/zero > file || true; wc -c < file";
    let output = shell_with(limited, json!({ "shell": { "command": line } })).await.unwrap();
    assert_eq!(output, json!("4096"));
}

#[tokio::test]
async fn what_a_command_leaves_behind_ends_with_it() {
    // It holds the output open, too.
    let process = written("sleep 1000 & echo $!").await;
    until_gone(&process).await;
}

#[tokio::test]
async fn a_task_that_is_given_up_ends_all_that_it_started() {
    let folder = tempfile::tempdir().unwrap();
    let line = "trap '' TERM; (trap '' TERM; sleep 1000) & echo $! > $OUT/child; echo $$ > $OUT/own; pwd > $OUT/folder; wait";
    let arguments = json!({ "shell": { "command": line, "environment": { "OUT": folder.path() } } });
    let running = tokio::spawn(shell(arguments));
    let own = content(&folder.path().join("own")).await;
    let child = content(&folder.path().join("child")).await;
    let worked_in = content(&folder.path().join("folder")).await;
    running.abort();
    assert!(running.await.unwrap_err().is_cancelled());
    until_gone(&own).await;
    until_gone(&child).await;
    until("its folder has gone", || !Path::new(&worked_in).exists()).await;
}

#[tokio::test]
async fn a_program_that_takes_too_long_fails_and_may_be_tried_again() {
    let brief = ProcessSettings { timeout: Duration::from_millis(100), ..settings() };
    let failure = shell_with(brief, json!({ "shell": { "command": "sleep 1000" } })).await.unwrap_err();
    assert_eq!(kind(&failure), ("timeout", 408, true));
}

#[tokio::test]
async fn more_output_than_is_taken_is_a_failure_if_it_is_asked_for() {
    let failure = shell(json!({ "shell": { "command": "yes" } })).await.unwrap_err();
    assert_eq!(kind(&failure), ("runtime", 500, false));
    assert_eq!(
        failure.error.title.unwrap(),
        "the shell command was stopped: it wrote more than 10000 bytes to stdout"
    );
    let failure = shell(json!({ "shell": { "command": "yes >&2" }, "return": "all" })).await.unwrap_err();
    assert!(failure.error.title.unwrap().ends_with("to stderr"));
    let much = "yes | head -c 100000 | tee /dev/stderr";
    let output = shell(json!({ "shell": { "command": much }, "return": "code" })).await.unwrap();
    assert_eq!(output, json!(0));
}

#[tokio::test]
async fn a_code_that_is_not_0_is_a_failure_unless_it_is_asked_for() {
    let fails = "echo out; echo 'no such pet' >&2; exit 3";
    let failure = shell(json!({ "shell": { "command": fails } })).await.unwrap_err();
    assert_eq!(kind(&failure), ("runtime", 500, true));
    assert_eq!(failure.error.detail.unwrap(), "no such pet");
    let output = shell(json!({ "shell": { "command": fails }, "return": "all" })).await.unwrap();
    assert_eq!(output, json!({ "code": 3, "stdout": "out", "stderr": "no such pet" }));
}

#[tokio::test]
async fn a_program_that_is_not_awaited_runs_until_the_worker_stops() {
    let folder = tempfile::tempdir().unwrap();
    let processes = Processes::new(settings());
    let arguments = json!({
        "shell": {
            "command": "echo $$ > $OUT/own; sleep 1000",
            "environment": { "OUT": folder.path() },
        },
        "await": false,
        "input": { "order": 7 },
    });
    let task = Task::detached(command("shell", arguments));
    assert_eq!(Shell::new(&processes).handle(task).await.unwrap(), json!({ "order": 7 }));
    let own = content(&folder.path().join("own")).await;
    assert!(Path::new(&format!("/proc/{own}")).exists());
    drop(processes);
    until_gone(&own).await;
}

#[tokio::test]
async fn what_cannot_be_started_is_said_so() {
    for process in [
        json!({ "shell": { "command": "ls", "arguments": ["a\0b"] } }),
        json!({ "shell": { "command": "ls", "arguments": ["x".repeat(1_000_000)] } }),
        json!({ "shell": { "command": "ls", "environment": { "a=b": 1 } } }),
        json!({ "shell": { "command": ["ls"] } }),
        json!({ "shell": { "command": "ls" }, "return": "everything" }),
    ] {
        let failure = shell(process).await.unwrap_err();
        assert_eq!(kind(&failure), ("validation", 400, false), "{failure}");
    }
    let failure = script(json!({ "script": { "language": "cobol", "code": "" } })).await.unwrap_err();
    assert_eq!(kind(&failure), ("validation", 400, false));
}

/// Where the interpreter is not installed, that is what the failure says.
async fn check_script(interpreter: &str, process: Value, expected: Value) {
    match script(process).await {
        Err(failure) if !has_program(interpreter) => {
            assert_eq!(failure.error.title.unwrap(), format!("the worker has no {interpreter}"));
        }
        result => assert_eq!(result.unwrap(), expected),
    }
}

#[tokio::test]
async fn a_script_in_javascript_is_a_module() {
    let code = "import { readFileSync } from 'node:fs';\n\
                const [,, argument] = process.argv;\n\
                console.log(readFileSync(process.stdin.fd, 'utf8'), argument, process.env.foo, process.env.CARGO);";
    let process = json!({
        "script": {
            "language": "javascript",
            "code": code,
            "stdin": "Hello",
            "arguments": ["größer"],
            "environment": { "foo": "bar" },
        },
    });
    check_script("node", process, json!("Hello größer bar undefined")).await;
}

#[tokio::test]
async fn a_script_in_python_reads_and_fails_as_any_program() {
    let code = "import sys\nprint(sys.stdin.read() + sys.argv[1])\nsys.exit(4)";
    let process = json!({
        "script": { "language": "Python", "code": code, "stdin": "größer ", "arguments": ["ß"] },
        "return": "all",
    });
    check_script("python3", process, json!({ "code": 4, "stdout": "größer ß", "stderr": "" })).await;
}

#[tokio::test]
async fn a_script_comes_from_elsewhere_or_stands_in_the_definition() {
    let code = async |headers: HeaderMap| match headers.get(header::AUTHORIZATION) {
        Some(it) if it == "Bearer reader" => (StatusCode::OK, "print('from elsewhere')"),
        _ => (StatusCode::UNAUTHORIZED, ""),
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = Router::new().route("/code.py", get(code));
    tokio::spawn(async move { axum::serve(listener, router).await });

    let process = |source: Value| json!({ "script": { "language": "python", "source": source } });
    let elsewhere = |token: &str| json!({ "endpoint": { "uri": format!("http://{address}/code.py") }, "authentication": { "bearer": { "token": token } } });
    check_script("python3", process(elsewhere("reader")), json!("from elsewhere")).await;
    let data = json!({ "endpoint": "data:text/x-python;base64,cHJpbnQoMSk=" });
    check_script("python3", process(data), json!("1")).await;
    if has_program("python3") {
        let failure = script(process(elsewhere("writer"))).await.unwrap_err();
        assert_eq!(kind(&failure), ("authentication", 401, false));
    }
}
