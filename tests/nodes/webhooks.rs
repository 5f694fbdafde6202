//! Of two nodes one tells the webhooks, and when it is gone the other one does.

use std::time::{Duration, Instant};

use reqwest::multipart::{Form, Part};
use reqwest::{Client, Method};
use serde_json::{Value, json};

use crate::nodes::{Nodes, client};
use crate::picture;
use crate::receiver::{Message, Receiver};
use crate::server::{API_TOKEN, Server};
use crate::until::until;

/// What took longer may be told again, since nobody knows what became of it.
const ANSWER_MAX: Duration = Duration::from_secs(10);

async fn call(client: &Client, node: &Server, path: &str, body: &Value) -> Value {
    let url = format!("{}/alerting/v3/{path}", node.account_url());
    let request = client.request(Method::POST, url).bearer_auth(API_TOKEN);
    let answer = request.json(body).send().await.expect("an answer");
    let answer: Value = answer.json().await.expect("JSON");
    assert_eq!(answer["success"], true, "{answer}");
    answer["result"]["id"].clone()
}

/// A direct creator upload from its beginning to its end.
async fn upload(client: &Client, node: &Server) -> String {
    let url = format!("{}/v2/direct_upload", node.images_url());
    let request = client.post(url).bearer_auth(API_TOKEN);
    let form = Form::new().text("creator", "ann");
    let answer = request.multipart(form).send().await.expect("an answer");
    let answer: Value = answer.json().await.expect("JSON");
    let id = answer["result"]["id"].as_str().expect("an id").to_owned();
    let part = Part::bytes(picture::gif(b"ann")).file_name("a.gif");
    let path = answer["result"]["uploadURL"].as_str().expect("a URL");
    let request = client.post(path).multipart(Form::new().part("file", part));
    assert_eq!(request.send().await.expect("an answer").status(), 200);
    id
}

#[tokio::test(flavor = "multi_thread")]
async fn on_postgres_and_s3_each_upload_is_told_by_one_node_and_none_is_lost() {
    let Some(nodes) = Nodes::new() else { return };
    let start = || {
        let settings = nodes.settings();
        settings.set("allow-private-sources", "true").start()
    };
    let (one, other) = (start(), start());
    let (client, receiver) = (client(), Receiver::start().await);
    let hook = json!({ "name": "hook", "url": receiver.url });
    let hook = call(&client, &one, "destinations/webhooks", &hook).await;
    let policy = json!({
        "name": "uploads",
        "enabled": true,
        "alert_type": "image_notification",
        "mechanisms": { "webhooks": [{ "id": hook }] },
    });
    call(&client, &other, "policies", &policy).await;

    let begun = Instant::now();
    let mut uploaded = Vec::new();
    for number in 0..20 {
        let node = if number % 2 == 0 { &one } else { &other };
        uploaded.push(upload(&client, node).await);
    }
    let told = |messages: &[Message]| {
        let images = messages[1..].iter().map(Message::image);
        let mut images: Vec<String> = images.map(str::to_owned).collect();
        images.sort_unstable();
        images
    };
    uploaded.sort_unstable();
    let mut messages = receiver.wait_for(21).await;
    while {
        let mut images = told(&messages);
        // On a machine which is so slow, each is told at least once.
        if begun.elapsed() < ANSWER_MAX {
            assert_eq!(images.len(), 20, "{images:?}");
        }
        images.dedup();
        images != uploaded
    } {
        messages = receiver.wait_for(messages.len() + 1).await;
    }

    // While nobody takes them, whoever tells them dies, and so does the other, where the last was sent.
    receiver.answer("503 Service Unavailable");
    let mut late = vec![upload(&client, &one).await, upload(&client, &other).await];
    // It is known to have failed, so that nobody has to wait until a claim lapses.
    let hooks = format!("{}/alerting/v3/destinations/webhooks", one.account_url());
    until(async || {
        let asked = client.get(&hooks).bearer_auth(API_TOKEN).send().await;
        let answer: Value = asked.expect("an answer").json().await.expect("JSON");
        !answer["result"][0]["last_failure"].is_null()
    })
    .await;
    one.kill9();
    late.push(upload(&client, &other).await);
    other.kill9();
    let before = receiver.messages().len();
    receiver.answer("200 OK");
    let third = start();
    late.push(upload(&client, &third).await);
    let mut expected = late.clone();
    expected.sort_unstable();
    messages = receiver.messages();
    while {
        let mut images = told(&messages[before - 1..]);
        images.dedup();
        images != expected
    } {
        messages = receiver.wait_for(messages.len() + 1).await;
    }
}
