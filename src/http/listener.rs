//! Accepting connections, and letting them finish at the end.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::presence::{ClientLeft, Presence};
use super::response::Response;
use super::tls::Certificate;
use super::{App, connection};

/// A bound address.
pub struct Listener {
    socket: TcpListener,
    settings: ListenerSettings,
    certificate: Option<Arc<Certificate>>,
}

/// What the listener is told at start.
#[derive(Clone, Copy, Debug)]
pub struct ListenerSettings {
    /// Connections at one time; more wait in the system's queue.
    pub connections_max: usize,
    /// Time for the head of a request to arrive.
    pub header_timeout: Duration,
    /// Time for open requests to finish after the end was asked for.
    pub drain_timeout: Duration,
}

impl Listener {
    /// Binds an address; port 0 takes a free one.
    pub async fn bind(address: SocketAddr, settings: ListenerSettings) -> std::io::Result<Self> {
        let socket = TcpListener::bind(address).await?;
        Ok(Self {
            socket,
            settings,
            certificate: None,
        })
    }

    /// The same, with TLS.
    #[must_use]
    pub fn with_tls(mut self, certificate: Arc<Certificate>) -> Self {
        self.certificate = Some(certificate);
        self
    }

    /// The address which was bound.
    pub fn address(&self) -> std::io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Serves until `end`, then lets open requests finish within the drain timeout.
    pub async fn serve(self, app: App, end: impl Future<Output = ()>) {
        let answer = move |request, client| app.clone().handle(request, client);
        self.serve_with(answer, end).await;
    }

    /// Serves metrics and health alone, in the same way.
    pub async fn serve_metrics(self, app: App, end: impl Future<Output = ()>) {
        let answer = move |request, _| {
            let app = app.clone();
            async move { Ok(app.handle_watcher(request).await) }
        };
        self.serve_with(answer, end).await;
    }

    async fn serve_with<F>(
        self,
        answer: impl Fn(Request<Incoming>, Presence) -> F + Clone + Send + 'static,
        end: impl Future<Output = ()>,
    ) where
        F: Future<Output = Result<Response, ClientLeft>> + Send + 'static,
    {
        let Self {
            socket,
            settings,
            certificate,
        } = self;
        let slots = Arc::new(Semaphore::new(settings.connections_max));
        let connections = GracefulShutdown::new();
        let mut builder = auto::Builder::new(TokioExecutor::new());
        builder
            .http1()
            .half_close(true)
            .timer(TokioTimer::new())
            .header_read_timeout(settings.header_timeout)
            .http2()
            .timer(TokioTimer::new())
            .max_concurrent_streams(32)
            .keep_alive_interval(Duration::from_secs(30));
        let mut end = std::pin::pin!(end);
        loop {
            let slot = tokio::select! {
                slot = slots.clone().acquire_owned() => slot,
                () = &mut end => break,
            };
            let accepted = tokio::select! {
                accepted = socket.accept() => accepted,
                () = &mut end => break,
            };
            let stream = match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    // Out of descriptors, or a client gone before it was greeted: go on, not hot.
                    tracing::warn!(%error, "a connection cannot be accepted");
                    tokio::time::sleep(Duration::from_millis(20)).await;
                    continue;
                }
            };
            // Small answers must not wait for acknowledgements.
            if let Err(error) = stream.set_nodelay(true) {
                tracing::debug!(%error, "TCP_NODELAY cannot be set");
            }
            let answer = answer.clone();
            let (builder, watcher) = (builder.clone(), connections.watcher());
            let certificate = certificate.clone();
            tokio::spawn(async move {
                let greeted = timeout(
                    settings.header_timeout,
                    connection::greet(stream, certificate.as_deref()),
                );
                // A client which says nothing holds no slot.
                if let Ok(Ok(stream)) = greeted.await {
                    let client = Presence::new(stream);
                    let stream = TokioIo::new(connection::Impatient::new(client.clone()));
                    let service = service_fn(move |request| answer(request, client.clone()));
                    let connection = builder.serve_connection(stream, service);
                    if let Err(error) = watcher.watch(connection).await {
                        tracing::debug!(error, "a connection ended early");
                    }
                }
                drop(slot);
            });
        }
        drop(socket);
        let drained = tokio::time::timeout(settings.drain_timeout, connections.shutdown());
        if drained.await.is_err() {
            tracing::warn!("open requests were cut off at the end of the drain timeout");
        }
    }
}
