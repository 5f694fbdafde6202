//! What stands between a node and a real server behind it, and lets through what a test allows: a
//! network which fails, and a store which answers with errors.

#![allow(dead_code, reason = "each test program uses a part of it")]

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// A network between a node and a server.
pub(crate) struct Gate {
    address: String,
    open: watch::Sender<bool>,
}

impl Gate {
    /// Before the server at `host:port`.
    pub(crate) async fn before(server: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it is bound").to_string();
        let (open, state) = watch::channel(true);
        let server = server.to_owned();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (server, state) = (server.clone(), state.clone());
                tokio::spawn(async move {
                    let Ok(behind) = TcpStream::connect(server).await else {
                        return;
                    };
                    let (from_client, to_client) = client.into_split();
                    let (from_server, to_server) = behind.into_split();
                    tokio::join!(
                        pass(from_client, to_server, state.clone()),
                        pass(from_server, to_client, state)
                    );
                });
            }
        });
        Self { address, open }
    }

    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// From here on nothing gets through, and nobody is told.
    pub(crate) fn shut(&self) {
        self.open.send_replace(false);
    }

    pub(crate) fn open(&self) {
        self.open.send_replace(true);
    }
}

async fn pass(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut open: watch::Receiver<bool>) {
    let mut piece = [0; 16 << 10];
    while let Ok(read @ 1..) = from.read(&mut piece).await {
        if open.wait_for(|open| *open).await.is_err() || to.write_all(&piece[..read]).await.is_err()
        {
            return;
        }
    }
    let _ = to.shutdown().await;
}

/// What a store does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// What it should.
    None,
    /// 500.
    Internal,
    /// 503 with the code `SlowDown`.
    SlowDown,
    /// 403: it knows the key no more.
    Forbidden,
    /// It does not answer.
    Stall,
    /// Half of a body, and the connection ends. What was to be written is written, and not answered.
    Cut,
}

/// A store whose answers fail, before a real one.
pub(crate) struct Faulty {
    endpoint: String,
    shared: Arc<Shared>,
}

struct Shared {
    client: reqwest::Client,
    behind: String,
    fault: watch::Sender<Fault>,
    /// Answers which are still to fail.
    left: AtomicU64,
    failed: AtomicU64,
}

impl Faulty {
    /// Before the store at this address.
    pub(crate) async fn before(endpoint: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let _ = rustls::crypto::ring::default_provider().install_default();
        let shared = Arc::new(Shared {
            client: reqwest::Client::new(),
            behind: endpoint.to_owned(),
            fault: watch::channel(Fault::None).0,
            left: AtomicU64::new(0),
            failed: AtomicU64::new(0),
        });
        let serving = Arc::clone(&shared);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let serving = Arc::clone(&serving);
                let service = hyper::service::service_fn(move |request| {
                    let serving = Arc::clone(&serving);
                    async move { serving.answer(request).await }
                });
                let connection = hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(client), service);
                tokio::spawn(connection);
            }
        });
        Self {
            endpoint: format!("http://{address}"),
            shared,
        }
    }

    pub(crate) fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// The next `answers` fail so.
    pub(crate) fn fail(&self, fault: Fault, answers: u64) {
        self.shared.left.store(answers, Ordering::SeqCst);
        self.shared.fault.send_replace(fault);
    }

    /// All is well again; what stalled ends.
    pub(crate) fn heal(&self) {
        self.fail(Fault::None, 0);
    }

    /// How many answers failed until now.
    pub(crate) fn failed(&self) -> u64 {
        self.shared.failed.load(Ordering::SeqCst)
    }
}

type Body = http_body_util::combinators::BoxBody<Bytes, std::io::Error>;

/// The connection ends.
fn cut() -> std::io::Error {
    std::io::ErrorKind::ConnectionReset.into()
}

fn whole(bytes: Bytes) -> Body {
    Full::new(bytes)
        .map_err(|never: Infallible| match never {})
        .boxed()
}

impl Shared {
    fn fault(&self) -> Fault {
        let fault = *self.fault.borrow();
        let take = |left: u64| left.checked_sub(1);
        let order = Ordering::SeqCst;
        if fault == Fault::None || self.left.fetch_update(order, order, take).is_err() {
            return Fault::None;
        }
        self.failed.fetch_add(1, Ordering::SeqCst);
        fault
    }

    async fn answer(&self, request: Request<Incoming>) -> Result<Response<Body>, std::io::Error> {
        let (head, body) = request.into_parts();
        let body = body.collect().await.map_err(|_| cut())?.to_bytes();
        let fault = self.fault();
        let (status, code) = match fault {
            Fault::Internal => (500, "InternalError"),
            Fault::SlowDown => (503, "SlowDown"),
            Fault::Forbidden => (403, "InvalidAccessKeyId"),
            Fault::Stall => {
                let mut state = self.fault.subscribe();
                let _ = state.wait_for(|fault| *fault == Fault::None).await;
                return Err(cut());
            }
            Fault::Cut | Fault::None => {
                let answer = self.forward(&head, body).await?;
                return if fault == Fault::Cut {
                    half(&head.method, answer)
                } else {
                    Ok(answer.map(whole))
                };
            }
        };
        let text = format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code></Error>");
        let answer = Response::builder().status(status).body(whole(text.into()));
        Ok(answer.expect("it is valid"))
    }

    async fn forward(
        &self,
        head: &hyper::http::request::Parts,
        body: Bytes,
    ) -> Result<Response<Bytes>, std::io::Error> {
        let path = head.uri.path_and_query().map_or("/", |path| path.as_str());
        let url = format!("{}{path}", self.behind);
        let sent = self.client.request(head.method.clone(), url);
        let sent = sent.headers(head.headers.clone()).body(body).send().await;
        let answer = sent.map_err(std::io::Error::other)?;
        let mut response = Response::builder().status(answer.status());
        for (name, value) in answer.headers() {
            if name != "transfer-encoding" && name != "connection" {
                response = response.header(name, value);
            }
        }
        let is_head = head.method == Method::HEAD;
        let bytes = answer.bytes().await.map_err(std::io::Error::other)?;
        let bytes = if is_head { Bytes::new() } else { bytes };
        Ok(response.body(bytes).expect("it was valid"))
    }
}

/// Half of the body and no end; without a body, no answer at all.
fn half(method: &Method, answer: Response<Bytes>) -> Result<Response<Body>, std::io::Error> {
    let (head, bytes) = answer.into_parts();
    if method != Method::GET || bytes.is_empty() {
        return Err(cut());
    }
    let first = Frame::data(bytes.slice(..bytes.len() / 2));
    let pieces = futures_util::stream::iter([Ok(first), Err(cut())]);
    Ok(Response::from_parts(head, StreamBody::new(pieces).boxed()))
}
