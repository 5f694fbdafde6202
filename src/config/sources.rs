//! Where settings come from, and which place wins: flag, variable, file, default.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use super::kind::Value;
use super::setting::PREFIX;
use super::{BaseUrl, Error, Kind, SETTINGS, Setting};

/// Everything settings are read from. Nothing else is looked at, so that tests are complete.
pub struct Sources<'a> {
    /// `--config`.
    pub file: Option<PathBuf>,
    /// The flags given, by TOML key: `data_dir`, `api_token_file`.
    pub flags: BTreeMap<String, String>,
    /// The environment; other variables than ours are ignored.
    pub variables: BTreeMap<String, String>,
    /// Reads a file.
    pub read: &'a dyn Fn(&Path) -> io::Result<String>,
    /// The number of CPU cores.
    pub cores: usize,
}

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The command line.
    Flag(String),
    /// The environment.
    Variable(String),
    /// A settings file.
    File(PathBuf),
    /// Nobody gave one.
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(flag) => write!(f, "--{flag}"),
            Self::Variable(name) => f.write_str(name),
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Default => f.write_str("default"),
        }
    }
}

/// The text of every setting and where it came from.
pub struct Settings(Vec<Given>);

/// One setting's text.
pub struct Given {
    /// The setting.
    pub setting: &'static Setting,
    /// Where its text came from.
    pub origin: Origin,
    text: String,
}

impl Given {
    /// The text, unless it is a secret; an address without its password.
    pub fn shown(&self) -> Option<String> {
        if self.setting.kind.is_secret() {
            return None;
        }
        let address = (self.setting.kind == Kind::Database)
            .then(|| store::PostgresUrl::parse(&self.text).ok())
            .flatten();
        Some(address.map_or_else(|| self.text.clone(), |address| address.to_string()))
    }

    /// Whether there is a text at all.
    pub fn is_set(&self) -> bool {
        !self.text.is_empty()
    }
}

/// Variables with our prefix which are no settings: the file, and what commands need.
const OTHER_VARIABLES: [&str; 6] = [
    "config",
    "url",
    "token",
    "account",
    "import_access_key_id",
    "import_secret_access_key",
];

/// Where the file is looked for if nobody names one.
const FILES: [&str; 2] = ["calotype.toml", "/etc/calotype/calotype.toml"];

impl Settings {
    /// Reads every source. Unknown names are errors.
    pub fn resolve(sources: Sources<'_>) -> Result<Self, Error> {
        let mut variables = variables(sources.variables)?;
        let named = sources.file.or_else(|| {
            let path = variables.remove("config");
            path.map(PathBuf::from)
        });
        let file = find_file(named, sources.read)?;
        let mut layers = vec![
            Layer::new(Place::Flags, sources.flags),
            Layer::new(Place::Variables, variables),
        ];
        if let Some((path, text)) = file {
            let keys = keys(&path, &text)?;
            layers.push(Layer::new(Place::File(path), keys));
        }
        let mut settings = Self(Vec::with_capacity(SETTINGS.len()));
        for setting in SETTINGS {
            let mut found = None;
            for layer in &layers {
                found = layer.text_of(setting, sources.read)?;
                if found.is_some() {
                    break;
                }
            }
            let (origin, text) = found.unwrap_or_else(|| {
                let text = settings.fill(setting.default, sources.cores);
                (Origin::Default, text)
            });
            settings.0.push(Given {
                setting,
                origin,
                text,
            });
        }
        Ok(settings)
    }

    /// Every setting, in the order of the table.
    pub fn iter(&self) -> impl Iterator<Item = &Given> {
        self.0.iter()
    }

    /// The value of a setting of the table.
    pub(super) fn value<T: Value>(&self, setting: &'static Setting) -> Result<T, Error> {
        let given = self.given(setting.name);
        let (text, origin) = given.map_or(("", Origin::Default), |given| {
            (given.text.as_str(), given.origin.clone())
        });
        T::read(text, setting.kind).map_err(|reason| {
            // An address with a mistake may still hold a password.
            let hides = setting.kind == Kind::Database && text.contains('@');
            let reason = if setting.kind.is_secret() || hides {
                reason
            } else {
                format!("{reason}, not {text:?}")
            };
            Error::Invalid {
                name: setting.name,
                reason,
                origin: origin.to_string(),
            }
        })
    }

    fn given(&self, name: &str) -> Option<&Given> {
        self.0.iter().find(|given| given.setting.name == name)
    }

    /// A default with the values it refers to, which stand before it in the table.
    fn fill(&self, default: &str, cores: usize) -> String {
        let text = |name| self.given(name).map_or("", |given| given.text.as_str());
        let listen = text("listen");
        let listen = listen
            .parse()
            .map_or_else(|_| listen.to_owned(), |listen| BaseUrl::of(listen).into());
        default
            .replace("<data_dir>", text("data_dir").trim_end_matches('/'))
            .replace("http://<listen>", &listen)
            .replace("<public_url>", text("public_url").trim_end_matches('/'))
            .replace("<cores>", &cores.to_string())
    }
}

enum Place {
    Flags,
    Variables,
    File(PathBuf),
}

/// What one place says, by TOML key.
struct Layer {
    place: Place,
    texts: BTreeMap<String, String>,
}

impl Layer {
    fn new(place: Place, texts: BTreeMap<String, String>) -> Self {
        Self { place, texts }
    }

    /// The text of a setting here, read from the file it names where it is a secret.
    fn text_of(
        &self,
        setting: &'static Setting,
        read: &dyn Fn(&Path) -> io::Result<String>,
    ) -> Result<Option<(Origin, String)>, Error> {
        let name = setting.name;
        let direct = self.texts.get(name);
        let file_key = format!("{name}_file");
        let file = self
            .texts
            .get(&file_key)
            .filter(|_| setting.kind.may_be_a_file());
        match (direct, file) {
            (None, None) => Ok(None),
            (Some(text), None) => Ok(Some((self.origin(name), text.clone()))),
            (None, Some(path)) => {
                let text = read_file(Path::new(path), read)?;
                let text = text.trim_end_matches(['\r', '\n']).to_owned();
                Ok(Some((self.origin(&file_key), text)))
            }
            (Some(_), Some(_)) => Err(Error::Both {
                name,
                origin: self.origin(name).to_string(),
            }),
        }
    }

    fn origin(&self, key: &str) -> Origin {
        match &self.place {
            Place::Flags => Origin::Flag(key.replace('_', "-")),
            Place::Variables => Origin::Variable(format!("{PREFIX}{}", key.to_ascii_uppercase())),
            Place::File(path) => Origin::File(path.clone()),
        }
    }
}

/// Our variables by TOML key. An empty one counts as not given, as `${NAME:-}` in a compose file
/// makes them.
fn variables(all: BTreeMap<String, String>) -> Result<BTreeMap<String, String>, Error> {
    let mut ours = BTreeMap::new();
    for (variable, text) in all {
        let Some(name) = variable.strip_prefix(PREFIX) else {
            continue;
        };
        if is_service_link(name) {
            continue;
        }
        let key = name.to_ascii_lowercase();
        let known = is_known(&key) || OTHER_VARIABLES.contains(&key.as_str());
        if !known || key.to_ascii_uppercase() != name {
            let hint = nearest(&key, &OTHER_VARIABLES)
                .map(|name| format!("{PREFIX}{}", name.to_ascii_uppercase()));
            return Err(Error::UnknownVariable {
                hint: hint_of(hint),
                variable,
            });
        }
        if !text.is_empty() {
            ours.insert(key, text);
        }
    }
    Ok(ours)
}

/// Whether Kubernetes sets this variable in every pod beside a service named `calotype`.
fn is_service_link(name: &str) -> bool {
    name == "PORT"
        || name.starts_with("PORT_")
        || name == "SERVICE_HOST"
        || name.starts_with("SERVICE_PORT")
}

fn find_file(
    named: Option<PathBuf>,
    read: &dyn Fn(&Path) -> io::Result<String>,
) -> Result<Option<(PathBuf, String)>, Error> {
    if let Some(path) = named {
        let text = read_file(&path, read)?;
        return Ok(Some((path, text)));
    }
    for path in FILES.map(PathBuf::from) {
        match read(&path) {
            Ok(text) => return Ok(Some((path, text))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(source) => return Err(Error::Unreadable { path, source }),
        }
    }
    Ok(None)
}

fn read_file(path: &Path, read: &dyn Fn(&Path) -> io::Result<String>) -> Result<String, Error> {
    read(path).map_err(|source| Error::Unreadable {
        path: path.to_owned(),
        source,
    })
}

/// The keys of a TOML file with their values as texts.
fn keys(path: &Path, text: &str) -> Result<BTreeMap<String, String>, Error> {
    let table: toml::Table = toml::from_str(text).map_err(|error| {
        let start = error.span().map_or(0, |span| span.start);
        let before = text.get(..start).unwrap_or_default();
        Error::Syntax {
            path: path.to_owned(),
            line: 1 + before.matches('\n').count(),
            reason: error.message().to_owned(),
        }
    })?;
    let mut keys = BTreeMap::new();
    for (key, value) in table {
        let Some(name) = known_name(&key) else {
            let hint = nearest(&key, &[]).map(|name| format!("{name:?}"));
            return Err(Error::UnknownKey {
                path: path.to_owned(),
                hint: hint_of(hint),
                key,
            });
        };
        let text = match value {
            toml::Value::String(text) => text,
            toml::Value::Integer(number) => number.to_string(),
            toml::Value::Boolean(switch) => switch.to_string(),
            _ => {
                return Err(Error::Invalid {
                    name,
                    reason: "must be a text, a whole number or a switch".to_owned(),
                    origin: path.display().to_string(),
                });
            }
        };
        keys.insert(key, text);
    }
    Ok(keys)
}

fn is_known(key: &str) -> bool {
    known_name(key).is_some()
}

/// The name of the setting which has this key; a secret also has a key for a file.
fn known_name(key: &str) -> Option<&'static str> {
    SETTINGS
        .iter()
        .find(|setting| {
            let file =
                || setting.kind.may_be_a_file() && key.strip_suffix("_file") == Some(setting.name);
            setting.name == key || file()
        })
        .map(|setting| setting.name)
}

fn hint_of(nearest: Option<String>) -> String {
    nearest.map_or_else(String::new, |name| format!("; did you mean {name}?"))
}

/// The known name which is nearest to `key`, if any is near.
fn nearest<'a>(key: &str, others: &[&'a str]) -> Option<&'a str> {
    SETTINGS
        .iter()
        .map(|setting| setting.name)
        .chain(others.iter().copied())
        .map(|name| (distance(key, name), name))
        .min()
        .filter(|(distance, name)| *distance <= name.len().div_ceil(3))
        .map(|(_, name)| name)
}

/// How many characters must be added, dropped or replaced to turn one text into the other.
fn distance(from: &str, to: &str) -> usize {
    let mut row: Vec<usize> = (0..=to.chars().count()).collect();
    for (line, a) in from.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = line + 1;
        for (column, b) in to.chars().enumerate() {
            let replaced = diagonal + usize::from(a != b);
            diagonal = row[column + 1];
            row[column + 1] = replaced.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[row.len() - 1]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_count_edits() {
        for (from, to, edits) in [("", "", 0), ("data_dri", "data_dir", 2), ("a", "", 1)] {
            assert_eq!(distance(from, to), edits, "{from} {to}");
        }
        assert_eq!(nearest("data_dr", &[]), Some("data_dir"));
        assert_eq!(nearest("zzzzzz", &[]), None);
    }
}
