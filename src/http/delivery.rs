//! `/{account_hash}/{image_id}/{variant}`, on any host and below `/cdn-cgi/imagedelivery`
//! (management-api.md, section 7).

use hyper::header::{ALLOW, CACHE_CONTROL, VARY};
use hyper::{Method, Request, StatusCode};
use model::{AccountHash, ImageId, signed_url};
use service::{Caching, Delivered, Delivery, DeliveryError, Ready, Rendered, Wanted};

use super::App;
use super::caching::{Conditions, SUBSTITUTE_TTL};
use super::path::decode_strictly;
use super::refusal::{CF_IMAGES, CF_RESIZED, readable, refusal, refuse, secure, warn};
use super::response::{self, Response};
use super::route::DeliveryPath;
use super::{explain, hints, resized};

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
    let rest = explain::asked(request.uri().query());
    let explained = match &rest {
        Some(rest) if explain::is_allowed(app, request, Some(&hash)).await => Some(rest),
        _ => None,
    };
    let query = explained.map(String::as_str).or(request.uri().query());
    let delivery = Delivery {
        hash,
        id,
        wanted,
        accepts: hints::accepts(request.headers()),
        hints: hints::of(request.headers()),
        path: request.uri().path(),
        query: query.filter(|query| explained.is_none() || !query.is_empty()),
    };
    if explained.is_some() {
        return explain(app, request, &delivery).await;
    }
    match deliver(app, request, &delivery).await {
        Ok((answer, ready)) => {
            // With the word, the same address may have an explanation as its answer.
            if let (Some(answers), Some(ready), None) = (&app.ready, ready, rest) {
                answers.keep(&app.service, request, &answer, ready).await;
            }
            answer
        }
        Err(error) => refuse(&error),
    }
}

/// What the answer would be, and why.
async fn explain<B>(app: &App, request: &Request<B>, delivery: &Delivery<'_>) -> Response {
    let mut all = explain::request(request);
    all.insert("image".to_owned(), delivery.id.as_str().into());
    match &delivery.wanted {
        Wanted::Variant(name) => all.insert("variant".to_owned(), name.as_str().into()),
        Wanted::Options(options) => all.insert("option_list".to_owned(), options.as_str().into()),
    };
    let signed = signed_url::signed_texts(delivery.path, delivery.query);
    all.insert("signature_covers_one_of".to_owned(), signed.into());
    let delivered = match app.service.open(delivery).await {
        Ok(delivered) => delivered,
        Err(error) => return explain::outcome(all, &refuse(&error), None),
    };
    match app.service.rendition(&delivered).await {
        Ok(rendered) => {
            let answer = present(app, request, &delivered, &rendered);
            let explanation = delivered.explanation();
            explain::outcome(all, &answer, Some((&explanation, &rendered)))
        }
        Err(error) => explain::outcome(all, &refuse(&error), None),
    }
}

async fn deliver<B>(
    app: &App,
    request: &Request<B>,
    delivery: &Delivery<'_>,
) -> Result<(Response, Option<Ready>), DeliveryError> {
    let delivered = app.service.open(delivery).await?;
    let conditions = Conditions {
        etag: &delivered.etag,
        modified: delivered.uploaded,
        by_date: false,
    };
    if conditions.are_met_by(request) {
        let mut answer = conditions.not_modified();
        mark(&mut answer, &delivered, false);
        return Ok((answer, None));
    }
    let rendered = app.service.rendition(&delivered).await?;
    let answer = present(app, request, &delivered, &rendered);
    Ok((answer, delivered.ready(&rendered)))
}

fn present<B>(
    app: &App,
    request: &Request<B>,
    delivered: &Delivered,
    rendered: &Rendered,
) -> Response {
    let conditions = Conditions {
        etag: &delivered.etag_of(rendered),
        modified: delivered.uploaded,
        by_date: false,
    };
    let mut answer = conditions.answer(request, rendered.media_type, rendered.bytes.clone());
    describe(&mut answer, rendered);
    warn(&mut answer, &delivered.warnings);
    explain::time(app, &mut answer, rendered);
    mark(&mut answer, delivered, rendered.is_substitute());
    answer
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

/// What the rendition itself tells.
fn describe(answer: &mut Response, rendered: &Rendered) {
    let words = resized::words(None, Some(rendered));
    response::set_text(answer, CF_IMAGES, &words);
    response::set_text(answer, CF_RESIZED, &words);
    answer.extensions_mut().insert(rendered.tier);
    warn(answer, &rendered.warnings);
}

/// What 200, 206 and 304 have in common.
fn mark(answer: &mut Response, delivered: &Delivered, is_substitute: bool) {
    let cache_control = match delivered.caching {
        Caching::Public(seconds) if is_substitute => {
            format!("public, max-age={}", seconds.min(SUBSTITUTE_TTL))
        }
        Caching::Public(seconds) => {
            format!("public, max-age={seconds}, stale-while-revalidate=7200")
        }
        Caching::Private(seconds) if is_substitute => {
            format!("private, max-age={}", seconds.min(SUBSTITUTE_TTL))
        }
        Caching::Private(seconds) => format!("private, max-age={seconds}"),
    };
    response::set_text(answer, CACHE_CONTROL, &cache_control);
    let accept = delivered.negotiated.then_some("Accept");
    let vary = hints::vary(accept, delivered.hints_used);
    if !vary.is_empty() {
        response::set_text(answer, VARY, &vary);
    }
    readable(answer);
    secure(answer);
}

#[cfg(test)]
mod tests {
    use super::*;

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
