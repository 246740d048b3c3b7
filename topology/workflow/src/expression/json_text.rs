//! What a text will take when it is read as JSON, counted before jaq reads it: its parser calls itself for each bracket, and asks nobody.

use super::meter::{self, DIGITS_MAX, Stop, VALUE_DEPTH_MAX};

/// Refuses what is nested too deeply, or would take too much; gives how deep it is nested.
pub(super) fn check(text: &[u8]) -> usize {
    meter::spend(1 + text.len() as u64 / 4);
    let mut bytes = 2 * text.len();
    let mut depth_max = 0;
    // Whether each open bracket is a mapping's.
    let mut open: Vec<bool> = Vec::new();
    let mut digits = 0;
    let mut not_numbers = 0_u64;
    let mut at = 0;
    while let Some(byte) = text.get(at) {
        at += 1;
        digits = if matches!(byte, b'0'..=b'9' | b'.') { digits + 1 } else { 0 };
        if digits > DIGITS_MAX {
            meter::stop(Stop::Digits);
        }
        match byte {
            b'"' => {
                bytes += 96;
                at += string_end(&text[at..]);
            }
            // jaq reads comments.
            b'#' => at += text[at..].iter().position(|it| *it == b'\n').unwrap_or(text.len() - at),
            b'[' | b'{' => {
                let is_mapping = *byte == b'{';
                bytes += if is_mapping { 400 } else { 128 };
                open.push(is_mapping);
                depth_max = depth_max.max(open.len());
                if depth_max > VALUE_DEPTH_MAX {
                    meter::stop(Stop::Depth);
                }
            }
            b']' | b'}' => {
                open.pop();
            }
            b',' => bytes += if open.last() == Some(&true) { 144 } else { 64 },
            b'N' => not_numbers += 1,
            _ => {}
        }
    }
    // NaN is never the key that is there already, and all of them fall on one place.
    meter::spend(not_numbers.saturating_mul(not_numbers) / 4);
    meter::need(bytes);
    depth_max
}

/// Where a string ends that has begun, behind its quote.
fn string_end(text: &[u8]) -> usize {
    let mut at = 0;
    while let Some(byte) = text.get(at) {
        match byte {
            b'"' => return at + 1,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    text.len()
}
