//! `calotype check`.

use bytes::Bytes;
use model::{AccountId, BlobKey, Image, ImageId, Timestamp};
use serde_json::Value;

use crate::picture::gif;
use crate::place::{Place, ended, failure, lines};
use crate::server::ACCOUNT_ID;
use crate::traffic::{blob, client, fill, upload};

#[tokio::test(flavor = "multi_thread")]
async fn differences_are_found_and_repaired() {
    check(&Place::on_files()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_postgres_and_s3_differences_are_found_and_repaired() {
    if let Some(place) = Place::on_servers() {
        check(&place).await;
    }
}

/// Kinds and names of what a check prints, and its sums.
fn found(place: &Place, arguments: &[&str]) -> (bool, Vec<(String, String)>, Value) {
    let mut all = vec!["check", "--json"];
    all.extend(arguments);
    let (success, mut lines, error) = lines(place.command(&all));
    let sums = lines.pop().unwrap_or_else(|| panic!("{error}"));
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let found = lines.iter().map(|line| {
        let name = if line["image"].is_null() {
            &line["blob"]
        } else {
            &line["image"]
        };
        (text(&line["kind"]), text(name))
    });
    let mut found: Vec<_> = found.collect();
    found.sort();
    (success, found, sums)
}

async fn replace(place: &Place, image: &Image, bytes: Vec<u8>) {
    let blobs = place.blobs();
    let key = &image.source.as_ref().expect("it has bytes").blob;
    blobs
        .delete(std::slice::from_ref(key))
        .await
        .expect("deleted");
    blobs.put(key, Bytes::from(bytes)).await.expect("written");
}

async fn check(place: &Place) {
    let server = place.start();
    fill(&server, 6).await;
    let (success, differences, sums) = found(place, &["--deep", "--older-than", "1ms"]);
    assert_eq!((success, differences), (true, Vec::new()), "{sums}");
    assert_eq!((&sums["images"], &sums["orphans"]), (&5.into(), &0.into()));

    let catalog = place.catalog().await;
    let account = AccountId::try_from(ACCOUNT_ID).expect("an id");
    let mut images = Vec::new();
    for id in ["first/2", "first/3", "first/4"] {
        let id = ImageId::from_path(id.to_owned());
        let image = catalog.image(&account, &id).await.expect("it is read");
        images.push(image.expect("it is there"));
    }
    let missing = &images[0].source.as_ref().expect("it has bytes").blob;
    let blobs = place.blobs();
    blobs
        .delete(std::slice::from_ref(missing))
        .await
        .expect("deleted");
    replace(place, &images[1], vec![1; 3]).await;
    // As many bytes, and others.
    replace(place, &images[2], gif(b"other/4")).await;
    let (orphan, uploading) = (BlobKey::generate(), BlobKey::generate());
    let late = Timestamp::from_seconds(4_000_000_000);
    catalog
        .reserve_blobs(std::slice::from_ref(&uploading), late)
        .await
        .expect("reserved");
    for key in [&orphan, &uploading] {
        blobs
            .put(key, Bytes::from_static(b"x"))
            .await
            .expect("written");
    }

    let named = |kind: &str, name: &str| (kind.to_owned(), name.to_owned());
    let of_records = [named("missing", "first/2"), named("wrong_size", "first/3")];
    let (success, differences, sums) = found(place, &[]);
    assert_eq!(
        (success, &differences[..]),
        (false, &of_records[..]),
        "{sums}"
    );
    assert_eq!(sums["young"], 1, "{sums}");

    let old = ["--older-than", "1ms"];
    let mut expected = of_records.to_vec();
    expected.insert(1, named("orphan", &orphan.to_string()));
    let (success, differences, _) = found(place, &old);
    assert_eq!((success, differences), (false, expected.clone()));
    expected.insert(2, named("wrong_digest", "first/4"));
    let (success, differences, _) = found(place, &[&old[..], &["--deep"]].concat());
    assert_eq!((success, differences), (false, expected));
    // Looking changed nothing.
    assert_eq!(blobs.head(&orphan).await.expect("asked"), Some(1));

    let (success, _, sums) = found(place, &[&old[..], &["--repair"]].concat());
    assert!(!success, "{sums}");
    assert_eq!(sums["repaired"], 1, "{sums}");
    assert_eq!(blobs.head(&orphan).await.expect("asked"), None);
    assert_eq!(blobs.head(&uploading).await.expect("asked"), Some(1));

    let whole = ["--deep", "--repair", "--delete-images"];
    let (success, _, sums) = found(place, &[&old[..], &whole].concat());
    assert!(success, "{sums}");
    assert_eq!(sums["repaired"], 3, "{sums}");
    let client = client();
    for id in ["first/2", "first/3", "first/4"] {
        assert_eq!(blob(&client, &server, id).await.0, 404, "{id}");
    }
    assert_eq!(blob(&client, &server, "first/5").await.0, 200);
    let (status, answer) = upload(&client, &server.images_url(), "first/2").await;
    assert_eq!(status, 200, "{answer}");
    let (success, differences, _) = found(place, &[&old[..], &["--deep"]].concat());
    assert_eq!((success, differences), (true, Vec::new()));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_wrong_pair_is_not_repaired() {
    let (place, other) = (Place::on_files(), Place::on_files());
    for place in [&place, &other] {
        fill(&place.start(), 3).await;
    }
    let [_, blobs] = other.names();
    let arguments = [
        "check",
        "--repair",
        "--delete-images",
        "--older-than",
        "1ms",
    ];
    let mut command = place.command(&arguments);
    command.env("CALOTYPE_BLOBS", &blobs);
    let error = failure(command);
    assert!(error.contains("right pair"), "{error}");
    place.assert_whole();
    other.assert_whole();

    let mut command = place.command(&arguments);
    command.env("CALOTYPE_BLOBS", &blobs).arg("--force");
    assert!(ended(command).status.success());
    let server = place.start();
    assert_eq!(blob(&client(), &server, "first/2").await.0, 404);
}

#[test]
fn a_store_which_is_not_there_is_no_empty_one() {
    let place = Place::on_files();
    let error = failure(place.command(&["check"]));
    assert!(error.contains("there is no database"), "{error}");
    assert!(!place.data_dir().exists());
}
