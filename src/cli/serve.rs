//! `calotype serve`: opens the store, greets, serves, and ends in order.

mod allocator;
mod greeting;
mod jobs;
mod traces;

use std::error::Error;
use std::io::{IsTerminal as _, Write as _};
use std::net::SocketAddr;
use std::sync::Arc;

use model::{Account, Permission};
use service::accounts::{NewAccount, NewToken, create_account, create_token};
use service::{Addresses, Secrets, Service, Settings, TRACE};
use store::{Catalog, DataFolder, DiskSpace, Renditions, Vault};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::{Level, Subscriber};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer};

use self::jobs::Jobs;
use self::traces::Traces;
use super::stores;
use crate::config::{Config, Database, LogFormat};
use crate::http::{AccessLog, App, AppSettings, Certificate, Listener, ListenerSettings, OwnHosts};
use crate::log::Lines;

type Failure = Box<dyn Error + Send + Sync>;

/// Serves until SIGTERM or SIGINT.
pub fn run(config: Config) -> Result<(), Failure> {
    allocator::tune();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let traces = Traces::start(runtime.handle())?;
    let lines = Lines::start()?;
    let access_log = start_log(&config, &lines, traces.as_ref())?;
    raise_descriptor_limit();
    let served = runtime.block_on(serve(config, access_log));
    if let Some(traces) = traces {
        traces.end();
    }
    // Work which nobody waits for any more must not hold up the end.
    runtime.shutdown_background();
    lines.flush();
    served
}

async fn serve(mut config: Config, access_log: AccessLog) -> Result<(), Failure> {
    // Signals are caught before anything is opened, so that an early one ends in order, too.
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let listener = Listener::bind(
        config.listen,
        ListenerSettings {
            connections_max: config.connections_max,
            header_timeout: config.header_timeout,
            drain_timeout: config.drain_timeout,
        },
    )
    .await
    .map_err(|error| format!("cannot listen on {}: {error}", config.listen))?;
    config.bind(listener.address()?);
    let secure = secure_listener(&config).await?;
    let metrics_listener = match config.metrics_listen {
        Some(address) => Some(bind_metrics(address, &config).await?),
        None => None,
    };

    let folder = DataFolder::lock(&config.data_dir)?;
    let vault = match &config.secret_key {
        Some(key) => Vault::from_key(key.expose()),
        None if is_sealed(&config.database) && !folder.secret_key().exists() => {
            let key = folder.secret_key();
            let words = format!(
                "{} is missing, and the database was sealed with it",
                key.display()
            );
            return Err(words.into());
        }
        None => Vault::load_or_create(&folder.secret_key())?,
    };
    let secrets = Secrets::of(&vault);
    let catalog = stores::catalog(&config, vault).await?;
    let blobs = stores::blobs(&config).await?;
    let disk_space = DiskSpace::new(stores::folders(&config), config.disk_reserve_bytes);
    let renditions = Renditions::open(
        &config.cache_dir,
        config.cache_disk_bytes,
        config.cache_memory_bytes,
    )?;
    let renditions = match &config.rendition_bucket {
        Some(url) => renditions.sharing(&config.bucket(url)).await?,
        None => renditions,
    };
    let first = first_start(catalog.as_ref(), &config).await?;
    let service = Service::new(
        catalog.clone(),
        blobs,
        renditions,
        disk_space,
        secrets,
        service_settings(&config),
    )?;
    let app = App::new(
        service.clone(),
        AppSettings {
            list_v1_items: config.list_v1_items,
            upload_idle_timeout: config.upload_idle_timeout,
            batch_requests_per_second: config.batch_requests_per_second,
            server_timing: config.server_timing,
            mount_prefix: config.mount_prefix.as_str().to_owned(),
            flows: config.flows.clone(),
            hosts: OwnHosts {
                upload: config.own_host(&config.upload_url),
                batch: config.own_host(&config.batch_url),
            },
            access_log,
        },
    );

    let (metrics_end, metrics_ended) = tokio::sync::oneshot::channel::<()>();
    let watchers = metrics_listener.map(|listener| {
        tokio::spawn(listener.serve_metrics(app.clone(), async {
            let _ = metrics_ended.await;
        }))
    });
    let jobs = Jobs::start(service.clone(), catalog.clone(), config.sweep_interval);
    greet(&config, first.as_ref())?;
    let (all_end, ended) = tokio::sync::watch::channel(());
    let mut secure_ended = ended.clone();
    let secure_served = secure.map(|(listener, certificate, hangup)| {
        let served = listener.serve(app.clone(), async move {
            let _ = secure_ended.changed().await;
        });
        let renewed = tokio::spawn(renew(certificate, hangup));
        (tokio::spawn(served), renewed)
    });
    drop(ended);
    let end = async {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        drop(all_end);
        tracing::info!("ending: no new connections, open requests may finish");
    };
    let served = listener.serve(app, end).await;
    if let Some((served, renewed)) = secure_served {
        let _ = served.await;
        renewed.abort();
    }
    // Watched until the last answer.
    drop(metrics_end);
    if let Some(watchers) = watchers {
        let _ = watchers.await;
    }
    jobs.end().await;
    if let Err(error) = service.end().await {
        tracing::warn!(%error, "reserved blobs are left to the sweep");
    }
    catalog.close().await?;
    drop(folder);
    served?;
    tracing::info!("ended");
    Ok(())
}

/// Whether there is a database which was sealed with a key. One of PostgreSQL knows by itself.
fn is_sealed(database: &Database) -> bool {
    match database {
        Database::Sqlite(path) => path.exists(),
        Database::Postgres(_) => false,
    }
}

/// The listener with TLS, if the settings ask for one.
async fn secure_listener(
    config: &Config,
) -> Result<Option<(Listener, Arc<Certificate>, Signal)>, Failure> {
    let (address, chain, key) = match (&config.tls_listen, &config.tls_certificate, &config.tls_key)
    {
        (None, None, None) => return Ok(None),
        (Some(address), Some(chain), Some(key)) => (*address, chain, key),
        _ => return Err("tls_listen, tls_certificate and tls_key need each other".into()),
    };
    let certificate = Arc::new(Certificate::open(chain, key)?);
    let settings = ListenerSettings {
        connections_max: config.connections_max,
        header_timeout: config.header_timeout,
        drain_timeout: config.drain_timeout,
    };
    let listener = Listener::bind(address, settings)
        .await
        .map_err(|error| format!("cannot listen with TLS on {address}: {error}"))?;
    tracing::info!(address = %listener.address()?, "TLS is served");
    // Without TLS it ends the process, as it does when a terminal closes.
    let hangup = signal(SignalKind::hangup())?;
    Ok(Some((
        listener.with_tls(certificate.clone()),
        certificate,
        hangup,
    )))
}

/// Reads the certificate again whenever the process is told to.
async fn renew(certificate: Arc<Certificate>, mut hangup: Signal) {
    while hangup.recv().await.is_some() {
        match certificate.reload() {
            Ok(()) => tracing::info!("the certificate was read again"),
            Err(error) => tracing::error!(%error, "the certificate stays as it was"),
        }
    }
}

/// Connections of those who watch the server: a few, each with a short question.
const METRICS_CONNECTIONS_MAX: usize = 64;

async fn bind_metrics(address: SocketAddr, config: &Config) -> Result<Listener, Failure> {
    let settings = ListenerSettings {
        connections_max: METRICS_CONNECTIONS_MAX,
        header_timeout: config.header_timeout,
        drain_timeout: config.header_timeout.min(config.drain_timeout),
    };
    let listener = Listener::bind(address, settings)
        .await
        .map_err(|error| format!("cannot listen for metrics on {address}: {error}"))?;
    tracing::info!(address = %listener.address()?, "metrics are served");
    Ok(listener)
}

/// What the first start made, shown once.
struct First {
    account: Account,
    token: String,
}

/// How long other nodes wait for the one which makes the first account.
const FIRST_START_MAX: std::time::Duration = std::time::Duration::from_secs(10);

/// How often they look.
const FIRST_START_LOOK: std::time::Duration = std::time::Duration::from_millis(100);

/// Creates the account and its token if the store has none. A start which was interrupted between
/// the two is completed by the next. Of nodes which start at once, one does it.
async fn first_start(catalog: &dyn Catalog, config: &Config) -> Result<Option<First>, Failure> {
    let account = loop {
        let accounts = catalog.accounts().await?;
        let unfinished = match accounts.as_slice() {
            [] => None,
            [account] if is_unfinished(catalog, account).await? => Some(account),
            _ => return Ok(None),
        };
        if !catalog.take_lease("first start", FIRST_START_MAX).await? {
            tokio::time::sleep(FIRST_START_LOOK).await;
            continue;
        }
        match unfinished {
            Some(account) => break account.clone(),
            // Another node may have been first between the look and the lease.
            None if !catalog.accounts().await?.is_empty() => {}
            None => {
                let new = NewAccount {
                    id: config.account_id.clone(),
                    hash: config.account_hash.clone(),
                    name: "Calotype".to_owned(),
                };
                break create_account(catalog, new).await?;
            }
        }
    };
    let given = config
        .api_token
        .as_ref()
        .map(|token| token.expose().to_owned());
    warn_of_weak_token(given.as_deref(), config.listen);
    let new = NewToken {
        name: "first start".to_owned(),
        permission: Permission::Write,
        secret: given,
        expires: None,
    };
    let (_, token) = create_token(catalog, &account.id, new).await?;
    Ok(Some(First { account, token }))
}

/// Whether the first start ended between the account and its token. Later, an account without a
/// token is one whose tokens were revoked, and revoked they stay.
async fn is_unfinished(catalog: &dyn Catalog, account: &Account) -> Result<bool, Failure> {
    let first_minutes = account.created.after(std::time::Duration::from_mins(10));
    let is_fresh = catalog.now() < first_minutes;
    Ok(is_fresh && catalog.tokens(&account.id).await?.is_empty())
}

/// Shorter tokens can be guessed by somebody who can reach the address.
const STRONG_TOKEN_BYTES: usize = 24;

fn warn_of_weak_token(token: Option<&str>, listen: SocketAddr) {
    let weak = token.is_some_and(|token| token.len() < STRONG_TOKEN_BYTES);
    if weak && !listen.ip().is_loopback() {
        tracing::warn!(
            "the given API token is shorter than {STRONG_TOKEN_BYTES} characters, and the address is reachable from other machines"
        );
    }
}

fn service_settings(config: &Config) -> Settings {
    Settings {
        limits: config.limits.clone(),
        addresses: Addresses {
            public: config.public_url.as_str().to_owned(),
            upload: config.upload_url.as_str().to_owned(),
        },
        metadata_coercion: config.metadata_coercion,
        policy: config.policy(),
        render_threads: config.render_threads,
        render_queue: config.render_queue,
        render_queue_timeout: config.render_queue_timeout,
        avif_wait: config.avif_wait,
        source_timeout: config.source_timeout,
        source_redirects_max: config.source_redirects_max,
        remote: config.remote(),
        upload_memory_bytes: config.upload_memory_bytes,
        render_memory_bytes: config.render_memory_bytes,
        direct_upload_expiry: config.direct_upload_expiry,
        batch_token_ttl: config.batch_token_ttl,
        blob_grace: config.blob_grace,
        release_grace: config.release_grace,
    }
}

/// The first line is for programs which wait for the address, the rest for a person.
fn greet(config: &Config, first: Option<&First>) -> std::io::Result<()> {
    let mut output = std::io::stdout().lock();
    let version = env!("CARGO_PKG_VERSION");
    writeln!(
        output,
        "calotype {version} listening on http://{}",
        config.listen
    )?;
    if let Some(first) = first {
        let text = greeting::of(config, &first.account, &first.token);
        output.write_all(text.as_bytes())?;
    }
    output.flush()
}

/// What is logged of each request is written without the general way of events, and obeys the same
/// filter.
fn start_log(
    config: &Config,
    lines: &Lines,
    traces: Option<&Traces>,
) -> Result<AccessLog, Failure> {
    // Spans which are made for traces say nothing that is not logged as well.
    let filter = EnvFilter::try_new(&config.log)?.add_directive(format!("{TRACE}=off").parse()?);
    let pretty = match config.log_format {
        LogFormat::Auto => std::io::stderr().is_terminal(),
        LogFormat::Pretty => true,
        LogFormat::Json => false,
    };
    let subscriber = tracing_subscriber::registry();
    match traces {
        // One filter for everything costs less than one for each layer.
        None => subscriber
            .with(filter)
            .with(log_layer(pretty, lines))
            .try_init()?,
        Some(traces) => subscriber
            .with(log_layer(pretty, lines).with_filter(filter))
            .with(traces.layer())
            .try_init()?,
    }
    Ok(if !tracing::enabled!(target: "access", Level::INFO) {
        AccessLog::off()
    } else if pretty {
        AccessLog::pretty(lines.clone(), std::io::stderr().is_terminal())
    } else {
        AccessLog::json(lines.clone())
    })
}

fn log_layer<S>(pretty: bool, lines: &Lines) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    let log = tracing_subscriber::fmt::layer()
        .with_writer(lines.clone())
        .with_ansi(std::io::stderr().is_terminal());
    if pretty {
        log.with_target(false).boxed()
    } else {
        let json = log.json().flatten_event(true);
        json.with_span_list(false).boxed()
    }
}

/// Every connection is a descriptor, and the usual soft limit is far below `connections_max`.
fn raise_descriptor_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        tracing::warn!(%error, "the limit of open files cannot be raised");
    }
}
