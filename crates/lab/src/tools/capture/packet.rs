//! From the octets of a packet to what BGP's connection, or BFD, sees of it.

use std::net::{IpAddr, SocketAddr};

/// Protocol numbers.
const TCP: u8 = 6;
const UDP: u8 = 17;
/// The flags of RFC 9293 §3.1 that matter here.
const FIN: u8 = 0x01;
const SYN: u8 = 0x02;
const RST: u8 = 0x04;
const ACK: u8 = 0x10;

/// A TCP segment and its ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Packet<'a> {
    pub(super) from: SocketAddr,
    pub(super) to: SocketAddr,
    pub(super) seq: u32,
    pub(super) ack: Option<u32>,
    pub(super) syn: bool,
    pub(super) fin: bool,
    pub(super) rst: bool,
    pub(super) payload: &'a [u8],
}

impl<'a> Packet<'a> {
    /// The segment in a packet that begins with its IP header, if one end of it is `port`.
    pub(super) fn parse(bytes: &'a [u8], port: u16) -> Option<Self> {
        let (from, to, segment) = inner(bytes, TCP)?;
        let header = usize::from(segment.get(12)? >> 4) * 4;
        let flags = *segment.get(13)?;
        if header < 20 || (from.port() != port && to.port() != port) {
            return None;
        }
        Some(Self {
            from,
            to,
            seq: word(segment, 4)?,
            ack: (flags & ACK != 0).then_some(word(segment, 8)?),
            syn: flags & SYN != 0,
            fin: flags & FIN != 0,
            rst: flags & RST != 0,
            payload: segment.get(header..)?,
        })
    }
}

/// A datagram of UDP and its ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Datagram<'a> {
    pub(super) from: SocketAddr,
    pub(super) to: SocketAddr,
    pub(super) payload: &'a [u8],
}

impl<'a> Datagram<'a> {
    /// The datagram in a packet that begins with its IP header, if it goes to `port` (RFC 768).
    pub(super) fn parse(bytes: &'a [u8], port: u16) -> Option<Self> {
        let (from, to, datagram) = inner(bytes, UDP)?;
        let payload = datagram.get(8..usize::from(half(datagram, 4)?))?;
        (to.port() == port).then_some(Self { from, to, payload })
    }
}

/// What is in a packet of TCP or UDP, whose first two fields are the ports.
fn inner(bytes: &[u8], protocol: u8) -> Option<(SocketAddr, SocketAddr, &[u8])> {
    let (source, destination, inner) = match bytes.first()? >> 4 {
        4 => ipv4(bytes, protocol)?,
        6 => ipv6(bytes, protocol)?,
        _ => return None,
    };
    Some((SocketAddr::new(source, half(inner, 0)?), SocketAddr::new(destination, half(inner, 2)?), inner))
}

/// RFC 791 §3.1.
fn ipv4(bytes: &[u8], protocol: u8) -> Option<(IpAddr, IpAddr, &[u8])> {
    let header = usize::from(bytes.first()? & 0x0F) * 4;
    let total = usize::from(half(bytes, 2)?);
    let fragment = half(bytes, 6)? & 0x1FFF;
    if header < 20 || fragment != 0 || *bytes.get(9)? != protocol {
        return None;
    }
    let source: [u8; 4] = *bytes.get(12..)?.first_chunk()?;
    let destination: [u8; 4] = *bytes.get(16..)?.first_chunk()?;
    // Short packets are padded on the wire. A length of 0 is that of a segment still to be cut by the interface.
    let end = if total == 0 { bytes.len() } else { total };
    Some((source.into(), destination.into(), bytes.get(header..end)?))
}

/// RFC 8200 §3; the protocol right behind the header, as BGP and BFD have it.
fn ipv6(bytes: &[u8], protocol: u8) -> Option<(IpAddr, IpAddr, &[u8])> {
    let length = usize::from(half(bytes, 4)?);
    if *bytes.get(6)? != protocol {
        return None;
    }
    let source: [u8; 16] = *bytes.get(8..)?.first_chunk()?;
    let destination: [u8; 16] = *bytes.get(24..)?.first_chunk()?;
    let end = if length == 0 { bytes.len() } else { 40 + length };
    Some((source.into(), destination.into(), bytes.get(40..end)?))
}

fn half(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().copied().map(u16::from_be_bytes)
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().copied().map(u32::from_be_bytes)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A segment in a packet, as the kernel would hand it over.
    pub(crate) fn packet(from: &str, to: &str, seq: u32, ack: u32, flags: u8, payload: &[u8]) -> Vec<u8> {
        let (from, to): (SocketAddr, SocketAddr) = (from.parse().unwrap(), to.parse().unwrap());
        let mut tcp = Vec::new();
        tcp.extend(from.port().to_be_bytes());
        tcp.extend(to.port().to_be_bytes());
        tcp.extend(seq.to_be_bytes());
        tcp.extend(ack.to_be_bytes());
        tcp.extend([0x60, flags, 0, 0, 0, 0, 0, 0, 2, 4, 5, 0xB4]);
        tcp.extend(payload);
        in_ip(from.ip(), to.ip(), TCP, &tcp)
    }

    /// A datagram in a packet.
    pub(crate) fn datagram(from: &str, to: &str, payload: &[u8]) -> Vec<u8> {
        let (from, to): (SocketAddr, SocketAddr) = (from.parse().unwrap(), to.parse().unwrap());
        let length = u16::try_from(payload.len() + 8).unwrap();
        let mut udp: Vec<u8> = [from.port(), to.port(), length, 0].into_iter().flat_map(u16::to_be_bytes).collect();
        udp.extend(payload);
        in_ip(from.ip(), to.ip(), UDP, &udp)
    }

    fn in_ip(from: IpAddr, to: IpAddr, protocol: u8, inner: &[u8]) -> Vec<u8> {
        let length = u16::try_from(inner.len()).unwrap();
        match (from, to) {
            (IpAddr::V4(from), IpAddr::V4(to)) => {
                let total = (length + 20).to_be_bytes();
                let mut packet = vec![0x45, 0, total[0], total[1], 0, 0, 0x40, 0, 64, protocol, 0, 0];
                packet.extend(from.octets());
                packet.extend(to.octets());
                packet.extend(inner);
                packet
            }
            (IpAddr::V6(from), IpAddr::V6(to)) => {
                let length = length.to_be_bytes();
                let mut packet = vec![0x60, 0, 0, 0, length[0], length[1], protocol, 64];
                packet.extend(from.octets());
                packet.extend(to.octets());
                packet.extend(inner);
                packet
            }
            _ => panic!("two families in one packet"),
        }
    }

    #[test]
    fn a_segment_is_found_in_both_families() {
        for (from, to) in [("192.0.2.50:40000", "192.0.2.49:179"), ("[2001:db8::2]:179", "[2001:db8::1]:40000")] {
            let mut bytes = packet(from, to, 7, 9, ACK | FIN, b"hello");
            // The padding of a short frame.
            bytes.extend([0; 6]);
            let expected = Packet {
                from: from.parse().unwrap(),
                to: to.parse().unwrap(),
                seq: 7,
                ack: Some(9),
                syn: false,
                fin: true,
                rst: false,
                payload: b"hello",
            };
            assert_eq!(Packet::parse(&bytes, 179), Some(expected));
            assert_eq!(Packet::parse(&bytes, 80), None);
        }
    }

    #[test]
    fn a_datagram_is_found_in_both_families() {
        for (from, to) in [("192.0.2.1:49152", "192.0.2.2:3784"), ("[2001:db8::1]:49152", "[2001:db8::2]:3784")] {
            let mut bytes = datagram(from, to, b"hello");
            let whole = bytes.len();
            // The padding of a short frame.
            bytes.extend([0; 6]);
            let expected = Datagram { from: from.parse().unwrap(), to: to.parse().unwrap(), payload: b"hello" };
            assert_eq!(Datagram::parse(&bytes, 3784), Some(expected));
            assert_eq!(Datagram::parse(&bytes, 49152), None);
            assert_eq!(Packet::parse(&bytes, 3784), None);
            for length in 0..whole {
                assert_eq!(Datagram::parse(&bytes[..length], 3784), None, "{length}");
            }
        }
    }

    #[test]
    fn what_is_cut_short_or_odd_is_no_segment() {
        for (from, to) in [("192.0.2.50:40000", "192.0.2.49:179"), ("[2001:db8::2]:179", "[2001:db8::1]:40000")] {
            let whole = packet(from, to, 7, 9, ACK, b"hello");
            for length in 0..whole.len() {
                assert_eq!(Packet::parse(&whole[..length], 179), None, "{length}");
            }
            // Any octet may be anything.
            for at in 0..whole.len() {
                for value in [0, 1, 0x0F, 0x7F, 0xF0, 0xFF] {
                    let mut odd = whole.clone();
                    odd[at] = value;
                    let _ = Packet::parse(&odd, 179);
                }
            }
        }
    }
}
