//! The filters that lists and batches share, as they come with a request.

use clap::ValueEnum as _;
use millrace_partition::Term;
use millrace_schemas::{Timestamp, WorkflowName};

use super::{Api, ApiError};
use crate::clients;
use crate::config::WorkflowReference;
use crate::requests::selection::{CONDITIONS_MAX, Selection};
use crate::view::StatusName;

/// As they come.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Filter<'a> {
    pub(crate) workflow: Option<&'a str>,
    pub(crate) status: Option<&'a str>,
    pub(crate) since: Option<&'a str>,
    pub(crate) until: Option<&'a str>,
    pub(crate) conditions: &'a [String],
}

impl Filter<'_> {
    pub(crate) fn selection(&self, api: &Api) -> Result<Selection, ApiError> {
        let workflows = match self.workflow {
            Some(text) => vec![workflow_name("workflow", text)?],
            None => known_workflows(api),
        };
        let status = self.status.map(|it| StatusName::from_str(it, false).map_err(|_| it)).transpose();
        let status = status.map_err(|it| {
            let names: Vec<_> = StatusName::value_variants().iter().map(|it| it.name()).collect();
            ApiError::invalid(format!("status={it} is none of {}", names.join(", ")))
        })?;
        let conditions = self.conditions.iter().map(|condition| {
            Term::parse(condition)
                .ok_or_else(|| ApiError::invalid(format!("where={condition} is not NAME=VALUE")))
        });
        let conditions = conditions.collect::<Result<Vec<_>, _>>()?;
        if conditions.len() > CONDITIONS_MAX {
            let message = format!("{} conditions, and {CONDITIONS_MAX} are allowed", conditions.len());
            return Err(ApiError::invalid(message));
        }
        Ok(Selection {
            workflows,
            status: status.map(|it| it.name().to_owned()),
            conditions,
            from: self.since.map_or(Ok(Timestamp(0)), |it| time("since", it))?,
            until: self.until.map_or_else(|| Ok(clients::soon()), |it| time("until", it))?,
        })
    }
}

/// Those that are deployed.
fn known_workflows(api: &Api) -> Vec<WorkflowName> {
    let all = api.processor.definitions();
    let mut names: Vec<_> = all.into_iter().map(|(_, program)| program.workflow.workflow.clone()).collect();
    names.sort();
    names.dedup();
    names
}

/// All versions of a workflow.
pub(crate) fn workflow_name(name: &str, text: &str) -> Result<WorkflowName, ApiError> {
    let reference: Result<WorkflowReference, _> = text.parse();
    match reference {
        Ok(WorkflowReference { workflow, version: None }) => Ok(workflow),
        Ok(_) => Err(ApiError::invalid(format!(
            "{name}={text} names a version; leave it out, all versions are meant"
        ))),
        Err(_) => Err(ApiError::invalid(format!("{name}={text} is not namespace/name"))),
    }
}

fn time(name: &str, text: &str) -> Result<Timestamp, ApiError> {
    let time = text.parse::<jiff::Timestamp>();
    let time =
        time.map_err(|_| ApiError::invalid(format!("{name}={text} is no time such as 2026-01-31T08:00:00Z")));
    Ok(Timestamp(time?.as_millisecond()))
}
