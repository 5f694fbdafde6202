//! Which server the remote commands speak to, and as whom.

use super::setting_flags::config;
use super::{Error, Variables};
use crate::client::Client;
use crate::config::{BaseUrl, Secret};

/// A server, a token and an account.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Server")]
pub(super) struct RemoteArguments {
    /// The server's address [variable: `CALOTYPE_URL`] [default: `listen` of the settings]
    #[arg(long, value_parser = base_url)]
    url: Option<BaseUrl>,
    /// An API token [variable: `CALOTYPE_TOKEN`, better than the flag, which other users can see]
    /// [default: `api_token` of the settings]
    #[arg(long, value_name = "TOKEN", value_parser = |text: &str| Ok::<_, String>(Secret::new(text)))]
    token: Option<Secret>,
    /// The account's id [variable: `CALOTYPE_ACCOUNT`] [default: the one which the token opens]
    #[arg(long, value_name = "ID")]
    account: Option<String>,
}

/// A server, and the account there.
pub(super) struct Remote {
    pub(super) client: Client,
    account: String,
}

impl RemoteArguments {
    /// Connects.
    pub(super) async fn connect(self, variables: &Variables) -> Result<Remote, Error> {
        let variable = |name: &str| variables.get(name).filter(|text| !text.is_empty());
        let url = match (self.url, variable("CALOTYPE_URL")) {
            (Some(url), _) => Some(url),
            (None, Some(text)) => Some(
                base_url(text).map_err(|error| Error::Usage(format!("CALOTYPE_URL: {error}")))?,
            ),
            (None, None) => None,
        };
        let token = self.token.or_else(|| {
            let token = variable("CALOTYPE_TOKEN");
            token.map(Secret::new)
        });
        let (url, token) = match (url, token) {
            (Some(url), Some(token)) => (url, token),
            (url, token) => {
                let config = config(variables)?;
                let token = token.or_else(|| config.api_token.clone()).ok_or_else(|| {
                    Error::Usage("give a token, with CALOTYPE_TOKEN or --token".to_owned())
                })?;
                (url.unwrap_or_else(|| config.local_url()), token)
            }
        };
        let client = Client::new(&url, Some(token))?;
        let account = match self
            .account
            .or_else(|| variable("CALOTYPE_ACCOUNT").cloned())
        {
            Some(account) => account,
            None => only_account(&client).await?,
        };
        Ok(Remote { client, account })
    }
}

impl Remote {
    /// The segments of a path below the account.
    pub(super) fn path<'a>(&'a self, rest: &[&'a str]) -> Vec<&'a str> {
        [&["accounts", self.account.as_str()], rest].concat()
    }
}

async fn only_account(client: &Client) -> Result<String, Error> {
    let mut accounts = client.accounts().await?;
    match (accounts.pop(), accounts.is_empty()) {
        (Some(account), true) => Ok(account.id),
        (Some(_), false) => Err(Error::Usage(
            "the token opens several accounts; name one with --account".to_owned(),
        )),
        (None, _) => Err(Error::Failed("the token opens no account".to_owned())),
    }
}

/// Reads the address of a server.
pub(super) fn base_url(text: &str) -> Result<BaseUrl, &'static str> {
    BaseUrl::parse(text).ok_or("an address is like http://127.0.0.1:8787")
}
