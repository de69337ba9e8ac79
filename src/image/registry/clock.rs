//! The time that the registry client waits by. It is given from outside, so that what waits can be tried without
//! waiting; no output depends on it (that time in outputs comes from `base::epoch` alone is another rule).

use std::fmt;
use std::future::Future;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What a [`Clock`] does.
pub trait Time: Send + Sync {
    /// Now; never earlier than what was said before.
    fn now(&self) -> Instant;
    /// Ends when so much time has passed. Called within the client's runtime.
    fn sleep(&self, time: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + '_>>;
    /// A number from 0 to 1, another one each time: clients that were refused together come back one by one.
    fn jitter(&self) -> f64;
}

/// A source of time; by default the machine's own. Cheap to clone.
#[derive(Clone)]
pub struct Clock(Arc<dyn Time>);

impl Clock {
    /// Another source of time.
    pub fn new(time: impl Time + 'static) -> Self {
        Self(Arc::new(time))
    }
}

impl std::ops::Deref for Clock {
    type Target = dyn Time;

    fn deref(&self) -> &Self::Target {
        &*self.0
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::new(Machine)
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clock")
    }
}

struct Machine;

impl Time for Machine {
    fn now(&self) -> Instant {
        Instant::now()
    }

    fn sleep(&self, time: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(tokio::time::sleep(time))
    }

    fn jitter(&self) -> f64 {
        // Keys of std's hash maps are random for each map; a crate for one number would be too much.
        let random = RandomState::new().build_hasher().finish();
        (random >> 11) as f64 / (1_u64 << 53) as f64
    }
}
