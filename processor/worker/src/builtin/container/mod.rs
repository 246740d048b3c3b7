//! `run: container`: a container, by the runtime of the operator's choice, such as Docker or Podman. What the runtime is asked for is
//! decided in `command`; here it is asked.
//!
//! Each container has a name. Without one in the definition it is made of the task's idempotency key, so that a task that is
//! delivered twice cannot run twice side by side: the runtime refuses the second name.

mod command;
#[cfg(test)]
mod tests;

use std::path::PathBuf;

use serde_json::Value;

use super::process::{Arguments, Processes, Program, text};
use crate::{Handler, Task, TaskFailure};

use command::{Cleanup, Definition, Invocation};

/// Which containers are run.
#[derive(Clone, Debug, Default)]
pub struct ContainerSettings {
    /// `docker`, `podman`, or the path of what takes the same arguments. None: no containers.
    pub runtime: Option<String>,
    /// Folders of the machine that containers may be given, with all that is in them.
    pub volumes: Vec<PathBuf>,
}

/// The function `container`.
#[derive(Debug)]
pub struct Container {
    processes: Processes,
    settings: ContainerSettings,
}

impl Container {
    /// The name of the function.
    pub const FUNCTION: &str = "container";

    /// Containers, in the time and with the output that `processes` has for programs. The runtime's command need not be allowed
    /// there: it is the operator's.
    #[must_use]
    pub fn new(processes: &Processes, settings: ContainerSettings) -> Self {
        Self { processes: processes.clone(), settings }
    }
}

impl Handler for Container {
    async fn handle(&self, task: Task) -> Result<Value, TaskFailure> {
        let Some(runtime) = &self.settings.runtime else {
            let title = "the built-in worker may not run containers".to_owned();
            return Err(TaskFailure::configuration(title).with_detail(
                "if definitions may run containers, start it with --container-runtime docker (or podman)",
            ));
        };
        let arguments: Arguments<Definition> = task.arguments()?;
        let invocation = Invocation::new(&arguments.process, task.idempotency_key(), &self.settings.volumes)?;
        let ask = |arguments: &[String]| [std::slice::from_ref(runtime), arguments].concat();
        if invocation.is_name_ours {
            // What is left of an earlier attempt or delivery. One that still runs is not removed, and its name not given again.
            self.processes.run_quietly(ask(&invocation.remove_if_ended())).await;
        }
        let program = Program {
            name: "the container".to_owned(),
            argv: ask(&invocation.arguments),
            // Not the container's: they would be the runtime's own.
            environment: Vec::new(),
            stdin: arguments.process.stdin.as_ref().map(text),
            after_kill: Some(ask(&invocation.remove())),
            folder: None,
        };
        let result = self.processes.run(&task, program, arguments).await;
        if let Cleanup::Eventually { after } = invocation.cleanup {
            self.processes.run_later(after, ask(&invocation.remove()));
        }
        result
    }
}
