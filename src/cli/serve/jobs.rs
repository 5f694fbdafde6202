//! What a server does by itself.

use std::sync::Arc;
use std::time::{Duration, Instant};

use service::Service;
use store::Catalog;
use tokio::task::JoinHandle;

/// Everything of it, which goes on until it is ended.
pub(super) struct Jobs {
    tasks: Vec<JoinHandle<()>>,
    service: Service,
    catalog: Arc<dyn Catalog>,
}

impl Jobs {
    pub(super) fn start(
        service: Service,
        catalog: Arc<dyn Catalog>,
        sweep_interval: Duration,
    ) -> Self {
        let mut tasks = vec![
            tokio::spawn(follow_purges(service.clone())),
            tokio::spawn(sweep_for_ever(
                service.clone(),
                catalog.clone(),
                sweep_interval,
            )),
            tokio::spawn(tell_for_ever(service.clone(), catalog.clone())),
        ];
        let importers = (0..IMPORTERS).map(|_| tokio::spawn(import_for_ever(service.clone())));
        tasks.extend(importers);
        Self {
            tasks,
            service,
            catalog,
        }
    }

    /// Stops wherever it is. Another node need not wait until what was leased lapses.
    pub(super) async fn end(self) {
        for task in &self.tasks {
            task.abort();
        }
        for task in self.tasks {
            let _ = task.await;
        }
        for job in [SWEEP, TELL] {
            if let Err(error) = self.catalog.take_lease(job, Duration::ZERO).await {
                tracing::warn!(%error, job, "a lease is left to lapse");
            }
        }
        if let Err(error) = self.service.release_imports().await {
            tracing::warn!(%error, "imports under way are left until their claims lapse");
        }
    }
}

/// The jobs which one node does.
const SWEEP: &str = "sweep";
const TELL: &str = "notifications";

/// How many intervals the node which sweeps may be silent before another one does.
const SILENT_MAX: u32 = 3;

/// One of the nodes sweeps. When it is gone, another one does after some intervals.
async fn sweep_for_ever(service: Service, catalog: Arc<dyn Catalog>, interval: Duration) {
    let mut ticks = tokio::time::interval(interval);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let swept = match catalog.take_lease(SWEEP, SILENT_MAX * interval).await {
            Ok(true) => tokio::select! {
                swept = service.sweep() => swept,
                () = lose_sweep(catalog.as_ref(), interval) => continue,
            },
            Ok(false) => continue,
            Err(error) => Err(error.into()),
        };
        match swept {
            Ok(swept) if swept == service::Swept::default() => {}
            Ok(swept) => tracing::info!(swept.drafts, swept.blobs, "swept"),
            // There is nothing to sweep in a store which has moved.
            Err(service::Error::Store(store::Error::Closed)) => {}
            Err(error) => {
                let cause = std::error::Error::source(&error).map(ToString::to_string);
                tracing::error!(%error, cause, "a sweep failed; the next one goes on");
            }
        }
    }
}

/// Keeps the lease, which a long sweep outlasts, until it is lost.
async fn lose_sweep(catalog: &dyn Catalog, interval: Duration) {
    let mut kept = Instant::now();
    loop {
        tokio::time::sleep(interval).await;
        let asked = Instant::now();
        match catalog.take_lease(SWEEP, SILENT_MAX * interval).await {
            Ok(true) => kept = asked,
            Err(_) if kept.elapsed() < (SILENT_MAX - 1) * interval => {}
            Ok(false) | Err(_) => return,
        }
    }
}

/// Time between two looks for notifications, and for how long the node which looked is the one to tell them.
const TELL_EVERY: Duration = Duration::from_secs(1);
const TELL_LEASE: Duration = Duration::from_secs(10);

/// One of the nodes tells webhooks what is due.
async fn tell_for_ever(service: Service, catalog: Arc<dyn Catalog>) {
    let mut ticks = tokio::time::interval(TELL_EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let (mut teller, mut failing) = (service.teller(), false);
    loop {
        ticks.tick().await;
        let begun = async {
            if teller.is_needed().await? && catalog.take_lease(TELL, TELL_LEASE).await? {
                teller.begin().await?;
            }
            Ok::<_, service::Error>(())
        };
        match begun.await {
            Ok(()) | Err(service::Error::Store(store::Error::Closed)) => failing = false,
            Err(error) => {
                // Once, and not again with each look until it works again.
                if !failing {
                    let cause = std::error::Error::source(&error).map(ToString::to_string);
                    tracing::warn!(%error, cause, "webhooks cannot be told at present");
                }
                failing = true;
            }
        }
    }
}

/// Imports of one server at a time, and the time between two looks for one.
const IMPORTERS: usize = 2;
const IMPORT_EVERY: Duration = Duration::from_secs(1);

/// Carries out imports, one after the other. What fails here is tried again when its claim has lapsed.
async fn import_for_ever(service: Service) {
    let mut ticks = tokio::time::interval(IMPORT_EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut failing = false;
    loop {
        ticks.tick().await;
        match service.run_import().await {
            Ok(_) | Err(service::Error::Store(store::Error::Closed)) => failing = false,
            Err(error) => {
                // Once, and not again with each look until it works again.
                if !failing {
                    let cause = std::error::Error::source(&error).map(ToString::to_string);
                    tracing::warn!(%error, cause, "imports stand still at present");
                }
                failing = true;
            }
        }
    }
}

/// Time between two looks for purges which other nodes announced.
const PURGES_EVERY: Duration = Duration::from_millis(400);

/// Purges what other nodes were told to.
async fn follow_purges(service: Service) {
    let mut ticks = tokio::time::interval(PURGES_EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let (mut last, mut failing) = (0, false);
    loop {
        ticks.tick().await;
        match service.follow_purges(last).await {
            Ok(number) => (last, failing) = (number, false),
            Err(error) => {
                // Once, and not again with each look until it works again.
                if !failing {
                    let cause = std::error::Error::source(&error).map(ToString::to_string);
                    tracing::warn!(%error, cause, "what other nodes purge cannot be seen");
                }
                failing = true;
            }
        }
    }
}
