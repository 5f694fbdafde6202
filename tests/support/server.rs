//! The real program, started for one test and stopped with it.

#![allow(dead_code, reason = "each test program uses a part of it")]

use std::ffi::OsString;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// The account which every test server is given.
pub(crate) const ACCOUNT_ID: &str = "0123456789abcdef0123456789abcdef";
/// The public name of that account.
pub(crate) const ACCOUNT_HASH: &str = "Vi7wi5KSItxGFsWRG2Us6Q";
/// The token which may do everything in that account.
pub(crate) const API_TOKEN: &str = "test-token-4f1c9a7e2b";

/// A debug build on a busy machine is slow to start, but not this slow.
const START_DEADLINE: Duration = Duration::from_mins(1);
/// How long a server may drain after SIGTERM.
const STOP_DEADLINE: Duration = Duration::from_mins(1);

/// A running `calotype serve`. Dropping it kills the process; if the test is failing, what the
/// server logged is printed.
pub(crate) struct Server {
    child: Child,
    url: String,
    data_dir: PathBuf,
    log: Arc<Mutex<Vec<u8>>>,
    log_reader: Option<thread::JoinHandle<()>>,
    /// Keeps the folder of a server which was started without one of the test's own.
    _own_data_dir: Option<TempDir>,
}

/// Which settings a server is started with.
#[derive(Default)]
pub(crate) struct Settings {
    data_dir: Option<PathBuf>,
    flags: Vec<(String, String)>,
    variables: Vec<(String, String)>,
}

impl Settings {
    /// The defaults, in a fresh data folder.
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Starts on a folder of the test's own, which outlives the server.
    pub(crate) fn data_dir(mut self, folder: &Path) -> Self {
        self.data_dir = Some(folder.to_owned());
        self
    }

    /// Sets `--name value`, also in place of another value.
    pub(crate) fn set(mut self, name: &str, value: &str) -> Self {
        self.flags.retain(|(other, _)| other != name);
        self.flags.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Sets a variable of its environment.
    pub(crate) fn variable(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Starts the server and returns once it listens.
    pub(crate) fn start(self) -> Server {
        let own = self
            .data_dir
            .is_none()
            .then(|| tempfile::tempdir().expect("a temporary folder"));
        let data_dir = self
            .data_dir
            .or_else(|| own.as_ref().map(|folder| folder.path().join("data")))
            .expect("one of the two is there");

        let mut command = program();
        command
            .arg("serve")
            .args(["--listen", "127.0.0.1:0"])
            .args([OsString::from("--data-dir"), data_dir.clone().into()])
            .args(["--account-id", ACCOUNT_ID])
            .args(["--account-hash", ACCOUNT_HASH])
            .args(["--api-token", API_TOKEN]);
        for (name, value) in &self.flags {
            command.arg(format!("--{name}")).arg(value);
        }
        command.envs(self.variables);
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the built program starts");

        let log = Arc::new(Mutex::new(Vec::new()));
        let lines = read_stdout(&mut child);
        let log_reader = read_stderr(&mut child, &log);
        let mut server = Server {
            child,
            url: String::new(),
            data_dir,
            log,
            log_reader: Some(log_reader),
            _own_data_dir: own,
        };
        // From here on, a panic kills the process and prints its log.
        let first = lines
            .recv_timeout(START_DEADLINE)
            .expect("the server says where it listens, in time and before it ends");
        let url = first
            .strip_prefix(concat!(
                "calotype ",
                env!("CARGO_PKG_VERSION"),
                " listening on "
            ))
            .unwrap_or_else(|| panic!("an unexpected first line: {first}"));
        assert!(url.starts_with("http://127.0.0.1:"), "{first}");
        url.clone_into(&mut server.url);
        server
    }
}

/// The built program, without the settings of whoever runs the tests.
pub(crate) fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_calotype"));
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CALOTYPE_") || text.starts_with("OTEL_") {
            command.env_remove(name);
        }
    }
    command
}

impl Server {
    /// A server with the default settings in a fresh data folder.
    pub(crate) fn start() -> Self {
        Settings::new().start()
    }

    /// `http://127.0.0.1:<port>`, without a slash at the end.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// What an SDK calls its base URL.
    pub(crate) fn api_url(&self) -> String {
        format!("{}/client/v4", self.url)
    }

    /// The API of the test account.
    pub(crate) fn account_url(&self) -> String {
        format!("{}/accounts/{ACCOUNT_ID}", self.api_url())
    }

    /// The Images API of the test account, to be followed by `/v1…` or `/v2…`.
    pub(crate) fn images_url(&self) -> String {
        format!("{}/images", self.account_url())
    }

    /// `127.0.0.1:<port>`, for tests which write their own bytes.
    pub(crate) fn address(&self) -> &str {
        self.url.strip_prefix("http://").expect("checked at start")
    }

    /// Where the server keeps everything.
    pub(crate) fn data_dir(&self) -> &Path {
        &self.data_dir
    }

    /// The number of the process.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Ends the process as a power cut would: at once, whatever it is doing.
    pub(crate) fn kill9(mut self) {
        self.child.kill().expect("the process is still there");
        self.child.wait().expect("a killed process ends");
    }

    /// Ends the process in order and returns all that it logged.
    pub(crate) fn terminate_for_log(mut self) -> String {
        assert!(self.stop().success());
        let reader = self.log_reader.take().expect("taken here alone");
        reader.join().expect("reading does not panic");
        let log = self.log.lock().expect("nobody panics with it");
        String::from_utf8(log.clone()).expect("a log is text")
    }

    /// Asks the process to drain and waits for it.
    pub(crate) fn terminate(mut self) -> ExitStatus {
        self.stop()
    }

    /// Tells the process that what it read at the start has changed.
    pub(crate) fn hang_up(&self) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::HUP)
            .expect("the process is still there");
    }

    fn stop(&mut self) -> ExitStatus {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM)
            .expect("the process is still there");
        let deadline = Instant::now() + STOP_DEADLINE;
        loop {
            if let Some(status) = self.child.try_wait().expect("our own child") {
                return status;
            }
            assert!(Instant::now() < deadline, "the server does not end");
            thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Server {
    #[expect(
        clippy::print_stderr,
        reason = "the log of a failed test is for its reader"
    )]
    fn drop(&mut self) {
        // Neither can fail in a way that matters: the process is gone or about to be.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            let log = self.log.lock().map(|log| log.clone()).unwrap_or_default();
            let log = String::from_utf8_lossy(&log);
            let errors = log
                .lines()
                .filter(|line| line.contains(r#""level":"ERROR""#));
            eprintln!("--- the first errors in the server's log:");
            for line in errors.take(10) {
                eprintln!("{line}");
            }
            let tail = log.lines().rev().take(40).collect::<Vec<_>>();
            eprintln!("--- the last lines of the server's log:");
            for line in tail.iter().rev() {
                eprintln!("{line}");
            }
        }
    }
}

/// Hands on the lines of standard output, and keeps reading so that the server never blocks.
fn read_stdout(child: &mut Child) -> mpsc::Receiver<String> {
    let stdout = child.stdout.take().expect("a piped output");
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            // Only the first line has a listener.
            let _ = sender.send(line);
        }
    });
    receiver
}

/// Collects standard error.
fn read_stderr(child: &mut Child, log: &Arc<Mutex<Vec<u8>>>) -> thread::JoinHandle<()> {
    let mut stderr = child.stderr.take().expect("a piped output");
    let log = Arc::clone(log);
    thread::spawn(move || {
        let mut piece = [0; 4096];
        while let Ok(read @ 1..) = stderr.read(&mut piece) {
            if let Ok(mut log) = log.lock() {
                log.extend_from_slice(&piece[..read]);
            }
        }
    })
}
