//! Clients which leave before their answer, and clients which only have nothing more to say.

use std::net::SocketAddr;

use model::VariantName;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::harness::{ANIMATED, PHOTO, Server, Wishes};
use crate::origin::{Act, Origin, http};
use crate::until::until;

const INTERIM: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

fn address(server: &Server) -> SocketAddr {
    server.url.strip_prefix("http://").unwrap().parse().unwrap()
}

/// A connection on which this was asked.
async fn ask(server: &Server, version: &str, host: &str, path: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address(server)).await.unwrap();
    let head = format!("GET {path} HTTP/{version}\r\nHost: {host}\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    stream
}

/// An origin which keeps everybody waiting, asked once by a client of this version.
async fn waiting(version: &str) -> (Origin, Server, TcpStream) {
    let origin = Origin::start(|_| Act::Wait(http("200 OK", "", PHOTO))).await;
    let wishes = Wishes::zones("zone.test", &[("zone.test", &origin)]);
    let server = Server::with(wishes).await;
    let stream = ask(&server, version, "zone.test", "/cdn-cgi/image/width=5/a").await;
    until(async || !origin.targets().is_empty()).await;
    (origin, server, stream)
}

/// How many renderings ended so.
fn outcomes(server: &Server, wanted: &str) -> u64 {
    let rendered = server.service.meters().rendered();
    let counts = rendered.filter(|(_, outcome, _)| *outcome == wanted);
    counts.map(|(_, _, count)| count).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_said_all_still_gets_the_answer() {
    let (origin, _server, mut stream) = waiting("1.1").await;
    stream.shutdown().await.unwrap();
    let mut interim = [0; INTERIM.len()];
    stream.read_exact(&mut interim).await.unwrap();
    assert_eq!(interim, INTERIM);
    origin.open_gate();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    let head = String::from_utf8_lossy(&answer);
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    assert_eq!(answer[answer.len() - 2..], [0xff, 0xd9], "a whole JPEG");
}

/// A client library which knows nothing of it skips the interim answer.
#[tokio::test(flavor = "multi_thread")]
async fn who_closes_while_an_origin_is_silent_frees_its_place() {
    for version in ["1.0", "1.1"] {
        let origin = Origin::start(|asked| match asked.target() {
            "/good" => Act::Say(http("200 OK", "", PHOTO)),
            _ => Act::Stall(Vec::new()),
        })
        .await;
        let mut wishes = Wishes::zones("zone.test", &[("zone.test", &origin)]);
        wishes.remote.fetches_per_host = 1;
        wishes.remote.head_timeout = std::time::Duration::from_mins(10);
        let server = Server::with(wishes).await;
        let stream = ask(
            &server,
            version,
            "zone.test",
            "/cdn-cgi/image/width=5/silent",
        )
        .await;
        until(async || !origin.targets().is_empty()).await;
        drop(stream);
        let good = server.remote("/width=5/good", &[]).await;
        assert_eq!(good.status, 200, "HTTP/{version}: {}", good.text());
    }
}

/// What nobody waits for any more is not begun, and what runs is stopped.
#[tokio::test(flavor = "multi_thread")]
async fn many_who_leave_do_not_keep_the_renderer_busy() {
    const CLIENTS: usize = 40;
    let server = Server::start().await;
    let id = server.upload(ANIMATED, &[]).await;
    server
        .json(
            reqwest::Method::PATCH,
            "images/v1/config",
            &serde_json::json!({"flexible_variants": true}),
        )
        .await
        .result();
    let hash = &server.account.hash;
    // Some seconds each: an animation of four megapixels.
    let slow = |number: usize| {
        let width = 2_000 + number;
        format!("/{hash}/{id}/width={width},height=2000,fit=cover,format=webp")
    };
    let mut streams = Vec::new();
    for number in 0..CLIENTS {
        streams.push(ask(&server, "1.1", "test", &slow(number)).await);
    }
    let is_busy = || {
        let lanes = server.service.lanes().into_iter();
        let jobs = lanes.map(|(_, lane)| lane.running() + lane.waiting());
        jobs.sum::<usize>()
    };
    until(async || is_busy() >= CLIENTS / 2).await;
    drop(streams);
    let variant = VariantName::public();
    let thumbnail = server.deliver(&format!("{id}/{variant}"), &[]).await;
    assert_eq!(thumbnail.status, 200);
    let all = CLIENTS as u64 + 1;
    until(async || outcomes(&server, "cancelled") + outcomes(&server, "ok") >= all).await;
    until(async || is_busy() == 0).await;
    // Those which ran when the clients left may have been done just then.
    let done = outcomes(&server, "ok");
    assert!(done <= CLIENTS as u64 / 4, "{done} were made for nobody");
}
