//! `bench takeover`: how long a partition stands still when its owner is stopped or killed, with few and with many live instances on it.
//!
//! Two processors and one partition. From the moment of the signal to the owner until the first entry that the new owner commits is read
//! from the changelog, while a trickle of signals goes to random instances. A killed owner is noticed when its session is over, which is
//! as long for all: what is more is what counts.

use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, bail};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::live::Live;
use crate::cluster::Given;
use crate::page;
use crate::processes::{POLL, Process};
use crate::report::{Verdict, say};
use crate::workspace::Workspace;

/// Signals a second.
const TRICKLE: u32 = 100;
/// The owner works for so long before it is ended.
const STEADY: Duration = Duration::from_secs(5);
const TAKEN_OVER_WITHIN: Duration = Duration::from_secs(60);
/// A processor's session, by default.
const SESSION_MS: u64 = 6_000;

/// Targets.
const STOPPED_MS_MAX: u64 = 1_000;
const KILLED_MS_MAX: u64 = SESSION_MS + 2_000;
const RATIO_MAX: f64 = 1.2;

#[derive(Debug)]
pub(crate) struct Plan {
    /// Numbers of live instances, ascending.
    pub(crate) live: Vec<u64>,
    /// How often each is measured.
    pub(crate) times: u32,
    pub(crate) report: Option<PathBuf>,
    pub(crate) given: Given,
}

/// How an owner ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Stopped,
    Killed,
}

/// What was measured with one number of live instances, in milliseconds.
#[derive(Clone, Debug, Serialize)]
struct Measured {
    live: u64,
    stopped_ms: Vec<u64>,
    killed_ms: Vec<u64>,
}

impl Measured {
    fn median(times: &[u64]) -> u64 {
        let mut times = times.to_vec();
        times.sort_unstable();
        times.get(times.len() / 2).copied().unwrap_or(u64::MAX)
    }
}

pub(crate) fn takeover(workspace: &Workspace, plan: &Plan) -> anyhow::Result<Verdict> {
    if plan.live.is_empty() || !plan.live.is_sorted() || plan.times == 0 {
        bail!("--live must be ascending numbers, and --times 1 or more");
    }
    let mut live = Live::create(workspace, "bench-takeover", &plan.given)?;
    live.fleet.start(0)?;
    let mut measured = Vec::new();
    for count in &plan.live {
        live.grow(*count)?;
        if live.fleet.process(1).is_none() {
            live.fleet.start(1)?;
        }
        let mut trickle = live.trickle(TRICKLE)?;
        let mut measure = |end| -> anyhow::Result<Vec<u64>> {
            (0..plan.times).map(|_| one(&mut live, &mut trickle, end)).collect()
        };
        let it =
            Measured { live: *count, stopped_ms: measure(End::Stopped)?, killed_ms: measure(End::Killed)? };
        measured.push(it);
    }
    for ordinal in live.fleet.ordinals() {
        live.fleet.stop(ordinal)?;
    }
    let verdict = judge(&measured);
    if let Some(file) = &plan.report {
        page::write(workspace, file, "A partition changes hands", &verdict, &table(&measured))?;
    }
    Ok(verdict)
}

/// Ends the owner once, and measures until its successor has committed something. The other one is started again.
fn one(live: &mut Live, trickle: &mut Process, end: End) -> anyhow::Result<u64> {
    std::thread::sleep(STEADY);
    trickle.must_run()?;
    let owner = live.owner()?.context("nobody serves the partition")?;
    let from = unix_ms()?;
    let begun = Instant::now();
    match end {
        End::Stopped => live.fleet.stop(owner)?,
        End::Killed => live.fleet.kill(owner)?,
    }
    let taken_over = loop {
        if let Some(at) = first_entry(&std::fs::read_to_string(&trickle.output)?, from) {
            break at;
        }
        if begun.elapsed() > TAKEN_OVER_WITHIN {
            bail!("nobody took the partition over within {} s", TAKEN_OVER_WITHIN.as_secs());
        }
        std::thread::sleep(POLL);
    };
    let took = taken_over - from;
    say!("{} live instances, owner {end:?}: {took} ms", live.count);
    live.fleet.start(owner)?;
    Ok(took)
}

/// A line that the trickle prints.
#[derive(Deserialize)]
struct Line {
    at_unix_ms: u64,
    owner: Option<String>,
}

/// When the first entry was read that came after a claim since `from`.
fn first_entry(output: &str, from: u64) -> Option<u64> {
    let lines = output.lines().filter_map(|line| serde_json::from_str::<Line>(line).ok());
    let mut since = lines.skip_while(|it| it.at_unix_ms < from || it.owner.is_none());
    since.find(|it| it.owner.is_none()).map(|it| it.at_unix_ms)
}

fn unix_ms() -> anyhow::Result<u64> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).context("the clock is before 1970")?;
    u64::try_from(since.as_millis()).context("the clock is far in the future")
}

fn judge(measured: &[Measured]) -> Verdict {
    let mut problems = Vec::new();
    let mut parts = Vec::new();
    for Measured { live, stopped_ms, killed_ms } in measured {
        let (stopped, killed) = (Measured::median(stopped_ms), Measured::median(killed_ms));
        let beyond = i128::from(killed) - i128::from(SESSION_MS);
        parts.push(format!("{live} live: stopped {stopped} ms, killed session {beyond:+} ms"));
        if stopped >= STOPPED_MS_MAX {
            problems.push(format!(
                "with {live} live a stop takes {stopped} ms and must take less than {STOPPED_MS_MAX}"
            ));
        }
        if killed >= KILLED_MS_MAX {
            problems.push(format!(
                "with {live} live a kill takes {killed} ms and must take less than {KILLED_MS_MAX}"
            ));
        }
    }
    let ratio = |times: fn(&Measured) -> &[u64]| match (measured.first(), measured.last()) {
        (Some(few), Some(many)) => {
            Measured::median(times(many)) as f64 / Measured::median(times(few)).max(1) as f64
        }
        _ => f64::INFINITY,
    };
    let ratios = [("stop", ratio(|it| &it.stopped_ms)), ("kill", ratio(|it| &it.killed_ms))];
    for (what, ratio) in ratios {
        parts.push(format!("{what} ratio {ratio:.2}"));
        if ratio > RATIO_MAX {
            problems.push(format!(
                "a {what} with the most live instances takes {ratio:.2} times as long as with the fewest"
            ));
        }
    }
    problems.push(parts.join("; "));
    Verdict::new(problems.len() == 1, problems.join("; "))
        .figure("measured", json!(measured))
        .figure("session_ms", SESSION_MS)
        .figure("stop_ratio", ratios[0].1)
        .figure("kill_ratio", ratios[1].1)
}

fn table(measured: &[Measured]) -> String {
    let all = |times: &[u64]| times.iter().map(u64::to_string).collect::<Vec<_>>().join(", ");
    let rows: String = measured
        .iter()
        .map(|Measured { live, stopped_ms, killed_ms }| {
            format!("| {live} | {} | {} |\n", all(stopped_ms), all(killed_ms))
        })
        .collect();
    format!(
        "From the signal to the owner until the first entry of the new owner is read, committed; one partition, {TRICKLE} signals a second to \
         random instances. A killed owner's session lasts {SESSION_MS} ms from its last heartbeat, which is up to 150 ms earlier.\n\n\
         | live instances | SIGTERM, ms | kill -9, ms |\n|---|---|---|\n{rows}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_new_owner_counts_and_the_old_one_does_not() {
        let line = |at, owner: &str| format!("{{\"at_unix_ms\":{at},\"partition\":0,\"owner\":{owner}}}\n");
        let mut output = line(5, "\"a-0\"") + &line(6, "null") + &line(12, "null");
        assert_eq!(first_entry(&output, 10), None, "the old owner drained");
        output += &line(13, "\"a-1\"");
        assert_eq!(first_entry(&output, 10), None, "claimed and no more");
        output += &(line(15, "null") + &line(16, "null") + "{\"at_un");
        assert_eq!(first_entry(&output, 10), Some(15));
    }

    #[test]
    fn a_slow_takeover_fails() {
        let measured = |live, stopped, killed| Measured {
            live,
            stopped_ms: vec![stopped; 3],
            killed_ms: vec![killed; 3],
        };
        assert!(judge(&[measured(1, 500, 6_000), measured(9, 600, 6_500)]).holds);
        for slow in [
            measured(9, 1_000, 6_000),
            measured(9, 500, 8_000),
            measured(9, 601, 6_000),
            measured(9, 500, 7_300),
        ] {
            assert!(!judge(&[measured(1, 500, 6_000), slow]).holds);
        }
    }
}
