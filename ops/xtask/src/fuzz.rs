//! `fuzz`: hostile bytes for what reads sockets and disks, by libFuzzer. On stable Rust: the instrumentation is LLVM's, and the
//! allocator stays the program's own.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::Context as _;
use serde_json::json;

use crate::report::{Verdict, say};
use crate::steps;
use crate::workspace::Workspace;

const TARGETS: [&str; 2] = ["request", "recovery"];
/// Coverage of edges and comparisons, which guides the fuzzer.
const INSTRUMENTATION: &str = "--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1";
/// Longest input, in bytes.
const INPUT_BYTES_MAX: u32 = 65_536;
/// No single reservation is larger, in MiB: some hundred times the input, and nothing like what a hostile count asks for.
const RESERVATION_MIB_MAX: u32 = 64;
/// Nor is the process.
const RESIDENT_MIB_MAX: u32 = 1_024;

pub(crate) fn run(workspace: &Workspace, minutes: u32) -> anyhow::Result<Verdict> {
    let folder = workspace.run_folder("fuzz")?;
    let host = host()?;
    let mut figures = serde_json::Map::new();
    let mut failed = Vec::new();
    for target in TARGETS {
        build(workspace, &host, target, &folder)?;
        let corpus = folder.join(target);
        std::fs::create_dir(&corpus).with_context(|| format!("could not create {}", corpus.display()))?;
        let seconds = u64::from(minutes) * 60;
        say!("{target}: {minutes} min");
        let log = folder.join(format!("{target}.log"));
        let file = std::fs::File::create(&log).context("could not create the log")?;
        let status = steps::command(program(workspace, &host, target))
            .arg(&corpus)
            .arg(format!("-max_total_time={seconds}"))
            .arg(format!("-max_len={INPUT_BYTES_MAX}"))
            .arg(format!("-malloc_limit_mb={RESERVATION_MIB_MAX}"))
            .arg(format!("-rss_limit_mb={RESIDENT_MIB_MAX}"))
            .arg("-timeout=10")
            .arg("-print_final_stats=1")
            .arg(format!("-artifact_prefix={}/{target}-", folder.display()))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(file)
            .status()
            .with_context(|| format!("could not run {target}"))?;
        let said = std::fs::read_to_string(&log).unwrap_or_default();
        let figure = |name: &str| {
            let line = said.lines().find_map(|it| it.strip_prefix(&format!("stat::{name}:")));
            line.and_then(|it| it.trim().parse::<u64>().ok()).unwrap_or(0)
        };
        let inputs = figure("number_of_executed_units");
        say!("{target}: {inputs} inputs, {} MiB at most", figure("peak_rss_mb"));
        figures.insert(
            target.to_owned(),
            json!({ "inputs": inputs, "resident_mib_max": figure("peak_rss_mb") }),
        );
        if !status.success() {
            steps::show_tail(&log)?;
            failed.push(target);
        }
    }
    let counted = TARGETS.map(|it| format!("{} inputs for {it}", figures[it]["inputs"])).join(", ");
    let detail = match &failed[..] {
        [] => {
            format!("{counted}, {minutes} min each; no panic, no reservation over {RESERVATION_MIB_MAX} MiB")
        }
        failed => format!("{} broke; the input is in {}", failed.join(" and "), folder.display()),
    };
    Ok(Verdict::new(failed.is_empty(), detail).figures_of(figures.into()))
}

fn manifest(workspace: &Workspace) -> PathBuf {
    workspace.root.join("processor/dev-broker/fuzz/Cargo.toml")
}

/// Beside everything else that is built, so that no other build is thrown away for its flags.
fn target_folder(workspace: &Workspace) -> PathBuf {
    workspace.root.join("target/fuzz")
}

/// Naming the host keeps the instrumentation from build scripts, and is part of the path.
fn program(workspace: &Workspace, host: &str, target: &str) -> PathBuf {
    target_folder(workspace).join(host).join("release").join(target)
}

/// What this machine is, in Rust's terms.
fn host() -> anyhow::Result<String> {
    let version = steps::capture("rustc", std::process::Command::new("rustc").arg("-vV"))?;
    let host = version.lines().find_map(|it| it.strip_prefix("host: "));
    Ok(host.context("rustc does not say what its host is")?.to_owned())
}

fn build(workspace: &Workspace, host: &str, target: &str, folder: &Path) -> anyhow::Result<()> {
    let mut cargo = workspace.cargo(&["build", "--release", "--target", host, "--bin", target]);
    cargo
        .arg("--manifest-path")
        .arg(manifest(workspace))
        .arg("--target-dir")
        .arg(target_folder(workspace))
        .env("RUSTFLAGS", INSTRUMENTATION);
    steps::run(&format!("build {target}"), &mut cargo, &folder.join(format!("{target}-build.log")))?;
    Ok(())
}
