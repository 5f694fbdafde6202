//! An authority which vouches for the servers of one test, made by OpenSSL.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

/// Its certificate, its key, and what it vouched for. It is gone when it is dropped.
pub(crate) struct Authority(TempDir);

impl Authority {
    /// Without OpenSSL the test is not run, and says so.
    pub(crate) fn new_or_skip() -> Option<Self> {
        let path = std::env::var_os("PATH")?;
        if !std::env::split_paths(&path).any(|folder| folder.join("openssl").exists()) {
            skip();
            return None;
        }
        let authority = Self(tempfile::tempdir().expect("a temporary folder"));
        let extensions = "basicConstraints = critical, CA:TRUE\nkeyUsage = critical, keyCertSign";
        authority.make("authority", extensions, &[]);
        Some(authority)
    }

    /// The certificate which is to be trusted, as a file of PEM.
    pub(crate) fn certificate(&self) -> PathBuf {
        self.path("authority.pem")
    }

    /// A certificate for a server of this name, as in `DNS:db.test` or `IP:127.0.0.1`, and its key.
    pub(crate) fn vouch_for(&self, name: &str) -> [PathBuf; 2] {
        let extensions = format!("basicConstraints = CA:FALSE\nsubjectAltName = {name}");
        let (certificate, key) = (self.certificate(), self.path("authority.key"));
        let signer = [
            Path::new("-CA"),
            certificate.as_path(),
            Path::new("-CAkey"),
            key.as_path(),
        ];
        self.make("server", &extensions, &signer);
        [self.path("server.pem"), self.path("server.key")]
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Makes a certificate with its key, signed by itself unless a signer is given.
    fn make(&self, name: &str, extensions: &str, signer: &[&Path]) {
        let settings = self.path("settings");
        // So that no two authorities have one name: a client would look for the wrong one's signature.
        let folder = self.0.path().file_name().unwrap_or_default();
        let folder = folder.display();
        let text = format!(
            "[req]\ndistinguished_name = subject\nx509_extensions = extensions\nprompt = no\n\
             [subject]\nCN = {name} of {folder}\n[extensions]\n{extensions}\n"
        );
        std::fs::write(&settings, text).expect("a file");
        let made = Command::new("openssl")
            .args(["req", "-x509", "-days", "2", "-nodes", "-newkey", "ec"])
            .args(["-pkeyopt", "ec_paramgen_curve:P-256", "-config"])
            .arg(settings)
            .arg("-keyout")
            .arg(self.path(&format!("{name}.key")))
            .arg("-out")
            .arg(self.path(&format!("{name}.pem")))
            .args(signer)
            .output()
            .expect("OpenSSL runs");
        let error = String::from_utf8_lossy(&made.stderr);
        assert!(made.status.success(), "{error}");
    }
}

/// Says, past the capture of test output, that a test has not been run.
fn skip() {
    assert!(
        std::env::var_os("CALOTYPE_REQUIRE_SERVERS").is_none_or(|value| value != "1"),
        "OpenSSL is missing: run scripts/setup-tests.sh",
    );
    let name = std::thread::current().name().unwrap_or("a test").to_owned();
    // `eprintln!` would be captured and dropped with the output of a passing test.
    let _ = writeln!(
        std::io::stderr(),
        "SKIPPED {name}: OpenSSL is missing (make setup-tests)"
    );
}
