//! A real S3 server, started by the first test of a program which needs one and stopped with the
//! program. Every test has a part of its bucket of its own.

#![allow(dead_code, reason = "each test program uses a part of it")]

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The key of the server.
pub(crate) const KEY: (&str, &str) = (
    "GK000000000000000000000001",
    "0000000000000000000000000000000000000000000000000000000000000001",
);

/// The server, by way of the script which runs it. It ends when its input does.
pub(crate) struct S3 {
    endpoint: String,
    _child: Child,
    _input: ChildStdin,
}

/// A part of a bucket.
pub(crate) struct Prefix {
    /// Where the server is.
    pub(crate) endpoint: String,
    /// The bucket with a prefix which nobody else uses.
    pub(crate) url: String,
}

/// An empty part of the bucket of all tests. Without a server to start, the test is not run, and
/// says so.
pub(crate) fn prefix() -> Option<Prefix> {
    static SERVER: OnceLock<Option<S3>> = OnceLock::new();
    let server = SERVER.get_or_init(|| start(&[])).as_ref();
    if server.is_none() {
        skip();
    }
    server.map(S3::prefix)
}

impl S3 {
    /// A server of the test's own, which speaks TLS alone, with this certificate and its key.
    pub(crate) fn start_with_tls_or_skip([certificate, key]: &[PathBuf; 2]) -> Option<Self> {
        let started = start(&[
            ("CALOTYPE_TEST_S3_CERTIFICATE", certificate),
            ("CALOTYPE_TEST_S3_KEY", key),
        ]);
        if started.is_none() {
            skip();
        }
        started
    }

    /// An empty part of its bucket.
    pub(crate) fn prefix(&self) -> Prefix {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        Prefix {
            endpoint: self.endpoint.clone(),
            url: format!("s3://images/test/{number}"),
        }
    }
}

fn start(variables: &[(&str, &PathBuf)]) -> Option<S3> {
    let path = std::env::var_os("PATH")?;
    // Another one is asked for by name, and then it is there.
    if std::env::var_os("CALOTYPE_TEST_S3").is_none() {
        std::env::split_paths(&path).find(|folder| folder.join("radosgw").exists())?;
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .map(|folder| folder.join("scripts/s3.sh"))
        .find(|script| script.exists())
        .expect("the repository has the script");
    let mut child = Command::new(script)
        .envs(variables.iter().copied())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the script starts");
    let input = child.stdin.take().expect("its input is a pipe");
    let output = child.stdout.take().expect("its output is a pipe");
    let mut endpoint = String::new();
    let read = BufReader::new(output).read_line(&mut endpoint);
    read.expect("the script writes");
    assert!(
        endpoint.starts_with("http"),
        "the S3 server has not started"
    );
    Some(S3 {
        endpoint: endpoint.trim_end().to_owned(),
        _child: child,
        _input: input,
    })
}

/// Says, past the capture of test output, that a test has not been run.
fn skip() {
    assert!(
        std::env::var_os("CALOTYPE_REQUIRE_SERVERS").is_none_or(|value| value != "1"),
        "Ceph is missing: run scripts/setup-tests.sh",
    );
    let name = std::thread::current().name().unwrap_or("a test").to_owned();
    // `eprintln!` would be captured and dropped with the output of a passing test.
    let _ = writeln!(
        std::io::stderr(),
        "SKIPPED {name}: Ceph is missing (make setup-tests)"
    );
}
