//! The index of the scalars in metadata, from which filtered lists find their candidates, as far as
//! it is the same in every database.
//!
//! It promises one thing: every image which satisfies a comparison is among the candidates. Whether
//! a candidate does is decided by the filter itself, on the metadata.

use model::{Comparison, Condition, Metadata, MetadataFilter, Operand};
use serde_json::{Map, Value};

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

/// Visits the scalars of an image's metadata, each with its path.
pub(super) fn each<E>(
    metadata: Option<&Metadata>,
    visit: &mut dyn FnMut(&str, &Leaf) -> Result<(), E>,
) -> Result<(), E> {
    match metadata {
        Some(metadata) => walk(&metadata.to_map(), &mut String::new(), 1, visit),
        None => Ok(()),
    }
}

fn walk<E>(
    map: &Map<String, Value>,
    path: &mut String,
    depth: usize,
    visit: &mut dyn FnMut(&str, &Leaf) -> Result<(), E>,
) -> Result<(), E> {
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
                Value::String(text) => visit(path, &text_leaf(text))?,
                Value::Bool(truth) => visit(path, &Leaf::Boolean(*truth))?,
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
