//! `millrace history ID`

use clap::Args;
use millrace_schemas::InstanceId;

use crate::clients::{self, ApiClient};
use crate::config::{Global, parse_instance};
use crate::exit::{Exit, Failure};
use crate::output::Output;
use crate::reading;
use crate::requests::Fleet;
use crate::view::HistoryView;

#[derive(Args, Debug)]
pub(crate) struct Arguments {
    /// The instance
    #[arg(value_parser = parse_instance)]
    id: InstanceId,

    /// At most so many entries, the oldest first; an entry is what one command did
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    limit: u32,
}

pub(crate) async fn run(global: &Global, output: Output, arguments: &Arguments) -> anyhow::Result<Exit> {
    let id = &arguments.id;
    let view =
        output.patiently(&format!("reading the history of {id}"), read(global, id, arguments.limit)).await?;
    if view.entries.is_empty() {
        let fix = "check the id; history expires after the retention of the workflow, and a workflow may want none (metadata.millrace.history)";
        let failure = Failure::new(format!("there is no history of {id}"), fix);
        return Err(Failure { exit: Exit::NotFound, ..failure }.into());
    }
    output.show(&view, || view.text())?;
    Ok(Exit::Success)
}

async fn read(global: &Global, id: &InstanceId, limit: u32) -> anyhow::Result<HistoryView> {
    if !global.names_store() {
        let asked = [("limit", limit.to_string())];
        return ApiClient::new(global)?.get(&["v1", "instances", id.as_str(), "history"], &asked).await;
    }
    let (fleet, store) = (Fleet::connect(global).await?, clients::store(global).await?);
    let (entries, has_more) = reading::full_history(&fleet, &store, id, None, limit).await?;
    Ok(HistoryView::new(id, &entries, has_more))
}
