//! The time of the database, so that nodes whose own clocks differ agree on when something expires.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Instant;

use model::Timestamp;

use super::pool::Connection;
use super::statements;
use crate::Error;

statements! {
    READ = "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint";
}

/// What the clock of the database shows, without asking it each time.
#[derive(Debug)]
pub(super) struct Clock {
    started: Instant,
    /// What it showed at `started`, in microseconds since 1970.
    origin: AtomicI64,
}

impl Clock {
    /// Asks the database.
    pub(super) async fn of(connection: &Connection) -> Result<Self, Error> {
        let started = Instant::now();
        let row = connection.query_one(READ, &[]).await?;
        Ok(Self {
            started,
            origin: AtomicI64::new(row.try_get(0)?),
        })
    }

    pub(super) fn now(&self) -> Timestamp {
        let origin = self.origin.load(Ordering::Relaxed);
        Timestamp::from_micros(origin.saturating_add(self.since_start(Instant::now())))
    }

    /// The database showed `micros` at some moment between these two. Nothing changes while that is
    /// what was expected, so that a slow answer moves nothing.
    pub(super) fn set(&self, micros: i64, asked: Instant, answered: Instant) {
        let latest = micros.saturating_sub(self.since_start(asked));
        let earliest = micros.saturating_sub(self.since_start(answered));
        let origin = self.origin.load(Ordering::Relaxed);
        self.origin
            .store(origin.clamp(earliest, latest), Ordering::Relaxed);
    }

    fn since_start(&self, moment: Instant) -> i64 {
        let elapsed = moment.saturating_duration_since(self.started);
        i64::try_from(elapsed.as_micros()).unwrap_or(i64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn at(clock: &Clock, moment: Instant) -> i64 {
        clock.origin.load(Ordering::Relaxed) + clock.since_start(moment)
    }

    #[test]
    fn it_follows_the_database_no_closer_than_answers_tell() {
        let started = Instant::now();
        let second = |seconds| started + Duration::from_secs(seconds);
        let clock = Clock {
            started,
            origin: AtomicI64::new(1_000_000_000),
        };
        // Within what is possible: an answer which took 4 seconds.
        clock.set(1_000_000_000 + 11_000_000, second(10), second(14));
        assert_eq!(at(&clock, started), 1_000_000_000);
        // The database went an hour ahead, and back.
        let ahead = 1_000_000_000 + 3_600_000_000;
        clock.set(ahead + 20_000_000, second(20), second(20));
        assert_eq!(at(&clock, second(20)), ahead + 20_000_000);
        clock.set(1_000_000_000 + 30_000_000, second(30), second(32));
        assert_eq!(at(&clock, second(30)), 1_000_000_000 + 30_000_000);
    }
}
