//! Upload times, each greater than those before.

use std::sync::atomic::{AtomicI64, Ordering};

use model::Timestamp;

/// The latest upload time, in microseconds.
#[derive(Debug)]
pub(super) struct Moments(AtomicI64);

impl Moments {
    pub(super) fn after(last: i64) -> Self {
        Self(AtomicI64::new(last))
    }

    /// `wanted`, or the next moment which was not given out yet.
    pub(super) fn unique(&self, wanted: Timestamp) -> Timestamp {
        let next = |last: i64| wanted.micros().max(last.saturating_add(1));
        let last = self.0.update(Ordering::SeqCst, Ordering::SeqCst, next);
        Timestamp::from_micros(next(last))
    }

    /// Everything up to this moment is taken.
    pub(super) fn pass(&self, moment: i64) {
        self.0.fetch_max(moment, Ordering::SeqCst);
    }
}
