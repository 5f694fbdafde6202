//! Batch tokens and the mirror they open.

use reqwest::{Method, RequestBuilder};
use serde_json::json;

use crate::harness::{PHOTO, Server, Wishes, form, send, text_form};

async fn token(server: &Server) -> String {
    let result = server.get("images/v1/batch_token").await.result();
    let expires = result["expiresAt"].as_str().unwrap();
    assert!(expires.len() == 30 && expires.ends_with('Z'), "{expires}");
    result["token"].as_str().unwrap().to_owned()
}

fn batch(server: &Server, method: Method, path: &str, token: &str) -> RequestBuilder {
    let url = format!("{}/batch/images/{path}", server.url);
    server.client.request(method, url).bearer_auth(token)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_mirror_answers_like_the_api() {
    let server = Server::start().await;
    let token = token(&server).await;
    let upload =
        batch(&server, Method::POST, "v1", &token).multipart(form(PHOTO, &[("id", "a/b")]));
    let answer = send(upload).await;
    assert_eq!(answer.header("access-control-allow-origin"), "*");
    assert_eq!(answer.result()["id"], "a/b");
    let get = |path: &str| send(batch(&server, Method::GET, path, &token));
    assert_eq!(get("v1/a/b").await.result()["id"], "a/b");
    assert_eq!(get("v1/a%2Fb").await.result()["id"], "a/b");
    assert_eq!(get("v2").await.result()["images"][0]["id"], "a/b");
    assert_eq!(get("v1").await.result()["images"][0]["id"], "a/b");
    let edit = batch(&server, Method::PATCH, "v1/a/b", &token).json(&json!({"creator": "me"}));
    assert_eq!(send(edit).await.result()["creator"], "me");
    let draft = batch(&server, Method::POST, "v2/direct_upload", &token).multipart(text_form(&[]));
    assert!(send(draft).await.result()["uploadURL"].is_string());
    let deleted = send(batch(&server, Method::DELETE, "v1/a/b", &token)).await;
    assert_eq!(deleted.result(), json!({}));
    let host = server.client.get(format!("{}/images/v2", server.url));
    let host = host.header("host", "batch.images.test").bearer_auth(&token);
    assert_eq!(send(host).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_else_is_refused() {
    let server = Server::start().await;
    let token = token(&server).await;
    for (method, path) in [
        (Method::GET, "v1/x/blob"),
        (Method::GET, "v1/stats"),
        (Method::GET, "v1/keys"),
        (Method::PUT, "v1/keys/k"),
        (Method::GET, "v1/variants"),
        (Method::GET, "v1/config"),
        (Method::GET, "v1/batch_token"),
        (Method::POST, "v1/direct_upload"),
    ] {
        let answer = send(batch(&server, method, path, &token)).await;
        assert_eq!(answer.failure(), (403, 10_000), "{path}");
        assert_eq!(answer.message(), "forbidden endpoint");
    }
    for wrong in [
        server.token.as_str(),
        "x",
        "a.b.c",
        &token[1..],
        &format!("{token}A"),
    ] {
        let answer = send(batch(&server, Method::GET, "v2", wrong)).await;
        assert_eq!(answer.failure(), (401, 10_000));
    }
    let bare = server.client.get(format!("{}/batch/images/v2", server.url));
    assert_eq!(send(bare).await.failure(), (400, 9106));
    let on_the_api = server
        .client
        .get(server.api("images/v2"))
        .bearer_auth(&token);
    assert_eq!(send(on_the_api).await.failure(), (401, 10_000));
}

#[tokio::test(flavor = "multi_thread")]
async fn each_token_has_its_own_rate() {
    let wishes = Wishes {
        batch_requests_per_second: 2,
        ..Wishes::default()
    };
    let server = Server::with(wishes).await;
    let token = token(&server).await;
    let asked = (0..20).map(|_| send(batch(&server, Method::GET, "v2", &token)));
    let answers = futures_util::future::join_all(asked).await;
    let refused: Vec<_> = answers
        .iter()
        .filter(|answer| answer.status == 429)
        .collect();
    assert!(refused.len() >= 10, "{}", refused.len());
    assert_eq!(refused[0].failure(), (429, 971));
    assert_eq!(refused[0].header("retry-after"), "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn browsers_may_hold_batch_tokens() {
    let server = Server::start().await;
    let preflight = server
        .client
        .request(Method::OPTIONS, format!("{}/batch/images/v1", server.url))
        .header("origin", "https://shop.example")
        .header("access-control-request-headers", "authorization");
    let answer = send(preflight).await;
    assert_eq!(answer.status, 204);
    assert_eq!(
        answer.header("access-control-allow-headers"),
        "authorization"
    );
    let methods = answer.header("access-control-allow-methods");
    assert_eq!(methods, "GET, POST, PATCH, DELETE, OPTIONS");
}
