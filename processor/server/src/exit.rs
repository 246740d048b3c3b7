//! How the process ends: exit codes, and errors that say what to do.

use std::process::ExitCode;

use serde::Serialize;

/// Why the process ends. The numbers are part of the command line's contract; they are listed in `millrace --help`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Done; with `--wait`, the instance completed, or the event was accepted.
    Success,
    /// Something could not be done: a server that cannot be reached, a failed check.
    Failure,
    /// The command line is wrong, or a definition was refused.
    Refused,
    /// With `--wait`: the instance ended with an error.
    Faulted,
    /// With `--wait`: the instance was cancelled.
    Cancelled,
    /// With `--wait`: the event was rejected, or became a dead letter.
    Rejected,
    /// With `--wait`: the instance had not ended, or the event was not answered, in time. It goes on.
    Timeout,
    /// There is no such instance.
    NotFound,
    /// It takes `--yes`; nothing was changed.
    Unconfirmed,
}

/// The table of exit codes for `--help`.
pub(crate) const EXIT_CODES: &str = "\
Exit codes:
  0  done; with --wait: the instance completed, or the event was accepted
  1  something could not be done (a server out of reach, a failed check); the message says what to do
  2  the command line is wrong, or a definition was refused
  3  with --wait: the instance ended with an error (faulted)
  4  with --wait: the instance was cancelled
  5  with --wait: the event was rejected, or became a dead letter
  6  with --wait: the instance had not ended, or the event was not answered, in time; it goes on
  7  there is no such instance
  8  it takes --yes; nothing was changed";

impl Exit {
    pub(crate) fn code(self) -> u8 {
        match self {
            Self::Success => 0,
            Self::Failure => 1,
            Self::Refused => 2,
            Self::Faulted => 3,
            Self::Cancelled => 4,
            Self::Rejected => 5,
            Self::Timeout => 6,
            Self::NotFound => 7,
            Self::Unconfirmed => 8,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// An error with an exit code of its own, and with what to do about it.
#[derive(Debug, thiserror::Error)]
#[error("{what}")]
pub(crate) struct Failure {
    /// How the process ends.
    pub(crate) exit: Exit,
    /// What could not be done, and where.
    pub(crate) what: String,
    /// What to do.
    pub(crate) fix: String,
    /// Whether it may be mended by itself, such as a server that is not there yet.
    pub(crate) passes: bool,
    /// Why.
    #[source]
    pub(crate) source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Failure {
    /// Something could not be done.
    pub(crate) fn new(what: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { exit: Exit::Failure, what: what.into(), fix: fix.into(), passes: false, source: None }
    }

    /// What was asked for cannot be meant.
    pub(crate) fn refused(what: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { exit: Exit::Refused, ..Self::new(what, fix) }
    }

    /// The same, with its reason.
    #[must_use]
    pub(crate) fn because(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }
}

/// An error as `--output json` shows it.
#[derive(Debug, Serialize)]
pub(crate) struct Problem {
    /// What could not be done.
    pub(crate) message: String,
    /// Why, from the outside in.
    pub(crate) causes: Vec<String>,
    /// What to do.
    pub(crate) fix: Option<String>,
    /// The exit code.
    pub(crate) exit_code: u8,
}

impl Problem {
    pub(crate) fn of(error: &anyhow::Error) -> Self {
        let failure = error.chain().find_map(|it| it.downcast_ref::<Failure>());
        Self {
            message: error.to_string(),
            causes: error.chain().skip(1).map(ToString::to_string).collect(),
            fix: failure.map(|it| it.fix.clone()),
            exit_code: failure.map_or(Exit::Failure, |it| it.exit).code(),
        }
    }

    /// For people.
    pub(crate) fn text(&self) -> String {
        let mut text = format!("error: {}\n", self.message);
        for cause in &self.causes {
            text.push_str(&format!("  because: {cause}\n"));
        }
        if let Some(fix) = &self.fix {
            text.push_str(&format!("  to do: {fix}\n"));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_exit_code_is_documented() {
        for exit in [
            Exit::Success,
            Exit::Failure,
            Exit::Refused,
            Exit::Faulted,
            Exit::Cancelled,
            Exit::Rejected,
            Exit::Timeout,
            Exit::NotFound,
            Exit::Unconfirmed,
        ] {
            assert!(EXIT_CODES.contains(&format!("\n  {}  ", exit.code())), "{exit:?}");
        }
    }

    #[test]
    fn a_failure_keeps_its_exit_code_and_its_fix_below_a_context() {
        let error =
            anyhow::Error::new(Failure::refused("no", "say yes").because("it was late")).context("asking");
        let problem = Problem::of(&error);
        assert_eq!(problem.exit_code, 2);
        assert_eq!(
            problem.text(),
            "error: asking\n  because: no\n  because: it was late\n  to do: say yes\n"
        );
    }
}
