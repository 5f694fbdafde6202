//! A real server whose database and bucket are reached with TLS, by an authority of one's own.

use std::path::Path;
use std::process::Output;

use reqwest::StatusCode;

use crate::authority::Authority;
use crate::nodes::{Nodes, SECRET_KEY, blob, client, deliver, upload};
use crate::{picture, postgres, s3, server};

/// What a server says which refuses to start with this database and this store.
fn refusal(nodes: &Nodes, database: &str, endpoint: &str, trusted: &Path) -> String {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let output: Output = server::program()
        .args(["serve", "--listen", "127.0.0.1:0", "--data-dir"])
        .arg(folder.path())
        .args(["--secret-key", SECRET_KEY, "--database", database])
        .args(["--blobs", &nodes.bucket.url, "--s3-endpoint", endpoint])
        .args(["--s3-access-key-id", s3::KEY.0])
        .args(["--s3-secret-access-key", s3::KEY.1])
        .env("SSL_CERT_FILE", trusted)
        .output()
        .expect("the program runs");
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{error}");
    error
}

#[tokio::test(flavor = "multi_thread")]
async fn on_postgres_and_s3_with_tls_a_node_serves_and_trusts_nobody_else() {
    let (Some(ours), Some(theirs)) = (Authority::new_or_skip(), Authority::new_or_skip()) else {
        return;
    };
    let certificate = ours.vouch_for("IP:127.0.0.1");
    let (Some(database), Some(store)) = (
        postgres::Postgres::start_with_tls_or_skip(&certificate),
        s3::S3::start_with_tls_or_skip(&certificate),
    ) else {
        return;
    };
    let plain = database.create();
    let nodes = Nodes {
        database: format!("{plain}?sslmode=verify-full"),
        bucket: store.prefix(),
    };
    let trusted = ours.certificate();
    let settings = nodes.settings();
    let node = settings
        .variable("SSL_CERT_FILE", &trusted.display().to_string())
        .start();
    let client = client();
    let (status, answer) = upload(&client, &node, "a", b"a").await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    assert_eq!(deliver(&client, &node, "a").await.status(), StatusCode::OK);
    let stored = blob(&client, &node, "a").await;
    assert_eq!(stored, (StatusCode::OK, picture::gif(b"a")));

    let right = nodes.bucket.endpoint.as_str();
    assert!(right.starts_with("https://127.0.0.1:"), "{right}");
    let renamed = right.replace("127.0.0.1", "localhost");
    let unencrypted = right.replace("https://", "http://");
    let other = theirs.certificate();
    let pinned = format!("{}&sslrootcert={}", nodes.database, trusted.display());
    let unsafe_database = format!("{plain}?sslmode=disable");
    std::thread::scope(|scope| {
        for (database, endpoint, trusted, parts) in [
            (
                &*unsafe_database,
                right,
                &trusted,
                ["database", "no encryption"],
            ),
            (
                &*nodes.database,
                right,
                &other,
                ["database", "UnknownIssuer"],
            ),
            (&*pinned, right, &other, ["blob store", "UnknownIssuer"]),
            (
                &*pinned,
                &*renamed,
                &trusted,
                ["blob store", "not valid for name"],
            ),
            (&*pinned, &*unencrypted, &trusted, ["blob store", "http://"]),
        ] {
            let nodes = &nodes;
            scope.spawn(move || {
                let error = refusal(nodes, database, endpoint, trusted);
                for part in parts {
                    assert!(error.contains(part), "{part}: {error}");
                }
            });
        }
    });
}
