//! Expressions: jq, by `jaq`, with guards.
//!
//! No process, file or environment is in reach; `now` is the record's time; only the first output counts; what it takes to
//! compute, and what comes out, is bounded. What an expression gave is recorded in the events, so it is never evaluated again on replay.

mod compile;
mod convert;
mod functions;
mod guard;
mod json_text;
mod library;
mod meter;
mod path;
mod regex;
mod secrets;
mod template;
mod uri;
mod value;

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use millrace_schemas::Timestamp;
use serde_json::Value;

pub use meter::{
    BYTES_MAX, COMMAND_FUEL_MAX, DIGITS_MAX, FUEL_MAX, PATH_MAX, STACK_BYTES_MAX, TEXT_BYTES_MAX,
    VALUE_DEPTH_MAX, for_command,
};
pub(crate) use secrets::secrets;
pub use template::Template;
pub use uri::UriTemplate;

use compile::Filter;
use path::Path;

/// Largest output of one expression, in bytes of JSON, approximately.
pub const OUTPUT_BYTES_MAX: usize = 1024 * 1024;

/// Deepest nesting of an output. What is nested deeper could be written, but not be read again.
pub const OUTPUT_DEPTH_MAX: usize = 100;

/// Variables that every expression may name, without `$`.
pub const GLOBALS: [&str; 8] =
    ["context", "input", "output", "secrets", "authorization", "task", "workflow", "runtime"];

/// An expression that does not compile, or that failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expression `{expression}`: {detail}")]
pub struct ExpressionError {
    /// As it is in the definition, shortened.
    pub expression: String,
    /// What went wrong.
    pub detail: String,
}

/// What an expression may look at besides its input.
pub trait Variables {
    /// The value of a variable, named without `$`. Asked only for variables that the expression names. None is null.
    fn get(&self, name: &str) -> Option<Cow<'_, Value>>;
    /// What `now` is.
    fn at(&self) -> Timestamp;
}

/// A compiled expression. Cheap to clone.
#[derive(Clone)]
pub struct Expression {
    text: Arc<str>,
    code: Arc<Code>,
}

enum Code {
    /// A plain path such as `.a.b` or `$context.x`: followed without converting the data.
    Path(Path),
    Jq(Box<Filter>),
}

impl Expression {
    /// Compiles `text`, with or without `${ … }` around it. `locals` are the loop and catch variables in scope, without `$`.
    ///
    /// # Errors
    /// When it is no jq, or names a variable or a function that does not exist or is not allowed.
    pub fn compile(text: &str, locals: &[Arc<str>]) -> Result<Self, ExpressionError> {
        let body = unwrap(text).unwrap_or(text).trim();
        let code = match Path::parse(body, locals) {
            Some(path) => Code::Path(path),
            None => {
                let filter = guard::check(body).and_then(|()| Filter::compile(body, locals));
                Code::Jq(Box::new(filter.map_err(|detail| error(body, detail))?))
            }
        };
        Ok(Self { text: body.into(), code: Arc::new(code) })
    }

    /// As it is in the definition, without `${ … }`.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The variables that it names, without `$`, or seems to: a text with `$name` in it counts.
    #[must_use]
    pub fn mentions(&self) -> BTreeSet<&str> {
        let names = self.text.split('$').skip(1).map(|rest| {
            let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
            &rest[..end]
        });
        names.filter(|it| !it.is_empty()).collect()
    }

    /// The first output.
    ///
    /// # Errors
    /// When it fails, has no output, or one that is too large or no JSON.
    pub fn evaluate(&self, input: &Value, variables: &impl Variables) -> Result<Value, ExpressionError> {
        match &*self.code {
            Code::Path(path) => path.follow(input, variables).map(Cow::into_owned),
            Code::Jq(filter) => filter.first(input, variables),
        }
        .map_err(|detail| error(&self.text, detail))
    }

    /// The output as a condition: true is true, false and null are false.
    ///
    /// # Errors
    /// As [`Self::evaluate`]; also when the output is anything else.
    pub fn is_true(&self, input: &Value, variables: &impl Variables) -> Result<bool, ExpressionError> {
        match self.evaluate(input, variables)? {
            Value::Bool(is) => Ok(is),
            Value::Null => Ok(false),
            other => Err(error(
                &self.text,
                format!("a condition must give true or false, this gave {}", shortened(&other.to_string())),
            )),
        }
    }
}

impl fmt::Debug for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "${{ {} }}", self.text)
    }
}

/// What is inside of `${ … }`, if the string is wholly that.
#[must_use]
pub fn unwrap(text: &str) -> Option<&str> {
    text.trim().strip_prefix("${")?.strip_suffix('}')
}

/// Whether `code` names the variable `name` (without `$`), or seems to: a string with `$name` in it counts.
pub(crate) fn names(code: &str, name: &str) -> bool {
    let wanted = format!("${name}");
    code.match_indices(&wanted).any(|(at, _)| {
        !code[at + wanted.len()..].starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
    })
}

fn error(text: &str, detail: String) -> ExpressionError {
    ExpressionError { expression: shortened(text), detail }
}

fn shortened(text: &str) -> String {
    const CHARS_MAX: usize = 200;
    match text.char_indices().nth(CHARS_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
