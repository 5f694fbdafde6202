//! An origin of remote images on loopback: it writes down what it is asked, and answers as a script
//! says, also wrongly.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// A request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) head: String,
}

impl Asked {
    /// Path and query.
    pub(crate) fn target(&self) -> &str {
        self.head.split(' ').nth(1).unwrap_or_default()
    }

    /// A header, or the empty text.
    pub(crate) fn header(&self, name: &str) -> &str {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(':'));
        let found = lines.find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map_or("", |(_, value)| value.trim())
    }
}

/// What the origin does when it is asked.
pub(crate) enum Act {
    /// Sends these bytes and closes.
    Say(Vec<u8>),
    /// Sends these bytes and then nothing, and keeps the connection.
    Stall(Vec<u8>),
    /// Sends these bytes over and over.
    Flood(Vec<u8>),
    /// Sends these bytes once the gate is open.
    Wait(Vec<u8>),
}

/// A running origin.
pub(crate) struct Origin {
    pub(crate) address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
    connections: Arc<Mutex<usize>>,
    gate: watch::Sender<bool>,
}

impl Origin {
    pub(crate) async fn start(script: impl Fn(&Asked) -> Act + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (gate, opened) = watch::channel(false);
        let origin = Self {
            address,
            asked: Arc::default(),
            connections: Arc::default(),
            gate,
        };
        let (asked, connections) = (origin.asked.clone(), origin.connections.clone());
        let script = Arc::new(script);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                *connections.lock().unwrap() += 1;
                let (asked, script, opened) = (asked.clone(), script.clone(), opened.clone());
                tokio::spawn(async move {
                    let _ = serve(stream, &asked, script.as_ref(), opened).await;
                });
            }
        });
        origin
    }

    /// An origin which sends the same picture for every path.
    pub(crate) async fn of(headers: &str, body: &[u8]) -> Self {
        let answer = http("200 OK", headers, body);
        Self::start(move |_| Act::Say(answer.clone())).await
    }

    /// Every request so far.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    /// Path and query of every request so far.
    pub(crate) fn targets(&self) -> Vec<String> {
        let asked = self.asked();
        asked
            .iter()
            .map(|asked| asked.target().to_owned())
            .collect()
    }

    /// How many connections were opened.
    pub(crate) fn connections(&self) -> usize {
        *self.connections.lock().unwrap()
    }

    /// Lets those go on who wait.
    pub(crate) fn open_gate(&self) {
        self.gate.send_replace(true);
    }
}

async fn serve(
    mut stream: TcpStream,
    asked: &Mutex<Vec<Asked>>,
    script: &(impl Fn(&Asked) -> Act + Sync),
    mut opened: watch::Receiver<bool>,
) -> std::io::Result<()> {
    let mut head = Vec::new();
    let mut piece = [0; 1_024];
    while !head.windows(4).any(|four| four == b"\r\n\r\n") {
        let count = stream.read(&mut piece).await?;
        if count == 0 {
            return Ok(());
        }
        head.extend_from_slice(&piece[..count]);
    }
    let request = Asked {
        head: String::from_utf8_lossy(&head).into_owned(),
    };
    let act = script(&request);
    asked.lock().unwrap().push(request);
    match act {
        Act::Say(bytes) => stream.write_all(&bytes).await?,
        Act::Stall(bytes) => {
            stream.write_all(&bytes).await?;
            stream.flush().await?;
            std::future::pending::<()>().await;
        }
        Act::Flood(bytes) => loop {
            stream.write_all(&bytes).await?;
        },
        Act::Wait(bytes) => {
            let _ = opened.wait_for(|open| *open).await;
            stream.write_all(&bytes).await?;
        }
    }
    stream.shutdown().await
}

/// An answer with a right length.
pub(crate) fn http(status: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let length = format!("Content-Length: {}\r\n", body.len());
    raw(status, &format!("{headers}{length}"), body)
}

/// An answer with these headers alone.
pub(crate) fn raw(status: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("HTTP/1.1 {status}\r\n{headers}Connection: close\r\n\r\n");
    [head.as_bytes(), body].concat()
}
