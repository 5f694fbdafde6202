//! A server in process, and a client which speaks to it.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use calotype::http::{AccessLog, App, AppSettings, Listener, ListenerSettings, OwnHosts};
use model::{Account, AccountId, Flows, Limits, Permission, Policy, Zone};
use reqwest::header::HeaderMap;
use reqwest::multipart::{Form, Part};
use reqwest::{Client, Method, RequestBuilder, StatusCode};
use serde_json::Value;
use service::accounts::{NewAccount, NewToken, create_account, create_token};
use service::{Addresses, Reach, RemoteSettings, Secrets, Service, Settings};
use store::{Blobs, Catalog, DiskSpace, Renditions, Sqlite, Vault};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::oneshot;

use crate::origin::Origin;

pub(crate) const PHOTO: &[u8] = include_bytes!("../pictures/photo.jpg");
pub(crate) const TURNED: &[u8] = include_bytes!("../pictures/orientation_6.jpg");
pub(crate) const TRANSPARENT: &[u8] = include_bytes!("../pictures/transparent.png");
pub(crate) const ANIMATED: &[u8] = include_bytes!("../pictures/animated.gif");
pub(crate) const SCRIPT: &[u8] = include_bytes!("../pictures/script.svg");

/// What a test may want different.
pub(crate) struct Wishes {
    pub(crate) limits: Limits,
    pub(crate) allow_private_sources: bool,
    pub(crate) upload_idle_timeout: Duration,
    pub(crate) source_timeout: Duration,
    pub(crate) batch_requests_per_second: u32,
    pub(crate) render_queue: usize,
    pub(crate) avif_wait: Option<Duration>,
    pub(crate) server_timing: bool,
    pub(crate) header_timeout: Duration,
    pub(crate) connections_max: usize,
    pub(crate) cache_disk_bytes: u64,
    pub(crate) cache_memory_bytes: u64,
    pub(crate) remote: RemoteSettings,
    pub(crate) flows: Flows,
}

impl Default for Wishes {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            allow_private_sources: false,
            upload_idle_timeout: Duration::from_secs(30),
            source_timeout: Duration::from_secs(30),
            batch_requests_per_second: 10_000,
            render_queue: 256,
            avif_wait: None,
            server_timing: false,
            header_timeout: Duration::from_secs(10),
            connections_max: 1_000,
            cache_disk_bytes: 1 << 30,
            cache_memory_bytes: 1 << 24,
            remote: RemoteSettings::default(),
            flows: Flows::default(),
        }
    }
}

impl Wishes {
    /// Remote images for these zones, whose sources are at these hosts.
    pub(crate) fn zones(zones: &str, hosts: &[(&str, &Origin)]) -> Self {
        let zones = zones.split(',').map(|zone| Zone::parse(zone).unwrap());
        let hosts = hosts.iter();
        let hosts = hosts.map(|(name, origin)| ((*name).to_owned(), origin.address));
        let remote = RemoteSettings {
            zones: zones.collect(),
            reach: Reach {
                hosts: hosts.collect(),
                ..Reach::default()
            },
            ..RemoteSettings::default()
        };
        Self {
            remote,
            ..Self::default()
        }
    }
}

/// A running server with one account.
pub(crate) struct Server {
    pub(crate) url: String,
    pub(crate) metrics_url: String,
    pub(crate) account: Account,
    pub(crate) token: String,
    pub(crate) service: Service,
    pub(crate) catalog: Arc<Sqlite>,
    pub(crate) client: Client,
    folder: TempDir,
    _ends: [oneshot::Sender<()>; 2],
}

/// What the server answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) bytes: Vec<u8>,
}

impl Server {
    pub(crate) async fn start() -> Self {
        Self::with(Wishes::default()).await
    }

    pub(crate) async fn with(wishes: Wishes) -> Self {
        // Every test of the process installs the same provider; the first wins.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let folder = tempfile::tempdir().unwrap();
        let vault = || Vault::from_key([7; 32]);
        let path = folder.path();
        let catalog = Sqlite::open(&path.join("calotype.db"), vault())
            .await
            .unwrap();
        let catalog = Arc::new(catalog);
        let settings = ListenerSettings {
            connections_max: wishes.connections_max,
            header_timeout: wishes.header_timeout,
            drain_timeout: Duration::from_secs(10),
        };
        let listener = Listener::bind("127.0.0.1:0".parse().unwrap(), settings);
        let listener = listener.await.unwrap();
        let url = format!("http://{}", listener.address().unwrap());
        let metrics = Listener::bind("127.0.0.1:0".parse().unwrap(), settings);
        let metrics = metrics.await.unwrap();
        let metrics_url = format!("http://{}", metrics.address().unwrap());
        let settings = Settings {
            limits: wishes.limits,
            addresses: Addresses {
                public: url.clone(),
                upload: format!("{url}/upload"),
            },
            metadata_coercion: true,
            policy: Policy::default(),
            render_threads: 2,
            render_queue: wishes.render_queue,
            render_queue_timeout: Duration::from_mins(10),
            avif_wait: wishes.avif_wait,
            source_timeout: wishes.source_timeout,
            source_redirects_max: 5,
            remote: RemoteSettings {
                reach: Reach {
                    private: wishes.allow_private_sources,
                    ..wishes.remote.reach
                },
                ..wishes.remote
            },
            upload_memory_bytes: 1 << 28,
            render_memory_bytes: 1_000_000_000,
            direct_upload_expiry: Duration::from_mins(30),
            batch_token_ttl: Duration::from_hours(1),
            blob_grace: Duration::from_hours(1),
            release_grace: Duration::ZERO,
        };
        let (on_disk, in_memory) = (wishes.cache_disk_bytes, wishes.cache_memory_bytes);
        let renditions = Renditions::open(&path.join("cache"), on_disk, in_memory);
        let service = Service::new(
            catalog.clone(),
            Blobs::local(&path.join("blobs")).unwrap(),
            renditions.unwrap(),
            DiskSpace::new(vec![path.to_owned()], 0),
            Secrets::of(&vault()),
            settings,
        );
        let service = service.unwrap();
        let (account, token) = new_account(catalog.as_ref()).await;
        let app = App::new(
            service.clone(),
            AppSettings {
                list_v1_items: true,
                upload_idle_timeout: wishes.upload_idle_timeout,
                batch_requests_per_second: wishes.batch_requests_per_second,
                server_timing: wishes.server_timing,
                mount_prefix: "/base".to_owned(),
                flows: wishes.flows,
                hosts: OwnHosts::default(),
                access_log: AccessLog::off(),
            },
        );
        let (end, ended) = oneshot::channel();
        let (metrics_end, metrics_ended) = oneshot::channel();
        tokio::spawn(metrics.serve_metrics(app.clone(), async {
            let _ = metrics_ended.await;
        }));
        tokio::spawn(listener.serve(app, async {
            let _ = ended.await;
        }));
        let client = Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .build();
        Self {
            url,
            metrics_url,
            account,
            token,
            service,
            catalog,
            client: client.unwrap(),
            folder,
            _ends: [end, metrics_end],
        }
    }

    /// Another account with a token that may write.
    pub(crate) async fn another_account(&self) -> (Account, String) {
        new_account(self.catalog.as_ref()).await
    }

    /// Another token of an account.
    pub(crate) async fn another_token(
        &self,
        account: &AccountId,
        permission: Permission,
        expires: Option<model::Timestamp>,
    ) -> String {
        new_token(self.catalog.as_ref(), account, permission, expires).await
    }

    /// The address of something below the account, such as `images/v1`.
    pub(crate) fn api(&self, path: &str) -> String {
        format!("{}/client/v4/accounts/{}/{path}", self.url, self.account.id)
    }

    /// A request with the token that may write.
    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let url = self.api(path);
        self.client.request(method, url).bearer_auth(&self.token)
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        send(self.request(Method::GET, path)).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        send(self.request(Method::DELETE, path)).await
    }

    pub(crate) async fn json(&self, method: Method, path: &str, body: &Value) -> Answer {
        send(self.request(method, path).json(body)).await
    }

    pub(crate) async fn form(&self, path: &str, form: Form) -> Answer {
        send(self.request(Method::POST, path).multipart(form)).await
    }

    /// Uploads a picture and returns its id.
    pub(crate) async fn upload(&self, bytes: &[u8], texts: &[(&str, &str)]) -> String {
        let answer = self.form("images/v1", form(bytes, texts)).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.result()["id"].as_str().unwrap().to_owned()
    }

    /// Delivers `/{hash}/{rest}`.
    pub(crate) async fn deliver(&self, rest: &str, headers: &[(&str, &str)]) -> Answer {
        let url = format!("{}/{}/{rest}", self.url, self.account.hash);
        let request = self.client.get(url);
        let request = headers.iter().fold(request, |request, (name, value)| {
            request.header(*name, *value)
        });
        send(request).await
    }

    /// Asks for `/cdn-cgi/image{rest}` at `zone.test`.
    pub(crate) async fn remote(&self, rest: &str, headers: &[(&str, &str)]) -> Answer {
        let url = format!("{}/cdn-cgi/image{rest}", self.url);
        let request = self.client.get(url).header("host", "zone.test");
        let request = headers.iter().fold(request, |request, (name, value)| {
            request.header(*name, *value)
        });
        send(request).await
    }

    /// Sends bytes as they are and reads until the server closes or one whole answer is there.
    pub(crate) async fn raw(&self, bytes: &[u8]) -> String {
        let address = self.url.strip_prefix("http://").unwrap();
        let mut stream = TcpStream::connect(address).await.unwrap();
        // The server may refuse and close before everything is sent.
        let _ = stream.write_all(bytes).await;
        let mut answer = Vec::new();
        let mut piece = [0; 4096];
        while let Ok(count @ 1..) = stream.read(&mut piece).await {
            answer.extend_from_slice(&piece[..count]);
            if is_whole(&answer) {
                break;
            }
        }
        String::from_utf8_lossy(&answer).into_owned()
    }

    /// A request line and headers with the token, for `raw`.
    pub(crate) fn head(&self, method: &str, path: &str, headers: &str) -> String {
        let (account, token) = (&self.account.id, &self.token);
        format!(
            "{method} /client/v4/accounts/{account}/{path} HTTP/1.1\r\nHost: test\r\nAuthorization: Bearer {token}\r\n{headers}\r\n"
        )
    }

    /// Where the server keeps everything.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Removes everything below a folder of the server.
    pub(crate) fn empty(&self, folder: &str) {
        let folder = self.folder.path().join(folder);
        for entry in std::fs::read_dir(folder).unwrap() {
            std::fs::remove_dir_all(entry.unwrap().path()).unwrap();
        }
    }

    /// How many files lie below a folder of the server: `blobs`, `cache`.
    pub(crate) fn files(&self, folder: &str) -> usize {
        count_files(&self.folder.path().join(folder))
    }
}

impl Answer {
    /// Width and height by the header of the bytes.
    pub(crate) fn size(&self) -> (u32, u32) {
        let header = pixels::inspect(&self.bytes, &Limits::default()).unwrap();
        (header.width, header.height)
    }

    /// The code of a refusal, which its header and its text name alike; 0 if it is none.
    pub(crate) fn refusal(&self) -> (u16, u32) {
        let header = self.header("cf-resized");
        let code = header.strip_prefix("err=").unwrap_or("0").parse().unwrap();
        let text = self.text();
        assert_eq!(
            code != 0,
            text.starts_with(&format!("ERROR {code}: ")),
            "{text}"
        );
        (self.status.as_u16(), code)
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }

    pub(crate) fn envelope(&self) -> Value {
        assert_eq!(
            self.header("content-type"),
            "application/json",
            "{}",
            self.text()
        );
        serde_json::from_slice(&self.bytes).unwrap()
    }

    /// The result of a success.
    pub(crate) fn result(&self) -> Value {
        let envelope = self.envelope();
        assert_eq!(envelope["success"], true, "{envelope}");
        assert_eq!(envelope["errors"], serde_json::json!([]));
        assert_eq!(self.status, 200);
        envelope["result"].clone()
    }

    /// Status and first code of a failure, whose envelope is whole.
    pub(crate) fn failure(&self) -> (u16, i64) {
        let envelope = self.envelope();
        assert_eq!(envelope["success"], false, "{envelope}");
        assert_eq!(envelope["result"], Value::Null, "{envelope}");
        assert_eq!(envelope["messages"], serde_json::json!([]), "{envelope}");
        let code = envelope["errors"][0]["code"].as_i64().unwrap();
        (self.status.as_u16(), code)
    }

    /// The first message of a failure.
    pub(crate) fn message(&self) -> String {
        self.envelope()["errors"][0]["message"]
            .as_str()
            .unwrap()
            .to_owned()
    }

    /// A header, or the empty text.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }
}

/// A form with a file and texts.
pub(crate) fn form(bytes: &[u8], texts: &[(&str, &str)]) -> Form {
    let file = Part::bytes(bytes.to_vec()).file_name("cat.png");
    text_form(texts).part("file", file)
}

/// A form with texts alone.
pub(crate) fn text_form(texts: &[(&str, &str)]) -> Form {
    texts.iter().fold(Form::new(), |form, (name, value)| {
        form.text((*name).to_owned(), (*value).to_owned())
    })
}

pub(crate) async fn send(request: RequestBuilder) -> Answer {
    let response = request.send().await.unwrap();
    Answer {
        status: response.status(),
        headers: response.headers().clone(),
        bytes: response.bytes().await.unwrap().to_vec(),
    }
}

async fn new_account(catalog: &dyn Catalog) -> (Account, String) {
    let account = create_account(catalog, NewAccount::default())
        .await
        .unwrap();
    let token = new_token(catalog, &account.id, Permission::Write, None).await;
    (account, token)
}

async fn new_token(
    catalog: &dyn Catalog,
    account: &AccountId,
    permission: Permission,
    expires: Option<model::Timestamp>,
) -> String {
    let new = NewToken {
        name: "test".to_owned(),
        permission,
        secret: None,
        expires,
    };
    create_token(catalog, account, new).await.unwrap().1
}

fn count_files(folder: &Path) -> usize {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return 0;
    };
    entries
        .map(|entry| entry.unwrap().path())
        .map(|path| if path.is_dir() { count_files(&path) } else { 1 })
        .sum()
}

/// Whether a whole answer with `Content-Length` is there.
fn is_whole(answer: &[u8]) -> bool {
    let text = String::from_utf8_lossy(answer).to_ascii_lowercase();
    let Some((head, _)) = text.split_once("\r\n\r\n") else {
        return false;
    };
    let length = head.split("content-length: ").nth(1);
    let length = length.and_then(|rest| rest.lines().next()?.trim().parse::<usize>().ok());
    let head_bytes = answer.windows(4).position(|four| four == b"\r\n\r\n");
    match (length, head_bytes) {
        (Some(length), Some(head)) => answer.len() >= head + 4 + length,
        _ => false,
    }
}
