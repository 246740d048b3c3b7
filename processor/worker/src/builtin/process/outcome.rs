//! What the end of a process means: an output, or a failure.

use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;

use serde_json::{Value, json};

use super::arguments::Return;
use crate::TaskFailure;

/// Of the error output of a process that failed, so much becomes the failure's detail: its end.
pub(super) const DETAIL_BYTES_MAX: usize = 1_000;

/// A process that has ended by itself.
#[derive(Debug)]
pub(in crate::builtin) struct Ended {
    pub(super) status: ExitStatus,
    /// As far as it was asked for.
    pub(super) stdout: Vec<u8>,
    /// As far as it was asked for; else its end.
    pub(super) stderr: Vec<u8>,
}

impl Ended {
    /// As shells say it: a process that a signal ended has 128 and the signal's number.
    fn code(&self) -> i32 {
        self.status.code().or_else(|| Some(128 + self.status.signal()?)).unwrap_or(-1)
    }

    /// # Errors
    /// When the exit code is not 0, and not asked for.
    pub(in crate::builtin) fn judge(&self, name: &str, returned: Return) -> Result<Value, TaskFailure> {
        if !self.status.success() && !returned.has_code() {
            let how = match self.status.signal() {
                Some(signal) => format!("was ended by the signal {signal}"),
                None => format!("ended with the code {}", self.code()),
            };
            let failure = TaskFailure::retriable(format!("{name} {how}"));
            let said = tail(&self.stderr);
            return Err(if said.is_empty() { failure } else { failure.with_detail(said) });
        }
        Ok(match returned {
            Return::Stdout => output(&self.stdout).into(),
            Return::Stderr => output(&self.stderr).into(),
            Return::Code => self.code().into(),
            Return::All => json!({
                "code": self.code(),
                "stdout": output(&self.stdout),
                "stderr": output(&self.stderr),
            }),
            Return::None => Value::Null,
        })
    }
}

/// Text, without the line breaks at its end, as `$( )` of a shell has it.
fn output(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    text.trim_end_matches(['\n', '\r']).to_owned()
}

fn tail(bytes: &[u8]) -> String {
    let start = bytes.len().saturating_sub(DETAIL_BYTES_MAX);
    // A character that was cut in two is left out.
    let text = String::from_utf8_lossy(&bytes[start..]);
    let text = text.trim_start_matches(if start > 0 { '\u{fffd}' } else { '\0' }).trim_end();
    if start > 0 { format!("…{text}") } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(raw_status: i32, stderr: &str) -> Ended {
        Ended {
            status: ExitStatus::from_raw(raw_status),
            stdout: b"out\n\n".to_vec(),
            stderr: stderr.as_bytes().to_vec(),
        }
    }

    #[test]
    fn the_output_is_what_was_asked_for() {
        let failed = ended(3 << 8, "no such pet\n");
        for (returned, expected) in [
            (Return::Code, json!(3)),
            (Return::All, json!({ "code": 3, "stdout": "out", "stderr": "no such pet" })),
        ] {
            assert_eq!(failed.judge("it", returned), Ok(expected));
        }
        for (returned, expected) in
            [(Return::Stdout, json!("out")), (Return::Stderr, json!("hm")), (Return::None, Value::Null)]
        {
            assert_eq!(ended(0, "hm").judge("it", returned), Ok(expected));
        }
        assert_eq!(ended(9, "").judge("it", Return::Code), Ok(json!(137)));
    }

    #[test]
    fn another_code_than_0_is_a_failure_that_shows_the_end_of_what_was_said() {
        let said = |failure: Result<Value, TaskFailure>| failure.map_err(|it| it.to_string());
        let prefix = "retriable https://serverlessworkflow.io/spec/1.0.0/errors/runtime (500): the script ";
        assert_eq!(
            said(ended(3 << 8, "no such pet\n").judge("the script", Return::Stdout)),
            Err(format!("{prefix}ended with the code 3: no such pet"))
        );
        assert_eq!(
            said(ended(9, "").judge("the script", Return::None)),
            Err(format!("{prefix}was ended by the signal 9"))
        );
        let long = format!("{}é{}", "x".repeat(5_000), "y".repeat(DETAIL_BYTES_MAX - 1));
        assert_eq!(tail(long.as_bytes()), format!("…{}", "y".repeat(DETAIL_BYTES_MAX - 1)));
    }
}
