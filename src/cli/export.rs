use std::time::Duration;

use model::{Creator, CreatorFilter, Filename, Image, MetadataFilter, Source, Timestamp, to_hex};
use serde::Serialize;
use serde_json::value::RawValue;
use store::Presigner;
use store::catalog::{ListQuery, Order, Position};

use super::local::Local;
use super::setting_flags::QuietFlags;
use super::{Error, Variables, block_on, output, stores};
use crate::config::{BlobStore, Config, parse_time};

/// Images which are read, and printed, at a time.
const PAGE: u32 = 500;

#[derive(clap::Args)]
pub(super) struct Arguments {
    /// The account's id or hash; not needed if there is only one
    #[arg(long)]
    account: Option<String>,
    /// Say at which address the bucket hands out the uploaded bytes to whoever has it, for so long:
    /// from `1s` to `7d`
    #[arg(long, value_name = "TIME", value_parser = presign_time)]
    presign: Option<Duration>,
    #[command(flatten)]
    settings: QuietFlags,
}

/// An image in one line. What it has in common with the API is called as it is there.
#[derive(Serialize)]
struct Line<'a> {
    id: &'a str,
    filename: Option<&'a str>,
    meta: Option<&'a RawValue>,
    creator: Option<&'a str>,
    uploaded: String,
    #[serde(rename = "requireSignedURLs")]
    require_signed_urls: bool,
    content_type: &'static str,
    width: u32,
    height: u32,
    size: u64,
    sha256: String,
    #[serde(flatten)]
    address: Option<Address>,
}

/// Where its bytes are, and until when.
#[derive(Serialize)]
struct Address {
    url: String,
    url_expires: String,
}

impl Arguments {
    pub(super) fn run(self, variables: &Variables) -> Result<(), Error> {
        block_on(async {
            let local = Local::open(self.settings, variables).await?;
            let account = local.account(self.account.as_deref()).await?.id;
            let addresses = match self.presign {
                Some(time) => Some(Addresses::open(&local.config, time).await?),
                None => None,
            };
            let mut query = ListQuery {
                order: Order::Ascending,
                after: None,
                limit: PAGE,
                creator: CreatorFilter::Any,
                filter: MetadataFilter::default(),
            };
            loop {
                let images = local.catalog.images_after(&account, &query).await?;
                let mut lines = String::new();
                for image in &images {
                    // A list has no drafts.
                    let Some(source) = &image.source else {
                        continue;
                    };
                    let address = match &addresses {
                        Some(addresses) => Some(addresses.of(source).await?),
                        None => None,
                    };
                    lines += &line(image, source, address)?;
                }
                output::bytes(lines.as_bytes())?;
                let Some(last) = images.last() else { break };
                query.after = Some(Position {
                    uploaded: last.uploaded,
                    id: last.id.clone(),
                });
            }
            Ok(local.catalog.close().await?)
        })
    }
}

fn line(image: &Image, source: &Source, address: Option<Address>) -> Result<String, Error> {
    let failed = |error| Error::Failed(format!("image {} is broken: {error}", image.id.as_str()));
    let meta = image.metadata.as_ref();
    let line = Line {
        id: image.id.as_str(),
        filename: image.filename.as_ref().map(Filename::as_str),
        meta: meta
            .map(|meta| serde_json::from_str(meta.as_json()))
            .transpose()
            .map_err(failed)?,
        creator: image.creator.as_ref().map(Creator::as_str),
        uploaded: image.uploaded.to_string(),
        require_signed_urls: image.require_signed_urls,
        content_type: source.format.as_str(),
        width: source.width,
        height: source.height,
        size: source.bytes,
        sha256: to_hex(&source.sha256),
        address,
    };
    Ok(serde_json::to_string(&line).map_err(failed)? + "\n")
}

/// Signs addresses which are good for so long.
struct Addresses {
    presigner: Presigner,
    time: Duration,
}

impl Addresses {
    /// Tries the key of the bucket first: with a wrong one, addresses would look as good.
    async fn open(config: &Config, time: Duration) -> Result<Self, Error> {
        let url = match &config.blobs {
            BlobStore::Bucket(url) => url,
            BlobStore::Folder(folder) => {
                return Err(Error::Usage(format!(
                    "--presign is for bytes in a bucket, and these are in the folder {}; \
                     `calotype images export` downloads them from a server",
                    folder.display()
                )));
            }
        };
        stores::blobs(config).await?;
        Ok(Self {
            presigner: Presigner::new(&config.bucket(url))?,
            time,
        })
    }

    async fn of(&self, source: &Source) -> Result<Address, Error> {
        // Before it is signed, and without a fraction: it is good until then, and not less.
        let signed = Timestamp::from_seconds(Timestamp::now().seconds());
        let time = Duration::from_secs(self.time.as_secs());
        Ok(Address {
            url: self.presigner.address(&source.blob, time).await?,
            url_expires: signed.after(time).to_string(),
        })
    }
}

fn presign_time(text: &str) -> Result<Duration, &'static str> {
    let allowed = Duration::from_secs(1)..=Presigner::TIME_MAX;
    parse_time(text)
        .filter(|time| allowed.contains(time))
        .ok_or("it must be a time with its unit, from `1s` to `7d`")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_good_for_a_second_to_a_week() {
        for text in ["1s", "90m", "168h", "7d"] {
            assert!(presign_time(text).is_ok(), "{text}");
        }
        for text in ["", "60", "0s", "999ms", "8d", "169h", "-1s"] {
            assert!(presign_time(text).is_err(), "{text}");
        }
    }
}
