//! The record of `<prefix>.definitions`: an admitted workflow definition.

use std::sync::Arc;

use crate::{Timestamp, WorkflowName, WorkflowVersion};

/// A workflow definition as it was deployed. The record's key is `namespace/name/version`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Definition {
    /// `document.namespace`
    pub namespace: Arc<str>,
    /// `document.name`
    pub name: Arc<str>,
    /// `document.version`
    pub version: Arc<str>,
    /// `application/yaml` or `application/json`
    pub media_type: String,
    /// The text, byte for byte.
    pub text: String,
    /// SHA-256 of the definition's JSON in its canonical form, in hexadecimal. A version never changes: another digest under the
    /// same key is refused.
    pub digest: String,
    /// The deployer's clock.
    pub deployed_at: Timestamp,
}

impl Definition {
    /// Which version of which workflow; its text form is the record's key.
    #[must_use]
    pub fn workflow(&self) -> WorkflowVersion {
        WorkflowVersion {
            workflow: WorkflowName { namespace: self.namespace.clone(), name: self.name.clone() },
            version: self.version.clone(),
        }
    }
}
