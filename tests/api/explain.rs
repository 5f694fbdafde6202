//! `?explain=1` and `Server-Timing`: for those who may know, and as if not there for all others.

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{Answer, PHOTO, Server, Wishes, send};
use crate::origin::Origin;

const AV: &str = "image/avif,image/webp";

async fn explain(server: &Server, url: &str, token: &str, host: &str) -> Answer {
    let request = server.client.get(url).header("accept", AV);
    let request = request.header("host", host).bearer_auth(token);
    send(request).await
}

fn json_of(answer: &Answer) -> Value {
    assert_eq!(
        answer.header("content-type"),
        "application/json",
        "{}",
        answer.text()
    );
    assert_eq!(answer.header("cache-control"), "no-store");
    serde_json::from_slice(&answer.bytes).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_is_explained_to_its_account_alone() {
    let server = Server::start().await;
    let id = server.upload(PHOTO, &[]).await;
    let path = format!("/{}/{id}/public", server.account.hash);
    let url = format!("{}{path}?explain=1", server.url);
    let explained = json_of(&explain(&server, &url, &server.token, "test").await);
    assert_eq!(explained["path"], path);
    assert_eq!(explained["image"], id);
    assert_eq!(explained["variant"], "public");
    assert_eq!(explained["accepts"], json!({"avif": true, "webp": true}));
    assert_eq!(explained["status"], 200);
    assert_eq!(explained["format"]["chosen"], "image/avif");
    assert_eq!(
        explained["format"]["why"],
        "the best which the client names in Accept"
    );
    assert_eq!(explained["cache"]["tier"], "miss");
    assert_eq!(explained["cache"]["key"].as_str().unwrap().len(), 64);
    assert_eq!(
        explained["source"],
        json!({"bytes": PHOTO.len(), "format": "image/jpeg"})
    );
    assert!(explained["milliseconds"]["render"].as_f64() > Some(0.0));
    assert_eq!(explained["headers"]["vary"], "Accept");
    let again = json_of(&explain(&server, &url, &server.token, "test").await);
    assert_eq!(again["cache"]["tier"], "memory");
    assert_eq!(again["milliseconds"], Value::Null);
    assert_eq!(again["cache"]["key"], explained["cache"]["key"]);

    let plain = server
        .deliver(&format!("{id}/public"), &[("accept", AV)])
        .await;
    assert_eq!(explained["headers"]["etag"], plain.header("etag"));
    assert_eq!(explained["bytes"], plain.bytes.len());
    let (_, stranger) = server.another_account().await;
    for token in [stranger.as_str(), "wrong", "two words"] {
        let answer = explain(&server, &url, token, "test").await;
        assert_eq!(answer.bytes, plain.bytes, "{token}");
        assert_eq!(answer.header("etag"), plain.header("etag"));
    }
    let without = server
        .deliver(&format!("{id}/public?explain=1"), &[("accept", AV)])
        .await;
    assert_eq!(without.bytes, plain.bytes);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_is_explained_with_what_is_signed() {
    let server = Server::start().await;
    let id = server.upload(PHOTO, &[("requireSignedURLs", "true")]).await;
    let path = format!("/{}/{id}/public", server.account.hash);
    let url = format!("{}{path}?exp=4000000000&sig=00&explain=1", server.url);
    let explained = json_of(&explain(&server, &url, &server.token, "test").await);
    assert_eq!(explained["status"], 403);
    assert_eq!(explained["headers"]["cf-images"], "err=9425");
    let texts = explained["signature_covers_one_of"].as_array().unwrap();
    assert!(
        texts.contains(&format!("{path}?exp=4000000000").into()),
        "{texts:?}"
    );

    // The word does not stand in the way of a signature, with a token or without.
    let keys = server.get("images/v1/keys").await.result();
    let key = model::SigningKey {
        name: model::KeyName::default_name(),
        value: keys["keys"][0]["value"].as_str().unwrap().to_owned(),
    };
    let signed = model::signed_url::signed_path(&key, &path, Some(4_000_000_000));
    let url = format!("{}{signed}&explain=1", server.url);
    let explained = json_of(&explain(&server, &url, &server.token, "test").await);
    assert_eq!(explained["status"], 200, "{explained}");
    let picture = explain(&server, &url, "wrong", "test").await;
    assert_eq!(picture.header("content-type"), "image/avif");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_remote_image_is_explained_without_asking_the_origin_otherwise() {
    let origin = Origin::of("", PHOTO).await;
    let server = Server::with(Wishes::zones("zone.test", &[("zone.test", &origin)])).await;
    let url = format!(
        "{}/cdn-cgi/image/width=20,f=auto/a.jpg?v=1&explain=1",
        server.url
    );
    let explained = json_of(&explain(&server, &url, &server.token, "zone.test").await);
    assert_eq!(explained["zone"], "zone.test");
    assert_eq!(explained["source_asked"], "a.jpg?v=1");
    assert_eq!(explained["option_list"], "width=20,f=auto");
    assert_eq!(explained["options"], "format=auto,width=20");
    assert_eq!(explained["source"]["bytes"], PHOTO.len());
    let picture = explain(&server, &url, "wrong", "zone.test").await;
    assert_eq!(picture.header("content-type"), "image/avif");
    // Without a token it is a word of the source.
    assert_eq!(origin.targets(), ["/a.jpg?v=1", "/a.jpg?v=1&explain=1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn where_the_time_went_is_said_where_the_operator_wants_it() {
    let wishes = Wishes {
        server_timing: true,
        ..Wishes::default()
    };
    let server = Server::with(wishes).await;
    let id = server.upload(PHOTO, &[]).await;
    let path = format!("{id}/public");
    let made = server.deliver(&path, &[]).await;
    let timing = made.header("server-timing");
    assert!(
        timing.starts_with("cache;desc=\"miss\", queue;dur="),
        "{timing}"
    );
    assert!(
        timing.contains(", load;dur=") && timing.contains(", render;dur="),
        "{timing}"
    );
    let kept = server.deliver(&path, &[]).await;
    assert_eq!(kept.header("server-timing"), "cache;desc=\"memory\"");
    let quiet = Server::start().await;
    let id = quiet.upload(PHOTO, &[]).await;
    assert_eq!(
        quiet
            .deliver(&format!("{id}/public"), &[])
            .await
            .header("server-timing"),
        ""
    );
    assert_eq!(
        quiet
            .request(Method::GET, "images/v1/keys")
            .send()
            .await
            .unwrap()
            .status(),
        200
    );
}
