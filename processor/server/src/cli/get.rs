//! `millrace get ID`

use clap::Args;
use millrace_schemas::InstanceId;

use crate::clients::{self, ApiClient, Kafka};
use crate::config::{Global, parse_instance};
use crate::exit::{Exit, Failure};
use crate::output::Output;
use crate::reading;
use crate::view::FoundView;

#[derive(Args, Debug)]
pub(crate) struct Arguments {
    /// The instance
    #[arg(value_parser = parse_instance)]
    id: InstanceId,
}

pub(crate) async fn run(global: &Global, output: Output, arguments: &Arguments) -> anyhow::Result<Exit> {
    let id = &arguments.id;
    let found = output.patiently(&format!("looking for {id}"), find(global, id)).await?;
    if let Some(note) = &found.note {
        output.note(&format!("note: {note}"));
    }
    output.show(&found, || found.instance.text())?;
    Ok(Exit::Success)
}

async fn find(global: &Global, id: &InstanceId) -> anyhow::Result<FoundView> {
    if !global.names_store() {
        return ApiClient::new(global)?.get(&["v1", "instances", id.as_str()], &[]).await;
    }
    let partitions = Kafka::new(global).partitions(&global.topics().internal()).await?;
    let (store, codec) = (clients::store(global).await?, clients::codec(global).await?);
    let (peers, partition) = (clients::peers(global)?, reading::home_of(id, partitions));
    let answer = reading::instance(&peers, &store, &codec, partition, id, reading::owner_until()).await?;
    answer.found().map_err(|why| not_found(id, why).into())
}

fn not_found(id: &InstanceId, why: Option<String>) -> Failure {
    let (what, fix) = match why {
        None => (
            format!("there is no instance {id}"),
            "check the id, or start it: millrace start WORKFLOW --id ID".to_owned(),
        ),
        Some(why) => (
            format!("the snapshot store has no instance {id}"),
            format!("check the id; one that has just started is seen once its owner can be asked ({why})"),
        ),
    };
    Failure { exit: Exit::NotFound, ..Failure::new(what, fix) }
}
