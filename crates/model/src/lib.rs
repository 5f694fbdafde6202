//! The nouns of Calotype, parsed and valid: inside the program nobody checks a string twice.
//!
//! Nothing here does I/O or reads a clock; the current time is always an argument.

mod access;
mod account;
mod blob_key;
mod creator;
mod filename;
mod flow;
mod image;
mod image_id;
mod import;
mod limits;
mod media_type;
mod metadata;
mod metadata_filter;
mod notification;
mod opaque_id;
mod policy;
mod random;
pub mod remote_path;
pub mod signed_url;
mod signing_key;
mod source_url;
mod timestamp;
pub mod transform;
mod variant;
mod zone;

pub use access::{Access, ApiToken, BatchClaims, Permission, TokenHash, TokenId, TokenState};
pub use account::{Account, AccountConfig, AccountHash, AccountId, InvalidAccount};
pub use blob_key::BlobKey;
pub use creator::{Creator, CreatorFilter};
pub use filename::Filename;
pub use flow::Flows;
pub use image::{Image, Source};
pub use image_id::{ImageId, InvalidImageId};
pub use import::{
    ImportBucket, ImportCounts, ImportEntry, ImportJob, ImportOutcome, ImportSource, ImportState,
    ImportedObject,
};
pub use limits::Limits;
pub use media_type::MediaType;
pub use metadata::{FlatMetadata, InvalidMetadata, Metadata};
pub use metadata_filter::{Comparison, Condition, InvalidFilter, MetadataFilter, Operand};
pub use notification::{NotificationPolicy, Pending, UploadEnd, Webhook};
pub use opaque_id::OpaqueId;
pub use policy::{GammaDirection, Policy, ResizeLight};
pub use random::{hex as to_hex, random_bytes, random_hex, random_secret, unhex as from_hex};
pub use remote_path::RemotePath;
pub use signing_key::{KeyName, SigningKey};
pub use source_url::{InvalidSource, Site, SourceUrl};
pub use timestamp::Timestamp;
pub use transform::{Fit, Transform};
pub use variant::{InvalidVariant, Variant, VariantName, VariantOptions};
pub use zone::{
    AllowedOrigin, AllowedOrigins, Origins, Zone, ZoneConfig, ZoneConfigs, ZoneId, split_authority,
};
