//! BFD Control packets that no router sends: each field as the test says, from whatever address, with whatever TTL.

use std::net::{IpAddr, SocketAddr};

use anyhow::{Context as _, ensure};
use socket2::{Domain, Protocol, Socket, Type};

/// A packet (RFC 5880 §4.1) with or without an authentication section.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forged {
    /// 1.
    pub version: u8,
    /// Why its sender changed its state last.
    pub diagnostic: u8,
    /// 0 is AdminDown, 1 Down, 2 Init, 3 Up.
    pub state: u8,
    /// Poll, Final, Control Plane Independent, Authentication Present, Demand, Multipoint, from bit 5 down.
    pub flags: u8,
    /// Detect Mult.
    pub multiplier: u8,
    /// The sender's name of the session.
    pub mine: u32,
    /// The receiver's.
    pub yours: u32,
    /// Desired Min TX, Required Min RX and Required Min Echo RX Interval, in microseconds.
    pub intervals: [u32; 3],
    /// What follows.
    pub section: Vec<u8>,
}

impl Forged {
    /// One that takes the receiver's session down, if it is believed.
    #[must_use]
    pub const fn down(mine: u32, yours: u32) -> Self {
        Self {
            version: 1,
            diagnostic: 1,
            state: 1,
            flags: 0,
            multiplier: 3,
            mine,
            yours,
            intervals: [1_000_000, 1_000_000, 0],
            section: Vec::new(),
        }
    }

    /// As it goes over the wire.
    #[must_use]
    pub fn octets(&self) -> Vec<u8> {
        let length = u8::try_from(24 + self.section.len()).unwrap_or(u8::MAX);
        let mut octets =
            vec![self.version << 5 | self.diagnostic, self.state << 6 | self.flags, self.multiplier, length];
        let words = [self.mine, self.yours].into_iter().chain(self.intervals);
        octets.extend(words.flat_map(u32::to_be_bytes));
        octets.extend_from_slice(&self.section);
        octets
    }
}

/// How a datagram travels.
#[derive(Debug, Clone, Copy)]
pub struct Way<'a> {
    /// From where; the address must be the node's.
    pub from: IpAddr,
    /// To which address and port.
    pub to: SocketAddr,
    /// Its TTL or hop limit.
    pub ttl: u32,
    /// Over which interface, whatever the routes say.
    pub interface: Option<&'a str>,
}

/// Sends octets from the network that the calling thread is in.
///
/// # Errors
/// When the kernel does not take them.
pub fn send(octets: &[u8], way: Way<'_>) -> anyhow::Result<()> {
    let socket = Socket::new(Domain::for_address(way.to), Type::DGRAM, Some(Protocol::UDP))?;
    if way.to.is_ipv4() {
        socket.set_ttl_v4(way.ttl)?;
    } else {
        socket.set_unicast_hops_v6(way.ttl)?;
    }
    if let Some(interface) = way.interface {
        socket.bind_device(Some(interface.as_bytes())).with_context(|| interface.to_owned())?;
    }
    socket
        .bind(&SocketAddr::new(way.from, 0).into())
        .with_context(|| format!("{} is not an address here", way.from))?;
    let sent = socket.send_to(octets, &way.to.into())?;
    ensure!(sent == octets.len(), "a part of it was sent");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_is_at_its_place() {
        let forged = Forged { flags: 0b10_0000, section: vec![1, 4, 9, 7], ..Forged::down(0x0102_0304, 0x0506_0708) };
        let expected: Vec<u8> = [
            &[0x21, 0x60, 3, 28, 1, 2, 3, 4, 5, 6, 7, 8][..],
            &1_000_000_u32.to_be_bytes(),
            &1_000_000_u32.to_be_bytes(),
            &[0; 4],
            &[1, 4, 9, 7],
        ]
        .concat();
        assert_eq!(forged.octets(), expected);
    }
}
