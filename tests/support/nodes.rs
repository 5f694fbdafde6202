//! Servers on one PostgreSQL and one bucket, and what clients ask of them.

#![allow(dead_code, reason = "each test program uses a part of it")]

use reqwest::multipart::{Form, Part};
use reqwest::{Client, Response, StatusCode};
use serde_json::Value;

use crate::server::{ACCOUNT_HASH, API_TOKEN, Server, Settings};
use crate::{picture, postgres, s3};

/// The key of every node.
pub(crate) const SECRET_KEY: &str =
    "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

/// Servers which share everything but their data folders.
pub(crate) struct Nodes {
    /// Where the records are.
    pub(crate) database: String,
    /// Where the bytes are.
    pub(crate) bucket: s3::Prefix,
}

impl Nodes {
    /// Without the servers behind them the test is not run.
    pub(crate) fn new() -> Option<Self> {
        Some(Self {
            database: postgres::database()?,
            bucket: s3::prefix()?,
        })
    }

    pub(crate) fn settings(&self) -> Settings {
        Settings::new()
            .set("database", &self.database)
            .set("blobs", &self.bucket.url)
            .set("s3-endpoint", &self.bucket.endpoint)
            .set("s3-access-key-id", s3::KEY.0)
            .set("s3-secret-access-key", s3::KEY.1)
            .set("secret-key", SECRET_KEY)
            .set("sweep-interval", "100ms")
    }

    pub(crate) fn start(&self) -> Server {
        self.settings().start()
    }

    /// Two of them, which start at the same time.
    pub(crate) fn start_two(&self) -> (Server, Server) {
        std::thread::scope(|scope| {
            let other = scope.spawn(|| self.start());
            (self.start(), other.join().expect("it starts"))
        })
    }
}

pub(crate) fn client() -> Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::new()
}

pub(crate) async fn upload(
    client: &Client,
    node: &Server,
    id: &str,
    comment: &[u8],
) -> (StatusCode, Value) {
    let form = Form::new().text("id", id.to_owned()).part(
        "file",
        Part::bytes(picture::gif(comment)).file_name("a.gif"),
    );
    let request = client.post(format!("{}/v1", node.images_url()));
    let sent = request.bearer_auth(API_TOKEN).multipart(form).send().await;
    let answer = sent.expect("the node answers");
    (answer.status(), answer.json().await.expect("JSON"))
}

pub(crate) async fn deliver(client: &Client, node: &Server, id: &str) -> Response {
    let url = format!("{}/{ACCOUNT_HASH}/{id}/public", node.url());
    client.get(url).send().await.expect("the node answers")
}

pub(crate) async fn blob(client: &Client, node: &Server, id: &str) -> (StatusCode, Vec<u8>) {
    let url = format!("{}/v1/{id}/blob", node.images_url());
    let sent = client.get(url).bearer_auth(API_TOKEN).send().await;
    let answer = sent.expect("the node answers");
    let status = answer.status();
    (status, answer.bytes().await.expect("a body").to_vec())
}
