//! The catalog and the blobs which the settings name.

use std::path::PathBuf;
use std::sync::Arc;

use store::{Blobs, Error, Portable, Postgres, Sqlite, Vault};

use crate::config::{BlobStore, Config, Database};

/// Opens the catalog, and brings it up to date. One which is still being filled is refused.
pub(super) async fn catalog(config: &Config, vault: Vault) -> Result<Arc<dyn Portable>, Error> {
    let catalog = any_catalog(config, vault).await?;
    match catalog.incoming().await? {
        None => Ok(catalog),
        Some(origin) => Err(Error::Schema(format!(
            "the copy of {origin} into it is unfinished; start that command again"
        ))),
    }
}

/// Opens the catalog, and brings it up to date, even if it is still being filled.
pub(super) async fn any_catalog(config: &Config, vault: Vault) -> Result<Arc<dyn Portable>, Error> {
    Ok(match &config.database {
        Database::Sqlite(path) => Arc::new(Sqlite::open(path, vault).await?),
        Database::Postgres(url) => {
            Arc::new(Postgres::open(url, config.database_connections, vault).await?)
        }
    })
}

/// Opens the blobs, and tries whether a bucket answers.
pub(super) async fn blobs(config: &Config) -> Result<Blobs, Error> {
    match &config.blobs {
        BlobStore::Folder(folder) => match config.database {
            Database::Sqlite(_) => Blobs::local(folder),
            Database::Postgres(_) => Blobs::shared(folder),
        },
        BlobStore::Bucket(url) => {
            let blobs = Blobs::bucket(&config.bucket(url))?;
            blobs.check().await?;
            Ok(blobs)
        }
    }
}

/// Opens the blobs of a store which is to be filled. The folder may turn out to be one which a server
/// is writing to.
pub(super) async fn blobs_to_fill(config: &Config) -> Result<Blobs, Error> {
    match &config.blobs {
        BlobStore::Folder(folder) => Blobs::shared(folder),
        BlobStore::Bucket(_) => blobs(config).await,
    }
}

/// Opens the blobs beside a server which may be using them.
pub(super) async fn blobs_beside(config: &Config) -> Result<Blobs, Error> {
    match &config.blobs {
        BlobStore::Folder(folder) => Blobs::beside(folder),
        BlobStore::Bucket(_) => blobs(config).await,
    }
}

/// The folders in which something is kept for good, and whose disks must not be full.
pub(super) fn folders(config: &Config) -> Vec<PathBuf> {
    let mut folders = vec![config.data_dir.clone()];
    if let BlobStore::Folder(folder) = &config.blobs {
        folders.push(folder.clone());
    }
    folders
}
