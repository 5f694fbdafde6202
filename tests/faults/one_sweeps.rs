//! Of several nodes one sweeps, however long that takes.

use std::time::{Duration, Instant};

use futures_util::StreamExt as _;

use crate::gate::{Fault, Faulty};
use crate::nodes::{Nodes, client, upload};
use crate::until::until;
use crate::{blobs_of, delete};

/// Time between two sweeps; whoever is silent for three times as long sweeps no more.
const INTERVAL: &str = "2s";
const LONGER_THAN_A_LEASE: Duration = Duration::from_secs(9);

#[tokio::test(flavor = "multi_thread")]
async fn on_postgres_and_s3_a_long_sweep_stays_with_its_node() {
    let Some(nodes) = Nodes::new() else { return };
    let store = Faulty::before(&nodes.bucket.endpoint).await;
    let settings = || nodes.settings().set("sweep-interval", INTERVAL);
    // The first to start is the one which sweeps.
    let one = settings().set("s3-endpoint", store.endpoint()).start();
    let other = settings().start();
    let (client, blobs) = (client(), blobs_of(&nodes.bucket));
    let (status, answer) = upload(&client, &other, "gone", b"gone").await;
    assert_eq!(status, 200, "{answer}");
    store.fail(Fault::Stall, u64::MAX);
    assert_eq!(delete(&client, &other, "gone").await, 200);
    until(async || store.failed() > 0).await;
    // Its sweep waits for the store, and the other one, for whom that answers, does not begin one.
    let begun = Instant::now();
    until(async || {
        assert_eq!(blobs.sorted().count().await, 1, "another one has swept");
        begun.elapsed() > LONGER_THAN_A_LEASE
    })
    .await;
    // When it is gone, the other one goes on.
    one.kill9();
    until(async || blobs.sorted().count().await == 0).await;
}
