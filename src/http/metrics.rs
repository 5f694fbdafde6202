//! `GET /metrics` on an address of its own, in the text format of Prometheus
//! (<https://prometheus.io/docs/instrumenting/exposition_formats/>, version 0.0.4).
//!
//! Labels hold words of ours alone, so the number of series is bounded whatever clients send.

mod process;
mod text;

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use hyper::{Method, Request, StatusCode};
use service::{Histogram, Service, Tier};

use super::response::{self, Response};
use super::route::Route;
use super::watch::Class;
use super::{App, health};
use text::Page;

const MEDIA_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";
const STATUSES: std::ops::Range<u16> = 100..600;

/// Counts of requests since the start.
pub(super) struct Metrics {
    classes: [Counts; Class::ALL.len()],
    in_progress: AtomicI64,
}

#[derive(Default)]
struct Counts {
    /// By status.
    requests: Statuses,
    durations: Histogram,
    bytes: AtomicU64,
}

struct Statuses(Box<[AtomicU64]>);

impl Default for Statuses {
    fn default() -> Self {
        Self(STATUSES.map(|_| AtomicU64::default()).collect())
    }
}

impl Metrics {
    pub(super) fn new() -> Self {
        Self {
            classes: std::array::from_fn(|_| Counts::default()),
            in_progress: AtomicI64::default(),
        }
    }

    pub(super) fn begin(&self) {
        self.in_progress.fetch_add(1, Relaxed);
    }

    pub(super) fn end(&self, class: Class, status: u16, bytes: u64, time: Duration) {
        self.in_progress.fetch_sub(1, Relaxed);
        let counts = &self.classes[class as usize];
        let row = usize::from(status.saturating_sub(STATUSES.start));
        if let Some(count) = counts.requests.0.get(row) {
            count.fetch_add(1, Relaxed);
        }
        counts.durations.observe(time);
        counts.bytes.fetch_add(bytes, Relaxed);
    }

    fn classes(&self) -> impl Iterator<Item = (&'static str, &Counts)> {
        let names = Class::ALL.into_iter().map(Class::as_str);
        names.zip(&self.classes)
    }
}

/// Answers whoever watches the server: `/metrics` and the health checks, and nothing else.
pub(super) async fn answer<B>(app: &App, request: &Request<B>) -> Response {
    let is_read = matches!(*request.method(), Method::GET | Method::HEAD);
    let answer = match Route::of(request, &app.settings) {
        Route::Health(check) if is_read => health::answer(app, check).await,
        _ if is_read && request.uri().path() == "/metrics" => {
            let page = page(&app.metrics, &app.service);
            response::bytes(StatusCode::OK, MEDIA_TYPE, page.into())
        }
        _ => response::empty(StatusCode::NOT_FOUND),
    };
    if request.method() == Method::HEAD {
        return response::without_body(answer);
    }
    answer
}

fn page(metrics: &Metrics, service: &Service) -> String {
    let mut page = Page::default();
    page.gauge("calotype_build_info", "The version which runs.");
    page.sample(&[("version", env!("CARGO_PKG_VERSION"))], 1);
    of_requests(&mut page, metrics);
    of_work(&mut page, service);
    process::write(&mut page);
    page.into_text()
}

fn of_requests(page: &mut Page, metrics: &Metrics) {
    page.counter(
        "calotype_requests_total",
        "Requests by route and status; 499 are clients which left before the answer.",
    );
    for (route, counts) in metrics.classes() {
        for (status, count) in STATUSES.zip(&counts.requests.0) {
            let count = count.load(Relaxed);
            if count > 0 {
                page.sample(&[("route", route), ("status", &status.to_string())], count);
            }
        }
    }
    page.histogram(
        "calotype_request_duration_seconds",
        "Time from the head of a request to the head of its answer.",
    );
    for (route, counts) in metrics.classes() {
        page.times(&[("route", route)], &counts.durations);
    }
    page.counter("calotype_response_bytes_total", "Bytes of answers.");
    for (route, counts) in metrics.classes() {
        page.sample(&[("route", route)], counts.bytes.load(Relaxed));
    }
    page.gauge("calotype_requests_in_progress", "Requests under way.");
    page.sample(&[], metrics.in_progress.load(Relaxed));
}

fn of_work(page: &mut Page, service: &Service) {
    let meters = service.meters();
    page.counter(
        "calotype_cache_hits_total",
        "Renditions which a cache held.",
    );
    for (tier, count) in meters.found().filter(|(tier, _)| *tier != Tier::Made) {
        page.sample(&[("tier", tier.as_str())], count);
    }
    page.counter(
        "calotype_cache_misses_total",
        "Renditions which no cache held.",
    );
    for (_, count) in meters.found().filter(|(tier, _)| *tier == Tier::Made) {
        page.sample(&[], count);
    }
    page.gauge("calotype_cache_bytes", "Bytes of renditions in a cache.");
    for (tier, bytes) in service.cached_bytes() {
        page.sample(&[("tier", tier.as_str())], bytes);
    }
    page.counter(
        "calotype_renders_total",
        "Renderings by format and outcome.",
    );
    for (format, outcome, count) in meters.rendered() {
        page.sample(&[("format", format), ("outcome", outcome)], count);
    }
    page.histogram(
        "calotype_render_duration_seconds",
        "Time of a rendering, waiting for a worker included.",
    );
    page.times(&[], meters.rendering());
    page.gauge("calotype_workers", "Threads of CPU work.");
    for (lane, renderer) in service.lanes() {
        page.sample(&[("lane", lane)], renderer.threads());
    }
    page.gauge(
        "calotype_images_in_progress",
        "Images which workers are at.",
    );
    for (lane, renderer) in service.lanes() {
        page.sample(&[("lane", lane)], renderer.running());
    }
    page.gauge("calotype_queue_length", "Images which wait for a worker.");
    for (lane, renderer) in service.lanes() {
        page.sample(&[("lane", lane)], renderer.waiting());
    }
    page.counter(
        "calotype_shed_total",
        "Answers under load which were refused or in another format, by what was left undone.",
    );
    for (step, count) in meters.shed() {
        page.sample(&[("step", step)], count);
    }
    page.counter(
        "calotype_avif_late_total",
        "Answers in another format because AVIF was not ready in time.",
    );
    page.sample(&[], meters.late());
    page.counter(
        "calotype_source_fetches_total",
        "Requests to the origins of remote images by outcome.",
    );
    for (outcome, count) in meters.fetches() {
        page.sample(&[("outcome", outcome)], count);
    }
    page.counter(
        "calotype_notifications_total",
        "Attempts to tell a webhook something by outcome; those which were dropped were given up.",
    );
    for (outcome, count) in meters.notifications() {
        page.sample(&[("outcome", outcome)], count);
    }
    let (stored, bytes) = meters.stored();
    page.counter("calotype_uploads_total", "Uploads by outcome.");
    page.sample(&[("outcome", "stored")], stored);
    page.sample(&[("outcome", "refused")], meters.refused());
    page.counter("calotype_upload_bytes_total", "Bytes of stored uploads.");
    page.sample(&[], bytes);
}
