//! How nodes on PostgreSQL and an S3 store do: the time until one answers on a database which is there, what
//! an upload adds to what the store itself takes, and what a second node adds to the first.
//!
//! `scripts/bench-scale.sh` starts the two and says where they are: `CALOTYPE_BENCH_DATABASE`,
//! `CALOTYPE_BENCH_S3`, and in `CALOTYPE_BENCH_SERVERS` the ids of the processes which run them, with commas
//! between. Without the first two there is nothing to measure.

#![expect(clippy::print_stdout, reason = "a bench prints its figures")]

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::future::join_all;
use model::BlobKey;
use reqwest::Client;
use reqwest::multipart::{Form, Part};
use serde_json::{Value, json};
use store::{Blobs, Bucket, BucketUrl};

#[path = "measuring/distance.rs"]
mod distance;
mod measuring;

const STARTS: usize = 11;
/// All of a run is some 500 MB; a store in memory has a gigabyte, and stops taking more.
const UPLOADS: usize = 200;
const UPLOAD_BYTES: usize = 200_000;
/// For stores which take 25 and 45 ms, as buckets behind a network may.
const AWAY: [Duration; 2] = [Duration::from_millis(10), Duration::from_millis(20)];
const MISSES: usize = 400;
/// Those of `scripts/s3.sh`.
const KEY: (&str, &str) = (
    "GK000000000000000000000001",
    "0000000000000000000000000000000000000000000000000000000000000001",
);
const TOKEN: &str = "tttttttttttttttttttttttttttttttttttttttt";
const ACCOUNT: &str = "0123456789abcdef0123456789abcdef";
const HASH: &str = "Vi7wi5KSItxGFsWRG2Us6Q";

fn main() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let variable = |name: &str| std::env::var(name).ok();
    let (Some(database), Some(endpoint)) = (
        variable("CALOTYPE_BENCH_DATABASE"),
        variable("CALOTYPE_BENCH_S3"),
    ) else {
        println!("no PostgreSQL and S3: nodes are not measured");
        return;
    };
    let place = Place { database, endpoint };
    let runtime = tokio::runtime::Runtime::new().expect("a runtime starts");
    runtime.block_on(run(&place));
}

/// What all nodes share.
struct Place {
    database: String,
    endpoint: String,
}

async fn run(place: &Place) {
    drop(Node::start(place, None));
    let mut starts: Vec<_> = (0..STARTS)
        .map(|_| Node::start(place, None).ready)
        .collect();
    starts.sort();
    let (median, worst) = (starts[STARTS / 2], starts[STARTS - 1]);
    println!("ready on an existing database: median {median:?}, worst {worst:?}");

    let small = measuring::picture(1_200, 900, UPLOAD_BYTES);
    uploads(place, &small).await;
    for away in AWAY {
        println!("the store {away:?} away in each direction:");
        let further = Place {
            database: place.database.clone(),
            endpoint: distance::between(&place.endpoint, away).await,
        };
        uploads(&further, &small).await;
    }
    let large = measuring::picture(2_000, 1_333, 1_000_000);
    misses(place, &large).await;
}

/// What the store takes for the same bytes, and then an upload of them, in turns.
async fn uploads(place: &Place, picture: &Bytes) {
    let node = Node::start(place, None);
    let bucket = Bucket {
        url: BucketUrl::parse("s3://images/direct").expect("a bucket"),
        endpoint: Some(place.endpoint.clone()),
        region: None,
        path_style: true,
        credentials: Some((KEY.0.to_owned(), KEY.1.to_owned())),
    };
    let blobs = &Blobs::bucket(&bucket).expect("the bucket opens");
    let client = &Client::new();
    let put = || async {
        let key = BlobKey::generate();
        let put = blobs.put(&key, picture.clone());
        put.await.expect("the store takes it");
    };
    let upload = || async {
        node.upload(client, picture).await;
    };
    println!("{} bytes of an upload", picture.len());
    for clients in [1, 16] {
        // The first of each opens connections.
        timed(clients, clients, &put).await;
        timed(clients, clients, &upload).await;
        let direct = timed(clients, UPLOADS, &put).await;
        let whole = timed(clients, UPLOADS, &upload).await;
        println!("{clients} at a time: the store alone {direct}, an upload {whole}");
    }
}

/// How long each took, and how many there were in a second.
async fn timed<F: Future<Output = ()>>(
    clients: usize,
    turns: usize,
    work: &impl Fn() -> F,
) -> String {
    let start = Instant::now();
    let left = AtomicUsize::new(turns);
    let times = join_all((0..clients).map(async |_| {
        let mut times = Vec::new();
        while left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
                left.checked_sub(1)
            })
            .is_ok()
        {
            let start = Instant::now();
            work().await;
            times.push(start.elapsed());
        }
        times
    }));
    let mut times: Vec<Duration> = times.await.into_iter().flatten().collect();
    let rate = times.len() as f64 / start.elapsed().as_secs_f64();
    times.sort();
    let (median, late) = (times[times.len() / 2], times[times.len() * 99 / 100]);
    format!("median {median:.2?}, 99 % within {late:.2?}, {rate:.0} a second")
}

/// The same renditions from one node with a core, and from two with a core each; three times, in turns. The
/// clients, the database and the store are on the same cores, so that they cost one node as much as each of two.
async fn misses(place: &Place, picture: &Bytes) {
    let client = &Client::new();
    Node::start(place, None).allow_options(client).await;
    // The same sizes in another quality each time, so that all are new and cost the same.
    let mut quality = 60;
    for _ in 0..3 {
        for cores in [&[0][..], &[1], &[0, 1]] {
            quality += 1;
            stay_on(cores);
            let nodes = cores.iter().map(|core| Node::start(place, Some(*core)));
            let nodes: Vec<Node> = nodes.collect();
            let id = &nodes[0].upload(client, picture).await;
            // Whoever comes first fetches the source.
            for node in &nodes {
                node.rendition(client, id, "width=100").await;
            }
            let next = &AtomicUsize::new(0);
            let cpu = || {
                nodes
                    .iter()
                    .map(|node| measuring::cpu(&node.child))
                    .sum::<Duration>()
            };
            let (start, before) = (Instant::now(), cpu());
            // Two clients for each node keep its core busy.
            join_all((0..2 * nodes.len()).map(|number| {
                let node = &nodes[number % nodes.len()];
                async move {
                    loop {
                        let turn = next.fetch_add(1, Ordering::Relaxed);
                        if turn >= MISSES {
                            break;
                        }
                        let height = 300 + turn;
                        let options =
                            format!("width=512,height={height},fit=cover,quality={quality}");
                        node.rendition(client, id, &options).await;
                    }
                }
            }))
            .await;
            let rate = MISSES as f64 / start.elapsed().as_secs_f64();
            let each = cpu().saturating_sub(before) / MISSES as u32;
            println!(
                "misses by nodes on cores {cores:?}: {rate:.1} a second, {each:.1?} of a node's CPU each"
            );
        }
    }
}

/// Lets this program, the database and the store run on these cores alone.
fn stay_on(cores: &[usize]) {
    let list: Vec<String> = cores.iter().map(ToString::to_string).collect();
    let mut processes = servers();
    processes.push(std::process::id().to_string());
    for process in &processes {
        // One which has just ended is not missed.
        let _ = Command::new("taskset")
            .args([
                "--all-tasks",
                "--cpu-list",
                "--pid",
                &list.join(","),
                process,
            ])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
    }
}

/// The processes of `CALOTYPE_BENCH_SERVERS`, and all which they and theirs started.
fn servers() -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    let mut parents = std::env::var("CALOTYPE_BENCH_SERVERS").unwrap_or_default();
    while !parents.is_empty() {
        found.extend(parents.split(',').map(str::to_owned));
        let children = Command::new("pgrep")
            .args(["--delimiter", ",", "--parent", &parents])
            .output();
        let children = children.expect("pgrep is there").stdout;
        String::from_utf8_lossy(&children)
            .trim()
            .clone_into(&mut parents);
    }
    found
}

/// A running node with a folder of its own.
struct Node {
    child: Child,
    url: String,
    ready: Duration,
    _folder: tempfile::TempDir,
}

impl Node {
    /// On all cores, or with one thread of each kind on this one alone.
    fn start(place: &Place, core: Option<usize>) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let program = env!("CARGO_BIN_EXE_calotype");
        let mut command = match core {
            Some(core) => {
                let mut command = Command::new("taskset");
                command.args(["--cpu-list", &core.to_string(), program]);
                command.env("CALOTYPE_RENDER_THREADS", "1");
                command
            }
            None => Command::new(program),
        };
        for (name, value) in [
            ("LISTEN", "127.0.0.1:0"),
            ("DATABASE", &place.database),
            ("BLOBS", "s3://images/bench"),
            ("S3_ENDPOINT", &place.endpoint),
            ("S3_ACCESS_KEY_ID", KEY.0),
            ("S3_SECRET_ACCESS_KEY", KEY.1),
            ("SECRET_KEY", &"07".repeat(32)),
            ("API_TOKEN", TOKEN),
            ("ACCOUNT_ID", ACCOUNT),
            ("ACCOUNT_HASH", HASH),
            ("LOG", "warn"),
        ] {
            command.env(format!("CALOTYPE_{name}"), value);
        }
        for name in ["DATABASE", "S3", "SERVERS"] {
            command.env_remove(format!("CALOTYPE_BENCH_{name}"));
        }
        command.env("CALOTYPE_DATA_DIR", folder.path());
        let start = Instant::now();
        let child = command.arg("serve").stdout(Stdio::piped()).spawn();
        let mut child = child.expect("the program starts");
        let output = child.stdout.take().expect("a piped output");
        let mut line = String::new();
        let read = BufReader::new(output).read_line(&mut line);
        read.expect("a first line");
        let ready = start.elapsed();
        let url = line
            .trim()
            .rsplit(' ')
            .next()
            .expect("an address")
            .to_owned();
        Self {
            child,
            url,
            ready,
            _folder: folder,
        }
    }

    /// The id of the new image.
    async fn upload(&self, client: &Client, picture: &Bytes) -> String {
        let api = format!("{}/client/v4/accounts/{ACCOUNT}/images/v1", self.url);
        let part = Part::stream_with_length(picture.clone(), picture.len() as u64);
        let form = Form::new().part("file", part.file_name("a.jpg"));
        let request = client.post(&api).bearer_auth(TOKEN).multipart(form);
        let answer = request.send().await.expect("an answer");
        assert_eq!(answer.status(), 200);
        let answer: Value = answer.json().await.expect("an envelope");
        answer["result"]["id"].as_str().expect("an id").to_owned()
    }

    async fn rendition(&self, client: &Client, id: &str, options: &str) {
        let url = format!("{}/{HASH}/{id}/{options}", self.url);
        let answer = client.get(url).send().await.expect("an answer");
        assert_eq!(answer.status(), 200);
        answer.bytes().await.expect("a body");
    }

    async fn allow_options(&self, client: &Client) {
        let api = format!("{}/client/v4/accounts/{ACCOUNT}/images/v1/config", self.url);
        let request = client.patch(&api).bearer_auth(TOKEN);
        let request = request.json(&json!({"flexible_variants": true}));
        let answer = request.send().await.expect("an answer");
        assert_eq!(answer.status(), 200);
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
