//! What is counted and logged of every request.

use std::sync::Arc;
use std::time::Instant;

use hyper::body::Body as _;
use hyper::{Method, Request};
use opentelemetry::global;
use opentelemetry_http::HeaderExtractor;
use service::{TRACE, Tier};
use tracing::Span;
use tracing::field::Empty;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

use super::access_log::{AccessLog, Entry};
use super::metrics::Metrics;
use super::request_id::{RequestId, X_REQUEST_ID};
use super::response::Response;
use super::route::Route;

/// What nginx calls a request whose client left before the answer.
const CLIENT_LEFT: u16 = 499;
/// Bytes of a path which are logged.
const PATH_MAX: usize = 512;

/// What a request is about, as far as metrics tell requests apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    Api,
    Batch,
    OneTimeUpload,
    Delivery,
    Remote,
    Binding,
    Health,
    Unknown,
}

impl Class {
    pub(super) const ALL: [Self; 8] = [
        Self::Api,
        Self::Batch,
        Self::OneTimeUpload,
        Self::Delivery,
        Self::Remote,
        Self::Binding,
        Self::Health,
        Self::Unknown,
    ];

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Api => "api",
            Self::Batch => "batch",
            Self::OneTimeUpload => "upload",
            Self::Delivery => "delivery",
            Self::Remote => "remote",
            Self::Binding => "binding",
            Self::Health => "health",
            Self::Unknown => "unknown",
        }
    }
}

impl Route {
    pub(super) fn class(&self) -> Class {
        match self {
            Self::Api(..) | Self::User(_) | Self::Zones(_) => Class::Api,
            Self::Batch(_) => Class::Batch,
            Self::OneTimeUpload(_) => Class::OneTimeUpload,
            Self::Delivery(_) => Class::Delivery,
            Self::Remote(..) | Self::WorkerFetch => Class::Remote,
            Self::Binding(_) => Class::Binding,
            Self::Health(_) => Class::Health,
            Self::Unknown => Class::Unknown,
        }
    }
}

/// One request under way. When it is dropped without an answer, the client has left.
pub(super) struct Watch {
    metrics: Arc<Metrics>,
    log: AccessLog,
    class: Class,
    method: Method,
    path: String,
    started: Instant,
    id: RequestId,
    span: Span,
    /// Around `span`, for traces.
    trace: Span,
    answered: bool,
}

impl Watch {
    pub(super) fn begin<B>(
        metrics: &Arc<Metrics>,
        log: &AccessLog,
        request: &Request<B>,
        class: Class,
    ) -> Self {
        metrics.begin();
        let id = RequestId::of(request.headers());
        let path = shown_path(request.uri().path(), class);
        let trace = trace(request, class, path, &id);
        let span = tracing::info_span!(parent: &trace, "request", request_id = %id);
        Self {
            metrics: metrics.clone(),
            log: log.clone(),
            class,
            method: request.method().clone(),
            path: path.to_owned(),
            started: Instant::now(),
            id,
            span,
            trace,
            answered: false,
        }
    }

    /// Whether the work ends when the client leaves. What changes something is finished.
    pub(super) fn ends_with_client(&self) -> bool {
        matches!(self.class, Class::Delivery | Class::Remote | Class::Binding)
    }

    /// Every log event of the request belongs into it.
    pub(super) fn span(&self) -> Span {
        self.span.clone()
    }

    /// Whatever traces tell of the request belongs into it.
    pub(super) fn trace(&self) -> Span {
        self.trace.clone()
    }

    /// Counts and logs the answer, and puts the id into it.
    pub(super) fn end(mut self, answer: &mut Response) {
        self.answered = true;
        let bytes = answer.body().size_hint().exact().unwrap_or(0);
        let tier = answer.extensions().get::<Tier>();
        self.finish(answer.status().as_u16(), bytes, tier.copied());
        let id = self.id.clone().into_header();
        answer.headers_mut().insert(X_REQUEST_ID, id);
    }

    fn finish(&self, status: u16, bytes: u64, tier: Option<Tier>) {
        let time = self.started.elapsed();
        self.metrics.end(self.class, status, bytes, time);
        self.trace.record("http.response.status_code", status);
        if status >= 500 {
            self.trace.record("otel.status_code", "ERROR");
        }
        if let Some(tier) = tier {
            self.trace.record("calotype.cache", tier.as_str());
        }
        // Probes ask every few seconds, and what they learn is logged where it is bad.
        if self.class == Class::Health {
            return;
        }
        self.log.write(&Entry {
            method: self.method.as_str(),
            class: self.class,
            path: &self.path,
            status,
            bytes,
            time,
            tier,
            request_id: self.id.as_str(),
        });
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        if !self.answered {
            self.finish(CLIENT_LEFT, 0, None);
        }
    }
}

/// A span by the semantic conventions of OpenTelemetry for servers of HTTP, and part of the trace which
/// the client names. Probes have none.
fn trace<B>(request: &Request<B>, class: Class, path: &str, id: &RequestId) -> Span {
    if class == Class::Health {
        return Span::none();
    }
    let method = request.method().as_str();
    let trace = tracing::info_span!(
        target: TRACE,
        "request",
        otel.name = format!("{method} {}", class.as_str()),
        otel.kind = "server",
        otel.status_code = Empty,
        http.request.method = method,
        http.response.status_code = Empty,
        url.path = path,
        calotype.request_id = %id,
        calotype.cache = Empty,
    );
    if !trace.is_disabled() && request.headers().contains_key("traceparent") {
        let headers = HeaderExtractor(request.headers());
        let caller = global::get_text_map_propagator(|propagator| propagator.extract(&headers));
        // It fails for a span which has begun already, and this one has not.
        let _ = trace.set_parent(caller);
    }
    trace
}

/// A path without its query, which may hold a signature. The address of a one-time upload is a
/// secret by itself, and what is unknown may be one which was mistyped.
pub(super) fn shown_path(path: &str, class: Class) -> &str {
    match class {
        Class::Api | Class::Batch | Class::Binding | Class::Delivery | Class::Remote => {
            &path[..path.floor_char_boundary(PATH_MAX)]
        }
        Class::OneTimeUpload | Class::Health | Class::Unknown => "",
    }
}
