//! Where the worker's secrets are.

use std::collections::HashMap;
use std::fmt;
use std::io::{ErrorKind, Read as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

use crate::TaskFailure;

/// How long what was read is used before it is read again: a secret that was replaced is replaced here soon.
const FRESH: Duration = Duration::from_secs(5);
/// Largest secret, in bytes: that of Kubernetes.
const BYTES_MAX: u64 = 1024 * 1024;
/// Longest name, in bytes: that of a file.
const NAME_BYTES_MAX: usize = 255;

/// The secrets that calls may use: a folder with one file for each, as Kubernetes mounts them.
///
/// The file's name is that of the secret, `.json` at its end may be left out. A secret is JSON if its file's name ends in `.json`,
/// or if it is a JSON object; otherwise it is text, without the line break at its end.
#[derive(Clone, Default)]
pub struct Secrets {
    folder: Option<Arc<Folder>>,
}

struct Folder {
    path: PathBuf,
    fresh: Duration,
    read: Mutex<HashMap<String, (Instant, Value)>>,
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secrets").field("folder", &self.folder.as_ref().map(|it| &it.path)).finish()
    }
}

impl Secrets {
    /// None: a call that needs one fails.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// Those in this folder. They are read when they are used, so there may be none yet.
    #[must_use]
    pub fn in_folder(path: impl Into<PathBuf>) -> Self {
        Self::kept_for(path.into(), FRESH)
    }

    fn kept_for(path: PathBuf, fresh: Duration) -> Self {
        Self { folder: Some(Arc::new(Folder { path, fresh, read: Mutex::default() })) }
    }

    /// A secret: JSON, or text.
    ///
    /// # Errors
    /// A permanent failure of the type `configuration` that names the secret, and says nothing of its content.
    pub(in crate::builtin) async fn get(&self, name: &str) -> Result<Value, TaskFailure> {
        if !is_name(name) {
            let problem = format!("{name:?} cannot be the name of a secret");
            return Err(TaskFailure::configuration(problem)
                .with_detail("a name has letters, digits, `-`, `_` and `.`, and does not begin with `.`"));
        }
        let Some(folder) = self.folder.clone() else {
            return Err(TaskFailure::configuration(format!("there is no secret `{name}` for this worker"))
                .with_detail("the worker has no secrets: start it with --secrets"));
        };
        if let Some(value) = folder.fresh(name) {
            return Ok(value);
        }
        let owned = name.to_owned();
        let read = tokio::task::spawn_blocking(move || {
            let value = folder.read(&owned)?;
            let mut cache = folder.read.lock().unwrap_or_else(PoisonError::into_inner);
            cache.insert(owned, (Instant::now(), value.clone()));
            Ok::<Value, Unreadable>(value)
        });
        match read.await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(unreadable)) => Err(unreadable.failure(name)),
            Err(_) => {
                Err(TaskFailure::retriable(format!("the secret `{name}` was not read: the worker ends")))
            }
        }
    }
}

/// Why there is no secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unreadable {
    Missing,
    Denied(ErrorKind),
    TooLarge,
    NoText,
    NoJson,
}

impl Unreadable {
    fn failure(self, name: &str) -> TaskFailure {
        match self {
            Self::Missing => {
                TaskFailure::configuration(format!("there is no secret `{name}` for this worker"))
                    .with_detail("put it into the worker's folder of secrets")
            }
            Self::Denied(kind) => {
                TaskFailure::configuration(format!("the secret `{name}` cannot be read: {kind}"))
            }
            Self::TooLarge => {
                TaskFailure::configuration(format!("the secret `{name}` has more than {BYTES_MAX} bytes"))
            }
            Self::NoText => TaskFailure::configuration(format!("the secret `{name}` is no text in UTF-8")),
            Self::NoJson => {
                TaskFailure::configuration(format!("the secret `{name}` should be JSON, and is not"))
            }
        }
    }
}

impl Folder {
    fn fresh(&self, name: &str) -> Option<Value> {
        let cache = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        cache.get(name).filter(|(at, _)| at.elapsed() < self.fresh).map(|(_, value)| value.clone())
    }

    fn read(&self, name: &str) -> Result<Value, Unreadable> {
        let plain = read_file(&self.path.join(name))?;
        match plain {
            Some(text) => parse(text, is_json(name)),
            None if is_json(name) => Err(Unreadable::Missing),
            None => {
                let text = read_file(&self.path.join(format!("{name}.json")))?.ok_or(Unreadable::Missing)?;
                parse(text, true)
            }
        }
    }
}

fn is_json(name: &str) -> bool {
    Path::new(name).extension().is_some_and(|it| it == "json")
}

/// Kubernetes keeps what it mounts in folders whose names begin with a dot.
fn is_name(name: &str) -> bool {
    (1..=NAME_BYTES_MAX).contains(&name.len())
        && !name.starts_with('.')
        && name.bytes().all(|it| it.is_ascii_alphanumeric() || b"-_.".contains(&it))
}

/// None if there is no such file.
fn read_file(path: &Path) -> Result<Option<String>, Unreadable> {
    let denied = |error: std::io::Error| Unreadable::Denied(error.kind());
    let file = match std::fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(denied(error)),
    };
    if !file.metadata().map_err(denied)?.is_file() {
        return Ok(None);
    }
    let mut bytes = Vec::new();
    file.take(BYTES_MAX + 1).read_to_end(&mut bytes).map_err(denied)?;
    if bytes.len() as u64 > BYTES_MAX {
        return Err(Unreadable::TooLarge);
    }
    String::from_utf8(bytes).map(Some).map_err(|_| Unreadable::NoText)
}

fn parse(text: String, is_json: bool) -> Result<Value, Unreadable> {
    match serde_json::from_str(&text) {
        Ok(value @ Value::Object(_)) => Ok(value),
        Ok(value) if is_json => Ok(value),
        Err(_) if is_json => Err(Unreadable::NoJson),
        Ok(_) | Err(_) => {
            let line = text.strip_suffix('\n').unwrap_or(&text);
            Ok(line.strip_suffix('\r').unwrap_or(line).into())
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use serde_json::json;

    use super::*;

    #[tokio::test]
    async fn a_file_is_a_secret() {
        let folder = tempfile::tempdir().unwrap();
        for (name, content) in [
            ("text", "hunter2\n"),
            ("number", "5"),
            ("shop", r#"{ "user": "me" }"#),
            ("list.json", "[1]"),
            ("bad.json", "{ hunter2"),
            ("long", &"x".repeat(1024 * 1024 + 1)),
        ] {
            std::fs::write(folder.path().join(name), content).unwrap();
        }
        std::fs::create_dir(folder.path().join("folder")).unwrap();
        let secrets = Secrets::in_folder(folder.path());
        for (name, value) in [
            ("text", json!("hunter2")),
            ("number", json!("5")),
            ("shop", json!({ "user": "me" })),
            ("list", json!([1])),
            ("list.json", json!([1])),
        ] {
            assert_eq!(secrets.get(name).await, Ok(value), "{name}");
        }
        for (name, problem) in [
            ("none", "there is no secret `none` for this worker"),
            ("folder", "there is no secret `folder` for this worker"),
            ("bad", "the secret `bad` should be JSON, and is not"),
            ("long", "the secret `long` has more than 1048576 bytes"),
            ("../shop", "\"../shop\" cannot be the name of a secret"),
            ("..data", "\"..data\" cannot be the name of a secret"),
            ("a/b", "\"a/b\" cannot be the name of a secret"),
            ("", "\"\" cannot be the name of a secret"),
        ] {
            let failure = secrets.get(name).await.unwrap_err();
            assert!(!failure.retriable);
            assert!(failure.error.error_type.ends_with("/configuration"));
            assert_eq!(failure.error.title.as_deref(), Some(problem));
            assert!(!failure.to_string().contains("hunter2"));
        }
        assert!(Secrets::none().get("text").await.unwrap_err().to_string().contains("--secrets"));
    }

    #[tokio::test]
    async fn a_secret_that_is_replaced_is_read_anew() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("key");
        let [kept, fresh] =
            [3600, 0].map(|it| Secrets::kept_for(folder.path().to_owned(), Duration::from_secs(it)));
        std::fs::write(&file, "old").unwrap();
        for secrets in [&kept, &fresh] {
            assert_eq!(secrets.get("key").await, Ok(json!("old")));
        }
        std::fs::write(&file, "new").unwrap();
        assert_eq!(kept.get("key").await, Ok(json!("old")));
        assert_eq!(fresh.get("key").await, Ok(json!("new")));
    }
}
