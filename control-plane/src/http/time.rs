//! Times as text: RFC 3339 in UTC, in bodies of `/v1`. Seconds in, milliseconds or seconds out.

use ::time::OffsetDateTime;
use ::time::format_description::well_known::Rfc3339;
use serde::{Serialize, Serializer};
use shared::time::{UnixMillis, UnixSeconds};
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{KnownFormat, ObjectBuilder, Schema, SchemaFormat, Type};
use utoipa::{PartialSchema, ToSchema};

/// A time that is written as RFC 3339.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp(pub UnixMillis);

impl From<UnixMillis> for Timestamp {
    fn from(at: UnixMillis) -> Self {
        Self(at)
    }
}

impl From<UnixSeconds> for Timestamp {
    fn from(at: UnixSeconds) -> Self {
        Self(at.millis())
    }
}

impl PartialSchema for Timestamp {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(Type::String)
            .format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime)))
            .examples(["2026-11-22T12:00:00Z"])
            .into()
    }
}

impl ToSchema for Timestamp {}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&format_rfc3339(self.0))
    }
}

/// `2026-11-21T23:08:40.123Z`; without the fraction where it is zero.
pub fn format_rfc3339(at: UnixMillis) -> String {
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(at.0) * 1_000_000)
        .ok()
        .and_then(|time| time.format(&Rfc3339).ok())
        // Beyond the year 9999, which no check lets in.
        .unwrap_or_else(|| at.0.to_string())
}

/// The second that an RFC 3339 text names; `None` if it is not one, or before 1970. A fraction is cut off.
pub fn parse_rfc3339(text: &str) -> Option<UnixSeconds> {
    let seconds = OffsetDateTime::parse(text, &Rfc3339).ok()?.unix_timestamp();
    u64::try_from(seconds).ok().map(UnixSeconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back() {
        assert_eq!(
            format_rfc3339(UnixMillis(1_795_302_520_000)),
            "2026-11-21T23:08:40Z"
        );
        assert_eq!(
            format_rfc3339(UnixMillis(1_795_302_520_120)),
            "2026-11-21T23:08:40.12Z"
        );
        assert_eq!(
            parse_rfc3339("2026-11-21T23:08:40Z"),
            Some(UnixSeconds(1_795_302_520))
        );
        assert_eq!(
            parse_rfc3339("2026-11-22T00:08:40.9+01:00"),
            Some(UnixSeconds(1_795_302_520))
        );
        for wrong in [
            "",
            "2026-11-21",
            "1795302520",
            "2026-11-21T23:08:40",
            "1969-12-31T23:59:59Z",
            "2026-13-01T00:00:00Z",
        ] {
            assert_eq!(parse_rfc3339(wrong), None, "{wrong}");
        }
    }
}
