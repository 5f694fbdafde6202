//! Buckets as no good store has them: slow, silent, archived, or with keys which objects do not have.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use reqwest::Client;
use reqwest::multipart::{Form, Part};
use serde_json::{Value, json};

use crate::nodes::{blob, client, upload};
use crate::origin::{Act, Asked, Origin, http};
use crate::picture;
use crate::server::{API_TOKEN, Server, Settings};
use crate::until::until;
use crate::{Api, counts, text};

/// An object, and what comes of asking for it.
struct Object {
    key: String,
    class: &'static str,
    get: fn(&str) -> Act,
}

fn object(key: &str, get: fn(&str) -> Act) -> Object {
    Object {
        key: key.to_owned(),
        class: "STANDARD",
        get,
    }
}

fn picture_of(key: &str) -> Act {
    Act::Say(http("200 OK", "", &picture::gif(key.as_bytes())))
}

fn picture_later(key: &str) -> Act {
    Act::Wait(http("200 OK", "", &picture::gif(key.as_bytes())))
}

fn no_picture(key: &str) -> Act {
    Act::Say(http(
        "200 OK",
        "",
        &vec![b'.'; picture::gif(key.as_bytes()).len()],
    ))
}

fn forbidden(_: &str) -> Act {
    Act::Say(http(
        "403 Forbidden",
        "",
        b"<Error><Code>InvalidObjectState</Code></Error>",
    ))
}

/// A bucket of these objects, in the order of their keys.
async fn bucket(objects: Vec<Object>) -> Origin {
    Origin::start(move |asked| answer(&objects, asked)).await
}

fn answer(objects: &[Object], asked: &Asked) -> Act {
    let url = reqwest::Url::parse(&format!("http://host{}", asked.target())).expect("a target");
    let key = url.path().strip_prefix("/pictures/").expect("the bucket");
    if !key.is_empty() {
        let found = objects.iter().find(|object| object.key == key);
        let found = found.expect("a key of the list");
        return (found.get)(key);
    }
    let query = |name: &str| {
        let found = url.query_pairs().find(|(known, _)| known == name);
        found.map(|(_, value)| value.into_owned())
    };
    let after = query("start-after").unwrap_or_default();
    let max: usize = query("max-keys")
        .expect("a limit")
        .parse()
        .expect("a number");
    let contents = objects
        .iter()
        .filter(|object| object.key > after)
        .take(max)
        .map(|Object { key, class, .. }| {
            let size = picture::gif(key.as_bytes()).len();
            format!(
                "<Contents><Key>{key}</Key><LastModified>2026-01-02T03:04:05.678Z</LastModified>\
                 <ETag>&quot;e&quot;</ETag><Size>{size}</Size><StorageClass>{class}</StorageClass>\
                 </Contents>"
            )
        });
    let contents = contents.collect::<Vec<_>>().concat();
    let are_more = objects.iter().filter(|object| object.key > after).count() > max;
    list(&contents, are_more, "")
}

fn list(contents: &str, are_more: bool, next: &str) -> Act {
    let body = format!(
        "<ListBucketResult><EncodingType>url</EncodingType><IsTruncated>{are_more}</IsTruncated>\
         {next}{contents}</ListBucketResult>"
    );
    Act::Say(http(
        "200 OK",
        "Content-Type: application/xml\r\n",
        body.as_bytes(),
    ))
}

async fn source(api: &Api<'_>, bucket: &Origin) -> Value {
    let source = json!({
        "name": "odd",
        "bucket": "pictures",
        "endpoint": format!("http://{}", bucket.address),
        "access_key_id": "id",
        "secret_access_key": "secret",
    });
    api.post("sources", source).await["id"].clone()
}

fn start() -> Server {
    let settings = Settings::new().set("allow-private-sources", "true");
    settings.start()
}

async fn delete(client: &Client, server: &Server, id: &str) {
    let url = format!("{}/v1/{id}", server.images_url());
    let deleted = client.delete(url).bearer_auth(API_TOKEN).send().await;
    assert_eq!(deleted.expect("an answer").status(), 200);
}

/// Reads the log as key and reason of what was not imported.
async fn reasons(api: &Api<'_>, job: &Value) -> Vec<(String, String)> {
    let log = api.log(job).await.into_iter();
    log.filter_map(|(key, _, reason)| reason.map(|reason| (key, reason)))
        .collect()
}

/// What others do to an image while its object is fetched stays.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_changed_during_the_fetch_is_not_replaced() {
    let keys = ["awaited.gif", "deleted.gif", "new.gif", "other.gif"];
    let bucket = bucket(keys.map(|key| object(key, picture_later)).into()).await;
    let (server, client) = (start(), client());
    let api = Api::new(&client, &server);
    for id in ["awaited.gif", "deleted.gif", "other.gif"] {
        assert_eq!(upload(&client, &server, id, b"first").await.0, 200);
    }
    let source = source(&api, &bucket).await;
    let job = json!({ "source_id": source, "overwrite": true });
    let job = api.post("jobs", job).await;
    let is_get = |target: &String| !target.contains("list-type");
    until(async || {
        bucket
            .targets()
            .iter()
            .filter(|target| is_get(target))
            .count()
            == keys.len()
    })
    .await;
    for id in ["awaited.gif", "deleted.gif", "other.gif"] {
        delete(&client, &server, id).await;
    }
    for id in ["other.gif", "new.gif"] {
        assert_eq!(upload(&client, &server, id, b"mine").await.0, 200);
    }
    let draft = client.post(format!("{}/v2/direct_upload", server.images_url()));
    let draft = draft.multipart(Form::new().text("id", "awaited.gif"));
    let draft: Value = draft
        .bearer_auth(API_TOKEN)
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    bucket.open_gate();

    let job = api.ended(&job["id"]).await;
    assert_eq!(job["status"], "completed", "{job}");
    assert_eq!(counts(&job), [4, 0, 4, 0]);
    let changed = "its image was changed at the same time".to_owned();
    let taken = "there is an image of this id".to_owned();
    let expected = [changed.clone(), changed.clone(), taken, changed];
    let expected: Vec<_> = keys.map(str::to_owned).into_iter().zip(expected).collect();
    assert_eq!(reasons(&api, &job).await, expected);
    for id in ["other.gif", "new.gif"] {
        assert_eq!(
            blob(&client, &server, id).await.1,
            picture::gif(b"mine"),
            "{id}"
        );
    }
    assert_eq!(blob(&client, &server, "deleted.gif").await.0, 404);
    let part = Part::bytes(picture::gif(b"direct")).file_name("a.gif");
    let direct = client.post(text(&draft["result"]["uploadURL"]));
    let direct = direct
        .multipart(Form::new().part("file", part))
        .send()
        .await
        .unwrap();
    assert_eq!(direct.status(), 200);
}

/// What was imported before counts, and what is under way replaces nothing any more.
#[tokio::test(flavor = "multi_thread")]
async fn an_aborted_import_says_what_it_did() {
    let bucket = bucket(vec![
        object("a.gif", picture_of),
        object("b.gif", picture_later),
        object("c.gif", picture_of),
    ])
    .await;
    let (server, client) = (start(), client());
    let api = Api::new(&client, &server);
    assert_eq!(upload(&client, &server, "b.gif", b"first").await.0, 200);
    let source = source(&api, &bucket).await;
    let job = json!({ "source_id": source, "overwrite": true });
    let job = api.post("jobs", job).await;
    // The one in the middle holds up the step.
    for id in ["a.gif", "c.gif"] {
        until(async || blob(&client, &server, id).await.0 == 200).await;
    }
    let path = format!("jobs/{}", text(&job["id"]));
    let aborted = api.post(&format!("{path}/abort"), json!({})).await;
    assert_eq!(aborted["status"], "aborted");
    bucket.open_gate();
    // Noted when all of the step has ended.
    until(async || counts(&api.get(&path).await) == [2, 2, 0, 0]).await;
    assert_eq!(api.get(&path).await["status"], "aborted");
    let kept = blob(&client, &server, "b.gif").await.1;
    assert_eq!(kept, picture::gif(b"first"));
}

/// However many there are, what is behind them is imported.
#[tokio::test(flavor = "multi_thread")]
async fn archived_objects_end_no_import() {
    let archived = (0..120).map(|number| Object {
        key: format!("{number:03}.gif"),
        class: "INTELLIGENT_TIERING",
        get: forbidden,
    });
    let restored = Object {
        key: "restored.gif".to_owned(),
        class: "DEEP_ARCHIVE",
        get: picture_of,
    };
    let bucket = bucket(archived.chain([restored]).collect()).await;
    let (server, client) = (start(), client());
    let api = Api::new(&client, &server);
    let source = source(&api, &bucket).await;
    let job = api.import(json!({ "source_id": source })).await;
    assert_eq!(job["status"], "completed", "{job}");
    assert_eq!(counts(&job), [121, 1, 120, 0]);
    let (key, reason) = &reasons(&api, &job).await[0];
    assert_eq!(key, "000.gif");
    assert!(reason.contains("archived"), "{reason}");
    let stored = blob(&client, &server, "restored.gif").await.1;
    assert_eq!(stored, picture::gif(b"restored.gif"));
}

/// A key which may not read is another matter.
#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_which_gives_nothing_ends_its_import() {
    let objects = (0..150).map(|number| object(&format!("{number:03}.gif"), forbidden));
    let bucket = bucket(objects.collect()).await;
    let (server, client) = (start(), client());
    let api = Api::new(&client, &server);
    let source = source(&api, &bucket).await;
    let job = api.import(json!({ "source_id": source })).await;
    assert_eq!(job["status"], "failed", "{job}");
    assert!(text(&job["error"]).contains("in a row"), "{job}");
    assert!((100..110).contains(&counts(&job)[3]), "{job}");
}

/// Lists of nothing but such keys are followed by the word of the store.
#[tokio::test(flavor = "multi_thread")]
async fn keys_which_objects_do_not_have_are_passed_over() {
    let bucket = Origin::start(|asked| {
        let target = asked.target();
        if target.contains("a.gif") {
            return picture_of("a.gif");
        }
        let contents = |key: &str| {
            format!(
                "<Contents><Key>{key}</Key><LastModified>2026-01-02T03:04:05.678Z</LastModified>\
                 <Size>7</Size></Contents>"
            )
        };
        let next = "<NextContinuationToken>next/one</NextContinuationToken>";
        if target.contains("continuation-token=next%2Fone") {
            let size = picture::gif(b"a.gif").len();
            let contents = contents("a.gif").replace("<Size>7", &format!("<Size>{size}"));
            return list(&contents, false, "");
        }
        list(&contents("%FF"), true, next)
    })
    .await;
    let (server, client) = (start(), client());
    let api = Api::new(&client, &server);
    let source = source(&api, &bucket).await;
    let job = api.import(json!({ "source_id": source })).await;
    assert_eq!(
        (text(&job["status"]), counts(&job)),
        ("completed", [1, 1, 0, 0])
    );
}

/// A store which cannot be reached for a while is asked again until it can.
#[tokio::test(flavor = "multi_thread")]
async fn an_import_goes_on_when_its_bucket_is_back() {
    let lists = Arc::new(AtomicU32::new(0));
    let asked = lists.clone();
    let objects = vec![object("a.gif", picture_of)];
    let bucket = Origin::start(move |request| {
        let is_list = request.target().contains("list-type");
        // The first is for the source; then one turn ends without an answer.
        match asked.fetch_add(u32::from(is_list), Relaxed) {
            1..=4 if is_list => Act::Say(Vec::new()),
            _ => answer(&objects, request),
        }
    })
    .await;
    let (server, client) = (start(), client());
    let api = Api::new(&client, &server);
    let source = source(&api, &bucket).await;
    let job = api.import(json!({ "source_id": source })).await;
    assert_eq!(
        (text(&job["status"]), counts(&job)),
        ("completed", [1, 1, 0, 0])
    );
    assert_eq!(lists.load(Relaxed), 6);
}

/// A full account has no place for new images, and still for new bytes of those which are there.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_account_takes_new_bytes_of_its_images() {
    let bucket = bucket(vec![
        object("a.txt", no_picture),
        object("b.gif", picture_of),
        object("c.gif", picture_of),
        object("d.gif", picture_of),
    ])
    .await;
    let settings = Settings::new().set("allow-private-sources", "true");
    let (server, client) = (settings.set("images-max", "1").start(), client());
    let api = Api::new(&client, &server);
    assert_eq!(upload(&client, &server, "c.gif", b"first").await.0, 200);
    let source = source(&api, &bucket).await;
    let job = json!({ "source_id": source, "overwrite": true });
    let job = api.import(job).await;
    assert_eq!(job["status"], "quota_exceeded", "{job}");
    assert_eq!(counts(&job), [4, 1, 1, 2], "{job}");
    assert_eq!(
        blob(&client, &server, "c.gif").await.1,
        picture::gif(b"c.gif")
    );
}
