//! The real program in trouble: told to end, started twice, out of space, locked out.

#[path = "support/disk.rs"]
mod disk;
#[allow(dead_code, reason = "each test program uses a part of it")]
#[path = "support/origin.rs"]
mod origin;
#[path = "support/picture.rs"]
mod picture;
#[path = "support/receiver.rs"]
mod receiver;
#[path = "support/server.rs"]
mod server;

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use reqwest::multipart::{Form, Part};
use reqwest::{Client, StatusCode};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use disk::SmallDisk;
use server::{ACCOUNT_HASH, ACCOUNT_ID, API_TOKEN, Server, Settings};

const PHOTO: &[u8] = include_bytes!("pictures/photo.jpg");

fn client() -> Client {
    // Every test of the process installs the same provider; the first wins.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::new()
}

/// Status and body of an upload; `None` if the connection failed.
async fn upload(client: &Client, url: &str, bytes: Vec<u8>) -> Option<(StatusCode, Value)> {
    let form = Form::new().part("file", Part::bytes(bytes).file_name("a.png"));
    let request = client.post(format!("{url}/v1")).bearer_auth(API_TOKEN);
    let response = request.multipart(form).send().await.ok()?;
    let status = response.status();
    Some((status, response.json().await.ok()?))
}

async fn get(client: &Client, url: &str) -> (StatusCode, Value) {
    let response = client.get(url).bearer_auth(API_TOKEN).send().await;
    let response = response.expect("the server answers");
    (
        response.status(),
        response.json().await.expect("an envelope"),
    )
}

/// An answer which was begun before SIGTERM is finished after it.
#[test]
fn sigterm_lets_an_upload_finish() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let settings = || Settings::new().data_dir(&folder.path().join("data"));
    let server = settings().start();
    let picture = picture::gif(b"kept");
    let head = format!(
        "POST /client/v4/accounts/{ACCOUNT_ID}/images/v1 HTTP/1.1\r\nHost: test\r\n\
         Authorization: Bearer {API_TOKEN}\r\nTransfer-Encoding: chunked\r\n\
         Expect: 100-continue\r\n\
         Content-Type: multipart/form-data; boundary=x\r\n\r\n"
    );
    let part = b"--x\r\nContent-Disposition: form-data; name=\"id\"\r\n\r\nkept\r\n\
        --x\r\nContent-Disposition: form-data; name=\"file\"\r\n\r\n";
    let body = [&part[..], &picture, b"\r\n--x--\r\n"].concat();
    let mut stream = TcpStream::connect(server.address()).expect("the server listens");
    stream.write_all(head.as_bytes()).expect("the server reads");
    // The interim answer says that the handler reads the body: the request is under way.
    let mut interim = [0; 25];
    stream.read_exact(&mut interim).expect("an interim answer");
    assert_eq!(&interim, b"HTTP/1.1 100 Continue\r\n\r\n");

    let ending = std::thread::spawn(move || server.terminate());
    let chunk = format!("{:x}\r\n", body.len());
    let rest = [chunk.as_bytes(), &body, b"\r\n0\r\n\r\n"].concat();
    stream.write_all(&rest).expect("the server still reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(answer.contains("\"id\":\"kept\""), "{answer}");
    let status = ending.join().expect("the server ends");
    assert_eq!(status.code(), Some(0));

    let server = settings().start();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let url = format!("{}/v1/kept", server.images_url());
    let (status, _) = runtime.block_on(async { get(&client(), &url).await });
    assert_eq!(status, StatusCode::OK);
}

/// Whoever came before SIGTERM is answered after it, even if nothing was said until then.
#[test]
fn sigterm_lets_those_speak_who_have_come() {
    let server = Server::start();
    let address = server.address().to_owned();
    // More than are accepted before the end.
    let streams = (0..60).map(|_| TcpStream::connect(&address).expect("the server listens"));
    let streams: Vec<TcpStream> = streams.collect();
    let ending = std::thread::spawn(move || server.terminate());
    while TcpStream::connect(&address).is_ok() {
        std::thread::yield_now();
    }
    let paths = [
        "/livez",
        &format!("/client/v4/accounts/{ACCOUNT_ID}/images/v1"),
    ];
    for (mut stream, path) in streams.iter().zip(paths.iter().cycle()) {
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: test\r\nAuthorization: Bearer {API_TOKEN}\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).expect("it is heard");
    }
    for mut stream in streams {
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
    assert_eq!(ending.join().expect("the server ends").code(), Some(0));
}

/// One line for each request, with its id and without secrets; probes are not logged.
#[tokio::test(flavor = "multi_thread")]
async fn every_request_is_logged_without_its_secrets() {
    let server = Server::start();
    let client = client();
    for (path, query) in [
        (
            format!("/{ACCOUNT_HASH}/an%20image/public"),
            "?sig=s3cret&exp=1",
        ),
        (format!("/upload/{ACCOUNT_HASH}/s3cret"), ""),
        ("/livez".to_owned(), ""),
    ] {
        let url = format!("{}{path}{query}", server.url());
        let request = client.get(url).header("x-request-id", "request-7");
        request.send().await.expect("an answer");
    }
    let list = client.get(format!("{}/v1", server.images_url()));
    let list = list.bearer_auth(API_TOKEN).send().await.expect("an answer");
    let minted = list.headers()["x-request-id"].to_str().expect("a text");
    let minted = minted.to_owned();

    let log = server.terminate_for_log();
    assert!(!log.contains("s3cret") && !log.contains(API_TOKEN), "{log}");
    let lines = log
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("a JSON object"));
    let lines: Vec<Value> = lines.filter(|line| line["target"] == "access").collect();
    assert_eq!(lines.len(), 3, "{log}");
    let [delivery, upload, api] = [&lines[0], &lines[1], &lines[2]];
    assert_eq!(delivery["span"]["request_id"], "request-7");
    assert_eq!(delivery["route"], "delivery");
    assert_eq!(delivery["method"], "GET");
    assert_eq!(
        delivery["path"],
        format!("/{ACCOUNT_HASH}/an%20image/public")
    );
    assert_eq!(delivery["status"], 404);
    assert!(delivery["bytes"].as_u64() > Some(10), "{delivery}");
    assert!(delivery["duration_ms"].as_f64() > Some(0.0), "{delivery}");
    assert_eq!(
        (&upload["route"], &upload["path"]),
        (&"upload".into(), &"".into())
    );
    assert_eq!(api["span"]["request_id"], minted.as_str());
}

/// Metrics are nowhere without the setting, and on their own address with it.
#[tokio::test(flavor = "multi_thread")]
async fn metrics_have_an_address_of_their_own() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = free.local_addr().expect("it is bound").to_string();
    drop(free);
    let server = Settings::new().set("metrics-listen", &address).start();
    let page = client().get(format!("http://{address}/metrics")).send();
    let page = page.await.expect("an answer").text().await.expect("a text");
    let build = concat!(
        "calotype_build_info{version=\"",
        env!("CARGO_PKG_VERSION"),
        "\"} 1"
    );
    assert!(page.lines().any(|line| line == build), "{page}");
    assert!(server.terminate().success());
}

/// While an upload fills the memory for uploads, the next one waits for its end.
#[test]
fn uploads_wait_for_memory() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let server = Settings::new()
        .data_dir(&folder.path().join("data"))
        .set("upload-memory-bytes", "100KB")
        .start();
    let body = [
        &b"--x\r\nContent-Disposition: form-data; name=\"file\"\r\n\r\n"[..],
        &picture::gif(b"waits"),
        b"\r\n--x--\r\n",
    ]
    .concat();
    let begin = |length: &str| {
        let mut stream = TcpStream::connect(server.address()).expect("the server listens");
        let head = format!(
            "POST /client/v4/accounts/{ACCOUNT_ID}/images/v1 HTTP/1.1\r\nHost: test\r\n\
             Authorization: Bearer {API_TOKEN}\r\n{length}\r\nExpect: 100-continue\r\n\
             Connection: close\r\nContent-Type: multipart/form-data; boundary=x\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).expect("the server reads");
        stream
    };
    // The interim answer says that an upload was let in.
    let is_let_in = |stream: &mut TcpStream| {
        let mut interim = [0; 25];
        stream.read_exact(&mut interim).expect("an interim answer");
        assert_eq!(&interim, b"HTTP/1.1 100 Continue\r\n\r\n");
    };
    let finish = |mut stream: TcpStream, body: &[u8]| {
        stream.write_all(body).expect("the server reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    };

    // One which does not say how long it is counts as the longest there may be.
    let mut first = begin("Transfer-Encoding: chunked");
    is_let_in(&mut first);
    let mut second = begin(&format!("Content-Length: {}", body.len()));
    let brief = std::time::Duration::from_millis(200);
    second.set_read_timeout(Some(brief)).expect("a timeout");
    assert!(second.read(&mut [0]).is_err(), "the second was let in");
    second.set_read_timeout(None).expect("no timeout");

    let chunk = format!("{:x}\r\n", body.len());
    finish(first, &[chunk.as_bytes(), &body, b"\r\n0\r\n\r\n"].concat());
    is_let_in(&mut second);
    finish(second, &body);
}

/// Under load, SIGTERM ends with 0, and what was acknowledged is there after a restart.
#[tokio::test(flavor = "multi_thread")]
async fn sigterm_under_load_ends_in_order() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let settings = || Settings::new().data_dir(&folder.path().join("data"));
    let server = settings().start();
    let ended = Arc::new(AtomicBool::new(false));
    let (first, mut uploaded) = tokio::sync::mpsc::channel(1_000);
    let clients: Vec<_> = (0..8)
        .map(|number| {
            let (url, ended, first) = (server.images_url(), ended.clone(), first.clone());
            tokio::spawn(async move {
                let client = client();
                let mut acknowledged = Vec::new();
                while !ended.load(Ordering::Relaxed) {
                    let picture = picture::gif(&[number]);
                    let Some((status, body)) = upload(&client, &url, picture).await else {
                        break;
                    };
                    assert_eq!(status, StatusCode::OK, "{body}");
                    acknowledged.push(body["result"]["id"].as_str().expect("an id").to_owned());
                    let _ = first.try_send(());
                }
                acknowledged
            })
        })
        .collect();
    for _ in 0..20 {
        uploaded.recv().await.expect("clients are at work");
    }
    let status = tokio::task::spawn_blocking(move || server.terminate()).await;
    ended.store(true, Ordering::Relaxed);
    assert_eq!(status.expect("the server ends").code(), Some(0));

    let server = settings().start();
    let check = client();
    for client in clients {
        for id in client.await.expect("a client") {
            let (status, _) = get(&check, &format!("{}/v1/{id}", server.images_url())).await;
            assert_eq!(status, StatusCode::OK, "{id}");
        }
    }
}

#[test]
fn a_second_server_on_one_folder_is_refused() {
    let server = Server::start();
    let second = server::program()
        .args(["serve", "--listen", "127.0.0.1:0", "--data-dir"])
        .arg(server.data_dir())
        .output()
        .expect("the built program starts");
    assert_eq!(second.status.code(), Some(1));
    assert!(second.stdout.is_empty());
    let words = String::from_utf8_lossy(&second.stderr);
    assert!(
        words.contains("another Calotype server is using"),
        "{words}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_refuses_uploads_and_recovers() {
    let Some(disk) = SmallDisk::mount_or_skip() else {
        return;
    };
    let server = Settings::new()
        .data_dir(&disk.path().join("data"))
        .set("sweep-interval", "50ms")
        .set("disk-reserve-bytes", "4MiB")
        .start();
    let (client, url) = (client(), server.images_url());
    let mut stored = Vec::new();
    let refusal = loop {
        let picture = picture::gif(&vec![0; 300_000]);
        let (status, body) = upload(&client, &url, picture).await.expect("an answer");
        if status != StatusCode::OK {
            break (status, body);
        }
        stored.push(body["result"]["id"].as_str().expect("an id").to_owned());
        assert!(stored.len() < 200, "the disk does not fill");
    };
    assert!(stored.len() > 3, "{}", stored.len());
    assert_eq!(refusal.0, StatusCode::INSUFFICIENT_STORAGE, "{}", refusal.1);
    assert_eq!(refusal.1["errors"][0]["code"], 5540);
    let (_, stats) = get(&client, &format!("{url}/v1/stats")).await;
    assert_eq!(stats["result"]["count"]["current"], stored.len());

    // Reading goes on, deleting makes room, and then uploading works again.
    for id in &stored {
        let (status, _) = get(&client, &format!("{url}/v1/{id}")).await;
        assert_eq!(status, StatusCode::OK);
    }
    for id in &stored[..stored.len() / 2] {
        let request = client
            .delete(format!("{url}/v1/{id}"))
            .bearer_auth(API_TOKEN);
        let status = request.send().await.expect("an answer").status();
        assert_eq!(status, StatusCode::OK);
    }
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
    loop {
        let picture = picture::gif(&vec![0; 300_000]);
        let (status, body) = upload(&client, &url, picture).await.expect("an answer");
        if status == StatusCode::OK {
            break;
        }
        assert!(std::time::Instant::now() < deadline, "{status} {body}");
        tokio::task::yield_now().await;
    }
}

/// What was fetched, what is known of it and what was made of it outlive the process.
#[tokio::test(flavor = "multi_thread")]
async fn a_remote_image_survives_a_restart_without_its_origin() {
    let origin = origin::Origin::of("ETag: \"v1\"\r\n", PHOTO).await;
    let folder = tempfile::tempdir().expect("a temporary folder");
    let start = || {
        Settings::new()
            .data_dir(&folder.path().join("data"))
            .set("zones", "http://zone.test")
            .set("source-hosts", &format!("zone.test={}", origin.address))
            .start()
    };
    let client = client();
    let get = async |server: &Server, options: &str| {
        let url = format!("{}/cdn-cgi/image/{options}/a.jpg", server.url());
        let request = client.get(url).header("host", "zone.test");
        let answer = request.send().await.expect("an answer");
        assert_eq!(answer.status(), StatusCode::OK);
        let state = answer.headers()["cf-resized"].to_str().expect("a text");
        let state = state.split(' ').next().unwrap_or_default().to_owned();
        (state, answer.bytes().await.expect("a body"))
    };
    let server = start();
    let (state, first) = get(&server, "width=20").await;
    assert_eq!(state, "internal=ok/m");
    server.kill9();

    let server = start();
    let (state, again) = get(&server, "width=20").await;
    assert_eq!((state.as_str(), again), ("internal=ok/h", first));
    let (state, _) = get(&server, "width=30").await;
    assert_eq!(state, "internal=ok/h");
    assert_eq!(origin.targets(), ["/a.jpg"]);
}

/// Whoever watches the server is answered though every connection is taken, and who waits has the next
/// one which is free.
#[tokio::test(flavor = "multi_thread")]
async fn health_is_answered_when_no_connection_is_free() {
    let server = Settings::new().set("connections-max", "2").start();
    let address = server.url().strip_prefix("http://").expect("an address");
    let ask = async || {
        let mut stream = tokio::net::TcpStream::connect(address)
            .await
            .expect("a connection");
        let request = b"GET /none HTTP/1.1\r\nHost: test\r\n\r\n";
        stream.write_all(request).await.expect("it is sent");
        stream
    };
    let mut taken = Vec::new();
    for _ in 0..2 {
        let mut stream = ask().await;
        let mut start = [0; 12];
        stream.read_exact(&mut start).await.expect("an answer");
        assert_eq!(&start, b"HTTP/1.1 404");
        taken.push(stream);
    }
    let mut waiting = ask().await;
    for path in ["livez", "readyz", "health"] {
        let url = format!("{}/{path}", server.url());
        let health = client().get(url).send().await.expect("an answer");
        assert_eq!(health.status(), StatusCode::OK, "{path}");
    }
    let early = waiting.try_read(&mut [0; 1]);
    assert_eq!(
        early.expect_err("nobody is free").kind(),
        ErrorKind::WouldBlock
    );
    drop(taken);
    let mut start = [0; 12];
    waiting.read_exact(&mut start).await.expect("an answer");
    assert_eq!(&start, b"HTTP/1.1 404");
}

/// Row 39: many more giants than can be rendered, from many clients: whoever is not served is told when to come
/// again, health answers all the time, and when the clients have left, the server is as new.
#[tokio::test(flavor = "multi_thread")]
async fn under_overload_health_answers_and_the_rest_is_told_to_wait() {
    const CLIENTS: usize = 300;
    let server = Settings::new()
        .set("render-threads", "2")
        .set("render-queue", "16")
        .start();
    let (client, images) = (client(), server.images_url());
    let config = client.patch(format!("{images}/v1/config"));
    let config = config.bearer_auth(API_TOKEN);
    let config = config.json(&serde_json::json!({"flexible_variants": true}));
    assert!(
        config
            .send()
            .await
            .expect("an answer")
            .status()
            .is_success()
    );
    let animation = include_bytes!("pictures/animated.gif").to_vec();
    let (_, uploaded) = upload(&client, &images, animation)
        .await
        .expect("an answer");
    let id = uploaded["result"]["id"].as_str().expect("an id").to_owned();
    let base = format!("{}/{ACCOUNT_HASH}/{id}", server.url());

    let giants: Vec<_> = (0..CLIENTS)
        .map(|number| {
            let width = 2_000 + number;
            let url = format!("{base}/width={width},height=2000,fit=cover,format=webp");
            tokio::spawn(client.get(url).send())
        })
        .collect();
    let (mut refused, mut waiting) = (0, Vec::new());
    let mut giants = giants.into_iter();
    // Of three hundred, at most a few dozen fit into lanes and queue.
    while refused < CLIENTS / 2 {
        let live = client.get(format!("{}/livez", server.url())).send().await;
        assert_eq!(live.expect("an answer").status(), StatusCode::OK);
        let ready = client.get(format!("{}/readyz", server.url())).send().await;
        assert_eq!(ready.expect("an answer").status(), StatusCode::OK);
        let mut giant = giants.next().expect("more than half are refused");
        let brief = std::time::Duration::from_millis(100);
        let Ok(answer) = tokio::time::timeout(brief, &mut giant).await else {
            waiting.push(giant);
            continue;
        };
        let answer = answer
            .expect("it does not panic")
            .expect("no connection breaks");
        if answer.status() == StatusCode::OK {
            continue;
        }
        assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert!(answer.headers().contains_key("retry-after"));
        let text = answer.text().await.expect("a text");
        assert!(
            text.starts_with("ERROR 9527") || text.starts_with("ERROR 9522"),
            "{text}"
        );
        refused += 1;
    }
    for giant in waiting.into_iter().chain(giants) {
        giant.abort();
    }
    let thumbnail = client
        .get(format!("{base}/width=20,anim=false"))
        .send()
        .await;
    let thumbnail = thumbnail.expect("an answer");
    assert_eq!(thumbnail.status(), StatusCode::OK);
    assert!(server.terminate().success());
}

/// A host of its own for one-time uploads, by whatever name.
#[tokio::test(flavor = "multi_thread")]
async fn one_time_uploads_have_the_host_which_is_named() {
    let server = Settings::new()
        .set("public-url", "http://images.test")
        .set("upload-url", "http://u.test")
        .start();
    let client = client();
    let draft = client.post(format!("{}/v2/direct_upload", server.images_url()));
    let draft = draft.bearer_auth(API_TOKEN).multipart(Form::new()).send();
    let draft: Value = draft.await.expect("an answer").json().await.expect("JSON");
    let url = draft["result"]["uploadURL"].as_str().expect("an address");
    let path = url.strip_prefix("http://u.test").expect("the host");
    let form = Form::new().part("file", Part::bytes(PHOTO).file_name("a.jpg"));
    let upload = client.post(format!("{}{path}", server.url()));
    let upload = upload.header("host", "u.test").multipart(form).send().await;
    assert_eq!(upload.expect("an answer").status(), StatusCode::OK);
    // Pictures are delivered elsewhere.
    let deliver = async |host: &str| {
        let request = client.get(format!("{}{path}/public", server.url()));
        let answer = request.header("host", host).send().await;
        answer.expect("an answer").status()
    };
    assert_eq!(deliver("images.test").await, StatusCode::OK);
    assert_ne!(deliver("u.test").await, StatusCode::OK);
}

/// The answer is out, the server dies: what the answer promised is told after the next start.
#[tokio::test(flavor = "multi_thread")]
async fn an_upload_is_told_although_the_server_dies_behind_its_answer() {
    let folder = tempfile::tempdir().unwrap();
    let start = || {
        let settings = Settings::new().data_dir(folder.path());
        settings.set("allow-private-sources", "true").start()
    };
    let (client, receiver) = (client(), receiver::Receiver::start().await);
    let mut server = start();
    let call = async |path: &str, body: Value| {
        let url = format!("{}/alerting/v3/{path}", server.account_url());
        let request = client.post(url).bearer_auth(API_TOKEN).json(&body);
        let answer: Value = request.send().await.unwrap().json().await.unwrap();
        answer["result"]["id"].as_str().unwrap().to_owned()
    };
    let hook = serde_json::json!({ "name": "hook", "url": receiver.url });
    let hook = call("destinations/webhooks", hook).await;
    let policy = serde_json::json!({
        "name": "uploads", "enabled": true, "alert_type": "image_notification",
        "mechanisms": { "webhooks": [{ "id": hook }] },
    });
    call("policies", policy).await;
    let mut uploaded = Vec::new();
    for _ in 0..5 {
        let url = format!("{}/v2/direct_upload", server.images_url());
        let request = client.post(url).bearer_auth(API_TOKEN);
        let answer = request.multipart(Form::new()).send().await.unwrap();
        let draft: Value = answer.json().await.unwrap();
        uploaded.push(draft["result"]["id"].as_str().unwrap().to_owned());
        let url = draft["result"]["uploadURL"].as_str().unwrap();
        let part = Part::bytes(picture::gif(b"cat")).file_name("a.gif");
        let form = Form::new().part("file", part);
        let answer = client.post(url).multipart(form).send().await.unwrap();
        assert_eq!(answer.status(), 200);
        server.kill9();
        server = start();
    }
    uploaded.sort_unstable();
    let mut messages = receiver.messages();
    while {
        let told = messages[1..].iter().map(receiver::Message::image);
        let mut told: Vec<&str> = told.collect();
        told.sort_unstable();
        told.dedup();
        told != uploaded
    } {
        messages = receiver.wait_for(messages.len() + 1).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_address_of_a_webhook_is_in_no_log() {
    let settings = Settings::new().set("allow-private-sources", "true");
    let server = settings.set("log", "debug").start();
    let url = format!("{}/alerting/v3/destinations/webhooks", server.account_url());
    let hook = serde_json::json!({
        "name": "hook", "url": "http://127.0.0.1:1/sesame?open=sesame", "secret": "sesame",
    });
    let request = client().post(url).bearer_auth(API_TOKEN).json(&hook);
    assert_eq!(request.send().await.unwrap().status(), 400);
    let log = server.terminate_for_log();
    assert!(log.contains("a webhook cannot be reached"), "{log}");
    assert!(!log.contains("sesame"), "{log}");
}
