//! The lab: a topology of routers, edge nodes and clients that runs on one machine, and what is done with it.
//!
//! [`topology`] understands containerlab's file, [`runner`] brings it up in network namespaces or finds it in containers,
//! [`tools`] are the programs that run inside its nodes, [`demo`] shows a failover with measured times, [`bench`]
//! measures, [`report`] compares failovers, [`check`] runs every test of the repository, [`package`] makes the Debian package and
//! [`systemd`] tries it under a real one, [`graph`] draws a topology, [`harness`] is what the end-to-end tests stand on, and
//! [`peer`] a neighbor that does what no router does.

pub mod bench;
pub mod burden;
pub mod check;
pub mod cli;
pub mod demo;
pub mod exit;
pub mod frr;
pub mod graph;
pub mod harness;
mod input;
mod markup;
pub mod package;
pub mod peer;
pub mod programs;
pub mod report;
pub mod runner;
pub mod setup;
pub mod state;
pub mod systemd;
pub mod tools;
pub mod topology;
pub mod verbs;
