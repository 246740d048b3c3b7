//! `quickstart`: see workflows run. Servers, the order example, a processor, ten orders and what happened to one of them.

use std::time::Duration;

use anyhow::{Context as _, bail};
use serde_json::Value;

use crate::cluster::{Given, Servers};
use crate::fleet::Fleet;
use crate::orders::{self, DEFINITION, Plan};
use crate::report::{Verdict, say};
use crate::steps;
use crate::workspace::{Profile, Workspace};

/// How often the list is asked for the first order: it is as of the last snapshots, a few seconds ago.
const LIST_TRIES: u32 = 20;

pub(crate) fn run(workspace: &Workspace, stay: bool) -> anyhow::Result<Verdict> {
    let folder = workspace.run_folder("quickstart")?;
    say!("The first time takes minutes: Millrace is built, and 250 MB of Kafka and Cassandra are fetched.");
    let programs = workspace.build(Profile::Dev, &folder)?;
    let plan = Plan { count: 10, kill: false, seed: 1, profile: Profile::Dev, given: Given::default() };
    let servers = Servers::get(workspace, &plan.given, &folder)?;
    let mut fleet = Fleet::start(workspace, &servers, &programs, &folder, DEFINITION)?;
    say!("{} orders, with workers and a courier that answer …", plan.count);
    orders::load(&mut fleet, &plan)?;
    let id = first_order(&fleet)?;
    say!("");
    steps::show("millrace list", &mut fleet.millrace(&["list", "shop/order"]))?;
    say!("\nWhat happened to {id}:\n");
    steps::show("millrace history", &mut fleet.millrace(&["history", &id]))?;
    if stay {
        go_on(&mut fleet)?;
    }
    fleet.stop_processor()?;
    Ok(Verdict::new(true, format!("{} orders went from a Kafka event to their end", plan.count)))
}

fn first_order(fleet: &Fleet<'_>) -> anyhow::Result<String> {
    for _ in 0..LIST_TRIES {
        let mut list = fleet.millrace(&["--output", "json", "list", "shop/order", "--limit", "1"]);
        let document: Value = serde_json::from_str(&steps::capture("millrace list", &mut list)?)
            .context("millrace list did not print JSON")?;
        if let Some(id) = document["instances"][0]["id"].as_str() {
            return Ok(id.to_owned());
        }
        std::thread::sleep(Duration::from_secs(1));
    }
    bail!("no order came into the list within {LIST_TRIES} s")
}

/// Until Ctrl-C, which ends all of it.
fn go_on(fleet: &mut Fleet<'_>) -> anyhow::Result<()> {
    say!("\nIt goes on until Ctrl-C. In another terminal:\n");
    for (name, value) in fleet.environment() {
        say!("    export {name}={value}");
    }
    say!("    {} --help", fleet.programs.millrace.display());
    say!("    curl {}/metrics", fleet.url());
    loop {
        fleet.must_run()?;
        std::thread::sleep(Duration::from_secs(1));
    }
}
