//! The interface under a session: when it goes down the session ends, and when its addresses change its next hops do.

use std::{net::SocketAddr, time::Instant};

use anycast_core::config::Endpoint;

use super::{
    super::{
        socket,
        way::{Way, carries},
    },
    Driver, Link,
};

impl Driver {
    /// Whether the two ends have a link in common, so that a link-local address of the one means something to the other.
    pub(super) fn is_on_link(&self, local: SocketAddr, remote: SocketAddr) -> bool {
        matches!(self.parts.neighbor.endpoint, Endpoint::Interface(_))
            || !socket::interfaces_towards(Some(local), remote).is_empty()
    }

    /// Over which interface a neighbor on the same link is reached.
    pub(super) fn find_way(&mut self, local: SocketAddr, remote: SocketAddr) {
        let neighbor = &self.parts.neighbor;
        if matches!(neighbor.endpoint, Endpoint::Interface(_)) {
            return; // It is known from the start.
        }
        let direct = neighbor.transport.distance.is_direct(self.parts.session.config().is_external());
        let links = self.parts.links.borrow();
        let all = if direct { socket::interfaces_towards(Some(local), remote) } else { Vec::new() };
        let best = all.iter().find(|interface| carries(interface, &links)).or_else(|| all.first());
        self.way = best.map(|interface| Way::new(interface, &links));
    }

    /// Whether the connection goes on over another interface than before, or over the same one under another name.
    fn goes_on(&mut self) -> bool {
        let Link::Open(connection) = &self.link else { return false };
        let (Ok(local), Ok(remote)) = (connection.stream.local_addr(), connection.stream.peer_addr()) else {
            return false;
        };
        self.find_way(local, remote);
        self.way.as_ref().is_some_and(|way| !way.is_closed())
    }

    /// Whether a dial would come to nothing: the interface that led to the neighbor is down, and no other leads there.
    pub(super) fn is_cut_off(&self) -> bool {
        let Some(way) = self.way.as_ref().filter(|way| way.is_closed()) else { return false };
        let neighbor = &self.parts.neighbor;
        let Endpoint::Address(address) = neighbor.endpoint else {
            // Whether it is not there at all, finding the router says better.
            return socket::is_interface(&way.interface);
        };
        let all = socket::interfaces_towards(None, SocketAddr::new(address, neighbor.port.get()));
        if all.is_empty() {
            // One that is down may have no addresses. One that is gone is not waited for: it may never be again.
            return socket::is_interface(&way.interface);
        }
        let links = self.parts.links.borrow();
        !all.iter().any(|interface| carries(interface, &links))
    }

    /// Ends what runs over an interface that goes down, and begins anew when it is back. A session that stays follows the addresses.
    pub(super) fn handle_links(&mut self, now: Instant) {
        let links = self.parts.links.borrow_and_update().clone();
        match self.way.as_mut().and_then(|way| way.look(&links)) {
            Some(false) => {
                let before = self.way.clone();
                if !self.goes_on() {
                    self.way = before;
                    self.cut_off(now);
                }
            }
            Some(true) if !self.stopping => self.parts.session.hurry(now),
            Some(true) | None => {}
        }
        // After that: where the session ended with its interface there is nothing more to say of the addresses.
        if let Some(addresses) = self.source.as_mut().and_then(|source| source.look(&links)) {
            let addresses = addresses.for_neighbor(self.on_link);
            self.parts.session.handle_addresses(addresses.ipv6, addresses.link_local, now);
        }
    }

    /// Nothing reaches the neighbor. The kernel goes on telling it that the connection has ended, for as long as it does so for any.
    pub(super) fn cut_off(&mut self, now: Instant) {
        let Some(way) = &self.way else { return };
        self.link = Link::None;
        self.parts.session.handle_link_down(&way.interface, now);
    }
}
