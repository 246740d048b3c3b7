//! The compiled programs that this processor knows, kept up to date from the definitions topic.

use std::collections::HashMap;
use std::sync::{Arc, RwLock};
use std::time::Duration;

use millrace_engine::{Routes, Schedules};
use millrace_partition::Programs;
use millrace_placement::Topics;
use millrace_schemas::codec::Codec;
use millrace_schemas::definition::Definition as DefinitionRecord;
use millrace_schemas::{Offset, Timestamp, WorkflowName, WorkflowVersion};
use millrace_workflow::program::Program;
use tokio::sync::watch;
use tracing::{error, info, warn};

use crate::log::{Definition, Log, LogError, backoff};
use crate::metrics::Metrics;
use crate::topics::{AllWanted, wanted};

/// Longest wait for the definitions to be read to their end.
const CATCH_UP_MAX: Duration = Duration::from_secs(10);

/// The programs, shared by all partitions. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Catalog {
    inner: Arc<RwLock<Known>>,
}

#[derive(Debug, Default)]
struct Known {
    versions: HashMap<WorkflowVersion, Arc<Program>>,
    records: HashMap<WorkflowVersion, Arc<DefinitionRecord>>,
    newest: HashMap<WorkflowName, Arc<Program>>,
    routes: Arc<Routes>,
    schedules: Arc<Schedules>,
}

impl Programs for Catalog {
    fn version(&self, version: &WorkflowVersion) -> Option<Arc<Program>> {
        self.inner.read().expect("no writer panics").versions.get(version).cloned()
    }

    fn newest(&self, workflow: &WorkflowName) -> Option<Arc<Program>> {
        self.inner.read().expect("no writer panics").newest.get(workflow).cloned()
    }

    fn schedules(&self) -> Arc<Schedules> {
        Arc::clone(&self.inner.read().expect("no writer panics").schedules)
    }

    fn routes(&self) -> Arc<Routes> {
        Arc::clone(&self.inner.read().expect("no writer panics").routes)
    }
}

impl Catalog {
    /// The definitions as they were deployed, each with its program.
    pub(crate) fn definitions(&self) -> Vec<(Arc<DefinitionRecord>, Arc<Program>)> {
        let known = self.inner.read().expect("no writer panics");
        let with_record =
            |(version, program)| Some((Arc::clone(known.records.get(version)?), Arc::clone(program)));
        known.versions.iter().filter_map(with_record).collect()
    }

    /// The definition of a version as it was deployed.
    pub(crate) fn definition(&self, version: &WorkflowVersion) -> Option<Arc<DefinitionRecord>> {
        self.inner.read().expect("no writer panics").records.get(version).cloned()
    }

    fn insert(&self, program: Program, record: DefinitionRecord) {
        let program = Arc::new(program);
        let mut known = self.inner.write().expect("no writer panics");
        known.versions.insert(program.workflow.clone(), Arc::clone(&program));
        known.records.insert(program.workflow.clone(), Arc::new(record));
        known.refresh(&program.workflow.workflow);
    }

    fn remove(&self, version: &WorkflowVersion) {
        let mut known = self.inner.write().expect("no writer panics");
        known.versions.remove(version);
        known.records.remove(version);
        known.refresh(&version.workflow);
    }

    /// The topics that they name, of all versions: instances of an older one may listen.
    fn wanted(&self) -> AllWanted {
        let known = self.inner.read().expect("no writer panics");
        let sources = known.versions.iter().flat_map(|(version, program)| {
            let deployed_at = known.records.get(version).map_or_else(Timestamp::default, |it| it.deployed_at);
            program.sources.iter().map(move |it| (it, deployed_at))
        });
        wanted(sources)
    }

    /// How many versions are known.
    pub(crate) fn len(&self) -> usize {
        self.inner.read().expect("no writer panics").versions.len()
    }
}

impl Known {
    fn refresh(&mut self, workflow: &WorkflowName) {
        let newest = self.versions.values().filter(|it| it.workflow.workflow == *workflow).max_by_key(|it| {
            (semver::Version::parse(&it.workflow.version).ok(), Arc::clone(&it.workflow.version))
        });
        match newest {
            Some(program) => self.newest.insert(workflow.clone(), Arc::clone(program)),
            None => self.newest.remove(workflow),
        };
        self.routes = Arc::new(Routes::new(self.versions.values(), self.newest.values()));
        let schedules = Schedules::new(self.versions.values(), self.newest.values());
        if schedules != *self.schedules {
            self.schedules = Arc::new(schedules);
        }
    }
}

/// Follows the definitions topic into a catalog.
pub(crate) struct Definitions<L> {
    log: L,
    codec: Codec,
    topics: Topics,
    metrics: Metrics,
    catalog: Catalog,
    position: watch::Sender<Offset>,
    wanted: watch::Sender<AllWanted>,
}

/// Waits until the catalog holds what the topic holds now. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct CatchUp<L> {
    log: L,
    position: watch::Receiver<Offset>,
}

impl<L: Log> CatchUp<L> {
    /// Returns once every definition that is in the topic now is in the catalog. Retries for as long as it takes.
    pub(crate) async fn now(&mut self) {
        let mut attempt = 0;
        let end = loop {
            match self.log.definitions_end().await {
                Ok(end) => break end,
                Err(error) => {
                    warn!(
                        error = &error as &dyn std::error::Error,
                        "cannot see the end of the definitions; trying again"
                    );
                    tokio::time::sleep(backoff(attempt)).await;
                    attempt += 1;
                }
            }
        };
        // A last record that only compaction or a transaction marker has left behind is never read: not waited for beyond this.
        let reached =
            tokio::time::timeout(CATCH_UP_MAX, self.position.wait_for(|position| *position >= end)).await;
        if reached.is_err() {
            warn!(
                end = end.0,
                "the definitions have not been read to their end in time; going on with what is known"
            );
        }
    }
}

impl<L: Log> Definitions<L> {
    pub(crate) fn new(log: L, codec: Codec, topics: Topics, metrics: Metrics) -> (Self, Catalog, CatchUp<L>) {
        let catalog = Catalog::default();
        let (position, receiver) = watch::channel(Offset(0));
        let catch_up = CatchUp { log: log.clone(), position: receiver };
        let (wanted, _) = watch::channel(AllWanted::new());
        (Self { log, codec, topics, metrics, catalog: catalog.clone(), position, wanted }, catalog, catch_up)
    }

    /// The topics that definitions read events from.
    pub(crate) fn wanted(&self) -> watch::Receiver<AllWanted> {
        self.wanted.subscribe()
    }

    /// Follows the topic until the log goes away.
    pub(crate) async fn run(self) -> Result<(), LogError> {
        let mut records = self.log.tail_definitions().await?;
        while let Some(record) = records.recv().await {
            match record {
                Definition::Record { offset, key, value } => {
                    self.take(offset, key.as_deref(), value.as_deref()).await;
                    self.position.send_replace(Offset(offset.0 + 1));
                }
                Definition::Position(position) => {
                    self.position.send_replace(position);
                }
            }
        }
        Ok(())
    }

    /// A definition that cannot be used is counted and left out: starts of it go to the dead letters, and nothing else stops.
    async fn take(&self, offset: Offset, key: Option<&[u8]>, value: Option<&[u8]>) {
        let Some(value) = value else {
            let version = key.and_then(|it| std::str::from_utf8(it).ok()).and_then(|it| it.parse().ok());
            if let Some(version) = version {
                info!(workflow = %version, "definition deleted");
                self.catalog.remove(&version);
                self.wanted.send_replace(self.catalog.wanted());
            }
            return;
        };
        match self.admit(value) {
            Ok((program, record)) => {
                self.ensure_queues(&program).await;
                info!(workflow = %program.workflow, offset = offset.0, "definition loaded");
                self.catalog.insert(program, record);
                self.wanted.send_replace(self.catalog.wanted());
                self.metrics.member.definitions.set(i64::try_from(self.catalog.len()).unwrap_or(i64::MAX));
            }
            Err(reason) => {
                self.metrics.member.definitions_rejected.inc();
                error!(
                    offset = offset.0,
                    reason, "definition refused; deploy it by `millrace deploy`, which says what is wrong"
                );
            }
        }
    }

    fn admit(&self, value: &[u8]) -> Result<(Program, DefinitionRecord), String> {
        let record: DefinitionRecord = self.codec.decode_definition(value).map_err(|it| it.to_string())?;
        let name = record.workflow().to_string();
        let admitted = millrace_workflow::admission::admit(&name, &record.text)
            .map_err(|findings| findings.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))?;
        let program = admitted.program;
        if program.workflow != record.workflow() {
            return Err(format!("the record is for {name}, its text is of {}", program.workflow));
        }
        if let Some(source) = program.sources.iter().find(|it| self.topics.is_internal(&it.topic)) {
            return Err(format!(
                "it reads events from {}, which is a topic of the fleet's own",
                source.topic
            ));
        }
        Ok((program, record))
    }

    /// A queue without a topic would stop every transaction that dispatches to it, so a program is known only once its topics exist.
    async fn ensure_queues(&self, program: &Program) {
        let queues: Vec<String> = program.queues().iter().map(|it| it.to_string()).collect();
        let mut specs = self.topics.queue_specs(self.log.partitions(), &queues);
        specs.extend(
            program.emit_topics().iter().map(|topic| Topics::user_spec(topic, self.log.partitions())),
        );
        let mut attempt = 0;
        while let Err(error) = self.log.ensure_topics(specs.clone()).await {
            warn!(error = &error as &dyn std::error::Error, workflow = %program.workflow, "cannot create the topics of a definition; trying again");
            tokio::time::sleep(backoff(attempt)).await;
            attempt += 1;
        }
    }
}
