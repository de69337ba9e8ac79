//! A clock that waits for nothing: time goes on by what is waited.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use talosmith::base::Events;
use talosmith::image::registry::{Client, Clock, Options, Patience, Time};
use tokio::sync::Semaphore;

/// How long no byte may move; whole seconds may be added to it. The nanosecond marks it: who waits so waits until the
/// registry says that it has stalled.
const STALL: Duration = Duration::new(10, 1);

/// The clock, and what it was asked for.
#[derive(Clone)]
pub(crate) struct TestTime {
    now: Arc<Mutex<Instant>>,
    waits: Arc<Mutex<Vec<Duration>>>,
    /// A permit for each stall; see [`super::registry::Faults::stalls`].
    pub(crate) stalls: Arc<Semaphore>,
}

impl Default for TestTime {
    fn default() -> Self {
        let now = Arc::new(Mutex::new(Instant::now()));
        Self { now, waits: Arc::default(), stalls: Arc::new(Semaphore::new(0)) }
    }
}

impl Time for TestTime {
    fn now(&self) -> Instant {
        *self.now.lock().unwrap()
    }

    fn sleep(&self, time: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(async move {
            if time.subsec_nanos() == STALL.subsec_nanos() {
                self.stalls.acquire().await.unwrap().forget();
            } else {
                self.waits.lock().unwrap().push(time);
            }
            *self.now.lock().unwrap() += time;
        })
    }

    fn jitter(&self) -> f64 {
        0.5
    }
}

impl TestTime {
    /// The waits between tries, in their order.
    pub(crate) fn waits(&self) -> Vec<Duration> {
        self.waits.lock().unwrap().clone()
    }

    /// Options with this clock.
    pub(crate) fn options(&self) -> Options {
        let patience = Patience { stall: STALL, ..Patience::default() };
        Options { clock: Clock::new(self.clone()), patience, ..Options::default() }
    }

    /// A client with this clock.
    pub(crate) fn client(&self) -> Client {
        Client::new(self.options(), Events::default())
    }
}
