//! What a regular expression will take, counted before it is compiled and run.
//!
//! jaq's engine takes time in proportion to the text and to the states of the pattern, and compiles it at each call. The states are
//! estimated here: a pattern of a few bytes, `(a{1000}){1000}`, has a million.

use super::meter::{self, Stop};

/// Most states of a pattern, times its groups.
const STATES_MAX: u64 = 20_000;
/// Most bytes of a pattern.
const PATTERN_BYTES_MAX: usize = 4096;

/// Counts what it takes to look for `pattern` in a text of so many bytes.
pub(super) fn check(pattern: &[u8], flags: &[u8], text_bytes: usize) {
    if pattern.len() > PATTERN_BYTES_MAX {
        meter::stop(Stop::Regex);
    }
    let shape = Shape::of(pattern, flags);
    let states = shape.states.saturating_mul(1 + shape.groups);
    if states > STATES_MAX {
        meter::stop(Stop::Regex);
    }
    let bytes = text_bytes as u64 + 1;
    let is_global = flags.contains(&b'g');
    let mut steps = states * bytes / 4;
    if is_global && shape.may_look_far {
        // It may look at the whole rest of the text for each match.
        steps += states.saturating_mul(bytes).saturating_mul(bytes) / 16;
    }
    meter::spend(200 + 4 * states + steps);
    let matches_max = if is_global { bytes } else { 1 };
    meter::need((states * 64 + matches_max * (100 + 130 * (1 + shape.groups))) as usize);
}

struct Shape {
    states: u64,
    groups: u64,
    /// Whether it may look at more text than it then matches: not if all it repeats without end is its last part.
    may_look_far: bool,
}

impl Shape {
    fn of(pattern: &[u8], flags: &[u8]) -> Self {
        let mut groups = 0;
        // States of each open group, the pattern itself first, and of the last part.
        let mut open: Vec<u64> = vec![0];
        let mut last = 0_u64;
        let mut endless = 0;
        let mut endless_at_end = false;
        let mut has_choice = false;
        let mut all_repetitions = 1_u64;
        let mut at = 0;
        while let Some(byte) = pattern.get(at) {
            at += 1;
            let mut part = 0;
            match byte {
                b'(' => {
                    groups += 1;
                    open.push(2);
                    last = 0;
                    continue;
                }
                b')' => {
                    // What closes nothing is no regular expression; it is refused later.
                    let inner = if open.len() > 1 { open.pop().unwrap_or(0) } else { 0 };
                    part = inner;
                }
                b'|' => {
                    has_choice = true;
                    part = 1;
                }
                b'*' | b'+' | b'?' => {
                    if *byte != b'?' {
                        endless += 1;
                        endless_at_end = pattern[at..].iter().all(|it| matches!(it, b'?' | b')'));
                    }
                    add(&mut open, 1);
                    continue;
                }
                b'{' => {
                    let end = pattern[at..].iter().position(|it| *it == b'}').unwrap_or(0);
                    let (times, is_endless) = repetition(&pattern[at..at + end]);
                    if is_endless {
                        endless += 1;
                        endless_at_end = pattern[at + end..].iter().all(|it| matches!(it, b'}' | b'?'));
                    }
                    all_repetitions = all_repetitions.saturating_mul(times.max(1));
                    let more = last.saturating_mul(times);
                    add(&mut open, more);
                    last = last.saturating_add(more);
                    at += end;
                    continue;
                }
                b'[' => {
                    let length = class_length(&pattern[at..]);
                    at += length;
                    part = 1 + length as u64;
                }
                b'\\' => {
                    at += 1;
                    part = 4;
                }
                _ => part += 1,
            }
            add(&mut open, part);
            last = part;
        }
        let mut states = open.iter().fold(2_u64, |sum, it| sum.saturating_add(*it));
        let has_comment =
            pattern.contains(&b'#') && (flags.contains(&b'x') || pattern.windows(2).any(|it| it == b"(?"));
        if has_comment {
            // A comment may hide brackets, so nothing is known of what is repeated.
            states = (pattern.len() as u64).saturating_mul(4).saturating_mul(all_repetitions);
        }
        let may_look_far = endless > 0 && (has_choice || endless > 1 || !endless_at_end || has_comment);
        Self { states, groups, may_look_far }
    }
}

fn add(open: &mut [u64], states: u64) {
    if let Some(here) = open.last_mut() {
        *here = here.saturating_add(states);
    }
}

/// How often `n`, `n,` or `n,m` repeats, and whether without end.
fn repetition(text: &[u8]) -> (u64, bool) {
    let text = String::from_utf8_lossy(text);
    let mut numbers = text.split(',').map(|it| it.trim().parse::<u64>().unwrap_or(0));
    let times = numbers.by_ref().take(2).max().unwrap_or(0);
    (times, text.trim_end().ends_with(','))
}

/// How long a class is, behind its `[`.
fn class_length(text: &[u8]) -> usize {
    let mut at = usize::from(text.first() == Some(&b'^'));
    // The first bracket is one of the characters.
    at += usize::from(text.get(at) == Some(&b']'));
    while let Some(byte) = text.get(at) {
        match byte {
            b']' => return at + 1,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    text.len()
}
