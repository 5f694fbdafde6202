//! Two real servers on one PostgreSQL and one bucket: what one acknowledges the other knows, within
//! a second.

#[path = "support/authority.rs"]
mod authority;
#[path = "support/nodes.rs"]
mod nodes;
#[path = "support/picture.rs"]
mod picture;
#[path = "support/postgres.rs"]
mod postgres;
#[path = "support/receiver.rs"]
mod receiver;
#[path = "support/s3.rs"]
mod s3;
#[path = "support/server.rs"]
mod server;
#[path = "nodes/tls.rs"]
mod tls;
#[path = "support/until.rs"]
mod until;
#[path = "nodes/webhooks.rs"]
mod webhooks;

use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::StreamExt as _;
use reqwest::multipart::{Form, Part};
use reqwest::{Client, StatusCode};
use serde_json::{Value, json};
use store::{RenditionKey, Renditions};

use nodes::{Nodes, SECRET_KEY, blob, client, deliver, upload};
use server::{API_TOKEN, Server, Settings};
use until::until;

/// How late a node may see what another one did.
const SEEN: Duration = Duration::from_secs(1);

/// Delivers until the answer has this status. One which was asked for in time may have another.
async fn sees(client: &Client, node: &Server, id: &str, expected: StatusCode) {
    let start = Instant::now();
    loop {
        let asked = start.elapsed();
        let status = deliver(client, node, id).await.status();
        if status == expected {
            return;
        }
        assert!(asked < SEEN, "a node still answers {status} for {id}");
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn on_postgres_and_s3_what_one_node_does_the_other_shows() {
    let Some(nodes) = Nodes::new() else { return };
    let (one, other) = nodes.start_two();
    let client = client();

    let (status, answer) = upload(&client, &one, "cats/tom", b"tom").await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    assert_eq!(deliver(&client, &other, "cats/tom").await.status(), 200);
    let (status, bytes) = blob(&client, &other, "cats/tom").await;
    assert_eq!((status, bytes), (StatusCode::OK, picture::gif(b"tom")));

    // What one node edits, the other shows as before.
    let url = format!("{}/v1/cats%2Ftom", one.images_url());
    let edit = client.patch(&url).bearer_auth(API_TOKEN);
    let edited = edit.json(&json!({ "metadata": { "a": 1 } })).send().await;
    assert_eq!(edited.expect("an answer").status(), 200);
    assert_eq!(deliver(&client, &other, "cats/tom").await.status(), 200);
    let (status, answer) = upload(&client, &one, "cats/jerry", b"jerry").await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    sees(&client, &other, "cats/jerry", StatusCode::OK).await;

    let deleted = client.delete(&url).bearer_auth(API_TOKEN).send().await;
    assert_eq!(deleted.expect("an answer").status(), 200);
    sees(&client, &other, "cats/tom", StatusCode::NOT_FOUND).await;
    let (status, _) = blob(&client, &other, "cats/tom").await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert_eq!(deliver(&client, &other, "cats/jerry").await.status(), 200);

    // A third node, which comes later, knows it all; and a first account is made only once.
    drop(one);
    let third = nodes.start();
    assert_eq!(deliver(&client, &third, "cats/jerry").await.status(), 200);
    assert_eq!(deliver(&client, &third, "cats/tom").await.status(), 404);
    let accounts = client
        .get(format!("{}/accounts", third.api_url()))
        .bearer_auth(API_TOKEN)
        .send()
        .await;
    let accounts: Value = accounts.expect("an answer").json().await.expect("JSON");
    assert_eq!(accounts["result"].as_array().map(Vec::len), Some(1));
}

/// Asks so often that the answer is ready, and all that makes it is remembered.
async fn warm(client: &Client, node: &Server, id: &str) -> Bytes {
    let mut last = Bytes::new();
    for _ in 0..4 {
        let answer = deliver(client, node, id).await;
        assert_eq!(answer.status(), StatusCode::OK, "{id}");
        last = answer.bytes().await.expect("a body");
    }
    last
}

/// Has an image require signed URLs, or not; it has another id from then on.
async fn set_private(client: &Client, node: &Server, id: &str, is_private: bool) -> String {
    let url = format!("{}/v1/{id}", node.images_url());
    let edit = json!({ "requireSignedURLs": is_private });
    let sent = client.patch(url).bearer_auth(API_TOKEN).json(&edit).send();
    let answer: Value = sent.await.expect("an answer").json().await.expect("JSON");
    let id = answer["result"]["id"].as_str();
    id.unwrap_or_else(|| panic!("{answer}")).to_owned()
}

/// What a node would deliver at once is denied there within a second after it is denied elsewhere.
#[tokio::test(flavor = "multi_thread")]
async fn on_postgres_and_s3_access_and_deletions_are_seen_by_a_node_which_is_warm() {
    let Some(nodes) = Nodes::new() else { return };
    let (one, other) = nodes.start_two();
    let client = client();
    for (here, there) in [(&one, &other), (&other, &one)] {
        let file = Part::bytes(picture::gif(b"tom")).file_name("a.gif");
        let request = client.post(format!("{}/v1", here.images_url()));
        let form = Form::new().part("file", file);
        let sent = request.bearer_auth(API_TOKEN).multipart(form).send().await;
        let answer: Value = sent.expect("an answer").json().await.expect("JSON");
        let public = answer["result"]["id"].as_str().expect("an id").to_owned();
        let picture = warm(&client, there, &public).await;
        assert_eq!(warm(&client, here, &public).await, picture);

        let private = set_private(&client, here, &public, true).await;
        sees(&client, there, &public, StatusCode::NOT_FOUND).await;
        sees(&client, there, &private, StatusCode::FORBIDDEN).await;
        for (id, status) in [(&public, 404), (&private, 403)] {
            assert_eq!(deliver(&client, here, id).await.status(), status);
        }

        let again = set_private(&client, here, &private, false).await;
        sees(&client, there, &private, StatusCode::NOT_FOUND).await;
        sees(&client, there, &again, StatusCode::OK).await;
        assert_eq!(warm(&client, there, &again).await, picture);
        assert_eq!(warm(&client, here, &again).await, picture);

        // By the other one, so that each has told the other something.
        let last = set_private(&client, there, &again, true).await;
        sees(&client, here, &again, StatusCode::NOT_FOUND).await;
        let last = set_private(&client, there, &last, false).await;
        sees(&client, here, &last, StatusCode::OK).await;
        warm(&client, there, &last).await;
        let url = format!("{}/v1/{last}", here.images_url());
        let deleted = client.delete(url).bearer_auth(API_TOKEN).send().await;
        assert_eq!(deleted.expect("an answer").status(), 200);
        sees(&client, there, &last, StatusCode::NOT_FOUND).await;
        assert_eq!(deliver(&client, here, &last).await.status(), 404);

        // What takes the name of a deleted image is seen in its place.
        let (status, answer) = upload(&client, here, "name", b"old").await;
        assert_eq!(status, StatusCode::OK, "{answer}");
        warm(&client, there, "name").await;
        let url = format!("{}/v1/name", here.images_url());
        let deleted = client.delete(&url).bearer_auth(API_TOKEN).send().await;
        assert_eq!(deleted.expect("an answer").status(), 200);
        sees(&client, there, "name", StatusCode::NOT_FOUND).await;
        let (status, answer) = upload(&client, here, "name", b"new").await;
        assert_eq!(status, StatusCode::OK, "{answer}");
        sees(&client, there, "name", StatusCode::OK).await;
        let (_, bytes) = blob(&client, there, "name").await;
        assert_eq!(bytes, picture::gif(b"new"));
        let deleted = client.delete(&url).bearer_auth(API_TOKEN).send().await;
        assert_eq!(deleted.expect("an answer").status(), 200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn on_postgres_and_s3_one_of_two_uploads_of_one_id_wins() {
    let Some(nodes) = Nodes::new() else { return };
    let (one, other) = nodes.start_two();
    let client = client();
    for round in 0..5 {
        let id = format!("round/{round}");
        let (first, second) = tokio::join!(
            upload(&client, &one, &id, b"one"),
            upload(&client, &other, &id, b"other")
        );
        let (won, lost, winner) = if first.0 == 200 {
            (first, second, &b"one"[..])
        } else {
            (second, first, &b"other"[..])
        };
        assert_eq!(won.0, 200, "{won:?}");
        assert_eq!(lost.0, 409, "{lost:?}");
        assert_eq!(lost.1["errors"][0]["code"], 5409, "{lost:?}");
        for node in [&one, &other] {
            let (status, bytes) = blob(&client, node, &format!("round%2F{round}")).await;
            assert_eq!((status, bytes), (StatusCode::OK, picture::gif(winner)));
        }
    }
}

/// A node which comes back to a database which was away goes on by itself.
#[tokio::test(flavor = "multi_thread")]
async fn on_postgres_and_s3_a_node_survives_a_restart_of_its_database() {
    let (Some(database), Some(bucket)) = (postgres::Postgres::start_or_skip(), s3::prefix()) else {
        return;
    };
    let nodes = Nodes {
        database: database.create(),
        bucket,
    };
    let node = nodes.start();
    let client = client();
    let (status, answer) = upload(&client, &node, "a", b"a").await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    tokio::task::block_in_place(|| database.crash());
    let ready = client.get(format!("{}/readyz", node.url())).send().await;
    assert_eq!(ready.expect("an answer").status(), 200);
    assert_eq!(deliver(&client, &node, "a").await.status(), 200);
    let (status, answer) = upload(&client, &node, "b", b"b").await;
    assert_eq!(status, StatusCode::OK, "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn on_postgres_a_node_with_another_key_or_bucket_does_not_start() {
    let Some(nodes) = Nodes::new() else { return };
    let _first = nodes.start();
    for (name, value, part) in [
        ("--secret-key", "ff".repeat(32), "secret_key"),
        ("--blobs", "s3://another".to_owned(), "bucket"),
    ] {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut command = server::program();
        command.args(["serve", "--listen", "127.0.0.1:0", "--data-dir"]);
        command.arg(folder.path());
        for (flag, right) in [
            ("--secret-key", SECRET_KEY),
            ("--database", &nodes.database),
            ("--blobs", &nodes.bucket.url),
            ("--s3-endpoint", &nodes.bucket.endpoint),
            ("--s3-access-key-id", s3::KEY.0),
            ("--s3-secret-access-key", s3::KEY.1),
        ] {
            command.args([flag, if flag == name { &value } else { right }]);
        }
        let output = command.output().expect("the program runs");
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{error}");
        assert!(error.to_lowercase().contains(part), "{error}");
    }
}

/// As the tools of AWS find them.
#[tokio::test(flavor = "multi_thread")]
async fn on_s3_the_keys_may_be_in_the_file_which_the_tools_of_aws_share() {
    let Some(bucket) = s3::prefix() else { return };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("credentials");
    let text = format!(
        "[default]\naws_access_key_id = nobody\naws_secret_access_key = wrong\n\n\
         [images]\naws_access_key_id = {}\naws_secret_access_key = {}\n",
        s3::KEY.0,
        s3::KEY.1
    );
    std::fs::write(&file, text).expect("it is written");
    let file = file.to_str().expect("a path");
    let node = Settings::new()
        .set("blobs", &bucket.url)
        .set("s3-endpoint", &bucket.endpoint)
        .variable("AWS_SHARED_CREDENTIALS_FILE", file)
        .variable("AWS_PROFILE", "images")
        .start();
    let client = client();
    let (status, answer) = upload(&client, &node, "kept", b"kept").await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    let (_, bytes) = blob(&client, &node, "kept").await;
    assert_eq!(bytes, picture::gif(b"kept"));

    for (profile, part) in [("default", "invalidaccesskeyid"), ("nobody", "[nobody]")] {
        let mut command = server::program();
        command.args(["serve", "--listen", "127.0.0.1:0", "--data-dir"]);
        command.arg(folder.path().join("data"));
        command.args(["--blobs", &bucket.url, "--s3-endpoint", &bucket.endpoint]);
        command.env("AWS_SHARED_CREDENTIALS_FILE", file);
        command.env("AWS_PROFILE", profile);
        let output = command.output().expect("the program runs");
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{error}");
        assert!(error.to_lowercase().contains(part), "{error}");
    }
}

/// What one node is told to purge, the other makes anew. It asks several times in a second, and where it
/// could not, shows for longer what it may show anyway.
#[tokio::test(flavor = "multi_thread")]
async fn on_postgres_and_s3_a_purge_reaches_every_node() {
    let Some(nodes) = Nodes::new() else { return };
    let (one, other) = nodes.start_two();
    let client = client();
    let is_kept = async |id: &str| {
        let answer = deliver(&client, &other, id).await;
        assert_eq!(answer.status(), StatusCode::OK);
        let from = answer.headers()["cf-resized"].to_str().expect("text");
        from.starts_with("internal=ram")
    };
    for id in ["cats/tom", "cats/jerry"] {
        let (status, answer) = upload(&client, &one, id, id.as_bytes()).await;
        assert_eq!(status, StatusCode::OK, "{answer}");
        is_kept(id).await;
        assert!(is_kept(id).await);
    }
    let purge = async |body: Value| {
        let url = format!("{}/v1/purge", one.images_url());
        let request = client.post(url).bearer_auth(API_TOKEN).json(&body);
        request.send().await.expect("an answer").status()
    };
    for body in [
        json!({"images": ["cats/tom"]}),
        json!({"images": ["cats/tom"], "variant": "public"}),
        json!({"everything": true}),
    ] {
        assert_eq!(purge(body).await, StatusCode::OK);
        until(async || !is_kept("cats/tom").await).await;
    }
    // A purge which is refused is nobody's. The next one would come after it.
    is_kept("cats/jerry").await;
    assert!(is_kept("cats/jerry").await && is_kept("cats/tom").await);
    let refused = purge(json!({"images": ["cats/tom", "cats/none"]})).await;
    assert_eq!(refused, StatusCode::NOT_FOUND);
    let jerry = json!({"images": ["cats/jerry"]});
    assert_eq!(purge(jerry).await, StatusCode::OK);
    until(async || !is_kept("cats/jerry").await).await;
    assert!(is_kept("cats/tom").await);
}

fn digest_of(digits: &str) -> [u8; 32] {
    let bytes = model::from_hex(digits).expect("digits");
    bytes.try_into().expect("32 bytes")
}

/// What one node made the other finds in the bucket of renditions, and it goes with its image.
#[tokio::test(flavor = "multi_thread")]
async fn on_postgres_and_s3_renditions_are_shared_in_a_bucket() {
    let Some(nodes) = Nodes::new() else { return };
    let Some(prefix) = s3::prefix() else { return };
    let start = || {
        nodes
            .settings()
            .set("rendition-bucket", &prefix.url)
            .start()
    };
    let bucket = |url: &str| store::Bucket {
        url: store::BucketUrl::parse(url).expect("an address"),
        endpoint: Some(prefix.endpoint.clone()),
        region: None,
        path_style: true,
        credentials: Some((s3::KEY.0.to_owned(), s3::KEY.1.to_owned())),
    };
    let client = client();
    let explain = async |node: &Server| {
        let url = format!("{}/{}/a/public?explain=1", node.url(), server::ACCOUNT_HASH);
        let answer = client.get(url).bearer_auth(API_TOKEN).send().await;
        let explained: Value = answer.expect("an answer").json().await.expect("JSON");
        let text = |name| explained["cache"][name].as_str().map(str::to_owned);
        (text("tier").expect("a tier"), text("key").expect("a key"))
    };

    let one = start();
    let (status, answer) = upload(&client, &one, "a", b"a").await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    let (tier, digest) = explain(&one).await;
    assert_eq!(tier, "miss");

    // The bucket as somebody else sees it.
    let folder = tempfile::tempdir().expect("a temporary folder");
    let seen = Renditions::open(folder.path(), 0, 0).expect("a cache");
    let seen = seen.sharing(&bucket(&prefix.url)).await.expect("a bucket");
    let blobs = store::Blobs::bucket(&bucket(&nodes.bucket.url)).expect("a bucket");
    let blob = blobs
        .list()
        .next()
        .await
        .expect("a blob")
        .expect("it is listed");
    let key = RenditionKey {
        blob: blob.0,
        transform: digest_of(&digest),
    };
    let is_there = async |expected: bool| {
        let is_so = async || seen.get_shared(&key).await.is_some() == expected;
        until(is_so).await;
    };
    is_there(true).await;

    let other = start();
    assert_eq!(explain(&other).await, ("bucket".to_owned(), digest.clone()));
    assert_eq!(explain(&other).await, ("memory".to_owned(), digest.clone()));

    // Purged, it is purged there as well.
    let purge = client.post(format!("{}/v1/purge", one.images_url()));
    let purge = purge.bearer_auth(API_TOKEN).json(&json!({"images": ["a"]}));
    assert_eq!(
        purge.send().await.expect("an answer").status(),
        StatusCode::OK
    );
    assert!(seen.get_shared(&key).await.is_none());

    // Deleted, it is deleted there as well.
    assert_eq!(explain(&one).await.0, "miss");
    is_there(true).await;
    let url = format!("{}/v1/a", one.images_url());
    let deleted = client.delete(url).bearer_auth(API_TOKEN).send().await;
    assert_eq!(deleted.expect("an answer").status(), StatusCode::OK);
    is_there(false).await;
}

/// Also where blobs are files.
#[tokio::test(flavor = "multi_thread")]
async fn on_postgres_and_s3_a_wrong_bucket_of_renditions_is_found_at_the_start() {
    let Some(nodes) = Nodes::new() else { return };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let output = server::program()
        .args(["serve", "--listen", "127.0.0.1:0", "--data-dir"])
        .arg(folder.path())
        .args(["--rendition-bucket", "s3://nowhere/a"])
        .args(["--s3-endpoint", &nodes.bucket.endpoint])
        .args(["--s3-access-key-id", s3::KEY.0])
        .args(["--s3-secret-access-key", s3::KEY.1])
        .output()
        .expect("the program runs");
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(error.to_lowercase().contains("bucket"), "{error}");
}
