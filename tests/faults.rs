//! What must be survived, with the real servers behind real nodes: a store which fails in every way, a
//! database which is out of reach or has no connection left, a bucket of renditions which stalls, a disk
//! which is read-only, a clock which is wrong, two nodes at one id, and restarts under load.
//!
//! What is chosen at random prints its seed; `CALOTYPE_FAULT_SEED` repeats it.

#[path = "faults/clocks.rs"]
mod clocks;
#[path = "support/disk.rs"]
mod disk;
#[path = "support/gate.rs"]
mod gate;
#[path = "support/nodes.rs"]
mod nodes;
#[path = "faults/one_id.rs"]
mod one_id;
#[path = "faults/one_sweeps.rs"]
mod one_sweeps;
#[path = "support/picture.rs"]
mod picture;
#[path = "support/postgres.rs"]
mod postgres;
#[path = "faults/rendition_bucket.rs"]
mod rendition_bucket;
#[path = "faults/restarts.rs"]
mod restarts;
#[path = "support/s3.rs"]
mod s3;
#[path = "support/server.rs"]
mod server;
#[path = "support/until.rs"]
mod until;

use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use futures_util::future::join_all;
use reqwest::multipart::{Form, Part};
use reqwest::{Client, StatusCode};
use serde_json::Value;
use store::{Blobs, Bucket, BucketUrl};

use disk::SmallDisk;
use gate::{Fault, Faulty, Gate};
use nodes::{Nodes, blob, client, deliver, upload};
use postgres::Postgres;
use server::{API_TOKEN, Server, Settings};
use until::until;

pub(crate) async fn get(client: &Client, node: &Server, id: &str) -> (StatusCode, Value) {
    let url = format!("{}/v1/{}", node.images_url(), id.replace('/', "%2F"));
    let sent = client.get(url).bearer_auth(API_TOKEN).send().await;
    let answer = sent.expect("the node answers");
    (answer.status(), answer.json().await.expect("JSON"))
}

pub(crate) async fn delete(client: &Client, node: &Server, id: &str) -> StatusCode {
    let url = format!("{}/v1/{}", node.images_url(), id.replace('/', "%2F"));
    let sent = client.delete(url).bearer_auth(API_TOKEN).send().await;
    sent.expect("the node answers").status()
}

async fn readiness(client: &Client, node: &Server) -> StatusCode {
    let ready = client.get(format!("{}/readyz", node.url())).send().await;
    ready.expect("the node answers").status()
}

async fn until_ready(client: &Client, node: &Server) {
    until(async || readiness(client, node).await == StatusCode::OK).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_s3_every_way_to_fail_is_survived() {
    let Some(bucket) = s3::prefix() else { return };
    let store = Faulty::before(&bucket.endpoint).await;
    let node = Settings::new()
        .set("blobs", &bucket.url)
        .set("s3-endpoint", store.endpoint())
        .set("s3-access-key-id", s3::KEY.0)
        .set("s3-secret-access-key", s3::KEY.1)
        .set("sweep-interval", "50ms")
        // Not so short that an upload which is tried again is taken for one which was given up.
        .set("blob-grace", "20s")
        .set("cache-memory-bytes", "0")
        .set("cache-disk-bytes", "0")
        .start();
    let client = client();
    let mut there = 0;
    let (status, answer) = upload(&client, &node, "before", b"before").await;
    assert_eq!(status, 200, "{answer}");
    there += 1;

    // What passes is not noticed.
    for fault in [Fault::Internal, Fault::SlowDown, Fault::Cut] {
        let id = format!("once/{fault:?}");
        let before = store.failed();
        store.fail(fault, 1);
        let (status, answer) = upload(&client, &node, &id, id.as_bytes()).await;
        assert_eq!(status, 200, "{fault:?}: {answer}");
        there += 1;
        let path = id.replace('/', "%2F");
        store.fail(fault, 1);
        let (status, bytes) = blob(&client, &node, &path).await;
        // A body which ends in the middle of an answer which was begun ends it, too.
        if fault != Fault::Cut {
            assert_eq!((status.as_u16(), bytes), (200, picture::gif(id.as_bytes())));
        }
        store.heal();
        assert!(store.failed() > before, "{fault:?}");
        let (status, bytes) = blob(&client, &node, &path).await;
        assert_eq!((status.as_u16(), bytes), (200, picture::gif(id.as_bytes())));
    }

    // What stays is told, in the envelope, and changes nothing.
    for fault in [
        Fault::Internal,
        Fault::SlowDown,
        Fault::Forbidden,
        Fault::Cut,
        Fault::Stall,
    ] {
        let id = format!("always/{fault:?}");
        store.fail(fault, u64::MAX);
        let (refused, delivered, listed) = tokio::join!(
            upload(&client, &node, &id, id.as_bytes()),
            deliver(&client, &node, "before"),
            get(&client, &node, "before"),
        );
        let (status, answer) = refused;
        assert!(status.is_server_error(), "{fault:?}: {status}");
        assert_eq!(answer["errors"][0]["code"], 5540, "{fault:?}: {answer}");
        assert!(delivered.status().is_server_error(), "{fault:?}");
        // Records do not need the store.
        assert_eq!(listed.0, 200, "{fault:?}");
        assert_eq!(get(&client, &node, &id).await.0, 404, "{fault:?}");

        store.heal();
        let (status, answer) = upload(&client, &node, &id, id.as_bytes()).await;
        assert_eq!(status, 200, "{fault:?}: {answer}");
        there += 1;
        assert_eq!(
            deliver(&client, &node, "before").await.status(),
            200,
            "{fault:?}"
        );
        let (status, bytes) = blob(&client, &node, &id.replace('/', "%2F")).await;
        assert_eq!((status.as_u16(), bytes), (200, picture::gif(id.as_bytes())));
    }

    // And leaves nothing behind.
    let blobs = blobs_of(&bucket);
    until(async || {
        let stored = blobs.sorted().count().await;
        assert!(stored >= there, "{stored} blobs of {there} images");
        stored == there
    })
    .await;
}

fn blobs_of(bucket: &s3::Prefix) -> Blobs {
    let blobs = Blobs::bucket(&Bucket {
        url: BucketUrl::parse(&bucket.url).expect("a bucket"),
        endpoint: Some(bucket.endpoint.clone()),
        region: None,
        path_style: true,
        credentials: Some((s3::KEY.0.to_owned(), s3::KEY.1.to_owned())),
    });
    blobs.expect("the bucket opens")
}

#[tokio::test(flavor = "multi_thread")]
async fn on_postgres_and_s3_a_node_without_its_database_shows_nothing_stale() {
    let Some(nodes) = Nodes::new() else { return };
    let rest = nodes.database.strip_prefix("postgres://postgres@");
    let (address, name) = rest
        .and_then(|rest| rest.split_once('/'))
        .expect("an address");
    let gate = Gate::before(address).await;
    let there = nodes.start();
    let database = format!("postgres://postgres@{}/{name}", gate.address());
    let apart = nodes.settings().set("database", &database).start();
    let client = client();
    for id in ["kept", "deleted"] {
        let (status, answer) = upload(&client, &apart, id, id.as_bytes()).await;
        assert_eq!(status, 200, "{answer}");
        assert_eq!(deliver(&client, &apart, id).await.status(), 200);
    }

    gate.shut();
    assert_eq!(delete(&client, &there, "deleted").await, 200);
    let deleted = Instant::now();
    loop {
        let asked = deleted.elapsed();
        let status = deliver(&client, &apart, "deleted").await.status();
        if status == StatusCode::SERVICE_UNAVAILABLE {
            break;
        }
        assert!(asked.as_secs() < 1, "a node still answers {status}");
    }
    // Clients reach it, and it says what it can.
    let live = client.get(format!("{}/livez", apart.url())).send().await;
    assert_eq!(live.expect("an answer").status(), 200);
    let (ready, refused) = tokio::join!(
        readiness(&client, &apart),
        upload(&client, &apart, "refused", b"refused"),
    );
    assert_eq!(ready, 503);
    assert_eq!(refused.0, 503, "{}", refused.1);
    // The others do not notice.
    assert_eq!(deliver(&client, &there, "kept").await.status(), 200);
    assert_eq!(get(&client, &there, "refused").await.0, 404);

    gate.open();
    until_ready(&client, &apart).await;
    assert_eq!(deliver(&client, &apart, "kept").await.status(), 200);
    assert_eq!(deliver(&client, &apart, "deleted").await.status(), 404);
    let (status, answer) = upload(&client, &apart, "after", b"after").await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(deliver(&client, &there, "after").await.status(), 200);
}

/// All connections are taken, as by other programs, and those which a node had are gone.
#[tokio::test(flavor = "multi_thread")]
async fn on_postgres_a_database_without_a_connection_left_is_waited_for() {
    let Some(server) = Postgres::start_or_skip() else {
        return;
    };
    let database = server.create();
    let sql = |sql: &str| tokio::task::block_in_place(|| server.execute(&database, sql));
    // A superuser would be let in all the same.
    sql("CREATE ROLE node LOGIN; GRANT ALL ON SCHEMA public TO node");
    let database = database.replace("postgres@", "node@");
    let node = &Settings::new().set("database", &database).start();
    let client = &client();
    let (status, answer) = upload(client, node, "before", b"before").await;
    assert_eq!(status, 200, "{answer}");
    let delivered = deliver(client, node, "before").await;
    assert_eq!(delivered.status(), 200);
    let delivered = delivered.bytes().await.expect("a body");

    sql("ALTER ROLE node CONNECTION LIMIT 0");
    sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'node'");
    until(async || readiness(client, node).await == StatusCode::SERVICE_UNAVAILABLE).await;
    // Many at once, as clients come, who are all told when to come again.
    let uploads = (0..20).map(|number| async move {
        let id = format!("refused/{number}");
        let form = Form::new().text("id", id.clone()).part(
            "file",
            Part::bytes(picture::gif(id.as_bytes())).file_name("a.gif"),
        );
        let request = client.post(format!("{}/v1", node.images_url()));
        let sent = request.bearer_auth(API_TOKEN).multipart(form).send().await;
        let answer = sent.expect("the node answers");
        assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE, "{id}");
        let seconds = answer.headers()["retry-after"].to_str().expect("text");
        assert!(seconds.parse::<u32>().is_ok_and(|seconds| seconds > 0));
        let answer: Value = answer.json().await.expect("JSON");
        assert_eq!(answer["success"], false, "{answer}");
    });
    let watched = async {
        for _ in 0..5 {
            let live = client.get(format!("{}/livez", node.url())).send().await;
            assert_eq!(live.expect("the node answers").status(), 200);
            assert_eq!(readiness(client, node).await, 503);
        }
    };
    tokio::join!(join_all(uploads), watched);
    // What may have become private by now is not shown.
    assert_eq!(deliver(client, node, "before").await.status(), 503);

    sql("ALTER ROLE node CONNECTION LIMIT -1");
    until_ready(client, node).await;
    let again = deliver(client, node, "before").await;
    assert_eq!(again.status(), 200);
    assert_eq!(again.bytes().await.expect("a body"), delivered);
    assert_eq!(listed(client, node).await, ["before"]);
    let (status, answer) = upload(client, node, "refused/0", b"after").await;
    assert_eq!(status, 200, "{answer}");
}

/// How long the database stands still.
const PAUSE: Duration = Duration::from_secs(30);

/// Connections stay open and nothing answers, as where a machine is moved or its disk hangs.
#[tokio::test(flavor = "multi_thread")]
async fn on_postgres_a_database_which_stands_still_for_half_a_minute_loses_nothing() {
    let Some(database) = Postgres::start_or_skip() else {
        return;
    };
    let node = &Settings::new().set("database", &database.create()).start();
    let client = &client();
    let (status, answer) = upload(client, node, "before", b"before").await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(deliver(client, node, "before").await.status(), 200);

    tokio::task::block_in_place(|| database.pause());
    let paused = Instant::now();
    let uploads = (0..4).map(|uploader| async move {
        let mut answers = Vec::new();
        for number in 0.. {
            if paused.elapsed() >= PAUSE {
                break;
            }
            let id = format!("{uploader}/{number}");
            let (status, answer) = upload(client, node, &id, id.as_bytes()).await;
            let known = status == 200 || status == 503;
            assert!(known, "{status} for {id}: {answer}");
            answers.push((id, status == 200));
        }
        answers
    });
    let watched = async {
        let mut refused = false;
        while paused.elapsed() < PAUSE {
            let live = client.get(format!("{}/livez", node.url())).send().await;
            assert_eq!(live.expect("an answer").status(), 200);
            let status = deliver(client, node, "before").await.status();
            assert!(status == 200 || status == 503, "{status}");
            refused |= status == 503;
        }
        tokio::task::block_in_place(|| database.resume());
        refused
    };
    let (answers, refused) = tokio::join!(join_all(uploads), watched);
    assert!(refused, "what may be private by now was shown");

    until_ready(client, node).await;
    assert_eq!(deliver(client, node, "before").await.status(), 200);
    for (id, acknowledged) in answers.into_iter().flatten() {
        let (status, bytes) = blob(client, node, &id.replace('/', "%2F")).await;
        if acknowledged || status == 200 {
            assert_eq!(
                (status, bytes),
                (StatusCode::OK, picture::gif(id.as_bytes()))
            );
        } else {
            assert_eq!(status, 404, "{id}");
        }
    }
    let (status, answer) = upload(client, node, "after", b"after").await;
    assert_eq!(status, 200, "{answer}");
}

/// Every id, page by page.
pub(crate) async fn listed(client: &Client, node: &Server) -> Vec<String> {
    let mut ids = Vec::new();
    let mut token = String::new();
    loop {
        let url = format!(
            "{}/v2?per_page=10&continuation_token={token}",
            node.images_url()
        );
        let url = if token.is_empty() {
            format!("{}/v2?per_page=10", node.images_url())
        } else {
            url
        };
        let sent = client.get(url).bearer_auth(API_TOKEN).send().await;
        let page: Value = sent.expect("an answer").json().await.expect("JSON");
        let images = page["result"]["images"].as_array().expect("a list");
        ids.extend(
            images
                .iter()
                .map(|image| image["id"].as_str().expect("an id").to_owned()),
        );
        match page["result"]["continuation_token"].as_str() {
            Some(next) => next.clone_into(&mut token),
            None => return ids,
        }
    }
}

/// The disk of the blobs can be read, and nothing can be written to it.
#[tokio::test(flavor = "multi_thread")]
async fn a_disk_which_became_read_only_refuses_uploads_and_serves() {
    let Some(disk) = SmallDisk::mount_or_skip() else {
        return;
    };
    let node = Settings::new()
        .set(
            "blobs",
            &format!("file:{}", disk.path().join("blobs").display()),
        )
        .set(
            "cache-dir",
            &disk.path().join("cache").display().to_string(),
        )
        .set("disk-reserve-bytes", "1MiB")
        .start();
    let client = client();
    for id in ["delivered", "stored"] {
        let (status, answer) = upload(&client, &node, id, id.as_bytes()).await;
        assert_eq!(status, 200, "{answer}");
    }
    let picture = async |id: &str| {
        let answer = deliver(&client, &node, id).await;
        assert_eq!(answer.status(), 200, "{id}");
        answer.bytes().await.expect("a body")
    };
    let delivered = picture("delivered").await;

    disk.make_read_only();
    for _ in 0..3 {
        let (status, answer) = upload(&client, &node, "refused", b"refused").await;
        assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR, "{answer}");
        assert_eq!(answer["errors"][0]["code"], 5540, "{answer}");
        assert_eq!(get(&client, &node, "refused").await.0, 404);
        // What was delivered before, and what is made now and cannot be kept.
        assert_eq!(picture("delivered").await, delivered);
        assert!(picture("stored").await.ends_with(b"\xff\xd9"));
        for id in ["delivered", "stored"] {
            let (status, bytes) = blob(&client, &node, id).await;
            assert_eq!((status.as_u16(), bytes), (200, picture::gif(id.as_bytes())));
        }
    }
    assert_eq!(readiness(&client, &node).await, 200);

    disk.make_writable();
    let (status, answer) = upload(&client, &node, "refused", b"after").await;
    assert_eq!(status, 200, "{answer}");
    let (status, bytes) = blob(&client, &node, "refused").await;
    assert_eq!((status.as_u16(), bytes), (200, picture::gif(b"after")));
    assert_eq!(picture("delivered").await, delivered);
    assert_eq!(delete(&client, &node, "stored").await, 200);
    assert_eq!(deliver(&client, &node, "stored").await.status(), 404);
}
