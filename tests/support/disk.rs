//! A disk of the test's own, which may be full or read-only.

#![allow(dead_code, reason = "each test program uses a part of it")]

use std::io::Write as _;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

/// A file system of a few megabytes, in memory.
pub(crate) struct SmallDisk(TempDir);

impl SmallDisk {
    /// Where mounting is not allowed the test is not run, and says so.
    pub(crate) fn mount_or_skip() -> Option<Self> {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=12m", "tmpfs"])
            .arg(folder.path())
            .output();
        if mounted.is_ok_and(|output| output.status.success()) {
            return Some(Self(folder));
        }
        skip();
        None
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    /// From here on nothing can be written to it.
    pub(crate) fn make_read_only(&self) {
        self.remount("remount,ro");
    }

    /// The end of `make_read_only`.
    pub(crate) fn make_writable(&self) {
        self.remount("remount,rw");
    }

    fn remount(&self, options: &str) {
        let mut command = Command::new("mount");
        command.args(["-o", options]).arg(self.path());
        let output = command.output().expect("it was there a moment ago");
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{error}");
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // What is not unmounted here goes with the machine.
        let _ = Command::new("umount").arg("-l").arg(self.path()).output();
    }
}

/// Says, past the capture of test output, that a test has not been run. That is no failure: not everybody may
/// mount, not even as root in a container.
fn skip() {
    let name = std::thread::current().name().unwrap_or("a test").to_owned();
    // `eprintln!` would be captured and dropped with the output of a passing test.
    let _ = writeln!(
        std::io::stderr(),
        "SKIPPED {name}: it needs the right to mount a file system"
    );
}
