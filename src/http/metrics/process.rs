//! Memory, descriptors and processor time of this process, by the names which all clients of
//! Prometheus use (<https://prometheus.io/docs/instrumenting/writing_clientlibs/#process-metrics>).
//! What the system does not tell is left out.

use std::fs::{read_dir, read_to_string};

use rustix::process::{Resource, getrlimit};

use super::text::Page;

/// Ticks a second of `/proc`, which Linux promises to programs (`USER_HZ`).
const TICKS: f64 = 100.0;

pub(super) fn write(page: &mut Page) {
    let status = read_to_string("/proc/self/status").unwrap_or_default();
    if let Some(kibibytes) = status_number(&status, "VmRSS:") {
        page.gauge("process_resident_memory_bytes", "Memory in use.");
        page.sample(&[], kibibytes * 1024);
    }
    if let Some(threads) = status_number(&status, "Threads:") {
        page.gauge("process_threads", "Threads.");
        page.sample(&[], threads);
    }
    if let Ok(descriptors) = read_dir("/proc/self/fd") {
        page.gauge("process_open_fds", "Open files and connections.");
        // The listing itself holds one.
        page.sample(&[], descriptors.count().saturating_sub(1));
    }
    if let Some(most) = getrlimit(Resource::Nofile).current {
        page.gauge("process_max_fds", "How many may be open.");
        page.sample(&[], most);
    }
    let stat = read_to_string("/proc/self/stat").unwrap_or_default();
    if let Some(seconds) = cpu_seconds(&stat) {
        page.counter("process_cpu_seconds_total", "Processor time.");
        page.sample(&[], seconds);
    }
}

fn status_number(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

/// Fields 14 and 15 of proc(5), counted behind the name, which may hold anything.
fn cpu_seconds(stat: &str) -> Option<f64> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some((user + system) as f64 / TICKS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_system_tells_is_read() {
        let status = "Name:\tx\nVmRSS:\t  120 kB\nThreads:\t7\n";
        assert_eq!(status_number(status, "VmRSS:"), Some(120));
        assert_eq!(status_number(status, "Threads:"), Some(7));
        assert_eq!(status_number("", "VmRSS:"), None);
        let stat = "9 (a) b) S 1 9 9 0 -1 4194560 1 2 3 4 150 50 0 0 20 0 1";
        assert_eq!(cpu_seconds(stat), Some(2.0));
        assert_eq!(cpu_seconds("9 (a"), None);
    }
}
