//! Locks of small things that no protocol depends on.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks it, also where somebody panicked who had it: what such locks hold is whole after every step.
pub(crate) fn lock<T: ?Sized>(what: &Mutex<T>) -> MutexGuard<'_, T> {
    what.lock().unwrap_or_else(PoisonError::into_inner)
}
