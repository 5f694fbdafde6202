//! Traces by OpenTelemetry, sent by OTLP over HTTP. They are set up by the variables of its
//! specification (<https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/>),
//! and off until an endpoint is named.

use std::env;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use hyper::{Request, Response};
use opentelemetry::trace::TracerProvider as _;
use opentelemetry::{KeyValue, global};
use opentelemetry_http::{HttpClient, HttpError};
use opentelemetry_otlp::{SpanExporter, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tokio::runtime::Handle;
use tracing::Subscriber;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::registry::LookupSpan;

use super::Failure;

/// What the specification sets for one batch of spans.
const TIMEOUT: Duration = Duration::from_secs(10);

/// How long the last spans may take to be sent when the server ends.
const FLUSH_MAX: Duration = Duration::from_secs(5);

/// Spans on their way to a collector.
pub(super) struct Traces(SdkTracerProvider);

impl Traces {
    /// `None` where no endpoint is named or the SDK is turned off.
    pub(super) fn start(runtime: &Handle) -> Result<Option<Self>, Failure> {
        let endpoint = of_traces("ENDPOINT");
        let off = variable("OTEL_SDK_DISABLED").is_some_and(|off| off.eq_ignore_ascii_case("true"))
            || variable("OTEL_TRACES_EXPORTER").is_some_and(|exporter| exporter == "none");
        if off || endpoint.is_none() {
            return Ok(None);
        }
        if let Some(protocol) = of_traces("PROTOCOL")
            && protocol != "http/protobuf"
        {
            let words = format!(
                "OTEL_EXPORTER_OTLP_PROTOCOL is {protocol}, and traces are sent by http/protobuf alone"
            );
            return Err(words.into());
        }
        let timeout = match of_traces("TIMEOUT") {
            None => TIMEOUT,
            Some(millis) => {
                let millis = millis.parse().map_err(|_| {
                    format!("OTEL_EXPORTER_OTLP_TIMEOUT must be milliseconds, and is {millis}")
                })?;
                Duration::from_millis(millis)
            }
        };
        let client = Client {
            http: reqwest::Client::builder().timeout(timeout).build()?,
            runtime: runtime.clone(),
            failing: AtomicBool::new(false),
        };
        let exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(client)
            .build()?;
        let mut resource = Resource::builder();
        let named = variable("OTEL_SERVICE_NAME").is_some()
            || variable("OTEL_RESOURCE_ATTRIBUTES")
                .is_some_and(|attributes| attributes.contains("service.name="));
        if !named {
            resource = resource.with_service_name("calotype");
        }
        let version = KeyValue::new("service.version", env!("CARGO_PKG_VERSION"));
        let provider = SdkTracerProvider::builder()
            .with_batch_exporter(exporter)
            .with_resource(resource.with_attribute(version).build())
            .build();
        global::set_text_map_propagator(TraceContextPropagator::new());
        Ok(Some(Self(provider)))
    }

    /// Takes the spans which are made for traces, and no others.
    pub(super) fn layer<S>(&self) -> impl Layer<S> + use<S>
    where
        S: Subscriber + for<'a> LookupSpan<'a> + Send + Sync,
    {
        tracing_opentelemetry::layer()
            .with_tracer(self.0.tracer("calotype"))
            .with_location(false)
            .with_threads(false)
            .with_tracked_inactivity(false)
            .with_filter(filter_fn(|metadata| metadata.target() == service::TRACE))
    }

    /// Sends what is left.
    pub(super) fn end(self) {
        if let Err(error) = self.0.shutdown_with_timeout(FLUSH_MAX) {
            tracing::warn!(%error, "the last traces were not sent");
        }
    }
}

/// `OTEL_EXPORTER_OTLP_TRACES_…`, or else `OTEL_EXPORTER_OTLP_…`.
fn of_traces(name: &str) -> Option<String> {
    variable(&format!("OTEL_EXPORTER_OTLP_TRACES_{name}"))
        .or_else(|| variable(&format!("OTEL_EXPORTER_OTLP_{name}")))
}

/// Empty is as good as not there.
fn variable(name: &str) -> Option<String> {
    let value = env::var(name).ok()?;
    Some(value.trim().to_owned()).filter(|value| !value.is_empty())
}

/// The exporter has a thread of its own, and the client needs the runtime.
#[derive(Debug)]
struct Client {
    http: reqwest::Client,
    runtime: Handle,
    failing: AtomicBool,
}

#[async_trait]
impl HttpClient for Client {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let request = request.try_into()?;
        let sent = self.runtime.spawn(send(self.http.clone(), request));
        let sent = sent.await.map_err(HttpError::from).flatten();
        let failure = match &sent {
            Ok(answer) if answer.status().is_success() => None,
            Ok(answer) => Some(format!("the collector answers {}", answer.status())),
            Err(error) => Some(error.to_string()),
        };
        let failed_before = self.failing.swap(failure.is_some(), Ordering::Relaxed);
        // Once, and not again with each batch until it works again.
        if let (Some(error), false) = (failure, failed_before) {
            tracing::warn!(error, "traces are lost");
        }
        sent
    }
}

async fn send(
    client: reqwest::Client,
    request: reqwest::Request,
) -> Result<Response<Bytes>, HttpError> {
    let answer = client.execute(request).await?;
    let mut response = Response::builder().status(answer.status());
    if let Some(headers) = response.headers_mut() {
        headers.clone_from(answer.headers());
    }
    Ok(response.body(answer.bytes().await?)?)
}
