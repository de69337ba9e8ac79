//! A clock that waits for nothing: time goes on by what is waited.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use talosmith::base::Events;
use talosmith::image::registry::{Client, Clock, Options, Patience, Time};
use tokio::sync::watch;

/// How long no byte may move; whole seconds may be added to it. The nanosecond marks it: who waits so waits until the
/// registry says that it has stalled.
const STALL: Duration = Duration::new(10, 1);

/// The clock, and what it was asked for.
#[derive(Clone)]
pub(crate) struct TestTime {
    now: Arc<Mutex<Instant>>,
    waits: Arc<Mutex<Vec<Duration>>>,
    /// Whether a connection stands still; see [`super::registry::Faults::stalls`]. It is over when somebody waits for
    /// another reason: for the next try.
    pub(crate) stalls: watch::Sender<bool>,
}

impl Default for TestTime {
    fn default() -> Self {
        let now = Arc::new(Mutex::new(Instant::now()));
        Self { now, waits: Arc::default(), stalls: watch::Sender::new(false) }
    }
}

impl Time for TestTime {
    fn now(&self) -> Instant {
        *self.now.lock().unwrap()
    }

    fn sleep(&self, time: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(async move {
            if time.subsec_nanos() == STALL.subsec_nanos() {
                self.stalls.subscribe().wait_for(|stalled| *stalled).await.unwrap();
            } else {
                self.stalls.send_replace(false);
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
        // One at a time: who notices a stall is then the one that it happens to.
        Options { clock: Clock::new(self.clone()), patience, transfers: 1, ..Options::default() }
    }

    /// A client with this clock.
    pub(crate) fn client(&self) -> Client {
        Client::new(self.options(), Events::default())
    }
}
