use std::fmt;

use crate::{Creator, ImageId, OpaqueId, Timestamp};

/// Where notifications of an account may be sent: a webhook destination (management-api.md,
/// section 8.3).
#[derive(Clone, PartialEq, Eq)]
pub struct Webhook {
    /// Its name in the API.
    pub id: OpaqueId,
    /// What its owner calls it, 1 to `Webhook::NAME_CHARS_MAX` characters.
    pub name: String,
    /// An `http` or `https` address, `Webhook::URL_BYTES_MAX` bytes at most.
    pub url: String,
    /// What the receiver knows us by: visible ASCII, sent as it is.
    pub secret: Option<String>,
    /// When it was made.
    pub created: Timestamp,
    /// When it last took a notification.
    pub last_success: Option<Timestamp>,
    /// When it last did not.
    pub last_failure: Option<Timestamp>,
}

impl Webhook {
    /// Characters of a name, of a webhook or of a policy.
    pub const NAME_CHARS_MAX: usize = 256;
    /// Bytes of an address.
    pub const URL_BYTES_MAX: usize = 2_048;
    /// Bytes of a secret.
    pub const SECRET_BYTES_MAX: usize = 1_024;
}

impl fmt::Debug for Webhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Webhook({})", self.id)
    }
}

/// What of an account is told, and to whom. There is one thing to tell: how direct creator uploads
/// end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotificationPolicy {
    /// Its name in the API.
    pub id: OpaqueId,
    /// What its owner calls it.
    pub name: String,
    /// What its owner says of it.
    pub description: Option<String>,
    /// Whether anything is told at all.
    pub enabled: bool,
    /// To whom, in the order they were given in, none twice.
    pub webhooks: Vec<OpaqueId>,
    /// When it was made.
    pub created: Timestamp,
    /// When it was last changed.
    pub modified: Timestamp,
}

impl NotificationPolicy {
    /// The only type of alert there is.
    pub const ALERT_TYPE: &str = "image_notification";
    /// Characters of a description.
    pub const DESCRIPTION_CHARS_MAX: usize = 1_024;
}

/// How a direct creator upload ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UploadEnd {
    /// What was uploaded, or was to be.
    pub image: ImageId,
    /// Whose it is.
    pub creator: Option<Creator>,
    /// When it became an image, or why it did not.
    pub outcome: Result<Timestamp, String>,
    /// When this was known.
    pub happened: Timestamp,
}

/// An end of an upload which a webhook waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pending {
    /// By which policy.
    pub policy: OpaqueId,
    /// Who.
    pub webhook: OpaqueId,
    /// What.
    pub end: UploadEnd,
}
