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
    /// `<prefix>.internal`: a record sent on to its home.
    ForwardedRecord,
    /// `<prefix>.internal`: a timer that is due.
    TimerFired,
    /// `<prefix>.commands.<queue>`
    TaskCommand,
    /// `<prefix>.definitions`
    Definition,
    /// Row of the snapshot table.
    Snapshot,
    /// Row of the checkpoint table.
    Checkpoint,
}

impl RecordKind {
    /// All of them, in order.
    pub const ALL: [Self; 9] = [
        Self::ChangelogEntry,
        Self::Positions,
        Self::Claim,
        Self::ForwardedRecord,
        Self::TimerFired,
        Self::TaskCommand,
        Self::Definition,
        Self::Snapshot,
        Self::Checkpoint,
    ];

    /// The full name of its schema.
    #[must_use]
    pub fn full_name(self) -> &'static str {
        match self {
            Self::ChangelogEntry => "io.millrace.v1.ChangelogEntry",
            Self::Positions => "io.millrace.v1.Positions",
            Self::Claim => "io.millrace.v1.Claim",
            Self::ForwardedRecord => "io.millrace.v1.ForwardedRecord",
            Self::TimerFired => "io.millrace.v1.TimerFired",
            Self::TaskCommand => "io.millrace.v1.TaskCommand",
            Self::Definition => "io.millrace.v1.Definition",
            Self::Snapshot => "io.millrace.v1.Snapshot",
            Self::Checkpoint => "io.millrace.v1.Checkpoint",
        }
    }

    /// The text of today's schema: the file `schemas/avro/<name>.avsc`.
    #[must_use]
    pub fn schema_text(self) -> &'static str {
        match self {
            Self::ChangelogEntry => include_str!("../avro/changelog_entry.avsc"),
            Self::Positions => include_str!("../avro/positions.avsc"),
            Self::Claim => include_str!("../avro/claim.avsc"),
            Self::ForwardedRecord => include_str!("../avro/forwarded_record.avsc"),
            Self::TimerFired => include_str!("../avro/timer_fired.avsc"),
            Self::TaskCommand => include_str!("../avro/task_command.avsc"),
            Self::Definition => include_str!("../avro/definition.avsc"),
            Self::Snapshot => include_str!("../avro/snapshot.avsc"),
            Self::Checkpoint => include_str!("../avro/checkpoint.avsc"),
        }
    }

    /// The texts of all released schemas, oldest first.
    #[must_use]
    pub fn released_schema_texts(self) -> &'static [&'static str] {
        match self {
            Self::ChangelogEntry => &[include_str!("../avro/released/v1/changelog_entry.avsc")],
            Self::Positions => &[include_str!("../avro/released/v1/positions.avsc")],
            Self::Claim => &[include_str!("../avro/released/v1/claim.avsc")],
            Self::ForwardedRecord => &[include_str!("../avro/released/v1/forwarded_record.avsc")],
            Self::TimerFired => &[include_str!("../avro/released/v1/timer_fired.avsc")],
            Self::TaskCommand => &[include_str!("../avro/released/v1/task_command.avsc")],
            Self::Definition => &[include_str!("../avro/released/v1/definition.avsc")],
            Self::Snapshot => &[include_str!("../avro/released/v1/snapshot.avsc")],
            Self::Checkpoint => &[include_str!("../avro/released/v1/checkpoint.avsc")],
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
