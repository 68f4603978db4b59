//! The values of the protocol, each of which cannot hold what the RFC forbids.

use serde::{Deserialize, Serialize};

use std::{fmt, net::Ipv4Addr, num::NonZeroU32, ops::RangeInclusive, str::FromStr, time::Duration};

use ipnet::IpNet;

/// AS_TRANS, the two-octet stand-in for a four-octet AS number (RFC 6793 §9).
pub const AS_TRANS: u16 = 23456;

/// An autonomous system number, 1 to 4294967295. Zero is reserved (RFC 7607).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Asn(NonZeroU32);

impl Asn {
    /// `None` for 0, which no speaker may use (RFC 7607 §2).
    #[must_use]
    pub const fn new(number: u32) -> Option<Self> {
        match NonZeroU32::new(number) {
            Some(number) => Some(Self(number)),
            None => None,
        }
    }

    /// The number itself.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0.get()
    }
}

impl fmt::Display for Asn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A BGP Identifier: any four octets but zero (RFC 6286 §2.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RouterId(Ipv4Addr);

impl RouterId {
    /// `None` for 0.0.0.0.
    #[must_use]
    pub fn new(id: Ipv4Addr) -> Option<Self> {
        (!id.is_unspecified()).then_some(Self(id))
    }

    /// In the notation of an IPv4 address.
    #[must_use]
    pub const fn get(self) -> Ipv4Addr {
        self.0
    }
}

impl fmt::Display for RouterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// An address family with its subsequent family, both by the IANA registries (RFC 4760 §3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Family {
    /// AFI 1, SAFI 1.
    Ipv4Unicast,
    /// AFI 2, SAFI 1.
    Ipv6Unicast,
}

impl Family {
    /// Every family this speaker knows.
    pub const ALL: [Self; 2] = [Self::Ipv4Unicast, Self::Ipv6Unicast];

    /// The Address Family Identifier and the Subsequent Address Family Identifier.
    #[must_use]
    pub const fn codes(self) -> (u16, u8) {
        match self {
            Self::Ipv4Unicast => (1, 1),
            Self::Ipv6Unicast => (2, 1),
        }
    }

    /// The family of those codes, if this speaker knows it.
    #[must_use]
    pub const fn from_codes(afi: u16, safi: u8) -> Option<Self> {
        match (afi, safi) {
            (1, 1) => Some(Self::Ipv4Unicast),
            (2, 1) => Some(Self::Ipv6Unicast),
            _ => None,
        }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ipv4Unicast => "ipv4",
            Self::Ipv6Unicast => "ipv6",
        })
    }
}

/// A network with no host bits set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Prefix(IpNet);

/// Why an [`IpNet`] is not a [`Prefix`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{given} has host bits set; the network is {network}")]
pub struct HostBits {
    /// What was given.
    pub given: IpNet,
    /// The network it lies in.
    pub network: IpNet,
}

impl Prefix {
    /// # Errors
    /// [`HostBits`] when an address bit past the length is set.
    pub fn new(net: IpNet) -> Result<Self, HostBits> {
        let network = net.trunc();
        if network == net { Ok(Self(net)) } else { Err(HostBits { given: net, network }) }
    }

    /// The single-address prefix (/32 or /128) of `address`.
    #[must_use]
    pub fn host(address: std::net::IpAddr) -> Self {
        Self(IpNet::from(address))
    }

    /// The network.
    #[must_use]
    pub const fn net(self) -> IpNet {
        self.0
    }

    /// The family it is announced in.
    #[must_use]
    pub const fn family(self) -> Family {
        match self.0 {
            IpNet::V4(_) => Family::Ipv4Unicast,
            IpNet::V6(_) => Family::Ipv6Unicast,
        }
    }

    /// Whether `address` lies in it; false across families.
    #[must_use]
    pub fn contains(self, address: std::net::IpAddr) -> bool {
        self.0.contains(&address)
    }

    /// Its addresses, from the first to the last: an ordered set finds those that lie in it without looking at the others.
    #[must_use]
    pub fn addresses(self) -> RangeInclusive<std::net::IpAddr> {
        self.0.network()..=self.0.broadcast()
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Prefix {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let net: IpNet = text.parse().map_err(|_| format!("{text} is not a prefix"))?;
        Self::new(net).map_err(|error| error.to_string())
    }
}

/// The hold time to propose: none (no keepalives at all), or 3 to 65535 whole seconds (RFC 4271 §4.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct HoldTime(Option<std::num::NonZeroU16>);

impl HoldTime {
    /// 90 s, the value RFC 4271 §10 suggests.
    pub const DEFAULT: Self = Self(std::num::NonZeroU16::new(90));

    /// `None` for 1 and 2, which RFC 4271 §4.2 forbids; 0 is "no hold timer".
    #[must_use]
    pub const fn from_secs(seconds: u16) -> Option<Self> {
        match seconds {
            1 | 2 => None,
            seconds => Some(Self(std::num::NonZeroU16::new(seconds))),
        }
    }

    /// As the OPEN carries it: seconds, 0 for none.
    #[must_use]
    pub const fn to_wire(self) -> u16 {
        match self.0 {
            Some(seconds) => seconds.get(),
            None => 0,
        }
    }

    /// The time, or `None` where sessions live without keepalives.
    #[must_use]
    pub const fn duration(self) -> Option<Duration> {
        match self.0 {
            Some(seconds) => Some(Duration::from_secs(seconds.get() as u64)),
            None => None,
        }
    }

    /// The smaller of the two proposals, where "none" on either side means none (RFC 4271 §4.2).
    #[must_use]
    pub fn negotiate(self, other: Self) -> Self {
        match (self.0, other.0) {
            (Some(ours), Some(theirs)) => Self(Some(ours.min(theirs))),
            _ => Self(None),
        }
    }
}

impl Default for HoldTime {
    fn default() -> Self {
        Self::DEFAULT
    }
}

impl fmt::Display for HoldTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} s", self.to_wire())
    }
}
