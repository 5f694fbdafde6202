//! Answers which are ready: pictures in a cache which anybody may have, at an address which was
//! delivered before. Such a request is answered from the bytes of its head, before it becomes a
//! request of hyper's. Everything else goes that way (docs/decisions/0018-ready-answers.md).

use std::time::Instant;

use bytes::Bytes;
use hyper::header::{
    CONNECTION, CONTENT_LENGTH, EXPECT, HOST, HeaderName, IF_MATCH, IF_MODIFIED_SINCE,
    IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE, RANGE, TRAILER, TRANSFER_ENCODING, UPGRADE,
};
use hyper::{Method, Request, StatusCode, Version};
use pixels::Accepts;
use quick_cache::sync::Cache;
use quick_cache::{DefaultHashBuilder, Weighter};
use service::{Ready, ReadyBytes, Service, Tier};
use store::OpenRendition;

use super::access_log::Entry;
use super::request_id::{RequestId, TRACEPARENT, X_REQUEST_ID};
use super::response::Response;
use super::watch::{Class, shown_path};
use super::{App, clock, hints};

/// About so many bytes of addresses and heads are kept.
const BYTES: u64 = 16 << 20;

/// What an answer takes besides its texts.
const OVERHEAD: u64 = 450;

/// Bodies up to this length are read from their files; longer ones are sent from there.
const READ_MAX: u64 = 64 << 10;

/// Headers of a request. Those with more are left to hyper.
const HEADERS_MAX: usize = 48;

/// What a delivery looks at besides the method, the host, the address and `Accept`: with one of
/// these, a request is not answered from here. Hints of clients are not among them, for what depends
/// on hints is not kept.
const BEARING: [HeaderName; 6] = [
    IF_NONE_MATCH,
    IF_MODIFIED_SINCE,
    IF_RANGE,
    IF_MATCH,
    IF_UNMODIFIED_SINCE,
    RANGE,
];

/// What makes more of a request than a head, or wants more than the next answer.
const FRAMING: [HeaderName; 5] = [CONTENT_LENGTH, TRANSFER_ENCODING, UPGRADE, EXPECT, TRAILER];

/// The answers, by host, accepted formats and address.
#[derive(Debug)]
pub(super) struct ReadyAnswers(Cache<Box<[u8]>, Kept, Weight, DefaultHashBuilder>);

#[derive(Clone, Debug)]
struct Kept {
    /// All but the date and the request's id, as HTTP/1.1 writes it.
    head: Bytes,
    ready: Ready,
}

#[derive(Clone, Debug)]
struct Weight;

impl Weighter<Box<[u8]>, Kept> for Weight {
    fn weight(&self, key: &Box<[u8]>, kept: &Kept) -> u64 {
        OVERHEAD + key.len() as u64 + kept.head.len() as u64
    }
}

/// What the first bytes of a connection, or those after an answer, are.
pub(super) enum Said {
    /// One whole request without a body, after which the client waits.
    Alone(Option<Answer>),
    /// Anything else.
    Other,
}

/// An answer which was ready.
pub(super) struct Answer {
    /// The head, and perhaps the body as well.
    pub(super) head: Vec<u8>,
    pub(super) rest: Rest,
}

/// What of an answer is not with its head.
pub(super) enum Rest {
    Bytes(Bytes),
    File(OpenRendition),
}

impl Answer {
    /// Bytes in all.
    pub(super) fn len(&self) -> usize {
        self.head.len()
            + match &self.rest {
                Rest::Bytes(bytes) => bytes.len(),
                Rest::File(file) => file.length() as usize,
            }
    }
}

impl ReadyAnswers {
    pub(super) fn new() -> Self {
        let expected = BYTES / 1_024;
        Self(Cache::with_weighter(expected as usize, BYTES, Weight))
    }

    /// Keeps the answer to a request. What came from disk twice, or is long, is found there at once
    /// from then on.
    pub(super) async fn keep<B>(
        &self,
        service: &Service,
        request: &Request<B>,
        answer: &Response,
        ready: Ready,
    ) {
        let whole = request.method() == Method::GET && answer.status() == StatusCode::OK;
        let Some(key) = key_of(request).filter(|_| whole) else {
            return;
        };
        let before = self.0.peek(&key[..]).map(|kept| kept.ready);
        let ready = service.with_file(ready, before.as_ref()).await;
        let mut head = b"HTTP/1.1 200 OK\r\n".to_vec();
        for (name, value) in answer.headers() {
            head.extend_from_slice(name.as_str().as_bytes());
            head.extend_from_slice(b": ");
            head.extend_from_slice(value.as_bytes());
            head.extend_from_slice(b"\r\n");
        }
        let length = ready.length();
        head.extend_from_slice(format!("content-length: {length}\r\ndate: ").as_bytes());
        let kept = Kept {
            head: head.into(),
            ready,
        };
        self.0.insert(key.into(), kept);
    }
}

impl App {
    /// What a client said, with the answer if it is ready.
    pub(super) fn judge(&self, said: &[u8], can_send_files: bool) -> Said {
        let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
        let mut request = httparse::Request::new(&mut headers);
        let whole = request.parse(said) == Ok(httparse::Status::Complete(said.len()));
        if !whole || request.version != Some(1) {
            return Said::Other;
        }
        let goes_on = |header: &httparse::Header<'_>| {
            let is = |name: &HeaderName| header.name.eq_ignore_ascii_case(name.as_str());
            let ends = is(&CONNECTION) && !header.value.eq_ignore_ascii_case(b"keep-alive");
            ends || FRAMING.iter().any(is)
        };
        let is_read = matches!(request.method, Some("GET" | "HEAD"));
        if !is_read || request.headers.iter().any(goes_on) {
            return Said::Other;
        }
        Said::Alone(self.ready_answer(&request, can_send_files))
    }

    fn ready_answer(
        &self,
        request: &httparse::Request<'_, '_>,
        can_send_files: bool,
    ) -> Option<Answer> {
        let answers = self.ready.as_ref()?;
        let started = Instant::now();
        let (method, target) = (request.method?, request.path?);
        if method != "GET" || !target.starts_with('/') {
            return None;
        }
        let (mut host, mut id, mut trace) = (None, None, None);
        for header in request.headers.iter() {
            let is = |name: &HeaderName| header.name.eq_ignore_ascii_case(name.as_str());
            if BEARING.iter().any(is) || (host.is_some() && is(&HOST)) {
                return None;
            }
            if is(&HOST) {
                host = Some(header.value);
            } else if is(&X_REQUEST_ID) {
                id = id.or(Some(header.value));
            } else if is(&TRACEPARENT) {
                trace = trace.or(Some(header.value));
            }
        }
        let accepts = request.headers.iter();
        let accepts = accepts.filter(|header| header.name.eq_ignore_ascii_case("accept"));
        let accepts = hints::accepted(accepts.filter_map(|header| visible(header.value)));
        let mut key = Vec::with_capacity(256);
        write_key(&mut key, host?, accepts, target);
        let kept = answers.0.get(&key[..])?;
        let length = kept.ready.length() as u64;
        let from_disk = kept.ready.tier() == Tier::Disk;
        if from_disk && length > READ_MAX && !can_send_files {
            return None;
        }
        let inside = if from_disk { length.min(READ_MAX) } else { 0 };
        let id = RequestId::of_texts(id.and_then(visible), trace.and_then(visible));
        let mut head = Vec::with_capacity(kept.head.len() + 128 + inside as usize);
        head.extend_from_slice(&kept.head);
        clock::write_date(&mut head);
        head.extend_from_slice(b"\r\nx-request-id: ");
        head.extend_from_slice(id.as_str().as_bytes());
        head.extend_from_slice(b"\r\n\r\n");
        let rest = match self.service.ready(&kept.ready, can_send_files)? {
            ReadyBytes::Memory(bytes) => Rest::Bytes(bytes),
            ReadyBytes::Disk(file) if file.length() <= READ_MAX => {
                file.append_to(&mut head)?;
                Rest::Bytes(Bytes::new())
            }
            ReadyBytes::Disk(file) => Rest::File(file),
        };
        let time = started.elapsed();
        self.metrics.begin();
        self.metrics.end(Class::Delivery, 200, length, time);
        self.settings.access_log.write(&Entry {
            method,
            class: Class::Delivery,
            path: shown_path(target.split('?').next().unwrap_or(target), Class::Delivery),
            status: 200,
            bytes: length,
            time,
            tier: Some(kept.ready.tier()),
            request_id: id.as_str(),
        });
        Some(Answer { head, rest })
    }
}

/// Of what may be answered from here.
fn key_of<B>(request: &Request<B>) -> Option<Vec<u8>> {
    let uri = request.uri();
    if uri.scheme().is_some() || request.version() != Version::HTTP_11 {
        return None;
    }
    let host = request.headers().get(HOST)?.as_bytes();
    let target = uri.path_and_query()?.as_str();
    let mut key = Vec::new();
    write_key(&mut key, host, hints::accepts(request.headers()), target);
    Some(key)
}

fn write_key(key: &mut Vec<u8>, host: &[u8], accepts: Accepts, target: &str) {
    key.push(u8::from(accepts.avif) << 1 | u8::from(accepts.webp));
    key.extend_from_slice(host);
    // No host and no target holds one.
    key.push(0);
    key.extend_from_slice(target.as_bytes());
}

/// A value as `HeaderValue::to_str` has it.
fn visible(value: &[u8]) -> Option<&str> {
    let is_visible = |byte: &u8| *byte == b'\t' || (b' '..=b'~').contains(byte);
    let text = std::str::from_utf8(value).ok()?;
    value.iter().all(is_visible).then_some(text)
}
