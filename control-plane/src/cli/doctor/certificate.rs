//! When a certificate ends (RFC 5280 §4.1.2.5): the one value that is read here. Trust is the TLS library's affair.

use shared::time::UnixSeconds;
use time::{Date, Month, OffsetDateTime, Time};

/// `notAfter`; `None` if this is not a certificate as RFC 5280 has it.
pub(super) fn not_after(der: &[u8]) -> Option<UnixSeconds> {
    let (certificate, _) = element(der, 0x30)?;
    let (mut fields, _) = element(certificate, 0x30)?;
    // [0] version, which version 1 lacks.
    if let Some((_, rest)) = element(fields, 0xa0) {
        fields = rest;
    }
    // serialNumber, signature, issuer.
    for tag in [0x02, 0x30, 0x30] {
        (_, fields) = element(fields, tag)?;
    }
    let (validity, _) = element(fields, 0x30)?;
    let (_, rest) = time_value(validity)?;
    time_value(rest).map(|(time, _)| time)
}

/// The content of the first element, if it has this tag, and what follows it.
fn element(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (&[have, length], mut rest) = der.split_first_chunk::<2>()?;
    if have != tag {
        return None;
    }
    let mut size = usize::from(length);
    if length >= 0x80 {
        let (bytes, after) = rest.split_at_checked(usize::from(length & 0x7f))?;
        if bytes.is_empty() || bytes.len() > 3 {
            return None;
        }
        size = bytes
            .iter()
            .fold(0, |size, byte| (size << 8) | usize::from(*byte));
        rest = after;
    }
    rest.split_at_checked(size)
}

/// UTCTime (years 1950 to 2049) or GeneralizedTime.
fn time_value(der: &[u8]) -> Option<(UnixSeconds, &[u8])> {
    let (text, rest) = element(der, 0x17).or_else(|| element(der, 0x18))?;
    let text = std::str::from_utf8(text).ok()?.strip_suffix('Z')?;
    let full = match text.len() {
        12 => format!("{}{text}", if text < "50" { "20" } else { "19" }),
        14 => text.to_owned(),
        _ => return None,
    };
    let part = |from: usize, to: usize| full.get(from..to)?.parse::<u8>().ok();
    let month = Month::try_from(part(4, 6)?).ok()?;
    let date = Date::from_calendar_date(full.get(..4)?.parse().ok()?, month, part(6, 8)?).ok()?;
    let time = Time::from_hms(part(8, 10)?, part(10, 12)?, part(12, 14)?).ok()?;
    let seconds = OffsetDateTime::new_utc(date, time).unix_timestamp();
    Some((UnixSeconds(u64::try_from(seconds).ok()?), rest))
}
