//! `/images/v1/purge`: of this server, not of the API of Cloudflare.

use model::{ImageId, SourceUrl, VariantName};
use serde_json::{Map, Value, json};
use service::{Purge, Purged};

use super::success;
use crate::http::auth::Caller;
use crate::http::error::ApiError;
use crate::http::{Answer, App, Req, extract};

/// Images or sources which one request may name.
const NAMES_MAX: usize = 1_000;

/// `POST /images/v1/purge`: `{"everything": true}`, or `images`, `variant` or both, or `sources`.
pub(in crate::http) async fn purge(app: &App, request: Req, account: Caller) -> Answer {
    let object = extract::json_object(request, &app.service.settings().limits).await?;
    let everything = extract::boolean(&object, "everything")?.unwrap_or(false);
    let images = texts(&object, "images")?;
    let sources = texts(&object, "sources")?;
    let variant = extract::text(&object, "variant")?;
    let about_images = images.is_some() || variant.is_some();
    let kinds = [everything, about_images, sources.is_some()];
    if kinds.iter().filter(|asked| **asked).count() != 1 {
        let words =
            "exactly one of everything, sources, and images with or without variant must be given";
        return Err(ApiError::bad_request(words));
    }
    if let Some(sources) = sources {
        let urls = sources.into_iter().map(|text| {
            let words = format!("{text:?} is not the address of a source");
            SourceUrl::parse(text).map_err(|_| ApiError::bad_request(words))
        });
        let urls: Vec<SourceUrl> = urls.collect::<Result<_, _>>()?;
        return Ok(receipt(app.service.purge_sources(&urls).await?));
    }
    let variant = match variant {
        None => None,
        Some(name) => Some(VariantName::parse(name).ok_or_else(|| {
            ApiError::bad_request(format!("{name:?} is not the name of a variant"))
        })?),
    };
    let ids = images.map(|images| images.into_iter().map(str::to_owned));
    let purge = Purge {
        images: ids.map(|ids| ids.map(ImageId::from_path).collect()),
        variant,
    };
    Ok(receipt(app.service.purge(&account, &purge).await?))
}

fn texts<'a>(object: &'a Map<String, Value>, name: &str) -> Result<Option<Vec<&'a str>>, ApiError> {
    let texts = match object.get(name) {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::Array(values)) if (1..=NAMES_MAX).contains(&values.len()) => {
            values.iter().map(Value::as_str).collect()
        }
        Some(_) => None,
    };
    let words = || format!("{name} must be a list of 1 to {NAMES_MAX} strings");
    texts
        .map(Some)
        .ok_or_else(|| ApiError::bad_request(words()))
}

fn receipt(purged: Purged) -> crate::http::Response {
    success(json!({
        "images": purged.images,
        "sources": purged.sources,
        "entries": purged.entries,
        "bytes": purged.bytes,
    }))
}
