//! Records that could not be read or admitted: looked at, newest first, and produced again.

use std::collections::BTreeMap;

use bytes::Bytes;
use millrace_schemas::Offset;
use millrace_schemas::dead_letter::{DeadLetter, REDRIVEN_BY, REDRIVEN_FROM, original_headers};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Fleet;
use crate::clients::Record;
use crate::exit::{Exit, Failure};
use crate::view::time;

/// Longest value in a list, in bytes.
const VALUE_BYTES_MAX: usize = 4_096;

/// A dead letter.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct LetterView {
    /// When it was given up.
    pub(crate) at: String,
    /// A stable name, such as `not-a-cloudevent`.
    pub(crate) reason: String,
    /// For people.
    pub(crate) detail: String,
    /// Where the record was read.
    pub(crate) topic: String,
    pub(crate) partition: i32,
    pub(crate) offset: i64,
    /// The record's key, as text.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schema(nullable = false)]
    pub(crate) key: Option<String>,
    /// The record's own headers, as text: pairs of name and value.
    #[schema(value_type = Vec<Vec<String>>)]
    pub(crate) headers: Vec<(String, String)>,
    /// The record's value, as text.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schema(nullable = false)]
    pub(crate) value: Option<String>,
    /// Whether only the beginning of the value is here.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    #[schema(required = false)]
    pub(crate) is_value_cut: bool,
    /// Where the dead letter stands in the topic of dead letters.
    pub(crate) dead_letter_partition: i32,
    /// Where the dead letter stands in its partition.
    pub(crate) dead_letter_offset: i64,
}

/// A page of them.
#[derive(Clone, Debug)]
pub(crate) struct Page {
    /// Newest first.
    pub(crate) letters: Vec<LetterView>,
    /// Where the next page begins, if there may be older ones.
    pub(crate) next: Option<Place>,
}

/// A place between dead letters: of each partition, the offset below which the older ones are.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(transparent)]
pub(crate) struct Place(BTreeMap<i32, i64>);

/// The newest `limit` dead letters that are older than `place`.
pub(crate) async fn page(fleet: &Fleet, place: Option<&Place>, limit: usize) -> anyhow::Result<Page> {
    let topic = fleet.topics().dead_letters();
    let mut ranges = BTreeMap::new();
    for partition in 0..i32::try_from(fleet.kafka.partitions(&topic).await?)? {
        let (first, end) = fleet.kafka.bounds(&topic, partition).await?;
        let end = place.and_then(|it| it.0.get(&partition)).map_or(end.0, |it| (*it).clamp(first.0, end.0));
        ranges.insert(partition, Range { first: first.0, end });
    }
    let mut found = BTreeMap::new();
    let mut starts: Vec<_> =
        ranges.iter().map(|(partition, range)| (*partition, range.lower(limit))).collect();
    while !starts.is_empty() {
        starts.retain(|(partition, from)| *from < ranges[partition].end);
        found.extend(letters(fleet, &topic, &starts, &ranges).await?);
        // Markers of transactions take offsets, too, so what holds `limit` offsets may hold fewer letters.
        starts.retain_mut(|(partition, from)| {
            let range = &ranges[partition];
            let is_short = found.get(partition).map_or(0, Vec::len) < limit && *from > range.first;
            let span = usize::try_from(range.end - *from).unwrap_or(usize::MAX);
            *from = range.lower(span.saturating_mul(4));
            is_short
        });
    }
    Ok(merged(found, &ranges, limit))
}

/// Offsets of a partition, of which the newest are wanted.
#[derive(Clone, Copy, Debug)]
struct Range {
    first: i64,
    end: i64,
}

impl Range {
    /// Where the last `count` offsets begin.
    fn lower(self, count: usize) -> i64 {
        self.end.saturating_sub(i64::try_from(count).unwrap_or(i64::MAX)).max(self.first)
    }
}

/// The dead letters of each of these partitions, from there up to the end of its range, oldest first.
async fn letters(
    fleet: &Fleet,
    topic: &str,
    starts: &[(i32, i64)],
    ranges: &BTreeMap<i32, Range>,
) -> anyhow::Result<BTreeMap<i32, Vec<(DeadLetter, Record)>>> {
    let mut found: BTreeMap<i32, Vec<_>> = starts.iter().map(|it| (it.0, Vec::new())).collect();
    if starts.is_empty() {
        return Ok(found);
    }
    let sources: Vec<_> = starts.iter().map(|it| (topic.to_owned(), it.0, Offset(it.1))).collect();
    let mut tail = fleet.kafka.tail_from(&sources).await?;
    let mut open: BTreeMap<i32, i64> = starts.iter().map(|it| (it.0, ranges[&it.0].end)).collect();
    while let Some(record) = tail.next_existing().await? {
        let end = ranges[&record.partition].end;
        if record.offset.0 + 1 >= end {
            open.remove(&record.partition);
        }
        if record.offset.0 < end
            && let Ok(letter) = DeadLetter::parse(&record.headers)
        {
            found.entry(record.partition).or_default().push((letter, record));
        }
        if open.is_empty() {
            break;
        }
    }
    Ok(found)
}

/// The newest of all partitions: of each in the order of its offsets, of several by the time.
fn merged(
    mut found: BTreeMap<i32, Vec<(DeadLetter, Record)>>,
    ranges: &BTreeMap<i32, Range>,
    limit: usize,
) -> Page {
    let mut place: BTreeMap<i32, i64> = ranges.iter().map(|(partition, it)| (*partition, it.end)).collect();
    let mut letters = Vec::new();
    while letters.len() < limit {
        let newest = found.iter().filter_map(|(partition, it)| Some((it.last()?.0.at, *partition))).max();
        let Some((_, partition)) = newest else { break };
        let taken = found.get_mut(&partition).and_then(Vec::pop);
        if let Some((letter, record)) = taken {
            place.insert(partition, record.offset.0);
            letters.push(LetterView::new(letter, &record, Some(VALUE_BYTES_MAX)));
        }
    }
    // Below the last letter that was taken of a partition there may be markers only: the next page is empty then, and the last.
    let is_left = |partition: &i32| {
        found.get(partition).is_some_and(|it| !it.is_empty())
            || (letters.len() >= limit && place[partition] > ranges[partition].first)
    };
    let has_more = ranges.keys().any(is_left);
    Page { letters, next: has_more.then_some(Place(place)) }
}

/// One dead letter, whole.
pub(crate) async fn one(
    fleet: &Fleet,
    partition: i32,
    offset: Offset,
) -> anyhow::Result<Option<(LetterView, DeadLetter, Record)>> {
    let topic = fleet.topics().dead_letters();
    let count = i32::try_from(fleet.kafka.partitions(&topic).await?)?;
    if !(0..count).contains(&partition) {
        return Ok(None);
    }
    let Some(record) = record_at(fleet, &topic, partition, offset).await? else { return Ok(None) };
    let Ok(letter) = DeadLetter::parse(&record.headers) else { return Ok(None) };
    Ok(Some((LetterView::new(letter.clone(), &record, None), letter, record)))
}

async fn record_at(
    fleet: &Fleet,
    topic: &str,
    partition: i32,
    offset: Offset,
) -> anyhow::Result<Option<Record>> {
    let (first, end) = fleet.kafka.bounds(topic, partition).await?;
    if offset < first || offset >= end {
        return Ok(None);
    }
    let mut tail = fleet.kafka.tail_from(&[(topic.to_owned(), partition, offset)]).await?;
    Ok(tail.next_existing().await?.filter(|it| it.offset == offset))
}

/// Where a record stands that was produced again.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct RedrivenView {
    pub(crate) topic: String,
    pub(crate) partition: i32,
    pub(crate) offset: i64,
}

/// Produces the record of a dead letter again to where it came from, with its key and its headers, and says in another header that it was:
/// from which dead letter, and by whom. The dead letter stays.
pub(crate) async fn redrive(
    fleet: &Fleet,
    partition: i32,
    offset: Offset,
    by: &str,
) -> anyhow::Result<RedrivenView> {
    let Some((_, letter, record)) = one(fleet, partition, offset).await? else {
        let what = format!("there is no dead letter at partition {partition}, offset {}", offset.0);
        let fix = "see millrace dead-letters list; they expire with the topic's retention";
        return Err(Failure { exit: Exit::NotFound, ..Failure::new(what, fix) }.into());
    };
    let mut headers = original_headers(&record.headers);
    let (mut key, mut value) = (record.key.clone(), record.value.clone());
    if key.is_none() && value.is_none() && headers.is_empty() {
        // It was too large to be kept among the dead letters.
        let source = &letter.source;
        let original = record_at(fleet, &source.topic, source.partition, source.offset).await?;
        let Some(original) = original else {
            let what = format!(
                "the record is not with the dead letter, since it is too large, and not at {}/{} offset {} any more",
                source.topic, source.partition, source.offset.0
            );
            return Err(Failure::new(what, "let its producer send it again").into());
        };
        (key, value) = (original.key, original.value);
        headers = original.headers;
    }
    let mark = [REDRIVEN_FROM, REDRIVEN_BY];
    headers.retain(|(name, _)| !mark.contains(&name.as_str()));
    headers.push((REDRIVEN_FROM.to_owned(), format!("{partition}/{}", offset.0).into()));
    headers.push((REDRIVEN_BY.to_owned(), by.to_owned().into()));
    let topic = letter.source.topic;
    // The inbox is keyed by the instance. What else has an order of its own keeps it.
    let to = (topic != fleet.topics().events()).then_some(letter.source.partition);
    let sent = fleet.kafka.send_to(&topic, to, key.as_deref(), &headers, value.as_deref()).await?;
    Ok(RedrivenView { topic, partition: sent.0, offset: sent.1.0 })
}

impl LetterView {
    fn new(letter: DeadLetter, record: &Record, value_bytes_max: Option<usize>) -> Self {
        let text = |bytes: &Bytes| String::from_utf8_lossy(bytes).into_owned();
        let headers = original_headers(&record.headers).into_iter().map(|(name, value)| (name, text(&value)));
        let size = record.value.as_ref().map_or(0, Bytes::len);
        let shown = size.min(value_bytes_max.unwrap_or(usize::MAX));
        Self {
            at: time(letter.at),
            reason: letter.reason,
            detail: letter.detail,
            topic: letter.source.topic,
            partition: letter.source.partition,
            offset: letter.source.offset.0,
            key: record.key.as_ref().map(text),
            headers: headers.collect(),
            value: record.value.as_ref().map(|it| text(&it.slice(..shown))),
            is_value_cut: shown < size,
            dead_letter_partition: record.partition,
            dead_letter_offset: record.offset.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use millrace_schemas::Timestamp;
    use millrace_schemas::internal::RecordPosition;

    use super::*;

    fn letter(partition: i32, offset: i64, at: i64) -> (DeadLetter, Record) {
        let source = RecordPosition { topic: "t".to_owned(), partition: 0, offset: Offset(0) };
        let letter = DeadLetter {
            reason: "unknown-type".to_owned(),
            detail: String::new(),
            source,
            at: Timestamp(at),
        };
        let record = Record {
            topic: "dead".to_owned(),
            partition,
            offset: Offset(offset),
            timestamp: Timestamp(at),
            key: None,
            headers: letter.headers(&[]),
            value: Some("value".into()),
        };
        (letter, record)
    }

    fn places(page: &Page) -> Vec<(i32, i64)> {
        page.letters.iter().map(|it| (it.dead_letter_partition, it.dead_letter_offset)).collect()
    }

    #[test]
    fn the_newest_come_first_and_the_next_page_goes_on_below() {
        // Of partition 0 the later one has the earlier time: another owner's clock.
        let all = || {
            BTreeMap::from([
                (0, vec![letter(0, 3, 40), letter(0, 5, 30)]),
                (1, vec![letter(1, 0, 10), letter(1, 8, 35)]),
            ])
        };
        let ranges = BTreeMap::from([(0, Range { first: 3, end: 7 }), (1, Range { first: 0, end: 9 })]);
        let page = merged(all(), &ranges, 2);
        assert_eq!(places(&page), [(1, 8), (0, 5)]);
        assert_eq!(page.next, Some(Place(BTreeMap::from([(0, 5), (1, 8)]))));
        let page = merged(all(), &ranges, 10);
        assert_eq!(places(&page), [(1, 8), (0, 5), (0, 3), (1, 0)]);
        assert_eq!(page.next, None, "all were shown");
    }
}
