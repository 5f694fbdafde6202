//! A real PostgreSQL, started by the first test of a program which needs one and stopped with the
//! program. Every test has a database of its own in it.

#![allow(dead_code, reason = "each test program uses a part of it")]

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

/// The server, by way of the script which runs it. It ends when its input does.
pub(crate) struct Postgres {
    url: String,
    script: Mutex<Script>,
}

struct Script {
    _child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

/// The address of a new database in the server of all tests. Without a PostgreSQL to start, the
/// test is not run, and says so.
pub(crate) fn database() -> Option<String> {
    static SERVER: OnceLock<Option<Postgres>> = OnceLock::new();
    let server = SERVER.get_or_init(Postgres::start).as_ref();
    if server.is_none() {
        skip();
    }
    server.map(Postgres::create)
}

impl Postgres {
    /// A server of the test's own, to be treated badly.
    pub(crate) fn start_or_skip() -> Option<Self> {
        let started = Self::start();
        if started.is_none() {
            skip();
        }
        started
    }

    /// A server which speaks TLS with this certificate and its key, and takes no connection without.
    pub(crate) fn start_with_tls_or_skip([certificate, key]: &[PathBuf; 2]) -> Option<Self> {
        let started = Self::start_with(&[
            ("CALOTYPE_TEST_POSTGRES_CERTIFICATE", certificate),
            ("CALOTYPE_TEST_POSTGRES_KEY", key),
        ]);
        if started.is_none() {
            skip();
        }
        started
    }

    fn start() -> Option<Self> {
        Self::start_with(&[])
    }

    fn start_with(variables: &[(&str, &PathBuf)]) -> Option<Self> {
        if !is_installed() {
            return None;
        }
        let script = Path::new(env!("CARGO_MANIFEST_DIR"))
            .ancestors()
            .map(|folder| folder.join("scripts/postgres.sh"))
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
        let mut output = BufReader::new(output);
        let mut url = String::new();
        output.read_line(&mut url).expect("the script writes");
        assert!(url.starts_with("postgres://"), "PostgreSQL has not started");
        Some(Self {
            url: url.trim_end().to_owned(),
            script: Mutex::new(Script {
                _child: child,
                input,
                output,
            }),
        })
    }

    /// The address of a new database.
    pub(crate) fn create(&self) -> String {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let name = format!("test{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        self.tell(&format!("create {name}"));
        format!("{}/{name}", self.url)
    }

    /// Executes statements, which may hold no new line, in the database of this address.
    pub(crate) fn execute(&self, database: &str, sql: &str) {
        let (_, name) = database.rsplit_once('/').expect("a database");
        self.tell(&format!("sql {name} {sql}"));
    }

    /// Kills the server as a loss of power would, and starts it again.
    pub(crate) fn crash(&self) {
        self.tell("crash ");
    }

    /// The server stands still, and its connections with it.
    pub(crate) fn pause(&self) {
        self.tell("pause ");
    }

    /// The end of `pause`.
    pub(crate) fn resume(&self) {
        self.tell("resume ");
    }

    fn tell(&self, command: &str) {
        let mut script = self.script.lock().unwrap_or_else(PoisonError::into_inner);
        writeln!(script.input, "{command}").expect("the script reads");
        let mut answer = String::new();
        script.output.read_line(&mut answer).expect("it answers");
        assert_eq!(answer.trim_end(), command.trim_end());
    }
}

fn is_installed() -> bool {
    let in_path = std::env::var_os("PATH").is_some_and(|path| {
        std::env::split_paths(&path).any(|folder| folder.join("initdb").exists())
    });
    let debian = std::fs::read_dir("/usr/lib/postgresql");
    in_path || debian.is_ok_and(|mut versions| versions.next().is_some())
}

/// Says, past the capture of test output, that a test has not been run.
fn skip() {
    assert!(
        std::env::var_os("CALOTYPE_REQUIRE_SERVERS").is_none_or(|value| value != "1"),
        "PostgreSQL is missing: run scripts/setup-tests.sh",
    );
    let name = std::thread::current().name().unwrap_or("a test").to_owned();
    // `eprintln!` would be captured and dropped with the output of a passing test.
    let _ = writeln!(
        std::io::stderr(),
        "SKIPPED {name}: PostgreSQL is missing (make setup-tests)"
    );
}
