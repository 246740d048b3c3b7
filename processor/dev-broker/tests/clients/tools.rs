//! Finds the tools and runs them.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Output, Stdio};
use std::time::Duration;

use millrace_dev_broker::testing::bootstrap;
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;
use tokio::time::timeout;
use uuid::Uuid;

/// No tool takes longer, a JVM on a busy machine either.
const PATIENCE: Duration = Duration::from_secs(180);

/// A name that no other test has.
pub(crate) fn unique(name: &str) -> String {
    format!("{name}-{}", Uuid::new_v4().simple())
}

/// A new topic, and its name.
pub(crate) async fn topic(partitions: i32) -> String {
    let name = unique("clients");
    let mut config = ClientConfig::new();
    let admin: AdminClient<DefaultClientContext> =
        config.set("bootstrap.servers", bootstrap()).create().unwrap();
    let new = NewTopic::new(&name, partitions, TopicReplication::Fixed(1));
    admin.create_topics(&[new], &AdminOptions::new()).await.unwrap()[0].as_ref().unwrap();
    // Apache Kafka answers before all of its parts know.
    let is_known = || {
        let metadata = admin.inner().fetch_metadata(Some(&name), PATIENCE).unwrap();
        metadata.topics()[0].error().is_none()
    };
    while !is_known() {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    name
}

/// A tool that is there: its command line up to where its arguments go.
#[derive(Clone, Debug)]
pub(crate) struct Tool(Vec<String>);

/// kcat, if it is installed.
pub(crate) fn kcat() -> Option<Tool> {
    let is_there = std::process::Command::new("kcat").arg("-V").output().is_ok();
    let tool = || Tool(vec!["kcat".to_owned(), "-b".to_owned(), bootstrap()]);
    found(is_there.then(tool), "kcat", "the package of that name")
}

/// The console tools of Apache Kafka, each a class.
#[derive(Clone, Debug)]
pub(crate) struct Java {
    program: String,
    jars: String,
}

/// The console tools of Apache Kafka, if they are where `ops/setup.sh` puts them.
pub(crate) fn java() -> Option<Java> {
    let program = std::env::var("JAVA").unwrap_or_else(|_| "java".to_owned());
    let has_java = std::process::Command::new(&program).arg("-version").output().is_ok();
    let java =
        jars().filter(|_| has_java).map(|jars| Java { program, jars: jars.join("*").display().to_string() });
    found(java, "the console tools of Apache Kafka", "ops/setup.sh")
}

/// Their newest version.
fn jars() -> Option<PathBuf> {
    let given = std::env::var_os("CLUSTER_JARS").map(PathBuf::from);
    let cache = || {
        let given = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
        Some(given.or_else(|| std::env::home_dir().map(|it| it.join(".cache")))?.join("millrace/jars"))
    };
    let folders = std::fs::read_dir(given.or_else(cache)?).ok()?.filter_map(|it| Some(it.ok()?.path()));
    let is_ours =
        |it: &PathBuf| it.file_name().is_some_and(|it| it.to_string_lossy().starts_with("kafka-tools-"));
    folders.filter(is_ours).max()
}

impl Java {
    /// The tool of this class.
    pub(crate) fn tool(&self, class: &str) -> Tool {
        // They live for a second: nothing is gained by optimising.
        let options = ["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xmx128m", "-cp", &self.jars];
        let mut command = vec![self.program.clone()];
        command.extend(options.map(str::to_owned));
        command.extend([
            format!("org.apache.kafka.tools.{class}"),
            "--bootstrap-server".to_owned(),
            bootstrap(),
        ]);
        Tool(command)
    }
}

#[expect(clippy::explicit_write, reason = "the harness shows what is printed only of tests that fail")]
fn found<T>(tool: Option<T>, name: &str, from: &str) -> Option<T> {
    if tool.is_none() {
        let test = std::thread::current();
        let test = test.name().unwrap_or("a test");
        let line = format!("{test} is left out for want of {name}; {from} brings it");
        assert!(std::env::var_os("MILLRACE_TEST_TOOLS").is_none_or(|it| it != "required"), "{line}");
        writeln!(std::io::stderr(), "{line}").unwrap();
    }
    tool
}

impl Tool {
    async fn output(&self, arguments: &[&str], input: &str) -> Output {
        let mut command = Command::new(&self.0[0]);
        command.args(&self.0[1..]).args(arguments).kill_on_drop(true);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let input = input.to_owned();
        // It may have ended without reading all of it.
        let writing = tokio::spawn(async move { drop(stdin.write_all(input.as_bytes()).await) });
        let output = timeout(PATIENCE, child.wait_with_output()).await;
        writing.await.unwrap();
        output.unwrap_or_else(|_| panic!("{:?} {arguments:?} does not end", self.0)).unwrap()
    }

    /// What it prints on stdout when it succeeds.
    pub(crate) async fn run_with(&self, arguments: &[&str], input: &str) -> String {
        let output = self.output(arguments, input).await;
        let stdout = String::from_utf8(output.stdout).unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{:?} {arguments:?}: {}\n{stdout}\n{stderr}", self.0, output.status);
        stdout
    }

    /// The same, of a tool that reads nothing.
    pub(crate) async fn run(&self, arguments: &[&str]) -> String {
        self.run_with(arguments, "").await
    }

    /// All that it prints when it fails.
    pub(crate) async fn fails_with(&self, arguments: &[&str], input: &str) -> String {
        let output = self.output(arguments, input).await;
        let all = [output.stdout, output.stderr].concat();
        let all = String::from_utf8(all).unwrap();
        assert!(!output.status.success(), "{:?} {arguments:?}: {}\n{all}", self.0, output.status);
        all
    }

    /// The same, of a tool that reads nothing.
    pub(crate) async fn fails(&self, arguments: &[&str]) -> String {
        self.fails_with(arguments, "").await
    }
}
