//! A place where a server keeps what it has, and the commands beside it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::TryStreamExt as _;
use model::{AccountId, BlobKey, ImageId};
use serde_json::Value;
use store::catalog::{Reading, Record};
use store::{Blobs, Bucket, BucketUrl, Portable, Postgres, PostgresUrl, Sqlite, Vault};
use tempfile::TempDir;

use crate::server::{ACCOUNT_ID, Server, Settings, program};
use crate::{postgres, s3};

const SECRET_KEY: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

/// How long a sweep may take, at the most.
const SWEEP_DEADLINE: Duration = Duration::from_secs(90);

/// SQLite and files, or PostgreSQL and S3.
pub(crate) struct Place {
    folder: TempDir,
    shared: Option<(String, s3::Prefix)>,
}

impl Place {
    pub(crate) fn on_files() -> Self {
        Self {
            folder: tempfile::tempdir().expect("a temporary folder"),
            shared: None,
        }
    }

    /// Without the servers behind it the test is not run.
    pub(crate) fn on_servers() -> Option<Self> {
        Some(Self {
            shared: Some((postgres::database()?, s3::prefix()?)),
            ..Self::on_files()
        })
    }

    pub(crate) fn data_dir(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// As `--database` and `--blobs` name it.
    pub(crate) fn names(&self) -> [String; 2] {
        if let Some((database, bucket)) = &self.shared {
            return [database.clone(), bucket.url.clone()];
        }
        let data = self.data_dir();
        [
            format!("sqlite:{}", data.join("calotype.db").display()),
            format!("file:{}", data.join("blobs").display()),
        ]
    }

    /// A server which sweeps at once what may be swept.
    pub(crate) fn start(&self) -> Server {
        self.start_in(&self.data_dir())
    }

    /// One more beside it; none where all is in files.
    pub(crate) fn start_another(&self) -> Option<Server> {
        self.shared.as_ref()?;
        Some(self.start_in(&self.folder().join("another")))
    }

    fn start_in(&self, data_dir: &Path) -> Server {
        let [database, blobs] = self.names();
        let mut settings = Settings::new()
            .data_dir(data_dir)
            .set("database", &database)
            .set("blobs", &blobs)
            .set("secret-key", SECRET_KEY)
            .set("sweep-interval", "10ms");
        if let Some((_, bucket)) = &self.shared {
            settings = settings
                .set("s3-endpoint", &bucket.endpoint)
                .set("s3-access-key-id", s3::KEY.0)
                .set("s3-secret-access-key", s3::KEY.1);
        }
        settings.start()
    }

    /// The program with the settings of this place, but for those which `--from` and `--to` name.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = program();
        command
            .args(arguments)
            .env("CALOTYPE_SECRET_KEY", SECRET_KEY)
            .env("CALOTYPE_DATA_DIR", self.data_dir());
        let [database, blobs] = self.names();
        command
            .env("CALOTYPE_DATABASE", database)
            .env("CALOTYPE_BLOBS", blobs);
        if let Some((_, bucket)) = &self.shared {
            reach(&mut command, bucket);
        }
        command
    }

    /// `migrate` from here to there.
    pub(crate) fn migrate(&self, to: &Self) -> Command {
        let ([database, blobs], [other, others]) = (self.names(), to.names());
        let mut command = self.command(&["migrate", "--from", &database, &blobs]);
        command.args(["--to", &other, &others, "--json"]);
        for place in [self, to] {
            if let Some((_, bucket)) = &place.shared {
                reach(&mut command, bucket);
            }
        }
        command
    }

    pub(crate) async fn catalog(&self) -> Arc<dyn Portable> {
        let vault = vault();
        match &self.shared {
            None => {
                let path = self.data_dir().join("calotype.db");
                Arc::new(Sqlite::open(&path, vault).await.expect("it opens"))
            }
            Some((database, _)) => {
                let url = PostgresUrl::parse(database).expect("an address");
                Arc::new(Postgres::open(&url, 4, vault).await.expect("it opens"))
            }
        }
    }

    pub(crate) fn blobs(&self) -> Blobs {
        let Some((_, bucket)) = &self.shared else {
            return Blobs::beside(&self.data_dir().join("blobs")).expect("they open");
        };
        let bucket = Bucket {
            url: BucketUrl::parse(&bucket.url).expect("a bucket"),
            endpoint: Some(bucket.endpoint.clone()),
            region: None,
            path_style: true,
            credentials: Some((s3::KEY.0.to_owned(), s3::KEY.1.to_owned())),
        };
        Blobs::bucket(&bucket).expect("it opens")
    }

    /// Loses the bytes of an image, and of no other: a deleted one may still have some.
    pub(crate) async fn lose_bytes(&self, id: &str) {
        let account = AccountId::try_from(ACCOUNT_ID).expect("an id");
        let id = ImageId::from_path(id.to_owned());
        let image = self.catalog().await.image(&account, &id).await;
        let image = image.expect("it is read").expect("it is there");
        let key = image.source.expect("it has bytes").blob;
        self.blobs().delete(&[key]).await.expect("deleted");
    }

    /// Every record, as it is now.
    pub(crate) async fn records(&self) -> Vec<Record> {
        let catalog = self.catalog().await;
        let mut records = catalog.records(Reading::AtOneMoment);
        let mut all = Vec::new();
        while let Some(some) = records.recv().await {
            all.extend(some.expect("records are read"));
        }
        all
    }

    /// The keys of all bytes which are kept.
    pub(crate) async fn stored(&self) -> BTreeSet<BlobKey> {
        let listed = self.blobs().list().map_ok(|(key, _)| key);
        listed.try_collect().await.expect("blobs are listed")
    }

    /// The same of a place where nothing may have been made yet.
    pub(crate) async fn stored_if_any(&self) -> BTreeSet<BlobKey> {
        if self.shared.is_none() && !self.data_dir().join("blobs").is_dir() {
            return BTreeSet::new();
        }
        self.stored().await
    }

    /// Whether it is on servers.
    pub(crate) fn is_shared(&self) -> bool {
        self.shared.is_some()
    }

    /// Waits until bytes of no image are gone. Those of each image are there all the time.
    pub(crate) async fn assert_swept(&self) {
        let images = blobs_of(&self.records().await);
        let deadline = Instant::now() + SWEEP_DEADLINE;
        loop {
            let stored = self.stored().await;
            let lost: Vec<_> = images.difference(&stored).collect();
            assert!(lost.is_empty(), "{lost:?}");
            if stored == images {
                return;
            }
            let left = stored.len() - images.len();
            assert!(Instant::now() < deadline, "{left} blobs belong to no image");
        }
    }

    /// Compares every record with its bytes, and these with their checksum.
    #[track_caller]
    pub(crate) fn assert_whole(&self) {
        let arguments = ["check", "--deep", "--json", "--older-than", "1ms"];
        let checked = ended(self.command(&arguments));
        let text = String::from_utf8_lossy(&checked.stdout).into_owned();
        assert!(checked.status.success(), "{text}");
    }
}

/// The keys of the bytes of all images. No two images share theirs.
pub(crate) fn blobs_of(records: &[Record]) -> BTreeSet<BlobKey> {
    let mut keys = BTreeSet::new();
    for record in records {
        if let Record::Image(_, image) = record
            && let Some(source) = &image.source
        {
            assert!(keys.insert(source.blob.clone()), "{image:?}");
        }
    }
    keys
}

/// The names of all images, without drafts. No two have the same.
pub(crate) fn names_of(records: &[Record]) -> BTreeSet<&str> {
    let mut names = BTreeSet::new();
    for record in records {
        if let Record::Image(_, image) = record
            && image.source.is_some()
        {
            assert!(names.insert(image.id.as_str()), "{image:?}");
        }
    }
    names
}

fn reach(command: &mut Command, bucket: &s3::Prefix) {
    command
        .env("CALOTYPE_S3_ENDPOINT", &bucket.endpoint)
        .env("CALOTYPE_S3_ACCESS_KEY_ID", s3::KEY.0)
        .env("CALOTYPE_S3_SECRET_ACCESS_KEY", s3::KEY.1);
}

/// Runs a command to its end.
pub(crate) fn ended(mut command: Command) -> Output {
    command.output().expect("the built program starts")
}

/// The lines which a command printed, and whether it succeeded.
pub(crate) fn lines(command: Command) -> (bool, Vec<Value>, String) {
    let output = ended(command);
    let text = String::from_utf8(output.stdout).expect("text");
    let lines = text.lines();
    let values = lines.map(|line| serde_json::from_str(line).expect("JSON"));
    let error = String::from_utf8(output.stderr).expect("text");
    (output.status.success(), values.collect(), error)
}

/// Of the secret key of every place.
pub(crate) fn vault() -> Vault {
    let mut key = [0; 32];
    key.copy_from_slice(&model::from_hex(SECRET_KEY).expect("a key"));
    Vault::from_key(key)
}

/// The single line of a command which must succeed.
#[track_caller]
pub(crate) fn line(command: Command) -> Value {
    let (success, mut lines, error) = lines(command);
    assert!(success, "{error}");
    lines.pop().expect("it prints a line")
}

/// The error of a command which must fail with 1.
#[track_caller]
pub(crate) fn failure(command: Command) -> String {
    let output = ended(command);
    let error = String::from_utf8(output.stderr).expect("text");
    assert_eq!(output.status.code(), Some(1), "{error}");
    error
}
