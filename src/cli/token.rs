use std::time::Duration;

use clap::Subcommand;
use model::{ApiToken, Permission, Timestamp, TokenId, TokenState};
use serde_json::{Value, json};
use service::accounts::{NewToken, create_token};

use super::local::Local;
use super::output::Output;
use super::setting_flags::QuietFlags;
use super::{Error, Variables, block_on};
use crate::config::parse_time;

#[derive(Subcommand)]
pub(super) enum Command {
    /// Create a token and print it, once.
    Create {
        /// What you call it
        #[arg(long, default_value = "")]
        name: String,
        /// What it allows: `read` or `write`
        #[arg(long, default_value = "write", value_parser = permission)]
        permission: Permission,
        /// How long it works, like `12h` or `90d`; for ever without it
        #[arg(long, value_parser = lifetime)]
        expires_in: Option<Duration>,
        /// The account's id or hash; not needed if there is only one
        #[arg(long)]
        account: Option<String>,
        #[command(flatten)]
        output: Output,
        #[command(flatten)]
        settings: QuietFlags,
    },
    /// List the tokens of an account, without the tokens themselves.
    List {
        /// The account's id or hash; not needed if there is only one
        #[arg(long)]
        account: Option<String>,
        #[command(flatten)]
        output: Output,
        #[command(flatten)]
        settings: QuietFlags,
    },
    /// Revoke a token: it opens nothing from now on.
    Revoke {
        /// The id of the token, as `list` shows it
        id: String,
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
                    permission,
                    expires_in,
                    account,
                    output,
                    settings,
                } => {
                    let local = Local::open(settings, variables).await?;
                    let account = local.account(account.as_deref()).await?;
                    let new = NewToken {
                        name,
                        permission,
                        secret: None,
                        expires: expires_in.map(|time| local.catalog.now().after(time)),
                    };
                    let (token, secret) =
                        create_token(local.catalog.as_ref(), &account.id, new).await?;
                    let mut json = to_json(&token);
                    json["token"] = secret.as_str().into();
                    output.item(&json, secret)
                }
                Self::List {
                    account,
                    output,
                    settings,
                } => {
                    let local = Local::open(settings, variables).await?;
                    let account = local.account(account.as_deref()).await?;
                    for token in local.catalog.tokens(&account.id).await? {
                        output.item(&to_json(&token), to_text(&token, local.catalog.now()))?;
                    }
                    Ok(())
                }
                Self::Revoke {
                    id,
                    account,
                    settings,
                } => {
                    let local = Local::open(settings, variables).await?;
                    let account = local.account(account.as_deref()).await?;
                    let missing = format!("there is no token {id}");
                    let id = TokenId::from(id);
                    let deleted = local.catalog.delete_token(&account.id, &id);
                    deleted.await.map_err(|error| match error {
                        store::Error::NotFound => Error::Failed(missing),
                        other => other.into(),
                    })
                }
            }
        })
    }
}

fn permission(word: &str) -> Result<Permission, &'static str> {
    Permission::parse(word).ok_or("a permission is `read` or `write`")
}

/// Reads a time with its unit.
pub(super) fn lifetime(text: &str) -> Result<Duration, &'static str> {
    parse_time(text).ok_or("a time is like `500ms`, `25s`, `30m`, `1h` or `2d`")
}

fn to_json(token: &ApiToken) -> Value {
    json!({
        "id": token.id.as_str(),
        "name": token.name,
        "permission": token.permission.as_str(),
        "created": token.created.to_string(),
        "expires": token.expires.map(|expires| expires.to_string()),
    })
}

fn to_text(token: &ApiToken, now: Timestamp) -> String {
    let expires = match (token.state(now), token.expires) {
        (TokenState::Expired, _) => "expired".to_owned(),
        (TokenState::Active, Some(expires)) => format!("until {expires}"),
        (TokenState::Active, None) => "for ever".to_owned(),
    };
    let permission = token.permission.as_str();
    format!("{}  {permission:5}  {expires}  {}", token.id, token.name)
}
