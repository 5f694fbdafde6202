//! `/cdn-cgi/image/<options>/<source>` on the hosts of zones (transformations.md, sections 1 and 5).

use hyper::header::{
    ACCESS_CONTROL_ALLOW_ORIGIN, ALLOW, CACHE_CONTROL, CONTENT_DISPOSITION, ETAG, EXPIRES,
    HeaderName, IF_MODIFIED_SINCE, IF_NONE_MATCH, LAST_MODIFIED, LOCATION, VARY, VIA,
};
use hyper::{HeaderMap, Method, Request, StatusCode};
use model::remote_path::Language;
use model::{RemotePath, split_authority};
use service::{DeliveryError, RemoteImage, RemoteRefusal, RemoteRequest, Rendered};

use super::App;
use super::caching::{SUBSTITUTE_TTL, names_tag};
use super::disposition;
use super::error::ApiError;
use super::refusal::{CF_RESIZED, refusal, refuse, secure, warn};
use super::response::{self, Response};
use super::{explain, hints, resized};

/// What a server like this one writes into `Via` when it fetches a source.
const OWN_TOKEN: &str = "image-resizing";

/// A source may change between the look at it and the fetch of its bytes, but not for ever.
pub(super) const ATTEMPTS_MAX: usize = 3;

pub(super) async fn answer<B>(
    app: &App,
    request: &Request<B>,
    authority: &str,
    path: &RemotePath,
) -> Response {
    let host = split_authority(authority);
    let Some((host, port)) = host.filter(|(host, _)| app.service.has_zone(host)) else {
        return ApiError::no_route(request.uri().path()).into_response();
    };
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let words = "Bad request: only GET and HEAD are allowed";
        let mut answer = refusal(StatusCode::METHOD_NOT_ALLOWED, 9432, words);
        response::set(&mut answer, ALLOW, "GET, HEAD");
        return answer;
    }
    // The query of the request is that of the source.
    let (address, query) = match path.source.split_once('?') {
        Some((address, query)) => (address, Some(query)),
        None => (path.source.as_str(), None),
    };
    let explained = match explain::asked(query) {
        Some(rest) if explain::is_allowed(app, request, None).await => Some(RemotePath {
            source: if rest.is_empty() {
                address.to_owned()
            } else {
                format!("{address}?{rest}")
            },
            ..path.clone()
        }),
        _ => None,
    };
    let is_explained = explained.is_some();
    let path = explained.as_ref().unwrap_or(path);
    let headers = request.headers();
    let wanted = RemoteRequest {
        host: &host,
        port,
        path,
        accepts: hints::accepts(headers),
        hints: hints::of(headers),
        looped: is_looped(headers),
    };
    if is_explained {
        return explain(app, request, &wanted).await;
    }
    let mut refused = None;
    for _ in 0..ATTEMPTS_MAX {
        match deliver(app, request, &wanted).await {
            Ok(answer) => return answer,
            Err(refusal) => {
                let changed = matches!(refusal.error, DeliveryError::SourceChanged);
                refused = Some(refusal);
                if !changed {
                    break;
                }
            }
        }
    }
    match refused {
        Some(refusal) => redirect_or_refuse(&refusal),
        None => refuse(&DeliveryError::SourceChanged),
    }
}

/// Whether a server like this one asks.
pub(super) fn is_looped(headers: &HeaderMap) -> bool {
    let mut hops = headers.get_all(VIA).iter();
    hops.any(|via| String::from_utf8_lossy(via.as_bytes()).contains(OWN_TOKEN))
}

/// What the answer would be, and why.
async fn explain<B>(app: &App, request: &Request<B>, wanted: &RemoteRequest<'_>) -> Response {
    let mut all = explain::request(request);
    all.insert("zone".to_owned(), wanted.host.into());
    all.insert("option_list".to_owned(), wanted.path.options.clone().into());
    if wanted.path.language == Language::Fastly {
        all.insert("option_language".to_owned(), "fastly".into());
    }
    if wanted.path.is_at_source {
        all.insert("by_flow".to_owned(), true.into());
    }
    all.insert("source_asked".to_owned(), wanted.path.source.clone().into());
    let image = match app.service.open_remote(wanted).await {
        Ok(image) => image,
        Err(refusal) => return explain::outcome(all, &redirect_or_refuse(&refusal), None),
    };
    let rendered = match app.service.remote_rendition(&image).await {
        Ok(rendered) => rendered,
        Err(error) => {
            let refusal = image.refused(error);
            return explain::outcome(all, &redirect_or_refuse(&refusal), None);
        }
    };
    let explanation = image.explanation();
    let answer = complete(app, &image, &rendered);
    explain::outcome(all, &answer, Some((&explanation, &rendered)))
}

async fn deliver<B>(
    app: &App,
    request: &Request<B>,
    wanted: &RemoteRequest<'_>,
) -> Result<Response, RemoteRefusal> {
    let image = app.service.open_remote(wanted).await?;
    deliver_image(app, request, image, !wanted.path.is_at_source).await
}

/// An image whose source is known. Dates of it tell something only where the address names the options.
pub(super) async fn deliver_image<B>(
    app: &App,
    request: &Request<B>,
    image: RemoteImage,
    by_date: bool,
) -> Result<Response, RemoteRefusal> {
    if is_known(request, image.etag.as_deref(), &image, by_date) {
        return Ok(unchanged(&image, image.etag.as_deref()));
    }
    let rendered = match app.service.remote_rendition(&image).await {
        Ok(rendered) => rendered,
        Err(error) => return Err(image.refused(error)),
    };
    let etag = image.etag_of(&rendered);
    if rendered.is_substitute() && is_known(request, etag.as_deref(), &image, by_date) {
        return Ok(unchanged(&image, etag.as_deref()));
    }
    Ok(complete(app, &image, &rendered))
}

fn complete(app: &App, image: &RemoteImage, rendered: &Rendered) -> Response {
    let etag = image.etag_of(rendered);
    let is_brief = rendered.is_substitute() && image.cache_control.as_deref().is_none_or(is_long);
    let mut answer = present(image, rendered);
    explain::time(app, &mut answer, rendered);
    mark(&mut answer, image, etag.as_deref());
    if is_brief {
        let brief = format!("public, max-age={SUBSTITUTE_TTL}");
        response::set_text(&mut answer, CACHE_CONTROL, &brief);
        answer.headers_mut().remove(EXPIRES);
    }
    answer
}

/// Whether caches may keep an answer with this `Cache-Control` for long, as far as that is said in the
/// usual words.
fn is_long(cache_control: &str) -> bool {
    let cache_control = cache_control.to_ascii_lowercase();
    let says = |word| cache_control.contains(word);
    !(says("no-") || says("private") || says("must-revalidate"))
}

fn unchanged(image: &RemoteImage, etag: Option<&str>) -> Response {
    let mut answer = response::empty(StatusCode::NOT_MODIFIED);
    response::set_text(
        &mut answer,
        CF_RESIZED,
        &resized::words(Some(&image.found), None),
    );
    mark(&mut answer, image, etag);
    answer
}

/// Whether the client has the rendition already.
fn is_known<B>(
    request: &Request<B>,
    etag: Option<&str>,
    image: &RemoteImage,
    by_date: bool,
) -> bool {
    let headers = request.headers();
    if headers.contains_key(IF_NONE_MATCH) {
        return etag.is_some_and(|tag| names_tag(request, tag));
    }
    // Compared as text: clients send back what they were sent.
    let since = headers
        .get(IF_MODIFIED_SINCE)
        .and_then(|since| since.to_str().ok());
    by_date && since.is_some() && since == image.last_modified.as_deref()
}

fn present(image: &RemoteImage, rendered: &Rendered) -> Response {
    let words = resized::words(Some(&image.found), Some(rendered));
    let mut answer = response::bytes(StatusCode::OK, rendered.media_type, rendered.bytes.clone());
    response::set_text(&mut answer, CF_RESIZED, &words);
    answer.extensions_mut().insert(rendered.tier);
    if let Some(text) = &image.disposition {
        let text = disposition::for_media_type(text, rendered.media_type);
        forward(&mut answer, CONTENT_DISPOSITION, Some(&text));
    }
    warn(&mut answer, &rendered.warnings);
    answer
}

/// What 200 and 304 have in common.
fn mark(answer: &mut Response, image: &RemoteImage, etag: Option<&str>) {
    forward(answer, ETAG, etag);
    forward(answer, LAST_MODIFIED, image.last_modified.as_deref());
    forward(answer, CACHE_CONTROL, image.cache_control.as_deref());
    forward(answer, EXPIRES, image.expires.as_deref());
    forward(
        answer,
        ACCESS_CONTROL_ALLOW_ORIGIN,
        image.allow_origin.as_deref(),
    );
    let vary = hints::vary(Some("accept"), image.hints_used);
    response::set_text(answer, VARY, &vary);
    warn(answer, &image.warnings);
    secure(answer);
}

fn forward(answer: &mut Response, name: HeaderName, text: Option<&str>) {
    if let Some(text) = text {
        response::set_text(answer, name, text);
    }
}

/// With `onerror=redirect` the visitor sees the source instead of an error.
fn redirect_or_refuse(refusal: &RemoteRefusal) -> Response {
    let mut answer = refuse(&refusal.error);
    if let Some(source) = &refusal.redirect {
        *answer.status_mut() = StatusCode::TEMPORARY_REDIRECT;
        response::set_text(&mut answer, LOCATION, source);
        response::set(&mut answer, CACHE_CONTROL, "no-store");
    }
    answer
}
