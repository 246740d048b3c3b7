//! `millrace list WORKFLOW`

use std::time::Duration;

use clap::Args;
use millrace_partition::Term;
use millrace_runtime::store::{ListQuery, SnapshotStore as _};
use millrace_schemas::{Timestamp, WorkflowName};

use crate::clients::{self, ApiClient};
use crate::config::{Global, parse_duration, parse_workflow};
use crate::exit::Exit;
use crate::output::Output;
use crate::view::{ListView, StatusName, time};

#[derive(Args, Debug)]
pub(crate) struct Arguments {
    /// namespace/name; all versions of it
    #[arg(value_parser = parse_workflow)]
    workflow: WorkflowName,

    /// Only those that are like this, as of their last snapshot
    #[arg(long, value_enum)]
    status: Option<StatusName>,

    /// Only those that are found by this search attribute; may be repeated, then all must hold
    #[arg(long = "where", value_name = "NAME=VALUE", value_parser = parse_condition)]
    conditions: Vec<Term>,

    /// Only those started since: a time (RFC 3339), or how long ago
    #[arg(long, default_value = "7d", value_name = "TIME|DURATION", value_parser = parse_since)]
    since: Since,

    /// At most so many, the newest first
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    limit: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Since {
    Time(Timestamp),
    Ago(Duration),
}

pub(crate) async fn run(global: &Global, output: Output, arguments: &Arguments) -> anyhow::Result<Exit> {
    let now = clients::now();
    let from = match arguments.since {
        Since::Time(at) => at,
        Since::Ago(duration) => {
            Timestamp(now.0.saturating_sub(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)))
        }
    };
    let query = ListQuery {
        workflow: arguments.workflow.clone(),
        status: arguments.status.map(|it| it.name().to_owned()),
        conditions: arguments.conditions.clone(),
        from,
        until: clients::soon(),
        after: None,
        limit: arguments.limit,
    };
    let read = async {
        if global.names_store() {
            return Ok(ListView::new(&clients::store(global).await?.list(&query).await?));
        }
        let mut asked = vec![
            ("workflow", query.workflow.to_string()),
            ("since", time(query.from)),
            ("limit", query.limit.to_string()),
        ];
        asked.extend(query.status.clone().map(|it| ("status", it)));
        asked.extend(query.conditions.iter().map(|it| ("where", it.to_string())));
        ApiClient::new(global)?.get(&["v1", "instances"], &asked).await
    };
    let view: ListView = output.patiently("listing", read).await?;
    output.show(&view, || view.text())?;
    Ok(Exit::Success)
}

fn parse_condition(text: &str) -> Result<Term, String> {
    Term::parse(text).ok_or_else(|| "write it as name=value, such as customer=acme".to_owned())
}

fn parse_since(text: &str) -> Result<Since, String> {
    if let Ok(time) = text.parse::<jiff::Timestamp>() {
        return Ok(Since::Time(Timestamp(time.as_millisecond())));
    }
    parse_duration(text)
        .map(Since::Ago)
        .map_err(|error| format!("{error}; or a time such as 2026-01-31T08:00:00Z"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn since_is_a_time_or_a_duration() {
        assert_eq!(parse_since("1970-01-01T00:00:01Z"), Ok(Since::Time(Timestamp(1_000))));
        assert_eq!(parse_since("2h"), Ok(Since::Ago(Duration::from_secs(7_200))));
        assert!(parse_since("yesterday").is_err());
    }
}
