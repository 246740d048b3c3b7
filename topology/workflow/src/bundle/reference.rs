//! What a definition refers to elsewhere.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::Value;

use super::location::{Location, is_file, is_http};
use super::{Bundle, REFERENCES_MAX};
use crate::admission::Finding;
use crate::expression;
use crate::walk::{self, Found};

/// Something that a definition refers to, and that is to be written into it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// JSON pointer to what refers to it.
    pub pointer: String,
    /// What it is.
    pub kind: Kind,
    /// Where it is.
    pub location: Location,
    /// What lets in there.
    pub credentials: Option<Credentials>,
}

/// What is referred to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A function's task, for `use.functions`.
    Function {
        /// The text of the `call`, which becomes the function's name.
        name: String,
    },
    /// A JSON Schema.
    Schema,
    /// A file of the deployer's machine that a worker needs.
    File,
}

/// Constant credentials, as a definition has them.
#[derive(Clone, PartialEq, Eq)]
pub enum Credentials {
    /// `basic`
    Basic {
        /// `username`
        username: String,
        /// `password`
        password: String,
    },
    /// `bearer`
    Bearer {
        /// `token`
        token: String,
    },
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Basic { .. } => "Basic(***)",
            Self::Bearer { .. } => "Bearer(***)",
        })
    }
}

/// What is said about a reference that cannot be followed: the pointer, the message, what to do.
type Problem = (String, String, &'static str);

impl Bundle {
    /// What is to be inserted next, in the order of the pointers. Empty when the definition is whole.
    ///
    /// `default_catalog` is where the functions `name:version@default` are, unless the definition has a catalog of that name.
    ///
    /// # Errors
    /// All references that cannot be followed.
    pub fn wanted(&self, default_catalog: Option<&str>) -> Result<Vec<Reference>, Vec<Finding>> {
        if !self.has_room_for_functions() {
            // Admission says what is wrong with `use`.
            return Ok(Vec::new());
        }
        let (mut wanted, mut problems) = (Vec::new(), Vec::new());
        let mut take = |found: Result<Option<Reference>, Problem>| match found {
            Ok(found) => wanted.extend(found),
            Err(problem) => problems.push(problem),
        };
        self.schemas(&self.value, "", &["input", "output"], &mut take);
        for found in walk::all(&self.value) {
            take(self.function(&found, default_catalog));
            self.schemas(found.task, &found.pointer, &["input", "output", "export"], &mut take);
            take(self.file(&found));
        }
        wanted.sort_by(|one, other| one.pointer.cmp(&other.pointer));
        self.once(&mut wanted, &mut problems);
        if self.followed + wanted.len() > REFERENCES_MAX && problems.is_empty() {
            let message = format!("the definition refers to more than {REFERENCES_MAX} things elsewhere");
            problems.push((wanted[0].pointer.clone(), message, "split it into several workflows"));
        }
        if problems.is_empty() {
            return Ok(wanted);
        }
        let mut findings: Vec<Finding> =
            problems.into_iter().map(|(at, message, fix)| self.finding(&at, message, fix)).collect();
        findings.sort_by_key(|it| (it.file.clone(), it.line, it.column));
        // A catalog that cannot be had is one problem, however many functions are called from it.
        findings.dedup();
        Err(findings)
    }

    fn has_room_for_functions(&self) -> bool {
        self.value.is_object()
            && self.value.get("use").is_none_or(Value::is_object)
            && self.value.pointer("/use/functions").is_none_or(Value::is_object)
    }

    /// A function that is called often is fetched once. One name for two places would be a trap.
    fn once(&self, wanted: &mut Vec<Reference>, problems: &mut Vec<Problem>) {
        let mut places: BTreeMap<String, Location> = BTreeMap::new();
        wanted.retain(|reference| {
            let Kind::Function { name } = &reference.kind else { return true };
            match places.get(name) {
                None => {
                    places.insert(name.clone(), reference.location.clone());
                    true
                }
                Some(known) => {
                    problems.extend(other_place(name, known, reference));
                    false
                }
            }
        });
    }

    /// Where the text that has `pointer` in it is from; none for the definition itself.
    fn base(&self, pointer: &str) -> Option<&super::Inserted> {
        self.parts.iter().rev().find(|it| it.part.rest(pointer).is_some())
    }

    fn function(
        &self,
        found: &Found<'_>,
        default_catalog: Option<&str>,
    ) -> Result<Option<Reference>, Problem> {
        let Some(name) = found.task.get("call").and_then(Value::as_str) else { return Ok(None) };
        let pointer = format!("{}/call", found.pointer);
        let is_uri = name.contains("://");
        if !is_uri && !name.contains('@') {
            return Ok(None);
        }
        let is_there = self.value.pointer("/use/functions").is_some_and(|it| it.get(name).is_some());
        let inserted = self.parts.iter().find(|it| it.part.pointer == super::insert::function_pointer(name));
        if is_there && inserted.is_none() {
            // The author's own.
            return Ok(None);
        }
        let (location, credentials) = if is_uri {
            self.resolved(name, &pointer)?
        } else {
            self.cataloged(name, &pointer, default_catalog)?
        };
        let reference =
            Reference { pointer, kind: Kind::Function { name: name.to_owned() }, location, credentials };
        match inserted {
            None => Ok(Some(reference)),
            Some(it) => other_place(name, &it.location, &reference).map_or(Ok(None), Err),
        }
    }

    /// `name:version@catalog`
    fn cataloged(
        &self,
        call: &str,
        pointer: &str,
        default_catalog: Option<&str>,
    ) -> Result<(Location, Option<Credentials>), Problem> {
        let parts = call.rsplit_once('@').and_then(|(it, catalog)| {
            let (name, version) = it.rsplit_once(':')?;
            (is_plain(name) && is_plain(version)).then_some((name, version, catalog))
        });
        let Some((name, version, catalog)) = parts else {
            let message = format!("`{call}` names no function of a catalog");
            return Err((pointer.to_owned(), message, "write such as `log:1.0.0@catalog`"));
        };
        let at = format!("/use/catalogs/{}/endpoint", crate::admission::escape(catalog));
        let path = format!("functions/{name}/{version}/function.yaml");
        if let Some(endpoint) = self.value.pointer(&at) {
            let uri = uri(endpoint).ok_or_else(|| computed(&at))?;
            let location = Location::of(uri, None).map_err(|(message, fix)| (at.clone(), message, fix))?;
            return Ok((location.below(&path), self.credentials(endpoint, &at)?));
        }
        match default_catalog.filter(|_| catalog == "default") {
            Some(uri) => {
                let location =
                    Location::of(uri, None).map_err(|(message, fix)| (pointer.to_owned(), message, fix))?;
                Ok((location.below(&path), None))
            }
            None => {
                let message = format!("there is no catalog `{catalog}`");
                let fix = "add it to `use.catalogs`, with its `endpoint`; or say by --default-catalog where `default` is";
                Err((pointer.to_owned(), message, fix))
            }
        }
    }

    fn schemas(
        &self,
        holder: &Value,
        pointer: &str,
        models: &[&str],
        take: &mut impl FnMut(Result<Option<Reference>, Problem>),
    ) {
        for model in models {
            let Some(schema) = holder.get(model).and_then(|it| it.get("schema")) else { continue };
            take(self.schema(schema, format!("{pointer}/{model}/schema")));
        }
    }

    fn schema(&self, schema: &Value, pointer: String) -> Result<Option<Reference>, Problem> {
        let format = schema.get("format").and_then(Value::as_str).unwrap_or("json");
        // Others are refused by admission, wherever they are.
        if schema.get("document").is_some() || !(format == "json" || format.starts_with("json:")) {
            return Ok(None);
        }
        let Some(endpoint) = schema.get("resource").and_then(|it| it.get("endpoint")) else {
            return Ok(None);
        };
        let at = format!("{pointer}/resource/endpoint");
        let uri = uri(endpoint).ok_or_else(|| computed(&at))?;
        let (location, beside) = self.resolved(uri, &at)?;
        let credentials = self.credentials(endpoint, &at)?.or(beside);
        Ok(Some(Reference { pointer, kind: Kind::Schema, location, credentials }))
    }

    /// A file that the task's worker needs. What is not in a file, the worker gets itself.
    fn file(&self, found: &Found<'_>) -> Result<Option<Reference>, Problem> {
        let path = match found.task.get("call").and_then(Value::as_str) {
            Some("grpc") => "/with/proto/endpoint",
            Some("openapi" | "asyncapi") => "/with/document/endpoint",
            Some(_) => return Ok(None),
            None => "/run/script/source/endpoint",
        };
        let Some(endpoint) = found.task.pointer(path) else { return Ok(None) };
        let Some(uri) = uri(endpoint).filter(|it| is_file(it)) else { return Ok(None) };
        let pointer = format!("{}{path}", found.pointer);
        let (location, credentials) = self.resolved(uri, &pointer)?;
        Ok(Some(Reference { pointer, kind: Kind::File, location, credentials }))
    }

    /// A URI that stands at `pointer`. What is beside a function is had as the function was.
    fn resolved(&self, uri: &str, pointer: &str) -> Result<(Location, Option<Credentials>), Problem> {
        let base = self.base(pointer);
        let location = Location::of(uri, base.map(|it| &it.location))
            .map_err(|(message, fix)| (pointer.to_owned(), message, fix))?;
        let credentials = base.filter(|_| !is_http(uri)).and_then(|it| it.credentials.clone());
        Ok((location, credentials))
    }

    fn credentials(&self, endpoint: &Value, pointer: &str) -> Result<Option<Credentials>, Problem> {
        let Some(policy) = endpoint.get("authentication") else { return Ok(None) };
        let named = policy.get("use").and_then(Value::as_str);
        let policy = match named {
            // The author's credentials are not for whoever has written the function.
            Some(_) if self.base(pointer).is_some() => None,
            Some(name) => {
                self.value.pointer(&format!("/use/authentications/{}", crate::admission::escape(name)))
            }
            None => Some(policy),
        };
        let text = |kind: &str, name: &str| {
            let text = policy?.get(kind)?.get(name)?.as_str()?;
            expression::unwrap(text).is_none().then(|| text.to_owned())
        };
        let basic = text("basic", "username").zip(text("basic", "password"));
        let basic = basic.map(|(username, password)| Credentials::Basic { username, password });
        let bearer = || text("bearer", "token").map(|token| Credentials::Bearer { token });
        match basic.or_else(bearer) {
            Some(credentials) => Ok(Some(credentials)),
            None => {
                let message =
                    "`deploy` cannot use this `authentication`: it has no secrets and asks no authority";
                let fix = "write `basic` or `bearer` of the definition itself, without secrets and expressions; or put it where it can be had without credentials";
                Err((format!("{pointer}/authentication"), message.to_owned(), fix))
            }
        }
    }
}

/// One name can mean one function only.
fn other_place(name: &str, known: &Location, reference: &Reference) -> Option<Problem> {
    (*known != reference.location).then(|| {
        let message = format!("`{name}` is {} here, and {known} elsewhere", reference.location);
        (reference.pointer.clone(), message, "call each by a name of its own, such as its `https://` URI")
    })
}

fn computed(pointer: &str) -> Problem {
    let message = "`deploy` fetches this once for all instances, so it cannot be an expression".to_owned();
    (pointer.to_owned(), message, "write the whole URI")
}

/// The constant URI of an endpoint.
fn uri(endpoint: &Value) -> Option<&str> {
    let uri = endpoint.get("uri").unwrap_or(endpoint).as_str()?;
    expression::unwrap(uri).is_none().then_some(uri)
}

/// A name or a version that is one step of a path.
fn is_plain(text: &str) -> bool {
    !text.is_empty()
        && !text.starts_with('.')
        && text.bytes().all(|it| it.is_ascii_alphanumeric() || b"-._+".contains(&it))
}
