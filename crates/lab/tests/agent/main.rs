//! The agent on an edge node against FRR, as a router sees it: `rtr` has the session, `peer` behind it sees what is passed on.

mod attributes;
mod auth;
mod blocking;
mod broken;
mod capabilities;
mod capture;
mod checks;
mod doctor;
mod drained;
mod edge;
mod fence;
mod graceful;
mod hops;
mod kernel;
mod links;
mod maintenance;
mod passive;
mod probe;
mod reload;
mod routes;
mod states;
mod stop;
mod unnumbered;
mod upgrade;
mod watch;
mod web;
