//! What nodes tell each other at once.

use std::future::poll_fn;
use std::time::Duration;

use store::Catalog;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_postgres::{AsyncMessage, NoTls};

use crate::fixtures::{LATE, image, new_account, upload};
use crate::nodes::node;
use crate::postgres;

/// No notification takes so long.
const NOTIFIED_MAX: Duration = Duration::from_secs(20);

/// Somebody who listens where nodes do.
async fn listen(url: &str) -> (tokio_postgres::Client, mpsc::UnboundedReceiver<()>) {
    let (client, mut connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    let (told, notifications) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Some(Ok(message)) = poll_fn(|cx| connection.poll_message(cx)).await {
            if let AsyncMessage::Notification(_) = message {
                let _ = told.send(());
            }
        }
    });
    client
        .batch_execute("LISTEN calotype_changes")
        .await
        .unwrap();
    (client, notifications)
}

#[tokio::test(flavor = "multi_thread")]
async fn on_postgres_changes_are_told_at_once() {
    let Some(url) = postgres::database() else {
        return;
    };
    let node = node(&url).await;
    let (_client, mut notifications) = listen(&url).await;
    let mut told = async || timeout(NOTIFIED_MAX, notifications.recv()).await.unwrap();
    let account = new_account(&node).await;
    assert_eq!(told().await, Some(()));
    let one = upload(&node, &account, image("one")).await;
    node.delete_image(&account, &one.id, LATE).await.unwrap();
    assert_eq!(told().await, Some(()));
    // What nobody remembers is not told.
    assert!(notifications.try_recv().is_err());
}
