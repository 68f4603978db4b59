//! The acts.

mod agent;
mod cut;
mod maintenance;
mod region;
mod service;

pub(super) use self::{
    agent::agent_dies,
    cut::node_cut_off,
    maintenance::maintenance,
    region::own_region,
    service::{service_dies, service_returns},
};
