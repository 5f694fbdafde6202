use std::fmt;
use std::time::Duration;

use chrono::{DateTime, NaiveDateTime, SecondsFormat, Utc};

/// A moment in UTC with microseconds, as the catalog stores it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// Microseconds since 1970-01-01T00:00:00Z.
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// Seconds since 1970-01-01T00:00:00Z; saturates far outside any calendar.
    pub const fn from_seconds(seconds: i64) -> Self {
        Self(seconds.saturating_mul(1_000_000))
    }

    /// The current moment of the system's clock.
    pub fn now() -> Self {
        Self(Utc::now().timestamp_micros())
    }

    /// Microseconds since 1970-01-01T00:00:00Z.
    pub const fn micros(self) -> i64 {
        self.0
    }

    /// Whole seconds since 1970-01-01T00:00:00Z, rounded down.
    pub const fn seconds(self) -> i64 {
        self.0.div_euclid(1_000_000)
    }

    /// Reads RFC 3339 with `Z` or an offset, with or without a fraction.
    pub fn parse(text: &str) -> Option<Self> {
        let moment = DateTime::parse_from_rfc3339(text).ok()?;
        Some(Self(moment.timestamp_micros()))
    }

    /// RFC 3339 with nanoseconds, as batch tokens carry it.
    pub fn to_nanos_text(self) -> String {
        self.calendar().to_rfc3339_opts(SecondsFormat::Nanos, true)
    }

    /// The date of HTTP headers (RFC 9110, section 5.6.7).
    pub fn to_http_date(self) -> String {
        self.calendar()
            .format("%a, %d %b %Y %H:%M:%S GMT")
            .to_string()
    }

    /// Reads a date of HTTP, in the three forms which RFC 9110, section 5.6.7, wants understood.
    pub fn parse_http_date(text: &str) -> Option<Self> {
        const FORMS: [&str; 3] = [
            "%a, %d %b %Y %H:%M:%S GMT",
            "%A, %d-%b-%y %H:%M:%S GMT",
            "%a %b %e %H:%M:%S %Y",
        ];
        let mut moments = FORMS
            .iter()
            .filter_map(|form| NaiveDateTime::parse_from_str(text.trim(), form).ok());
        let moment = moments.next()?;
        Some(Self(moment.and_utc().timestamp_micros()))
    }

    /// This moment and `duration` more.
    #[must_use]
    pub fn after(self, duration: Duration) -> Self {
        let micros = i64::try_from(duration.as_micros()).unwrap_or(i64::MAX);
        Self(self.0.saturating_add(micros))
    }

    /// This moment less `duration`.
    #[must_use]
    pub fn before(self, duration: Duration) -> Self {
        let micros = i64::try_from(duration.as_micros()).unwrap_or(i64::MAX);
        Self(self.0.saturating_sub(micros))
    }

    fn calendar(self) -> DateTime<Utc> {
        DateTime::from_timestamp_micros(self.0).unwrap_or(DateTime::<Utc>::MAX_UTC)
    }
}

/// RFC 3339 in UTC with milliseconds: `2026-05-01T09:30:12.417Z`.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.calendar().to_rfc3339_opts(SecondsFormat::Millis, true))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_documented_spelling_of_a_moment_is_read() {
        let expected = Timestamp::from_seconds(1_893_456_000);
        for text in [
            "2030-01-01T00:00:00Z",
            "2030-01-01T00:00:00+00:00",
            "2030-01-01T01:00:00.000000+01:00",
        ] {
            assert_eq!(Timestamp::parse(text), Some(expected), "{text}");
        }
        assert_eq!(Timestamp::parse("tomorrow"), None);
    }

    #[test]
    fn moments_print_as_clients_read_them() {
        let moment = Timestamp::from_micros(1_400_000_000_123_456);
        assert_eq!(moment.to_string(), "2014-05-13T16:53:20.123Z");
        assert_eq!(moment.to_http_date(), "Tue, 13 May 2014 16:53:20 GMT");
        assert_eq!(moment.to_nanos_text(), "2014-05-13T16:53:20.123456000Z");
    }

    #[test]
    fn every_form_of_a_date_of_http_is_read() {
        let expected = Timestamp::from_seconds(784_111_777);
        for text in [
            "Sun, 06 Nov 1994 08:49:37 GMT",
            "Sunday, 06-Nov-94 08:49:37 GMT",
            "Sun Nov  6 08:49:37 1994",
        ] {
            assert_eq!(Timestamp::parse_http_date(text), Some(expected), "{text}");
        }
        for broken in ["0", "", "tomorrow", "Sun, 06 Nov 1994 08:49:37 CET"] {
            assert_eq!(Timestamp::parse_http_date(broken), None, "{broken}");
        }
    }
}
