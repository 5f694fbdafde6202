//! `calotype migrate`.

use crate::picture::gif;
use crate::place::{Place, ended, failure, line};
use crate::server::{ACCOUNT_HASH, Server};
use crate::traffic::{Traffic, blob, client, fill, upload};

#[tokio::test(flavor = "multi_thread")]
async fn files_move_to_files() {
    let (from, to) = (Place::on_files(), Place::on_files());
    move_and_compare(&from, &to).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_postgres_and_s3_files_move_up_and_back() {
    let Some(up) = Place::on_servers() else {
        return;
    };
    let (from, back) = (Place::on_files(), Place::on_files());
    move_and_compare(&from, &up).await;
    let up_records = up.records().await;
    let moved = line(up.migrate(&back));
    assert_eq!(moved["accounts"], 1, "{moved}");
    assert_eq!(back.records().await, up_records);
    back.assert_whole();
    let server = back.start();
    assert_eq!(blob(&client(), &server, "first/0").await.0, 200);
}

/// While clients write.
async fn move_and_compare(from: &Place, to: &Place) {
    let source = from.start();
    fill(&source, 30).await;
    let traffic = Traffic::start(&source, "during");
    let moved = line(from.migrate(to));
    assert_eq!(moved["accounts"], 1, "{moved}");
    let known = {
        // After the end, the source refuses.
        let (status, answer) = upload(&client(), &source.images_url(), "too/late").await;
        assert_eq!(status, 503, "{answer}");
        traffic.end().await
    };
    assert!(!known.images.is_empty() && known.refused > 0, "{known:?}");

    let records = from.records().await;
    assert_eq!(to.records().await, records);
    to.assert_whole();
    // It is whole, so that nothing is copied over it.
    let again = failure(from.migrate(to));
    assert!(again.contains("not empty"), "{again}");
    let target = to.start();
    compare(&source, &target, &known.images).await;

    // The source can be opened again.
    let [database, blobs] = from.names();
    let reopen = ["migrate", "--from", &database, &blobs, "--reopen"];
    assert!(ended(from.command(&reopen)).status.success());
    let (status, answer) = upload(&client(), &source.images_url(), "opened/again").await;
    assert_eq!(status, 200, "{answer}");
}

async fn compare(
    source: &Server,
    target: &Server,
    images: &std::collections::BTreeMap<String, bool>,
) {
    let client = client();
    for (id, there) in images {
        let (status, bytes) = blob(&client, target, id).await;
        if *there {
            assert_eq!((status.as_u16(), bytes), (200, gif(id.as_bytes())), "{id}");
        } else {
            assert_eq!(status, 404, "{id}");
        }
    }
    for server in [source, target] {
        let url = format!("{}/{ACCOUNT_HASH}/first/0/thumb", server.url());
        let answer = client.get(url).send().await.expect("an answer");
        assert_eq!(answer.status(), 200);
    }
    let (status, answer) = upload(&client, &target.images_url(), "after/move").await;
    assert_eq!(status, 200, "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_without_bytes_stops_a_move_and_opens_the_source() {
    let (from, to) = (Place::on_files(), Place::on_files());
    let source = from.start();
    fill(&source, 4).await;
    from.lose_bytes("first/0").await;
    let error = failure(from.migrate(&to));
    assert!(error.contains("has no bytes"), "{error}");
    let (status, answer) = upload(&client(), &source.images_url(), "still/open").await;
    assert_eq!(status, 200, "{answer}");

    let repair = ["check", "--repair", "--delete-images"];
    assert!(ended(from.command(&repair)).status.success());
    let moved = line(from.migrate(&to));
    assert_eq!(moved["images"], 3, "{moved}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_of_somebody_else_is_refused() {
    let (from, to) = (Place::on_files(), Place::on_files());
    fill(&from.start(), 2).await;
    fill(&to.start(), 2).await;
    let before = to.records().await;
    let error = failure(from.migrate(&to));
    assert!(error.contains("not empty"), "{error}");
    assert_eq!(to.records().await, before);
    to.assert_whole();

    // A server is using it.
    let _server = to.start();
    let error = failure(from.migrate(&to));
    assert!(error.contains("another Calotype server"), "{error}");

    let [database, blobs] = from.names();
    let same = ["migrate", "--from", &database, &blobs];
    assert_eq!(ended(from.command(&same)).status.code(), Some(2));
}
