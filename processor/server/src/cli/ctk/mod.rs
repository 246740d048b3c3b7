//! `millrace ctk`: one scenario of the language's conformance kit, by the contract at the head of `topology/conformance/run_ctk.py`.
//!
//! A client of a running Millrace as any other: the definition goes onto the definitions topic, the start onto the events topic, and the
//! answer is folded from what the changelog holds of the instance. Neither the processor nor the built-in worker knows of the kit. Without a
//! cluster, a `millrace dev` of its own runs the scenario ([`own`]); that one can be killed on the way.

mod lifecycle;
mod own;
mod tasks;

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use millrace_schemas::cloud_event::start_event;
use millrace_schemas::codec::{ChangelogRecord, Codec};
use millrace_schemas::event::{ChangelogEntry, TaskError};
use millrace_schemas::{InstanceId, Offset};
use millrace_worker::builtin::Rewrite;
use millrace_workflow::admission::with_version;
use serde::Serialize;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::bundling::{Bundling, Catalogs};
use crate::cli::deploy;
use crate::clients::{self, Kafka, Tail};
use crate::config::{Global, parse_duration};
use crate::exit::{Exit, Failure};
use crate::member;
use crate::output::Output;
use crate::reading::home_of;
use crate::requests::Fleet;
use crate::requests::admission::{Admission, Candidate, admit_named};
use crate::requests::deployment;
use crate::requests::ending::{Ending, Watch};

use lifecycle::Published;
use own::Own;
use tasks::TaskView;

#[derive(Args, Debug)]
pub(crate) struct Arguments {
    /// The definition, YAML or JSON
    #[arg(long, value_name = "FILE")]
    workflow: PathBuf,

    /// The input, JSON [default: {}]
    #[arg(long, value_name = "FILE")]
    input: Option<PathBuf>,

    /// Calls whose URI begins with FROM go to TO; may be repeated. Without a cluster only: the built-in worker must know of it
    #[arg(long, value_name = "FROM=TO")]
    http_map: Vec<Rewrite>,

    /// End the processor and its built-in worker with SIGKILL after so many records of the instance, and let others finish it. Without a
    /// cluster only
    #[arg(long, value_name = "RECORDS", env = "CTK_KILL_AFTER")]
    kill_after: Option<NonZeroUsize>,

    /// How long the instance may take to end
    #[arg(long, value_name = "DURATION", default_value = "45s", value_parser = parse_duration)]
    timeout: Duration,

    #[command(flatten)]
    catalogs: Catalogs,
}

/// The answer for a definition that was refused.
#[derive(Serialize)]
struct Refusal {
    /// `invalid`
    status: &'static str,
    findings: Vec<String>,
}

/// The answer, as the contract wants it.
#[derive(Serialize)]
struct Document {
    /// `completed`, `faulted` or `cancelled`
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    output: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<TaskError>,
    tasks: Vec<TaskView>,
    /// The lifecycle events of the instance, in order, if the fleet publishes any.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    lifecycle: Vec<Value>,
    evidence: Evidence,
}

/// Where it ran.
#[derive(Serialize)]
struct Evidence {
    instance: InstanceId,
    /// As it was deployed: its version may have got a suffix.
    workflow: String,
    /// Where the changelog of the instance is.
    bootstrap: String,
    topic: String,
    partition: u32,
    /// Of each record of the instance.
    offsets: Vec<i64>,
    /// How often another owner took the partition over, between the first of them and the last.
    takeovers: usize,
    /// The processes that ran it, if they were ours: the later ones went on after a kill.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    processes: Vec<own::Run>,
}

pub(crate) async fn run(global: &Global, output: Output, arguments: &Arguments) -> anyhow::Result<Exit> {
    let input = arguments.input.as_deref().map_or_else(|| Ok(json!({})), read_input)?;
    let bundling = Bundling { output, catalogs: &arguments.catalogs, is_offline: false };
    let candidate = match deploy::admit(&arguments.workflow, &bundling).await? {
        Admission::Refused(findings) => {
            let findings: Vec<_> = findings.iter().map(ToString::to_string).collect();
            findings.iter().for_each(|it| output.note(it));
            show(output, &Refusal { status: "invalid", findings })?;
            return Ok(Exit::Refused);
        }
        Admission::Admitted { program, definition, warnings } => {
            warnings.iter().for_each(|it| output.note(&it.to_string()));
            Candidate { name: arguments.workflow.display().to_string(), program, definition }
        }
    };
    if global.names_cluster {
        only_without_cluster(arguments)?;
        let candidate = with_free_version(global, candidate).await?;
        let scenario = Scenario::begin(global, candidate, input).await?;
        let document = scenario.finish(output, arguments, None).await?;
        return show(output, &document).map(|()| Exit::Success);
    }
    // A signal must not leave the other process behind.
    let stopped = CancellationToken::new();
    member::stop_on_signals(stopped.clone())?;
    let document = tokio::select! {
        ran = Box::pin(on_its_own(global, output, arguments, candidate, input)) => ran?,
        () = stopped.cancelled() => {
            return Err(Failure::new("stopped by a signal before the instance had ended", "run it again").into());
        }
    };
    show(output, &document).map(|()| Exit::Success)
}

async fn on_its_own(
    global: &Global,
    output: Output,
    arguments: &Arguments,
    candidate: Candidate,
    input: Value,
) -> anyhow::Result<Document> {
    let own = output.patiently("starting millrace dev", Own::start(global, &arguments.http_map)).await?;
    let global = own.global().clone();
    Scenario::begin(&global, candidate, input).await?.finish(output, arguments, Some(own)).await
}

/// Always JSON: whoever runs the kit is a program.
fn show(output: Output, document: &impl Serialize) -> anyhow::Result<()> {
    output.show(document, || serde_json::to_string_pretty(document).expect("the answer is plain data"))
}

fn read_input(file: &Path) -> anyhow::Result<Value> {
    let name = file.display();
    // Not exit code 2, which says that the definition was refused.
    let failed = |what: &str| Failure::new(format!("{what} {name}"), "give a file with JSON to --input");
    let text = std::fs::read_to_string(file).map_err(|error| failed("cannot read").because(error))?;
    Ok(serde_json::from_str(&text).map_err(|error| failed("there is no JSON in").because(error))?)
}

fn only_without_cluster(arguments: &Arguments) -> anyhow::Result<()> {
    let flag = if arguments.http_map.is_empty() {
        arguments.kill_after.map(|_| "--kill-after (CTK_KILL_AFTER)")
    } else {
        Some("--http-map")
    };
    let Some(flag) = flag else { return Ok(()) };
    let what = format!("{flag} is not for a cluster: its processors and workers are not this command's");
    let fix = "leave it out; or leave out --bootstrap (MILLRACE_BOOTSTRAP), so that a millrace dev of its own runs the scenario";
    Err(Failure::new(what, fix).into())
}

/// Scenarios of the kit share names and versions. What is deployed under its version with another meaning goes beside it, as
/// `1.0.0+ctk.<digest>`: build metadata, so neither older nor newer, and the same scenario finds its own definition again.
async fn with_free_version(global: &Global, candidate: Candidate) -> anyhow::Result<Candidate> {
    const DIGITS: usize = 12;
    let fleet = Fleet::connect(global).await?;
    let known = deployment::deployed(&fleet.kafka, fleet.topics(), &fleet.codec).await?;
    let Candidate { name, definition, .. } = &candidate;
    match known.get(&definition.workflow().to_string()) {
        Some(Some(other)) if other.digest != definition.digest => {}
        _ => return Ok(candidate),
    }
    let digest: String = candidate.program.digest.to_string().chars().take(DIGITS).collect();
    let joint = if definition.version.contains('+') { '.' } else { '+' };
    let version = format!("{}{joint}ctk.{digest}", definition.version);
    let text = with_version(&definition.text, &version).unwrap_or_else(|| definition.text.clone());
    match admit_named(name, text) {
        Admission::Admitted { program, definition, .. } => {
            Ok(Candidate { name: name.clone(), program, definition })
        }
        Admission::Refused(_) => {
            let what = format!("{} is deployed already with another meaning", definition.workflow());
            Err(Failure::new(what, "raise document.version").into())
        }
    }
}

/// An instance that is about to start.
struct Scenario<'g> {
    global: &'g Global,
    kafka: Arc<Kafka>,
    codec: Codec,
    id: InstanceId,
    workflow: millrace_schemas::WorkflowVersion,
    input: Value,
    /// What is read begins here: nothing of the instance is before it.
    from: Offset,
    partition: u32,
    watch: Watch,
    /// Where its lifecycle events will be.
    lifecycle: Published,
    /// Follows the changelog, for the kill.
    tail: Tail,
}

impl<'g> Scenario<'g> {
    /// Deploys it, and begins to follow what there is of the instance: nothing. Side by side, since each takes a new client its second.
    async fn begin(global: &'g Global, candidate: Candidate, input: Value) -> anyhow::Result<Self> {
        let fleet = Fleet::connect(global).await?;
        let kafka = Arc::clone(&fleet.kafka);
        let workflow = candidate.program.workflow.clone();
        let id = InstanceId::new(format!("ctk-{}", Uuid::now_v7()))?;
        let topic = kafka.topics().changelog();
        let partition = home_of(&id, kafka.partitions(&topic).await?).0;
        let from = kafka.end(&topic, i32::try_from(partition)?).await?;
        let changelog = [(topic, i32::try_from(partition)?)];
        let candidates = [candidate];
        let (_, watch, lifecycle, tail) = tokio::try_join!(
            async { Ok(deployment::deploy(&fleet, &candidates).await?) },
            Watch::begin(&fleet, &id),
            Published::begin(&kafka, &id),
            kafka.tail_from_end(&changelog),
        )?;
        let codec = fleet.codec;
        Ok(Self { global, kafka, codec, id, workflow, input, from, partition, watch, lifecycle, tail })
    }

    /// Starts it, and waits for its end.
    async fn finish(
        self,
        output: Output,
        arguments: &Arguments,
        own: Option<Own>,
    ) -> anyhow::Result<Document> {
        let Self { global, kafka, codec, id, workflow, input, from, partition, watch, lifecycle, tail } =
            self;
        let log = Log { kafka: &kafka, codec: &codec, id: &id, from, partition: i32::try_from(partition)? };
        let version = workflow.version.to_string();
        let event = start_event(clients::event_id(), &id, &workflow.workflow, Some(&version), input);
        let cause = event.event_id.clone();
        let (mut victim, mut own) = (None, own);
        if let Some(after) = arguments.kill_after {
            // A task of its own: the kill must come close behind the record, whatever else is waited for.
            let kill = own.take().map(|own| kill_after(own, tail, codec.clone(), id.clone(), after.get()));
            victim = kill.map(tokio::spawn);
        }
        let sent = kafka.send_event(event).await?;
        let mut ending =
            Box::pin(watch.until_the_end(&cause, &sent, arguments.timeout, |it| output.note(it)));
        let ending = match &mut victim {
            None => ending.await?,
            Some(it) => tokio::select! {
                // First: a kill that fails is why it does not end.
                biased;
                killed = &mut *it => {
                    own = Some(killed??);
                    victim = None;
                    ending.await?
                }
                ended = &mut ending => ended?,
            },
        };
        let has_ended = !matches!(ending, Ending::Rejected { .. } | Ending::TimedOut { .. });
        // The record that ended it may be the one to kill after. What is answered is what is there after the kill.
        if let Some(victim) = victim.filter(|_| has_ended) {
            own = Some(victim.await??);
        }
        let ((entries, takeovers), lifecycle) =
            tokio::try_join!(log.read(), lifecycle.read(&kafka, &codec, &id))?;
        let evidence = Evidence {
            instance: id.clone(),
            workflow: workflow.to_string(),
            bootstrap: global.bootstrap.clone(),
            topic: kafka.topics().changelog(),
            partition,
            offsets: entries.iter().map(|(offset, _)| offset.0).collect(),
            takeovers,
            processes: own.as_ref().map(|it| it.runs().to_vec()).unwrap_or_default(),
        };
        let tasks = tasks::fold(&id, entries.iter().map(|it| &it.1))?;
        let (status, output, error) = match ending {
            Ending::Completed { output } => ("completed", Some(output), None),
            Ending::Faulted { error } => ("faulted", None, Some(error)),
            Ending::Cancelled { .. } => ("cancelled", None, None),
            Ending::Rejected { reason, detail } => {
                let what = format!("the start of {workflow} was rejected ({reason}): {detail}");
                return Err(Failure::new(what, "see the log of the processor").into());
            }
            Ending::TimedOut { incident } => return Err(late(arguments, &tasks, incident).into()),
        };
        Ok(Document { status, output, error, tasks, lifecycle, evidence })
    }
}

/// Ends the processes after the n-th record of the instance, and starts others. Leaves them alone if it ends with fewer.
async fn kill_after(
    mut own: Own,
    mut tail: Tail,
    codec: Codec,
    id: InstanceId,
    after: usize,
) -> anyhow::Result<Own> {
    let mut seen = 0;
    loop {
        let record = tail.next().await?;
        if record.key.as_deref() != Some(id.as_str().as_bytes()) {
            continue;
        }
        seen += 1;
        if seen == after {
            own.kill_and_start_again(after).await?;
            return Ok(own);
        }
        let value = record.value.as_deref().map(|it| codec.decode_changelog(it)).transpose();
        if let Some(ChangelogRecord::Entry(entry)) =
            value.map_err(|error| clients::undecodable(&record, error))?
            && entry.events.iter().any(tasks::is_end)
        {
            return Ok(own);
        }
    }
}

fn late(arguments: &Arguments, tasks: &[TaskView], incident: Option<String>) -> Failure {
    let open: Vec<&str> = tasks.iter().filter(|it| it.is_open()).map(TaskView::reference).collect();
    let what =
        format!("the instance has not ended after {:?}; open: [{}]", arguments.timeout, open.join(", "));
    let fix = incident.map_or_else(
        || "give it longer with --timeout; a call waits for a worker of its queue".to_owned(),
        |it| format!("it stands still: {it}"),
    );
    Failure { exit: Exit::Timeout, ..Failure::new(what, fix) }
}

/// What the changelog holds of the instance.
struct Log<'l> {
    kafka: &'l Kafka,
    codec: &'l Codec,
    id: &'l InstanceId,
    from: Offset,
    partition: i32,
}

impl Log<'_> {
    /// Every entry so far that is committed, and how often the owner changed between the first and the last.
    async fn read(&self) -> anyhow::Result<(Vec<(Offset, ChangelogEntry)>, usize)> {
        let (mut entries, mut claims, mut takeovers) = (Vec::new(), 0, 0);
        for record in
            self.kafka.read(&self.kafka.topics().changelog(), self.partition, Some(self.from)).await?
        {
            let Some(value) = &record.value else { continue };
            let is_ours = record.key.as_deref() == Some(self.id.as_str().as_bytes());
            if record.key.is_some() && !is_ours {
                continue;
            }
            match self.codec.decode_changelog(value).map_err(|error| clients::undecodable(&record, error))? {
                ChangelogRecord::Entry(entry) if is_ours => {
                    entries.push((record.offset, entry));
                    takeovers = claims;
                }
                ChangelogRecord::Claim(_) if !entries.is_empty() => claims += 1,
                ChangelogRecord::Entry(_)
                | ChangelogRecord::Claim(_)
                | ChangelogRecord::Positions(_)
                | ChangelogRecord::Adopted(_)
                | ChangelogRecord::Released(_)
                | ChangelogRecord::Installed(_)
                | ChangelogRecord::Channel(_)
                | ChangelogRecord::Schedule(_) => {}
            }
        }
        Ok((entries, takeovers))
    }
}
