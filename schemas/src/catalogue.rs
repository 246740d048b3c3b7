//! Which records there are: the schema of each, in today's version and in every released one.

use std::collections::HashMap;
use std::sync::LazyLock;

use crate::avro::schema::Schema;

/// A kind of record that Millrace writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RecordKind {
    /// `<prefix>.changelog`: what one command did to one instance.
    ChangelogEntry,
    /// `<prefix>.changelog`: how far the inbox has been read.
    Positions,
    /// `<prefix>.changelog`: a new owner.
    Claim,
    /// `<prefix>.changelog`: a public partition that is read from here on.
    Adopted,
    /// `<prefix>.changelog`: key-groups that were given away.
    Released,
    /// `<prefix>.changelog`: key-groups that were taken over.
    Installed,
    /// `<prefix>.internal`: a record sent on to its home.
    ForwardedRecord,
    /// `<prefix>.internal`: a timer that is due.
    TimerFired,
    /// `<prefix>.internal`: give key-groups away.
    ReleaseRequested,
    /// `<prefix>.internal`: key-groups for their new home.
    HandedOver,
    /// `<prefix>.internal`: how far the parent of a partition is.
    Progressed,
    /// `<prefix>.commands.<queue>`
    TaskCommand,
    /// `<prefix>.definitions`
    Definition,
    /// `<prefix>.control`: the partitions become more.
    Plan,
    /// Row of the snapshot table.
    Snapshot,
    /// Row of the snapshot table, of an instance that cannot be rebuilt.
    ParkedInstance,
    /// Row of the checkpoint table.
    Checkpoint,
    /// `<prefix>.changelog`: what one command did to one channel.
    ChannelEntry,
    /// Row of the snapshot table, of a channel.
    ChannelSnapshot,
    /// `<prefix>.changelog`: what one command did to one schedule.
    ScheduleEntry,
    /// `<prefix>.internal`: the schedule of a workflow shall follow a version of it.
    ScheduleProposed,
    /// Row of the snapshot table, of a schedule.
    ScheduleSnapshot,
}

impl RecordKind {
    /// All of them, in order.
    pub const ALL: [Self; 22] = [
        Self::ChangelogEntry,
        Self::Positions,
        Self::Claim,
        Self::Adopted,
        Self::Released,
        Self::Installed,
        Self::ForwardedRecord,
        Self::TimerFired,
        Self::ReleaseRequested,
        Self::HandedOver,
        Self::Progressed,
        Self::TaskCommand,
        Self::Definition,
        Self::Plan,
        Self::Snapshot,
        Self::ParkedInstance,
        Self::Checkpoint,
        Self::ChannelEntry,
        Self::ChannelSnapshot,
        Self::ScheduleEntry,
        Self::ScheduleProposed,
        Self::ScheduleSnapshot,
    ];

    /// The full name of its schema.
    #[must_use]
    pub fn full_name(self) -> &'static str {
        match self {
            Self::ChangelogEntry => "io.millrace.v1.ChangelogEntry",
            Self::Positions => "io.millrace.v1.Positions",
            Self::Claim => "io.millrace.v1.Claim",
            Self::Adopted => "io.millrace.v1.Adopted",
            Self::Released => "io.millrace.v1.Released",
            Self::Installed => "io.millrace.v1.Installed",
            Self::ForwardedRecord => "io.millrace.v1.ForwardedRecord",
            Self::TimerFired => "io.millrace.v1.TimerFired",
            Self::ReleaseRequested => "io.millrace.v1.ReleaseRequested",
            Self::HandedOver => "io.millrace.v1.HandedOver",
            Self::Progressed => "io.millrace.v1.Progressed",
            Self::TaskCommand => "io.millrace.v1.TaskCommand",
            Self::Definition => "io.millrace.v1.Definition",
            Self::Plan => "io.millrace.v1.Plan",
            Self::Snapshot => "io.millrace.v1.Snapshot",
            Self::ParkedInstance => "io.millrace.v1.ParkedInstance",
            Self::Checkpoint => "io.millrace.v1.Checkpoint",
            Self::ChannelEntry => "io.millrace.v1.ChannelEntry",
            Self::ChannelSnapshot => "io.millrace.v1.ChannelSnapshot",
            Self::ScheduleEntry => "io.millrace.v1.ScheduleEntry",
            Self::ScheduleProposed => "io.millrace.v1.ScheduleProposed",
            Self::ScheduleSnapshot => "io.millrace.v1.ScheduleSnapshot",
        }
    }

    /// The text of today's schema: the file `schemas/avro/<name>.avsc`.
    #[must_use]
    pub fn schema_text(self) -> &'static str {
        match self {
            Self::ChangelogEntry => include_str!("../avro/changelog_entry.avsc"),
            Self::Positions => include_str!("../avro/positions.avsc"),
            Self::Claim => include_str!("../avro/claim.avsc"),
            Self::Adopted => include_str!("../avro/adopted.avsc"),
            Self::Released => include_str!("../avro/released.avsc"),
            Self::Installed => include_str!("../avro/installed.avsc"),
            Self::ForwardedRecord => include_str!("../avro/forwarded_record.avsc"),
            Self::TimerFired => include_str!("../avro/timer_fired.avsc"),
            Self::ReleaseRequested => include_str!("../avro/release_requested.avsc"),
            Self::HandedOver => include_str!("../avro/handed_over.avsc"),
            Self::Progressed => include_str!("../avro/progressed.avsc"),
            Self::TaskCommand => include_str!("../avro/task_command.avsc"),
            Self::Definition => include_str!("../avro/definition.avsc"),
            Self::Plan => include_str!("../avro/plan.avsc"),
            Self::Snapshot => include_str!("../avro/snapshot.avsc"),
            Self::ParkedInstance => include_str!("../avro/parked_instance.avsc"),
            Self::Checkpoint => include_str!("../avro/checkpoint.avsc"),
            Self::ChannelEntry => include_str!("../avro/channel_entry.avsc"),
            Self::ChannelSnapshot => include_str!("../avro/channel_snapshot.avsc"),
            Self::ScheduleEntry => include_str!("../avro/schedule_entry.avsc"),
            Self::ScheduleProposed => include_str!("../avro/schedule_proposed.avsc"),
            Self::ScheduleSnapshot => include_str!("../avro/schedule_snapshot.avsc"),
        }
    }

    /// The texts of all released schemas, oldest first.
    #[must_use]
    pub fn released_schema_texts(self) -> &'static [&'static str] {
        match self {
            Self::ChangelogEntry => &[
                include_str!("../avro/released/v1/changelog_entry.avsc"),
                include_str!("../avro/released/v2/changelog_entry.avsc"),
            ],
            Self::Positions => &[include_str!("../avro/released/v1/positions.avsc")],
            Self::Claim => &[
                include_str!("../avro/released/v1/claim.avsc"),
                include_str!("../avro/released/v2/claim.avsc"),
            ],
            Self::Adopted => &[include_str!("../avro/released/v2/adopted.avsc")],
            Self::Released => &[include_str!("../avro/released/v2/released.avsc")],
            Self::Installed => &[include_str!("../avro/released/v2/installed.avsc")],
            Self::ForwardedRecord => &[include_str!("../avro/released/v1/forwarded_record.avsc")],
            Self::TimerFired => &[include_str!("../avro/released/v1/timer_fired.avsc")],
            Self::ReleaseRequested => &[include_str!("../avro/released/v2/release_requested.avsc")],
            Self::HandedOver => &[include_str!("../avro/released/v2/handed_over.avsc")],
            Self::Progressed => &[include_str!("../avro/released/v2/progressed.avsc")],
            Self::TaskCommand => &[
                include_str!("../avro/released/v1/task_command.avsc"),
                include_str!("../avro/released/v2/task_command.avsc"),
            ],
            Self::Definition => &[include_str!("../avro/released/v1/definition.avsc")],
            Self::Plan => &[include_str!("../avro/released/v2/plan.avsc")],
            Self::Snapshot => &[
                include_str!("../avro/released/v1/snapshot.avsc"),
                include_str!("../avro/released/v2/snapshot.avsc"),
            ],
            Self::ParkedInstance => &[include_str!("../avro/released/v2/parked_instance.avsc")],
            Self::Checkpoint => &[
                include_str!("../avro/released/v1/checkpoint.avsc"),
                include_str!("../avro/released/v2/checkpoint.avsc"),
            ],
            Self::ChannelEntry => &[include_str!("../avro/released/v2/channel_entry.avsc")],
            Self::ChannelSnapshot => &[include_str!("../avro/released/v2/channel_snapshot.avsc")],
            Self::ScheduleEntry => &[include_str!("../avro/released/v2/schedule_entry.avsc")],
            Self::ScheduleProposed => &[include_str!("../avro/released/v2/schedule_proposed.avsc")],
            Self::ScheduleSnapshot => &[include_str!("../avro/released/v2/schedule_snapshot.avsc")],
        }
    }

    /// CRC-64-AVRO of today's schema: what single-object encoding carries.
    #[must_use]
    pub fn fingerprint(self) -> u64 {
        CATALOGUE.current[self as usize].fingerprint
    }

    pub(crate) fn by_full_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.full_name() == name)
    }

    pub(crate) fn current(self) -> &'static Version {
        &CATALOGUE.current[self as usize]
    }

    /// The released versions that differ from today's, with their texts.
    #[cfg(feature = "registry")]
    pub(crate) fn older(self) -> impl Iterator<Item = &'static str> {
        let is_older = move |text: &&'static str| parse(text).fingerprint() != self.fingerprint();
        self.released_schema_texts().iter().copied().filter(is_older)
    }
}

/// A schema with what its text does not show.
#[derive(Debug)]
pub(crate) struct Version {
    pub(crate) kind: RecordKind,
    pub(crate) schema: Schema,
    pub(crate) fingerprint: u64,
}

/// Finds the version of a record by its fingerprint.
pub(crate) fn by_fingerprint(fingerprint: u64) -> Option<&'static Version> {
    // Nearly always it is one of today's.
    let is_it = |version: &&Version| version.fingerprint == fingerprint;
    CATALOGUE.current.iter().find(is_it).or_else(|| CATALOGUE.older.get(&fingerprint))
}

struct Catalogue {
    /// In the order of [`RecordKind::ALL`].
    current: Vec<Version>,
    older: HashMap<u64, Version>,
}

static CATALOGUE: LazyLock<Catalogue> = LazyLock::new(|| {
    let version = |kind, text| {
        let schema = parse(text);
        Version { kind, fingerprint: schema.fingerprint(), schema }
    };
    let current = RecordKind::ALL.map(|kind| version(kind, kind.schema_text()));
    let released = RecordKind::ALL
        .into_iter()
        .flat_map(|kind| kind.released_schema_texts().iter().map(move |text| (kind, *text)));
    let older =
        released.map(|(kind, text)| version(kind, text)).map(|version| (version.fingerprint, version));
    Catalogue { current: current.into(), older: older.collect() }
});

fn parse(text: &str) -> Schema {
    Schema::parse(text).expect("the tests have parsed every schema in the catalogue")
}
