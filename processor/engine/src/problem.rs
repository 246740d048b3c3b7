//! Errors of the language that the engine itself raises. URIs and statuses are those of the DSL's standard errors.

use millrace_schemas::event::TaskError;

const BASE: &str = "https://serverlessworkflow.io/spec/1.0.0/errors/";

fn standard(name: &str, status: u16, title: &str, task: &str, detail: String) -> TaskError {
    TaskError {
        error_type: format!("{BASE}{name}"),
        status,
        instance: Some(task.to_owned()),
        title: Some(title.to_owned()),
        detail: Some(shortened(detail)),
    }
}

/// An error from outside, or from an expression, with texts that are no longer than people can read: an error is recorded for
/// each scope that it passes.
pub(crate) fn bounded(error: TaskError) -> TaskError {
    let TaskError { error_type, status, instance, title, detail } = error;
    TaskError {
        error_type: shortened(error_type),
        status,
        instance: instance.map(shortened),
        title: title.map(shortened),
        detail: detail.map(shortened),
    }
}

/// Longest text of an error, in characters.
const CHARS_MAX: usize = 2_000;

fn shortened(text: String) -> String {
    match text.char_indices().nth(CHARS_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

/// What was asked for is not there, or not allowed, as things are set up.
pub(crate) fn configuration(task: &str, detail: String) -> TaskError {
    standard("configuration", 400, "Configuration Error", task, detail)
}

/// Data that breaks its schema.
pub(crate) fn validation(task: &str, detail: String) -> TaskError {
    standard("validation", 400, "Validation Error", task, detail)
}

/// An expression that failed, or gave something of the wrong kind.
pub(crate) fn expression(task: &str, detail: String) -> TaskError {
    standard("expression", 400, "Expression Error", task, detail)
}

/// Too late.
pub(crate) fn timeout(task: &str, detail: String) -> TaskError {
    standard("timeout", 408, "Timeout Error", task, detail)
}

/// A worker could not be reached, or could not reach what it needs: trying again may help.
pub(crate) fn communication(task: &str, detail: String) -> TaskError {
    standard("communication", 500, "Communication Error", task, detail)
}

/// Anything else that goes wrong while running: trying again does not help.
pub(crate) fn runtime(task: &str, detail: String) -> TaskError {
    standard("runtime", 500, "Runtime Error", task, detail)
}
