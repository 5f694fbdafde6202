//! Traces as a collector of OpenTelemetry gets them from the real program.

#[path = "support/origin.rs"]
#[expect(dead_code, reason = "its other users need the rest")]
mod origin;
#[path = "support/picture.rs"]
mod picture;
#[path = "support/server.rs"]
mod server;

use std::collections::HashMap;
use std::convert::Infallible;
use std::time::Duration;

use http_body_util::{BodyExt as _, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::{Span, span::SpanKind, status::StatusCode};
use prost::Message as _;
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use origin::Origin;
use server::{ACCOUNT_HASH, API_TOKEN, Server, Settings};

/// Much longer than a batch waits.
const PATIENCE: Duration = Duration::from_secs(30);

/// A collector, and what it got: headers of a request and its body.
struct Collector {
    url: String,
    sent: mpsc::UnboundedReceiver<(hyper::http::request::Parts, Bytes)>,
}

impl Collector {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("its address"));
        let (sender, sent) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let sender = sender.clone();
                let take = service_fn(move |request: Request<Incoming>| {
                    let sender = sender.clone();
                    async move {
                        let (head, body) = request.into_parts();
                        let body = body.collect().await.expect("a whole body").to_bytes();
                        let _ = sender.send((head, body));
                        Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new()))
                    }
                });
                let connection = hyper::server::conn::http1::Builder::new();
                tokio::spawn(connection.serve_connection(TokioIo::new(stream), take));
            }
        });
        Self { url, sent }
    }

    fn settings(&self) -> Settings {
        Settings::new()
            .variable("OTEL_EXPORTER_OTLP_ENDPOINT", &self.url)
            .variable("OTEL_EXPORTER_OTLP_HEADERS", "x-tenant=cats")
            .variable("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment=test")
            .variable("OTEL_BSP_SCHEDULE_DELAY", "50")
    }

    /// Spans until these are there, by name.
    async fn spans(&mut self, names: &[&str]) -> HashMap<String, Span> {
        let mut spans = HashMap::new();
        while !names.iter().all(|name| spans.contains_key(*name)) {
            let next = tokio::time::timeout(PATIENCE, self.sent.recv()).await;
            let (head, body) = next
                .unwrap_or_else(|_| panic!("only {:?} came", spans.keys()))
                .expect("the collector runs");
            assert_eq!(head.uri.path(), "/v1/traces");
            assert_eq!(head.headers["x-tenant"], "cats");
            assert_eq!(head.headers["content-type"], "application/x-protobuf");
            let request = ExportTraceServiceRequest::decode(body).expect("OTLP");
            for resource in request.resource_spans {
                let about = resource.resource.expect("a resource").attributes;
                assert_eq!(text(&about, "service.name"), "calotype");
                assert_eq!(text(&about, "deployment.environment"), "test");
                let scopes = resource.scope_spans.into_iter();
                spans.extend(
                    scopes
                        .flat_map(|scope| scope.spans)
                        .map(|span| (span.name.clone(), span)),
                );
            }
        }
        spans
    }
}

fn text(attributes: &[KeyValue], key: &str) -> String {
    let found = attributes.iter().find(|attribute| attribute.key == key);
    let value = found.and_then(|attribute| attribute.value.as_ref()?.value.as_ref());
    match value {
        Some(Value::StringValue(text)) => text.clone(),
        Some(Value::IntValue(number)) => number.to_string(),
        other => panic!("{key} is {other:?}"),
    }
}

async fn get(server: &Server, path: &str, headers: &[(&str, &str)]) -> reqwest::Response {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::new();
    let request = client.get(format!("{}{path}", server.url()));
    let request = headers.iter().fold(request, |request, (name, value)| {
        request.header(*name, *value)
    });
    request.send().await.expect("an answer")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_remote_image_is_one_trace_from_its_caller_to_its_origin() {
    let mut collector = Collector::start().await;
    let origin = Origin::of("", &picture::gif(b"traced")).await;
    let server = collector
        .settings()
        .set("zones", "http://zone.test")
        .set("source-hosts", &format!("zone.test={}", origin.address))
        // Traces do not depend on what is logged.
        .set("log", "warn")
        .start();
    let (trace, caller) = ("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331");
    let parent = format!("00-{trace}-{caller}-01");
    let headers = [
        ("host", "zone.test"),
        ("traceparent", parent.as_str()),
        ("x-request-id", "r1"),
    ];
    let answer = get(&server, "/cdn-cgi/image/width=1/a.gif?secret=1", &headers).await;
    assert_eq!(answer.status(), 200);

    let spans = collector
        .spans(&["GET remote", "fetch", "rendition", "queue", "render"])
        .await;
    let root = &spans["GET remote"];
    assert_eq!(root.kind(), SpanKind::Server);
    assert_eq!(model::to_hex(&root.parent_span_id), caller);
    assert_eq!(text(&root.attributes, "http.request.method"), "GET");
    assert_eq!(text(&root.attributes, "http.response.status_code"), "200");
    assert_eq!(
        text(&root.attributes, "url.path"),
        "/cdn-cgi/image/width=1/a.gif"
    );
    assert_eq!(text(&root.attributes, "calotype.cache"), "miss");
    assert_eq!(text(&root.attributes, "calotype.request_id"), "r1");
    for span in spans.values() {
        assert_eq!(model::to_hex(&span.trace_id), trace, "{}", span.name);
        assert!(span.start_time_unix_nano <= span.end_time_unix_nano);
    }
    let fetch = &spans["fetch"];
    assert_eq!(fetch.kind(), SpanKind::Client);
    assert_eq!(text(&fetch.attributes, "server.address"), "zone.test");
    assert_eq!(fetch.parent_span_id, root.span_id);
    let rendition = &spans["rendition"];
    assert_eq!(rendition.parent_span_id, root.span_id);
    for part in ["queue", "render"] {
        assert_eq!(spans[part].parent_span_id, rendition.span_id, "{part}");
    }
    // Nobody else learns of the trace.
    assert_eq!(origin.asked()[0].header("traceparent"), "");
    let log = tokio::task::block_in_place(|| server.terminate_for_log());
    assert_eq!(log, "");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fails_and_what_is_left_at_the_end_is_sent() {
    let mut collector = Collector::start().await;
    // Nothing is sent before the end.
    let settings = collector
        .settings()
        .variable("OTEL_BSP_SCHEDULE_DELAY", "600000");
    let server = settings.set("render-threads", "1").start();
    let missing = get(&server, &format!("/{ACCOUNT_HASH}/none/public"), &[]).await;
    assert_eq!(missing.status(), 404);
    let headers = [("authorization", format!("Bearer {API_TOKEN}"))];
    let headers = [(headers[0].0, headers[0].1.as_str())];
    let path = format!("/client/v4/accounts/{}/images/v1/stats", server::ACCOUNT_ID);
    assert_eq!(get(&server, &path, &headers).await.status(), 200);
    assert_eq!(get(&server, "/livez", &[]).await.status(), 200);
    let ended = tokio::task::block_in_place(|| server.terminate());
    assert!(ended.success(), "{ended}");
    let spans = collector.spans(&["GET delivery", "GET api"]).await;
    assert_eq!(
        text(
            &spans["GET delivery"].attributes,
            "http.response.status_code"
        ),
        "404"
    );
    let status = spans["GET delivery"].status.clone().unwrap_or_default();
    assert_eq!(status.code(), StatusCode::Unset);
    assert_eq!(spans.len(), 2, "{:?}", spans.keys());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_serves_without_its_collector() {
    // Nobody listens there.
    let nowhere = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("http://{}", nowhere.local_addr().expect("its address"));
    drop(nowhere);
    let server = Settings::new()
        .variable("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", &url)
        .variable("OTEL_BSP_SCHEDULE_DELAY", "10")
        .start();
    for _ in 0..50 {
        let missing = get(&server, &format!("/{ACCOUNT_HASH}/none/public"), &[]).await;
        assert_eq!(missing.status(), 404);
    }
    let log = tokio::task::block_in_place(|| server.terminate_for_log());
    assert_eq!(log.matches("traces are lost").count(), 1, "{log}");
}

#[test]
fn what_cannot_be_spoken_is_refused_at_the_start() {
    for (name, value, part) in [
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc", "http/protobuf"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "soon", "milliseconds"),
    ] {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let output = server::program()
            .args(["serve", "--listen", "127.0.0.1:0", "--data-dir"])
            .arg(folder.path())
            .env("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4318")
            .env(name, value)
            .output()
            .expect("the program runs");
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{error}");
        assert!(error.contains(name) && error.contains(part), "{error}");
    }
}
