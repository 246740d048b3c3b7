//! From parameters to a request.

use reqwest::Method;
use reqwest::header::{ACCEPT, CONTENT_TYPE, COOKIE, HeaderMap, HeaderValue};
use serde_json::{Map, Value};

use super::body;
use super::document::Properties;
use super::operation::{Body, Operation, Parameter, Place, Takes, is_form};
use super::style::Style;
use crate::TaskFailure;
use crate::builtin::http::{Request, header_value, is_json, media_type};

/// The name that a whole body is given by.
const BODY: &str = "body";

/// The request for an operation. A parameter that is `null` is left out.
///
/// # Errors
/// A permanent failure: of the type `validation` when the parameters are not what the operation takes, of the type `configuration`
/// when the document cannot be understood.
pub(super) fn request(
    operation: &Operation<'_>,
    mut given: Map<String, Value>,
) -> Result<Request, TaskFailure> {
    given.retain(|_, value| !value.is_null());
    let Takes { parameters, body } = operation.takes()?;
    let mut placed = Placed { path: operation.path.to_owned(), ..Placed::default() };
    for parameter in &parameters {
        match given.get(parameter.name).or(parameter.default).filter(|it| !it.is_null()) {
            Some(value) => placed.place(parameter, value)?,
            None if parameter.is_required => return Err(missing(operation, parameter.name)),
            None => {}
        }
    }
    given.retain(|name, _| !parameters.iter().any(|it| it.name == name));
    placed.fill_rest(operation, &mut given)?;
    let known = parameters.iter().map(|it| it.name);
    let content = match &body {
        Some(body) => content(operation, body, given)?,
        None => match given.keys().next() {
            Some(name) => return Err(unknown(operation, name, known)),
            None => None,
        },
    };
    let mut headers = placed.headers;
    if !placed.cookies.is_empty() {
        let (name, value) = header_value(COOKIE.as_str(), &placed.cookies.join("; "))?;
        headers.insert(name, value);
    }
    if let Some(accepted) = operation.accepted()
        && let Ok(accepted) = HeaderValue::from_str(&accepted)
    {
        headers.insert(ACCEPT, accepted);
    }
    let mut request_body = None;
    if let Some((content_type, bytes)) = content {
        headers.insert(CONTENT_TYPE, header_value(CONTENT_TYPE.as_str(), &content_type)?.1);
        request_body = Some(bytes);
    }
    let mut url = operation.server()?;
    let path = format!("{}/{}", url.path().trim_end_matches('/'), placed.path.trim_start_matches('/'));
    // No encoding keeps dots from being a step up: whoever reads the URL decodes them first.
    if path.split('/').any(|it| matches!(it, "." | "..")) {
        return Err(TaskFailure::validation(format!(
            "{}: the parameters make its path {path}, with `.` or `..` as a step",
            name_of(operation)
        )));
    }
    url.set_path(&path);
    if !placed.query.is_empty() {
        url.set_query(Some(&placed.query.join("&")));
    }
    let method = Method::from_bytes(operation.method.to_ascii_uppercase().as_bytes())
        .ok()
        .filter(|it| *it != Method::TRACE)
        .ok_or_else(|| {
            operation.document.wrong("has an operation by the method TRACE, which is not called")
        })?;
    Ok(Request { method, url, headers, body: request_body })
}

/// Parameters in their places.
#[derive(Default)]
struct Placed {
    path: String,
    query: Vec<String>,
    headers: HeaderMap,
    cookies: Vec<String>,
}

impl Placed {
    fn place(&mut self, parameter: &Parameter<'_>, value: &Value) -> Result<(), TaskFailure> {
        let Parameter { name, place, style, .. } = parameter;
        match place {
            Place::Path => {
                let text = style.in_path(name, value);
                if text.is_empty() {
                    return Err(TaskFailure::validation(format!(
                        "the parameter `{name}` is a part of the path, and may not be empty"
                    )));
                }
                self.path = self.path.replace(&format!("{{{name}}}"), &text);
            }
            Place::Query => {
                let pairs = style.in_pairs(name, value);
                self.query.extend(pairs.into_iter().map(|(name, value)| format!("{name}={value}")));
            }
            Place::Header => {
                let (name, value) = header_value(name, &style.in_header(value))?;
                self.headers.insert(name, value);
            }
            Place::Cookie => {
                let pairs = style.in_pairs(name, value);
                self.cookies.extend(pairs.into_iter().map(|(name, value)| format!("{name}={value}")));
            }
        }
        Ok(())
    }
}

impl Placed {
    /// What stands in the path and is described nowhere.
    fn fill_rest(
        &mut self,
        operation: &Operation<'_>,
        given: &mut Map<String, Value>,
    ) -> Result<(), TaskFailure> {
        while let Some((name, _)) = self.path.split_once('{').and_then(|(_, rest)| rest.split_once('}')) {
            let name = name.to_owned();
            let value = given.shift_remove(&name).ok_or_else(|| missing(operation, &name))?;
            let style = Style::of(&Value::Null, Place::Path).expect("the usual style is one");
            let parameter =
                Parameter { name: &name, place: Place::Path, is_required: true, style, default: None };
            self.place(&parameter, &value)?;
        }
        Ok(())
    }
}

/// The body: the parameter `body` as a whole, or else all parameters that have no other place, as its properties.
fn content(
    operation: &Operation<'_>,
    body: &Body<'_>,
    mut given: Map<String, Value>,
) -> Result<Option<(String, bytes::Bytes)>, TaskFailure> {
    let document = operation.document;
    let properties = match &body.schema {
        // What refers to something is looked up in the document, so the schema itself may be a copy.
        Some(schema) => owned(document.properties(schema)?),
        None => OwnedProperties { by_name: Map::new(), required: Vec::new(), is_open: true },
    };
    let is_object = is_json(&media_type(&body.media_type)) || is_form(&media_type(&body.media_type));
    let whole_name = [Some(BODY), body.name].into_iter().flatten().find(|it| {
        // A property that is called so is meant when there are others beside it.
        given.contains_key(*it) && (!properties.by_name.contains_key(*it) || given.len() == 1)
    });
    let value = match whole_name {
        Some(whole) => {
            let value = given.shift_remove(whole).unwrap_or_default();
            if let Some(name) = given.keys().next() {
                let problem = "with the parameter `body`, there is no place for";
                return Err(TaskFailure::validation(format!("{}: {problem} `{name}`", name_of(operation))));
            }
            value
        }
        None if given.is_empty() && properties.defaults().is_empty() => {
            if body.is_required {
                let wanted = properties.required.first().map_or(BODY, String::as_str);
                return Err(missing(operation, if is_object { wanted } else { BODY }));
            }
            return Ok(None);
        }
        None if given.is_empty() && !body.is_required => return Ok(None),
        None if !is_object => {
            let name = given.keys().next().map_or(BODY, String::as_str);
            return Err(unknown(operation, name, [BODY].into_iter()));
        }
        None => {
            if let Some(name) =
                given.keys().find(|it| !properties.is_open && !properties.by_name.contains_key(*it))
            {
                return Err(unknown(operation, name, properties.by_name.keys().map(String::as_str)));
            }
            for (name, default) in properties.defaults() {
                given.entry(name).or_insert(default);
            }
            if let Some(name) = properties.required.iter().find(|it| !given.contains_key(*it)) {
                return Err(missing(operation, name));
            }
            Value::Object(given)
        }
    };
    let properties = Properties { by_name: properties.by_name, ..Properties::default() };
    body::write(&body.media_type, &value, &properties).map(Some)
}

struct OwnedProperties {
    by_name: Map<String, Value>,
    required: Vec<String>,
    is_open: bool,
}

/// What is read only is in answers alone, so that no request must have it.
fn owned(properties: Properties<'_>) -> OwnedProperties {
    let Properties { by_name, required, is_open } = properties;
    let is_read_only =
        |name: &str| by_name.get(name).and_then(|it| it.get("readOnly")) == Some(&Value::Bool(true));
    let required = required.into_iter().filter(|it| !is_read_only(it)).map(str::to_owned).collect();
    OwnedProperties { by_name, required, is_open }
}

impl OwnedProperties {
    fn defaults(&self) -> Map<String, Value> {
        let defaults =
            self.by_name.iter().filter_map(|(name, it)| Some((name.clone(), it.get("default")?.clone())));
        defaults.collect()
    }
}

fn name_of(operation: &Operation<'_>) -> String {
    let id = operation.operation.get("operationId").and_then(Value::as_str).unwrap_or_default();
    format!("the operation `{id}`")
}

fn missing(operation: &Operation<'_>, parameter: &str) -> TaskFailure {
    TaskFailure::validation(format!("{} needs the parameter `{parameter}`", name_of(operation)))
}

fn unknown<'n>(
    operation: &Operation<'_>,
    parameter: &str,
    known: impl Iterator<Item = &'n str>,
) -> TaskFailure {
    let known = known.map(|it| format!("`{it}`")).collect::<Vec<_>>().join(", ");
    let failure = TaskFailure::validation(format!("{} has no parameter `{parameter}`", name_of(operation)));
    if known.is_empty() {
        failure.with_detail("it takes none")
    } else {
        failure.with_detail(format!("it takes {known}"))
    }
}
