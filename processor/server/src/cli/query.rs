//! `millrace query ID`

use clap::{ArgGroup, Args};
use millrace_schemas::InstanceId;

use crate::clients::{self, ApiClient, Kafka};
use crate::config::{Global, parse_instance};
use crate::exit::{Exit, Failure};
use crate::output::Output;
use crate::reading::{self, OwnerSaid, Question};
use crate::view::QueryView;

#[derive(Args, Debug)]
#[command(group(ArgGroup::new("question").required(true)))]
pub(crate) struct Arguments {
    /// The instance
    #[arg(value_parser = parse_instance)]
    id: InstanceId,

    /// A jq expression; `.` is what `millrace get ID --output json` shows, $context and $input are the workflow's
    #[arg(group = "question")]
    expression: Option<String>,

    /// A query of the definition, by its name
    #[arg(long, group = "question", value_name = "NAME")]
    name: Option<String>,
}

pub(crate) async fn run(global: &Global, output: Output, arguments: &Arguments) -> anyhow::Result<Exit> {
    let question = match (&arguments.expression, &arguments.name) {
        (_, Some(name)) => Question::Named(name.clone()),
        (expression, None) => Question::Expression(expression.clone().unwrap_or_default()),
    };
    let id = &arguments.id;
    let view: QueryView = output.patiently(&format!("asking {id}"), ask(global, id, &question)).await?;
    output.show(&view, || serde_json::to_string_pretty(&view.result).expect("a JSON value is JSON"))?;
    Ok(Exit::Success)
}

/// Any processor finds the owner; without one, the store says who it is.
async fn ask(global: &Global, id: &InstanceId, question: &Question) -> anyhow::Result<QueryView> {
    if !global.names_store() {
        return ApiClient::new(global)?.get(&question.path(id), &question.parameters()).await;
    }
    let partitions = Kafka::new(global).partitions(&global.topics().internal()).await?;
    let (store, peers) = (clients::store(global).await?, clients::peers(global)?);
    let fix = "a query is answered by the owner of the instance: wait until its partition has one, see: millrace doctor; \
               what the store has shows: millrace get ID";
    let partition = reading::home_of(id, partitions);
    let (path, parameters, until) = (question.path(id), question.parameters(), reading::owner_until());
    match reading::ask_owner(&peers, &store, partition, &path, &parameters, until).await? {
        OwnerSaid::Answered { answer, .. } => Ok(answer),
        OwnerSaid::Refused { url, error } => Err(clients::refusal(&url, error).into()),
        OwnerSaid::Unreached { why } => Err(Failure::new(format!("{id} cannot be asked: {why}"), fix).into()),
    }
}
