//! What the properties of `run` have in common. Each value may be what an expression gave, so it is judged here, whatever
//! admission has said.

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Map, Value};

use crate::TaskFailure;

/// The value of `run`, with a process of one kind.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::builtin) struct Arguments<P> {
    #[serde(rename = "script", alias = "shell", alias = "container")]
    pub(in crate::builtin) process: P,
    #[serde(default, rename = "return")]
    pub(in crate::builtin) returned: Return,
    #[serde(default = "yes", rename = "await")]
    pub(in crate::builtin) is_awaited: bool,
    /// The output of a task that does not wait. It is taken from the record, which has no secrets.
    #[serde(default, rename = "input")]
    _input: IgnoredAny,
}

fn yes() -> bool {
    true
}

/// What the task's output is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(in crate::builtin) enum Return {
    #[default]
    Stdout,
    Stderr,
    Code,
    All,
    None,
}

impl Return {
    pub(super) fn has_stdout(self) -> bool {
        matches!(self, Self::Stdout | Self::All)
    }

    pub(super) fn has_stderr(self) -> bool {
        matches!(self, Self::Stderr | Self::All)
    }

    /// An exit code that is not 0 is an output then, and no error.
    pub(super) fn has_code(self) -> bool {
        matches!(self, Self::Code | Self::All)
    }
}

/// Text, as a process takes it: what is no text is given as JSON.
pub(in crate::builtin) fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// Variables by name. One whose value is `null` is left out.
///
/// # Errors
/// A permanent failure of the type `validation`, when a name cannot be that of a variable.
pub(in crate::builtin) fn environment(
    given: Option<&Map<String, Value>>,
) -> Result<Vec<(String, String)>, TaskFailure> {
    let mut variables = Vec::new();
    for (name, value) in given.into_iter().flatten().filter(|it| !it.1.is_null()) {
        if name.is_empty() || name.contains(['=', '\0']) {
            return Err(TaskFailure::validation(format!("{name:?} cannot be the name of a variable")));
        }
        variables.push((name.clone(), text(value)));
    }
    Ok(variables)
}
