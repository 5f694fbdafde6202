//! A copy of everything as it was at one moment, made while servers go on.
//!
//! The records are read in one transaction into a file without a name, which takes seconds; then
//! their blobs are copied, which may take hours. Meanwhile the catalog is told to hand out no blob
//! for removal. A backup is the manifest, and then, again and again, some records and their blobs.

use std::io::{BufRead as _, BufReader, BufWriter, Seek as _, Write as _};
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use futures_util::{StreamExt as _, TryStreamExt as _};
use model::{BlobKey, Timestamp};
use ring::digest::{Context, SHA256};
use store::Vault;
use store::catalog::{Reading, Record};

use super::archive::{self, ArchiveSink, BLOBS, MANIFEST, RECORDS, Writing};
use super::restore::Manifest;
use super::{BLOBS_AT_ONCE, Error, Holdings, Watch, are_those, record_text};

/// How a backup is made.
#[derive(Clone)]
pub struct BackupOptions {
    /// Seals the signing keys in the backup.
    pub vault: Vault,
    /// The key of that vault, to be kept in the backup.
    pub secret_key: Option<[u8; 32]>,
    /// Whether images whose bytes are missing or damaged are left out; else they are an error.
    pub leave_out_broken: bool,
    /// The version of the program, for those who look into the backup.
    pub program: &'static str,
}

/// What a backup holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BackedUp {
    /// Accounts.
    pub accounts: u64,
    /// Images, without drafts and those which were left out.
    pub images: u64,
    /// Drafts.
    pub drafts: u64,
    /// Bytes of all images.
    pub bytes: u64,
    /// Images which were left out.
    pub left_out: u64,
}

/// Records of one piece of a backup.
pub(super) const PIECE: usize = 500;

/// How long blobs are held after the last word from here, and how often there is one.
const HOLD: Duration = Duration::from_hours(1);
const HOLD_AGAIN: Duration = Duration::from_mins(5);

pub(super) fn records_name(piece: u64) -> String {
    format!("{RECORDS}/{piece:08}.jsonl")
}

pub(super) fn blob_name(key: &BlobKey) -> String {
    let key = key.to_string();
    format!("{BLOBS}/{}/{}/{key}", &key[..2], &key[2..4])
}

impl Holdings {
    /// Writes a backup, until `stop` comes true. If it fails, nothing is left of it, but for what a
    /// stream has swallowed.
    pub async fn back_up(
        &self,
        sink: ArchiveSink,
        options: &BackupOptions,
        watch: &dyn Watch,
        stop: impl Future<Output = ()>,
    ) -> Result<BackedUp, Error> {
        let holder = model::random_bytes();
        self.catalog.hold_blobs(holder, HOLD).await?;
        let catalog = self.catalog.clone();
        let holding = tokio::spawn(async move {
            let mut ticks = tokio::time::interval(HOLD_AGAIN);
            loop {
                ticks.tick().await;
                if let Err(error) = catalog.hold_blobs(holder, HOLD).await {
                    tracing::warn!(%error, "blobs cannot be held for the backup");
                }
            }
        });
        let made = tokio::select! {
            made = self.write_backup(sink, options, watch) => made,
            () = stop => Err(Error::Refused("interrupted".to_owned())),
        };
        holding.abort();
        let _ = holding.await;
        if let Err(error) = self.catalog.hold_blobs(holder, Duration::ZERO).await {
            tracing::warn!(%error, "blobs stay held for an hour");
        }
        made
    }

    async fn write_backup(
        &self,
        sink: ArchiveSink,
        options: &BackupOptions,
        watch: &dyn Watch,
    ) -> Result<BackedUp, Error> {
        let (spool, manifest) = self.spool(options, watch).await?;
        let writing = Writing::start(sink);
        let written = self
            .write_pieces(&writing, spool, &manifest, options, watch)
            .await;
        match written {
            Ok(Some(backed_up)) => {
                writing.finish().await.map_err(cannot_write)?;
                Ok(backed_up)
            }
            Ok(None) => {
                writing.end().await.map_err(cannot_write)?;
                Err(cannot_write(std::io::ErrorKind::BrokenPipe.into()))
            }
            Err(error) => {
                // The first error is the one which tells something.
                let _ = writing.end().await;
                Err(error)
            }
        }
    }

    /// All records of one moment, as lines in a file which nobody else sees.
    async fn spool(
        &self,
        options: &BackupOptions,
        watch: &dyn Watch,
    ) -> Result<(std::fs::File, Manifest), Error> {
        watch.begin("records read", self.image_count().await?);
        let file = tempfile::tempfile().map_err(cannot_spool)?;
        let mut file = BufWriter::new(file);
        let mut records = self.catalog.records(Reading::AtOneMoment);
        let mut manifest = Manifest::new(options.program, options.secret_key);
        let mut digest = Context::new(&SHA256);
        let mut lines = 0;
        while let Some(some) = records.recv().await.transpose()? {
            for record in &some {
                manifest.count(record);
                let line = record_text::write(record, &options.vault);
                let mut line = line.map_err(|error| cannot_spool(error.into()))?;
                line.push('\n');
                digest.update(line.as_bytes());
                file.write_all(line.as_bytes()).map_err(cannot_spool)?;
                lines += 1;
            }
            watch.advance(some.len() as u64);
        }
        manifest.pieces = u64::div_ceil(lines, PIECE as u64);
        manifest.records_sha256 = model::to_hex(digest.finish().as_ref());
        manifest.made = Timestamp::now().to_string();
        let mut file = file
            .into_inner()
            .map_err(|error| cannot_spool(error.into_error()))?;
        file.rewind().map_err(cannot_spool)?;
        Ok((file, manifest))
    }

    /// `None` if the sink takes no more.
    async fn write_pieces(
        &self,
        writing: &Writing,
        spool: std::fs::File,
        manifest: &Manifest,
        options: &BackupOptions,
        watch: &dyn Watch,
    ) -> Result<Option<BackedUp>, Error> {
        watch.begin("images copied", manifest.images);
        let text = manifest.to_json();
        if !writing.piece(MANIFEST.to_owned(), text.into()).await {
            return Ok(None);
        }
        let mut backed_up = BackedUp {
            accounts: manifest.accounts,
            drafts: manifest.drafts,
            ..BackedUp::default()
        };
        let mut lines = BufReader::new(spool);
        for piece in 1..=manifest.pieces {
            let mut text = String::new();
            for _ in 0..PIECE {
                lines.read_line(&mut text).map_err(cannot_spool)?;
            }
            let records = read_lines(&text, &options.vault)?;
            let name = records_name(piece);
            if !writing.piece(name, text.into()).await {
                return Ok(None);
            }
            let blobs = images_of(&records).map(|(account, image, source)| async move {
                let bytes = self.blobs.get(&source.blob).await?;
                let bytes = bytes.filter(|bytes| are_those(bytes, source));
                if bytes.is_none() && !options.leave_out_broken {
                    return Err(Error::Damaged(format!(
                        "the bytes of the image {} of account {account} are missing or damaged: \
                         `calotype check --deep` finds all of these; --leave-out-broken makes a \
                         backup without them",
                        image.id
                    )));
                }
                Ok((blob_name(&source.blob), bytes))
            });
            let mut blobs = stream::iter(blobs).buffered(BLOBS_AT_ONCE);
            while let Some((name, bytes)) = blobs.try_next().await? {
                let written = if let Some(bytes) = bytes {
                    backed_up.images += 1;
                    backed_up.bytes += bytes.len() as u64;
                    writing.piece(name, bytes).await
                } else {
                    backed_up.left_out += 1;
                    writing.piece(archive::left_out(&name), Bytes::new()).await
                };
                if !written {
                    return Ok(None);
                }
                watch.advance(1);
            }
        }
        Ok(Some(backed_up))
    }
}

/// The records of a piece.
pub(super) fn read_lines(text: &str, vault: &Vault) -> Result<Vec<Record>, Error> {
    let lines = text.lines();
    let records = lines.map(|line| record_text::read(line, vault));
    records.collect::<Option<_>>().ok_or_else(|| {
        Error::Damaged(
            "the backup holds a record which cannot be read, or was sealed with another secret key"
                .to_owned(),
        )
    })
}

/// The images among records which have bytes.
pub(super) fn images_of(
    records: &[Record],
) -> impl Iterator<Item = (&model::AccountId, &model::Image, &model::Source)> {
    records.iter().filter_map(|record| match record {
        Record::Image(account, image) => Some((account, image, image.source.as_ref()?)),
        Record::Account(_) => None,
    })
}

fn cannot_write(error: std::io::Error) -> Error {
    Error::Io("the backup cannot be written", error)
}

fn cannot_spool(error: std::io::Error) -> Error {
    Error::Io(
        "records cannot be put aside in the folder for temporary files",
        error,
    )
}
