//! The agent: one process per edge node.

mod agent;
mod checker;
mod config;
mod control;
mod http;
mod kernel;
mod metrics;
mod peer;
mod probe;
mod signal;
mod state;

fn main() {}
