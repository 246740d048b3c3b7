//! The users' own topics as sources: what is read of them, and from where. Their positions are in the changelog as those of all sources,
//! so a record has had its effect exactly when its position has passed it.
//!
//! A partition of such a topic is *located* before it is read: its bounds say whether the position still means what it meant. A position
//! that is set there, the first one too, is committed before anything is read from it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use millrace_placement::PartitionIndex;
use millrace_schemas::{Offset, Timestamp};
use millrace_workflow::program::Decoding;

use crate::input::{InboundRecord, Located, Source};
use crate::output::{Locate, Moved, Observation, Output};
use crate::partition::{Partition, Phase};

/// How long the positions of a topic stay that no definition names any more: as Kafka keeps the offsets of a group that is not there.
/// Counted by each owner anew.
const UNNAMED_MAX: Duration = Duration::from_secs(7 * 86_400);

/// A topic of the users that definitions name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserTopic {
    /// In full.
    pub topic: Arc<str>,
    /// How many it has; 0 while it is not there.
    pub partitions: u32,
    /// In what ways its records are read: one for each that a definition names, sorted.
    pub decodings: Vec<Decoding>,
    /// From where a partition is read that never was: from the first record that is not older; none for the oldest.
    pub since: Option<Timestamp>,
}

/// What is known of the topics.
#[derive(Debug, Default)]
pub(crate) struct Topics {
    named: BTreeMap<Arc<str>, UserTopic>,
    /// Of the partitions that are ours, of topics that are named.
    stages: BTreeMap<Source, Stage>,
    /// Whether a stage asks for something to be done.
    has_news: bool,
    /// Positions to be committed with the next batch.
    found: BTreeMap<Source, Offset>,
    /// Topics with a position and without a definition.
    unnamed_since: BTreeMap<Arc<str>, Timestamp>,
}

/// How far a partition of a topic is on its way to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Its bounds must be looked at. It may be read meanwhile.
    Unknown { is_followed: bool },
    /// They were asked for when it stood there; it may have gone on since, and so may the topic.
    Locating { is_followed: bool, position: Option<Offset> },
    /// Its position is being set.
    Setting,
    /// To be followed from its position.
    Ready,
    /// Records come.
    Followed,
}

impl Stage {
    fn is_followed(self) -> bool {
        match self {
            Self::Unknown { is_followed } | Self::Locating { is_followed, .. } => is_followed,
            Self::Followed => true,
            Self::Setting | Self::Ready => false,
        }
    }
}

impl Topics {
    /// In what ways the records of a topic are read.
    pub(crate) fn decodings(&self, topic: &str) -> &[Decoding] {
        self.named.get(topic).map_or(&[], |it| &it.decodings)
    }

    /// Whether records of a source are wanted now.
    pub(crate) fn takes(&self, source: &Source) -> bool {
        match source {
            Source::Internal(_) | Source::Events(_) => true,
            Source::Topic(..) => self.stages.get(source).is_some_and(|it| it.is_followed()),
        }
    }

    /// Whether a position waits for its commit.
    pub(crate) fn has_found(&self) -> bool {
        !self.found.is_empty()
    }

    /// The positions to commit; they are on their way now.
    pub(crate) fn take_found(&mut self) -> BTreeMap<Source, Offset> {
        std::mem::take(&mut self.found)
    }

    /// They are committed, or they are not.
    pub(crate) fn found_is(&mut self, found: BTreeMap<Source, Offset>, is_committed: bool) {
        for (source, offset) in found {
            // The topic may be named no more, or again since and found anew.
            let Some(stage @ Stage::Setting) = self.stages.get_mut(&source) else { continue };
            if self.found.contains_key(&source) {
                continue;
            }
            if is_committed {
                *stage = Stage::Ready;
                self.has_news = true;
            } else {
                self.found.insert(source, offset);
            }
        }
    }

    /// Whether the position of a source may be forgotten.
    pub(crate) fn is_forgotten(&self, source: &Source, now: Timestamp) -> bool {
        let Source::Topic(topic, _) = source else { return false };
        self.unnamed_since.get(topic).is_some_and(|since| since.plus(UNNAMED_MAX) <= now)
    }

    /// Sources of `index` that are not known yet.
    fn add_new(&mut self, index: PartitionIndex, count: u32) {
        for topic in self.named.values() {
            for partition in shares(index, count, topic.partitions) {
                let source = Source::Topic(Arc::clone(&topic.topic), partition);
                self.stages.entry(source).or_insert(Stage::Unknown { is_followed: false });
            }
        }
        self.has_news = true;
    }

    fn locate(&mut self, positions: &BTreeMap<Source, Offset>) -> Vec<Locate> {
        let Self { named, stages, .. } = self;
        let mut asked = Vec::new();
        for (source, stage) in stages {
            if let (Stage::Unknown { is_followed }, Source::Topic(topic, _)) = (*stage, source) {
                *stage = Stage::Locating { is_followed, position: positions.get(source).copied() };
                let since = named.get(topic).and_then(|it| it.since);
                asked.push(Locate { source: source.clone(), since });
            }
        }
        asked
    }

    fn take_ready(&mut self) -> Vec<Source> {
        let ready = self.stages.iter_mut().filter(|(_, stage)| **stage == Stage::Ready);
        ready
            .map(|(source, stage)| {
                *stage = Stage::Followed;
                source.clone()
            })
            .collect()
    }

    fn is_named(&self, source: &Source) -> bool {
        let Source::Topic(topic, partition) = source else { return true };
        let count = self.named.get(topic).map_or(0, |it| it.partitions);
        u32::try_from(*partition).is_ok_and(|it| it < count)
    }
}

/// The partitions of a topic with `partitions` that belong to `index` of `count`, as those of `.events` do.
fn shares(index: PartitionIndex, count: u32, partitions: u32) -> impl Iterator<Item = i32> {
    let step = usize::try_from(count).expect("at most 4,096 partitions");
    (index.0..partitions).step_by(step).map(|it| i32::try_from(it).expect("Kafka counts partitions in i32"))
}

impl Partition {
    /// The topics that definitions name now, all of them.
    pub(crate) fn topics_named(&mut self, topics: Vec<UserTopic>, now: Timestamp, out: &mut Vec<Output>) {
        self.inbox.forget_ahead(); // how their records are read may have changed
        self.topics.named = topics.into_iter().map(|it| (Arc::clone(&it.topic), it)).collect();
        let (named, gone): (BTreeMap<_, _>, BTreeMap<_, _>) =
            std::mem::take(&mut self.topics.stages).into_iter().partition(|it| self.topics.is_named(&it.0));
        self.topics.stages = named;
        self.topics.found.retain(|source, _| !gone.contains_key(source));
        self.topics.add_new(self.index, self.config.partitions);
        self.unfollow(gone.into_iter().filter(|it| it.1.is_followed()).map(|it| it.0).collect(), out);
        let Self { topics: Topics { named, unnamed_since, .. }, positions, .. } = self;
        unnamed_since.retain(|topic, _| !named.contains_key(topic));
        for source in positions.keys() {
            if let Source::Topic(topic, _) = source
                && !named.contains_key(topic)
            {
                unnamed_since.entry(Arc::clone(topic)).or_insert(now);
            }
        }
    }

    /// Asks for what is not known of the topics, and reads what can be read.
    pub(crate) fn advance_topics(&mut self, out: &mut Vec<Output>) {
        if !self.topics.has_news {
            return;
        }
        let asked = self.topics.locate(&self.positions);
        if !asked.is_empty() {
            out.push(Output::Locate(asked));
        }
        // A pause is of what is read; what comes after it must not slip through.
        self.topics.has_news = self.is_paused;
        if !self.is_paused {
            let ready = self.topics.take_ready();
            if !ready.is_empty() {
                let place = |it: Source| (it.clone(), self.positions.get(&it).copied().unwrap_or_default());
                out.push(Output::Follow(ready.into_iter().map(place).collect()));
            }
        }
    }

    /// The bounds of a partition of a topic.
    pub(crate) fn located(&mut self, located: Located, out: &mut Vec<Output>) {
        let Located { source, start, end, since } = located;
        let (Some(Stage::Locating { is_followed, position }), Source::Topic(topic, _)) =
            (self.topics.stages.get(&source).copied(), &source)
        else {
            // No definition names it any more.
            return;
        };
        let stage = match position {
            None => {
                let is_from_the_oldest = self.topics.named.get(topic).is_some_and(|it| it.since.is_none());
                let first = if is_from_the_oldest { start } else { since.unwrap_or(end) };
                self.topics.found.insert(source.clone(), first);
                Stage::Setting
            }
            Some(position) if (start..=end).contains(&position) || is_followed && position < start => {
                // What is read goes on where retention has left off.
                if is_followed { Stage::Followed } else { Stage::Ready }
            }
            Some(position) => {
                let moved = if position < start { Moved::Trimmed } else { Moved::MadeAnew };
                self.topics.found.insert(source.clone(), start);
                let (source, from) = (source.clone(), position);
                out.push(Output::Observe(Observation::SourceMoved { source, moved, from, to: start }));
                Stage::Setting
            }
        };
        if is_followed && !stage.is_followed() {
            self.unfollow(vec![source.clone()], out);
        }
        self.topics.stages.insert(source, stage);
        self.topics.has_news = true;
    }

    fn unfollow(&mut self, sources: Vec<Source>, out: &mut Vec<Output>) {
        if !sources.is_empty() {
            self.inbox.retain(|it| !sources.contains(&it.source));
            out.push(Output::Unfollow(sources));
        }
    }

    /// Records of the sources; before and after it serves, they are nobody's.
    pub(crate) fn take_in(&mut self, records: Vec<InboundRecord>) {
        if !matches!(self.phase, Phase::Active) {
            return;
        }
        for record in records {
            if !self.topics.takes(&record.source) {
                continue;
            }
            let is_behind = || self.positions.get(&record.source).is_some_and(|it| record.offset < *it);
            if let Some(stage @ Stage::Followed) = self.topics.stages.get_mut(&record.source)
                && is_behind()
            {
                // It may be delivered again. Or the topic was deleted and made anew, and its offsets begin anew.
                *stage = Stage::Unknown { is_followed: true };
                self.topics.has_news = true;
            }
            self.inbox.push(record);
        }
    }
}
