//! The sessions of one program become those of the next.

use std::{collections::BTreeMap, num::NonZeroU32, time::Instant};

use anycast_bfd::{Entry, Session};
use anycast_core::{PeerId, config::Neighbor};

use super::{
    super::{handover::Parted, session_config, sockets::Listener, tenant::Tenant},
    Thread,
    ports::PLACES,
};
use crate::{clock::since_boot, handover::Places};

impl Thread {
    /// Goes on with what another program has left, before anybody asks for it.
    pub(in crate::bfd) fn take_over(
        &mut self,
        parted: Parted,
        neighbors: &BTreeMap<PeerId, Neighbor>,
        places: &mut Places,
    ) {
        let now = Instant::now();
        let at = now.checked_sub(since_boot().saturating_sub(parted.at)).unwrap_or(now);
        for left in parted.sessions {
            let Ok(of) = PeerId::new(&left.of) else { continue };
            let Some(bfd) = neighbors.get(&of).and_then(|neighbor| neighbor.bfd.as_ref()) else { continue };
            let id = left.router.map_or_else(|| of.clone(), |router| of.at(router));
            let config = session_config(bfd);
            let mut session = match Session::take_over(config, &left.session, at) {
                Ok(session) => session,
                Err(error) => {
                    tracing::warn!(neighbor = %id, "its BFD session begins anew: {error}");
                    continue;
                }
            };
            // Whether we are fit to be sent to is for this program to say.
            session.set_suspended(self.stale);
            let tenant = Tenant::left(&left, (id.clone(), of), session.config().clone(), now);
            let discriminator = session.discriminators().0;
            self.table.insert(Entry::new(tenant.target.remote, tenant.target.path, session));
            self.tenants.insert(discriminator, tenant);
            self.current.insert(id, discriminator);
            self.timers.set(discriminator, Some(now));
        }
        for (place, port) in PLACES {
            let Some(descriptor) = places.take(place) else { continue };
            match Listener::adopt(port, descriptor) {
                Ok(listener) => drop(self.listeners.insert(port, listener)),
                Err(error) => tracing::debug!(?port, %error, "a socket that was left is of no use"),
            }
        }
        self.unsettled = true;
        self.listen(now);
    }

    pub(super) fn hand_over(&self, now: Instant) -> (Parted, Places) {
        let left = |(discriminator, tenant): (&NonZeroU32, &Tenant)| {
            let entry = self.table.get(*discriminator).filter(|_| !self.is_parting(*discriminator))?;
            let router = (tenant.id != tenant.of).then_some(tenant.target.remote);
            Some(tenant.leave(&entry.session, router, now))
        };
        let parted = Parted { at: since_boot(), sessions: self.tenants.iter().filter_map(left).collect() };
        let mut places = Places::default();
        for (place, port) in PLACES {
            if let Some(listener) = self.listeners.get(&port) {
                places.keep(place, listener.descriptor());
            }
        }
        (parted, places)
    }
}
