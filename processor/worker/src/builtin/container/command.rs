//! What the container's runtime is asked for. Only what is built here reaches it: nothing that a definition says can become an
//! option.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::TaskFailure;
use crate::builtin::process::{environment, text};

/// The value of `container`. Each part may be what an expression gave, so it is judged here, whatever admission has said.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Definition {
    image: String,
    name: Option<String>,
    command: Option<String>,
    arguments: Option<Vec<Value>>,
    environment: Option<Map<String, Value>>,
    /// Ports of the machine, and those of the container that they lead to.
    ports: Option<Map<String, Value>>,
    /// Folders of the machine, and where the container has them.
    volumes: Option<Map<String, Value>>,
    pub(super) stdin: Option<Value>,
    #[serde(default)]
    pull_policy: PullPolicy,
    lifetime: Option<Lifetime>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
enum PullPolicy {
    #[default]
    IfNotPresent,
    Always,
    Never,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Lifetime {
    cleanup: Policy,
    /// In milliseconds.
    after: Option<u64>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Policy {
    Always,
    Never,
    Eventually,
}

/// When a container that has ended is removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cleanup {
    /// At once, by the runtime.
    Always,
    /// Not at all.
    Never,
    /// By the worker, after a while.
    Eventually { after: Duration },
}

/// A command of the runtime.
#[derive(Debug)]
pub(super) struct Invocation {
    pub(super) name: String,
    /// Whether the name is made here, of the task's key.
    pub(super) is_name_ours: bool,
    /// What follows the name of the runtime.
    pub(super) arguments: Vec<String>,
    pub(super) cleanup: Cleanup,
}

impl Invocation {
    /// `volumes` are the folders of the machine that may be given.
    ///
    /// # Errors
    /// A permanent failure that says what cannot be asked for, or is not allowed.
    pub(super) fn new(
        definition: &Definition,
        idempotency_key: &str,
        volumes: &[PathBuf],
    ) -> Result<Self, TaskFailure> {
        let name = match &definition.name {
            Some(name) => checked_name(name)?,
            None => format!(
                "millrace-{}",
                Uuid::new_v5(&Uuid::NAMESPACE_OID, idempotency_key.as_bytes()).simple()
            ),
        };
        let cleanup = cleanup(definition.lifetime.as_ref())?;
        let mut arguments: Vec<String> = ["run", "--name", &name].map(str::to_owned).to_vec();
        if cleanup == Cleanup::Always {
            arguments.push("--rm".to_owned());
        }
        if definition.stdin.is_some() {
            arguments.push("--interactive".to_owned());
        }
        let pull = match definition.pull_policy {
            PullPolicy::IfNotPresent => "missing",
            PullPolicy::Always => "always",
            PullPolicy::Never => "never",
        };
        arguments.extend(["--pull", pull, "--security-opt", "no-new-privileges"].map(str::to_owned));
        for (name, value) in environment(definition.environment.as_ref())? {
            arguments.extend(["--env".to_owned(), format!("{name}={value}")]);
        }
        for (outer, inner) in definition.ports.iter().flatten() {
            arguments.extend(["--publish".to_owned(), format!("{}:{}", port(outer)?, port(&text(inner))?)]);
        }
        for (outer, inner) in definition.volumes.iter().flatten() {
            arguments.extend(["--volume".to_owned(), volume(outer, &text(inner), volumes)?]);
        }
        let given = definition.arguments.iter().flatten().map(text);
        match &definition.command {
            Some(command) => {
                arguments.extend([
                    "--entrypoint".to_owned(),
                    "sh".to_owned(),
                    checked_image(&definition.image)?,
                ]);
                arguments.extend(["-c".to_owned(), command.clone(), "sh".to_owned()]);
            }
            None => arguments.push(checked_image(&definition.image)?),
        }
        arguments.extend(given);
        Ok(Self { name, is_name_ours: definition.name.is_none(), arguments, cleanup })
    }

    /// Removes the container, whether or not it has ended.
    pub(super) fn remove(&self) -> Vec<String> {
        ["rm", "--force", "--volumes", &self.name].map(str::to_owned).to_vec()
    }

    /// Removes the container if it has ended; else the runtime refuses.
    pub(super) fn remove_if_ended(&self) -> Vec<String> {
        ["rm", "--volumes", &self.name].map(str::to_owned).to_vec()
    }
}

fn invalid(problem: String) -> TaskFailure {
    TaskFailure::validation(problem)
}

/// Without a lifetime, as the language has it, a container is kept.
fn cleanup(lifetime: Option<&Lifetime>) -> Result<Cleanup, TaskFailure> {
    Ok(match lifetime.map(|it| (it.cleanup, it.after)) {
        None | Some((Policy::Never, None)) => Cleanup::Never,
        Some((Policy::Always, None)) => Cleanup::Always,
        Some((Policy::Eventually, Some(after))) => {
            Cleanup::Eventually { after: Duration::from_millis(after) }
        }
        Some((Policy::Eventually, None)) => {
            return Err(invalid("a container that is removed eventually needs an `after`".to_owned()));
        }
        Some((_, Some(_))) => {
            return Err(invalid("`after` is for containers that are removed eventually".to_owned()));
        }
    })
}

/// As the runtimes take it.
fn checked_name(name: &str) -> Result<String, TaskFailure> {
    let is_good = name.len() <= 128
        && name.starts_with(|it: char| it.is_ascii_alphanumeric())
        && name.bytes().all(|it| it.is_ascii_alphanumeric() || b"_.-".contains(&it));
    if is_good {
        Ok(name.to_owned())
    } else {
        Err(invalid(format!("{name:?} cannot be the name of a container")))
    }
}

fn checked_image(image: &str) -> Result<String, TaskFailure> {
    let is_good = image.starts_with(|it: char| it.is_ascii_alphanumeric())
        && image.bytes().all(|it| it.is_ascii_alphanumeric() || b"_.-/:@".contains(&it));
    if is_good {
        Ok(image.to_owned())
    } else {
        Err(invalid(format!("{image:?} cannot be the name of an image")))
    }
}

fn port(text: &str) -> Result<u16, TaskFailure> {
    text.parse().ok().filter(|it| *it > 0).ok_or_else(|| invalid(format!("{text:?} is no port")))
}

/// A folder of the machine, where links are followed, and where the container has it.
fn volume(outer: &str, inner: &str, allowed: &[PathBuf]) -> Result<String, TaskFailure> {
    let (target, option) = match inner.strip_suffix(":ro") {
        Some(target) => (target, ":ro"),
        None => (inner, ""),
    };
    if !target.starts_with('/') || target.contains([':', '\0']) {
        return Err(invalid(format!("{inner:?} is no place in a container")));
    }
    let refused = || {
        let title = format!("a container may not be given the folder {outer:?}");
        TaskFailure::authorization(title).with_detail(
            "it is not there, or in none of the folders that the built-in worker was started with: --allow-container-volumes",
        )
    };
    let source = Path::new(outer).canonicalize().map_err(|_| refused())?;
    let is_allowed = allowed.iter().any(|it| it.canonicalize().is_ok_and(|it| source.starts_with(it)));
    let source = source.to_str().filter(|it| is_allowed && !it.contains(':')).ok_or_else(refused)?;
    Ok(format!("{source}:{target}{option}"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use expect_test::{Expect, expect};
    use serde_json::json;

    use super::*;

    fn invocation(definition: &Value, volumes: &[PathBuf]) -> Result<Invocation, TaskFailure> {
        Invocation::new(&Definition::deserialize(definition).unwrap(), "order-1#/do/0/größer", volumes)
    }

    fn check(definitions: &[Value], expected: Expect) {
        let said = definitions.iter().map(|it| match invocation(it, &[]) {
            Ok(it) => format!("{:?} {}", it.cleanup, it.arguments.join(" ")),
            Err(it) => it.to_string().replace("https://serverlessworkflow.io/spec/1.0.0/errors/", ""),
        });
        expected.assert_eq(&said.collect::<Vec<_>>().join("\n"));
    }

    #[test]
    fn the_runtime_is_asked_for_what_the_definition_says() {
        check(
            &[
                json!({ "image": "hello-world" }),
                json!({ "image": "quay.io/a/b:1@sha256:00", "arguments": ["--privileged", 5], "lifetime": { "cleanup": "always" } }),
                json!({
                    "image": "alpine",
                    "name": "mine",
                    "command": "echo $1",
                    "arguments": ["x y"],
                    "environment": { "A": "--b", "GONE": null },
                    "ports": { "8080": 80 },
                    "stdin": "text",
                    "pullPolicy": "never",
                    "lifetime": { "cleanup": "eventually", "after": 5000 },
                }),
            ],
            expect![[r#"
                Never run --name millrace-8f1f3c373f915087804164f346ac54ba --pull missing --security-opt no-new-privileges hello-world
                Always run --name millrace-8f1f3c373f915087804164f346ac54ba --rm --pull missing --security-opt no-new-privileges quay.io/a/b:1@sha256:00 --privileged 5
                Eventually { after: 5s } run --name mine --interactive --pull never --security-opt no-new-privileges --env A=--b --publish 8080:80 --entrypoint sh alpine -c echo $1 sh x y"#]],
        );
    }

    #[test]
    fn nothing_becomes_an_option_that_is_none() {
        check(
            &[
                json!({ "image": "--privileged" }),
                json!({ "image": "a b" }),
                json!({ "image": "a", "name": "-v" }),
                json!({ "image": "a", "name": "" }),
                json!({ "image": "a", "environment": { "": "x" } }),
                json!({ "image": "a", "ports": { "127.0.0.1:80": 80 } }),
                json!({ "image": "a", "ports": { "80": 0 } }),
                json!({ "image": "a", "lifetime": { "cleanup": "eventually" } }),
                json!({ "image": "a", "lifetime": { "cleanup": "never", "after": 1 } }),
                json!({ "image": "a", "volumes": { "/etc": "/data" } }),
                json!({ "image": "a", "volumes": { "/": "data" } }),
                json!({ "image": "a", "volumes": { "/": "/data:rw" } }),
            ],
            expect![[r#"
                permanent validation (400): "--privileged" cannot be the name of an image
                permanent validation (400): "a b" cannot be the name of an image
                permanent validation (400): "-v" cannot be the name of a container
                permanent validation (400): "" cannot be the name of a container
                permanent validation (400): "" cannot be the name of a variable
                permanent validation (400): "127.0.0.1:80" is no port
                permanent validation (400): "0" is no port
                permanent validation (400): a container that is removed eventually needs an `after`
                permanent validation (400): `after` is for containers that are removed eventually
                permanent authorization (403): a container may not be given the folder "/etc": it is not there, or in none of the folders that the built-in worker was started with: --allow-container-volumes
                permanent validation (400): "data" is no place in a container
                permanent validation (400): "/data:rw" is no place in a container"#]],
        );
    }

    #[test]
    fn a_folder_is_given_if_the_operator_allows_it_wherever_links_lead() {
        let outer = tempfile::tempdir().unwrap();
        let (allowed, other) = (outer.path().join("allowed"), outer.path().join("other"));
        std::fs::create_dir_all(allowed.join("inner")).unwrap();
        std::fs::create_dir_all(&other).unwrap();
        std::os::unix::fs::symlink(&other, allowed.join("link")).unwrap();
        let given = |folder: PathBuf| {
            let definition = json!({ "image": "a", "volumes": { folder.to_str().unwrap(): "/data:ro" } });
            invocation(&definition, std::slice::from_ref(&allowed))
        };
        let canonical = allowed.canonicalize().unwrap();
        for (folder, is_allowed) in [
            (allowed.clone(), true),
            (allowed.join("inner"), true),
            (allowed.join("link"), false),
            (allowed.join("../other"), false),
            (allowed.join("absent"), false),
            (other, false),
        ] {
            match given(folder.clone()) {
                Ok(it) => {
                    assert!(is_allowed, "{folder:?}");
                    let place = it.arguments.iter().position(|it| it == "--volume").unwrap();
                    assert!(it.arguments[place + 1].starts_with(canonical.to_str().unwrap()));
                    assert!(it.arguments[place + 1].ends_with(":/data:ro"));
                }
                Err(it) => assert!(!is_allowed && it.error.status == 403, "{folder:?} {it}"),
            }
        }
    }
}
