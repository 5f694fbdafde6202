//! A bucket of somebody's: its objects in their order, and their bytes, by the rules for sources of
//! uploads.

use std::time::Duration;

use bytes::Bytes;
use model::{ImportBucket, ImportedObject, Timestamp};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use reqwest::Url;
use reqwest::header::HeaderMap;
use serde::Deserialize;

use crate::fetch::{Errand, Fetched};
use crate::{FetchError, Fetcher};

/// An object as it is listed.
#[derive(Clone, Debug)]
pub(super) struct Listed {
    /// As it will be known when it was imported.
    pub(super) object: ImportedObject,
    /// Whether its bytes must be restored from an archive first.
    pub(super) is_archived: bool,
}

/// Some objects, and whether there are more.
#[derive(Debug, Default)]
pub(super) struct Objects {
    pub(super) listed: Vec<Listed>,
    pub(super) are_more: bool,
}

/// Of a list, whose keys have 1,024 bytes at most each, three times that when they are encoded.
const LIST_BYTES_MAX: u64 = 8 << 20;

/// All but what Signature Version 4 leaves as it is.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// Storage classes whose objects cannot be read at once.
const ARCHIVES: [&str; 2] = ["GLACIER", "DEEP_ARCHIVE"];

/// Reads a bucket.
pub(super) struct Reader<'a> {
    pub(super) fetcher: &'a Fetcher,
    pub(super) bucket: &'a ImportBucket,
    /// How long one request may take.
    pub(super) time: Duration,
}

impl Reader<'_> {
    /// Up to `limit` objects whose keys begin with `root`, after the one of this key, in the order of
    /// their keys (`ListObjectsV2`).
    pub(super) async fn list(
        &self,
        root: &str,
        after: &str,
        limit: usize,
    ) -> Result<Objects, FetchError> {
        let mut url = self.base()?;
        let mut query = format!("encoding-type=url&list-type=2&max-keys={limit}");
        for (name, value) in [("prefix", root), ("start-after", after)] {
            if !value.is_empty() {
                query = format!("{query}&{name}={}", utf8_percent_encode(value, ENCODED));
            }
        }
        url.set_query(Some(&query));
        let bytes = self.get(url, LIST_BYTES_MAX).await?;
        let text = std::str::from_utf8(&bytes).map_err(|_| FetchError::Broken)?;
        let list: ListBucketResult = quick_xml::de::from_str(text).map_err(|error| {
            tracing::debug!(%error, "a list of a bucket cannot be read");
            FetchError::Broken
        })?;
        let are_encoded = list.encoding_type.as_deref() == Some("url");
        let listed = list.contents.into_iter().map(|found| {
            let key = if are_encoded {
                decoded(&found.key)?
            } else {
                found.key
            };
            let class = found.storage_class.unwrap_or_default();
            let modified = Timestamp::parse(&found.last_modified);
            Some(Listed {
                object: ImportedObject {
                    key,
                    etag: found.etag,
                    bytes: found.size,
                    modified: modified.unwrap_or(Timestamp::from_micros(0)),
                },
                is_archived: ARCHIVES.contains(&class.as_str()),
            })
        });
        let objects = Objects {
            listed: listed.collect::<Option<_>>().ok_or(FetchError::Broken)?,
            are_more: list.is_truncated,
        };
        // A store which does not go on would be asked for ever.
        let goes_on = objects
            .listed
            .last()
            .is_some_and(|last| last.object.key.as_str() > after);
        if objects.are_more && !goes_on {
            return Err(FetchError::Broken);
        }
        Ok(objects)
    }

    /// The bytes of an object. `None` if no address names its key.
    pub(super) async fn object(
        &self,
        key: &str,
        bytes_max: u64,
    ) -> Result<Option<Bytes>, FetchError> {
        let mut url = self.base()?;
        let segments: Vec<_> = key
            .split('/')
            .map(|segment| utf8_percent_encode(segment, ENCODED).to_string())
            .collect();
        let path = format!("{}{}", url.path(), segments.join("/"));
        url.set_path(&path);
        // Whatever looks like a way up is taken for one, however it is written.
        if url.path() != path {
            return Ok(None);
        }
        self.get(url, bytes_max).await.map(Some)
    }

    /// The address of the bucket, with a slash at its end.
    fn base(&self) -> Result<Url, FetchError> {
        let ImportBucket {
            name,
            endpoint,
            region,
            path_style,
            ..
        } = self.bucket;
        let amazon = format!("https://s3.{region}.amazonaws.com");
        let endpoint = endpoint.as_deref().unwrap_or(&amazon).trim_end_matches('/');
        let address = match endpoint.split_once("://") {
            Some((scheme, host)) if !path_style => format!("{scheme}://{name}.{host}/"),
            _ => format!("{endpoint}/{name}/"),
        };
        Url::parse(&address).map_err(|_| FetchError::Scheme)
    }

    async fn get(&self, url: Url, bytes_max: u64) -> Result<Bytes, FetchError> {
        let ImportBucket {
            region,
            access_key_id,
            secret_access_key,
            ..
        } = self.bucket;
        let signed = store::sign_s3(&url, region, access_key_id, secret_access_key);
        let secrets = signed.map_err(|error| {
            tracing::warn!(%error, "a request to a bucket cannot be signed");
            FetchError::Scheme
        })?;
        let errand = Errand {
            url,
            headers: HeaderMap::new(),
            secrets,
            may_use: &|_, _| true,
            credentials: false,
            bytes_max,
            head_timeout: self.time,
            body_timeout: self.time,
            memory: None,
        };
        match self.fetcher.run(errand).await? {
            Fetched::Answer(answer) => Ok(answer.bytes),
            Fetched::NotModified(_) => Err(FetchError::Status(304)),
        }
    }
}

/// A key of a list with `encoding-type=url`, in which a blank is `+` or `%20`.
fn decoded(key: &str) -> Option<String> {
    let key = key.replace('+', " ");
    let decoded = percent_decode_str(&key).decode_utf8().ok()?;
    Some(decoded.into_owned())
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ListBucketResult {
    #[serde(default)]
    is_truncated: bool,
    encoding_type: Option<String>,
    #[serde(default)]
    contents: Vec<Contents>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Contents {
    key: String,
    last_modified: String,
    #[serde(rename = "ETag")]
    etag: Option<String>,
    size: u64,
    storage_class: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_decoded() {
        for (key, expected) in [
            ("a/b.png", Some("a/b.png")),
            ("a%20b+c%2B.png", Some("a b c+.png")),
            ("%C3%A9", Some("\u{e9}")),
            ("%ff", None),
        ] {
            assert_eq!(decoded(key).as_deref(), expected, "{key}");
        }
    }
}
