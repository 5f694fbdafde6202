//! How fast the program is as a whole: the time to its first line, memory, lists and durable uploads
//! over HTTP, on a catalog of a million images.
//!
//! `CALOTYPE_BENCH_FOLDER` names the folder which the bench `catalog` of the crate `store` has filled
//! (see `make bench`); without it, the server starts empty.

#![expect(clippy::print_stdout, reason = "a bench prints its figures")]

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use reqwest::Client;
use reqwest::multipart::{Form, Part};
use serde_json::Value;

mod measuring;

const STARTS: usize = 11;
const ROUNDS: usize = 21;
const UPLOADS: usize = 1_000;
const CLIENTS: usize = 16;
const UPLOAD_BYTES: usize = 200_000;

fn main() {
    // `cargo test --benches` runs this too, and wants to see only that it works.
    let is_bench = std::env::args().any(|argument| argument == "--bench");
    let _ = rustls::crypto::ring::default_provider().install_default();
    let temporary = tempfile::tempdir().expect("a temporary folder can be made");
    let given = std::env::var("CALOTYPE_BENCH_FOLDER").ok();
    let folder = given.map_or(temporary.path().to_owned(), PathBuf::from);
    let runtime = tokio::runtime::Runtime::new().expect("a runtime starts");
    let uploads = if is_bench { UPLOADS } else { 20 };
    runtime.block_on(run(&folder, uploads));
}

async fn run(folder: &Path, uploads: usize) {
    let mut starts: Vec<_> = (0..STARTS).map(|_| Server::start(folder).ready).collect();
    // The first start makes the account and migrates.
    starts.remove(0);
    starts.sort();
    let (best, median) = (starts[0], starts[starts.len() / 2]);
    println!("ready after start: median {median:?}, best {best:?}");

    let server = Server::start(folder);
    println!("memory after start: {} kB", server.resident_kb());
    let token = Server::token(folder);
    let client = Client::new();
    let api = format!("{}/client/v4/accounts", server.url);
    let accounts = get(&client, &api, &token).await;
    let account = accounts["result"][0]["id"].as_str().expect("an account");
    let images = format!("{api}/{account}/images");
    let stats = get(&client, &format!("{images}/v1/stats"), &token).await;
    println!(
        "images of the account: {}",
        stats["result"]["count"]["current"]
    );
    for list in [
        "v2?per_page=1000",
        "v2?per_page=1000&sort_order=asc",
        "v1?per_page=10000",
        "v1?per_page=10000&page=60",
        "v1?per_page=60&page=10000",
    ] {
        let mut times = Vec::new();
        for _ in 0..ROUNDS {
            let request = client.get(format!("{images}/{list}")).bearer_auth(&token);
            let start = Instant::now();
            let response = request.send().await.expect("an answer");
            // The head comes when the whole body is ready, which is then only to be received.
            times.push(start.elapsed());
            response.bytes().await.expect("a body");
        }
        times.sort();
        println!(
            "GET {list}: median {:?}, worst {:?}",
            times[ROUNDS / 2],
            times[ROUNDS - 1]
        );
    }

    let picture = measuring::picture(1_200, 900, UPLOAD_BYTES);
    println!("uploads of {} bytes by {CLIENTS} clients", picture.len());
    let (start, cpu) = (Instant::now(), measuring::cpu(&server.child));
    let clients = (0..CLIENTS).map(|number| {
        let (client, picture) = (Client::new(), picture.clone());
        let (url, token) = (format!("{images}/v1"), token.clone());
        let share = uploads / CLIENTS + usize::from(number < uploads % CLIENTS);
        tokio::spawn(async move {
            let mut times = Vec::new();
            for _ in 0..share {
                let part = Part::stream_with_length(picture.clone(), picture.len() as u64);
                let form = Form::new().part("file", part.file_name("a.jpg"));
                let request = client.post(&url).bearer_auth(&token).multipart(form);
                let start = Instant::now();
                let response = request.send().await.expect("an answer");
                assert_eq!(response.status(), 200);
                response.bytes().await.expect("a body");
                times.push(start.elapsed());
            }
            times
        })
    });
    let mut times = Vec::new();
    for client in clients.collect::<Vec<_>>() {
        times.extend(client.await.expect("a client"));
    }
    let (elapsed, cpu) = (
        start.elapsed(),
        measuring::cpu(&server.child).saturating_sub(cpu),
    );
    times.sort();
    println!(
        "{:.0} uploads a second; median {:?}, 99 % within {:?}; server CPU {:?} each",
        uploads as f64 / elapsed.as_secs_f64(),
        times[uploads / 2],
        times[uploads * 99 / 100],
        cpu / uploads as u32,
    );
    println!("memory after uploads: {} kB", server.resident_kb());
    tokio::time::sleep(Duration::from_secs(8)).await;
    println!("memory when idle again: {} kB", server.resident_kb());
}

async fn get(client: &Client, url: &str, token: &str) -> Value {
    let response = client.get(url).bearer_auth(token).send().await;
    let response = response.expect("an answer");
    response.json().await.expect("an envelope")
}

struct Server {
    child: Child,
    url: String,
    ready: Duration,
}

impl Server {
    fn start(folder: &Path) -> Self {
        let mut command = program("serve", folder);
        command.args(["--listen", "127.0.0.1:0", "--data-dir"]);
        command.arg(folder.join("data"));
        let start = Instant::now();
        let child = command.stdout(Stdio::piped()).spawn();
        let mut child = child.expect("the program starts");
        let output = child.stdout.take().expect("a piped output");
        let mut line = String::new();
        let read = BufReader::new(output).read_line(&mut line);
        read.expect("a first line");
        let ready = start.elapsed();
        let url = line.trim().rsplit(' ').next().expect("an address");
        let url = url.to_owned();
        Self { child, url, ready }
    }

    /// A token for the first account of the catalog.
    fn token(folder: &Path) -> String {
        let listed = program("account", folder)
            .args(["list", "--json", "--data-dir"])
            .arg(folder.join("data"))
            .output()
            .expect("the program starts");
        let first = listed.stdout.split(|byte| *byte == b'\n').next();
        let first: Value = serde_json::from_slice(first.expect("a line")).expect("an account");
        let made = program("token", folder)
            .args(["create", "--json", "--permission", "write", "--account"])
            .arg(first["id"].as_str().expect("an id"))
            .arg("--data-dir")
            .arg(folder.join("data"))
            .output()
            .expect("the program starts");
        let made: Value = serde_json::from_slice(&made.stdout).expect("a token");
        let secret = made["token"].as_str().or(made["secret"].as_str());
        secret.expect("the secret").to_owned()
    }

    fn resident_kb(&self) -> u64 {
        let path = format!("/proc/{}/status", self.child.id());
        let status = std::fs::read_to_string(path).expect("the process is there");
        let line = status.lines().find(|line| line.starts_with("VmRSS:"));
        let number = line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok());
        number.expect("a number")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The program on the catalog in a folder, which the bench of the catalog sealed with this key.
fn program(command: &str, folder: &Path) -> Command {
    let mut program = Command::new(env!("CARGO_BIN_EXE_calotype"));
    program.arg(command);
    program.env("CALOTYPE_SECRET_KEY", "07".repeat(32));
    let database = folder.join("catalog.sqlite");
    program.env(
        "CALOTYPE_DATABASE",
        format!("sqlite:{}", database.display()),
    );
    program.env_remove("CALOTYPE_BENCH_FOLDER");
    program
}
