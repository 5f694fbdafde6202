use super::output::line;
use super::setting_flags::QuietFlags;
use super::{Error, Variables, block_on};
use crate::client::Client;
use crate::config::BaseUrl;

#[derive(clap::Args)]
pub(super) struct Arguments {
    /// The server's address; without it, `listen` of the settings
    #[arg(long, value_parser = super::remote::base_url)]
    url: Option<BaseUrl>,
    #[command(flatten)]
    settings: QuietFlags,
}

impl Arguments {
    pub(super) fn run(self, variables: &Variables) -> Result<(), Error> {
        let url = match self.url {
            Some(url) => url,
            None => self.settings.config(variables)?.local_url(),
        };
        block_on(async {
            Client::new(&url, None)?.ready().await?;
            line("ready")
        })
    }
}
