//! JSON exactly as clients see it; no other type is sent to a client.

mod envelope;
mod image;
mod variant;

pub(super) use envelope::{Envelope, ErrorItem};
pub(super) use image::{PageByNumber, PageByToken, image, images, public_image};
pub(super) use variant::{variant, variants};
