//! Imports: every image of somebody's bucket becomes one of ours (management-api.md, section 8.4).

mod bucket;
mod object;
mod work;

use model::{
    AccountId, ImageId, ImportBucket, ImportEntry, ImportJob, ImportSource, ImportState, OpaqueId,
};

use crate::{Error, Service};
use bucket::Reader;

/// A source as a client wants it.
#[derive(Clone, Debug)]
pub struct NewImportSource {
    /// What to call it.
    pub name: String,
    /// Where it is, and what opens it.
    pub bucket: ImportBucket,
}

/// An import as a client wants it.
#[derive(Clone, Debug)]
pub struct NewImport {
    /// From which source.
    pub source: String,
    /// The folder of the bucket which is imported; empty for all of it.
    pub root: String,
    /// What the ids of images begin with.
    pub prefix: String,
    /// Whether images whose object changed are replaced.
    pub overwrite: bool,
}

/// Bytes of a path in a bucket.
const ROOT_BYTES_MAX: usize = 1_024;
impl Service {
    /// The sources of an account, oldest first.
    pub async fn import_sources(&self, account: &AccountId) -> Result<Vec<ImportSource>, Error> {
        Ok(self.catalog.import_sources(account).await?)
    }

    /// The source of this id.
    pub async fn import_source(
        &self,
        account: &AccountId,
        id: &str,
    ) -> Result<ImportSource, Error> {
        let id = OpaqueId::parse(id).ok_or(NO_SOURCE)?;
        let all = self.catalog.import_sources(account).await?;
        all.into_iter()
            .find(|source| source.id == id)
            .ok_or(NO_SOURCE)
    }

    /// Makes a source, if its bucket can be read.
    pub async fn create_import_source(
        &self,
        account: &AccountId,
        new: NewImportSource,
    ) -> Result<ImportSource, Error> {
        let source = ImportSource {
            id: OpaqueId::generate(),
            name: source_name(&new.name)?,
            bucket: checked(new.bucket)?,
            created: self.catalog.now(),
        };
        let sources_max = self.settings.limits.import_sources_max;
        if self.catalog.import_sources(account).await?.len() >= sources_max {
            return Err(Error::LimitReached("import sources"));
        }
        let listed = self.reader(&source.bucket).list("", "", 1).await;
        listed.map_err(|error| Error::Invalid(format!("the bucket cannot be read: {error}")))?;
        self.catalog
            .insert_import_source(account, &source, sources_max)
            .await
            .map_err(|error| match error {
                store::Error::Full => Error::LimitReached("import sources"),
                other => other.into(),
            })?;
        Ok(source)
    }

    /// Names a source otherwise.
    pub async fn rename_import_source(
        &self,
        account: &AccountId,
        id: &str,
        name: &str,
    ) -> Result<ImportSource, Error> {
        let mut source = self.import_source(account, id).await?;
        source.name = source_name(name)?;
        let renamed = self
            .catalog
            .rename_import_source(account, &source.id, &source.name);
        match renamed.await {
            Err(store::Error::NotFound) => Err(NO_SOURCE),
            renamed => Ok(renamed.map(|()| source)?),
        }
    }

    /// Deletes a source with its jobs; what was imported stays.
    pub async fn delete_import_source(&self, account: &AccountId, id: &str) -> Result<(), Error> {
        let id = OpaqueId::parse(id).ok_or(NO_SOURCE)?;
        match self.catalog.delete_import_source(account, &id).await {
            Err(store::Error::NotFound) => Err(NO_SOURCE),
            Err(store::Error::InUse) => Err(Error::ImportRuns),
            deleted => Ok(deleted?),
        }
    }

    /// The imports of an account, newest first.
    pub async fn imports(&self, account: &AccountId) -> Result<Vec<ImportJob>, Error> {
        Ok(self.catalog.import_jobs(account).await?)
    }

    /// The import of this id.
    pub async fn import(&self, account: &AccountId, id: &str) -> Result<ImportJob, Error> {
        let id = OpaqueId::parse(id).ok_or(NO_JOB)?;
        let all = self.catalog.import_jobs(account).await?;
        all.into_iter().find(|job| job.id == id).ok_or(NO_JOB)
    }

    /// Asks for an import, which one of the servers begins within a second or when there is time.
    pub async fn create_import(
        &self,
        account: &AccountId,
        new: NewImport,
    ) -> Result<ImportJob, Error> {
        let source = OpaqueId::parse(&new.source);
        let source =
            source.ok_or_else(|| Error::Invalid("source_id names no source".to_owned()))?;
        let job = ImportJob {
            id: OpaqueId::generate(),
            source,
            root: root(&new.root)?,
            prefix: self.prefix(new.prefix)?,
            overwrite: new.overwrite,
            state: ImportState::Pending,
            counts: model::ImportCounts::default(),
            error: None,
            created: self.catalog.now(),
            started: None,
            finished: None,
        };
        let open_max = self.settings.limits.imports_max;
        self.catalog
            .insert_import_job(account, &job, open_max)
            .await
            .map_err(|error| match error {
                store::Error::NotFound => Error::Invalid("source_id names no source".to_owned()),
                store::Error::Full => Error::LimitReached("imports"),
                other => other.into(),
            })?;
        Ok(job)
    }

    /// Ends an import; what was imported stays.
    pub async fn abort_import(&self, account: &AccountId, id: &str) -> Result<ImportJob, Error> {
        let job = OpaqueId::parse(id).ok_or(NO_JOB)?;
        let now = self.catalog.now();
        match self.catalog.abort_import_job(account, &job, now).await {
            Err(store::Error::NotFound) => Err(NO_JOB),
            Err(store::Error::Changed) => Err(Error::ImportEnded),
            aborted => {
                aborted?;
                self.import(account, id).await
            }
        }
    }

    /// Lines of an import's log after the one of this number, with their numbers.
    pub async fn import_log(
        &self,
        account: &AccountId,
        id: &str,
        after: u64,
        limit: u32,
    ) -> Result<Vec<(u64, ImportEntry)>, Error> {
        let id = OpaqueId::parse(id).ok_or(NO_JOB)?;
        match self.catalog.import_log(account, &id, after, limit).await {
            Err(store::Error::NotFound) => Err(NO_JOB),
            lines => Ok(lines?),
        }
    }

    fn reader<'a>(&'a self, bucket: &'a ImportBucket) -> Reader<'a> {
        Reader {
            fetcher: &self.fetcher,
            bucket,
            time: self.settings.source_timeout,
            memory: &self.upload_memory,
        }
    }

    /// What ids may begin with.
    fn prefix(&self, prefix: String) -> Result<String, Error> {
        if !prefix.is_empty() {
            // With any name behind it, it must be an id.
            ImageId::custom(
                &format!("{prefix}x"),
                self.settings.limits.image_id_chars_max,
            )?;
        }
        Ok(prefix)
    }
}

const NO_SOURCE: Error = Error::NotFound("import source");
const NO_JOB: Error = Error::NotFound("import");

fn source_name(name: &str) -> Result<String, Error> {
    let max = ImportSource::NAME_CHARS_MAX;
    if name.trim().is_empty() || name.chars().count() > max || name.contains('\0') {
        let sentence = format!("name must have 1 to {max} characters");
        return Err(Error::Invalid(sentence));
    }
    Ok(name.to_owned())
}

fn checked(bucket: ImportBucket) -> Result<ImportBucket, Error> {
    let invalid = |sentence: &str| Err(Error::Invalid(sentence.to_owned()));
    let is_named = |text: &str| {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
        (1..=255).contains(&text.len()) && text.bytes().all(allowed)
    };
    if !is_named(&bucket.name) || bucket.name.starts_with('.') {
        return invalid("bucket must be 1 to 255 of A-Z a-z 0-9 . _ -");
    }
    if !is_named(&bucket.region) {
        return invalid("region must be 1 to 255 of A-Z a-z 0-9 . _ -");
    }
    let is_printable = |text: &str| {
        (1..=1_024).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
    };
    if !is_printable(&bucket.access_key_id) || bucket.access_key_id.contains(['/', ',']) {
        return invalid("access_key_id must be 1 to 1,024 printable characters of ASCII");
    }
    if !is_printable(&bucket.secret_access_key) {
        return invalid("secret_access_key must be 1 to 1,024 printable characters of ASCII");
    }
    if let Some(endpoint) = &bucket.endpoint {
        let is_origin = endpoint.len() <= 2_048
            && reqwest::Url::parse(endpoint).is_ok_and(|url| {
                matches!(url.scheme(), "http" | "https")
                    && url.has_host()
                    && url.username().is_empty()
                    && url.password().is_none()
                    && url.path() == "/"
                    && url.query().is_none()
                    && url.fragment().is_none()
            });
        if !is_origin {
            return invalid("endpoint must be an http or https URL of a host alone");
        }
    }
    Ok(bucket)
}

/// Empty, or a folder with a slash at its end and none at its beginning.
fn root(path: &str) -> Result<String, Error> {
    let path = path.trim_matches('/');
    if path.len() > ROOT_BYTES_MAX || path.contains('\0') {
        let sentence = format!("root_path may have {ROOT_BYTES_MAX} bytes at most");
        return Err(Error::Invalid(sentence));
    }
    Ok(match path {
        "" => String::new(),
        path => format!("{path}/"),
    })
}
