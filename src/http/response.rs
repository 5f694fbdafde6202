//! Answers and their headers.

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{self, HeaderName, HeaderValue};
use hyper::{Request, StatusCode};

/// An answer with its whole body.
pub(super) type Response = hyper::Response<Full<Bytes>>;

/// A JSON answer.
pub(super) fn json(status: StatusCode, body: &impl serde::Serialize) -> Response {
    let (status, body) = match serde_json::to_vec(body) {
        Ok(body) => (status, body),
        Err(error) => {
            // Wire types hold no maps with other keys than text, the one thing which can fail.
            tracing::error!(%error, "an answer cannot be written as JSON");
            (StatusCode::INTERNAL_SERVER_ERROR, Vec::new())
        }
    };
    let mut answer = bytes(status, "application/json", body.into());
    // Shared caches know to keep off answers to `Authorization`, but not to `X-Auth-Key`.
    set(&mut answer, header::CACHE_CONTROL, "no-store");
    answer
}

/// An answer of any media type.
pub(super) fn bytes(status: StatusCode, media_type: &'static str, body: Bytes) -> Response {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    set(&mut response, header::CONTENT_TYPE, media_type);
    response
}

/// An answer without a body.
pub(super) fn empty(status: StatusCode) -> Response {
    let mut response = Response::default();
    *response.status_mut() = status;
    response
}

/// Sets a header from a text of ours.
pub(super) fn set(response: &mut Response, name: HeaderName, value: &'static str) {
    let value = HeaderValue::from_static(value);
    response.headers_mut().insert(name, value);
}

/// Sets a header from a computed text; one which no header can hold is left out.
pub(super) fn set_text(response: &mut Response, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    } else {
        tracing::error!(%name, value, "a text fits no header");
    }
}

/// The same head without the body, and with the length which the body had.
pub(super) fn without_body(response: Response) -> Response {
    use hyper::body::Body as _;
    let length = response.body().size_hint().exact();
    let (mut head, _) = response.into_parts();
    if let Some(length) = length.filter(|_| head.status != StatusCode::NOT_MODIFIED) {
        head.headers.insert(header::CONTENT_LENGTH, length.into());
    }
    Response::from_parts(head, Full::default())
}

/// Lets scripts of any page read an answer (Fetch standard, CORS protocol).
pub(super) fn readable_by_any_origin(mut response: Response) -> Response {
    set(&mut response, header::ACCESS_CONTROL_ALLOW_ORIGIN, "*");
    response
}

/// Answers the question which a browser asks before a request of a script.
pub(super) fn preflight<B>(request: &Request<B>, methods: &'static str) -> Response {
    let mut response = readable_by_any_origin(empty(StatusCode::NO_CONTENT));
    set(&mut response, header::ACCESS_CONTROL_ALLOW_METHODS, methods);
    set(&mut response, header::ACCESS_CONTROL_MAX_AGE, "86400");
    // `*` does not cover `authorization`, so the asked names are repeated.
    let asked = request
        .headers()
        .get(header::ACCESS_CONTROL_REQUEST_HEADERS);
    let allowed = asked.cloned().unwrap_or(HeaderValue::from_static("*"));
    response
        .headers_mut()
        .insert(header::ACCESS_CONTROL_ALLOW_HEADERS, allowed);
    set(
        &mut response,
        header::VARY,
        "access-control-request-headers",
    );
    response
}
