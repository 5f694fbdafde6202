//! A store which is further away than it is: what passes in either direction arrives later.

use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

/// The address, as `http://HOST:PORT`, at which the server of another such address is `away` in each
/// direction.
pub(crate) async fn between(server: &str, away: Duration) -> String {
    let server = server.strip_prefix("http://").expect("plain HTTP");
    let server = server.to_owned();
    let listener = TcpListener::bind("127.0.0.1:0").await;
    let listener = listener.expect("a port is free");
    let address = listener.local_addr().expect("it is bound");
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let behind = TcpStream::connect(&server).await;
            let behind = behind.expect("the server listens");
            for stream in [&client, &behind] {
                stream.set_nodelay(true).expect("a TCP stream");
            }
            let (from_client, to_client) = client.into_split();
            let (from_server, to_server) = behind.into_split();
            pass(from_client, to_server, away);
            pass(from_server, to_client, away);
        }
    });
    format!("http://{address}")
}

/// Takes all at once, as a fast network does, and gives it `away` later.
fn pass(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, away: Duration) {
    let (sender, mut under_way) = mpsc::unbounded_channel::<(Instant, Vec<u8>)>();
    tokio::spawn(async move {
        loop {
            let mut piece = vec![0; 64 << 10];
            match from.read(&mut piece).await {
                Ok(0) | Err(_) => return,
                Ok(count) => piece.truncate(count),
            }
            if sender.send((Instant::now() + away, piece)).is_err() {
                return;
            }
        }
    });
    tokio::spawn(async move {
        while let Some((due, piece)) = under_way.recv().await {
            tokio::time::sleep_until(due.into()).await;
            if to.write_all(&piece).await.is_err() {
                return;
            }
        }
    });
}
