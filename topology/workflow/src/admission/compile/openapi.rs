//! `call: openapi`: a task for the built-in worker, which has the document and knows what is in it.

use super::Compiler;
use super::call::With;
use crate::expression::Template;

/// The arguments, in the order in which the worker shows them.
const ARGUMENTS: [&str; 6] =
    ["document", "operationId", "parameters", "authentication", "output", "redirect"];

impl Compiler<'_, '_> {
    pub(super) fn openapi_arguments(&mut self, with: &With<'_>) -> Vec<(String, Template)> {
        let mut arguments = Vec::new();
        for name in ARGUMENTS {
            let Some((value, at)) = with.get(name) else { continue };
            let value = match name {
                "document" => self.resource(value, &at),
                "authentication" => self.authentication(value, &at),
                _ => self.template(value, &at),
            };
            arguments.push((name.to_owned(), value));
        }
        arguments
    }
}
