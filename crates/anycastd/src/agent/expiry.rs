//! When orders end.
//!
//! An order says its end on the wall clock, which outlives the process and may be set meanwhile, by NTP or by hand. From the
//! moment that the order is first seen its end is kept on the clock that nobody sets: what was ordered for two hours lasts two.

use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime},
};

use anycast_api::Timestamp;
use anycast_core::ServiceName;

use crate::state::Orders;

/// The ends of the orders that have one, since the machine was booted.
#[derive(Debug, Default)]
pub(super) struct Expiries(BTreeMap<ServiceName, (Timestamp, Duration)>);

impl Expiries {
    /// Takes over what is new, and drops what is not there any more.
    pub(super) fn settle(&mut self, orders: &Orders, wall: SystemTime, since_boot: Duration) {
        self.0.retain(|name, (until, _)| {
            orders.get(name).is_some_and(|order| order.until == Some(*until) && order.boot.is_none())
        });
        for (name, order) in orders {
            if let (Some(until), Some(left)) = (order.until, order.remaining(wall)) {
                self.0.entry(name.clone()).or_insert((until, since_boot + left));
            }
        }
    }

    /// In how long the next ends.
    pub(super) fn next(&self, since_boot: Duration) -> Option<Duration> {
        self.0.values().map(|(_, end)| end.saturating_sub(since_boot)).min()
    }

    /// Those that are over.
    pub(super) fn over(&self, since_boot: Duration) -> Vec<String> {
        self.0.iter().filter(|(_, (_, end))| *end <= since_boot).map(|(name, _)| name.to_string()).collect()
    }
}

#[cfg(test)]
mod tests {
    use anycast_api::WithdrawMode;

    use super::*;
    use crate::state::Order;

    const HOUR: Duration = Duration::from_secs(3600);

    fn order(until: SystemTime) -> Order {
        Order {
            mode: WithdrawMode::Graceful,
            by: "root".to_owned(),
            at: SystemTime::UNIX_EPOCH.into(),
            reason: None,
            until: Some(until.into()),
            whole_node: false,
            boot: None,
            file: None,
        }
    }

    #[test]
    fn a_clock_that_is_set_moves_no_end() {
        let wall = SystemTime::UNIX_EPOCH + 1000 * HOUR;
        for set in [SystemTime::UNIX_EPOCH, wall - 5 * HOUR, wall + 5 * HOUR, wall + 100_000 * HOUR] {
            let orders = Orders::from([(ServiceName::new("web").unwrap(), order(wall + 2 * HOUR))]);
            let mut ends = Expiries::default();
            ends.settle(&orders, wall, 10 * HOUR);
            // The clock is set, an hour passes.
            ends.settle(&orders, set + HOUR, 11 * HOUR);
            assert_eq!((ends.next(11 * HOUR), ends.over(11 * HOUR)), (Some(HOUR), vec![]), "{set:?}");
            assert_eq!(ends.over(12 * HOUR), ["web"]);
        }
    }

    #[test]
    fn another_order_has_another_end_and_one_that_is_gone_has_none() {
        let wall = SystemTime::UNIX_EPOCH + 1000 * HOUR;
        let name = ServiceName::new("web").unwrap();
        let mut ends = Expiries::default();
        ends.settle(&Orders::from([(name.clone(), order(wall + HOUR))]), wall, HOUR);
        ends.settle(&Orders::from([(name.clone(), order(wall + 3 * HOUR))]), wall, HOUR);
        assert_eq!(ends.next(HOUR), Some(3 * HOUR));
        ends.settle(&Orders::from([(name, Order { until: None, ..order(wall) })]), wall, HOUR);
        assert_eq!(ends.next(HOUR), None);
    }

    #[test]
    fn while_the_boot_is_the_same_one_that_ends_with_it_stands() {
        let wall = SystemTime::UNIX_EPOCH + 1000 * HOUR;
        let name = ServiceName::new("web").unwrap();
        let mut ends = Expiries::default();
        ends.settle(&Orders::from([(name.clone(), order(wall + HOUR))]), wall, HOUR);
        ends.settle(&Orders::from([(name, Order { boot: Some("5f2b".into()), ..order(wall + HOUR) })]), wall, HOUR);
        assert_eq!((ends.next(HOUR), ends.over(9 * HOUR)), (None, vec![]));
    }

    #[test]
    fn an_order_that_ended_while_nobody_ran_is_over() {
        let wall = SystemTime::UNIX_EPOCH + 1000 * HOUR;
        let mut ends = Expiries::default();
        ends.settle(&Orders::from([(ServiceName::new("web").unwrap(), order(wall - HOUR))]), wall, HOUR);
        assert_eq!(ends.over(HOUR), ["web"]);
    }
}
