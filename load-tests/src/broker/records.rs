//! The records of a run, and a tally of those that were seen. A record is a function of its partition and its number there, so that a
//! reader knows each when it sees it.

use std::sync::Arc;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// A mark, and the number of the record in its partition. The rest is filler.
pub(super) const HEAD_BYTES: usize = 1 + size_of::<u64>();

/// What becomes of the transaction that a record is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mark {
    Kept = 0,
    Aborted = 1,
}

/// What there is to write and to read.
#[derive(Clone, Debug)]
pub(super) struct Shape {
    pub(super) records: u64,
    pub(super) bytes: usize,
    pub(super) partitions: i32,
    /// Random, so that it does not compress; each record has another stretch of it.
    filler: Arc<[u8]>,
}

/// Stretches of the filler to tell apart.
const STRETCHES: usize = 4_096;

impl Shape {
    pub(super) fn new(records: u64, bytes: usize, partitions: i32) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let filler = (0..bytes + STRETCHES).map(|_| rng.random()).collect();
        Self { records, bytes, partitions, filler }
    }

    /// Record `nth` of the run: its partition, and its number there.
    pub(super) fn place(&self, nth: u64) -> (i32, u64) {
        let partitions = u64::from(self.partitions.unsigned_abs());
        let partition = i32::try_from(nth % partitions).expect("is less than the number of partitions");
        (partition, nth / partitions)
    }

    /// How many records a partition has.
    fn count(&self, partition: i32) -> u64 {
        let (partitions, partition) =
            (u64::from(self.partitions.unsigned_abs()), u64::from(partition.unsigned_abs()));
        (self.records + partitions - 1 - partition) / partitions
    }

    /// The value of a record.
    pub(super) fn value(&self, partition: i32, number: u64, mark: Mark) -> Vec<u8> {
        let mut value = Vec::with_capacity(self.bytes);
        value.push(mark as u8);
        value.extend_from_slice(&number.to_be_bytes());
        value.extend_from_slice(self.filler(partition, number));
        value
    }

    fn filler(&self, partition: i32, number: u64) -> &[u8] {
        let stretch = number.wrapping_mul(31).wrapping_add(u64::from(partition.unsigned_abs()));
        let from = usize::try_from(stretch % STRETCHES as u64).expect("is less than the number of stretches");
        &self.filler[from..from + self.bytes - HEAD_BYTES]
    }

    /// Its mark and its number, if it is one of ours and whole.
    fn read(&self, partition: i32, value: &[u8]) -> Option<(Mark, u64)> {
        let (head, filler) = value.split_at_checked(HEAD_BYTES)?;
        let (mark, number) = head.split_first()?;
        let mark = [Mark::Kept, Mark::Aborted].into_iter().find(|it| *it as u8 == *mark)?;
        let number = u64::from_be_bytes(number.try_into().ok()?);
        (filler == self.filler(partition, number)).then_some((mark, number))
    }
}

/// What a reader has seen so far.
#[derive(Debug)]
pub(super) struct Tally {
    shape: Shape,
    /// The next number of each partition.
    next: Vec<u64>,
    pub(super) kept: u64,
    /// Of transactions that were aborted.
    pub(super) aborted: u64,
    /// Those that were not the next one of their partition, or altered.
    wrong: u64,
    /// The first of them.
    first_wrong: Option<String>,
}

impl Tally {
    pub(super) fn new(shape: &Shape) -> Self {
        let partitions = usize::try_from(shape.partitions).expect("there are some");
        Self {
            shape: shape.clone(),
            next: vec![0; partitions],
            kept: 0,
            aborted: 0,
            wrong: 0,
            first_wrong: None,
        }
    }

    pub(super) fn see(&mut self, partition: i32, value: &[u8]) {
        let read = self.shape.read(partition, value);
        let next = usize::try_from(partition).ok().and_then(|it| self.next.get_mut(it));
        match (read, next) {
            (Some((Mark::Aborted, _)), _) => self.aborted += 1,
            (Some((Mark::Kept, number)), Some(next)) => {
                self.kept += 1;
                if number != *next {
                    self.wrong += 1;
                    self.first_wrong.get_or_insert_with(|| {
                        format!("partition {partition}: record {number} where {next} was due")
                    });
                }
                // A gap is told once, and what comes again does not move the place.
                *next = (*next).max(number + 1);
            }
            (None, _) | (_, None) => {
                self.wrong += 1;
                self.first_wrong.get_or_insert_with(|| {
                    format!("partition {partition}: {} bytes that nobody wrote", value.len())
                });
            }
        }
    }

    /// Records in all.
    pub(super) fn seen(&self) -> u64 {
        self.kept + self.aborted
    }

    /// Whether all records of the run were seen, once and in order, and nothing else but those of aborted transactions.
    pub(super) fn is_exact(&self) -> bool {
        let are_whole = (0..).zip(&self.next).all(|(partition, next)| *next == self.shape.count(partition));
        are_whole && self.wrong == 0 && self.kept == self.shape.records
    }

    pub(super) fn text(&self) -> String {
        let Self { shape, kept, aborted, wrong, first_wrong, .. } = self;
        let wrong = first_wrong.as_ref().map_or_else(String::new, |it| format!("; {wrong} wrong: {it}"));
        format!("{kept} of {} records and {aborted} aborted ones{wrong}", shape.records)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(records: &[(i32, u64, Mark)]) -> Tally {
        let shape = Shape::new(5, 40, 2);
        let mut tally = Tally::new(&shape);
        records.iter().for_each(|&(partition, number, mark)| {
            tally.see(partition, &shape.value(partition, number, mark));
        });
        tally
    }

    #[test]
    fn every_record_has_a_place() {
        let shape = Shape::new(5, 40, 2);
        let places: Vec<_> = (0..5).map(|it| shape.place(it)).collect();
        assert_eq!(places, [(0, 0), (1, 0), (0, 1), (1, 1), (0, 2)]);
        assert_eq!((shape.count(0), shape.count(1)), (3, 2));
        assert_eq!(shape.value(1, 7, Mark::Kept).len(), 40);
    }

    #[test]
    fn what_was_written_is_exact_in_any_order_of_the_partitions() {
        use Mark::{Aborted, Kept};
        let exact = tally(&[
            (1, 0, Kept),
            (0, 0, Kept),
            (0, 1, Aborted),
            (0, 1, Kept),
            (0, 2, Kept),
            (1, 1, Aborted),
            (1, 1, Kept),
        ]);
        assert!(exact.is_exact(), "{}", exact.text());
        assert_eq!((exact.kept, exact.aborted), (5, 2));
    }

    #[test]
    fn each_fault_is_seen() {
        use Mark::{Aborted, Kept};
        let whole = [(0, 0, Kept), (0, 1, Kept), (0, 2, Kept), (1, 0, Kept), (1, 1, Kept)];
        assert!(tally(&whole).is_exact());
        assert!(!tally(&whole[1..]).is_exact(), "one is missing at the beginning");
        assert!(!tally(&whole[..4]).is_exact(), "one is missing at the end");
        assert!(!tally(&[&whole[..], &whole[4..]].concat()).is_exact(), "one came twice");
        let mut swapped = whole;
        swapped.swap(1, 2);
        assert!(!tally(&swapped).is_exact(), "two are out of order");
        let mut aborted = whole;
        aborted[2].2 = Aborted;
        assert!(!tally(&aborted).is_exact(), "one was aborted and not made again");

        let shape = Shape::new(5, 40, 2);
        let mut altered = tally(&whole[..4]);
        let mut value = shape.value(1, 1, Kept);
        value[39] ^= 1;
        altered.see(1, &value);
        assert!(!altered.is_exact(), "{}", altered.text());
    }
}
