use serde_json::{Map, Number, Value};

/// The customer's own JSON object about an image; never shown to an end user.
///
/// Held as its text: lists of thousands pass it through and never look inside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metadata(Box<str>);

/// Why something cannot be metadata (management-api.md, section 3.4).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidMetadata {
    /// Not JSON at all.
    #[error("metadata must be valid JSON")]
    Json,
    /// JSON, but not an object.
    #[error("metadata must be a JSON object")]
    NotAnObject,
    /// Over the limit of bytes, counted on the compact JSON.
    #[error("metadata must not be larger than {0} bytes")]
    TooLarge(usize),
    /// A flattened part whose name is no path, or clashes with another part.
    #[error("metadata part '{0}' cannot be placed")]
    Part(String),
}

impl Metadata {
    /// Parses the documented form, one JSON object; the empty text is none.
    pub fn from_json(text: &str, bytes_max: usize) -> Result<Option<Self>, InvalidMetadata> {
        if text.trim().is_empty() {
            return Ok(None);
        }
        let value = serde_json::from_str(text).map_err(|_| InvalidMetadata::Json)?;
        Self::from_value(value, bytes_max)
    }

    /// Takes a JSON value: an object, a string which holds one, or null; the empty object is none.
    pub fn from_value(value: Value, bytes_max: usize) -> Result<Option<Self>, InvalidMetadata> {
        match value {
            Value::Null => Ok(None),
            Value::Object(ref map) if map.is_empty() => Ok(None),
            Value::Object(_) => {
                let json = value.to_string();
                if json.len() > bytes_max {
                    return Err(InvalidMetadata::TooLarge(bytes_max));
                }
                Ok(Some(Self(json.into())))
            }
            Value::String(text) => match serde_json::from_str(&text) {
                Ok(value @ Value::Object(_)) => Self::from_value(value, bytes_max),
                Ok(_) => Err(InvalidMetadata::NotAnObject),
                Err(_) if text.is_empty() => Ok(None),
                Err(_) => Err(InvalidMetadata::Json),
            },
            _ => Err(InvalidMetadata::NotAnObject),
        }
    }

    /// Trusts a stored text, which `as_json` gave; `None` if it does not even look like an object.
    pub fn from_stored(text: &str) -> Option<Self> {
        (text.starts_with('{') && text.ends_with('}')).then(|| Self(text.into()))
    }

    /// The compact JSON, keys in the order in which they came.
    pub fn as_json(&self) -> &str {
        &self.0
    }

    /// The object, read from its text.
    pub fn to_map(&self) -> Map<String, Value> {
        // Every way in has seen an object; a text which was spoilt at rest holds nothing.
        serde_json::from_str(&self.0).unwrap_or_default()
    }
}

/// Rebuilds the object which an SDK flattened into form parts: `metadata[a][b][]` (TypeScript),
/// `metadata.a.b[]` (Python), `metadata.a.b.0` (Go). Leaves are text on the wire; see `coerce`.
#[derive(Debug, Default)]
pub struct FlatMetadata {
    root: Vec<(String, Node)>,
    bytes: usize,
}

#[derive(Debug)]
enum Node {
    Leaf(String),
    Branch(Vec<(String, Node)>),
}

/// A deeper path is no metadata but an attack on the stack.
const DEPTH_MAX: usize = 32;

impl FlatMetadata {
    /// Whether a part of this name is a piece of flattened metadata.
    pub fn is_part(name: &str) -> bool {
        name.starts_with("metadata[") || name.starts_with("metadata.")
    }

    /// Whether nothing was inserted.
    pub fn is_empty(&self) -> bool {
        self.root.is_empty()
    }

    /// Adds one part. `bytes_max` bounds what is held before the object is whole.
    pub fn insert(
        &mut self,
        name: &str,
        value: String,
        bytes_max: usize,
    ) -> Result<(), InvalidMetadata> {
        let misplaced = || InvalidMetadata::Part(name.chars().take(100).collect());
        self.bytes += value.len();
        if self.bytes > bytes_max {
            return Err(InvalidMetadata::TooLarge(bytes_max));
        }
        let path = split_path(&name["metadata".len()..]).ok_or_else(misplaced)?;
        place(&mut self.root, &path, value).ok_or_else(misplaced)
    }

    /// The object. With `coerce`, `true`, `false` and canonical numbers lose their quotes again.
    pub fn finish(
        self,
        coerce: bool,
        bytes_max: usize,
    ) -> Result<Option<Metadata>, InvalidMetadata> {
        let entries = self
            .root
            .into_iter()
            .map(|(key, node)| (key, node.into_value(coerce)));
        Metadata::from_value(Value::Object(entries.collect()), bytes_max)
    }
}

impl Node {
    fn into_value(self, coerce: bool) -> Value {
        match self {
            Self::Leaf(text) if coerce => coerced(text),
            Self::Leaf(text) => Value::String(text),
            Self::Branch(entries) => {
                // Keys 0, 1, 2 … are what a list was flattened to.
                let is_list = entries
                    .iter()
                    .enumerate()
                    .all(|(at, (key, _))| *key == at.to_string());
                let entries = entries
                    .into_iter()
                    .map(|(key, node)| (key, node.into_value(coerce)));
                if is_list {
                    Value::Array(entries.map(|(_, value)| value).collect())
                } else {
                    Value::Object(entries.collect())
                }
            }
        }
    }
}

/// `[a][b][]` and `.a.b[].c` as keys; the empty key appends.
fn split_path(text: &str) -> Option<Vec<&str>> {
    let mut keys = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        if keys.len() == DEPTH_MAX {
            return None;
        }
        if let Some(inner) = rest.strip_prefix('[') {
            let (key, after) = inner.split_once(']')?;
            keys.push(key);
            rest = after;
        } else {
            let inner = rest.strip_prefix('.')?;
            let end = inner.find(['.', '[']).unwrap_or(inner.len());
            let (key, after) = inner.split_at(end);
            if key.is_empty() {
                return None;
            }
            keys.push(key);
            rest = after;
        }
    }
    (!keys.is_empty() && !keys[0].is_empty()).then_some(keys)
}

/// `None` if a leaf is already where a branch should grow, or the other way round.
fn place(entries: &mut Vec<(String, Node)>, path: &[&str], value: String) -> Option<()> {
    let (&key, rest) = path.split_first()?;
    let appended;
    let key = if key.is_empty() {
        appended = append_at(entries, rest).to_string();
        appended.as_str()
    } else {
        key
    };
    let found = entries.iter().position(|(name, _)| name == key);
    if rest.is_empty() {
        if found.is_some() {
            return None;
        }
        entries.push((key.to_owned(), Node::Leaf(value)));
        return Some(());
    }
    let at = found.unwrap_or_else(|| {
        entries.push((key.to_owned(), Node::Branch(Vec::new())));
        entries.len() - 1
    });
    match &mut entries[at].1 {
        Node::Leaf(_) => None,
        Node::Branch(children) => place(children, rest, value),
    }
}

/// Where `[]` goes: `list[][k]=1`, `list[][l]=2` are one element until a key repeats.
fn append_at(entries: &[(String, Node)], rest: &[&str]) -> usize {
    match (entries.last(), rest.first()) {
        (Some((_, Node::Branch(children))), Some(next))
            if !next.is_empty() && !children.iter().any(|(name, _)| name == next) =>
        {
            entries.len() - 1
        }
        _ => entries.len(),
    }
}

/// Integers up to here are exact in the numbers of JSON.
const EXACT: u64 = 1 << 53;

fn coerced(text: String) -> Value {
    match text.as_str() {
        "true" => return Value::Bool(true),
        "false" => return Value::Bool(false),
        _ => {}
    }
    // Only what prints back to the same text is a number: no leading zeros.
    if let Ok(number) = text.parse::<i64>() {
        if number.unsigned_abs() <= EXACT && number.to_string() == text {
            return Value::Number(number.into());
        }
    } else if text.contains('.')
        && let Ok(number) = text.parse::<f64>()
        && number.to_string() == text
        && let Some(number) = Number::from_f64(number)
    {
        return Value::Number(number);
    }
    Value::String(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rebuilt(parts: &[(&str, &str)]) -> Result<String, InvalidMetadata> {
        let mut flat = FlatMetadata::default();
        for (name, value) in parts {
            flat.insert(name, (*value).to_owned(), 1024)?;
        }
        let metadata = flat.finish(true, 1024)?;
        Ok(metadata.map_or_else(String::new, |metadata| metadata.as_json().to_owned()))
    }

    #[test]
    fn every_sdk_spelling_gives_the_same_object() {
        let expected = r#"{"k":"v","n":5,"b":true,"nest":{"a":[1,2]}}"#;
        let typescript = [
            ("metadata[k]", "v"),
            ("metadata[n]", "5"),
            ("metadata[b]", "true"),
            ("metadata[nest][a][]", "1"),
            ("metadata[nest][a][]", "2"),
        ];
        let python = [
            ("metadata.k", "v"),
            ("metadata.n", "5"),
            ("metadata.b", "true"),
            ("metadata.nest.a[]", "1"),
            ("metadata.nest.a[]", "2"),
        ];
        let go = [
            ("metadata.k", "v"),
            ("metadata.n", "5"),
            ("metadata.b", "true"),
            ("metadata.nest.a.0", "1"),
            ("metadata.nest.a.1", "2"),
        ];
        for parts in [typescript, python, go] {
            assert_eq!(rebuilt(&parts).as_deref(), Ok(expected));
        }
    }

    #[test]
    fn objects_in_lists_are_rebuilt() {
        let parts = [
            ("metadata[n][deep][]", "1"),
            ("metadata[n][deep][]", "2"),
            ("metadata[n][deep][][k]", "v"),
            ("metadata[n][deep][][l]", "w"),
            ("metadata[n][deep][][k]", "x"),
            ("metadata[ключ]", "значение"),
        ];
        let expected = r#"{"n":{"deep":[1,2,{"k":"v","l":"w"},{"k":"x"}]},"ключ":"значение"}"#;
        assert_eq!(rebuilt(&parts).as_deref(), Ok(expected));
    }

    #[test]
    fn only_canonical_numbers_lose_their_quotes() {
        let parts = [
            ("metadata.zip", "01234"),
            ("metadata.big", "9007199254740993"),
            ("metadata.float", "0.5"),
            ("metadata.exp", "1e3"),
            ("metadata.minus", "-7"),
            ("metadata.true", "True"),
        ];
        let expected = r#"{"zip":"01234","big":"9007199254740993","float":0.5,"exp":"1e3","minus":-7,"true":"True"}"#;
        assert_eq!(rebuilt(&parts).as_deref(), Ok(expected));
    }

    #[test]
    fn clashing_or_broken_parts_are_refused() {
        for parts in [
            &[("metadata.a", "1"), ("metadata.a.b", "2")][..],
            &[("metadata.a.b", "1"), ("metadata.a", "2")],
            &[("metadata.a", "1"), ("metadata.a", "2")],
            &[("metadata[a", "1")],
            &[("metadata[]", "1")],
            &[("metadata.", "1")],
            &[("metadata.a..b", "1")],
        ] {
            assert!(
                matches!(rebuilt(parts), Err(InvalidMetadata::Part(_))),
                "{parts:?}"
            );
        }
        let deep = format!("metadata{}", "[a]".repeat(40));
        assert!(rebuilt(&[(&deep, "1")]).is_err());
    }

    /// Found by fuzzing: such a number was another one each time it was read.
    #[test]
    fn numbers_are_read_as_they_were_written() {
        let digits = "6".repeat(156);
        for number in [
            digits.as_str(),
            "6.666666666666668e155",
            "0.1",
            "5e-324",
            "1e308",
        ] {
            let text = format!(r#"{{"n":{number}}}"#);
            let exact: f64 = number.parse().unwrap();
            let mut read = Metadata::from_json(&text, 1024).unwrap().unwrap();
            for _ in 0..3 {
                assert_eq!(read.to_map()["n"].as_f64(), Some(exact), "{number}");
                read = Metadata::from_json(read.as_json(), 1024).unwrap().unwrap();
            }
        }
    }

    #[test]
    fn json_must_be_a_small_object() {
        let parsed =
            |text: &str| Metadata::from_json(text, 20).map(|m| m.map(|m| m.as_json().to_owned()));
        assert_eq!(parsed(""), Ok(None));
        assert_eq!(parsed("{}"), Ok(None));
        assert_eq!(
            parsed(r#"{ "b": 1, "a": 2 }"#),
            Ok(Some(r#"{"b":1,"a":2}"#.into()))
        );
        assert_eq!(parsed("[1]"), Err(InvalidMetadata::NotAnObject));
        assert_eq!(parsed("5"), Err(InvalidMetadata::NotAnObject));
        assert_eq!(parsed("{"), Err(InvalidMetadata::Json));
        assert_eq!(
            parsed(r#"{"key":"longer than it may be"}"#),
            Err(InvalidMetadata::TooLarge(20))
        );
    }
}
