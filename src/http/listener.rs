//! Accepting connections, and letting them finish at the end.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use hyper::Request;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{self, Handle};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot, watch};
use tokio::time::{sleep, timeout};

use super::conversation::{Ending, Speaker};
use super::presence::{ClientLeft, Presence};
use super::response::Response;
use super::tls::Certificate;
use super::{App, connection};

/// How long a client may be silent which had come before the end: its request may be on its way.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// Connections which the system accepts by itself, at most.
const BACKLOG: usize = 4_096;

/// Connections which wait for a slot.
const WAITING_MAX: usize = 1_024;

/// For whom there is no place.
const TURNED_AWAY: &str = "HTTP/1.1 503 Service Unavailable\r\ncontent-type: text/plain; charset=utf-8\r\n\
    cache-control: no-store\r\nretry-after: 1\r\nconnection: close\r\ncontent-length: 35\r\n\r\n\
    ERROR 9522: the service is too busy";

/// A bound address.
pub struct Listener {
    socket: TcpListener,
    settings: ListenerSettings,
    certificate: Option<Arc<Certificate>>,
}

/// What the listener is told at start.
#[derive(Clone, Copy, Debug)]
pub struct ListenerSettings {
    /// Connections at one time; a thousand more wait, and others are turned away.
    pub connections_max: usize,
    /// Time for the head of a request to arrive.
    pub header_timeout: Duration,
    /// Time for open requests to finish after the end was asked for.
    pub drain_timeout: Duration,
}

impl Listener {
    /// Binds an address; port 0 takes a free one.
    pub async fn bind(address: SocketAddr, settings: ListenerSettings) -> io::Result<Self> {
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
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Serves until `end`, then lets open requests finish within the drain timeout.
    pub async fn serve(self, app: App, end: impl Future<Output = ()>) -> io::Result<()> {
        let ready = app.ready.is_some().then(|| app.clone());
        let answer = move |request, client| app.clone().handle(request, client);
        let work = Place::Runtime(Handle::current());
        self.serve_with(answer, ready, work, end).await
    }

    /// Serves metrics and health alone, in the same way.
    pub async fn serve_metrics(self, app: App, end: impl Future<Output = ()>) -> io::Result<()> {
        let answer = move |request, _| {
            let app = app.clone();
            async move { Ok(app.handle_watcher(request).await) }
        };
        self.serve_with(answer, None, Place::Here, end).await
    }

    async fn serve_with<F>(
        self,
        answer: impl Fn(Request<Incoming>, Presence) -> F + Clone + Send + Sync + 'static,
        app: Option<App>,
        work: Place,
        end: impl Future<Output = ()>,
    ) -> io::Result<()>
    where
        F: Future<Output = Result<Response, ClientLeft>> + Send + 'static,
    {
        let mut builder = auto::Builder::new(TokioExecutor::new());
        builder
            .http1()
            .half_close(true)
            .timer(TokioTimer::new())
            .header_read_timeout(self.settings.header_timeout)
            .http2()
            .timer(TokioTimer::new())
            .max_concurrent_streams(32)
            .keep_alive_interval(Duration::from_secs(30));
        let speaker = Speaker {
            http1: builder.clone().http1_only(),
            http2: builder.http2_only(),
            answer,
            app,
            idle_timeout: self.settings.header_timeout,
        };
        let (all_end, ended) = watch::channel(());
        let (drained, all_drained) = oneshot::channel();
        let socket = self.socket.into_std()?;
        let (settings, certificate) = (self.settings, self.certificate);
        let here = runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let door = thread::Builder::new().name("door".to_owned());
        door.spawn(move || {
            here.block_on(async {
                let served = match TcpListener::from_std(socket) {
                    Ok(socket) => {
                        accept(socket, settings, certificate, speaker, work, ended).await;
                        Ok(())
                    }
                    Err(error) => Err(error),
                };
                // If nobody waits for it, the server is gone.
                let _ = drained.send(served);
            });
        })?;
        end.await;
        drop(all_end);
        let gone = || io::Error::other("the thread which accepts connections has ended");
        all_drained.await.map_err(|_| gone())?
    }
}

/// Where connections are served.
#[derive(Clone)]
enum Place {
    /// In the thread which accepts them.
    Here,
    /// In this runtime; only those which ask for health are served here, so that they do not wait
    /// behind thousands of others.
    Runtime(Handle),
}

/// Accepts connections until the end, and returns when all of them have finished or are cut off.
async fn accept<A, F>(
    socket: TcpListener,
    settings: ListenerSettings,
    certificate: Option<Arc<Certificate>>,
    speaker: Speaker<A>,
    work: Place,
    ended: watch::Receiver<()>,
) where
    A: Fn(Request<Incoming>, Presence) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Result<Response, ClientLeft>> + Send + 'static,
{
    let slots = Arc::new(Semaphore::new(settings.connections_max));
    let waiting = Arc::new(Semaphore::new(WAITING_MAX));
    // For those who have said nothing yet, who wait for a slot, or who ask for health: enough that no
    // kind of them keeps out the others before it would take all slots.
    let places_max = settings.connections_max.saturating_add(WAITING_MAX);
    let places_max = places_max.min(Semaphore::MAX_PERMITS);
    let places = Arc::new(Semaphore::new(places_max));
    let mut end = Ending::of(ended.clone());
    let (all_slots, all_places) = (slots.clone(), places.clone());
    let begin = |stream: TcpStream, place: OwnedSemaphorePermit| {
        // Small answers must not wait for acknowledgements.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "TCP_NODELAY cannot be set");
        }
        let mut greeting = Greeting {
            certificate: certificate.clone(),
            speaker: speaker.clone(),
            timeout: settings.header_timeout,
            ending: Ending::of(ended.clone()),
        };
        let (slots, waiting, work) = (slots.clone(), waiting.clone(), work.clone());
        tokio::spawn(async move {
            // What is said with TLS is not heard here: a handshake is work.
            if greeting.certificate.is_none() && matches!(work, Place::Runtime(_)) {
                match greeting.asks_for_health(&stream).await {
                    None => return,
                    Some(true) => {
                        greeting.for_one_request().greet(stream).await;
                        drop(place);
                        return;
                    }
                    Some(false) => {}
                }
            }
            let slot = if let Ok(slot) = slots.clone().try_acquire_owned() {
                slot
            } else {
                let Ok(_waits) = waiting.try_acquire() else {
                    return turn_away(stream).await;
                };
                tokio::select! {
                    Ok(slot) = slots.acquire_owned() => slot,
                    () = greeting.ending.wait() => return,
                }
            };
            drop(place);
            let serve = |stream| async move {
                greeting.greet(stream).await;
                drop(slot);
            };
            match work {
                Place::Here => serve(stream).await,
                Place::Runtime(runtime) => move_to(&runtime, stream, serve),
            }
        });
    };
    loop {
        let place = tokio::select! {
            place = places.clone().acquire_owned() => place,
            () = end.wait() => break,
        };
        let accepted = tokio::select! {
            accepted = socket.accept() => accepted,
            () = end.wait() => break,
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
        if let Ok(place) = place {
            begin(stream, place);
        }
    }
    // With the socket, the system would break off those whom it has accepted already.
    if let Ok(socket) = socket.into_std() {
        let accepted = std::iter::from_fn(|| socket.accept().ok()).take(BACKLOG);
        for (stream, _) in accepted {
            let stream = stream
                .set_nonblocking(true)
                .and_then(|()| TcpStream::from_std(stream));
            if let (Ok(stream), Ok(place)) = (stream, all_places.clone().try_acquire_owned()) {
                begin(stream, place);
            }
        }
    }
    let places = u32::try_from(places_max).unwrap_or(u32::MAX);
    let _ = timeout(LAST_WORDS, all_places.acquire_many(places)).await;
    let all = u32::try_from(settings.connections_max).unwrap_or(u32::MAX);
    let drained = timeout(settings.drain_timeout, all_slots.acquire_many(all));
    if drained.await.is_err() {
        tracing::warn!("open requests were cut off at the end of the drain timeout");
    }
}

/// Refuses a client for whom there is not even a place to wait in.
async fn turn_away(mut stream: TcpStream) {
    // What is unread when a connection is closed lets the system break it off.
    let _ = stream.try_read(&mut [0; 4_096]);
    if stream.write_all(TURNED_AWAY.as_bytes()).await.is_ok() {
        let _ = stream.shutdown().await;
    }
}

/// Serves a connection in another runtime.
fn move_to<F>(
    runtime: &Handle,
    stream: TcpStream,
    serve: impl FnOnce(TcpStream) -> F + Send + 'static,
) where
    F: Future<Output = ()> + Send + 'static,
{
    let stream = stream.into_std();
    runtime.spawn(async move {
        match stream.and_then(TcpStream::from_std) {
            Ok(stream) => serve(stream).await,
            Err(error) => tracing::warn!(%error, "a connection cannot be served"),
        }
    });
}

/// Returns when whoever has said nothing yet has come for nothing.
async fn too_late(ending: &mut Ending) {
    ending.wait().await;
    sleep(LAST_WORDS).await;
}

/// The first moments of a connection.
struct Greeting<A> {
    certificate: Option<Arc<Certificate>>,
    speaker: Speaker<A>,
    timeout: Duration,
    ending: Ending,
}

impl<A, F> Greeting<A>
where
    A: Fn(Request<Incoming>, Presence) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Result<Response, ClientLeft>> + Send + 'static,
{
    /// Whether it is one of those who ask whether the server is well; `None` if it says nothing.
    async fn asks_for_health(&mut self, stream: &TcpStream) -> Option<bool> {
        let words = timeout(self.timeout, connection::first_words(stream));
        let words = tokio::select! {
            biased;
            words = words => words.ok()?.ok()?,
            () = too_late(&mut self.ending) => return None,
        };
        let words = str::from_utf8(&words).unwrap_or_default();
        let path = words.strip_prefix("GET ").or(words.strip_prefix("HEAD "));
        let checks = ["/livez", "/readyz", "/health"];
        let is_check = |path: &str| checks.iter().any(|check| path.starts_with(check));
        Some(path.is_some_and(is_check))
    }

    /// Only one, so that nobody who asked for health has the accepting thread do other work.
    fn for_one_request(mut self) -> Self {
        self.speaker.http1.http1().keep_alive(false);
        self.speaker.app = None;
        self
    }

    /// Serves it from its first word to its last.
    async fn greet(mut self, stream: TcpStream) {
        let certificate = self.certificate.as_deref();
        let greeted = timeout(self.timeout, connection::greet(stream, certificate));
        let greeted = tokio::select! {
            biased;
            greeted = greeted => greeted,
            () = too_late(&mut self.ending) => return,
        };
        // A client which says nothing holds no slot.
        if let Ok(Ok((stream, language))) = greeted {
            let client = Presence::new(stream);
            let speaker = self.speaker;
            speaker.converse(client, language, &mut self.ending).await;
        }
    }
}
