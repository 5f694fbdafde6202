//! How often a batch token may be used: a fixed window of one second per token.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Counts requests by token. Cheap to clone; clones count together.
#[derive(Clone)]
pub(super) struct Rates {
    per_second: u32,
    windows: Arc<Mutex<HashMap<String, Window>>>,
}

#[derive(Clone, Copy)]
struct Window {
    start: Instant,
    requests: u32,
}

const WINDOW: Duration = Duration::from_secs(1);
/// From this many on, windows which are over are forgotten.
const WINDOWS_KEPT: usize = 1_024;

impl Rates {
    pub(super) fn new(per_second: u32) -> Self {
        Self {
            per_second,
            windows: Arc::default(),
        }
    }

    /// Counts a request at `now`; false if it is one too many.
    pub(super) fn allow(&self, token: &str, now: Instant) -> bool {
        let mut windows = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
        if windows.len() >= WINDOWS_KEPT {
            windows.retain(|_, window| now.duration_since(window.start) < WINDOW);
        }
        let fresh = Window {
            start: now,
            requests: 0,
        };
        let window = windows.entry(token.to_owned()).or_insert(fresh);
        if now.duration_since(window.start) >= WINDOW {
            *window = fresh;
        }
        window.requests = window.requests.saturating_add(1);
        window.requests <= self.per_second
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_token_has_its_own_second() {
        let rates = Rates::new(2);
        let start = Instant::now();
        assert!(rates.allow("a", start) && rates.allow("a", start));
        assert!(!rates.allow("a", start));
        assert!(rates.allow("b", start));
        assert!(rates.allow("a", start + WINDOW));
    }
}
