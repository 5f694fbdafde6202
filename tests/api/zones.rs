//! `/zones`, and what it tells remote images (clients.md, section 2.3).

use model::Permission;
use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{Answer, PHOTO, Server, Wishes, send};
use crate::origin::Origin;

const ORIGINS: &str = "transformations_allowed_origins";
const C2PA: &str = "transformations_c2pa";

/// A server whose zone allows `b.test`, with pictures there and at `c.test`.
async fn server() -> (Server, [Origin; 2]) {
    let origins = [Origin::of("", PHOTO).await, Origin::of("", PHOTO).await];
    let hosts = [("b.test", &origins[0]), ("c.test", &origins[1])];
    let server = Server::with(Wishes::zones("zone.test=b.test,other.test", &hosts)).await;
    (server, origins)
}

async fn ask(server: &Server, method: Method, token: &str, path: &str, body: &str) -> Answer {
    let url = format!("{}/client/v4/zones{path}", server.url);
    let request = server.client.request(method, url).bearer_auth(token);
    send(request.body(body.to_owned())).await
}

async fn get(server: &Server, path: &str) -> Answer {
    ask(server, Method::GET, &server.token, path, "").await
}

async fn set(server: &Server, zone: &str, setting: &str, body: &Value) -> Answer {
    let path = format!("/{zone}/settings/{setting}");
    let body = body.to_string();
    ask(server, Method::PATCH, &server.token, &path, &body).await
}

async fn zone_id(server: &Server, name: &str) -> String {
    let found = get(server, &format!("?name={name}")).await.result();
    let zones = found.as_array().unwrap();
    assert_eq!(zones.len(), 1, "{found}");
    zones[0]["id"].as_str().unwrap().to_owned()
}

/// Which of `b.test` and `c.test` a remote image may come from.
async fn allowed(server: &Server, width: u32) -> [bool; 2] {
    let mut allowed = [false; 2];
    for (allowed, host) in allowed.iter_mut().zip(["b.test", "c.test"]) {
        let rest = format!("/width={width}/http://{host}/a.jpg");
        let answer = server.remote(&rest, &[]).await;
        *allowed = answer.status == 200;
        assert!(*allowed || answer.refusal() == (403, 9401), "{host}");
    }
    allowed
}

#[tokio::test(flavor = "multi_thread")]
async fn zones_are_listed_with_lasting_ids() {
    let (server, _origins) = server().await;
    let listed = get(&server, "").await;
    let names: Vec<_> = listed
        .result()
        .as_array()
        .unwrap()
        .iter()
        .map(|zone| zone["name"].clone())
        .collect();
    assert_eq!(names, ["zone.test", "other.test"]);
    assert_eq!(listed.envelope()["result_info"]["total_count"], 2);
    let id = zone_id(&server, "zone.test").await;
    // Other nodes, and this one tomorrow, call it the same.
    assert_eq!(
        id,
        model::Zone::parse("https://ZONE.test:8443=any")
            .unwrap()
            .id()
            .as_str()
    );
    let zone = get(&server, &format!("/{id}")).await.result();
    assert_eq!(zone["account"]["id"], server.account.id.as_str());
    assert_eq!(zone["status"], "active");
    // The pagers of SDKs ask until a page is empty.
    let second = get(&server, "?page=2").await;
    assert_eq!(second.result(), json!([]));
    assert_eq!(second.envelope()["result_info"]["page"], 2);
    assert_eq!(get(&server, "?name=a.test").await.result(), json!([]));
    let settings = get(&server, &format!("/{id}/settings/")).await.result();
    assert_eq!(
        settings,
        json!([
            {"id": "image_resizing_allowed_origins", "value": "b.test", "editable": true, "modified_on": null},
            {"id": "image_resizing_c2pa", "value": "off", "editable": true, "modified_on": null},
        ])
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn allowed_origins_change_at_once_and_go_back() {
    let (server, _origins) = server().await;
    let id = zone_id(&server, "zone.test").await;
    assert_eq!(allowed(&server, 11).await, [true, false]);
    let answer = set(&server, &id, ORIGINS, &json!({"value": "c.test, *.d.test"})).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let told = answer.result();
    assert_eq!(told["value"], "c.test, *.d.test");
    assert!(told["modified_on"].is_string());
    // What is rendered already is refused as well.
    assert_eq!(allowed(&server, 11).await, [false, true]);
    assert_eq!(
        get(&server, &format!("/{id}/settings/{ORIGINS}"))
            .await
            .result(),
        told
    );
    // The other setting, and the other zone, are as they were.
    let other = get(&server, &format!("/{id}/settings/{C2PA}"))
        .await
        .result();
    assert_eq!(other["modified_on"], Value::Null);
    let other = zone_id(&server, "other.test").await;
    let other = get(&server, &format!("/{other}/settings/{ORIGINS}")).await;
    assert_eq!(other.result()["value"], "");
    set(&server, &id, ORIGINS, &json!({"value": "*"})).await;
    assert_eq!(allowed(&server, 11).await, [true, true]);
    set(&server, &id, ORIGINS, &json!({"value": ""})).await;
    assert_eq!(allowed(&server, 11).await, [false, false]);
    set(&server, &id, ORIGINS, &json!({"value": null})).await;
    assert_eq!(allowed(&server, 11).await, [true, false]);
}

#[tokio::test(flavor = "multi_thread")]
async fn content_credentials_are_kept_beside_what_else_is_told() {
    let (server, _origins) = server().await;
    let id = zone_id(&server, "zone.test").await;
    set(&server, &id, ORIGINS, &json!({"value": "c.test"})).await;
    let on = set(&server, &id, C2PA, &json!({"value": "on"}))
        .await
        .result();
    assert_eq!(
        (on["id"].as_str(), on["value"].as_str()),
        (Some("image_resizing_c2pa"), Some("on"))
    );
    let off = set(&server, &id, C2PA, &json!({"value": "off"}))
        .await
        .result();
    assert_eq!(off["value"], "off");
    // The settings of the account do not undo those of its zones.
    let config = server
        .json(
            Method::PATCH,
            "images/v1/config",
            &json!({"browser_ttl": 7200}),
        )
        .await;
    assert_eq!(config.status, 200);
    assert_eq!(allowed(&server, 12).await, [false, true]);
}

#[tokio::test(flavor = "multi_thread")]
async fn zones_belong_to_the_oldest_account() {
    let (server, _origins) = server().await;
    let id = zone_id(&server, "zone.test").await;
    let path = format!("/{id}/settings/{ORIGINS}");
    let (_, stranger) = server.another_account().await;
    let empty = ask(&server, Method::GET, &stranger, "", "").await;
    assert_eq!(empty.result(), json!([]));
    for (token, method, status) in [
        (stranger.as_str(), Method::GET, 404),
        (&stranger, Method::PATCH, 404),
        ("wrong", Method::GET, 401),
        (&server.token, Method::DELETE, 405),
        (&server.token, Method::PUT, 405),
    ] {
        let answer = ask(&server, method.clone(), token, &path, r#"{"value":"*"}"#).await;
        assert_eq!(answer.status, status, "{method}: {}", answer.text());
    }
    let reader = server
        .another_token(&server.account.id, Permission::Read, None)
        .await;
    let read = ask(&server, Method::GET, &reader, &path, "").await;
    assert_eq!(read.status, 200);
    let written = ask(&server, Method::PATCH, &reader, &path, r#"{"value":"*"}"#).await;
    assert_eq!(written.status, 403);
    assert_eq!(allowed(&server, 13).await, [true, false]);
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_values_change_nothing() {
    let (server, _origins) = server().await;
    let id = zone_id(&server, "zone.test").await;
    let long = "a.test,".repeat(3_000);
    for (setting, body) in [
        (ORIGINS, json!({})),
        (ORIGINS, json!({"value": 1})),
        (ORIGINS, json!({"value": ["c.test"]})),
        (ORIGINS, json!({"value": "c.test,*"})),
        (ORIGINS, json!({"value": "not a host"})),
        (ORIGINS, json!({"value": long})),
        (ORIGINS, json!([])),
        (C2PA, json!({"value": "yes"})),
        (C2PA, json!({"value": true})),
        (C2PA, json!({})),
    ] {
        let answer = set(&server, &id, setting, &body).await;
        assert_eq!(answer.status, 400, "{setting} {body}: {}", answer.text());
        assert_eq!(
            answer.envelope()["errors"][0]["code"],
            5400,
            "{setting} {body}"
        );
    }
    assert_eq!(allowed(&server, 14).await, [true, false]);
    for path in [
        "/0123456789abcdef0123456789abcdef",
        "/x/settings",
        "//settings",
        &format!("/{id}/settings/tls_1_3"),
        &format!("/{id}/dns_records"),
    ] {
        let answer = get(&server, path).await;
        assert_eq!(answer.status, 404, "{path}");
        assert_eq!(answer.envelope()["errors"][0]["code"], 7003, "{path}");
    }
}
