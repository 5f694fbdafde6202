//! Forms which are broken, endless, or none at all.

use std::time::Duration;

use reqwest::multipart::{Form, Part};
use reqwest::{Body, Method};

use crate::harness::{Answer, PHOTO, Server, Wishes, form, send, text_form};

const PATHS: [&str; 2] = ["images/v1", "images/v2/direct_upload"];

async fn post(server: &Server, path: &str, content_type: &str, body: impl Into<Body>) -> Answer {
    let request = server.request(Method::POST, path);
    send(request.header("content-type", content_type).body(body)).await
}

/// Nothing was stored, nothing is left.
async fn assert_untouched(server: &Server) {
    let stats = server.get("images/v1/stats").await.result();
    assert_eq!(stats["count"]["current"], 0);
    assert_eq!(server.files("blobs"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_form_is_refused() {
    let server = Server::start().await;
    for path in PATHS {
        for content_type in [
            "application/json",
            "image/png",
            "application/x-www-form-urlencoded",
            "multipart/form-data",
            "multipart/mixed; boundary=x",
            "nonsense",
        ] {
            let answer = post(&server, path, content_type, "{}").await;
            assert_eq!(answer.failure(), (415, 5415), "{path} {content_type}");
        }
        let untyped = send(server.request(Method::POST, path).body("x")).await;
        assert_eq!(untyped.failure(), (415, 5415), "{path}");
    }
    let nothing = send(server.request(Method::POST, "images/v1")).await;
    assert_eq!(nothing.failure(), (415, 5415));
    assert_untouched(&server).await;
}

/// Row 34.
#[tokio::test(flavor = "multi_thread")]
async fn broken_forms_are_refused() {
    let server = Server::start().await;
    let disposition = "Content-Disposition: form-data; name=\"file\"";
    for body in [
        String::new(),
        "nonsense".to_owned(),
        "--other\r\n".to_owned(),
        "--x".to_owned(),
        "--x\r\n".to_owned(),
        format!("--x\r\n{disposition}\r\n"),
        format!("--x\r\n{disposition}\r\n\r\n"),
        format!("--x\r\n{disposition}\r\n\r\nbytes without an end"),
        format!("--x\r\n{disposition}\r\n\r\nbytes\r\n--x"),
        format!("--x\r\n{disposition}\r\n\r\nbytes\r\n--y--\r\n"),
        "--x\r\nno colon\r\n\r\nbytes\r\n--x--\r\n".to_owned(),
        format!("--x\r\n{}\r\n\r\n--x--\r\n", "a: b\r\n".repeat(100)),
    ] {
        let answer = post(
            &server,
            "images/v1",
            "multipart/form-data; boundary=x",
            body.clone(),
        );
        assert_eq!(answer.await.failure(), (400, 5450), "{body:?}");
    }
    assert_untouched(&server).await;
}

/// Row 34.
#[tokio::test(flavor = "multi_thread")]
async fn forms_within_forms_are_no_images() {
    let server = Server::start().await;
    let inner = "--y\r\nContent-Disposition: form-data; name=\"file\"\r\n\r\nx\r\n--y--\r\n";
    let body = format!(
        "--x\r\nContent-Disposition: form-data; name=\"file\"\r\nContent-Type: multipart/mixed; boundary=y\r\n\r\n{inner}\r\n--x--\r\n"
    );
    let answer = post(
        &server,
        "images/v1",
        "multipart/form-data; boundary=x",
        body,
    )
    .await;
    assert_eq!(answer.failure(), (415, 5455));
    assert_untouched(&server).await;
}

/// Row 34.
#[tokio::test(flavor = "multi_thread")]
async fn parts_are_counted() {
    let server = Server::start().await;
    let many = |count: usize| {
        let part = "--x\r\nContent-Disposition: form-data; name=\"file[0]\"\r\n\r\n1\r\n";
        format!("{}--x--\r\n", part.repeat(count))
    };
    let content_type = "multipart/form-data; boundary=x";
    for path in PATHS {
        let answer = post(&server, path, content_type, many(100_000)).await;
        assert_eq!(answer.failure(), (400, 5400), "{path}");
    }
    let without_a_file = post(&server, "images/v1", content_type, many(999)).await;
    assert_eq!(without_a_file.failure(), (400, 5400));
    assert_untouched(&server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn empty_forms_make_drafts_and_no_images() {
    let server = Server::start().await;
    let content_type = "multipart/form-data; boundary=x";
    for body in ["--x--\r\n", "--x--", "\r\n--x--\r\n"] {
        let draft = post(&server, "images/v2/direct_upload", content_type, body).await;
        assert!(draft.result()["uploadURL"].is_string(), "{body:?}");
        let upload = post(&server, "images/v1", content_type, body).await;
        assert_eq!(upload.failure(), (400, 5400), "{body:?}");
    }
    assert_untouched(&server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn exactly_one_of_file_and_url_is_wanted() {
    let server = Server::start().await;
    for form in [
        form(PHOTO, &[("url", "http://example.invalid/a.png")]),
        text_form(&[("id", "x")]),
        form(PHOTO, &[]).part("file", Part::bytes(PHOTO)),
        form(PHOTO, &[("id", "a"), ("id", "b")]),
    ] {
        assert_eq!(server.form("images/v1", form).await.failure(), (400, 5400));
    }
    assert_untouched(&server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_part_needs_neither_filename_nor_type() {
    let server = Server::start().await;
    let bare = Form::new().part("file", Part::bytes(PHOTO));
    let image = server.form("images/v1", bare).await.result();
    assert!(image.get("filename").is_none(), "{image}");
    for (sent, kept) in [
        ("dir/a%22b.png", "a\"b.png"),
        ("a\\\"b.png", "a\"b.png"),
        ("ünï.png", "ünï.png"),
    ] {
        let mut body = format!(
            "--x\r\ncontent-disposition: form-data; name=\"file\"; filename=\"{sent}\"\r\n\r\n"
        )
        .into_bytes();
        body.extend_from_slice(PHOTO);
        body.extend_from_slice(b"\r\n--x--\r\n");
        let answer = post(
            &server,
            "images/v1",
            "multipart/form-data; boundary=x",
            body,
        )
        .await;
        assert_eq!(answer.result()["filename"], kept, "{sent}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn too_many_bytes_are_refused_while_they_come() {
    let limits = model::Limits {
        upload_bytes_max: 100_000,
        ..model::Limits::default()
    };
    let wishes = Wishes {
        limits,
        ..Wishes::default()
    };
    let server = Server::with(wishes).await;
    let large = vec![0; 100_001];
    let answer = server.form("images/v1", form(&large, &[])).await;
    assert_eq!(answer.failure(), (413, 5413));
    assert_eq!(
        answer.message(),
        "Maximum image size of 100000 bytes is reached"
    );

    // A body which never ends is answered all the same: the refusal does not wait for the end.
    let head = server.head(
        "POST",
        "images/v1",
        "Content-Type: multipart/form-data; boundary=x\r\nTransfer-Encoding: chunked\r\n",
    );
    let part = "--x\r\nContent-Disposition: form-data; name=\"file\"\r\n\r\n";
    let mut endless = format!("{head}{:x}\r\n{part}\r\n", part.len()).into_bytes();
    endless.extend(format!("{:x}\r\n", 200_000).into_bytes());
    endless.extend(vec![b'a'; 200_000]);
    endless.extend(b"\r\n");
    let answer = server.raw(&endless).await;
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    assert!(answer.contains("\"code\":5413"), "{answer}");
    assert_untouched(&server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_reaches_a_client_which_is_still_sending() {
    let server = Server::start().await;
    // Far more than the sockets hold, so that an early close would break the client's pipe.
    let large = vec![0; 30 * 1024 * 1024];
    let upload = server
        .client
        .post(server.api("images/v1"))
        .bearer_auth("wrong");
    let answer = send(upload.multipart(form(&large, &[]))).await;
    assert_eq!(answer.failure(), (401, 10_000));
    let answer = server.form("images/v1", form(&large, &[])).await;
    assert_eq!(answer.failure(), (413, 5413));
    assert_eq!(answer.message(), "Maximum image size of 10 Mb is reached");
    assert_untouched(&server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_which_stalls_is_given_up() {
    let wishes = Wishes {
        upload_idle_timeout: Duration::from_millis(100),
        ..Wishes::default()
    };
    let server = Server::with(wishes).await;
    let head = server.head(
        "POST",
        "images/v1",
        "Content-Type: multipart/form-data; boundary=x\r\nContent-Length: 1000\r\n",
    );
    let stalled = format!("{head}--x\r\nContent-Disposition: form-data; name=\"file\"\r\n\r\n");
    let answer = server.raw(stalled.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    assert!(answer.contains("\"code\":5408"), "{answer}");
    assert!(answer.contains("x-should-retry: false"), "{answer}");
    assert_untouched(&server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_which_says_nothing_is_closed() {
    let wishes = Wishes {
        header_timeout: Duration::from_millis(100),
        ..Wishes::default()
    };
    let server = Server::with(wishes).await;
    for said in ["", "PRI * HTTP/2.0", "GET / HTTP/1.1\r\nHost: te"] {
        // Returns when the server has closed the connection, without an answer of success.
        let answer = server.raw(said.as_bytes()).await;
        assert!(
            answer.is_empty() || answer.starts_with("HTTP/1.1 408"),
            "{said:?}: {answer}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_which_says_that_it_is_done_is_answered() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let server = Server::start().await;
    let address = server.url.strip_prefix("http://").unwrap();
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let head = server.head("GET", "images/v1/stats", "Connection: close\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.shutdown().await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_which_leaves_leaves_nothing() {
    let server = Server::start().await;
    let head = server.head(
        "POST",
        "images/v1",
        "Content-Type: multipart/form-data; boundary=x\r\nContent-Length: 100000\r\n",
    );
    let address = server.url.strip_prefix("http://").unwrap();
    for _ in 0..20 {
        use tokio::io::AsyncWriteExt as _;
        let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
        let part = "--x\r\nContent-Disposition: form-data; name=\"file\"\r\n\r\nsome bytes";
        stream
            .write_all(format!("{head}{part}").as_bytes())
            .await
            .unwrap();
    }
    assert_untouched(&server).await;
    server.upload(PHOTO, &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn text_parts_have_limits() {
    let server = Server::start().await;
    let long = "x".repeat(70_000);
    for (name, value) in [
        ("creator", "c".repeat(1_025)),
        ("creator", long.clone()),
        ("metadata", format!("{{\"a\":\"{}\"}}", "x".repeat(1_017))),
        ("metadata", long.clone()),
        ("metadata[a]", "x".repeat(1_100)),
        ("metadata", "[1]".to_owned()),
        ("metadata", "nonsense".to_owned()),
        ("metadata", "5".to_owned()),
        ("requireSignedURLs", "yes".to_owned()),
    ] {
        let answer = server
            .form("images/v1", form(PHOTO, &[(name, &value)]))
            .await;
        assert_eq!(answer.failure(), (400, 5400), "{name}");
    }
    let mut body = b"--x\r\nContent-Disposition: form-data; name=\"id\"\r\n\r\n\xff\r\n".to_vec();
    body.extend_from_slice(b"--x\r\nContent-Disposition: form-data; name=\"file\"\r\n\r\n");
    body.extend_from_slice(PHOTO);
    body.extend_from_slice(b"\r\n--x--\r\n");
    let answer = post(
        &server,
        "images/v1",
        "multipart/form-data; boundary=x",
        body,
    )
    .await;
    assert_eq!(answer.failure(), (400, 5400));
    assert_untouched(&server).await;

    let fits = format!("{{\"a\":\"{}\"}}", "x".repeat(1_016));
    assert_eq!(fits.len(), 1_024);
    let texts = [("metadata", fits.as_str()), ("unknown part", "ignored")];
    server.upload(PHOTO, &texts).await;
}
