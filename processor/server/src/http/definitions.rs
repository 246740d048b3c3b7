//! Definitions: those that are deployed, and deploying another one.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use millrace_schemas::definition::Definition;
use millrace_schemas::{WorkflowName, WorkflowVersion};
use millrace_workflow::bundle::Bundle;
use millrace_workflow::program::Program;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use super::caller::{Admin, Caller, Role};
use super::document::{Failed, WorkflowParams};
use super::extract::{Params, Segments, Text, media_type};
use super::{Api, ApiError, code};
use crate::requests::admission::{Admission, Candidate, DeployedView, FindingView, admit_bundle};
use crate::requests::deployment::{self, DeployError};
use crate::view::time;

/// Workflows that are deployed, by name.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct WorkflowsView {
    pub(crate) workflows: Vec<WorkflowView>,
}

/// A workflow, with its versions.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct WorkflowView {
    /// `namespace/name`
    workflow: String,
    /// The version that a start without one is of.
    newest: String,
    /// Newest first.
    versions: Vec<VersionView>,
}

/// One version of a workflow.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct VersionView {
    version: String,
    deployed_at: String,
    /// Of its meaning: comments and indentation do not count.
    digest: String,
    /// `document.title`
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    title: Option<String>,
    /// Whether it starts instances by the clock.
    is_scheduled: bool,
    /// Where its calls go.
    queues: Vec<String>,
    /// What may be asked of its instances by name.
    queries: Vec<String>,
    /// What its instances are found by.
    search_attributes: Vec<String>,
}

/// One version of a workflow, whole.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DefinitionView {
    /// `namespace/name/version`
    workflow: String,
    #[serde(flatten)]
    version: VersionView,
    /// `application/yaml` or `application/json`
    media_type: String,
    /// As it was deployed.
    text: String,
    /// The same as JSON.
    #[schema(value_type = Object)]
    definition: Value,
    /// How it is understood, for people.
    program: String,
}

/// All workflows
///
/// As this processor knows them; a definition that has just been deployed is known a moment later.
#[utoipa::path(
    get, path = "/v1/definitions", tag = "definitions", operation_id = "listDefinitions",
    responses((status = 200, description = "All of them", body = WorkflowsView), Failed)
)]
pub(crate) async fn all(State(api): State<Api>) -> Json<WorkflowsView> {
    let mut workflows: BTreeMap<WorkflowName, Vec<Known>> = BTreeMap::new();
    for known in api.processor.definitions() {
        workflows.entry(known.1.workflow.workflow.clone()).or_default().push(known);
    }
    let workflows = workflows.into_iter().filter_map(|(name, versions)| WorkflowView::new(&name, versions));
    Json(WorkflowsView { workflows: workflows.collect() })
}

/// One workflow
#[utoipa::path(
    get, path = "/v1/definitions/{namespace}/{name}", tag = "definitions", operation_id = "getWorkflow",
    params(WorkflowParams), responses((status = 200, description = "The workflow", body = WorkflowView), Failed)
)]
pub(crate) async fn workflow(
    State(api): State<Api>,
    Segments((namespace, name)): Segments<(String, String)>,
) -> Result<Json<WorkflowView>, ApiError> {
    let name = WorkflowName { namespace: namespace.into(), name: name.into() };
    let mut versions = api.processor.definitions();
    versions.retain(|(_, program)| program.workflow.workflow == name);
    let missing = || ApiError::new(code::NOT_FOUND, format!("{name} is not deployed"));
    WorkflowView::new(&name, versions).map(Json).ok_or_else(missing)
}

/// One version of a workflow
#[utoipa::path(
    get, path = "/v1/definitions/{namespace}/{name}/{version}", tag = "definitions", operation_id = "getDefinition",
    params(WorkflowParams, ("version" = String, Path, description = "Such as `1.0.0`")),
    responses((status = 200, description = "The definition", body = DefinitionView), Failed)
)]
pub(crate) async fn version(
    State(api): State<Api>,
    Segments((namespace, name, version)): Segments<(String, String, String)>,
) -> Result<Json<DefinitionView>, ApiError> {
    let version = version_of(namespace, name, version);
    let known = api.processor.definition(&version).zip(api.processor.program(&version));
    let missing = || ApiError::new(code::NOT_FOUND, format!("{version} is not deployed"));
    known.map(|it| Json(DefinitionView::new(&it))).ok_or_else(missing)
}

pub(super) fn version_of(namespace: String, name: String, version: String) -> WorkflowVersion {
    let workflow = WorkflowName { namespace: namespace.into(), name: name.into() };
    WorkflowVersion { workflow, version: version.into() }
}

type Known = (Arc<Definition>, Arc<Program>);

impl WorkflowView {
    /// None without any version.
    fn new(name: &WorkflowName, mut versions: Vec<Known>) -> Option<Self> {
        versions.sort_by_cached_key(|(_, program)| {
            let version = &program.workflow.version;
            std::cmp::Reverse((semver::Version::parse(version).ok(), Arc::clone(version)))
        });
        let versions: Vec<_> = versions.iter().map(VersionView::new).collect();
        let newest = versions.first()?.version.clone();
        Some(Self { workflow: name.to_string(), newest, versions })
    }
}

impl VersionView {
    fn new((definition, program): &Known) -> Self {
        let names = |it: Vec<&Arc<str>>| it.into_iter().map(ToString::to_string).collect();
        Self {
            version: definition.version.to_string(),
            deployed_at: time(definition.deployed_at),
            digest: definition.digest.clone(),
            title: program.definition["document"]["title"].as_str().map(str::to_owned),
            is_scheduled: program.schedule.is_some(),
            queues: program.queues().iter().map(ToString::to_string).collect(),
            queries: names(program.queries.keys().collect()),
            search_attributes: names(program.attributes.keys().collect()),
        }
    }
}

impl DefinitionView {
    fn new(known: &Known) -> Self {
        let (definition, program) = known;
        Self {
            workflow: program.workflow.to_string(),
            version: VersionView::new(known),
            media_type: definition.media_type.clone(),
            text: definition.text.clone(),
            definition: (*program.definition).clone(),
            program: program.describe(),
        }
    }
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Deploying {
    /// Only say what is wrong with it; takes no more than the role read.
    #[serde(default)]
    #[param(required = false)]
    check: bool,
}

/// What became of a definition, and what is worth a thought.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DeployView {
    deployed: DeployedView,
    /// Warnings.
    findings: Vec<FindingView>,
}

/// What findings call the text.
const NAME: &str = "definition";

/// Deploy a definition
///
/// Its text is the body, as YAML or JSON. It is admitted as by `millrace deploy`, but nothing that it refers to elsewhere is fetched: a
/// definition that needs that is refused. 422 `definition_refused`, with what is wrong; 409 if another one has its version.
#[utoipa::path(
    post, path = "/v1/definitions", tag = "definitions", operation_id = "deployDefinition", params(Deploying),
    request_body(content(
        (String = "application/yaml", example = "document: { dsl: '1.0.3', namespace: my, name: hello, version: '1.0.0' }\ndo:\n  - greet: { set: { greeting: hello } }\n"),
        (Value = "application/json"),
    )),
    responses(
        (status = 200, description = "It was checked, or was there already", body = DeployView),
        (status = 201, description = "It was deployed", body = DeployView),
        Failed,
    )
)]
pub(crate) async fn deploy(
    State(api): State<Api>,
    caller: Caller,
    Params(Deploying { check }): Params<Deploying>,
    headers: HeaderMap,
    Text(text): Text,
) -> Result<(StatusCode, Json<DeployView>), ApiError> {
    if !check {
        Admin::check(&caller)?;
    }
    // Text is what a page of another origin may send without asking first.
    const MEDIA_TYPES: [&str; 4] =
        ["application/yaml", "application/x-yaml", "text/yaml", "application/json"];
    let media_type = media_type(&headers);
    if !MEDIA_TYPES.contains(&media_type.as_str()) {
        let message = format!("the body is {media_type:?}; send one of {}", MEDIA_TYPES.join(", "));
        return Err(ApiError::new(code::MEDIA_TYPE, message));
    }
    let (candidate, warnings) = admit(text).await?;
    let version = candidate.program.workflow.clone();
    caller.about(|it| it.subject = Some(version.to_string()));
    let findings = warnings.iter().map(FindingView::from).collect();
    if check {
        return Ok((StatusCode::OK, Json(DeployView { deployed: candidate.view("checked"), findings })));
    }
    let candidates = [candidate];
    let outcomes = deployment::deploy(&api.fleet, &candidates).await.map_err(|error| match error {
        DeployError::Refused(failure) => {
            ApiError::new(code::CONFLICT, format!("{}; {}", failure.what, failure.fix))
        }
        DeployError::Failed(error) => ApiError::of_fleet(error),
    })?;
    let outcome = outcomes.first().copied().unwrap_or("unchanged");
    caller.about(|it| it.outcome = Some(outcome.to_owned()));
    until_known(&api, &version).await;
    let status = if outcome == "deployed" { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, Json(DeployView { deployed: candidates[0].view(outcome), findings })))
}

/// Compiling takes a while, so it is not for where other futures wait.
async fn admit(text: String) -> Result<(Candidate, Vec<millrace_workflow::admission::Finding>), ApiError> {
    let admitting = tokio::task::spawn_blocking(move || match Bundle::read(NAME, text) {
        Ok(bundle) => admit_bundle(&bundle),
        Err(findings) => Admission::Refused(findings),
    });
    match admitting.await.expect("admission does not panic") {
        Admission::Admitted { program, definition, warnings } => {
            Ok((Candidate { name: NAME.to_owned(), program, definition }, warnings))
        }
        Admission::Refused(findings) => {
            let message = findings.first().map_or_else(|| "it is refused".to_owned(), ToString::to_string);
            let findings = findings.iter().map(FindingView::from).collect();
            Err(ApiError { findings, ..ApiError::new(code::REFUSED, message) })
        }
    }
}

/// Whoever has deployed a definition looks for it here next. Nothing depends on it.
async fn until_known(api: &Api, version: &WorkflowVersion) {
    const POLL: Duration = Duration::from_millis(20);
    const PATIENCE: Duration = Duration::from_secs(5);
    let known = async {
        while api.processor.program(version).is_none() {
            tokio::time::sleep(POLL).await;
        }
    };
    let _ = tokio::time::timeout(PATIENCE, known).await;
}

impl Admin {
    fn check(caller: &Caller) -> Result<(), ApiError> {
        caller.must_be(Role::Admin)
    }
}
