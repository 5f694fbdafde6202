//! Lists of images.

use model::{AccountId, Creator, CreatorFilter, Image};
use tokio_postgres::Row;

use super::pool::Connection;
use super::rows::{self, image_columns};
use super::{leaves, statements};
use crate::Error;
use crate::catalog::leaves::{Candidate, Keys, Leaf, Range, keys};
use crate::catalog::{ListQuery, Order};

/// A list statement: which columns, under which conditions, in which order.
macro_rules! list {
    ($columns:expr, $conditions:literal, $end:literal) => {
        concat!(
            "SELECT ",
            $columns,
            " FROM images WHERE account = $1 AND blob IS NOT NULL AND ",
            $conditions,
            " ORDER BY ",
            $end
        )
    };
}

statements! {
    ASCENDING = list!(image_columns!(), "uploaded > $2", "uploaded LIMIT $3");
    DESCENDING = list!(image_columns!(), "uploaded < $2", "uploaded DESC LIMIT $3");
    CREATOR_ASCENDING = list!(
        image_columns!(), "creator_hash = $4 AND uploaded > $2", "uploaded LIMIT $3"
    );
    CREATOR_DESCENDING = list!(
        image_columns!(), "creator_hash = $4 AND uploaded < $2", "uploaded DESC LIMIT $3"
    );
    // The index alone answers these, so that skipping is cheap.
    SKIP = list!("uploaded", "TRUE", "uploaded DESC LIMIT 1 OFFSET $2");
    CREATOR_SKIP = list!("uploaded", "creator_hash = $3", "uploaded DESC LIMIT 1 OFFSET $2");
    CANDIDATES = concat!(
        "SELECT ", image_columns!(), " FROM images WHERE pk = ANY($1::bigint[])"
    );
    COUNT =
        "SELECT coalesce(sum(images), 0)::bigint FROM image_counts
         WHERE account = (SELECT pk FROM accounts WHERE id = $1)";
    COUNT_CREATOR =
        "SELECT coalesce(sum(images), 0)::bigint FROM creator_counts
         WHERE account = (SELECT pk FROM accounts WHERE id = $1) AND creator_hash = $2";
}

/// Entries of the index are counted no further than this to find the rarest condition.
const COUNTED_MAX: i64 = 4_096;

/// Images which are looked at in the order of the list before a frequent range of numbers is
/// collected and sorted instead.
const WALKED_MAX: usize = 8_192;

/// Images or entries which are read at a time.
const CHUNK: usize = 512;

/// A page whose query has no filter.
pub(super) async fn page(
    connection: &Connection,
    account: &AccountId,
    query: &ListQuery,
) -> Result<Vec<Image>, Error> {
    let Some(account) = rows::account_pk(connection, account).await? else {
        return Ok(Vec::new());
    };
    let list = List::new(connection, account, query);
    list.read(list.start(), query.limit as usize).await
}

/// A page of images which satisfy a filter. The connection is in a transaction which sees one state.
pub(super) async fn filtered_page(
    connection: &Connection,
    account: &AccountId,
    query: &ListQuery,
) -> Result<Vec<Image>, Error> {
    let Some(pk) = rows::account_pk(connection, account).await? else {
        return Ok(Vec::new());
    };
    let limit = query.limit as usize;
    let list = List::new(connection, pk, query);
    let mut page = Page {
        images: Vec::with_capacity(limit.min(2 * CHUNK)),
        position: list.start(),
        limit,
    };
    let images = count(connection, account, &query.creator).await?;
    list.fill(&mut page, rows::limit(images)).await?;
    Ok(page.images)
}

/// The connection is in a transaction which sees one state.
pub(super) async fn at(
    connection: &Connection,
    account: &AccountId,
    creator: &CreatorFilter,
    offset: u64,
    limit: u32,
) -> Result<Vec<Image>, Error> {
    let Some(account) = rows::account_pk(connection, account).await? else {
        return Ok(Vec::new());
    };
    let offset = rows::limit(offset);
    let first = match creator_hash(creator) {
        None => connection.query_opt(SKIP, &[&account, &offset]).await?,
        Some(hash) => {
            let skip = connection
                .query_opt(CREATOR_SKIP, &[&account, &offset, &hash])
                .await;
            skip?
        }
    };
    let Some(first) = first else {
        return Ok(Vec::new());
    };
    let first: i64 = first.try_get(0)?;
    let query = ListQuery {
        order: Order::Descending,
        after: None,
        limit,
        creator: creator.clone(),
        filter: model::MetadataFilter::default(),
    };
    let list = List::new(connection, account, &query);
    list.read(first.saturating_add(1), limit as usize).await
}

pub(super) async fn count(
    connection: &Connection,
    account: &AccountId,
    creator: &CreatorFilter,
) -> Result<u64, Error> {
    let row = match creator_hash(creator) {
        None => connection.query_one(COUNT, &[&account.as_str()]).await?,
        Some(hash) => {
            let count = connection
                .query_one(COUNT_CREATOR, &[&account.as_str(), &hash])
                .await;
            count?
        }
    };
    Ok(rows::count(row.try_get(0)?))
}

/// What the column must be where a list is of one creator, or of none.
fn creator_hash(filter: &CreatorFilter) -> Option<Vec<u8>> {
    match filter {
        CreatorFilter::Any => None,
        CreatorFilter::Unset => Some(rows::creator_hash(None)),
        CreatorFilter::Is(creator) => Some(rows::creator_hash(Some(creator))),
    }
}

fn has_creator(filter: &CreatorFilter, creator: Option<&Creator>) -> bool {
    match filter {
        CreatorFilter::Any => true,
        CreatorFilter::Unset => creator.is_none(),
        CreatorFilter::Is(wanted) => creator == Some(wanted),
    }
}

/// One list of one account.
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

impl<'a> List<'a> {
    fn new(connection: &'a Connection, account: i64, query: &'a ListQuery) -> Self {
        Self {
            connection,
            account,
            ascending: query.order == Order::Ascending,
            query,
        }
    }

    /// Before the first image of the page.
    fn start(&self) -> i64 {
        match &self.query.after {
            Some(position) => position.uploaded.micros(),
            None if self.ascending => i64::MIN,
            None => i64::MAX,
        }
    }

    /// Up to `limit` images after a position, filtered by creator alone.
    async fn read(&self, after: i64, limit: usize) -> Result<Vec<Image>, Error> {
        let limit = rows::limit(limit as u64);
        let hash = creator_hash(&self.query.creator);
        let sql = match (&hash, self.ascending) {
            (None, true) => ASCENDING,
            (None, false) => DESCENDING,
            (Some(_), true) => CREATOR_ASCENDING,
            (Some(_), false) => CREATOR_DESCENDING,
        };
        let found = match hash {
            None => {
                self.connection
                    .query(sql, &[&self.account, &after, &limit])
                    .await?
            }
            Some(hash) => {
                let key = self
                    .connection
                    .query(sql, &[&self.account, &after, &limit, &hash])
                    .await;
                key?
            }
        };
        found.iter().map(|row| rows::image(row, 0)).collect()
    }

    /// Fills the page with images which satisfy the filter, by way of its rarest condition.
    async fn fill(&self, page: &mut Page, images: i64) -> Result<(), Error> {
        let mut rarest: Option<(i64, Keys)> = None;
        for keys in keys(&self.query.filter) {
            let entries = leaves::count(self.connection, self.account, &keys, COUNTED_MAX).await?;
            // Of two equally frequent ones, take the one which is found in order.
            let weight = 2 * entries + i64::from(matches!(keys.range, Range::Between(..)));
            if rarest.as_ref().is_none_or(|(least, _)| weight < *least) {
                rarest = Some((weight, keys));
            }
        }
        match rarest {
            Some((weight, Keys { path, range })) if weight / 2 < images => match range {
                Range::At(values) => self.fill_at(page, &path, &values).await,
                Range::Between(low, high) => {
                    if weight / 2 == COUNTED_MAX {
                        self.walk(page, WALKED_MAX).await?;
                    }
                    self.fill_between(page, &path, low, high).await
                }
            },
            _ => self.walk(page, usize::MAX).await,
        }
    }

    /// Looks at up to `most` images in the order of the list.
    async fn walk(&self, page: &mut Page, most: usize) -> Result<(), Error> {
        let mut walked = 0;
        while !page.is_full() && walked < most {
            let chunk = self.read(page.position, CHUNK).await?;
            let read = chunk.len();
            for image in chunk {
                page.position = image.uploaded.micros();
                if !page.is_full() && self.query.filter.matches(image.metadata.as_ref()) {
                    page.images.push(image);
                }
            }
            walked += read;
            if read < CHUNK {
                page.position = if self.ascending { i64::MAX } else { i64::MIN };
                break;
            }
        }
        Ok(())
    }

    /// Merges the entries of some values, each of which are in order.
    async fn fill_at(&self, page: &mut Page, path: &str, values: &[Leaf]) -> Result<(), Error> {
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
                )
                .await?;
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
            self.check(page, &chunk).await?;
            match complete_to {
                Some(end) if !page.is_full() => page.position = end,
                _ => return Ok(()),
            }
        }
    }

    /// Collects the entries of a range of numbers and sorts them.
    async fn fill_between(
        &self,
        page: &mut Page,
        path: &str,
        low: f64,
        high: f64,
    ) -> Result<(), Error> {
        if page.is_full() {
            return Ok(());
        }
        let (connection, account) = (self.connection, self.account);
        let mut found = leaves::between(connection, account, path, low, high).await?;
        found.retain(|candidate| self.precedes(page.position, candidate.0));
        self.sort(&mut found);
        self.check(page, &found).await
    }

    /// Adds those of the candidates which belong on the page, until it is full.
    async fn check(&self, page: &mut Page, candidates: &[Candidate]) -> Result<(), Error> {
        let mut rest = candidates;
        while !page.is_full() && !rest.is_empty() {
            // As many as are wanted: most candidates belong on the page.
            let wanted = (page.limit - page.images.len()).clamp(16, CHUNK);
            let (chunk, later) = rest.split_at(wanted.min(rest.len()));
            rest = later;
            let pks: Vec<i64> = chunk.iter().map(|(_, pk)| *pk).collect();
            let found = self.connection.query(CANDIDATES, &[&pks]).await?;
            let image = |row: &Row| rows::image(row, 0);
            let mut images = found.iter().map(image).collect::<Result<Vec<_>, _>>()?;
            images.sort_by_key(|image| image.uploaded);
            if !self.ascending {
                images.reverse();
            }
            for image in images {
                if !page.is_full()
                    && has_creator(&self.query.creator, image.creator.as_ref())
                    && self.query.filter.matches(image.metadata.as_ref())
                {
                    page.images.push(image);
                }
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
