//! A program that was started, until nothing of it is left.

use std::io;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, ChildStdin, Command};
use tokio::runtime::Handle;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::arguments::Return;
use super::outcome::{DETAIL_BYTES_MAX, Ended};

/// After its end, what a process has written is read for this long at most: something that left its group may hold the pipe open.
const DRAIN: Duration = Duration::from_secs(1);

/// Why there is no outcome.
#[derive(Debug, thiserror::Error)]
pub(super) enum Trouble {
    #[error("it wrote more than {bytes_max} bytes to {stream}")]
    TooMuch { stream: &'static str, bytes_max: usize },
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// A program that was started. Dropped, it is asked to end, and killed when it has not done so after a while.
#[derive(Debug)]
pub(super) struct Running(Option<Parts>);

#[derive(Debug)]
struct Parts {
    // Dropped in this order: the processes, before the folder that they are in.
    group: Group,
    child: Child,
    after_kill: Finally,
    _folder: Option<TempDir>,
    kill_grace: Duration,
}

impl Running {
    /// Starts `command` as the leader of a process group. `after_kill` is run when it had to be killed.
    pub(super) fn start(
        command: &mut Command,
        folder: Option<TempDir>,
        after_kill: Option<Vec<String>>,
        kill_grace: Duration,
    ) -> io::Result<Self> {
        // Rust's own descriptors are not inherited; those of the Kafka client's C library would be.
        close_fds::set_fds_cloexec(3, &[]);
        let child = command.process_group(0).kill_on_drop(true).spawn()?;
        let group = child.id().and_then(|it| Pid::from_raw(i32::try_from(it).ok()?));
        Ok(Self(Some(Parts {
            group: Group(group),
            child,
            after_kill: Finally(after_kill),
            _folder: folder,
            kill_grace,
        })))
    }

    /// Until its end. What it started, and has not ended by then, is killed.
    pub(super) async fn wait(
        &mut self,
        stdin: Option<String>,
        returned: Return,
        bytes_max: usize,
    ) -> Result<Ended, Trouble> {
        let parts = self.0.as_mut().expect("it is there until it is killed");
        let exited = CancellationToken::new();
        let pipes = (parts.child.stdin.take(), parts.child.stdout.take(), parts.child.stderr.take());
        let mut stdout = Capture::new("stdout", returned.has_stdout().then_some(bytes_max), 0);
        let mut stderr = Capture::new("stderr", returned.has_stderr().then_some(bytes_max), DETAIL_BYTES_MAX);
        let status = async {
            let status = parts.child.wait().await?;
            parts.group.kill();
            exited.cancel();
            Ok::<ExitStatus, Trouble>(status)
        };
        let (status, (), (), ()) = tokio::try_join!(
            status,
            feed(pipes.0, stdin, &exited),
            stdout.read(pipes.1, &exited),
            stderr.read(pipes.2, &exited)
        )?;
        parts.after_kill.0 = None;
        self.0 = None;
        Ok(Ended { status, stdout: stdout.bytes, stderr: stderr.bytes })
    }

    /// Ends it and all that it started.
    pub(super) async fn kill(mut self) {
        if let Some(parts) = self.0.take() {
            parts.kill().await;
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Without a runtime, its parts kill at once.
        if let Some(parts) = self.0.take()
            && let Ok(runtime) = Handle::try_current()
        {
            runtime.spawn(parts.kill());
        }
    }
}

impl Parts {
    async fn kill(mut self) {
        self.group.signal(Signal::TERM);
        let _ = timeout(self.kill_grace, self.child.wait()).await;
        self.group.kill();
        if let Err(error) = self.child.wait().await {
            tracing::warn!(%error, "a killed process cannot be waited for");
        }
        if let Some(command) = self.after_kill.0.take().and_then(|it| quiet(&it))
            && let Err(error) = Command::from(command).status().await
        {
            tracing::warn!(%error, "what a program leaves could not be removed");
        }
    }
}

/// A process group. Dropped, it is killed.
#[derive(Debug)]
struct Group(Option<Pid>);

impl Group {
    fn signal(&self, signal: Signal) {
        // It may have ended, which is as well.
        if let Some(group) = self.0 {
            let _ = kill_process_group(group, signal);
        }
    }

    /// For good: the number may be that of another group, later.
    fn kill(&mut self) {
        self.signal(Signal::KILL);
        self.0 = None;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A command that removes what a program leaves. Dropped, it is started and not waited for.
#[derive(Debug)]
pub(super) struct Finally(pub(super) Option<Vec<String>>);

impl Drop for Finally {
    fn drop(&mut self) {
        if let Some(mut command) = self.0.take().and_then(|it| quiet(&it))
            && let Err(error) = command.spawn()
        {
            tracing::warn!(%error, "what a program leaves could not be removed");
        }
    }
}

/// A command whose output nobody wants.
pub(super) fn quiet(argv: &[String]) -> Option<std::process::Command> {
    let (program, arguments) = argv.split_first()?;
    let mut command = std::process::Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    Some(command)
}

/// What a stream gives.
struct Capture {
    stream: &'static str,
    bytes: Vec<u8>,
    /// Of a stream that is asked for: how much it may give.
    bytes_max: Option<usize>,
    /// Of any other: how much of its end is kept.
    tail_bytes: usize,
}

impl Capture {
    fn new(stream: &'static str, bytes_max: Option<usize>, tail_bytes: usize) -> Self {
        Self { stream, bytes: Vec::new(), bytes_max, tail_bytes }
    }

    async fn read(
        &mut self,
        pipe: Option<impl AsyncRead + Unpin>,
        exited: &CancellationToken,
    ) -> Result<(), Trouble> {
        let Some(pipe) = pipe else { return Ok(()) };
        tokio::select! {
            result = self.read_to_end(pipe) => result,
            () = async { exited.cancelled().await; sleep(DRAIN).await } => Ok(()),
        }
    }

    async fn read_to_end(&mut self, mut pipe: impl AsyncRead + Unpin) -> Result<(), Trouble> {
        let mut chunk = vec![0; 16 * 1024];
        loop {
            let count = pipe.read(&mut chunk).await?;
            if count == 0 {
                return Ok(());
            }
            self.bytes.extend_from_slice(&chunk[..count]);
            match self.bytes_max {
                Some(bytes_max) if self.bytes.len() > bytes_max => {
                    return Err(Trouble::TooMuch { stream: self.stream, bytes_max });
                }
                Some(_) => {}
                None => {
                    // One more than is shown: so it is known that there was more.
                    let surplus = self.bytes.len().saturating_sub(self.tail_bytes + 1);
                    self.bytes.drain(..surplus);
                }
            }
        }
    }
}

async fn feed(
    pipe: Option<ChildStdin>,
    text: Option<String>,
    exited: &CancellationToken,
) -> Result<(), Trouble> {
    let (Some(mut pipe), Some(text)) = (pipe, text) else { return Ok(()) };
    tokio::select! {
        // A program need not read all that it is given.
        _ = pipe.write_all(text.as_bytes()) => {}
        () = exited.cancelled() => {}
    }
    Ok(())
}
