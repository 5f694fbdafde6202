use clap::Subcommand;
use model::{KeyName, SigningKey};
use serde_json::{Value, json};

use super::local::Local;
use super::output::Output;
use super::setting_flags::QuietFlags;
use super::{Error, Variables, block_on};

#[derive(Subcommand)]
pub(super) enum Command {
    /// Create a key and print its value.
    Create {
        /// Its name: 1 to 64 of `A-Z a-z 0-9 . _ -`
        #[arg(value_parser = key_name)]
        name: KeyName,
        /// Give an existing key a new value; every URL signed with the old one dies
        #[arg(long)]
        rotate: bool,
        /// The account's id or hash; not needed if there is only one
        #[arg(long)]
        account: Option<String>,
        #[command(flatten)]
        output: Output,
        #[command(flatten)]
        settings: QuietFlags,
    },
    /// List the keys of an account.
    List {
        /// Print their values too
        #[arg(long)]
        values: bool,
        /// The account's id or hash; not needed if there is only one
        #[arg(long)]
        account: Option<String>,
        #[command(flatten)]
        output: Output,
        #[command(flatten)]
        settings: QuietFlags,
    },
    /// Delete a key; every URL signed with it dies. A new `default` takes the place of the last one.
    Delete {
        /// Its name
        #[arg(value_parser = key_name)]
        name: KeyName,
        /// The account's id or hash; not needed if there is only one
        #[arg(long)]
        account: Option<String>,
        #[command(flatten)]
        settings: QuietFlags,
    },
}

impl Command {
    pub(super) fn run(self, variables: &Variables) -> Result<(), Error> {
        block_on(async {
            match self {
                Self::Create {
                    name,
                    rotate,
                    account,
                    output,
                    settings,
                } => {
                    let local = Local::open(settings, variables).await?;
                    let account = local.account(account.as_deref()).await?.id;
                    let keys = local.catalog.signing_keys(&account).await?;
                    let exists = keys.iter().any(|key| key.name == name);
                    let word = name.as_str();
                    match (exists, rotate) {
                        (true, false) => {
                            return Err(Error::Failed(format!(
                                "there is a key {word}; --rotate gives it a new value"
                            )));
                        }
                        (false, true) => return Err(missing(&name)),
                        _ => {}
                    }
                    let key = SigningKey::generate(name);
                    let keys_max = local.config.limits.signing_keys_max;
                    let put = local.catalog.put_signing_key(&account, &key, keys_max);
                    put.await.map_err(|error| match error {
                        store::Error::Full => Error::Failed(format!(
                            "the account has its {keys_max} keys (signing_keys_max); delete one first"
                        )),
                        other => other.into(),
                    })?;
                    output.item(&to_json(&key, true), &key.value)
                }
                Self::List {
                    values,
                    account,
                    output,
                    settings,
                } => {
                    let local = Local::open(settings, variables).await?;
                    let account = local.account(account.as_deref()).await?.id;
                    for key in local.catalog.signing_keys(&account).await? {
                        let text = if values {
                            format!("{}  {}", key.name.as_str(), key.value)
                        } else {
                            key.name.as_str().to_owned()
                        };
                        output.item(&to_json(&key, values), text)?;
                    }
                    Ok(())
                }
                Self::Delete {
                    name,
                    account,
                    settings,
                } => {
                    let local = Local::open(settings, variables).await?;
                    let account = local.account(account.as_deref()).await?.id;
                    let successor = SigningKey::generate(KeyName::default_name());
                    let deleted = local
                        .catalog
                        .delete_signing_key(&account, &name, &successor);
                    deleted.await.map_err(|error| match error {
                        store::Error::NotFound => missing(&name),
                        other => other.into(),
                    })?;
                    Ok(())
                }
            }
        })
    }
}

/// Reads the name of a key.
pub(super) fn key_name(text: &str) -> Result<KeyName, &'static str> {
    KeyName::parse(text).ok_or("a key name is 1 to 64 of A-Z a-z 0-9 . _ -")
}

/// There is no key of this name.
pub(super) fn missing(name: &KeyName) -> Error {
    Error::Failed(format!("there is no key {}", name.as_str()))
}

fn to_json(key: &SigningKey, with_value: bool) -> Value {
    if with_value {
        json!({"name": key.name.as_str(), "value": key.value})
    } else {
        json!({"name": key.name.as_str()})
    }
}
