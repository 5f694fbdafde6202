use serde_json::{Map, Value};

use crate::Metadata;

/// What the metadata of a listed image must hold: all conditions together
/// (management-api.md, section 4.4).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MetadataFilter {
    /// At most five.
    pub conditions: Vec<Condition>,
}

/// One `meta.<path>[<operator>]=<value>`.
#[derive(Clone, Debug, PartialEq)]
pub struct Condition {
    /// Object keys, outermost first; at most five.
    pub path: Vec<String>,
    /// How the value there must compare.
    pub comparison: Comparison,
}

/// How a value must compare. A missing value, an array and an object never match.
#[derive(Clone, Debug, PartialEq)]
pub enum Comparison {
    /// `eq` (one operand) and `in` (up to ten): equal to any of them.
    Any(Vec<Operand>),
    /// `gt`
    Above(f64),
    /// `gte`
    AtLeast(f64),
    /// `lt`
    Below(f64),
    /// `lte`
    AtMost(f64),
}

/// A value to be equal to.
#[derive(Clone, Debug, PartialEq)]
pub enum Operand {
    /// Untyped: equals a string, or the canonical text of a number or boolean.
    Text(String),
    /// `:string`
    String(String),
    /// `:number`
    Number(f64),
    /// `:boolean`
    Boolean(bool),
}

/// Why a query parameter is no filter. Never leads to an unfiltered list.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidFilter {
    /// More than five conditions.
    #[error("at most {CONDITIONS_MAX} metadata conditions are allowed")]
    TooMany,
    /// No operator, or no field.
    #[error("'{0}' is not of the form meta.<field>[<operator>]")]
    Form(String),
    /// A field which is too long, too deep, or of other characters.
    #[error("'{0}' is not a metadata field: at most 5 levels of letters, digits and underscores")]
    Field(String),
    /// An operator which does not exist.
    #[error("'{0}' is not a metadata operator")]
    Operator(String),
    /// A value which does not fit its operator.
    #[error("'{0}' is not a value for this metadata operator")]
    Value(String),
    /// More than ten values.
    #[error("a list of metadata values holds at most {VALUES_MAX}")]
    TooManyValues,
}

const CONDITIONS_MAX: usize = 5;
const LEVELS_MAX: usize = 5;
const VALUES_MAX: usize = 10;
const FIELD_CHARS_MAX: usize = 100;

impl MetadataFilter {
    /// Whether a query parameter of this (decoded) name is a metadata condition.
    pub fn is_parameter(name: &str) -> bool {
        name.starts_with("meta.")
    }

    /// Adds the condition of one decoded query parameter.
    pub fn add(&mut self, name: &str, value: &str) -> Result<(), InvalidFilter> {
        let form = || InvalidFilter::Form(name.to_owned());
        let rest = name.strip_prefix("meta.").ok_or_else(form)?;
        let (field, operator) = rest
            .strip_suffix(']')
            .and_then(|rest| rest.split_once('['))
            .ok_or_else(form)?;
        let path = parse_field(field)?;
        let comparison = parse_comparison(operator, value)?;
        if self.conditions.len() == CONDITIONS_MAX {
            return Err(InvalidFilter::TooMany);
        }
        self.conditions.push(Condition { path, comparison });
        Ok(())
    }

    /// Whether there is nothing to check.
    pub fn is_empty(&self) -> bool {
        self.conditions.is_empty()
    }

    /// Whether an image with this metadata is listed.
    pub fn matches(&self, metadata: Option<&Metadata>) -> bool {
        if self.conditions.is_empty() {
            return true;
        }
        let map = metadata.map(Metadata::to_map).unwrap_or_default();
        self.conditions.iter().all(|condition| {
            at(&map, &condition.path).is_some_and(|value| condition.comparison.matches(value))
        })
    }
}

impl Comparison {
    /// Whether a stored value satisfies the comparison.
    pub fn matches(&self, value: &Value) -> bool {
        let number = value.as_f64();
        match self {
            Self::Any(operands) => operands.iter().any(|operand| operand.equals(value)),
            Self::Above(bound) => number.is_some_and(|number| number > *bound),
            Self::AtLeast(bound) => number.is_some_and(|number| number >= *bound),
            Self::Below(bound) => number.is_some_and(|number| number < *bound),
            Self::AtMost(bound) => number.is_some_and(|number| number <= *bound),
        }
    }
}

impl Operand {
    fn equals(&self, value: &Value) -> bool {
        match self {
            Self::Text(text) => match value {
                Value::String(stored) => stored == text,
                Value::Number(number) => number.to_string().as_str() == text,
                Value::Bool(truth) => text == if *truth { "true" } else { "false" },
                _ => false,
            },
            Self::String(text) => value.as_str() == Some(text),
            Self::Number(number) => value.as_f64() == Some(*number),
            Self::Boolean(truth) => value.as_bool() == Some(*truth),
        }
    }
}

/// The value at a path of object keys.
fn at<'a>(map: &'a Map<String, Value>, path: &[String]) -> Option<&'a Value> {
    let (first, rest) = path.split_first()?;
    rest.iter()
        .try_fold(map.get(first)?, |value, key| value.as_object()?.get(key))
}

fn parse_field(field: &str) -> Result<Vec<String>, InvalidFilter> {
    let path: Vec<String> = field.split('.').map(str::to_owned).collect();
    let valid_key = |key: &String| {
        !key.is_empty()
            && key
                .chars()
                .all(|character| character.is_ascii_alphanumeric() || character == '_')
    };
    if field.len() <= FIELD_CHARS_MAX && path.len() <= LEVELS_MAX && path.iter().all(valid_key) {
        Ok(path)
    } else {
        Err(InvalidFilter::Field(field.to_owned()))
    }
}

fn parse_comparison(operator: &str, value: &str) -> Result<Comparison, InvalidFilter> {
    let number = |text: &str| {
        text.parse::<f64>()
            .ok()
            .filter(|number| number.is_finite())
            .ok_or_else(|| InvalidFilter::Value(text.to_owned()))
    };
    let operand = |kind: &str, text: &str| match kind {
        "" => Ok(Operand::Text(text.to_owned())),
        ":string" => Ok(Operand::String(text.to_owned())),
        ":number" => number(text).map(Operand::Number),
        ":boolean" => match text {
            "true" => Ok(Operand::Boolean(true)),
            "false" => Ok(Operand::Boolean(false)),
            _ => Err(InvalidFilter::Value(text.to_owned())),
        },
        _ => Err(InvalidFilter::Operator(operator.to_owned())),
    };
    let split = operator.find(':').unwrap_or(operator.len());
    let (word, kind) = operator.split_at(split);
    match (word, kind) {
        ("eq", _) => Ok(Comparison::Any(vec![operand(kind, value)?])),
        ("in", "" | ":string" | ":number") => {
            let operands: Result<Vec<_>, _> =
                value.split('|').map(|text| operand(kind, text)).collect();
            let operands = operands?;
            if operands.len() > VALUES_MAX {
                return Err(InvalidFilter::TooManyValues);
            }
            Ok(Comparison::Any(operands))
        }
        ("gt", "" | ":number") => Ok(Comparison::Above(number(value)?)),
        ("gte", "" | ":number") => Ok(Comparison::AtLeast(number(value)?)),
        ("lt", "" | ":number") => Ok(Comparison::Below(number(value)?)),
        ("lte", "" | ":number") => Ok(Comparison::AtMost(number(value)?)),
        _ => Err(InvalidFilter::Operator(operator.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STORED: &str =
        r#"{"status":"active","n":5,"half":0.5,"ok":true,"zip":"5","deep":{"er":"x"},"list":[1]}"#;

    fn matches(parameters: &[(&str, &str)]) -> bool {
        let metadata = Metadata::from_stored(STORED);
        let mut filter = MetadataFilter::default();
        for (name, value) in parameters {
            filter.add(name, value).unwrap();
        }
        filter.matches(metadata.as_ref())
    }

    #[test]
    fn conditions_compare_as_documented() {
        for (name, value, expected) in [
            ("meta.status[eq]", "active", true),
            ("meta.status[eq:string]", "active", true),
            ("meta.status[eq]", "Active", false),
            ("meta.n[eq]", "5", true),
            ("meta.n[eq:number]", "5.0", true),
            ("meta.n[eq:string]", "5", false),
            ("meta.zip[eq:number]", "5", false),
            ("meta.zip[eq]", "5", true),
            ("meta.ok[eq:boolean]", "true", true),
            ("meta.ok[eq]", "true", true),
            ("meta.status[in]", "draft|active", true),
            ("meta.n[in:number]", "1|5", true),
            ("meta.n[gt]", "4", true),
            ("meta.n[gt]", "5", false),
            ("meta.n[gte:number]", "5", true),
            ("meta.half[lt]", "1", true),
            ("meta.half[lte]", "0.4", false),
            ("meta.zip[lt]", "9", false),
            ("meta.deep.er[eq]", "x", true),
            ("meta.deep[eq]", "x", false),
            ("meta.list[eq]", "1", false),
            ("meta.missing[eq]", "", false),
        ] {
            assert_eq!(matches(&[(name, value)]), expected, "{name}={value}");
        }
        assert!(matches(&[("meta.n[gte]", "1"), ("meta.n[lte]", "5")]));
        assert!(!matches(&[("meta.n[gte]", "1"), ("meta.status[eq]", "x")]));
    }

    #[test]
    fn a_breach_is_an_error() {
        let add = |name: &str, value: &str| MetadataFilter::default().add(name, value);
        for (name, value) in [
            ("meta.a", "1"),
            ("meta.[eq]", "1"),
            ("meta.a.b.c.d.e.f[eq]", "1"),
            ("meta.a-b[eq]", "1"),
            ("meta.a[ne]", "1"),
            ("meta.a[in:boolean]", "true"),
            ("meta.a[gt:string]", "1"),
            ("meta.a[gt]", "one"),
            ("meta.a[gt]", "NaN"),
            ("meta.a[eq:boolean]", "1"),
            ("meta.a[in]", "1|2|3|4|5|6|7|8|9|10|11"),
        ] {
            assert!(add(name, value).is_err(), "{name}={value}");
        }
        let mut filter = MetadataFilter::default();
        for _ in 0..5 {
            filter.add("meta.a[eq]", "1").unwrap();
        }
        assert_eq!(filter.add("meta.a[eq]", "1"), Err(InvalidFilter::TooMany));
    }
}
