//! Frames of HTTP/2 which no client would send, or not so many of them.

use reqwest::Method;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::harness::{ANIMATED, Server};
use crate::protocol_attacks::{DEADLINE, beside, connect, read_all};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

// Kinds of frames and their flags (RFC 9113, section 6).
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// The first byte of the headers of an answer: `:status: 200` (RFC 7541, appendix A).
const OK: u8 = 0x88;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u32).to_be_bytes();
    let stream = stream.to_be_bytes();
    [&length[1..], &[kind, flags], &stream, payload].concat()
}

/// Headers which are written out, not compressed.
fn fields(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name, value] {
            block.push(u8::try_from(text.len()).unwrap());
            block.extend(text.bytes());
        }
    }
    block
}

fn get(path: &str) -> Vec<u8> {
    let host = (":authority", "test");
    fields(&[
        (":method", "GET"),
        (":scheme", "http"),
        host,
        (":path", path),
    ])
}

async fn begin(server: &Server) -> TcpStream {
    let mut stream = connect(server).await;
    let hello = [PREFACE, &frame(SETTINGS, 0, 0, &[])].concat();
    stream.write_all(&hello).await.unwrap();
    stream
}

/// Whether stream 1 was answered or refused, and whether with a success.
fn answered(mut bytes: &[u8]) -> Option<bool> {
    while let Some((head, rest)) = bytes.split_first_chunk::<9>() {
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let (payload, behind) = rest.split_at_checked(length)?;
        if head[3] == HEADERS && head[5..] == [0, 0, 0, 1] {
            return Some(payload[0] == OK);
        }
        if head[3] == GOAWAY || (head[3] == RST_STREAM && head[5..] == [0, 0, 0, 1]) {
            return Some(false);
        }
        bytes = behind;
    }
    None
}

/// Row 33: what would be two requests behind a server which speaks HTTP/1 to others is none here.
#[tokio::test(flavor = "multi_thread")]
async fn requests_which_are_none_are_not_answered() {
    let server = Server::start().await;
    let with = |name: &str, value: &str| [get("/livez"), fields(&[(name, value)])].concat();
    let ask = async |block: &[u8], data: &[u8]| {
        let mut stream = begin(&server).await;
        let flags = if data.is_empty() { END_STREAM } else { 0 };
        let mut frames = frame(HEADERS, flags | END_HEADERS, 1, block);
        if !data.is_empty() {
            frames.extend(frame(DATA, END_STREAM, 1, data));
        }
        let _ = stream.write_all(&frames).await;
        let mut bytes = Vec::new();
        while answered(&bytes).is_none() {
            if stream.read_buf(&mut bytes).await.unwrap_or(0) == 0 {
                break;
            }
        }
        answered(&bytes)
    };
    assert_eq!(ask(&get("/livez"), b"").await, Some(true));
    assert_eq!(ask(&with("content-length", "1"), b"x").await, Some(true));
    for block in [
        with("transfer-encoding", "chunked"),
        with("connection", "keep-alive"),
        with("upgrade", "websocket"),
        with("Upper", "case"),
        with("a b", "c"),
        with("a:b", "c"),
        with("a\r\nb", "c"),
        with("a", "b\r\nTransfer-Encoding: chunked\r\n\r\n"),
        with("a", "b\nGET /hidden HTTP/1.1"),
        with("a", "b\0c"),
        with(":path", "/livez"),
        with(":method", "GET"),
        with(":unknown", "x"),
        with(":status", "200"),
        with("content-length", "5"),
        with("content-length", "x"),
        get("/livez HTTP/1.1\r\nX: y"),
        get("/li vez"),
        get(""),
        fields(&[(":method", "GET"), (":scheme", "http")]),
        fields(&[(":scheme", "http"), (":path", "/livez")]),
        [fields(&[("a", "b")]), get("/livez")].concat(),
        // No such entry of the table, and a length without end.
        vec![0xff, 0xff, 0xff, 0xff, 0x0f],
        [get("/livez"), vec![0, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff]].concat(),
    ] {
        let answer = ask(&block, b"").await;
        let shown = String::from_utf8_lossy(&block);
        assert_ne!(answer, Some(true), "{shown:?}");
    }
}

/// Row 33: requests which are taken back at once, each for seconds of work.
#[tokio::test(flavor = "multi_thread")]
async fn requests_which_are_taken_back_leave_nothing_behind() {
    let server = Server::start().await;
    let flexible = json!({"flexible_variants": true});
    let config = server.json(Method::PATCH, "images/v1/config", &flexible);
    config.await.result();
    let id = server.upload(ANIMATED, &[]).await;
    let hash = &server.account.hash;
    beside(
        &server,
        Box::pin(async {
            let mut stream = begin(&server).await;
            for batch in 0..20 {
                let mut frames = Vec::new();
                for number in batch * 1_000..(batch + 1) * 1_000 {
                    let (path, stream) = (
                        format!(
                            "/{hash}/{id}/width={},height=2000,fit=cover",
                            1_000 + number
                        ),
                        2 * number + 1,
                    );
                    frames.extend(frame(
                        HEADERS,
                        END_STREAM | END_HEADERS,
                        stream,
                        &get(&path),
                    ));
                    frames.extend(frame(RST_STREAM, 0, stream, &[0, 0, 0, 8]));
                }
                // The server may have had enough.
                if stream.write_all(&frames).await.is_err() {
                    break;
                }
            }
            let _ = stream.shutdown().await;
            read_all(&mut stream).await;
        }),
    )
    .await;
    let is_busy = || {
        let lanes = server.service.lanes().into_iter();
        lanes
            .map(|(_, lane)| lane.running() + lane.waiting())
            .sum::<usize>()
            > 0
    };
    let idle = async {
        while is_busy() {
            tokio::task::yield_now().await;
        }
    };
    timeout(DEADLINE, idle).await.expect("the work is stopped");
    let made: u64 = server
        .service
        .meters()
        .rendered()
        .map(|(_, outcome, count)| if outcome == "ok" { count } else { 0 })
        .sum();
    assert!(made < 50, "{made} were made for nobody");
}

/// Row 33: the server ends each of these, while the client would go on.
#[tokio::test(flavor = "multi_thread")]
async fn floods_of_frames_are_ended() {
    let server = Server::start().await;
    let head = |flags: u8| frame(HEADERS, flags, 1, &get("/livez"));
    let header = fields(&[("x", "x")]);
    let floods = [
        // Headers which never end: nothing, a byte, and as much as a frame holds.
        (head(END_STREAM), frame(CONTINUATION, 0, 1, &[])),
        (head(END_STREAM), frame(CONTINUATION, 0, 1, &header)),
        (
            head(END_STREAM),
            frame(CONTINUATION, 0, 1, &header.repeat(3_000)),
        ),
        // Empty data, and answers which nobody reads.
        (head(END_HEADERS), frame(DATA, 0, 1, &[])),
        (Vec::new(), frame(CONTINUATION, END_HEADERS, 1, &header)),
        (Vec::new(), frame(PING, 0, 1, &[0; 8])),
        (Vec::new(), frame(SETTINGS, 0, 0, &[0; 5])),
        (Vec::new(), frame(DATA, 0, 2, &[0; 9])),
    ];
    beside(
        &server,
        Box::pin(async {
            for (first, again) in floods {
                let mut stream = begin(&server).await;
                let _ = stream.write_all(&first).await;
                let many = again.repeat((1 << 20) / again.len());
                let flood = async { while stream.write_all(&many).await.is_ok() {} };
                let ended = timeout(DEADLINE, flood).await;
                assert!(ended.is_ok(), "{:?}", &again[..9]);
            }
        }),
    )
    .await;
}
