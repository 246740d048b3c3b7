//! `quickstart`: orders from event to end, for somebody who sees this for the first time.

use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use serde_json::Value;

use crate::cluster::{Given, Servers};
use crate::fleet::Fleet;
use crate::orders::SETTINGS;
use crate::processes::POLL;
use crate::report::{Verdict, say};
use crate::steps;
use crate::workspace::{Profile, Workspace};

const ORDERS: usize = 3;
const LISTED_WITHIN: Duration = Duration::from_secs(30);
const WORKFLOW: &str = "shop/order";

pub(crate) fn run(workspace: &Workspace, stay: bool) -> anyhow::Result<Verdict> {
    let folder = workspace.run_folder("quickstart")?;
    say!(
        "The first time this compiles the workspace and fetches the servers, which takes minutes. Logs: {}",
        folder.display()
    );
    let programs = workspace.build(Profile::Dev, &folder)?;
    let servers = Servers::get(workspace, &Given::default(), &folder)?;
    let mut fleet = Fleet::create(workspace, programs, servers, &folder, &SETTINGS)?;
    fleet.start(0)?;

    say!("\nA shop produces {ORDERS} orders as events, and its workers answer the tasks that follow:");
    let mut shop = fleet.load_test("orders", &folder.join("orders.json"));
    steps::show("the shop", shop.args(["--count", &ORDERS.to_string()]))?;
    let order = listed(&fleet)?;
    say!("\n$ millrace list {WORKFLOW}");
    steps::show("millrace list", &mut fleet.millrace(&["list", WORKFLOW]))?;
    say!("\n$ millrace history {order}");
    steps::show("millrace history", &mut fleet.millrace(&["history", &order]))?;

    if stay {
        linger(&mut fleet)?;
    }
    fleet.stop(0)?;
    Ok(Verdict::new(true, format!("{ORDERS} orders came to their end; the servers are gone again")))
}

/// Waits until the list shows the end of all orders: it is read from snapshots, which follow after seconds. Answers the id of one.
fn listed(fleet: &Fleet) -> anyhow::Result<String> {
    let deadline = Instant::now() + LISTED_WITHIN;
    while Instant::now() < deadline {
        let list =
            steps::capture("millrace list", &mut fleet.millrace(&["list", WORKFLOW, "--output", "json"]))?;
        let list: Value = serde_json::from_str(&list).context("millrace list printed no JSON")?;
        let orders = list["instances"].as_array().context("millrace list shows no instances")?;
        if orders.len() >= ORDERS && orders.iter().all(|it| it["status"] != "running") {
            return Ok(orders[0]["id"].as_str().context("an instance has an id")?.to_owned());
        }
        std::thread::sleep(Duration::from_millis(500));
    }
    bail!("millrace list does not show the end of {ORDERS} orders after {} s", LISTED_WITHIN.as_secs())
}

/// Until Ctrl-C, or until the processor ends. The servers and the processor do not outlive us.
fn linger(fleet: &mut Fleet) -> anyhow::Result<()> {
    say!("\nEverything runs until Ctrl-C. In another terminal:\n");
    say!("  export MILLRACE_BOOTSTRAP={}", fleet.servers.bootstrap);
    say!("  export MILLRACE_CQL={}", fleet.servers.cql);
    say!("  export MILLRACE_CQL_REPLICATION=1 MILLRACE_PREFIX={}", fleet.prefix);
    say!("  cargo run -p millrace -- doctor");
    if let Some(api) = fleet.api(0) {
        say!("  curl {api}/metrics");
    }
    loop {
        fleet.must_run()?;
        std::thread::sleep(POLL);
    }
}
