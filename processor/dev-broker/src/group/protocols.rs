//! Which protocol (for consumers: which assignor) the members can agree upon.

use super::join::Join;
use super::one_group::Group;
use super::phase::Phase;

impl Group {
    /// Whether the group is one for this client: of the same type, and with a protocol that everybody knows.
    pub(super) fn is_consistent_with(&self, join: &Join) -> bool {
        if join.protocol_type.is_empty() || join.protocols.is_empty() {
            return false;
        }
        match self.phase {
            Phase::Empty => true,
            Phase::Gathering { .. } | Phase::Preparing { .. } | Phase::Completing(_) | Phase::Stable(_) => {
                self.protocol_type().is_none_or(|it| it == join.protocol_type)
                    && join.protocols.iter().any(|it| self.all_support(&it.name))
            }
        }
    }

    /// The protocol with the most votes, where each member votes for the first on its list that all members know. Kafka leaves open
    /// who wins a tie; here the leader's list decides.
    pub(super) fn select_protocol(&self) -> String {
        let leader = self.leader.as_ref().and_then(|it| self.members.get(it)).expect("there are members");
        let candidates = leader.terms.protocols.iter().map(|it| it.name.as_str());
        let candidates: Vec<&str> = candidates.filter(|it| self.all_support(it)).collect();
        let mut votes = vec![0_usize; candidates.len()];
        for member in self.members.values() {
            let list = member.terms.protocols.iter();
            let choice = list.filter_map(|it| candidates.iter().position(|name| *name == it.name)).next();
            votes[choice.expect("all members know all candidates")] += 1;
        }
        // `max_by_key` takes the last of equals, and the leader prefers the first.
        let (winner, _) = (candidates.iter().zip(votes).rev().max_by_key(|(_, votes)| *votes))
            .expect("a member is let in only with a protocol that all others know");
        (*winner).to_owned()
    }

    fn all_support(&self, protocol: &str) -> bool {
        self.members.values().all(|it| it.terms.protocols.iter().any(|it| it.name == protocol))
    }
}
