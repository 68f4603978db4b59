//! The one interface over which a neighbor on the same link is reached (fast external failover): when it goes down no session over it
//! can live, and waiting for the hold timer would only keep up a claim.

use std::sync::Arc;

use crate::kernel::Links;

#[derive(Debug, Clone)]
pub(super) struct Way {
    pub(super) interface: Arc<str>,
    /// It carried packets when it was last looked at; what is not known is taken to.
    open: bool,
}

impl Way {
    pub(super) fn new(interface: &str, links: &Links) -> Self {
        let interface = Arc::from(interface);
        let open = carries(&interface, links);
        Self { interface, open }
    }

    pub(super) const fn is_closed(&self) -> bool {
        !self.open
    }

    /// Whether it carries packets now, if that is another than before.
    pub(super) fn look(&mut self, links: &Links) -> Option<bool> {
        let open = carries(&self.interface, links);
        (std::mem::replace(&mut self.open, open) != open).then_some(open)
    }
}

/// An agent that is deaf for a moment must not give up what works.
pub(super) fn carries(interface: &str, links: &Links) -> bool {
    links.as_ref().is_none_or(|links| links.get(interface).is_some_and(|link| link.running))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::Interface;

    #[test]
    fn a_way_is_closed_only_by_an_interface_that_is_known_to_be_down() {
        let running = |name: &&str| (Arc::from(*name), Interface { running: true, ..Interface::default() });
        let down = (Arc::from("eth0"), Interface::default());
        let links =
            |names: &[&str]| Some(Arc::new([down.clone()].into_iter().chain(names.iter().map(running)).collect()));
        let mut way = Way::new("eth1", &links(&["lo"]));
        assert!(way.is_closed());
        let steps: [(Links, Option<bool>); 7] = [
            (links(&["lo"]), None),
            (links(&["eth1", "lo"]), Some(true)),
            (links(&["eth0", "eth1"]), None),
            (links(&["eth0", "eth10"]), Some(false)),
            (None, Some(true)),
            (links(&["eth1"]), None),
            (links(&[]), Some(false)),
        ];
        for (number, (links, expected)) in steps.into_iter().enumerate() {
            assert_eq!(way.look(&links), expected, "step {number}");
        }
    }
}
