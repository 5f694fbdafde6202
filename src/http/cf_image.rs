//! `fetch(url, {cf: {image: …}})` of a Worker, whose runtime sends what the Worker fetches to this
//! server as to a proxy (clients.md, section 6; transformations.md, section 1.6).

use hyper::header::{ALLOW, AUTHORIZATION, COOKIE, HeaderName, HeaderValue};
use hyper::{HeaderMap, Method, Request, StatusCode, Version};
use model::{SourceUrl, Transform};
use serde_json::{Map, Value};
use service::{DeliveryError, WorkerFetch};

use super::refusal::{refusal, refuse};
use super::remote::{ATTEMPTS_MAX, deliver_image, is_looped};
use super::response::{self, Response};
use super::{App, hints};

/// What the Worker wrote under `cf`.
const CF_BLOB: HeaderName = HeaderName::from_static("cf-blob");

/// Who may have sources fetched. Other credentials are the Worker's, for its origin.
const IMAGES_TOKEN: HeaderName = HeaderName::from_static("x-images-token");

/// What `origin-auth` shares with the origin (transformations.md, section 6.2).
const SHARED: [HeaderName; 9] = [
    AUTHORIZATION,
    COOKIE,
    HeaderName::from_static("x-amz-content-sha256"),
    HeaderName::from_static("x-amz-date"),
    HeaderName::from_static("x-ms-date"),
    HeaderName::from_static("x-ms-version"),
    HeaderName::from_static("x-sa-date"),
    HeaderName::from_static("cf-access-client-id"),
    HeaderName::from_static("cf-access-client-secret"),
];

/// Whether a request is one to a proxy, from a Workers runtime. In HTTP/2 every request names a host
/// in its address, and no runtime speaks it to proxies.
pub(super) fn is_fetch<B>(request: &Request<B>) -> bool {
    let to_proxy = request.version() <= Version::HTTP_11 && request.uri().scheme().is_some();
    to_proxy && request.headers().contains_key(CF_BLOB)
}

pub(super) async fn answer<B>(app: &App, request: &Request<B>) -> Response {
    match respond(app, request).await {
        Ok(answer) | Err(answer) => answer,
    }
}

async fn respond<B>(app: &App, request: &Request<B>) -> Result<Response, Response> {
    authorise(app, request.headers()).await?;
    let headers = request.headers();
    if is_looped(headers) {
        return Err(refuse(&DeliveryError::Loop));
    }
    let options =
        options(headers).map_err(|words| refuse(&DeliveryError::Options(words.to_owned())))?;
    let transform = Transform::from_json(&options)
        .map_err(|error| refuse(&DeliveryError::Options(error.to_string())))?;
    // A proxy for everything would have to be as good at that as at images.
    let Some(transform) = transform else {
        let words = "Bad request: only what is fetched with options in cf.image is served here";
        return Err(refusal(StatusCode::BAD_REQUEST, 9401, words));
    };
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let words = "Bad request: only GET and HEAD are allowed";
        let mut answer = refusal(StatusCode::METHOD_NOT_ALLOWED, 9432, words);
        response::set(&mut answer, ALLOW, "GET, HEAD");
        return Err(answer);
    }
    let url = SourceUrl::parse(&request.uri().to_string());
    let mut secrets = HeaderMap::new();
    if options.get("origin-auth").and_then(Value::as_str) == Some("share-publicly") {
        for name in SHARED {
            for value in headers.get_all(&name) {
                secrets.append(&name, value.clone());
            }
        }
    }
    let fetch = WorkerFetch {
        url: url.map_err(|error| refuse(&error.into()))?,
        transform,
        accepts: hints::accepts(headers),
        hints: hints::of(headers),
        secrets,
    };
    for _ in 0..ATTEMPTS_MAX {
        let image = app.service.open_fetch(fetch.clone()).await;
        let image = image.map_err(|error| refuse(&error))?;
        match deliver_image(app, request, image, false).await {
            Ok(answer) => return Ok(answer),
            Err(refusal) if matches!(refusal.error, DeliveryError::SourceChanged) => {}
            Err(refusal) => return Err(refuse(&refusal.error)),
        }
    }
    Err(refuse(&DeliveryError::SourceChanged))
}

/// Any valid token will do: nothing of an account is touched, but strangers must not have the server
/// fetch what they like.
async fn authorise(app: &App, headers: &HeaderMap) -> Result<(), Response> {
    let denied = |reason: &str| {
        let words = format!("Access denied: {reason}");
        refusal(StatusCode::FORBIDDEN, 9430, &words)
    };
    let token = headers.get(IMAGES_TOKEN);
    let token = token.and_then(|token| token.to_str().ok());
    let token = token.ok_or_else(|| denied("X-Images-Token is needed"))?;
    let access = app.service.authenticate(token).await;
    match access.map_err(|error| refuse(&error.into()))? {
        Some(_) => Ok(()),
        None => Err(denied("X-Images-Token is not valid")),
    }
}

/// The member `image`; what else the Worker wrote is for others.
fn options(headers: &HeaderMap) -> Result<Map<String, Value>, &'static str> {
    let blob = headers.get(CF_BLOB).map(HeaderValue::as_bytes);
    let blob: Value = serde_json::from_slice(blob.unwrap_or_default())
        .map_err(|_| "CF-Blob must be a JSON object")?;
    match blob.get("image") {
        None | Some(Value::Null) => Ok(Map::new()),
        Some(Value::Object(options)) => Ok(options.clone()),
        Some(_) => Err("cf.image must be an object"),
    }
}
