//! `calotype export`.

use model::{AccountId, BlobKey, Filename, Image, ImageId, MediaType, Source, Timestamp};
use reqwest::multipart::{Form, Part};
use serde_json::{Value, json};
use store::catalog::Record;

use crate::picture::gif;
use crate::place::{Place, ended, failure, lines};
use crate::server::{ACCOUNT_ID, API_TOKEN, Server};
use crate::traffic::{client, upload};

/// The error of a command which must be refused as wrong usage.
#[track_caller]
fn usage(place: &Place, arguments: &[&str]) -> String {
    let output = ended(place.command(arguments));
    let error = String::from_utf8(output.stderr).expect("text");
    assert_eq!(output.status.code(), Some(2), "{error}");
    assert!(output.stdout.is_empty());
    error
}

/// The lines of an export which must succeed.
#[track_caller]
fn export(place: &Place, arguments: &[&str]) -> Vec<Value> {
    let arguments = [&["export"], arguments].concat();
    let (success, lines, error) = lines(place.command(&arguments));
    assert!(success, "{error}");
    lines
}

/// Uploads a picture with everything that can be said of one; its record, as the API has it.
async fn upload_whole(server: &Server, id: &str) -> Value {
    let file = Part::bytes(gif(id.as_bytes())).file_name("tom.gif");
    let form = Form::new()
        .text("id", id.to_owned())
        .text("metadata", r#"{"b":1.50,"a":["\n"]}"#)
        .text("creator", "me")
        .part("file", file);
    let request = client().post(format!("{}/v1", server.images_url()));
    let sent = request.bearer_auth(API_TOKEN).multipart(form).send().await;
    let answer: Value = sent.expect("an answer").json().await.expect("JSON");
    answer["result"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_image_is_exported_as_a_line() {
    let place = Place::on_files();
    let server = place.start();
    let first = upload_whole(&server, "cats/tom").await;
    let client = client();
    let (status, second) = upload(&client, &server.images_url(), "jerry").await;
    assert_eq!(status, 200, "{second}");
    // A draft has no bytes yet.
    let draft = client.post(format!("{}/v2/direct_upload", server.images_url()));
    let draft = draft.bearer_auth(API_TOKEN).multipart(Form::new());
    assert_eq!(draft.send().await.expect("an answer").status(), 200);

    let expected = [
        json!({
            "id": "cats/tom", "filename": "tom.gif", "meta": {"b": 1.5, "a": ["\n"]}, "creator": "me",
            "uploaded": first["uploaded"], "requireSignedURLs": false,
            "content_type": "image/gif", "width": 1, "height": 1, "size": 47,
            "sha256": "e57791a520b3fa5e729cab18dc234406dc324b9ce46a163e5e2123cd7cb3ad97",
        }),
        json!({
            "id": "jerry", "filename": "é.gif", "meta": {"name": "jerry"}, "creator": null,
            "uploaded": second["result"]["uploaded"], "requireSignedURLs": false,
            "content_type": "image/gif", "width": 1, "height": 1, "size": 44,
            "sha256": "112ef5606b671a2ac5c48160d806bfe2c6e0f945f0581e140db2bd079bdb4950",
        }),
    ];
    // Beside a server and without one.
    assert_eq!(export(&place, &[]), expected);
    drop(server);
    assert_eq!(export(&place, &[]), expected);

    let made = ended(place.command(&["account", "create", "--name", "other", "--json"]));
    let made: Value = serde_json::from_slice(&made.stdout).expect("JSON");
    let other = made["id"].as_str().expect("an id");
    let error = usage(&place, &["export"]);
    assert!(error.contains("--account"), "{error}");
    assert_eq!(export(&place, &["--account", ACCOUNT_ID]), expected);
    assert_eq!(export(&place, &["--account", other]), [] as [Value; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_list_is_exported_whole_and_in_order() {
    export_many(&Place::on_files()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_postgres_and_s3_a_long_list_is_exported_whole_and_in_order() {
    if let Some(place) = Place::on_servers() {
        export_many(&place).await;
    }
}

async fn export_many(place: &Place) {
    drop(place.start());
    let account = AccountId::try_from(ACCOUNT_ID).expect("an id");
    // The later the name, the earlier the upload.
    let image = |number: i64| Image {
        id: ImageId::from_path(format!("n{number:04}")),
        filename: Some(Filename::from_stored("a.jpg".to_owned())),
        metadata: None,
        creator: None,
        uploaded: Timestamp::from_micros(1_000_000 - number),
        require_signed_urls: number % 2 == 0,
        source: Some(Source {
            blob: BlobKey::generate(),
            bytes: 1,
            sha256: [0; 32],
            format: MediaType::Jpeg,
            width: 1,
            height: 1,
        }),
        draft_expires: None,
    };
    // Three pages, the last of which is full.
    let images = (0..1_500).map(|number| Record::Image(account.clone(), image(number)));
    let catalog = place.catalog().await;
    catalog.put_records(images.collect()).await.expect("kept");
    catalog.close().await.expect("closed");

    let exported = export(place, &[]);
    let ids = exported.iter().map(|line| line["id"].as_str());
    let expected: Vec<String> = (0..1_500).rev().map(|n| format!("n{n:04}")).collect();
    assert!(ids.eq(expected.iter().map(|id| Some(id.as_str()))));
    assert_eq!(exported[0]["requireSignedURLs"], false);
    assert_eq!(exported[1]["requireSignedURLs"], true);
}

#[tokio::test(flavor = "multi_thread")]
async fn addresses_are_signed_for_buckets_alone_and_for_a_week_at_most() {
    let place = Place::on_files();
    drop(place.start());
    let error = usage(&place, &["export", "--presign", "1h"]);
    assert!(error.contains("in a bucket"), "{error}");
    for time in ["8d", "0s", "60"] {
        let error = usage(&place, &["export", "--presign", time]);
        assert!(error.contains("from `1s` to `7d`"), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn on_postgres_and_s3_presigned_addresses_give_the_uploaded_bytes() {
    let Some(place) = Place::on_servers() else {
        return;
    };
    let server = place.start();
    let (client, ids) = (client(), ["a", "cats/tom", "ü b"]);
    for id in ids {
        let (status, answer) = upload(&client, &server.images_url(), id).await;
        assert_eq!(status, 200, "{answer}");
    }
    // Nobody but the bucket hands them out.
    drop(server);
    let start = Timestamp::now();
    let exported = export(&place, &["--presign", "7d"]);
    let end = Timestamp::now();
    assert_eq!(exported.len(), ids.len());
    for (line, id) in exported.iter().zip(ids) {
        assert_eq!(line["id"], id);
        let url = line["url"].as_str().expect("an address");
        let answer = client.get(url).send().await.expect("the bucket answers");
        assert_eq!(answer.status(), 200, "{url}");
        let bytes = answer.bytes().await.expect("a body");
        assert_eq!(bytes, gif(id.as_bytes()));
        assert_eq!(line["size"], bytes.len());

        let expires = line["url_expires"].as_str().and_then(Timestamp::parse);
        let seconds = expires.expect("a time").seconds() - 7 * 24 * 60 * 60;
        assert!((start.seconds()..=end.seconds()).contains(&seconds));

        let (address, signature) = url.rsplit_once('=').expect("a signature");
        let reversed: String = signature.chars().rev().collect();
        let changed = client.get(format!("{address}={reversed}")).send().await;
        assert_eq!(changed.expect("an answer").status(), 403);
    }
    assert!(export(&place, &[])[0].get("url").is_none());

    // With a wrong key there are no addresses, rather than such as nobody can use.
    let mut wrong = place.command(&["export", "--presign", "1h"]);
    wrong.env("CALOTYPE_S3_SECRET_ACCESS_KEY", "guessed");
    let output = ended(wrong);
    assert!(output.stdout.is_empty());
    let mut wrong = place.command(&["export", "--presign", "1h"]);
    wrong.env("CALOTYPE_S3_SECRET_ACCESS_KEY", "guessed");
    let error = failure(wrong);
    assert!(error.contains("the blob store failed"), "{error}");
}
