//! Images and drafts, one at a time.

use model::{AccountId, Creator, Filename, Image, ImageId, Metadata, Source, Timestamp};
use rusqlite::{Connection, named_params, params};

use super::rows::{self, Blob, image_columns};
use super::writer::Writing;
use super::{leaves, notifications, statements, sweep, taken_or};
use crate::Error;
use crate::catalog::notifications::success;
use crate::catalog::{Filled, ImageEdit};

statements! {
    FIND = concat!(
        "SELECT ", image_columns!(), " FROM images
         WHERE account = (SELECT pk FROM accounts WHERE id = ?1) AND id = ?2"
    );
    FIND_TO_WRITE = concat!(
        "SELECT pk, ", image_columns!(), " FROM images WHERE account = ?1 AND id = ?2"
    );
    INSERT =
        "INSERT INTO images (account, id, uploaded, require_signed_urls, draft_expires, blob,
             bytes, sha256, format, width, height, filename, creator, metadata)
         VALUES (:account, :id, :uploaded, :require_signed_urls, :draft_expires, :blob, :bytes,
             :sha256, :format, :width, :height, :filename, :creator, :metadata)";
    UPDATE =
        "UPDATE images SET id = :id, uploaded = :uploaded,
             require_signed_urls = :require_signed_urls, draft_expires = :draft_expires,
             blob = :blob, bytes = :bytes, sha256 = :sha256, format = :format, width = :width,
             height = :height, filename = :filename, creator = :creator, metadata = :metadata
         WHERE pk = :pk";
    DELETE = "DELETE FROM images WHERE pk = ?1";
    IMAGES = "SELECT images FROM accounts WHERE pk = ?1";
    COUNT =
        "UPDATE accounts SET images = images + ?2, last_uploaded = max(last_uploaded, ?3)
         WHERE pk = ?1";
    COUNT_CREATOR =
        "INSERT INTO creators (account, creator, images) VALUES (?1, ?2, ?3)
         ON CONFLICT DO UPDATE SET images = images + excluded.images";
    FORGET_CREATOR =
        "DELETE FROM creators WHERE account = ?1 AND creator = ?2 AND images = 0";
}

pub(super) fn find(
    connection: &Connection,
    account: &AccountId,
    id: &ImageId,
) -> Result<Option<Image>, Error> {
    let mut statement = connection.prepare_cached(FIND)?;
    let mut found = statement.query([account.as_str(), id.as_str()])?;
    match found.next()? {
        Some(row) => rows::image(row, 0).map(Some),
        None => Ok(None),
    }
}

pub(super) fn insert(
    writing: &Writing<'_>,
    account: &AccountId,
    mut image: Image,
    images_max: Option<u64>,
) -> Result<Image, Error> {
    let connection = writing.connection;
    let account = rows::require_account(connection, account)?;
    image.uploaded = writing.unique_moment(image.uploaded);
    if let Some(source) = &image.source {
        sweep::take(connection, &source.blob)?;
    }
    let pk = insert_row(connection, account, &image)?;
    if !image.is_draft() {
        require_place(connection, account, images_max)?;
        appear(connection, account, pk, &image)?;
    }
    Ok(image)
}

pub(super) fn fill_draft(
    writing: &Writing<'_>,
    account: &AccountId,
    id: &ImageId,
    filled: Filled,
    images_max: Option<u64>,
) -> Result<Image, Error> {
    let connection = writing.connection;
    let (account, pk, mut image) = require(connection, account, id)?;
    if !image.is_draft() {
        return Err(Error::DraftUsed);
    }
    if image.draft_expires.is_some_and(|end| end <= filled.now) {
        return Err(Error::DraftExpired);
    }
    require_place(connection, account, images_max)?;
    sweep::take(connection, &filled.source.blob)?;
    image.uploaded = writing.unique_moment(filled.now);
    image.filename = filled.filename;
    image.source = Some(filled.source);
    image.draft_expires = None;
    update_row(connection, pk, &image)?;
    appear(connection, account, pk, &image)?;
    notifications::note(connection, account, &success(&image))?;
    Ok(image)
}

pub(super) fn edit(
    writing: &Writing<'_>,
    account: &AccountId,
    id: &ImageId,
    edit: ImageEdit,
) -> Result<Image, Error> {
    let connection = writing.connection;
    let (account, pk, before) = require(connection, account, id)?;
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
    update_row(connection, pk, &after)?;
    if !after.is_draft() {
        if after.creator != before.creator {
            count_creator(connection, account, before.creator.as_ref(), -1)?;
            count_creator(connection, account, after.creator.as_ref(), 1)?;
        }
        if after.metadata != before.metadata {
            leaves::delete(connection, account, &before)?;
            leaves::insert(connection, account, pk, &after)?;
        }
    }
    Ok(after)
}

pub(super) fn delete(
    writing: &Writing<'_>,
    account: &AccountId,
    id: &ImageId,
    not_before: Timestamp,
) -> Result<Image, Error> {
    let connection = writing.connection;
    let (account, pk, image) = require(connection, account, id)?;
    delete_row(connection, account, pk, &image, not_before)?;
    Ok(image)
}

/// Deletes an image or draft with all which belongs to it, and releases its blob.
pub(super) fn delete_row(
    connection: &Connection,
    account: i64,
    pk: i64,
    image: &Image,
    not_before: Timestamp,
) -> Result<(), Error> {
    connection.prepare_cached(DELETE)?.execute([pk])?;
    if let Some(source) = &image.source {
        sweep::release(connection, &source.blob, not_before)?;
        leaves::delete(connection, account, image)?;
        count(connection, account, image, -1)?;
    }
    Ok(())
}

fn require(
    connection: &Connection,
    account: &AccountId,
    id: &ImageId,
) -> Result<(i64, i64, Image), Error> {
    let account = rows::require_account(connection, account)?;
    let mut statement = connection.prepare_cached(FIND_TO_WRITE)?;
    let mut found = statement.query(params![account, id.as_str()])?;
    let row = found.next()?.ok_or(Error::NotFound)?;
    Ok((account, row.get(0)?, rows::image(row, 1)?))
}

pub(super) fn insert_row(
    connection: &Connection,
    account: i64,
    image: &Image,
) -> Result<i64, Error> {
    let source = image.source.as_ref();
    let mut statement = connection.prepare_cached(INSERT)?;
    let inserted = statement.insert(named_params! {
        ":account": account,
        ":id": image.id.as_str(),
        ":uploaded": image.uploaded.micros(),
        ":require_signed_urls": image.require_signed_urls,
        ":draft_expires": image.draft_expires.map(Timestamp::micros),
        ":blob": source.map(|source| Blob(source.blob.clone())),
        ":bytes": source.map(bytes),
        ":sha256": source.map(|source| source.sha256),
        ":format": source.map(|source| source.format.as_str()),
        ":width": source.map(|source| source.width),
        ":height": source.map(|source| source.height),
        ":filename": image.filename.as_ref().map(Filename::as_str),
        ":creator": image.creator.as_ref().map(Creator::as_str),
        ":metadata": image.metadata.as_ref().map(Metadata::as_json),
    });
    inserted.map_err(taken_or)
}

fn update_row(connection: &Connection, pk: i64, image: &Image) -> Result<(), Error> {
    let source = image.source.as_ref();
    let mut statement = connection.prepare_cached(UPDATE)?;
    let updated = statement.execute(named_params! {
        ":pk": pk,
        ":id": image.id.as_str(),
        ":uploaded": image.uploaded.micros(),
        ":require_signed_urls": image.require_signed_urls,
        ":draft_expires": image.draft_expires.map(Timestamp::micros),
        ":blob": source.map(|source| Blob(source.blob.clone())),
        ":bytes": source.map(bytes),
        ":sha256": source.map(|source| source.sha256),
        ":format": source.map(|source| source.format.as_str()),
        ":width": source.map(|source| source.width),
        ":height": source.map(|source| source.height),
        ":filename": image.filename.as_ref().map(Filename::as_str),
        ":creator": image.creator.as_ref().map(Creator::as_str),
        ":metadata": image.metadata.as_ref().map(Metadata::as_json),
    });
    updated.map(drop).map_err(taken_or)
}

fn bytes(source: &Source) -> i64 {
    rows::limit(source.bytes)
}

fn require_place(
    connection: &Connection,
    account: i64,
    images_max: Option<u64>,
) -> Result<(), Error> {
    let Some(images_max) = images_max else {
        return Ok(());
    };
    let mut statement = connection.prepare_cached(IMAGES)?;
    let images: i64 = statement.query_row([account], |row| row.get(0))?;
    if rows::count(images) < images_max {
        Ok(())
    } else {
        Err(Error::Full)
    }
}

/// An image which is no draft enters the lists.
pub(super) fn appear(
    connection: &Connection,
    account: i64,
    pk: i64,
    image: &Image,
) -> Result<(), Error> {
    leaves::insert(connection, account, pk, image)?;
    count(connection, account, image, 1)
}

fn count(connection: &Connection, account: i64, image: &Image, change: i64) -> Result<(), Error> {
    let mut statement = connection.prepare_cached(COUNT)?;
    statement.execute([account, change, image.uploaded.micros()])?;
    count_creator(connection, account, image.creator.as_ref(), change)
}

fn count_creator(
    connection: &Connection,
    account: i64,
    creator: Option<&Creator>,
    change: i64,
) -> Result<(), Error> {
    let creator = creator.map_or("", Creator::as_str);
    let mut statement = connection.prepare_cached(COUNT_CREATOR)?;
    statement.execute(params![account, creator, change])?;
    if change < 0 {
        let mut statement = connection.prepare_cached(FORGET_CREATOR)?;
        statement.execute(params![account, creator])?;
    }
    Ok(())
}
