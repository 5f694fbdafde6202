//! HTTP: one listener serves the management API, one-time uploads, the batch mirror, delivery, remote
//! images, the Images binding and health, told apart by path and by `Host`.
//!
//! `answer` is the table of contents of the API.

mod access_log;
mod api;
mod auth;
mod binding;
mod caching;
mod cf_image;
mod clock;
mod connection;
mod conversation;
mod delivery;
mod disposition;
mod error;
mod explain;
mod extract;
mod form;
mod health;
mod hints;
mod lingering;
mod listener;
mod metrics;
mod one_time_upload;
mod path;
mod presence;
mod query;
mod rate;
mod ready;
mod refusal;
mod remote;
mod request_id;
mod resized;
mod response;
mod route;
mod tls;
mod watch;
mod wire;

use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::header::HOST;
use hyper::{Method, Request};
use model::Flows;
use model::Permission::{self, Read, Write};
use service::{Service, TRACE};
use tracing::{Instrument as _, Level};

use auth::Caller;
use error::ApiError;
use lingering::Body;
use presence::{ClientLeft, Presence};
use response::Response;
use route::{Resource, Route};
use watch::Watch;

pub use access_log::AccessLog;
pub use listener::{Listener, ListenerSettings};
pub use tls::{Certificate, CertificateError};

/// What every request is answered with. Cheap to clone.
#[derive(Clone)]
pub struct App {
    service: Service,
    settings: Arc<AppSettings>,
    batch_rates: rate::Rates,
    metrics: Arc<metrics::Metrics>,
    /// `None` where every answer tells of its own making.
    ready: Option<Arc<ready::ReadyAnswers>>,
}

/// What the HTTP layer is told at start.
#[derive(Clone, Debug)]
pub struct AppSettings {
    /// Whether list v1 also sends `items`, which makes the SDKs' auto-paging work.
    pub list_v1_items: bool,
    /// The longest gap between two pieces of a request body.
    pub upload_idle_timeout: Duration,
    /// Requests a second which one batch token may make.
    pub batch_requests_per_second: u32,
    /// Whether pictures say where the time went which they took.
    pub server_timing: bool,
    /// What may stand before `/cdn-cgi/image/`, without a slash at its end.
    pub mount_prefix: String,
    /// What becomes a remote image at its own address.
    pub flows: Flows,
    /// Hosts which serve one API alone.
    pub hosts: OwnHosts,
    /// Where a line for each request goes.
    pub access_log: AccessLog,
}

/// Hosts at whose root an API lies, besides `upload.…` and `batch.…`; in lower case, without port.
#[derive(Clone, Debug, Default)]
pub struct OwnHosts {
    /// Of one-time uploads.
    pub upload: Option<String>,
    /// Of the batch API.
    pub batch: Option<String>,
}

impl OwnHosts {
    fn serves_uploads(&self, authority: &str) -> bool {
        authority.starts_with("upload.") || is_host(self.upload.as_deref(), authority)
    }

    fn serves_batches(&self, authority: &str) -> bool {
        authority.starts_with("batch.") || is_host(self.batch.as_deref(), authority)
    }
}

fn is_host(host: Option<&str>, authority: &str) -> bool {
    let Some(rest) = host.and_then(|host| authority.strip_prefix(host)) else {
        return false;
    };
    rest.is_empty() || rest.starts_with(':')
}

type Answer = Result<Response, ApiError>;

/// A request whose body may be left unread: what is left is drained behind the answer's back.
type Req = Request<Body>;

impl App {
    /// Answers with the use cases of `service`.
    pub fn new(service: Service, settings: AppSettings) -> Self {
        let batch_rates = rate::Rates::new(settings.batch_requests_per_second);
        let is_told = settings.server_timing || tracing::enabled!(target: TRACE, Level::INFO);
        let ready = (!is_told).then(|| Arc::new(ready::ReadyAnswers::new()));
        Self {
            service,
            settings: Arc::new(settings),
            batch_rates,
            metrics: Arc::new(metrics::Metrics::new()),
            ready,
        }
    }

    /// Answers one request; fails only if nobody waits for the answer any more.
    async fn handle(
        self,
        request: Request<Incoming>,
        client: Presence,
    ) -> Result<Response, ClientLeft> {
        let route = Route::of(&request, &self.settings);
        let log = &self.settings.access_log;
        let watch = Watch::begin(&self.metrics, log, &request, route.class());
        let (request, lingering) = lingering::lend_body(request, self.settings.upload_idle_timeout);
        let is_head = request.method() == Method::HEAD;
        let (version, ends_early) = (request.version(), watch.ends_with_client());
        let answer = self.answer(request, route).instrument(watch.span());
        let answer = answer.instrument(watch.trace());
        let mut answer = if ends_early {
            tokio::select! {
                biased;
                answer = answer => answer,
                left = client.left(version) => return Err(left),
            }
        } else {
            answer.await
        };
        lingering.drain(&mut answer);
        if is_head {
            answer = response::without_body(answer);
        }
        watch.end(&mut answer);
        Ok(answer)
    }

    /// Answers whoever watches the server; never fails.
    async fn handle_watcher(self, request: Request<Incoming>) -> Response {
        metrics::answer(&self, &request).await
    }

    async fn answer(&self, request: Req, route: Route) -> Response {
        // Two hosts are read one way here and another way by a proxy (RFC 9112, section 3.2).
        if request.headers().get_all(HOST).iter().nth(1).is_some() {
            return ApiError::bad_request("a request names one host").into_response();
        }
        match route {
            Route::Api(account, resource) => {
                let answer = self.api(request, &account, resource).await;
                answer.unwrap_or_else(ApiError::into_response)
            }
            Route::User(path) => {
                let answer = api::user::answer(self, &request, &path).await;
                answer.unwrap_or_else(ApiError::into_response)
            }
            Route::Zones(path) => {
                let answer = api::zones::answer(self, request, &path).await;
                answer.unwrap_or_else(ApiError::into_response)
            }
            Route::Batch(resource) => self.batch(request, resource).await,
            Route::OneTimeUpload(path) => one_time_upload::answer(self, request, &path).await,
            Route::Delivery(path) => delivery::answer(self, &request, path).await,
            Route::Remote(authority, path) => {
                remote::answer(self, &request, &authority, &path).await
            }
            Route::WorkerFetch => cf_image::answer(self, &request).await,
            Route::Binding(call) => binding::answer(self, request, call).await,
            Route::Health(check) => health::answer(self, check).await,
            Route::Unknown => ApiError::no_route(request.uri().path()).into_response(),
        }
    }

    /// `/client/v4/accounts/{account_id}/…`: route, credentials, permission, then the use case.
    async fn api(&self, request: Req, account: &str, resource: Resource) -> Answer {
        let path = request.uri().path().to_owned();
        let account = api::known_account(self, account, &path).await?;
        if let Resource::TokenVerify = resource {
            return api::user::verify_account_token(self, &request, &account).await;
        }
        let permission = resource.permission(request.method())?;
        auth::require(self, &request, &account, permission).await?;
        self.dispatch(request, account, resource).await
    }

    /// The management API, endpoint by endpoint (management-api.md, section 1.1).
    async fn dispatch(&self, request: Req, account: Caller, resource: Resource) -> Answer {
        let method = request.method().clone();
        match (method, resource) {
            (Method::POST, Resource::Images) => api::images::upload(self, request, account).await,
            (_, Resource::Images) => api::images::list_v1(self, &request, account).await,
            (Method::PATCH, Resource::Image(id)) => {
                api::images::edit(self, request, account, id).await
            }
            (Method::DELETE, Resource::Image(id)) => api::images::delete(self, account, id).await,
            (_, Resource::Image(id)) => api::images::get(self, account, id).await,
            (_, Resource::Blob(id)) => api::images::blob(self, &request, account, id).await,
            (_, Resource::Stats) => api::images::stats(self, account).await,
            (Method::PUT, Resource::Key(name)) => api::keys::put(self, account, &name).await,
            (Method::DELETE, Resource::Key(name)) => api::keys::delete(self, account, &name).await,
            (_, Resource::Keys | Resource::Key(_)) => api::keys::list(self, account).await,
            (Method::POST, Resource::Variants) => {
                api::variants::create(self, request, account).await
            }
            (_, Resource::Variants) => api::variants::list(self, account).await,
            (Method::PATCH, Resource::Variant(name)) => {
                api::variants::edit(self, request, account, &name).await
            }
            (Method::DELETE, Resource::Variant(name)) => {
                api::variants::delete(self, account, &name).await
            }
            (_, Resource::Variant(name)) => api::variants::get(self, account, &name).await,
            (Method::PATCH, Resource::Config) => api::config::edit(self, request, account).await,
            (_, Resource::Config) => Ok(api::config::get(&account)),
            (_, Resource::Purge) => api::purge::purge(self, request, account).await,
            (_, Resource::BatchToken) => Ok(api::batch::token(self, &account)),
            (_, Resource::DirectUploadV1) => {
                api::direct_upload::create_v1(self, request, account).await
            }
            (_, Resource::DirectUploadV2) => {
                api::direct_upload::create_v2(self, request, account).await
            }
            (_, Resource::ImagesV2) => api::images::list_v2(self, &request, account).await,
            (Method::POST, Resource::Webhooks) => {
                api::alerting::create_webhook(self, request, account).await
            }
            (_, Resource::Webhooks) => api::alerting::list_webhooks(self, &request, account).await,
            (Method::PUT, Resource::Webhook(id)) => {
                api::alerting::replace_webhook(self, request, account, &id).await
            }
            (Method::DELETE, Resource::Webhook(id)) => {
                api::alerting::delete_webhook(self, account, &id).await
            }
            (_, Resource::Webhook(id)) => api::alerting::get_webhook(self, account, &id).await,
            (Method::POST, Resource::Policies) => {
                api::alerting::create_policy(self, request, account).await
            }
            (_, Resource::Policies) => api::alerting::list_policies(self, &request, account).await,
            (Method::PUT, Resource::Policy(id)) => {
                api::alerting::edit_policy(self, request, account, &id).await
            }
            (Method::DELETE, Resource::Policy(id)) => {
                api::alerting::delete_policy(self, account, &id).await
            }
            (_, Resource::Policy(id)) => api::alerting::get_policy(self, account, &id).await,
            (Method::POST, Resource::ImportSources) => {
                api::imports::create_source(self, request, account).await
            }
            (_, Resource::ImportSources) => {
                api::imports::list_sources(self, &request, account).await
            }
            (Method::PATCH, Resource::ImportSource(id)) => {
                api::imports::rename_source(self, request, account, &id).await
            }
            (Method::DELETE, Resource::ImportSource(id)) => {
                api::imports::delete_source(self, account, &id).await
            }
            (_, Resource::ImportSource(id)) => api::imports::get_source(self, account, &id).await,
            (Method::POST, Resource::Imports) => {
                api::imports::create_job(self, request, account).await
            }
            (_, Resource::Imports) => api::imports::list_jobs(self, &request, account).await,
            (_, Resource::Import(id)) => api::imports::get_job(self, account, &id).await,
            (_, Resource::ImportAbort(id)) => api::imports::abort_job(self, account, &id).await,
            (_, Resource::ImportLog(id)) => api::imports::log(self, &request, account, &id).await,
            (_, Resource::Account) => Ok(api::user::account(&account)),
            (_, Resource::TokenVerify) => Err(ApiError::no_route(request.uri().path())),
        }
    }

    /// `/batch/images/…`, or `/images/…` on a host named `batch.…`: a part of the API, with the
    /// account from the token.
    async fn batch(&self, request: Req, resource: Resource) -> Response {
        if request.method() == Method::OPTIONS {
            return response::preflight(&request, api::batch::METHODS);
        }
        let answer = match api::batch::open(self, &request, &resource).await {
            Ok(account) => self.dispatch(request, account, resource).await,
            Err(error) => Err(error),
        };
        response::readable_by_any_origin(answer.unwrap_or_else(ApiError::into_response))
    }
}

impl Resource {
    /// The methods of this resource, and what each needs. `HEAD` goes where `GET` does.
    const fn methods(&self) -> &'static [(&'static str, Permission)] {
        match self {
            Self::Images
            | Self::Variants
            | Self::Webhooks
            | Self::Policies
            | Self::ImportSources
            | Self::Imports => &[("GET", Read), ("POST", Write)],
            Self::Image(_) | Self::Variant(_) | Self::ImportSource(_) => {
                &[("GET", Read), ("PATCH", Write), ("DELETE", Write)]
            }
            Self::Webhook(_) | Self::Policy(_) => {
                &[("GET", Read), ("PUT", Write), ("DELETE", Write)]
            }
            Self::Key(_) => &[("PUT", Write), ("DELETE", Write)],
            Self::Config => &[("GET", Read), ("PATCH", Write)],
            Self::DirectUploadV1 | Self::DirectUploadV2 | Self::Purge | Self::ImportAbort(_) => {
                &[("POST", Write)]
            }
            Self::BatchToken => &[("GET", Write)],
            Self::Blob(_)
            | Self::Import(_)
            | Self::ImportLog(_)
            | Self::Stats
            | Self::Keys
            | Self::ImagesV2
            | Self::Account
            | Self::TokenVerify => &[("GET", Read)],
        }
    }

    /// What a method on this resource needs; an error which names the others if the resource does
    /// not have it.
    fn permission(&self, method: &Method) -> Result<Permission, ApiError> {
        let methods = self.methods();
        let wanted = match *method {
            Method::HEAD => "GET",
            _ => method.as_str(),
        };
        let found = methods.iter().find(|(known, _)| *known == wanted);
        found.map(|(_, permission)| *permission).ok_or_else(|| {
            let names: Vec<_> = methods.iter().map(|(name, _)| *name).collect();
            let names = names.join(", ").replace("GET", "GET, HEAD");
            ApiError::method_not_allowed(method, &names)
        })
    }
}
