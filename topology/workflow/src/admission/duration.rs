//! Durations of the language: ISO 8601 (`P1DT2H`, `PT0.5S`) or an object (`{hours: 2}`).

use std::time::Duration;

use serde_json::Value;

/// Longest duration: ten years. Longer ones are mistakes.
const SECONDS_MAX: f64 = 10.0 * 366.0 * 86_400.0;

/// Reads a duration object or text.
///
/// # Errors
/// What is wrong with it.
pub fn parse(value: &Value) -> Result<Duration, String> {
    match value {
        Value::String(text) => parse_iso8601(text),
        Value::Object(parts) => {
            let mut seconds = 0.0;
            for (unit, amount) in parts {
                let amount = amount.as_f64().ok_or_else(|| format!("`{unit}` must be a number"))?;
                seconds += amount
                    * match unit.as_str() {
                        "days" => 86_400.0,
                        "hours" => 3_600.0,
                        "minutes" => 60.0,
                        "seconds" => 1.0,
                        "milliseconds" => 0.001,
                        _ => {
                            return Err(format!(
                                "`{unit}` is no unit: use days, hours, minutes, seconds, milliseconds"
                            ));
                        }
                    };
            }
            of_seconds(seconds)
        }
        _ => Err("expected ISO 8601 text such as PT30S, or an object such as {seconds: 30}".to_owned()),
    }
}

fn parse_iso8601(text: &str) -> Result<Duration, String> {
    let wrong = || {
        format!(
            "{text:?} is no ISO 8601 duration of days, hours, minutes and seconds, such as P1DT2H or PT0.5S"
        )
    };
    let rest = text.strip_prefix('P').ok_or_else(wrong)?;
    let (date, time) = match rest.split_once('T') {
        Some((_, "")) => return Err(wrong()),
        Some((date, time)) => (date, time),
        None => (rest, ""),
    };
    if date.is_empty() && time.is_empty() {
        return Err(wrong());
    }
    let mut seconds = 0.0;
    for (part, units) in [
        (date, &[('W', 604_800.0), ('D', 86_400.0)][..]),
        (time, &[('H', 3_600.0), ('M', 60.0), ('S', 1.0)][..]),
    ] {
        let mut part = part;
        let mut units = units.iter();
        while !part.is_empty() {
            let end = part.find(|c: char| c.is_ascii_alphabetic()).ok_or_else(wrong)?;
            let unit = part[end..].chars().next().ok_or_else(wrong)?;
            // Units must come in their order, each once.
            let (_, factor) = units.find(|it| it.0 == unit).ok_or_else(wrong)?;
            let amount = &part[..end];
            if !amount.starts_with(|c: char| c.is_ascii_digit()) {
                return Err(wrong());
            }
            seconds += amount.parse::<f64>().map_err(|_| wrong())? * factor;
            part = &part[end + 1..];
        }
    }
    of_seconds(seconds)
}

fn of_seconds(seconds: f64) -> Result<Duration, String> {
    if !(0.0..=SECONDS_MAX).contains(&seconds) {
        return Err("a duration must be from 0 to ten years".to_owned());
    }
    // To the millisecond, which is as fine as timers are.
    Ok(Duration::from_millis((seconds * 1000.0).round() as u64))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn durations_are_read() {
        for (value, ms) in [
            (json!("PT30S"), 30_000),
            (json!("P1DT2H"), 93_600_000),
            (json!("PT0.25S"), 250),
            (json!("PT1H2M3S"), 3_723_000),
            (json!("P2W"), 1_209_600_000),
            (json!("PT0S"), 0),
            (json!({"minutes": 1, "milliseconds": 5}), 60_005),
        ] {
            assert_eq!(parse(&value), Ok(Duration::from_millis(ms)), "{value}");
        }
    }

    #[test]
    fn what_is_no_duration_is_refused() {
        for value in [
            json!("30s"),
            json!("P"),
            json!("PT"),
            json!("PT5"),
            json!("P5M"),
            json!("PT1S1H"),
            json!("PT-1S"),
            json!("P1Y"),
            json!("P99999D"),
            json!({"weeks": 1}),
            json!({"seconds": "x"}),
            json!(5),
            json!("PTS"),
        ] {
            assert!(parse(&value).is_err(), "{value}");
        }
    }
}
