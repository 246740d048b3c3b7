//! `quickstart`: orders from event to end, for somebody who sees this for the first time.

use anyhow::Context as _;

use crate::cluster::{Given, Servers};
use crate::fleet::Fleet;
use crate::orders::SETTINGS;
use crate::processes::POLL;
use crate::report::{Verdict, say};
use crate::steps;
use crate::workspace::{Profile, Workspace};

const ORDERS: &str = "3";
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
    fleet.start_processor()?;

    say!("\nA shop produces {ORDERS} orders as events, and its workers answer the tasks that follow:");
    let mut shop = fleet.load_test("orders", &folder.join("orders.json"));
    steps::show("the shop", shop.args(["--count", ORDERS]))?;
    say!("\n$ millrace list {WORKFLOW}");
    steps::show("millrace list", &mut fleet.millrace(&["list", WORKFLOW]))?;
    let orders =
        steps::capture("millrace list", &mut fleet.millrace(&["list", WORKFLOW, "--output", "json"]))?;
    let orders: serde_json::Value = serde_json::from_str(&orders).context("millrace list printed no JSON")?;
    let order = orders["instances"][0]["id"].as_str().context("millrace list shows no order")?;
    say!("\n$ millrace history {order}");
    steps::show("millrace history", &mut fleet.millrace(&["history", order]))?;

    if stay {
        linger(&mut fleet)?;
    }
    fleet.stop_processor()?;
    Ok(Verdict::new(true, format!("{ORDERS} orders came to their end; the servers are gone again")))
}

/// Until Ctrl-C, or until the processor ends. The servers and the processor do not outlive us.
fn linger(fleet: &mut Fleet) -> anyhow::Result<()> {
    say!("\nEverything runs until Ctrl-C. In another terminal:\n");
    say!("  export MILLRACE_BOOTSTRAP={}", fleet.servers.bootstrap);
    say!("  export MILLRACE_CQL={}", fleet.servers.cql);
    say!("  export MILLRACE_PREFIX={}", fleet.prefix);
    say!("  cargo run -p millrace -- doctor");
    if let Some(api) = fleet.api() {
        say!("  curl {api}/metrics");
    }
    loop {
        fleet.must_run()?;
        std::thread::sleep(POLL);
    }
}
