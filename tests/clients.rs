//! The official client libraries, unmodified, and the raw bytes of other clients, against the real
//! program.
//!
//! The programs are in `tests/clients/`; `scripts/setup-tests.sh` installs what they need into
//! `.tools/`. Where that is missing a test says so and passes, unless `CALOTYPE_REQUIRE_CLIENTS=1`
//! makes it fail, as `make test` does.

#[path = "support/picture.rs"]
mod picture;
#[path = "support/server.rs"]
mod server;
#[path = "clients/wire.rs"]
mod wire;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use server::{ACCOUNT_ID, API_TOKEN, Server, Settings};

#[test]
fn the_documented_go_program_lists_images() {
    let Some(folder) = go() else { return };
    let server = start();
    let id = wire::upload_tiny(&server, Some("listed/by go.png"));
    assert_eq!(id, "listed/by go.png");
    let output = run(&server, go_run(&folder, "list"));
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(printed.contains(&id), "{printed}");
}

#[test]
fn the_go_sdk_does_everything() {
    let Some(folder) = go() else { return };
    run(&start(), go_run(&folder, "suite"));
}

#[test]
fn the_typescript_sdk_does_everything() {
    let node = runs(Command::new("node").arg("--version"));
    if !(node && tools().join("typescript/node_modules/cloudflare").is_dir()) {
        return skip("Node or the npm package cloudflare");
    }
    let mut command = Command::new("node");
    command.arg(programs().join("typescript/suite.mjs"));
    run(&start(), command);
}

#[test]
fn a_worker_uses_the_images_binding() {
    run_with_workerd("binding.mjs", &start());
}

#[test]
fn a_worker_fetches_transformed_images() {
    let settings = Settings::new().set("allow-private-sources", "true");
    run_with_workerd("cf-image.mjs", &settings.set("source-ports", "any").start());
}

#[test]
fn a_browser_shows_what_is_delivered() {
    let node = runs(Command::new("node").arg("--version"));
    let names = ["chromium", "chromium-browser", "google-chrome"];
    let given = std::env::var("CHROMIUM").ok();
    let mut names = given.into_iter().chain(names.map(str::to_owned));
    let chromium = names.find(|name| runs(Command::new(name).arg("--version")));
    let Some(chromium) = chromium.filter(|_| node) else {
        return skip("Node or Chromium");
    };
    let mut command = Command::new("node");
    command.arg(programs().join("browser.mjs"));
    command.env("CHROMIUM", chromium);
    run(&start(), command);
}

fn run_with_workerd(program: &str, server: &Server) {
    let node = runs(Command::new("node").arg("--version"));
    if !(node && tools().join("typescript/node_modules/workerd").is_dir()) {
        return skip("Node or the npm package workerd");
    }
    let mut command = Command::new("node");
    command.arg(programs().join("typescript").join(program));
    run(server, command);
}

#[test]
fn the_python_sdk_does_everything() {
    let python = tools().join("python/bin/python");
    if !runs(Command::new(&python).args(["-c", "import cloudflare"])) {
        return skip("Python or the package cloudflare");
    }
    let mut command = Command::new(python);
    command
        .args(["-B", "-W", "ignore::DeprecationWarning"])
        .arg(programs().join("python/suite.py"));
    run(&start(), command);
}

/// A server which may fetch from the origin that the client program opens on this machine.
fn start() -> Server {
    Settings::new().set("allow-private-sources", "true").start()
}

/// Runs one client program against the server; it must succeed.
fn run(server: &Server, mut command: Command) -> Output {
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("CLOUDFLARE_") {
            command.env_remove(name);
        }
    }
    let output = command
        .env("CLOUDFLARE_BASE_URL", server.api_url())
        .env("CLOUDFLARE_API_TOKEN", API_TOKEN)
        .env("CLOUDFLARE_ACCOUNT_ID", ACCOUNT_ID)
        .env("NO_PROXY", "127.0.0.1")
        .env("NO_COLOR", "1")
        .stdin(Stdio::null())
        .output()
        .expect("the program was found before");
    assert!(
        output.status.success(),
        "{command:?} ended with {}\n{}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    output
}

/// Where the Go programs are, if they can be built without fetching anything.
fn go() -> Option<PathBuf> {
    let folder = programs().join("go");
    let mut list = Command::new("go");
    list.args(["list", "-deps", "./..."])
        .env("GOFLAGS", "-mod=readonly")
        .env("GOPROXY", "off")
        .current_dir(&folder);
    if runs(&mut list) {
        return Some(folder);
    }
    skip("Go or the module cloudflare-go");
    None
}

fn go_run(folder: &Path, program: &str) -> Command {
    let mut command = Command::new("go");
    command
        .args(["run", &format!("./{program}")])
        .env("GOPROXY", "off")
        .current_dir(folder);
    command
}

fn programs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients")
}

fn tools() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(".tools")
}

/// Whether this command exists and succeeds.
fn runs(command: &mut Command) -> bool {
    command
        .stdin(Stdio::null())
        .output()
        .is_ok_and(|output| output.status.success())
}

/// Says, past the capture of test output, that a test has not been run.
fn skip(missing: &str) {
    assert!(
        std::env::var_os("CALOTYPE_REQUIRE_CLIENTS").is_none_or(|value| value != "1"),
        "{missing} is missing: run scripts/setup-tests.sh",
    );
    let name = std::thread::current().name().unwrap_or("a test").to_owned();
    // `eprintln!` would be captured and dropped with the output of a passing test.
    let _ = writeln!(
        std::io::stderr(),
        "SKIPPED {name}: {missing} is missing (make setup-tests)"
    );
}
