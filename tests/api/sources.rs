//! Uploads by URL: good origins, bad origins, and addresses which must not be reached.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use crate::harness::{Answer, PHOTO, Server, Wishes, text_form};

/// An origin on loopback which gives each connection to a script: request head in, bytes out.
async fn origin(script: fn(&str) -> Vec<u8>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut head = Vec::new();
                let mut piece = [0; 1_024];
                while !head.windows(4).any(|four| four == b"\r\n\r\n") {
                    match stream.read(&mut piece).await {
                        Ok(count @ 1..) => head.extend_from_slice(&piece[..count]),
                        _ => return,
                    }
                }
                let answer = script(&String::from_utf8_lossy(&head));
                let endless = answer.is_empty();
                let _ = stream.write_all(&answer).await;
                if endless {
                    // Says nothing and keeps the connection.
                    std::future::pending::<()>().await;
                }
            });
        }
    });
    url
}

fn http(status: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "HTTP/1.1 {status}\r\n{headers}Content-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

/// The pages of the origin, by path.
fn pages(head: &str) -> Vec<u8> {
    let path = head.split(' ').nth(1).unwrap_or_default();
    match path {
        "/dir/my%20cat.png?x=1" => http("200 OK", "", PHOTO),
        "/moved" => http("302 Found", "Location: /dir/my%20cat.png?x=1\r\n", b""),
        "/loop" => http("302 Found", "Location: /loop\r\n", b""),
        "/nowhere" => http("302 Found", "", b""),
        "/file" => http("302 Found", "Location: file:///etc/passwd\r\n", b""),
        "/secret" if head.contains("uthorization: Basic bWU6cEBzcw==\r\n") => {
            http("200 OK", "", PHOTO)
        }
        "/secret" => http("401 Unauthorized", "", b""),
        "/html" => http("200 OK", "Content-Type: image/png\r\n", b"<html></html>"),
        "/large" => http("200 OK", "", &vec![0; 200_000]),
        "/endless" => {
            let head = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n";
            [&head[..], &vec![0; 200_000]].concat()
        }
        "/short" => b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nfew".to_vec(),
        "/silent" => Vec::new(),
        "/nonsense" => b"nonsense\r\n\r\n".to_vec(),
        _ => http("404 Not Found", "", b""),
    }
}

async fn server(allow_private_sources: bool) -> Server {
    Server::with(Wishes {
        limits: model::Limits {
            upload_bytes_max: 100_000,
            ..model::Limits::default()
        },
        allow_private_sources,
        source_timeout: Duration::from_secs(2),
        ..Wishes::default()
    })
    .await
}

async fn upload(server: &Server, url: &str) -> Answer {
    server.form("images/v1", text_form(&[("url", url)])).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_is_fetched_and_named() {
    let (server, origin) = (server(true).await, origin(pages).await);
    for path in ["/dir/my%20cat.png?x=1", "/moved"] {
        let image = upload(&server, &format!("{origin}{path}")).await.result();
        let name = if path == "/moved" {
            "moved"
        } else {
            "my cat.png"
        };
        assert_eq!(image["filename"], name);
        let id = image["id"].as_str().unwrap();
        let blob = server.get(&format!("images/v1/{id}/blob")).await;
        assert_eq!(blob.bytes, PHOTO);
    }
    let with_password = format!("{}/secret", origin.replace("http://", "http://me:p%40ss@"));
    assert_eq!(upload(&server, &with_password).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_origins_are_told_in_a_sentence() {
    let (server, origin) = (server(true).await, origin(pages).await);
    for (path, status, code, words) in [
        ("/missing", 400, 5400, "HTTP error 404"),
        ("/secret", 400, 5400, "HTTP error 401"),
        ("/loop", 400, 5400, "too many redirects"),
        ("/nowhere", 400, 5400, "redirection"),
        ("/file", 400, 5400, "redirection"),
        ("/html", 415, 5455, "image/jpeg"),
        ("/large", 413, 5413, "Maximum image size"),
        ("/endless", 413, 5413, "Maximum image size"),
        ("/short", 400, 5400, "connection broke"),
        ("/nonsense", 400, 5400, "connection broke"),
        ("/silent", 400, 5400, "no answer within"),
    ] {
        let answer = upload(&server, &format!("{origin}{path}")).await;
        assert_eq!(answer.failure(), (status, code), "{path}");
        assert!(
            answer.message().contains(words),
            "{path}: {}",
            answer.message()
        );
    }
    let closed = upload(&server, "http://127.0.0.1:1/a.png").await;
    assert_eq!(closed.failure(), (400, 5400));
    for url in [
        "nonsense",
        "/path",
        "ftp://127.0.0.1/a",
        "file:///etc/passwd",
        "data:,x",
        "http://",
    ] {
        assert_eq!(upload(&server, url).await.failure(), (400, 5400), "{url}");
    }
    assert_eq!(server.files("blobs"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn private_addresses_are_refused_in_every_spelling() {
    let (server, origin) = (server(false).await, origin(pages).await);
    let port = origin.rsplit(':').next().unwrap();
    let path = "dir/my%20cat.png?x=1";
    for host in [
        "127.0.0.1",
        "127.1",
        "2130706433",
        "0x7f000001",
        "0177.0.0.1",
        "0.0.0.0",
        "localhost",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[64:ff9b::7f00:1]",
        "10.0.0.1",
        "192.168.0.1",
        "169.254.169.254",
        "user:password@127.0.0.1",
    ] {
        let answer = upload(&server, &format!("http://{host}:{port}/{path}")).await;
        assert_eq!(answer.failure(), (400, 5400), "{host}");
        assert!(
            answer.message().contains("private"),
            "{host}: {}",
            answer.message()
        );
    }
    assert_eq!(server.files("blobs"), 0);
}
