//! Who asks, and what for: known to every handler.

use std::sync::{Arc, Mutex};

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use millrace_schemas::{EventId, InstanceId};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use uuid::Uuid;

use super::extract::IdempotencyKey;
use super::{ApiError, code};
use crate::clients::Bearer;

/// CloudEvents `source` of what comes by the API; the name of the caller follows, if it has one.
const SOURCE: &str = "/millrace/api";

/// What somebody may do. Each may what those before it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Role {
    /// Look.
    Read,
    /// Start instances, send events, step in.
    Write,
    /// Deploy, redrive, and step in with many at once.
    Admin,
}

impl Role {
    pub(crate) const ALL: [Self; 3] = [Self::Read, Self::Write, Self::Admin];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Admin => "admin",
        }
    }

    pub(crate) fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.name() == name)
    }
}

/// Who asks. Put into the request by whatever has let it in. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    /// Who has shown who he is; none where nobody has to.
    pub(crate) name: Option<Arc<str>>,
    pub(crate) role: Role,
    /// What shows it, for other processors that are asked on the way.
    pub(crate) bearer: Option<Bearer>,
    about: Arc<Mutex<About>>,
}

/// What a request is about, as the audit log has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct About {
    /// The instance, the schedule, the definition, the dead letter.
    pub(crate) subject: Option<String>,
    /// As the caller has said it.
    pub(crate) reason: Option<String>,
    /// The event that was sent.
    pub(crate) event: Option<String>,
    /// What became of it.
    pub(crate) outcome: Option<String>,
}

impl Caller {
    pub(crate) fn new(name: Option<Arc<str>>, role: Role, bearer: Option<Bearer>) -> Self {
        Self { name, role, bearer, about: Arc::default() }
    }

    /// Refuses whoever may not do that.
    pub(crate) fn must_be(&self, role: Role) -> Result<(), ApiError> {
        if self.role >= role {
            return Ok(());
        }
        let message = format!("this takes the role {}, and the token has {}", role.name(), self.role.name());
        Err(ApiError::new(code::FORBIDDEN, message))
    }

    /// For the audit log.
    pub(crate) fn about(&self, note: impl FnOnce(&mut About)) {
        note(&mut self.about.lock().expect("no holder panics"));
    }

    pub(crate) fn noted(&self) -> About {
        self.about.lock().expect("no holder panics").clone()
    }

    /// Names an event of the caller's: by the key of the request, if it has one.
    pub(crate) fn event_id(&self, key: Option<&IdempotencyKey>) -> EventId {
        let id = key.map_or_else(|| Uuid::now_v7().to_string(), |it| it.0.clone());
        EventId { source: self.source(), id }
    }

    /// CloudEvents `source` of the caller's events.
    pub(crate) fn source(&self) -> String {
        match &self.name {
            Some(name) => format!("{SOURCE}/{}", utf8_percent_encode(name, NON_ALPHANUMERIC)),
            None => SOURCE.to_owned(),
        }
    }

    /// Who a change is recorded to be by: the caller, and whoever the caller says that it acts for.
    pub(crate) fn by(&self, said: Option<&str>) -> String {
        match (&self.name, said.filter(|it| !it.is_empty())) {
            (Some(name), Some(said)) if **name != *said => format!("{said} (by {name})"),
            (Some(name), _) => name.to_string(),
            (None, Some(said)) => said.to_owned(),
            (None, None) => SOURCE.to_owned(),
        }
    }
}

/// The id of an instance that a request starts without naming it: the same for the same key of the same caller.
pub(crate) fn new_instance_id(event: &EventId, key: Option<&IdempotencyKey>) -> InstanceId {
    let id = match key {
        Some(_) => Uuid::new_v5(&Uuid::NAMESPACE_URL, format!("{}#{}", event.source, event.id).as_bytes()),
        None => Uuid::now_v7(),
    };
    InstanceId::new(id.to_string()).expect("a UUID is a legal id")
}

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let caller = parts.extensions.get::<Self>().cloned();
        // Whatever lets requests in puts it there: without it, nobody has.
        caller.ok_or_else(|| ApiError::new(code::UNAUTHENTICATED, "who asks is not known"))
    }
}

/// A caller who may do everything.
#[derive(Clone, Debug)]
pub(crate) struct Admin(pub(crate) Caller);

impl<S: Send + Sync> FromRequestParts<S> for Admin {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let caller = Caller::from_request_parts(parts, state).await?;
        caller.must_be(Role::Admin)?;
        Ok(Self(caller))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caller_is_named_by_what_it_has_shown_and_not_by_what_it_says() {
        let ann = Caller::new(Some("ann@shop.example".into()), Role::Write, None);
        assert_eq!(ann.by(None), "ann@shop.example");
        assert_eq!(ann.by(Some("bob")), "bob (by ann@shop.example)");
        assert_eq!(ann.source(), "/millrace/api/ann%40shop%2Eexample");
        let nobody = Caller::new(None, Role::Admin, None);
        assert_eq!((nobody.by(None), nobody.by(Some("bob"))), ("/millrace/api".to_owned(), "bob".to_owned()));
    }

    #[test]
    fn the_same_key_of_the_same_caller_names_the_same_instance() {
        let caller = |name: &str| Caller::new(Some(name.into()), Role::Write, None);
        let key = IdempotencyKey("k-1".to_owned());
        let id = |name| {
            let event = caller(name).event_id(Some(&key));
            new_instance_id(&event, Some(&key))
        };
        assert_eq!(id("ann"), id("ann"));
        assert_ne!(id("ann"), id("bob"));
        let without = || new_instance_id(&caller("ann").event_id(None), None);
        assert_ne!(without(), without());
    }

    #[test]
    fn roles_contain_each_other() {
        let writer = Caller::new(None, Role::Write, None);
        assert!(writer.must_be(Role::Read).is_ok() && writer.must_be(Role::Write).is_ok());
        assert_eq!(writer.must_be(Role::Admin).map_err(|it| it.code), Err("forbidden".to_owned()));
    }
}
