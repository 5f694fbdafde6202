//! `?explain=1` with a token: instead of a picture, how it came to be. Without a valid token the word
//! is as good as not there. And `Server-Timing`, where the time of a rendering went.

use std::fmt::Write as _;

use hyper::header::HeaderName;
use hyper::{Request, StatusCode};
use model::AccountHash;
use pixels::Accepts;
use serde_json::{Map, Value, json};
use service::{Explanation, Rendered};

use super::response::{self, Response};
use super::{App, auth, hints};

const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");
const WORD: &str = "explain=1";

/// A query without the word which asks for an explanation; `None` if it does not ask.
pub(super) fn asked(query: Option<&str>) -> Option<String> {
    let query = query?;
    let rest: Vec<&str> = query.split('&').filter(|pair| *pair != WORD).collect();
    let rest = rest.join("&");
    (rest.len() < query.len()).then_some(rest)
}

/// Whether the token of a request may know: one of this account, or any if it is about none.
pub(super) async fn is_allowed<B>(
    app: &App,
    request: &Request<B>,
    account: Option<&AccountHash>,
) -> bool {
    let Ok(token) = auth::credentials(request) else {
        return false;
    };
    let Ok(Some(access)) = app.service.authenticate(&token).await else {
        return false;
    };
    let Some(hash) = account else {
        return true;
    };
    let account = app.service.account(&access.account).await;
    matches!(account, Ok(Some(account)) if account.hash == *hash)
}

/// What is known of a request before anything is found.
pub(super) fn request<B>(request: &Request<B>) -> Map<String, Value> {
    let hints = hints::of(request.headers());
    let Accepts { avif, webp } = hints::accepts(request.headers());
    let mut all = Map::new();
    all.insert("path".to_owned(), request.uri().path().into());
    all.insert("accepts".to_owned(), json!({"avif": avif, "webp": webp}));
    all.insert(
        "hints".to_owned(),
        json!({
            "viewport_width": hints.viewport_width,
            "dpr": hints.dpr,
            "phone": hints.phone,
            "slow": hints.slow,
        }),
    );
    all
}

/// What came of it: an answer which was made, and what made it.
pub(super) fn outcome(
    mut all: Map<String, Value>,
    answer: &Response,
    found: Option<(&Explanation, &Rendered)>,
) -> Response {
    let headers = answer.headers().iter().filter_map(|(name, value)| {
        let value = value.to_str().ok()?;
        Some((name.as_str().to_owned(), Value::from(value)))
    });
    all.insert("status".to_owned(), answer.status().as_u16().into());
    all.insert("headers".to_owned(), Value::Object(headers.collect()));
    if let Some((explanation, rendered)) = found {
        all.insert("options".to_owned(), explanation.options.clone().into());
        all.insert(
            "source".to_owned(),
            json!({
                "bytes": explanation.source_bytes,
                "format": explanation.source_format,
            }),
        );
        all.insert(
            "format".to_owned(),
            json!({"chosen": rendered.media_type, "why": explanation.why(rendered)}),
        );
        all.insert(
            "cache".to_owned(),
            json!({"tier": rendered.tier.as_str(), "key": explanation.key(rendered)}),
        );
        all.insert("bytes".to_owned(), rendered.bytes.len().into());
        all.insert("warnings".to_owned(), rendered.warnings.clone().into());
        let times = rendered.times.map(|times| {
            let parts = times.parts().map(|(name, time)| {
                let milliseconds = time.as_micros() as f64 / 1_000.0;
                (name.to_owned(), Value::from(milliseconds))
            });
            Value::Object(parts.into_iter().collect())
        });
        all.insert("milliseconds".to_owned(), times.unwrap_or(Value::Null));
    }
    response::json(StatusCode::OK, &all)
}

/// Where the time of a rendering went.
pub(super) fn time(app: &App, answer: &mut Response, rendered: &Rendered) {
    if !app.settings.server_timing {
        return;
    }
    let mut text = format!("cache;desc=\"{}\"", rendered.tier.as_str());
    for (name, time) in rendered.times.iter().flat_map(service::Times::parts) {
        let milliseconds = time.as_micros() as f64 / 1_000.0;
        let _ = write!(text, ", {name};dur={milliseconds}");
    }
    response::set_text(answer, SERVER_TIMING, &text);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_word_is_taken_out_and_nothing_else() {
        for (query, rest) in [
            (None, None),
            (Some(""), None),
            (Some("explain=2"), None),
            (Some("xexplain=1"), None),
            (Some("explain=1"), Some("")),
            (Some("exp=3&explain=1&sig=ab"), Some("exp=3&sig=ab")),
            (Some("v=1&explain=1"), Some("v=1")),
        ] {
            assert_eq!(asked(query).as_deref(), rest, "{query:?}");
        }
    }
}
