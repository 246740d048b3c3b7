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

/// A tool that is there.
#[derive(Clone, Debug)]
pub(crate) enum Tool {
    Kcat,
    /// The jars of Apache Kafka's tools.
    Java {
        classes: String,
    },
}

/// kcat, if it is installed.
pub(crate) fn kcat() -> Option<Tool> {
    let is_there = std::process::Command::new("kcat").arg("-V").output().is_ok();
    found(is_there.then_some(Tool::Kcat), "kcat", "the package kcat")
}

/// The console tools of Apache Kafka, if they are where `ops/setup.sh` puts them.
pub(crate) fn java() -> Option<Tool> {
    let jars = std::env::var_os("CLUSTER_JARS").map(PathBuf::from).or_else(|| {
        let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
        let cache = cache.or_else(|| std::env::home_dir().map(|it| it.join(".cache")));
        Some(cache?.join("millrace/jars"))
    });
    let newest = jars.and_then(|jars| {
        let folders = std::fs::read_dir(jars).ok()?.filter_map(|it| Some(it.ok()?.path()));
        folders
            .filter(|it| it.file_name().is_some_and(|it| it.to_string_lossy().starts_with("kafka-tools-")))
            .max()
    });
    let tool = newest.map(|it| Tool::Java { classes: it.join("*").display().to_string() });
    let has_java = std::process::Command::new(java_program()).arg("-version").output().is_ok();
    found(tool.filter(|_| has_java), "the console tools of Apache Kafka", "ops/setup.sh")
}

fn java_program() -> String {
    std::env::var("JAVA").unwrap_or_else(|_| "java".to_owned())
}

fn found(tool: Option<Tool>, name: &str, from: &str) -> Option<Tool> {
    if tool.is_none() {
        let test = std::thread::current();
        let test = test.name().unwrap_or("a test");
        let line = format!("{test} is left out: {name} is missing ({from} installs it)");
        assert!(std::env::var_os("MILLRACE_TEST_TOOLS").is_none_or(|it| it != "required"), "{line}");
        // Past the harness, which shows what is printed only of tests that fail.
        writeln!(std::io::stderr(), "{line}").unwrap();
    }
    tool
}

impl Tool {
    /// Runs it with the broker's address; `class` is of Apache Kafka's tools.
    async fn output(&self, class: &str, arguments: &[&str], input: &str) -> Output {
        let mut command = match self {
            Self::Kcat => {
                let mut command = Command::new("kcat");
                command.args(["-b", &bootstrap()]);
                command
            }
            Self::Java { classes } => {
                let mut command = Command::new(java_program());
                // They live for a second: nothing is gained by optimising.
                command.args(["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xmx128m", "-cp", classes]);
                command.args([
                    &format!("org.apache.kafka.tools.{class}"),
                    "--bootstrap-server",
                    &bootstrap(),
                ]);
                command
            }
        };
        command.args(arguments).kill_on_drop(true);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let input = input.to_owned();
        // It may have ended without reading all of it.
        let writing = tokio::spawn(async move { drop(stdin.write_all(input.as_bytes()).await) });
        let output = timeout(PATIENCE, child.wait_with_output()).await;
        writing.await.unwrap();
        output.unwrap_or_else(|_| panic!("{class} {arguments:?} does not end")).unwrap()
    }

    /// What it prints on stdout when it succeeds.
    pub(crate) async fn run_with(&self, class: &str, arguments: &[&str], input: &str) -> String {
        let output = self.output(class, arguments, input).await;
        let stdout = String::from_utf8(output.stdout).unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{class} {arguments:?}: {}\n{stdout}\n{stderr}", output.status);
        stdout
    }

    /// The same, of a tool that reads nothing.
    pub(crate) async fn run(&self, class: &str, arguments: &[&str]) -> String {
        self.run_with(class, arguments, "").await
    }

    /// All that it prints when it fails.
    pub(crate) async fn fails_with(&self, class: &str, arguments: &[&str], input: &str) -> String {
        let output = self.output(class, arguments, input).await;
        let all = [output.stdout, output.stderr].concat();
        let all = String::from_utf8(all).unwrap();
        assert!(!output.status.success(), "{class} {arguments:?}: {}\n{all}", output.status);
        all
    }

    /// The same, of a tool that reads nothing.
    pub(crate) async fn fails(&self, class: &str, arguments: &[&str]) -> String {
        self.fails_with(class, arguments, "").await
    }
}
