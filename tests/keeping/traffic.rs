//! What clients do meanwhile, and what was acknowledged to them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use reqwest::multipart::{Form, Part};
use reqwest::{Client, StatusCode};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::picture;
use crate::server::{API_TOKEN, Server};

pub(crate) fn client() -> Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::new()
}

/// Uploads an image whose bytes tell its name.
pub(crate) async fn upload(client: &Client, images_url: &str, id: &str) -> (StatusCode, Value) {
    let file = Part::bytes(picture::gif(id.as_bytes())).file_name("é.gif");
    let form = Form::new()
        .text("id", id.to_owned())
        .text("metadata", json!({ "name": id }).to_string())
        .part("file", file);
    let request = client.post(format!("{images_url}/v1"));
    let sent = request.bearer_auth(API_TOKEN).multipart(form).send().await;
    let answer = sent.expect("the server answers");
    (answer.status(), answer.json().await.expect("JSON"))
}

pub(crate) async fn delete(client: &Client, images_url: &str, id: &str) -> StatusCode {
    let url = format!("{images_url}/v1/{}", id.replace('/', "%2F"));
    let sent = client.delete(url).bearer_auth(API_TOKEN).send().await;
    sent.expect("the server answers").status()
}

async fn edit(client: &Client, images_url: &str, id: &str) -> StatusCode {
    let url = format!("{images_url}/v1/{}", id.replace('/', "%2F"));
    let edit = json!({ "metadata": { "name": id, "edited": true } });
    let request = client.patch(url).bearer_auth(API_TOKEN).json(&edit);
    request.send().await.expect("the server answers").status()
}

/// How many images the statistics count.
pub(crate) async fn count(client: &Client, server: &Server) -> u64 {
    let url = format!("{}/v1/stats", server.images_url());
    let sent = client.get(url).bearer_auth(API_TOKEN).send().await;
    let stats: Value = sent.expect("an answer").json().await.expect("JSON");
    let count = stats["result"]["count"]["current"].as_u64();
    count.unwrap_or_else(|| panic!("{stats}"))
}

/// The uploaded bytes.
pub(crate) async fn blob(client: &Client, server: &Server, id: &str) -> (StatusCode, Vec<u8>) {
    let id = id.replace('/', "%2F");
    let url = format!("{}/v1/{id}/blob", server.images_url());
    let sent = client.get(url).bearer_auth(API_TOKEN).send().await;
    let answer = sent.expect("the server answers");
    let status = answer.status();
    (status, answer.bytes().await.expect("a body").to_vec())
}

/// Images of some names, a variant, a draft, an edited image and one which is gone.
pub(crate) async fn fill(server: &Server, images: usize) {
    let (client, url) = (client(), server.images_url());
    for number in 0..images {
        let (status, answer) = upload(&client, &url, &format!("first/{number}")).await;
        assert_eq!(status, 200, "{answer}");
    }
    let variant = json!({ "id": "thumb", "options": { "fit": "cover", "width": 9, "height": 9 } });
    let made = client.post(format!("{url}/v1/variants")).json(&variant);
    let made = made.bearer_auth(API_TOKEN).send().await;
    assert_eq!(made.expect("an answer").status(), 200);
    let draft = Form::new().text("id", "draft/one");
    let made = client
        .post(format!("{url}/v2/direct_upload"))
        .multipart(draft);
    let made = made.bearer_auth(API_TOKEN).send().await;
    assert_eq!(made.expect("an answer").status(), 200);
    let edited = client.patch(format!("{url}/v1/first%2F0"));
    let edited = edited.json(&json!({ "metadata": { "edited": true }, "creator": "eve" }));
    let edited = edited.bearer_auth(API_TOKEN).send().await;
    assert_eq!(edited.expect("an answer").status(), 200);
    assert_eq!(delete(&client, &url, "first/1").await, 200);
}

/// A client which uploads, edits, deletes, and uploads again under the same name until it is told to
/// end.
pub(crate) struct Traffic {
    ending: Arc<AtomicBool>,
    task: JoinHandle<Acknowledged>,
}

/// What a client knows.
#[derive(Debug, Default)]
pub(crate) struct Acknowledged {
    /// Whether each image it ever named must be there.
    pub(crate) images: BTreeMap<String, bool>,
    /// Requests which were refused with 503.
    pub(crate) refused: u64,
}

impl Acknowledged {
    async fn upload(&mut self, client: &Client, images_url: &str, id: String) {
        match upload(client, images_url, &id).await {
            (StatusCode::OK, _) => drop(self.images.insert(id, true)),
            (StatusCode::SERVICE_UNAVAILABLE, _) => self.refused += 1,
            (status, answer) => panic!("{status} {answer}"),
        }
    }
}

impl Traffic {
    pub(crate) fn start(server: &Server, name: &'static str) -> Self {
        let ending = Arc::new(AtomicBool::new(false));
        let (told, url) = (Arc::clone(&ending), server.images_url());
        let task = tokio::spawn(async move {
            let client = client();
            let mut known = Acknowledged::default();
            let mut number = 0;
            while !told.load(Ordering::SeqCst) {
                number += 1;
                let id = format!("{name}/{number}");
                known.upload(&client, &url, id.clone()).await;
                if number % 4 == 0 && known.images.contains_key(&id) {
                    match edit(&client, &url, &id).await {
                        StatusCode::OK => {}
                        StatusCode::SERVICE_UNAVAILABLE => known.refused += 1,
                        status => panic!("{status}"),
                    }
                }
                if number % 3 == 0 {
                    let id = format!("{name}/{}", number - 1);
                    match delete(&client, &url, &id).await {
                        StatusCode::OK => {
                            known.images.insert(id.clone(), false);
                            if number % 6 == 0 {
                                known.upload(&client, &url, id).await;
                            }
                        }
                        StatusCode::SERVICE_UNAVAILABLE => known.refused += 1,
                        StatusCode::NOT_FOUND if !known.images.contains_key(&id) => {}
                        status => panic!("{status}"),
                    }
                }
            }
            known
        });
        Self { ending, task }
    }

    pub(crate) async fn end(self) -> Acknowledged {
        self.ending.store(true, Ordering::SeqCst);
        self.task.await.expect("the client does not panic")
    }
}
