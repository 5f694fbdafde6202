//! Requests to buckets which are not this server's own, signed with the keys of their owners (AWS
//! Signature Version 4).

use object_store::aws::{AwsAuthorizer, AwsCredential};
use object_store::client::{HttpRequest, HttpRequestBody};
use reqwest::Url;
use reqwest::header::HeaderMap;

use crate::Error;

/// The headers by which an S3-compatible store knows whose a `GET` of this address is, for a quarter
/// of an hour.
pub fn sign_s3(
    url: &Url,
    region: &str,
    access_key_id: &str,
    secret_access_key: &str,
) -> Result<HeaderMap, Error> {
    // The program has done so; tests may not have.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let credential = AwsCredential {
        key_id: access_key_id.to_owned(),
        secret_key: secret_access_key.to_owned(),
        token: None,
    };
    let mut request = HttpRequest::new(HttpRequestBody::empty());
    *request.uri_mut() = url.as_str().parse().map_err(Error::blobs)?;
    AwsAuthorizer::new(&credential, "s3", region)
        .try_authorize(&mut request, None)
        .map_err(Error::blobs)?;
    Ok(request.into_parts().0.headers)
}
