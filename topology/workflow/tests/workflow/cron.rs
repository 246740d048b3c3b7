//! `cron` against instants that were looked up elsewhere: what the zones' own rules say about 2026.
//!
//! Berlin goes from +01:00 to +02:00 on March 29 at 02:00 and back on October 25 at 03:00; New York goes from -05:00 to -04:00 on March 8
//! at 02:00 and back on November 1 at 02:00. Both changes are at these instants: 01:00Z, 01:00Z, 07:00Z, 06:00Z.

use std::fmt::Write as _;

use expect_test::{Expect, expect};
use millrace_schemas::Timestamp;
use millrace_workflow::schedule::Cron;

const BERLIN: &str = "Europe/Berlin";
const NEW_YORK: &str = "America/New_York";

fn at(text: &str) -> Timestamp {
    Timestamp(text.parse::<jiff::Timestamp>().unwrap().as_millisecond())
}

/// The times after `from`, each as UTC.
fn check(cron: &str, zone: &str, from: &str, count: usize, expected: Expect) {
    let cron = Cron::parse(cron, zone).unwrap();
    let mut time = at(from);
    let mut text = String::new();
    for _ in 0..count {
        time = cron.next_after(time).unwrap();
        writeln!(text, "{}", jiff::Timestamp::from_millisecond(time.0).unwrap()).unwrap();
    }
    expected.assert_eq(&text);
}

#[test]
fn a_daily_time_that_does_not_exist_is_made_up_for_after_the_gap() {
    check(
        "30 2 * * *",
        BERLIN,
        "2026-03-27T12:00:00Z",
        4,
        expect![[r#"
        2026-03-28T01:30:00Z
        2026-03-29T01:00:00Z
        2026-03-30T00:30:00Z
        2026-03-31T00:30:00Z
    "#]],
    );
    check(
        "30 2 * * *",
        NEW_YORK,
        "2026-03-06T12:00:00Z",
        4,
        expect![[r#"
        2026-03-07T07:30:00Z
        2026-03-08T07:00:00Z
        2026-03-09T06:30:00Z
        2026-03-10T06:30:00Z
    "#]],
    );
}

#[test]
fn a_daily_time_that_exists_twice_is_taken_once() {
    check(
        "30 2 * * *",
        BERLIN,
        "2026-10-23T12:00:00Z",
        4,
        expect![[r#"
        2026-10-24T00:30:00Z
        2026-10-25T00:30:00Z
        2026-10-26T01:30:00Z
        2026-10-27T01:30:00Z
    "#]],
    );
    check(
        "30 1 * * *",
        NEW_YORK,
        "2026-10-30T12:00:00Z",
        4,
        expect![[r#"
        2026-10-31T05:30:00Z
        2026-11-01T05:30:00Z
        2026-11-02T06:30:00Z
        2026-11-03T06:30:00Z
    "#]],
    );
}

/// From the second of the two, which is no time of it, to the next day.
#[test]
fn between_the_two_the_next_one_is_tomorrow() {
    check(
        "30 2 * * *",
        BERLIN,
        "2026-10-25T00:30:00Z",
        1,
        expect![[r#"
        2026-10-26T01:30:00Z
    "#]],
    );
    check(
        "30 2 * * *",
        BERLIN,
        "2026-10-25T01:15:00Z",
        1,
        expect![[r#"
        2026-10-26T01:30:00Z
    "#]],
    );
    check(
        "30 1 * * *",
        NEW_YORK,
        "2026-11-01T06:10:00Z",
        1,
        expect![[r#"
        2026-11-02T06:30:00Z
    "#]],
    );
}

/// Every half hour goes on every half hour, whatever the clock shows.
#[test]
fn a_step_goes_through_both_changes() {
    check(
        "*/30 * * * *",
        BERLIN,
        "2026-03-29T00:20:00Z",
        4,
        expect![[r#"
        2026-03-29T00:30:00Z
        2026-03-29T01:00:00Z
        2026-03-29T01:30:00Z
        2026-03-29T02:00:00Z
    "#]],
    );
    check(
        "*/30 * * * *",
        BERLIN,
        "2026-10-24T23:50:00Z",
        6,
        expect![[r#"
        2026-10-25T00:00:00Z
        2026-10-25T00:30:00Z
        2026-10-25T01:00:00Z
        2026-10-25T01:30:00Z
        2026-10-25T02:00:00Z
        2026-10-25T02:30:00Z
    "#]],
    );
    check(
        "*/30 * * * *",
        NEW_YORK,
        "2026-03-08T06:20:00Z",
        4,
        expect![[r#"
        2026-03-08T06:30:00Z
        2026-03-08T07:00:00Z
        2026-03-08T07:30:00Z
        2026-03-08T08:00:00Z
    "#]],
    );
    check(
        "*/30 * * * *",
        NEW_YORK,
        "2026-11-01T04:50:00Z",
        6,
        expect![[r#"
        2026-11-01T05:00:00Z
        2026-11-01T05:30:00Z
        2026-11-01T06:00:00Z
        2026-11-01T06:30:00Z
        2026-11-01T07:00:00Z
        2026-11-01T07:30:00Z
    "#]],
    );
}

/// A range of hours is what the clock shows: nothing in the gap, and twice what is shown twice.
#[test]
fn a_range_follows_the_clock() {
    check(
        "15 1-3 * * *",
        BERLIN,
        "2026-03-28T23:00:00Z",
        3,
        expect![[r#"
        2026-03-29T00:15:00Z
        2026-03-29T01:15:00Z
        2026-03-29T23:15:00Z
    "#]],
    );
    check(
        "15 1-3 * * *",
        BERLIN,
        "2026-10-24T22:00:00Z",
        5,
        expect![[r#"
        2026-10-24T23:15:00Z
        2026-10-25T00:15:00Z
        2026-10-25T01:15:00Z
        2026-10-25T02:15:00Z
        2026-10-26T00:15:00Z
    "#]],
    );
}

/// A gap at midnight (Santiago, September 6), and one of half an hour (Lord Howe, October 4).
#[test]
fn other_gaps_are_as_good() {
    check(
        "0 0 * * *",
        "America/Santiago",
        "2026-09-05T00:00:00Z",
        3,
        expect![[r#"
        2026-09-05T04:00:00Z
        2026-09-06T04:00:00Z
        2026-09-07T03:00:00Z
    "#]],
    );
    check(
        "15 2 * * *",
        "Australia/Lord_Howe",
        "2026-10-02T20:00:00Z",
        2,
        expect![[r#"
        2026-10-03T15:30:00Z
        2026-10-04T15:15:00Z
    "#]],
    );
}

#[test]
fn utc_has_no_changes_and_names_of_days_are_known() {
    check(
        "0 6 * * MON-FRI",
        "UTC",
        "2026-03-27T06:00:00Z",
        2,
        expect![[r#"
        2026-03-30T06:00:00Z
        2026-03-31T06:00:00Z
    "#]],
    );
    check(
        "@monthly",
        "UTC",
        "2026-01-31T23:59:59.999Z",
        2,
        expect![[r#"
        2026-02-01T00:00:00Z
        2026-03-01T00:00:00Z
    "#]],
    );
    // A day of the month and a day of the week: one of the two is enough, as in crontab.
    check(
        "0 0 13 * FRI",
        "UTC",
        "2026-03-01T00:00:00Z",
        3,
        expect![[r#"
        2026-03-06T00:00:00Z
        2026-03-13T00:00:00Z
        2026-03-20T00:00:00Z
    "#]],
    );
}

#[test]
fn a_part_of_a_second_makes_no_difference() {
    let cron = Cron::parse("* * * * *", "UTC").unwrap();
    for (from, next) in [
        ("2026-01-01T00:00:59.999Z", "2026-01-01T00:01:00Z"),
        ("2026-01-01T00:01:00Z", "2026-01-01T00:02:00Z"),
        ("2026-01-01T00:01:00.001Z", "2026-01-01T00:02:00Z"),
    ] {
        assert_eq!(cron.next_after(at(from)), Some(at(next)), "{from}");
    }
}

#[test]
fn some_times_never_come() {
    assert_eq!(Cron::parse("0 0 30 2 *", BERLIN).unwrap().next_after(at("2026-01-01T00:00:00Z")), None);
    assert_eq!(Cron::parse("* * * * *", "UTC").unwrap().next_after(Timestamp(i64::MAX)), None);
}

#[test]
fn what_is_wrong_is_said() {
    let wrong = |cron, zone| Cron::parse(cron, zone).unwrap_err().to_string();
    expect!["there is no time zone `Europe/Atlantis`"].assert_eq(&wrong("* * * * *", "Europe/Atlantis"));
    assert!(wrong("60 * * * *", "UTC").starts_with("`60 * * * *` is no cron expression: "));
}
