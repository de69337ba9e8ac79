//! One after another where all would do the same: who comes second waits, and then finds it done.

use std::collections::HashSet;
use std::hash::Hash;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use super::locked;

/// What is under way, by whatever tells one thing from another. Cheap to clone; clones share it.
#[derive(Debug)]
pub struct Turns<K>(Arc<Inner<K>>);

#[derive(Debug)]
struct Inner<K> {
    under_way: Mutex<HashSet<K>>,
    ended: Condvar,
}

/// One's turn; it ends when this is dropped, on whichever thread.
#[derive(Debug)]
pub struct Turn<K: Eq + Hash> {
    turns: Turns<K>,
    key: K,
}

impl<K: Eq + Hash + Clone> Turns<K> {
    /// Waits until nobody else has this turn, and takes it.
    pub fn take(&self, key: K) -> Turn<K> {
        let mut under_way = self.lock();
        while !under_way.insert(key.clone()) {
            under_way = self.0.ended.wait(under_way).unwrap_or_else(PoisonError::into_inner);
        }
        Turn { turns: self.clone(), key }
    }

    /// The same without waiting: nothing, if somebody else has it.
    pub fn take_free(&self, key: K) -> Option<Turn<K>> {
        let free = self.lock().insert(key.clone());
        free.then(|| Turn { turns: self.clone(), key })
    }
}

impl<K> Turns<K> {
    fn lock(&self) -> MutexGuard<'_, HashSet<K>> {
        locked(&self.0.under_way)
    }
}

impl<K: Eq + Hash> Drop for Turn<K> {
    fn drop(&mut self) {
        self.turns.lock().remove(&self.key);
        self.turns.0.ended.notify_all();
    }
}

impl<K> Clone for Turns<K> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<K> Default for Turns<K> {
    fn default() -> Self {
        Self(Arc::new(Inner { under_way: Mutex::default(), ended: Condvar::new() }))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn one_has_a_turn_at_a_time_and_others_have_theirs() {
        let (turns, inside, most) = (Turns::default(), AtomicUsize::new(0), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..100 {
                        let _turn = turns.take("a");
                        most.fetch_max(inside.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                        inside.fetch_sub(1, Ordering::SeqCst);
                    }
                });
            }
        });
        assert_eq!(most.into_inner(), 1);
        let turn = turns.take("a");
        assert!(turns.take_free("a").is_none() && turns.take_free("b").is_some());
        drop(turn);
        assert!(turns.take_free("a").is_some());
    }
}
