//! How an OCI runtime says that it failed: on stderr, and in the log its caller named.

use crate::call::Call;
use serde_json::json;
use std::fs;
use std::io::Write;

/// Says a failure where the caller looks for it: the log it asked for, and stderr.
pub fn report(call: &Call, reason: &str) {
    eprintln!("wasmdock: {reason}");
    let Some(log) = &call.log else { return };
    if let Ok(mut file) = fs::OpenOptions::new().create(true).append(true).open(log) {
        let entry = json!({"level": "error", "msg": format!("wasmdock: {reason}"), "time": now()});
        let _ = writeln!(file, "{entry}");
    }
}

/// The time as RFC 3339 in UTC; the civil date by the usual count of days from 0000-03-01.
fn now() -> String {
    let elapsed = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    timestamp(elapsed.map_or(0, |elapsed| elapsed.as_secs()))
}

fn timestamp(seconds: u64) -> String {
    let (days, rest) = (seconds / 86_400 + 719_468, seconds % 86_400);
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 {
        shifted + 3
    } else {
        shifted - 9
    };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (rest / 3600, rest / 60 % 60, rest % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_civil_dates() {
        assert_eq!(timestamp(0), "1970-01-01T00:00:00Z");
        assert_eq!(timestamp(951_827_696), "2000-02-29T12:34:56Z");
    }
}
