//! A backup, verified and brought back into an empty store.

use bytes::Bytes;
use futures_util::stream;
use futures_util::{StreamExt as _, TryStreamExt as _};
use model::{AccountId, Image, Source};
use ring::digest::{Context, SHA256};
use serde::{Deserialize, Serialize};
use store::Vault;
use store::catalog::Record;

use super::archive::{ArchiveSource, MANIFEST, Reading};
use super::backup::{blob_name, images_of, read_lines, records_name};
use super::{BLOBS_AT_ONCE, Error, Filling, Holdings, Watch, are_those};

/// What a backup says of itself.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    format: u32,
    program: String,
    /// When it was made.
    pub made: String,
    /// The secret key of its servers, as 64 hexadecimal characters.
    pub secret_key: Option<String>,
    /// Accounts.
    pub accounts: u64,
    /// Images, without drafts.
    pub images: u64,
    /// Drafts.
    pub drafts: u64,
    pub(super) pieces: u64,
    pub(super) records_sha256: String,
    /// Of this text, with nothing here.
    sha256: String,
}

/// What was brought back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Restored {
    /// Accounts.
    pub accounts: u64,
    /// Images, without drafts.
    pub images: u64,
    /// Drafts.
    pub drafts: u64,
    /// Bytes of all images.
    pub bytes: u64,
    /// Images which the backup was made without.
    pub left_out: u64,
}

const FORMAT: u32 = 1;

impl Manifest {
    pub(super) fn new(program: &str, secret_key: Option<[u8; 32]>) -> Self {
        Self {
            format: FORMAT,
            program: program.to_owned(),
            made: String::new(),
            secret_key: secret_key.map(|key| model::to_hex(&key)),
            accounts: 0,
            images: 0,
            drafts: 0,
            pieces: 0,
            records_sha256: String::new(),
            sha256: String::new(),
        }
    }

    pub(super) fn count(&mut self, record: &Record) {
        match record {
            Record::Account(_) => self.accounts += 1,
            Record::Image(_, image) if image.is_draft() => self.drafts += 1,
            Record::Image(..) => self.images += 1,
        }
    }

    pub(super) fn to_json(&self) -> String {
        let mut sealed = self.clone();
        sealed.sha256.clear();
        // Texts and numbers always have a JSON.
        let text = serde_json::to_string_pretty(&sealed).unwrap_or_default();
        let digest = ring::digest::digest(&SHA256, text.as_bytes());
        sealed.sha256 = model::to_hex(digest.as_ref());
        serde_json::to_string_pretty(&sealed).unwrap_or_default()
    }
}

/// A backup whose manifest was read.
pub struct Backup {
    reading: Reading,
    /// What it says of itself.
    pub manifest: Manifest,
}

impl Backup {
    /// Reads the manifest.
    pub async fn open(source: ArchiveSource) -> Result<Self, Error> {
        let mut reading = Reading::start(source);
        let text = reading.one(MANIFEST).await.map_err(cannot_read)?;
        let manifest: Manifest = serde_json::from_slice(&text)
            .map_err(|_| damaged("its manifest cannot be read; is it of a newer version?"))?;
        if manifest.format != FORMAT {
            return Err(damaged("its format is that of another version of Calotype"));
        }
        if manifest.to_json().as_bytes() != &text[..] {
            return Err(damaged("its manifest is not as it was written"));
        }
        Ok(Self { reading, manifest })
    }

    /// Reads all of it and compares every checksum, without writing anything. `vault` is that of
    /// the secret key which it was made with.
    pub async fn verify(self, vault: &Vault, watch: &dyn Watch) -> Result<Restored, Error> {
        self.read_through(vault, None, watch).await
    }
}

impl Holdings {
    /// Fills this store. If the backup turns out to be damaged, everything is taken away again.
    /// `vault` is that of the secret key which it was made with.
    pub async fn restore(
        &self,
        backup: Backup,
        vault: &Vault,
        filling: &Filling,
        watch: &dyn Watch,
    ) -> Result<Restored, Error> {
        if filling.is_resumed {
            self.clear(filling).await?;
        }
        let into = Some((self, filling));
        let restored = backup.read_through(vault, into, watch).await;
        if restored.is_err()
            && let Err(error) = self.clear(filling).await
        {
            // What went wrong first tells more.
            tracing::warn!(%error, "what was restored is left, and no server starts on it");
            return restored;
        }
        self.end_filling(filling).await?;
        restored
    }
}

impl Backup {
    /// Reads everything, and writes it into a store if there is one.
    async fn read_through(
        self,
        vault: &Vault,
        into: Option<(&Holdings, &Filling)>,
        watch: &dyn Watch,
    ) -> Result<Restored, Error> {
        let Self {
            mut reading,
            manifest,
        } = self;
        let what = if into.is_some() {
            "images restored"
        } else {
            "images verified"
        };
        watch.begin(what, manifest.images);
        let mut digest = Context::new(&SHA256);
        let mut found = Manifest::new(&manifest.program, None);
        let mut restored = Restored::default();
        for piece in 1..=manifest.pieces {
            let name = records_name(piece);
            let text = reading.one(&name).await.map_err(cannot_read)?;
            digest.update(&text);
            let text =
                std::str::from_utf8(&text).map_err(|_| damaged("its records are no text"))?;
            let mut records = read_lines(text, vault)?;
            for record in &records {
                found.count(record);
            }
            let images = images_of(&records);
            let images: Vec<_> = images
                .map(|(account, image, source)| (account.clone(), image.clone(), source.clone()))
                .collect();
            let holdings = into.map(|(holdings, _)| holdings);
            let missing = read_blobs(&mut reading, &images, holdings, &mut restored, watch).await?;
            if let Some((holdings, filling)) = into {
                filling.check().await?;
                records.retain(|record| !missing.contains(&record.place()));
                match holdings.catalog.put_records(records).await {
                    Err(store::Error::NotFound | store::Error::Taken) => {
                        return Err(damaged("its records contradict each other"));
                    }
                    put => put?,
                }
            }
        }
        reading.end().await.map_err(cannot_read)?;
        if model::to_hex(digest.finish().as_ref()) != manifest.records_sha256
            || (found.accounts, found.images, found.drafts)
                != (manifest.accounts, manifest.images, manifest.drafts)
        {
            return Err(damaged("its records are not those which were written"));
        }
        restored.accounts = manifest.accounts;
        restored.drafts = manifest.drafts;
        Ok(restored)
    }
}

/// Reads the blobs of these images; returns the places of those which have none.
async fn read_blobs(
    reading: &mut Reading,
    images: &[(AccountId, Image, Source)],
    into: Option<&Holdings>,
    restored: &mut Restored,
    watch: &dyn Watch,
) -> Result<Vec<store::catalog::Place>, Error> {
    let names = images.iter();
    let names = names
        .map(|(_, _, source)| blob_name(&source.blob))
        .collect();
    reading.ask(names).await;
    let mut missing = Vec::new();
    for some in images.chunks(BLOBS_AT_ONCE) {
        let mut blobs: Vec<(&Source, Bytes)> = Vec::with_capacity(some.len());
        for (account, image, source) in some {
            let Some(bytes) = reading.piece().await.map_err(cannot_read)? else {
                restored.left_out += 1;
                missing.push(store::catalog::Place::Image(source.blob.clone()));
                continue;
            };
            if !are_those(&bytes, source) {
                return Err(damaged(&format!(
                    "the bytes of the image {} of account {account} are not those which were \
                     uploaded",
                    image.id
                )));
            }
            restored.images += 1;
            restored.bytes += source.bytes;
            blobs.push((source, bytes));
        }
        if let Some(holdings) = into {
            let written = blobs
                .into_iter()
                .map(|(source, bytes)| holdings.write_bytes(source, bytes));
            let mut written = stream::iter(written).buffer_unordered(BLOBS_AT_ONCE);
            while let Some(()) = written.try_next().await? {}
        }
        watch.advance(some.len() as u64);
    }
    Ok(missing)
}

fn damaged(what: &str) -> Error {
    Error::Damaged(format!("the backup is damaged: {what}"))
}

fn cannot_read(error: std::io::Error) -> Error {
    use std::io::ErrorKind;
    match error.kind() {
        ErrorKind::UnexpectedEof => damaged("it ends too early"),
        ErrorKind::InvalidData => damaged(&error.to_string()),
        ErrorKind::NotFound => damaged("a part of it is missing"),
        _ => Error::Io("the backup cannot be read", error),
    }
}
