//! Entity tags, conditional requests and ranges (RFC 9110, sections 8.8, 13 and 14).

use std::ops::RangeInclusive;

use bytes::Bytes;
use hyper::header::{
    ACCEPT_RANGES, CONTENT_RANGE, ETAG, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, LAST_MODIFIED,
    RANGE,
};
use hyper::{Method, Request, StatusCode};
use model::{Source, Timestamp};

use super::response::{self, Response};

/// Seconds for which clients may keep what stands in for something better.
pub(super) const SUBSTITUTE_TTL: u32 = 60;

/// What a conditional request is compared with.
pub(super) struct Conditions<'a> {
    /// Strong and quoted.
    pub(super) etag: &'a str,
    /// When the bytes came to be.
    pub(super) modified: Timestamp,
    /// Whether that moment changes with the bytes. It does not for renditions, which depend on
    /// `Accept` and on variants as well.
    pub(super) by_date: bool,
}

/// The entity tag of uploaded bytes.
pub(super) fn source_etag(source: &Source) -> String {
    use std::fmt::Write as _;
    let hash = source.sha256[..16].iter();
    let hash = hash.fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    });
    format!("\"{hash}\"")
}

/// Whether `If-None-Match` names a tag, by the weak comparison.
pub(super) fn names_tag<B>(request: &Request<B>, etag: &str) -> bool {
    let opaque = |tag: &str| tag.strip_prefix("W/").unwrap_or(tag).to_owned();
    let wanted = opaque(etag);
    let lines = request.headers().get_all(IF_NONE_MATCH).iter();
    let mut lines = lines.filter_map(|line| line.to_str().ok());
    // The tag of an origin may hold a comma.
    lines.any(|line| {
        line.trim() == "*"
            || opaque(line.trim()) == wanted
            || line.split(',').any(|tag| opaque(tag.trim()) == wanted)
    })
}

impl Conditions<'_> {
    /// Whether the client has these bytes already.
    pub(super) fn are_met_by<B>(&self, request: &Request<B>) -> bool {
        let header = |name| request.headers().get(name)?.to_str().ok();
        if request.headers().contains_key(IF_NONE_MATCH) {
            return names_tag(request, self.etag);
        }
        // Compared as text: clients send back what they were sent.
        self.by_date && header(IF_MODIFIED_SINCE) == Some(&self.modified.to_http_date())
    }

    /// 304, without the bytes.
    pub(super) fn not_modified(&self) -> Response {
        let mut answer = response::empty(StatusCode::NOT_MODIFIED);
        self.mark(&mut answer);
        answer
    }

    /// The bytes, the range of them which was asked for, or 304.
    pub(super) fn answer<B>(
        &self,
        request: &Request<B>,
        media_type: &'static str,
        bytes: Bytes,
    ) -> Response {
        if self.are_met_by(request) {
            return self.not_modified();
        }
        let mut answer = match self.range(request, bytes.len()) {
            Asked::Whole => response::bytes(StatusCode::OK, media_type, bytes),
            Asked::Part(part) => {
                let text = format!("bytes {}-{}/{}", part.start(), part.end(), bytes.len());
                let part = bytes.slice(part);
                let mut answer = response::bytes(StatusCode::PARTIAL_CONTENT, media_type, part);
                response::set_text(&mut answer, CONTENT_RANGE, &text);
                answer
            }
            Asked::Beyond => {
                let mut answer = response::empty(StatusCode::RANGE_NOT_SATISFIABLE);
                let text = format!("bytes */{}", bytes.len());
                response::set_text(&mut answer, CONTENT_RANGE, &text);
                answer
            }
        };
        response::set(&mut answer, ACCEPT_RANGES, "bytes");
        self.mark(&mut answer);
        answer
    }

    fn mark(&self, answer: &mut Response) {
        response::set_text(answer, ETAG, self.etag);
        response::set_text(answer, LAST_MODIFIED, &self.modified.to_http_date());
    }

    /// Single ranges are honoured; several, and forms which are not understood, get the whole.
    fn range<B>(&self, request: &Request<B>, length: usize) -> Asked {
        let header = |name| request.headers().get(name)?.to_str().ok();
        let current = match header(IF_RANGE) {
            None => true,
            Some(tag) => tag == self.etag || (self.by_date && tag == self.modified.to_http_date()),
        };
        let range = header(RANGE).filter(|_| current && request.method() == Method::GET);
        match range.and_then(|range| range.trim().strip_prefix("bytes=")) {
            Some(range) => parse_range(range.trim(), length),
            None => Asked::Whole,
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Asked {
    Whole,
    Part(RangeInclusive<usize>),
    Beyond,
}

fn parse_range(range: &str, length: usize) -> Asked {
    let Some((first, last)) = range.split_once('-') else {
        return Asked::Whole;
    };
    let number = |text: &str| {
        let digits = text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse::<usize>().ok().filter(|_| digits)
    };
    match (number(first), number(last)) {
        (None, Some(suffix)) if first.is_empty() => {
            if suffix == 0 || length == 0 {
                Asked::Beyond
            } else {
                Asked::Part(length.saturating_sub(suffix)..=length - 1)
            }
        }
        (Some(first), None) if last.is_empty() && first < length => Asked::Part(first..=length - 1),
        (Some(first), Some(last)) if first <= last && first < length => {
            Asked::Part(first..=last.min(length - 1))
        }
        (Some(_), None) if last.is_empty() => Asked::Beyond,
        (Some(first), Some(last)) if first <= last => Asked::Beyond,
        _ => Asked::Whole,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_as_the_standard_says() {
        for (range, expected) in [
            ("0-0", Asked::Part(0..=0)),
            ("2-", Asked::Part(2..=9)),
            ("2-99", Asked::Part(2..=9)),
            ("-3", Asked::Part(7..=9)),
            ("-30", Asked::Part(0..=9)),
            ("10-", Asked::Beyond),
            ("-0", Asked::Beyond),
            ("3-2", Asked::Whole),
            ("0-1,3-4", Asked::Whole),
            ("x-y", Asked::Whole),
            ("+0-5", Asked::Whole),
            ("", Asked::Whole),
        ] {
            assert_eq!(parse_range(range, 10), expected, "{range}");
        }
        assert_eq!(parse_range("0-", 0), Asked::Beyond);
        assert_eq!(parse_range("-1", 0), Asked::Beyond);
    }

    #[test]
    fn conditions_compare_tags_before_dates() {
        let conditions = |by_date| Conditions {
            etag: "\"cf-1:2\"",
            modified: Timestamp::from_seconds(1_400_000_000),
            by_date,
        };
        let met = |headers: &[(&str, &str)], by_date| {
            let builder = headers
                .iter()
                .fold(Request::builder(), |builder, (name, value)| {
                    builder.header(*name, *value)
                });
            conditions(by_date).are_met_by(&builder.body(()).unwrap())
        };
        let date = "Tue, 13 May 2014 16:53:20 GMT";
        assert!(met(&[("if-none-match", "\"x\", W/\"cf-1:2\"")], false));
        assert!(met(&[("if-none-match", "*")], false));
        assert!(met(&[("if-modified-since", date)], true));
        assert!(!met(&[("if-modified-since", date)], false));
        assert!(!met(
            &[("if-none-match", "\"x\""), ("if-modified-since", date)],
            true
        ));
        assert!(!met(&[], true));
    }
}
