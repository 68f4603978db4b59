//! What is to be seen of a session; nothing here changes it.

use super::*;

impl Session {
    /// The state of RFC 4271.
    #[must_use]
    pub const fn state(&self) -> State {
        self.state
    }

    /// Since when it is in that state.
    #[must_use]
    pub const fn state_since(&self) -> Instant {
        self.state_since
    }

    /// The Adj-RIB-Out with the progress of each entry; empty while the session is not Established.
    #[must_use]
    pub const fn advertised(&self) -> &BTreeMap<Prefix, Advertised> {
        self.rib.advertised()
    }

    /// The set that the session works towards: the last of [`Self::set_routes`], or what it was taken over with.
    #[must_use]
    pub const fn desired(&self) -> &Routes {
        self.rib.desired()
    }

    /// The desired routes that this neighbor cannot be given, and why; empty while the session is not Established.
    #[must_use]
    pub const fn unsent(&self) -> &BTreeMap<Prefix, Unsendable> {
        self.rib.unsent()
    }

    /// The desired routes that are held back because the neighbor ends the session when it is told of them, or may, whether there is
    /// a session or not.
    #[must_use]
    pub fn quarantined(&self) -> BTreeMap<Prefix, Quarantined> {
        self.quarantine.held_back(self.rib.desired())
    }

    /// What was agreed on, once the neighbor's OPEN was good.
    #[must_use]
    pub const fn negotiated(&self) -> Option<&Negotiated> {
        self.negotiated.as_ref()
    }

    /// The next hop that each family in force is announced with, as written in an UPDATE; empty while the session is not
    /// Established.
    #[must_use]
    pub fn next_hops(&self) -> BTreeMap<Family, String> {
        self.rib.terms().map(Terms::next_hops).unwrap_or_default()
    }

    /// The connection's two ends, ours first, while there is one.
    #[must_use]
    pub fn ends(&self) -> Option<(SocketAddr, SocketAddr)> {
        self.link.as_ref().map(|link| (link.local, link.remote))
    }

    /// Our addresses that next hops are made of, while there is a connection: the one that [`Session::handle_connected`] was told, or what
    /// came after it, and the link-local one.
    #[must_use]
    pub fn own_addresses(&self) -> (Option<std::net::Ipv6Addr>, Option<std::net::Ipv6Addr>) {
        self.link.as_ref().map_or((None, None), |link| (link.local_ipv6, link.link_local))
    }

    /// What the neighbor has announced in this session, where that is limited.
    #[must_use]
    pub fn received(&self) -> Option<Received> {
        self.census.as_ref().map(Census::report)
    }

    /// What was counted since [`Self::new`].
    #[must_use]
    pub const fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Why the session, or the attempt at one, ended last. It outlives later successes.
    #[must_use]
    pub fn last_error(&self) -> Option<&DownReason> {
        self.last_error.as_ref().map(|(reason, _)| reason)
    }

    /// When that was.
    #[must_use]
    pub fn last_error_at(&self) -> Option<Instant> {
        self.last_error.as_ref().map(|(_, at)| *at)
    }

    /// Why the last Established session ended and when; `None` while there is one, and where there never was. The failures of
    /// the dials that follow ([`Self::last_error`]) do not change it.
    #[must_use]
    pub fn last_end(&self) -> Option<(&DownReason, Instant)> {
        self.last_end.as_ref().map(|(reason, at)| (reason, *at))
    }

    /// Since when the session is Established or, whatever is being tried meanwhile, not.
    #[must_use]
    pub fn up_or_down_since(&self) -> Instant {
        if self.state == State::Established { self.state_since } else { self.down_since }
    }

    /// When the next dial is due, in [`State::Active`].
    #[must_use]
    pub fn next_dial(&self) -> Option<Instant> {
        self.timers.get(Timer::ConnectRetry)
    }

    /// The recent messages and state changes as an MRT file (RFC 6396), over as many sessions as are kept. `wall` is the time of
    /// the day at `now`.
    #[must_use]
    pub fn capture(&self, now: Instant, wall: SystemTime) -> Vec<u8> {
        self.capture.mrt(now, wall)
    }

    /// What is kept beside the routes: octets of a message that is not whole, what waits to be taken, UPDATEs on their way.
    #[cfg(feature = "fuzzing")]
    pub(crate) fn kept(&self) -> (usize, usize, usize) {
        let waiting = self.urgent.len() + self.actions.len() + self.events.len();
        (self.framer.buffered(), waiting, self.rib.in_flight())
    }

    /// What the session was made with.
    #[must_use]
    pub const fn config(&self) -> &PeerConfig {
        &self.config
    }
}
