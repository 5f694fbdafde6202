//! Images and drafts, one at a time.
//!
//! Rows are locked in one order: the account, the image, its leaves, the creators by hash, and the
//! account's count.

use std::collections::BTreeMap;

use futures_util::future::try_join_all;
use model::{AccountId, Creator, Filename, Image, ImageId, Metadata, Source, Timestamp};

use super::pool::Connection;
use super::rows::{self, image_columns};
use super::transaction::both;
use super::{Writing, leaves, notifications, statements, sweep, taken_or};
use crate::Error;
use crate::catalog::notifications::success;
use crate::catalog::{Filled, ImageEdit};

statements! {
    FIND = concat!(
        "SELECT ", image_columns!(), " FROM images
         WHERE account = (SELECT pk FROM accounts WHERE id = $1) AND id_hash = $2"
    );
    FIND_TO_WRITE = concat!(
        "SELECT pk, ", image_columns!(), " FROM images WHERE account = $1 AND id_hash = $2
         FOR UPDATE"
    );
    INSERT =
        "INSERT INTO images (account, id, id_hash, uploaded, require_signed_urls, draft_expires,
             blob, bytes, sha256, format, width, height, filename, creator, creator_hash, metadata)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)
         RETURNING pk";
    UPDATE =
        "UPDATE images SET id = $2, id_hash = $3, uploaded = $4, require_signed_urls = $5,
             draft_expires = $6, blob = $7, bytes = $8, sha256 = $9, format = $10, width = $11,
             height = $12, filename = $13, creator = $14, creator_hash = $15, metadata = $16
         WHERE pk = $1 RETURNING pk";
    LAST =
        "SELECT coalesce(max(uploaded), 0) FROM images WHERE account = $1 AND blob IS NOT NULL";
    DELETE = "DELETE FROM images WHERE pk = $1";
    DELETE_ALL = "DELETE FROM images WHERE pk = ANY($1::bigint[])";
    RELEASE_ALL =
        "INSERT INTO loose_blobs (blob, released, not_before)
         SELECT blob, TRUE, 0 FROM unnest($1::bytea[]) AS gone (blob) ORDER BY blob
         ON CONFLICT (blob) DO UPDATE SET released = TRUE, not_before = 0";
    IMAGES = "SELECT coalesce(sum(images), 0)::bigint FROM image_counts WHERE account = $1";
    COUNT =
        "INSERT INTO image_counts (account, slot, images, last_uploaded) VALUES ($1, $2, $3, $4)
         ON CONFLICT (account, slot) DO UPDATE
         SET images = image_counts.images + excluded.images,
             last_uploaded = greatest(image_counts.last_uploaded, excluded.last_uploaded)";
    COUNT_CREATOR =
        "INSERT INTO creator_counts (account, creator_hash, slot, images) VALUES ($1, $2, $3, $4)
         ON CONFLICT (account, creator_hash, slot) DO UPDATE
         SET images = creator_counts.images + excluded.images";
    COUNT_CREATORS =
        "INSERT INTO creator_counts (account, creator_hash, slot, images)
         SELECT $1, creator_hash, $3, images
         FROM unnest($2::bytea[], $4::bigint[]) AS counted (creator_hash, images)
         ORDER BY creator_hash
         ON CONFLICT (account, creator_hash, slot) DO UPDATE
         SET images = creator_counts.images + excluded.images";
    FORGET_CREATOR =
        "DELETE FROM creator_counts
         WHERE account = $1 AND creator_hash = $2 AND slot = $3 AND images = 0";
}

pub(super) async fn find(
    connection: &Connection,
    account: &AccountId,
    id: &ImageId,
) -> Result<Option<Image>, Error> {
    let key = connection
        .query_opt(FIND, &[&account.as_str(), &rows::id_hash(id)])
        .await;
    let found = key?;
    found.map(|row| rows::image(&row, 0)).transpose()
}

pub(super) async fn insert(
    writing: &Writing<'_>,
    account: &AccountId,
    mut image: Image,
    images_max: Option<u64>,
) -> Result<Image, Error> {
    let connection = writing.connection;
    let account = account_with_place(connection, account, images_max).await?;
    image.uploaded = moment(writing, account, image.uploaded).await?;
    connection.prepare(&[sweep::TAKE, INSERT]).await?;
    let taking = async {
        match &image.source {
            Some(source) => sweep::take(connection, &source.blob).await,
            None => Ok(()),
        }
    };
    let inserting = write_row(connection, INSERT, account, &image);
    let ((), pk) = both(taking, inserting).await?;
    if !image.is_draft() {
        require_place(connection, account, images_max).await?;
        appear(connection, account, pk, &image).await?;
    }
    Ok(image)
}

pub(super) async fn fill_draft(
    writing: &Writing<'_>,
    account: &AccountId,
    id: &ImageId,
    filled: Filled,
    images_max: Option<u64>,
) -> Result<Image, Error> {
    let connection = writing.connection;
    let account = account_with_place(connection, account, images_max).await?;
    let (pk, mut image) = require(connection, account, id).await?;
    if !image.is_draft() {
        return Err(Error::DraftUsed);
    }
    if image.draft_expires.is_some_and(|end| end <= filled.now) {
        return Err(Error::DraftExpired);
    }
    require_place(connection, account, images_max).await?;
    sweep::take(connection, &filled.source.blob).await?;
    image.uploaded = moment(writing, account, filled.now).await?;
    image.filename = filled.filename;
    image.source = Some(filled.source);
    image.draft_expires = None;
    write_row(connection, UPDATE, pk, &image).await?;
    // In this order on the wire, without waiting for each answer.
    let statements = [leaves::INSERT, COUNT_CREATOR, COUNT, notifications::NOTE];
    connection.prepare(&statements).await?;
    let (appearing, end) = (appear(connection, account, pk, &image), success(&image));
    let noting = notifications::note(connection, account, &end);
    // Many statements under way are large.
    Box::pin(both(appearing, noting)).await?;
    Ok(image)
}

pub(super) async fn edit(
    writing: &Writing<'_>,
    account: &AccountId,
    id: &ImageId,
    edit: ImageEdit,
) -> Result<Image, Error> {
    let connection = writing.connection;
    let account = rows::keep_account(connection, account).await?;
    let (pk, before) = require(connection, account, id).await?;
    let mut after = before.clone();
    if let Some(metadata) = edit.metadata {
        after.metadata = metadata;
    }
    if let Some(creator) = edit.creator {
        after.creator = creator;
    }
    if let Some(flag) = edit.require_signed_urls
        && flag != before.require_signed_urls
    {
        after.require_signed_urls = flag;
        if before.id.is_generated() {
            after.id = before.id.with_access(flag);
        }
    }
    write_row(connection, UPDATE, pk, &after).await?;
    if !after.is_draft() {
        if after.metadata != before.metadata {
            leaves::delete(connection, account, &before).await?;
            leaves::insert(connection, account, pk, &after).await?;
        }
        if after.creator != before.creator {
            let mut changes = [(&before.creator, -1), (&after.creator, 1)];
            changes.sort_by_key(|(creator, _)| rows::creator_hash(creator.as_ref()));
            for (creator, change) in changes {
                count_creator(connection, account, creator.as_ref(), change).await?;
            }
        }
    }
    Ok(after)
}

pub(super) async fn delete(
    writing: &Writing<'_>,
    account: &AccountId,
    id: &ImageId,
    not_before: Timestamp,
) -> Result<Image, Error> {
    let connection = writing.connection;
    let account = rows::keep_account(connection, account).await?;
    let (pk, image) = require(connection, account, id).await?;
    delete_row(connection, account, pk, &image, not_before).await?;
    Ok(image)
}

/// Deletes an image or draft with all which belongs to it, and releases its blob.
pub(super) async fn delete_row(
    connection: &Connection,
    account: i64,
    pk: i64,
    image: &Image,
    not_before: Timestamp,
) -> Result<(), Error> {
    let deleting = async {
        connection.execute(DELETE, &[&pk]).await?;
        Ok(())
    };
    let Some(source) = &image.source else {
        return deleting.await;
    };
    // In this order on the wire, without waiting for each answer.
    let statements = [DELETE, sweep::RELEASE, leaves::DELETE, COUNT_CREATOR, COUNT];
    connection.prepare(&statements).await?;
    let releasing = sweep::release(connection, &source.blob, not_before);
    let leaving = leaves::delete(connection, account, image);
    let counting = count(connection, account, image, -1);
    // Four statements under way are large.
    Box::pin(both(both(deleting, releasing), both(leaving, counting))).await?;
    Ok(())
}

/// Inserts images and drafts into the accounts of these primary keys as they are. Requests go out
/// without waiting for the answers to those before, and each count is written once.
pub(super) async fn insert_all(
    connection: &Connection,
    images: &[(i64, &Image)],
) -> Result<(), Error> {
    // Prepared before all of them ask for it at once.
    connection.prepare(&[INSERT, leaves::INSERT]).await?;
    let inserted = images
        .iter()
        .map(|(account, image)| write_row(connection, INSERT, *account, image));
    let pks = try_join_all(inserted).await?;
    let rows = images.iter().zip(&pks);
    let visible = rows.filter(|((_, image), _)| !image.is_draft());
    let leaves =
        visible.map(|((account, image), pk)| leaves::insert(connection, *account, *pk, image));
    try_join_all(leaves).await?;
    let mut creators: BTreeMap<i64, BTreeMap<Vec<u8>, i64>> = BTreeMap::new();
    let mut accounts: BTreeMap<i64, (i64, i64)> = BTreeMap::new();
    for (account, image) in images.iter().filter(|(_, image)| !image.is_draft()) {
        let hash = rows::creator_hash(image.creator.as_ref());
        let of_account = creators.entry(*account).or_default();
        *of_account.entry(hash).or_default() += 1;
        let (number, last) = accounts.entry(*account).or_default();
        *number += 1;
        *last = image.uploaded.micros().max(*last);
    }
    let slot = connection.slot();
    for (account, numbers) in creators {
        let (hashes, numbers): (Vec<_>, Vec<_>) = numbers.into_iter().unzip();
        connection
            .execute(COUNT_CREATORS, &[&account, &hashes, &slot, &numbers])
            .await?;
    }
    for (account, (number, last)) in accounts {
        connection
            .execute(COUNT, &[&account, &slot, &number, &last])
            .await?;
    }
    Ok(())
}

/// Deletes images of an account which is gone, and releases their blobs at once. Nobody asks for
/// their leaves and counts any more.
pub(super) async fn delete_rows(
    connection: &Connection,
    images: &[(i64, Image)],
) -> Result<(), Error> {
    let pks: Vec<i64> = images.iter().map(|(pk, _)| *pk).collect();
    connection.execute(DELETE_ALL, &[&pks]).await?;
    let blobs: Vec<&[u8]> = images
        .iter()
        .filter_map(|(_, image)| image.source.as_ref())
        .map(|source| source.blob.bytes().as_slice())
        .collect();
    connection.execute(RELEASE_ALL, &[&blobs]).await?;
    Ok(())
}

/// `wanted`, or a later moment in which no image was uploaded yet. Another node may have chosen the
/// same; then the transaction is run again and looks at what there is.
async fn moment(
    writing: &Writing<'_>,
    account: i64,
    wanted: Timestamp,
) -> Result<Timestamp, Error> {
    if writing.is_repeated {
        let row = writing.connection.query_one(LAST, &[&account]).await?;
        writing.moments.pass(row.try_get(0)?);
    }
    Ok(writing.moments.unique(wanted))
}

async fn require(
    connection: &Connection,
    account: i64,
    id: &ImageId,
) -> Result<(i64, Image), Error> {
    let found = connection
        .query_opt(FIND_TO_WRITE, &[&account, &rows::id_hash(id)])
        .await;
    let row = found?.ok_or(Error::NotFound)?;
    Ok((row.try_get(0)?, rows::image(&row, 1)?))
}

/// Inserts the row into the account of this primary key, or updates the row of this one.
async fn write_row(
    connection: &Connection,
    sql: &'static str,
    pk: i64,
    image: &Image,
) -> Result<i64, Error> {
    let source = image.source.as_ref();
    let written = connection
        .query_one(
            sql,
            &[
                &pk,
                &image.id.as_str(),
                &rows::id_hash(&image.id),
                &image.uploaded.micros(),
                &image.require_signed_urls,
                &image.draft_expires.map(Timestamp::micros),
                &source.map(|source| source.blob.bytes().as_slice()),
                &source.map(bytes),
                &source.map(|source| source.sha256.as_slice()),
                &source.map(|source| source.format.as_str()),
                &source.map(|source| i64::from(source.width)),
                &source.map(|source| i64::from(source.height)),
                &image.filename.as_ref().map(Filename::as_str),
                &image
                    .creator
                    .as_ref()
                    .map(|creator| creator.as_str().as_bytes()),
                &rows::creator_hash(image.creator.as_ref()),
                &image.metadata.as_ref().map(Metadata::as_json),
            ],
        )
        .await;
    Ok(written.map_err(taken_or)?.try_get(0)?)
}

fn bytes(source: &Source) -> i64 {
    rows::limit(source.bytes)
}

/// Where there is a limit, images are counted one after the other, so that it holds exactly.
async fn account_with_place(
    connection: &Connection,
    account: &AccountId,
    images_max: Option<u64>,
) -> Result<i64, Error> {
    match images_max {
        Some(_) => rows::lock_account(connection, account).await,
        None => rows::keep_account(connection, account).await,
    }
}

async fn require_place(
    connection: &Connection,
    account: i64,
    images_max: Option<u64>,
) -> Result<(), Error> {
    let Some(images_max) = images_max else {
        return Ok(());
    };
    let row = connection.query_one(IMAGES, &[&account]).await?;
    if rows::count(row.try_get(0)?) < images_max {
        Ok(())
    } else {
        Err(Error::Full)
    }
}

/// An image which is no draft enters the lists.
async fn appear(
    connection: &Connection,
    account: i64,
    pk: i64,
    image: &Image,
) -> Result<(), Error> {
    // In this order on the wire, without waiting for each answer.
    let statements = [leaves::INSERT, COUNT_CREATOR, COUNT];
    connection.prepare(&statements).await?;
    let entering = leaves::insert(connection, account, pk, image);
    both(entering, count(connection, account, image, 1)).await?;
    Ok(())
}

async fn count(
    connection: &Connection,
    account: i64,
    image: &Image,
    change: i64,
) -> Result<(), Error> {
    let of_creator = count_creator(connection, account, image.creator.as_ref(), change);
    let of_account = async {
        let (slot, uploaded) = (connection.slot(), image.uploaded.micros());
        connection
            .execute(COUNT, &[&account, &slot, &change, &uploaded])
            .await?;
        Ok(())
    };
    both(of_creator, of_account).await?;
    Ok(())
}

async fn count_creator(
    connection: &Connection,
    account: i64,
    creator: Option<&Creator>,
    change: i64,
) -> Result<(), Error> {
    let (hash, slot) = (rows::creator_hash(creator), connection.slot());
    connection
        .execute(COUNT_CREATOR, &[&account, &hash, &slot, &change])
        .await?;
    if change < 0 {
        connection
            .execute(FORGET_CREATOR, &[&account, &hash, &slot])
            .await?;
    }
    Ok(())
}
