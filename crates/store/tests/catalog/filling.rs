//! Who may fill a catalog.

use store::{Catalog as _, Portable as _};

use crate::nodes::{execute, node};
use crate::postgres;

/// Ends the session which keeps the right, as a database does which is started again.
const END_ITS_SESSION: &str = "SELECT pg_terminate_backend(pid, 10000) FROM pg_locks
    WHERE locktype = 'advisory' AND objsubid = 2
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";

#[tokio::test(flavor = "multi_thread")]
async fn on_postgres_one_process_fills_at_a_time() {
    let Some(url) = postgres::database() else {
        return;
    };
    let (one, other) = tokio::join!(node(&url), node(&url));
    let first = one.take_filling().await.unwrap().expect("nobody has it");
    assert!(first.is_held().await);
    assert!(other.take_filling().await.unwrap().is_none());
    assert!(one.take_filling().await.unwrap().is_none());
    drop(first);
    let second = other.take_filling().await.unwrap();
    let second = second.expect("it was given back");
    assert!(second.is_held().await);

    // Whoever has lost it is told before another one can have it and be harmed.
    execute(&url, END_ITS_SESSION).await;
    assert!(!second.is_held().await);
    assert!(!second.is_held().await);
    let third = one.take_filling().await.unwrap().expect("it was lost");
    assert!(third.is_held().await && !second.is_held().await);
    // Others on the same server fill others.
    let elsewhere = node(&postgres::database().expect("there is one")).await;
    assert!(elsewhere.take_filling().await.unwrap().is_some());
    for catalog in [one, other, elsewhere] {
        catalog.close().await.unwrap();
    }
}
