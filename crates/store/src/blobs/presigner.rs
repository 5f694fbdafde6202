//! Addresses at which a bucket itself hands out blobs, to whoever has the address.

use std::time::Duration;

use model::BlobKey;
use object_store::aws::AmazonS3;
use object_store::path::Path;
use object_store::signer::{Method, Signer as _};

use super::{Bucket, location};
use crate::Error;

/// Signs such addresses with the key of the bucket, without asking it.
pub struct Presigner {
    client: AmazonS3,
    prefix: Path,
}

impl Presigner {
    /// The longest time which S3 lets an address be good for.
    pub const TIME_MAX: Duration = Duration::from_hours(7 * 24);

    /// Signs for this bucket.
    pub fn new(bucket: &Bucket) -> Result<Self, Error> {
        Ok(Self {
            client: bucket.client()?,
            prefix: bucket.prefix(),
        })
    }

    /// An address for GET which is good for so long from now, in whole seconds; with a key which
    /// is only lent, no longer than that. Whether the blob is there it does not know.
    pub async fn address(&self, key: &BlobKey, time: Duration) -> Result<String, Error> {
        let location = location(key);
        let whole: Path = self.prefix.parts().chain(location.parts()).collect();
        let signed = self.client.signed_url(Method::GET, &whole, time).await;
        signed.map(Into::into).map_err(Error::blobs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::BucketUrl;

    #[tokio::test]
    async fn an_address_is_that_of_the_bucket() {
        let key = BlobKey::generate();
        let object = location(&key);
        for (url, path_style, start) in [
            ("s3://images", true, "https://s3.example/images/"),
            ("s3://images/a b", true, "https://s3.example/images/a%20b/"),
            ("s3://images/a", false, "https://images.s3.example/a/"),
        ] {
            let bucket = Bucket {
                url: BucketUrl::parse(url).unwrap(),
                endpoint: Some("https://s3.example".to_owned()),
                region: Some("there".to_owned()),
                path_style,
                credentials: Some(("key".to_owned(), "secret".to_owned())),
            };
            let signer = Presigner::new(&bucket).unwrap();
            let address = signer.address(&key, Duration::from_mins(2)).await.unwrap();
            let (path, query) = address.split_once('?').unwrap();
            assert_eq!(path, format!("{start}{object}"));
            assert!(query.contains("X-Amz-Expires=120&"), "{query}");
            assert!(query.contains("X-Amz-Credential=key%2F"), "{query}");
            assert!(!address.contains("secret"), "{address}");
        }
    }
}
