//! `api-fuzz`: the HTTP API of a running `millrace dev` against its own OpenAPI document, by schemathesis. No answer may be a failure of the
//! server's, none may differ from what the document says, nothing that the document forbids may be taken, and nobody may be let in without
//! a token.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::Context as _;

use crate::dev::Dev;
use crate::report::{Verdict, say};
use crate::steps;
use crate::workspace::{Profile, Programs, Workspace};

/// For how long, unless said.
pub(crate) const SECONDS: u32 = 75;

/// A token, and what the file of tokens has of it: only its hash.
const TOKEN: &str = "secret";
const TOKENS: &str = "fuzzer admin 2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b\n";

/// Called as the workflow in the document's examples. What its instances do is over at once.
const DEFINITION: &str = "document: { dsl: '1.0.3', namespace: shop, name: order, version: '1.0.0' }\n\
    do:\n  - check: { set: { checked: true } }\n";

const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,\
    response_schema_conformance,negative_data_rejection,missing_required_header,unsupported_method,allow_header_conformance,ignored_auth";

/// Streams, which do not end.
const ENDLESS: [&str; 2] = ["followInstance", "followAll"];

/// For one request.
const REQUEST_SECONDS: u32 = 40;

pub(crate) struct Plan {
    pub(crate) seconds: u32,
    pub(crate) seed: Option<u64>,
}

pub(crate) fn run(workspace: &Workspace, plan: &Plan) -> anyhow::Result<Verdict> {
    workspace.with_programs("api-fuzz", Profile::Dev, |programs, folder| through(&programs, folder, plan))
}

/// The same with programs that are built already.
pub(crate) fn through(programs: &Programs, folder: &Path, plan: &Plan) -> anyhow::Result<Verdict> {
    let tokens = folder.join("tokens");
    std::fs::write(&tokens, TOKENS).context("could not write the tokens")?;
    let definition = folder.join("order.yaml");
    std::fs::write(&definition, DEFINITION).context("could not write the definition")?;
    let arguments = [
        "--ephemeral",
        "--kafka",
        "127.0.0.1:0",
        "--http",
        "127.0.0.1:0",
        "--http-rate-max",
        "0",
        "--http-tokens",
        text(&tokens)?,
        "--watch",
        text(&definition)?,
    ];
    let dev = Dev::start(programs, "dev", &arguments, folder)?;
    let fuzzed = fuzz(&dev.http, folder, plan);
    dev.stop()?;
    fuzzed
}

fn text(path: &Path) -> anyhow::Result<&str> {
    path.to_str().with_context(|| format!("{} is not UTF-8", path.display()))
}

fn fuzz(url: &str, folder: &Path, plan: &Plan) -> anyhow::Result<Verdict> {
    let Plan { seconds, seed } = plan;
    say!("{url}: {seconds} s of requests by its own document …");
    let (log, report) = (folder.join("schemathesis.log"), folder.join("schemathesis.xml"));
    let output = File::create(&log).with_context(|| format!("could not create {}", log.display()))?;
    let errors = output.try_clone().context("could not share the log")?;
    let mut command = steps::command(schemathesis()?);
    command.current_dir(folder);
    command.args(["run", &format!("{url}/openapi.json"), "--no-color", "--checks", CHECKS]);
    command.args(["--header", &format!("Authorization: Bearer {TOKEN}")]);
    command.args(["--max-time", &seconds.to_string(), "--request-timeout", &REQUEST_SECONDS.to_string()]);
    command.args(["--continue-on-failure", "--suppress-health-check", "all", "--warnings", "off"]);
    command.args(["--generation-database", "none", "--output-sanitize", "false"]);
    command.args(["--report", "junit", "--report-junit-path", text(&report)?]);
    for operation in ENDLESS {
        command.args(["--exclude-operation-id", operation]);
    }
    if let Some(seed) = seed {
        command.args(["--seed", &seed.to_string()]);
    }
    let status = command.stdin(Stdio::null()).stdout(output).stderr(errors).status();
    let status = status.context("could not run schemathesis")?;
    let said = std::fs::read_to_string(&log).unwrap_or_default();
    let cases = cases(&said);
    if !status.success() {
        steps::show_tail(&log)?;
        let detail = format!("{cases} requests; some answers are wrong ({status}); log: {}", log.display());
        return Ok(Verdict::new(false, detail).figure("requests", cases));
    }
    // A tool that has asked nothing has found nothing.
    let detail = format!("{cases} requests in {seconds} s, and every answer was as the document says");
    Ok(Verdict::new(cases > 0, detail).figure("requests", cases))
}

/// How many requests were made, as it says at its end: `Test cases:` and then `1234 generated, …`.
fn cases(said: &str) -> u64 {
    let number = |line: &str| line.split_whitespace().next()?.replace(',', "").parse().ok();
    said.lines().filter(|it| it.contains(" generated")).filter_map(number).next_back().unwrap_or(0)
}

fn schemathesis() -> anyhow::Result<PathBuf> {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache")));
    let program = cache.map(|it| it.join("millrace/venv/bin/schemathesis")).filter(|it| it.exists());
    program.context("schemathesis is missing: run ops/setup.sh")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_counted_as_they_are_told() {
        let said =
            "Test Phases:\n  ok\n\nTest cases:\n  1,204 generated, 1,204 passed, 3 skipped\n\nSeed: 1\n";
        assert_eq!(cases(said), 1_204);
        assert_eq!(cases("No test cases were generated.\n"), 0);
    }
}
