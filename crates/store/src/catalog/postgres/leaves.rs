//! The statements of the index of scalars in metadata.

use std::convert::Infallible;

use model::Image;

use super::pool::Connection;
use super::statements;
use crate::Error;
use crate::catalog::leaves::{Candidate, Keys, Leaf, Range, each};

statements! {
    pub(super) INSERT =
        "INSERT INTO leaves (account, path, value, uploaded, image)
         SELECT $1, path, value, $4, $5 FROM unnest($2::bytea[], $3::bytea[]) AS leaf (path, value)
         ON CONFLICT DO NOTHING";
    pub(super) DELETE =
        "DELETE FROM leaves USING unnest($2::bytea[], $3::bytea[]) AS leaf (path, value)
         WHERE leaves.account = $1 AND leaves.path = leaf.path AND leaves.value = leaf.value
             AND leaves.uploaded = $4";
    COUNT =
        "SELECT count(*) FROM (SELECT 1 FROM leaves
         WHERE account = $1 AND path = $2 AND value >= $3 AND value <= $4 LIMIT $5) AS found";
    EQUAL_ASCENDING =
        "SELECT uploaded, image FROM leaves
         WHERE account = $1 AND path = $2 AND value = $3 AND uploaded > $4
         ORDER BY uploaded LIMIT $5";
    EQUAL_DESCENDING =
        "SELECT uploaded, image FROM leaves
         WHERE account = $1 AND path = $2 AND value = $3 AND uploaded < $4
         ORDER BY uploaded DESC LIMIT $5";
    BETWEEN =
        "SELECT uploaded, image FROM leaves
         WHERE account = $1 AND path = $2 AND value >= $3 AND value <= $4";
}

pub(super) async fn insert(
    connection: &Connection,
    account: i64,
    pk: i64,
    image: &Image,
) -> Result<(), Error> {
    let (paths, values) = columns(image);
    if !paths.is_empty() {
        let uploaded = image.uploaded.micros();
        connection
            .execute(INSERT, &[&account, &paths, &values, &uploaded, &pk])
            .await?;
    }
    Ok(())
}

pub(super) async fn delete(
    connection: &Connection,
    account: i64,
    image: &Image,
) -> Result<(), Error> {
    let (paths, values) = columns(image);
    if !paths.is_empty() {
        let uploaded = image.uploaded.micros();
        connection
            .execute(DELETE, &[&account, &paths, &values, &uploaded])
            .await?;
    }
    Ok(())
}

/// The paths and the values of an image's leaves.
fn columns(image: &Image) -> (Vec<Vec<u8>>, Vec<Vec<u8>>) {
    let (mut paths, mut values) = (Vec::new(), Vec::new());
    let visited = each::<Infallible>(image.metadata.as_ref(), &mut |path, value| {
        paths.push(path.as_bytes().to_vec());
        values.push(ordered(value));
        Ok(())
    });
    match visited {
        Ok(()) => (paths, values),
    }
}

/// How many entries there are, counted up to `most`.
pub(super) async fn count(
    connection: &Connection,
    account: i64,
    keys: &Keys,
    most: i64,
) -> Result<i64, Error> {
    let ranges: Vec<(Vec<u8>, Vec<u8>)> = match &keys.range {
        Range::At(values) => values
            .iter()
            .map(|value| (ordered(value), ordered(value)))
            .collect(),
        Range::Between(low, high) => {
            vec![(ordered(&Leaf::Number(*low)), ordered(&Leaf::Number(*high)))]
        }
    };
    let path = keys.path.as_bytes();
    let mut total = 0;
    for (low, high) in ranges {
        let rest = most - total;
        let row = connection
            .query_one(COUNT, &[&account, &path, &low, &high, &rest])
            .await;
        total += row?.try_get::<_, i64>(0)?;
    }
    Ok(total)
}

/// Up to `limit` entries of one value after an upload time, in order.
pub(super) async fn at(
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
    let (path, value) = (path.as_bytes(), ordered(value));
    let entries = connection
        .query(sql, &[&account, &path, &value, &after, &limit])
        .await;
    candidates(&entries?)
}

/// All entries of the numbers between two, in no order.
pub(super) async fn between(
    connection: &Connection,
    account: i64,
    path: &str,
    low: f64,
    high: f64,
) -> Result<Vec<Candidate>, Error> {
    let (low, high) = (ordered(&Leaf::Number(low)), ordered(&Leaf::Number(high)));
    let entries = connection
        .query(BETWEEN, &[&account, &path.as_bytes(), &low, &high])
        .await;
    candidates(&entries?)
}

fn candidates(entries: &[tokio_postgres::Row]) -> Result<Vec<Candidate>, Error> {
    entries
        .iter()
        .map(|row| Ok((row.try_get(0)?, row.try_get(1)?)))
        .collect()
}

/// Bytes which compare as the values do: numbers, then texts, then booleans.
fn ordered(leaf: &Leaf) -> Vec<u8> {
    match leaf {
        Leaf::Number(number) => {
            // Minus zero is zero.
            let bits = (number + 0.0).to_bits();
            // Of negative numbers every bit is turned, of others the sign.
            let turned = if bits >> 63 == 1 {
                !bits
            } else {
                bits | 1 << 63
            };
            let mut bytes = vec![1];
            bytes.extend(turned.to_be_bytes());
            bytes
        }
        Leaf::Text(text) => {
            let mut bytes = vec![2];
            bytes.extend(text.as_bytes());
            bytes
        }
        Leaf::Boolean(truth) => vec![3, u8::from(*truth)],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_ordered_as_values_are() {
        let texts = ["", "a", "a\0", "ab", "b"].map(|text| Leaf::Text(text.to_owned()));
        let numbers = [
            f64::NEG_INFINITY,
            -1e300,
            -1.5,
            -f64::MIN_POSITIVE,
            0.0,
            f64::MIN_POSITIVE,
            1.0,
            9_007_199_254_740_992.0,
            f64::INFINITY,
        ];
        let mut leaves: Vec<_> = numbers.map(Leaf::Number).into();
        leaves.extend(texts);
        leaves.extend([false, true].map(Leaf::Boolean));
        let bytes: Vec<_> = leaves.iter().map(ordered).collect();
        assert!(bytes.is_sorted_by(|one, other| one < other), "{bytes:?}");
        assert_eq!(ordered(&Leaf::Number(-0.0)), ordered(&Leaf::Number(0.0)));
    }
}
