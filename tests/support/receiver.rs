//! A receiver of webhooks on loopback: it writes down what it is sent and answers with a status.

#![allow(dead_code, reason = "each test program uses a part of it")]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// A request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    /// Request line and headers.
    pub(crate) head: String,
    /// The body, parsed.
    pub(crate) json: Value,
}

impl Message {
    /// A header, or the empty text.
    pub(crate) fn header(&self, name: &str) -> &str {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(':'));
        let found = lines.find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map_or("", |(_, value)| value.trim())
    }

    /// The image which it tells of.
    pub(crate) fn image(&self) -> &str {
        self.json["data"]["image_id"].as_str().unwrap_or_default()
    }
}

/// A running receiver.
pub(crate) struct Receiver {
    /// Where messages go.
    pub(crate) url: String,
    status: Arc<Mutex<&'static str>>,
    messages: watch::Sender<Vec<Message>>,
}

impl Receiver {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hook?a=1", listener.local_addr().unwrap());
        let receiver = Self {
            url,
            status: Arc::new(Mutex::new("204 No Content")),
            messages: watch::channel(Vec::new()).0,
        };
        let (status, messages) = (receiver.status.clone(), receiver.messages.clone());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (status, messages) = (status.clone(), messages.clone());
                tokio::spawn(async move {
                    let _ = serve(stream, &status, &messages).await;
                });
            }
        });
        receiver
    }

    /// Answers with this from now on, such as `500 Internal Server Error`.
    pub(crate) fn answer(&self, status: &'static str) {
        *self.status.lock().unwrap() = status;
    }

    /// Answers nothing from now on, and keeps the connections.
    pub(crate) fn stall(&self) {
        self.answer("");
    }

    /// Everything so far.
    pub(crate) fn messages(&self) -> Vec<Message> {
        self.messages.borrow().clone()
    }

    /// Waits until so many have come.
    pub(crate) async fn wait_for(&self, count: usize) -> Vec<Message> {
        let mut changes = self.messages.subscribe();
        let waited = changes.wait_for(|messages| messages.len() >= count);
        let come = tokio::time::timeout(Duration::from_mins(3), waited).await;
        let Ok(messages) = come else {
            panic!("no {count} messages: {:?}", self.messages());
        };
        messages.unwrap().clone()
    }
}

async fn serve(
    mut stream: TcpStream,
    status: &Mutex<&'static str>,
    messages: &watch::Sender<Vec<Message>>,
) -> std::io::Result<()> {
    let mut bytes = Vec::new();
    let mut piece = [0; 4_096];
    let (head, body) = loop {
        let count = stream.read(&mut piece).await?;
        if count == 0 {
            return Ok(());
        }
        bytes.extend_from_slice(&piece[..count]);
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n");
        let Some(end) = end else { continue };
        let message = Message {
            head: String::from_utf8_lossy(&bytes[..end]).into_owned(),
            json: Value::Null,
        };
        let length: usize = message.header("content-length").parse().unwrap_or(0);
        if bytes.len() >= end + 4 + length {
            break (message.head, bytes[end + 4..end + 4 + length].to_vec());
        }
    };
    let json = serde_json::from_slice(&body).unwrap_or_default();
    let status = *status.lock().unwrap();
    messages.send_modify(|messages| messages.push(Message { head, json }));
    if status.is_empty() {
        std::future::pending::<()>().await;
    }
    let answer = format!("HTTP/1.1 {status}\r\nConnection: close\r\n\r\n");
    stream.write_all(answer.as_bytes()).await?;
    stream.shutdown().await
}
