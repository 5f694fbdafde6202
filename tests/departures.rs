//! Clients of the real program which leave wherever they are, by the thousand.

#[allow(dead_code, reason = "each test program uses a part of it")]
#[path = "support/origin.rs"]
mod origin;
#[path = "support/server.rs"]
mod server;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use reqwest::multipart::{Form, Part};
use reqwest::{Client, Method};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use origin::{Act, Origin, http};
use server::{ACCOUNT_HASH, ACCOUNT_ID, API_TOKEN, Server, Settings};

const PHOTO: &[u8] = include_bytes!("pictures/photo.jpg");
const ANIMATED: &[u8] = include_bytes!("pictures/animated.gif");

/// How many leave, and how many are there at one time.
const CLIENTS: usize = 1_200;
const AT_ONCE: usize = 12;
/// The longest until nothing of them is left.
const DEADLINE: Duration = Duration::from_mins(2);

/// Numbers which are the same in every run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (self.0 >> 33) as usize % limit
    }
}

/// What the process has open, less the database, of which readers are opened when they are needed.
fn descriptors(server: &Server) -> usize {
    let folder = format!("/proc/{}/fd", server.id());
    let entries = std::fs::read_dir(folder).expect("the process is there");
    // One may be closed meanwhile.
    let targets = entries.filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok());
    let is_database = |target: &PathBuf| target.to_string_lossy().contains("calotype.db");
    targets.filter(|target| !is_database(target)).count()
}

/// Requests and images which are under way, by the metrics.
async fn in_progress(client: &Client, url: &str) -> u64 {
    let page = client.get(url).header("connection", "close").send().await;
    let page = page.expect("an answer").text().await.expect("a text");
    let gauges = [
        "calotype_requests_in_progress",
        "calotype_images_in_progress",
        "calotype_queue_length",
    ];
    let samples = page
        .lines()
        .filter(|line| gauges.iter().any(|gauge| line.starts_with(gauge)));
    let values = samples.map(|line| line.rsplit(' ').next().expect("a value").parse::<u64>());
    values.map(|value| value.expect("a number")).sum()
}

/// Requests of every kind, each as it is written.
fn requests(ids: &[String; 2]) -> Vec<Vec<u8>> {
    let get = |path: &str, version: &str| {
        format!("GET {path} HTTP/{version}\r\nHost: zone.test\r\nConnection: close\r\n\r\n")
            .into_bytes()
    };
    let api = |method: &str, path: &str, headers: &str| {
        format!(
            "{method} /client/v4/accounts/{ACCOUNT_ID}/images/{path} HTTP/1.1\r\nHost: test\r\n\
             Authorization: Bearer {API_TOKEN}\r\nConnection: close\r\n{headers}\r\n"
        )
    };
    let [photo, animation] = ids;
    let form = [
        &b"--x\r\nContent-Disposition: form-data; name=\"file\"\r\n\r\n"[..],
        ANIMATED,
        b"\r\n--x--\r\n",
    ]
    .concat();
    let form_headers = "Content-Type: multipart/form-data; boundary=x\r\n";
    let length = format!("{form_headers}Content-Length: {}\r\n", form.len());
    let chunked = format!("{form_headers}Transfer-Encoding: chunked\r\n");
    let chunks = [
        format!("{:x}\r\n", form.len()).as_bytes(),
        &form,
        b"\r\n0\r\n\r\n",
    ]
    .concat();
    let edit = format!(
        "{}{{\"metadata\":{{}}}}",
        api("PATCH", &format!("v1/{photo}"), "Content-Length: 15\r\n")
    );
    vec![
        get(&format!("/{ACCOUNT_HASH}/{photo}/public"), "1.1"),
        get(&format!("/{ACCOUNT_HASH}/{photo}/public"), "1.0"),
        get(&format!("/{ACCOUNT_HASH}/{photo}/width=20"), "1.1"),
        get(
            &format!("/{ACCOUNT_HASH}/{animation}/width=900,height=900,fit=cover,format=webp"),
            "1.1",
        ),
        get("/cdn-cgi/image/width=20/a.jpg", "1.1"),
        get("/cdn-cgi/image/width=20/silent", "1.1"),
        get("/cdn-cgi/image/width=20/silent", "1.0"),
        get("/livez", "1.1"),
        api("GET", "v1", "").into_bytes(),
        edit.into_bytes(),
        [api("POST", "v1", &length).as_bytes(), &form].concat(),
        [api("POST", "v1", &chunked).as_bytes(), &chunks].concat(),
        // The beginning of HTTP/2, and one request of it.
        [
            &b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0"[..],
            b"\0\0\x0b\x01\x05\0\0\0\x01\x82\x86\x04\x06/livez\x01",
            b"\x04test",
        ]
        .concat(),
    ]
}

/// Says a part of a request, reads a part of the answer, and leaves in one of the ways there are.
async fn visit(address: &str, request: &[u8], mut numbers: Numbers) {
    let mut stream = TcpStream::connect(address)
        .await
        .expect("the server listens");
    // Half of them say all.
    let said = (numbers.below(request.len() * 2)).min(request.len());
    for piece in request[..said].chunks(1 + numbers.below(request.len())) {
        if stream.write_all(piece).await.is_err() {
            return;
        }
        tokio::task::yield_now().await;
    }
    match numbers.below(4) {
        0 => {}
        1 => {
            let _ = stream.shutdown().await;
        }
        _ if said < request.len() => {}
        _ => {
            // Something, if it comes soon; nobody waits for those who are silent.
            let mut piece = vec![0; 1 + numbers.below(2_000)];
            let brief = Duration::from_millis(20);
            let _ = tokio::time::timeout(brief, stream.read(&mut piece)).await;
        }
    }
    // With a reset, or with an end; what was not read makes it a reset as well.
    if numbers.below(2) == 0 {
        let _ = stream.set_zero_linger();
    }
}

async fn visits(address: &str, requests: &[Vec<u8>]) {
    let clients = (0..AT_ONCE).map(|client| async move {
        let mut numbers = Numbers(client as u64);
        for _ in 0..CLIENTS / AT_ONCE {
            let request = &requests[numbers.below(requests.len())];
            let own = Numbers(numbers.below(usize::MAX >> 33) as u64);
            visit(address, request, own).await;
        }
    });
    futures_util::future::join_all(clients).await;
}

/// Row 41.
#[tokio::test(flavor = "multi_thread")]
async fn who_leaves_leaves_nothing_behind() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let origin = Origin::start(|asked| match asked.target() {
        "/silent" => Act::Stall(Vec::new()),
        _ => Act::Say(http("200 OK", "Cache-Control: no-store\r\n", PHOTO)),
    })
    .await;
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let metrics = free.local_addr().expect("it is bound").to_string();
    drop(free);
    let server = Settings::new()
        .set("metrics-listen", &metrics)
        .set("zones", "http://zone.test")
        .set("source-hosts", &format!("zone.test={}", origin.address))
        .set("header-timeout", "2s")
        .start();
    let (client, images) = (Client::new(), server.images_url());
    let metrics = format!("http://{metrics}/metrics");
    let call = async |method: Method, path: &str, form: Option<Form>| -> Value {
        let request = client.request(method, format!("{images}/v1{path}"));
        let request = request.bearer_auth(API_TOKEN).header("connection", "close");
        let request = match form {
            Some(form) => request.multipart(form),
            None => request.json(&json!({"flexible_variants": true})),
        };
        let answer = request.send().await.expect("an answer");
        answer.json().await.expect("an envelope")
    };
    call(Method::PATCH, "/config", None).await;
    let mut ids = [PHOTO, ANIMATED]
        .map(|bytes| Form::new().part("file", Part::bytes(bytes).file_name("a")))
        .into_iter();
    let mut upload = async || {
        let uploaded = call(Method::POST, "", ids.next()).await;
        uploaded["result"]["id"].as_str().expect("an id").to_owned()
    };
    let requests = requests(&[upload().await, upload().await]);

    let before = descriptors(&server);
    visits(server.address(), &requests).await;
    let deadline = Instant::now() + DEADLINE;
    loop {
        let under_way = in_progress(&client, &metrics).await;
        let open = descriptors(&server);
        if under_way == 0 && open <= before {
            break;
        }
        let left = format!("{open} descriptors are open, {before} were; {under_way} are under way");
        assert!(Instant::now() < deadline, "{left}");
        tokio::task::yield_now().await;
    }
    assert!(server.terminate().success());
}
