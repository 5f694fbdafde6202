//! A bucket of somebody's: its objects in their order, and their bytes, by the rules for sources of
//! uploads.

use std::time::{Duration, Instant};

use bytes::Bytes;
use model::{ImportBucket, Timestamp};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use reqwest::Url;
use reqwest::header::HeaderMap;
use serde::Deserialize;

use crate::fetch::{Errand, Fetched};
use crate::memory::Memory;
use crate::{FetchError, Fetcher};

/// An object as it is listed.
#[derive(Clone, Debug)]
pub(super) struct Listed {
    pub(super) key: String,
    /// What the store calls its content.
    pub(super) etag: Option<String>,
    pub(super) bytes: u64,
    pub(super) modified: Timestamp,
    /// Whether it is in a storage class whose objects may have to be restored from an archive first.
    pub(super) may_be_archived: bool,
}

/// Why a bucket or an object is not read.
#[derive(Clone, Copy, Debug, thiserror::Error)]
pub(super) enum Failure {
    /// The store does not give it.
    #[error("{0}")]
    Fetch(#[from] FetchError),
    /// It is no list, or none that can be followed.
    #[error("its list {0}")]
    List(&'static str),
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

/// Bytes of a key, by the rules of S3, and of what is kept of an `ETag`.
const KEY_BYTES_MAX: usize = 1_024;
const ETAG_BYTES_MAX: usize = 256;

/// Pauses before a request is made again which a busy store refused.
const PAUSES: [Duration; 3] = [
    Duration::from_millis(500),
    Duration::from_secs(2),
    Duration::from_secs(8),
];

/// Storage classes whose objects cannot be read until they are restored, and then keep the class.
const ARCHIVES: [&str; 3] = ["GLACIER", "DEEP_ARCHIVE", "INTELLIGENT_TIERING"];

/// Lists in a row in which there is no key which objects have, how long they are, and how long they may take.
const EMPTY_LISTS_MAX: usize = 30;
const EMPTY_LIST: usize = 1_000;
const EMPTY_LISTS_TIME: Duration = Duration::from_mins(2);

/// Reads a bucket.
pub(super) struct Reader<'a> {
    pub(super) fetcher: &'a Fetcher,
    pub(super) bucket: &'a ImportBucket,
    /// How long one request may take.
    pub(super) time: Duration,
    /// In which its lists are counted.
    pub(super) memory: &'a Memory,
}

impl Reader<'_> {
    /// Up to `limit` objects whose keys begin with `root`, after the one of this key, in the order of
    /// their keys (`ListObjectsV2`).
    pub(super) async fn list(
        &self,
        root: &str,
        after: &str,
        limit: usize,
    ) -> Result<Objects, Failure> {
        let mut objects = Objects::default();
        let mut token: Option<String> = None;
        let began = Instant::now();
        for _ in 0..EMPTY_LISTS_MAX {
            let limit = token.as_ref().map_or(limit, |_| EMPTY_LIST).to_string();
            let place = match &token {
                Some(token) => ("continuation-token", token.as_str()),
                None => ("start-after", after),
            };
            let mut wishes = [
                ("encoding-type", "url"),
                ("list-type", "2"),
                ("max-keys", limit.as_str()),
                ("prefix", root),
                place,
            ];
            // As signatures want it.
            wishes.sort_unstable();
            let wishes = wishes.iter().filter(|(_, value)| !value.is_empty());
            let query: Vec<_> = wishes
                .map(|(name, value)| format!("{name}={}", utf8_percent_encode(value, ENCODED)))
                .collect();
            let mut url = self.base()?;
            url.set_query(Some(&query.join("&")));
            let bytes = self.get(url, LIST_BYTES_MAX, Some(self.memory)).await?;
            (objects, token) = read_list(&bytes)?;
            // Else there was nothing but keys which are passed over.
            let is_last = !objects.listed.is_empty() || !objects.are_more || token.is_none();
            if is_last || began.elapsed() >= EMPTY_LISTS_TIME {
                break;
            }
        }
        if objects.listed.len() > limit {
            objects.listed.truncate(limit);
            objects.are_more = true;
        }
        // A list which does not go on would be asked for ever.
        let mut last = after;
        for found in &objects.listed {
            if found.key.as_str() <= last {
                return Err(Failure::List("is not in the order of its keys"));
            }
            last = &found.key;
        }
        if objects.are_more && objects.listed.is_empty() {
            return Err(Failure::List("does not go on"));
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
        // Whoever asks has been admitted with them.
        self.get(url, bytes_max, None).await.map(Some)
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

    /// Again, after a while, where the store is busy or the connection breaks.
    async fn get(
        &self,
        url: Url,
        bytes_max: u64,
        memory: Option<&Memory>,
    ) -> Result<Bytes, FetchError> {
        for pause in PAUSES {
            match self.get_once(url.clone(), bytes_max, memory).await {
                Err(error) if error.is_passing() => tokio::time::sleep(pause).await,
                fetched => return fetched,
            }
        }
        self.get_once(url, bytes_max, memory).await
    }

    async fn get_once(
        &self,
        url: Url,
        bytes_max: u64,
        memory: Option<&Memory>,
    ) -> Result<Bytes, FetchError> {
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
            memory,
        };
        match self.fetcher.run(errand).await? {
            Fetched::Answer(answer) => Ok(answer.bytes),
            Fetched::NotModified(_) => Err(FetchError::Status(304)),
        }
    }
}

/// Reads an answer to `ListObjectsV2`, and what names the next one. Keys which no object of S3 has are
/// passed over.
fn read_list(bytes: &[u8]) -> Result<(Objects, Option<String>), Failure> {
    let unreadable = Failure::List("cannot be read");
    let text = std::str::from_utf8(bytes).map_err(|_| unreadable)?;
    // The parser takes any root for it.
    let is_list = text
        .split('<')
        .skip(1)
        .find(|tag| !tag.starts_with(['?', '!']))
        .is_some_and(|tag| tag.starts_with("ListBucketResult"));
    if !is_list {
        return Err(unreadable);
    }
    let list: ListBucketResult = quick_xml::de::from_str(text).map_err(|error| {
        tracing::debug!(%error, "a list of a bucket cannot be read");
        unreadable
    })?;
    let are_encoded = list.encoding_type.as_deref() == Some("url");
    let listed = list.contents.into_iter().filter_map(|found| {
        let key = if are_encoded {
            decoded(&found.key)?
        } else {
            found.key
        };
        if key.len() > KEY_BYTES_MAX || key.contains('\0') {
            return None;
        }
        let class = found.storage_class.unwrap_or_default();
        let modified = Timestamp::parse(&found.last_modified);
        Some(Listed {
            key,
            etag: found
                .etag
                .filter(|etag| etag.len() <= ETAG_BYTES_MAX && !etag.contains('\0')),
            bytes: found.size,
            modified: modified.unwrap_or(Timestamp::from_micros(0)),
            may_be_archived: ARCHIVES.contains(&class.as_str()),
        })
    });
    let objects = Objects {
        listed: listed.collect(),
        are_more: list.is_truncated,
    };
    let next = list.next_continuation_token;
    Ok((objects, next.filter(|token| !token.is_empty())))
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
    is_truncated: bool,
    encoding_type: Option<String>,
    next_continuation_token: Option<String>,
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

    fn list(contents: &str) -> String {
        format!(
            "<?xml version=\"1.0\"?>\n<ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/\">\
             <EncodingType>url</EncodingType><IsTruncated>true</IsTruncated>\
             <NextContinuationToken>next one</NextContinuationToken>{contents}\
             </ListBucketResult>"
        )
    }

    fn contents(key: &str, rest: &str) -> String {
        format!(
            "<Contents><Key>{key}</Key><LastModified>2026-01-02T03:04:05.678Z</LastModified>\
             <ETag>&quot;e&quot;</ETag><Size>7</Size>{rest}</Contents>"
        )
    }

    #[test]
    fn a_list_is_read() {
        let all = [
            contents("a", ""),
            contents("b%00", ""),
            contents(&"k".repeat(1_025), ""),
            contents("%ff", ""),
            contents("c%26", "<StorageClass>DEEP_ARCHIVE</StorageClass>"),
        ];
        let (objects, next) = read_list(list(&all.concat()).as_bytes()).unwrap();
        assert!(objects.are_more);
        assert_eq!(next.as_deref(), Some("next one"));
        let keys: Vec<_> = objects
            .listed
            .iter()
            .map(|found| found.key.as_str())
            .collect();
        assert_eq!(keys, ["a", "c&"]);
        let [first, archived] = &objects.listed[..] else {
            panic!("two objects");
        };
        assert_eq!((first.bytes, first.etag.as_deref()), (7, Some("\"e\"")));
        assert_eq!(first.modified.to_string(), "2026-01-02T03:04:05.678Z");
        assert!(archived.may_be_archived && !first.may_be_archived);
    }

    #[test]
    fn what_is_no_list_is_refused() {
        for text in [
            "",
            "no XML",
            "<html></html>",
            "<Error><IsTruncated>false</IsTruncated></Error>",
            "<ListBucketResult></ListBucketResult>",
            "<ListBucketResult><IsTruncated>false</IsTruncated>",
            &list("<Contents><Key>a</Key></Contents>"),
            &list(&contents("a", "").replace("<Size>7", "<Size>-7")),
        ] {
            assert!(read_list(text.as_bytes()).is_err(), "{text}");
        }
    }
}
