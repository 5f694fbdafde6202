//! Waiting for what comes, and not for ever.

use std::panic::Location;
use std::time::{Duration, Instant};

/// How long it may take. That it takes less than what is promised is not proven by this.
const DEADLINE: Duration = Duration::from_mins(3);

/// Between two looks: what is waited for needs the processor more.
const PAUSE: Duration = Duration::from_millis(10);

/// Looks until it is so.
#[track_caller]
pub(crate) fn until(mut is_so: impl AsyncFnMut() -> bool) -> impl Future<Output = ()> {
    let caller = Location::caller();
    async move {
        let deadline = Instant::now() + DEADLINE;
        while !is_so().await {
            assert!(
                Instant::now() < deadline,
                "it does not come to that, at {caller}"
            );
            tokio::time::sleep(PAUSE).await;
        }
    }
}
