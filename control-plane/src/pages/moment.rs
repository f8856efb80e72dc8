//! A point in time on a page: for people, in UTC, and for machines. Without JavaScript nobody knows their time zone.

use shared::time::UnixMillis;
use time::OffsetDateTime;

use crate::http::time::format_rfc3339;

/// A point in time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moment {
    /// RFC 3339, for `datetime`.
    pub iso: String,
    /// `21 November 2026, 23:08 UTC`.
    pub words: String,
    /// For tables: `21 Nov 2026, 23:08`, in UTC too.
    pub short: String,
    /// Where the hour does not matter: `21 Nov 2026`.
    pub date: String,
}

impl Moment {
    /// A day since the epoch as charts name it: `21 Nov`.
    pub fn day(day: u64) -> String {
        let seconds = i64::try_from(day.saturating_mul(86_400)).unwrap_or(i64::MAX);
        OffsetDateTime::from_unix_timestamp(seconds).map_or_else(
            |_| day.to_string(),
            |time| {
                let month = time.month().to_string();
                format!("{} {}", time.day(), month.get(..3).unwrap_or_default())
            },
        )
    }
}

impl From<UnixMillis> for Moment {
    fn from(at: UnixMillis) -> Self {
        let iso = format_rfc3339(at.seconds().millis());
        let seconds = i64::try_from(at.seconds().0).unwrap_or(i64::MAX);
        let Ok(time) = OffsetDateTime::from_unix_timestamp(seconds) else {
            return Self {
                words: iso.clone(),
                short: iso.clone(),
                date: iso.clone(),
                iso,
            };
        };
        let (day, month, year) = (time.day(), time.month().to_string(), time.year());
        let clock = format!("{:02}:{:02}", time.hour(), time.minute());
        let brief = month.get(..3).unwrap_or_default();
        Self {
            words: format!("{day} {month} {year}, {clock} UTC"),
            short: format!("{day} {brief} {year}, {clock}"),
            date: format!("{day} {brief} {year}"),
            iso,
        }
    }
}
