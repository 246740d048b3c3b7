//! A process that starts before its servers do.

#![allow(clippy::unwrap_used)]

use std::io::{BufRead as _, BufReader, Read as _};
use std::net::TcpListener;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// A process that ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It has ended already unless the test fails.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Running {
    fn ended(&mut self) -> ExitStatus {
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(180) {
            if let Some(status) = self.0.try_wait().unwrap() {
                return status;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("it does not end");
    }
}

fn start(arguments: &[&str], said: fn() -> Stdio) -> Running {
    let mut command = Command::new(env!("CARGO_BIN_EXE_millrace"));
    for (variable, _) in std::env::vars_os().filter(|it| it.0.to_string_lossy().starts_with("MILLRACE_")) {
        command.env_remove(variable);
    }
    let command = command.args(arguments).stdin(Stdio::null()).stdout(said()).stderr(said());
    Running(command.spawn().unwrap())
}

/// An address at which nobody listens.
fn free_address() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

#[test]
fn a_broker_that_comes_late_is_waited_for() {
    let bootstrap = free_address();
    // A prefix of its own: `dev` makes its topics itself.
    let patient = ["topics", "apply", "--no-store", "--prefix", "late", "--wait-for-servers", "2m"];
    let mut apply = start(&[&patient[..], &["--bootstrap", &bootstrap]].concat(), Stdio::piped);
    let mut said = BufReader::new(apply.0.stderr.take().unwrap());
    let told = loop {
        let mut line = String::new();
        assert!(said.read_line(&mut line).unwrap() > 0, "it has ended without waiting");
        if line.contains(" more: ") {
            break line;
        }
    };
    assert!(told.starts_with("looking for the fleet, "), "{told}");
    assert!(told.contains("no broker answers") && told.contains("Connection refused"), "{told}");

    let _broker = start(&["dev", "--ephemeral", "--kafka", &bootstrap, "--http", "127.0.0.1:0"], Stdio::null);
    let status = apply.ended();
    let (mut answer, mut rest) = (String::new(), String::new());
    apply.0.stdout.take().unwrap().read_to_string(&mut answer).unwrap();
    said.read_to_string(&mut rest).unwrap();
    assert!(status.success(), "{rest}");
    assert!(answer.contains("late.events"), "{answer}");
}

#[test]
fn patience_is_a_matter_of_choice() {
    let begun = Instant::now();
    let processor =
        ["processor", "--http", "127.0.0.1:0", "--wait-for-servers", "0s", "--cql", &free_address()];
    let mut processor = start(&processor, Stdio::piped);
    let status = processor.ended();
    let mut said = String::new();
    processor.0.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!(status.code(), Some(1), "{said}");
    assert!(said.contains("cannot connect to the snapshot store"), "{said}");
    assert!(!said.contains("so far"), "{said}");
    assert!(begun.elapsed() < Duration::from_secs(60), "{said}");
}
