//! Whole stores, as `check`, `migrate`, `backup` and `restore` open them: the catalog and the blobs
//! of some settings, beside a server which may be running, or new and locked.

use std::path::{Path, PathBuf};

use service::holdings::Holdings;
use store::{DataFolder, Vault};

use super::setting_flags::QuietFlags;
use super::{Error, Variables, stores};
use crate::config::{BlobStore, Config, Database};

/// The secret key of the servers.
type Key = [u8; 32];

/// The settings, with another database and other blobs if these two are given.
pub(super) fn config(
    flags: &QuietFlags,
    named: &[String],
    variables: &Variables,
) -> Result<Config, Error> {
    let flags = match named {
        [database, blobs] => flags.with("database", database).with("blobs", blobs),
        _ => flags.clone(),
    };
    flags.config(variables)
}

/// A store which is there, opened beside the server which may be using it.
pub(super) async fn open_beside(config: &Config) -> Result<(Holdings, Key), Error> {
    if let Database::Sqlite(path) = &config.database
        && !path.exists()
    {
        return Err(Error::Failed(format!(
            "there is no database {}; name its folder with --data-dir",
            path.display()
        )));
    }
    if let BlobStore::Folder(folder) = &config.blobs
        && !folder.is_dir()
    {
        return Err(Error::Failed(format!(
            "there is no folder {}; name it with --blobs",
            folder.display()
        )));
    }
    let key = key(config)?.ok_or_else(|| {
        Error::Failed(format!(
            "the secret key of the servers is needed, as CALOTYPE_SECRET_KEY or in {}",
            key_files(config)[0].display()
        ))
    })?;
    let holdings = Holdings {
        catalog: stores::catalog(config, Vault::from_key(key)).await?,
        blobs: stores::blobs_beside(config).await?,
    };
    Ok((holdings, key))
}

/// A store which is to be filled, and which no server may be using.
pub(super) struct New {
    pub(super) holdings: Holdings,
    folder: Option<DataFolder>,
    /// To be kept beside the database.
    key: Option<Key>,
}

impl New {
    /// Writes the secret key beside the database, unless it is there or kept somewhere else; returns
    /// where. For a store which was seen to be empty.
    pub(super) fn keep_key(&self) -> Result<Option<PathBuf>, Error> {
        let (Some(folder), Some(key)) = (&self.folder, self.key) else {
            return Ok(None);
        };
        Vault::write_key(&folder.secret_key(), key)?;
        Ok(Some(folder.secret_key()))
    }
}

/// Opens such a store, and creates what it needs on this machine.
pub(super) async fn open_new(config: &Config, key: Key) -> Result<New, Error> {
    let folder = match folder_of(config) {
        Some(folder) => Some(DataFolder::lock(&folder)?),
        None => None,
    };
    let mut unkept = None;
    if let Some(folder) = &folder {
        match Vault::read_key(&folder.secret_key())? {
            // Given as a setting, it is kept somewhere else.
            None if config.secret_key.is_none() => unkept = Some(key),
            Some(other) if other != key => {
                return Err(Error::Failed(format!(
                    "{} holds another secret key than the one which is brought",
                    folder.secret_key().display()
                )));
            }
            _ => {}
        }
    }
    let holdings = Holdings {
        catalog: stores::any_catalog(config, Vault::from_key(key)).await?,
        blobs: stores::blobs_to_fill(config).await?,
    };
    Ok(New {
        holdings,
        folder,
        key: unkept,
    })
}

/// Where the bytes are, as it tells one place from another.
pub(super) fn blobs_name(config: &Config) -> String {
    match (&config.blobs, &config.s3_endpoint) {
        (BlobStore::Folder(path), _) => format!("file:{}", absolute(path)),
        (BlobStore::Bucket(url), None) => url.to_string(),
        (BlobStore::Bucket(url), Some(endpoint)) => format!("{url} at {endpoint}"),
    }
}

pub(super) fn absolute(path: &Path) -> String {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    path.display().to_string()
}

/// The key of the settings, or the one which a server minted beside its database.
pub(super) fn key(config: &Config) -> Result<Option<Key>, Error> {
    if let Some(key) = &config.secret_key {
        return Ok(Some(key.expose()));
    }
    for path in key_files(config) {
        if let Some(key) = Vault::read_key(&path)? {
            return Ok(Some(key));
        }
    }
    Ok(None)
}

fn key_files(config: &Config) -> Vec<PathBuf> {
    let beside = folder_of(config).into_iter();
    let folders = beside.chain([config.data_dir.clone()]);
    folders.map(|folder| folder.join("secret.key")).collect()
}

/// The folder of a database which is a file.
fn folder_of(config: &Config) -> Option<PathBuf> {
    let Database::Sqlite(path) = &config.database else {
        return None;
    };
    let parent = path.parent().filter(|path| !path.as_os_str().is_empty());
    Some(parent.unwrap_or(Path::new(".")).to_owned())
}
