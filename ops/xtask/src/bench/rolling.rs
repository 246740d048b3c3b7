//! `bench rolling`: three processors are restarted one after the other while W1 runs and clients of the API go on asking.
//!
//! As the runbook and the chart do it: one at a time, and nobody is sent to a processor that is about to stop or is not ready. The clients
//! stand for a Kubernetes Service: each request is a connection of its own, to one of the processors that are ready.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::loading;
use crate::cluster::{Given, Servers};
use crate::fleet::{Fleet, Settings};
use crate::http_client::{Answer, get, post};
use crate::page;
use crate::processes::Process;
use crate::report::{Verdict, read_json, say};
use crate::workspace::{Profile, Workspace};

const PROCESSORS: u32 = 3;
const PARTITIONS: u32 = 8;
/// Of each: together about as many as there are cores.
const LANES: u32 = 1;
/// As fast as it goes, before anything is measured: until the servers' virtual machines have compiled what they run, they are busy with that.
const SERVERS_WARMUP_SECONDS: u64 = 90;
/// Of the load and of the clients, before anything is restarted: what they ask for at their pace is other code than what the servers were busy with.
const WARMUP: Duration = Duration::from_secs(75);
/// Between a processor's being taken from the Service and its SIGTERM, as `preStopSeconds` of the chart.
const LEAVING: Duration = Duration::from_secs(2);
/// Between a processor's being ready and the next one's turn, as `minReadySeconds` of the chart.
const SETTLING: Duration = Duration::from_secs(3);
/// Clients of the API.
const CLIENTS: u32 = 3;
/// Between two requests of one client.
const PAUSE: Duration = Duration::from_millis(50);
/// What clients have started has ended within this.
const ENDED_WITHIN: Duration = Duration::from_secs(10);

const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Target.
const P99_MS_MAX: f64 = 1_000.0;

#[derive(Debug)]
pub(crate) struct Plan {
    /// For how long, from the first restart on, in seconds.
    pub(crate) seconds: u64,
    /// Starts a second.
    pub(crate) rate: u32,
    pub(crate) report: Option<PathBuf>,
    pub(crate) given: Given,
}

/// What the load test says.
#[derive(Clone, Debug, Deserialize, Serialize)]
struct Load {
    sent: u64,
    done: u64,
    failed: u64,
    p50_ms: f64,
    p99_ms: f64,
    max_ms: f64,
}

/// What the clients of the API have seen.
#[derive(Debug, Default)]
struct Seen {
    took_ms: Vec<f64>,
    errors: Vec<String>,
    /// Ids of what was started.
    started: Vec<String>,
}

impl Seen {
    fn quantile(&self, part: f64) -> f64 {
        let mut sorted = self.took_ms.clone();
        sorted.sort_by(f64::total_cmp);
        let place = (sorted.len() as f64 * part) as usize;
        sorted.get(place.min(sorted.len().saturating_sub(1))).copied().unwrap_or(0.0)
    }
}

/// One processor's turn.
#[derive(Clone, Copy, Debug, Serialize)]
struct Turn {
    ordinal: u32,
    stopped_ms: f64,
    ready_after_ms: f64,
}

pub(crate) fn rolling(workspace: &Workspace, plan: &Plan) -> anyhow::Result<Verdict> {
    let folder = workspace.run_folder("bench-rolling")?;
    let programs = workspace.build(Profile::Release, &folder)?;
    let servers = Servers::for_bench(workspace, &plan.given, &folder)?;
    let settings =
        Settings { partitions: PARTITIONS, queue: "w1", definition: "load-tests/workflows/w1.yaml" };
    let mut fleet = Fleet::create(workspace, programs, servers, &folder, &settings)?;
    fleet.lanes = Some(LANES);
    for ordinal in 0..PROCESSORS {
        fleet.start(ordinal)?;
    }
    say!("{SERVERS_WARMUP_SECONDS} s of W1, as fast as it goes …");
    let mut command = fleet.load_test("mix", &folder.join("warm-up.json"));
    command.args(["load-tests/mixes/w1.toml", "--max", "--duration", &SERVERS_WARMUP_SECONDS.to_string()]);
    loading::run(&mut fleet, "warm-up", &mut command, &folder)?;
    loading::until_flushed(&fleet)?;
    let report = folder.join("mix.json");
    let mut command = fleet.load_test("mix", &report);
    command.args(["load-tests/mixes/w1.toml", "--rate", &plan.rate.to_string()]);
    command.args(["--arrivals", "poisson", "--warmup", &WARMUP.as_secs().to_string()]);
    command.args(["--duration", &plan.seconds.to_string()]);
    say!("{} W1 a second; restarts from {} s on …", plan.rate, WARMUP.as_secs());
    let begun = Instant::now();
    let mut load = Process::spawn("mix", &mut command, &folder)?;
    let service = Service::new(&fleet)?;
    let clients = Clients::start(&service, 0);
    std::thread::sleep(WARMUP.saturating_sub(begun.elapsed()));
    let before = clients.stop();

    let clients = Clients::start(&service, CLIENTS);
    let turns = restart_all(&mut fleet, &service, &mut load)?;
    let mut seen = clients.stop();
    // How long they took is of no account; that nothing went wrong is, and that what they started ends.
    seen.errors.extend(before.errors);
    seen.started.extend(before.started);
    // The load's worker does their tasks, too.
    let unfinished = unfinished(&service, &seen.started)?;
    if begun.elapsed() > WARMUP + Duration::from_secs(plan.seconds) {
        bail!("the restarts took longer than the load: give more --seconds");
    }
    let status = loop {
        if let Some(status) = load.ended()? {
            break status;
        }
        fleet.must_run()?;
        std::thread::sleep(LOOK_EVERY);
    };
    for ordinal in fleet.ordinals() {
        fleet.stop(ordinal)?;
    }
    // Something not done is a finding; a test that could not run has left no report.
    let load: Load = serde_json::from_value(read_json(&report)?)
        .with_context(|| format!("the load test ended with {status}, and its report has other figures"))?;
    let verdict = judge(&load, &seen, unfinished, &turns);
    if let Some(file) = &plan.report {
        let title = "A rolling restart under load";
        page::write(workspace, file, title, &verdict, &table(plan, &load, &seen, &turns))?;
    }
    Ok(verdict)
}

/// One after the other, each when the one before is ready again.
fn restart_all(fleet: &mut Fleet, service: &Service, load: &mut Process) -> anyhow::Result<Vec<Turn>> {
    let mut turns = Vec::new();
    for ordinal in 0..PROCESSORS {
        load.must_run()?;
        service.remove(ordinal);
        std::thread::sleep(LEAVING);
        let begun = Instant::now();
        fleet.stop(ordinal)?;
        let stopped = begun.elapsed();
        let ready_after = fleet.start(ordinal)?;
        service.add(ordinal, fleet)?;
        turns.push(Turn {
            ordinal,
            stopped_ms: stopped.as_secs_f64() * 1_000.0,
            ready_after_ms: ready_after.as_secs_f64() * 1_000.0,
        });
        std::thread::sleep(SETTLING);
    }
    Ok(turns)
}

/// Which processors clients are sent to.
#[derive(Clone, Debug)]
struct Service(Arc<Mutex<Vec<(u32, String)>>>);

impl Service {
    fn new(fleet: &Fleet) -> anyhow::Result<Self> {
        let service = Self(Arc::default());
        for ordinal in fleet.ordinals() {
            service.add(ordinal, fleet)?;
        }
        Ok(service)
    }

    fn all(&self) -> std::sync::MutexGuard<'_, Vec<(u32, String)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, ordinal: u32, fleet: &Fleet) -> anyhow::Result<()> {
        let api = fleet.api(ordinal).context("a processor that is ready has said where its API is")?;
        self.all().push((ordinal, api.trim_start_matches("http://").to_owned()));
        Ok(())
    }

    fn remove(&self, ordinal: u32) {
        self.all().retain(|it| it.0 != ordinal);
    }

    /// Whose turn it is.
    fn choose(&self, turn: u64) -> anyhow::Result<String> {
        let all = self.all();
        let place = usize::try_from(turn).unwrap_or(0) % all.len().max(1);
        all.get(place).map(|it| it.1.clone()).context("no processor is ready")
    }
}

/// Threads that ask, one request after the other.
struct Clients {
    stop: Arc<AtomicBool>,
    threads: Vec<std::thread::JoinHandle<Seen>>,
}

impl Clients {
    /// Their numbers, from `first` on, are in the ids of what they start.
    fn start(service: &Service, first: u32) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let threads = (first..first + CLIENTS).map(|client| {
            let (service, stop) = (service.clone(), stop.clone());
            std::thread::spawn(move || ask(client, &service, &stop))
        });
        let threads = threads.collect();
        Self { stop, threads }
    }

    fn stop(self) -> Seen {
        self.stop.store(true, Ordering::Relaxed);
        let mut all = Seen::default();
        for it in self.threads {
            let Seen { took_ms, errors, started } = it.join().expect("a client does not panic");
            all.took_ms.extend(took_ms);
            all.errors.extend(errors);
            all.started.extend(started);
        }
        all
    }
}

/// Starts an instance, reads it, lists, again and again. It waits for the start's decision, so that the owner's absence is noticed.
fn ask(client: u32, service: &Service, stop: &AtomicBool) -> Seen {
    let mut seen = Seen::default();
    for turn in 0_u64.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let id = format!("client-{client}-{}", turn / 3);
        let start =
            json!({ "workflow": "load/w1", "id": id, "input": { "text": "from a client" } }).to_string();
        let what = ["start", "read", "list"][(turn % 3) as usize];
        let begun = Instant::now();
        let answer = service.choose(turn).and_then(|api| {
            let answer = match what {
                "start" => post(&api, "/v1/instances?wait=accepted", &start),
                "read" => get(&api, &format!("/v1/instances/{id}")),
                _ => get(&api, "/v1/instances?workflow=load/w1&limit=10"),
            };
            answer.with_context(|| format!("asked {api}"))
        });
        seen.took_ms.push(begun.elapsed().as_secs_f64() * 1_000.0);
        match answer {
            Ok(Answer { status: 200, .. }) if what == "start" => seen.started.push(id),
            Ok(Answer { status: 200, .. }) => {}
            Ok(Answer { status, body }) => seen.errors.push(format!("{what} {id}: {status} {body}")),
            Err(error) => seen.errors.push(format!("{what} {id}: {error:#}")),
        }
        std::thread::sleep(PAUSE);
    }
    seen
}

/// How many of what clients have started do not complete.
fn unfinished(service: &Service, started: &[String]) -> anyhow::Result<usize> {
    #[derive(Deserialize)]
    struct Instance {
        status: String,
    }
    let deadline = Instant::now() + ENDED_WITHIN;
    let mut open = started.to_vec();
    loop {
        let mut still_open = Vec::new();
        for id in open {
            let answer = get(&service.choose(0)?, &format!("/v1/instances/{id}"))?;
            let instance: Instance = serde_json::from_str(&answer.body)
                .with_context(|| format!("{id}: {} {}", answer.status, answer.body))?;
            if instance.status != "completed" {
                still_open.push(id);
            }
        }
        if still_open.is_empty() || Instant::now() > deadline {
            return Ok(still_open.len());
        }
        open = still_open;
        std::thread::sleep(LOOK_EVERY);
    }
}

fn judge(load: &Load, seen: &Seen, unfinished: usize, turns: &[Turn]) -> Verdict {
    let Load { sent, done, failed, p50_ms, p99_ms, max_ms } = load;
    let (requests, started) = (seen.took_ms.len(), seen.started.len());
    let mut problems: Vec<String> = seen.errors.iter().take(5).cloned().collect();
    if *p99_ms >= P99_MS_MAX {
        problems.push(format!("p99 must be less than {P99_MS_MAX} ms"));
    }
    if requests == 0 || started == 0 || turns.len() != PROCESSORS as usize {
        problems.push("not everything was tried".to_owned());
    }
    let holds = problems.is_empty() && done == sent && *failed == 0 && unfinished == 0;
    problems.push(format!(
        "{} restarts; {done} of {sent} W1 completed, {failed} not well; from due to its end p50 {p50_ms:.0} ms, p99 {p99_ms:.0} ms, at most \
         {max_ms:.0} ms; clients: {requests} requests, {} errors, p99 {:.0} ms; {} of {started} started there completed",
        turns.len(),
        seen.errors.len(),
        seen.quantile(0.99),
        started - unfinished
    ));
    Verdict::new(holds, problems.join("; "))
        .figure("load", json!(load))
        .figure("turns", json!(turns))
        .figure("requests", requests)
        .figure("errors", seen.errors.len())
}

fn table(plan: &Plan, load: &Load, seen: &Seen, turns: &[Turn]) -> String {
    let rows: String = turns
        .iter()
        .map(|it| format!("| {} | {:.0} | {:.0} |\n", it.ordinal, it.stopped_ms, it.ready_after_ms))
        .collect();
    format!(
        "{PROCESSORS} processors with a lane each and {PARTITIONS} partitions; {} W1 a second, arriving at random, for {} s from the first \
         restart on. Each processor is taken from the list that clients choose from {} s before its SIGTERM, and put back when it is ready.\n\n\
         | processor | from SIGTERM to its end, ms | from its start to ready, ms |\n|---|---|---|\n{rows}\n\
         | | p50, ms | p99, ms | at most, ms |\n|---|---|---|---|\n\
         | W1, from when it was due to its end in the changelog | {:.0} | {:.0} | {:.0} |\n\
         | requests to the API: start, read, list | {:.0} | {:.0} | {:.0} |\n",
        plan.rate,
        plan.seconds,
        LEAVING.as_secs(),
        load.p50_ms,
        load.p99_ms,
        load.max_ms,
        seen.quantile(0.5),
        seen.quantile(0.99),
        seen.quantile(1.0)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_may_be_lost_late_or_refused() {
        let load = |done, p99_ms| Load { sent: 100, done, failed: 0, p50_ms: 9.0, p99_ms, max_ms: p99_ms };
        let seen = |errors: &[&str]| Seen {
            took_ms: vec![1.0],
            errors: errors.iter().map(|it| (*it).to_owned()).collect(),
            started: vec!["a".to_owned()],
        };
        let turns = [Turn { ordinal: 0, stopped_ms: 1.0, ready_after_ms: 1.0 }; PROCESSORS as usize];
        assert!(judge(&load(100, 999.0), &seen(&[]), 0, &turns).holds);
        assert!(!judge(&load(99, 999.0), &seen(&[]), 0, &turns).holds);
        assert!(!judge(&load(100, 1_000.0), &seen(&[]), 0, &turns).holds);
        assert!(!judge(&load(100, 999.0), &seen(&["503"]), 0, &turns).holds);
        assert!(!judge(&load(100, 999.0), &seen(&[]), 1, &turns).holds);
        assert!(!judge(&load(100, 999.0), &seen(&[]), 0, &turns[..2]).holds);
        assert!(!judge(&load(100, 999.0), &Seen::default(), 0, &turns).holds);
    }

    #[test]
    fn quantiles_are_of_what_was_seen() {
        let seen = Seen { took_ms: vec![3.0, 1.0, 2.0, 4.0], ..Seen::default() };
        assert_eq!((seen.quantile(0.5), seen.quantile(1.0)), (3.0, 4.0));
        assert_eq!(Seen::default().quantile(0.5), 0.0);
    }
}
