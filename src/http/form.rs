//! Multipart forms (RFC 7578) as real clients send them: parts in any order, metadata in four
//! spellings, forms without any part (clients.md, section 1, rules 11 to 17).

use std::collections::HashMap;

use bytes::{Bytes, BytesMut};
use hyper::header::CONTENT_TYPE;
use model::{Creator, FlatMetadata, Limits, Metadata, Timestamp};
use multer::{Constraints, Field, Multipart, SizeLimit};

use service::{Service, Share};

use super::Req;
use super::error::ApiError;
use super::lingering::BodyError;

/// The parts of a form. A part which none of our forms has is ignored.
#[derive(Debug, Default)]
pub(super) struct Form {
    /// The part `file`, with or without a filename.
    pub(super) file: Option<File>,
    texts: HashMap<&'static str, String>,
    flat_metadata: FlatMetadata,
    /// Room for its bytes.
    _room: Option<Share>,
}

/// The part `file`.
#[derive(Debug)]
pub(super) struct File {
    /// All of it.
    pub(super) bytes: Bytes,
    /// Its name as sent, quotes decoded.
    pub(super) filename: Option<String>,
}

/// The text parts which our forms have.
const TEXTS: [&str; 6] = [
    "url",
    "id",
    "metadata",
    "requireSignedURLs",
    "creator",
    "expiry",
];
/// What the frame of one part may cost in bytes.
const PART_OVERHEAD: u64 = 1_024;

impl Form {
    /// Reads a form to its end. Stops at the first breach of a limit.
    pub(super) async fn read(request: Req, service: &Service) -> Result<Self, ApiError> {
        let limits = &service.settings().limits;
        let boundary = boundary(&request).ok_or_else(ApiError::not_a_form)?;
        let texts_max = limits.form_parts_max as u64 * PART_OVERHEAD
            + (TEXTS.len() * limits.form_field_bytes_max) as u64;
        let bytes_max = limits.upload_bytes_max + texts_max;
        let announced = request.body().announced_bytes().unwrap_or(bytes_max);
        let room = service.admit(announced.min(bytes_max)).await?;
        let whole = SizeLimit::new().whole_stream(bytes_max);
        let constraints = Constraints::new().size_limit(whole);
        let body = request.into_body();
        let mut parts = Multipart::with_constraints(body, boundary, constraints);
        let mut form = Self {
            _room: Some(room),
            ..Self::default()
        };
        let mut count = 0;
        while let Some(part) = parts.next_field().await.map_err(|e| refusal(&e, limits))? {
            count += 1;
            if count > limits.form_parts_max {
                let sentence = format!("a form may have {} parts at most", limits.form_parts_max);
                return Err(ApiError::bad_request(sentence));
            }
            form.take(part, limits).await?;
        }
        Ok(form)
    }

    async fn take(&mut self, mut part: Field<'_>, limits: &Limits) -> Result<(), ApiError> {
        let name = part.name().unwrap_or_default().to_owned();
        if name == "file" {
            let filename = part.file_name().map(unquoted);
            let bytes_max = limits.upload_bytes_max;
            let bytes = read(&mut part, bytes_max, limits).await?;
            let bytes = bytes.ok_or_else(|| ApiError::too_large(bytes_max))?;
            if self.file.is_some() {
                return Err(ApiError::bad_request("the part 'file' was sent twice"));
            }
            self.file = Some(File { bytes, filename });
            return Ok(());
        }
        let known = TEXTS.into_iter().find(|known| *known == name);
        let is_flat = FlatMetadata::is_part(&name);
        let bytes_max = limits.form_field_bytes_max as u64;
        let bytes = read(&mut part, bytes_max, limits).await?;
        if known.is_none() && !is_flat {
            return Ok(());
        }
        let shown: String = name.chars().take(100).collect();
        let text = bytes
            .ok_or_else(|| format!("the part '{shown}' is larger than {bytes_max} bytes"))
            .and_then(|bytes| {
                String::from_utf8(bytes.into())
                    .map_err(|_| format!("the part '{shown}' is no UTF-8"))
            })
            .map_err(ApiError::bad_request)?;
        if let Some(known) = known {
            if self.texts.insert(known, text).is_some() {
                let sentence = format!("the part '{known}' was sent twice");
                return Err(ApiError::bad_request(sentence));
            }
        } else {
            // Values are held before the object is whole; their sum has the limit of the object,
            // with room for the quotes which coercion takes away.
            self.flat_metadata
                .insert(&name, text, limits.metadata_bytes_max)
                .map_err(service::Error::from)?;
        }
        Ok(())
    }

    /// A text part; the empty text is as good as none, except where `text_or_empty` is asked.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.text_or_empty(name).filter(|text| !text.is_empty())
    }

    /// A text part, empty or not.
    pub(super) fn text_or_empty(&self, name: &str) -> Option<&str> {
        self.texts.get(name).map(String::as_str)
    }

    /// `true`, `false`, `1` or `0`.
    pub(super) fn boolean(&self, name: &str) -> Result<Option<bool>, ApiError> {
        match self.text(name) {
            None => Ok(None),
            Some("true" | "1") => Ok(Some(true)),
            Some("false" | "0") => Ok(Some(false)),
            Some(_) => {
                let sentence = format!("{name} must be true or false");
                Err(ApiError::bad_request(sentence))
            }
        }
    }

    /// The creator; `Some(None)` is an empty part.
    pub(super) fn creator(&self, limits: &Limits) -> Result<Option<Option<Creator>>, ApiError> {
        let text = self.text_or_empty("creator");
        text.map(|text| creator(text, limits)).transpose()
    }

    /// The moment in `expiry`.
    pub(super) fn expiry(&self) -> Result<Option<Timestamp>, ApiError> {
        self.text("expiry").map(expiry).transpose()
    }

    /// The metadata in any spelling; the JSON part wins over flattened ones.
    pub(super) fn metadata(
        &mut self,
        coerce: bool,
        limits: &Limits,
    ) -> Result<Option<Metadata>, ApiError> {
        let bytes_max = limits.metadata_bytes_max;
        let metadata = match self.text("metadata") {
            Some(text) => Metadata::from_json(text, bytes_max),
            None => std::mem::take(&mut self.flat_metadata).finish(coerce, bytes_max),
        };
        Ok(metadata.map_err(service::Error::from)?)
    }

    /// Whether any spelling of metadata was sent with something in it.
    pub(super) fn has_metadata(&self) -> bool {
        self.text("metadata").is_some() || !self.flat_metadata.is_empty()
    }
}

/// A creator in its limit; the empty text is none.
pub(super) fn creator(text: &str, limits: &Limits) -> Result<Option<Creator>, ApiError> {
    Creator::parse(text, limits.creator_chars_max).map_err(|chars_max| {
        ApiError::bad_request(format!(
            "creator must not be longer than {chars_max} characters"
        ))
    })
}

/// A moment in RFC 3339.
pub(super) fn expiry(text: &str) -> Result<Timestamp, ApiError> {
    let moment = Timestamp::parse(text);
    moment.ok_or_else(|| ApiError::bad_request("expiry must be a moment in RFC 3339"))
}

/// The boundary of a multipart form; `None` if the body is something else.
pub(super) fn boundary<B>(request: &hyper::Request<B>) -> Option<String> {
    let content_type = request.headers().get(CONTENT_TYPE)?;
    multer::parse_boundary(content_type.to_str().ok()?).ok()
}

/// Reads a part; `None` if it is over its limit, which is noticed before the rest arrives.
async fn read(
    part: &mut Field<'_>,
    bytes_max: u64,
    limits: &Limits,
) -> Result<Option<Bytes>, ApiError> {
    let mut bytes = BytesMut::new();
    while let Some(piece) = part
        .chunk()
        .await
        .map_err(|error| refusal(&error, limits))?
    {
        if (bytes.len() + piece.len()) as u64 > bytes_max {
            return Ok(None);
        }
        bytes.extend_from_slice(&piece);
    }
    Ok(Some(bytes.freeze()))
}

fn refusal(error: &multer::Error, limits: &Limits) -> ApiError {
    match error {
        multer::Error::StreamSizeExceeded { .. } => ApiError::too_large(limits.upload_bytes_max),
        multer::Error::StreamReadFailed(cause) => match cause.downcast_ref::<BodyError>() {
            Some(cause) => (*cause).into(),
            None => ApiError::broken_form(),
        },
        _ => ApiError::broken_form(),
    }
}

/// Browsers and two SDKs write a quote in a filename as `%22` (HTML standard, multipart encoding).
fn unquoted(filename: &str) -> String {
    filename
        .replace("%22", "\"")
        .replace("%0D", "\r")
        .replace("%0A", "\n")
}
