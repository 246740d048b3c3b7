//! What a definition says about being looked at: `searchAttributes` and `queries` of `document.metadata.millrace`.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use super::{Compiler, Scope};
use crate::expression::{self, Template};
use crate::program::{ATTRIBUTE_TEXT_BYTES_MAX, ATTRIBUTES_MAX};

/// Longest name of an attribute or a query, in bytes.
const NAME_BYTES_MAX: usize = 64;
/// Most queries: they are compiled with the definition.
const QUERIES_MAX: usize = 64;

impl Compiler<'_, '_> {
    /// What instances are found by: of each a text, a number, `true` or `false`, or an expression in `${ }` that gives one.
    pub(super) fn attributes(&mut self, value: &Value, scope: &Scope) -> BTreeMap<Arc<str>, Template> {
        let fix = "write such as `searchAttributes: { customer: '${ .customer }' }`";
        let entries = self.entries(value, scope, ("search attributes", ATTRIBUTES_MAX), fix);
        let mut attributes = BTreeMap::new();
        for (name, value) in entries {
            let scope = scope.below(&name);
            let template = self.template(&value, &scope);
            let text = value.as_str().filter(|it| expression::unwrap(it).is_none());
            let is_short = text.is_none_or(|it| (1..=ATTRIBUTE_TEXT_BYTES_MAX).contains(&it.len()));
            if value.is_array() || value.is_object() || value.is_null() {
                let message = "a search attribute is a text, a number, `true` or `false`";
                self.report.error(
                    &scope.pointer,
                    message,
                    "write one, or an expression in `${ }` that gives one",
                );
            } else if !is_short {
                let message =
                    format!("the text of a search attribute has from 1 to {ATTRIBUTE_TEXT_BYTES_MAX} bytes");
                self.report.error(&scope.pointer, message, "write a shorter one");
            }
            attributes.insert(name.into(), template);
        }
        attributes
    }

    /// What may be asked of an instance by name: text is an expression, anything else JSON with expressions in `${ }`.
    pub(super) fn queries(&mut self, value: &Value, scope: &Scope) -> BTreeMap<Arc<str>, Template> {
        let fix = "write such as `queries: { progress: '${ $context.done }' }`";
        let mut queries = BTreeMap::new();
        for (name, value) in self.entries(value, scope, ("queries", QUERIES_MAX), fix) {
            let scope = scope.below(&name);
            let template = match &value {
                Value::String(text) => self.compile_expression(text, &scope).map(Template::of_expression),
                value => Some(self.template(value, &scope)),
            };
            queries.extend(template.map(|it| (name.into(), it)));
        }
        queries
    }

    /// A mapping of legal names, not too many.
    fn entries(
        &mut self,
        value: &Value,
        scope: &Scope,
        (what, max): (&str, usize),
        fix: &str,
    ) -> Vec<(String, Value)> {
        let Some(entries) = value.as_object() else {
            self.report.error(&scope.pointer, format!("{what} are a mapping"), fix);
            return Vec::new();
        };
        if entries.len() > max {
            self.report.error(
                &scope.pointer,
                format!("{} {what}, and {max} are allowed", entries.len()),
                "keep those that people ask for",
            );
        }
        let is_legal = |name: &str| {
            name.len() <= NAME_BYTES_MAX
                && name.starts_with(|it: char| it.is_ascii_alphabetic())
                && name.bytes().all(|it| it.is_ascii_alphanumeric() || b"_-".contains(&it))
        };
        for name in entries.keys().filter(|it| !is_legal(it)) {
            let message = format!("`{name}` cannot be a name among {what}");
            let fix =
                format!("begin with a letter, use letters, digits, `_` and `-`, at most {NAME_BYTES_MAX}");
            self.report.error(&scope.at(name), message, fix);
        }
        entries.iter().map(|(name, value)| (name.clone(), value.clone())).collect()
    }
}
