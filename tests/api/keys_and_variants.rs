//! Signing keys, variants, the account's settings.

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{PHOTO, Server, send};

fn names(result: &Value) -> Vec<&str> {
    let keys = result["keys"].as_array().unwrap().iter();
    keys.map(|key| key["name"].as_str().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_has_one_or_two_keys() {
    let server = Server::start().await;
    let put = |name: &str| send(server.request(Method::PUT, &format!("images/v1/keys/{name}")));
    let first = server.get("images/v1/keys").await.result();
    assert_eq!(names(&first), ["default"]);
    let value = first["keys"][0]["value"].as_str().unwrap();
    assert_eq!(value.len(), 43);

    let two = put("second-key_1.x").await.result();
    assert_eq!(names(&two), ["default", "second-key_1.x"]);
    assert_eq!(two["keys"][0]["value"], value);
    assert_eq!(put("third").await.failure(), (403, 5453));

    let rotated = put("default").await.result();
    assert_ne!(rotated["keys"][0]["value"], value);
    assert_eq!(rotated["keys"][1], two["keys"][1]);

    let one = server
        .delete("images/v1/keys/second-key_1.x")
        .await
        .result();
    assert_eq!(names(&one), ["default"]);
    let renewed = server.delete("images/v1/keys/default").await.result();
    assert_eq!(names(&renewed), ["default"]);
    assert_ne!(renewed["keys"][0]["value"], rotated["keys"][0]["value"]);

    assert_eq!(
        server.delete("images/v1/keys/none").await.failure(),
        (404, 5404)
    );
    for bad in ["a%20b", "a%2Fb", &"k".repeat(65)] {
        assert_eq!(put(bad).await.failure(), (400, 5400), "{bad}");
    }
    let typed = server
        .request(Method::PUT, "images/v1/keys/default")
        .header("content-type", "application/json")
        .header("content-length", "0");
    assert_eq!(send(typed).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn variants_are_created_changed_and_deleted() {
    let server = Server::start().await;
    let public = json!({
        "id": "public",
        "options": {"fit": "scale-down", "metadata": "none", "width": 1366, "height": 768},
        "neverRequireSignedURLs": false,
    });
    let listed = server.get("images/v1/variants").await.result();
    assert_eq!(listed, json!({"variants": {"public": public}}));

    let body = json!({
        "id": "hero",
        "options": {"fit": "cover", "width": 800, "height": 400.0, "metadata": "keep"},
        "neverRequireSignedURLs": true,
    });
    let hero = server
        .json(Method::POST, "images/v1/variants", &body)
        .await
        .result();
    assert_eq!(hero["variant"]["options"]["height"], 400);
    assert_eq!(hero["variant"]["neverRequireSignedURLs"], true);
    let again = server.json(Method::POST, "images/v1/variants", &body).await;
    assert_eq!(again.failure(), (409, 5409));

    let patch = async |body: Value| {
        let path = "images/v1/variants/hero";
        server.json(Method::PATCH, path, &body).await.result()["variant"].clone()
    };
    let changed = patch(json!({"options": {"width": 100}})).await;
    let expected = json!({"fit": "cover", "metadata": "keep", "width": 100, "height": 400});
    assert_eq!(changed["options"], expected);
    assert_eq!(changed["neverRequireSignedURLs"], true);
    assert_eq!(patch(json!({})).await, changed);
    let bare = patch(json!({"options": {"height": null}, "neverRequireSignedURLs": false})).await;
    assert_eq!(
        bare["options"],
        json!({"fit": "cover", "metadata": "keep", "width": 100})
    );
    assert_eq!(
        server.get("images/v1/variants/hero").await.result()["variant"],
        bare
    );

    let id = server.upload(PHOTO, &[]).await;
    let image = server.get(&format!("images/v1/{id}")).await.result();
    let urls = image["variants"].as_array().unwrap();
    assert!(urls[0].as_str().unwrap().ends_with("/public"));
    assert!(urls[1].as_str().unwrap().ends_with("/hero"));

    assert_eq!(
        server.delete("images/v1/variants/hero").await.result(),
        json!({})
    );
    for answer in [
        server.get("images/v1/variants/hero").await,
        server.delete("images/v1/variants/hero").await,
        server
            .json(Method::PATCH, "images/v1/variants/hero", &json!({}))
            .await,
    ] {
        assert_eq!(answer.failure(), (404, 5401));
    }
    assert_eq!(
        server.delete("images/v1/variants/public").await.result(),
        json!({})
    );
    assert_eq!(server.get("images/v1/variants/public").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_changes_of_one_variant_all_succeed() {
    let server = Server::start().await;
    let bodies: Vec<Value> = (1..=60)
        .map(|width| json!({"options": {"width": width}}))
        .collect();
    let path = "images/v1/variants/public";
    let changes = bodies
        .iter()
        .map(|body| server.json(Method::PATCH, path, body));
    for answer in futures_util::future::join_all(changes).await {
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_variants_are_refused() {
    let server = Server::start().await;
    let long = "a".repeat(100);
    for body in [
        json!({}),
        json!({"options": {"width": 1}}),
        json!({"id": "with-hyphen", "options": {}}),
        json!({"id": "", "options": {}}),
        json!({"id": long, "options": {}}),
        json!({"id": 5, "options": {}}),
        json!({"id": "v", "options": []}),
        json!({"id": "v", "options": {"width": 0}}),
        json!({"id": "v", "options": {"fit": "squeeze"}}),
        json!({"id": "v", "options": {"unknown": 1}}),
        json!({"id": "v", "options": {}, "neverRequireSignedURLs": "yes"}),
    ] {
        let answer = server.json(Method::POST, "images/v1/variants", &body).await;
        assert_eq!(answer.failure(), (400, 5400), "{body}");
    }
    let listed = server.get("images/v1/variants").await.result();
    assert_eq!(listed["variants"].as_object().unwrap().len(), 1);
    for number in 1..100 {
        let body = json!({"id": format!("v{number}"), "options": {"width": number}});
        let made = server.json(Method::POST, "images/v1/variants", &body).await;
        assert_eq!(made.status, 200);
    }
    let one_more = server
        .json(Method::POST, "images/v1/variants", &json!({"id": "one"}))
        .await;
    assert_eq!(one_more.failure(), (403, 5453));
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_of_the_account_are_read_and_changed() {
    let server = Server::start().await;
    let defaults = json!({
        "flexible_variants": false, "browser_ttl": 172_800, "preserve_content_credentials": false,
    });
    assert_eq!(server.get("images/v1/config").await.result(), defaults);
    let patch = |body: Value| async move { body };
    let body = patch(json!({"flexible_variants": true})).await;
    let changed = server
        .json(Method::PATCH, "images/v1/config", &body)
        .await
        .result();
    assert_eq!(changed["flexible_variants"], true);
    assert_eq!(changed["browser_ttl"], 172_800);
    for body in [
        json!({"browser_ttl": 3_599}),
        json!({"browser_ttl": 31_536_001}),
        json!({"browser_ttl": "1h"}),
        json!({"browser_ttl": 3_600.5}),
        json!({"flexible_variants": "true"}),
    ] {
        let answer = server.json(Method::PATCH, "images/v1/config", &body).await;
        assert_eq!(answer.failure(), (400, 5400), "{body}");
    }
    assert_eq!(server.get("images/v1/config").await.result(), changed);
}
