//! Private images and the URLs which open them.

use model::{KeyName, SigningKey, Timestamp, signed_url};
use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{Answer, PHOTO, Server, send};

const DENIED: &str = "ERROR 9425: Image access denied: ";

fn keys(result: &Value) -> Vec<SigningKey> {
    let keys = result["keys"].as_array().unwrap().iter();
    keys.map(|key| SigningKey {
        name: KeyName::parse(key["name"].as_str().unwrap()).unwrap(),
        value: key["value"].as_str().unwrap().to_owned(),
    })
    .collect()
}

async fn get(server: &Server, path: &str) -> Answer {
    send(server.client.get(format!("{}{path}", server.url))).await
}

fn assert_refused(answer: &Answer, reason: &str) {
    assert_eq!(answer.status, 403, "{}", answer.text());
    assert_eq!(answer.text(), format!("{DENIED}{reason}"));
    assert_eq!(answer.header("cf-images"), "err=9425");
}

const MISMATCH: &str = "check failed: Malformed data found: The URL signature does not match. Expecting SHA-256 HMAC of the path without domain nor query string";

#[tokio::test(flavor = "multi_thread")]
async fn a_private_image_opens_to_its_signature_alone() {
    let server = Server::start().await;
    let id = server.upload(PHOTO, &[("requireSignedURLs", "true")]).await;
    assert!(id.ends_with("01"));
    let other = server.upload(PHOTO, &[("requireSignedURLs", "true")]).await;
    let body = json!({"id": "thumb", "options": {"width": 10}});
    server
        .json(Method::POST, "images/v1/variants", &body)
        .await
        .result();
    let key = &keys(&server.get("images/v1/keys").await.result())[0];
    let hash = &server.account.hash;
    let path = format!("/{hash}/{id}/public");
    let prefixed = format!("/cdn-cgi/imagedelivery{path}");
    let now = Timestamp::now().seconds();

    for opened in [&path, &prefixed] {
        for signed in [&path, &prefixed] {
            let signature = signed_url::sign(key, signed, None);
            let answer = get(&server, &format!("{opened}?sig={signature}")).await;
            assert_eq!(answer.status, 200, "{opened} signed as {signed}");
            assert_eq!(answer.header("cache-control"), "private, max-age=3600");
        }
    }
    let fresh = signed_url::signed_path(key, &path, Some(now + 1_000));
    let answer = get(&server, &fresh).await;
    assert_eq!(answer.status, 200);
    let age = answer
        .header("cache-control")
        .strip_prefix("private, max-age=")
        .unwrap();
    assert!(
        (900..=1_000).contains(&age.parse::<i64>().unwrap()),
        "{age}"
    );
    assert_eq!(
        get(&server, &format!("{fresh}&utm_source=mail"))
            .await
            .status,
        200
    );
    let far = get(
        &server,
        &signed_url::signed_path(key, &path, Some(4_102_444_800)),
    )
    .await;
    assert_eq!(far.header("cache-control"), "private, max-age=172800");

    assert_refused(
        &get(&server, &path).await,
        "This image requires a signed URL",
    );
    let expired = signed_url::signed_path(key, &path, Some(now - 10));
    assert_refused(
        &get(&server, &expired).await,
        "The URL signature has expired",
    );
    let signature = signed_url::sign(key, &path, None);
    for wrong in [
        format!("{path}?sig={}", "0".repeat(64)),
        format!("{path}?sig={}", &signature[1..]),
        format!("/{hash}/{other}/public?sig={signature}"),
        format!("/{hash}/{id}/thumb?sig={signature}"),
    ] {
        assert_refused(&get(&server, &wrong).await, MISMATCH);
    }
    let moved = signed_url::signed_path(key, &path, Some(now + 1_000));
    let moved = moved.replace(
        &format!("exp={}", now + 1_000),
        &format!("exp={}", now + 2_000),
    );
    assert_refused(&get(&server, &moved).await, MISMATCH);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signature_is_asked_for_before_any_cache() {
    let server = Server::start().await;
    let id = server.upload(PHOTO, &[("requireSignedURLs", "true")]).await;
    let key = keys(&server.get("images/v1/keys").await.result())[0].clone();
    let path = format!("/{}/{id}/public", server.account.hash);
    let signed = signed_url::signed_path(&key, &path, None);
    let answer = get(&server, &signed).await;
    assert_eq!(answer.status, 200);
    let conditional = server.client.get(format!("{}{path}", server.url));
    let conditional = conditional.header("if-none-match", answer.header("etag"));
    assert_eq!(send(conditional).await.status, 403);

    let rotated = send(server.request(Method::PUT, "images/v1/keys/default"))
        .await
        .result();
    assert_refused(&get(&server, &signed).await, MISMATCH);
    let renewed = signed_url::signed_path(&keys(&rotated)[0], &path, None);
    assert_eq!(get(&server, &renewed).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn either_of_two_keys_opens() {
    let server = Server::start().await;
    let id = server.upload(PHOTO, &[("requireSignedURLs", "true")]).await;
    let two = send(server.request(Method::PUT, "images/v1/keys/second"))
        .await
        .result();
    let path = format!("/{}/{id}/public", server.account.hash);
    for key in keys(&two) {
        let signed = signed_url::signed_path(&key, &path, None);
        assert_eq!(get(&server, &signed).await.status, 200);
    }
    server.delete("images/v1/keys/default").await.result();
    let dead = signed_url::signed_path(&keys(&two)[0], &path, None);
    assert_refused(&get(&server, &dead).await, MISMATCH);
}

#[tokio::test(flavor = "multi_thread")]
async fn some_variants_need_no_signature() {
    let server = Server::start().await;
    let id = server.upload(PHOTO, &[("requireSignedURLs", "true")]).await;
    let body = json!({"id": "open", "options": {"width": 10}, "neverRequireSignedURLs": true});
    server
        .json(Method::POST, "images/v1/variants", &body)
        .await
        .result();
    let hash = &server.account.hash;
    let answer = get(&server, &format!("/{hash}/{id}/open?sig=nonsense")).await;
    assert_eq!(answer.status, 200);
    assert!(answer.header("cache-control").starts_with("public"));
    let unknown = get(&server, &format!("/{hash}/{id}/none")).await;
    assert_refused(&unknown, "This account doesn't have variant with this name");
    let open = server.upload(PHOTO, &[]).await;
    let ignored = get(&server, &format!("/{hash}/{open}/public?exp=1&sig=x")).await;
    assert_eq!(ignored.status, 200);
}
