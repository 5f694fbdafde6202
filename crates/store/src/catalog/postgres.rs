//! The shared catalog: a PostgreSQL database, for any number of nodes.

mod accounts;
mod changes;
mod clock;
mod images;
mod imports;
mod keys;
mod leases;
mod leaves;
mod lists;
mod moments;
mod notifications;
mod pool;
mod purges;
mod records;
mod rows;
mod schema;
mod sweep;
mod tls;
mod tokens;
mod transaction;
mod url;
mod variants;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use model::{
    Account, AccountConfig, AccountHash, AccountId, ApiToken, BlobKey, CreatorFilter, Image,
    ImageId, KeyName, SigningKey, Timestamp, TokenHash, TokenId, Variant, VariantName,
};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_postgres::error::SqlState;

use super::recent::{Moment, Recent};
use super::{Catalog, Corrupt, Filled, ImageEdit, ListQuery, sealed_keys, statements, zone_text};
use crate::{Error, Vault};
use changes::{Change, Watched};
use clock::Clock;
use moments::Moments;
use pool::{Connection, Pool};
pub use url::PostgresUrl;

/// Records in a database which nodes share.
#[derive(Debug)]
pub struct Postgres {
    shared: Arc<Shared>,
    watcher: JoinHandle<()>,
    vault: Vault,
    /// This process, among the holders of leases.
    node: [u8; 16],
}

/// What writes need, which go on when their caller goes away.
#[derive(Debug)]
struct Shared {
    pool: Pool,
    recent: Arc<Recent>,
    moments: Moments,
    clock: Arc<Clock>,
    /// Something was written which other nodes may remember.
    written: Arc<Notify>,
}

/// What a write works with, inside a transaction.
struct Writing<'a> {
    connection: &'a Connection,
    moments: &'a Moments,
    /// The transaction was run before, and undone for the sake of another one.
    is_repeated: bool,
}

/// The catalog was closed.
#[derive(Debug, thiserror::Error)]
#[error("the catalog is closed")]
struct Closed;

/// Work on a connection or in a transaction, which can be repeated: it names what it takes a copy
/// of for each time.
macro_rules! work {
    ([$($name:ident),*] |$with:ident| $work:expr) => {{
        $(let $name = $name.clone();)*
        move |$with| {
            $(let $name = $name.clone();)*
            async move { $work.await }.boxed()
        }
    }};
}

use work;

impl Postgres {
    /// Connects to the database of this address; creates its tables, or brings them up to date.
    /// `vault` opens its secrets, and must be that of every other node. At most so many
    /// connections are used, and one more.
    pub async fn open(
        url: &PostgresUrl,
        connections_max: usize,
        vault: Vault,
    ) -> Result<Self, Error> {
        let pool = Pool::new(url.clone(), connections_max)?;
        let connection = pool.connect().await?;
        let last = schema::prepare(&connection, &vault).await?;
        let clock = Arc::new(Clock::of(&connection).await?);
        drop(connection);
        let recent = Arc::new(Recent::on_trust());
        let written = Arc::new(Notify::new());
        let watched = Watched {
            recent: Arc::clone(&recent),
            clock: Arc::clone(&clock),
            written: Arc::clone(&written),
        };
        let watcher = tokio::spawn(changes::watch(pool.clone(), watched));
        Ok(Self {
            shared: Arc::new(Shared {
                pool,
                recent,
                moments: Moments::after(last),
                clock,
                written,
            }),
            watcher,
            vault,
            node: model::random_bytes(),
        })
    }

    fn recent(&self) -> &Recent {
        &self.shared.recent
    }

    /// For reads of one statement, which is a transaction in itself, and of several which need not
    /// see the same state.
    async fn read<T, F>(&self, work: F) -> Result<T, Error>
    where
        T: Send,
        F: for<'a> Fn(&'a Connection) -> BoxFuture<'a, Result<T, Error>> + Send + Sync,
    {
        transaction::read(&self.shared.pool, work).await
    }

    /// For reads of several statements: all of them see the same state.
    async fn read_snapshot<T, F>(&self, work: F) -> Result<T, Error>
    where
        T: Send,
        F: for<'a> Fn(&'a Connection) -> BoxFuture<'a, Result<T, Error>> + Send + Sync,
    {
        transaction::read_snapshot(&self.shared.pool, work).await
    }

    /// `change` says what the work may change. Once begun it ends even if the caller goes away.
    async fn write<T, F>(&self, change: Change, work: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: for<'a> Fn(&'a Writing<'a>) -> BoxFuture<'a, Result<T, Error>> + Send + Sync + 'static,
    {
        let shared = Arc::clone(&self.shared);
        let task = tokio::spawn(async move {
            let result = transaction::write(&shared, &change, work).await;
            // Also after a failure: the database may have done it.
            shared.recent.forget(change.touched(&shared.recent));
            if !matches!(change, Change::Nothing) {
                shared.written.notify_one();
            }
            result
        });
        task.await.map_err(|error| Error::Database(error.into()))?
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.watcher.abort();
    }
}

#[async_trait]
impl Catalog for Postgres {
    fn now(&self) -> Timestamp {
        self.shared.clock.now()
    }

    fn moment(&self) -> Moment {
        self.recent().moment()
    }

    fn moment_of(&self, moment: Moment, account: &AccountId, id: &ImageId) -> Moment {
        self.recent().moment_of(moment, account, id)
    }

    fn is_still(&self, moment: &Moment) -> bool {
        self.recent().is_still(moment)
    }

    async fn create_account(
        &self,
        account: &Account,
        variant: &Variant,
        key: &SigningKey,
    ) -> Result<(), Error> {
        let sealed = sealed_keys::seal(&self.vault, &account.id, key);
        let (change, name) = (Change::Settings(account.id.clone()), &key.name);
        self.write(
            change,
            work!(
                [account, variant, name, sealed]
                    | writing
                    | async move {
                        let connection = writing.connection;
                        let pk = accounts::insert(connection, &account).await?;
                        variants::insert(connection, pk, &variant).await?;
                        keys::insert(connection, pk, &name, &sealed).await
                    }
            ),
        )
        .await
    }

    async fn account(&self, id: &AccountId) -> Result<Option<Account>, Error> {
        self.read(work!([id] | connection | accounts::by_id(connection, &id)))
            .await
    }

    async fn account_by_hash(&self, hash: &AccountHash) -> Result<Option<Account>, Error> {
        let read = self.read(work!(
            [hash] | connection | accounts::by_hash(connection, &hash)
        ));
        self.recent().account(hash, read).await
    }

    async fn accounts(&self) -> Result<Vec<Account>, Error> {
        self.read(work!([] | connection | accounts::all(connection)))
            .await
    }

    async fn set_config(
        &self,
        account: &AccountId,
        before: &AccountConfig,
        after: &AccountConfig,
    ) -> Result<(), Error> {
        self.write(
            Change::Settings(account.clone()),
            work!(
                [account, before, after] | writing | {
                    accounts::set_config(writing.connection, &account, &before, &after)
                }
            ),
        )
        .await
    }

    async fn delete_account(&self, account: &AccountId) -> Result<(), Error> {
        let pk = self
            .write(
                Change::Everything,
                work!([account] | writing | accounts::mark_deleted(writing.connection, &account)),
            )
            .await?;
        // In steps, so that others can write in between. If this is interrupted, the sweep of
        // abandoned blobs goes on with it. Nobody finds these images any more, so that nobody
        // remembers them either.
        while self
            .write(
                Change::Nothing,
                work!(
                    [] | writing | {
                        accounts::purge(writing.connection, pk, accounts::PURGE_STEP)
                    }
                ),
            )
            .await?
            == accounts::Purge::Unfinished
        {}
        Ok(())
    }

    async fn insert_token(&self, token: &ApiToken) -> Result<(), Error> {
        self.write(
            Change::Nothing,
            work!([token] | writing | tokens::insert(writing.connection, &token)),
        )
        .await
    }

    async fn token(&self, hash: &TokenHash) -> Result<Option<ApiToken>, Error> {
        self.read(work!(
            [hash] | connection | tokens::by_hash(connection, &hash)
        ))
        .await
    }

    async fn tokens(&self, account: &AccountId) -> Result<Vec<ApiToken>, Error> {
        self.read(work!(
            [account] | connection | tokens::all(connection, &account)
        ))
        .await
    }

    async fn delete_token(&self, account: &AccountId, id: &TokenId) -> Result<(), Error> {
        self.write(
            Change::Nothing,
            work!([account, id] | writing | tokens::delete(writing.connection, &account, &id)),
        )
        .await
    }

    async fn signing_keys(&self, account: &AccountId) -> Result<Vec<SigningKey>, Error> {
        let read = async {
            let sealed = self.read(work!(
                [account] | connection | keys::all(connection, &account)
            ));
            sealed_keys::unseal(&self.vault, account, sealed.await?)
        };
        self.recent().signing_keys(account, read).await
    }

    async fn put_signing_key(
        &self,
        account: &AccountId,
        key: &SigningKey,
        keys_max: usize,
    ) -> Result<Vec<SigningKey>, Error> {
        let sealed = sealed_keys::seal(&self.vault, account, key);
        let name = &key.name;
        let all = self
            .write(
                Change::Settings(account.clone()),
                work!(
                    [account, name, sealed] | writing | {
                        keys::put(writing.connection, &account, &name, &sealed, keys_max)
                    }
                ),
            )
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
        let successor = &successor.name;
        let all = self
            .write(
                Change::Settings(account.clone()),
                work!(
                    [account, name, successor, sealed] | writing | {
                        keys::delete(writing.connection, &account, &name, &successor, &sealed)
                    }
                ),
            )
            .await?;
        sealed_keys::unseal(&self.vault, account, all)
    }

    async fn variants(&self, account: &AccountId) -> Result<Vec<Variant>, Error> {
        self.read(work!(
            [account] | connection | variants::all(connection, &account)
        ))
        .await
    }

    async fn variant(
        &self,
        account: &AccountId,
        name: &VariantName,
    ) -> Result<Option<Variant>, Error> {
        let read = self.read(work!(
            [account, name] | connection | { variants::find(connection, &account, &name) }
        ));
        self.recent().variant(account, name, read).await
    }

    async fn insert_variant(
        &self,
        account: &AccountId,
        variant: &Variant,
        variants_max: usize,
    ) -> Result<(), Error> {
        self.write(
            Change::Settings(account.clone()),
            work!(
                [account, variant] | writing | {
                    variants::add(writing.connection, &account, &variant, variants_max)
                }
            ),
        )
        .await
    }

    async fn set_variant(
        &self,
        account: &AccountId,
        before: &Variant,
        after: &Variant,
    ) -> Result<(), Error> {
        self.write(
            Change::Settings(account.clone()),
            work!(
                [account, before, after] | writing | {
                    variants::set(writing.connection, &account, &before, &after)
                }
            ),
        )
        .await
    }

    async fn delete_variant(&self, account: &AccountId, name: &VariantName) -> Result<(), Error> {
        self.write(
            Change::Settings(account.clone()),
            work!(
                [account, name] | writing | {
                    variants::delete(writing.connection, &account, &name)
                }
            ),
        )
        .await
    }

    async fn reserve_blobs(&self, keys: &[BlobKey], not_before: Timestamp) -> Result<(), Error> {
        let keys = keys.to_vec();
        self.write(
            Change::Nothing,
            work!([keys] | writing | sweep::reserve(writing.connection, &keys, not_before)),
        )
        .await
    }

    async fn insert_image(
        &self,
        account: &AccountId,
        image: Image,
        images_max: Option<u64>,
    ) -> Result<Image, Error> {
        self.write(
            Change::Nothing,
            work!(
                [account, image] | writing | {
                    images::insert(writing, &account, image, images_max)
                }
            ),
        )
        .await
    }

    async fn image(&self, account: &AccountId, id: &ImageId) -> Result<Option<Image>, Error> {
        let read = self.read(work!(
            [account, id] | connection | { images::find(connection, &account, &id) }
        ));
        self.recent().image(account, id, read).await
    }

    async fn fill_draft(
        &self,
        account: &AccountId,
        id: &ImageId,
        filled: Filled,
        images_max: Option<u64>,
    ) -> Result<Image, Error> {
        self.write(
            Change::Image(account.clone(), id.clone()),
            work!(
                [account, id, filled] | writing | {
                    images::fill_draft(writing, &account, &id, filled, images_max)
                }
            ),
        )
        .await
    }

    async fn edit_image(
        &self,
        account: &AccountId,
        id: &ImageId,
        edit: ImageEdit,
    ) -> Result<Image, Error> {
        self.write(
            Change::Image(account.clone(), id.clone()),
            work!([account, id, edit] | writing | images::edit(writing, &account, &id, edit)),
        )
        .await
    }

    async fn delete_image(
        &self,
        account: &AccountId,
        id: &ImageId,
        not_before: Timestamp,
    ) -> Result<Image, Error> {
        self.write(
            Change::Image(account.clone(), id.clone()),
            work!([account, id] | writing | images::delete(writing, &account, &id, not_before)),
        )
        .await
    }

    async fn images_after(
        &self,
        account: &AccountId,
        query: &ListQuery,
    ) -> Result<Vec<Image>, Error> {
        if query.filter.is_empty() {
            self.read(work!(
                [account, query] | connection | { lists::page(connection, &account, &query) }
            ))
            .await
        } else {
            self.read_snapshot(work!(
                [account, query] | connection | {
                    lists::filtered_page(connection, &account, &query)
                }
            ))
            .await
        }
    }

    async fn images_at(
        &self,
        account: &AccountId,
        creator: &CreatorFilter,
        offset: u64,
        limit: u32,
    ) -> Result<Vec<Image>, Error> {
        self.read_snapshot(work!(
            [account, creator] | connection | {
                lists::at(connection, &account, &creator, offset, limit)
            }
        ))
        .await
    }

    async fn image_count(
        &self,
        account: &AccountId,
        creator: &CreatorFilter,
    ) -> Result<u64, Error> {
        self.read(work!(
            [account, creator] | connection | { lists::count(connection, &account, &creator) }
        ))
        .await
    }

    async fn delete_expired_drafts(&self, now: Timestamp, limit: u32) -> Result<u32, Error> {
        self.write(
            Change::Nothing,
            work!(
                [] | writing | notifications::delete_expired_drafts(writing.connection, now, limit)
            ),
        )
        .await
    }

    async fn abandoned_blobs(&self, now: Timestamp, limit: u32) -> Result<Vec<BlobKey>, Error> {
        self.write(
            Change::Nothing,
            work!(
                [] | writing
                    | async move {
                        accounts::purge_any(writing.connection, limit).await?;
                        sweep::abandoned(writing.connection, now, limit).await
                    }
            ),
        )
        .await
    }

    async fn forget_blobs(&self, keys: &[BlobKey]) -> Result<(), Error> {
        let keys = keys.to_vec();
        self.write(
            Change::Nothing,
            work!([keys] | writing | sweep::forget(writing.connection, &keys)),
        )
        .await
    }

    async fn knows_blob(&self, key: &BlobKey) -> Result<bool, Error> {
        self.read(work!([key] | connection | sweep::knows(connection, &key)))
            .await
    }

    async fn take_lease(&self, job: &'static str, time: Duration) -> Result<bool, Error> {
        let node = self.node;
        self.write(
            Change::Nothing,
            work!(
                [] | writing
                    | async move { leases::take(writing.connection, job, &node, time).await }
            ),
        )
        .await
    }

    async fn announce_purge(&self, purge: &str) -> Result<(), Error> {
        let (node, purge) = (self.node, purge.to_owned());
        self.write(
            Change::Nothing,
            work!(
                [purge]
                    | writing
                    | async move { purges::announce(writing.connection, &node, &purge).await }
            ),
        )
        .await
    }

    async fn announced_purges(&self, after: i64, limit: u32) -> Result<Vec<(i64, String)>, Error> {
        let node = self.node;
        self.read(work!(
            [] | connection
                | async move { purges::announced(connection, &node, after, limit).await }
        ))
        .await
    }

    async fn ping(&self) -> Result<(), Error> {
        self.read(work!([] | connection | sweep::ping(connection)))
            .await
    }

    async fn close(&self) -> Result<(), Error> {
        self.watcher.abort();
        self.shared.pool.close();
        Ok(())
    }
}

/// What the function `refuse_write` raises.
const CLOSED: &str = "CALCL";

impl From<tokio_postgres::Error> for Error {
    fn from(error: tokio_postgres::Error) -> Self {
        let Some(code) = error.code() else {
            return if error.is_closed() || has_io(&error) {
                Self::Unavailable(error.into())
            } else {
                Self::Database(error.into())
            };
        };
        if code.code() == CLOSED {
            return Self::Closed;
        }
        match *code {
            SqlState::DISK_FULL => Self::NoSpace(error.into()),
            SqlState::TOO_MANY_CONNECTIONS => Self::Exhausted,
            SqlState::QUERY_CANCELED
            | SqlState::LOCK_NOT_AVAILABLE
            | SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT => Self::Timeout,
            SqlState::ADMIN_SHUTDOWN
            | SqlState::CRASH_SHUTDOWN
            | SqlState::CANNOT_CONNECT_NOW
            | SqlState::READ_ONLY_SQL_TRANSACTION => Self::Unavailable(error.into()),
            // Class 08: the connection.
            _ if code.code().starts_with("08") => Self::Unavailable(error.into()),
            _ => Self::Database(error.into()),
        }
    }
}

fn has_io(error: &tokio_postgres::Error) -> bool {
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        if cause.is::<std::io::Error>() {
            return true;
        }
        source = cause.source();
    }
    false
}

/// Whether the connection is gone, or the server is no longer the one which writes.
fn is_lost(error: &Error) -> bool {
    matches!(error, Error::Unavailable(_))
}

/// `Taken` for a row of a name which exists.
fn taken_or(error: tokio_postgres::Error) -> Error {
    if error.code() == Some(&SqlState::UNIQUE_VIOLATION) && !is_same_moment(&error) {
        Error::Taken
    } else {
        error.into()
    }
}

/// Whether another node gave an image the same upload time.
fn is_same_moment(error: &tokio_postgres::Error) -> bool {
    let constraint = error.as_db_error().and_then(|error| error.constraint());
    constraint == Some("images_uploaded")
}
