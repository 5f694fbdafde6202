//! Upload, details, edit, delete, blob, stats.

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{ANIMATED, PHOTO, SCRIPT, Server, TRANSPARENT, form, send};

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_answers_with_the_image_object() {
    let server = Server::start().await;
    let texts = [("metadata", r#"{"album":"7"}"#), ("creator", "u42")];
    let answer = server.form("images/v1", form(PHOTO, &texts)).await;
    let image = answer.result();
    let id = image["id"].as_str().unwrap();
    assert_eq!(id.len(), 36);
    assert!(id.ends_with("00"));
    assert_eq!(image["filename"], "cat.png");
    assert_eq!(image["meta"], json!({"album": "7"}));
    assert_eq!(image["creator"], "u42");
    assert_eq!(image["requireSignedURLs"], false);
    let url = format!("{}/{}/{id}/public", server.url, server.account.hash);
    assert_eq!(image["variants"], json!([url]));
    assert!(image.get("draft").is_none());
    let uploaded = image["uploaded"].as_str().unwrap();
    assert!(
        uploaded.len() == 24 && uploaded.ends_with('Z'),
        "{uploaded}"
    );
    assert_eq!(answer.envelope()["result_info"], Value::Null);
    assert_eq!(answer.header("cache-control"), "no-store");

    assert_eq!(server.get(&format!("images/v1/{id}")).await.result(), image);
    let stats = server.get("images/v1/stats").await.result();
    assert_eq!(
        stats,
        json!({"count": {"current": 1, "allowed": 100_000_000}})
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_set_is_null_or_absent() {
    let server = Server::start().await;
    let texts = [("metadata", ""), ("creator", ""), ("requireSignedURLs", "")];
    let image = server.form("images/v1", form(PHOTO, &texts)).await.result();
    assert_eq!(image["creator"], Value::Null);
    assert!(image.get("meta").is_none());
    assert_eq!(image["requireSignedURLs"], false);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_blob_is_what_was_uploaded() {
    let server = Server::start().await;
    for (bytes, format) in [
        (PHOTO, "image/jpeg"),
        (TRANSPARENT, "image/png"),
        (ANIMATED, "image/gif"),
        (SCRIPT, "image/svg+xml"),
    ] {
        let id = server.upload(bytes, &[]).await;
        let path = format!("images/v1/{id}/blob");
        let blob = server.get(&path).await;
        assert_eq!(
            (blob.status.as_u16(), blob.header("content-type")),
            (200, format)
        );
        assert_eq!(blob.bytes, bytes);
        assert_eq!(blob.header("content-length"), bytes.len().to_string());
        assert_eq!(
            blob.header("content-security-policy"),
            "default-src 'none'; sandbox"
        );
        assert_eq!(
            blob.header("content-disposition"),
            "inline; filename*=UTF-8''cat.png"
        );
        assert_eq!(blob.header("cache-control"), "private, no-cache");
        let etag = blob.header("etag");
        let again = server
            .request(Method::GET, &path)
            .header("if-none-match", etag);
        assert_eq!(send(again).await.status, 304);
        let part = server
            .request(Method::GET, &path)
            .header("range", "bytes=2-4");
        let part = send(part).await;
        assert_eq!(
            (part.status.as_u16(), part.bytes.as_slice()),
            (206, &bytes[2..=4])
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_image_answers_to_raw_and_encoded_slashes() {
    let server = Server::start().await;
    let id = server.upload(PHOTO, &[("id", "a/b c%é.png")]).await;
    assert_eq!(id, "a/b c%é.png");
    for path in ["a%2Fb%20c%25%C3%A9.png", "a/b%20c%25%C3%A9.png"] {
        let image = server.get(&format!("images/v1/{path}")).await.result();
        assert_eq!(image["id"], "a/b c%é.png");
        let blob = server.get(&format!("images/v1/{path}/blob")).await;
        assert_eq!(blob.bytes, PHOTO);
    }
    let variants = &server
        .get("images/v1/a%2Fb%20c%25%C3%A9.png")
        .await
        .result()["variants"];
    let url = format!(
        "{}/{}/a/b%20c%25%C3%A9.png/public",
        server.url, server.account.hash
    );
    assert_eq!(*variants, json!([url]));
    assert_eq!(send(server.client.get(url)).await.status, 200);

    let bare_percent = server.head("GET", "images/v1/a/b%20c%%C3%A9.png", "");
    assert!(
        server
            .raw(bare_percent.as_bytes())
            .await
            .starts_with("HTTP/1.1 200")
    );
    let deleted = server.delete("images/v1/a/b%20c%25%C3%A9.png").await;
    assert_eq!(deleted.result(), json!({}));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edit_changes_what_it_names_and_nothing_else() {
    let server = Server::start().await;
    let texts = [("metadata", r#"{"a":1,"b":2}"#), ("creator", "me")];
    let id = server.upload(PHOTO, &texts).await;
    let path = format!("images/v1/{id}");
    let edited = |body: Value| {
        let (server, path) = (&server, &path);
        async move { server.json(Method::PATCH, path, &body).await.result() }
    };
    let image = edited(json!({"metadata": {"c": 3}})).await;
    assert_eq!(
        (&image["meta"], &image["creator"]),
        (&json!({"c": 3}), &json!("me"))
    );
    let image = edited(json!({"creator": ""})).await;
    assert_eq!(
        (&image["meta"], &image["creator"]),
        (&json!({"c": 3}), &Value::Null)
    );
    let image = edited(json!({"metadata": r#"{"d":[4]}"#, "creator": "you"})).await;
    assert_eq!(
        (&image["meta"], &image["creator"]),
        (&json!({"d": [4]}), &json!("you"))
    );
    let image = edited(json!({"metadata": {}, "creator": null})).await;
    assert!(image.get("meta").is_none() && image["creator"].is_null());
    assert_eq!(edited(json!({})).await["id"], id.as_str());
}

#[tokio::test(flavor = "multi_thread")]
async fn another_access_control_gives_another_id_and_back() {
    let server = Server::start().await;
    let open = server.upload(PHOTO, &[]).await;
    let edit = async |id: &str, signed: bool| {
        let body = json!({"requireSignedURLs": signed});
        let answer = server
            .json(Method::PATCH, &format!("images/v1/{id}"), &body)
            .await;
        answer.result()["id"].as_str().unwrap().to_owned()
    };
    let signed = edit(&open, true).await;
    assert_eq!(signed, format!("{}01", &open[..34]));
    assert_eq!(
        server.get(&format!("images/v1/{open}")).await.failure(),
        (404, 5404)
    );
    assert_eq!(
        server.deliver(&format!("{open}/public"), &[]).await.status,
        404
    );
    assert_eq!(edit(&signed, true).await, signed);
    assert_eq!(edit(&signed, false).await, open);

    let custom = server.upload(PHOTO, &[("id", "mine")]).await;
    let body = json!({"requireSignedURLs": true, "creator": "x"});
    let answer = server
        .json(Method::PATCH, &format!("images/v1/{custom}"), &body)
        .await;
    assert_eq!(answer.failure(), (400, 5400));
    assert_eq!(answer.message(), "Private custom ID is not supported");
    assert_eq!(
        server.get("images/v1/mine").await.result()["creator"],
        Value::Null
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_image_is_gone_everywhere() {
    let server = Server::start().await;
    let id = server.upload(PHOTO, &[]).await;
    let delivered = server.deliver(&format!("{id}/public"), &[]).await;
    assert_eq!(delivered.status, 200);
    assert_eq!(server.files("cache"), 1);

    let path = format!("images/v1/{id}");
    assert_eq!(server.delete(&path).await.result(), json!({}));
    assert_eq!(server.files("cache"), 0);
    for answer in [
        server.get(&path).await,
        server.get(&format!("{path}/blob")).await,
        server.delete(&path).await,
        server.json(Method::PATCH, &path, &json!({})).await,
    ] {
        assert_eq!(answer.failure(), (404, 5404));
        assert!(answer.message().contains("not found"));
    }
    assert_eq!(
        server.deliver(&format!("{id}/public"), &[]).await.status,
        404
    );
    assert_eq!(
        server.get("images/v1/stats").await.result()["count"]["current"],
        0
    );
    let swept = server.service.sweep().await.unwrap();
    assert_eq!(swept.blobs, 1);
    assert_eq!(server.files("blobs"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_fifty_uploads_of_one_id_exactly_one_wins() {
    let server = Server::start().await;
    let uploads = (0..50).map(|_| server.form("images/v1", form(PHOTO, &[("id", "one")])));
    let answers = futures_util::future::join_all(uploads).await;
    let won = answers.iter().filter(|answer| answer.status == 200).count();
    assert_eq!(won, 1);
    for lost in answers.iter().filter(|answer| answer.status != 200) {
        assert_eq!(lost.failure(), (409, 5409));
        assert_eq!(lost.message(), "Resource already exists");
        assert_eq!(lost.header("x-should-retry"), "false");
    }
    assert_eq!(server.files("blobs"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn head_answers_like_get_without_a_body() {
    let server = Server::start().await;
    let id = server.upload(PHOTO, &[]).await;
    let head = send(server.request(Method::HEAD, &format!("images/v1/{id}/blob"))).await;
    assert_eq!(head.status, 200);
    assert_eq!(head.header("content-length"), PHOTO.len().to_string());
    assert!(head.bytes.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_account_stores_no_more() {
    let wishes = crate::harness::Wishes {
        limits: model::Limits {
            images_max: Some(1),
            ..model::Limits::default()
        },
        ..Default::default()
    };
    let server = Server::with(wishes).await;
    let id = server.upload(PHOTO, &[]).await;
    let refused = server.form("images/v1", form(PHOTO, &[])).await;
    assert_eq!(refused.failure(), (403, 5453));
    let stats = server.get("images/v1/stats").await.result();
    assert_eq!(stats, json!({"count": {"current": 1, "allowed": 1}}));
    server.delete(&format!("images/v1/{id}")).await.result();
    server.upload(PHOTO, &[]).await;
}
