//! The threads that compress and hash: one pool for a whole run, started when there is work for it.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use super::locked;

/// Does `work` for every item, up to `jobs` at a time, on threads of their own: for work that waits
/// (transfers), which must not take the pool's threads from work that computes. After an error no new
/// item is begun; the first error is given.
pub fn each<T: Sync, E: Send>(
    jobs: usize,
    items: &[T],
    work: impl Fn(&T) -> Result<(), E> + Sync,
) -> Result<(), E> {
    let next = AtomicUsize::new(0);
    let error = Mutex::new(None);
    let run = || {
        while let Some(item) = items.get(next.fetch_add(1, Ordering::Relaxed)) {
            if let Err(problem) = work(item) {
                next.store(items.len(), Ordering::Relaxed);
                locked(&error).get_or_insert(problem);
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..jobs.min(items.len()) {
            scope.spawn(run);
        }
        run();
    });
    error.into_inner().unwrap_or_else(PoisonError::into_inner).map_or(Ok(()), Err)
}

/// A pool of `jobs` threads. Cheap to clone; a run that never needs a second thread starts none.
#[derive(Clone)]
pub struct Workers {
    jobs: usize,
    pool: Arc<OnceLock<Option<rayon::ThreadPool>>>,
}

impl Workers {
    /// A pool of `jobs` threads, at least one.
    pub fn new(jobs: usize) -> Self {
        Self { jobs: jobs.max(1), pool: Arc::default() }
    }

    /// How many threads compress at once.
    pub fn jobs(&self) -> usize {
        self.jobs
    }

    /// Runs `work` on the pool; on the caller's own thread where the system gives no threads.
    pub fn spawn(&self, work: impl FnOnce() + Send + 'static) {
        match self.pool() {
            Some(pool) => pool.spawn(work),
            None => work(),
        }
    }

    /// Runs `work` with this pool as rayon's current one, so that parallel iterators inside use it.
    pub fn install<R: Send>(&self, work: impl FnOnce() -> R + Send) -> R {
        match self.pool() {
            Some(pool) => pool.install(work),
            None => work(),
        }
    }

    fn pool(&self) -> Option<&rayon::ThreadPool> {
        self.pool.get_or_init(|| rayon::ThreadPoolBuilder::new().num_threads(self.jobs).build().ok()).as_ref()
    }
}

impl Default for Workers {
    fn default() -> Self {
        Self::new(std::thread::available_parallelism().map_or(1, std::num::NonZero::get))
    }
}

impl std::fmt::Debug for Workers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Workers({})", self.jobs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_item_is_done_once_and_an_error_ends_it() {
        let items: Vec<usize> = (0..100).collect();
        let sum = AtomicUsize::new(0);
        let add = |item: &usize| {
            sum.fetch_add(*item, Ordering::Relaxed);
            Ok::<(), String>(())
        };
        each(4, &items, add).unwrap();
        assert_eq!(sum.into_inner(), 4950);
        let fail = |item: &usize| if *item == 50 { Err("fifty") } else { Ok(()) };
        assert_eq!(each(3, &items, fail), Err("fifty"));
        assert_eq!(each(0, &[] as &[usize], fail), Ok(()));
    }
}
