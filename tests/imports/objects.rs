//! A part of a bucket, with whatever keys.

use object_store::aws::{AwsAuthorizer, AwsCredential};
use object_store::client::{HttpRequest, HttpRequestBody};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::Client;
use serde_json::{Value, json};

use crate::s3;

const ENCODED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b'/');

pub(crate) struct Bucket {
    pub(crate) endpoint: String,
    prefix: String,
    client: Client,
}

impl Bucket {
    pub(crate) fn new() -> Option<Self> {
        let prefix = s3::prefix()?;
        let client = crate::nodes::client();
        let path = prefix.url.strip_prefix("s3://images/").expect("its bucket");
        Some(Self {
            endpoint: prefix.endpoint.clone(),
            prefix: format!("{path}-import"),
            client,
        })
    }

    /// What a client says of it.
    pub(crate) fn source(&self) -> Value {
        json!({
            "name": "old bucket",
            "bucket": "images",
            "endpoint": self.endpoint,
            "access_key_id": s3::KEY.0,
            "secret_access_key": s3::KEY.1,
        })
    }

    /// A path in the part of the bucket.
    pub(crate) fn path(&self, path: &str) -> String {
        let (start, path) = match path.strip_prefix('/') {
            Some(path) => ("/", path),
            None => ("", path),
        };
        format!("{start}{}/{path}", self.prefix)
    }

    pub(crate) async fn put(&self, key: &str, bytes: Vec<u8>) {
        let path = self.path(key);
        let path = utf8_percent_encode(&path, ENCODED);
        let url = format!("{}/images/{path}", self.endpoint);
        let credential = AwsCredential {
            key_id: s3::KEY.0.to_owned(),
            secret_key: s3::KEY.1.to_owned(),
            token: None,
        };
        let mut request = HttpRequest::new(HttpRequestBody::from(bytes.clone()));
        *request.method_mut() = reqwest::Method::PUT;
        *request.uri_mut() = url.parse().expect("an address");
        let signed = AwsAuthorizer::new(&credential, "s3", "us-east-1");
        let signed = signed.try_authorize(&mut request, None);
        signed.expect("it can be signed");
        let headers = request.into_parts().0.headers;
        let length = bytes.len();
        let put = self.client.put(url).headers(headers).body(bytes);
        // Of an empty body there is none otherwise.
        let put = put.header(reqwest::header::CONTENT_LENGTH, length);
        let answer = put.send().await.expect("the store answers");
        let status = answer.status();
        assert_eq!(status, 200, "{key}: {:?}", answer.text().await);
    }
}
