//! What can be wrong with bytes.

/// Bytes that cannot be read as the record they should be.
///
/// [`DecodeError::UnknownSchemaId`] is the only one that may pass: fetch the schema and try again. All others stay.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// There is nothing.
    #[error("the record is empty; expected Avro in single-object encoding or in the Confluent wire format")]
    Empty,
    /// Neither of the two framings.
    #[error(
        "the record begins with byte 0x{first:02x}, or ends within its header; expected Avro in single-object encoding (0xc3 0x01) or in \
         the Confluent wire format (0x00): check which producer writes this topic"
    )]
    UnknownFraming {
        /// The first byte.
        first: u8,
    },
    /// Single-object encoding of a schema that this release does not know.
    #[error(
        "no schema has the fingerprint {0:016x}: a newer release, or something else, has written this record; upgrade this process"
    )]
    UnknownFingerprint(u64),
    /// The Confluent wire format, and the codec has not met this id yet: fetch it and call `Codec::learn`.
    #[error("schema id {0} is not known yet: fetch it from the schema registry")]
    UnknownSchemaId(u32),
    /// The registry does not have it, or it is of no use.
    #[error("schema id {id} cannot be used: {detail}")]
    UnusableSchemaId {
        /// Which.
        id: u32,
        /// Why.
        detail: String,
    },
    /// A record of another kind than this topic carries.
    #[error("expected {expected}, found {found}: check which producer writes this topic")]
    WrongRecord {
        /// What the topic carries.
        expected: &'static str,
        /// Full name of the schema.
        found: String,
    },
    /// The bytes do not follow the schema.
    #[error("{record} is damaged at byte {at}: {detail}")]
    Damaged {
        /// Which record.
        record: &'static str,
        /// Offset in the Avro body, in bytes.
        at: usize,
        /// What is wrong.
        detail: String,
    },
    /// A stored row does not have the checksum it was written with.
    #[error(
        "{record} is damaged: its checksum is {computed:08x}, it was stored with {stored:08x}; restore the row from a backup"
    )]
    Checksum {
        /// Which record.
        record: &'static str,
        /// CRC-32C at the end of the row.
        stored: u32,
        /// CRC-32C of what stands before.
        computed: u32,
    },
}

/// Where an Avro body stops making sense. Becomes [`DecodeError::Damaged`] once the record is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Damage {
    /// Offset in the body, in bytes.
    pub(crate) at: usize,
    /// What is wrong.
    pub(crate) detail: String,
}

impl Damage {
    pub(crate) fn into_error(self, record: &'static str) -> DecodeError {
        DecodeError::Damaged { record, at: self.at, detail: self.detail }
    }
}
