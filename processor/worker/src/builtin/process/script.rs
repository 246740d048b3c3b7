//! `run: script`

use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::arguments::{Arguments, environment, text};
use super::processes::{Processes, Program, folder, has_program};
use crate::builtin::Caller;
use crate::builtin::resources::{self, Resource};
use crate::builtin::secrets::Redaction;
use crate::{Handler, Task, TaskFailure};

/// The value of `script`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Code {
    language: String,
    code: Option<String>,
    source: Option<Resource>,
    arguments: Option<Vec<Value>>,
    environment: Option<Map<String, Value>>,
    stdin: Option<Value>,
}

/// A language that scripts may be written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Language {
    /// What runs it.
    interpreter: &'static str,
    /// `.mjs` is a module, which may `import`, as the language's own examples do.
    file: &'static str,
}

const JAVASCRIPT: Language = Language { interpreter: "node", file: "script.mjs" };
const PYTHON: Language = Language { interpreter: "python3", file: "script.py" };

impl Language {
    fn of(name: &str) -> Result<Self, TaskFailure> {
        match name.to_ascii_lowercase().as_str() {
            "javascript" | "js" => Ok(JAVASCRIPT),
            "python" => Ok(PYTHON),
            _ => Err(TaskFailure::validation(format!("{name:?} is no language of scripts"))
                .with_detail("write `javascript` or `python`")),
        }
    }
}

/// The function `script`: code in JavaScript, by `node`, or in Python, by `python3`.
#[derive(Debug)]
pub struct Script {
    processes: Processes,
    caller: Caller,
}

impl Script {
    /// The name of the function.
    pub const FUNCTION: &str = "script";

    /// Scripts, if `processes` may run them; those from elsewhere are got by `caller`.
    #[must_use]
    pub fn new(processes: &Processes, caller: &Caller) -> Self {
        Self { processes: processes.clone(), caller: caller.clone() }
    }

    async fn code(&self, script: &Code) -> Result<Vec<u8>, TaskFailure> {
        match (&script.code, &script.source) {
            (Some(code), None) => Ok(code.clone().into_bytes()),
            (None, Some(source)) => {
                let mut redaction = Redaction::default();
                let got = resources::get::<Bytes>(&self.caller, source, &mut redaction).await;
                got.map(|it| it.to_vec()).map_err(|it| redaction.failure(it))
            }
            _ => Err(TaskFailure::validation("a script has either a `code` or a `source`".to_owned())),
        }
    }
}

impl Handler for Script {
    async fn handle(&self, task: Task) -> Result<Value, TaskFailure> {
        self.processes.check_allowed("scripts")?;
        let arguments: Arguments<Code> = task.arguments()?;
        let script = &arguments.process;
        let language = Language::of(&script.language)?;
        if !has_program(language.interpreter) {
            let failure = TaskFailure::configuration(format!("the worker has no {}", language.interpreter));
            return Err(failure.with_detail("install it where the worker runs, or use an image that has it"));
        }
        let code = self.code(script).await?;
        let folder = folder()?;
        tokio::fs::write(folder.path().join(language.file), code).await.map_err(|error| {
            TaskFailure::retriable("the script cannot be written down").with_detail(error.to_string())
        })?;
        let mut argv = vec![language.interpreter.to_owned(), language.file.to_owned()];
        argv.extend(script.arguments.iter().flatten().map(text));
        let program = Program {
            name: "the script".to_owned(),
            argv,
            environment: environment(script.environment.as_ref())?,
            stdin: script.stdin.as_ref().map(text),
            after_kill: None,
            folder: Some(folder),
        };
        self.processes.run(&task, program, arguments).await
    }
}
