//! Work which is done once however many wait for it.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, Shared, WeakShared};

/// Work under way, by key. The map holds no work alive: when the last who waits has gone, its future
/// is dropped.
pub(crate) struct Flights<K, T: Clone>(Arc<Mutex<Airborne<K, T>>>);

/// Work on its way, which is waited for.
pub(crate) type Flying<T> = Shared<BoxFuture<'static, T>>;

struct Airborne<K, T: Clone> {
    flights: HashMap<K, Flight<T>>,
    next_number: u64,
}

struct Flight<T: Clone> {
    number: u64,
    work: WeakShared<BoxFuture<'static, T>>,
}

impl<K, T: Clone> Clone for Flights<K, T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<K, T: Clone> Default for Flights<K, T> {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Airborne {
            flights: HashMap::new(),
            next_number: 0,
        })))
    }
}

impl<K, T> Flights<K, T>
where
    K: Clone + Eq + Hash + Send + 'static,
    T: Clone + Send + Sync + 'static,
{
    /// The work of this key which is under way, or else that which `start` begins.
    pub(crate) fn join<F>(&self, key: &K, start: impl FnOnce() -> F) -> Flying<T>
    where
        F: Future<Output = T> + Send + 'static,
    {
        let mut airborne = self.lock();
        let flight = airborne.flights.get(key);
        if let Some(work) = flight.and_then(|flight| flight.work.upgrade()) {
            return work;
        }
        let number = airborne.next_number;
        airborne.next_number += 1;
        let landing = Landing {
            flights: self.clone(),
            key: key.clone(),
            number,
        };
        let work = start();
        let work = async move {
            let _landing = landing;
            work.await
        };
        let work = work.boxed().shared();
        if let Some(weak) = work.downgrade() {
            let flight = Flight { number, work: weak };
            airborne.flights.insert(key.clone(), flight);
        }
        work
    }
}

impl<K, T: Clone> Flights<K, T> {
    /// No code panics under the lock, so a poisoned one still holds a sound map.
    fn lock(&self) -> MutexGuard<'_, Airborne<K, T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Lives as long as the work; its end, finished or abandoned, takes the work off the map.
struct Landing<K: Eq + Hash, T: Clone> {
    flights: Flights<K, T>,
    key: K,
    number: u64,
}

impl<K: Eq + Hash, T: Clone> Drop for Landing<K, T> {
    fn drop(&mut self) {
        let mut airborne = self.flights.lock();
        // New work of this key may have taken the place of abandoned one.
        let flight = airborne.flights.get(&self.key);
        if flight.is_some_and(|flight| flight.number == self.number) {
            airborne.flights.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

    use futures_util::poll;
    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn work_is_done_once_and_again_when_all_have_left() {
        let flights = Flights::<u8, usize>::default();
        let started = Arc::new(AtomicUsize::new(0));
        let (release, released) = oneshot::channel::<()>();
        let begin = || {
            let started = started.clone();
            async move {
                let count = started.fetch_add(1, Relaxed);
                let _ = released.await;
                count
            }
        };
        let first = flights.join(&1, begin);
        let second = flights.join(&1, || std::future::ready(99));
        let other = flights.join(&2, || std::future::ready(7));
        assert_eq!(other.await, 7);
        assert!(poll!(first.clone()).is_pending());
        release.send(()).unwrap();
        assert_eq!((first.await, second.await), (0, 0));
        assert!(flights.lock().flights.is_empty());

        let abandoned = flights.join(&1, std::future::pending);
        assert!(poll!(abandoned.clone()).is_pending());
        drop(abandoned);
        assert!(flights.lock().flights.is_empty());
        assert_eq!(flights.join(&1, || std::future::ready(5)).await, 5);
    }
}
