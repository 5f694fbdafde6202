//! Credentials, permissions, accounts apart, and what command-line clients ask.

use model::{Permission, Timestamp};
use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{PHOTO, Server, form, send};

/// Every route with its method and whether reading is enough for it.
const ROUTES: [(&str, &str, bool); 25] = [
    ("POST", "images/v1", false),
    ("GET", "images/v1", true),
    ("GET", "images/v1/x", true),
    ("PATCH", "images/v1/x", false),
    ("DELETE", "images/v1/x", false),
    ("GET", "images/v1/x/blob", true),
    ("GET", "images/v1/a/b/blob", true),
    ("GET", "images/v1/stats", true),
    ("GET", "images/v1/keys", true),
    ("PUT", "images/v1/keys/k", false),
    ("DELETE", "images/v1/keys/k", false),
    ("GET", "images/v1/variants", true),
    ("POST", "images/v1/variants", false),
    ("GET", "images/v1/variants/v", true),
    ("PATCH", "images/v1/variants/v", false),
    ("DELETE", "images/v1/variants/v", false),
    ("GET", "images/v2", true),
    ("POST", "images/v2/direct_upload", false),
    ("POST", "images/v1/direct_upload", false),
    ("PATCH", "images/v1/config", false),
    ("GET", "images/v1/config", true),
    ("GET", "images/v1/batch_token", false),
    ("HEAD", "images/v1", true),
    ("HEAD", "images/v1/stats", true),
    ("GET", "", true),
];

#[tokio::test(flavor = "multi_thread")]
async fn every_route_wants_the_right_credentials() {
    let server = Server::start().await;
    let now = Timestamp::now();
    let id = &server.account.id;
    let reader = server.another_token(id, Permission::Read, None).await;
    let expired = server.another_token(id, Permission::Write, Some(now)).await;
    let (_, stranger) = server.another_account().await;
    for (method, path, reading) in ROUTES {
        let method: Method = method.parse().unwrap();
        let path = path.trim_end_matches('/');
        let url = server.api(path);
        let url = url.trim_end_matches('/');
        let bare = || server.client.request(method.clone(), url);
        let is_head = method == Method::HEAD;
        for (request, status, code) in [
            (bare(), 400, 9106),
            (bare().header("authorization", "Basic eDp5"), 400, 6003),
            (bare().header("authorization", "Bearer"), 400, 6003),
            (bare().bearer_auth("wrong"), 401, 10_000),
            (bare().bearer_auth(&expired), 401, 10_000),
            (bare().bearer_auth(&stranger), 403, 10_000),
            (
                bare().header("x-auth-user-service-key", "v1.0-x"),
                401,
                10_000,
            ),
            (bare().header("x-auth-key", &server.token), 400, 9106),
        ] {
            let answer = send(request).await;
            let what = format!("{method} {path}: {status} {code}");
            if is_head {
                assert_eq!(answer.status, status, "{what}");
            } else {
                assert_eq!(answer.failure(), (status, code), "{what}");
            }
        }
        let answer = send(bare().bearer_auth(&reader)).await;
        let refused = answer.status == 403;
        assert_eq!(refused, !reading, "{method} {path}");
        if refused && !is_head {
            assert_eq!(answer.failure(), (403, 10_000));
        }
        let global_key = bare()
            .header("x-auth-email", "a@b.c")
            .header("x-auth-key", &server.token);
        let status = send(global_key).await.status.as_u16();
        assert!(!matches!(status, 401 | 403), "{method} {path}: {status}");
    }
    assert_eq!(server.files("blobs"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_bearer_token_counts_among_several_credentials() {
    let server = Server::start().await;
    let request = server.request(Method::GET, "images/v1/stats");
    let request = request
        .header("x-auth-email", "a@b.c")
        .header("x-auth-key", "wrong");
    assert_eq!(send(request).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn accounts_see_only_their_own() {
    let server = Server::start().await;
    let id = server.upload(PHOTO, &[("id", "shared/name")]).await;
    let (other, token) = server.another_account().await;
    let url = format!("{}/client/v4/accounts/{}/images", server.url, other.id);
    let get = |path: &str| {
        send(
            server
                .client
                .get(format!("{url}/{path}"))
                .bearer_auth(&token),
        )
    };
    assert_eq!(get(&format!("v1/{id}")).await.failure(), (404, 5404));
    assert_eq!(get("v2").await.result()["images"], json!([]));
    assert_eq!(get("v1/stats").await.result()["count"]["current"], 0);
    let upload = server.client.post(format!("{url}/v1")).bearer_auth(&token);
    let taken_elsewhere = upload.multipart(form(PHOTO, &[("id", "shared/name")]));
    assert_eq!(send(taken_elsewhere).await.status, 200);
    let delivered = format!("{}/{}/shared/name/public", server.url, other.hash);
    assert_eq!(send(server.client.get(delivered)).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn routes_are_judged_before_credentials() {
    let server = Server::start().await;
    let unknown = "0123456789abcdef0123456789abcdef";
    for path in [
        "/client/v4/accounts/nonsense/images/v1",
        &format!("/client/v4/accounts/{unknown}/images/v1"),
        &format!("/client/v4/accounts/{}/images/v3", server.account.id),
        &format!(
            "/client/v4/accounts/{}/images/v1/keys/a/b",
            server.account.id
        ),
        "/client/v4/zoneses",
        "/client/v4",
        "/nothing/here",
        "/",
    ] {
        let answer = send(server.client.get(format!("{}{path}", server.url))).await;
        assert_eq!(answer.failure(), (404, 7003), "{path}");
        let errors = answer.envelope()["errors"].clone();
        assert_eq!(
            errors[1],
            json!({"code": 7000, "message": "No route for that URI"})
        );
        let message = errors[0]["message"].as_str().unwrap();
        assert_eq!(
            message,
            format!("Could not route to {path}, perhaps your object identifier is invalid?")
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn other_methods_are_not_allowed() {
    let server = Server::start().await;
    for (method, path, allowed) in [
        (Method::PUT, "images/v1", "GET, HEAD, POST"),
        (Method::POST, "images/v1/x", "GET, HEAD, PATCH, DELETE"),
        (Method::DELETE, "images/v1/stats", "GET, HEAD"),
        (Method::GET, "images/v2/direct_upload", "POST"),
        (Method::POST, "images/v1/keys/k", "PUT, DELETE"),
        (Method::GET, "images/v1/keys/k", "PUT, DELETE"),
    ] {
        let answer = send(server.request(method.clone(), path)).await;
        assert_eq!(answer.failure(), (405, 10_000), "{method} {path}");
        assert_eq!(answer.headers["allow"], allowed, "{method} {path}");
        let message =
            format!("{method} method not allowed for the api_token authentication scheme");
        assert_eq!(answer.message(), message);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_are_verified_for_command_line_clients() {
    let server = Server::start().await;
    let get = |path: &str, token: &str| {
        let url = format!("{}/client/v4/{path}", server.url);
        send(server.client.get(url).bearer_auth(token))
    };
    let account = format!("accounts/{}/tokens/verify", server.account.id);
    for path in ["user/tokens/verify", &account] {
        let answer = get(path, &server.token).await;
        let envelope = answer.envelope();
        assert_eq!(envelope["result"]["status"], "active");
        assert_eq!(envelope["result"]["id"].as_str().unwrap().len(), 32);
        assert_eq!(envelope["messages"][0]["code"], 10_000);
        assert_eq!(envelope["messages"][0].get("type"), Some(&Value::Null));
        assert_eq!(get(path, "wrong").await.failure(), (401, 1000));
    }
    let (_, stranger) = server.another_account().await;
    assert_eq!(get(&account, &stranger).await.failure(), (401, 1000));

    let id = server.account.id.as_str();
    let accounts = get("accounts?page=1", &server.token).await;
    assert_eq!(accounts.result()[0]["id"], id);
    assert_eq!(accounts.envelope()["result_info"]["total_count"], 1);
    let memberships = get("memberships?page=1", &server.token).await.result();
    assert_eq!(memberships[0]["account"]["id"], id);
    assert!(get("user", &server.token).await.result()["email"].is_string());
    assert_eq!(get("user", "wrong").await.failure(), (401, 10_000));
    let verify = server
        .client
        .post(format!("{}/client/v4/user/tokens/verify", server.url));
    assert_eq!(send(verify).await.failure(), (405, 10_000));
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_headers_and_empty_json_bodies_do_not_matter() {
    let server = Server::start().await;
    let id = server.upload(PHOTO, &[]).await;
    let request = server
        .request(Method::GET, &format!("images/v1/{id}"))
        .header("content-type", "application/json")
        .header("api-version", "2026-11-24")
        .header("x-stainless-lang", "js");
    assert_eq!(send(request).await.result()["id"], Value::String(id));
}

#[tokio::test(flavor = "multi_thread")]
async fn health_is_open_to_all() {
    let server = Server::start().await;
    for path in ["livez", "readyz", "health"] {
        let answer = send(server.client.get(format!("{}/{path}", server.url))).await;
        assert_eq!(
            (answer.status.as_u16(), answer.header("cache-control")),
            (200, "no-store")
        );
    }
}
