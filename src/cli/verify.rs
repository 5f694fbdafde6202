use model::signed_url::{PREFIX, sign, verify};
use model::{KeyName, SigningKey, Timestamp};
use serde_json::json;

use super::output::{Output, note};
use super::setting_flags::QuietFlags;
use super::sign::{split, stored_keys};
use super::{Error, Variables, block_on};

#[derive(clap::Args)]
pub(super) struct Arguments {
    /// The signed delivery URL as it is requested, or its path and query alone
    url: String,
    /// The value of a key, instead of all keys of the account which the URL names
    #[arg(long, value_name = "VALUE")]
    key_value: Option<String>,
    /// Say on standard error what each key signs, and whether it made this signature
    #[arg(long)]
    explain: bool,
    #[command(flatten)]
    output: Output,
    #[command(flatten)]
    settings: QuietFlags,
}

impl Arguments {
    pub(super) fn run(self, variables: &Variables) -> Result<(), Error> {
        let (address, query) = match self.url.split_once('?') {
            Some((address, query)) => (address, Some(query)),
            None => (self.url.as_str(), None),
        };
        let (_, path) = split(address)?;
        let keys = match self.key_value {
            Some(value) => vec![SigningKey {
                name: KeyName::default_name(),
                value,
            }],
            None => block_on(stored_keys(path, self.settings, variables))?,
        };
        let now = Timestamp::now();
        if self.explain {
            explain(&keys, path, query, now);
        }
        let expires = verify(&keys, path, query, now)
            .map_err(|refusal| Error::Failed(refusal.to_string()))?;
        let opens = |key: &&SigningKey| verify(std::slice::from_ref(key), path, query, now).is_ok();
        let key = keys.iter().find(opens).map(|key| key.name.as_str());
        let json = json!({"valid": true, "key": key, "expires": expires});
        let text = match expires {
            Some(expires) => format!("valid for {} seconds more", expires - now.seconds()),
            None => "valid for ever".to_owned(),
        };
        self.output.item(&json, text)
    }
}

/// What is signed, and by which key. A mismatch is mostly one of path, expiry or key, and each
/// shows here.
fn explain(keys: &[SigningKey], path: &str, query: Option<&str>, now: Timestamp) {
    let pairs = query.unwrap_or_default().split('&');
    let value = |name: &str| {
        let mut pairs = pairs.clone().filter_map(|pair| pair.split_once('='));
        pairs.find_map(|(found, value)| (found == name).then_some(value))
    };
    let expires = value("exp");
    note(format_args!("path       {path}"));
    note(format_args!("exp        {}", expires.unwrap_or("none")));
    note(format_args!("now        {}", now.seconds()));
    note(format_args!(
        "signature  {}",
        value("sig").unwrap_or("none")
    ));
    let expires = expires.and_then(|text| text.parse().ok());
    let bare = path.strip_prefix(PREFIX).unwrap_or(path);
    for path in [bare.to_owned(), format!("{PREFIX}{bare}")] {
        let text = match expires {
            Some(expires) => format!("{path}?exp={expires}"),
            None => path.clone(),
        };
        note(format_args!("signing    {text}"));
        for key in keys {
            let signature = sign(key, &path, expires);
            note(format_args!("  by {}  {signature}", key.name.as_str()));
        }
    }
    for key in keys {
        let verdict = match verify(std::slice::from_ref(key), path, query, now) {
            Ok(_) => "opens it".to_owned(),
            Err(refusal) => refusal.to_string(),
        };
        note(format_args!("key {}: {verdict}", key.name.as_str()));
    }
    if keys.is_empty() {
        note("the account has no keys");
    }
}
