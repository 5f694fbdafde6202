//! Webhooks and notification policies, and what they are told of direct creator uploads.

use chrono::{Duration, SecondsFormat, Utc};
use model::Permission;
use reqwest::Method;
use serde_json::{Value, json};
use service::Told;
use store::Catalog as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::harness::{Answer, PHOTO, Server, Wishes, form, send, text_form};
use crate::receiver::Receiver;

const WEBHOOKS: &str = "alerting/v3/destinations/webhooks";
const POLICIES: &str = "alerting/v3/policies";

async fn server() -> Server {
    Server::with(Wishes {
        allow_private_sources: true,
        ..Wishes::default()
    })
    .await
}

fn id(answer: &Answer) -> String {
    let result = answer.result();
    assert_eq!(result.as_object().map(serde_json::Map::len), Some(1));
    result["id"].as_str().unwrap().to_owned()
}

async fn new_webhook(server: &Server, receiver: &Receiver, secret: Option<&str>) -> String {
    let body = json!({ "name": "hook", "url": receiver.url, "secret": secret });
    id(&server.json(Method::POST, WEBHOOKS, &body).await)
}

fn policy(webhooks: &[&str]) -> Value {
    let webhooks: Vec<Value> = webhooks.iter().map(|id| json!({ "id": id })).collect();
    json!({
        "name": "uploads",
        "enabled": true,
        "alert_type": "image_notification",
        "mechanisms": { "webhooks": webhooks },
    })
}

async fn new_policy(server: &Server, webhooks: &[&str]) -> String {
    id(&server.json(Method::POST, POLICIES, &policy(webhooks)).await)
}

/// The id of a draft, and where its bytes go.
async fn draft(server: &Server, texts: &[(&str, &str)]) -> (String, String) {
    let form = text_form(texts);
    let result = server.form("images/v2/direct_upload", form).await.result();
    let text = |name: &str| result[name].as_str().unwrap().to_owned();
    (text("id"), text("uploadURL"))
}

async fn send_file(server: &Server, url: &str, bytes: &[u8]) -> Answer {
    let request = server.client.post(url);
    send(request.multipart(form(bytes, &[]))).await
}

/// Tells what is due now.
async fn tell(server: &Server) -> Told {
    let mut teller = server.service.teller();
    teller.begin().await.unwrap();
    teller.end().await.unwrap()
}

fn told(told: u64, refused: u64) -> Told {
    Told {
        told,
        refused,
        dropped: 0,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_is_tried_out_and_shown_without_its_secret() {
    let (server, receiver) = (server().await, Receiver::start().await);
    assert_eq!(server.get(WEBHOOKS).await.result(), json!([]));
    let made = new_webhook(&server, &receiver, Some("s3cret, as it is")).await;
    let tried = receiver.messages();
    assert_eq!(tried.len(), 1);
    assert!(tried[0].head.starts_with("POST /hook?a=1 HTTP/1.1"));
    assert_eq!(tried[0].header("cf-webhook-auth"), "s3cret, as it is");
    assert_eq!(tried[0].header("content-type"), "application/json");
    assert!(tried[0].header("user-agent").starts_with("Calotype/"));
    assert!(tried[0].json["text"].as_str().unwrap().contains("test"));

    let path = format!("{WEBHOOKS}/{made}");
    let shown = server.get(&path).await.result();
    let created = shown["created_at"].as_str().unwrap();
    assert!(model::Timestamp::parse(created).is_some(), "{created}");
    let expected = json!({
        "id": made,
        "name": "hook",
        "url": receiver.url,
        "type": "generic",
        "created_at": created,
        "last_success": null,
        "last_failure": null,
    });
    assert_eq!(shown, expected);
    assert_eq!(server.get(WEBHOOKS).await.result(), json!([expected]));
    // Pagers of SDKs go on until a page is empty.
    let second = server.get(&format!("{WEBHOOKS}?page=2")).await.result();
    assert_eq!(second, json!([]));

    // Replaced as a whole: without a secret it has none.
    let body = json!({ "name": "other", "url": receiver.url });
    let replaced = server.json(Method::PUT, &path, &body).await;
    assert_eq!(id(&replaced), made);
    assert_eq!(receiver.messages()[1].header("cf-webhook-auth"), "");
    assert_eq!(server.get(&path).await.result()["name"], "other");

    let deleted = server.delete(&path).await;
    assert_eq!(deleted.result(), Value::Null);
    for answer in [
        server.get(&path).await,
        server.delete(&path).await,
        server.json(Method::PUT, &path, &body).await,
        server.get(&format!("{WEBHOOKS}/no-id")).await,
    ] {
        assert_eq!(answer.failure(), (404, 5404));
    }
    assert_eq!(server.get(WEBHOOKS).await.result(), json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_which_does_not_answer_is_not_made() {
    let (server, receiver) = (server().await, Receiver::start().await);
    let url = receiver.url.as_str();
    for status in [
        "500 Internal Server Error",
        "404 Not Found",
        "302 Found\r\nLocation: /",
    ] {
        receiver.answer(status);
        let body = json!({ "name": "hook", "url": url });
        let refused = server.json(Method::POST, WEBHOOKS, &body).await;
        assert_eq!(refused.failure(), (400, 5400));
        let number = &status[..3];
        assert!(refused.text().contains(number), "{}", refused.text());
    }
    receiver.answer("200 OK");
    let long = "n".repeat(257);
    for (name, url, secret) in [
        ("", url, "s"),
        (" ", url, "s"),
        (long.as_str(), url, "s"),
        ("nul\0", url, "s"),
        ("hook", "", "s"),
        ("hook", "/hook", "s"),
        ("hook", "ftp://127.0.0.1/", "s"),
        ("hook", "http://127.0.0.1:1/", "s"),
        ("hook", &format!("{url}\0"), "s"),
        ("hook", &format!("{url}\n"), "s"),
        ("hook", &format!(" {url}"), "s"),
        ("hook", url, "caf\u{e9}"),
        ("hook", url, "two\nlines"),
        ("hook", url, " edge"),
    ] {
        let body = json!({ "name": name, "url": url, "secret": secret });
        let refused = server.json(Method::POST, WEBHOOKS, &body).await;
        assert_eq!(refused.failure(), (400, 5400), "{body}");
    }
    for body in [
        json!({}),
        json!({ "name": "hook" }),
        json!({ "url": url }),
        json!({ "name": 1, "url": url }),
        json!({ "name": "hook", "url": url, "secret": 1 }),
    ] {
        let refused = server.json(Method::POST, WEBHOOKS, &body).await;
        assert_eq!(refused.failure(), (400, 5400), "{body}");
    }
    assert_eq!(receiver.messages().len(), 3);
    assert_eq!(server.get(WEBHOOKS).await.result(), json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_reaches_no_private_address_unless_that_is_allowed() {
    let (server, receiver) = (Server::start().await, Receiver::start().await);
    let port = receiver.url.rsplit(':').next().unwrap();
    for host in ["127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]"] {
        let body = json!({ "name": "hook", "url": format!("http://{host}:{port}") });
        let refused = server.json(Method::POST, WEBHOOKS, &body).await;
        assert_eq!(refused.failure(), (400, 5400), "{host}");
        assert!(refused.text().contains("private"), "{}", refused.text());
    }
    assert_eq!(receiver.messages().len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_is_made_shown_changed_and_deleted() {
    let (server, receiver) = (server().await, Receiver::start().await);
    let one = new_webhook(&server, &receiver, None).await;
    let other = new_webhook(&server, &receiver, None).await;
    let mut body = policy(&[&other, &one, &other]);
    body["description"] = json!("of customers");
    body["filters"] = json!({});
    body["alert_interval"] = json!("");
    body["mechanisms"]["email"] = json!([]);
    let made = id(&server.json(Method::POST, POLICIES, &body).await);
    let path = format!("{POLICIES}/{made}");
    let shown = server.get(&path).await.result();
    let (created, modified) = (&shown["created"], &shown["modified"]);
    assert!(model::Timestamp::parse(created.as_str().unwrap()).is_some());
    assert_eq!(created, modified);
    let expected = json!({
        "id": made,
        "name": "uploads",
        "description": "of customers",
        "enabled": true,
        "alert_type": "image_notification",
        "mechanisms": { "webhooks": [{ "id": other }, { "id": one }] },
        "filters": {},
        "created": created,
        "modified": modified,
    });
    assert_eq!(shown, expected);
    assert_eq!(server.get(POLICIES).await.result(), json!([expected]));

    // A webhook which a policy names stays.
    let used = server.delete(&format!("{WEBHOOKS}/{one}")).await;
    assert_eq!(used.failure(), (409, 5409));
    assert_eq!(used.header("x-should-retry"), "false");

    // What is not sent stays as it is.
    let edit = json!({ "enabled": false });
    assert_eq!(id(&server.json(Method::PUT, &path, &edit).await), made);
    let edit = json!({
        "name": "new", "description": null, "mechanisms": { "webhooks": [{ "id": one }] },
    });
    server.json(Method::PUT, &path, &edit).await.result();
    let shown = server.get(&path).await.result();
    assert!(shown["modified"].as_str() > created.as_str());
    let mut expected = expected;
    expected["name"] = json!("new");
    expected["description"] = json!("");
    expected["enabled"] = json!(false);
    expected["mechanisms"] = json!({ "webhooks": [{ "id": one }] });
    expected["modified"] = shown["modified"].clone();
    assert_eq!(shown, expected);
    server.delete(&format!("{WEBHOOKS}/{other}")).await.result();

    assert_eq!(server.delete(&path).await.result(), Value::Null);
    for answer in [
        server.get(&path).await,
        server.delete(&path).await,
        server.json(Method::PUT, &path, &edit).await,
    ] {
        assert_eq!(answer.failure(), (404, 5404));
    }
    server.delete(&format!("{WEBHOOKS}/{one}")).await.result();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_which_could_only_be_ignored_is_refused() {
    let (server, receiver) = (server().await, Receiver::start().await);
    let hook = new_webhook(&server, &receiver, None).await;
    let (stranger, token) = server.another_account().await;
    let good = policy(&[&hook]);
    let with = |name: &str, value: Value| {
        let mut body = good.clone();
        body[name] = value;
        body
    };
    let refused = [
        with("name", Value::Null),
        with("name", json!("")),
        with("enabled", Value::Null),
        with("enabled", json!("yes")),
        with("alert_type", json!("image_resizing_notification")),
        with("alert_type", json!("billing_usage_alert")),
        with("alert_interval", json!("10m")),
        with("filters", json!({ "status": ["failed"] })),
        with("description", json!("d".repeat(1_025))),
        with("mechanisms", Value::Null),
        with("mechanisms", json!([])),
        with("mechanisms", json!({})),
        with("mechanisms", json!({ "email": [{ "id": "a@b.test" }] })),
        with(
            "mechanisms",
            json!({ "webhooks": [{ "id": hook }], "pagerduty": [{ "id": hook }] }),
        ),
        with("mechanisms", json!({ "webhooks": [] })),
        with("mechanisms", json!({ "webhooks": ["no object"] })),
        with(
            "mechanisms",
            json!({ "webhooks": [{ "id": "0".repeat(32) }] }),
        ),
    ];
    for body in &refused {
        let answer = server.json(Method::POST, POLICIES, body).await;
        assert_eq!(answer.failure(), (400, 5400), "{body}");
    }
    assert_eq!(server.get(POLICIES).await.result(), json!([]));

    // Accounts are apart, and a token which reads changes nothing.
    let theirs = server.api(POLICIES);
    let theirs = theirs.replace(server.account.id.as_str(), stranger.id.as_str());
    let request = server.client.post(&theirs).bearer_auth(&token);
    assert_eq!(send(request.json(&good)).await.failure(), (400, 5400));
    let id = &server.account.id;
    let reader = server.another_token(id, Permission::Read, None).await;
    for path in [POLICIES, WEBHOOKS] {
        let request = |method| server.client.request(method, server.api(path));
        let listed = send(request(Method::GET).bearer_auth(&reader)).await;
        assert_eq!(listed.status, 200);
        let made = send(request(Method::POST).bearer_auth(&reader).json(&good)).await;
        assert_eq!(made.status, 403);
        let unknown = send(request(Method::GET)).await;
        assert_eq!(unknown.status, 400);
        let patched = server.json(Method::PATCH, path, &good).await;
        assert_eq!(patched.status, 405);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_an_upload_is_told_to_whom_it_concerns() {
    let (server, receiver) = (server().await, Receiver::start().await);
    let silent = Receiver::start().await;
    let hook = new_webhook(&server, &receiver, Some("s3cret")).await;
    let other = new_webhook(&server, &silent, None).await;
    let by = new_policy(&server, &[&hook]).await;
    let off = new_policy(&server, &[&other]).await;
    let path = format!("{POLICIES}/{off}");
    let edit = json!({ "enabled": false });
    server.json(Method::PUT, &path, &edit).await.result();

    // An upload of the account's own is told to nobody.
    server.upload(PHOTO, &[]).await;
    let texts = [("creator", "u42"), ("id", "user/\u{e9}")];
    let (image, url) = draft(&server, &texts).await;
    assert_eq!(tell(&server).await, Told::default());

    let refused = send_file(&server, &url, b"no image").await;
    assert_eq!(refused.failure(), (415, 5455));
    // The same failure is told once, as long as it was not told.
    send_file(&server, &url, b"").await;
    assert_eq!(tell(&server).await, told(1, 0));
    send_file(&server, &url, PHOTO).await.result();
    assert_eq!(send_file(&server, &url, PHOTO).await.failure(), (409, 5409));
    assert_eq!(tell(&server).await, told(1, 0));
    assert_eq!(tell(&server).await, Told::default());

    let messages = receiver.messages();
    assert_eq!(messages.len(), 3);
    assert_eq!(silent.messages().len(), 1);
    let stored = server.get("images/v1/user%2F%C3%A9").await.result();
    let uploaded = model::Timestamp::parse(stored["uploaded"].as_str().unwrap()).unwrap();
    let reason = json!(refused.message());
    let expected = |message: &Value, text: &str, data: [Value; 3]| {
        let [status, reason, uploaded] = data;
        json!({
            "name": "uploads",
            "text": text,
            "data": {
                "account_tag": server.account.id.as_str(),
                "image_id": image,
                "status": status,
                "reason": reason,
                "uploaded": uploaded,
                "creator": "u42",
            },
            "ts": message["ts"],
            "account_id": server.account.id.as_str(),
            "policy_id": by,
            "policy_name": "uploads",
            "alert_type": "image_notification",
            "alert_correlation_id": message["alert_correlation_id"],
            "alert_event": "ALERT_STATE_EVENT_START",
        })
    };
    let (failed, succeeded) = (&messages[1].json, &messages[2].json);
    let text = format!(
        "The upload of the image {image} failed: {}.",
        reason.as_str().unwrap()
    );
    let data = [json!("failed"), reason, Value::Null];
    assert_eq!(*failed, expected(failed, &text, data));
    let text = format!("The image {image} was uploaded.");
    let data = [json!("uploaded"), Value::Null, stored["uploaded"].clone()];
    assert_eq!(*succeeded, expected(succeeded, &text, data));
    assert_eq!(succeeded["ts"], json!(uploaded.seconds()));
    assert_eq!(messages[2].header("cf-webhook-auth"), "s3cret");
    let correlation = |message: &Value| message["alert_correlation_id"].clone();
    assert_eq!(correlation(failed).as_str().map(str::len), Some(32));
    assert_ne!(correlation(failed), correlation(succeeded));
    let shown = server.get(&format!("{WEBHOOKS}/{hook}")).await.result();
    assert!(shown["last_success"].as_str() >= shown["created_at"].as_str());
    assert_eq!(shown["last_failure"], Value::Null);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_draft_which_expires_has_failed() {
    let (server, receiver) = (server().await, Receiver::start().await);
    let hook = new_webhook(&server, &receiver, None).await;
    new_policy(&server, &[&hook]).await;
    let expiry = Utc::now() + Duration::minutes(3);
    let expiry = expiry.to_rfc3339_opts(SecondsFormat::Millis, true);
    let (image, _) = draft(&server, &[("expiry", &expiry)]).await;
    let expired = model::Timestamp::parse(&expiry).unwrap();
    let deleted = server.catalog.delete_expired_drafts(expired, 10).await;
    assert_eq!(deleted.unwrap(), 1);
    assert_eq!(tell(&server).await, told(1, 0));
    let message = receiver.messages().pop().unwrap();
    assert_eq!(message.image(), image);
    let data = &message.json["data"];
    assert_eq!(data["status"], "failed");
    assert_eq!(data["reason"], "the upload URL expired unused");
    assert_eq!(data["creator"], Value::Null);
    let answer = server.get(&format!("images/v1/{image}")).await;
    assert_eq!(answer.failure(), (404, 5404));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_which_fails_is_told_again_later() {
    let (server, receiver) = (server().await, Receiver::start().await);
    let healthy = Receiver::start().await;
    let hook = new_webhook(&server, &receiver, None).await;
    let other = new_webhook(&server, &healthy, None).await;
    new_policy(&server, &[&hook, &other]).await;
    receiver.answer("503 Service Unavailable");
    let (image, url) = draft(&server, &[]).await;
    send_file(&server, &url, PHOTO).await.result();
    assert_eq!(tell(&server).await, told(1, 1));
    assert_eq!(healthy.messages().pop().unwrap().image(), image);
    // Not before a pause.
    assert!(!server.service.teller().is_needed().await.unwrap());
    assert_eq!(tell(&server).await, Told::default());
    assert_eq!(receiver.messages().len(), 2);
    let shown = server.get(&format!("{WEBHOOKS}/{hook}")).await.result();
    assert!(shown["last_failure"].as_str() >= shown["created_at"].as_str());
    assert_eq!(shown["last_success"], Value::Null);

    receiver.answer("200 OK");
    let start = std::time::Instant::now();
    while !server.service.teller().is_needed().await.unwrap() {
        assert!(start.elapsed().as_secs() < 60, "it is never due again");
        tokio::task::yield_now().await;
    }
    assert_eq!(tell(&server).await, told(1, 0));
    let messages = receiver.messages();
    assert_eq!(messages.len(), 3);
    assert_eq!(messages[1].json, messages[2].json);
    assert_eq!(healthy.messages().len(), 2);
    let metrics = format!("{}/metrics", server.metrics_url);
    let counts = send(server.client.get(metrics)).await.text();
    for line in [
        "calotype_notifications_total{outcome=\"told\"} 2",
        "calotype_notifications_total{outcome=\"refused\"} 1",
        "calotype_notifications_total{outcome=\"dropped\"} 0",
    ] {
        assert!(counts.contains(line), "{line}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_which_refuses_one_message_gets_the_others() {
    let (server, receiver) = (server().await, Receiver::start().await);
    let hook = new_webhook(&server, &receiver, None).await;
    new_policy(&server, &[&hook]).await;
    receiver.answer("500 Internal Server Error");
    let (bad, url) = draft(&server, &[]).await;
    send_file(&server, &url, b"no image").await;
    assert_eq!(tell(&server).await, told(0, 1));
    let (good, url) = draft(&server, &[]).await;
    send_file(&server, &url, PHOTO).await.result();
    // It is left alone for a while, whatever is new.
    assert_eq!(tell(&server).await, Told::default());
    // Replaced, it is tried at once, first with what it has not refused yet.
    receiver.answer("200 OK");
    let body = json!({ "name": "hook", "url": receiver.url });
    let path = format!("{WEBHOOKS}/{hook}");
    server.json(Method::PUT, &path, &body).await.result();
    assert_eq!(tell(&server).await, told(2, 0));
    let images: Vec<_> = receiver.messages()[3..]
        .iter()
        .map(|message| message.image().to_owned())
        .collect();
    assert!(
        images.contains(&good) && images.contains(&bad),
        "{images:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_webhook_holds_up_no_other() {
    let (server, fast) = (server().await, Receiver::start().await);
    let slow = Receiver::start().await;
    let hooks = [
        new_webhook(&server, &slow, None).await,
        new_webhook(&server, &fast, None).await,
    ];
    new_policy(&server, &[&hooks[0], &hooks[1]]).await;
    slow.stall();
    let mut teller = server.service.teller();
    for number in 1..=3 {
        let (image, url) = draft(&server, &[]).await;
        send_file(&server, &url, PHOTO).await.result();
        teller.begin().await.unwrap();
        let messages = fast.wait_for(1 + number).await;
        assert_eq!(messages[number].image(), image);
    }
    assert_eq!(slow.messages().len(), 2);
    assert!(teller.is_needed().await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn who_goes_away_in_the_middle_has_not_failed() {
    let (server, receiver) = (server().await, Receiver::start().await);
    let hook = new_webhook(&server, &receiver, None).await;
    new_policy(&server, &[&hook]).await;
    let (image, _) = draft(&server, &[]).await;
    let head = format!(
        "POST /upload/{}/{image} HTTP/1.1\r\nHost: test\r\nContent-Length: 1000\r\n\
         Content-Type: multipart/form-data; boundary=b\r\n\r\n--b\r\n",
        server.account.hash
    );
    let address = server.url.strip_prefix("http://").unwrap();
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.shutdown().await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    assert!(!server.service.teller().is_needed().await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_for_a_policy_goes_with_it() {
    let (server, receiver) = (server().await, Receiver::start().await);
    let hook = new_webhook(&server, &receiver, None).await;
    let by = new_policy(&server, &[&hook]).await;
    let path = format!("{POLICIES}/{by}");
    let (_, url) = draft(&server, &[]).await;
    send_file(&server, &url, PHOTO).await.result();
    let edit = json!({ "enabled": false });
    server.json(Method::PUT, &path, &edit).await.result();
    let edit = json!({ "enabled": true });
    server.json(Method::PUT, &path, &edit).await.result();
    assert!(!server.service.teller().is_needed().await.unwrap());
    let (_, url) = draft(&server, &[]).await;
    send_file(&server, &url, PHOTO).await.result();
    assert!(server.service.teller().is_needed().await.unwrap());
    server.delete(&path).await.result();
    assert!(!server.service.teller().is_needed().await.unwrap());
    assert_eq!(receiver.messages().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_has_no_more_webhooks_and_policies_than_it_may() {
    let mut wishes = Wishes {
        allow_private_sources: true,
        ..Wishes::default()
    };
    (wishes.limits.webhooks_max, wishes.limits.policies_max) = (1, 1);
    let (server, receiver) = (Server::with(wishes).await, Receiver::start().await);
    let hook = new_webhook(&server, &receiver, None).await;
    let body = json!({ "name": "hook", "url": receiver.url });
    let full = server.json(Method::POST, WEBHOOKS, &body).await;
    assert_eq!(full.failure(), (403, 5453));
    assert_eq!(receiver.messages().len(), 1);
    new_policy(&server, &[&hook]).await;
    let full = server.json(Method::POST, POLICIES, &policy(&[&hook])).await;
    assert_eq!(full.failure(), (403, 5453));
}
