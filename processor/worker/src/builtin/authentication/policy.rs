//! The policy of a call: `authentication`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::header::HeaderValue;
use serde::Deserialize;
use serde_json::Value;

use super::oauth2::{OAuth2, Properties};
use crate::TaskFailure;
use crate::builtin::caller::secret_header;
use crate::builtin::secrets::{Redaction, Secrets};
use crate::builtin::shelf::{self, Key};

/// A policy with everything that it needs.
pub(in crate::builtin) enum Policy {
    Basic(Login),
    Bearer { token: String },
    Digest(Login),
    OAuth2(Box<OAuth2>),
}

/// Nothing of what is in it is shown.
impl std::fmt::Debug for Policy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Basic(_) => "Basic",
            Self::Bearer { .. } => "Bearer",
            Self::Digest(_) => "Digest",
            Self::OAuth2(_) => "OAuth2",
        })
    }
}

/// A name and a password.
#[derive(Deserialize)]
pub(in crate::builtin) struct Login {
    pub(in crate::builtin) username: String,
    pub(in crate::builtin) password: String,
}

#[derive(Deserialize)]
struct Token {
    token: String,
}

impl Login {
    /// The header of RFC 7617.
    ///
    /// # Errors
    /// When the name cannot be told from the password.
    pub(in crate::builtin) fn basic(&self, redaction: &mut Redaction) -> Result<HeaderValue, TaskFailure> {
        let Self { username, password } = self;
        if username.contains(':') {
            let problem = "a name with `:` in it cannot be used with `basic` authentication";
            return Err(TaskFailure::validation(problem.to_owned()));
        }
        let credentials = STANDARD.encode(format!("{username}:{password}"));
        redaction.add(&credentials);
        secret_header(&format!("Basic {credentials}"))
    }
}

/// Where the properties come from.
#[derive(Clone, Copy)]
enum Origin<'p> {
    Definition,
    Secret(&'p str),
}

impl Policy {
    /// Reads a policy; where it names a secret, its properties are that.
    ///
    /// # Errors
    /// A permanent failure of the type `configuration`, that tells nothing of what is in the policy.
    pub(in crate::builtin) async fn read(
        value: &Value,
        secrets: &Secrets,
        redaction: &mut Redaction,
    ) -> Result<Self, TaskFailure> {
        let entry = value.as_object().filter(|it| it.len() == 1).and_then(|it| it.iter().next());
        let Some((kind, given)) = entry else {
            let problem =
                "`authentication` must have one of `basic`, `bearer`, `digest`, `oauth2` and `oidc`";
            return Err(TaskFailure::configuration(problem.to_owned()));
        };
        let (mut properties, mut origin) = (given.clone(), Origin::Definition);
        if let Some(name) = given.get("use").and_then(Value::as_str) {
            (properties, origin) = (secrets.get(name).await?, Origin::Secret(name));
        }
        let policy = Self::of(kind, properties, origin)?;
        policy.hide(redaction);
        Ok(policy)
    }

    fn of(kind: &str, properties: Value, origin: Origin<'_>) -> Result<Self, TaskFailure> {
        match kind {
            "basic" => read(kind, properties, origin, "`username` and `password`, as text").map(Self::Basic),
            "digest" => {
                read(kind, properties, origin, "`username` and `password`, as text").map(Self::Digest)
            }
            "bearer" => {
                // A secret that is one text is the token.
                let properties = match (&properties, origin) {
                    (Value::String(_), Origin::Secret(_)) => serde_json::json!({ "token": properties }),
                    _ => properties,
                };
                read(kind, properties, origin, "`token`, as text")
                    .map(|Token { token }| Self::Bearer { token: token.trim().to_owned() })
            }
            "oauth2" | "oidc" => {
                let what = "`authority`, `grant` and what the grant needs";
                let properties: Properties = read(kind, properties, origin, what)?;
                OAuth2::new(properties, kind == "oidc").map(|it| Self::OAuth2(Box::new(it)))
            }
            other => Err(TaskFailure::configuration(format!("{other:?} is no way to authenticate"))),
        }
    }

    /// What tells this policy from all others.
    pub(in crate::builtin) fn key(&self) -> Key {
        let login = |kind: &str, it: &Login| {
            shelf::key(&[kind.as_bytes(), it.username.as_bytes(), it.password.as_bytes()])
        };
        match self {
            Self::Basic(it) => login("basic", it),
            Self::Digest(it) => login("digest", it),
            Self::Bearer { token } => shelf::key(&[b"bearer", token.as_bytes()]),
            Self::OAuth2(it) => it.key(),
        }
    }

    fn hide(&self, redaction: &mut Redaction) {
        match self {
            Self::Basic(it) | Self::Digest(it) => redaction.add(&it.password),
            Self::Bearer { token } => redaction.add(token),
            Self::OAuth2(it) => it.hide(redaction),
        }
    }
}

/// What is wrong is not said as the reader of JSON says it: it would quote what is there.
fn read<T: serde::de::DeserializeOwned>(
    kind: &str,
    properties: Value,
    origin: Origin<'_>,
    what: &str,
) -> Result<T, TaskFailure> {
    T::deserialize(properties).map_err(|_| {
        TaskFailure::configuration(match origin {
            Origin::Definition => format!("`authentication.{kind}` needs {what}"),
            Origin::Secret(name) => format!("the secret `{name}` is used for `{kind}`, so it needs {what}"),
        })
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use serde_json::json;

    use super::*;

    async fn read(policy: Value) -> Result<Policy, TaskFailure> {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("login"), r#"{ "username": "me", "password": "hunter2" }"#)
            .unwrap();
        std::fs::write(folder.path().join("token"), "abc\n").unwrap();
        Policy::read(&policy, &Secrets::in_folder(folder.path()), &mut Redaction::default()).await
    }

    #[tokio::test]
    async fn a_policy_says_everything_or_names_a_secret() {
        for policy in [
            json!({ "basic": { "username": "me", "password": "hunter2" } }),
            json!({ "basic": { "use": "login" } }),
        ] {
            let Policy::Basic(login) = read(policy).await.unwrap() else { panic!() };
            let header = login.basic(&mut Redaction::default()).unwrap();
            assert_eq!(header, "Basic bWU6aHVudGVyMg==");
            assert!(header.is_sensitive());
        }
        let Policy::Bearer { token } = read(json!({ "bearer": { "use": "token" } })).await.unwrap() else {
            panic!()
        };
        assert_eq!(token, "abc");
    }

    #[tokio::test]
    async fn what_is_missing_is_said_and_nothing_of_what_is_there() {
        for (policy, problem) in [
            (
                json!("hunter2"),
                "`authentication` must have one of `basic`, `bearer`, `digest`, `oauth2` and `oidc`",
            ),
            (
                json!({ "basic": { "username": "me", "password": ["hunter2"] } }),
                "`authentication.basic` needs `username` and `password`, as text",
            ),
            (
                json!({ "bearer": { "use": "login" } }),
                "the secret `login` is used for `bearer`, so it needs `token`, as text",
            ),
            (
                json!({ "digest": { "use": "token" } }),
                "the secret `token` is used for `digest`, so it needs `username` and `password`, as text",
            ),
            (
                json!({ "oauth2": { "use": "login" } }),
                "the secret `login` is used for `oauth2`, so it needs `authority`, `grant` and what the grant needs",
            ),
            (json!({ "ntlm": {} }), "\"ntlm\" is no way to authenticate"),
        ] {
            let failure = read(policy).await.unwrap_err();
            assert_eq!(
                failure.to_string(),
                format!(
                    "permanent https://serverlessworkflow.io/spec/1.0.0/errors/configuration (400): {problem}"
                )
            );
        }
    }
}
