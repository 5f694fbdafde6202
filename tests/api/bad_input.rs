//! Bytes which are no image, ids which are none, bodies which say too little or too much.

use std::time::Duration;

use model::Timestamp;
use reqwest::Method;
use serde_json::json;
use store::Catalog as _;

use crate::harness::{PHOTO, Server, form, send};

async fn assert_untouched(server: &Server) {
    let stats = server.get("images/v1/stats").await.result();
    assert_eq!(stats["count"]["current"], 0);
    assert_eq!(server.files("blobs"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_image_is_refused() {
    let server = Server::start().await;
    let html = b"<!doctype html><html><script>alert(1)</script></html>";
    let truncated = &PHOTO[..PHOTO.len() / 2];
    let tiff = b"II*\0\x08\0\0\0\0\0\0\0\0\0";
    for bytes in [
        &b""[..],
        b"GIF89a",
        b"text called image/png",
        html,
        b"{\"json\": true}",
        tiff,
        truncated,
        &PHOTO[..20],
    ] {
        let answer = server.form("images/v1", form(bytes, &[])).await;
        assert_eq!(answer.status, 415, "{:?}", String::from_utf8_lossy(bytes));
        assert_eq!(answer.failure(), (415, 5455));
        assert!(
            answer
                .message()
                .starts_with("Uploaded image must have image/jpeg")
        );
    }
    assert_untouched(&server).await;
    // Neither do the keys stay which were reserved for them, and for others beforehand.
    let late = Timestamp::now().after(Duration::from_hours(48));
    server.service.end().await.unwrap();
    let reserved = server.catalog.abandoned_blobs(late, 1_000).await.unwrap();
    assert_eq!(reserved, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn giants_are_refused_by_their_header() {
    let server = Server::start().await;
    for bytes in [
        &include_bytes!("../pictures/bomb_65535.png")[..],
        include_bytes!("../pictures/bomb_65535.jpg"),
    ] {
        let answer = server.form("images/v1", form(bytes, &[])).await;
        assert_eq!(answer.failure(), (400, 5400));
        assert!(
            answer.message().contains("too large"),
            "{}",
            answer.message()
        );
    }
    assert_untouched(&server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ids_follow_the_rules() {
    let server = Server::start().await;
    let long = "a".repeat(1_025);
    for id in [
        "..",
        ".",
        "a/../b",
        "/a",
        "a/",
        "a//b",
        long.as_str(),
        "3F0e8c52-7a1d-4b66-9c0f-5d2a81e47b00",
        "stats",
        "keys",
        "variants",
        "config",
        "batch_token",
        "direct_upload",
        "a\u{0}b",
        "a\nb",
    ] {
        for path in ["images/v1", "images/v2/direct_upload"] {
            let answer = server.form(path, form(PHOTO, &[("id", id)])).await;
            assert_eq!(answer.failure(), (400, 5400), "{path} {id:?}");
        }
    }
    let uuid = [("id", "3f0e8c52-7a1d-4b66-9c0f-5d2a81e47b00")];
    let answer = server.form("images/v1", form(PHOTO, &uuid)).await;
    assert_eq!(answer.message(), "CustomID must not be UUID");
    let private = [("id", "mine"), ("requireSignedURLs", "true")];
    for path in ["images/v1", "images/v2/direct_upload"] {
        let answer = server.form(path, form(PHOTO, &private)).await;
        assert_eq!(answer.failure(), (400, 5400));
        assert_eq!(answer.message(), "Private custom ID is not supported");
    }
    assert_untouched(&server).await;

    let longest = "é".repeat(1_024);
    for id in [longest.as_str(), "keys/a", "x/blob", "a b+c?d#e", "…/✓.png"] {
        assert_eq!(server.upload(PHOTO, &[("id", id)]).await, id);
        let encoded = percent_encoding::utf8_percent_encode(id, percent_encoding::NON_ALPHANUMERIC);
        let path = format!("images/v1/{encoded}");
        assert_eq!(server.get(&path).await.result()["id"], id);
        assert_eq!(server.get(&format!("{path}/blob")).await.bytes, PHOTO);
        server.delete(&path).await.result();
    }
    assert_eq!(server.get("images/v1/%FF%00").await.failure(), (404, 5404));
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_of_edits_are_checked_and_change_nothing() {
    let server = Server::start().await;
    let id = server.upload(PHOTO, &[("creator", "me")]).await;
    let path = format!("images/v1/{id}");
    for body in [
        json!([]),
        json!("x"),
        json!({"metadata": [1]}),
        json!({"metadata": 5}),
        json!({"metadata": "[1]"}),
        json!({"metadata": {"a": "x".repeat(1_100)}}),
        json!({"requireSignedURLs": "true"}),
        json!({"creator": 5}),
        json!({"creator": "c".repeat(1_025)}),
        json!({"creator": "you", "requireSignedURLs": 1}),
    ] {
        let answer = server.json(Method::PATCH, &path, &body).await;
        assert_eq!(answer.failure(), (400, 5400), "{body}");
    }
    let broken = server.request(Method::PATCH, &path).body("{");
    assert_eq!(send(broken).await.failure(), (400, 5400));
    let deep = format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000));
    let deep = server
        .request(Method::PATCH, &path)
        .body(format!("{{\"metadata\":{deep}}}"));
    assert_eq!(send(deep).await.failure(), (400, 5400));
    let endless = server
        .request(Method::PATCH, &path)
        .body(vec![b' '; 2 * 1024 * 1024]);
    assert_eq!(send(endless).await.failure(), (400, 5400));
    assert_eq!(server.get(&path).await.result()["creator"], "me");
    let untyped = server
        .request(Method::PATCH, &path)
        .header("content-type", "text/plain")
        .body(r#"{"creator":"you"}"#);
    assert_eq!(send(untyped).await.result()["creator"], "you");
}
