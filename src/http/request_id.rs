//! The id by which a request is found in logs: the client's or its proxy's, else a new one.

use std::fmt;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

use hyper::header::{HeaderMap, HeaderName, HeaderValue};

pub(super) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
pub(super) const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const LENGTH_MAX: usize = 128;

/// Letters, digits and `-_.:`, hence safe in a log and in a header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RequestId(HeaderValue);

impl RequestId {
    /// `X-Request-Id`, else the trace of `traceparent` (W3C Trace Context, section 3.2), else minted.
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let text = |name: &HeaderName| headers.get(name)?.to_str().ok();
        Self::of_texts(text(&X_REQUEST_ID), text(&TRACEPARENT))
    }

    /// The same, from the values of the two headers.
    pub(super) fn of_texts(id: Option<&str>, parent: Option<&str>) -> Self {
        let given = id.filter(|id| is_sane(id));
        let given = given.or_else(|| trace(parent?));
        let given = given.and_then(|text| HeaderValue::from_str(text).ok());
        given.map_or_else(Self::mint, Self)
    }

    pub(super) fn as_str(&self) -> &str {
        self.0.to_str().unwrap_or_default()
    }

    /// The form of a trace id: 32 hexadecimal digits, unique to this process and in it.
    fn mint() -> Self {
        static PROCESS: LazyLock<u64> =
            LazyLock::new(|| RandomState::new().build_hasher().finish());
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let text = format!("{:016x}{number:016x}", *PROCESS);
        // Hexadecimal digits fit every header.
        Self(HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static("-")))
    }

    pub(super) fn into_header(self) -> HeaderValue {
        self.0
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

fn is_sane(id: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte);
    (1..=LENGTH_MAX).contains(&id.len()) && id.bytes().all(plain)
}

/// The trace id of a `traceparent`.
fn trace(parent: &str) -> Option<&str> {
    let mut fields = parent.split('-');
    let version = fields.next()?;
    let trace = fields.next()?;
    let digits = |text: &str, count| {
        let digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        text.len() == count && text.bytes().all(digit)
    };
    let is_id = |text: &str, count| digits(text, count) && text.bytes().any(|byte| byte != b'0');
    let sane = digits(version, 2)
        && version != "ff"
        && is_id(trace, 32)
        && fields.next().is_some_and(|parent| is_id(parent, 16))
        && fields.next().is_some_and(|flags| digits(flags, 2));
    sane.then_some(trace)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(headers: &[(&'static str, &str)]) -> String {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.insert(*name, value.parse().unwrap());
        }
        RequestId::of(&map).to_string()
    }

    #[test]
    fn the_id_is_the_clients_if_it_is_sane() {
        const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
        let parent = format!("00-{TRACE}-00f067aa0ba902b7-01");
        assert_eq!(id(&[("x-request-id", "a-B_1.2:3")]), "a-B_1.2:3");
        assert_eq!(id(&[("traceparent", &parent)]), TRACE);
        let both = [("traceparent", parent.as_str()), ("x-request-id", "mine")];
        assert_eq!(id(&both), "mine");
        let refused = [("traceparent", parent.as_str()), ("x-request-id", "a b")];
        assert_eq!(id(&refused), TRACE);
    }

    #[test]
    fn anything_else_is_replaced_by_a_new_id() {
        let long = "a".repeat(LENGTH_MAX + 1);
        let zero = format!("00-{}-00f067aa0ba902b7-01", "0".repeat(32));
        let mut seen = Vec::new();
        for headers in [
            vec![],
            vec![("x-request-id", "")],
            vec![("x-request-id", "a\"b")],
            vec![("x-request-id", long.as_str())],
            vec![("traceparent", zero.as_str())],
            vec![("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736")],
            vec![("traceparent", "4bf92f3577b34da6a3ce929d0e0e4736")],
        ] {
            let minted = id(&headers);
            assert_eq!(minted.len(), 32, "{headers:?}");
            assert!(minted.bytes().all(|byte| byte.is_ascii_hexdigit()));
            assert!(!seen.contains(&minted), "{minted}");
            seen.push(minted);
        }
    }
}
