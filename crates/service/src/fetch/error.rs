use crate::Error;

/// Why a source was not fetched. The sentences are fit for clients and name no address of this
/// network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FetchError {
    /// Neither `http` nor `https`.
    #[error("url must be an http or https URL")]
    Scheme,
    /// On this machine or in a private network.
    #[error("the address is private, and this server does not fetch from such")]
    Private,
    /// Not one of the ports which sources may have.
    #[error("sources at port {0} are not allowed")]
    Port(u16),
    /// No such host.
    #[error("the server's name cannot be resolved")]
    Name,
    /// No way to the host.
    #[error("the server cannot be reached")]
    Unreachable,
    /// Nobody listens, or TLS fails.
    #[error("the server cannot be reached: no connection")]
    Refused,
    /// No answer began in time.
    #[error("no answer within the time allowed")]
    SilentHead,
    /// The answer did not end in time.
    #[error("no whole answer within the time allowed")]
    SlowBody,
    /// The connection ended before an answer, or what came is no HTTP.
    #[error("the connection broke")]
    Broken,
    /// The connection ended within the body.
    #[error("the connection broke within the image")]
    Truncated,
    /// More bytes than are fetched.
    #[error("the image has more than {0} bytes")]
    TooManyBytes(u64),
    /// The origin says no, or failed.
    #[error("the server returned HTTP error {}", status_text(*.0))]
    Status(u16),
    /// A redirection without an address which can be followed.
    #[error("redirection to an invalid URL")]
    Redirection,
    /// More redirections than are followed.
    #[error("too many redirects")]
    TooManyRedirects,
    /// A content coding which was not asked for and is not known, or a broken one.
    #[error("the image is compressed in a way which cannot be undone")]
    Coding,
    /// Too many other sources are being fetched.
    #[error("too many sources are being fetched")]
    Busy,
}

/// `404 Not Found`
fn status_text(status: u16) -> String {
    reqwest::StatusCode::from_u16(status).map_or(status.to_string(), |status| status.to_string())
}

impl FetchError {
    /// Whether it may go better a little later.
    pub(crate) const fn is_passing(self) -> bool {
        match self {
            Self::Status(status) => status == 429 || status >= 500,
            Self::Name
            | Self::Unreachable
            | Self::Refused
            | Self::SilentHead
            | Self::SlowBody
            | Self::Broken
            | Self::Truncated
            | Self::Busy => true,
            _ => false,
        }
    }

    /// What went wrong with a request, from the chain of causes.
    pub(super) fn of(error: &reqwest::Error) -> Self {
        let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
        while let Some(current) = cause {
            if let Some(known) = current.downcast_ref::<Self>() {
                return *known;
            }
            if let Some(io) = current.downcast_ref::<std::io::Error>() {
                use std::io::ErrorKind::{HostUnreachable, NetworkUnreachable};
                if matches!(io.kind(), HostUnreachable | NetworkUnreachable) {
                    return Self::Unreachable;
                }
            }
            cause = current.source();
        }
        if error.is_timeout() {
            Self::SilentHead
        } else if error.is_connect() {
            Self::Refused
        } else {
            Self::Broken
        }
    }
}

/// The words for an upload by URL.
impl From<FetchError> for Error {
    fn from(error: FetchError) -> Self {
        match error {
            FetchError::Scheme => Self::Invalid(error.to_string()),
            FetchError::TooManyBytes(bytes_max) => Self::TooManyBytes(bytes_max),
            FetchError::Busy => Self::Busy,
            other => Self::Origin(other.to_string()),
        }
    }
}
