//! Connections to the database, at most so many.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::fmt;
use std::future::poll_fn;
use std::hash::BuildHasher as _;
use std::ops::Deref;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::{sleep, timeout};
use tokio_postgres::types::ToSql;
use tokio_postgres::{AsyncMessage, Client, Row, Statement};

use super::tls::Tls;
use super::url::PostgresUrl;
use super::{Closed, is_lost};
use crate::Error;

/// How long one attempt to connect may take.
pub(super) const CONNECT_MAX: Duration = Duration::from_secs(3);

/// How long a caller waits for one of the connections.
const WAIT_MAX: Duration = Duration::from_secs(5);

/// How long connecting is tried again where the database is starting, or has no place.
const RETRY_MAX: Duration = Duration::from_secs(2);

/// Time between two attempts.
const RETRY_EVERY: Duration = Duration::from_millis(100);

/// Counts of images are spread over so many rows, so that connections do not wait for each other.
const SLOTS: usize = 64;

/// A server which loses the connection in the middle must not hold locks for long. What was
/// acknowledged must be on the disk, whatever the server's default is.
const SESSION: &str = "SET statement_timeout = '20s'; SET lock_timeout = '10s';
    SET idle_in_transaction_session_timeout = '30s';
    SELECT set_config('synchronous_commit', 'on', FALSE)
        WHERE current_setting('synchronous_commit') IN ('off', 'local')";

type Parameters<'a> = &'a [&'a (dyn ToSql + Sync)];

/// One connection with the statements it knows.
pub(super) struct Connection {
    client: Client,
    statements: Mutex<HashMap<&'static str, Statement>>,
    slot: i16,
}

impl Connection {
    pub(super) async fn query(
        &self,
        sql: &'static str,
        parameters: Parameters<'_>,
    ) -> Result<Vec<Row>, tokio_postgres::Error> {
        let statement = self.statement(sql).await?;
        self.client.query(&statement, parameters).await
    }

    pub(super) async fn query_opt(
        &self,
        sql: &'static str,
        parameters: Parameters<'_>,
    ) -> Result<Option<Row>, tokio_postgres::Error> {
        let statement = self.statement(sql).await?;
        self.client.query_opt(&statement, parameters).await
    }

    pub(super) async fn query_one(
        &self,
        sql: &'static str,
        parameters: Parameters<'_>,
    ) -> Result<Row, tokio_postgres::Error> {
        let statement = self.statement(sql).await?;
        self.client.query_one(&statement, parameters).await
    }

    /// How many rows were written.
    pub(super) async fn execute(
        &self,
        sql: &'static str,
        parameters: Parameters<'_>,
    ) -> Result<u64, tokio_postgres::Error> {
        let statement = self.statement(sql).await?;
        self.client.execute(&statement, parameters).await
    }

    /// Statements without parameters, one after the other.
    pub(super) async fn batch(&self, sql: &str) -> Result<(), tokio_postgres::Error> {
        self.client.batch_execute(sql).await
    }

    /// Where this connection counts.
    pub(super) fn slot(&self) -> i16 {
        self.slot
    }

    /// The prepared statement; prepared by its first use.
    pub(super) async fn statement(
        &self,
        sql: &'static str,
    ) -> Result<Statement, tokio_postgres::Error> {
        let known = self.known().get(sql).cloned();
        if let Some(statement) = known {
            return Ok(statement);
        }
        let statement = self.client.prepare(sql).await?;
        self.known().insert(sql, statement.clone());
        Ok(statement)
    }

    /// Prepares statements which are to be sent without waiting for each other: one which had to be prepared
    /// first would come after the next.
    pub(super) async fn prepare(
        &self,
        statements: &[&'static str],
    ) -> Result<(), tokio_postgres::Error> {
        for sql in statements {
            self.statement(sql).await?;
        }
        Ok(())
    }

    fn known(&self) -> std::sync::MutexGuard<'_, HashMap<&'static str, Statement>> {
        self.statements
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// Connections, opened when they are needed and kept. Cheap to clone.
#[derive(Clone)]
pub(super) struct Pool(Arc<Inner>);

struct Inner {
    url: PostgresUrl,
    tls: Tls,
    idle: Mutex<Vec<Connection>>,
    places: Arc<Semaphore>,
    opened: AtomicUsize,
    /// A connection which listens was notified.
    notified: Arc<Notify>,
    /// Connections live here, whoever needs one first: they outlast other runtimes.
    runtime: Handle,
}

impl Pool {
    pub(super) fn new(url: PostgresUrl, connections_max: usize) -> Result<Self, Error> {
        let random = RandomState::new().hash_one(0) as usize % SLOTS;
        Ok(Self(Arc::new(Inner {
            tls: Tls::new(&url)?,
            url,
            idle: Mutex::default(),
            places: Arc::new(Semaphore::new(connections_max)),
            // Nodes begin at different slots.
            opened: AtomicUsize::new(random),
            notified: Arc::default(),
            runtime: Handle::current(),
        })))
    }

    /// A connection, which goes back when it is dropped.
    pub(super) async fn lend(&self) -> Result<Lent, Error> {
        let place = timeout(WAIT_MAX, Arc::clone(&self.0.places).acquire_owned()).await;
        let place = place.map_err(|_| Error::Exhausted)?;
        let place = place.map_err(|_| Error::Database(Closed.into()))?;
        let connection = match self.idle() {
            Some(connection) => connection,
            // Seldom, and large.
            None => Box::pin(self.open(|| self.idle())).await?,
        };
        Ok(Lent {
            connection: Some(connection),
            pool: self.clone(),
            is_clean: true,
            _place: place,
        })
    }

    /// A connection which was used before and is still open.
    fn idle(&self) -> Option<Connection> {
        let mut idle = self.lock();
        std::iter::from_fn(|| idle.pop()).find(|connection| !connection.client.is_closed())
    }

    /// A connection beside the pool.
    pub(super) async fn connect(&self) -> Result<Connection, Error> {
        self.open(|| None).await
    }

    /// Opens a connection, unless another one comes free while the server has no place for it.
    async fn open(&self, freed: impl Fn() -> Option<Connection>) -> Result<Connection, Error> {
        let until = Instant::now() + RETRY_MAX;
        loop {
            match timeout(CONNECT_MAX, self.try_connect()).await {
                Ok(Ok(connection)) => return Ok(connection),
                Ok(Err(error)) if Instant::now() >= until || !is_passing(&error) => {
                    return Err(error);
                }
                Ok(Err(_)) => sleep(RETRY_EVERY).await,
                Err(_) => return Err(Error::Timeout),
            }
            if let Some(connection) = freed() {
                return Ok(connection);
            }
        }
    }

    async fn try_connect(&self) -> Result<Connection, Error> {
        let inner = Arc::clone(&self.0);
        let connecting = async move {
            let connecting = inner.url.config.connect(inner.tls.clone());
            let connected = timeout(CONNECT_MAX, connecting).await;
            let (client, mut connection) = connected.map_err(|_| Error::Timeout)??;
            // Without the pool, which ends with the last who uses it.
            let notify = Arc::clone(&inner.notified);
            tokio::spawn(async move {
                // Its errors are those of the requests which they fail.
                while let Some(Ok(message)) = poll_fn(|cx| connection.poll_message(cx)).await {
                    if let AsyncMessage::Notification(_) = message {
                        notify.notify_one();
                    }
                }
            });
            Ok::<_, Error>(client)
        };
        let connected = self.0.runtime.spawn(connecting).await;
        let client = connected.map_err(|error| Error::Database(error.into()))??;
        client.batch_execute(SESSION).await?;
        let opened = self.0.opened.fetch_add(1, Ordering::Relaxed);
        Ok(Connection {
            client,
            statements: Mutex::default(),
            slot: (opened % SLOTS) as i16,
        })
    }

    /// Until a connection which listens is notified.
    pub(super) async fn notified(&self) {
        self.0.notified.notified().await;
    }

    /// Closes the idle connections and refuses further work.
    pub(super) fn close(&self) {
        self.0.places.close();
        self.lock().clear();
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Connection>> {
        self.0.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether connecting may work a moment later.
fn is_passing(error: &Error) -> bool {
    is_lost(error) || matches!(error, Error::Exhausted)
}

/// A connection of the pool.
pub(super) struct Lent {
    connection: Option<Connection>,
    pool: Pool,
    is_clean: bool,
    _place: OwnedSemaphorePermit,
}

impl Lent {
    /// The connection is in the middle of something until `mark_clean`: dropped before, it is
    /// closed.
    pub(super) fn mark_busy(&mut self) {
        self.is_clean = false;
    }

    pub(super) fn mark_clean(&mut self) {
        self.is_clean = true;
    }
}

impl Deref for Lent {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        self.connection
            .as_ref()
            .expect("a lent connection is there until it is dropped")
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take()
            && self.is_clean
            && !connection.client.is_closed()
            && !self.pool.0.places.is_closed()
        {
            self.pool.lock().push(connection);
        }
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool")
            .field("url", &self.0.url)
            .finish_non_exhaustive()
    }
}
