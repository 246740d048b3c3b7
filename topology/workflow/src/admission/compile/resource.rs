//! External resources: what a definition refers to, and the built-in worker gets.

use serde_json::Value;

use super::{Compiler, Scope};
use crate::data_uri;
use crate::expression::Template;

/// Largest content of a `data:` URI, in bytes: it is in the record of each task that needs it.
const DATA_BYTES_MAX: usize = 512 * 1024;

impl Compiler<'_, '_> {
    /// An external resource: where it is, and how to be let in there. The policy stands beside the endpoint, where no data can put
    /// one.
    pub(super) fn resource(&mut self, value: &Value, scope: &Scope) -> Template {
        let mut entries = Vec::new();
        if let Some(endpoint) = value.get("endpoint") {
            let scope = scope.below("endpoint");
            let (uri, at) = match endpoint.get("uri") {
                Some(uri) => (uri, scope.below("uri")),
                None => (endpoint, scope.clone()),
            };
            let data = uri.as_str().filter(|it| data_uri::content(it).is_some());
            let place = match data {
                Some(data) => self.data(data, &at),
                None => self.uri(uri, &at),
            };
            entries.push(("endpoint".to_owned(), place));
            if let Some(policy) = endpoint.get("authentication") {
                let at = scope.below("authentication");
                if data.is_some() {
                    let message = "what is in a `data:` URI is had without credentials";
                    self.report.error(&at.pointer, message, "remove `authentication`");
                }
                entries.push(("authentication".to_owned(), self.authentication(policy, &at)));
            }
        }
        Template::of_object(entries)
    }

    /// A content that stands in the definition. It is no template: what looks like a name in it is a part of it.
    fn data(&mut self, uri: &str, scope: &Scope) -> Template {
        if let Err(problem) = data_uri::decode(uri, DATA_BYTES_MAX) {
            let message = format!("this `data:` URI cannot be used: {problem}");
            let fix = "write such as `data:text/plain;base64,SGVsbG8=`, or refer to where it is";
            self.report.error(&scope.pointer, message, fix);
        }
        Template::of_constant(uri.into())
    }
}
