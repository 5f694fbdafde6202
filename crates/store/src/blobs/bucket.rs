//! Where blobs are in an S3-compatible store, and how it is asked.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use object_store::aws::{AmazonS3, AmazonS3Builder, AmazonS3ConfigKey, S3ConditionalPut};
use object_store::path::Path;
use object_store::prefix::PrefixStore;
use object_store::{BackoffConfig, ClientOptions, ObjectStore, RetryConfig};
// Turns TLS on for the object store, whose own feature would bring a second implementation of it.
use reqwest as _;

use super::credentials_file::CredentialsFile;
use crate::Error;

/// How long connecting may take.
const CONNECT_MAX: Duration = Duration::from_secs(3);

/// How long one request may take, with all its bytes.
const REQUEST_MAX: Duration = Duration::from_secs(30);

/// How often a request is repeated, and for how long.
const RETRIES_MAX: usize = 4;
const RETRY_MAX: Duration = Duration::from_secs(10);

/// `s3://bucket/prefix`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BucketUrl {
    bucket: String,
    /// Without slashes around it; empty for the whole bucket.
    prefix: String,
}

impl BucketUrl {
    /// Reads an address.
    pub fn parse(text: &str) -> Option<Self> {
        let rest = text.strip_prefix("s3://")?;
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let named =
            |character: char| character.is_ascii_alphanumeric() || "-._".contains(character);
        let prefix = prefix.trim_end_matches('/');
        let path = object_store::path::Path::parse(prefix).ok()?;
        let valid = !bucket.is_empty() && bucket.chars().all(named) && path.as_ref() == prefix;
        valid.then(|| Self {
            bucket: bucket.to_owned(),
            prefix: prefix.to_owned(),
        })
    }
}

impl fmt::Display for BucketUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.prefix.as_str() {
            "" => write!(f, "s3://{}", self.bucket),
            prefix => write!(f, "s3://{}/{prefix}", self.bucket),
        }
    }
}

/// A bucket and how it is reached. What is not given here comes from the standard variables
/// (`AWS_ACCESS_KEY_ID`, `AWS_REGION`, `AWS_ENDPOINT_URL` ...), a web identity, the file of keys which
/// the tools of AWS share, or the role of the container or machine.
#[derive(Clone)]
pub struct Bucket {
    /// Which bucket.
    pub url: BucketUrl,
    /// Where the store is, if it is not Amazon's.
    pub endpoint: Option<String>,
    /// Its region.
    pub region: Option<String>,
    /// Whether the bucket is named in the path rather than in the host.
    pub path_style: bool,
    /// Key id and secret.
    pub credentials: Option<(String, String)>,
}

impl Bucket {
    pub(crate) fn open(&self) -> Result<Arc<dyn ObjectStore>, Error> {
        let store = self.client()?;
        if self.url.prefix.is_empty() {
            return Ok(Arc::new(store));
        }
        Ok(Arc::new(PrefixStore::new(store, self.prefix())))
    }

    /// What the names of all objects begin with.
    pub(super) fn prefix(&self) -> Path {
        Path::from(self.url.prefix.as_str())
    }

    /// What asks the store, with the whole names of objects.
    pub(super) fn client(&self) -> Result<AmazonS3, Error> {
        // The program has done so; tests and benches may not have.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut builder = AmazonS3Builder::from_env()
            .with_bucket_name(&self.url.bucket)
            .with_virtual_hosted_style_request(!self.path_style)
            // Not every store heeds conditions, so that nothing depends on them: a key is random
            // and reserved in the catalog, and a repeated put writes the same bytes.
            .with_conditional_put(S3ConditionalPut::Disabled)
            .with_retry(RetryConfig {
                backoff: BackoffConfig {
                    init_backoff: Duration::from_millis(100),
                    max_backoff: Duration::from_secs(2),
                    base: 2.0,
                },
                max_retries: RETRIES_MAX,
                retry_timeout: RETRY_MAX,
            });
        let mut options = ClientOptions::new()
            .with_connect_timeout(CONNECT_MAX)
            .with_timeout(REQUEST_MAX);
        let of_variables = builder.get_config_value(&AmazonS3ConfigKey::Endpoint);
        if let Some(endpoint) = self.endpoint.clone().or(of_variables) {
            options = options.with_allow_http(endpoint.starts_with("http://"));
            builder = builder.with_endpoint(self.endpoint_of_bucket(&endpoint));
        }
        if let Some(region) = &self.region {
            builder = builder.with_region(region);
        }
        if let Some((id, secret)) = &self.credentials {
            builder = builder
                .with_access_key_id(id)
                .with_secret_access_key(secret);
        } else if let Some(file) = CredentialsFile::of_variables()? {
            builder = builder.with_credentials(Arc::new(file));
        }
        builder
            .with_client_options(options)
            .build()
            .map_err(Error::blobs)
    }

    /// With the bucket in the host, the client wants it there already.
    fn endpoint_of_bucket(&self, endpoint: &str) -> String {
        match endpoint.split_once("://") {
            Some((scheme, host)) if !self.path_style => {
                format!("{scheme}://{}.{host}", self.url.bucket)
            }
            _ => endpoint.to_owned(),
        }
    }
}

impl fmt::Debug for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bucket")
            .field("url", &self.url)
            .field("endpoint", &self.endpoint)
            .field("region", &self.region)
            .field("path_style", &self.path_style)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read() {
        for (text, shown) in [
            ("s3://bucket", Some("s3://bucket")),
            ("s3://bucket/", Some("s3://bucket")),
            ("s3://my-bucket.x/a/b/", Some("s3://my-bucket.x/a/b")),
            ("s3://", None),
            ("s3:bucket", None),
            ("s3:///a", None),
            ("s3://bucket/a//b", None),
            ("s3://bucket//a", None),
            ("s3://bucket/../a", None),
            ("s3://bucket?x=y", None),
        ] {
            let url = BucketUrl::parse(text).map(|url| url.to_string());
            assert_eq!(url.as_deref(), shown, "{text}");
        }
    }
}
