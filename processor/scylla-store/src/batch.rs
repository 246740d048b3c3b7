//! Rows in batches of a bounded size: those that share a CQL partition, and few and small ones that share their replicas.
//!
//! A request has a price of its own, on both sides, beside that of its rows. Most rows of a flush are alone in their partition, so
//! without the second kind each would be a request: with Cassandra that costs twice as much there, and three times here.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;

/// Of one batch of one partition. Servers warn or refuse far above; a row that is larger on its own goes alone.
const BATCH_BYTES_MAX: usize = 64 * 1024;

/// Of one batch of several partitions: Cassandra warns of more bytes, or of more partitions, by default, since rows of
/// many partitions usually belong to other nodes than the coordinator. Here they do not. ScyllaDB is more generous.
const MIXED_BYTES_MAX: usize = 5 * 1024;
const MIXED_PARTITIONS_MAX: usize = 10;

/// What a row costs on the wire besides its text and blobs: the statement's id, numbers, lengths.
const ROW_OVERHEAD_BYTES: usize = 96;

/// Rows for one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rows<R> {
    pub(crate) rows: Vec<R>,
    bytes: usize,
    partitions: usize,
}

impl<R> Rows<R> {
    fn has_room_for(&self, other: &Self) -> bool {
        self.bytes + other.bytes <= MIXED_BYTES_MAX
            && self.partitions + other.partitions <= MIXED_PARTITIONS_MAX
    }

    fn add(&mut self, other: Self) {
        self.rows.extend(other.rows);
        self.bytes += other.bytes;
        self.partitions += other.partitions;
    }
}

/// Groups rows by CQL partition, and cuts the groups into batches. `rows` gives for each row the partition, the bytes of its text
/// and blobs, and the row.
pub(crate) fn batches<K: Ord, R>(rows: impl Iterator<Item = (K, usize, R)>) -> impl Iterator<Item = Rows<R>> {
    let empty = || Rows { rows: Vec::new(), bytes: 0, partitions: 1 };
    let mut full = Vec::new();
    let mut open = BTreeMap::<K, Rows<R>>::new();
    for (partition, bytes, row) in rows {
        let bytes = bytes + ROW_OVERHEAD_BYTES;
        let batch = open.entry(partition).or_insert_with(empty);
        if batch.bytes + bytes > BATCH_BYTES_MAX && !batch.rows.is_empty() {
            full.push(std::mem::replace(batch, empty()));
        }
        batch.bytes += bytes;
        batch.rows.push(row);
    }
    full.into_iter().chain(open.into_values())
}

/// Puts small batches with the same replicas together. `replicas_of` tells who has the partition of a row; a batch stays as it is
/// where nobody knows.
pub(crate) fn mixed<N: Eq + Hash, R>(
    batches: impl Iterator<Item = Rows<R>>,
    replicas_of: impl Fn(&R) -> Option<N>,
) -> Vec<Rows<R>> {
    let mut full = Vec::new();
    let mut open = HashMap::<N, Rows<R>>::new();
    for batch in batches {
        let is_small = batch.bytes < MIXED_BYTES_MAX;
        let Some(replicas) = batch.rows.first().filter(|_| is_small).and_then(&replicas_of) else {
            full.push(batch);
            continue;
        };
        match open.get_mut(&replicas) {
            Some(mixed) if mixed.has_room_for(&batch) => mixed.add(batch),
            Some(mixed) => full.push(std::mem::replace(mixed, batch)),
            None => drop(open.insert(replicas, batch)),
        }
    }
    full.extend(open.into_values());
    full
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_hold_one_partition_and_a_bounded_number_of_bytes() {
        let rows = [
            ('a', 10, 1),
            ('b', 10, 2),
            ('a', BATCH_BYTES_MAX, 3),
            ('a', 40_000, 4),
            ('a', 20_000, 5),
            ('b', 20, 6),
            ('a', 10_000, 7),
        ];
        let batches: Vec<Vec<i32>> = batches(rows.into_iter()).map(|it| it.rows).collect();
        assert_eq!(batches, [vec![1], vec![3], vec![4, 5], vec![7], vec![2, 6]]);
    }

    #[test]
    fn small_batches_of_the_same_replicas_become_one() {
        let row = |n: u32, bytes: usize| (n, bytes, n);
        let mixed_of = |rows: Vec<(u32, usize, u32)>| {
            // Rows of odd partitions are elsewhere; nobody knows of those from 100 on.
            let replica = |row: &u32| (*row < 100).then_some(row % 2);
            let mut mixed: Vec<Vec<u32>> =
                mixed(batches(rows.into_iter()), replica).into_iter().map(|it| it.rows).collect();
            mixed.sort();
            mixed
        };
        assert_eq!(mixed_of(vec![row(2, 10), row(4, 10), row(1, 10), row(3, 10)]), [vec![1, 3], vec![2, 4]]);
        assert_eq!(mixed_of(vec![row(100, 10), row(102, 10)]), [vec![100], vec![102]]);
        let many = mixed_of((0..30).map(|it| row(it * 2, 10)).collect());
        assert_eq!(many.iter().map(Vec::len).collect::<Vec<_>>(), [MIXED_PARTITIONS_MAX; 3]);
        let large = mixed_of(vec![row(2, 3_000), row(4, 3_000), row(6, 1_000), row(8, 60_000)]);
        assert_eq!(large, [vec![2], vec![4, 6], vec![8]]);
    }
}
