use std::fs::{self, File};
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};

use serde_json::json;
use service::holdings::{ArchiveSource, Backup, Manifest, Restored};
use store::Vault;

use super::output::{Bar, Output};
use super::setting_flags::QuietFlags;
use super::{Error, Variables, block_on, keeping};
use crate::config::{Config, SecretKey};

#[derive(clap::Args)]
pub(super) struct Arguments {
    /// The folder or file of a backup, or `-` for a tar stream on the standard input
    source: PathBuf,
    /// Only read it and compare every checksum
    #[arg(long)]
    verify: bool,
    #[command(flatten)]
    output: Output,
    #[command(flatten)]
    settings: QuietFlags,
}

impl Arguments {
    pub(super) fn run(self, variables: &Variables) -> Result<(), Error> {
        let config = keeping::config(&self.settings, &[], variables)?;
        let restored = block_on(self.restore(&config))?;
        let Restored {
            accounts,
            images,
            drafts,
            bytes,
            left_out,
        } = restored;
        let json = json!({
            "accounts": accounts,
            "images": images,
            "drafts": drafts,
            "bytes": bytes,
            "left_out": left_out,
        });
        let done = if self.verify {
            "can be restored"
        } else {
            "were restored"
        };
        let mut text = format!("{images} images ({bytes} bytes) and {accounts} accounts {done}");
        if left_out > 0 {
            text = format!("{text}; the backup was made without {left_out} broken images");
        }
        self.output.item(&json, text)
    }

    async fn restore(&self, config: &Config) -> Result<Restored, Error> {
        let given = keeping::key(config)?;
        let mut backup = Backup::open(self.open()?).await?;
        let own = key_of(&backup.manifest);
        let (Some(sealed_with), Some(key)) = (own.or(given), given.or(own)) else {
            return Err(Error::Failed(
                "the backup was made without the secret key: give it as CALOTYPE_SECRET_KEY"
                    .to_owned(),
            ));
        };
        let vault = Vault::from_key(sealed_with);
        let bar = Bar::new();
        if self.verify || self.source != Path::new("-") {
            // All of it, before anything is written.
            let verified = backup.verify(&vault, &bar).await?;
            if self.verify {
                bar.end();
                return Ok(verified);
            }
            backup = Backup::open(self.open()?).await?;
        }
        let target = keeping::open_new(config, key).await?;
        let origin = format!(
            "a backup, with its bytes in {}",
            keeping::blobs_name(config)
        );
        let filling = target.holdings.begin_filling(&origin).await?;
        let written = target.keep_key()?;
        let restored = target
            .holdings
            .restore(backup, &vault, &filling, &bar)
            .await;
        if let (Err(_), Some(path)) = (&restored, written) {
            // Another backup may have another key. Where it cannot be removed, that one is refused.
            let _ = fs::remove_file(path);
        }
        let restored = restored?;
        bar.end();
        target.holdings.catalog.close().await?;
        Ok(restored)
    }

    fn open(&self) -> Result<ArchiveSource, Error> {
        let path = &self.source;
        if path == Path::new("-") {
            return Ok(ArchiveSource::Stream(Box::new(io::stdin())));
        }
        if path.is_dir() {
            return Ok(ArchiveSource::Folder(path.clone()));
        }
        let file = File::open(path)
            .map_err(|error| Error::Io(format!("{} cannot be read", path.display()), error))?;
        Ok(ArchiveSource::Stream(Box::new(BufReader::new(file))))
    }
}

fn key_of(manifest: &Manifest) -> Option<[u8; 32]> {
    let text = manifest.secret_key.as_deref()?;
    SecretKey::parse(text).map(|key| key.expose())
}
