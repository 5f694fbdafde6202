use std::time::Duration;

use clap::ArgGroup;
use model::signed_url::{PREFIX, signed_path};
use model::{AccountHash, KeyName, SigningKey, Timestamp};
use serde_json::json;

use super::local::Local;
use super::output::Output;
use super::setting_flags::QuietFlags;
use super::{Error, Variables, block_on, key, token};

#[derive(clap::Args)]
#[command(group = ArgGroup::new("expiry").args(["expires_in", "expires_at"]))]
pub(super) struct Arguments {
    /// The delivery URL, or its path alone, percent-encoded as it will be requested
    url: String,
    /// The key of the account which the URL names
    #[arg(long, default_value = KeyName::DEFAULT, value_parser = key::key_name)]
    key: KeyName,
    /// The value of a key, instead of looking it up
    #[arg(long, value_name = "VALUE", conflicts_with = "key")]
    key_value: Option<String>,
    /// How long the URL works, like `1h` or `7d`; for ever without it
    #[arg(long, value_name = "TIME", value_parser = token::lifetime)]
    expires_in: Option<Duration>,
    /// The second since 1970 until which it works
    #[arg(long, value_name = "SECONDS")]
    expires_at: Option<u32>,
    #[command(flatten)]
    output: Output,
    #[command(flatten)]
    settings: QuietFlags,
}

impl Arguments {
    pub(super) fn run(self, variables: &Variables) -> Result<(), Error> {
        let (host, path) = split(&self.url)?;
        let key = match self.key_value {
            Some(value) => SigningKey {
                name: self.key,
                value,
            },
            None => block_on(stored_key(path, self.key, self.settings, variables))?,
        };
        let expires = match self.expires_in {
            Some(time) => Some(Timestamp::now().after(time).seconds()),
            None => self.expires_at.map(i64::from),
        };
        let url = format!("{host}{}", signed_path(&key, path, expires));
        self.output.item(&json!({"url": url}), &url)
    }
}

/// The scheme and host of an address, and its path.
pub(super) fn split(url: &str) -> Result<(&str, &str), Error> {
    let start = match url.find("://") {
        Some(scheme) => {
            let host = &url[scheme + 3..];
            let path = host.find('/').unwrap_or(host.len());
            scheme + 3 + path
        }
        None => 0,
    };
    let (host, path) = url.split_at(start);
    if !path.starts_with('/') {
        return Err(Error::Usage(format!("{url:?} has no path to sign")));
    }
    let plain = |byte: u8| byte.is_ascii_graphic() && byte != b'?' && byte != b'#';
    if !path.bytes().all(plain) {
        return Err(Error::Usage(format!(
            "{url:?} must be percent-encoded and without query or fragment"
        )));
    }
    Ok((host, path))
}

/// The host of an address, if it names one, and its path and query.
pub(super) fn target(url: &str) -> Result<(Option<&str>, &str), Error> {
    let (host, target) = match url.split_once("://") {
        // The path of a remote image may hold an address.
        Some((_, rest)) if !url.starts_with('/') => {
            let (host, target) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
            (Some(host), target)
        }
        _ => (None, url),
    };
    let plain = |byte: u8| byte.is_ascii_graphic() && byte != b'#';
    if !target.starts_with('/') || !url.bytes().all(plain) {
        return Err(Error::Usage(format!(
            "{url:?} must be an address with a path, percent-encoded and without fragment"
        )));
    }
    Ok((host, target))
}

/// The key of this name of the account which the path names.
async fn stored_key(
    path: &str,
    name: KeyName,
    settings: QuietFlags,
    variables: &Variables,
) -> Result<SigningKey, Error> {
    let keys = stored_keys(path, settings, variables).await?;
    let found = keys.into_iter().find(|key| key.name == name);
    found.ok_or_else(|| key::missing(&name))
}

/// All keys of the account which the path names.
pub(super) async fn stored_keys(
    path: &str,
    settings: QuietFlags,
    variables: &Variables,
) -> Result<Vec<SigningKey>, Error> {
    let bare = path.strip_prefix(PREFIX).unwrap_or(path);
    let hash = bare.split('/').nth(1).unwrap_or_default();
    let hash = AccountHash::try_from(hash)
        .map_err(|_| Error::Usage(format!("{path:?} does not start with an account hash")))?;
    let local = Local::open(settings, variables).await?;
    let account = local.account(Some(hash.as_str())).await?.id;
    Ok(local.catalog.signing_keys(&account).await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_keeps_its_query() {
        for (url, parts) in [
            (
                "http://a.test:8/h/i?x=1",
                Some((Some("a.test:8"), "/h/i?x=1")),
            ),
            (
                "/cdn-cgi/image/w=1/http://b.test/",
                Some((None, "/cdn-cgi/image/w=1/http://b.test/")),
            ),
            ("/h/i?x", Some((None, "/h/i?x"))),
            ("h/i", None),
            ("http://a.test", None),
            ("/h i", None),
        ] {
            assert_eq!(target(url).ok(), parts, "{url}");
        }
    }

    #[test]
    fn an_address_is_split_before_its_path() {
        for (url, parts) in [
            (
                "https://a.example/h/i/v",
                Some(("https://a.example", "/h/i/v")),
            ),
            ("/h/i%20j/v", Some(("", "/h/i%20j/v"))),
            ("https://a.example", None),
            ("h/i/v", None),
            ("/h/i/v?x=1", None),
            ("/h/i j/v", None),
            ("/h/é/v", None),
        ] {
            assert_eq!(split(url).ok(), parts, "{url}");
        }
    }
}
