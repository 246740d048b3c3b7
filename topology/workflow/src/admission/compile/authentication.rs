//! `authentication`: how a call says who it is.
//!
//! A task's arguments hold the whole policy, wherever it was defined, so that the worker needs nothing of the definition. A secret
//! stays a name: the worker knows what it is. Which secrets a task may use is decided here, by `use.secrets`.

use serde_json::{Map, Value};

use super::{Compiler, Scope};
use crate::admission::{dsl_schema, spelling};
use crate::expression::Template;

/// The kinds of policies.
const KINDS: [&str; 5] = ["basic", "bearer", "digest", "oauth2", "oidc"];

impl Compiler<'_, '_> {
    /// A policy, or the name of one in `use.authentications`.
    pub(super) fn authentication(&mut self, value: &Value, scope: &Scope) -> Template {
        let Some((name, at)) = self.name_in(value, scope) else { return self.policy(value, scope) };
        match self.used("authentications", name, &at) {
            Some((policy, pointer)) => self.policy(&policy, &Scope { pointer, ..scope.clone() }),
            None => Template::of_constant(Value::Null),
        }
    }

    /// The scheme of the policy that a call has, wherever in its `with` that stands.
    pub(super) fn scheme(&self, with: &Value) -> Option<&'static str> {
        let holders = [Some(with), with.get("endpoint"), with.get("service")];
        let policy = holders.into_iter().flatten().find_map(|it| it.get("authentication"))?;
        let named = policy.get("use").and_then(Value::as_str);
        let policy = match named {
            Some(name) => self.definition.get("use")?.get("authentications")?.get(name)?,
            None => policy,
        };
        match only(policy)?.0 {
            "basic" => Some("Basic"),
            "digest" => Some("Digest"),
            _ => Some("Bearer"),
        }
    }

    /// What is said by `use`, which then says it all.
    fn name_in<'v>(&mut self, value: &'v Value, scope: &Scope) -> Option<(&'v str, String)> {
        let entries = value.as_object()?;
        let pointer = scope.at("use");
        let Some(name) = entries.get("use")?.as_str() else {
            self.report.error(&pointer, "this is no name", "write such as `use: shop`");
            return None;
        };
        if let Some(other) = entries.keys().find(|it| *it != "use") {
            let message = format!("`{other}` means nothing beside `use`");
            self.report.error(&scope.at(other), message, "keep one of the two");
        }
        Some((name, pointer))
    }

    /// What can be said of policies that no task names.
    pub(super) fn check_authentications(&mut self) {
        let policies =
            self.definition.get("use").and_then(|it| it.get("authentications")).and_then(Value::as_object);
        for (name, policy) in policies.into_iter().flatten() {
            let pointer = format!("/use/authentications/{}", crate::admission::source::escape(name));
            self.check_policy(policy, &Scope { pointer, base: None, locals: Vec::new(), depth: 0 });
        }
    }

    fn policy(&mut self, policy: &Value, scope: &Scope) -> Template {
        self.check_policy(policy, scope);
        let Some((kind, properties)) = only(policy) else { return Template::of_constant(Value::Null) };
        let scope = scope.below(kind);
        let entries = properties.as_object().into_iter().flatten().map(|(name, value)| {
            let at = scope.below(name);
            let template = match name.as_str() {
                "authority" => self.uri(value, &at),
                _ => self.template(value, &at),
            };
            (name.clone(), template)
        });
        let entries = entries.collect();
        Template::of_object(vec![(kind.to_owned(), Template::of_object(entries))])
    }

    fn check_policy(&mut self, policy: &Value, scope: &Scope) {
        let Some((kind, properties)) = only(policy) else {
            let message = "a policy says one way to authenticate";
            let kinds = KINDS.map(|it| format!("`{it}`")).join(", ");
            self.report.error(&scope.pointer, message, format!("keep one of {kinds}"));
            return;
        };
        let scope = scope.below(kind);
        if !KINDS.contains(&kind) {
            let message = format!("`{kind}` is no way to authenticate");
            self.report.error(&scope.pointer, message, spelling::hint(kind, &KINDS));
            return;
        }
        if properties.get("use").is_some() {
            if let Some((name, at)) = self.name_in(properties, &scope) {
                self.check_secret(name, &at);
            }
            return;
        }
        self.report.violations(&scope.pointer, dsl_schema::check_policy(kind, properties));
        if let (Some(properties), "oauth2" | "oidc") = (properties.as_object(), kind) {
            self.check_grant(properties, &scope);
        }
    }

    /// What a grant needs, which the schema does not say.
    fn check_grant(&mut self, properties: &Map<String, Value>, scope: &Scope) {
        let grant = properties.get("grant").and_then(Value::as_str).unwrap_or_default();
        let client = properties.get("client");
        let of_client = |name: &str| client.and_then(|it| it.get(name)).is_some();
        let authentication = client.and_then(|it| it.get("authentication")).and_then(Value::as_str);
        let mut needed: Vec<&str> =
            ["authority", "grant"].into_iter().filter(|it| !properties.contains_key(*it)).collect();
        match grant {
            "authorization_code" => {
                let instead = "use a grant that needs no person, such as `client_credentials`";
                self.report.unsupported(&scope.at("grant"), "the grant `authorization_code`", instead);
            }
            "client_credentials" if !of_client("id") && !of_client("assertion") => needed.push("client.id"),
            "password" => {
                needed
                    .extend(["username", "password"].into_iter().filter(|it| !properties.contains_key(*it)));
            }
            // The schema has no other place for the refresh token.
            "refresh_token" | "urn:ietf:params:oauth:grant-type:token-exchange"
                if !properties.contains_key("subject") =>
            {
                needed.push("subject");
            }
            _ => {}
        }
        match authentication {
            Some("client_secret_basic") => {
                needed.extend(
                    [("id", "client.id"), ("secret", "client.secret")]
                        .into_iter()
                        .filter(|it| !of_client(it.0))
                        .map(|it| it.1),
                );
            }
            Some("private_key_jwt") if !of_client("assertion") => needed.push("client.assertion"),
            Some("client_secret_jwt") if !of_client("assertion") && !of_client("secret") => {
                needed.push("client.secret");
            }
            _ => {}
        }
        needed.dedup();
        if !needed.is_empty() {
            let names = needed.iter().map(|it| format!("`{it}`")).collect::<Vec<_>>().join(", ");
            let message = format!("this policy needs {names}");
            self.report.error(
                &scope.pointer,
                message,
                format!("add {names}, or let a secret have it all: `use`"),
            );
        }
    }

    /// A secret is a file of the worker.
    pub(super) fn check_secret_names(&mut self) {
        let listed = self.definition.get("use").and_then(|it| it.get("secrets")).and_then(Value::as_array);
        for (index, name) in listed.into_iter().flatten().enumerate() {
            let Some(name) = name.as_str() else { continue };
            let is_name = (1..=255).contains(&name.len())
                && !name.starts_with('.')
                && name.bytes().all(|it| it.is_ascii_alphanumeric() || b"-_.".contains(&it));
            if !is_name {
                self.report.error(
                    &format!("/use/secrets/{index}"),
                    format!("`{name}` cannot be the name of a secret"),
                    "use letters, digits, `-`, `_` and `.`, and do not begin with `.`",
                );
            }
        }
    }
}

impl<'c> Compiler<'c, '_> {
    /// The kind of a policy, or of the one in `use.authentications` that it names.
    pub(super) fn policy_kind<'v>(&self, value: &'v Value) -> Option<&'v str>
    where
        'c: 'v,
    {
        let policy = match value.get("use").and_then(Value::as_str) {
            Some(name) => self.definition.get("use")?.get("authentications")?.get(name)?,
            None => value,
        };
        only(policy).map(|it| it.0)
    }
}

/// A policy is of one kind.
fn only(policy: &Value) -> Option<(&str, &Value)> {
    let mut entries = policy.as_object()?.iter();
    let (kind, properties) = entries.next()?;
    entries.next().is_none().then_some((kind.as_str(), properties))
}
