//! What is no HTTP, or too much of it, while others are served.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::harness::{PHOTO, Server, Wishes};

/// The longest any of these attacks may take until the server has rid itself of it.
pub(crate) const DEADLINE: Duration = Duration::from_mins(2);

pub(crate) async fn connect(server: &Server) -> TcpStream {
    let address = server.url.strip_prefix("http://").unwrap();
    TcpStream::connect(address).await.unwrap()
}

/// All that the server says to these bytes until it closes; nothing more follows them.
async fn say(server: &Server, bytes: &[u8]) -> Vec<u8> {
    let mut stream = connect(server).await;
    // The server may refuse and close before everything is sent.
    let _ = stream.write_all(bytes).await;
    let _ = stream.shutdown().await;
    read_all(&mut stream).await
}

/// What comes until the other side closes, or breaks off.
pub(crate) async fn read_all(stream: &mut TcpStream) -> Vec<u8> {
    let mut all = Vec::new();
    let mut piece = [0; 4096];
    let reading = async {
        while let Ok(count @ 1..) = stream.read(&mut piece).await {
            all.extend_from_slice(&piece[..count]);
        }
    };
    timeout(DEADLINE, reading).await.expect("the server closes");
    all
}

/// The statuses of all final answers.
fn statuses(answers: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(answers);
    let answers = text.split("HTTP/1.1 ").skip(1);
    let statuses = answers.map(|answer| answer[..3].to_owned());
    statuses.filter(|status| status != "100").collect()
}

/// Attacks while another client asks for a picture and for health, of which every answer is right.
pub(crate) async fn beside<T>(server: &Server, attack: impl Future<Output = T>) -> T {
    let id = server.upload(PHOTO, &[]).await;
    let path = format!("/{}/{id}/public", server.account.hash);
    let get =
        |path: &str| format!("GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
    let known = say(server, get(&path).as_bytes()).await;
    let body_of = |answer: &[u8]| {
        let end = answer.windows(4).position(|four| four == b"\r\n\r\n");
        answer[end.unwrap()..].to_vec()
    };
    let is_over = AtomicBool::new(false);
    let attack = async {
        let result = timeout(DEADLINE, attack).await;
        is_over.store(true, Ordering::Relaxed);
        result.expect("the attack is over")
    };
    let other = async {
        loop {
            let last = is_over.load(Ordering::Relaxed);
            let picture = say(server, get(&path).as_bytes()).await;
            assert_eq!(statuses(&picture), ["200"]);
            assert_eq!(body_of(&picture), body_of(&known));
            let health = say(server, get("/livez").as_bytes()).await;
            assert_eq!(statuses(&health), ["200"]);
            if last {
                break;
            }
        }
    };
    tokio::join!(attack, other).0
}

/// Row 33: each of these asks for something with a body, in which some see another request. Whoever reads
/// it must not be in doubt where it ends.
#[tokio::test(flavor = "multi_thread")]
async fn no_request_is_smuggled_in_the_body_of_another() {
    const HIDDEN: &str = "GET /hidden HTTP/1.1\r\nHost: test\r\n\r\n";
    let server = Server::start().await;
    let chunk = format!("{:x}\r\n{HIDDEN}\r\n0\r\n\r\n", HIDDEN.len());
    let ended = format!("0\r\n\r\n{HIDDEN}");
    let long = HIDDEN.len();
    let (chunk, ended) = (chunk.as_str(), ended.as_str());
    let (refused, one): (&[&str], &[&str]) = (&["400"], &["404"]);
    let cases = [
        // Two lengths.
        (
            format!("Content-Length: 0\r\nContent-Length: {long}"),
            HIDDEN,
            refused,
        ),
        (
            format!("Content-Length: {long}\r\nContent-Length: 0"),
            HIDDEN,
            refused,
        ),
        (format!("Content-Length: 0, {long}"), HIDDEN, refused),
        (
            format!("Content-Length: {long}\r\nContent-Length: {long}"),
            HIDDEN,
            one,
        ),
        // Lengths which are none.
        ("Content-Length: +0".to_owned(), HIDDEN, refused),
        ("Content-Length: -0".to_owned(), HIDDEN, refused),
        ("Content-Length: 0x0".to_owned(), HIDDEN, refused),
        ("Content-Length: 0 0".to_owned(), HIDDEN, refused),
        ("Content-Length: ".to_owned(), HIDDEN, refused),
        (
            "Content-Length: 18446744073709551616".to_owned(),
            HIDDEN,
            refused,
        ),
        // CL.TE and TE.CL: chunks count, and the connection ends (RFC 9112, section 6.1).
        (
            format!(
                "Content-Length: {}\r\nTransfer-Encoding: chunked",
                ended.len()
            ),
            ended,
            one,
        ),
        (
            format!(
                "Transfer-Encoding: chunked\r\nContent-Length: {}",
                ended.len()
            ),
            ended,
            one,
        ),
        (
            "Content-Length: 4\r\nTransfer-Encoding: chunked".to_owned(),
            chunk,
            one,
        ),
        (
            "Transfer-Encoding: chunked\r\nContent-Length: 4".to_owned(),
            chunk,
            one,
        ),
        ("Transfer-Encoding: CHUNKED".to_owned(), chunk, one),
        // TE.TE: codings which are not what they seem.
        ("Transfer-Encoding: xchunked".to_owned(), chunk, refused),
        (
            "Transfer-Encoding: chunked, identity".to_owned(),
            chunk,
            refused,
        ),
        ("Transfer-Encoding: identity".to_owned(), chunk, refused),
        (
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: x".to_owned(),
            chunk,
            refused,
        ),
        ("Transfer-Encoding: \u{b}chunked".to_owned(), chunk, refused),
        ("Transfer-Encoding: \"chunked\"".to_owned(), chunk, refused),
        ("Transfer-Encoding: chunked;x=y".to_owned(), chunk, refused),
        // Headers which some see and some do not.
        ("Transfer-Encoding : chunked".to_owned(), chunk, refused),
        ("Transfer-Encoding\t: chunked".to_owned(), chunk, refused),
        (format!("Content-Length : {long}"), HIDDEN, refused),
        (" Content-Length: 0".to_owned(), HIDDEN, refused),
        (
            "X: y\r\n Transfer-Encoding: chunked".to_owned(),
            chunk,
            refused,
        ),
        ("Transfer-Encoding:\r\n chunked".to_owned(), chunk, refused),
        (format!("Content-Length:\r\n\t{long}"), HIDDEN, refused),
        (
            "X: y\rTransfer-Encoding: chunked".to_owned(),
            chunk,
            refused,
        ),
        (
            "X: y\0Transfer-Encoding: chunked".to_owned(),
            chunk,
            refused,
        ),
        ("\u{b}Transfer-Encoding: chunked".to_owned(), chunk, refused),
        ("no colon".to_owned(), HIDDEN, refused),
    ];
    for (headers, body, expected) in cases {
        let request = format!("GET /asked HTTP/1.1\r\nHost: test\r\n{headers}\r\n\r\n{body}");
        let answers = say(&server, request.as_bytes()).await;
        assert_eq!(statuses(&answers), expected, "{headers:?}");
    }
    let old = format!("GET /asked HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n{chunk}");
    assert_eq!(statuses(&say(&server, old.as_bytes()).await), refused);
    // A line which ends without a carriage return ends for everybody, and so does what it says.
    let bare = format!("GET /asked HTTP/1.1\nHost: test\nContent-Length: {long}\n\n{HIDDEN}");
    let answers = statuses(&say(&server, bare.as_bytes()).await);
    assert!(answers == one || answers == refused, "{answers:?}");
}

/// Row 33: a body whose chunks are wrong ends the connection, whatever follows.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_read_behind_broken_chunks() {
    const HIDDEN: &str = "GET /hidden HTTP/1.1\r\nHost: test\r\n\r\n";
    let server = Server::start().await;
    let flood = format!("1;{}\r\nx\r\n0\r\n\r\n", "x".repeat(1 << 20));
    for chunks in [
        "0x0\r\n\r\n",
        "+0\r\n\r\n",
        "-1\r\n\r\n",
        "1 1\r\nxx\r\n0\r\n\r\n",
        "\r\n0\r\n\r\n",
        "fffffffffffffffff\r\n",
        "10000000000000000\r\n",
        "1\r\nxx0\r\n\r\n",
        "1\nx\r\n0\r\n\r\n",
        "1\r\nx\n0\r\n\r\n",
        "1;a\nb\r\nx\r\n0\r\n\r\n",
        "1;a\n0\r\n\r\n",
        "g\r\n\r\n",
        "0\r\nno colon\r\n\r\n",
        &flood,
    ] {
        // A form is read to its end before it is judged.
        let head =
            "Content-Type: multipart/form-data; boundary=x\r\nTransfer-Encoding: chunked\r\n";
        let head = server.head("POST", "images/v1", head);
        let answers = say(&server, format!("{head}{chunks}{HIDDEN}").as_bytes()).await;
        let shown = &chunks[..chunks.len().min(30)];
        assert_eq!(statuses(&answers), ["400"], "{shown:?}");
    }
}

/// Row 33.
#[tokio::test(flavor = "multi_thread")]
async fn heads_without_measure_are_refused() {
    let server = Server::start().await;
    let many = |count: usize, header: &str| format!("{}\r\n", header.repeat(count));
    beside(
        &server,
        Box::pin(async {
            for (line, headers, expected) in [
                (
                    "GET /livez",
                    format!("X: {}\r\n\r\n", "x".repeat(1 << 20)),
                    "431",
                ),
                (
                    "GET /livez",
                    format!("{}: x\r\n\r\n", "x".repeat(1 << 20)),
                    "431",
                ),
                ("GET /livez", many(100_000, "X: x\r\n"), "431"),
                ("GET /livez", many(101, "X: x\r\n"), "431"),
                (
                    format!("GET /{}", "x".repeat(1 << 20)).as_str(),
                    "\r\n".to_owned(),
                    "431",
                ),
                (
                    format!("GET /{}", "x".repeat(70_000)).as_str(),
                    "\r\n".to_owned(),
                    "414",
                ),
            ] {
                let request = format!("{line} HTTP/1.1\r\n{headers}");
                let answers = statuses(&say(&server, request.as_bytes()).await);
                // Who still sends may find the connection closed before the answer.
                let is_refused =
                    answers == [expected] || answers.is_empty() && request.len() > 400_000;
                assert!(is_refused, "{} bytes: {answers:?}", request.len());
            }
        }),
    )
    .await;
}

/// Row 33: more clients than there are places begin a request and never end it.
#[tokio::test(flavor = "multi_thread")]
async fn slow_clients_lose_their_places() {
    const CLIENTS: usize = 400;
    let server = Server::with(Wishes {
        connections_max: CLIENTS / 2,
        // The client beside them has to end its requests in this time as well.
        header_timeout: Duration::from_secs(3),
        ..Wishes::default()
    })
    .await;
    let begin = async |number: usize| {
        let mut stream = connect(&server).await;
        let said = ["", "G", "PRI", "GET /livez HTTP/1.1\r\nX-Slow: "][number % 4];
        let _ = stream.write_all(said.as_bytes()).await;
        stream
    };
    let mut streams = Vec::new();
    for number in 0..CLIENTS {
        streams.push(begin(number).await);
    }
    beside(
        &server,
        Box::pin(async {
            // They go on a byte at a time until every one of them was given up.
            while !streams.is_empty() {
                let mut patient = Vec::new();
                for mut stream in streams {
                    let is_there = match stream.try_read(&mut [0; 64]) {
                        Ok(count) => count > 0,
                        Err(error) => error.kind() == std::io::ErrorKind::WouldBlock,
                    };
                    let byte = if is_there {
                        stream.write_all(b"x").await
                    } else {
                        continue;
                    };
                    if byte.is_ok() {
                        patient.push(stream);
                    }
                }
                streams = patient;
                // Who is served beside them needs the processor more.
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }),
    )
    .await;
}

/// A proxy may read the one, and this server the other.
#[tokio::test(flavor = "multi_thread")]
async fn a_request_names_one_host() {
    let server = Server::start().await;
    let id = server.upload(PHOTO, &[]).await;
    let picture = format!("/{}/{id}/public", server.account.hash);
    let ask = async |path: &str, hosts: &str| {
        let request = format!("GET {path} HTTP/1.1\r\n{hosts}Connection: close\r\n\r\n");
        statuses(&say(&server, request.as_bytes()).await)
    };
    // Asked for so often that its answer is ready.
    for _ in 0..4 {
        assert_eq!(ask(&picture, "Host: a.test\r\n").await, ["200"]);
    }
    for path in [&*picture, "/client/v4/accounts", "/none"] {
        let twice = ask(path, "Host: a.test\r\nHost: b.test\r\n").await;
        assert_eq!(twice, ["400"], "{path}");
    }
}
