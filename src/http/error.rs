//! The only file in which a domain error meets a status code (management-api.md, sections 1.4, 1.5).

use hyper::header::{ALLOW, HeaderName, HeaderValue, RETRY_AFTER};
use hyper::{Method, StatusCode};
use service::Error;

use super::lingering::BodyError;
use super::response::{self, Response};
use super::wire::{Envelope, ErrorItem};

/// The codes of the API.
mod code {
    pub(super) const INVALID_HEADERS: u32 = 6003;
    pub(super) const INVALID_AUTHORIZATION: u32 = 6111;
    pub(super) const NO_ROUTE: u32 = 7000;
    pub(super) const COULD_NOT_ROUTE: u32 = 7003;
    pub(super) const NO_CREDENTIALS: u32 = 9106;
    pub(super) const AUTHENTICATION: u32 = 10_000;
    pub(super) const INVALID_TOKEN: u32 = 1000;
    pub(super) const RATE_LIMIT: u32 = 971;
    pub(super) const BAD_REQUEST: u32 = 5400;
    pub(super) const VARIANT_NOT_FOUND: u32 = 5401;
    pub(super) const NOT_FOUND: u32 = 5404;
    pub(super) const TOO_SLOW: u32 = 5408;
    pub(super) const TAKEN: u32 = 5409;
    pub(super) const TOO_LARGE: u32 = 5413;
    pub(super) const NOT_A_FORM: u32 = 5415;
    pub(super) const BROKEN_UPLOAD: u32 = 5450;
    pub(super) const LIMIT_REACHED: u32 = 5453;
    pub(super) const NOT_AN_IMAGE: u32 = 5455;
    pub(super) const INTERNAL: u32 = 5500;
    pub(super) const BUSY: u32 = 5503;
    pub(super) const STORAGE: u32 = 5540;
}

/// A refusal of the API: a status and the `errors[]` of the envelope.
#[derive(Debug)]
pub(super) struct ApiError {
    status: StatusCode,
    errors: Vec<ErrorItem>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl ApiError {
    fn new(status: StatusCode, code: u32, message: impl Into<String>) -> Self {
        Self {
            status,
            errors: vec![ErrorItem::new(code, message)],
            headers: Vec::new(),
        }
    }

    /// Without it, the SDKs send the same request again up to ten times.
    fn without_retry(mut self) -> Self {
        let name = HeaderName::from_static("x-should-retry");
        self.headers.push((name, HeaderValue::from_static("false")));
        self
    }

    fn retry_after(mut self, seconds: u32) -> Self {
        self.headers.push((RETRY_AFTER, seconds.into()));
        self
    }

    /// A parameter is missing, malformed or out of range; the sentence names it.
    pub(super) fn bad_request(sentence: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code::BAD_REQUEST, sentence)
    }

    /// No such address, or no such account.
    pub(super) fn no_route(path: &str) -> Self {
        let could_not =
            format!("Could not route to {path}, perhaps your object identifier is invalid?");
        let mut error = Self::new(StatusCode::NOT_FOUND, code::COULD_NOT_ROUTE, could_not);
        let no_route = ErrorItem::new(code::NO_ROUTE, "No route for that URI");
        error.errors.push(no_route);
        error
    }

    /// The address exists, the method there does not; `allowed` are there, separated by commas.
    pub(super) fn method_not_allowed(method: &Method, allowed: &str) -> Self {
        let message =
            format!("{method} method not allowed for the api_token authentication scheme");
        let status = StatusCode::METHOD_NOT_ALLOWED;
        let mut error = Self::new(status, code::AUTHENTICATION, message);
        error
            .headers
            .extend(HeaderValue::from_str(allowed).map(|allowed| (ALLOW, allowed)));
        error
    }

    /// No credentials of any kind.
    pub(super) fn no_credentials() -> Self {
        let message = "Missing X-Auth-Key, X-Auth-Email or Authorization headers";
        Self::new(StatusCode::BAD_REQUEST, code::NO_CREDENTIALS, message)
    }

    /// `Authorization` is not of the form `Bearer <token>`.
    pub(super) fn malformed_credentials() -> Self {
        let message = "Invalid request headers";
        let mut error = Self::new(StatusCode::BAD_REQUEST, code::INVALID_HEADERS, message);
        let cause = ErrorItem::new(
            code::INVALID_AUTHORIZATION,
            "Invalid format for Authorization header",
        );
        error.errors[0].error_chain = vec![cause];
        error
    }

    /// The token opens nothing.
    pub(super) fn unauthenticated() -> Self {
        let message = "Authentication error";
        Self::new(StatusCode::UNAUTHORIZED, code::AUTHENTICATION, message)
    }

    /// The token opens something else.
    pub(super) fn forbidden() -> Self {
        let message = "Authentication error";
        Self::new(StatusCode::FORBIDDEN, code::AUTHENTICATION, message)
    }

    /// The token which was to be verified is not valid.
    pub(super) fn invalid_token() -> Self {
        let message = "Invalid API Token";
        Self::new(StatusCode::UNAUTHORIZED, code::INVALID_TOKEN, message)
    }

    /// Not part of the batch API.
    pub(super) fn forbidden_endpoint() -> Self {
        let message = "forbidden endpoint";
        Self::new(StatusCode::FORBIDDEN, code::AUTHENTICATION, message)
    }

    /// More requests than a batch token may make.
    pub(super) fn too_many_requests() -> Self {
        let message = "Please wait and consider throttling your request speed";
        Self::new(StatusCode::TOO_MANY_REQUESTS, code::RATE_LIMIT, message).retry_after(1)
    }

    /// An upload which is no form.
    pub(super) fn not_a_form() -> Self {
        let message = "Images must be uploaded as a form, not as raw image data";
        Self::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            code::NOT_A_FORM,
            message,
        )
    }

    /// A form whose framing is wrong or which ends early.
    pub(super) fn broken_form() -> Self {
        let message = "Error while receiving upload";
        Self::new(StatusCode::BAD_REQUEST, code::BROKEN_UPLOAD, message)
    }

    /// More bytes than an image may have.
    pub(super) fn too_large(bytes_max: u64) -> Self {
        let message = format!("Maximum image size of {} is reached", size(bytes_max));
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, code::TOO_LARGE, message)
    }

    /// What the API says of it, if it is for what was sent and not for the state of anything.
    pub(super) fn reason_of_refusal(&self) -> Option<&str> {
        let is_refusal = matches!(
            self.status,
            StatusCode::BAD_REQUEST
                | StatusCode::FORBIDDEN
                | StatusCode::PAYLOAD_TOO_LARGE
                | StatusCode::UNSUPPORTED_MEDIA_TYPE
        );
        // Whoever went away in the middle may come again.
        let is_of_file = |error: &&ErrorItem| error.code != code::BROKEN_UPLOAD;
        let first = self.errors.first().filter(|_| is_refusal);
        let first = first.filter(is_of_file);
        first.map(|error| error.message.as_str())
    }

    pub(super) fn into_response(self) -> Response {
        let mut response = response::json(self.status, &Envelope::failure(self.errors));
        response.headers_mut().extend(self.headers);
        response
    }
}

/// `10 Mb` as the live service writes it.
fn size(bytes: u64) -> String {
    const MEBI: u64 = 1024 * 1024;
    if bytes >= MEBI && bytes.is_multiple_of(MEBI) {
        format!("{} Mb", bytes / MEBI)
    } else {
        format!("{bytes} bytes")
    }
}

impl From<BodyError> for ApiError {
    fn from(error: BodyError) -> Self {
        match error {
            BodyError::Idle => Self::new(
                StatusCode::REQUEST_TIMEOUT,
                code::TOO_SLOW,
                "Client was sending upload too slowly",
            )
            .without_retry(),
            BodyError::Broken => Self::broken_form(),
        }
    }
}

impl From<Error> for ApiError {
    fn from(error: Error) -> Self {
        match &error {
            Error::Invalid(sentence) => Self::bad_request(sentence.clone()),
            Error::Origin(_) => Self::bad_request(error.to_string()),
            Error::ImageNotFound(_) => {
                Self::new(StatusCode::NOT_FOUND, code::NOT_FOUND, "Image not found")
            }
            Error::KeyNotFound(_) => Self::new(
                StatusCode::NOT_FOUND,
                code::NOT_FOUND,
                "Signing key not found",
            ),
            Error::NotFound(what) => {
                let message = format!("No such {what}");
                Self::new(StatusCode::NOT_FOUND, code::NOT_FOUND, message)
            }
            Error::WebhookInUse => {
                let message = "The webhook is used by a notification policy";
                Self::new(StatusCode::CONFLICT, code::TAKEN, message).without_retry()
            }
            Error::ImportRuns | Error::ImportEnded => {
                let message = match error {
                    Error::ImportRuns => "An import from the source has not ended",
                    _ => "The import has ended",
                };
                Self::new(StatusCode::CONFLICT, code::TAKEN, message).without_retry()
            }
            Error::VariantNotFound(_) => Self::new(
                StatusCode::NOT_FOUND,
                code::VARIANT_NOT_FOUND,
                "Variant name not found",
            ),
            Error::ImageTaken(_)
            | Error::VariantTaken(_)
            | Error::Taken(_)
            | Error::UploadUrlUsed => {
                Self::new(StatusCode::CONFLICT, code::TAKEN, "Resource already exists")
                    .without_retry()
            }
            Error::UploadUrlExpired => {
                Self::new(StatusCode::GONE, code::NOT_FOUND, "Upload URL has expired")
            }
            Error::LimitReached(_) => Self::new(
                StatusCode::FORBIDDEN,
                code::LIMIT_REACHED,
                "The given account has reached a service limit",
            ),
            Error::TooManyBytes(bytes_max) => Self::too_large(*bytes_max),
            Error::Unreadable(cause) => unreadable(cause),
            Error::Busy => Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                code::BUSY,
                "Server Unavailable",
            )
            .retry_after(1),
            Error::Worker(_) => {
                log(&error);
                Self::new(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    code::INTERNAL,
                    "Internal Server Error",
                )
                .without_retry()
            }
            Error::Store(store::Error::NoSpace(_)) => {
                log(&error);
                Self::new(
                    StatusCode::INSUFFICIENT_STORAGE,
                    code::STORAGE,
                    "Error received from the storage: no space left",
                )
                .without_retry()
            }
            Error::Store(store::Error::Closed) => Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                code::STORAGE,
                "Error received from the storage: it is being moved and takes no changes at present",
            )
            .retry_after(10),
            _ if error.is_outage() => {
                log(&error);
                Self::new(
                    StatusCode::SERVICE_UNAVAILABLE,
                    code::STORAGE,
                    "Error received from the storage: it does not answer at present",
                )
                .retry_after(1)
            }
            Error::Store(_) => {
                log(&error);
                Self::new(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    code::STORAGE,
                    "Error received from the storage",
                )
            }
        }
    }
}

/// What was uploaded is no image, or one over a limit.
fn unreadable(cause: &pixels::Error) -> ApiError {
    if let pixels::Error::TooLarge { .. } = cause {
        return ApiError::bad_request(cause.to_string());
    }
    if matches!(cause, pixels::Error::Deadline | pixels::Error::Cancelled) {
        return ApiError::bad_request("the image takes too long to decode");
    }
    tracing::debug!(%cause, "an upload is refused");
    if let pixels::Error::Unsupported(_) = cause {
        let (status, code) = (StatusCode::UNSUPPORTED_MEDIA_TYPE, code::NOT_AN_IMAGE);
        return ApiError::new(status, code, cause.to_string());
    }
    ApiError::new(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        code::NOT_AN_IMAGE,
        "Uploaded image must have image/jpeg, image/png, image/webp, image/gif or image/svg+xml content-type",
    )
}

/// The causes go to the log, here and nowhere else.
fn log(error: &Error) {
    let mut causes = Vec::new();
    let mut cause = std::error::Error::source(error);
    while let Some(next) = cause {
        causes.push(next.to_string());
        cause = next.source();
    }
    tracing::error!(%error, ?causes, "a request failed");
}
