//! `/{account_hash}/{image_id}/{variant}`, on any host and below `/cdn-cgi/imagedelivery`
//! (management-api.md, section 7).

use hyper::header::{
    ACCEPT, ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, HeaderName, RETRY_AFTER, VARY,
    X_CONTENT_TYPE_OPTIONS,
};
use hyper::{HeaderMap, Method, Request, StatusCode};
use model::{AccountHash, ImageId};
use pixels::Accepts;
use service::{Caching, Delivered, Delivery, DeliveryError, Rendered, Wanted};

use super::App;
use super::caching::Conditions;
use super::path::decode_strictly;
use super::response::{self, Response};
use super::route::DeliveryPath;

const CF_IMAGES: HeaderName = HeaderName::from_static("cf-images");
const CF_RESIZED: HeaderName = HeaderName::from_static("cf-resized");
const TIMING_ALLOW_ORIGIN: HeaderName = HeaderName::from_static("timing-allow-origin");
const WARNING: HeaderName = HeaderName::from_static("warning");
const POLICY: &str = "default-src 'none'; navigate-to 'none'; form-action 'none'; img-src data:; style-src 'unsafe-inline';";

pub(super) async fn answer<B>(app: &App, request: &Request<B>, path: DeliveryPath) -> Response {
    match *request.method() {
        Method::GET | Method::HEAD => {}
        Method::OPTIONS => return response::preflight(request, "GET, HEAD, OPTIONS"),
        _ => {
            let mut answer = refusal(
                StatusCode::METHOD_NOT_ALLOWED,
                9432,
                "Bad request: only GET and HEAD are allowed",
            );
            response::set(&mut answer, ALLOW, "GET, HEAD, OPTIONS");
            return answer;
        }
    }
    let Some((hash, id, wanted)) = parse(&path.path) else {
        let words = "The URL of imagedelivery.net has invalid text part";
        return refusal(StatusCode::FORBIDDEN, 9426, words);
    };
    let Ok(hash) = AccountHash::try_from(hash) else {
        return refuse(&DeliveryError::UnknownAccount);
    };
    let delivery = Delivery {
        hash,
        id,
        wanted,
        accepts: accepts(request.headers()),
        path: request.uri().path(),
        query: request.uri().query(),
    };
    match deliver(app, request, &delivery).await {
        Ok(answer) => answer,
        Err(error) => refuse(&error),
    }
}

async fn deliver<B>(
    app: &App,
    request: &Request<B>,
    delivery: &Delivery<'_>,
) -> Result<Response, DeliveryError> {
    let delivered = app.service.open(delivery).await?;
    let conditions = Conditions {
        etag: &delivered.etag,
        modified: delivered.uploaded,
        by_date: false,
    };
    let mut answer = if conditions.are_met_by(request) {
        conditions.not_modified()
    } else {
        let rendered = app.service.rendition(&delivered).await?;
        let mut answer = conditions.answer(request, rendered.media_type, rendered.bytes.clone());
        describe(&mut answer, &rendered);
        answer
    };
    mark(&mut answer, &delivered);
    Ok(answer)
}

/// Hash, image id and last segment. The segments between the two ends are the id; each is decoded
/// once, so that raw and encoded slashes name the same image.
fn parse(path: &str) -> Option<(&str, ImageId, Wanted)> {
    let (hash, rest) = path.split_once('/')?;
    let (id, wanted) = rest.rsplit_once('/')?;
    let segments: Option<Vec<String>> = id.split('/').map(decode_strictly).collect();
    let id = segments?.join("/");
    // An option list is decoded once as well, by its own parser.
    let wanted = if wanted.contains('=') {
        Wanted::Options(wanted.to_owned())
    } else {
        Wanted::parse(decode_strictly(wanted)?)
    };
    if id.is_empty() || wanted == Wanted::Variant(String::new()) {
        return None;
    }
    Some((hash, ImageId::from_path(id), wanted))
}

/// The formats which `Accept` names. Wildcards do not count, and `q=0` refuses
/// (transformations.md, section 3.3).
fn accepts(headers: &HeaderMap) -> Accepts {
    let names = |wanted: &str| {
        let values = headers
            .get_all(ACCEPT)
            .iter()
            .filter_map(|value| value.to_str().ok());
        let mut ranges = values.flat_map(|value| value.split(','));
        ranges.any(|range| {
            let mut pieces = range.split(';').map(str::trim);
            let named = pieces
                .next()
                .is_some_and(|name| name.eq_ignore_ascii_case(wanted));
            let refused = pieces.any(|piece| {
                let quality = piece
                    .split_once('=')
                    .filter(|(name, _)| name.trim().eq_ignore_ascii_case("q"));
                quality.is_some_and(|(_, value)| value.trim().parse() == Ok(0.0_f32))
            });
            named && !refused
        })
    };
    Accepts {
        avif: names("image/avif"),
        webp: names("image/webp"),
    }
}

/// What the rendition itself tells.
fn describe(answer: &mut Response, rendered: &Rendered) {
    let words = format!("internal=ok/- l={}", rendered.bytes.len());
    response::set_text(answer, CF_IMAGES, &words);
    response::set_text(answer, CF_RESIZED, &words);
    answer.extensions_mut().insert(rendered.tier);
    for warning in &rendered.warnings {
        let text = format!("cf-images 299 \"{}\"", warning.replace(['"', '\\'], "'"));
        if let Ok(value) = text.parse() {
            answer.headers_mut().append(WARNING, value);
        }
    }
}

/// What 200, 206 and 304 have in common.
fn mark(answer: &mut Response, delivered: &Delivered) {
    let cache_control = match delivered.caching {
        Caching::Public(seconds) => {
            format!("public, max-age={seconds}, stale-while-revalidate=7200")
        }
        Caching::Private(seconds) => format!("private, max-age={seconds}"),
    };
    response::set_text(answer, CACHE_CONTROL, &cache_control);
    if delivered.negotiated {
        response::set(answer, VARY, "Accept");
    }
    secure(answer);
}

fn secure(answer: &mut Response) {
    response::set(answer, hyper::header::ACCESS_CONTROL_ALLOW_ORIGIN, "*");
    response::set(answer, TIMING_ALLOW_ORIGIN, "*");
    response::set(answer, X_CONTENT_TYPE_OPTIONS, "nosniff");
    response::set(answer, CONTENT_SECURITY_POLICY, POLICY);
}

/// `ERROR <code>: <words>` (management-api.md, section 7.6).
fn refusal(status: StatusCode, code: u16, words: &str) -> Response {
    let text = format!("ERROR {code}: {words}");
    let mut answer = response::bytes(status, "text/plain; charset=utf-8", text.into());
    let error = format!("err={code}");
    response::set_text(&mut answer, CF_IMAGES, &error);
    response::set_text(&mut answer, CF_RESIZED, &error);
    response::set(&mut answer, CACHE_CONTROL, "no-store");
    secure(&mut answer);
    answer
}

fn refuse(error: &DeliveryError) -> Response {
    let denied = |reason: &str| {
        let words = format!("Image access denied: {reason}");
        refusal(StatusCode::FORBIDDEN, 9425, &words)
    };
    let words = error.to_string();
    match error {
        DeliveryError::UnknownAccount => refusal(StatusCode::FORBIDDEN, 9427, &words),
        DeliveryError::ImageNotFound => refusal(StatusCode::NOT_FOUND, 9404, &words),
        DeliveryError::UnknownVariant
        | DeliveryError::FlexiblePrivate
        | DeliveryError::Signature(_) => denied(&words),
        DeliveryError::FlexibleDisabled => refusal(StatusCode::FORBIDDEN, 9429, &words),
        DeliveryError::Options(sentence) => refuse_options(sentence),
        DeliveryError::Pixels(cause) => refuse_pixels(cause),
        DeliveryError::Busy => busy("the service is too busy"),
        DeliveryError::Failed(cause) => {
            tracing::error!(error = %cause, source = ?std::error::Error::source(cause.as_ref()), "a delivery failed");
            refusal(StatusCode::INTERNAL_SERVER_ERROR, 9523, "internal error")
        }
    }
}

fn refuse_options(sentence: &str) -> Response {
    let words = if sentence.contains("resizing parameters") {
        sentence.to_owned()
    } else {
        format!("Missing or invalid resizing parameters: {sentence}")
    };
    refusal(StatusCode::BAD_REQUEST, 9401, &words)
}

fn refuse_pixels(error: &pixels::Error) -> Response {
    use pixels::Error;
    let words = error.to_string();
    match error {
        Error::NotAnImage | Error::SvgConversion => {
            refusal(StatusCode::UNSUPPORTED_MEDIA_TYPE, 9412, &words)
        }
        Error::NotAccepted(_) | Error::NoDecoder(_) | Error::Unsupported(_) => {
            let words = format!("Original image has unsupported format: {words}");
            refusal(StatusCode::UNSUPPORTED_MEDIA_TYPE, 9520, &words)
        }
        Error::TooLarge { .. } | Error::EnlargedTooMuch { .. } | Error::Empty => {
            refusal(StatusCode::FORBIDDEN, 9413, &words)
        }
        Error::Corrupt(_) => {
            let words = format!("error during decoding: {words}");
            refusal(StatusCode::UNPROCESSABLE_ENTITY, 9516, &words)
        }
        Error::Encode(_) => {
            tracing::error!(%error, "a rendition cannot be encoded");
            refusal(
                StatusCode::INTERNAL_SERVER_ERROR,
                9516,
                "error during encoding",
            )
        }
        Error::Unavailable(_) => refusal(StatusCode::SERVICE_UNAVAILABLE, 9522, &words),
        Error::Deadline => {
            let words = "image too large to process or service too busy";
            refusal(StatusCode::GATEWAY_TIMEOUT, 9529, words)
        }
        Error::Cancelled => busy("Request aborted"),
    }
}

fn busy(words: &str) -> Response {
    let mut answer = refusal(StatusCode::SERVICE_UNAVAILABLE, 9522, words);
    response::set(&mut answer, RETRY_AFTER, "1");
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_explicit_media_types_are_accepted() {
        let accepted = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT, value.parse().unwrap());
            let Accepts { avif, webp } = accepts(&headers);
            (avif, webp)
        };
        assert_eq!(accepted("image/avif,image/webp,*/*;q=0.8"), (true, true));
        assert_eq!(accepted("IMAGE/WEBP ; q=0.1"), (false, true));
        assert_eq!(
            accepted("image/webp;q=0, image/avif; q=0.0"),
            (false, false)
        );
        assert_eq!(accepted("image/*, */*"), (false, false));
        assert_eq!(accepted("image/webpx"), (false, false));
    }

    #[test]
    fn delivery_paths_are_split_from_both_ends() {
        let parsed = |path| {
            let (hash, id, wanted) = parse(path)?;
            Some((hash, id.as_str().to_owned(), wanted))
        };
        let variant = |name: &str| Wanted::Variant(name.to_owned());
        assert_eq!(
            parsed("h/a/public"),
            Some(("h", "a".into(), variant("public")))
        );
        assert_eq!(
            parsed("h/a/b%2Fc%25.png/w=1,h=2"),
            Some(("h", "a/b/c%.png".into(), Wanted::Options("w=1,h=2".into())))
        );
        let encoded = Some(("h", "a".into(), Wanted::Options("w=1%2530".into())));
        assert_eq!(parsed("h/a/w=1%2530"), encoded);
        for broken in [
            "h",
            "h/",
            "h/a",
            "h//public",
            "h/a/",
            "h/a%/public",
            "h/%FF/public",
        ] {
            assert_eq!(parsed(broken), None, "{broken}");
        }
    }
}
