//! What a session watches, and what it never goes beyond, whatever it is told. It can be changed while the session is up.

use std::num::{NonZeroU64, NonZeroUsize};

/// The limits of one neighbor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Limits {
    /// How many prefixes may be announced to it: of a larger set only the first are, in the order of prefixes, since a set
    /// that large is a mistake, and one that nobody may pay for with all of them. `None`: all.
    pub max_announced: Option<NonZeroUsize>,
    /// How many different prefixes it should announce in one session: an alarm, which ends nothing. `None`: they are not counted.
    pub max_prefixes: Option<NonZeroU64>,
}
