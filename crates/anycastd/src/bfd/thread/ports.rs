//! The ports that packets come to: they are open while a session needs them.

use std::{io, time::Instant};

use super::{
    super::sockets::{BUFFER, Listener, Port},
    AGAIN, BATCH, Thread,
};
use crate::handover::Place;

/// Where the sockets are that hear, for another program.
pub(super) const PLACES: [(Place, Port); 4] = [
    (Place::BfdSingleHopV4, Port::SingleHopV4),
    (Place::BfdSingleHopV6, Port::SingleHopV6),
    (Place::BfdMultihopV4, Port::MultihopV4),
    (Place::BfdMultihopV6, Port::MultihopV6),
];

impl Thread {
    /// The ports that are needed are opened, the others are closed.
    pub(super) fn listen(&mut self, now: Instant) {
        if !self.unsettled && self.asks_again().is_none_or(|at| at > now) {
            return;
        }
        self.unsettled = false;
        let needed = |port: Port| self.tenants.values().any(|tenant| Port::of(&tenant.target) == port);
        for (_, port) in PLACES {
            if !needed(port) {
                self.listeners.remove(&port);
                self.deaf.remove(&port);
            } else if !self.listeners.contains_key(&port) && self.deaf.get(&port).is_none_or(|(_, at)| *at <= now) {
                match Listener::open(port) {
                    Ok(listener) => {
                        self.listeners.insert(port, listener);
                        self.deaf.remove(&port);
                    }
                    Err(error) => drop(self.deaf.insert(port, (no_port(port, &error), now + AGAIN))),
                }
            }
        }
        for (discriminator, tenant) in &mut self.tenants {
            let hearing = self.deaf.get(&Port::of(&tenant.target)).map(|(why, _)| why.clone());
            if tenant.hearing != hearing {
                tenant.hearing = hearing;
                self.timers.set(*discriminator, Some(now));
            }
        }
    }

    /// When a port that could not be had is asked for again.
    pub(super) fn asks_again(&self) -> Option<Instant> {
        self.deaf.values().map(|(_, at)| *at).min()
    }

    /// Takes what waits; whether that was all.
    pub(super) fn hear(&mut self) -> bool {
        let ports: Vec<Port> = self.listeners.keys().copied().collect();
        let mut drained = true;
        for port in ports {
            drained &= self.hear_at(port);
        }
        self.flooded = if drained { 0 } else { self.flooded.saturating_add(1) };
        drained
    }

    fn hear_at(&mut self, port: Port) -> bool {
        let mut buffer = [0; BUFFER];
        for _ in 0..BATCH {
            match self.listeners.get(&port).map(|listener| listener.receive(&mut buffer)) {
                Some(Ok(Some((datagram, arrival)))) => self.handle(datagram, arrival),
                Some(Ok(None)) | None => return true,
                // It is told once, and is nothing that the next packet would not survive.
                Some(Err(error)) => {
                    tracing::debug!(?port, %error, "cannot hear");
                    return true;
                }
            }
        }
        false
    }
}

fn no_port(port: Port, error: &io::Error) -> String {
    let hint = if error.kind() == io::ErrorKind::AddrInUse {
        " (another BFD daemon on this node? stop it, or have it leave these neighbors alone)"
    } else {
        ""
    };
    format!("UDP port {} cannot be had: {error}{hint}", port.number())
}
