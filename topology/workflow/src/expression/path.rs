//! The expressions that workflows use most, `.`, `.a.b` and `$context.a`, without a detour through jq's own values. They give exactly what
//! jq gives: a test compares.

use std::borrow::Cow;
use std::sync::Arc;

use serde_json::Value;

use super::{GLOBALS, Variables};

/// A root and the keys below it.
#[derive(Debug)]
pub(super) struct Path {
    variable: Option<String>,
    keys: Vec<String>,
}

impl Path {
    /// The path that `text` is, if it is nothing more.
    pub(super) fn parse(text: &str, locals: &[Arc<str>]) -> Option<Self> {
        let (variable, rest) = match text.strip_prefix('$') {
            Some(rest) => {
                let end = rest.find('.').unwrap_or(rest.len());
                let name = &rest[..end];
                if !GLOBALS.contains(&name) && !locals.iter().any(|it| **it == *name) {
                    return None;
                }
                (Some(name.to_owned()), &rest[end..])
            }
            None => (None, text),
        };
        if rest.is_empty() {
            return variable.is_some().then_some(Self { variable, keys: Vec::new() });
        }
        let keys = rest.strip_prefix('.')?;
        if keys.is_empty() {
            return variable.is_none().then_some(Self { variable, keys: Vec::new() });
        }
        let keys =
            keys.split('.').map(|key| is_identifier(key).then(|| key.to_owned())).collect::<Option<_>>()?;
        Some(Self { variable, keys })
    }

    pub(super) fn follow<'a>(
        &self,
        input: &'a Value,
        variables: &'a impl Variables,
    ) -> Result<Cow<'a, Value>, String> {
        let root = match &self.variable {
            None => Cow::Borrowed(input),
            Some(name) => variables.get(name).unwrap_or(Cow::Owned(Value::Null)),
        };
        match root {
            Cow::Borrowed(value) => self.below(value).map(Cow::Borrowed),
            Cow::Owned(value) => self.below(&value).map(|it| Cow::Owned(it.clone())),
        }
    }

    fn below<'a>(&self, mut value: &'a Value) -> Result<&'a Value, String> {
        for key in &self.keys {
            value = match value {
                Value::Object(entries) => entries.get(key).unwrap_or(&Value::Null),
                Value::Null => &Value::Null,
                other => {
                    return Err(format!(
                        "cannot index {} with {key:?}",
                        super::shortened(&other.to_string())
                    ));
                }
            };
        }
        Ok(value)
    }
}

fn is_identifier(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}
