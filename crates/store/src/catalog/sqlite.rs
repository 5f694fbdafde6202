//! The embedded catalog: one database file in the data folder.

mod accounts;
mod images;
mod imports;
mod keys;
mod leaves;
mod lists;
mod notifications;
mod readers;
mod records;
mod rows;
mod schema;
mod sweep;
#[cfg(test)]
mod tests;
mod tokens;
mod variants;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use model::{
    Account, AccountConfig, AccountHash, AccountId, ApiToken, BlobKey, CreatorFilter, Image,
    ImageId, KeyName, SigningKey, Timestamp, TokenHash, TokenId, Variant, VariantName,
};
use rusqlite::{Connection, ErrorCode, ffi};
use tokio::task::spawn_blocking;

use super::recent::{Moment, Recent, Touched};
use super::{Catalog, Corrupt, Filled, ImageEdit, ListQuery, sealed_keys, statements, zone_text};
use crate::{Error, Vault};
use readers::Readers;
use schema::Durability;
use writer::{Writer, Writing};

/// Records in a database file: any number of readers beside one thread which writes.
#[derive(Debug)]
pub struct Sqlite {
    writer: Writer,
    readers: Readers,
    recent: Arc<Recent>,
    vault: Vault,
    /// Removed with the catalog.
    temporary: Option<PathBuf>,
}

/// The catalog was closed, or its thread is gone.
#[derive(Debug, thiserror::Error)]
#[error("the catalog is closed")]
struct Closed;

impl Sqlite {
    /// Opens the database of this path; creates it, or brings its schema up to date. `vault` opens
    /// its secrets.
    pub async fn open(path: &Path, vault: Vault) -> Result<Self, Error> {
        Self::open_with(path.to_owned(), vault, Durability::Full).await
    }

    /// A catalog of its own which is gone when it is dropped, for tests. It lives in the system's
    /// folder for temporary files, because only files can be written and read at the same time.
    pub async fn open_in_memory(vault: Vault) -> Result<Self, Error> {
        let name = format!("calotype-{}", model::random_hex::<16>());
        let folder = std::env::temp_dir().join(name);
        std::fs::create_dir(&folder).map_err(|error| Error::Database(error.into()))?;
        let mut catalog = Self::open_with(folder.join("catalog"), vault, Durability::Off).await?;
        catalog.temporary = Some(folder);
        Ok(catalog)
    }

    async fn open_with(path: PathBuf, vault: Vault, durability: Durability) -> Result<Self, Error> {
        let readers = Readers::new(path.clone());
        let recent = Arc::new(Recent::new());
        let written = Arc::clone(&recent);
        let opening = spawn_blocking(move || {
            let connection = schema::open_writer(&path, durability)?;
            Writer::start(connection, written)
        });
        let writer = opening
            .await
            .map_err(|error| Error::Database(error.into()))??;
        Ok(Self {
            writer,
            readers,
            recent,
            vault,
            temporary: None,
        })
    }

    /// For reads of one statement, which is a transaction in itself.
    async fn read<T, F>(&self, work: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, Error> + Send + 'static,
    {
        self.readers.run(work).await
    }

    /// For reads of several statements: all of them see the same state.
    async fn read_snapshot<T, F>(&self, work: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, Error> + Send + 'static,
    {
        self.read(|connection| {
            let transaction = connection.unchecked_transaction()?;
            let result = work(&transaction);
            transaction.finish()?;
            result
        })
        .await
    }

    /// `touched` says what the work may change.
    async fn write<T, F>(&self, touched: Touched, work: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: FnOnce(&Writing<'_>) -> Result<T, Error> + Send + 'static,
    {
        self.writer.run(touched, work).await
    }
}

impl Drop for Sqlite {
    fn drop(&mut self) {
        if let Some(folder) = &self.temporary {
            // What is left there is the system's to clean up.
            let _ = std::fs::remove_dir_all(folder);
        }
    }
}

#[async_trait]
impl Catalog for Sqlite {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    fn moment(&self) -> Moment {
        self.recent.moment()
    }

    fn moment_of(&self, moment: Moment, account: &AccountId, id: &ImageId) -> Moment {
        self.recent.moment_of(moment, account, id)
    }

    fn is_still(&self, moment: &Moment) -> bool {
        self.recent.is_still(moment)
    }

    async fn create_account(
        &self,
        account: &Account,
        variant: &Variant,
        key: &SigningKey,
    ) -> Result<(), Error> {
        let sealed = sealed_keys::seal(&self.vault, &account.id, key);
        let (account, variant, name) = (account.clone(), variant.clone(), key.name.clone());
        self.write(Touched::Settings, move |writing| {
            let pk = accounts::insert(writing, &account)?;
            variants::insert(writing, pk, &variant)?;
            keys::insert(writing, pk, &name, &sealed)
        })
        .await
    }

    async fn account(&self, id: &AccountId) -> Result<Option<Account>, Error> {
        let id = id.clone();
        self.read(move |connection| accounts::by_id(connection, &id))
            .await
    }

    async fn account_by_hash(&self, hash: &AccountHash) -> Result<Option<Account>, Error> {
        let owned = hash.clone();
        let read = self.read(move |connection| accounts::by_hash(connection, &owned));
        self.recent.account(hash, read).await
    }

    async fn accounts(&self) -> Result<Vec<Account>, Error> {
        self.read(accounts::all).await
    }

    async fn set_config(
        &self,
        account: &AccountId,
        before: &AccountConfig,
        after: &AccountConfig,
    ) -> Result<(), Error> {
        let (account, before, after) = (account.clone(), before.clone(), after.clone());
        self.write(Touched::Settings, move |writing| {
            accounts::set_config(writing, &account, &before, &after)
        })
        .await
    }

    async fn delete_account(&self, account: &AccountId) -> Result<(), Error> {
        let account = account.clone();
        let pk = self
            .write(Touched::Everything, move |writing| {
                accounts::mark_deleted(writing, &account)
            })
            .await?;
        // In steps, so that others can write in between. If this is interrupted, the sweep of
        // abandoned blobs goes on with it.
        while self
            .write(Touched::Everything, move |writing| {
                accounts::purge(writing, pk, accounts::PURGE_STEP)
            })
            .await?
            == accounts::Purge::Unfinished
        {}
        Ok(())
    }

    async fn insert_token(&self, token: &ApiToken) -> Result<(), Error> {
        let token = token.clone();
        self.write(Touched::Nothing, move |writing| {
            tokens::insert(writing, &token)
        })
        .await
    }

    async fn token(&self, hash: &TokenHash) -> Result<Option<ApiToken>, Error> {
        let hash = *hash;
        self.read(move |connection| tokens::by_hash(connection, &hash))
            .await
    }

    async fn tokens(&self, account: &AccountId) -> Result<Vec<ApiToken>, Error> {
        let account = account.clone();
        self.read(move |connection| tokens::all(connection, &account))
            .await
    }

    async fn delete_token(&self, account: &AccountId, id: &TokenId) -> Result<(), Error> {
        let (account, id) = (account.clone(), id.clone());
        self.write(Touched::Nothing, move |writing| {
            tokens::delete(writing, &account, &id)
        })
        .await
    }

    async fn signing_keys(&self, account: &AccountId) -> Result<Vec<SigningKey>, Error> {
        let id = account.clone();
        let read = async {
            let sealed = self.read(move |connection| keys::all(connection, &id));
            sealed_keys::unseal(&self.vault, account, sealed.await?)
        };
        self.recent.signing_keys(account, read).await
    }

    async fn put_signing_key(
        &self,
        account: &AccountId,
        key: &SigningKey,
        keys_max: usize,
    ) -> Result<Vec<SigningKey>, Error> {
        let sealed = sealed_keys::seal(&self.vault, account, key);
        let (id, name) = (account.clone(), key.name.clone());
        let all = self
            .write(Touched::Settings, move |writing| {
                keys::put(writing, &id, &name, &sealed, keys_max)
            })
            .await?;
        sealed_keys::unseal(&self.vault, account, all)
    }

    async fn delete_signing_key(
        &self,
        account: &AccountId,
        name: &KeyName,
        successor: &SigningKey,
    ) -> Result<Vec<SigningKey>, Error> {
        let sealed = sealed_keys::seal(&self.vault, account, successor);
        let (id, name, successor) = (account.clone(), name.clone(), successor.name.clone());
        let all = self
            .write(Touched::Settings, move |writing| {
                keys::delete(writing, &id, &name, &successor, &sealed)
            })
            .await?;
        sealed_keys::unseal(&self.vault, account, all)
    }

    async fn variants(&self, account: &AccountId) -> Result<Vec<Variant>, Error> {
        let account = account.clone();
        self.read(move |connection| variants::all(connection, &account))
            .await
    }

    async fn variant(
        &self,
        account: &AccountId,
        name: &VariantName,
    ) -> Result<Option<Variant>, Error> {
        let owned = (account.clone(), name.clone());
        let read = self.read(move |connection| variants::find(connection, &owned.0, &owned.1));
        self.recent.variant(account, name, read).await
    }

    async fn insert_variant(
        &self,
        account: &AccountId,
        variant: &Variant,
        variants_max: usize,
    ) -> Result<(), Error> {
        let (account, variant) = (account.clone(), variant.clone());
        self.write(Touched::Settings, move |writing| {
            variants::add(writing, &account, &variant, variants_max)
        })
        .await
    }

    async fn set_variant(
        &self,
        account: &AccountId,
        before: &Variant,
        after: &Variant,
    ) -> Result<(), Error> {
        let (account, before, after) = (account.clone(), before.clone(), after.clone());
        self.write(Touched::Settings, move |writing| {
            variants::set(writing, &account, &before, &after)
        })
        .await
    }

    async fn delete_variant(&self, account: &AccountId, name: &VariantName) -> Result<(), Error> {
        let (account, name) = (account.clone(), name.clone());
        self.write(Touched::Settings, move |writing| {
            variants::delete(writing, &account, &name)
        })
        .await
    }

    async fn reserve_blobs(&self, keys: &[BlobKey], not_before: Timestamp) -> Result<(), Error> {
        let keys = keys.to_vec();
        self.write(Touched::Nothing, move |writing| {
            sweep::reserve(writing, &keys, not_before)
        })
        .await
    }

    async fn insert_image(
        &self,
        account: &AccountId,
        image: Image,
        images_max: Option<u64>,
    ) -> Result<Image, Error> {
        let touched = self.recent.image_touched(account, &image.id);
        let account = account.clone();
        self.write(touched, move |writing| {
            images::insert(writing, &account, image, images_max)
        })
        .await
    }

    async fn image(&self, account: &AccountId, id: &ImageId) -> Result<Option<Image>, Error> {
        let owned = (account.clone(), id.clone());
        let read = self.read(move |connection| images::find(connection, &owned.0, &owned.1));
        self.recent.image(account, id, read).await
    }

    async fn fill_draft(
        &self,
        account: &AccountId,
        id: &ImageId,
        filled: Filled,
        images_max: Option<u64>,
    ) -> Result<Image, Error> {
        let touched = self.recent.image_touched(account, id);
        let (account, id) = (account.clone(), id.clone());
        self.write(touched, move |writing| {
            images::fill_draft(writing, &account, &id, filled, images_max)
        })
        .await
    }

    async fn edit_image(
        &self,
        account: &AccountId,
        id: &ImageId,
        edit: ImageEdit,
    ) -> Result<Image, Error> {
        let touched = self.recent.image_touched(account, id);
        let (account, id) = (account.clone(), id.clone());
        self.write(touched, move |writing| {
            images::edit(writing, &account, &id, edit)
        })
        .await
    }

    async fn delete_image(
        &self,
        account: &AccountId,
        id: &ImageId,
        not_before: Timestamp,
    ) -> Result<Image, Error> {
        let touched = self.recent.image_touched(account, id);
        let (account, id) = (account.clone(), id.clone());
        self.write(touched, move |writing| {
            images::delete(writing, &account, &id, not_before)
        })
        .await
    }

    async fn images_after(
        &self,
        account: &AccountId,
        query: &ListQuery,
    ) -> Result<Vec<Image>, Error> {
        let (account, query) = (account.clone(), query.clone());
        self.read_snapshot(move |connection| lists::after(connection, &account, &query))
            .await
    }

    async fn images_at(
        &self,
        account: &AccountId,
        creator: &CreatorFilter,
        offset: u64,
        limit: u32,
    ) -> Result<Vec<Image>, Error> {
        let (account, creator) = (account.clone(), creator.clone());
        self.read_snapshot(move |connection| {
            lists::at(connection, &account, &creator, offset, limit)
        })
        .await
    }

    async fn image_count(
        &self,
        account: &AccountId,
        creator: &CreatorFilter,
    ) -> Result<u64, Error> {
        let (account, creator) = (account.clone(), creator.clone());
        self.read_snapshot(move |connection| lists::count(connection, &account, &creator))
            .await
    }

    async fn delete_expired_drafts(&self, now: Timestamp, limit: u32) -> Result<u32, Error> {
        self.write(Touched::Everything, move |writing| {
            sweep::delete_expired_drafts(writing, now, limit)
        })
        .await
    }

    async fn abandoned_blobs(&self, now: Timestamp, limit: u32) -> Result<Vec<BlobKey>, Error> {
        self.write(Touched::Nothing, move |writing| {
            accounts::purge_any(writing, limit)?;
            sweep::abandoned(writing, now, limit)
        })
        .await
    }

    async fn forget_blobs(&self, keys: &[BlobKey]) -> Result<(), Error> {
        let keys = keys.to_vec();
        self.write(Touched::Nothing, move |writing| {
            sweep::forget(writing, &keys)
        })
        .await
    }

    async fn knows_blob(&self, key: &BlobKey) -> Result<bool, Error> {
        let key = key.clone();
        self.read(move |connection| sweep::knows(connection, &key))
            .await
    }

    /// There is one server to a data folder.
    async fn take_lease(&self, _: &'static str, _: Duration) -> Result<bool, Error> {
        Ok(true)
    }

    /// There is one server to a data folder.
    async fn announce_purge(&self, _: &str) -> Result<(), Error> {
        Ok(())
    }

    async fn announced_purges(&self, _: i64, _: u32) -> Result<Vec<(i64, String)>, Error> {
        Ok(Vec::new())
    }

    async fn ping(&self) -> Result<(), Error> {
        self.read(sweep::ping).await
    }

    /// Finishes what is queued and folds the log into the database.
    async fn close(&self) -> Result<(), Error> {
        self.readers.close();
        self.writer.close().await
    }
}

impl From<rusqlite::Error> for Error {
    fn from(error: rusqlite::Error) -> Self {
        shared_error(Arc::new(error))
    }
}

/// One failed commit fails many callers.
fn shared_error(error: Arc<rusqlite::Error>) -> Error {
    let no_space = match error.sqlite_error() {
        Some(failure) => {
            failure.code == ErrorCode::DiskFull
                || failure.extended_code == ffi::SQLITE_IOERR_SHMSIZE
        }
        None => false,
    };
    let closed = error
        .sqlite_error()
        .is_some_and(|failure| failure.extended_code == ffi::SQLITE_CONSTRAINT_TRIGGER);
    if no_space {
        Error::NoSpace(error.into())
    } else if closed {
        Error::Closed
    } else {
        Error::Database(error.into())
    }
}

/// Whether a statement failed because a row of this name exists.
fn is_taken(error: &rusqlite::Error) -> bool {
    error.sqlite_error().is_some_and(|failure| {
        matches!(
            failure.extended_code,
            ffi::SQLITE_CONSTRAINT_UNIQUE | ffi::SQLITE_CONSTRAINT_PRIMARYKEY
        )
    })
}

/// `Taken` for a row of a name which exists.
fn taken_or(error: rusqlite::Error) -> Error {
    if is_taken(&error) {
        Error::Taken
    } else {
        error.into()
    }
}
