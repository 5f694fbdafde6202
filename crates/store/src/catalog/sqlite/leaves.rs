//! An index of the scalars in metadata, from which filtered lists find their candidates.
//!
//! It promises one thing: every image which satisfies a comparison is among the candidates. Whether
//! a candidate does is decided by the filter itself, on the metadata.

use model::{Comparison, Condition, Image, Metadata, MetadataFilter, Operand};
use rusqlite::types::{ToSql, ToSqlOutput, ValueRef};
use rusqlite::{Connection, params};
use serde_json::{Map, Value};

use super::statements;
use crate::Error;

statements! {
    INSERT =
        "INSERT OR IGNORE INTO leaves (account, path, value, uploaded, image)
         VALUES (?1, ?2, ?3, ?4, ?5)";
    DELETE =
        "DELETE FROM leaves WHERE account = ?1 AND path = ?2 AND value = ?3 AND uploaded = ?4";
    COUNT =
        "SELECT count(*) FROM (SELECT 1 FROM leaves
         WHERE account = ?1 AND path = ?2 AND value >= ?3 AND value <= ?4 LIMIT ?5)";
    EQUAL_ASCENDING =
        "SELECT uploaded, image FROM leaves
         WHERE account = ?1 AND path = ?2 AND value = ?3 AND uploaded > ?4
         ORDER BY uploaded LIMIT ?5";
    EQUAL_DESCENDING =
        "SELECT uploaded, image FROM leaves
         WHERE account = ?1 AND path = ?2 AND value = ?3 AND uploaded < ?4
         ORDER BY uploaded DESC LIMIT ?5";
    BETWEEN =
        "SELECT uploaded, image FROM leaves
         WHERE account = ?1 AND path = ?2 AND value >= ?3 AND value <= ?4";
}

/// Deeper values are not indexed; no filter of the API reaches them.
const DEPTH_MAX: usize = 5;

/// Longer paths are not indexed; no filter of the API reaches them.
const PATH_BYTES_MAX: usize = 100;

/// Texts are cut to this.
const TEXT_BYTES_MAX: usize = 64;

/// A scalar as the index orders it: numbers, then texts, then booleans.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Leaf {
    Number(f64),
    Text(String),
    Boolean(bool),
}

/// Where the images which satisfy a condition are found in the index.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Keys {
    pub(super) path: String,
    pub(super) range: Range,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Range {
    /// At one of these values: in the order of upload at each.
    At(Vec<Leaf>),
    /// At the numbers between these, with them: in no order.
    Between(f64, f64),
}

/// An image by its upload time and primary key.
pub(super) type Candidate = (i64, i64);

pub(super) fn insert(
    connection: &Connection,
    account: i64,
    pk: i64,
    image: &Image,
) -> Result<(), Error> {
    let mut statement = connection.prepare_cached(INSERT)?;
    let uploaded = image.uploaded.micros();
    each(image.metadata.as_ref(), &mut |path, value| {
        statement.execute(params![account, path, value, uploaded, pk])
    })
}

pub(super) fn delete(connection: &Connection, account: i64, image: &Image) -> Result<(), Error> {
    let mut statement = connection.prepare_cached(DELETE)?;
    let uploaded = image.uploaded.micros();
    each(image.metadata.as_ref(), &mut |path, value| {
        statement.execute(params![account, path, value, uploaded])
    })
}

/// Where the images which satisfy a filter are found: any one of these leads to all of them.
pub(super) fn keys(filter: &MetadataFilter) -> Vec<Keys> {
    let mut all: Vec<Keys> = Vec::new();
    for keys in filter.conditions.iter().filter_map(keys_of) {
        // Two bounds of one number are one range, which is far smaller than either.
        let same = all.iter_mut().find(|other| other.path == keys.path);
        match (same.map(|other| &mut other.range), &keys.range) {
            (Some(Range::Between(low, high)), Range::Between(above, below)) => {
                (*low, *high) = (low.max(*above), high.min(*below));
            }
            _ => all.push(keys),
        }
    }
    all
}

/// `None` if the index does not reach so deep.
fn keys_of(condition: &Condition) -> Option<Keys> {
    let path = condition.path.join(".");
    if condition.path.len() > DEPTH_MAX || path.len() > PATH_BYTES_MAX {
        return None;
    }
    let range = match &condition.comparison {
        Comparison::Any(operands) => Range::At(values(operands)),
        Comparison::Above(bound) | Comparison::AtLeast(bound) => {
            Range::Between(*bound, f64::INFINITY)
        }
        Comparison::Below(bound) | Comparison::AtMost(bound) => {
            Range::Between(f64::NEG_INFINITY, *bound)
        }
    };
    Some(Keys { path, range })
}

/// How many entries there are, counted up to `most`.
pub(super) fn count(
    connection: &Connection,
    account: i64,
    keys: &Keys,
    most: i64,
) -> Result<i64, Error> {
    let mut statement = connection.prepare_cached(COUNT)?;
    let mut total = 0;
    let mut add = |low: &Leaf, high: &Leaf| -> Result<(), Error> {
        let key = params![account, keys.path, low, high, most - total];
        total += statement.query_row(key, |row| row.get::<_, i64>(0))?;
        Ok(())
    };
    match &keys.range {
        Range::At(values) => {
            for value in values {
                add(value, value)?;
            }
        }
        Range::Between(low, high) => add(&Leaf::Number(*low), &Leaf::Number(*high))?,
    }
    Ok(total)
}

/// Up to `limit` entries of one value after an upload time, in order.
pub(super) fn at(
    connection: &Connection,
    account: i64,
    path: &str,
    value: &Leaf,
    ascending: bool,
    after: i64,
    limit: usize,
) -> Result<Vec<Candidate>, Error> {
    let sql = if ascending {
        EQUAL_ASCENDING
    } else {
        EQUAL_DESCENDING
    };
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let mut statement = connection.prepare_cached(sql)?;
    let entries = statement.query_map(params![account, path, value, after, limit], |row| {
        Ok((row.get(0)?, row.get(1)?))
    })?;
    Ok(entries.collect::<Result<_, _>>()?)
}

/// All entries of the numbers between two, in no order.
pub(super) fn between(
    connection: &Connection,
    account: i64,
    path: &str,
    low: f64,
    high: f64,
    mut visit: impl FnMut(Candidate),
) -> Result<(), Error> {
    let mut statement = connection.prepare_cached(BETWEEN)?;
    let mut entries = statement.query(params![account, path, low, high])?;
    while let Some(row) = entries.next()? {
        visit((row.get(0)?, row.get(1)?));
    }
    Ok(())
}

fn each(
    metadata: Option<&Metadata>,
    visit: &mut dyn FnMut(&str, &Leaf) -> rusqlite::Result<usize>,
) -> Result<(), Error> {
    if let Some(metadata) = metadata {
        walk(&metadata.to_map(), &mut String::new(), 1, visit)?;
    }
    Ok(())
}

fn walk(
    map: &Map<String, Value>,
    path: &mut String,
    depth: usize,
    visit: &mut dyn FnMut(&str, &Leaf) -> rusqlite::Result<usize>,
) -> rusqlite::Result<()> {
    let parent = path.len();
    for (key, value) in map {
        if depth > 1 {
            path.push('.');
        }
        path.push_str(key);
        if path.len() <= PATH_BYTES_MAX {
            match value {
                Value::Object(inner) if depth < DEPTH_MAX => {
                    walk(inner, path, depth + 1, visit)?;
                }
                Value::Number(number) => {
                    if let Some(number) = number.as_f64() {
                        visit(path, &Leaf::Number(number))?;
                    }
                }
                Value::String(text) => drop(visit(path, &text_leaf(text))?),
                Value::Bool(truth) => drop(visit(path, &Leaf::Boolean(*truth))?),
                Value::Null | Value::Array(_) | Value::Object(_) => {}
            }
        }
        path.truncate(parent);
    }
    Ok(())
}

fn values(operands: &[Operand]) -> Vec<Leaf> {
    let mut values = Vec::new();
    let mut add = |value: Leaf| {
        if !values.contains(&value) {
            values.push(value);
        }
    };
    for operand in operands {
        match operand {
            Operand::Text(text) => {
                add(text_leaf(text));
                // A number whose canonical text this is, or a boolean.
                if let Ok(number) = text.parse() {
                    add(Leaf::Number(number));
                }
                if let Ok(truth) = text.parse() {
                    add(Leaf::Boolean(truth));
                }
            }
            Operand::String(text) => add(text_leaf(text)),
            Operand::Number(number) => add(Leaf::Number(*number)),
            Operand::Boolean(truth) => add(Leaf::Boolean(*truth)),
        }
    }
    values
}

fn text_leaf(text: &str) -> Leaf {
    Leaf::Text(text[..text.floor_char_boundary(TEXT_BYTES_MAX)].to_owned())
}

impl ToSql for Leaf {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Self::Number(number) => ValueRef::Real(*number),
            Self::Text(text) => ValueRef::Text(text.as_bytes()),
            Self::Boolean(truth) => ValueRef::Blob(if *truth { b"\x01" } else { b"\x00" }),
        }))
    }
}
