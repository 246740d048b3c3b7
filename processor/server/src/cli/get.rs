//! `millrace get ID`

use clap::Args;
use millrace_schemas::InstanceId;
use serde::Serialize;

use crate::clients::{self, Kafka};
use crate::config::{Global, parse_instance};
use crate::exit::{Exit, Failure};
use crate::output::Output;
use crate::reading::{self, Answer};
use crate::view::{InstanceView, time};

#[derive(Args, Debug)]
pub(crate) struct Arguments {
    /// The instance
    #[arg(value_parser = parse_instance)]
    id: InstanceId,
}

#[derive(Serialize)]
struct Document<'a> {
    #[serde(flatten)]
    instance: &'a InstanceView,
    /// `owner`: so it is now. `store`: what happened after `complete_until` may be missing.
    read_from: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    owner_url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    complete_until: Option<String>,
}

pub(crate) async fn run(global: &Global, output: Output, arguments: &Arguments) -> anyhow::Result<Exit> {
    let id = &arguments.id;
    let kafka = Kafka::new(global);
    let read = async {
        let partitions = kafka.partitions(&global.topics().internal()).await?;
        let (store, codec) = (clients::store(global).await?, clients::codec(global).await?);
        reading::instance(&store, &codec, partitions, id).await
    };
    match output.patiently(&format!("looking for {id}"), read).await? {
        Answer::Owner { url, instance } => {
            let document = Document {
                instance: &instance,
                read_from: "owner",
                owner_url: Some(url),
                complete_until: None,
            };
            output.show(&document, || instance.text())?;
            Ok(Exit::Success)
        }
        Answer::Store { why, instance, checkpoint_at } => {
            let complete_until = checkpoint_at.map(time);
            let age = complete_until.as_deref().map_or_else(
                || "how old it is, nobody has written down yet".to_owned(),
                |it| format!("what happened after {it} may be missing"),
            );
            output.note(&format!("note: from the snapshot store, {age}; its owner was not reached ({why})"));
            let document =
                Document { instance: &instance, read_from: "store", owner_url: None, complete_until };
            output.show(&document, || instance.text())?;
            Ok(Exit::Success)
        }
        Answer::Unknown { why } => Err(not_found(id, why).into()),
    }
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
