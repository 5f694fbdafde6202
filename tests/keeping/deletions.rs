//! Many images of a store of many, deleted by several clients at once.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use futures_util::future::join_all;
use futures_util::{StreamExt as _, stream};
use model::{AccountId, BlobKey, Image, ImageId, Source, Timestamp};
use store::catalog::Record;

use crate::picture::gif;
use crate::place::{Place, blobs_of, names_of};
use crate::server::{ACCOUNT_ID, Server};
use crate::traffic::{blob, client, count, delete, upload};

const IMAGES: usize = 3_000;
/// The one which is uploaded.
const FIRST: &str = "many/0";
/// Every so many is deleted.
const EVERY: usize = 10;
const CLIENTS: usize = 8;
/// Records, or blobs, which are written in one go.
const RECORDS_AT_ONCE: usize = 500;
const BLOBS_AT_ONCE: usize = 16;

#[tokio::test(flavor = "multi_thread")]
async fn deleting_many_takes_their_bytes_and_no_others() {
    delete_a_tenth(&Place::on_files()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_postgres_and_s3_deleting_many_takes_their_bytes_and_no_others() {
    if let Some(place) = Place::on_servers() {
        delete_a_tenth(&place).await;
    }
}

async fn delete_a_tenth(place: &Place) {
    let images = fill_directly(place).await;
    let mut servers = vec![place.start()];
    servers.extend(place.start_another());
    let (deleted, kept): (Vec<_>, Vec<_>) = images
        .iter()
        .enumerate()
        .partition(|(number, _)| number % EVERY == 0);
    let deleted: Vec<&Image> = deleted.into_iter().map(|(_, image)| image).collect();
    let kept: Vec<&Image> = kept.into_iter().map(|(_, image)| image).collect();
    assert_eq!(place.stored().await.len(), IMAGES);

    delete_at_once(&servers, &deleted).await;

    let records = place.records().await;
    let names: BTreeSet<_> = kept.iter().map(|image| image.id.as_str()).collect();
    assert_eq!(names_of(&records), names);
    let keys: BTreeSet<_> = kept.iter().map(|image| key(image).clone()).collect();
    assert_eq!(blobs_of(&records), keys);
    place.assert_swept().await;
    place.assert_whole();
    // Nothing is left to be swept, and nothing is known of it.
    let catalog = place.catalog().await;
    for image in &deleted {
        let known = catalog.knows_blob(key(image)).await;
        assert!(!known.expect("it is asked"), "{image:?}");
    }
    let client = client();
    for server in &servers {
        assert_eq!(count(&client, server).await, kept.len() as u64);
        for image in &deleted {
            let (status, _) = blob(&client, server, image.id.as_str()).await;
            assert_eq!(status, 404, "{image:?}");
        }
        for image in kept.iter().step_by(EVERY) {
            let id = image.id.as_str();
            let (status, bytes) = blob(&client, server, id).await;
            let expected = (200, gif(FIRST.as_bytes()));
            assert_eq!((status.as_u16(), bytes), expected, "{id}");
        }
    }
}

/// Each image is asked for by two clients, of which one is told that it has deleted it.
async fn delete_at_once(servers: &[Server], images: &[&Image]) {
    let next = AtomicUsize::new(0);
    let acknowledged = Mutex::new(BTreeSet::new());
    let clients = (0..CLIENTS).map(|number| {
        let (next, acknowledged) = (&next, &acknowledged);
        async move {
            let (client, server) = (client(), &servers[number % servers.len()]);
            loop {
                let turn = next.fetch_add(1, Ordering::SeqCst);
                let Some(image) = images.get(turn / 2) else {
                    return;
                };
                let id = image.id.as_str();
                let status = delete(&client, &server.images_url(), id).await;
                if status != 404 {
                    assert_eq!(status, 200, "{id}");
                    let mut acknowledged = acknowledged.lock().expect("nobody panics with it");
                    assert!(acknowledged.insert(id), "{id} was deleted twice");
                }
            }
        }
    });
    join_all(clients).await;
    let acknowledged = acknowledged.into_inner().expect("nobody panics with it");
    assert_eq!(acknowledged.len(), images.len());
}

/// One image is uploaded, and the others are as if they had been: each with the same bytes under a key
/// of its own.
async fn fill_directly(place: &Place) -> Vec<Image> {
    let server = place.start();
    let (status, answer) = upload(&client(), &server.images_url(), FIRST).await;
    assert_eq!(status, 200, "{answer}");
    assert!(server.terminate().success());
    let (catalog, blobs) = (place.catalog().await, place.blobs());
    let account = AccountId::try_from(ACCOUNT_ID).expect("an id");
    let first = ImageId::from_path(FIRST.to_owned());
    let first = catalog.image(&account, &first).await;
    let first = first.expect("it is read").expect("it is there");
    let mut images: Vec<_> = (1..IMAGES).map(|number| copy(&first, number)).collect();
    let written = images.iter().map(|image| {
        let bytes = Bytes::from(gif(FIRST.as_bytes()));
        blobs.put(key(image), bytes)
    });
    let mut written = stream::iter(written).buffer_unordered(BLOBS_AT_ONCE);
    while let Some(written) = written.next().await {
        written.expect("a blob is written");
    }
    drop(written);
    for some in images.chunks(RECORDS_AT_ONCE) {
        let records = some.iter().cloned();
        let records = records.map(|image| Record::Image(account.clone(), image));
        let put = catalog.put_records(records.collect()).await;
        put.expect("records are written");
    }
    images.push(first);
    images
}

fn copy(first: &Image, number: usize) -> Image {
    Image {
        id: ImageId::from_path(format!("many/{number}")),
        uploaded: Timestamp::from_micros(1_700_000_000_000_000 + number as i64),
        source: first.source.clone().map(|source| Source {
            blob: BlobKey::generate(),
            ..source
        }),
        ..first.clone()
    }
}

fn key(image: &Image) -> &BlobKey {
    &image.source.as_ref().expect("it has bytes").blob
}
