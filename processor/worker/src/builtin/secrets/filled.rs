//! Secrets for functions that know nothing of them.

use serde_json::Value;

use super::{Redaction, Secrets};
use crate::{Handler, Task, TaskFailure};

/// A function whose arguments have the secrets in the places of their markers. What goes wrong is told without them.
#[derive(Debug)]
pub struct Filled<H> {
    function: H,
    secrets: Secrets,
}

impl Secrets {
    /// `function`, given these secrets.
    #[must_use]
    pub fn fill<H: Handler>(&self, function: H) -> Filled<H> {
        Filled { function, secrets: self.clone() }
    }
}

impl<H: Handler> Handler for Filled<H> {
    async fn handle(&self, task: Task) -> Result<Value, TaskFailure> {
        if task.secrets().is_empty() {
            return self.function.handle(task).await;
        }
        let mut redaction = Redaction::default();
        let arguments: Value = self.secrets.arguments(&task, &mut redaction).await?;
        let done = self.function.handle(task.with_arguments(arguments)).await;
        done.map_err(|it| redaction.failure(it))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use millrace_schemas::event::SecretMarker;
    use serde_json::json;

    use super::*;
    use crate::task::tests::command;

    #[tokio::test]
    async fn a_function_sees_secrets_and_its_failure_does_not() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("key"), "hunter2").unwrap();
        let secrets = Secrets::in_folder(folder.path());
        let mut command = command("f", json!({ "key": "Key <secret 1>" }));
        command.secrets =
            vec![SecretMarker { marker: "<secret 1>".to_owned(), path: vec!["key".to_owned()] }];
        let function = |task: Task| async move {
            assert_eq!(task.raw_arguments(), &json!({ "key": "Key hunter2" }));
            Err::<Value, _>(TaskFailure::validation("hunter2 is wrong".to_owned()))
        };
        let failure = secrets.fill(function).handle(Task::detached(command)).await.unwrap_err();
        let told = format!("{failure:?}");
        assert!(told.contains("*** is wrong") && !told.contains("hunter2"), "{told}");
    }
}
