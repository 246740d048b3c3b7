//! Identifiers, positions and times.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// Milliseconds since the Unix epoch, UTC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// This time plus `duration`, saturating.
    #[must_use]
    pub fn plus(self, duration: std::time::Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)))
    }

    /// This time less `duration`, saturating.
    #[must_use]
    pub fn minus(self, duration: std::time::Duration) -> Self {
        Self(self.0.saturating_sub(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)))
    }

    /// The time from `earlier` to this; none at all if that is later.
    #[must_use]
    pub fn since(self, earlier: Self) -> std::time::Duration {
        std::time::Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

/// A Kafka offset.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Offset(pub i64);

/// The logical time of a write to the snapshot store: an era in the high bits, a changelog offset in the low 42.
/// It is used as the CQL write timestamp, so that of two writers the one further down the log wins (state protocol 2.6).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Stamp(pub i64);

impl Stamp {
    /// Bits of a stamp that hold the offset within its era.
    pub const OFFSET_BITS: u32 = 42;

    /// The stamp of the changelog record at `offset`, in `era`, whose first record is at `base`.
    #[must_use]
    pub fn new(era: u32, base: Offset, offset: Offset) -> Self {
        assert!(offset >= base, "an era starts at its base");
        Self((i64::from(era) << Self::OFFSET_BITS) + (offset.0 - base.0))
    }

    /// The era of this stamp.
    #[must_use]
    pub fn era(self) -> u32 {
        u32::try_from(self.0 >> Self::OFFSET_BITS).expect("a stamp is made from a u32 era")
    }

    /// The changelog offset of this stamp, given the first offset of its era.
    #[must_use]
    pub fn offset(self, base: Offset) -> Offset {
        Offset(base.0 + (self.0 & ((1 << Self::OFFSET_BITS) - 1)))
    }
}

/// Names one run of a workflow. Chosen by whoever starts it; it is the key of all of the instance's records.
/// At most [`InstanceId::BYTES_MAX`] bytes of UTF-8, not empty.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct InstanceId(Arc<str>);

impl TryFrom<String> for InstanceId {
    type Error = InvalidId;

    fn try_from(id: String) -> Result<Self, InvalidId> {
        Self::new(id)
    }
}

impl InstanceId {
    /// The longest instance id, in bytes.
    pub const BYTES_MAX: usize = 256;

    /// Ids that begin so are Millrace's own: keys of the log that are no instances.
    pub const RESERVED_PREFIX: &'static str = "millrace:";

    /// Ids of channels (see [`crate::channel`]) begin so.
    pub const CHANNEL_PREFIX: &'static str = "millrace:channel/";

    /// Whether no instance may be called so.
    #[must_use]
    pub fn is_reserved(&self) -> bool {
        self.0.starts_with(Self::RESERVED_PREFIX)
    }

    /// Ids of schedules (see [`crate::schedule`]) begin so.
    pub const SCHEDULE_PREFIX: &'static str = "millrace:schedule/";

    /// Whether it is a schedule's.
    #[must_use]
    pub fn is_schedule(&self) -> bool {
        crate::schedule::scheduled_workflow(self).is_some()
    }

    /// Whether it is a channel's.
    #[must_use]
    pub fn is_channel(&self) -> bool {
        self.0.starts_with(Self::CHANNEL_PREFIX)
    }

    /// When it was made, if it begins or ends with a UUID of version 7 in its usual form (RFC 9562, 5.7); if both, by the later one.
    ///
    /// Checkpoints hold the greatest of these times ([`crate::partition::Checkpoint::newest_id`]): a change that gives an id a later
    /// time makes them wrong.
    #[must_use]
    pub fn made_at(&self) -> Option<Timestamp> {
        const UUID_LEN: usize = uuid::fmt::Hyphenated::LENGTH;
        let made_at = |text: &str| {
            let uuid = uuid::Uuid::try_parse(text).ok()?;
            let (seconds, nanos) = (uuid.get_version_num() == 7).then(|| uuid.get_timestamp())??.to_unix();
            Some(Timestamp(i64::try_from(seconds * 1_000 + u64::from(nanos) / 1_000_000).ok()?))
        };
        let end = self.0.len().checked_sub(UUID_LEN)?;
        let at_ends = [self.0.get(..UUID_LEN), self.0.get(end..)];
        at_ends.into_iter().flatten().filter_map(made_at).max()
    }

    /// # Errors
    /// When `id` is empty or longer than [`Self::BYTES_MAX`].
    pub fn new(id: impl AsRef<str>) -> Result<Self, InvalidId> {
        let id = id.as_ref();
        if id.is_empty() || id.len() > Self::BYTES_MAX {
            return Err(InvalidId {
                what: "instance id",
                text: id.chars().take(64).collect(),
                rule: "1 to 256 bytes of UTF-8",
            });
        }
        Ok(Self(id.into()))
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for InstanceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for InstanceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &*self.0)
    }
}

/// An identifier that breaks its rule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no {what}: it must be {rule}")]
pub struct InvalidId {
    /// The kind of identifier.
    pub what: &'static str,
    /// What was given, shortened.
    pub text: String,
    /// What is allowed.
    pub rule: &'static str,
}

/// Namespace and name of a workflow, all versions of it. Written `namespace/name`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct WorkflowName {
    /// `document.namespace`: a DNS label (RFC 1123).
    pub namespace: Arc<str>,
    /// `document.name`: a DNS label (RFC 1123).
    pub name: Arc<str>,
}

impl fmt::Display for WorkflowName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// One version of a workflow: what a running instance stays on. Written `namespace/name/version`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct WorkflowVersion {
    /// Which workflow.
    pub workflow: WorkflowName,
    /// `document.version`: a semantic version.
    pub version: Arc<str>,
}

impl fmt::Display for WorkflowVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.workflow, self.version)
    }
}

impl FromStr for WorkflowVersion {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let mut parts = text.split('/');
        match (parts.next(), parts.next(), parts.next(), parts.next()) {
            (Some(namespace), Some(name), Some(version), None)
                if !namespace.is_empty() && !name.is_empty() && !version.is_empty() =>
            {
                Ok(Self {
                    workflow: WorkflowName { namespace: namespace.into(), name: name.into() },
                    version: version.into(),
                })
            }
            _ => Err(InvalidId {
                what: "workflow version",
                text: text.chars().take(64).collect(),
                rule: "namespace/name/version",
            }),
        }
    }
}

/// One execution of a task within an instance: a counter, never reused. The root of an instance is 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ExecutionId(pub u32);

impl ExecutionId {
    /// The execution that is the instance itself.
    pub const ROOT: Self = Self(0);
}

/// A durable timer within an instance: a counter, never reused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TimerId(pub u32);

/// A plan that changes the number of partitions: a counter, never reused. The first one is 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PlanId(pub u32);

/// The first try is 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Attempt(pub u32);

impl Attempt {
    /// The first try.
    pub const FIRST: Self = Self(1);
}

/// What a worker copies from a task into its answer: which execution, and which dispatch of it. Written `execution.dispatch`.
/// `dispatch` is another number each time that this execution is sent out, so an answer to an earlier dispatch is late, and one to a
/// dispatch whose transaction was aborted is for nothing that there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TaskToken {
    /// The execution that waits for the answer.
    pub execution: ExecutionId,
    /// Which dispatch of it.
    pub dispatch: u32,
}

impl fmt::Display for TaskToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.execution.0, self.dispatch)
    }
}

impl FromStr for TaskToken {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        text.split_once('.')
            .and_then(|(execution, dispatch)| {
                Some(Self {
                    execution: ExecutionId(execution.parse().ok()?),
                    dispatch: dispatch.parse().ok()?,
                })
            })
            .ok_or_else(|| InvalidId {
                what: "task token",
                text: text.chars().take(64).collect(),
                rule: "two numbers with a dot between them, as the task record gives it",
            })
    }
}

/// `source` and `id` of a CloudEvent: together they name one event (CloudEvents 1.0, section "source").
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct EventId {
    /// CloudEvents `source`.
    pub source: String,
    /// CloudEvents `id`.
    pub id: String,
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.source, self.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_that_is_made_of_a_uuid_of_version_7_says_when_it_was_made() {
        let made_at = |id: &str| InstanceId::new(id).expect("short").made_at().map(|it| it.0);
        // The example of RFC 9562, A.6.
        const UUID: &str = "017f22e2-79b0-7cc3-98c4-dc0c0c07398f";
        const AT: Option<i64> = Some(1_645_557_742_000);
        assert_eq!(made_at(UUID), AT);
        assert_eq!(made_at(&UUID.to_uppercase()), AT);
        assert_eq!(made_at(&format!("order-{UUID}")), AT);
        assert_eq!(made_at(&format!("{UUID}/pay/1")), AT);
        assert_eq!(made_at(&format!("017f22e2-0000-7cc3-98c4-dc0c0c07398f/{UUID}")), AT);
        for other in [
            "order-1",
            "é017f22e2-79b0-7cc3-98c4-dc0c0c07398",
            // Versions 4, 1 and 6.
            "919108f7-52d1-4320-9bac-f847db4148a8",
            "c232ab00-9414-11ec-b3c8-9f6bdeced846",
            "1ec9414c-232a-6b00-b3c8-9f6bdeced846",
            "017f22e279b07cc398c4dc0c0c07398f",
            "017f22e2-79b0-7cc3-98c4-dc0c0c07398g",
            "a-017f22e2-79b0-7cc3-98c4-dc0c0c07398f-b",
        ] {
            assert_eq!(made_at(other), None, "{other}");
        }
    }
}
