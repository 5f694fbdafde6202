//! Lists of images.

use model::{AccountId, Creator, CreatorFilter, Image};
use rusqlite::{Connection, OptionalExtension as _, params};

use super::leaves;
use super::rows::{self, image_columns};
use super::statements;
use crate::Error;
use crate::catalog::leaves::{Candidate, Keys, Leaf, Range, keys};
use crate::catalog::{ListQuery, Order};

/// A list statement: which columns, by which index, under which conditions, in which order.
macro_rules! list {
    ($columns:expr, $index:literal, $conditions:literal, $end:literal) => {
        concat!(
            "SELECT ",
            $columns,
            " FROM images INDEXED BY ",
            $index,
            " WHERE account = ?1 AND blob IS NOT NULL AND ",
            $conditions,
            " ORDER BY ",
            $end
        )
    };
}

statements! {
    ASCENDING = list!(
        image_columns!(), "images_uploaded", "uploaded > ?2", "uploaded LIMIT ?3"
    );
    DESCENDING = list!(
        image_columns!(), "images_uploaded", "uploaded < ?2", "uploaded DESC LIMIT ?3"
    );
    CREATOR_ASCENDING = list!(
        image_columns!(), "images_creator", "creator IS ?4 AND uploaded > ?2", "uploaded LIMIT ?3"
    );
    CREATOR_DESCENDING = list!(
        image_columns!(), "images_creator", "creator IS ?4 AND uploaded < ?2",
        "uploaded DESC LIMIT ?3"
    );
    // The index alone answers these, so that skipping is cheap.
    SKIP = list!("uploaded", "images_uploaded", "TRUE", "uploaded DESC LIMIT 1 OFFSET ?2");
    CREATOR_SKIP = list!(
        "uploaded", "images_creator", "creator IS ?3", "uploaded DESC LIMIT 1 OFFSET ?2"
    );
    CANDIDATE = concat!("SELECT ", image_columns!(), " FROM images WHERE pk = ?1");
    COUNT = "SELECT images FROM accounts WHERE pk = ?1";
    COUNT_CREATOR = "SELECT images FROM creators WHERE account = ?1 AND creator = ?2";
}

/// Entries of the index are counted no further than this to find the rarest condition.
const COUNTED_MAX: i64 = 4_096;

/// Images which are looked at in the order of the list before a frequent range of numbers is
/// collected and sorted instead.
const WALKED_MAX: usize = 8_192;

/// Images or entries which are read at a time.
const CHUNK: usize = 512;

pub(super) fn after(
    connection: &Connection,
    account: &AccountId,
    query: &ListQuery,
) -> Result<Vec<Image>, Error> {
    let Some(account) = rows::account_pk(connection, account)? else {
        return Ok(Vec::new());
    };
    let ascending = query.order == Order::Ascending;
    let start = match &query.after {
        Some(position) => position.uploaded.micros(),
        None if ascending => i64::MIN,
        None => i64::MAX,
    };
    let limit = query.limit as usize;
    let list = List {
        connection,
        account,
        ascending,
        query,
    };
    let mut page = Page {
        images: Vec::with_capacity(limit.min(2 * CHUNK)),
        position: start,
        limit,
    };
    if query.filter.is_empty() {
        list.read(start, limit, |image| page.images.push(image))?;
    } else {
        list.fill(&mut page)?;
    }
    Ok(page.images)
}

pub(super) fn at(
    connection: &Connection,
    account: &AccountId,
    creator: &CreatorFilter,
    offset: u64,
    limit: u32,
) -> Result<Vec<Image>, Error> {
    let Some(account) = rows::account_pk(connection, account)? else {
        return Ok(Vec::new());
    };
    let offset = rows::limit(offset);
    let first = match creator_value(creator) {
        (false, _) => {
            let mut statement = connection.prepare_cached(SKIP)?;
            statement.query_row([account, offset], |row| row.get(0))
        }
        (true, creator) => {
            let mut statement = connection.prepare_cached(CREATOR_SKIP)?;
            statement.query_row(params![account, offset, creator], |row| row.get(0))
        }
    };
    let Some(first) = first.optional()? else {
        return Ok(Vec::new());
    };
    let query = ListQuery {
        order: Order::Descending,
        after: None,
        limit,
        creator: creator.clone(),
        filter: model::MetadataFilter::default(),
    };
    let list = List {
        connection,
        account,
        ascending: false,
        query: &query,
    };
    let mut images = Vec::new();
    let before_first = i64::saturating_add(first, 1);
    list.read(before_first, limit as usize, |image| images.push(image))?;
    Ok(images)
}

pub(super) fn count(
    connection: &Connection,
    account: &AccountId,
    creator: &CreatorFilter,
) -> Result<u64, Error> {
    match rows::account_pk(connection, account)? {
        Some(account) => count_of(connection, account, creator).map(rows::count),
        None => Ok(0),
    }
}

fn count_of(connection: &Connection, account: i64, creator: &CreatorFilter) -> Result<i64, Error> {
    let images = match creator_value(creator) {
        (false, _) => {
            let mut statement = connection.prepare_cached(COUNT)?;
            statement.query_row([account], |row| row.get(0))
        }
        (true, creator) => {
            let mut statement = connection.prepare_cached(COUNT_CREATOR)?;
            let key = params![account, creator.unwrap_or_default()];
            statement.query_row(key, |row| row.get(0))
        }
    };
    Ok(images.optional()?.unwrap_or(0))
}

/// Whether a list is of one creator, or of none, and what the column must be then.
fn creator_value(filter: &CreatorFilter) -> (bool, Option<&str>) {
    match filter {
        CreatorFilter::Any => (false, None),
        CreatorFilter::Unset => (true, None),
        CreatorFilter::Is(creator) => (true, Some(creator.as_str())),
    }
}

fn has_creator(filter: &CreatorFilter, creator: Option<&Creator>) -> bool {
    match filter {
        CreatorFilter::Any => true,
        CreatorFilter::Unset => creator.is_none(),
        CreatorFilter::Is(wanted) => creator == Some(wanted),
    }
}

/// One list of one account, in one transaction.
struct List<'a> {
    connection: &'a Connection,
    account: i64,
    ascending: bool,
    query: &'a ListQuery,
}

/// What was found so far, and the upload time up to which everything was looked at.
struct Page {
    images: Vec<Image>,
    position: i64,
    limit: usize,
}

impl Page {
    fn is_full(&self) -> bool {
        self.images.len() >= self.limit
    }
}

impl List<'_> {
    /// Up to `limit` images after a position, filtered by creator alone.
    fn read(&self, after: i64, limit: usize, mut visit: impl FnMut(Image)) -> Result<(), Error> {
        let limit = rows::limit(limit as u64);
        let (filtered, creator) = creator_value(&self.query.creator);
        let sql = match (filtered, self.ascending) {
            (false, true) => ASCENDING,
            (false, false) => DESCENDING,
            (true, true) => CREATOR_ASCENDING,
            (true, false) => CREATOR_DESCENDING,
        };
        let mut statement = self.connection.prepare_cached(sql)?;
        let mut found = if filtered {
            statement.query(params![self.account, after, limit, creator])?
        } else {
            statement.query([self.account, after, limit])?
        };
        while let Some(row) = found.next()? {
            visit(rows::image(row, 0)?);
        }
        Ok(())
    }

    /// Fills the page with images which satisfy the filter, by way of its rarest condition.
    fn fill(&self, page: &mut Page) -> Result<(), Error> {
        let mut rarest: Option<(i64, Keys)> = None;
        for keys in keys(&self.query.filter) {
            let entries = leaves::count(self.connection, self.account, &keys, COUNTED_MAX)?;
            // Of two equally frequent ones, take the one which is found in order.
            let weight = 2 * entries + i64::from(matches!(keys.range, Range::Between(..)));
            if rarest.as_ref().is_none_or(|(least, _)| weight < *least) {
                rarest = Some((weight, keys));
            }
        }
        let images = count_of(self.connection, self.account, &self.query.creator)?;
        match rarest {
            Some((weight, Keys { path, range })) if weight / 2 < images => match range {
                Range::At(values) => self.fill_at(page, &path, &values),
                Range::Between(low, high) => {
                    if weight / 2 == COUNTED_MAX {
                        self.walk(page, WALKED_MAX)?;
                    }
                    self.fill_between(page, &path, low, high)
                }
            },
            _ => self.walk(page, usize::MAX),
        }
    }

    /// Looks at up to `most` images in the order of the list.
    fn walk(&self, page: &mut Page, most: usize) -> Result<(), Error> {
        let mut walked = 0;
        while !page.is_full() && walked < most {
            let mut read = 0;
            self.read(page.position, CHUNK, |image| {
                read += 1;
                page.position = image.uploaded.micros();
                if !page.is_full() && self.query.filter.matches(image.metadata.as_ref()) {
                    page.images.push(image);
                }
            })?;
            walked += read;
            if read < CHUNK {
                page.position = if self.ascending { i64::MAX } else { i64::MIN };
                break;
            }
        }
        Ok(())
    }

    /// Merges the entries of some values, each of which are in order.
    fn fill_at(&self, page: &mut Page, path: &str, values: &[Leaf]) -> Result<(), Error> {
        loop {
            let mut chunk = Vec::new();
            // Beyond the end of the shortest chunk, entries of its value may be missing.
            let mut complete_to = None;
            for value in values {
                let entries = leaves::at(
                    self.connection,
                    self.account,
                    path,
                    value,
                    self.ascending,
                    page.position,
                    CHUNK,
                )?;
                if entries.len() == CHUNK
                    && let Some(&(last, _)) = entries.last()
                {
                    let nearer = complete_to.is_none_or(|end| self.precedes(last, end));
                    complete_to = if nearer { Some(last) } else { complete_to };
                }
                chunk.extend(entries);
            }
            self.sort(&mut chunk);
            if let Some(end) = complete_to {
                chunk.retain(|&(uploaded, _)| !self.precedes(end, uploaded));
            }
            self.check(page, &chunk)?;
            match complete_to {
                Some(end) if !page.is_full() => page.position = end,
                _ => return Ok(()),
            }
        }
    }

    /// Collects the entries of a range of numbers and sorts them.
    fn fill_between(&self, page: &mut Page, path: &str, low: f64, high: f64) -> Result<(), Error> {
        if page.is_full() {
            return Ok(());
        }
        let mut found = Vec::new();
        let (connection, account) = (self.connection, self.account);
        leaves::between(connection, account, path, low, high, |candidate| {
            if self.precedes(page.position, candidate.0) {
                found.push(candidate);
            }
        })?;
        self.sort(&mut found);
        self.check(page, &found)
    }

    /// Adds those of the candidates which belong on the page, until it is full.
    fn check(&self, page: &mut Page, candidates: &[Candidate]) -> Result<(), Error> {
        let mut statement = self.connection.prepare_cached(CANDIDATE)?;
        for (_, pk) in candidates {
            if page.is_full() {
                break;
            }
            let mut found = statement.query([pk])?;
            let Some(row) = found.next()? else {
                continue;
            };
            let image = rows::image(row, 0)?;
            if has_creator(&self.query.creator, image.creator.as_ref())
                && self.query.filter.matches(image.metadata.as_ref())
            {
                page.images.push(image);
            }
        }
        Ok(())
    }

    /// Whether one upload time comes before another in the order of the list.
    fn precedes(&self, one: i64, other: i64) -> bool {
        if self.ascending {
            one < other
        } else {
            one > other
        }
    }

    fn sort(&self, candidates: &mut Vec<Candidate>) {
        candidates.sort_unstable();
        if !self.ascending {
            candidates.reverse();
        }
        candidates.dedup();
    }
}
