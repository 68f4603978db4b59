//! Addresses that somebody takes away from under a check: what is not answered meanwhile is no fault of the service.

use std::{
    io::ErrorKind,
    net::{IpAddr, UdpSocket},
    time::{Duration, Instant},
};

use anycast_core::{Cause, Health, Outcome};

use super::Driver;
use crate::kernel::was_removed;

/// The kernel lists an IPv6 address some time before it has the route to it.
pub(super) const SETTLES: Duration = Duration::from_millis(200);

impl Driver {
    /// Somebody may have taken the very address away that was asked. It is put back within milliseconds, and what was not answered
    /// meanwhile says nothing of the service. That nobody listens any more is so wherever it was seen from.
    pub(super) fn unless_displaced(&self, outcome: Outcome, now: Instant) -> Outcome {
        if outcome.health != Health::Down || outcome.cause == Cause::Gone {
            return outcome;
        }
        let permit = self.enabled.borrow();
        // Before it has been well there is nothing that the service could lose by it.
        let settles = self.passed.is_some() && self.settles.is_some_and(|until| now < until);
        // It may be back before it is known here that it was away.
        let displaced = |address: &&IpAddr| settles || !is_here(**address) || was_removed(**address, self.begun);
        match permit.targets.iter().find(displaced) {
            Some(address) => {
                let detail = format!(
                    "not known: {address} was taken from this node, or has just been bound ({})",
                    outcome.detail
                );
                Outcome { health: Health::Unknown, cause: Cause::Answered, detail, ..outcome }
            }
            None => outcome,
        }
    }
}

/// Whether this address is on this node and can be reached from it. Where the kernel lets everybody bind what is not there
/// (`ip_nonlocal_bind`), that it is not is seen only by its having no route.
fn is_here(address: IpAddr) -> bool {
    const DISCARD: u16 = 9;
    // A socket of UDP connects without sending anything.
    match UdpSocket::bind((address, 0)) {
        Ok(socket) => socket.connect((address, DISCARD)).is_ok(),
        Err(error) => error.kind() != ErrorKind::AddrNotAvailable,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_here_or_elsewhere() {
        for (address, here) in
            [("127.0.0.1", true), ("127.9.9.9", true), ("::1", true), ("192.0.2.99", false), ("2001:db8::99", false)]
        {
            assert_eq!(is_here(address.parse().unwrap()), here, "{address}");
        }
    }
}
