//! What is tried again, how often, and after what wait.

use std::collections::{HashMap, HashSet};
use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures_util::future::{Either, select};

use super::clock::Clock;
use super::error::{Answer, RegistryError};
use crate::base::{Events, chain, locked};

/// The wait after the first failure, at most; each further one is twice as long.
const FIRST_WAIT: Duration = Duration::from_millis(500);
/// The longest wait that grew so.
const LONGEST_WAIT: Duration = Duration::from_secs(20);
/// The longest wait that a registry may ask for: who is told to come back in an hour wants to know it now.
const LONGEST_ASKED: Duration = Duration::from_secs(300);
/// A host that has never answered is most likely a wrong name; one that starts up is there within seconds.
const STRANGER_TRIES: u32 = 4;
/// Troubles with a host that are told of once.
const TOLD: Duration = Duration::from_millis(900);
/// Less than this is no progress: a connection that gives a byte each time would be tried for ever.
const PROGRESS: u64 = 64 << 10;
/// Bytes that were damaged on their way come right the second time, or are wrong where they lie.
const DAMAGED_TRIES: u32 = 2;
/// Statuses (RFC 9110, section 15; RFC 6585) of what may succeed when it is asked again: Request Timeout, Too Early,
/// Too Many Requests, Internal Server Error, Bad Gateway, Service Unavailable, Gateway Timeout.
const TRANSIENT: [u16; 7] = [408, 425, 429, 500, 502, 503, 504];

/// How much a client puts up with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// How often something is tried while nothing gets through; what does begins the count anew.
    pub tries: u32,
    /// How long no byte may move, before a connection counts as broken.
    pub stall: Duration,
    /// How long all work of a client may take, from when the client was made; without one, as long as it moves.
    pub deadline: Option<Duration>,
}

impl Patience {
    /// Half a minute and a little more, with the waits between: a registry is restarted in less.
    pub const TRIES: u32 = 8;
}

impl Default for Patience {
    fn default() -> Self {
        Self { tries: Self::TRIES, stall: Duration::from_secs(60), deadline: None }
    }
}

/// Whether a status says that the same request may succeed later.
pub(super) fn is_transient(status: u16) -> bool {
    TRANSIENT.contains(&status)
}

/// Bytes that moved, for who watches that some do.
#[derive(Clone, Default)]
pub(super) struct Moved {
    bytes: Arc<AtomicU64>,
    stirred: Arc<AtomicU64>,
    /// There is nothing that could move: it is still being made.
    idle: Arc<AtomicBool>,
    /// There is an answer, so nobody wants more.
    answered: Arc<AtomicBool>,
    /// All that there is was given to the connection.
    whole: Arc<AtomicBool>,
}

impl Moved {
    pub(super) fn add(&self, bytes: usize) {
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Something else than bytes on the wire went on.
    pub(super) fn stir(&self) {
        self.stirred.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether nothing can move for want of bytes on this side.
    pub(super) fn set_idle(&self, idle: bool) {
        self.idle.store(idle, Ordering::Relaxed);
        self.stir(); // how long there was nothing does not count
    }

    /// An answer came.
    pub(super) fn set_answered(&self) {
        self.answered.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_answered(&self) -> bool {
        self.answered.load(Ordering::Relaxed)
    }

    /// The end was reached.
    pub(super) fn set_whole(&self) {
        self.whole.store(true, Ordering::Release);
    }

    pub(super) fn is_whole(&self) -> bool {
        self.whole.load(Ordering::Acquire)
    }

    fn is_idle(&self) -> bool {
        self.idle.load(Ordering::Relaxed)
    }

    fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    fn state(&self) -> (u64, u64) {
        (self.bytes(), self.stirred.load(Ordering::Relaxed))
    }
}

/// Bytes a second that a slow registry looks at before it answers.
const COMMIT_RATE: u64 = 4 << 20;

/// What a registry may look at, or send on, before it answers; that takes time in which nothing moves.
#[derive(Debug, Clone, Copy, Default)]
pub(super) enum Grace {
    /// Nothing.
    #[default]
    None,
    /// So many bytes, once those of the request have moved.
    After { sent: u64, settles: u64 },
    /// All that has moved, once it is whole: nobody knows before how much that is.
    Stream,
}

impl Grace {
    /// How long the answer may take beyond the stall timeout.
    fn time(self, moved: &Moved) -> Duration {
        let bytes = match self {
            Self::After { sent, settles } if moved.bytes() >= sent => settles,
            Self::Stream if moved.is_whole() => moved.bytes(),
            _ => 0,
        };
        Duration::from_secs(bytes / COMMIT_RATE)
    }
}

/// Why waiting ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stop {
    /// Nothing moved for so long.
    Stalled(Duration),
    /// The time that was given is over.
    Deadline,
}

impl Stop {
    pub(super) fn error(self, asked: &str, host: String) -> RegistryError {
        let asked = asked.to_owned();
        match self {
            Self::Stalled(time) => RegistryError::Stalled { asked, host, seconds: time.as_secs() },
            Self::Deadline => RegistryError::Deadline { asked, last: None },
        }
    }
}

/// A client's [`Patience`] with its clock.
pub(super) struct Limits {
    pub(super) clock: Clock,
    patience: Patience,
    until: Option<Instant>,
    /// Hosts that have answered.
    met: Mutex<HashSet<String>>,
    /// When something was told of a host.
    told: Mutex<HashMap<String, Instant>>,
}

impl Limits {
    pub(super) fn new(clock: Clock, patience: Patience) -> Self {
        let until = patience.deadline.and_then(|deadline| clock.now().checked_add(deadline));
        Self { clock, patience, until, met: Mutex::default(), told: Mutex::default() }
    }

    /// What is left until the deadline.
    fn left(&self) -> Option<Duration> {
        self.until.map(|until| until.saturating_duration_since(self.clock.now()))
    }

    /// Notes that a host has answered.
    pub(super) fn met(&self, host: String) {
        locked(&self.met).insert(host);
    }

    /// Whether nothing was told of this host for a while.
    fn tells_of(&self, host: &str) -> bool {
        let now = self.clock.now();
        let mut told = locked(&self.told);
        let lately = told.get(host).is_some_and(|at| now.saturating_duration_since(*at) < TOLD);
        if !lately {
            told.insert(host.to_owned(), now);
        }
        !lately
    }

    /// Waits for `work` for as long as bytes move.
    pub(super) async fn watch<T>(
        &self,
        moved: &Moved,
        grace: Grace,
        work: impl Future<Output = T>,
    ) -> Result<T, Stop> {
        let mut work = pin!(work);
        loop {
            let before = moved.state();
            let stall = self.patience.stall.saturating_add(grace.time(moved));
            let left = self.left();
            if left == Some(Duration::ZERO) {
                return Err(Stop::Deadline);
            }
            let alarm = self.clock.sleep(left.map_or(stall, |left| left.min(stall)));
            match select(work.as_mut(), alarm).await {
                Either::Left((outcome, _)) => return Ok(outcome),
                Either::Right(_) if self.left() == Some(Duration::ZERO) => return Err(Stop::Deadline),
                Either::Right(_) if moved.state() == before && !moved.is_idle() => {
                    return Err(Stop::Stalled(stall));
                }
                Either::Right(_) => {}
            }
        }
    }
}

/// One thing that is tried until it succeeds, or is given up.
pub(super) struct Attempts<'a> {
    limits: &'a Limits,
    events: &'a Events,
    most: u32,
    failed: u32,
    damaged: u32,
}

impl<'a> Attempts<'a> {
    /// Tries it no more than `most` times, if there is such a number.
    pub(super) fn new(limits: &'a Limits, events: &'a Events, most: Option<u32>) -> Self {
        let most = limits.patience.tries.min(most.unwrap_or(u32::MAX));
        Self { limits, events, most, failed: 0, damaged: 0 }
    }

    /// The most tries.
    pub(super) fn most(&self) -> u32 {
        self.most
    }

    /// So many bytes got through: if they are some, the count begins anew.
    pub(super) fn moved(&mut self, bytes: u64) {
        if bytes >= PROGRESS {
            self.failed = 0;
        }
    }

    /// Waits, if after `error` it is worth another try; else gives the error back.
    pub(super) async fn again(&mut self, error: RegistryError) -> Result<(), RegistryError> {
        let Some((tries, asked_for)) = self.limits.worth(&error) else { return Err(error) };
        let failed = if error.is_damage() { &mut self.damaged } else { &mut self.failed };
        *failed += 1;
        if *failed >= tries.min(self.most) {
            return Err(error);
        }
        let grown = FIRST_WAIT.saturating_mul(1 << (*failed - 1).min(16)).min(LONGEST_WAIT);
        let jitter = self.limits.clock.jitter();
        let wait = match asked_for {
            Some(wait) if wait > LONGEST_ASKED => return Err(error),
            // Not all at the same instant, and none before it.
            Some(wait) => wait + FIRST_WAIT.mul_f64(jitter),
            None => grown.mul_f64(0.5 + jitter / 2.0),
        };
        if self.limits.left().is_some_and(|left| left <= wait) {
            let asked = error.asked().to_owned();
            return Err(RegistryError::Deadline { asked, last: Some(Box::new(error)) });
        }
        let said = format!("{}; trying again in {:.1} s", chain(&error), wait.as_secs_f64());
        // Of many transfers that a host drops at once, one tells of it.
        match self.limits.tells_of(error.host()) {
            true => self.events.warn(said, None),
            false => self.events.detail(said),
        }
        self.limits.clock.sleep(wait).await;
        Ok(())
    }
}

impl Limits {
    /// How many tries something is worth that failed so, and the wait that was asked for.
    fn worth(&self, error: &RegistryError) -> Option<(u32, Option<Duration>)> {
        match error {
            RegistryError::Network { source, host, .. } if source.is_connect() => {
                let known = locked(&self.met).contains(host);
                Some((if known { u32::MAX } else { STRANGER_TRIES }, None))
            }
            RegistryError::Network { .. } | RegistryError::Stalled { .. } | RegistryError::Cut { .. } => {
                Some((u32::MAX, None))
            }
            RegistryError::Refused { answer: Answer { status, retry_after, .. }, .. }
                if is_transient(*status) =>
            {
                Some((u32::MAX, *retry_after))
            }
            error if error.is_damage() => Some((DAMAGED_TRIES, None)),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, poll_fn, ready};
    use std::pin::Pin;
    use std::sync::atomic::AtomicU32;
    use std::task::Poll;

    use super::*;
    use crate::image::registry::Time;

    /// A clock that has always waited long enough, and counts how often.
    #[derive(Clone, Default)]
    struct Impatient(Arc<AtomicU32>);

    impl Time for Impatient {
        fn now(&self) -> Instant {
            Instant::now()
        }

        fn sleep(&self, _: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
            self.0.fetch_add(1, Ordering::Relaxed);
            Box::pin(ready(()))
        }

        fn jitter(&self) -> f64 {
            0.5
        }
    }

    #[test]
    fn what_waits_for_bytes_of_this_side_is_not_stalled() {
        let (clock, moved) = (Impatient::default(), Moved::default());
        let limits = Limits::new(Clock::new(clock.clone()), Patience::default());
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let watch = |work: Pin<Box<dyn Future<Output = ()>>>| {
            runtime.block_on(limits.watch(&moved, Grace::None, work))
        };
        assert!(matches!(watch(Box::pin(pending())), Err(Stop::Stalled(_))));
        moved.set_idle(true);
        let waits = Arc::clone(&clock.0);
        let slow = poll_fn(move |_| match waits.load(Ordering::Relaxed) {
            0..5 => Poll::Pending,
            _ => Poll::Ready(()),
        });
        assert_eq!(watch(Box::pin(slow)), Ok(()));
        // Nor is what has just begun to move again.
        let (ended, waits) = (moved.clone(), Arc::clone(&clock.0));
        let before = waits.load(Ordering::Relaxed);
        let late = poll_fn(move |_| match waits.load(Ordering::Relaxed) - before {
            0 => Poll::Pending,
            1 => {
                ended.set_idle(false);
                Poll::Pending
            }
            _ => Poll::Ready(()),
        });
        assert_eq!(watch(Box::pin(late)), Ok(()));
        assert!(matches!(watch(Box::pin(pending())), Err(Stop::Stalled(_))));
    }
}
