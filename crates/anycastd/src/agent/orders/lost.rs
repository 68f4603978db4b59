//! What is done about the orders of which the disk says nothing good at the start: those that are over, and those that cannot be
//! read.

use std::collections::BTreeSet;

use anycast_api::{Timestamp, WithdrawMode};

use anycast_core::ServiceName;

use super::super::Agent;
use crate::state::{Loaded, Order, kept_aside};

/// Who has given the orders that stand for those that cannot be read; no user has such a name.
const ITSELF: &str = "the agent itself";
/// Under what it is a problem.
const LOST: &str = "lost orders";
const REASON: &str = "orders.json could not be read: it is not known what was withdrawn";

impl Agent {
    /// Takes over what the process before left.
    pub(in super::super) fn take_over_orders(&mut self, loaded: Loaded) {
        self.orders = loaded.orders;
        for (name, order) in &loaded.over {
            let text = format!("the withdraw ordered by {} at {} ended while no agent ran", order.by, order.at);
            tracing::info!(service = %name, "{text}");
            self.sink.report("drain", name, text);
        }
        if !loaded.over.is_empty() {
            self.tidy_orders("an order has ended");
        }
        if let Some(why) = loaded.unreadable {
            tracing::error!("{}: {why}; every service is withdrawn until `announce`", self.orders_file.display());
            self.report_own(format!("orders.json could not be read: {why}"));
            let names: Vec<_> = self.settings.core.services.keys().cloned().collect();
            self.orders.extend(names.into_iter().map(|name| (name, lost())));
            self.tidy_orders("every service is withdrawn");
        }
        self.orders_for_new(&loaded.services);
        self.settle_lost();
    }

    /// A service that came while no agent ran, and the whole node was withdrawn, is of the node too.
    fn orders_for_new(&mut self, known: &BTreeSet<ServiceName>) {
        let Some(whole) = self.whole_node().cloned().filter(|_| !known.is_empty()) else { return };
        let comes = |name: &&ServiceName| !known.contains(*name) && !self.orders.contains_key(*name);
        let new: Vec<ServiceName> = self.settings.core.services.keys().filter(comes).cloned().collect();
        if new.is_empty() {
            return;
        }
        self.orders.extend(new.into_iter().map(|name| (name, whole.clone())));
        self.tidy_orders("a service has come while the node is withdrawn");
    }

    /// A problem as long as one of them is in force.
    pub(in super::super) fn settle_lost(&mut self) {
        let in_force = self.orders.iter().filter(|(_, order)| order.by.contains(ITSELF));
        let names: Vec<String> = in_force.map(|(name, _)| name.to_string()).collect();
        if names.is_empty() {
            return self.problem(LOST, None);
        }
        // It is told once: the disk is not asked for every order.
        if self.problems.contains_key(LOST) {
            return;
        }
        let kept = kept_aside(&self.orders_file).pop();
        let kept = kept.map_or(String::new(), |file| format!("; it is kept as {}", file.display()));
        let text = format!("{REASON}; withdrawn for that: {}; `anycastctl announce` ends it{kept}", names.join(", "));
        self.problem(LOST, Some(text));
    }
}

fn lost() -> Order {
    Order {
        mode: WithdrawMode::Graceful,
        by: ITSELF.to_owned(),
        at: Timestamp::now(),
        reason: Some(REASON.to_owned()),
        until: None,
        whole_node: true,
        boot: None,
        file: None,
    }
}
