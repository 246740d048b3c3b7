//! Starting programs.

use std::ffi::OsString;
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use tokio::process::Command;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::arguments::{Arguments, Return};
use super::running::{Finally, Running, Trouble, quiet};
use crate::{Task, TaskFailure};

/// Longest time of a program whose task has a later deadline: a place in the worker is not held for ever.
const TIMEOUT_MAX: Duration = Duration::from_secs(60 * 60);

/// Most programs that run although nobody waits for them.
const UNAWAITED_MAX: usize = 64;

/// Longest time of a command that tidies up.
const QUIET_TIMEOUT: Duration = Duration::from_secs(30);

/// Where programs are looked for, if the worker itself does not say.
const PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// Sets the limits, then becomes the program. A limit that cannot be set is no reason to stop if there is a lower one already.
///
/// A process can only limit itself, before it becomes another program; to run code of ours between the two would be unsafe, so a
/// shell does it.
const LIMITED: &str = r#"
limit() {
  ulimit "$1" "$2" 2>/dev/null && return
  case "$(ulimit -H "$1" 2>/dev/null)" in
    '' | unlimited) echo "this machine cannot limit a process by ulimit $1" >&2; exit 126 ;;
  esac
}
limit -c 0
limit -t "$1"
limit -v "$2"
limit -f "$3"
ulimit -u "$4" 2>/dev/null || limit -p "$4"
shift 4
exec "$@"
"#;

/// Which programs are run, and how.
#[derive(Clone, Debug)]
pub struct ProcessSettings {
    /// Whether definitions may run programs on the worker's machine, as its user.
    pub is_allowed: bool,
    /// What a program may use.
    pub limits: ProcessLimits,
    /// Largest output, and largest error output, that a task may ask for, in bytes.
    pub output_bytes_max: usize,
    /// Longest time of a program whose task has no timeout.
    pub timeout: Duration,
    /// How long a program may take to end when it is asked to. It is killed then.
    pub kill_grace: Duration,
}

impl Default for ProcessSettings {
    /// No programs. Output up to 1 MiB, 60 s, 5 s to end.
    fn default() -> Self {
        Self {
            is_allowed: false,
            limits: ProcessLimits::default(),
            output_bytes_max: 1024 * 1024,
            timeout: Duration::from_secs(60),
            kill_grace: Duration::from_secs(5),
        }
    }
}

/// Limits of the operating system (`setrlimit`) that each program gets.
#[derive(Clone, Copy, Debug)]
pub struct ProcessLimits {
    /// Time on processors, in seconds, of each process.
    pub cpu_seconds: u64,
    /// Address space of each process, in bytes.
    pub memory_bytes: u64,
    /// Largest file that is written, in bytes.
    pub file_bytes: u64,
    /// Processes and threads of the worker's user in all, its own and those of other programs among them. Has no effect for root.
    pub processes: u64,
}

impl Default for ProcessLimits {
    /// 10 minutes, 4 GiB (Node.js reserves about 1), files of 256 MiB, 4096 processes.
    fn default() -> Self {
        Self { cpu_seconds: 10 * 60, memory_bytes: 4 << 30, file_bytes: 256 << 20, processes: 4096 }
    }
}

/// What to run.
#[derive(Debug)]
pub(in crate::builtin) struct Program {
    /// In messages, such as `the script`.
    pub(in crate::builtin) name: String,
    pub(in crate::builtin) argv: Vec<String>,
    pub(in crate::builtin) environment: Vec<(String, String)>,
    pub(in crate::builtin) stdin: Option<String>,
    /// A command that removes what it leaves when it is killed. Only a program of the operator's has one.
    pub(in crate::builtin) after_kill: Option<Vec<String>>,
    /// Its working folder, and what is in it at first; none for a program of the operator's, which runs as the worker does.
    pub(in crate::builtin) folder: Option<TempDir>,
}

/// Runs programs. Dropped, it kills those that nobody waits for. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Processes {
    runner: Arc<Runner>,
    /// The programs that nobody waits for have the runner, and not this.
    _stop: Arc<DropGuard>,
}

#[derive(Debug)]
struct Runner {
    settings: ProcessSettings,
    /// Places of programs that nobody waits for.
    unawaited: Arc<Semaphore>,
    stop: CancellationToken,
}

impl Processes {
    /// A runner of programs.
    #[must_use]
    pub fn new(settings: ProcessSettings) -> Self {
        let stop = CancellationToken::new();
        let runner =
            Runner { settings, unawaited: Arc::new(Semaphore::new(UNAWAITED_MAX)), stop: stop.clone() };
        Self { runner: Arc::new(runner), _stop: Arc::new(stop.drop_guard()) }
    }

    /// # Errors
    /// When the operator allows no programs.
    pub(super) fn check_allowed(&self, what: &str) -> Result<(), TaskFailure> {
        if self.runner.settings.is_allowed {
            return Ok(());
        }
        let failure = TaskFailure::configuration(format!("the built-in worker may not run {what}"));
        Err(failure.with_detail(
            "if definitions may run programs on the worker's machine, start it with --allow-processes",
        ))
    }

    /// Runs a program for a task: to its end, or, if it is not awaited, until it is started.
    ///
    /// # Errors
    /// When it cannot be started, takes too long, writes too much, or ends with another code than 0 that is not asked for.
    pub(in crate::builtin) async fn run<P>(
        &self,
        task: &Task,
        program: Program,
        arguments: Arguments<P>,
    ) -> Result<Value, TaskFailure> {
        let runner = &self.runner;
        let limit = task.time_left().map_or(runner.settings.timeout, |it| it.min(TIMEOUT_MAX));
        if arguments.is_awaited {
            return runner.finish(runner.start(program)?, arguments.returned, limit).await;
        }
        let Ok(place) = runner.unawaited.clone().try_acquire_owned() else {
            let title =
                format!("{UNAWAITED_MAX} programs run that nobody waits for; there is no room for more");
            return Err(TaskFailure::retriable(title));
        };
        let started = runner.start(program)?;
        let runner = runner.clone();
        let (instance, reference) = (task.instance().clone(), task.reference().to_owned());
        tokio::spawn(async move {
            let name = started.name.clone();
            let result = tokio::select! {
                result = runner.finish(started, Return::None, limit) => result,
                () = runner.stop.cancelled() => Err(TaskFailure::retriable(format!("{name} was stopped with the worker"))),
            };
            if let Err(failure) = result {
                tracing::warn!(%instance, task = reference, %failure, "a program that nobody waits for failed");
            }
            drop(place);
        });
        // Not as the program has seen it: secrets are for the program, and this goes into the records.
        Ok(task.unfilled_arguments().get("input").cloned().unwrap_or_default())
    }
}

impl Processes {
    /// Runs a command of the operator's, whatever comes of it.
    pub(in crate::builtin) async fn run_quietly(&self, argv: Vec<String>) {
        run_quietly(&argv).await;
    }

    /// Runs a command of the operator's after a while, or when the worker stops.
    pub(in crate::builtin) fn run_later(&self, after: Duration, argv: Vec<String>) {
        // Dropped, when the worker stops or with the runtime, it starts the command and does not wait.
        let mut command = Finally(Some(argv));
        let stop = self.runner.stop.clone();
        tokio::spawn(async move {
            if timeout(after, stop.cancelled()).await.is_err()
                && let Some(argv) = command.0.take()
            {
                run_quietly(&argv).await;
            }
        });
    }
}

async fn run_quietly(argv: &[String]) {
    let Some(command) = quiet(argv) else { return };
    let status = Command::from(command).kill_on_drop(true).status();
    match timeout(QUIET_TIMEOUT, status).await {
        Ok(Ok(_)) => {}
        Ok(Err(error)) => tracing::warn!(%error, command = argv[0], "a command cannot be run"),
        Err(_) => tracing::warn!(command = argv[0], "a command did not end in time"),
    }
}

/// A program that was started.
#[derive(Debug)]
struct Started {
    name: String,
    running: Running,
    stdin: Option<String>,
}

impl Runner {
    fn start(&self, program: Program) -> Result<Started, TaskFailure> {
        let Program { name, argv, environment, stdin, after_kill, folder } = program;
        let mut command = match &folder {
            Some(folder) => self.confined(&argv, folder),
            None => {
                let mut command = Command::new(&argv[0]);
                command.args(&argv[1..]);
                command
            }
        };
        command
            .envs(environment)
            .stdin(if stdin.is_some() { Stdio::piped() } else { Stdio::null() })
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        match Running::start(&mut command, folder, after_kill, self.settings.kill_grace) {
            Ok(running) => Ok(Started { name, running, stdin }),
            Err(error)
                if matches!(error.kind(), ErrorKind::ArgumentListTooLong | ErrorKind::InvalidInput) =>
            {
                let title = format!("{name} cannot be started with these arguments");
                Err(TaskFailure::validation(title).with_detail(error.to_string()))
            }
            Err(error) => {
                let title = format!("{name} cannot be started");
                Err(TaskFailure::retriable(title).with_detail(error.to_string()))
            }
        }
    }

    /// A program that a definition brings along: within limits, in a folder of its own, with nothing of the worker's environment but
    /// the places of programs.
    fn confined(&self, argv: &[String], folder: &TempDir) -> Command {
        let ProcessLimits { cpu_seconds, memory_bytes, file_bytes, processes } = self.settings.limits;
        // As `ulimit` counts them.
        let limits = [cpu_seconds, memory_bytes / 1024, file_bytes / 512, processes];
        let mut command = Command::new("/bin/sh");
        command
            .args(["-c", LIMITED, "sh"])
            .args(limits.map(|it| it.to_string()))
            .args(argv)
            .current_dir(folder.path())
            .env_clear()
            .env("PATH", path())
            .env("HOME", folder.path())
            .env("TMPDIR", folder.path());
        command
    }

    async fn finish(
        &self,
        started: Started,
        returned: Return,
        limit: Duration,
    ) -> Result<Value, TaskFailure> {
        let Started { name, mut running, stdin } = started;
        let ended = running.wait(stdin, returned, self.settings.output_bytes_max);
        let failure = match timeout(limit, ended).await {
            Ok(Ok(ended)) => return ended.judge(&name, returned),
            Ok(Err(trouble @ Trouble::TooMuch { .. })) => {
                TaskFailure::permanent(format!("{name} was stopped: {trouble}"))
                    .with_detail("let it write less, or store the data and write where it is")
            }
            Ok(Err(Trouble::Io(error))) => {
                TaskFailure::retriable(format!("{name} cannot be listened to")).with_detail(error.to_string())
            }
            Err(_) => TaskFailure::timeout(format!("{name} did not end within {limit:?}")),
        };
        running.kill().await;
        Err(failure)
    }
}

fn path() -> OsString {
    std::env::var_os("PATH").filter(|it| !it.is_empty()).unwrap_or_else(|| PATH.into())
}

/// Whether there is a program of this name.
pub(in crate::builtin) fn has_program(name: &str) -> bool {
    std::env::split_paths(&path()).any(|folder| {
        let found = std::fs::metadata(folder.join(name));
        found.is_ok_and(|it| it.is_file() && it.permissions().mode() & 0o111 != 0)
    })
}

/// A folder that only the worker's user can read, removed with the program.
///
/// # Errors
/// When it cannot be made.
pub(in crate::builtin) fn folder() -> Result<TempDir, TaskFailure> {
    tempfile::Builder::new().prefix("millrace-").tempdir().map_err(|error| {
        TaskFailure::retriable("no working folder can be made").with_detail(error.to_string())
    })
}
