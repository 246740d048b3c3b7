//! The topics that consumers subscribe to, as far as the coordinator has to know: it is the one thing it reads of what the members
//! tell each other.

use bytes::{Buf, Bytes};

use super::one_group::Group;

impl Group {
    /// Whether a member subscribes to the topic. If that cannot be told, it does: the answer only keeps offsets from being deleted.
    pub(super) fn subscribes_to(&self, topic: &str) -> bool {
        let Some(protocol) = &self.protocol else { return true };
        self.members.values().any(|it| subscribes(it.metadata(protocol), topic).unwrap_or(true))
    }
}

/// Reads a `ConsumerProtocolSubscription`: its version, and the topics, which all versions begin with. `None` if it is none.
fn subscribes(mut metadata: Bytes, topic: &str) -> Option<bool> {
    let _version = metadata.try_get_i16().ok()?;
    let topics = metadata.try_get_i32().ok()?;
    for _ in 0..topics {
        let length = usize::try_from(metadata.try_get_i16().ok()?).ok()?;
        if metadata.remaining() < length {
            return None;
        }
        if metadata.split_to(length) == topic.as_bytes() {
            return Some(true);
        }
    }
    Some(false)
}
