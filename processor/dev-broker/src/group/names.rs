//! How requests name things. An absent name is `None`, although on the wire it is mostly an empty string.

use serde::{Deserialize, Serialize};

/// Names a waiting request; the shell maps it to the connection that waits. No ticket is given out twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Ticket(pub(crate) u64);

/// `group.id`. May be empty where offsets are kept without a group protocol, nowhere else.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct GroupId(pub(crate) String);

/// One life of a member. The broker gives it out, and never the same one twice.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct MemberId(pub(crate) String);

/// `group.instance.id` (KIP-345): what a static member calls itself, in each of its lives.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct InstanceId(pub(crate) String);

/// Whose transaction a commit belongs to. Its epoch is not asked here: the shell refuses an older one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct ProducerId(pub(crate) i64);

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct TopicPartition {
    pub(crate) topic: String,
    pub(crate) partition: i32,
}

/// Who a request says it comes from.
#[derive(Clone, Debug)]
pub(crate) struct Claim {
    pub(crate) member: Option<MemberId>,
    pub(crate) instance: Option<InstanceId>,
    /// The generation that the client takes part in; `None` if it takes part in none.
    pub(crate) generation: Option<i32>,
}

impl Claim {
    /// From a request, where no member is an empty string and no generation is -1.
    pub(crate) fn new(member: &str, instance: Option<&str>, generation: i32) -> Self {
        Self {
            member: MemberId::from_wire(member),
            instance: instance.map(|it| InstanceId(it.to_owned())),
            generation: (generation >= 0).then_some(generation),
        }
    }
}

impl MemberId {
    /// From a request, where no member is an empty string.
    pub(crate) fn from_wire(member: &str) -> Option<Self> {
        (!member.is_empty()).then(|| Self(member.to_owned()))
    }
}
