//! Drafts and their one-time upload URLs.

use chrono::{Duration, SecondsFormat, Utc};
use model::{Image, ImageId, Timestamp};
use reqwest::Method;
use serde_json::{Value, json};
use store::Catalog as _;

use crate::harness::{Answer, PHOTO, Server, form, send, text_form};

async fn draft(server: &Server, texts: &[(&str, &str)]) -> (String, String) {
    let answer = server
        .form("images/v2/direct_upload", text_form(texts))
        .await;
    let result = answer.result();
    let text = |name: &str| result[name].as_str().unwrap().to_owned();
    (text("id"), text("uploadURL"))
}

async fn send_file(server: &Server, url: &str, bytes: &[u8]) -> Answer {
    send(
        server
            .client
            .post(url)
            .multipart(form(bytes, &[("id", "ignored")])),
    )
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_draft_becomes_an_image_once() {
    let server = Server::start().await;
    let texts = [("metadata", r#"{"user":"42"}"#), ("creator", "u42")];
    let (id, url) = draft(&server, &texts).await;
    assert_eq!(
        url,
        format!("{}/upload/{}/{id}", server.url, server.account.hash)
    );

    let path = format!("images/v1/{id}");
    let image = server.get(&path).await.result();
    assert_eq!(
        (&image["draft"], &image["meta"]),
        (&json!(true), &json!({"user": "42"}))
    );
    assert!(image.get("filename").is_none());
    for list in ["images/v1", "images/v2"] {
        assert_eq!(server.get(list).await.result()["images"], json!([]));
    }
    assert_eq!(
        server.get(&format!("{path}/blob")).await.failure(),
        (404, 5404)
    );
    assert_eq!(
        server.deliver(&format!("{id}/public"), &[]).await.status,
        404
    );

    for refused in [&b"no image"[..], b""] {
        assert_eq!(
            send_file(&server, &url, refused).await.failure(),
            (415, 5455)
        );
    }
    let without = send(server.client.post(&url).multipart(text_form(&[("a", "b")]))).await;
    assert_eq!(without.failure(), (400, 5400));
    let raw = send(server.client.post(&url).body("bytes")).await;
    assert_eq!(raw.failure(), (415, 5415));

    let answer = send_file(&server, &url, PHOTO).await;
    assert_eq!(answer.header("access-control-allow-origin"), "*");
    let shown = answer.result();
    assert_eq!(shown["id"], id.as_str());
    assert_eq!(shown["filename"], "cat.png");
    for private in ["meta", "creator", "draft"] {
        assert!(shown.get(private).is_none(), "{shown}");
    }
    let stored = server.get(&path).await.result();
    assert!(stored.get("draft").is_none());
    assert_eq!(stored["creator"], "u42");
    assert!(stored["uploaded"].as_str() >= image["uploaded"].as_str());
    assert_eq!(
        server.get("images/v2").await.result()["images"],
        json!([stored])
    );
    let used = send_file(&server, &url, PHOTO).await;
    assert_eq!(used.failure(), (409, 5409));
    assert_eq!(server.files("blobs"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_fifty_end_users_exactly_one_wins() {
    let server = Server::start().await;
    let (_, url) = draft(&server, &[]).await;
    let uploads = (0..50).map(|_| send_file(&server, &url, PHOTO));
    let answers = futures_util::future::join_all(uploads).await;
    let won = answers.iter().filter(|answer| answer.status == 200).count();
    assert_eq!(won, 1);
    for lost in answers.iter().filter(|answer| answer.status != 200) {
        assert_eq!(lost.failure(), (409, 5409));
    }
    assert_eq!(server.files("blobs"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn custom_ids_are_encoded_in_the_upload_url() {
    let server = Server::start().await;
    let (id, url) = draft(&server, &[("id", "shop/a 1.png")]).await;
    assert_eq!(id, "shop/a 1.png");
    assert!(url.ends_with("/shop%2Fa%201.png"), "{url}");
    let taken = server.form(
        "images/v2/direct_upload",
        text_form(&[("id", "shop/a 1.png")]),
    );
    assert_eq!(taken.await.failure(), (409, 5409));
    let taken = server
        .form("images/v1", form(PHOTO, &[("id", "shop/a 1.png")]))
        .await;
    assert_eq!(taken.failure(), (409, 5409));
    assert_eq!(
        send_file(&server, &url, PHOTO).await.result()["id"],
        "shop/a 1.png"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn expiry_has_bounds() {
    let server = Server::start().await;
    let moment = |seconds: i64| {
        let moment = Utc::now() + Duration::seconds(seconds);
        moment.to_rfc3339_opts(SecondsFormat::Micros, false)
    };
    for (expiry, accepted) in [
        (moment(120), true),
        (moment(6 * 3_600), true),
        (moment(60), false),
        (moment(7 * 3_600), false),
        (moment(-60), false),
        ("soon".to_owned(), false),
    ] {
        let texts = [("expiry", expiry.as_str())];
        let answer = server
            .form("images/v2/direct_upload", text_form(&texts))
            .await;
        if accepted {
            answer.result();
        } else {
            assert_eq!(answer.failure(), (400, 5400), "{expiry}");
        }
    }
    let late = moment(60);
    let answer = server.form("images/v2/direct_upload", text_form(&[("expiry", &late)]));
    assert_eq!(answer.await.message(), "expiry is out of accepted bound.");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_upload_url_is_gone_and_says_so() {
    let server = Server::start().await;
    let now = Timestamp::now();
    let id = ImageId::generate(false);
    let draft = |id: &ImageId, expires| Image {
        id: id.clone(),
        filename: None,
        metadata: None,
        creator: None,
        uploaded: now,
        require_signed_urls: false,
        source: None,
        draft_expires: Some(expires),
    };
    let account = &server.account;
    let insert = |image| server.catalog.insert_image(&account.id, image, None);
    insert(draft(&id, now)).await.unwrap();
    let url = format!("{}/upload/{}/{id}", server.url, account.hash);
    let expired = send_file(&server, &url, PHOTO).await;
    assert_eq!(expired.failure(), (410, 5404));
    assert_eq!(expired.message(), "Upload URL has expired");
    server.service.sweep().await.unwrap();
    assert_eq!(send_file(&server, &url, PHOTO).await.status, 410);

    let old = ImageId::generate(false);
    let an_hour_ago = now.before(std::time::Duration::from_hours(1));
    insert(draft(&old, an_hour_ago)).await.unwrap();
    assert_eq!(server.service.sweep().await.unwrap().drafts, 1);
    let url = format!("{}/upload/{}/{old}", server.url, account.hash);
    assert_eq!(send_file(&server, &url, PHOTO).await.failure(), (404, 5404));
    assert_eq!(server.files("blobs"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_upload_urls_are_not_found() {
    let server = Server::start().await;
    let hash = &server.account.hash;
    let (other, _) = server.another_account().await;
    let (id, _) = draft(&server, &[]).await;
    for path in [
        format!("{hash}/3f0e8c52-7a1d-4b66-9c0f-5d2a81e47b00"),
        format!("{}/{id}", other.hash),
        format!("wrong/{id}"),
        format!("{hash}"),
        String::new(),
    ] {
        let url = format!("{}/upload/{path}", server.url);
        assert_eq!(
            send_file(&server, &url, PHOTO).await.failure(),
            (404, 5404),
            "{path}"
        );
    }
    let other_method = send(
        server
            .client
            .get(format!("{}/upload/{hash}/{id}", server.url)),
    )
    .await;
    assert_eq!(other_method.failure(), (405, 10_000));
    assert_eq!(other_method.header("allow"), "POST, OPTIONS");
}

#[tokio::test(flavor = "multi_thread")]
async fn browsers_may_upload_from_any_page() {
    let server = Server::start().await;
    let (_, url) = draft(&server, &[]).await;
    let preflight = server
        .client
        .request(Method::OPTIONS, &url)
        .header("origin", "https://shop.example")
        .header("access-control-request-method", "POST")
        .header("access-control-request-headers", "x-requested-with");
    let answer = send(preflight).await;
    assert_eq!(answer.status, 204);
    assert_eq!(answer.header("access-control-allow-origin"), "*");
    assert_eq!(
        answer.header("access-control-allow-methods"),
        "POST, OPTIONS"
    );
    assert_eq!(
        answer.header("access-control-allow-headers"),
        "x-requested-with"
    );
    assert_eq!(answer.header("access-control-max-age"), "86400");
    let refused = send_file(&server, &url, b"no image").await;
    assert_eq!(refused.header("access-control-allow-origin"), "*");
    // The management API is not for browsers.
    assert_eq!(
        server
            .get("images/v1")
            .await
            .header("access-control-allow-origin"),
        ""
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn version_one_takes_json_or_nothing() {
    let server = Server::start().await;
    let path = "images/v1/direct_upload";
    let nothing = send(server.request(Method::POST, path)).await.result();
    assert!(nothing["uploadURL"].is_string());
    let body = json!({"metadata": {"a": 1}, "requireSignedURLs": true});
    let made = server.json(Method::POST, path, &body).await.result();
    let id = made["id"].as_str().unwrap();
    assert!(id.ends_with("01"));
    let image = server.get(&format!("images/v1/{id}")).await.result();
    assert_eq!(image["meta"], json!({"a": 1}));
    assert_eq!(image["requireSignedURLs"], Value::Bool(true));
    let no_type = send(server.request(Method::POST, "images/v2/direct_upload")).await;
    assert!(no_type.result()["id"].is_string());
    let bad = server.json(Method::POST, path, &json!({"expiry": 5})).await;
    assert_eq!(bad.failure(), (400, 5400));
}
