//! The catalog as a whole: every record read, and written as it is.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use futures_util::FutureExt as _;
use model::{AccountId, Image, Timestamp};
use tokio::sync::mpsc::{self, Sender};
use tokio::time::{sleep, timeout};
use tokio_postgres::Row;

use super::changes::Change;
use super::pool::{Connection, Pool};
use super::rows::{self, image_columns};
use super::{Corrupt, Postgres, accounts, images, imports, keys, notifications, sealed_keys};
use super::{statements, sweep, tokens, transaction, variants, zone_text};
use crate::catalog::Catalog as _;
use crate::catalog::imports::{seal as seal_source, unseal_all as unseal_sources};
use crate::catalog::notifications::{seal, unseal_all};
use crate::catalog::records::{
    AccountRecords, Filling, Next, PIECE, Piece, Place, Portable, Reading, Record, Records, TABLES,
};
use crate::{Error, Vault};

statements! {
    ACCOUNTS =
        "SELECT id, coalesce((SELECT max(last_uploaded) FROM image_counts WHERE account = pk), 0)
         FROM accounts WHERE NOT deleted AND id > $1 ORDER BY id LIMIT $2";
    DRAFTS = concat!(
        "SELECT owner, ", image_columns!(), " FROM (
             SELECT images.*, coalesce((SELECT accounts.id FROM accounts
                 WHERE accounts.pk = images.account AND NOT deleted), '') COLLATE \"C\" AS owner
             FROM images WHERE blob IS NULL AND draft_expires >= $1) AS draft
         WHERE (draft_expires, owner, id COLLATE \"C\") > ($1, $2, $3)
         ORDER BY draft_expires, owner, id COLLATE \"C\" LIMIT $4"
    );
    IMAGES = concat!(
        "SELECT (SELECT accounts.id FROM accounts
             WHERE accounts.pk = images.account AND NOT deleted), ", image_columns!(), "
         FROM images WHERE blob > $1 ORDER BY blob LIMIT $2"
    );
    PASS =
        "INSERT INTO image_counts (account, slot, images, last_uploaded) VALUES ($1, $2, 0, $3)
         ON CONFLICT (account, slot) DO UPDATE
         SET last_uploaded = greatest(image_counts.last_uploaded, excluded.last_uploaded)";
    GO_BACK =
        "UPDATE image_counts SET last_uploaded = least(last_uploaded, $2) WHERE account = $1";
    REPLACE =
        "UPDATE accounts SET hash = $2, name = $3, created = $4, flexible_variants = $5,
             browser_ttl = $6, preserve_content_credentials = $7,
             zones = $8
         WHERE pk = $1";
    DELETE_TOKENS = "DELETE FROM tokens WHERE account = $1";
    DELETE_KEYS = "DELETE FROM signing_keys WHERE account = $1";
    DELETE_VARIANTS = "DELETE FROM variants WHERE account = $1";
    IN_THE_WAY = concat!(
        "SELECT account, pk, ", image_columns!(), " FROM images WHERE pk IN (
             SELECT pk FROM images WHERE blob = ANY($3::bytea[])
             UNION SELECT images.pk FROM unnest($1::bigint[], $2::bytea[]) AS new (account, hash)
                 JOIN images ON images.account = new.account AND images.id_hash = new.hash
             UNION SELECT images.pk
                 FROM unnest($1::bigint[], $4::bigint[]) AS new (account, uploaded)
                 JOIN images ON images.account = new.account
                     AND images.uploaded = new.uploaded AND images.blob IS NOT NULL)"
    );
    WITH_BLOB = concat!("SELECT account, pk, ", image_columns!(), " FROM images WHERE blob = $1");
    DRAFT = concat!(
        "SELECT account, pk, ", image_columns!(), " FROM images
         WHERE account = (SELECT pk FROM accounts WHERE id = $1) AND id_hash = $2
             AND blob IS NULL AND draft_expires = $3"
    );
    INCOMING = "SELECT origin FROM incoming";
    NOT_INCOMING = "DELETE FROM incoming";
    IS_INCOMING = "INSERT INTO incoming (origin) VALUES ($1)";
    HOLD =
        "INSERT INTO holds (holder, lapses)
         VALUES ($1, clock_timestamp() + $2 * interval '1 millisecond')
         ON CONFLICT (holder) DO UPDATE SET lapses = excluded.lapses";
    LET_GO = "DELETE FROM holds WHERE lapses <= clock_timestamp()";
    ANYTHING =
        "SELECT EXISTS (SELECT 1 FROM accounts) OR EXISTS (SELECT 1 FROM images)
             OR EXISTS (SELECT 1 FROM loose_blobs)";
    TAKE_FILLING = "SELECT pg_try_advisory_lock(1130458964, hashtext(current_schema()))";
    GIVE_FILLING = "SELECT pg_advisory_unlock(1130458964, hashtext(current_schema()))";
    STILL = "SELECT TRUE";
    IS_CLOSED =
        "SELECT EXISTS (SELECT 1 FROM pg_trigger
         WHERE tgrelid = 'images'::regclass AND tgname = 'closed')";
}

/// So that the server soon notices a machine which is gone, and takes silence for nothing else.
const KEPT_ALIVE: &str = "SET tcp_keepalives_idle = 10; SET tcp_keepalives_interval = 5;
    SET tcp_keepalives_count = 3; SET idle_session_timeout = 0";

/// How long the right to fill is asked for, since a process which was killed may have had it a moment
/// ago, how often, and how long whoever has it may wait to hear that it still has.
const TAKE_MAX: Duration = Duration::from_secs(2);
const TAKE_EVERY: Duration = Duration::from_millis(50);
const STILL_MAX: Duration = Duration::from_secs(20);

#[async_trait]
impl Portable for Postgres {
    fn records(&self, reading: Reading) -> Records {
        let (sender, records) = mpsc::channel(2);
        let (pool, vault) = (self.shared.pool.clone(), self.vault.clone());
        tokio::spawn(async move {
            let read = match reading {
                Reading::AtOneMoment => at_one_moment(&pool, &vault, &sender).await,
                Reading::PieceByPiece => piece_by_piece(&pool, &vault, &sender).await,
            };
            if let Err(error) = read {
                // A reader who has left does not want to know.
                let _ = sender.send(Err(error)).await;
            }
        });
        records
    }

    async fn put_records(&self, records: Vec<Record>) -> Result<(), Error> {
        let (records, vault) = (Arc::new(records), self.vault.clone());
        self.write(Change::Everything, move |writing| {
            let (records, vault) = (Arc::clone(&records), vault.clone());
            let connection = writing.connection;
            async move {
                let mut images = Vec::new();
                for record in records.iter() {
                    match record {
                        Record::Account(records) => {
                            put_account(connection, &vault, records).await?;
                        }
                        Record::Image(account, image) => images.push((account, image)),
                    }
                }
                put_images(connection, &images).await
            }
            .boxed()
        })
        .await
    }

    async fn remove_records(&self, places: Vec<Place>) -> Result<(), Error> {
        for place in &places {
            if let Place::Account(id) = place {
                match self.delete_account(id).await {
                    Ok(()) | Err(Error::NotFound) => {}
                    Err(error) => return Err(error),
                }
            }
        }
        let places = Arc::new(places);
        self.write(Change::Everything, move |writing| {
            let places = Arc::clone(&places);
            let connection = writing.connection;
            async move {
                for place in places.iter() {
                    remove(connection, place).await?;
                }
                Ok(())
            }
            .boxed()
        })
        .await
    }

    async fn take_filling(&self) -> Result<Option<Filling>, Error> {
        // Beside the pool: it is kept with its session.
        let connection = self.shared.pool.connect().await?;
        connection.batch(KEPT_ALIVE).await?;
        let until = Instant::now() + TAKE_MAX;
        while !connection
            .query_one(TAKE_FILLING, &[])
            .await?
            .try_get::<_, bool>(0)?
        {
            if Instant::now() >= until {
                return Ok(None);
            }
            sleep(TAKE_EVERY).await;
        }
        let (filling, mut questions) = Filling::kept();
        tokio::spawn(async move {
            while let Some(question) = questions.recv().await {
                let still = timeout(STILL_MAX, connection.query_one(STILL, &[])).await;
                if !matches!(still, Ok(Ok(_))) {
                    return;
                }
                let _ = question.send(());
            }
            // A session which has ended gave it back before.
            let _ = connection.query_one(GIVE_FILLING, &[]).await;
        });
        Ok(Some(filling))
    }

    async fn incoming(&self) -> Result<Option<String>, Error> {
        self.read(|connection| {
            async move {
                let found = connection.query_opt(INCOMING, &[]).await?;
                Ok(found.map(|row| row.try_get(0)).transpose()?)
            }
            .boxed()
        })
        .await
    }

    async fn set_incoming(&self, origin: Option<&str>) -> Result<(), Error> {
        let origin = origin.map(str::to_owned);
        self.write(Change::Nothing, move |writing| {
            let origin = origin.clone();
            let connection = writing.connection;
            async move {
                connection.execute(NOT_INCOMING, &[]).await?;
                if let Some(origin) = origin {
                    connection.execute(IS_INCOMING, &[&origin]).await?;
                }
                Ok(())
            }
            .boxed()
        })
        .await
    }

    async fn is_empty(&self) -> Result<bool, Error> {
        self.asks(ANYTHING).await.map(|any| !any)
    }

    async fn hold_blobs(&self, holder: [u8; 16], time: Duration) -> Result<(), Error> {
        let millis = time.as_secs_f64() * 1_000.0;
        self.write(Change::Nothing, move |writing| {
            let connection = writing.connection;
            async move {
                let holder = holder.as_slice();
                connection.execute(HOLD, &[&holder, &millis]).await?;
                connection.execute(LET_GO, &[]).await?;
                Ok(())
            }
            .boxed()
        })
        .await
    }

    async fn set_closed(&self, closed: bool) -> Result<(), Error> {
        let all: String = TABLES
            .iter()
            .map(|table| {
                // Waits for the transactions which are writing to the table.
                if closed {
                    format!(
                        "CREATE OR REPLACE TRIGGER closed
                         BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON {table}
                         FOR EACH STATEMENT EXECUTE FUNCTION refuse_write();"
                    )
                } else {
                    format!("DROP TRIGGER IF EXISTS closed ON {table};")
                }
            })
            .collect();
        let all = Arc::new(all);
        self.write(Change::Nothing, move |writing| {
            let all = Arc::clone(&all);
            let connection = writing.connection;
            async move { Ok(connection.batch(&all).await?) }.boxed()
        })
        .await
    }

    async fn is_closed(&self) -> Result<bool, Error> {
        self.asks(IS_CLOSED).await
    }
}

impl Postgres {
    /// The answer to a question of yes and no.
    async fn asks(&self, sql: &'static str) -> Result<bool, Error> {
        self.read(move |connection| {
            async move { Ok(connection.query_one(sql, &[]).await?.try_get(0)?) }.boxed()
        })
        .await
    }
}

type Sending = Sender<Result<Vec<Record>, Error>>;

/// Sends everything, and stops when nobody listens any more.
async fn at_one_moment(pool: &Pool, vault: &Vault, sender: &Sending) -> Result<(), Error> {
    // Beside the pool, since it may last, and its end undoes the settings.
    let connection = pool.connect().await?;
    connection
        .batch(
            "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;
             SET LOCAL idle_in_transaction_session_timeout = 0",
        )
        .await?;
    let mut next = Some(Next::first());
    while let Some(asked) = next {
        let piece = piece(&connection, vault, &asked).await?;
        next = piece.next;
        if sender.send(Ok(piece.records)).await.is_err() {
            return Ok(());
        }
    }
    Ok(connection.batch("COMMIT").await?)
}

async fn piece_by_piece(pool: &Pool, vault: &Vault, sender: &Sending) -> Result<(), Error> {
    let mut next = Some(Next::first());
    while let Some(asked) = next {
        let (vault, asked) = (&vault, &asked);
        let read = transaction::read_snapshot(pool, |connection| {
            let (vault, asked) = (Vault::clone(vault), Next::clone(asked));
            async move { piece(connection, &vault, &asked).await }.boxed()
        });
        let piece = read.await?;
        next = piece.next;
        if sender.send(Ok(piece.records)).await.is_err() {
            return Ok(());
        }
    }
    Ok(())
}

async fn piece(connection: &Connection, vault: &Vault, asked: &Next) -> Result<Piece, Error> {
    let limit = i64::from(PIECE);
    let mut found = Vec::new();
    match asked {
        Next::Accounts(after) => {
            for row in connection.query(ACCOUNTS, &[after, &limit]).await? {
                let id: String = row.try_get(0)?;
                let last_uploaded = Timestamp::from_micros(row.try_get(1)?);
                let records = account_records(connection, vault, &id, last_uploaded).await?;
                found.push((Some(Record::Account(records.into())), Next::Accounts(id)));
            }
        }
        Next::Drafts(expires, owner, id) => {
            let rows = connection
                .query(DRAFTS, &[expires, owner, id, &limit])
                .await?;
            for row in rows {
                let owner: String = row.try_get(0)?;
                let image = rows::image(&row, 1)?;
                let expires = image.draft_expires.ok_or(Corrupt("draft"))?.micros();
                let next = Next::Drafts(expires, owner.clone(), image.id.as_str().to_owned());
                let owner = Some(owner).filter(|owner| !owner.is_empty());
                found.push((record(owner, image)?, next));
            }
        }
        Next::Images(after) => {
            for row in connection.query(IMAGES, &[after, &limit]).await? {
                let image = rows::image(&row, 1)?;
                let source = image.source.as_ref().ok_or(Corrupt("source"))?;
                let next = Next::Images(source.blob.bytes().to_vec());
                found.push((record(row.try_get(0)?, image)?, next));
            }
        }
    }
    Ok(Piece::of(asked, found))
}

/// Of an account which was deleted there is none.
fn record(owner: Option<String>, image: Image) -> Result<Option<Record>, Error> {
    let owner = owner.map(|owner| account_id(&owner)).transpose()?;
    Ok(owner.map(|owner| Record::Image(owner, image)))
}

fn account_id(text: &str) -> Result<AccountId, Error> {
    Ok(AccountId::try_from(text).map_err(|_| Corrupt("account id"))?)
}

async fn account_records(
    connection: &Connection,
    vault: &Vault,
    id: &str,
    last_uploaded: Timestamp,
) -> Result<AccountRecords, Error> {
    let id = account_id(id)?;
    let account = accounts::by_id(connection, &id).await?;
    let keys = keys::all(connection, &id).await?;
    let webhooks = notifications::webhooks(connection, &id).await?;
    let sources = imports::sources(connection, &id).await?;
    Ok(AccountRecords {
        account: account.ok_or(Corrupt("account"))?,
        last_uploaded,
        variants: variants::all(connection, &id).await?,
        keys: sealed_keys::unseal(vault, &id, keys)?,
        tokens: tokens::all(connection, &id).await?,
        webhooks: unseal_all(vault, &id, webhooks)?,
        policies: notifications::policies(connection, &id).await?,
        import_sources: unseal_sources(vault, &id, sources)?,
        pending: notifications::all_pending(connection, &id).await?,
    })
}

async fn put_account(
    connection: &Connection,
    vault: &Vault,
    records: &AccountRecords,
) -> Result<(), Error> {
    let account = &records.account;
    let pk = match rows::account_pk(connection, &account.id).await? {
        None => accounts::insert(connection, account).await?,
        Some(pk) => {
            let config = &account.config;
            connection
                .execute(
                    REPLACE,
                    &[
                        &pk,
                        &account.hash.as_str(),
                        &account.name,
                        &account.created.micros(),
                        &config.flexible_variants,
                        &i64::from(config.browser_ttl),
                        &config.preserve_content_credentials,
                        &zone_text::of(&config.zones),
                    ],
                )
                .await?;
            for sql in [
                DELETE_TOKENS,
                DELETE_KEYS,
                DELETE_VARIANTS,
                notifications::DELETE_POLICIES,
                notifications::DELETE_WEBHOOKS,
                imports::DELETE_SOURCES,
            ] {
                connection.execute(sql, &[&pk]).await?;
            }
            pk
        }
    };
    let (slot, last_uploaded) = (connection.slot(), records.last_uploaded.micros());
    connection.execute(GO_BACK, &[&pk, &last_uploaded]).await?;
    if last_uploaded > 0 {
        connection
            .execute(PASS, &[&pk, &slot, &last_uploaded])
            .await?;
    }
    for variant in &records.variants {
        variants::insert(connection, pk, variant).await?;
    }
    for key in &records.keys {
        let sealed = sealed_keys::seal(vault, &account.id, key);
        keys::insert(connection, pk, &key.name, &sealed).await?;
    }
    for token in &records.tokens {
        tokens::insert(connection, token).await?;
    }
    for webhook in &records.webhooks {
        let secret = seal(vault, &account.id, webhook);
        notifications::insert_webhook(connection, pk, webhook, secret.as_deref()).await?;
    }
    for policy in &records.policies {
        notifications::insert_policy(connection, pk, policy).await?;
    }
    for source in &records.import_sources {
        let sealed = seal_source(vault, &account.id, source);
        imports::insert_source(connection, pk, source, &sealed).await?;
    }
    if !records.pending.is_empty() {
        notifications::put_pending(connection, pk, &records.pending).await?;
    }
    Ok(())
}

async fn put_images(connection: &Connection, put: &[(&AccountId, &Image)]) -> Result<(), Error> {
    if put.is_empty() {
        return Ok(());
    }
    let mut accounts: BTreeMap<&AccountId, i64> = BTreeMap::new();
    for (id, _) in put {
        if !accounts.contains_key(id) {
            accounts.insert(id, rows::keep_account(connection, id).await?);
        }
    }
    let put: Vec<(i64, &Image)> = put
        .iter()
        .map(|(id, image)| (accounts[id], *image))
        .collect();
    clear_the_way(connection, &put).await?;
    images::insert_all(connection, &put).await
}

/// Removes what these images cannot be beside, and the ties of their blobs to nobody.
async fn clear_the_way(connection: &Connection, put: &[(i64, &Image)]) -> Result<(), Error> {
    let blobs: Vec<&[u8]> = put
        .iter()
        .filter_map(|(_, image)| image.source.as_ref())
        .map(|source| source.blob.bytes().as_slice())
        .collect();
    let owners: Vec<i64> = put.iter().map(|(account, _)| *account).collect();
    let hashes: Vec<Vec<u8>> = put
        .iter()
        .map(|(_, image)| rows::id_hash(&image.id))
        .collect();
    // A draft shares its moment with whom it likes.
    let moments: Vec<Option<i64>> = put
        .iter()
        .map(|(_, image)| (!image.is_draft()).then(|| image.uploaded.micros()))
        .collect();
    let in_the_way = connection
        .query(IN_THE_WAY, &[&owners, &hashes, &blobs, &moments])
        .await?;
    for row in &in_the_way {
        remove_row(connection, row).await?;
    }
    let keys: Vec<_> = put
        .iter()
        .filter_map(|(_, image)| image.source.as_ref())
        .map(|source| source.blob.clone())
        .collect();
    sweep::forget(connection, &keys).await
}

async fn remove(connection: &Connection, place: &Place) -> Result<(), Error> {
    let found = match place {
        Place::Account(_) => None,
        Place::Draft(expires, account, id) => {
            let asked = (account.as_str(), rows::id_hash(id), expires.micros());
            connection
                .query_opt(DRAFT, &[&asked.0, &asked.1, &asked.2])
                .await?
        }
        Place::Image(blob) => {
            connection
                .query_opt(WITH_BLOB, &[&blob.bytes().as_slice()])
                .await?
        }
    };
    match found {
        Some(row) => remove_row(connection, &row).await,
        None => Ok(()),
    }
}

async fn remove_row(connection: &Connection, row: &Row) -> Result<(), Error> {
    let (account, pk, image) = (row.try_get(0)?, row.try_get(1)?, rows::image(row, 2)?);
    let at_once = Timestamp::from_micros(0);
    images::delete_row(connection, account, pk, &image, at_once).await
}
