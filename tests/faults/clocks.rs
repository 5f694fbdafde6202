//! Nodes whose clocks are an hour off lose nothing, and agree on when something expires: by the clock of
//! the database.

use std::path::Path;
use std::time::Duration;

use model::{KeyName, SigningKey, Timestamp, signed_url};
use reqwest::Client;
use reqwest::multipart::{Form, Part};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::nodes::{SECRET_KEY, blob, client, upload};
use crate::server::{API_TOKEN, Server, Settings};
use crate::until::until;
use crate::{delete, get, listed, picture, postgres};

/// Tells a program another time.
fn faketime() -> String {
    let machine = std::env::consts::ARCH;
    format!("/usr/lib/{machine}-linux-gnu/faketime/libfaketimeMT.so.1")
}

fn wrong_clock(settings: Settings, offset: &str) -> Settings {
    settings
        .variable("LD_PRELOAD", &faketime())
        .variable("FAKETIME", offset)
        .variable("FAKETIME_DONT_FAKE_MONOTONIC", "1")
}

fn has_faketime() -> bool {
    let there = Path::new(&faketime()).exists();
    assert!(
        there || std::env::var_os("CALOTYPE_REQUIRE_SERVERS").is_none_or(|value| value != "1"),
        "faketime is missing: run scripts/setup-tests.sh",
    );
    there
}

/// Three nodes on one database. An S3 server refuses requests of such a time, so that they share a folder.
struct Clocks {
    /// By an hour; it is the first to start, and so the one which sweeps.
    early: Server,
    /// By an hour.
    late: Server,
    right: Server,
    folder: TempDir,
}

impl Clocks {
    fn start() -> Option<Self> {
        let database = postgres::database()?;
        if !has_faketime() {
            return None;
        }
        let folder = tempfile::tempdir().expect("a temporary folder");
        let blobs = format!("file:{}", folder.path().join("blobs").display());
        let settings = || {
            Settings::new()
                .set("database", &database)
                .set("blobs", &blobs)
                .set("secret-key", SECRET_KEY)
                .set("sweep-interval", "50ms")
        };
        Some(Self {
            early: wrong_clock(settings(), "+1h").start(),
            late: wrong_clock(settings(), "-1h").start(),
            right: settings().start(),
            folder,
        })
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn on_postgres_a_clock_which_is_an_hour_off_loses_nothing() {
    let Some(Clocks {
        early,
        late,
        right,
        folder: _folder,
    }) = Clocks::start()
    else {
        return;
    };
    let all = [&right, &late, &early];
    let client = client();
    let mut names = Vec::new();
    for round in 0..8 {
        for (number, node) in all.iter().enumerate() {
            let id = format!("{round}/{number}");
            let (status, answer) = upload(&client, node, &id, id.as_bytes()).await;
            assert_eq!(status, 200, "{answer}");
            names.push(id);
        }
    }
    // The clock of the node which was early rules the times from there on, and no two are equal.
    for node in all {
        for id in &names {
            let (status, bytes) = blob(&client, node, &id.replace('/', "%2F")).await;
            assert_eq!(
                (status.as_u16(), bytes),
                (200, picture::gif(id.as_bytes())),
                "{id}"
            );
        }
        let mut listed = listed(&client, node).await;
        listed.sort();
        let mut expected = names.clone();
        expected.sort();
        assert_eq!(listed, expected);
    }
    for (id, node) in names.iter().zip(all.iter().cycle().skip(1)) {
        assert_eq!(delete(&client, node, id).await, 200, "{id}");
    }
    for node in all {
        assert_eq!(listed(&client, node).await, Vec::<String>::new());
    }
}

/// Asks with the token, and returns the result of what must succeed.
async fn ask(request: reqwest::RequestBuilder) -> Value {
    let answer = request.bearer_auth(API_TOKEN).send().await;
    let answer: Value = answer.expect("an answer").json().await.expect("JSON");
    assert_eq!(answer["success"], true, "{answer}");
    answer["result"].clone()
}

/// A draft made by this node, as its id and the path of its upload URL.
async fn draft(client: &Client, node: &Server, form: Form) -> (String, String) {
    let url = format!("{}/v2/direct_upload", node.images_url());
    let made = ask(client.post(url).multipart(form)).await;
    let text = |name: &str| made[name].as_str().expect("a text").to_owned();
    let url = text("uploadURL");
    let path = url
        .split_once("://")
        .and_then(|(_, rest)| rest.split_once('/'));
    (text("id"), path.expect("a path").1.to_owned())
}

async fn fill(client: &Client, node: &Server, path: &str) -> (u16, Value) {
    let part = Part::bytes(picture::gif(b"mine")).file_name("a.gif");
    let request = client.post(format!("{}/{path}", node.url()));
    let answer = request
        .multipart(Form::new().part("file", part))
        .send()
        .await;
    let answer = answer.expect("an answer");
    (answer.status().as_u16(), answer.json().await.expect("JSON"))
}

/// Whether any file lies there, or in a folder of it.
fn holds_files(folder: &Path) -> bool {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .map(|entry| entry.path())
        .any(|path| !path.is_dir() || holds_files(&path))
}

#[tokio::test(flavor = "multi_thread")]
async fn on_postgres_clocks_which_differ_agree_on_what_expires() {
    let Some(Clocks {
        early,
        late,
        right,
        folder,
    }) = Clocks::start()
    else {
        return;
    };
    let blobs = folder.path().join("blobs");
    let all = [&early, &late, &right];
    let client = client();

    let in_minutes = |minutes| Timestamp::now().after(Duration::from_mins(minutes));
    let mut drafts = Vec::new();
    for maker in all {
        for filler in all {
            drafts.push((draft(&client, maker, Form::new()).await, filler));
            let form = Form::new().text("expiry", in_minutes(5).to_string());
            drafts.push((draft(&client, maker, form).await, filler));
        }
    }
    // Bytes of a deleted image go with the next sweep, behind expired drafts.
    let (status, answer) = upload(&client, &right, "gone", b"gone").await;
    assert_eq!(status, 200, "{answer}");
    assert!(holds_files(&blobs));
    assert_eq!(delete(&client, &right, "gone").await, 200);
    until(async || !holds_files(&blobs)).await;
    for ((id, path), filler) in &drafts {
        let (status, answer) = fill(&client, filler, path).await;
        assert_eq!(status, 200, "{id}: {answer}");
    }
    for node in all {
        let form = Form::new().text("expiry", Timestamp::now().to_string());
        let url = format!("{}/v2/direct_upload", node.images_url());
        let request = client.post(url).multipart(form).bearer_auth(API_TOKEN);
        assert_eq!(request.send().await.expect("an answer").status(), 400);
    }

    let keys = ask(client.get(format!("{}/v1/keys", right.images_url()))).await;
    let key = SigningKey {
        name: KeyName::default_name(),
        value: keys["keys"][0]["value"]
            .as_str()
            .expect("a value")
            .to_owned(),
    };
    let url = format!("{}/v1/{}", right.images_url(), drafts[0].0.0);
    let private = ask(client
        .patch(url)
        .json(&json!({ "requireSignedURLs": true })))
    .await;
    let public = private["variants"][0].as_str().expect("an address");
    let path = public
        .split_once("://")
        .and_then(|(_, rest)| rest.find('/').map(|at| &rest[at..]));
    let signed = |seconds| signed_url::signed_path(&key, path.expect("a path"), Some(seconds));
    let now = Timestamp::now().seconds();
    let uploaded = get(&client, &early, private["id"].as_str().expect("an id"))
        .await
        .1;
    let uploaded = uploaded["result"]["uploaded"]
        .as_str()
        .expect("a time")
        .to_owned();
    assert!(uploaded < in_minutes(10).to_string(), "{uploaded}");
    for node in all {
        for (seconds, expected) in [(now + 600, 200), (now - 600, 403)] {
            let url = format!("{}{}", node.url(), signed(seconds));
            let answer = client.get(url).send().await.expect("an answer");
            assert_eq!(answer.status(), expected, "{seconds}");
        }
        // One for an hour, which is over where the clock is an hour early, or is not yet.
        let minted = ask(client.get(format!("{}/v1/batch_token", node.images_url()))).await;
        let token = minted["token"].as_str().expect("a token");
        for other in all {
            let url = format!("{}/batch/images/v1", other.url());
            let answer = client.get(url).bearer_auth(token).send().await;
            assert_eq!(answer.expect("an answer").status(), 200);
        }
    }
}
