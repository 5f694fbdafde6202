//! JSON bodies and query parameters.

use bytes::BytesMut;
use futures_util::StreamExt as _;
use model::{Creator, CreatorFilter, Limits, Metadata, MetadataFilter};
use serde_json::{Map, Value};

use super::Req;
use super::error::ApiError;
use super::query;

/// A JSON object, whatever `Content-Type` says; an empty body is an empty object.
pub(super) async fn json_object(
    request: Req,
    limits: &Limits,
) -> Result<Map<String, Value>, ApiError> {
    let mut body = request.into_body();
    let mut bytes = BytesMut::new();
    while let Some(piece) = body.next().await {
        let piece = piece?;
        if bytes.len() + piece.len() > limits.json_bytes_max {
            let sentence = format!("a body may have {} bytes at most", limits.json_bytes_max);
            return Err(ApiError::bad_request(sentence));
        }
        bytes.extend_from_slice(&piece);
    }
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Ok(Map::new());
    }
    match serde_json::from_slice(&bytes) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(_) => Err(ApiError::bad_request("the body must be a JSON object")),
        Err(_) => Err(ApiError::bad_request("the body must be valid JSON")),
    }
}

/// A boolean member; `null` is as good as none.
pub(super) fn boolean(object: &Map<String, Value>, name: &str) -> Result<Option<bool>, ApiError> {
    match object.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Bool(value)) => Ok(Some(*value)),
        Some(_) => {
            let sentence = format!("{name} must be true or false");
            Err(ApiError::bad_request(sentence))
        }
    }
}

/// A text member; `null` is as good as none.
pub(super) fn text<'a>(
    object: &'a Map<String, Value>,
    name: &str,
) -> Result<Option<&'a str>, ApiError> {
    match object.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(ApiError::bad_request(format!("{name} must be a string"))),
    }
}

/// The member `metadata`: an object, or a string which holds one; `Some(None)` clears.
pub(super) fn metadata(
    object: &Map<String, Value>,
    limits: &Limits,
) -> Result<Option<Option<Metadata>>, ApiError> {
    let Some(value) = object.get("metadata") else {
        return Ok(None);
    };
    let metadata = Metadata::from_value(value.clone(), limits.metadata_bytes_max);
    Ok(Some(metadata.map_err(service::Error::from)?))
}

/// The query parameters of the lists.
#[derive(Debug)]
pub(super) struct ListParameters {
    /// `page`
    pub(super) page: u64,
    /// `per_page`
    pub(super) per_page: u32,
    /// `creator`
    pub(super) creator: CreatorFilter,
    /// `continuation_token`; the empty one is none.
    pub(super) continuation_token: Option<String>,
    /// `sort_order`
    pub(super) sort_order: Option<String>,
    /// `meta.…`
    pub(super) filter: MetadataFilter,
}

const PER_PAGE: u32 = 1_000;

impl ListParameters {
    /// Reads the parameters of a list; ones it does not know are ignored.
    pub(super) fn read(query: Option<&str>, limits: &Limits) -> Result<Self, ApiError> {
        let mut parameters = Self {
            page: 1,
            per_page: PER_PAGE.min(limits.list_page_max),
            creator: CreatorFilter::Any,
            continuation_token: None,
            sort_order: None,
            filter: MetadataFilter::default(),
        };
        for (name, value) in query::pairs(query) {
            let number = || ApiError::bad_request(format!("{name} must be a whole number above 0"));
            match name.as_str() {
                "page" if !value.is_empty() => {
                    parameters.page = value.parse().map_err(|_| number())?;
                }
                "per_page" if !value.is_empty() => {
                    parameters.per_page = value.parse().map_err(|_| number())?;
                }
                "creator" => {
                    let creator = Creator::parse(&value, limits.creator_chars_max);
                    let creator = creator.map_err(|chars_max| {
                        ApiError::bad_request(format!(
                            "creator must not be longer than {chars_max} characters"
                        ))
                    })?;
                    parameters.creator = creator.map_or(CreatorFilter::Unset, CreatorFilter::Is);
                }
                "continuation_token" => {
                    parameters.continuation_token = Some(value).filter(|value| !value.is_empty());
                }
                "sort_order" => parameters.sort_order = Some(value),
                _ if MetadataFilter::is_parameter(&name) => {
                    let added = parameters.filter.add(&name, &value);
                    added.map_err(service::Error::from)?;
                }
                _ => {}
            }
        }
        Ok(parameters)
    }
}
