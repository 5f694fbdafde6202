//! Emptying caches by hand, with a receipt.

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{PHOTO, Server, TRANSPARENT};

/// From where a rendition came is only in the counts.
fn made(server: &Server) -> u64 {
    let mut rendered = server.service.meters().rendered();
    let mut sum = 0;
    for (_, outcome, count) in &mut rendered {
        sum += if outcome == "ok" { count } else { 0 };
    }
    sum
}

async fn purge(server: &Server, body: Value) -> Value {
    let receipt = server.json(Method::POST, "images/v1/purge", &body).await;
    receipt.result()
}

/// A server with two images in two variants, all of them made and kept.
async fn filled() -> (Server, [String; 2]) {
    let server = Server::start().await;
    let thumb = json!({"id": "thumb", "options": {"width": 10, "height": 10, "fit": "cover"}});
    server
        .json(Method::POST, "images/v1/variants", &thumb)
        .await
        .result();
    let ids = [
        server.upload(PHOTO, &[]).await,
        server.upload(TRANSPARENT, &[]).await,
    ];
    fill(&server, &ids).await;
    assert_eq!(made(&server), 4);
    (server, ids)
}

async fn fill(server: &Server, ids: &[String; 2]) {
    for id in ids {
        for variant in ["public", "thumb"] {
            let answer = server.deliver(&format!("{id}/{variant}"), &[]).await;
            assert_eq!(answer.status, 200);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_purged_is_made_anew_and_nothing_else() {
    let (server, ids) = filled().await;
    let mut expected = 4;
    for (body, images, entries) in [
        (json!({"images": [ids[0]]}), 1, 2),
        (json!({"images": ids, "variant": "thumb"}), 2, 2),
        (json!({"variant": "public"}), 2, 2),
        (json!({"everything": true}), 2, 4),
        (
            json!({"images": [ids[1]], "variant": "thumb", "sources": null}),
            1,
            1,
        ),
    ] {
        let files = server.files("cache");
        let receipt = purge(&server, body.clone()).await;
        assert_eq!(receipt["images"], images, "{body}");
        assert_eq!(receipt["entries"], entries, "{body}");
        assert_eq!(receipt["sources"], 0);
        assert!(
            receipt["bytes"].as_u64() >= Some(4_096 * entries),
            "{receipt}"
        );
        assert_eq!(server.files("cache"), files - entries as usize, "{body}");
        fill(&server, &ids).await;
        expected += entries;
        assert_eq!(made(&server), expected, "{body}");
    }
    // What is not there is purged with a receipt as well.
    purge(&server, json!({"everything": true})).await;
    let again = purge(&server, json!({"everything": true})).await;
    assert_eq!(
        again,
        json!({"images": 2, "sources": 0, "entries": 0, "bytes": 0})
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_purge_which_cannot_be_understood_purges_nothing() {
    let (server, ids) = filled().await;
    let long: Vec<String> = (0..1_001).map(|number| number.to_string()).collect();
    for body in [
        json!({}),
        json!({"everything": false}),
        json!({"everything": true, "images": [ids[0]]}),
        json!({"everything": "true"}),
        json!({"images": []}),
        json!({"images": ids[0]}),
        json!({"images": [ids[0], 7]}),
        json!({"images": long}),
        json!({"images": [ids[0]], "sources": ["http://a.test/"]}),
        json!({"variant": "a b"}),
        json!({"variant": 7}),
        json!({"sources": ["file:///etc/passwd"]}),
        json!({"sources": ["a.png"]}),
    ] {
        let answer = server.json(Method::POST, "images/v1/purge", &body).await;
        assert_eq!(answer.failure().0, 400, "{body}");
    }
    let unknown = json!({"images": [ids[0], "missing"]});
    let answer = server.json(Method::POST, "images/v1/purge", &unknown).await;
    assert_eq!(answer.failure(), (404, 5404));
    let unknown = json!({"images": [ids[0]], "variant": "missing"});
    let answer = server.json(Method::POST, "images/v1/purge", &unknown).await;
    assert_eq!(answer.failure(), (404, 5401));
    fill(&server, &ids).await;
    assert_eq!(made(&server), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn accounts_and_readers_purge_nothing_of_others() {
    let (server, ids) = filled().await;
    let (other, token) = server.another_account().await;
    let url = |account: &model::AccountId| {
        format!(
            "{}/client/v4/accounts/{account}/images/v1/purge",
            server.url
        )
    };
    let everything = json!({"everything": true});
    let ask = async |url: String, token: &str, body: &Value| {
        let request = server.client.post(url).bearer_auth(token).json(body);
        crate::harness::send(request).await
    };
    let theirs = ask(url(&other.id), &token, &everything).await.result();
    assert_eq!(theirs["images"], 0);
    let named = ask(url(&other.id), &token, &json!({"images": [ids[0]]})).await;
    assert_eq!(named.failure(), (404, 5404));
    let account = server.account.id.clone();
    assert_eq!(
        ask(url(&account), &token, &everything).await.failure().0,
        403
    );
    let reader = server
        .another_token(&account, model::Permission::Read, None)
        .await;
    assert_eq!(
        ask(url(&account), &reader, &everything).await.failure().0,
        403
    );
    fill(&server, &ids).await;
    assert_eq!(made(&server), 4);
}
