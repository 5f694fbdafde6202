//! Where a PostgreSQL database is.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use percent_encoding::percent_decode_str;
use tokio_postgres::Config;
use tokio_postgres::config::SslMode;

/// The address of a PostgreSQL database, as libpq writes it: `postgres://user@host/database`. It
/// does not show its password.
#[derive(Clone, PartialEq, Eq)]
pub struct PostgresUrl {
    pub(super) config: Box<Config>,
    pub(super) trust: Trust,
    /// The certificates which are trusted instead of those of the system.
    pub(super) roots: Option<PathBuf>,
    shown: String,
}

/// What must be right about the server's certificate, where there is TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trust {
    /// Nothing: whoever listens can not read, but whoever answers is believed.
    Anybody,
    /// Its issuer.
    Issuer,
    /// Its issuer and its name.
    IssuerAndName,
}

impl PostgresUrl {
    /// Reads an address. The error says what is wrong with it, without showing it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (base, parameters) = text.split_once('?').unwrap_or((text, ""));
        if !base.starts_with("postgres://") && !base.starts_with("postgresql://") {
            return Err("does not begin with `postgres://`".to_owned());
        }
        let mut mode = None;
        let mut roots = None;
        let mut roots_of_system = false;
        let mut rest = Vec::new();
        for parameter in parameters.split('&').filter(|text| !text.is_empty()) {
            let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            let value = percent_decode_str(value).decode_utf8_lossy().into_owned();
            match name {
                "sslmode" => mode = Some(value),
                "sslrootcert" => {
                    roots_of_system = value == "system";
                    roots = (!roots_of_system).then(|| PathBuf::from(value));
                }
                _ => rest.push(parameter),
            }
        }
        let mut config = Config::from_str(&format!("{base}?{}", rest.join("&")))
            .map_err(|error| reason(&error))?;
        if config.get_hosts().is_empty() {
            return Err("names no host".to_owned());
        }
        // As libpq: anybody can have a certificate of an authority which the system trusts.
        let default = if roots_of_system {
            "verify-full"
        } else {
            "prefer"
        };
        let mode = mode.as_deref().unwrap_or(default);
        if roots_of_system && mode != "verify-full" {
            return Err(format!(
                "has sslrootcert=system, which needs sslmode=verify-full, not {mode:?}"
            ));
        }
        // As libpq: a given root certificate is looked at with `require`, too.
        let (ssl_mode, trust) = match mode {
            "disable" => (SslMode::Disable, Trust::Anybody),
            "prefer" => (SslMode::Prefer, Trust::Anybody),
            "require" if roots.is_none() => (SslMode::Require, Trust::Anybody),
            "require" | "verify-ca" => (SslMode::Require, Trust::Issuer),
            "verify-full" => (SslMode::Require, Trust::IssuerAndName),
            other => return Err(format!("has an unknown sslmode {other:?}")),
        };
        config.ssl_mode(ssl_mode);
        if config.get_application_name().is_none() {
            config.application_name("calotype");
        }
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(super::pool::CONNECT_MAX);
        }
        Ok(Self {
            config: Box::new(config),
            trust,
            roots,
            shown: without_password(text),
        })
    }
}

/// The sentence of the cause, where there is one.
fn reason(error: &tokio_postgres::Error) -> String {
    let cause = std::error::Error::source(error).map(ToString::to_string);
    format!(
        "is not understood: {}",
        cause.unwrap_or_else(|| error.to_string())
    )
}

/// The address with stars for a password.
fn without_password(text: &str) -> String {
    let start = text.find("://").map_or(0, |at| at + 3);
    let end = text[start..]
        .find(['/', '?'])
        .map_or(text.len(), |length| start + length);
    let user = text[start..end]
        .rfind('@')
        .map(|at| &text[start..start + at]);
    let mut shown = match user.and_then(|user| Some((user, user.split_once(':')?.0))) {
        Some((user, name)) => format!(
            "{}{name}:***{}",
            &text[..start],
            &text[start + user.len()..]
        ),
        None => text.to_owned(),
    };
    if let Some(at) = shown.find("password=") {
        let value = at + "password=".len();
        let end = shown[value..]
            .find('&')
            .map_or(shown.len(), |end| value + end);
        shown.replace_range(value..end, "***");
    }
    shown
}

impl fmt::Display for PostgresUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

impl fmt::Debug for PostgresUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PostgresUrl({})", self.shown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_shown_without_their_password() {
        for (text, shown) in [
            ("postgres://db/x", "postgres://db/x"),
            ("postgres://u@db:5433/x", "postgres://u@db:5433/x"),
            ("postgresql://u:p@ss@db/x", "postgresql://u:***@db/x"),
            (
                "postgres://u:p%2Fq@db/x?sslmode=require",
                "postgres://u:***@db/x?sslmode=require",
            ),
            (
                "postgres://db/x?user=u&password=p&application_name=y",
                "postgres://db/x?user=u&password=***&application_name=y",
            ),
        ] {
            let url = PostgresUrl::parse(text);
            let url = url.unwrap_or_else(|error| panic!("{text} {error}"));
            assert_eq!(url.to_string(), shown);
            assert!(!format!("{url:?}").contains("p%2F"));
        }
    }

    #[test]
    fn the_certificate_is_looked_at_as_sslmode_says() {
        for (parameters, mode, trust) in [
            ("", SslMode::Prefer, Trust::Anybody),
            ("?sslmode=disable", SslMode::Disable, Trust::Anybody),
            ("?sslmode=require", SslMode::Require, Trust::Anybody),
            (
                "?sslmode=require&sslrootcert=/ca.pem",
                SslMode::Require,
                Trust::Issuer,
            ),
            ("?sslmode=verify-ca", SslMode::Require, Trust::Issuer),
            (
                "?sslmode=verify-full",
                SslMode::Require,
                Trust::IssuerAndName,
            ),
            (
                "?sslrootcert=system",
                SslMode::Require,
                Trust::IssuerAndName,
            ),
        ] {
            let url = PostgresUrl::parse(&format!("postgres://db/x{parameters}")).unwrap();
            assert_eq!(
                (url.config.get_ssl_mode(), url.trust),
                (mode, trust),
                "{parameters}"
            );
        }
    }

    #[test]
    fn a_wrong_address_says_why() {
        for (text, part) in [
            ("mysql://db/x", "postgres://"),
            ("postgres://", "no host"),
            ("postgres://db:port/x", "not understood"),
            ("postgres://db/x?sslmode=maybe", "unknown sslmode"),
            (
                "postgres://db/x?sslmode=require&sslrootcert=system",
                "needs sslmode=verify-full",
            ),
            ("postgres://db/x?colour=blue", "not understood"),
        ] {
            let error = PostgresUrl::parse(text).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
