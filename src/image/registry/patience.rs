//! What is tried again, how often, and after what wait.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::{Either, select};

use super::clock::Clock;
use super::error::{Answer, RegistryError};
use crate::base::{Events, chain};

/// The wait after the first failure, at most; each further one is twice as long.
const FIRST_WAIT: Duration = Duration::from_millis(500);
/// The longest wait that grew so.
const LONGEST_WAIT: Duration = Duration::from_secs(20);
/// The longest wait that a registry may ask for: who is told to come back in an hour wants to know it now.
const LONGEST_ASKED: Duration = Duration::from_secs(300);
/// A host that nobody listens at is most likely a wrong name; one that starts up is there within seconds.
const CONNECTION_TRIES: u32 = 4;
/// Bytes that were damaged on their way come right the second time, or are wrong where they lie.
const DAMAGED_TRIES: u32 = 2;
/// Statuses (RFC 9110, section 15; RFC 6585) of what may succeed when it is asked again: Request Timeout, Too Early,
/// Too Many Requests, Internal Server Error, Bad Gateway, Service Unavailable, Gateway Timeout.
const TRANSIENT: [u16; 7] = [408, 425, 429, 500, 502, 503, 504];

/// How much a client puts up with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// How often something is tried while nothing moves; each byte that gets through begins the count anew.
    pub tries: u32,
    /// How long no byte may move, before a connection counts as broken.
    pub stall: Duration,
    /// How long all work of a client may take, from when the client was made; without one, as long as it moves.
    pub deadline: Option<Duration>,
}

impl Default for Patience {
    fn default() -> Self {
        Self { tries: 6, stall: Duration::from_secs(60), deadline: None }
    }
}

/// Whether a status says that the same request may succeed later.
pub(super) fn is_transient(status: u16) -> bool {
    TRANSIENT.contains(&status)
}

/// Bytes that moved, for who watches that some do.
#[derive(Clone, Default)]
pub(super) struct Moved(Arc<AtomicU64>);

impl Moved {
    pub(super) fn add(&self, bytes: usize) {
        self.0.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
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
}

impl Limits {
    pub(super) fn new(clock: Clock, patience: Patience) -> Self {
        let until = patience.deadline.and_then(|deadline| clock.now().checked_add(deadline));
        Self { clock, patience, until }
    }

    /// What is left until the deadline.
    fn left(&self) -> Option<Duration> {
        self.until.map(|until| until.saturating_duration_since(self.clock.now()))
    }

    /// Waits for `work` for as long as bytes move. `grace` is added to how long none may: some work goes on without.
    pub(super) async fn watch<T>(
        &self,
        moved: &Moved,
        grace: Duration,
        work: impl Future<Output = T>,
    ) -> Result<T, Stop> {
        let mut work = pin!(work);
        let stall = self.patience.stall.saturating_add(grace);
        loop {
            let before = moved.get();
            let left = self.left();
            if left == Some(Duration::ZERO) {
                return Err(Stop::Deadline);
            }
            let alarm = self.clock.sleep(left.map_or(stall, |left| left.min(stall)));
            match select(work.as_mut(), alarm).await {
                Either::Left((outcome, _)) => return Ok(outcome),
                Either::Right(_) if self.left() == Some(Duration::ZERO) => return Err(Stop::Deadline),
                Either::Right(_) if moved.get() == before => return Err(Stop::Stalled(stall)),
                Either::Right(_) => {}
            }
        }
    }
}

/// One thing that is tried until it succeeds, or is given up.
pub(super) struct Attempts<'a> {
    limits: &'a Limits,
    events: &'a Events,
    failed: u32,
    damaged: u32,
}

impl<'a> Attempts<'a> {
    pub(super) fn new(limits: &'a Limits, events: &'a Events) -> Self {
        Self { limits, events, failed: 0, damaged: 0 }
    }

    /// Something got through: the count begins anew.
    pub(super) fn moved(&mut self) {
        self.failed = 0;
    }

    /// Waits, if after `error` it is worth another try; else gives the error back.
    pub(super) async fn again(&mut self, error: RegistryError) -> Result<(), RegistryError> {
        let Some((tries, asked_for)) = worth(&error) else { return Err(error) };
        let damaged =
            matches!(error, RegistryError::DigestMismatch { .. } | RegistryError::SizeMismatch { .. });
        let failed = if damaged { &mut self.damaged } else { &mut self.failed };
        *failed += 1;
        if *failed >= tries.min(self.limits.patience.tries) {
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
        self.events.warn(said, None);
        self.limits.clock.sleep(wait).await;
        Ok(())
    }
}

/// How many tries something is worth that failed so, and the wait that was asked for.
fn worth(error: &RegistryError) -> Option<(u32, Option<Duration>)> {
    match error {
        RegistryError::Network { source, .. } if source.is_connect() => Some((CONNECTION_TRIES, None)),
        RegistryError::Network { .. } | RegistryError::Stalled { .. } => Some((u32::MAX, None)),
        RegistryError::Refused { answer: Answer { status, retry_after, .. }, .. }
            if is_transient(*status) =>
        {
            Some((u32::MAX, *retry_after))
        }
        RegistryError::DigestMismatch { .. } | RegistryError::SizeMismatch { .. } => {
            Some((DAMAGED_TRIES, None))
        }
        _ => None,
    }
}
