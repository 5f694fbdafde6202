//! What Calotype keeps, without rules: the catalog of records, the blobs, and the renditions on
//! disk. The rules live in `service`.

pub mod blobs;
pub mod catalog;
mod data_folder;
mod disk_space;
mod error;
pub mod renditions;
mod s3_signature;
mod vault;

pub use blobs::{Blobs, Bucket, BucketUrl, Presigner, Stored};
pub use catalog::{Catalog, Moment, Portable, Postgres, PostgresUrl, Sqlite};
pub use data_folder::DataFolder;
pub use disk_space::{DiskSpace, SpaceClaim};
pub use error::Error;
pub use renditions::{
    Emptied, OpenRendition, RenditionFile, RenditionKey, Renditions, StoredRendition,
};
pub use s3_signature::sign_s3;
pub use vault::Vault;
