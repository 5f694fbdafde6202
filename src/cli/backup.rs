use std::io::{self, IsTerminal as _};
use std::path::{Path, PathBuf};

use serde_json::json;
use service::holdings::{ArchiveSink, BackupOptions};
use store::Vault;

use super::output::{Bar, note};
use super::setting_flags::QuietFlags;
use super::{Error, Variables, block_on, interrupted, keeping};

#[derive(clap::Args)]
pub(super) struct Arguments {
    /// A new folder; a new file if it ends in `.tar`; or `-` for a tar stream on the standard output
    target: PathBuf,
    /// Leave the secret key of the servers out; restoring then needs it as a setting
    #[arg(long)]
    without_key: bool,
    /// Leave out images whose bytes are missing or damaged, instead of failing
    #[arg(long)]
    leave_out_broken: bool,
    /// Print the result as JSON, on the standard error for a stream
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    settings: QuietFlags,
}

impl Arguments {
    pub(super) fn run(self, variables: &Variables) -> Result<(), Error> {
        let is_stream = self.target == Path::new("-");
        if is_stream && io::stdout().is_terminal() {
            return Err(Error::Usage(
                "a backup is not for a terminal: name a file or a folder".to_owned(),
            ));
        }
        let sink = if is_stream {
            ArchiveSink::Stream(Box::new(io::stdout()))
        } else if is_tar(&self.target) {
            ArchiveSink::File(self.target.clone())
        } else {
            ArchiveSink::Folder(self.target.clone())
        };
        let made = block_on(async {
            let config = keeping::config(&self.settings, &[], variables)?;
            let (holdings, key) = keeping::open_beside(&config).await?;
            let options = BackupOptions {
                vault: Vault::from_key(key),
                secret_key: (!self.without_key).then_some(key),
                leave_out_broken: self.leave_out_broken,
                program: env!("CARGO_PKG_VERSION"),
            };
            let bar = Bar::new();
            let made = holdings.back_up(sink, &options, &bar, interrupted());
            let made = made.await?;
            bar.end();
            holdings.catalog.close().await?;
            Ok(made)
        })?;
        let text = if self.json {
            json!({
                "accounts": made.accounts,
                "images": made.images,
                "drafts": made.drafts,
                "bytes": made.bytes,
                "left_out": made.left_out,
            })
            .to_string()
        } else {
            format!(
                "{} images ({} bytes) and {} accounts are kept; {} broken images were left out",
                made.images, made.bytes, made.accounts, made.left_out
            )
        };
        if is_stream {
            note(text);
            Ok(())
        } else {
            super::output::line(text)
        }
    }
}

/// Whether a backup of this name is one file.
pub(super) fn is_tar(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "tar")
}
