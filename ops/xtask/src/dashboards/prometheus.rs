//! A Prometheus of this run, with the rules of this repository. Gone when it is dropped.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use serde_json::Value;

use crate::http_client::get;
use crate::processes::{POLL, Process};
use crate::steps;

const READY_WITHIN: Duration = Duration::from_secs(30);

#[derive(Debug)]
pub(super) struct Prometheus {
    process: Process,
    address: String,
}

/// What Prometheus says of a rule.
#[derive(Debug)]
pub(super) struct Rule {
    pub(super) name: String,
    pub(super) is_alert: bool,
    pub(super) health: String,
    pub(super) error: String,
    /// Of an alert: `inactive`, `pending`, `firing`.
    pub(super) state: String,
}

#[derive(Deserialize)]
struct Answer {
    status: String,
    #[serde(default)]
    error: String,
    #[serde(default)]
    data: Value,
}

impl Prometheus {
    /// With the rules of `rules`, scraping jobs of targets.
    pub(super) fn start(
        rules: &Path,
        folder: &Path,
        jobs: &[(&str, Vec<String>); 2],
    ) -> anyhow::Result<Self> {
        let config = folder.join("prometheus.yml");
        std::fs::write(&config, configuration(rules, jobs)).context("could not write its configuration")?;
        let address = free_address()?;
        let mut command = steps::command(program()?);
        command
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.tsdb.path={}", folder.join("prometheus-data").display()))
            .arg(format!("--web.listen-address={address}"));
        let mut process = Process::spawn("prometheus", &mut command, folder)?;
        let began = Instant::now();
        while began.elapsed() < READY_WITHIN {
            process.must_run()?;
            if get(&address, "/-/ready").is_ok_and(|it| it.status == 200) {
                return Ok(Self { process, address });
            }
            std::thread::sleep(POLL);
        }
        bail!("Prometheus is not ready after {} s; log: {}", READY_WITHIN.as_secs(), process.log.display())
    }

    fn ask(&self, path: &str, arguments: &[(&str, &str)]) -> anyhow::Result<Value> {
        let encode = |it: &str| utf8_percent_encode(it, NON_ALPHANUMERIC).to_string();
        let arguments: Vec<String> =
            arguments.iter().map(|(name, value)| format!("{}={}", encode(name), encode(value))).collect();
        let answer = get(&self.address, &format!("/api/v1/{path}?{}", arguments.join("&")))
            .with_context(|| format!("Prometheus does not answer; log: {}", self.process.log.display()))?;
        let answer: Answer =
            serde_json::from_str(&answer.body).with_context(|| format!("no answer: {}", answer.body))?;
        ensure!(answer.status == "success", "Prometheus cannot answer {arguments:?}: {}", answer.error);
        Ok(answer.data)
    }

    /// How many series a query has that have a value now.
    pub(super) fn series(&self, query: &str) -> anyhow::Result<usize> {
        let data = self.ask("query", &[("query", query)])?;
        let result = data["result"].as_array().with_context(|| format!("{query} is no vector"))?;
        let has_value = |it: &&Value| it["value"][1].as_str().is_some_and(|it| it != "NaN");
        Ok(result.iter().filter(has_value).count())
    }

    /// The values of a label among these series.
    pub(super) fn values_of(&self, label: &str, selector: &str) -> anyhow::Result<Vec<String>> {
        let data = self.ask(&format!("label/{label}/values"), &[("match[]", selector)])?;
        let values = data.as_array().context("values are a list")?;
        Ok(values.iter().filter_map(Value::as_str).map(str::to_owned).collect())
    }

    /// All rules.
    pub(super) fn rules(&self) -> anyhow::Result<Vec<Rule>> {
        let data = self.ask("rules", &[])?;
        let groups = data["groups"].as_array().context("rules are in groups")?;
        let rules = groups.iter().filter_map(|it| it["rules"].as_array()).flatten();
        let rules: Vec<Rule> = rules.map(Rule::of).collect();
        ensure!(!rules.is_empty(), "Prometheus has no rules");
        Ok(rules)
    }
}

impl Rule {
    fn of(rule: &Value) -> Self {
        let text = |field: &str| rule[field].as_str().unwrap_or_default().to_owned();
        Self {
            name: text("name"),
            is_alert: rule["type"] == "alerting",
            health: text("health"),
            error: text("lastError"),
            state: text("state"),
        }
    }
}

/// Scraped every second, so that a minute is enough.
fn configuration(rules: &Path, jobs: &[(&str, Vec<String>); 2]) -> String {
    let mut text = String::from("global: {scrape_interval: 1s, evaluation_interval: 2s}\n");
    let files = ["recording.yml", "alerts.yml"].map(|it| format!("{:?}", rules.join(it)));
    text.push_str(&format!("rule_files: [{}]\nscrape_configs:\n", files.join(", ")));
    for (job, targets) in jobs {
        text.push_str(&format!(
            "  - job_name: {job}\n    static_configs: [{{targets: {targets:?}, labels: {{namespace: check}}}}]\n"
        ));
    }
    text
}

/// Where `ops/setup.sh` has put it, else what the system has.
fn program() -> anyhow::Result<PathBuf> {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache")));
    let ours = cache.map(|it| it.join("millrace/prometheus/usr/bin/prometheus")).filter(|it| it.exists());
    let path = std::env::var_os("PATH").unwrap_or_default();
    let theirs = || std::env::split_paths(&path).map(|it| it.join("prometheus")).find(|it| it.exists());
    ours.or_else(theirs).context("there is no prometheus: run ops/setup.sh")
}

/// One that nobody has now.
fn free_address() -> anyhow::Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0").context("could not find a free port")?;
    Ok(listener.local_addr()?.to_string())
}
