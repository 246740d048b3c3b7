//! Why a handler could not do its task.

use std::fmt;

use millrace_schemas::event::TaskError;

const SPEC_ERRORS: &str = "https://serverlessworkflow.io/spec/1.0.0/errors/";

/// A failed task: an error of the workflow language (RFC 7807 problem details), and whether trying again may help.
///
/// Every [`std::error::Error`] converts into a retriable failure, so `?` works in handlers.
#[derive(Clone, Debug, PartialEq)]
pub struct TaskFailure {
    /// The error that the workflow sees, and may catch by `type` and `status`.
    pub error: TaskError,
    /// Whether the retries of a surrounding `try` apply.
    pub retriable: bool,
}

impl TaskFailure {
    /// Trying again may help: a dependency is slow, absent or overloaded. Error type `runtime`, status 500, unless set.
    #[must_use]
    pub fn retriable(title: impl Into<String>) -> Self {
        Self::new(title.into(), true)
    }

    /// Trying again will not help: the retries of a surrounding `try` are skipped. Error type `runtime`, status 500, unless set.
    #[must_use]
    pub fn permanent(title: impl Into<String>) -> Self {
        Self::new(title.into(), false)
    }

    fn new(title: String, retriable: bool) -> Self {
        let error = TaskError {
            error_type: format!("{SPEC_ERRORS}runtime"),
            status: 500,
            instance: None,
            title: Some(title),
            detail: None,
        };
        Self { error, retriable }
    }

    /// The arguments are not what the function takes.
    pub(crate) fn validation(title: String) -> Self {
        Self::permanent(title).with_standard_type("validation", 400)
    }

    /// An expression that the worker evaluates is none, or fails.
    pub(crate) fn expression(title: String) -> Self {
        Self::permanent(title).with_standard_type("expression", 400)
    }

    /// The workflow and its workers do not fit together.
    pub(crate) fn configuration(title: String) -> Self {
        Self::permanent(title).with_standard_type("configuration", 400)
    }

    /// Something outside of the fleet could not be reached, or did not answer well.
    pub(crate) fn communication(title: String, status: u16, retriable: bool) -> Self {
        Self::new(title, retriable).with_standard_type("communication", status)
    }

    /// Who asks is not known: there are no credentials, or not the right ones.
    pub(crate) fn authentication(title: String) -> Self {
        Self::permanent(title).with_standard_type("authentication", 401)
    }

    /// What was asked for is not allowed here.
    pub(crate) fn authorization(title: String) -> Self {
        Self::permanent(title).with_standard_type("authorization", 403)
    }

    /// It took too long.
    pub(crate) fn timeout(title: String) -> Self {
        Self::new(title, true).with_standard_type("timeout", 408)
    }

    fn with_standard_type(mut self, name: &str, status: u16) -> Self {
        self.error.error_type = format!("{SPEC_ERRORS}{name}");
        self.error.status = status;
        self
    }

    /// With an error type: a URI that a `catch` can name.
    #[must_use]
    pub fn with_type(mut self, error_type: impl Into<String>) -> Self {
        self.error.error_type = error_type.into();
        self
    }

    /// With a status, as in HTTP.
    #[must_use]
    pub fn with_status(mut self, status: u16) -> Self {
        self.error.status = status;
        self
    }

    /// With a longer text, for people.
    #[must_use]
    pub fn with_detail(mut self, detail: impl Into<String>) -> Self {
        self.error.detail = Some(detail.into());
        self
    }
}

impl fmt::Display for TaskFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.retriable { "retriable" } else { "permanent" };
        write!(f, "{kind} {} ({})", self.error.error_type, self.error.status)?;
        for text in self.error.title.iter().chain(&self.error.detail) {
            write!(f, ": {text}")?;
        }
        Ok(())
    }
}

// `TaskFailure` itself is no `Error`, which is what leaves room for this conversion.
impl<E: std::error::Error> From<E> for TaskFailure {
    fn from(error: E) -> Self {
        let mut causes = Vec::new();
        let mut source = error.source();
        while let Some(cause) = source {
            causes.push(cause.to_string());
            source = cause.source();
        }
        let failure = Self::retriable(error.to_string());
        if causes.is_empty() {
            failure
        } else {
            failure.with_detail(format!("caused by: {}", causes.join(": ")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("the payment provider does not answer")]
    struct Outer(#[source] std::io::Error);

    #[test]
    fn an_error_becomes_a_retriable_failure_that_keeps_its_causes() {
        let failure = TaskFailure::from(Outer(std::io::Error::other("connection refused")));
        assert!(failure.retriable);
        assert_eq!(failure.error.status, 500);
        assert_eq!(failure.error.title.as_deref(), Some("the payment provider does not answer"));
        assert_eq!(failure.error.detail.as_deref(), Some("caused by: connection refused"));
    }

    #[test]
    fn a_failure_shows_what_a_reader_of_a_log_needs() {
        let failure = TaskFailure::permanent("card declined")
            .with_type("https://shop.example/declined")
            .with_status(402);
        assert_eq!(failure.to_string(), "permanent https://shop.example/declined (402): card declined");
    }
}
