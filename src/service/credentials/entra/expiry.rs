//! When a token ends, in the forms that managed identities and developers' tools write it in.
//!
//! Seconds since the Unix epoch come as a number or as a text. Dates come from version 2017-09-01 of App Service and from
//! Azure Machine Learning (`09/14/2017 00:00:00 +00:00`, and in the 12-hour form on Windows,
//! `9/14/2017 12:00:00 AM +00:00`), and in ISO 8601 from `azd`.

use azure_core::time::OffsetDateTime;
use serde_json::Value;
use time::{Date, Month, PrimitiveDateTime, Time, UtcOffset};

/// `None` if it is in no form that is known.
pub(super) fn parse(value: &Value) -> Option<OffsetDateTime> {
    match value {
        Value::Number(number) => seconds(number.as_f64()?),
        Value::String(text) => {
            let text = text.trim();
            text.parse().ok().map_or_else(|| date(text), seconds)
        }
        _ => None,
    }
}

fn seconds(number: f64) -> Option<OffsetDateTime> {
    // Whole seconds up to the year 9999 have an exact form.
    let whole = (0.0..253_402_300_800.0).contains(&number).then_some(number as i64)?;
    OffsetDateTime::from_unix_timestamp(whole).ok()
}

/// A date and a time of day, then a marker of the half of the day, and an offset; without one it is UTC.
fn date(text: &str) -> Option<OffsetDateTime> {
    let (day, rest) = text.split_once(['T', 't', ' '])?;
    let day = match day.contains('/') {
        true => {
            let [month, day, year] = numbers(day, '/')?;
            calendar(year, month, day)?
        }
        false => {
            let [year, month, day] = numbers(day, '-')?;
            calendar(year, month, day)?
        }
    };
    let rest = rest.trim();
    let clock_length = rest.find(|c: char| !c.is_ascii_digit() && c != ':').unwrap_or(rest.len());
    let (clock, rest) = rest.split_at_checked(clock_length)?;
    let [hour, minute, second] = numbers(clock, ':')?;
    // Fractions of a second do not matter.
    let rest = match rest.strip_prefix('.') {
        Some(fraction) => fraction.trim_start_matches(|c: char| c.is_ascii_digit()),
        None => rest,
    };
    let rest = rest.trim().to_ascii_uppercase();
    let (hour, rest) = match (rest.strip_prefix("AM"), rest.strip_prefix("PM")) {
        (Some(rest), _) if (1..=12).contains(&hour) => (hour % 12, rest),
        (_, Some(rest)) if (1..=12).contains(&hour) => (hour % 12 + 12, rest),
        (None, None) => (hour, &*rest),
        _ => return None,
    };
    let byte = |number: i32| u8::try_from(number).ok();
    let time = Time::from_hms(byte(hour)?, byte(minute)?, byte(second)?).ok()?;
    Some(PrimitiveDateTime::new(day, time).assume_offset(offset(rest.trim())?))
}

fn offset(text: &str) -> Option<UtcOffset> {
    let sign = match text.as_bytes() {
        [] | b"Z" | b"UTC" | b"GMT" => return Some(UtcOffset::UTC),
        [b'+', ..] => 1,
        [b'-', ..] => -1,
        _ => return None,
    };
    let digits = text.get(1..)?.replace(':', "");
    let (hours, minutes) = digits.split_at_checked(2)?;
    let part = |part: &str| part.parse::<i8>().ok().map(|number| number * sign);
    UtcOffset::from_hms(part(hours)?, if minutes.is_empty() { 0 } else { part(minutes)? }, 0).ok()
}

fn numbers(text: &str, separator: char) -> Option<[i32; 3]> {
    let parts = text.split(separator).map(|part| part.parse().ok());
    parts.collect::<Option<Vec<_>>>()?.try_into().ok()
}

fn calendar(year: i32, month: i32, day: i32) -> Option<Date> {
    let month = Month::try_from(u8::try_from(month).ok()?).ok()?;
    Date::from_calendar_date(year, month, u8::try_from(day).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_is_read() {
        let seconds = |value: Value| parse(&value).map(OffsetDateTime::unix_timestamp);
        let evening = 1_586_984_735; // 15 April 2020, 21:05:35 UTC
        for form in [
            evening.into(),
            Value::from(1_586_984_735.9),
            "1586984735".into(),
            " 1586984735.0 ".into(),
            "04/15/2020 21:05:35 +00:00".into(),
            "4/15/2020 9:05:35 PM +00:00".into(),
            "4/15/2020 9:05:35 pm".into(),
            "04/15/2020 23:05:35 +02:00".into(),
            "2020-04-15T21:05:35Z".into(),
            "2020-04-15T21:05:35.1234567+00:00".into(),
            "2020-04-15 16:05:35-0500".into(),
            "2020-04-15T21:05:35".into(),
        ] {
            assert_eq!(seconds(Value::clone(&form)), Some(evening), "{form}");
        }
        let midnight = seconds("9/14/2017 12:00:00 AM +00:00".into());
        assert_eq!(midnight, seconds("09/14/2017 00:00:00 +00:00".into()));
        assert_eq!(seconds("9/14/2017 12:00:00 PM +00:00".into()), midnight.map(|at| at + 12 * 3600));
        for form in [
            Value::Null,
            "".into(),
            "soon".into(),
            "-1".into(),
            "1e300".into(),
            "NaN".into(),
            "15/04/2020 21:05:35".into(),
            "04/15/2020 13:05:35 PM".into(),
            "04/15/2020 00:05:35 AM".into(),
            "04/15/2020".into(),
            "2020-04-15T25:05:35Z".into(),
            "2020-04-15T21:05:35 +99:00".into(),
            "2020-04-15T21:05:35 é".into(),
        ] {
            assert_eq!(seconds(Value::clone(&form)), None, "{form}");
        }
    }
}
