//! What the service counts of its work, for whoever watches it.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use crate::deliver::DeliveryError;
use crate::load::Shed;
use crate::notifications::Told;
use crate::rendering::{Rendered, Tier};

/// Counts since the start. Counting takes no lock, so the counts of one reading may be a moment
/// apart.
#[derive(Debug, Default)]
pub struct Meters {
    found: [AtomicU64; Tier::ALL.len()],
    rendered: [AtomicU64; RENDERED.len()],
    rendering: Histogram,
    stored: AtomicU64,
    stored_bytes: AtomicU64,
    refused: AtomicU64,
    fetches: [AtomicU64; Fetch::ALL.len()],
    shed: [AtomicU64; Shed::STEPS.len()],
    late: AtomicU64,
    notifications: [AtomicU64; 3],
}

/// How a request to an origin went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fetch {
    Fetched,
    Unchanged,
    Failed,
}

impl Fetch {
    const ALL: [&str; 3] = ["fetched", "unchanged", "failed"];
}

/// Every outcome of a rendering: its format, by media type and short, and how it went.
const RENDERED: [(&str, &str, &str); 12] = [
    ("image/avif", "avif", "ok"),
    ("image/gif", "gif", "ok"),
    ("image/jpeg", "jpeg", "ok"),
    ("image/png", "png", "ok"),
    ("image/webp", "webp", "ok"),
    ("image/svg+xml", "svg", "ok"),
    ("application/json", "json", "ok"),
    ("", "other", "ok"),
    ("", "none", "refused"),
    ("", "none", "busy"),
    ("", "none", "cancelled"),
    ("", "none", "failed"),
];
const OTHER: usize = 7;
const REFUSED: usize = 8;
const BUSY: usize = 9;
const CANCELLED: usize = 10;
const FAILED: usize = 11;

impl Meters {
    /// Renditions which were answered, by where they came from. Requests which waited for one
    /// rendering count once each.
    pub fn found(&self) -> impl Iterator<Item = (Tier, u64)> {
        let counts = self.found.iter().map(|count| count.load(Relaxed));
        Tier::ALL.into_iter().zip(counts)
    }

    /// Renderings by format and outcome. Without a rendition, the format is `none`.
    pub fn rendered(&self) -> impl Iterator<Item = (&'static str, &'static str, u64)> {
        let counts = self.rendered.iter().map(|count| count.load(Relaxed));
        let labels = RENDERED.iter().zip(counts);
        labels.map(|((_, format, outcome), count)| (*format, *outcome, count))
    }

    /// How long renderings took, waiting for a worker included.
    pub fn rendering(&self) -> &Histogram {
        &self.rendering
    }

    /// Uploads which were judged good and written, and their bytes.
    pub fn stored(&self) -> (u64, u64) {
        (self.stored.load(Relaxed), self.stored_bytes.load(Relaxed))
    }

    /// Uploads whose bytes were refused, or could not be written.
    pub fn refused(&self) -> u64 {
        self.refused.load(Relaxed)
    }

    /// Requests to origins of remote images, by outcome.
    pub fn fetches(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let counts = self.fetches.iter().map(|count| count.load(Relaxed));
        Fetch::ALL.into_iter().zip(counts)
    }

    /// Answers under load which were refused or in another format, by what was left undone.
    pub fn shed(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let counts = self.shed.iter().map(|count| count.load(Relaxed));
        Shed::STEPS.map(Shed::as_str).into_iter().zip(counts)
    }

    /// Answers in another format because AVIF was not ready in time.
    pub fn late(&self) -> u64 {
        self.late.load(Relaxed)
    }

    /// Notifications by what came of them: told, refused for now, or dropped for their age.
    pub fn notifications(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let counts = self.notifications.iter().map(|count| count.load(Relaxed));
        ["told", "refused", "dropped"].into_iter().zip(counts)
    }

    pub(crate) fn count_notifications(&self, told: Told) {
        let counted = [told.told, told.refused, told.dropped];
        for (count, number) in self.notifications.iter().zip(counted) {
            count.fetch_add(number, Relaxed);
        }
    }

    pub(crate) fn count_late(&self) {
        self.late.fetch_add(1, Relaxed);
    }

    pub(crate) fn count_shed(&self, shed: Shed) {
        if let Some(step) = Shed::STEPS.iter().position(|step| *step == shed) {
            self.shed[step].fetch_add(1, Relaxed);
        }
    }

    pub(crate) fn count_fetch(&self, fetch: Fetch) {
        self.fetches[fetch as usize].fetch_add(1, Relaxed);
    }

    pub(crate) fn count_found(&self, tier: Tier) {
        self.found[tier as usize].fetch_add(1, Relaxed);
    }

    /// Counts an upload: its bytes, or nothing if it was refused.
    pub(crate) fn count_upload(&self, bytes: Option<u64>) {
        if let Some(bytes) = bytes {
            self.stored.fetch_add(1, Relaxed);
            self.stored_bytes.fetch_add(bytes, Relaxed);
        } else {
            self.refused.fetch_add(1, Relaxed);
        }
    }

    /// Waits for a rendering and counts its outcome. One which is dropped was cancelled.
    pub(crate) async fn watch(
        &self,
        rendering: impl Future<Output = Result<Rendered, DeliveryError>>,
    ) -> Result<Rendered, DeliveryError> {
        let mut watch = Watch {
            meters: self,
            started: Instant::now(),
            outcome: Some(CANCELLED),
        };
        let rendered = rendering.await;
        watch.outcome = match &rendered {
            // Found after all, on the second look.
            Ok(rendered) if rendered.tier != Tier::Made => None,
            Ok(rendered) => {
                let media_type = rendered.media_type;
                let found = RENDERED.iter().position(|row| row.0 == media_type);
                Some(found.unwrap_or(OTHER))
            }
            Err(DeliveryError::Busy | DeliveryError::BusyForLarge) => Some(BUSY),
            // It is begun anew with the source of now.
            Err(DeliveryError::SourceChanged) => None,
            Err(DeliveryError::Failed(_)) => Some(FAILED),
            Err(_) => Some(REFUSED),
        };
        rendered
    }
}

struct Watch<'a> {
    meters: &'a Meters,
    started: Instant,
    outcome: Option<usize>,
}

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        if let Some(outcome) = self.outcome {
            self.meters.rendered[outcome].fetch_add(1, Relaxed);
            self.meters.rendering.observe(self.started.elapsed());
        }
    }
}

/// Times by how long they were, from a millisecond to half a minute.
#[derive(Debug, Default)]
pub struct Histogram {
    buckets: [AtomicU64; Self::BOUNDS.len() + 1],
    nanoseconds: AtomicU64,
}

impl Histogram {
    /// The upper bounds of all buckets but the last, in milliseconds.
    pub const BOUNDS: [u64; 14] = [
        1, 2, 5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 30_000,
    ];

    /// Counts one time.
    pub fn observe(&self, time: Duration) {
        let nanoseconds = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        let bucket = Self::BOUNDS.partition_point(|bound| bound * 1_000_000 < nanoseconds);
        self.buckets[bucket].fetch_add(1, Relaxed);
        self.nanoseconds.fetch_add(nanoseconds, Relaxed);
    }

    /// How many times were not longer than each bound, and how many there are in all.
    pub fn cumulated(&self) -> ([u64; Self::BOUNDS.len()], u64) {
        let mut sum = 0;
        let below = std::array::from_fn(|bucket| {
            sum += self.buckets[bucket].load(Relaxed);
            sum
        });
        let beyond = &self.buckets[Self::BOUNDS.len()];
        (below, sum + beyond.load(Relaxed))
    }

    /// All times together.
    pub fn sum(&self) -> Duration {
        Duration::from_nanos(self.nanoseconds.load(Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_counts_in_its_bucket_and_in_all_greater_ones() {
        let histogram = Histogram::default();
        for milliseconds in [0, 1, 3, 30_000, 30_001] {
            histogram.observe(Duration::from_millis(milliseconds));
        }
        let (below, all) = histogram.cumulated();
        assert_eq!(below[..3], [2, 2, 3]);
        assert_eq!((below[12], below[13], all), (3, 4, 5));
        assert_eq!(histogram.sum(), Duration::from_millis(60_005));
    }

    #[tokio::test]
    async fn every_outcome_of_a_rendering_is_told_apart() {
        let meters = Meters::default();
        let made = |media_type| Rendered {
            media_type,
            bytes: bytes::Bytes::new(),
            warnings: Vec::new(),
            tier: Tier::Made,
            times: None,
            substitute: None,
        };
        for outcome in [
            Ok(made("image/avif")),
            Ok(made("image/jxl")),
            Ok(Rendered {
                tier: Tier::Disk,
                ..made("image/png")
            }),
            Err(DeliveryError::Busy),
            Err(DeliveryError::ImageNotFound),
            Err(crate::Error::Worker("broken".to_owned()).into()),
        ] {
            let _ = meters.watch(async { outcome }).await;
        }
        let mut left = Box::pin(meters.watch(std::future::pending()));
        assert!(futures_util::poll!(left.as_mut()).is_pending());
        drop(left);
        let counted = meters.rendered().filter(|(_, _, count)| *count > 0);
        let expected = [
            ("avif", "ok", 1),
            ("other", "ok", 1),
            ("none", "refused", 1),
            ("none", "busy", 1),
            ("none", "cancelled", 1),
            ("none", "failed", 1),
        ];
        assert_eq!(counted.collect::<Vec<_>>(), expected);
        assert_eq!(meters.rendering().cumulated().1, 6);
    }
}
