//! Rows that share a CQL partition, in batches of a bounded size.

use std::collections::BTreeMap;

/// Of one batch. Servers warn or refuse far above; a row that is larger on its own goes alone.
const BATCH_BYTES_MAX: usize = 64 * 1024;

/// What a row costs on the wire besides its text and blobs: the statement's id, numbers, lengths.
const ROW_OVERHEAD_BYTES: usize = 96;

/// Groups rows by CQL partition, and cuts the groups into batches. `rows` gives for each row the partition, the bytes of its text
/// and blobs, and the row.
pub(crate) fn batches<K: Ord, R>(rows: impl Iterator<Item = (K, usize, R)>) -> impl Iterator<Item = Vec<R>> {
    let mut full = Vec::new();
    let mut open = BTreeMap::<K, (usize, Vec<R>)>::new();
    for (partition, bytes, row) in rows {
        let bytes = bytes + ROW_OVERHEAD_BYTES;
        let (used, batch) = open.entry(partition).or_default();
        if *used + bytes > BATCH_BYTES_MAX && !batch.is_empty() {
            full.push(std::mem::take(batch));
            *used = 0;
        }
        *used += bytes;
        batch.push(row);
    }
    full.into_iter().chain(open.into_values().map(|(_, batch)| batch))
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
        let batches: Vec<Vec<i32>> = batches(rows.into_iter()).collect();
        assert_eq!(batches, [vec![1], vec![3], vec![4, 5], vec![7], vec![2, 6]]);
    }
}
