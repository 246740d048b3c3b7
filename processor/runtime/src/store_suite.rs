//! What every [`SnapshotStore`] must keep, as functions that panic where it is broken. Each implementation runs [`all`].
//!
//! The functions use keys of their own, and each expects to be the first to write them: run them once on an empty store.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use millrace_partition::{
    Attributes, FlushId, FlushRequest, HistoryRow, Listing, SnapshotRow, SnapshotWrite, Term, TimerCursor,
    TimerEntry, TimerPage, TimerRow, TimerSlice,
};
use millrace_placement::{PartitionIndex, TimerBucket, key_group};
use millrace_schemas::{InstanceId, Stamp, TimerId, Timestamp, WorkflowName, WorkflowVersion};
use serde_json::json;

use crate::store::{HistoryEntry, ListPage, ListQuery, ListRow, OwnerRow, SnapshotStore};

const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;
/// A start of a day, long enough ago that it is past by any clock, and yet of our times.
const PAST: Timestamp = Timestamp(19_000 * DAY_MS);

/// Runs everything.
pub async fn all<S: SnapshotStore>(store: &S) {
    what_was_never_written_is_absent(store).await;
    the_newer_stamp_wins_in_any_order(store).await;
    a_stub_expires_and_stays_expired(store).await;
    checkpoints_never_go_back(store).await;
    the_later_owner_stays(store).await;
    timers_come_by_slice_and_bucket(store).await;
    a_slice_may_hold_many_timers(store).await;
    old_hours_are_dropped_but_not_what_was_set_late(store).await;
    history_comes_in_order_and_in_pages(store).await;
    history_and_list_rows_expire_each_by_its_own_time(store).await;
    lists_come_newest_first_and_in_pages(store).await;
    lists_follow_the_newest_status(store).await;
    lists_find_what_is_rare(store).await;
    lists_need_no_even_ids(store).await;
    lists_span_days(store).await;
    instances_are_found_by_their_attributes(store).await;
    an_attribute_that_has_changed_finds_nothing(store).await;
    what_is_found_expires_with_its_list_row(store).await;
    large_values_come_back_whole(store).await;
    large_values_are_replaced_like_small_ones(store).await;
    large_stubs_expire(store).await;
    a_flush_may_hold_many_rows(store).await;
}

/// Nothing is made up, and a flush of nothing is fine.
pub async fn what_was_never_written_is_absent<S: SnapshotStore>(store: &S) {
    flush(store, vec![], vec![], vec![]).await;
    assert_eq!(store.load_snapshot(&id("nobody")).await.unwrap(), None);
    assert_eq!(store.load_checkpoint(PartitionIndex(4_000)).await.unwrap(), None);
    assert_eq!(store.load_history(&id("nobody"), None, 10).await.unwrap(), vec![]);
    let until = PAST.plus(Duration::from_secs(1));
    let slice = TimerSlice { from: TimerCursor::Before(PAST), until, entries_max: 10 };
    let nothing = TimerPage { timers: vec![], next: TimerCursor::Before(until) };
    assert_eq!(store.load_timers(&[TimerBucket(255)], &slice).await.unwrap(), nothing);
    assert_eq!(store.list(&query("nothing")).await.unwrap(), ListPage::default());
}

/// Of two writes of a row, the one with the greater stamp is visible, whichever came last; repeating one changes nothing; eras
/// count more than offsets.
pub async fn the_newer_stamp_wins_in_any_order<S: SnapshotStore>(store: &S) {
    let next_era = Stamp(1 << Stamp::OFFSET_BITS);
    for (name, order) in [
        ("rising", vec![Stamp(5), Stamp(9), next_era]),
        ("falling", vec![next_era, Stamp(9), Stamp(5)]),
        ("mixed", vec![Stamp(9), next_era, Stamp(5), next_era, Stamp(9)]),
    ] {
        for stamp in order {
            flush(store, vec![snapshot(name, stamp, format!("at {}", stamp.0))], vec![], vec![]).await;
        }
        let newest = SnapshotRow { stamp: next_era, value: format!("at {}", next_era.0).into() };
        assert_eq!(store.load_snapshot(&id(name)).await.unwrap(), Some(newest), "{name}");
    }
    flush(store, vec![snapshot("zero", Stamp(0), "first")], vec![], vec![]).await;
    let first = SnapshotRow { stamp: Stamp(0), value: "first".into() };
    assert_eq!(
        store.load_snapshot(&id("zero")).await.unwrap(),
        Some(first),
        "the first offset of a log has stamp 0"
    );
}

/// A stub replaces the state, ends after its time to live, and an older write that arrives later does not bring the instance back.
/// A newer one does.
pub async fn a_stub_expires_and_stays_expired<S: SnapshotStore>(store: &S) {
    let live = snapshot("ended", Stamp(10), "live");
    let stub = SnapshotWrite { ttl: Some(Duration::from_secs(2)), ..snapshot("ended", Stamp(11), "stub") };
    flush(store, vec![live.clone()], vec![], vec![]).await;
    flush(store, vec![stub], vec![], vec![]).await;
    let row = store.load_snapshot(&id("ended")).await.unwrap();
    assert_eq!(row, Some(SnapshotRow { stamp: Stamp(11), value: "stub".into() }));
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert_eq!(store.load_snapshot(&id("ended")).await.unwrap(), None, "it has expired");
    flush(store, vec![live], vec![], vec![]).await;
    assert_eq!(
        store.load_snapshot(&id("ended")).await.unwrap(),
        None,
        "an older write does not bring it back"
    );
    flush(store, vec![snapshot("ended", Stamp(12), "again")], vec![], vec![]).await;
    let row = store.load_snapshot(&id("ended")).await.unwrap();
    assert_eq!(
        row,
        Some(SnapshotRow { stamp: Stamp(12), value: "again".into() }),
        "a newer one does, without the old end"
    );
}

/// The checkpoint with the greatest stamp stays, for each partition apart.
pub async fn checkpoints_never_go_back<S: SnapshotStore>(store: &S) {
    let (one, other) = (PartitionIndex(7), PartitionIndex(8));
    for (stamp, value) in [(20, "twenty"), (30, "thirty"), (25, "a zombie's")] {
        store.save_checkpoint(one, Stamp(stamp), Bytes::from(value)).await.unwrap();
    }
    store.save_checkpoint(other, Stamp(1), Bytes::from("other")).await.unwrap();
    assert_eq!(store.load_checkpoint(one).await.unwrap(), Some((Stamp(30), "thirty".into())));
    assert_eq!(store.load_checkpoint(other).await.unwrap(), Some((Stamp(1), "other".into())));
}

/// The owner with the greatest stamp stays, for each partition apart, be it reached nowhere; repeating it changes nothing.
pub async fn the_later_owner_stays<S: SnapshotStore>(store: &S) {
    let (one, other) = (PartitionIndex(7), PartitionIndex(8));
    assert_eq!(store.load_owner(one).await.unwrap(), None);
    let owner = |stamp: i64, url: Option<&str>| OwnerRow {
        stamp: Stamp(stamp),
        transactional_id: format!("millrace-{stamp}-0"),
        api_url: url.map(str::to_owned),
    };
    let (late, early) = ("http://10.0.0.1:8080", "http://10.0.0.9:8080");
    for (stamp, url) in [(0, Some(early)), (20, Some(late)), (20, Some(late)), (5, Some(early)), (6, None)] {
        store.save_owner(one, &owner(stamp, url)).await.unwrap();
    }
    store.save_owner(other, &owner(1, Some(early))).await.unwrap();
    assert_eq!(store.load_owner(one).await.unwrap(), Some(owner(20, Some(late))));
    assert_eq!(store.load_owner(other).await.unwrap(), Some(owner(1, Some(early))));
    store.save_owner(one, &owner(21, None)).await.unwrap();
    store.save_owner(one, &owner(20, Some(late))).await.unwrap();
    assert_eq!(store.load_owner(one).await.unwrap(), Some(owner(21, None)), "the later owner has no address");
}

/// A slice holds what is due from its start up to, but without, its end, of the buckets asked for; writing a timer twice is writing
/// it once.
pub async fn timers_come_by_slice_and_bucket<S: SnapshotStore>(store: &S) {
    let (mine, also_mine, foreign) = (TimerBucket(3), TimerBucket(67), TimerBucket(4));
    // Past, and so far ahead that no store holds it by a time to live.
    for base in [PAST.0, PAST.0 + 100 * 366 * DAY_MS] {
        let at = |ms: i64| Timestamp(base + ms);
        let rows = vec![
            timer(mine, at(-1), "early", 1),
            timer(mine, at(0), "first", 1),
            timer(mine, at(0), "first", 2),
            timer(mine, at(HOUR_MS - 1), "hour", u32::MAX),
            timer(also_mine, at(HOUR_MS), "next", 1),
            timer(mine, at(3 * HOUR_MS), "last", 1),
            timer(mine, at(3 * HOUR_MS + 1), "late", 1),
            timer(foreign, at(10), "foreign", 1),
        ];
        flush(store, vec![], rows.clone(), vec![]).await;
        flush(store, vec![], rows.clone(), vec![]).await;
        let slice =
            async |from: i64, until: i64| pages(store, &[mine, also_mine], at(from), at(until), 100).await;
        let expected: Vec<TimerEntry> = rows[1..6].iter().map(entry).collect();
        assert_eq!(slice(0, 3 * HOUR_MS + 1).await, expected);
        assert_eq!(slice(0, 1).await, expected[..2]);
        assert_eq!(slice(1, HOUR_MS).await, expected[2..3]);
        assert_eq!(slice(5, 5).await, vec![]);
        assert_eq!(slice(HOUR_MS, 0).await, vec![], "an empty range is no error");
        assert_eq!(pages(store, &[], at(0), at(HOUR_MS), 100).await, vec![]);
        for entries_max in [1, 2, 3] {
            let timers = pages(store, &[mine, also_mine], at(0), at(3 * HOUR_MS + 1), entries_max).await;
            assert_eq!(timers, expected, "in pages of {entries_max}");
        }
    }
    // `Timestamp::plus` saturates there.
    let never = timer(mine, Timestamp(i64::MAX), "never", 1);
    flush(store, vec![], vec![never], vec![]).await;
}

/// Many timers due at one instant are many pages, whose entries come in one order over all buckets, each once.
pub async fn a_slice_may_hold_many_timers<S: SnapshotStore>(store: &S) {
    let due = Timestamp(PAST.0 + 90 * DAY_MS);
    // Most of them in one bucket, as a herd never is that came about by itself.
    let bucket = |n: u32| TimerBucket(if n.is_multiple_of(7) { 10 + (n % 3) as u16 } else { 9 });
    let rows: Vec<TimerRow> =
        (0..6_000).map(|n| timer(bucket(n), due, &format!("herd-{:04}", n / 2), n)).collect();
    flush(store, vec![], rows.clone(), vec![]).await;
    let buckets: Vec<TimerBucket> = (8..16).map(TimerBucket).collect();
    let expected: Vec<TimerEntry> = rows.iter().map(entry).collect();
    for entries_max in [700, 5_000, 100_000] {
        let timers = pages(store, &buckets, due, Timestamp(due.0 + 1), entries_max).await;
        assert!(timers == expected, "{} of {} came, by {entries_max}", timers.len(), rows.len());
    }
    let alone = pages(store, &[TimerBucket(9)], due, Timestamp(due.0 + 1), 1_000).await;
    assert!(alone.iter().eq(expected.iter().filter(|it| bucket(it.timer.0) == TimerBucket(9))));
}

/// Whole hours of some buckets go, but for what was written when its hour was over.
pub async fn old_hours_are_dropped_but_not_what_was_set_late<S: SnapshotStore>(store: &S) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let hour = Timestamp(0).plus(now).0.div_euclid(HOUR_MS) + 2;
    let at = |hours: i64, ms: i64| Timestamp((hour + hours) * HOUR_MS + ms);
    let (mine, foreign) = (TimerBucket(21), TimerBucket(22));
    let rows = vec![
        timer(mine, Timestamp(PAST.0 + 5), "dropped-late", 1),
        timer(mine, at(-1, HOUR_MS - 1), "dropped-before", 1),
        timer(mine, at(0, 0), "dropped", 1),
        timer(mine, at(1, HOUR_MS - 1), "dropped", 2),
        timer(mine, at(2, 0), "dropped-after", 1),
    ];
    flush(store, vec![], rows.clone(), vec![]).await;
    flush(store, vec![], vec![timer(foreign, at(0, 0), "dropped-foreign", 1)], vec![]).await;
    store.drop_timers(&[mine], PAST, PAST.plus(Duration::from_secs(3_600))).await.unwrap();
    for _ in 0..2 {
        store.drop_timers(&[mine], at(0, 0), at(2, 0)).await.unwrap();
    }
    store.drop_timers(&[mine], at(2, 0), at(2, 0)).await.unwrap();
    let left: Vec<TimerEntry> = [&rows[0], &rows[1], &rows[4]].into_iter().map(entry).collect();
    let (late, rest) = left.split_at(1);
    assert_eq!(pages(store, &[mine], PAST, PAST.plus(Duration::from_secs(3_600)), 10).await, late);
    assert_eq!(pages(store, &[mine], at(-1, 0), at(9, 0), 10).await, rest);
    assert_eq!(pages(store, &[foreign], at(0, 0), at(1, 0), 10).await.len(), 1);
}

/// All timers of a slice, page after page.
pub async fn pages<S: SnapshotStore>(
    store: &S,
    buckets: &[TimerBucket],
    from: Timestamp,
    until: Timestamp,
    entries_max: usize,
) -> Vec<TimerEntry> {
    let mut slice = TimerSlice { from: TimerCursor::Before(from), until, entries_max };
    let mut timers = Vec::new();
    while slice.from < TimerCursor::Before(until) {
        let TimerPage { timers: page, next } = store.load_timers(buckets, &slice).await.unwrap();
        assert!(page.len() <= entries_max, "a page holds no more than was asked for");
        assert!(next > slice.from && page.iter().all(|it| slice.contains(it) && next.has_passed(it)));
        timers.extend(page);
        slice.from = next;
    }
    assert!(timers.is_sorted(), "in the order of the entries");
    timers
}

/// Entries come oldest first, each once, after the cursor, at most as many as asked for, of one instance.
pub async fn history_comes_in_order_and_in_pages<S: SnapshotStore>(store: &S) {
    let row = |name: &str, stamp: i64| HistoryRow {
        instance: id(name),
        stamp: Stamp(stamp),
        entry: format!("{name} {stamp}").into(),
        ttl: None,
    };
    let mut rows: Vec<HistoryRow> = (0..1_000).map(|n| row("told", n * 3)).collect();
    rows.push(row("told", 1 << Stamp::OFFSET_BITS));
    let mut shuffled: Vec<HistoryRow> =
        rows.iter().skip(1).step_by(2).chain(rows.iter().step_by(2)).cloned().collect();
    shuffled.push(row("told-too", 1));
    flush(store, vec![], vec![], shuffled.clone()).await;
    flush(store, vec![], vec![], shuffled[..10].to_vec()).await;
    let rows: Vec<HistoryEntry> = rows.iter().map(told_as).collect();
    let told = id("told");
    assert_eq!(store.load_history(&told, None, 2_000).await.unwrap(), rows);
    assert_eq!(store.load_history(&told, None, 3).await.unwrap(), rows[..3]);
    assert_eq!(store.load_history(&told, Some(Stamp(6)), 3).await.unwrap(), rows[3..6]);
    assert_eq!(
        store.load_history(&told, Some(Stamp(7)), 2).await.unwrap(),
        rows[3..5],
        "the cursor need not exist"
    );
    assert_eq!(store.load_history(&told, Some(rows[1_000].stamp), 3).await.unwrap(), vec![]);
    assert_eq!(store.load_history(&told, None, 0).await.unwrap(), vec![]);
}

/// Each row of the history, and each row of the list, ends after its own time to live; those without one stay. The list row of an
/// instance that has ended may outlive its stub, or end before it.
pub async fn history_and_list_rows_expire_each_by_its_own_time<S: SnapshotStore>(store: &S) {
    let (short, long) = (Some(Duration::from_secs(3)), Some(Duration::from_secs(86_400)));
    let told = |stamp: i64, ttl| HistoryRow {
        instance: id("forgotten"),
        stamp: Stamp(stamp),
        entry: format!("at {stamp}").into(),
        ttl,
    };
    let ended = |name: &str, stub: Option<Duration>, ttl: Option<Duration>| {
        let mut write = listed(name, Stamp(9), "forgotten", PAST, PAST, "completed");
        write.ttl = stub;
        write.listing.as_mut().unwrap().ttl = ttl;
        write
    };
    let history = vec![told(1, short), told(2, None), told(3, long), told(4, short)];
    let running = listed("runs", Stamp(9), "forgotten", PAST, PAST, "running");
    let writes = vec![ended("a-short-list", long, short), ended("b-short-stub", short, long), running];
    flush(store, writes, vec![], history.clone()).await;
    let stamps = async || {
        let entries = store.load_history(&id("forgotten"), None, 10).await.unwrap();
        entries.into_iter().map(|it| it.stamp.0).collect::<Vec<_>>()
    };
    let names = async || {
        let page = store.list(&query("forgotten")).await.unwrap();
        page.rows.into_iter().map(|it| it.instance.as_str().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(stamps().await, [1, 2, 3, 4]);
    assert_eq!(names().await, ["runs", "b-short-stub", "a-short-list"]);
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(stamps().await, [2, 3]);
    assert_eq!(names().await, ["runs", "b-short-stub"]);
    assert!(store.load_snapshot(&id("a-short-list")).await.unwrap().is_some());
    assert_eq!(store.load_snapshot(&id("b-short-stub")).await.unwrap(), None);
    let late = listed("a-short-list", Stamp(3), "forgotten", PAST, PAST, "running");
    flush(store, vec![late], vec![], vec![]).await;
    assert_eq!(names().await, ["runs", "b-short-stub"], "an older write does not bring it back");
}

/// Newest start first, and among equal starts by descending instance id, so that the last row is the cursor of the next page. `from`
/// is included, `until` is not.
pub async fn lists_come_newest_first_and_in_pages<S: SnapshotStore>(store: &S) {
    let at = |n: i64| Timestamp(PAST.0 + n);
    // Three start in each millisecond, so pages break among equal starts too.
    let mut expected = Vec::new();
    let mut writes = Vec::new();
    for n in 0..60 {
        let (name, started_at) = (format!("paged-{n:02}"), at(n / 3));
        writes.push(listed(&name, Stamp(n), "paged", started_at, started_at, "running"));
        expected.push(list_row(&name, "paged", started_at, started_at, "running"));
    }
    writes.push(listed("unrelated", Stamp(1), "paged-too", at(5), at(5), "running"));
    expected.sort_by(|a, b| (b.started_at, &b.instance).cmp(&(a.started_at, &a.instance)));
    flush(store, writes, vec![], vec![]).await;

    let everything = ListQuery { limit: 60, ..query("paged") };
    let page = store.list(&everything).await.unwrap();
    assert_eq!(page.rows, expected);
    assert!(!page.has_more, "exactly as many as asked for");

    let mut walked = Vec::new();
    let mut after = None;
    loop {
        let page = store.list(&ListQuery { limit: 7, after: after.clone(), ..query("paged") }).await.unwrap();
        assert!(page.rows.len() <= 7);
        walked.extend(page.rows);
        after = walked.last().map(|it: &ListRow| (it.started_at, it.instance.clone()));
        if !page.has_more {
            break;
        }
        assert!(walked.len() < 60, "more than there are");
    }
    assert_eq!(walked, expected);

    let some = ListQuery { from: at(3), until: at(5), ..query("paged") };
    assert_eq!(store.list(&some).await.unwrap().rows, expected[45..51]);
    let nothing = ListQuery { from: at(5), until: at(5), ..query("paged") };
    assert_eq!(store.list(&nothing).await.unwrap(), ListPage::default());
}

/// The row with the greatest stamp tells the status; a filter asks for that one.
pub async fn lists_follow_the_newest_status<S: SnapshotStore>(store: &S) {
    let (start, later) = (Timestamp(PAST.0 + 10), Timestamp(PAST.0 + DAY_MS));
    let ended = |name: &str| SnapshotWrite {
        ttl: Some(Duration::from_secs(86_400)),
        ..listed(name, Stamp(9), "statuses", start, later, "completed")
    };
    flush(store, vec![listed("in-order", Stamp(2), "statuses", start, start, "running")], vec![], vec![])
        .await;
    flush(store, vec![ended("in-order")], vec![], vec![]).await;
    flush(store, vec![ended("reversed")], vec![], vec![]).await;
    flush(store, vec![listed("reversed", Stamp(2), "statuses", start, start, "running")], vec![], vec![])
        .await;
    flush(
        store,
        vec![listed("still-running", Stamp(1), "statuses", start, start, "running")],
        vec![],
        vec![],
    )
    .await;
    // Without a listing the list keeps what it has.
    flush(store, vec![snapshot("still-running", Stamp(30), "newer")], vec![], vec![]).await;

    let with = async |status: Option<&str>, limit: u32| {
        store
            .list(&ListQuery { status: status.map(str::to_owned), limit, ..query("statuses") })
            .await
            .unwrap()
    };
    let in_order = list_row("in-order", "statuses", start, later, "completed");
    let reversed = list_row("reversed", "statuses", start, later, "completed");
    let running = list_row("still-running", "statuses", start, start, "running");
    assert_eq!(with(None, 10).await.rows, [running.clone(), reversed.clone(), in_order.clone()]);
    assert_eq!(with(Some("running"), 10).await, ListPage { rows: vec![running.clone()], has_more: false });
    assert_eq!(
        with(Some("running"), 1).await,
        ListPage { rows: vec![running], has_more: false },
        "only what matches is more"
    );
    assert_eq!(with(Some("completed"), 10).await.rows, [reversed.clone(), in_order]);
    assert_eq!(with(Some("completed"), 1).await, ListPage { rows: vec![reversed], has_more: true });
    assert_eq!(with(Some("faulted"), 10).await, ListPage::default());
}

/// However many rows are read on the way, in however many pages, none is missed, and none comes twice.
pub async fn lists_find_what_is_rare<S: SnapshotStore>(store: &S) {
    let started = |n: i64| Timestamp(PAST.0 + n);
    let mut expected = Vec::new();
    let mut writes = Vec::new();
    for n in 0..600 {
        let status = if n % 250 == 1 { "faulted" } else { "completed" };
        let name = format!("rare-{n:03}");
        writes.push(listed(&name, Stamp(n), "rare", started(n), started(n), status));
        expected.push(list_row(&name, "rare", started(n), started(n), status));
    }
    expected.reverse();
    flush(store, writes, vec![], vec![]).await;

    let everything = ListQuery { limit: 1_000, ..query("rare") };
    assert_eq!(store.list(&everything).await.unwrap(), ListPage { rows: expected.clone(), has_more: false });

    let faulted: Vec<ListRow> = expected.into_iter().filter(|it| it.status == "faulted").collect();
    let mut after = None;
    for (row, has_more) in faulted.iter().zip([true, true, false]) {
        let asked = ListQuery { status: Some("faulted".to_owned()), limit: 1, after, ..query("rare") };
        assert_eq!(store.list(&asked).await.unwrap(), ListPage { rows: vec![row.clone()], has_more });
        after = Some((row.started_at, row.instance.clone()));
    }
    assert_eq!(faulted.len(), 3);
}

/// A store may keep the list in parts by id: all rows may be in one of them.
pub async fn lists_need_no_even_ids<S: SnapshotStore>(store: &S) {
    let is_in_one = |name: &String| key_group(name.as_bytes()).0 % 16 == 3;
    let names: Vec<String> = (0..).map(|n| format!("uneven-{n}")).filter(is_in_one).take(100).collect();
    let at = |n: usize| Timestamp(PAST.0 + n as i64);
    let rows = names.iter().enumerate();
    let writes = rows.clone().map(|(n, it)| listed(it, Stamp(1), "uneven", at(n), at(n), "running"));
    flush(store, writes.collect(), vec![], vec![]).await;
    let mut expected: Vec<ListRow> =
        rows.map(|(n, it)| list_row(it, "uneven", at(n), at(n), "running")).collect();
    expected.reverse();
    let page = store.list(&ListQuery { limit: 50, ..query("uneven") }).await.unwrap();
    assert_eq!(page, ListPage { rows: expected[..50].to_vec(), has_more: true });
    let all = store.list(&ListQuery { limit: u32::MAX, ..query("uneven") }).await.unwrap();
    assert_eq!(all, ListPage { rows: expected, has_more: false });
}

/// Days without starts, and a range as wide as time, cost nothing that matters.
pub async fn lists_span_days<S: SnapshotStore>(store: &S) {
    let days = [0, 1, 2, 400, 3_000];
    let mut writes = Vec::new();
    let mut expected = Vec::new();
    for day in days {
        let (name, started_at) = (format!("day-{day:04}"), Timestamp(PAST.0 + day * DAY_MS - 1));
        writes.push(listed(&name, Stamp(day), "days", started_at, started_at, "running"));
        expected.insert(0, list_row(&name, "days", started_at, started_at, "running"));
    }
    flush(store, writes, vec![], vec![]).await;
    let page = store.list(&query("days")).await.unwrap();
    assert_eq!(page, ListPage { rows: expected.clone(), has_more: false });
    let first = store.list(&ListQuery { limit: 2, ..query("days") }).await.unwrap();
    assert_eq!(first, ListPage { rows: expected[..2].to_vec(), has_more: true });
    let cursor = Some((expected[1].started_at, expected[1].instance.clone()));
    let rest = store.list(&ListQuery { after: cursor, ..query("days") }).await.unwrap();
    assert_eq!(rest, ListPage { rows: expected[2..].to_vec(), has_more: false });
}

/// All conditions must hold; pages and filters are those of the list.
pub async fn instances_are_found_by_their_attributes<S: SnapshotStore>(store: &S) {
    let mut writes = Vec::new();
    let mut expected = Vec::new();
    for n in 0..200_i64 {
        // Some days, and three starts in each millisecond.
        let started_at = Timestamp(PAST.0 + n / 60 * DAY_MS + n / 3);
        let attributes = json!({"parity": n % 2, "third": n % 3 == 0, "name": format!("n {n} é=")});
        let (name, status) = (format!("found-{n:03}"), if n % 5 == 0 { "completed" } else { "running" });
        writes.push(found_by(listed(&name, Stamp(n), "found", started_at, started_at, status), &attributes));
        let row = list_row(&name, "found", started_at, started_at, status);
        expected.push((n, ListRow { attributes: Attributes::of(Some(&attributes.into())), ..row }));
    }
    let foreign = listed("foreign", Stamp(1), "found-too", PAST, PAST, "running");
    writes.push(found_by(foreign, &json!({"parity": 0, "third": true})));
    flush(store, writes.clone(), vec![], vec![]).await;
    flush(store, writes.split_off(150), vec![], vec![]).await;
    expected.sort_by(|(_, a), (_, b)| (b.started_at, &b.instance).cmp(&(a.started_at, &a.instance)));
    let those = |wanted: &dyn Fn(i64) -> bool| -> Vec<ListRow> {
        expected.iter().filter(|(n, _)| wanted(*n)).map(|(_, row)| row.clone()).collect()
    };
    let find = async |conditions: &[&str]| store.list(&found(conditions, "found")).await.unwrap().rows;
    assert_eq!(find(&["parity=1"]).await, those(&|n| n % 2 == 1));
    assert_eq!(find(&["parity=0", "third=true"]).await, those(&|n| n % 6 == 0));
    assert_eq!(find(&["third=true", "parity=0", "name=n 12 é="]).await, those(&|n| n == 12));
    assert_eq!(find(&["name=n 12 é=", "third=false"]).await, vec![]);
    assert_eq!(find(&["parity=2"]).await, vec![]);
    assert_eq!(find(&["nothing=1"]).await, vec![]);

    let conditions = ["third=true", "parity=0"];
    let query = ListQuery { status: Some("completed".to_owned()), ..found(&conditions, "found") };
    assert_eq!(store.list(&query).await.unwrap().rows, those(&|n| n % 30 == 0));
    let (from, until) = (Timestamp(PAST.0 + DAY_MS), Timestamp(PAST.0 + 2 * DAY_MS));
    let query = ListQuery { from, until, ..found(&conditions, "found") };
    assert_eq!(store.list(&query).await.unwrap().rows, those(&|n| n % 6 == 0 && (60..120).contains(&n)));

    let (mut walked, mut after) = (Vec::new(), None);
    loop {
        let query = ListQuery { limit: 7, after: after.clone(), ..found(&conditions, "found") };
        let page = store.list(&query).await.unwrap();
        assert!(page.rows.len() == 7 || !page.has_more);
        walked.extend(page.rows);
        after = walked.last().map(|it: &ListRow| (it.started_at, it.instance.clone()));
        if !page.has_more {
            break;
        }
        assert!(walked.len() < 60, "more than there are");
    }
    assert_eq!(walked, those(&|n| n % 6 == 0));
    let exactly = ListQuery { limit: 34, ..found(&conditions, "found") };
    assert!(!store.list(&exactly).await.unwrap().has_more, "exactly as many as asked for");
}

/// What an instance is found by goes with its list row, in whatever order writes arrive.
pub async fn an_attribute_that_has_changed_finds_nothing<S: SnapshotStore>(store: &S) {
    let at = |name: &str, stamp: i64, step: &str| {
        found_by(listed(name, Stamp(stamp), "steps", PAST, PAST, "running"), &json!({ "step": step }))
    };
    let retiring = |mut write: SnapshotWrite, term: &str| {
        write.listing.as_mut().unwrap().retired.insert(Term::parse(term).unwrap());
        write
    };
    let find = async |condition: &str| {
        let page = store.list(&found(&[condition], "steps")).await.unwrap();
        page.rows.into_iter().map(|it| it.instance.as_str().to_owned()).collect::<Vec<_>>()
    };
    for write in [
        at("in-order", 1, "one"),
        retiring(at("in-order", 2, "two"), "step=one"),
        retiring(at("reversed", 2, "two"), "step=one"),
        at("reversed", 1, "one"),
        at("forgotten", 1, "one"),
        at("forgotten", 2, "two"),
        at("back", 1, "one"),
        retiring(at("back", 2, "two"), "step=one"),
        retiring(at("back", 3, "one"), "step=two"),
    ] {
        flush(store, vec![write], vec![], vec![]).await;
    }
    assert_eq!(find("step=one").await, ["back"]);
    assert_eq!(find("step=two").await, ["reversed", "in-order", "forgotten"]);
    // Nothing is found by what ends later than the others, either.
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(find("step=one").await, ["back"]);
    assert_eq!(find("step=two").await, ["reversed", "in-order", "forgotten"]);
}

/// An instance that has ended is found as long as it is listed.
pub async fn what_is_found_expires_with_its_list_row<S: SnapshotStore>(store: &S) {
    let attributes = json!({ "kind": "short" });
    let running = found_by(listed("short", Stamp(1), "passing", PAST, PAST, "running"), &attributes);
    let mut ended = found_by(listed("short", Stamp(2), "passing", PAST, PAST, "completed"), &attributes);
    ended.listing.as_mut().unwrap().ttl = Some(Duration::from_secs(3));
    let stays = found_by(listed("stays", Stamp(1), "passing", PAST, PAST, "running"), &attributes);
    let names = async || {
        let page = store.list(&found(&["kind=short"], "passing")).await.unwrap();
        page.rows.into_iter().map(|it| it.instance.as_str().to_owned()).collect::<Vec<_>>()
    };
    flush(store, vec![running.clone(), stays], vec![], vec![]).await;
    flush(store, vec![ended], vec![], vec![]).await;
    assert_eq!(names().await, ["stays", "short"]);
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(names().await, ["stays"]);
    flush(store, vec![running], vec![], vec![]).await;
    assert_eq!(names().await, ["stays"], "an older write does not bring it back");
}

/// Values of several megabytes, next to small and empty ones.
pub async fn large_values_come_back_whole<S: SnapshotStore>(store: &S) {
    let large = noise(1, 8 << 20);
    let values = [
        ("large-1", large.clone()),
        ("large-2", large.slice(1..)),
        ("large-and-regular", "again and ".repeat(800_000).into()),
        ("half", large.slice(..600_000)),
        ("small", "s".into()),
        ("empty", Bytes::new()),
    ];
    let writes = values.iter().map(|(name, value)| snapshot(name, Stamp(1), value.clone())).collect();
    let told =
        HistoryRow { instance: id("large-1"), stamp: Stamp(1), entry: large.slice(..4 << 20), ttl: None };
    flush(store, writes, vec![], vec![told.clone()]).await;
    for (name, value) in values {
        expect(store, name, Stamp(1), &value).await;
    }
    assert!(
        store.load_history(&told.instance, None, 10).await.unwrap() == [told_as(&told)],
        "the history holds it too"
    );
}

/// Whatever the sizes, the newer stamp wins in any order, whole; writing a row again changes nothing.
pub async fn large_values_are_replaced_like_small_ones<S: SnapshotStore>(store: &S) {
    let large = |stamp: i64| (stamp, noise(stamp.unsigned_abs(), 8 << 20));
    let small = |stamp: i64| (stamp, Bytes::from(format!("small at {stamp}")));
    for (name, writes) in [
        ("large-by-large", vec![large(1), large(2), large(2)]),
        ("large-by-shorter", vec![large(1), (2, noise(2, 700_000))]),
        ("large-by-small", vec![large(1), small(2), small(3)]),
        ("small-by-large", vec![small(1), large(2), large(2)]),
        ("late-large", vec![small(1), large(3), large(2), small(1)]),
        ("late-large-after-small", vec![large(1), small(3), large(2), small(3)]),
        ("back-and-forth", vec![large(1), small(2), large(3), small(4), large(5)]),
    ] {
        let mut newest = (0, Bytes::new());
        for (stamp, value) in writes {
            flush(store, vec![snapshot(name, Stamp(stamp), value.clone())], vec![], vec![]).await;
            if stamp > newest.0 {
                newest = (stamp, value);
            }
            expect(store, name, Stamp(newest.0), &newest.1).await;
        }
    }
}

/// A large stub expires as a small one does, and so does a small one that replaces a large state.
pub async fn large_stubs_expire<S: SnapshotStore>(store: &S) {
    let large = noise(7, 2 << 20);
    let ttl = Some(Duration::from_secs(3));
    let live = ["ended-large", "ended-small"].map(|it| snapshot(it, Stamp(1), large.clone()));
    let stubs = vec![
        SnapshotWrite { ttl, ..snapshot("ended-large", Stamp(2), large.slice(1..)) },
        SnapshotWrite { ttl, ..snapshot("ended-small", Stamp(2), "stub") },
    ];
    flush(store, live.to_vec(), vec![], vec![]).await;
    flush(store, stubs, vec![], vec![]).await;
    expect(store, "ended-large", Stamp(2), &large.slice(1..)).await;
    expect(store, "ended-small", Stamp(2), b"stub").await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    flush(store, live.to_vec(), vec![], vec![]).await;
    for name in ["ended-large", "ended-small"] {
        assert_eq!(store.load_snapshot(&id(name)).await.unwrap(), None, "{name}");
    }
    flush(store, vec![snapshot("ended-large", Stamp(3), large.clone())], vec![], vec![]).await;
    expect(store, "ended-large", Stamp(3), &large).await;
}

/// A flush after an outage holds tens of thousands of rows; ids are any text.
pub async fn a_flush_may_hold_many_rows<S: SnapshotStore>(store: &S) {
    let longest = "é".repeat(InstanceId::BYTES_MAX / 2);
    let names: Vec<String> =
        (0..3_000).map(|n| format!("many/{n} {{\"odd\": 'name'}}")).chain([longest]).collect();
    let (start, mut writes, mut timers, mut history) =
        (Timestamp(PAST.0), Vec::new(), Vec::new(), Vec::new());
    for (name, n) in names.iter().zip(0..) {
        writes.push(SnapshotWrite {
            value: format!("{name} {}", "x".repeat(500)).into(),
            ..listed(name, Stamp(n), "many", start, start, "running")
        });
        timers.push(timer(TimerBucket((n % 64) as u16), Timestamp(PAST.0 + 200 * DAY_MS), name, 1));
        history.push(HistoryRow { instance: id(name), stamp: Stamp(n), entry: "e".into(), ttl: None });
    }
    flush(store, writes.clone(), timers, history).await;
    // Some of them twice, and with some between that are not there.
    let asked: Vec<InstanceId> =
        (0..1_000).flat_map(|n| [id(&names[n % 900 * 7 % names.len()]), id(&format!("none/{n}"))]).collect();
    let rows = store.load_snapshots(&asked).await.unwrap();
    assert_eq!(rows.len(), asked.len());
    for (n, row) in rows.into_iter().enumerate() {
        let write = &writes[n / 2 % 900 * 7 % names.len()];
        let expected = (n % 2 == 0).then(|| SnapshotRow { stamp: write.stamp, value: write.value.clone() });
        assert_eq!(row.unwrap(), expected, "{}", asked[n]);
    }
    let due = Timestamp(PAST.0 + 200 * DAY_MS);
    let buckets: Vec<TimerBucket> = (0..64).map(TimerBucket).collect();
    let loaded = pages(store, &buckets, due, Timestamp(due.0 + 1), 1_000).await;
    assert_eq!(loaded.len(), names.len());
    let page = store.list(&ListQuery { limit: 5_000, ..query("many") }).await.unwrap();
    assert_eq!((page.rows.len(), page.has_more), (names.len(), false));
}

fn id(name: &str) -> InstanceId {
    InstanceId::new(name).unwrap()
}

/// Bytes that do not compress.
fn noise(seed: u64, bytes: usize) -> Bytes {
    let mut word = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let next = || {
        word ^= word << 13;
        word ^= word >> 7;
        word ^= word << 17;
        word as u8
    };
    std::iter::repeat_with(next).take(bytes).collect()
}

/// Compares without printing megabytes.
async fn expect<S: SnapshotStore>(store: &S, name: &str, stamp: Stamp, value: &[u8]) {
    let row = store.load_snapshot(&id(name)).await.unwrap().unwrap();
    assert_eq!((row.stamp, row.value.len()), (stamp, value.len()), "{name}");
    assert!(row.value == value, "{name}: other bytes");
}

fn workflow(name: &str) -> WorkflowVersion {
    let workflow = WorkflowName { namespace: "suite".into(), name: name.into() };
    WorkflowVersion { workflow, version: "1.0.0".into() }
}

fn query(name: &str) -> ListQuery {
    ListQuery {
        workflow: workflow(name).workflow,
        status: None,
        conditions: vec![],
        from: Timestamp(0),
        until: Timestamp(i64::MAX),
        after: None,
        limit: 100,
    }
}

fn snapshot(name: &str, stamp: Stamp, value: impl Into<Bytes>) -> SnapshotWrite {
    SnapshotWrite { instance: id(name), stamp, value: value.into(), ttl: None, listing: None }
}

fn listed(
    name: &str,
    stamp: Stamp,
    of: &str,
    started_at: Timestamp,
    updated_at: Timestamp,
    status: &'static str,
) -> SnapshotWrite {
    let listing = Listing {
        workflow: workflow(of),
        started_at,
        updated_at,
        status,
        attributes: Attributes::default(),
        retired: BTreeSet::new(),
        ttl: None,
    };
    SnapshotWrite { listing: Some(listing), ..snapshot(name, stamp, "listed") }
}

fn found_by(mut write: SnapshotWrite, attributes: &serde_json::Value) -> SnapshotWrite {
    write.listing.as_mut().unwrap().attributes = Attributes::of(Some(&attributes.clone().into()));
    write
}

fn found(conditions: &[&str], of: &str) -> ListQuery {
    ListQuery { conditions: conditions.iter().map(|it| Term::parse(it).unwrap()).collect(), ..query(of) }
}

fn list_row(name: &str, of: &str, started_at: Timestamp, updated_at: Timestamp, status: &str) -> ListRow {
    ListRow {
        instance: id(name),
        workflow: workflow(of),
        started_at,
        updated_at,
        status: status.to_owned(),
        attributes: Attributes::default(),
    }
}

fn timer(bucket: TimerBucket, due: Timestamp, name: &str, timer: u32) -> TimerRow {
    TimerRow { bucket, due, instance: id(name), timer: TimerId(timer) }
}

fn told_as(row: &HistoryRow) -> HistoryEntry {
    HistoryEntry { stamp: row.stamp, entry: row.entry.clone() }
}

fn entry(row: &TimerRow) -> TimerEntry {
    TimerEntry { due: row.due, instance: row.instance.clone(), timer: row.timer }
}

async fn flush<S: SnapshotStore>(
    store: &S,
    snapshots: Vec<SnapshotWrite>,
    timers: Vec<TimerRow>,
    history: Vec<HistoryRow>,
) {
    store.flush(&FlushRequest { id: FlushId(1), snapshots, timers, history }).await.unwrap();
}
