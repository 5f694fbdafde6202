//! Refusals of hosted and remote images: a status, a code and a line of text
//! (transformations.md, section 5.3; management-api.md, section 7.6).

use hyper::StatusCode;
use hyper::header::{
    ACCESS_CONTROL_ALLOW_ORIGIN, CACHE_CONTROL, CONTENT_SECURITY_POLICY, HeaderName, RETRY_AFTER,
    X_CONTENT_TYPE_OPTIONS,
};
use model::{InvalidSource, MediaType};
use service::{DeliveryError, FetchError};

use super::response::{self, Response};

pub(super) const CF_IMAGES: HeaderName = HeaderName::from_static("cf-images");
pub(super) const CF_RESIZED: HeaderName = HeaderName::from_static("cf-resized");
const TIMING_ALLOW_ORIGIN: HeaderName = HeaderName::from_static("timing-allow-origin");
const WARNING: HeaderName = HeaderName::from_static("warning");
const POLICY: &str = "default-src 'none'; navigate-to 'none'; form-action 'none'; img-src data:; style-src 'unsafe-inline';";

/// Says what was asked for and done otherwise.
pub(super) fn warn(answer: &mut Response, warnings: &[String]) {
    for warning in warnings {
        let text = format!("cf-images 299 \"{}\"", warning.replace(['"', '\\'], "'"));
        if let Ok(value) = text.parse() {
            answer.headers_mut().append(WARNING, value);
        }
    }
}

/// Lets any page read hosted images, and how long they took.
pub(super) fn readable(answer: &mut Response) {
    response::set(answer, ACCESS_CONTROL_ALLOW_ORIGIN, "*");
    response::set(answer, TIMING_ALLOW_ORIGIN, "*");
}

/// What is served is what it is called, and runs nothing.
pub(super) fn secure(answer: &mut Response) {
    response::set(answer, X_CONTENT_TYPE_OPTIONS, "nosniff");
    response::set(answer, CONTENT_SECURITY_POLICY, POLICY);
}

/// `ERROR <code>: <words>` (management-api.md, section 7.6).
pub(super) fn refusal(status: StatusCode, code: u16, words: &str) -> Response {
    let text = format!("ERROR {code}: {words}");
    let mut answer = response::bytes(status, "text/plain; charset=utf-8", text.into());
    let error = format!("err={code}");
    response::set_text(&mut answer, CF_IMAGES, &error);
    response::set_text(&mut answer, CF_RESIZED, &error);
    response::set(&mut answer, CACHE_CONTROL, "no-store");
    readable(&mut answer);
    secure(&mut answer);
    answer
}

pub(super) fn refuse(error: &DeliveryError) -> Response {
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
        DeliveryError::Source(InvalidSource::Url) => refusal(StatusCode::FORBIDDEN, 9406, &words),
        DeliveryError::Source(InvalidSource::Host) => refusal(StatusCode::FORBIDDEN, 9419, &words),
        DeliveryError::Source(InvalidSource::Nested) | DeliveryError::Loop => {
            refusal(StatusCode::LOOP_DETECTED, 9403, &words)
        }
        DeliveryError::OriginNotAllowed => refusal(StatusCode::FORBIDDEN, 9401, &words),
        DeliveryError::Fetch(cause) => refuse_fetch(*cause),
        DeliveryError::Font(_) => refusal(StatusCode::INTERNAL_SERVER_ERROR, 9410, &words),
        DeliveryError::SourceChanged => busy(&words),
        DeliveryError::Busy => busy("the service is too busy"),
        DeliveryError::BusyForLarge => {
            let mut answer = refusal(StatusCode::SERVICE_UNAVAILABLE, 9527, &words);
            response::set(&mut answer, RETRY_AFTER, "2");
            answer
        }
        DeliveryError::Failed(cause) => {
            tracing::error!(error = %cause, source = ?std::error::Error::source(cause.as_ref()), "a delivery failed");
            if cause.is_outage() {
                return busy("the storage does not answer at present");
            }
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
        Error::NotAnImage => {
            let words = "The requested file is not an image";
            refusal(StatusCode::UNSUPPORTED_MEDIA_TYPE, 9412, words)
        }
        Error::SvgConversion => refusal(StatusCode::UNSUPPORTED_MEDIA_TYPE, 9412, &words),
        Error::NotAccepted(format @ (MediaType::Tiff | MediaType::Heic | MediaType::Avif)) => {
            let words = format!("{format} is not accepted; convert the image to JPEG or PNG first");
            refusal(StatusCode::UNSUPPORTED_MEDIA_TYPE, 9412, &words)
        }
        Error::NotAccepted(_) | Error::NoDecoder(_) | Error::Unsupported(_) => {
            let words = format!("Original image has unsupported format: {words}");
            refusal(StatusCode::UNSUPPORTED_MEDIA_TYPE, 9520, &words)
        }
        Error::TooLarge { .. }
        | Error::EnlargedTooMuch { .. }
        | Error::Empty
        | Error::TextTooLarge
        | Error::TooComplex { .. } => refusal(StatusCode::FORBIDDEN, 9413, &words),
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
        Error::NoAsset(_) => refusal(StatusCode::BAD_GATEWAY, 9402, &words),
        Error::Font => refusal(StatusCode::INTERNAL_SERVER_ERROR, 9410, &words),
        Error::Unavailable(_) => refusal(StatusCode::SERVICE_UNAVAILABLE, 9522, &words),
        Error::Deadline => {
            let words = "image too large to process or service too busy";
            refusal(StatusCode::GATEWAY_TIMEOUT, 9529, words)
        }
        Error::Cancelled => busy("Request aborted"),
    }
}

/// What went wrong between here and the origin (transformations.md, section 5.3).
fn refuse_fetch(error: FetchError) -> Response {
    let could_not = |status: u16, code, reason: &str| {
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY);
        let words = format!("Could not fetch the image — {reason}");
        refusal(status, code, &words)
    };
    let reason = error.to_string();
    match error {
        FetchError::Scheme => could_not(403, 9406, "invalid URL"),
        FetchError::Private | FetchError::Port(_) => {
            let words = "Requested image URL has invalid suffix or is not allowed";
            refusal(StatusCode::FORBIDDEN, 9419, words)
        }
        FetchError::Name => could_not(523, 9407, "invalid URL: resolver error"),
        FetchError::Unreachable => could_not(523, 9510, &reason),
        FetchError::Refused => could_not(502, 9505, &reason),
        FetchError::SilentHead => could_not(522, 9504, "request timed out"),
        FetchError::SlowBody => could_not(524, 9504, "download timed out"),
        FetchError::Broken => could_not(502, 9402, &reason),
        FetchError::Truncated => could_not(422, 9416, "error occurred while downloading the image"),
        FetchError::TooManyBytes(_) => could_not(413, 9402, "file too large"),
        FetchError::Status(400) => could_not(502, 9519, &reason),
        FetchError::Status(404 | 410) => {
            let mut answer = could_not(404, 9404, &reason);
            // As long as it is remembered here.
            response::set(&mut answer, CACHE_CONTROL, "max-age=60");
            answer
        }
        FetchError::Status(status @ 401..=499) => could_not(status, 9408, &reason),
        // Another server like this one was asked for a remote image on the way.
        FetchError::Status(508) => refuse(&DeliveryError::Loop),
        FetchError::Status(_) => could_not(502, 9509, &reason),
        FetchError::Redirection => could_not(400, 9420, "Redirection to an invalid URL"),
        FetchError::TooManyRedirects => could_not(400, 9421, "Too many redirects"),
        FetchError::Coding => could_not(415, 9412, &reason),
        FetchError::Busy => busy(&reason),
    }
}

fn busy(words: &str) -> Response {
    let mut answer = refusal(StatusCode::SERVICE_UNAVAILABLE, 9522, words);
    response::set(&mut answer, RETRY_AFTER, "1");
    answer
}
