//! Imports from a real bucket by the real program: what becomes an image, what does not and why, and
//! that nothing is lost when servers die.

#[path = "support/nodes.rs"]
mod nodes;
#[path = "imports/objects.rs"]
mod objects;
#[path = "imports/odd_buckets.rs"]
mod odd_buckets;
#[allow(dead_code, reason = "a part of it is used here")]
#[path = "support/origin.rs"]
mod origin;
#[path = "support/picture.rs"]
mod picture;
#[path = "support/postgres.rs"]
mod postgres;
#[path = "support/s3.rs"]
mod s3;
#[path = "support/server.rs"]
mod server;
#[path = "support/until.rs"]
mod until;

use std::process::Stdio;
use std::time::{Duration, Instant};

use reqwest::{Client, Method, StatusCode};
use serde_json::{Value, json};

use nodes::{Nodes, blob, client, upload};
use objects::Bucket;
use server::{API_TOKEN, Server, Settings};
use until::until;

/// A server's API of imports.
struct Api<'a> {
    client: &'a Client,
    server: &'a Server,
}

impl<'a> Api<'a> {
    fn new(client: &'a Client, server: &'a Server) -> Self {
        Self { client, server }
    }

    async fn call(&self, method: Method, path: &str, body: Option<Value>) -> (StatusCode, Value) {
        let url = format!("{}/import/{path}", self.server.images_url());
        let mut request = self.client.request(method, url).bearer_auth(API_TOKEN);
        if let Some(body) = body {
            request = request.json(&body);
        }
        let answer = request.send().await.expect("an answer");
        let status = answer.status();
        (status, answer.json().await.expect("JSON"))
    }

    async fn get(&self, path: &str) -> Value {
        let (status, answer) = self.call(Method::GET, path, None).await;
        assert_eq!(status, 200, "{answer}");
        answer["result"].clone()
    }

    async fn post(&self, path: &str, body: Value) -> Value {
        let (status, answer) = self.call(Method::POST, path, Some(body)).await;
        assert_eq!(status, 200, "{answer}");
        answer["result"].clone()
    }

    async fn refused(&self, method: Method, path: &str, body: Value, expected: (u16, i64)) {
        let (status, answer) = self.call(method, path, Some(body.clone())).await;
        let code = answer["errors"][0]["code"].as_i64();
        assert_eq!(
            (status.as_u16(), code),
            (expected.0, Some(expected.1)),
            "{body} {answer}"
        );
    }

    async fn source(&self, bucket: &Bucket) -> Value {
        let source = self.post("sources", bucket.source()).await;
        source["id"].clone()
    }

    /// Imports, to the end.
    async fn import(&self, body: Value) -> Value {
        let job = self.post("jobs", body).await;
        self.ended(&job["id"]).await
    }

    async fn ended(&self, id: &Value) -> Value {
        let start = Instant::now();
        loop {
            let job = self.get(&format!("jobs/{}", text(id))).await;
            if !matches!(text(&job["status"]), "pending" | "running") {
                return job;
            }
            let waited = start.elapsed();
            assert!(waited < Duration::from_mins(3), "it does not end: {job}");
        }
    }

    /// Key, outcome and reason of every line.
    async fn log(&self, job: &Value) -> Vec<(String, String, Option<String>)> {
        let lines = self.get(&format!("jobs/{}/log", text(&job["id"]))).await;
        let lines = lines.as_array().expect("an array").iter();
        let owned = |value: &Value| value.as_str().map(str::to_owned);
        lines
            .map(|line| {
                let (key, outcome) = (owned(&line["key"]), owned(&line["outcome"]));
                (key.unwrap(), outcome.unwrap(), owned(&line["reason"]))
            })
            .collect()
    }
}

fn text(value: &Value) -> &str {
    value.as_str().expect("a text")
}

fn counts(job: &Value) -> [u64; 4] {
    ["found", "imported", "skipped", "failed"].map(|name| job[name].as_u64().expect("a count"))
}

fn start() -> Server {
    let settings = Settings::new().set("allow-private-sources", "true");
    settings.set("upload-bytes-max", "100KB").start()
}

#[tokio::test(flavor = "multi_thread")]
async fn on_s3_a_bucket_becomes_images() {
    let Some(bucket) = Bucket::new() else { return };
    let (server, client) = (start(), client());
    let api = Api::new(&client, &server);
    let good = [
        "cat.gif",
        "d\u{e9}j\u{e0} vu+%25&=?#.gif",
        "deep/er/dog.gif",
        "no extension",
    ];
    for name in good {
        bucket
            .put(&format!("pics/{name}"), picture::gif(name.as_bytes()))
            .await;
    }
    for (name, bytes) in [
        ("pics/folder/", vec![]),
        ("pics/empty.gif", vec![]),
        ("pics/readme.txt", b"no image".to_vec()),
        ("pics/broken.gif", picture::gif(b"broken")[..20].to_vec()),
        ("pics/huge.gif", vec![0; 100_001]),
        ("pics/a//b.gif", picture::gif(b"two slashes")),
        ("elsewhere.gif", picture::gif(b"elsewhere")),
        ("pics.gif", picture::gif(b"beside")),
    ] {
        bucket.put(name, bytes).await;
    }
    let source = api.source(&bucket).await;
    let job = api
        .import(
            json!({ "source_id": source, "root_path": bucket.path("/pics/"), "prefix": "old/" }),
        )
        .await;
    assert_eq!(job["status"], "completed", "{job}");
    assert_eq!(counts(&job), [10, 4, 4, 2], "{job}");
    assert_eq!(job["root_path"], json!(format!("{}/", bucket.path("pics"))));
    assert_eq!(job["error"], Value::Null);
    for moment in ["created", "started", "finished"] {
        let moment = text(&job[moment]);
        assert!(model::Timestamp::parse(moment).is_some(), "{moment}");
    }
    let root = bucket.path("pics/");
    let log = api.log(&job).await;
    assert!(log.is_sorted(), "{log:?}");
    let line = |name: &str| {
        let key = format!("{root}{name}");
        let found = log.iter().find(|(known, ..)| *known == key);
        let (_, outcome, reason) = found.unwrap_or_else(|| panic!("{key} is not in {log:?}"));
        (outcome.as_str(), reason.as_deref())
    };
    for name in good {
        assert_eq!(line(name), ("imported", None), "{name}");
        let id = reqwest::Url::parse("http://a/").unwrap();
        let mut id = id.join("x").unwrap();
        id.path_segments_mut()
            .unwrap()
            .pop()
            .push(&format!("old/{name}"));
        let (status, bytes) = blob(&client, &server, &id.path()[1..]).await;
        assert_eq!(
            (status, bytes),
            (StatusCode::OK, picture::gif(name.as_bytes())),
            "{name}"
        );
    }
    assert_eq!(line("a//b.gif").0, "failed");
    assert_eq!(line("folder/"), ("skipped", Some("it is empty")));
    assert_eq!(line("empty.gif"), ("skipped", Some("it is empty")));
    assert_eq!(
        line("huge.gif"),
        ("skipped", Some("it has more than 100000 bytes"))
    );
    assert_eq!(
        line("readme.txt"),
        ("skipped", Some("it is no image of a format which is taken"))
    );
    assert_eq!(line("broken.gif").0, "failed");
    let shown = client.get(format!(
        "{}/v1/old%2Fdeep%2Fer%2Fdog.gif",
        server.images_url()
    ));
    let shown: Value = shown
        .bearer_auth(API_TOKEN)
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    assert_eq!(shown["result"]["filename"], "dog.gif");
    assert_eq!(shown["result"]["requireSignedURLs"], false);
    assert_eq!(api.get("jobs").await, json!([job]));
}

#[tokio::test(flavor = "multi_thread")]
async fn on_s3_what_is_there_is_kept_or_replaced() {
    let Some(bucket) = Bucket::new() else { return };
    let (server, client) = (start(), client());
    let api = Api::new(&client, &server);
    for name in ["a.gif", "b.gif", "c.gif"] {
        bucket.put(name, picture::gif(b"first")).await;
    }
    // Of somebody else, and not to be touched unless that is asked for.
    let (status, answer) = upload(&client, &server, "c.gif", b"ours").await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    let source = api.source(&bucket).await;
    let import = |overwrite: bool| json!({ "source_id": source, "root_path": bucket.path(""), "overwrite": overwrite });
    let bytes = async |id: &str| blob(&client, &server, id).await.1;
    let first = api.import(import(false)).await;
    assert_eq!(counts(&first), [3, 2, 1, 0], "{first}");
    assert_eq!(bytes("c.gif").await, picture::gif(b"ours"));

    // Nothing is new.
    let again = api.import(import(false)).await;
    assert_eq!(counts(&again), [3, 0, 3, 0], "{again}");
    bucket.put("a.gif", picture::gif(b"second")).await;
    bucket.put("d.gif", picture::gif(b"first")).await;
    let kept = api.import(import(false)).await;
    assert_eq!(counts(&kept), [4, 1, 3, 0], "{kept}");
    assert_eq!(bytes("a.gif").await, picture::gif(b"first"));

    let replaced = api.import(import(true)).await;
    assert_eq!(counts(&replaced), [4, 2, 2, 0], "{replaced}");
    assert_eq!(bytes("a.gif").await, picture::gif(b"second"));
    assert_eq!(bytes("b.gif").await, picture::gif(b"first"));
    assert_eq!(bytes("c.gif").await, picture::gif(b"first"));
    let log = api.log(&replaced).await;
    let imported: Vec<_> = log.iter().filter(|line| line.1 == "imported").collect();
    assert_eq!(imported.len(), 2, "{log:?}");
    let stats = client.get(format!("{}/v1/stats", server.images_url()));
    let stats = stats.bearer_auth(API_TOKEN).send().await.unwrap();
    let stats: Value = stats.json().await.unwrap();
    assert_eq!(stats["result"]["count"]["current"], 4);

    // What somebody put in its place since is no longer the object's, and the same object elsewhere is
    // known by itself.
    let url = format!("{}/v1/d.gif", server.images_url());
    client
        .delete(url)
        .bearer_auth(API_TOKEN)
        .send()
        .await
        .unwrap();
    let (status, answer) = upload(&client, &server, "d.gif", b"theirs").await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    let mut elsewhere = import(true);
    elsewhere["prefix"] = json!("elsewhere/");
    let copied = api.import(elsewhere.clone()).await;
    assert_eq!(counts(&copied), [4, 4, 0, 0], "{copied}");
    let restored = api.import(import(true)).await;
    assert_eq!(counts(&restored), [4, 1, 3, 0], "{restored}");
    assert_eq!(bytes("d.gif").await, picture::gif(b"first"));
    bucket.put("d.gif", picture::gif(b"third")).await;
    for body in [import(true), elsewhere] {
        let changed = api.import(body).await;
        assert_eq!(counts(&changed), [4, 1, 3, 0], "{changed}");
    }
    for id in ["d.gif", "elsewhere%2Fd.gif"] {
        assert_eq!(bytes(id).await, picture::gif(b"third"), "{id}");
    }

    // What is broken does not take the place of what is good.
    bucket
        .put("b.gif", picture::gif(b"broken")[..20].to_vec())
        .await;
    let broken = api.import(import(true)).await;
    assert_eq!(counts(&broken), [4, 0, 3, 1], "{broken}");
    assert_eq!(bytes("b.gif").await, picture::gif(b"first"));
}

#[tokio::test(flavor = "multi_thread")]
async fn on_s3_a_source_is_tried_out_renamed_and_deleted() {
    let Some(bucket) = Bucket::new() else { return };
    let (server, client) = (start(), client());
    let api = Api::new(&client, &server);
    assert_eq!(api.get("sources").await, json!([]));
    let with = |name: &str, value: Value| {
        let mut source = bucket.source();
        source[name] = value;
        source
    };
    for body in [
        json!({}),
        with("name", json!("")),
        with("name", json!("n".repeat(257))),
        with("bucket", json!("no-such-bucket")),
        with("bucket", json!("a/b")),
        with("bucket", json!("..")),
        with("access_key_id", json!("UNKNOWN")),
        with("secret_access_key", json!("wrong")),
        with("secret_access_key", Value::Null),
        with("endpoint", json!("ftp://127.0.0.1")),
        with("endpoint", json!("http://127.0.0.1:1")),
        with("endpoint", json!("http://user:password@127.0.0.1")),
        with("endpoint", json!("http://127.0.0.1/path")),
        with("path_style", json!("yes")),
    ] {
        api.refused(Method::POST, "sources", body, (400, 5400))
            .await;
    }
    assert_eq!(api.get("sources").await, json!([]));

    let made = api.post("sources", bucket.source()).await;
    let id = text(&made["id"]).to_owned();
    let created = text(&made["created"]);
    let expected = json!({
        "id": id, "name": "old bucket", "bucket": "images", "endpoint": bucket.endpoint,
        "region": "us-east-1", "path_style": true, "created": created,
    });
    assert_eq!(made, expected);
    assert_eq!(api.get("sources").await, json!([expected]));
    let path = format!("sources/{id}");
    let (status, renamed) = api
        .call(Method::PATCH, &path, Some(json!({ "name": "new" })))
        .await;
    assert_eq!(
        (status.as_u16(), &renamed["result"]["name"]),
        (200, &json!("new"))
    );
    let other = json!({ "bucket": "other" });
    api.refused(Method::PATCH, &path, other, (400, 5400)).await;

    for body in [
        json!({}),
        json!({ "source_id": "0".repeat(32) }),
        json!({ "source_id": id, "prefix": "/a" }),
        json!({ "source_id": id, "root_path": "r".repeat(1_025) }),
        json!({ "source_id": id, "overwrite": "yes" }),
    ] {
        api.refused(Method::POST, "jobs", body, (400, 5400)).await;
    }
    assert_eq!(api.get("jobs").await, json!([]));
    bucket.put("a.gif", picture::gif(b"a")).await;
    let job = json!({ "source_id": id, "root_path": bucket.path("") });
    let job = api.import(job).await;
    assert_eq!(counts(&job), [1, 1, 0, 0], "{job}");
    let abort = format!("jobs/{}/abort", text(&job["id"]));
    api.refused(Method::POST, &abort, json!({}), (409, 5409))
        .await;

    let (status, _) = api.call(Method::DELETE, &path, None).await;
    assert_eq!(status, 200);
    assert_eq!(api.get("jobs").await, json!([]));
    for (method, path) in [
        (Method::GET, path.as_str()),
        (Method::DELETE, &path),
        (Method::GET, &format!("jobs/{}", text(&job["id"]))),
        (Method::GET, &format!("jobs/{}/log", text(&job["id"]))),
        (Method::POST, &abort),
    ] {
        api.refused(method, path, json!({}), (404, 5404)).await;
    }
    assert_eq!(blob(&client, &server, "a.gif").await.0, StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn on_s3_an_import_ends_where_there_is_no_more_room() {
    let Some(bucket) = Bucket::new() else { return };
    let settings = Settings::new().set("allow-private-sources", "true");
    let (server, client) = (settings.set("images-max", "3").start(), client());
    let api = Api::new(&client, &server);
    for number in 0..6 {
        bucket
            .put(&format!("{number}.gif"), picture::gif(b"a"))
            .await;
    }
    let source = api.source(&bucket).await;
    let body = json!({ "source_id": source, "root_path": bucket.path("") });
    let full = api.import(body.clone()).await;
    assert_eq!(full["status"], "quota_exceeded", "{full}");
    assert_eq!(counts(&full), [3, 3, 0, 0], "{full}");
    assert!(text(&full["error"]).contains("limit of images"), "{full}");

    // With room again, it goes on with the rest.
    let listed = client.get(format!("{}/v1", server.images_url()));
    let listed = listed.bearer_auth(API_TOKEN).send().await.unwrap();
    let listed: Value = listed.json().await.unwrap();
    let one = text(&listed["result"]["images"][0]["id"]);
    let url = format!("{}/v1/{one}", server.images_url());
    let deleted = client.delete(url).bearer_auth(API_TOKEN).send().await;
    assert_eq!(deleted.unwrap().status(), 200);
    let rest = api.import(body).await;
    assert_eq!(rest["status"], "quota_exceeded", "{rest}");
    assert_eq!(counts(&rest)[1], 1, "{rest}");
}

#[tokio::test(flavor = "multi_thread")]
async fn on_s3_a_command_imports_and_forgets_the_key() {
    let Some(bucket) = Bucket::new() else { return };
    let (server, client) = (start(), client());
    bucket.put("a.gif", picture::gif(b"a")).await;
    bucket.put("b.txt", b"no image".to_vec()).await;
    let import = |secret: &str, json: bool| {
        let mut command = server::program();
        command
            .args(["import", "images", "--endpoint", &bucket.endpoint])
            .args(["--root", &bucket.path(""), "--prefix", "x/"])
            .args(["--url", server.url(), "--token", API_TOKEN])
            .args(json.then_some("--json"))
            .env("CALOTYPE_IMPORT_ACCESS_KEY_ID", s3::KEY.0)
            .env("CALOTYPE_IMPORT_SECRET_ACCESS_KEY", secret);
        let output = command.output().expect("the program runs");
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
        (
            output.status.code(),
            text(output.stdout),
            text(output.stderr),
        )
    };
    let key = format!("{}b.txt", bucket.path(""));
    let (code, printed, error) = import(s3::KEY.1, false);
    assert_eq!(code, Some(0), "{error}");
    let expected = format!(
        "skipped {key}: it is no image of a format which is taken\n\
         2 objects: 1 imported, 1 skipped, 0 failed\n"
    );
    assert_eq!(printed, expected);
    assert_eq!(
        blob(&client, &server, "x%2Fa.gif").await.1,
        picture::gif(b"a")
    );

    let (code, printed, error) = import(s3::KEY.1, true);
    assert_eq!(code, Some(0), "{error}");
    let lines: Vec<Value> = printed
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    assert_eq!(lines.len(), 3, "{printed}");
    assert_eq!(lines[0]["reason"], "there is an image of this id");
    assert_eq!(counts(&lines[2]), [2, 0, 2, 0]);

    let (code, _, error) = import("wrong", false);
    assert_eq!(code, Some(1));
    assert!(error.contains("the bucket cannot be read"), "{error}");
    let api = Api::new(&client, &server);
    assert_eq!(api.get("sources").await, json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn on_s3_a_private_bucket_is_out_of_reach_unless_that_is_allowed() {
    let Some(bucket) = Bucket::new() else { return };
    let (server, client) = (Server::start(), client());
    let api = Api::new(&client, &server);
    let (status, answer) = api
        .call(Method::POST, "sources", Some(bucket.source()))
        .await;
    assert_eq!(status, 400);
    let words = text(&answer["errors"][0]["message"]);
    assert!(words.contains("private"), "{words}");
}

/// Several steps of an import.
const IMAGES: usize = 450;

#[tokio::test(flavor = "multi_thread")]
async fn on_postgres_and_s3_an_import_survives_its_nodes() {
    let (Some(nodes), Some(bucket)) = (Nodes::new(), Bucket::new()) else {
        return;
    };
    let start = || {
        nodes
            .settings()
            .set("allow-private-sources", "true")
            .start()
    };
    let client = client();
    let name = |number: usize| format!("{number:04}.gif");
    let puts = (0..IMAGES).map(|number| {
        let bytes = picture::gif(name(number).as_bytes());
        let bucket = &bucket;
        async move { bucket.put(&name(number), bytes).await }
    });
    let puts = futures_util::stream::iter(puts.collect::<Vec<_>>());
    futures_util::StreamExt::collect::<Vec<_>>(futures_util::StreamExt::buffered(puts, 16)).await;

    let mut servers = vec![start(), start()];
    let source = Api::new(&client, &servers[0]).source(&bucket).await;
    let body = json!({ "source_id": source, "root_path": bucket.path("") });
    let job = Api::new(&client, &servers[1]).post("jobs", body).await;
    let path = format!("jobs/{}", text(&job["id"]));
    // Each dies when some of it is done, by the word of the other, and another one comes.
    for least in [1, 150, 300] {
        until(async || {
            let seen = Api::new(&client, &servers[1]).get(&path).await;
            counts(&seen)[0] >= least || text(&seen["status"]) == "completed"
        })
        .await;
        servers.remove(0).kill9();
        servers.push(start());
    }
    let api = Api::new(&client, &servers[0]);
    let ended = api.ended(&job["id"]).await;
    assert_eq!(ended["status"], "completed", "{ended}");
    assert_eq!(
        counts(&ended),
        [IMAGES as u64, IMAGES as u64, 0, 0],
        "{ended}"
    );
    let listed = client.get(format!("{}/v2?per_page=1000", servers[1].images_url()));
    let listed = listed.bearer_auth(API_TOKEN).send().await.unwrap();
    let listed: Value = listed.json().await.unwrap();
    let listed = listed["result"]["images"].as_array().unwrap();
    let mut ids: Vec<_> = listed
        .iter()
        .map(|image| text(&image["id"]).to_owned())
        .collect();
    ids.sort_unstable();
    assert_eq!(ids, (0..IMAGES).map(name).collect::<Vec<_>>());
    let (_, bytes) = blob(&client, &servers[0], &name(123)).await;
    assert_eq!(bytes, picture::gif(name(123).as_bytes()));
}

/// Ctrl-C is not left behind: the import ends, and its key goes.
#[tokio::test(flavor = "multi_thread")]
async fn on_s3_a_command_which_is_interrupted_ends_its_import() {
    let Some(bucket) = Bucket::new() else { return };
    let (server, client) = (start(), client());
    let api = Api::new(&client, &server);
    for number in 0..300 {
        let bytes = picture::gif(&vec![0; 50_000]);
        bucket.put(&format!("{number:03}.gif"), bytes).await;
    }
    let mut command = server::program();
    command
        .args(["import", "images", "--endpoint", &bucket.endpoint])
        .args(["--root", &bucket.path(""), "--url", server.url()])
        .args(["--token", API_TOKEN])
        .env("CALOTYPE_IMPORT_ACCESS_KEY_ID", s3::KEY.0)
        .env("CALOTYPE_IMPORT_SECRET_ACCESS_KEY", s3::KEY.1)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let child = command.spawn().expect("the program runs");
    // It listens before there is a job.
    until(async || api.get("jobs").await[0]["status"] == "running").await;
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).expect("it is there");
    let output = tokio::task::block_in_place(|| child.wait_with_output());
    let output = output.expect("it ends");
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(error.contains("the import is aborted"), "{error}");
    assert_eq!(api.get("sources").await, json!([]));
}

/// A list of what is no image, and then one: all of it is looked at, in several steps.
#[tokio::test(flavor = "multi_thread")]
async fn on_s3_what_cannot_be_an_image_ends_no_import() {
    let Some(bucket) = Bucket::new() else { return };
    let (server, client) = (start(), client());
    let api = Api::new(&client, &server);
    for number in 0..210 {
        bucket
            .put(&format!("a//{number:03}.gif"), picture::gif(b"a"))
            .await;
    }
    bucket.put("z.gif", picture::gif(b"z")).await;
    let source = api.source(&bucket).await;
    let body = json!({ "source_id": source, "root_path": bucket.path("") });
    let job = api.import(body).await;
    assert_eq!(job["status"], "completed", "{job}");
    assert_eq!(counts(&job), [211, 1, 0, 210]);
    assert_eq!(blob(&client, &server, "z.gif").await.1, picture::gif(b"z"));
}

#[tokio::test(flavor = "multi_thread")]
async fn on_s3_an_import_is_aborted() {
    let Some(bucket) = Bucket::new() else { return };
    let (server, client) = (start(), client());
    let api = Api::new(&client, &server);
    for number in 0..300 {
        bucket
            .put(&format!("{number:03}.gif"), picture::gif(b"a"))
            .await;
    }
    let source = api.source(&bucket).await;
    let body = json!({ "source_id": source, "root_path": bucket.path("") });
    let job = api.post("jobs", body).await;
    let path = format!("jobs/{}", text(&job["id"]));
    let source = format!("sources/{}", text(&source));
    api.refused(Method::DELETE, &source, json!({}), (409, 5409))
        .await;
    let aborted = api.post(&format!("{path}/abort"), json!({})).await;
    assert_eq!(aborted["status"], "aborted");
    assert!(aborted["finished"].is_string(), "{aborted}");
    let (status, _) = api.call(Method::DELETE, &source, None).await;
    assert_eq!(status, 200);
}
