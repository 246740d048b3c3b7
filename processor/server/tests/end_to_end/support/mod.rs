//! A fleet of one processor, as a user has it: the real binary, and a worker that the test answers for.

pub(crate) mod collector;
mod kafka;

use std::collections::BTreeMap;
use std::io::{BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use millrace_placement::Topics;
use millrace_schemas::codec::Codec;
use millrace_schemas::registry::{Registry, SubjectNames};
use serde_json::Value;
use tempfile::TempDir;
use uuid::Uuid;

pub(crate) use kafka::{Answer, Kafka};

/// Long enough for a slow machine; nothing waits for it when all is well.
const PATIENCE: Duration = Duration::from_secs(60);

/// For a command or a processor to end, and for a request to be answered: whatever takes longer hangs.
const ENDING_MAX: Duration = Duration::from_secs(180);

/// The processor's log, in the fleet's folder.
const LOG: &str = "processor.log";

/// Servers that the tests need.
fn server(variable: &str) -> String {
    std::env::var(variable).unwrap_or_else(|_| {
        panic!("{variable} is not set: run `cargo xtask ci`, or start servers with ops/cluster and set it to their address")
    })
}

/// Where a fleet runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// A processor, with Apache Kafka and a CQL server.
    Servers,
    /// `millrace dev`: all of it in one process.
    Dev,
}

/// A fleet with topics and tables of its own.
pub(crate) struct Fleet {
    place: Place,
    prefix: String,
    partitions: u32,
    /// Bootstrap and API of `millrace dev`. It keeps them when it is started again, as clients must.
    addresses: Option<[String; 2]>,
    registry: Option<String>,
    pub(crate) kafka: Kafka,
    folder: TempDir,
    processor: Option<Processor>,
}

/// A process that serves. It ends with this at the latest.
pub(crate) struct Processor {
    child: Child,
    url: String,
}

impl Processor {
    /// Ends it by SIGTERM, and gives its exit code.
    pub(crate) fn stop(mut self) -> Option<i32> {
        let killed = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status().unwrap();
        assert!(killed.success());
        ended(&mut self.child, "the processor").code()
    }

    /// Ends it at once, with whatever it is at.
    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Processor {
    fn drop(&mut self) {
        // It has ended, unless its test fails.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits for the end of a process. One that hangs is told of, by what each of its threads is at, and ended.
#[track_caller]
fn ended(child: &mut Child, what: &str) -> ExitStatus {
    let began = Instant::now();
    while began.elapsed() < ENDING_MAX {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    let threads = threads(child.id());
    child.kill().unwrap();
    child.wait().unwrap();
    panic!("{what} had not ended after {} s; its threads:\n{threads}", ENDING_MAX.as_secs());
}

/// The threads of a process, and where in the kernel each of them waits.
fn threads(process: u32) -> String {
    let tasks = std::fs::read_dir(format!("/proc/{process}/task")).into_iter().flatten().flatten();
    let of = |file: &Path| std::fs::read_to_string(file).unwrap_or_default().trim().to_owned();
    let line = |task: &Path| format!("{} {}\n", of(&task.join("comm")), of(&task.join("wchan")));
    tasks.map(|it| line(&it.path())).collect()
}

/// All that comes out of a pipe, read beside the test, so that it does not fill up.
fn drained(pipe: Option<impl Read + Send + 'static>) -> JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut all = Vec::new();
        if let Some(mut pipe) = pipe {
            pipe.read_to_end(&mut all).unwrap();
        }
        all
    })
}

/// What a process has said when it has ended.
#[track_caller]
fn output(mut child: Child, what: &str) -> Output {
    drop(child.stdin.take());
    let (stdout, stderr) = (drained(child.stdout.take()), drained(child.stderr.take()));
    let status = ended(&mut child, what);
    Output { status, stdout: stdout.join().unwrap(), stderr: stderr.join().unwrap() }
}

/// For requests that end, of whatever outcome.
fn http() -> reqwest::Client {
    reqwest::Client::builder().timeout(ENDING_MAX).build().unwrap()
}

impl Fleet {
    /// Creates the topics and the tables, and deploys `definitions`.
    pub(crate) async fn new(place: Place, partitions: u32, definitions: &[&str]) -> Self {
        match place {
            Place::Servers => Self::on_servers(partitions, definitions, None).await,
            Place::Dev => Self::in_dev(partitions, definitions, &[]),
        }
    }

    /// As [`Self::new`], with a schema registry.
    pub(crate) async fn with_registry(partitions: u32, definitions: &[&str]) -> Self {
        Self::on_servers(partitions, definitions, Some(server("SCHEMA_REGISTRY_URL"))).await
    }

    async fn on_servers(partitions: u32, definitions: &[&str], registry: Option<String>) -> Self {
        let prefix = format!("e2e{}", Uuid::new_v4().simple());
        let codec = match &registry {
            None => Codec::single_object(),
            Some(url) => {
                let registry = Registry::new(url).unwrap();
                Codec::with_registry(&registry, &SubjectNames::default()).await.unwrap()
            }
        };
        let kafka = Kafka::new(&server("KAFKA_BOOTSTRAP"), &prefix, codec);
        let fleet = Self {
            place: Place::Servers,
            prefix,
            partitions,
            addresses: None,
            registry,
            kafka,
            folder: tempfile::tempdir().unwrap(),
            processor: None,
        };
        let partitions = partitions.to_string();
        let applied =
            ["topics", "apply", "--partitions", &partitions, "--queue", "default", "--replication", "1"];
        fleet.run(&applied).succeeds();
        fleet.deploy(definitions);
        fleet
    }

    /// It makes its topics itself, and must run for anything else.
    pub(crate) fn in_dev(partitions: u32, definitions: &[&str], arguments: &[&str]) -> Self {
        Self::in_dev_logging(partitions, definitions, arguments, "")
    }

    /// As [`Self::in_dev`], with a filter of what it says in its log; the usual one, if that is empty.
    pub(crate) fn in_dev_logging(
        partitions: u32,
        definitions: &[&str],
        arguments: &[&str],
        log: &str,
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let any = "127.0.0.1:0".to_owned();
        let mut command = dev_command(&folder, &any, &any, partitions, arguments);
        if !log.is_empty() {
            command.env("MILLRACE_LOG", log);
        }
        let (processor, document) = launch(command, &folder.path().join(LOG));
        let addresses = ["kafka", "http"].map(|it| document[it].as_str().unwrap().to_owned());
        let prefix = Topics::DEFAULT_PREFIX.to_owned();
        let kafka = Kafka::new(&addresses[0], &prefix, Codec::single_object());
        let (place, addresses, processor) = (Place::Dev, Some(addresses), Some(processor));
        let fleet = Self { place, prefix, partitions, addresses, registry: None, kafka, folder, processor };
        fleet.deploy(definitions);
        fleet
    }

    fn deploy(&self, definitions: &[&str]) {
        for definition in definitions {
            let file = self.file("definition.yaml", definition);
            self.run(&["deploy", &file]).succeeds();
        }
    }

    pub(crate) fn file(&self, name: &str, text: &str) -> String {
        let path = self.folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }

    /// A folder of secrets, one of them.
    pub(crate) fn secrets(&self) -> String {
        let folder = self.folder.path().join("secrets");
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("supplier"), "xyz").unwrap();
        folder.to_str().unwrap().to_owned()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = millrace(arguments);
        match &self.addresses {
            Some([bootstrap, api]) => {
                command.env("MILLRACE_BOOTSTRAP", bootstrap).env("MILLRACE_API", api);
            }
            None => {
                command.env("MILLRACE_BOOTSTRAP", server("KAFKA_BOOTSTRAP"));
                command.env("MILLRACE_CQL", server("CQL_CONTACT_POINT"));
            }
        }
        command.env("MILLRACE_PREFIX", &self.prefix);
        command.envs(self.registry.iter().map(|url| ("MILLRACE_REGISTRY", url)));
        command
    }

    /// A script of bash for which the fleet is set as for the program, which it finds by its name; or another fleet of the same servers, that has
    /// yet to be installed.
    pub(crate) fn shell(&self, script: &str, is_another: bool) -> Command {
        let like = self.command(&[]);
        let mut command = Command::new("bash");
        command.args(["-c", script]);
        for (name, value) in like.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        let here = Path::new(env!("CARGO_BIN_EXE_millrace")).parent().unwrap();
        let others = std::env::var("PATH").unwrap_or_default();
        command.env("PATH", format!("{}:{others}", here.display()));
        match is_another {
            // A processor that is not told where to listen would take the usual port.
            true => command
                .env("MILLRACE_PREFIX", format!("{}o", self.prefix))
                .env("MILLRACE_HTTP", "127.0.0.1:0"),
            false => command.envs(self.processor.as_ref().map(|it| ("MILLRACE_API", &it.url))),
        };
        command
    }

    /// Runs a command to its end.
    pub(crate) fn run(&self, arguments: &[&str]) -> Ran {
        Ran::of(self.command(arguments))
    }

    /// Runs a command that prints a JSON document.
    pub(crate) fn json(&self, arguments: &[&str]) -> Value {
        let ran = self.run(&[&["--output", "json"], arguments].concat());
        serde_json::from_slice(&ran.output.stdout).unwrap_or_else(|error| panic!("{error}: {}", ran.shown()))
    }

    /// Starts a command that takes a while.
    pub(crate) fn spawn(&self, arguments: &[&str]) -> Running {
        let mut command = self.command(arguments);
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        Running { what: arguments.join(" "), child }
    }

    /// Starts the processor and waits until it serves.
    pub(crate) async fn start_processor(&mut self, arguments: &[&str]) {
        self.launch_processor(arguments);
        self.until("the processor is ready", async || self.get("/readyz").await.0 == 200).await;
    }

    /// Starts the processor, unless it is there.
    pub(crate) fn launch_processor(&mut self, arguments: &[&str]) {
        if self.processor.is_some() {
            return;
        }
        let (processor, _) = match (self.place, &self.addresses) {
            (Place::Dev, Some([kafka, http])) => {
                dev(&self.folder, kafka, http.trim_start_matches("http://"), self.partitions, arguments)
            }
            _ => {
                let usual =
                    ["--output", "json", "processor", "--http", "127.0.0.1:0", "--flush-interval", "200ms"];
                launch(self.command(&[&usual, arguments].concat()), &self.folder.path().join(LOG))
            }
        };
        self.processor = Some(processor);
    }

    /// Starts a built-in worker of the fleet, with an endpoint for the platform.
    pub(crate) fn start_worker(&self, arguments: &[&str]) -> Worker {
        let usual = ["--output", "json", "worker", "--http", "127.0.0.1:0"];
        let command = self.command(&[&usual, arguments].concat());
        Worker(Some(launch(command, &self.folder.path().join(LOG)).0))
    }

    /// Where `millrace dev` keeps everything.
    pub(crate) fn data(&self) -> String {
        data(&self.folder)
    }

    /// What the names of its topics begin with.
    pub(crate) fn prefix(&self) -> &str {
        &self.prefix
    }

    /// Where the broker of `millrace dev` is.
    pub(crate) fn bootstrap(&self) -> &str {
        &self.addresses.as_ref().unwrap()[0]
    }

    /// The most memory that the processor has had so far.
    pub(crate) fn memory_peak_kib(&self) -> u64 {
        let process = self.processor.as_ref().unwrap().child.id();
        let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
        let peak = status.lines().find_map(|it| it.strip_prefix("VmHWM:")).unwrap();
        peak.trim().trim_end_matches(" kB").parse().unwrap()
    }

    /// What the processor has said so far.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join(LOG)).unwrap_or_default()
    }

    /// Waits until the processor has said this.
    pub(crate) async fn until_said(&self, what: &str) {
        self.until(&format!("it says {what:?}"), async || self.log().contains(what)).await;
    }

    /// Ends the processor at once, with whatever it is at.
    pub(crate) fn kill_processor(&mut self) {
        self.processor.take().expect("it runs").kill();
    }

    /// Ends the processor by SIGTERM, and gives its exit code.
    pub(crate) fn stop_processor(&mut self) -> Option<i32> {
        self.processor.take()?.stop()
    }

    /// Where its API is.
    pub(crate) fn url(&self) -> &str {
        &self.processor.as_ref().unwrap().url
    }

    /// Status and JSON body of a request that has one.
    pub(crate) async fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        let response = http().post(format!("{}{path}", self.url())).json(body).send().await.unwrap();
        (response.status().as_u16(), response.json().await.unwrap())
    }

    /// JSON body of what is there.
    pub(crate) async fn read(&self, path: &str) -> Value {
        let (status, body) = self.get(path).await;
        assert_eq!(status, 200, "{path}: {body}");
        serde_json::from_str(&body).unwrap()
    }

    /// Status and body.
    pub(crate) async fn get(&self, path: &str) -> (u16, String) {
        let url = format!("{}{path}", self.url());
        match http().get(url).send().await {
            Ok(response) => (response.status().as_u16(), response.text().await.unwrap()),
            Err(error) => (0, error.to_string()),
        }
    }

    /// An instance as its owner sees it.
    pub(crate) async fn instance(&self, id: &str) -> Value {
        let (_, body) = self.get(&format!("/v1/instances/{id}")).await;
        serde_json::from_str(&body).unwrap()
    }

    /// Waits until the instance has this status.
    pub(crate) async fn until_status(&self, id: &str, status: &str) {
        self.until(&format!("{id} is {status}"), async || self.instance(id).await["status"] == status).await;
    }

    /// The value of a series in `/metrics`, `name{label="value"}` as written there; 0 if it is not there yet.
    pub(crate) async fn metric(&self, series: &str) -> f64 {
        let (_, text) = self.get("/metrics").await;
        let lines = text.lines().filter(|it| !it.starts_with('#')).filter_map(|it| it.rsplit_once(' '));
        let series_values: BTreeMap<_, _> = lines.collect();
        series_values.get(series).map_or(0.0, |it| it.parse().unwrap())
    }

    pub(crate) async fn until_metric(&self, series: &str, value: f64) {
        self.until(&format!("{series} is {value}"), async || self.metric(series).await == value).await;
    }

    /// Waits until `is_so`, and fails the test if it never is.
    pub(crate) async fn until(&self, what: &str, is_so: impl AsyncFn() -> bool) {
        let began = Instant::now();
        while !is_so().await {
            assert!(began.elapsed() < PATIENCE, "waited in vain: {what}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

/// The program, which knows nothing of what is set around us.
pub(crate) fn millrace(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_millrace"));
    let is_ours = |name: &str| ["MILLRACE_", "OTEL_", "TRACE"].iter().any(|it| name.starts_with(it));
    let ours = std::env::vars_os().filter(|it| is_ours(&it.0.to_string_lossy()));
    for (variable, _) in ours {
        command.env_remove(variable);
    }
    command.args(arguments);
    command
}

fn data(folder: &TempDir) -> String {
    folder.path().join("data").display().to_string()
}

/// Starts `millrace dev`, and waits until it serves.
fn dev(folder: &TempDir, kafka: &str, http: &str, partitions: u32, arguments: &[&str]) -> (Processor, Value) {
    launch(dev_command(folder, kafka, http, partitions, arguments), &folder.path().join(LOG))
}

fn dev_command(folder: &TempDir, kafka: &str, http: &str, partitions: u32, arguments: &[&str]) -> Command {
    let (data, partitions) = (data(folder), partitions.to_string());
    let usual = ["--output", "json", "dev", "--data", &data, "--kafka", kafka, "--http", http];
    millrace(&[&usual, &["--partitions", &partitions][..], arguments].concat())
}

/// Starts a processor that says where it listens.
pub(crate) fn launch(mut command: Command, log: &Path) -> (Processor, Value) {
    let log = std::fs::File::options().create(true).append(true).open(log).unwrap();
    let mut child = command.stdout(Stdio::piped()).stderr(log).spawn().unwrap();
    let stdout = BufReader::new(child.stdout.take().unwrap());
    let (read, document) = mpsc::channel();
    std::thread::spawn(move || {
        let mut documents = serde_json::Deserializer::from_reader(stdout).into_iter::<Value>();
        read.send(documents.next())
    });
    let Ok(document) = document.recv_timeout(ENDING_MAX) else {
        let threads = threads(child.id());
        child.kill().unwrap();
        panic!("a processor has not said where it listens; its threads:\n{threads}");
    };
    let document = document.expect("a processor says where it listens").unwrap();
    let url = document["http"].as_str().unwrap_or_else(|| panic!("{document:#}")).to_owned();
    (Processor { child, url }, document)
}

impl Drop for Fleet {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the processor's log:\n{}", self.log());
        }
    }
}

/// A built-in worker.
pub(crate) struct Worker(Option<Processor>);

impl Worker {
    /// Of its endpoint.
    pub(crate) fn url(&self) -> &str {
        &self.0.as_ref().expect("it runs").url
    }

    /// Ends it by SIGTERM, and gives its exit code.
    pub(crate) fn stop(mut self) -> Option<i32> {
        self.0.take().expect("it runs").stop()
    }
}

/// A command that has ended.
pub(crate) struct Ran {
    what: String,
    output: Output,
}

impl Ran {
    /// Runs it to its end.
    pub(crate) fn of(mut command: Command) -> Self {
        let what: Vec<_> = command.get_args().map(|it| it.to_string_lossy()).collect();
        let what = what.join(" ");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let output = output(command.spawn().unwrap(), &what);
        Self { what, output }
    }

    fn shown(&self) -> String {
        let (stdout, stderr) =
            (String::from_utf8_lossy(&self.output.stdout), String::from_utf8_lossy(&self.output.stderr));
        format!("millrace {}\n{stdout}\n{stderr}", self.what)
    }

    #[track_caller]
    pub(crate) fn ends_with(&self, code: i32) -> String {
        assert_eq!(self.output.status.code(), Some(code), "{}", self.shown());
        String::from_utf8(self.output.stdout.clone()).unwrap()
    }

    #[track_caller]
    pub(crate) fn succeeds(&self) -> String {
        self.ends_with(0)
    }

    pub(crate) fn stderr(&self) -> String {
        String::from_utf8_lossy(&self.output.stderr).into_owned()
    }
}

/// A command that has not ended yet.
pub(crate) struct Running {
    what: String,
    child: Child,
}

impl Running {
    /// Waits for its end without holding up the worker.
    pub(crate) async fn wait(self) -> Ran {
        let Self { what, child } = self;
        tokio::task::spawn_blocking(|| Ran { output: output(child, &what), what }).await.unwrap()
    }
}
