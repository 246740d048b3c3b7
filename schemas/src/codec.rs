//! Records to bytes and back.
//!
//! A record is an Avro body behind a header that names its schema. Two headers are in use: Avro's single-object encoding
//! (`c3 01`, then the CRC-64-AVRO fingerprint of the schema, little-endian), and the Confluent wire format (`00`, then the
//! registry's id, big-endian). A [`Codec`] writes one of them and reads both.
//!
//! Rows of the snapshot store end with four more bytes: the CRC-32C of all before, little-endian. Kafka has its own.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use serde_json::Value;

use crate::avro::binary::{Avro, Reader};
use crate::avro::json::to_json;
use crate::avro::resolve::resolve;
pub use crate::avro::schema::InvalidSchema;
use crate::avro::schema::Schema;
use crate::catalogue;
pub use crate::catalogue::RecordKind;
use crate::channel::{ChannelEntry, ChannelSnapshot};
use crate::definition::Definition;
pub use crate::error::DecodeError;
use crate::event::ChangelogEntry;
use crate::handover::{Adopted, HandedOver, Installed, Plan, Progressed, ReleaseRequested, Released};
use crate::internal::InternalRecord;
use crate::partition::{Checkpoint, Claim, Positions};
#[cfg(feature = "registry")]
use crate::registry::{Registry, RegistryError, SubjectNames};
use crate::schedule::{ScheduleEntry, ScheduleSnapshot};
use crate::snapshot::{ParkedInstance, Snapshot, SnapshotRecord};
use crate::task::TaskCommand;

/// A record of `<prefix>.changelog`.
#[derive(Clone, Debug, PartialEq)]
pub enum ChangelogRecord {
    /// What one command did to one instance.
    Entry(ChangelogEntry),
    /// How far the inbox has been read.
    Positions(Positions),
    /// A new owner.
    Claim(Claim),
    /// A public partition is read from here on.
    Adopted(Adopted),
    /// Key-groups were given away.
    Released(Released),
    /// Key-groups were taken over.
    Installed(Installed),
    /// What one command did to one channel.
    Channel(ChannelEntry),
    /// What one command did to one schedule.
    Schedule(ScheduleEntry),
}

/// Encodes and decodes every record. Cheap to clone; clones share what they learn.
#[derive(Clone, Debug)]
pub struct Codec {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    /// What stands before the body of each kind, in the order of [`RecordKind::ALL`].
    headers: [Header; RecordKind::ALL.len()],
    /// Registry ids of today's schemas, in the same order; empty without a registry.
    ids: Vec<u32>,
    learned: RwLock<HashMap<u32, Learned>>,
}

#[derive(Clone, Copy, Debug)]
struct Header {
    bytes: [u8; SINGLE_OBJECT_HEADER],
    length: usize,
}

/// What a registry id stands for.
#[derive(Clone, Debug)]
enum Learned {
    Known(Arc<Schema>),
    Unusable(Arc<str>),
}

const SINGLE_OBJECT_HEADER: usize = 10;
const CONFLUENT_HEADER: usize = 5;
const CHECKSUM: usize = 4;

/// Ids without a schema that are remembered. A producer of rubbish must not fill the memory.
const UNUSABLE_MAX: usize = 1_000;

/// Room for a record of ordinary size, in bytes, so that a buffer seldom grows.
const RECORD_BYTES: usize = 512;

/// A record that has a schema of its own.
trait Record: Avro {
    const KIND: RecordKind;
}

macro_rules! record {
    ($($type:ident),*) => { $( impl Record for $type { const KIND: RecordKind = RecordKind::$type; } )* };
}
record!(
    ChangelogEntry,
    Positions,
    Claim,
    Adopted,
    Released,
    Installed,
    ReleaseRequested,
    HandedOver,
    Progressed,
    TaskCommand,
    Definition,
    Plan,
    Snapshot,
    ParkedInstance,
    Checkpoint,
    ChannelEntry,
    ChannelSnapshot,
    ScheduleEntry,
    ScheduleSnapshot
);

impl Record for crate::internal::ForwardedRecord {
    const KIND: RecordKind = RecordKind::ForwardedRecord;
}
impl Record for crate::internal::TimerFired {
    const KIND: RecordKind = RecordKind::TimerFired;
}
impl Record for crate::internal::ScheduleProposed {
    const KIND: RecordKind = RecordKind::ScheduleProposed;
}

impl Codec {
    /// A codec that writes single-object encoding. It needs no registry.
    #[must_use]
    pub fn single_object() -> Self {
        let headers = RecordKind::ALL.map(|kind| {
            let mut bytes = [0; SINGLE_OBJECT_HEADER];
            bytes[..2].copy_from_slice(&[0xc3, 0x01]);
            bytes[2..].copy_from_slice(&kind.fingerprint().to_le_bytes());
            Header { bytes, length: SINGLE_OBJECT_HEADER }
        });
        Self::new(headers, Vec::new(), HashMap::new())
    }

    fn new(headers: [Header; RecordKind::ALL.len()], ids: Vec<u32>, learned: HashMap<u32, Learned>) -> Self {
        Self { shared: Arc::new(Shared { headers, ids, learned: RwLock::new(learned) }) }
    }

    /// Teaches the codec, and all its clones, the schema of a registry id: after [`DecodeError::UnknownSchemaId`].
    ///
    /// # Errors
    /// When it is no Avro schema. The id is remembered as unusable then.
    pub fn learn(&self, id: u32, schema: &str) -> Result<(), InvalidSchema> {
        match Schema::parse(schema) {
            Ok(schema) => {
                self.remember(id, Learned::Known(Arc::new(schema)));
                Ok(())
            }
            Err(error) => {
                self.remember(id, Learned::Unusable(error.to_string().into()));
                Err(error)
            }
        }
    }

    /// Tells the codec, and all its clones, that a registry id will never be known: the registry does not have it, or there is
    /// no registry. Records that carry it become [`DecodeError::UnusableSchemaId`].
    pub fn forget_as_unknown(&self, id: u32) {
        self.remember(id, Learned::Unusable("the schema registry does not have it".into()));
    }

    fn remember(&self, id: u32, what: Learned) {
        // A poisoned map is whole: nothing in here panics between two changes of it.
        let mut learned = self.shared.learned.write().unwrap_or_else(PoisonError::into_inner);
        let is_unusable = |it: &Learned| matches!(it, Learned::Unusable(_));
        if is_unusable(&what) && learned.values().filter(|it| is_unusable(it)).count() >= UNUSABLE_MAX {
            learned.retain(|_, it| !is_unusable(it));
        }
        learned.insert(id, what);
    }

    /// To `<prefix>.changelog`.
    #[must_use]
    pub fn encode_changelog(&self, record: &ChangelogRecord) -> Vec<u8> {
        match record {
            ChangelogRecord::Entry(entry) => self.encode(entry),
            ChangelogRecord::Positions(positions) => self.encode(positions),
            ChangelogRecord::Claim(claim) => self.encode(claim),
            ChangelogRecord::Adopted(adopted) => self.encode(adopted),
            ChangelogRecord::Released(released) => self.encode(released),
            ChangelogRecord::Installed(installed) => self.encode(installed),
            ChangelogRecord::Channel(entry) => self.encode(entry),
            ChangelogRecord::Schedule(entry) => self.encode(entry),
        }
    }

    /// As [`Self::encode_changelog`], for an entry that need not be moved into a [`ChangelogRecord`].
    #[must_use]
    pub fn encode_changelog_entry(&self, entry: &ChangelogEntry) -> Vec<u8> {
        self.encode(entry)
    }

    /// From `<prefix>.changelog`.
    ///
    /// # Errors
    /// When the bytes are no such record, or their schema is not known (yet).
    pub fn decode_changelog(&self, bytes: &[u8]) -> Result<ChangelogRecord, DecodeError> {
        let frame = self.open(bytes)?;
        match frame.kind() {
            Some(RecordKind::ChangelogEntry) => frame.read().map(ChangelogRecord::Entry),
            Some(RecordKind::Positions) => frame.read().map(ChangelogRecord::Positions),
            Some(RecordKind::Claim) => frame.read().map(ChangelogRecord::Claim),
            Some(RecordKind::Adopted) => frame.read().map(ChangelogRecord::Adopted),
            Some(RecordKind::Released) => frame.read().map(ChangelogRecord::Released),
            Some(RecordKind::Installed) => frame.read().map(ChangelogRecord::Installed),
            Some(RecordKind::ChannelEntry) => frame.read().map(ChangelogRecord::Channel),
            Some(RecordKind::ScheduleEntry) => frame.read().map(ChangelogRecord::Schedule),
            _ => Err(frame.wrong("a record of the changelog")),
        }
    }

    /// To `<prefix>.internal`.
    #[must_use]
    pub fn encode_internal(&self, record: &InternalRecord) -> Vec<u8> {
        match record {
            InternalRecord::Forwarded(forwarded) => self.encode(forwarded),
            InternalRecord::TimerFired(fired) => self.encode(fired),
            InternalRecord::ReleaseRequested(requested) => self.encode(requested),
            InternalRecord::HandedOver(handed_over) => self.encode(handed_over),
            InternalRecord::Progressed(progressed) => self.encode(progressed),
            InternalRecord::ScheduleProposed(proposed) => self.encode(proposed),
        }
    }

    /// From `<prefix>.internal`.
    ///
    /// # Errors
    /// When the bytes are no such record, or their schema is not known (yet).
    pub fn decode_internal(&self, bytes: &[u8]) -> Result<InternalRecord, DecodeError> {
        let frame = self.open(bytes)?;
        match frame.kind() {
            Some(RecordKind::ForwardedRecord) => frame.read().map(InternalRecord::Forwarded),
            Some(RecordKind::TimerFired) => frame.read().map(InternalRecord::TimerFired),
            Some(RecordKind::ReleaseRequested) => frame.read().map(InternalRecord::ReleaseRequested),
            Some(RecordKind::HandedOver) => frame.read().map(InternalRecord::HandedOver),
            Some(RecordKind::Progressed) => frame.read().map(InternalRecord::Progressed),
            Some(RecordKind::ScheduleProposed) => frame.read().map(InternalRecord::ScheduleProposed),
            _ => Err(frame.wrong("an internal record")),
        }
    }

    /// To `<prefix>.commands.<queue>`.
    #[must_use]
    pub fn encode_task(&self, task: &TaskCommand) -> Vec<u8> {
        self.encode(task)
    }

    /// From `<prefix>.commands.<queue>`.
    ///
    /// # Errors
    /// When the bytes are no such record, or their schema is not known (yet).
    pub fn decode_task(&self, bytes: &[u8]) -> Result<TaskCommand, DecodeError> {
        self.open(bytes)?.read()
    }

    /// To `<prefix>.definitions`.
    #[must_use]
    pub fn encode_definition(&self, definition: &Definition) -> Vec<u8> {
        self.encode(definition)
    }

    /// From `<prefix>.definitions`.
    ///
    /// # Errors
    /// When the bytes are no such record, or their schema is not known (yet).
    pub fn decode_definition(&self, bytes: &[u8]) -> Result<Definition, DecodeError> {
        self.open(bytes)?.read()
    }

    /// To `<prefix>.control`.
    #[must_use]
    pub fn encode_plan(&self, plan: &Plan) -> Vec<u8> {
        self.encode(plan)
    }

    /// From `<prefix>.control`.
    ///
    /// # Errors
    /// When the bytes are no such record, or their schema is not known (yet).
    pub fn decode_plan(&self, bytes: &[u8]) -> Result<Plan, DecodeError> {
        self.open(bytes)?.read()
    }

    /// To the snapshot table.
    #[must_use]
    pub fn encode_snapshot(&self, snapshot: &Snapshot) -> Vec<u8> {
        seal(self.encode(snapshot))
    }

    /// From the snapshot table.
    ///
    /// # Errors
    /// When the row is damaged, or its schema is not known (yet).
    pub fn decode_snapshot(&self, row: &[u8]) -> Result<Snapshot, DecodeError> {
        self.open(unseal(row, "snapshot row")?)?.read()
    }

    /// To the snapshot table.
    #[must_use]
    pub fn encode_schedule_snapshot(&self, snapshot: &ScheduleSnapshot) -> Vec<u8> {
        seal(self.encode(snapshot))
    }

    /// To the snapshot table, in place of a snapshot.
    #[must_use]
    pub fn encode_parked(&self, parked: &ParkedInstance) -> Vec<u8> {
        seal(self.encode(parked))
    }

    /// To the snapshot table, of a channel.
    #[must_use]
    pub fn encode_channel_snapshot(&self, snapshot: &ChannelSnapshot) -> Vec<u8> {
        seal(self.encode(snapshot))
    }

    /// From the snapshot table, whichever kind of row it is.
    ///
    /// # Errors
    /// When the row is damaged, or its schema is not known (yet).
    pub fn decode_snapshot_record(&self, row: &[u8]) -> Result<SnapshotRecord, DecodeError> {
        let frame = self.open(unseal(row, "snapshot row")?)?;
        match frame.kind() {
            Some(RecordKind::Snapshot) => frame.read().map(|it| SnapshotRecord::Snapshot(Box::new(it))),
            Some(RecordKind::ParkedInstance) => frame.read().map(SnapshotRecord::Parked),
            Some(RecordKind::ChannelSnapshot) => frame.read().map(|it| SnapshotRecord::Channel(Box::new(it))),
            Some(RecordKind::ScheduleSnapshot) => {
                frame.read().map(|it| SnapshotRecord::Schedule(Box::new(it)))
            }
            _ => Err(frame.wrong("a row of the snapshot table")),
        }
    }

    /// To the checkpoint table.
    #[must_use]
    pub fn encode_checkpoint(&self, checkpoint: &Checkpoint) -> Vec<u8> {
        seal(self.encode(checkpoint))
    }

    /// From the checkpoint table.
    ///
    /// # Errors
    /// When the row is damaged, or its schema is not known (yet).
    pub fn decode_checkpoint(&self, row: &[u8]) -> Result<Checkpoint, DecodeError> {
        self.open(unseal(row, "checkpoint row")?)?.read()
    }

    /// Somebody else's Avro, in the Confluent wire format, as plain JSON: a union is the value of its branch, bytes are base64,
    /// timestamps are RFC 3339, dates and times ISO 8601, decimals strings.
    ///
    /// # Errors
    /// When it is not in that format, the schema is not known (yet), or the bytes do not follow it.
    pub fn avro_to_json(&self, bytes: &[u8]) -> Result<Value, DecodeError> {
        let id = confluent_id(bytes)?;
        let body = &bytes[CONFLUENT_HEADER..];
        let read = |schema: &Schema| to_json(schema, body).map_err(|damage| damage.into_error("Avro data"));
        match self.own(id) {
            Some(kind) => read(&kind.current().schema),
            None => read(&*self.learned(id)?),
        }
    }

    fn encode<T: Record>(&self, record: &T) -> Vec<u8> {
        let header = &self.shared.headers[T::KIND as usize];
        let mut out = Vec::with_capacity(RECORD_BYTES);
        out.extend_from_slice(&header.bytes[..header.length]);
        record.write(&mut out);
        out
    }

    /// Finds the schema that the header names.
    fn open<'a>(&self, bytes: &'a [u8]) -> Result<Frame<'a>, DecodeError> {
        match bytes {
            [] => Err(DecodeError::Empty),
            [0xc3, 0x01, rest @ ..] if rest.len() >= 8 => {
                let (fingerprint, body) = rest.split_at(8);
                let fingerprint =
                    u64::from_le_bytes(fingerprint.try_into().expect("eight bytes were split off"));
                let version = catalogue::by_fingerprint(fingerprint)
                    .ok_or(DecodeError::UnknownFingerprint(fingerprint))?;
                if version.fingerprint == version.kind.fingerprint() {
                    Ok(Frame { body, writer: Writer::Current(version.kind) })
                } else {
                    Ok(Frame { body, writer: Writer::Older(version.kind, &version.schema) })
                }
            }
            _ => {
                let id = confluent_id(bytes)?;
                let writer = match self.own(id) {
                    Some(kind) => Writer::Current(kind),
                    None => Writer::Learned(self.learned(id)?),
                };
                Ok(Frame { body: &bytes[CONFLUENT_HEADER..], writer })
            }
        }
    }

    fn own(&self, id: u32) -> Option<RecordKind> {
        self.shared.ids.iter().position(|own| *own == id).map(|index| RecordKind::ALL[index])
    }

    fn learned(&self, id: u32) -> Result<Arc<Schema>, DecodeError> {
        match self.shared.learned.read().unwrap_or_else(PoisonError::into_inner).get(&id) {
            Some(Learned::Known(schema)) => Ok(schema.clone()),
            Some(Learned::Unusable(detail)) => {
                Err(DecodeError::UnusableSchemaId { id, detail: detail.to_string() })
            }
            None => Err(DecodeError::UnknownSchemaId(id)),
        }
    }
}

#[cfg(feature = "registry")]
impl Codec {
    /// A codec that writes the Confluent wire format: looks up, or else registers, the schema of every record.
    ///
    /// # Errors
    /// When the registry does not answer, or refuses a schema.
    pub async fn with_registry(registry: &Registry, subjects: &SubjectNames) -> Result<Self, RegistryError> {
        let mut ids = Vec::new();
        let mut learned = HashMap::new();
        for kind in RecordKind::ALL {
            let subject = subjects.of(kind);
            ids.push(registry.ensure(&subject, kind.schema_text()).await?);
            for text in kind.older() {
                // Records of an older release may be in the topics; it registered its schemas itself, if it used this registry.
                if let Some(id) = registry.look_up(&subject, text).await? {
                    let schema =
                        Schema::parse(text).expect("the tests have parsed every schema in the catalogue");
                    learned.insert(id, Learned::Known(Arc::new(schema)));
                }
            }
        }
        Ok(Self::confluent(ids, learned))
    }

    fn confluent(ids: Vec<u32>, learned: HashMap<u32, Learned>) -> Self {
        let headers = RecordKind::ALL.map(|kind| {
            let mut bytes = [0; SINGLE_OBJECT_HEADER];
            bytes[1..CONFLUENT_HEADER].copy_from_slice(&ids[kind as usize].to_be_bytes());
            Header { bytes, length: CONFLUENT_HEADER }
        });
        Self::new(headers, ids, learned)
    }
}

/// A body, and what is known of its schema.
struct Frame<'a> {
    body: &'a [u8],
    writer: Writer,
}

enum Writer {
    Current(RecordKind),
    Older(RecordKind, &'static Schema),
    Learned(Arc<Schema>),
}

impl Frame<'_> {
    fn kind(&self) -> Option<RecordKind> {
        match &self.writer {
            Writer::Current(kind) | Writer::Older(kind, _) => Some(*kind),
            Writer::Learned(schema) => schema.name().and_then(RecordKind::by_full_name),
        }
    }

    fn wrong(&self, expected: &'static str) -> DecodeError {
        let found = match &self.writer {
            Writer::Current(kind) | Writer::Older(kind, _) => kind.full_name(),
            Writer::Learned(schema) => schema.name().unwrap_or("a schema without a name"),
        };
        DecodeError::WrongRecord { expected, found: found.to_owned() }
    }

    fn read<T: Record>(&self) -> Result<T, DecodeError> {
        if self.kind() != Some(T::KIND) {
            return Err(self.wrong(T::KIND.full_name()));
        }
        let name = T::KIND.full_name();
        let parse = |body: &[u8]| {
            let mut input = Reader::new(body);
            let record = T::read(&mut input)?;
            input.finish()?;
            Ok(record)
        };
        let reader = &T::KIND.current().schema;
        let record = match &self.writer {
            Writer::Current(_) => parse(self.body),
            Writer::Older(_, writer) => resolve(writer, reader, self.body).and_then(|body| parse(&body)),
            Writer::Learned(writer) => resolve(writer, reader, self.body).and_then(|body| parse(&body)),
        };
        record.map_err(|damage| damage.into_error(name))
    }
}

fn confluent_id(bytes: &[u8]) -> Result<u32, DecodeError> {
    match bytes {
        [] => Err(DecodeError::Empty),
        [0, a, b, c, d, ..] => Ok(u32::from_be_bytes([*a, *b, *c, *d])),
        [first, ..] => Err(DecodeError::UnknownFraming { first: *first }),
    }
}

fn seal(mut row: Vec<u8>) -> Vec<u8> {
    let checksum = crc32c::crc32c(&row);
    row.extend_from_slice(&checksum.to_le_bytes());
    row
}

fn unseal<'a>(row: &'a [u8], record: &'static str) -> Result<&'a [u8], DecodeError> {
    let (content, checksum) = row.split_last_chunk::<CHECKSUM>().ok_or(DecodeError::Empty)?;
    let (stored, computed) = (u32::from_le_bytes(*checksum), crc32c::crc32c(content));
    if stored == computed { Ok(content) } else { Err(DecodeError::Checksum { record, stored, computed }) }
}
