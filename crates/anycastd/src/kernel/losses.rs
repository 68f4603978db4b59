//! What goes of the networks that this node is connected to: an address removed, an interface down. Those who ask there want to
//! know at once; what it means they find out by asking.

use std::{
    collections::{BTreeMap, VecDeque},
    fmt,
    net::IpAddr,
    sync::Mutex,
    time::Instant,
};

use ipnet::IpNet;

use super::netlink::Raw;
use crate::lock::lock;

/// Losses that are kept for those who have not looked yet.
const KEPT: usize = 256;

/// How a network went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Loss {
    /// The address, with its network, is not there any more.
    Removed(IpNet),
    /// The interface that carries the address was set down, or has no carrier any more.
    Down(IpNet),
}

impl Loss {
    /// The network that can be reached no more by it.
    pub(crate) const fn network(self) -> IpNet {
        match self {
            Self::Removed(network) | Self::Down(network) => network,
        }
    }
}

impl Loss {
    /// Whether the loopback went down: nothing on this node reaches anything else on it then, whatever the address.
    pub(crate) fn is_of_everything(self) -> bool {
        matches!(self, Self::Down(network) if network.addr().is_loopback())
    }
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Removed(network) => write!(f, "address {network} was removed"),
            Self::Down(network) => write!(f, "the interface of {network} went down"),
        }
    }
}

/// The addresses that were last seen to be gone, and when. It is known here before any of them is put back.
static REMOVED: Mutex<VecDeque<(IpAddr, Instant)>> = Mutex::new(VecDeque::new());

fn note_removed(address: IpAddr, now: Instant) {
    let mut removed = lock(&REMOVED);
    if removed.len() == KEPT {
        removed.pop_front();
    }
    removed.push_back((address, now));
}

/// Whether this address was seen to be gone since then, as far as that is kept.
pub(crate) fn was_removed(address: IpAddr, since: Instant) -> bool {
    lock(&REMOVED).iter().any(|(removed, at)| *removed == address && *at >= since)
}

/// The latest losses, each with its number.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Losses {
    latest: VecDeque<Loss>,
    count: u64,
}

impl Losses {
    /// How many there were.
    pub(crate) const fn count(&self) -> u64 {
        self.count
    }

    /// Those since there were `seen`, as far as they are kept.
    pub(crate) fn since(&self, seen: u64) -> impl Iterator<Item = Loss> + '_ {
        let fresh = usize::try_from(self.count.saturating_sub(seen)).unwrap_or(usize::MAX);
        self.latest.iter().skip(self.latest.len().saturating_sub(fresh)).copied()
    }

    fn push(&mut self, loss: Loss) {
        if let Loss::Removed(network) = loss {
            note_removed(network.addr(), Instant::now());
        }
        if self.latest.len() == KEPT {
            self.latest.pop_front();
        }
        self.latest.push_back(loss);
        self.count += 1;
    }
}

/// Compares one listing with the next.
#[derive(Debug, Default)]
pub(super) struct Lookout {
    /// Every address by interface, and whether that carries packets.
    before: BTreeMap<(u32, IpNet), bool>,
    losses: Losses,
}

impl Lookout {
    /// Takes the next listing.
    pub(super) fn handle_listing(&mut self, raw: &Raw) {
        let running = |index: u32| raw.running.contains(&index);
        let now: BTreeMap<_, _> =
            raw.addresses.iter().map(|address| ((address.index, address.network), running(address.index))).collect();
        for ((index, network), was_running) in std::mem::replace(&mut self.before, now) {
            match self.before.get(&(index, network)) {
                None => self.losses.push(Loss::Removed(network)),
                Some(false) if was_running => self.losses.push(Loss::Down(network)),
                Some(_) => {}
            }
        }
    }

    pub(super) const fn losses(&self) -> &Losses {
        &self.losses
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::netlink::RawAddress;

    fn listing(addresses: &[(u32, &str)], running: &[u32]) -> Raw {
        let address = |(index, text): &(u32, &str)| {
            let network: IpNet = text.parse().unwrap();
            RawAddress { address: network.addr(), network, index: *index, tag: None, usable: true, passing: false }
        };
        Raw {
            addresses: addresses.iter().map(address).collect(),
            running: running.iter().copied().collect(),
            ..Raw::default()
        }
    }

    #[test]
    fn that_an_address_was_gone_is_remembered() {
        let [address, other] = ["192.0.2.7", "192.0.2.8"].map(|text| text.parse::<IpAddr>().unwrap());
        let begun = Instant::now();
        Losses::default().push(Loss::Removed(IpNet::from(address)));
        assert!(was_removed(address, begun) && !was_removed(other, begun));
        assert!(!was_removed(address, Instant::now() + std::time::Duration::from_secs(1)));
    }

    #[test]
    fn what_goes_is_told_once_and_what_comes_is_not() {
        const A: (u32, &str) = (2, "10.9.0.1/24");
        const B: (u32, &str) = (3, "2001:db8::1/64");
        let net = |(_, text): (u32, &str)| text.parse::<IpNet>().unwrap();
        let steps: &[(Raw, &[Loss])] = &[
            (listing(&[A], &[2]), &[]),
            (listing(&[A, B], &[2, 3]), &[]),
            (listing(&[A, B], &[3]), &[Loss::Down(net(A))]),
            (listing(&[A, B], &[]), &[Loss::Down(net(B))]),
            (listing(&[A, B], &[2, 3]), &[]),
            (listing(&[B], &[2, 3]), &[Loss::Removed(net(A))]),
            (listing(&[(4, B.1)], &[4]), &[Loss::Removed(net(B))]),
            (listing(&[], &[]), &[Loss::Removed(net(B))]),
        ];
        let mut lookout = Lookout::default();
        for (number, (listing, expected)) in steps.iter().enumerate() {
            let seen = lookout.losses().count();
            lookout.handle_listing(listing);
            assert_eq!(lookout.losses().since(seen).collect::<Vec<_>>(), *expected, "step {number}");
        }
    }

    #[test]
    fn who_looks_late_sees_the_latest() {
        let network = |number: u8| IpNet::from(std::net::IpAddr::from([10, 0, 0, number]));
        let mut losses = Losses::default();
        (0..=255).chain(0..10).for_each(|number| losses.push(Loss::Removed(network(number))));
        assert_eq!((losses.count(), losses.since(0).count(), losses.since(264).count()), (266, KEPT, 2));
        assert_eq!(losses.since(265).next(), Some(Loss::Removed(network(9))));
        assert_eq!(losses.since(266).next(), None);
    }
}
