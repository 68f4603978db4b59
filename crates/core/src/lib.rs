//! The domain: services, their checks, drains, and the one function that decides what is announced and bound.
//!
//! Pure: no runtime, no sockets, no clock.

pub mod adjacency;
pub mod check;
pub mod config;
pub mod decide;
pub mod difference;
pub mod drain;
pub mod fence;
pub mod hold_down;
mod name;
pub mod path;
pub mod performance;
pub mod reconcile;
mod secret;

pub use check::{Cause, Check, CheckCounters, Health, Outcome, Probe};
pub use config::Config;
pub use decide::{Desired, View, decide};
pub use difference::{Difference, difference};
pub use drain::Drain;
pub use hold_down::HoldDown;
pub use name::{BadName, CheckName, PeerId, ServiceName};
pub use performance::Performance;
pub use reconcile::Reconciler;
pub use secret::Secret;

#[cfg(test)]
mod testing;
