//! A client of a schema registry with Confluent's API (Confluent, Apicurio, Karapace, Redpanda): plain HTTP and JSON.
//!
//! This is the only part of the crate that touches a network or waits. It is asked at start-up, and once for each schema id
//! that comes up later.

use std::time::Duration;

use reqwest::{Client, Method, StatusCode, Url};
use serde_json::{Value, json};

use crate::codec::RecordKind;

/// A registry. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Registry {
    client: Client,
    url: Url,
}

/// How subjects are called: the full name of the record (Confluent's `RecordNameStrategy`, since topics carry several kinds of
/// record), behind a prefix that is empty unless fleets of different releases share one registry.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SubjectNames {
    /// Stands before the full name.
    pub prefix: String,
}

impl SubjectNames {
    /// The subject of a record.
    #[must_use]
    pub fn of(&self, kind: RecordKind) -> String {
        format!("{}{}", self.prefix, kind.full_name())
    }
}

/// A schema as the registry has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegisteredSchema {
    /// The text: JSON, for Avro.
    pub text: String,
    /// `AVRO`, `JSON` or `PROTOBUF`.
    pub schema_type: String,
}

/// What the registry allows as the next version of a subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compatibility {
    /// Anything.
    None,
    /// It reads the last version.
    Backward,
    /// It reads all versions: Millrace's own rule.
    BackwardTransitive,
    /// The last version reads it.
    Forward,
    /// All versions read it.
    ForwardTransitive,
    /// Both ways, with the last version.
    Full,
    /// Both ways, with all versions.
    FullTransitive,
}

impl Compatibility {
    const NAMES: [(Self, &'static str); 7] = [
        (Self::None, "NONE"),
        (Self::Backward, "BACKWARD"),
        (Self::BackwardTransitive, "BACKWARD_TRANSITIVE"),
        (Self::Forward, "FORWARD"),
        (Self::ForwardTransitive, "FORWARD_TRANSITIVE"),
        (Self::Full, "FULL"),
        (Self::FullTransitive, "FULL_TRANSITIVE"),
    ];

    /// As the registry calls it.
    #[must_use]
    pub fn name(self) -> &'static str {
        Self::NAMES.iter().find(|(it, _)| *it == self).expect("every level has a name").1
    }

    fn parse(name: &str) -> Option<Self> {
        Self::NAMES.iter().find(|(_, it)| *it == name).map(|(it, _)| *it)
    }
}

/// The registry did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// Not an address.
    #[error("{url:?} is no address of a schema registry ({detail}); it looks like http://host:8081")]
    InvalidUrl {
        /// What was given.
        url: String,
        /// Why not.
        detail: String,
    },
    /// No answer, after several tries. Worth another one later.
    #[error(
        "could not {doing}: the schema registry at {url} does not answer; check that it runs and that the address is right"
    )]
    Unreachable {
        /// What was asked.
        doing: String,
        /// Where.
        url: String,
        /// Why.
        #[source]
        source: reqwest::Error,
    },
    /// It says no.
    #[error("could not {doing}: the schema registry answers {status}: {message}{}", hint(*.status))]
    Refused {
        /// What was asked.
        doing: String,
        /// HTTP status.
        status: u16,
        /// The registry's own words.
        message: String,
    },
    /// It answers something else than a registry would.
    #[error(
        "could not {doing}: what answers at {url} is no schema registry ({detail}); check the address, its path included"
    )]
    NotARegistry {
        /// What was asked.
        doing: String,
        /// Where.
        url: String,
        /// What came.
        detail: String,
    },
}

fn hint(status: u16) -> &'static str {
    match status {
        401 | 403 => "; check the user and password in the address",
        409 => {
            "; the subject holds a schema that the new one cannot read: use another subject prefix, or upgrade this process"
        }
        422 => "; the registry does not accept the schema",
        _ => "",
    }
}

/// Tries for one request, in all.
const TRIES: u32 = 6;
/// For one try, from connecting to the last byte.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Before the second try; doubles each time.
const BACKOFF: Duration = Duration::from_millis(100);
const MEDIA_TYPE: &str = "application/vnd.schemaregistry.v1+json";

impl Registry {
    /// A registry at `url`, such as `http://host:8081` or `http://user:password@host:8080/apis/ccompat/v7`. Asks nothing yet.
    ///
    /// # Errors
    /// When `url` is no HTTP address.
    pub fn new(url: &str) -> Result<Self, RegistryError> {
        let invalid = |detail: String| RegistryError::InvalidUrl { url: url.to_owned(), detail };
        let parsed = Url::parse(url).map_err(|error| invalid(error.to_string()))?;
        if parsed.scheme() != "http" || parsed.host().is_none() {
            let detail = "only http with a host is supported".to_owned();
            return Err(RegistryError::InvalidUrl { url: without_user(&parsed), detail });
        }
        // Without certificates of authorities, as on a slim container, plain HTTP must still do.
        let builder = || Client::builder().timeout(TIMEOUT);
        let client = builder()
            .build()
            .or_else(|_| builder().tls_certs_only([]).build())
            .map_err(|error| invalid(error.to_string()))?;
        Ok(Self { client, url: parsed })
    }

    /// The id of `schema` in `subject`: looks it up and registers it if it is not there. A subject that is new gets
    /// [`Compatibility::BackwardTransitive`]. Works with read-only rights when the schema is there already.
    ///
    /// # Errors
    /// When the registry does not answer, or refuses.
    pub async fn ensure(&self, subject: &str, schema: &str) -> Result<u32, RegistryError> {
        if let Some(id) = self.look_up(subject, schema).await? {
            return Ok(id);
        }
        // A rule that somebody has set for a subject is left alone. Registries differ in how they tell that there is none
        // (Confluent: not found; Apicurio: NONE), so ask whether the subject is new instead.
        let is_new = self.version_numbers(subject).await?.is_empty();
        let id = self.register(subject, schema).await?;
        if is_new {
            self.set_compatibility(subject, Compatibility::BackwardTransitive).await?;
        }
        Ok(id)
    }

    /// The numbers of the versions that `subject` has; none, if there is no such subject.
    ///
    /// # Errors
    /// When the registry does not answer, or refuses.
    pub async fn version_numbers(&self, subject: &str) -> Result<Vec<u64>, RegistryError> {
        let call = Call::new(
            Method::GET,
            &["subjects", subject, "versions"],
            format!("list the versions of {subject}"),
        );
        let Some(answer) = self.send(&call).await? else { return Ok(Vec::new()) };
        let numbers = answer.as_array().and_then(|numbers| numbers.iter().map(Value::as_u64).collect());
        numbers.ok_or_else(|| self.odd(&call, &answer))
    }

    /// The id of `schema`, if `subject` has it.
    ///
    /// # Errors
    /// When the registry does not answer, or refuses.
    pub async fn look_up(&self, subject: &str, schema: &str) -> Result<Option<u32>, RegistryError> {
        let call =
            Call::new(Method::POST, &["subjects", subject], format!("look up the schema of {subject}"));
        let answer = self.send(&call.with(json!({ "schema": schema }))).await?;
        answer.map(|answer| self.id(&call, &answer)).transpose()
    }

    /// Registers `schema` as the next version of `subject`. Doing so twice gives the same id.
    ///
    /// # Errors
    /// When the registry does not answer, or refuses: an incompatible schema, for one.
    pub async fn register(&self, subject: &str, schema: &str) -> Result<u32, RegistryError> {
        let call = Call::new(
            Method::POST,
            &["subjects", subject, "versions"],
            format!("register the schema of {subject}"),
        );
        let answer = self.send(&call.with(json!({ "schema": schema }))).await?;
        self.id(&call, &self.expect(&call, answer)?)
    }

    /// The schema of an id, if there is one.
    ///
    /// # Errors
    /// When the registry does not answer, or refuses.
    pub async fn schema(&self, id: u32) -> Result<Option<RegisteredSchema>, RegistryError> {
        let call = Call::new(Method::GET, &["schemas", "ids", &id.to_string()], format!("fetch schema {id}"));
        let Some(answer) = self.send(&call).await? else { return Ok(None) };
        let text = answer["schema"].as_str().ok_or_else(|| self.odd(&call, &answer))?.to_owned();
        let schema_type = answer["schemaType"].as_str().unwrap_or("AVRO").to_owned();
        Ok(Some(RegisteredSchema { text, schema_type }))
    }

    /// The compatibility rule of a subject, if it has one of its own. Apicurio says [`Compatibility::None`] if it has not.
    ///
    /// # Errors
    /// When the registry does not answer, or refuses.
    pub async fn compatibility(&self, subject: &str) -> Result<Option<Compatibility>, RegistryError> {
        let call =
            Call::new(Method::GET, &["config", subject], format!("read the compatibility rule of {subject}"));
        let Some(answer) = self.send(&call).await? else { return Ok(None) };
        let name = answer["compatibilityLevel"].as_str().ok_or_else(|| self.odd(&call, &answer))?;
        Compatibility::parse(name).map(Some).ok_or_else(|| self.odd(&call, &answer))
    }

    /// Sets the compatibility rule of a subject.
    ///
    /// # Errors
    /// When the registry does not answer, or refuses.
    pub async fn set_compatibility(&self, subject: &str, rule: Compatibility) -> Result<(), RegistryError> {
        let call =
            Call::new(Method::PUT, &["config", subject], format!("set the compatibility rule of {subject}"));
        let answer = self.send(&call.with(json!({ "compatibility": rule.name() }))).await?;
        self.expect(&call, answer).map(drop)
    }

    /// Sends, and sends again what may pass. None is "not found".
    async fn send(&self, call: &Call) -> Result<Option<Value>, RegistryError> {
        let mut url = self.url.clone();
        url.path_segments_mut().expect("an http address has a path").pop_if_empty().extend(&call.path);
        let mut pause = BACKOFF;
        for attempt in 1..=TRIES {
            let mut request =
                self.client.request(call.method.clone(), url.clone()).header("accept", MEDIA_TYPE);
            if let Some(body) = &call.body {
                request = request.header("content-type", MEDIA_TYPE).body(body.to_string());
            }
            let is_last = attempt == TRIES;
            let sent = async {
                let response = request.send().await?;
                Ok::<_, reqwest::Error>((response.status(), response.text().await?))
            };
            match sent.await {
                Ok((status, _)) if is_passing(status) && !is_last => {}
                Ok((status, body)) => return self.read(call, status, &body),
                Err(source) if is_last || source.is_builder() => {
                    return Err(RegistryError::Unreachable {
                        doing: call.doing.clone(),
                        url: self.shown_url(),
                        source: source.without_url(),
                    });
                }
                Err(_) => {}
            }
            tokio::time::sleep(pause).await;
            pause *= 2;
        }
        unreachable!("the last try returns")
    }

    fn read(&self, call: &Call, status: StatusCode, body: &str) -> Result<Option<Value>, RegistryError> {
        let parsed: Option<Value> = serde_json::from_str(body).ok();
        let (answer, code) = match &parsed {
            Some(answer) => (answer, answer["error_code"].as_u64()),
            None => {
                let detail = format!("HTTP {status}, and no JSON");
                return Err(RegistryError::NotARegistry {
                    doing: call.doing.clone(),
                    url: self.shown_url(),
                    detail,
                });
            }
        };
        if status.is_success() {
            return Ok(parsed);
        }
        // A registry says what it has not found (40401: the subject, 40403: the schema, …); another 404 comes from a wrong path.
        if status == StatusCode::NOT_FOUND {
            if code.is_some_and(|code| (40_400..40_500).contains(&code)) {
                return Ok(None);
            }
            let detail = format!("HTTP {status}");
            return Err(RegistryError::NotARegistry {
                doing: call.doing.clone(),
                url: self.shown_url(),
                detail,
            });
        }
        let message = answer["message"].as_str().unwrap_or(body).to_owned();
        Err(RegistryError::Refused { doing: call.doing.clone(), status: status.as_u16(), message })
    }

    fn id(&self, call: &Call, answer: &Value) -> Result<u32, RegistryError> {
        answer["id"].as_u64().and_then(|id| u32::try_from(id).ok()).ok_or_else(|| self.odd(call, answer))
    }

    fn expect(&self, call: &Call, answer: Option<Value>) -> Result<Value, RegistryError> {
        answer.ok_or_else(|| RegistryError::Refused {
            doing: call.doing.clone(),
            status: StatusCode::NOT_FOUND.as_u16(),
            message: "not found".to_owned(),
        })
    }

    fn odd(&self, call: &Call, answer: &Value) -> RegistryError {
        let detail =
            format!("unexpected answer {}", answer.to_string().chars().take(200).collect::<String>());
        RegistryError::NotARegistry { doing: call.doing.clone(), url: self.shown_url(), detail }
    }

    fn shown_url(&self) -> String {
        without_user(&self.url)
    }
}

/// An address as it may be shown: without user and password.
fn without_user(url: &Url) -> String {
    let mut url = url.clone();
    // They fail for addresses that cannot have a user, which have no password to hide either.
    let _ = url.set_password(None);
    let _ = url.set_username("");
    url.into()
}

fn is_passing(status: StatusCode) -> bool {
    status.is_server_error()
        || status == StatusCode::TOO_MANY_REQUESTS
        || status == StatusCode::REQUEST_TIMEOUT
}

struct Call {
    method: Method,
    path: Vec<String>,
    body: Option<Value>,
    doing: String,
}

impl Call {
    fn new(method: Method, path: &[&str], doing: String) -> Self {
        Self { method, path: path.iter().map(|&segment| segment.to_owned()).collect(), body: None, doing }
    }

    fn with(&self, body: Value) -> Self {
        Self {
            method: self.method.clone(),
            path: self.path.clone(),
            body: Some(body),
            doing: self.doing.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn read(status: u16, body: &str) -> Result<Option<Value>, RegistryError> {
        let registry = Registry::new("http://user:secret@host:8081/apis").unwrap();
        let call = Call::new(Method::GET, &["schemas", "ids", "1"], "fetch schema 1".to_owned());
        registry.read(&call, StatusCode::from_u16(status).unwrap(), body)
    }

    #[test]
    fn answers_are_told_apart() {
        assert_eq!(read(200, r#"{"id":1}"#).unwrap(), Some(json!({"id": 1})));
        assert_eq!(read(404, r#"{"error_code":40403,"message":"Schema not found"}"#).unwrap(), None);
        let errors = [
            read(404, r#"{"error_code":0,"message":"no such path"}"#),
            read(200, "<html>"),
            read(409, r#"{"error_code":409,"message":"incompatible"}"#),
            read(401, r#"{"error_code":401,"message":"Unauthorized"}"#),
        ];
        expect_test::expect![[r#"
            could not fetch schema 1: what answers at http://host:8081/apis is no schema registry (HTTP 404 Not Found); check the address, its path included
            could not fetch schema 1: what answers at http://host:8081/apis is no schema registry (HTTP 200 OK, and no JSON); check the address, its path included
            could not fetch schema 1: the schema registry answers 409: incompatible; the subject holds a schema that the new one cannot read: use another subject prefix, or upgrade this process
            could not fetch schema 1: the schema registry answers 401: Unauthorized; check the user and password in the address
        "#]].assert_eq(&errors.map(|error| error.unwrap_err().to_string() + "\n").concat());
    }

    #[test]
    fn addresses_are_checked() {
        let errors = ["registry:8081", "https://user:secret@host", "", "http://"]
            .map(|url| Registry::new(url).unwrap_err().to_string() + "\n");
        expect_test::expect![[r#"
            "registry:8081" is no address of a schema registry (only http with a host is supported); it looks like http://host:8081
            "https://host/" is no address of a schema registry (only http with a host is supported); it looks like http://host:8081
            "" is no address of a schema registry (relative URL without a base); it looks like http://host:8081
            "http://" is no address of a schema registry (empty host); it looks like http://host:8081
        "#]].assert_eq(&errors.concat());
    }

    #[test]
    fn subjects_are_called_after_their_records() {
        assert_eq!(SubjectNames::default().of(RecordKind::Claim), "io.millrace.v1.Claim");
        assert_eq!(
            SubjectNames { prefix: "blue.".to_owned() }.of(RecordKind::Claim),
            "blue.io.millrace.v1.Claim"
        );
    }
}
