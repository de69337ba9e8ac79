//! A mutex, whether or not a thread has panicked while it held it.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks `mutex`. A poisoned one is as good as another: no holder in this crate leaves a value half changed.
pub fn locked<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
