//! What the targets share: choices drawn from the fuzzer's octets, and a reader of UPDATEs that owes nothing to the crate's own.

use std::{collections::BTreeSet, net::Ipv4Addr, time::Duration};

use anycast_bgp::{
    Asn, Family, GracefulRestart, HoldTime, LinkLocal, Offers, PeerAs, PeerConfig, Prefix, Role, RouterId,
};

mod message;

pub use message::{Contents, attributes, contents, frame};

/// Octets to draw choices from. Where they have run out everything is 0, so that a short input is a short story.
#[derive(Debug, Clone, Copy)]
pub struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    /// All of `data`.
    pub const fn new(data: &'a [u8]) -> Self {
        Self(data)
    }

    /// Whether nothing is left.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What is left.
    pub const fn rest(&self) -> &'a [u8] {
        self.0
    }

    /// As many of the octets as there are, up to `count`.
    pub fn take(&mut self, count: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(count.min(self.0.len()));
        self.0 = rest;
        taken
    }

    /// A number up to 255.
    pub fn u8(&mut self) -> u8 {
        self.take(1).first().copied().unwrap_or(0)
    }

    /// A number up to 65,535.
    pub fn u16(&mut self) -> u16 {
        u16::from_be_bytes([self.u8(), self.u8()])
    }

    /// One of `choices`.
    pub fn one_of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[usize::from(self.u8()) % choices.len()]
    }
}

/// The parts a stream comes in: of `size` octets each, or in one.
pub fn parts(stream: &[u8], size: u8) -> impl Iterator<Item = &[u8]> {
    stream.chunks(if size == 0 { usize::MAX } else { usize::from(size) })
}

/// Our AS number, and the neighbor's.
pub const OURS: [u32; 2] = [65010, 4_200_000_001];
/// The neighbor's AS number where it is not ours.
pub const THEIRS: u32 = 65001;

/// Every way to configure a neighbor that matters to what is read.
pub fn config(input: &mut Input<'_>) -> PeerConfig {
    let asn = |number| Asn::new(number).expect("not 0");
    let (bits, more, rest) = (input.u8(), input.u8(), input.u8());
    let bit = |at: u8| bits & (1 << at) != 0;
    let local_as = asn(OURS[usize::from(bit(0))]);
    let families: BTreeSet<Family> = match more & 3 {
        1 => [Family::Ipv4Unicast].into(),
        2 => [Family::Ipv6Unicast].into(),
        _ => Family::ALL.into(),
    };
    PeerConfig {
hold_time: HoldTime::from_secs([90, 0, 3, 65_535][usize::from(more >> 4 & 3)]).expect("allowed"),
families,
offers: Offers { extended_message: bit(1), enhanced_route_refresh: bit(2), extended_next_hop: bit(3) },
role: if bit(4) { Some(Role::ALL[usize::from(more >> 5) % Role::ALL.len()]) } else { None },
role_strict: bit(5),
passive: rest & 1 == 1,
graceful_restart: (rest & 2 == 2).then_some(GracefulRestart { restart_time: Duration::from_secs(120) }),
next_hop_ipv4: bit(6).then_some(Ipv4Addr::new(192, 0, 2, 9)),
next_hop_ipv6: bit(7).then(|| "2001:db8::99".parse().expect("an address")),
link_local: [LinkLocal::AsConnected, LinkLocal::Never, LinkLocal::Beside(None), LinkLocal::Alone(None)]
            [usize::from(rest >> 3 & 3)],
seed: u64::from(bits),
..PeerConfig::new(local_as, RouterId::new(Ipv4Addr::new(10, 0, 0, 1)).expect("not 0"), match more >> 2 & 3 {
            1 => PeerAs::Internal,
            2 => PeerAs::Exactly(asn(THEIRS)),
            3 => PeerAs::Exactly(local_as),
            _ => PeerAs::External,
        })
}
}

/// Prefixes that are announced, of both families and of lengths that do and do not end at an octet.
pub fn prefixes() -> Vec<Prefix> {
    let texts = [
        "198.51.100.0/24",
        "203.0.113.7/32",
        "192.0.2.128/25",
        "0.0.0.0/0",
        "2001:db8:5::/48",
        "2001:db8::7/128",
        "2001:db8:8000::/33",
        "::/0",
    ];
    texts.iter().map(|text| text.parse().expect("a prefix")).collect()
}
