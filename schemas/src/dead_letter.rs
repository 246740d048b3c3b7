//! The records of `<prefix>.dead-letters`: key, value and headers as they came, and headers that say why and where.

use bytes::Bytes;

use crate::internal::RecordPosition;
use crate::{Offset, Timestamp};

/// Why a record is a dead letter, and where it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    /// A stable name in kebab-case, such as `not-a-cloudevent`.
    pub reason: String,
    /// For people.
    pub detail: String,
    /// Where the record was read: the inbox, for one that was forwarded.
    pub source: RecordPosition,
    /// When it was given up, by the owner's clock.
    pub at: Timestamp,
}

/// Header with [`DeadLetter::reason`].
pub const REASON: &str = "millrace-dead-letter-reason";
/// Header with [`DeadLetter::detail`].
pub const DETAIL: &str = "millrace-dead-letter-detail";
/// Header with the topic that the record was read from.
pub const TOPIC: &str = "millrace-dead-letter-topic";
/// Header with its partition, as a decimal number.
pub const PARTITION: &str = "millrace-dead-letter-partition";
/// Header with its offset, as a decimal number.
pub const OFFSET: &str = "millrace-dead-letter-offset";
/// Header with [`DeadLetter::at`]: milliseconds since the Unix epoch, as a decimal number.
pub const AT: &str = "millrace-dead-letter-at";

/// Header of a record that was produced again: `partition/offset` of its dead letter.
pub const REDRIVEN_FROM: &str = "millrace-redriven-from";
/// Header of a record that was produced again: by whom.
pub const REDRIVEN_BY: &str = "millrace-redriven-by";

/// What the headers that are only a dead letter's begin with.
const PREFIX: &str = "millrace-dead-letter-";

/// Longest detail, in bytes: it may quote what came.
const DETAIL_BYTES_MAX: usize = 2_048;

impl DeadLetter {
    /// The headers of the dead letter: those of the record, then why and where. Headers of an earlier time as a dead letter are
    /// dropped.
    #[must_use]
    pub fn headers(&self, original: &[(String, Bytes)]) -> Vec<(String, Bytes)> {
        let mut headers = original_headers(original);
        let detail = &self.detail[..self.detail.floor_char_boundary(DETAIL_BYTES_MAX)];
        let mut put = |name: &str, value: String| headers.push((name.to_owned(), value.into()));
        put(REASON, self.reason.clone());
        put(DETAIL, detail.to_owned());
        put(TOPIC, self.source.topic.clone());
        put(PARTITION, self.source.partition.to_string());
        put(OFFSET, self.source.offset.0.to_string());
        put(AT, self.at.0.to_string());
        headers
    }

    /// Reads the headers of a dead letter.
    ///
    /// # Errors
    /// When one is missing or unreadable.
    pub fn parse<B: AsRef<[u8]>>(headers: &[(String, B)]) -> Result<Self, NotADeadLetter> {
        // A producer may have used our names: what was appended last counts.
        let text = |header: &'static str| {
            let found = headers.iter().rev().find(|(name, _)| name == header);
            found
                .and_then(|(_, value)| std::str::from_utf8(value.as_ref()).ok())
                .ok_or(NotADeadLetter { header })
        };
        let number = |header| text(header)?.parse::<i64>().map_err(|_| NotADeadLetter { header });
        Ok(Self {
            reason: text(REASON)?.to_owned(),
            detail: text(DETAIL)?.to_owned(),
            source: RecordPosition {
                topic: text(TOPIC)?.to_owned(),
                partition: i32::try_from(number(PARTITION)?)
                    .map_err(|_| NotADeadLetter { header: PARTITION })?,
                offset: Offset(number(OFFSET)?),
            },
            at: Timestamp(number(AT)?),
        })
    }
}

/// The headers that the record had before it became a dead letter: what a redrive sends.
#[must_use]
pub fn original_headers(headers: &[(String, Bytes)]) -> Vec<(String, Bytes)> {
    headers.iter().filter(|(name, _)| !name.starts_with(PREFIX)).cloned().collect()
}

/// A record that was not put among the dead letters by a processor.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a dead letter: header {header} is missing or unreadable")]
pub struct NotADeadLetter {
    header: &'static str,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn letter() -> DeadLetter {
        DeadLetter {
            reason: "not-a-cloudevent".to_owned(),
            detail: "the value is not JSON".to_owned(),
            source: RecordPosition { topic: "millrace.events".to_owned(), partition: 3, offset: Offset(41) },
            at: Timestamp(1_700_000_000_000),
        }
    }

    #[test]
    fn what_was_written_is_read_and_the_original_headers_come_back() {
        let original = vec![("content-type".to_owned(), Bytes::from_static(b"text/plain"))];
        let headers = letter().headers(&original);
        assert_eq!(DeadLetter::parse(&headers).unwrap(), letter());
        assert_eq!(original_headers(&headers), original);
    }

    #[test]
    fn a_second_death_does_not_pile_up_headers() {
        let first = letter().headers(&[]);
        let second = DeadLetter { reason: "unknown-type".to_owned(), ..letter() }.headers(&first);
        assert_eq!(second.len(), first.len());
        assert_eq!(DeadLetter::parse(&second).unwrap().reason, "unknown-type");
    }

    #[test]
    fn long_details_are_cut_between_characters() {
        let headers = DeadLetter { detail: "ü".repeat(5_000), ..letter() }.headers(&[]);
        let detail = DeadLetter::parse(&headers).unwrap().detail;
        assert!(detail.len() <= DETAIL_BYTES_MAX && detail.chars().all(|c| c == 'ü'));
    }

    #[test]
    fn other_records_are_no_dead_letters() {
        let error = DeadLetter::parse::<Bytes>(&[]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "not a dead letter: header millrace-dead-letter-reason is missing or unreadable"
        );
    }
}
