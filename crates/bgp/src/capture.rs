//! The recent messages of a neighbor, in both directions, for whoever wants to see them afterwards: always on, in a fixed amount
//! of memory, over as many sessions as fit.
//!
//! They are kept as bodies of MRT records (RFC 6396) with the octets of the wire as they are, and written out as BGP4MP_ET. What is
//! rare and tells most has rings of its own, so that a flood of UPDATEs cannot wash away why the session ended, nor a neighbor that
//! fails again and again how the last good session began and ended.

mod ring;

use std::{
    net::IpAddr,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use crate::{
    framing::MessageType,
    session::State,
    terms::Link,
    types::{AS_TRANS, Asn},
};
use ring::Ring;

/// BGP4MP_ET: microseconds, and otherwise BGP4MP (RFC 6396 §3, §4.4).
const BGP4MP_ET: u16 = 17;
/// The most octets before the message in an entry: order, time and subtype, and the ends with IPv6 addresses.
const PREAMBLE: usize = 18 + 44;

/// What is kept apart, with the octets for each: 256 KiB in all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// How sessions became Established, and the state changes and NOTIFICATIONs that ended them.
    Ends,
    /// OPENs, and what became of attempts.
    Attempts,
    /// Many, and all the same: the last of them show whether both ends were alive.
    Keepalives,
    /// What else we sent.
    Sent,
    /// What else we received.
    Received,
}

impl Kind {
    const ALL: [Self; 5] = [Self::Ends, Self::Attempts, Self::Keepalives, Self::Sent, Self::Received];

    const fn octets(self) -> usize {
        match self {
            Self::Ends => 32 << 10,
            Self::Attempts => 48 << 10,
            Self::Keepalives => 16 << 10,
            // Each holds the longest message of RFC 8654.
            Self::Sent | Self::Received => 80 << 10,
        }
    }
}

/// Which way a message went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    Sent,
    Received,
}

/// The two ends of the connection that messages belong to.
#[derive(Debug, Clone, Copy)]
struct Ends {
    local: IpAddr,
    remote: IpAddr,
    local_as: Asn,
    /// `None` until the neighbor's OPEN has told it, where the configuration does not.
    peer_as: Option<Asn>,
    /// AS_PATHs hold four octets each: RFC 6396 §4.4.3 has subtypes of their own for them.
    four_octet_as: bool,
}

/// The recorder of one neighbor.
#[derive(Debug)]
pub(crate) struct Capture {
    rings: [Ring; Kind::ALL.len()],
    /// Times are kept as distances from here, and become times of the day when they are written: a clock that is set meanwhile
    /// tears nothing apart.
    began: Instant,
    /// Orders the entries of all rings.
    next: u64,
    /// `None` before the first connection.
    ends: Option<Ends>,
    /// The connection has been Established.
    established: bool,
}

impl Capture {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            rings: Kind::ALL.map(|kind| Ring::new(kind.octets())),
            began: now,
            next: 0,
            ends: None,
            established: false,
        }
    }

    /// There is a connection: what comes from now on belongs to it.
    pub(crate) fn handle_connected(&mut self, link: &Link, local_as: Asn, peer_as: Option<Asn>) {
        let (local, remote) = (link.local.ip().to_canonical(), link.remote.ip().to_canonical());
        self.ends = Some(Ends { local, remote, local_as, peer_as, four_octet_as: true });
        self.established = false;
    }

    /// The neighbor's OPEN was good.
    pub(crate) const fn handle_open(&mut self, peer_as: Asn, four_octet_as: bool) {
        if let Some(ends) = &mut self.ends {
            ends.peer_as = Some(peer_as);
            ends.four_octet_as = four_octet_as;
        }
    }

    /// A whole message, its header included.
    pub(crate) fn handle_message(&mut self, direction: Direction, kind: MessageType, message: &[u8], now: Instant) {
        let Some(ends) = self.ends else { return };
        let subtype = match (direction, ends.four_octet_as) {
            (Direction::Received, true) => Subtype::MessageAs4,
            (Direction::Received, false) => Subtype::Message,
            (Direction::Sent, true) => Subtype::MessageAs4Local,
            (Direction::Sent, false) => Subtype::MessageLocal,
        };
        let rest = match direction {
            Direction::Sent => Kind::Sent,
            Direction::Received => Kind::Received,
        };
        let kind = match kind {
            MessageType::Open => Kind::Attempts,
            // A NOTIFICATION may be as long as an UPDATE (RFC 8654); such a one must not wash away all the others.
            MessageType::Notification if message.len() > Kind::Ends.octets() / 4 => rest,
            MessageType::Notification if self.established => Kind::Ends,
            MessageType::Notification => Kind::Attempts,
            MessageType::Keepalive => Kind::Keepalives,
            MessageType::Update | MessageType::RouteRefresh => rest,
        };
        self.keep(kind, subtype, &ends, message, now);
    }

    /// The state changed. What happens without a connection (dials that fail, for hours maybe) is left out.
    pub(crate) fn handle_state(&mut self, old: State, new: State, now: Instant) {
        let (Some(ends), true) = (self.ends, talks(old) || talks(new)) else { return };
        self.established |= new == State::Established;
        let kind = if old == State::Established || new == State::Established { Kind::Ends } else { Kind::Attempts };
        let change = [code(old), code(new)].map(u16::to_be_bytes).concat();
        self.keep(kind, Subtype::StateChangeAs4, &ends, &change, now);
    }

    /// Everything that is kept as an MRT file, in the order in which it happened. `wall` is the time of the day at `now`.
    pub(crate) fn mrt(&self, now: Instant, wall: SystemTime) -> Vec<u8> {
        let began = wall.checked_sub(now.saturating_duration_since(self.began)).unwrap_or(UNIX_EPOCH);
        let mut entries: Vec<Vec<u8>> = self.rings.iter().flat_map(Ring::entries).collect();
        // Big-endian and first: the order of the entries.
        entries.sort_unstable();
        let mut file = Vec::with_capacity(entries.iter().map(|entry| entry.len() + 8).sum());
        for entry in &entries {
            write_record(&mut file, entry, began);
        }
        file
    }

    fn keep(&mut self, kind: Kind, subtype: Subtype, ends: &Ends, body: &[u8], now: Instant) {
        let age = u64::try_from(now.saturating_duration_since(self.began).as_micros()).unwrap_or(u64::MAX);
        let mut preamble = Vec::with_capacity(PREAMBLE);
        preamble.extend(self.next.to_be_bytes());
        preamble.extend(age.to_be_bytes());
        preamble.extend((subtype as u16).to_be_bytes());
        write_ends(&mut preamble, subtype, ends);
        self.next += 1;
        if let Some(ring) = self.rings.get_mut(kind as usize) {
            ring.push(&[&preamble, body]);
        }
    }
}

/// The subtypes of BGP4MP that are written (RFC 6396 §4.4, §5.3). The ones for local messages are for what we sent: bgpdump, bgpkit and
/// their like then show us as the sender.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Subtype {
    Message = 1,
    MessageAs4 = 4,
    StateChangeAs4 = 5,
    MessageLocal = 6,
    MessageAs4Local = 7,
}

/// RFC 6396 §4.4.2: peer first, whichever way the message went.
fn write_ends(out: &mut Vec<u8>, subtype: Subtype, ends: &Ends) {
    let numbers = [ends.peer_as.map_or(0, Asn::get), ends.local_as.get()];
    for number in numbers {
        match subtype {
            Subtype::Message | Subtype::MessageLocal => {
                // RFC 6793 §9: what has no two octets is AS_TRANS there.
                out.extend(u16::try_from(number).unwrap_or(AS_TRANS).to_be_bytes());
            }
            Subtype::MessageAs4 | Subtype::MessageAs4Local | Subtype::StateChangeAs4 => {
                out.extend(number.to_be_bytes());
            }
        }
    }
    let interface = [0, 0];
    out.extend(interface);
    match (ends.remote, ends.local) {
        (IpAddr::V4(remote), IpAddr::V4(local)) => {
            out.extend([0, 1]);
            out.extend(remote.octets());
            out.extend(local.octets());
        }
        (remote, local) => {
            out.extend([0, 2]);
            out.extend(v6(remote));
            out.extend(v6(local));
        }
    }
}

fn v6(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
        IpAddr::V6(address) => address.octets(),
    }
}

/// RFC 6396 §3: the header with extended timestamp, whose microseconds count for the length.
fn write_record(file: &mut Vec<u8>, entry: &[u8], began: SystemTime) {
    let Some((_order, entry)) = entry.split_first_chunk::<8>() else { return };
    let Some((age, entry)) = entry.split_first_chunk::<8>() else { return };
    let Some((subtype, body)) = entry.split_first_chunk::<2>() else { return };
    let at = began.checked_add(Duration::from_micros(u64::from_be_bytes(*age))).unwrap_or(began);
    let since_epoch = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    let Ok(length) = u32::try_from(body.len() + 4) else { return };
    // The seconds have 32 bits: they last until 2106.
    file.extend(u32::try_from(since_epoch.as_secs()).unwrap_or(u32::MAX).to_be_bytes());
    file.extend(BGP4MP_ET.to_be_bytes());
    file.extend(subtype);
    file.extend(length.to_be_bytes());
    file.extend(since_epoch.subsec_micros().to_be_bytes());
    file.extend(body);
}

const fn talks(state: State) -> bool {
    match state {
        State::OpenSent | State::OpenConfirm | State::Established => true,
        State::Idle | State::Connect | State::Active => false,
    }
}

/// RFC 6396 §4.4.1.
const fn code(state: State) -> u16 {
    match state {
        State::Idle => 1,
        State::Connect => 2,
        State::Active => 3,
        State::OpenSent => 4,
        State::OpenConfirm => 5,
        State::Established => 6,
    }
}

#[cfg(test)]
mod tests;
