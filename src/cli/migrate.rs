use serde_json::json;

use super::output::{Bar, Output, note};
use super::setting_flags::QuietFlags;
use super::{Error, Variables, block_on, interrupted, keeping};
use crate::config::{Config, Database};

#[derive(clap::Args)]
pub(super) struct Arguments {
    /// The database and the blobs to copy; without it, those of the settings
    #[arg(long, num_args = 2, value_names = ["DATABASE", "BLOBS"], required_unless_present = "to")]
    from: Vec<String>,
    /// The empty database and place of blobs to copy to; without it, those of the settings
    #[arg(long, num_args = 2, value_names = ["DATABASE", "BLOBS"])]
    to: Vec<String>,
    /// Leave the source open to writes, which may then be missing in the copy
    #[arg(long, conflicts_with = "reopen")]
    leave_open: bool,
    /// Copy nothing, and open the source to writes again
    #[arg(long, conflicts_with = "to", requires = "from")]
    reopen: bool,
    #[command(flatten)]
    output: Output,
    #[command(flatten)]
    settings: QuietFlags,
}

impl Arguments {
    pub(super) fn run(self, variables: &Variables) -> Result<(), Error> {
        let from = keeping::config(&self.settings, &self.from, variables)?;
        if self.reopen {
            return block_on(async {
                let (source, _) = keeping::open_beside(&from).await?;
                Ok(source.catalog.set_closed(false).await?)
            });
        }
        let to = keeping::config(&self.settings, &self.to, variables)?;
        if from.database == to.database || from.blobs == to.blobs {
            return Err(Error::Usage(
                "source and target must be two databases and two places of blobs".to_owned(),
            ));
        }
        block_on(self.copy(&from, &to))
    }

    async fn copy(&self, from: &Config, to: &Config) -> Result<(), Error> {
        let (source, key) = keeping::open_beside(from).await?;
        let target = keeping::open_new(to, key).await?;
        let origin = format!(
            "{}, with its bytes in {}",
            name_of(from),
            keeping::blobs_name(to)
        );
        let filling = target.holdings.begin_filling(&origin).await?;
        target.keep_key()?;
        let close = !self.leave_open;
        let bar = Bar::new();
        let moving = source.move_to(&target.holdings, &filling, close, &bar, interrupted());
        let moved = moving.await;
        if moved.is_err() && source.catalog.is_closed().await.unwrap_or(close) {
            note("The source is closed to writes; --reopen opens it.");
        }
        let copied = moved?;
        bar.end();
        target.holdings.catalog.close().await?;
        source.catalog.close().await?;
        let json = json!({
            "accounts": copied.accounts,
            "images": copied.images,
            "bytes": copied.bytes,
            "passes": copied.passes,
        });
        let text = format!(
            "{} images and {} accounts are in the target, compared record by record and checksum \
             by checksum",
            copied.images, copied.accounts,
        );
        self.output.item(&json, text)?;
        if close {
            note(
                "The source still serves, and takes no changes any more. Send traffic to the \
                 target, then stop the source; or open it again with --reopen.",
            );
        }
        if let (Database::Postgres(_), None) = (&to.database, &to.secret_key) {
            note(
                "Every node of the target needs the secret key of the source: see `secret_key` \
                 and `secret_key_file`.",
            );
        }
        Ok(())
    }
}

/// Both places, without secrets.
fn name_of(config: &Config) -> String {
    let database = match &config.database {
        Database::Sqlite(path) => format!("sqlite:{}", keeping::absolute(path)),
        Database::Postgres(url) => url.to_string(),
    };
    format!("{database} and {}", keeping::blobs_name(config))
}
