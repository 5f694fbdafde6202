//! Pictures whose answers are ready: from the third time on, an address is answered before it
//! becomes a request of hyper's, and nobody sees the difference.

use reqwest::Method;
use reqwest::header::HeaderMap;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::harness::{Answer, PHOTO, Server, TRANSPARENT, Wishes};
use crate::noise;

/// From memory, and with none from disk.
fn both() -> [Wishes; 2] {
    let without_memory = Wishes {
        cache_memory_bytes: 0,
        ..Wishes::default()
    };
    [Wishes::default(), without_memory]
}

/// Asks until the answer is ready, and once more.
async fn warm(server: &Server, rest: &str, headers: &[(&str, &str)]) -> Answer {
    for _ in 0..3 {
        server.deliver(rest, headers).await;
    }
    server.deliver(rest, headers).await
}

/// What does not differ between two answers to the same question.
fn lasting(answer: &Answer) -> HeaderMap {
    let mut headers = answer.headers.clone();
    for name in ["date", "x-request-id", "cf-images", "cf-resized"] {
        assert!(headers.remove(name).is_some(), "{name}");
    }
    headers
}

async fn connect(server: &Server) -> TcpStream {
    let address = server.url.strip_prefix("http://").unwrap();
    TcpStream::connect(address).await.unwrap()
}

/// Reads one answer with a body.
async fn read(stream: &mut TcpStream) -> (String, Vec<u8>) {
    let mut bytes = Vec::new();
    let head = loop {
        if let Some(at) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break at + 4;
        }
        assert_ne!(stream.read_buf(&mut bytes).await.unwrap(), 0, "{bytes:?}");
    };
    let text = String::from_utf8(bytes[..head].to_vec()).unwrap();
    let length = text.split("content-length: ").nth(1).unwrap();
    let length: usize = length.lines().next().unwrap().parse().unwrap();
    let mut body = bytes.split_off(head);
    let mut rest = vec![0; length - body.len()];
    stream.read_exact(&mut rest).await.unwrap();
    body.extend(rest);
    (text, body)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ready_answer_is_the_one_which_was_given_before() {
    for wishes in both() {
        let server = Server::with(wishes).await;
        let id = server.upload(PHOTO, &[]).await;
        let rest = format!("{id}/public");
        let first = server.deliver(&rest, &[]).await;
        let mut ids = Vec::new();
        for _ in 0..6 {
            let again = server.deliver(&rest, &[]).await;
            assert_eq!(again.status, 200);
            assert_eq!(again.bytes, first.bytes);
            assert_eq!(lasting(&again), lasting(&first));
            let length = again.bytes.len();
            assert!(again.header("cf-images").ends_with(&format!("l={length}")));
            let id = again.header("x-request-id").to_owned();
            assert!(!ids.contains(&id), "{id}");
            ids.push(id);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_request_asks_besides_is_heard() {
    for wishes in both() {
        let server = Server::with(wishes).await;
        let id = server.upload(PHOTO, &[]).await;
        let rest = format!("{id}/public");
        let jpeg = warm(&server, &rest, &[]).await;
        assert_eq!(jpeg.header("content-type"), "image/jpeg");
        let accept = [("accept", "image/webp")];
        let webp = warm(&server, &rest, &accept).await;
        assert_eq!(webp.header("content-type"), "image/webp");
        let again = server.deliver(&rest, &[]).await;
        assert_eq!(again.bytes, jpeg.bytes);

        let tag = jpeg.header("etag").to_owned();
        let known = server.deliver(&rest, &[("if-none-match", &tag)]).await;
        assert_eq!((known.status.as_u16(), known.bytes.len()), (304, 0));
        let part = server.deliver(&rest, &[("range", "bytes=2-5")]).await;
        assert_eq!(
            (part.status.as_u16(), &part.bytes[..]),
            (206, &jpeg.bytes[2..6])
        );
        let url = format!("{}/{}/{rest}", server.url, server.account.hash);
        let head = server.client.head(&url).send().await.unwrap();
        let length = jpeg.bytes.len().to_string();
        assert_eq!(head.headers()["content-length"], *length);
        let named = [("x-request-id", "mine-7")];
        let named = server.deliver(&rest, &named).await;
        assert_eq!(named.header("x-request-id"), "mine-7");
        let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let traced = server.deliver(&rest, &[("traceparent", trace)]).await;
        assert_eq!(traced.header("x-request-id"), &trace[3..35]);
        // The same address, but an API of its own on this host.
        let upload = [("host", "upload.test")];
        let upload = server.deliver(&rest, &upload).await;
        assert_ne!(upload.status, 200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_changes_is_seen_at_once() {
    for wishes in both() {
        let server = Server::with(wishes).await;
        let variants = "images/v1/variants";
        let thumb = json!({"id": "thumb", "options": {"fit": "scale-down", "width": 40}});
        server.json(Method::POST, variants, &thumb).await.result();
        let flexible = |is: bool| json!({"flexible_variants": is});
        let config = "images/v1/config";
        server.json(Method::PATCH, config, &flexible(true)).await;
        let id = server.upload(PHOTO, &[]).await;

        let rest = format!("{id}/thumb");
        assert_eq!(warm(&server, &rest, &[]).await.size().0, 40);
        let wider = json!({"options": {"fit": "scale-down", "width": 50}});
        let variant = format!("{variants}/thumb");
        server.json(Method::PATCH, &variant, &wider).await.result();
        assert_eq!(server.deliver(&rest, &[]).await.size().0, 50);

        let list = format!("{id}/w=30");
        assert_eq!(warm(&server, &list, &[]).await.size().0, 30);
        server.json(Method::PATCH, config, &flexible(false)).await;
        assert_eq!(server.deliver(&list, &[]).await.refusal(), (403, 9429));

        assert_eq!(warm(&server, &rest, &[]).await.status, 200);
        let path = format!("images/v1/{id}");
        let private = json!({"requireSignedURLs": true});
        server.json(Method::PATCH, &path, &private).await.result();
        assert_ne!(server.deliver(&rest, &[]).await.status, 200);

        let other = server.upload(TRANSPARENT, &[("id", "other")]).await;
        let rest = format!("{other}/public");
        let before = warm(&server, &rest, &[]).await;
        server.delete("images/v1/other").await.result();
        assert_eq!(server.deliver(&rest, &[]).await.refusal(), (404, 9404));
        server.upload(PHOTO, &[("id", "other")]).await;
        let after = warm(&server, &rest, &[]).await;
        assert_eq!(after.status, 200);
        assert_ne!(after.bytes, before.bytes);
    }
}

/// A purge takes renditions which would be made the same again, so that one sees it by the tier alone.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_purged_is_made_again() {
    for wishes in both() {
        let server = Server::with(wishes).await;
        let id = server.upload(PHOTO, &[]).await;
        let rest = format!("{id}/public");
        let before = warm(&server, &rest, &[]).await;
        let purge = json!({"images": [id]});
        let purged = server.json(Method::POST, "images/v1/purge", &purge).await;
        assert_eq!(purged.status, 200, "{}", purged.text());
        assert_eq!(server.files("cache/r"), 0);
        let after = server.deliver(&rest, &[]).await;
        assert_eq!(after.bytes, before.bytes);
        assert_eq!(
            server.files("cache/r"),
            1,
            "made again, and not kept from before"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_is_passed_to_and_fro() {
    for wishes in both() {
        let server = Server::with(wishes).await;
        let id = server.upload(PHOTO, &[]).await;
        let rest = format!("{id}/public");
        let photo = warm(&server, &rest, &[]).await.bytes;
        let path = format!("/{}/{rest}", server.account.hash);
        let host = server.url.strip_prefix("http://").unwrap();
        let ask =
            |path: &str, more: &str| format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n{more}\r\n");
        let mut stream = connect(&server).await;
        for turn in 0..4 {
            let ready = ask(&path, "");
            stream.write_all(ready.as_bytes()).await.unwrap();
            let (head, body) = read(&mut stream).await;
            assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{turn}: {head}");
            assert_eq!(body, photo);
            stream
                .write_all(ask("/livez", "").as_bytes())
                .await
                .unwrap();
            let (head, _) = read(&mut stream).await;
            assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{turn}: {head}");
            stream.write_all(ask("/none", "").as_bytes()).await.unwrap();
            assert!(read(&mut stream).await.0.starts_with("HTTP/1.1 404 "));
        }
        // In pieces.
        for byte in ask(&path, "").as_bytes() {
            stream.write_all(&[*byte]).await.unwrap();
        }
        assert_eq!(read(&mut stream).await.1, photo);
        // Several at once, a ready one among them.
        let many = [ask(&path, ""), ask("/none", ""), ask(&path, "")].concat();
        stream.write_all(many.as_bytes()).await.unwrap();
        assert_eq!(read(&mut stream).await.1, photo);
        assert!(read(&mut stream).await.0.starts_with("HTTP/1.1 404 "));
        assert_eq!(read(&mut stream).await.1, photo);

        // A body with a request which needs none, and a request hidden in it.
        let mut stream = connect(&server).await;
        let hidden = ask("/none", "");
        let length = format!("Content-Length: {}\r\n", hidden.len());
        let smuggled = [ask(&path, &length), hidden, ask("/livez", "")].concat();
        stream.write_all(smuggled.as_bytes()).await.unwrap();
        assert_eq!(read(&mut stream).await.1, photo);
        let (head, body) = read(&mut stream).await;
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
        assert_ne!(body, photo);

        // The last words of a client.
        let mut stream = connect(&server).await;
        let last = ask(&path, "Connection: close\r\n");
        stream.write_all(last.as_bytes()).await.unwrap();
        let mut all = Vec::new();
        stream.read_to_end(&mut all).await.unwrap();
        assert!(all.ends_with(&photo));
    }
}

/// Larger than what the system takes at once, for a client which does not read for a while.
#[tokio::test(flavor = "multi_thread")]
async fn large_pictures_arrive_whole() {
    for wishes in both() {
        let server = Server::with(wishes).await;
        let whole = json!({"id": "whole", "options": {"fit": "scale-down", "width": 4000}});
        let variants = "images/v1/variants";
        server.json(Method::POST, variants, &whole).await.result();
        // The second is too large for the cache in memory.
        for (side, bytes_min) in [(1_400, 600_000), (2_000, 1 << 20)] {
            let id = server.upload(&noise::png(side, side), &[]).await;
            let rest = format!("{id}/whole");
            let picture = warm(&server, &rest, &[]).await.bytes;
            assert!(picture.len() > bytes_min, "{}", picture.len());
            let path = format!("/{}/{rest}", server.account.hash);
            let host = server.url.strip_prefix("http://").unwrap();
            let ask = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n");
            let mut slow = connect(&server).await;
            slow.write_all(ask.as_bytes()).await.unwrap();
            // Others are answered meanwhile.
            for _ in 0..3 {
                assert_eq!(server.deliver(&rest, &[]).await.bytes, picture);
            }
            assert_eq!(read(&mut slow).await.1, picture);
            slow.write_all(ask.as_bytes()).await.unwrap();
            assert_eq!(read(&mut slow).await.1, picture);
        }
    }
}

/// With a token, the same address has an explanation as its answer.
#[tokio::test(flavor = "multi_thread")]
async fn explanations_are_given_though_a_picture_is_ready() {
    let server = Server::start().await;
    let id = server.upload(PHOTO, &[]).await;
    let rest = format!("{id}/public?explain=1");
    assert_eq!(
        warm(&server, &rest, &[]).await.header("content-type"),
        "image/jpeg"
    );
    let token = format!("Bearer {}", server.token);
    let explained = server.deliver(&rest, &[("authorization", &token)]).await;
    assert_eq!(explained.header("content-type"), "application/json");
}
