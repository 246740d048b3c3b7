//! Servers that let nobody in without TLS, a certificate and a password: the whole way, and what is said when one of them is wrong.
//!
//! ```sh
//! SECURE=1 ops/cluster/cluster up kafka cassandra && eval "$(ops/cluster/cluster env)"
//! cargo test -p millrace --test secure -- --include-ignored
//! ```

#![allow(clippy::unwrap_used)]

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;
use uuid::Uuid;

/// The built-in worker does its only task, so that it must come through, too.
const WORKFLOW: &str = r"
document: { dsl: 1.0.3, namespace: secure, name: greet, version: 1.0.0 }
do:
  - greet:
      run:
        shell:
          command: printf 'Hello, %s!' Ada
";

/// What `ops/cluster/tls.sh` gives the servers, which must not be seen anywhere.
const PASSWORD: &str = "a-password-for-tests";

#[test]
#[ignore = "needs servers with TLS and passwords: SECURE=1 ops/cluster/cluster up kafka cassandra"]
fn a_fleet_runs_on_servers_that_want_certificates_and_passwords() {
    let fleet = Fleet::new();
    fleet.run(&["topics", "apply", "--partitions", "2"]).succeeds();
    let definition = fleet.folder.path().join("greet.yaml");
    std::fs::write(&definition, WORKFLOW).unwrap();
    fleet.run(&["deploy", definition.to_str().unwrap()]).succeeds();

    let mut processor = fleet.start("processor", &["processor", "--http", "127.0.0.1:0"]);
    let mut worker = fleet.start("worker", &["worker", "--allow-processes"]);
    let start = ["start", "secure/greet", "--id", "g-1", "--wait", "--timeout", "60s", "--output", "json"];
    let ended: Value = serde_json::from_slice(&fleet.run(&start).succeeds().stdout).unwrap();
    assert_eq!(ended["output"], "Hello, Ada!", "{ended:#}");
    // The store is asked itself.
    fleet.run(&["get", "g-1"]).succeeds();
    let doctor = fleet.run(&["doctor"]).succeeds();
    assert!(String::from_utf8_lossy(&doctor.stdout).contains("ok"), "{doctor:?}");

    for (name, process) in [("processor", &mut processor), ("worker", &mut worker)] {
        let line = std::fs::read_to_string(format!("/proc/{}/cmdline", process.0.id())).unwrap();
        assert!(!line.contains(PASSWORD), "the command line of the {name} shows the password");
        process.stop();
        let log = std::fs::read_to_string(fleet.log(name)).unwrap();
        assert!(!log.contains(PASSWORD), "the log of the {name} shows the password:\n{log}");
    }
}

#[test]
#[ignore = "needs servers with TLS and passwords: SECURE=1 ops/cluster/cluster up kafka cassandra"]
fn what_is_wrong_with_a_connection_to_kafka_is_told() {
    let fleet = Fleet::new();
    let other_authority = format!("ssl.ca.location={}", fleet.tls("other-ca.crt"));
    for (setting, wanted) in [
        ("sasl.password=wrong", "Authentication failed"),
        (other_authority.as_str(), "certificate verify failed"),
        ("security.protocol=PLAINTEXT", "SSL"),
    ] {
        let plan = ["topics", "plan", "--no-store", "--wait-for-servers", "0s", "--kafka-set", setting];
        let said = fleet.run(&plan).fails();
        assert!(said.contains(wanted), "{setting}: {wanted:?} is not in\n{said}");
        assert!(said.contains("no broker answers") && said.contains("--kafka-config"), "{setting}:\n{said}");
    }
}

#[test]
#[ignore = "needs servers with TLS and passwords: SECURE=1 ops/cluster/cluster up kafka cassandra"]
fn what_is_wrong_with_a_connection_to_the_store_is_told() {
    let fleet = Fleet::new();
    let login = fleet.folder.path().join("wrong.login");
    std::fs::write(&login, "user=cassandra\npassword=wrong\n").unwrap();
    let other_authority = fleet.tls("other-ca.crt");
    for (option, value, wanted) in [
        ("--cql-login", login.to_str().unwrap(), "check the user and the password"),
        ("--cql-ca", &other_authority, "UnknownIssuer"),
        ("--cql-ca", "/there/is/none.crt", "cannot read certificates in /there/is/none.crt"),
    ] {
        let apply = ["topics", "apply", "--wait-for-servers", "0s", option, value];
        let said = fleet.run(&apply).fails();
        assert!(said.contains(wanted), "{option} {value}: {wanted:?} is not in\n{said}");
    }
    // Without TLS at all.
    let mut plain = fleet.command(&["get", "g-1"]);
    for name in ["MILLRACE_CQL_CA", "MILLRACE_CQL_CERTIFICATE", "MILLRACE_CQL_KEY"] {
        plain.env_remove(name);
    }
    let said = Ran("get".to_owned(), plain.output().unwrap()).fails();
    assert!(said.contains("that it does not want TLS"), "{said}");
}

/// Topics and a keyspace of its own; where the servers are and how they are reached is in the environment.
struct Fleet {
    prefix: String,
    folder: TempDir,
}

impl Fleet {
    fn new() -> Self {
        for name in ["MILLRACE_BOOTSTRAP", "MILLRACE_KAFKA_CONFIG", "MILLRACE_CQL", "MILLRACE_CQL_CA"] {
            assert!(
                std::env::var_os(name).is_some(),
                "{name} is not set: run `cargo xtask ci`, or see above"
            );
        }
        Self { prefix: format!("secure{}", Uuid::new_v4().simple()), folder: tempfile::tempdir().unwrap() }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_millrace"));
        command.args(arguments).env("MILLRACE_PREFIX", &self.prefix);
        command
    }

    fn run(&self, arguments: &[&str]) -> Ran {
        Ran(arguments.join(" "), self.command(arguments).output().unwrap())
    }

    fn log(&self, name: &str) -> PathBuf {
        self.folder.path().join(format!("{name}.log"))
    }

    /// Starts what runs on, and waits until it has printed its document.
    fn start(&self, name: &str, arguments: &[&str]) -> Running {
        let mut command = self.command(&[&["--output", "json", "-vv"], arguments].concat());
        let log = File::create(self.log(name)).unwrap();
        let mut child = command.stdout(Stdio::piped()).stderr(log).spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let document = serde_json::Deserializer::from_reader(stdout).into_iter::<Value>().next();
        let running = Running(child);
        let log = || std::fs::read_to_string(self.log(name)).unwrap();
        assert!(document.is_some_and(|it| it.is_ok()), "{name} has not started:\n{}", log());
        running
    }

    /// A file of the servers' folder of certificates.
    fn tls(&self, file: &str) -> String {
        let ca = std::env::var("MILLRACE_CQL_CA").unwrap();
        Path::new(&ca).with_file_name(file).to_str().unwrap().to_owned()
    }
}

/// A process that ends with the test.
struct Running(Child);

impl Running {
    /// In good order, by SIGTERM.
    fn stop(&mut self) {
        let killed = Command::new("kill").args(["-TERM", &self.0.id().to_string()]).status().unwrap();
        assert!(killed.success());
        let begun = Instant::now();
        loop {
            if let Some(status) = self.0.try_wait().unwrap() {
                assert_eq!(status.code(), Some(0));
                return;
            }
            assert!(begun.elapsed() < Duration::from_secs(60), "it does not end");
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It has ended already unless the test fails.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A command that has ended.
struct Ran(String, Output);

impl Ran {
    fn succeeds(self) -> Output {
        assert!(self.1.status.success(), "{}: {}", self.0, String::from_utf8_lossy(&self.1.stderr));
        self.1
    }

    /// What it said.
    fn fails(self) -> String {
        let said = String::from_utf8_lossy(&self.1.stderr).into_owned();
        assert_eq!(self.1.status.code(), Some(1), "{}: {said}", self.0);
        assert!(!said.contains(PASSWORD), "{}: the password is in {said}", self.0);
        said
    }
}
