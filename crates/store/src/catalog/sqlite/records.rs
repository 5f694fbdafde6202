//! The catalog as a whole: every record read, and written as it is.

use std::time::Duration;

use async_trait::async_trait;
use model::{AccountId, BlobKey, Image, ImageId, SigningKey, Timestamp};
use rusqlite::{Connection, OptionalExtension as _, Row, params};
use tokio::sync::mpsc::{self, Sender};

use super::rows::{self, Blob, image_columns};
use super::writer::Writing;
use super::{Corrupt, Sqlite, Touched, accounts, images, imports, keys, notifications};
use super::{sealed_keys, statements, tokens, variants, zone_text};
use crate::catalog::Catalog as _;
use crate::catalog::imports::{seal as seal_source, unseal_all as unseal_sources};
use crate::catalog::notifications::{seal, unseal_all};
use crate::catalog::records::{
    AccountRecords, Filling, Next, PIECE, Piece, Place, Portable, Reading, Record, Records, TABLES,
};
use crate::{Error, Vault};

statements! {
    ACCOUNTS =
        "SELECT id, last_uploaded FROM accounts WHERE deleted = 0 AND id > ?1 ORDER BY id LIMIT ?2";
    DRAFTS = concat!(
        "SELECT owner, ", image_columns!(), " FROM (
             SELECT images.*, coalesce((SELECT accounts.id FROM accounts
                 WHERE accounts.pk = images.account AND deleted = 0), '') AS owner
             FROM images INDEXED BY images_draft WHERE blob IS NULL AND draft_expires >= ?1)
         WHERE (draft_expires, owner, id) > (?1, ?2, ?3)
         ORDER BY draft_expires, owner, id LIMIT ?4"
    );
    IMAGES = concat!(
        "SELECT (SELECT accounts.id FROM accounts
             WHERE accounts.pk = images.account AND deleted = 0), ", image_columns!(), "
         FROM images INDEXED BY images_blob WHERE blob > ?1 ORDER BY blob LIMIT ?2"
    );
    PASS = "UPDATE accounts SET last_uploaded = ?2 WHERE pk = ?1";
    REPLACE =
        "UPDATE accounts SET hash = ?2, name = ?3, created = ?4, flexible_variants = ?5,
             browser_ttl = ?6, preserve_content_credentials = ?7,
             zones = ?8
         WHERE pk = ?1";
    DELETE_TOKENS = "DELETE FROM tokens WHERE account = ?1";
    DELETE_KEYS = "DELETE FROM signing_keys WHERE account = ?1";
    DELETE_VARIANTS = "DELETE FROM variants WHERE account = ?1";
    IN_THE_WAY =
        "SELECT pk FROM images WHERE blob = ?1
         UNION SELECT pk FROM images WHERE account = ?2 AND id = ?3
         UNION SELECT pk FROM images
             WHERE account = ?2 AND uploaded = ?4 AND blob IS NOT NULL AND ?1 IS NOT NULL";
    FIND = concat!("SELECT account, ", image_columns!(), " FROM images WHERE pk = ?1");
    WITH_BLOB = "SELECT pk FROM images WHERE blob = ?1";
    DRAFT =
        "SELECT pk FROM images
         WHERE account = (SELECT pk FROM accounts WHERE id = ?1) AND id = ?2
             AND blob IS NULL AND draft_expires = ?3";
    INCOMING = "SELECT origin FROM incoming";
    NOT_INCOMING = "DELETE FROM incoming";
    IS_INCOMING = "INSERT INTO incoming (origin) VALUES (?1)";
    HOLD = "INSERT OR REPLACE INTO holds (holder, lapses) VALUES (?1, ?2)";
    LET_GO = "DELETE FROM holds WHERE lapses <= ?1";
    ANYTHING =
        "SELECT EXISTS (SELECT 1 FROM accounts) OR EXISTS (SELECT 1 FROM images)
             OR EXISTS (SELECT 1 FROM loose_blobs)";
    IS_CLOSED =
        "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE name = 'closed_images_insert')";
}

#[async_trait]
impl Portable for Sqlite {
    fn records(&self, reading: Reading) -> Records {
        let (sender, records) = mpsc::channel(2);
        let (readers, vault) = (self.readers.clone(), self.vault.clone());
        tokio::spawn(async move {
            let read = match reading {
                Reading::AtOneMoment => {
                    let sender = sender.clone();
                    let all = move |connection: &Connection| {
                        let transaction = connection.unchecked_transaction()?;
                        let read = at_one_moment(&transaction, &vault, &sender);
                        transaction.finish()?;
                        read
                    };
                    readers.run(all).await
                }
                Reading::PieceByPiece => {
                    let mut next = Some(Next::first());
                    loop {
                        let Some(asked) = next else { break Ok(()) };
                        let vault = vault.clone();
                        let read = move |connection: &Connection| {
                            let transaction = connection.unchecked_transaction()?;
                            let read = piece(&transaction, &vault, &asked);
                            transaction.finish()?;
                            read
                        };
                        match readers.run(read).await {
                            Ok(piece) => {
                                next = piece.next;
                                if sender.send(Ok(piece.records)).await.is_err() {
                                    break Ok(());
                                }
                            }
                            Err(error) => break Err(error),
                        }
                    }
                }
            };
            if let Err(error) = read {
                // A reader who has left does not want to know.
                let _ = sender.send(Err(error)).await;
            }
        });
        records
    }

    async fn put_records(&self, records: Vec<Record>) -> Result<(), Error> {
        let vault = self.vault.clone();
        self.write(Touched::Everything, move |writing| {
            records.iter().try_for_each(|record| match record {
                Record::Account(records) => put_account(writing, &vault, records),
                Record::Image(account, image) => put_image(writing.connection, account, image),
            })
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
        self.write(Touched::Everything, move |writing| {
            places
                .iter()
                .try_for_each(|place| remove(writing.connection, place))
        })
        .await
    }

    async fn take_filling(&self) -> Result<Option<Filling>, Error> {
        Ok(Some(Filling::for_good()))
    }

    async fn incoming(&self) -> Result<Option<String>, Error> {
        self.read(|connection| {
            let mut statement = connection.prepare_cached(INCOMING)?;
            Ok(statement.query_row([], |row| row.get(0)).optional()?)
        })
        .await
    }

    async fn set_incoming(&self, origin: Option<&str>) -> Result<(), Error> {
        let origin = origin.map(str::to_owned);
        self.write(Touched::Nothing, move |writing| {
            writing
                .connection
                .prepare_cached(NOT_INCOMING)?
                .execute([])?;
            if let Some(origin) = &origin {
                let mut statement = writing.connection.prepare_cached(IS_INCOMING)?;
                statement.execute([origin])?;
            }
            Ok(())
        })
        .await
    }

    async fn is_empty(&self) -> Result<bool, Error> {
        self.read(|connection| {
            let mut statement = connection.prepare_cached(ANYTHING)?;
            Ok(statement.query_row([], |row| row.get(0).map(|any: bool| !any))?)
        })
        .await
    }

    async fn hold_blobs(&self, holder: [u8; 16], time: Duration) -> Result<(), Error> {
        self.write(Touched::Nothing, move |writing| {
            let now = Timestamp::now();
            let mut statement = writing.connection.prepare_cached(HOLD)?;
            statement.execute(params![holder, now.after(time).micros()])?;
            let mut statement = writing.connection.prepare_cached(LET_GO)?;
            statement.execute([now.micros()])?;
            Ok(())
        })
        .await
    }

    async fn set_closed(&self, closed: bool) -> Result<(), Error> {
        let events = ["insert", "update", "delete"];
        let all = TABLES
            .iter()
            .flat_map(|table| events.map(|event| (table, event)));
        let all: String = all
            .map(|(table, event)| {
                let name = format!("closed_{table}_{event}");
                if closed {
                    format!(
                        "CREATE TRIGGER IF NOT EXISTS {name} BEFORE {event} ON {table}
                         BEGIN SELECT RAISE(ABORT, 'closed to writes'); END;"
                    )
                } else {
                    format!("DROP TRIGGER IF EXISTS {name};")
                }
            })
            .collect();
        self.write(Touched::Nothing, move |writing| {
            Ok(writing.connection.execute_batch(&all)?)
        })
        .await
    }

    async fn is_closed(&self) -> Result<bool, Error> {
        self.read(|connection| {
            let mut statement = connection.prepare_cached(IS_CLOSED)?;
            Ok(statement.query_row([], |row| row.get(0))?)
        })
        .await
    }
}

/// Sends everything, and stops when nobody listens any more.
fn at_one_moment(
    connection: &Connection,
    vault: &Vault,
    sender: &Sender<Result<Vec<Record>, Error>>,
) -> Result<(), Error> {
    let mut next = Some(Next::first());
    while let Some(asked) = next {
        let piece = piece(connection, vault, &asked)?;
        next = piece.next;
        if sender.blocking_send(Ok(piece.records)).is_err() {
            break;
        }
    }
    Ok(())
}

fn piece(connection: &Connection, vault: &Vault, asked: &Next) -> Result<Piece, Error> {
    let mut found = Vec::new();
    match asked {
        Next::Accounts(after) => {
            let mut statement = connection.prepare_cached(ACCOUNTS)?;
            let mut rows = statement.query(params![after, PIECE])?;
            while let Some(row) = rows.next()? {
                let id: String = row.get(0)?;
                let last_uploaded = Timestamp::from_micros(row.get(1)?);
                let records = account_records(connection, vault, &id, last_uploaded)?;
                found.push((Some(Record::Account(records.into())), Next::Accounts(id)));
            }
        }
        Next::Drafts(expires, owner, id) => {
            let mut statement = connection.prepare_cached(DRAFTS)?;
            let mut rows = statement.query(params![expires, owner, id, PIECE])?;
            while let Some(row) = rows.next()? {
                let owner: String = row.get(0)?;
                let image = rows::image(row, 1)?;
                let expires = image.draft_expires.ok_or(Corrupt("draft"))?.micros();
                let next = Next::Drafts(expires, owner.clone(), image.id.as_str().to_owned());
                let owner = Some(owner).filter(|owner| !owner.is_empty());
                found.push((record(owner, image)?, next));
            }
        }
        Next::Images(after) => {
            let mut statement = connection.prepare_cached(IMAGES)?;
            let mut rows = statement.query(params![after, PIECE])?;
            while let Some(row) = rows.next()? {
                let image = rows::image(row, 1)?;
                let source = image.source.as_ref().ok_or(Corrupt("source"))?;
                let next = Next::Images(source.blob.bytes().to_vec());
                found.push((record(row.get(0)?, image)?, next));
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

fn account_records(
    connection: &Connection,
    vault: &Vault,
    id: &str,
    last_uploaded: Timestamp,
) -> Result<AccountRecords, Error> {
    let id = account_id(id)?;
    Ok(AccountRecords {
        account: accounts::by_id(connection, &id)?.ok_or(Corrupt("account"))?,
        last_uploaded,
        variants: variants::all(connection, &id)?,
        keys: sealed_keys::unseal(vault, &id, keys::all(connection, &id)?)?,
        tokens: tokens::all(connection, &id)?,
        webhooks: unseal_all(vault, &id, notifications::webhooks(connection, &id)?)?,
        policies: notifications::policies(connection, &id)?,
        import_sources: unseal_sources(vault, &id, imports::sources(connection, &id)?)?,
        pending: notifications::all_pending(connection, &id)?,
    })
}

fn put_account(
    writing: &Writing<'_>,
    vault: &Vault,
    records: &AccountRecords,
) -> Result<(), Error> {
    let connection = writing.connection;
    let account = &records.account;
    let pk = match rows::account_pk(connection, &account.id)? {
        None => accounts::insert(writing, account)?,
        Some(pk) => {
            connection.prepare_cached(REPLACE)?.execute(params![
                pk,
                account.hash.as_str(),
                account.name,
                account.created.micros(),
                account.config.flexible_variants,
                account.config.browser_ttl,
                account.config.preserve_content_credentials,
                zone_text::of(&account.config.zones),
            ])?;
            for sql in [
                DELETE_TOKENS,
                DELETE_KEYS,
                DELETE_VARIANTS,
                notifications::DELETE_POLICIES,
                notifications::DELETE_WEBHOOKS,
                imports::DELETE_SOURCES,
            ] {
                connection.prepare_cached(sql)?.execute([pk])?;
            }
            pk
        }
    };
    let last_uploaded = records.last_uploaded.micros();
    connection
        .prepare_cached(PASS)?
        .execute([pk, last_uploaded])?;
    for variant in &records.variants {
        variants::insert(writing, pk, variant)?;
    }
    for key in &records.keys {
        let SigningKey { name, .. } = key;
        let sealed = sealed_keys::seal(vault, &account.id, key);
        keys::insert(writing, pk, name, &sealed)?;
    }
    for token in &records.tokens {
        tokens::insert(writing, token)?;
    }
    for webhook in &records.webhooks {
        let secret = seal(vault, &account.id, webhook);
        notifications::insert_webhook(connection, pk, webhook, secret.as_deref())?;
    }
    for policy in &records.policies {
        notifications::insert_policy(connection, pk, policy)?;
    }
    for source in &records.import_sources {
        let sealed = seal_source(vault, &account.id, source);
        imports::insert_source(connection, pk, source, &sealed)?;
    }
    for pending in &records.pending {
        notifications::put_pending(writing, pk, pending)?;
    }
    Ok(())
}

fn put_image(connection: &Connection, account: &AccountId, image: &Image) -> Result<(), Error> {
    let account = rows::require_account(connection, account)?;
    let blob = image
        .source
        .as_ref()
        .map(|source| Blob(source.blob.clone()));
    let mut statement = connection.prepare_cached(IN_THE_WAY)?;
    let uploaded = image.uploaded.micros();
    let found = statement
        .query_map(params![blob, account, image.id.as_str(), uploaded], |row| {
            row.get(0)
        })?;
    for pk in found.collect::<Result<Vec<i64>, _>>()? {
        remove_row(connection, pk)?;
    }
    if let Some(source) = &image.source {
        super::sweep::untie(connection, &source.blob)?;
    }
    let pk = images::insert_row(connection, account, image)?;
    if !image.is_draft() {
        images::appear(connection, account, pk, image)?;
    }
    Ok(())
}

fn remove(connection: &Connection, place: &Place) -> Result<(), Error> {
    let pk = |row: &Row<'_>| row.get(0);
    let found: Option<i64> = match place {
        Place::Account(_) => None,
        Place::Draft(expires, account, id) => draft(connection, *expires, account, id)?,
        Place::Image(blob) => connection
            .prepare_cached(WITH_BLOB)?
            .query_row([Blob(BlobKey::clone(blob))], pk)
            .optional()?,
    };
    found.map_or(Ok(()), |pk| remove_row(connection, pk))
}

fn draft(
    connection: &Connection,
    expires: Timestamp,
    account: &AccountId,
    id: &ImageId,
) -> Result<Option<i64>, Error> {
    let mut statement = connection.prepare_cached(DRAFT)?;
    let asked = params![account.as_str(), id.as_str(), expires.micros()];
    Ok(statement.query_row(asked, |row| row.get(0)).optional()?)
}

fn remove_row(connection: &Connection, pk: i64) -> Result<(), Error> {
    let mut statement = connection.prepare_cached(FIND)?;
    let mut found = statement.query([pk])?;
    let row = found.next()?.ok_or(Error::NotFound)?;
    let (account, image) = (row.get(0)?, rows::image(row, 1)?);
    let at_once = Timestamp::from_micros(0);
    images::delete_row(connection, account, pk, &image, at_once)
}
