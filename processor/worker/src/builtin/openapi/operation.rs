//! An operation: what it takes, whichever version it is written in.

use reqwest::Url;
use serde_json::Value;

use super::document::{Document, Version};
use super::style::Style;
use crate::TaskFailure;
use crate::builtin::http::{FORM, is_json, media_type};

/// An operation, and where it stands.
#[derive(Debug)]
pub(super) struct Operation<'d> {
    pub(super) document: &'d Document,
    /// With `{name}`s.
    pub(super) path: &'d str,
    pub(super) method: &'static str,
    pub(super) item: &'d Value,
    pub(super) operation: &'d Value,
}

/// Where a parameter goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Path,
    Query,
    Header,
    Cookie,
}

/// A parameter outside of the body.
#[derive(Debug)]
pub(super) struct Parameter<'d> {
    pub(super) name: &'d str,
    pub(super) place: Place,
    pub(super) is_required: bool,
    pub(super) style: Style,
    pub(super) default: Option<&'d Value>,
}

/// The body, if the operation takes one.
#[derive(Debug)]
pub(super) struct Body<'d> {
    /// A name for the whole body besides `body`.
    pub(super) name: Option<&'d str>,
    pub(super) is_required: bool,
    pub(super) media_type: String,
    pub(super) schema: Option<Value>,
}

#[derive(Debug)]
pub(super) struct Takes<'d> {
    pub(super) parameters: Vec<Parameter<'d>>,
    pub(super) body: Option<Body<'d>>,
}

/// Headers that OpenAPI says by other means.
const NO_PARAMETERS: [&str; 3] = ["accept", "content-type", "authorization"];

impl<'d> Operation<'d> {
    /// What it takes.
    ///
    /// # Errors
    /// When the document has what cannot be understood.
    pub(super) fn takes(&self) -> Result<Takes<'d>, TaskFailure> {
        let mut parameters: Vec<Parameter<'d>> = Vec::new();
        let mut body = self.request_body()?;
        let mut fields = Vec::new();
        // The operation's own go before those of its path.
        for value in [self.operation, self.item].into_iter().flat_map(listed) {
            let value = self.document.resolve(value)?;
            let name = text(value, "name");
            let place = match text(value, "in") {
                "path" => Place::Path,
                "query" => Place::Query,
                "header" if NO_PARAMETERS.iter().any(|it| it.eq_ignore_ascii_case(name)) => continue,
                "header" => Place::Header,
                "cookie" => Place::Cookie,
                "body" if body.is_none() => {
                    body = Some(Body {
                        name: Some(name),
                        is_required: is(value, "required"),
                        media_type: self.consumed(&["application/json"]),
                        schema: value.get("schema").cloned(),
                    });
                    continue;
                }
                "formData" => {
                    if !fields.iter().any(|it: &&Value| text(it, "name") == name) {
                        fields.push(value);
                    }
                    continue;
                }
                _ => continue,
            };
            if parameters.iter().any(|it| it.name == name && it.place == place) {
                continue;
            }
            let schema = self.document.get(value, "schema")?.unwrap_or(value);
            parameters.push(Parameter {
                name,
                place,
                is_required: is(value, "required") || place == Place::Path,
                style: match self.document.version {
                    Version::Swagger2 => Style::of_collection_format(text(value, "collectionFormat"), place),
                    Version::OpenApi3 => Style::of(value, place).ok_or_else(|| {
                        self.document.wrong(&format!("has a parameter `{name}` of an unknown style"))
                    })?,
                },
                default: schema.get("default"),
            });
        }
        if body.is_none() && !fields.is_empty() {
            body = Some(self.form(&fields));
        }
        Ok(Takes { parameters, body })
    }

    /// `requestBody` of OpenAPI 3.
    fn request_body(&self) -> Result<Option<Body<'d>>, TaskFailure> {
        if self.document.version == Version::Swagger2 {
            return Ok(None);
        }
        let Some(body) = self.document.get(self.operation, "requestBody")? else { return Ok(None) };
        let contents = body.get("content").and_then(Value::as_object);
        let best = contents.into_iter().flatten().min_by_key(|(name, _)| preference(name));
        let Some((name, content)) = best else { return Ok(None) };
        let content = self.document.resolve(content)?;
        Ok(Some(Body {
            name: None,
            is_required: is(body, "required"),
            media_type: concrete(name),
            schema: content.get("schema").cloned(),
        }))
    }

    /// `formData` of Swagger 2, as a schema.
    fn form(&self, fields: &[&'d Value]) -> Body<'d> {
        let has_file = fields.iter().any(|it| text(it, "type") == "file");
        let preferred: &[&str] =
            if has_file { &["multipart/form-data"] } else { &[FORM, "multipart/form-data"] };
        let required: Vec<&str> =
            fields.iter().filter(|it| is(it, "required")).map(|it| text(it, "name")).collect();
        let properties: Value =
            fields.iter().map(|it| (text(it, "name").to_owned(), (*it).clone())).collect();
        Body {
            name: None,
            is_required: !required.is_empty(),
            media_type: self.consumed(preferred),
            schema: Some(serde_json::json!({
                "type": "object",
                "required": required,
                "properties": properties,
                "additionalProperties": false,
            })),
        }
    }

    /// Of what the operation consumes, by Swagger 2, the first that is preferred.
    fn consumed(&self, preferred: &[&str]) -> String {
        let consumed: Vec<String> =
            self.own_or_global("consumes").into_iter().map(|it| media_type(&it)).collect();
        if let Some(it) = preferred.iter().find(|it| consumed.iter().any(|of| of == *it)) {
            return (*it).to_owned();
        }
        let is_form = preferred.iter().any(|it| is_form(it));
        // Fields can be sent as nothing else, and a document that says nothing means the usual.
        match consumed.into_iter().find(|_| !is_form) {
            Some(it) => concrete(&it),
            None => preferred[0].to_owned(),
        }
    }

    fn own_or_global(&self, name: &str) -> Vec<String> {
        let own = self.operation.get(name).or_else(|| self.document.root.get(name));
        own.and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .map(str::to_owned)
            .collect()
    }

    /// What the answers may be, for the header `Accept`: JSON before all others.
    pub(super) fn accepted(&self) -> Option<String> {
        let mut types = match self.document.version {
            Version::Swagger2 => self.own_or_global("produces"),
            Version::OpenApi3 => {
                let mut types = Vec::new();
                let responses = self.operation.get("responses").and_then(Value::as_object);
                for (_, response) in responses
                    .into_iter()
                    .flatten()
                    .filter(|(status, _)| status.starts_with('2') || *status == "default")
                {
                    // Without it the service may say what it likes: no reason not to call it.
                    let Ok(response) = self.document.resolve(response) else { continue };
                    let contents = response.get("content").and_then(Value::as_object);
                    types.extend(contents.into_iter().flatten().map(|it| it.0.clone()));
                }
                types
            }
        };
        types.sort_by_key(|it| preference(it) > 1);
        let mut seen = Vec::new();
        for it in types {
            if !seen.contains(&it) {
                seen.push(it);
            }
        }
        let parts =
            seen.into_iter().enumerate().map(|(at, it)| if at == 0 { it } else { format!("{it};q=0.5") });
        let accept = parts.collect::<Vec<_>>().join(", ");
        (!accept.is_empty()).then_some(accept)
    }

    /// Where the operation's server is, without a slash at the end.
    ///
    /// # Errors
    /// When it is nowhere.
    pub(super) fn server(&self) -> Result<Url, TaskFailure> {
        let base = &self.document.url;
        let wrong =
            |text: &str| self.document.wrong(&format!("has no server that a call could go to: {text:?}"));
        let root = &self.document.root;
        let text_of_server = match self.document.version {
            Version::Swagger2 => {
                let schemes = self.own_or_global("schemes");
                let scheme = ["https", "http"].into_iter().find(|it| schemes.iter().any(|of| of == it));
                let scheme = scheme.unwrap_or_else(|| base.scheme());
                let path = format!("/{}", text(root, "basePath").trim_start_matches('/'));
                match root.get("host").and_then(Value::as_str) {
                    Some(host) => format!("{scheme}://{host}{path}"),
                    // Scheme and port belong together: those of the document.
                    None => path,
                }
            }
            Version::OpenApi3 => {
                let server = [self.operation, self.item, root]
                    .into_iter()
                    .find_map(|it| it.get("servers")?.as_array()?.first());
                let mut url = server.map_or("/", |it| text(it, "url")).to_owned();
                let variables = server.and_then(|it| it.get("variables")?.as_object());
                for (name, variable) in variables.into_iter().flatten() {
                    let default = match variable.get("default") {
                        Some(Value::String(text)) => text.clone(),
                        Some(other) => other.to_string(),
                        None => String::new(),
                    };
                    url = url.replace(&format!("{{{name}}}"), &default);
                }
                url
            }
        };
        let mut url = base.join(&text_of_server).map_err(|_| wrong(&text_of_server))?;
        url.set_query(None);
        url.set_fragment(None);
        crate::builtin::http::check(&url).map_err(|_| wrong(&text_of_server))?;
        Ok(url)
    }
}

/// Media types that a body is written in: the lowest first.
fn preference(name: &str) -> u8 {
    match media_type(name).as_str() {
        "application/json" => 0,
        it if is_json(it) => 1,
        FORM => 2,
        "multipart/form-data" => 3,
        it if it.contains('*') => 5,
        _ => 4,
    }
}

/// A range of media types is JSON, if it may be.
fn concrete(name: &str) -> String {
    match media_type(name).as_str() {
        "*/*" | "application/*" => "application/json".to_owned(),
        "text/*" => "text/plain".to_owned(),
        _ => name.to_owned(),
    }
}

pub(super) fn is_form(media_type: &str) -> bool {
    matches!(media_type, FORM | "multipart/form-data")
}

fn listed(holder: &Value) -> impl Iterator<Item = &Value> {
    holder.get("parameters").and_then(Value::as_array).into_iter().flatten()
}

fn text<'v>(holder: &'v Value, name: &str) -> &'v str {
    holder.get(name).and_then(Value::as_str).unwrap_or_default()
}

fn is(holder: &Value, name: &str) -> bool {
    holder.get(name).and_then(Value::as_bool).unwrap_or_default()
}
