//! What an agent leaves to the next one that runs in its place, in the same process: one document in memory, and the connections to
//! the neighbors.
//!
//! The document is read by another version, older or newer: what it does not know it passes over, and what is missing has a
//! meaning. Times are ages, or what is left of them.

mod document;
mod exec;
mod places;
mod trial;

pub(crate) use self::{
    document::{Bad, Bound, Document, Neighbor, Service, Since, Upgrade},
    exec::{arrive, deposit, replace},
    places::{Place, Places},
    trial::{TRIAL, Unable, Verdict, answer as answer_trial},
};
