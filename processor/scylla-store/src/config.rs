//! Settings, and their written forms.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::tls::Tls;

/// How to reach the server, and how rows are kept.
#[derive(Clone, Debug)]
pub struct ScyllaConfig {
    /// `host:port` of some nodes; the others are found through them.
    pub contact_points: Vec<String>,
    /// The keyspace: a letter, then letters, digits and `_`, in lower case, 48 in all.
    pub keyspace: String,
    /// Used when the keyspace is created; an existing keyspace keeps what it has.
    pub replication: Replication,
    /// For servers that ask for a password.
    pub credentials: Option<Credentials>,
    /// For servers that speak TLS.
    pub tls: Option<Tls>,
    /// The datacenter that `LOCAL_QUORUM` is about. Needed when there are several; otherwise any node is as good.
    pub datacenter: Option<String>,
    /// For reads and writes alike.
    pub consistency: Consistency,
    /// How long a row of the timer index outlives its due time. A fleet that stands still for longer loses the timers that came
    /// due more than this before it starts again.
    pub timer_grace: Duration,
    /// How long one request may take.
    pub request_timeout: Duration,
}

impl ScyllaConfig {
    /// Defaults for all but the address: three replicas, local quorum, timers kept thirty days beyond their due time.
    #[must_use]
    pub fn new(contact_points: Vec<String>, keyspace: impl Into<String>) -> Self {
        const DAY: Duration = Duration::from_secs(86_400);
        Self {
            contact_points,
            keyspace: keyspace.into(),
            replication: Replication::EachDatacenter(3),
            credentials: None,
            tls: None,
            datacenter: None,
            consistency: Consistency::default(),
            // The cost of a long one is disk; the cost of a short one is lost timers after a long outage.
            timer_grace: 30 * DAY,
            request_timeout: Duration::from_secs(10),
        }
    }

    /// The keyspace is pasted into statements, so it must be a plain name.
    pub(crate) fn validate(&self) -> Result<(), InvalidSetting> {
        let rest = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        if self.contact_points.is_empty() {
            return Err(InvalidSetting {
                what: "list of contact points",
                text: String::new(),
                rule: "at least one host:port",
            });
        }
        if !self.keyspace.starts_with(|c: char| c.is_ascii_lowercase())
            || !self.keyspace.chars().all(rest)
            || self.keyspace.len() > 48
        {
            return Err(InvalidSetting {
                what: "keyspace",
                text: self.keyspace.clone(),
                rule: "a letter, then letters, digits and _, in lower case, 48 in all",
            });
        }
        Ok(())
    }
}

/// A user and a password. `Debug` hides the password.
#[derive(Clone)]
pub struct Credentials {
    /// Who.
    pub user: String,
    /// Secret.
    pub password: String,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("user", &self.user).finish_non_exhaustive()
    }
}

/// How many replicas have to answer. Nothing weaker is offered: a read that may miss the last acknowledged write would break
/// recovery (state protocol 2.7, I4).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Consistency {
    /// A majority in the local datacenter.
    #[default]
    LocalQuorum,
    /// A majority over all datacenters: for fleets that must survive moving to another one.
    Quorum,
}

impl FromStr for Consistency {
    type Err = InvalidSetting;

    fn from_str(text: &str) -> Result<Self, InvalidSetting> {
        match text.to_ascii_uppercase().as_str() {
            "LOCAL_QUORUM" => Ok(Self::LocalQuorum),
            "QUORUM" => Ok(Self::Quorum),
            _ => Err(InvalidSetting {
                what: "consistency",
                text: text.to_owned(),
                rule: "LOCAL_QUORUM or QUORUM",
            }),
        }
    }
}

/// How often each row is kept. Written as a number, or as JSON: `{"dc1": 3, "dc2": 3}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Replication {
    /// So many times in each datacenter.
    EachDatacenter(u8),
    /// So many times in these datacenters.
    Datacenters(BTreeMap<String, u8>),
}

impl Replication {
    /// As CQL. Always `NetworkTopologyStrategy`: ScyllaDB's tablets know no other, and `SimpleStrategy` cannot grow a second
    /// datacenter.
    pub(crate) fn to_cql(&self) -> String {
        let factors = match self {
            Self::EachDatacenter(factor) => format!("'replication_factor': {factor}"),
            Self::Datacenters(datacenters) => {
                let pairs: Vec<String> =
                    datacenters.iter().map(|(name, factor)| format!("'{name}': {factor}")).collect();
                pairs.join(", ")
            }
        };
        format!("{{'class': 'NetworkTopologyStrategy', {factors}}}")
    }
}

impl FromStr for Replication {
    type Err = InvalidSetting;

    fn from_str(text: &str) -> Result<Self, InvalidSetting> {
        let invalid = || InvalidSetting {
            what: "replication",
            text: text.to_owned(),
            rule: "a number of replicas (3), or a number for each datacenter as JSON ({\"dc1\": 3, \"dc2\": 3})",
        };
        if let Ok(factor) = text.trim().parse::<u8>() {
            return if factor > 0 { Ok(Self::EachDatacenter(factor)) } else { Err(invalid()) };
        }
        let datacenters: BTreeMap<String, u8> = serde_json::from_str(text).map_err(|_| invalid())?;
        // The names are pasted into a statement.
        let is_plain = |name: &str| {
            !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || "_-.".contains(c))
        };
        if !datacenters.keys().all(|it| is_plain(it)) || !datacenters.values().any(|it| *it > 0) {
            return Err(invalid());
        }
        Ok(Self::Datacenters(datacenters))
    }
}

/// A setting that breaks its rule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no {what}: it must be {rule}")]
pub struct InvalidSetting {
    pub(crate) what: &'static str,
    pub(crate) text: String,
    pub(crate) rule: &'static str,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replication_is_a_number_or_json() {
        let cql = |text: &str| text.parse::<Replication>().map(|it| it.to_cql());
        assert_eq!(cql("3").unwrap(), "{'class': 'NetworkTopologyStrategy', 'replication_factor': 3}");
        assert_eq!(
            cql(r#"{"east-1": 3, "west": 2}"#).unwrap(),
            "{'class': 'NetworkTopologyStrategy', 'east-1': 3, 'west': 2}"
        );
        for wrong in ["", "0", "three", "{}", r#"{"east": 0}"#, r#"{"e'; DROP": 3}"#, "[3]"] {
            cql(wrong).expect_err(wrong);
        }
    }

    #[test]
    fn keyspaces_are_plain_names() {
        let validate = |keyspace: &str| ScyllaConfig::new(vec!["localhost".to_owned()], keyspace).validate();
        validate("millrace_2").unwrap();
        for wrong in ["", "2nd", "Millrace", "a b", "a;", "_a", &"a".repeat(49)] {
            validate(wrong).expect_err(wrong);
        }
        ScyllaConfig::new(vec![], "millrace").validate().expect_err("nowhere to connect to");
    }

    #[test]
    fn debug_output_hides_the_password() {
        let shown = format!("{:?}", Credentials { user: "ada".to_owned(), password: "secret".to_owned() });
        assert!(shown.contains("ada") && !shown.contains("secret"), "{shown}");
    }
}
