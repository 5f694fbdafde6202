use clap::Subcommand;
use model::{Account, AccountHash, AccountId};
use serde_json::{Value, json};
use service::accounts::{NewAccount, create_account};

use super::local::Local;
use super::output::Output;
use super::setting_flags::QuietFlags;
use super::{Error, Variables, block_on};

#[derive(Subcommand)]
pub(super) enum Command {
    /// Create an account with the variant `public` and the signing key `default`.
    Create {
        /// What you call it
        #[arg(long, default_value = "default")]
        name: String,
        /// Its id, 32 lower-case hexadecimal characters; minted without it
        #[arg(long, value_parser = |text: &str| AccountId::try_from(text))]
        id: Option<AccountId>,
        /// Its hash, 22 base64url characters; minted without it
        #[arg(long, value_parser = |text: &str| AccountHash::try_from(text))]
        hash: Option<AccountHash>,
        #[command(flatten)]
        output: Output,
        #[command(flatten)]
        settings: QuietFlags,
    },
    /// List all accounts.
    List {
        #[command(flatten)]
        output: Output,
        #[command(flatten)]
        settings: QuietFlags,
    },
    /// Show one account.
    Show {
        /// Its id or hash; not needed if there is only one
        account: Option<String>,
        #[command(flatten)]
        output: Output,
        #[command(flatten)]
        settings: QuietFlags,
    },
    /// Delete an account with all its images, for ever.
    Delete {
        /// Its id or hash
        account: String,
        /// Really delete it
        #[arg(long, required = true)]
        yes: bool,
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
                    id,
                    hash,
                    output,
                    settings,
                } => {
                    let local = Local::open_or_create(settings.config(variables)?).await?;
                    let new = NewAccount { id, hash, name };
                    let account = create_account(local.catalog.as_ref(), new).await?;
                    output.item(&to_json(&account), to_text(&account))
                }
                Self::List { output, settings } => {
                    let local = Local::open(settings, variables).await?;
                    for account in local.catalog.accounts().await? {
                        let text = format!("{}  {}  {}", account.id, account.hash, account.name);
                        output.item(&to_json(&account), text)?;
                    }
                    Ok(())
                }
                Self::Show {
                    account,
                    output,
                    settings,
                } => {
                    let local = Local::open(settings, variables).await?;
                    let account = local.account(account.as_deref()).await?;
                    output.item(&to_json(&account), to_text(&account))
                }
                Self::Delete {
                    account,
                    yes: _,
                    settings,
                } => {
                    let local = Local::open(settings, variables).await?;
                    let account = local.account(Some(&account)).await?;
                    Ok(local.catalog.delete_account(&account.id).await?)
                }
            }
        })
    }
}

fn to_json(account: &Account) -> Value {
    json!({
        "id": account.id.as_str(),
        "hash": account.hash.as_str(),
        "name": account.name,
        "created": account.created.to_string(),
        "flexible_variants": account.config.flexible_variants,
        "browser_ttl": account.config.browser_ttl,
    })
}

fn to_text(account: &Account) -> String {
    let switch = if account.config.flexible_variants {
        "on"
    } else {
        "off"
    };
    format!(
        "id                 {}\nhash               {}\nname               {}\ncreated            {}\n\
         flexible variants  {switch}\nbrowser TTL        {} s",
        account.id, account.hash, account.name, account.created, account.config.browser_ttl,
    )
}
