//! A `millrace dev` for one scenario: another process with a folder of its own, and nothing of it is left afterwards.
//!
//! A kill ends all of it, with the broker. That is the harder case, and the quicker one: a broker that starts again begins with empty
//! groups, while one that lives on waits for the dead members' sessions to end.

use std::io::BufReader;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use millrace_placement::Topics;
use millrace_worker::builtin::Rewrite;
use serde::{Deserialize, Serialize};
use tempfile::TempDir;
use uuid::Uuid;

use crate::config::Global;
use crate::exit::Failure;

/// It must serve within this time.
const READY_WITHIN: Duration = Duration::from_secs(30);
/// How many addresses are tried.
const TRIES: usize = 3;

/// A `millrace dev` that ends with its guard.
#[derive(Debug)]
pub(crate) struct Own {
    /// How to reach it.
    global: Global,
    rewrites: Vec<Rewrite>,
    process: Process,
    runs: Vec<Run>,
    /// The last to go: the processes write into it.
    folder: TempDir,
}

/// A process that ran a scenario.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Run {
    process: u32,
    /// After how many records of the instance it was killed, if it was.
    #[serde(skip_serializing_if = "Option::is_none")]
    killed_after: Option<usize>,
}

/// What is used of the document that it prints once it serves.
#[derive(Deserialize)]
struct Document {
    kafka: String,
    http: String,
}

impl Own {
    /// Starts it, and waits until it serves.
    pub(crate) async fn start(global: &Global, rewrites: &[Rewrite]) -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix("millrace-ctk-").tempdir().map_err(|error| {
            let fix = "check TMPDIR, and the room on its disk";
            Failure::new("no folder can be made for temporary files", fix).because(error)
        })?;
        for attempt in 1.. {
            match spawn(&folder, &candidate_address(), rewrites).await {
                Ok((process, Document { kafka, http })) => {
                    let global = Global {
                        bootstrap: kafka,
                        api: http,
                        prefix: Topics::DEFAULT_PREFIX.to_owned(),
                        registry: None,
                        cql: Vec::new(),
                        kafka_set: Vec::new(),
                        ..global.clone()
                    };
                    let runs = vec![Run { process: process.0.id(), killed_after: None }];
                    return Ok(Self { global, rewrites: rewrites.to_vec(), process, runs, folder });
                }
                // Somebody may have the address by now. Other reasons will be there again.
                Err(error) if attempt == TRIES => return Err(error),
                Err(_) => {}
            }
        }
        unreachable!("the last attempt returns")
    }

    pub(crate) fn global(&self) -> &Global {
        &self.global
    }

    /// The processes so far.
    pub(crate) fn runs(&self) -> &[Run] {
        &self.runs
    }

    /// Ends it with SIGKILL, and starts another one with the same folder and address.
    pub(crate) async fn kill_and_start_again(&mut self, after: usize) -> anyhow::Result<()> {
        self.process.kill();
        if let Some(run) = self.runs.last_mut() {
            run.killed_after = Some(after);
        }
        let (process, _) = spawn(&self.folder, &self.global.bootstrap, &self.rewrites).await?;
        self.runs.push(Run { process: process.0.id(), killed_after: None });
        self.process = process;
        Ok(())
    }
}

/// Below the range that the kernel hands out to outgoing connections, so that it stays free while nobody listens there: a client that tries
/// to connect could be given the very port that it tries.
fn candidate_address() -> String {
    const FIRST: u16 = 15_000;
    const COUNT: u16 = 16_000;
    let random = Uuid::new_v4();
    let (bytes, _) = random.as_bytes().split_at(2);
    let offset = u16::from_be_bytes([bytes[0], bytes[1]]) % COUNT;
    format!("127.0.0.1:{}", FIRST + offset)
}

async fn spawn(folder: &TempDir, kafka: &str, rewrites: &[Rewrite]) -> anyhow::Result<(Process, Document)> {
    let mut command = Command::new(std::env::current_exe().context("this program has no file any more")?);
    // What is set around us is for other fleets, but for how to log.
    let foreign = std::env::vars_os().filter(|(name, _)| {
        let name = name.to_string_lossy();
        name.starts_with("MILLRACE_") && !name.starts_with("MILLRACE_LOG")
    });
    for (name, _) in foreign {
        command.env_remove(name);
    }
    command.args(["dev", "--output", "json", "--http", "127.0.0.1:0", "--kafka", kafka]);
    command.args(["--lifecycle", "task", "--data"]).arg(folder.path());
    for rewrite in rewrites {
        command.args(["--http-map", &rewrite.to_string()]);
    }
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
    let mut process = Process(child.context("could not start millrace dev")?);
    let stdout = process.0.stdout.take().context("millrace dev has no stdout")?;
    // A blocking read ends at the latest with the process, which ends with its guard.
    let reading = tokio::task::spawn_blocking(move || {
        serde_json::Deserializer::from_reader(BufReader::new(stdout)).into_iter::<Document>().next()
    });
    let begun = Instant::now();
    let document = tokio::time::timeout(READY_WITHIN, reading).await;
    let fix = "see what it said; millrace dev --ephemeral shows whether it runs here at all";
    match document {
        Ok(read) => match read? {
            Some(Ok(document)) => Ok((process, document)),
            Some(Err(error)) => Err(Failure::new("millrace dev does not start", fix).because(error).into()),
            None => Err(Failure::new("millrace dev has ended before it served", fix).into()),
        },
        Err(_) => {
            let what = format!("millrace dev does not serve after {} s", begun.elapsed().as_secs());
            Err(Failure::new(what, fix).into())
        }
    }
}

/// Is killed with its guard: nothing of what it has is wanted.
#[derive(Debug)]
struct Process(Child);

impl Process {
    fn kill(&mut self) {
        // It may have ended by itself, which is what we want.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}
