//! How long a source may be used without asking its origin again (RFC 9111; transformations.md,
//! section 6.5).

use std::time::Duration;

use model::Timestamp;

/// What the headers of an answer say about keeping it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Freshness {
    /// Neither `no-store` nor `private`.
    pub(crate) storable: bool,
    /// `no-cache`: nothing is used without asking.
    ask_always: bool,
    /// `must-revalidate`: nothing is used when it is stale, and no least time holds.
    strict: bool,
    /// Since the origin made the answer, in seconds.
    lifetime: Option<u64>,
}

/// The headers which say it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct CacheHeaders<'a> {
    pub(crate) cache_control: Option<&'a str>,
    pub(crate) expires: Option<&'a str>,
    pub(crate) date: Option<&'a str>,
    /// What `Vary` names.
    pub(crate) vary: Option<&'a str>,
}

/// How old an answer is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Age {
    /// What it had when it came, in seconds.
    pub(crate) at_first: u64,
    /// Since it came, or was last found unchanged.
    pub(crate) resident: Duration,
}

/// What is useful for renditions; less draws a warning.
const USEFUL: u64 = 3_600;

/// How long a stale source stands in for one which cannot be fetched.
const STALE_MAX: u64 = 86_400;

impl Freshness {
    pub(crate) fn of(headers: CacheHeaders<'_>, received: Timestamp) -> Self {
        let control = headers.cache_control.unwrap_or_default();
        let mut directives = control.split(',').map(|piece| {
            let (name, value) = piece.split_once('=').unwrap_or((piece, ""));
            (
                name.trim().to_ascii_lowercase(),
                value.trim().trim_matches('"'),
            )
        });
        let directives: Vec<_> = directives.by_ref().collect();
        let has = |name: &str| directives.iter().any(|(known, _)| known == name);
        // What cannot be read is stale, as the standard advises.
        let seconds = |name: &str| {
            let (_, value) = directives.iter().find(|(known, _)| known == name)?;
            Some(value.parse::<u64>().unwrap_or(0))
        };
        let expires = || {
            let expires = Timestamp::parse_http_date(headers.expires?);
            let date = headers.date.and_then(Timestamp::parse_http_date);
            let from = date.unwrap_or(received).seconds();
            let left = expires.map_or(0, |expires| expires.seconds().saturating_sub(from));
            Some(u64::try_from(left).unwrap_or(0))
        };
        let varies_in_all = headers.vary.is_some_and(|vary| vary.trim() == "*");
        Self {
            storable: !has("no-store") && !has("private"),
            ask_always: has("no-cache") || varies_in_all,
            strict: has("must-revalidate") || has("proxy-revalidate"),
            lifetime: seconds("s-maxage")
                .or_else(|| seconds("max-age"))
                .or_else(expires),
        }
    }

    /// Whether the answer may be used as it is. Unless its origin insists, it may for at least
    /// `ttl_min`.
    pub(crate) fn is_fresh(&self, age: Age, ttl_min: Duration) -> bool {
        if self.ask_always || !self.storable {
            return false;
        }
        if age.resident < ttl_min && !(self.strict && self.lifetime.is_some()) {
            return true;
        }
        let current = age.at_first.saturating_add(age.resident.as_secs());
        self.lifetime.is_some_and(|lifetime| current < lifetime)
    }

    /// Whether the answer may be used when its origin fails.
    pub(crate) fn stands_in(&self, age: Age, ttl_min: Duration) -> bool {
        let lifetime = self.lifetime.unwrap_or(0).max(ttl_min.as_secs());
        let stale = age.resident.as_secs().saturating_sub(lifetime);
        self.storable && !self.ask_always && !self.strict && stale < STALE_MAX
    }

    /// Whether the origin allows less than renditions need to be of use.
    pub(crate) fn is_restrictive(&self) -> bool {
        let short = self.lifetime.is_some_and(|lifetime| lifetime < USEFUL);
        !self.storable || self.ask_always || short
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_hours(1);

    fn control(text: &str) -> Freshness {
        let headers = CacheHeaders {
            cache_control: Some(text),
            ..CacheHeaders::default()
        };
        Freshness::of(headers, Timestamp::from_seconds(0))
    }

    fn age(at_first: u64, resident: u64) -> Age {
        Age {
            at_first,
            resident: Duration::from_secs(resident),
        }
    }

    #[test]
    fn an_hour_is_the_least_unless_the_origin_insists() {
        for (text, at_first, resident, expected) in [
            ("", 0, 3_599, true),
            ("", 0, 3_600, false),
            ("max-age=60", 0, 3_599, true),
            ("max-age=60", 60, 0, true),
            ("max-age=60", 0, 3_600, false),
            ("max-age=7200", 0, 7_199, true),
            ("max-age=7200", 0, 7_200, false),
            ("max-age=7200", 3_600, 3_600, false),
            ("Max-Age = \"7200\"", 0, 7_199, true),
            ("max-age=60, s-maxage=7200", 0, 7_199, true),
            ("max-age=7200, s-maxage=60", 0, 3_601, false),
            ("max-age=60, must-revalidate", 0, 59, true),
            ("max-age=60, must-revalidate", 0, 60, false),
            ("max-age=60, must-revalidate", 60, 0, false),
            ("max-age=60, proxy-revalidate", 0, 61, false),
            ("max-age=0, s-maxage=300, must-revalidate", 0, 299, true),
            ("max-age=0, s-maxage=300, must-revalidate", 0, 300, false),
            ("must-revalidate", 0, 3_599, true),
            ("max-age=soon, must-revalidate", 0, 0, false),
            ("no-cache", 0, 0, false),
            ("no-store", 0, 0, false),
            ("private, max-age=9999", 0, 0, false),
        ] {
            let fresh = control(text).is_fresh(age(at_first, resident), HOUR);
            assert_eq!(fresh, expected, "{text} {at_first} {resident}");
        }
    }

    #[test]
    fn expires_counts_where_cache_control_says_nothing() {
        let of = |cache_control, expires, vary| {
            let headers = CacheHeaders {
                cache_control,
                expires: Some(expires),
                date: Some("Sun, 06 Nov 1994 08:00:00 GMT"),
                vary,
            };
            Freshness::of(headers, Timestamp::from_seconds(0))
        };
        let ten = "Sun, 06 Nov 1994 10:00:00 GMT";
        assert!(of(None, ten, None).is_fresh(age(0, 7_199), HOUR));
        assert!(!of(None, ten, None).is_fresh(age(0, 7_200), HOUR));
        assert!(!of(Some("max-age=60"), ten, None).is_fresh(age(0, 7_199), HOUR));
        let past = of(Some("must-revalidate"), "0", None);
        assert!(!past.is_fresh(age(0, 0), HOUR));
        assert!(!of(None, ten, Some("*")).is_fresh(age(0, 0), HOUR));
    }

    #[test]
    fn short_policies_are_restrictive() {
        for (text, expected) in [
            ("", false),
            ("public, max-age=31536000, immutable", false),
            ("max-age=3600", false),
            ("max-age=1800", true),
            ("max-age=0, s-maxage=300, must-revalidate", true),
            ("private, max-age=9999", true),
            ("no-store", true),
            ("no-cache", true),
        ] {
            assert_eq!(control(text).is_restrictive(), expected, "{text}");
        }
    }

    #[test]
    fn the_stale_stands_in_for_a_day_unless_the_origin_forbids_it() {
        for (text, resident, expected) in [
            ("max-age=60", 90_000 - 1, true),
            ("max-age=60", 90_000, false),
            ("max-age=60, must-revalidate", 61, false),
            ("no-cache", 1, false),
            ("no-store", 1, false),
        ] {
            let stands_in = control(text).stands_in(age(0, resident), HOUR);
            assert_eq!(stands_in, expected, "{text} {resident}");
        }
    }
}
