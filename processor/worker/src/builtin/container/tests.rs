//! A runtime that is a script: it records what it is asked for, and behaves.
#![allow(clippy::unwrap_used)]

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::{Container, ContainerSettings};
use crate::builtin::process::{ProcessSettings, Processes};
use crate::task::tests::{command, until};
use crate::{Handler as _, Task, TaskFailure};

/// Containers are files named as they are, beside the script; one whose image is `endless` never ends.
const RUNTIME: &str = r#"#!/bin/sh
here=$(dirname "$0")
echo "$*" >> "$here/asked"
if [ "$1" = rm ]; then
  for name; do :; done
  [ "$2" = --force ] || ! grep -q running "$here/$name" 2>/dev/null || exit 1
  rm -f "$here/$name"
  exit
fi
name=$3
[ ! -e "$here/$name" ] || { echo "the name $name is in use" >&2; exit 125; }
case "$*" in
  *endless*) echo running > "$here/$name"; while :; do sleep 1; done ;;
  *) echo ended > "$here/$name"; cat; echo " out"; echo err >&2; exit ${CODE:-0} ;;
esac
"#;

fn runtime() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("runtime");
    std::fs::write(&path, RUNTIME).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    folder
}

fn processes() -> Processes {
    Processes::new(ProcessSettings {
        timeout: Duration::from_secs(20),
        kill_grace: Duration::from_millis(50),
        ..ProcessSettings::default()
    })
}

fn container(processes: &Processes, folder: &Path) -> Container {
    let runtime = folder.join("runtime").to_str().unwrap().to_owned();
    Container::new(processes, ContainerSettings { runtime: Some(runtime), volumes: Vec::new() })
}

async fn run(folder: &Path, arguments: Value) -> Result<Value, TaskFailure> {
    let task = Task::detached(command("container", arguments));
    container(&processes(), folder).handle(task).await
}

fn asked(folder: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(folder.join("asked")).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

/// Waits for a request that begins so.
async fn until_asked(folder: &Path, prefix: &str) {
    until(prefix, || asked(folder).iter().any(|it| it.starts_with(prefix))).await;
}

#[tokio::test]
async fn without_a_runtime_no_container_is_run() {
    let container = Container::new(&processes(), ContainerSettings::default());
    let task = Task::detached(command("container", json!({ "container": { "image": "a" } })));
    let failure = container.handle(task).await.unwrap_err();
    assert!(failure.error.error_type.ends_with("/configuration") && !failure.retriable);
    assert!(failure.error.detail.unwrap().contains("--container-runtime"));
}

#[tokio::test]
async fn a_container_gives_what_it_writes() {
    let folder = runtime();
    let arguments = json!({ "container": { "image": "a", "stdin": "in" }, "return": "all" });
    let output = run(folder.path(), arguments).await.unwrap();
    assert_eq!(output, json!({ "code": 0, "stdout": "in out", "stderr": "err" }));
    let asked = asked(folder.path());
    assert_eq!(asked.len(), 2);
    assert!(asked[0].starts_with("rm --volumes millrace-"), "{asked:?}");
    assert!(asked[1].starts_with("run --name millrace-") && asked[1].ends_with(" a"), "{asked:?}");
}

#[tokio::test]
async fn a_container_that_was_kept_makes_room_for_the_next_attempt() {
    let folder = runtime();
    for _ in 0..2 {
        run(folder.path(), json!({ "container": { "image": "a" } })).await.unwrap();
    }
    // One that the definition names is not removed for another.
    let named = json!({ "container": { "image": "a", "name": "mine" } });
    run(folder.path(), named.clone()).await.unwrap();
    let failure = run(folder.path(), named).await.unwrap_err();
    assert_eq!(failure.error.detail.unwrap(), "the name mine is in use");
    assert!(failure.retriable);
}

#[tokio::test]
async fn a_task_that_is_delivered_twice_does_not_run_twice_side_by_side() {
    let folder = runtime();
    let endless = json!({ "container": { "image": "endless" } });
    let (path, arguments) = (folder.path().to_owned(), endless.clone());
    let first = tokio::spawn(async move { run(&path, arguments).await });
    until_asked(folder.path(), "run").await;
    let name = asked(folder.path())[1].split(' ').nth(2).unwrap().to_owned();
    until("the container is there", || folder.path().join(&name).exists()).await;
    let failure = run(folder.path(), endless).await.unwrap_err();
    assert_eq!(failure.error.detail.unwrap(), format!("the name {name} is in use"));
    // Given up, it is removed.
    first.abort();
    until_asked(folder.path(), &format!("rm --force --volumes {name}")).await;
    until("the container has gone", || !folder.path().join(&name).exists()).await;
}

#[tokio::test]
async fn a_container_is_removed_eventually_or_when_the_worker_stops() {
    for after in [1, 3_600_000] {
        let folder = runtime();
        let processes = processes();
        let arguments = json!({ "container": { "image": "a", "name": "mine", "lifetime": { "cleanup": "eventually", "after": after } } });
        let task = Task::detached(command("container", arguments));
        container(&processes, folder.path()).handle(task).await.unwrap();
        if after > 1 {
            assert!(folder.path().join("mine").exists());
            drop(processes);
        }
        until_asked(folder.path(), "rm --force --volumes mine").await;
    }
}
