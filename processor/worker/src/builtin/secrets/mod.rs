//! Secrets: what a definition names and never holds. The worker reads them where they are used, and they stay there: neither
//! records nor logs nor errors have them.
//!
//! Reading order: [`Secrets`], where they are; `fill`, from a task's arguments to those with secrets in them; `redaction`, which
//! takes them out again of what is told.

mod fill;
mod filled;
mod redaction;
mod source;

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::{Task, TaskFailure};

pub use filled::Filled;
pub use source::Secrets;

pub(super) use fill::{Markers, fill};
pub(super) use redaction::Redaction;

impl Secrets {
    /// The arguments of a task as its function takes them: secrets stand where their markers were. Every function of the built-in
    /// worker reads its arguments here.
    ///
    /// # Errors
    /// A permanent failure: of the type `configuration` when a secret is missing, of the type `validation` when they do not fit.
    pub(super) async fn arguments<T: DeserializeOwned>(
        &self,
        task: &Task,
        redaction: &mut Redaction,
    ) -> Result<T, TaskFailure> {
        let markers: Markers = task.secrets().iter().map(|it| (it.marker.clone(), it.path.clone())).collect();
        if markers.is_empty() {
            return task.arguments();
        }
        let filled = self.filled(task.raw_arguments(), &markers, redaction).await?;
        // An error quotes what does not fit: whoever asked takes the secrets out of it.
        T::deserialize(filled).map_err(|error| {
            TaskFailure::validation(format!("the arguments of {} do not fit: {error}", task.function()))
        })
    }

    async fn filled(
        &self,
        arguments: &Value,
        markers: &Markers,
        redaction: &mut Redaction,
    ) -> Result<Value, TaskFailure> {
        let mut secrets = BTreeMap::new();
        for name in markers.values().filter_map(|it| it.first()) {
            if !secrets.contains_key(name) {
                secrets.insert(name.clone(), self.get(name).await?);
            }
        }
        fill(arguments, markers, &secrets, redaction)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use serde_json::json;

    use super::*;

    #[tokio::test]
    async fn only_the_secrets_that_are_asked_for_are_read() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("key"), "hunter2\n").unwrap();
        let secrets = Secrets::in_folder(folder.path());
        let markers = Markers::from([("m1".to_owned(), vec!["key".to_owned()])]);
        let mut redaction = Redaction::default();
        let filled = secrets.filled(&json!({ "header": "Key m1" }), &markers, &mut redaction).await.unwrap();
        assert_eq!(filled, json!({ "header": "Key hunter2" }));
        assert_eq!(redaction.text("no hunter2 here"), "no *** here");

        let markers = Markers::from([("m1".to_owned(), vec!["kee".to_owned()])]);
        let failure = secrets.filled(&json!("m1"), &markers, &mut redaction).await.unwrap_err();
        assert!(failure.error.error_type.ends_with("/configuration"), "{failure}");
        assert!(failure.to_string().contains("`kee`"), "{failure}");
    }
}
