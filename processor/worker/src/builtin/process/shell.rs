//! `run: shell`

use serde::Deserialize;
use serde_json::{Map, Value};

use super::arguments::{Arguments, environment, text};
use super::processes::{Processes, Program, folder};
use crate::{Handler, Task, TaskFailure};

/// The value of `shell`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Command {
    command: String,
    /// `$1`, `$2` and so on of the command: none of them is read as a part of it.
    arguments: Option<Vec<Value>>,
    environment: Option<Map<String, Value>>,
    stdin: Option<Value>,
}

/// The function `shell`: a command of a POSIX shell.
#[derive(Debug)]
pub struct Shell {
    processes: Processes,
}

impl Shell {
    /// The name of the function.
    pub const FUNCTION: &str = "shell";

    /// Commands, if `processes` may run them.
    #[must_use]
    pub fn new(processes: &Processes) -> Self {
        Self { processes: processes.clone() }
    }
}

impl Handler for Shell {
    async fn handle(&self, task: Task) -> Result<Value, TaskFailure> {
        self.processes.check_allowed("shell commands")?;
        let arguments: Arguments<Command> = task.arguments()?;
        let Command { command, arguments: given, environment: variables, stdin } = &arguments.process;
        let mut argv = ["/bin/sh", "-c", command, "sh"].map(str::to_owned).to_vec();
        argv.extend(given.iter().flatten().map(text));
        let program = Program {
            name: "the shell command".to_owned(),
            argv,
            environment: environment(variables.as_ref())?,
            stdin: stdin.as_ref().map(text),
            after_kill: None,
            folder: Some(folder()?),
        };
        self.processes.run(&task, program, arguments).await
    }
}
