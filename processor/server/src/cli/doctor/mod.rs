//! `millrace doctor`: checks the servers, the topics and the fleet from outside, one line a check.

mod fleet;
mod servers;

use serde::Serialize;

use crate::clients::Kafka;
use crate::config::Global;
use crate::exit::Exit;
use crate::output::{Output, count};

/// How a check came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum State {
    Ok,
    Warn,
    Fail,
}

/// One line.
#[derive(Clone, Debug, Serialize)]
struct Check {
    name: &'static str,
    state: State,
    message: String,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    fix: Option<String>,
}

impl Check {
    fn ok(name: &'static str, message: impl Into<String>) -> Self {
        Self { name, state: State::Ok, message: message.into(), fix: None }
    }

    fn warn(name: &'static str, message: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { name, state: State::Warn, message: message.into(), fix: Some(fix.into()) }
    }

    fn fail(name: &'static str, message: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { name, state: State::Fail, message: message.into(), fix: Some(fix.into()) }
    }
}

#[derive(Serialize)]
struct Document {
    /// The worst of all checks.
    state: State,
    checks: Vec<Check>,
}

pub(crate) async fn run(global: &Global, output: Output) -> anyhow::Result<Exit> {
    let checks = output.patiently("checking", all(global)).await;
    let state =
        [State::Fail, State::Warn].into_iter().find(|state| checks.iter().any(|it| it.state == *state));
    let document = Document { state: state.unwrap_or(State::Ok), checks };
    output.show(&document, || text(&document.checks))?;
    Ok(if document.state == State::Fail { Exit::Failure } else { Exit::Success })
}

/// What depends on a server that is not there is left out: its one line says enough.
async fn all(global: &Global) -> Vec<Check> {
    let kafka = Kafka::new(global);
    let mut checks = vec![servers::kafka(global, &kafka).await];
    let has_kafka = checks[0].state != State::Fail;
    checks.extend(servers::registry(global).await);
    let mut store = None;
    if global.names_store() {
        let (check, found) = servers::store(global).await;
        checks.push(check);
        store = found;
    } else {
        checks.push(servers::api(global).await);
    }
    if has_kafka {
        checks.extend(fleet::all(global, &kafka, store.as_ref()).await);
    }
    checks
}

fn text(checks: &[Check]) -> String {
    let mut text = String::new();
    for check in checks {
        let state = match check.state {
            State::Ok => "ok  ",
            State::Warn => "WARN",
            State::Fail => "FAIL",
        };
        text.push_str(&format!("{state}  {:<13}{}\n", check.name, check.message));
        if let Some(fix) = &check.fix {
            text.push_str(&format!("      {:<13}to do: {fix}\n", ""));
        }
    }
    let number = |state| checks.iter().filter(|it| it.state == state).count();
    let (failed, warned) = (number(State::Fail), number(State::Warn));
    text.push_str(&match (failed, warned) {
        (0, 0) => "all is well\n".to_owned(),
        (0, _) => format!("{}\n", count(warned, "warning")),
        (_, _) => format!("{}, {}\n", count(failed, "failure"), count(warned, "warning")),
    });
    text
}

/// An error in one line, with its causes.
fn chain(error: &anyhow::Error) -> String {
    format!("{error:#}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_check_is_one_line_and_what_is_wrong_says_what_to_do() {
        let checks = [Check::ok("kafka", "1 broker"), Check::fail("store", "no answer", "start it")];
        expect_test::expect![[r#"
            ok    kafka        1 broker
            FAIL  store        no answer
                               to do: start it
            1 failure, 0 warnings
        "#]]
        .assert_eq(&text(&checks));
    }
}
