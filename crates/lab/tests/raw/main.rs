//! The agent on an edge node against a neighbor that does what no router does.

mod connections;
mod flood;
mod node;
mod quarantine;
mod silence;
mod window;
