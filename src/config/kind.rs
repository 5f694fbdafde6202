//! What a setting's text may be, and how each Rust type reads it.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use model::{AccountHash, AccountId, Flows, GammaDirection, ResizeLight};
use service::Ports;
use store::{BucketUrl, PostgresUrl};
use tracing_subscriber::EnvFilter;

use super::{
    BaseUrl, BlobStore, Database, Hosts, LogFormat, MountPrefix, Networks, Secret, SecretKey, Zones,
};

/// What a setting's text may be. The two numbers are the least and the greatest value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A socket address.
    Address,
    /// A file or folder.
    Path,
    /// The start of web addresses.
    Url,
    /// Where records are kept.
    Database,
    /// Where uploaded bytes are kept.
    Blobs,
    /// A bucket of an S3 store.
    Bucket,
    /// A name without spaces.
    Word,
    /// An account's id.
    AccountId,
    /// An account's hash.
    AccountHash,
    /// An API token.
    Token,
    /// 256 bits.
    Key,
    /// Which log events are written.
    LogFilter,
    /// How log events are written.
    LogFormat,
    /// Which way `gamma` works.
    GammaDirection,
    /// In what pictures are shrunk.
    ResizeLight,
    /// Hosts with their allowed origins.
    Zones,
    /// The start of paths.
    MountPrefix,
    /// What becomes a remote image at its own address.
    Flows,
    /// Networks.
    Networks,
    /// Hosts with their addresses.
    Hosts,
    /// Ports.
    Ports,
    /// On or off.
    Switch,
    /// How many of something.
    Count(u64, u64),
    /// How many bytes.
    Bytes(u64, u64),
    /// How long.
    Time(Duration, Duration),
}

impl Kind {
    /// Whether values of this kind must never be shown.
    pub const fn is_secret(self) -> bool {
        matches!(self, Self::Token | Self::Key)
    }

    /// Whether the value can also be the content of a file, since it is a secret or may hold one.
    pub const fn may_be_a_file(self) -> bool {
        self.is_secret() || matches!(self, Self::Database)
    }

    /// Whether TOML writes values of this kind without quotes.
    pub const fn is_bare(self) -> bool {
        matches!(self, Self::Switch | Self::Count(..))
    }

    /// The placeholder for a value in the help.
    pub const fn placeholder(self) -> &'static str {
        match self {
            Self::Address => "ADDRESS",
            Self::Path | Self::MountPrefix => "PATH",
            Self::Url => "URL",
            Self::Database => "DATABASE",
            Self::Blobs => "BLOBS",
            Self::Bucket => "BUCKET",
            Self::Word => "NAME",
            Self::AccountId => "ID",
            Self::AccountHash => "HASH",
            Self::Token => "TOKEN",
            Self::Key => "HEX",
            Self::LogFilter => "FILTER",
            Self::LogFormat => "FORMAT",
            Self::GammaDirection => "YEAR",
            Self::ResizeLight => "LIGHT",
            Self::Zones => "ZONES",
            Self::Flows => "FLOWS",
            Self::Networks => "NETWORKS",
            Self::Hosts => "HOSTS",
            Self::Ports => "PORTS",
            Self::Switch => "BOOL",
            Self::Count(..) => "NUMBER",
            Self::Bytes(..) => "BYTES",
            Self::Time(..) => "TIME",
        }
    }

    /// What a text must be to be read, to follow the words "must be".
    pub fn describe(self) -> String {
        match self {
            Self::Address => "an address with a port, like `127.0.0.1:8787` or `[::]:80`".into(),
            Self::Path => "a path".into(),
            Self::Url => {
                "an `http://` or `https://` address without user, query or fragment".into()
            }
            Self::Database => "`sqlite:` and a path, or a `postgres://` address".into(),
            Self::Blobs => "`file:` and a path, or `s3://` and a bucket".into(),
            Self::Bucket => "`s3://` and a bucket, with a path or without".into(),
            Self::Word => "a name without spaces".into(),
            Self::AccountId => "32 lower-case hexadecimal characters".into(),
            Self::AccountHash => "22 base64url characters".into(),
            Self::Token => "printable ASCII without spaces".into(),
            Self::Key => "64 hexadecimal characters".into(),
            Self::LogFilter => "a log filter, like `info` or `warn,calotype=debug`".into(),
            Self::LogFormat => "`auto`, `pretty` or `json`".into(),
            Self::GammaDirection => "`2026` or `legacy`".into(),
            Self::ResizeLight => "`linear` or `gamma`".into(),
            Self::Zones => {
                "`auto`, `off`, or zones like `a.com, https://b.com=any, c.com=*.d.com|e.com/img`"
                    .into()
            }
            Self::MountPrefix => "a path like `/base`".into(),
            Self::Flows => {
                "flows like `path=/images/* -> width=800,format=auto; path=/media/* -> fastly`"
                    .into()
            }
            Self::Networks => "networks like `10.0.0.0/8, fd00::/8`".into(),
            Self::Hosts => {
                "hosts with addresses, like `a.com=10.0.0.5:8080, b.com=10.0.0.6`".into()
            }
            Self::Ports => "`any`, or ports like `80,443`".into(),
            Self::Switch => "`true` or `false`".into(),
            Self::Count(least, u64::MAX) => format!("a whole number, at least {least}"),
            Self::Count(least, most) => format!("a whole number from {least} to {most}"),
            Self::Bytes(least, most) => format!(
                "a size like `10MB`, `10MiB` or `10485760`, from {} to {}",
                print_bytes(least),
                print_bytes(most)
            ),
            Self::Time(least, most) => format!(
                "a time like `500ms`, `25s`, `30m`, `1h` or `2d`, from {} to {}",
                print_time(least),
                print_time(most)
            ),
        }
    }

    /// Reads a number in the range of this kind.
    fn number(self, text: &str) -> Option<u64> {
        let (number, least, most) = match self {
            Self::Count(least, most) => (parse_count(text)?, least, most),
            Self::Bytes(least, most) => (parse_bytes(text)?, least, most),
            _ => return None,
        };
        (least..=most).contains(&number).then_some(number)
    }
}

/// A type which a setting can have. The error follows the setting's name in a sentence.
pub(super) trait Value: Sized {
    fn read(text: &str, kind: Kind) -> Result<Self, String>;
}

fn must(kind: Kind) -> String {
    format!("must be {}", kind.describe())
}

/// An empty text is no value.
impl<T: Value> Value for Option<T> {
    fn read(text: &str, kind: Kind) -> Result<Self, String> {
        if text.is_empty() {
            return Ok(None);
        }
        T::read(text, kind).map(Some)
    }
}

/// Types which a function from text to `Option` reads.
macro_rules! read_with {
    ($($type:ty: $read:expr;)+) => {$(
        impl Value for $type {
            fn read(text: &str, kind: Kind) -> Result<Self, String> {
                let read: fn(&str, Kind) -> Option<Self> = $read;
                read(text, kind).ok_or_else(|| must(kind))
            }
        }
    )+};
}

read_with! {
    SocketAddr: |text, _| text.parse().ok();
    PathBuf: |text, _| (!text.is_empty()).then(|| text.into());
    BaseUrl: |text, _| BaseUrl::parse(text);
    BucketUrl: |text, _| BucketUrl::parse(text);
    AccountId: |text, _| AccountId::try_from(text).ok();
    AccountHash: |text, _| AccountHash::try_from(text).ok();
    Secret: |text, _| {
        let graphic = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
        graphic.then(|| Secret::new(text))
    };
    SecretKey: |text, _| SecretKey::parse(text);
    String: |text, kind| {
        let valid = match kind {
            Kind::LogFilter => EnvFilter::try_new(text).is_ok(),
            Kind::Word => text.bytes().all(|byte| byte.is_ascii_graphic()),
            _ => true,
        };
        valid.then(|| text.to_owned())
    };
    LogFormat: |text, _| LogFormat::parse(text);
    GammaDirection: |text, _| GammaDirection::parse(text);
    ResizeLight: |text, _| ResizeLight::parse(text);
    Zones: |text, _| Zones::parse(text);
    MountPrefix: |text, _| MountPrefix::parse(text);
    Flows: |text, _| Flows::parse(text);
    Networks: |text, _| Networks::parse(text);
    Hosts: |text, _| Hosts::parse(text);
    Ports: |text, _| super::remote::parse_ports(text);
    bool: |text, _| text.parse().ok();
    u64: |text, kind| kind.number(text);
    u32: |text, kind| kind.number(text)?.try_into().ok();
    usize: |text, kind| kind.number(text)?.try_into().ok();
    Duration: |text, kind| {
        let Kind::Time(least, most) = kind else { return None };
        parse_time(text).filter(|time| (least..=most).contains(time))
    };
}

impl Value for Database {
    fn read(text: &str, kind: Kind) -> Result<Self, String> {
        if text.starts_with("postgres:") || text.starts_with("postgresql:") {
            return PostgresUrl::parse(text).map(Self::Postgres);
        }
        if text == "sqlite::memory:" {
            return Err("must be a file: a database in memory would lose every image".into());
        }
        let path = path_of(text, "sqlite:").ok_or_else(|| must(kind))?;
        Ok(Self::Sqlite(path))
    }
}

impl Value for BlobStore {
    fn read(text: &str, kind: Kind) -> Result<Self, String> {
        if let Some(url) = BucketUrl::parse(text) {
            return Ok(Self::Bucket(url));
        }
        let path = path_of(text, "file:").ok_or_else(|| must(kind))?;
        Ok(Self::Folder(path))
    }
}

/// The path after a scheme; `file:///srv/x` is `/srv/x`, `file:x` is relative.
fn path_of(text: &str, scheme: &str) -> Option<PathBuf> {
    let path = text.strip_prefix(scheme)?;
    let path = match path.strip_prefix("//") {
        Some(absolute) if absolute.starts_with('/') => absolute,
        Some(_) => return None,
        None => path,
    };
    (!path.is_empty()).then(|| path.into())
}

const BYTE_UNITS: [(&str, u64); 9] = [
    ("tib", 1 << 40),
    ("gib", 1 << 30),
    ("mib", 1 << 20),
    ("kib", 1 << 10),
    ("tb", 1_000_000_000_000),
    ("gb", 1_000_000_000),
    ("mb", 1_000_000),
    ("kb", 1_000),
    ("b", 1),
];

const TIME_UNITS: [(&str, u64); 5] = [
    ("ms", 1),
    ("s", 1_000),
    ("m", 60_000),
    ("h", 3_600_000),
    ("d", 86_400_000),
];

fn parse_count(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok())?
}

fn parse_bytes(text: &str) -> Option<u64> {
    let text = text.to_ascii_lowercase();
    let (number, unit) = split_unit(&text)?;
    if unit.is_empty() {
        return Some(number);
    }
    let (_, size) = BYTE_UNITS.iter().find(|(name, _)| *name == unit)?;
    number.checked_mul(*size)
}

/// Reads a time with its unit; a bare number is none, for its unit would be a guess.
pub(crate) fn parse_time(text: &str) -> Option<Duration> {
    let (number, unit) = split_unit(text)?;
    let (_, millis) = TIME_UNITS.iter().find(|(name, _)| *name == unit)?;
    Some(Duration::from_millis(number.checked_mul(*millis)?))
}

fn split_unit(text: &str) -> Option<(u64, &str)> {
    let end = text.bytes().position(|byte| !byte.is_ascii_digit());
    let (number, unit) = text.split_at(end.unwrap_or(text.len()));
    Some((parse_count(number)?, unit.trim_start()))
}

fn print_bytes(bytes: u64) -> String {
    let whole = |size: u64| bytes > 0 && bytes.is_multiple_of(size);
    match BYTE_UNITS.iter().find(|(_, size)| whole(*size)) {
        Some((unit, size)) if *size > 1 => {
            let unit = unit.to_ascii_uppercase().replace('I', "i");
            format!("{}{unit}", bytes / size)
        }
        _ => bytes.to_string(),
    }
}

fn print_time(time: Duration) -> String {
    let millis = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    let whole = |size: u64| millis > 0 && millis.is_multiple_of(size);
    match TIME_UNITS.iter().rev().find(|(_, size)| whole(*size)) {
        Some((unit, size)) => format!("{}{unit}", millis / size),
        None => "0s".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_with_decimal_and_binary_units() {
        for (text, bytes) in [
            ("0", Some(0)),
            ("10485760", Some(10_485_760)),
            ("10MB", Some(10_000_000)),
            ("10 MiB", Some(10_485_760)),
            ("2gib", Some(1 << 31)),
            ("5kB", Some(5_000)),
            ("7B", Some(7)),
            ("", None),
            ("MB", None),
            ("-1", None),
            ("1.5MB", None),
            ("10 apples", None),
            ("99999999TB", None),
        ] {
            assert_eq!(parse_bytes(text), bytes, "{text}");
        }
    }

    #[test]
    fn times_need_a_unit() {
        for (text, millis) in [
            ("500ms", Some(500)),
            ("25s", Some(25_000)),
            ("30m", Some(1_800_000)),
            ("1h", Some(3_600_000)),
            ("2d", Some(172_800_000)),
            ("25", None),
            ("s", None),
            ("1w", None),
            ("", None),
        ] {
            let expected = millis.map(Duration::from_millis);
            assert_eq!(parse_time(text), expected, "{text}");
        }
    }

    #[test]
    fn sizes_and_times_print_as_they_are_written() {
        assert_eq!(print_bytes(10_485_760), "10MiB");
        assert_eq!(print_bytes(1_000_000), "1MB");
        assert_eq!(print_bytes(1_001), "1001");
        assert_eq!(print_time(Duration::from_mins(90)), "90m");
        assert_eq!(print_time(Duration::ZERO), "0s");
    }

    #[test]
    fn shared_backends_are_addresses() {
        let text = "postgres://u:p@db/x";
        let database = Database::read(text, Kind::Database).unwrap();
        assert_eq!(
            database,
            Database::Postgres(PostgresUrl::parse(text).unwrap())
        );
        assert!(!format!("{database:?}").contains(":p@"));
        let blobs = BlobStore::read("s3://bucket/a", Kind::Blobs).unwrap();
        let url = BucketUrl::parse("s3://bucket/a").unwrap();
        assert_eq!(blobs, BlobStore::Bucket(url));
        assert!(BlobStore::read("s3://", Kind::Blobs).is_err());
    }

    #[test]
    fn backends_are_paths_after_a_scheme() {
        for (text, path) in [
            ("sqlite:data/x.db", Some("data/x.db")),
            ("sqlite:/srv/x.db", Some("/srv/x.db")),
            ("sqlite:///srv/x.db", Some("/srv/x.db")),
            ("sqlite://srv/x.db", None),
            ("sqlite:", None),
            ("sqlite::memory:", None),
            ("/srv/x.db", None),
        ] {
            let read = Database::read(text, Kind::Database).ok();
            assert_eq!(read, path.map(|path| Database::Sqlite(path.into())));
        }
    }
}
