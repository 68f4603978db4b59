//! What is said of a route: the path attributes an announcer chooses. NEXT_HOP, AS_PATH and ORIGIN follow from the session.

use std::{collections::BTreeMap, collections::BTreeSet, fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Serialize};

use crate::{
    extended::{ExtendedCommunity, LinkBandwidth},
    types::{Asn, Prefix},
};

/// The routes a neighbor should hold from us: always the whole set.
pub type Routes = BTreeMap<Prefix, Arc<Attributes>>;

/// The chosen attributes of one route.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Attributes {
    /// MULTI_EXIT_DISC (RFC 4271 §5.1.4); `None` leaves the attribute out.
    pub med: Option<u32>,
    /// LOCAL_PREF (RFC 4271 §5.1.5), sent on iBGP sessions only, where `None` means 100.
    pub local_pref: Option<u32>,
    /// How often our AS number is prepended besides the one time that eBGP asks for; 0 to 32. On iBGP nothing is prepended, since
    /// every router of our AS would take its own number for a loop (RFC 4271 §9.1.2) and drop the route.
    pub as_path_prepend: u8,
    /// COMMUNITIES (RFC 1997).
    pub communities: BTreeSet<Community>,
    /// EXTENDED_COMMUNITIES (RFC 4360), without the link's bandwidth.
    pub extended_communities: BTreeSet<ExtendedCommunity>,
    /// LARGE_COMMUNITY (RFC 8092).
    pub large_communities: BTreeSet<LargeCommunity>,
    /// The bandwidth of the link (RFC 10005), an extended community that names our AS; `None` leaves it out.
    pub link_bandwidth: Option<LinkBandwidth>,
}

impl Attributes {
    /// Makes `change` on top: what is one value is replaced where it has one, prepends are added up to [`MAX_PREPEND`], and so
    /// are communities of every kind.
    pub fn change(&mut self, change: &Self) {
        self.med = change.med.or(self.med);
        self.local_pref = change.local_pref.or(self.local_pref);
        self.as_path_prepend = self.as_path_prepend.saturating_add(change.as_path_prepend).min(MAX_PREPEND);
        self.communities.extend(&change.communities);
        self.extended_communities.extend(&change.extended_communities);
        self.large_communities.extend(&change.large_communities);
        self.link_bandwidth = change.link_bandwidth.or(self.link_bandwidth);
    }

    /// The value of EXTENDED_COMMUNITIES as `asn` sends it.
    #[must_use]
    pub fn extended(&self, asn: Asn) -> BTreeSet<ExtendedCommunity> {
        let bandwidth = self.link_bandwidth.map(|bandwidth| ExtendedCommunity::link_bandwidth(bandwidth, asn));
        self.extended_communities.iter().copied().chain(bandwidth).collect()
    }
}

/// The most [`Attributes::as_path_prepend`] may be: routers refuse or warn at long paths.
pub const MAX_PREPEND: u8 = 32;

/// A community of four octets (RFC 1997), written `65010:100` or by its well-known name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Community(pub u32);

impl Community {
    /// GRACEFUL_SHUTDOWN (RFC 8326 §5).
    pub const GRACEFUL_SHUTDOWN: Self = Self(0xFFFF_0000);

    /// The names of the IANA registry of well-known communities that an operator may write.
    pub const WELL_KNOWN: [(&'static str, Self); 8] = [
        ("graceful-shutdown", Self::GRACEFUL_SHUTDOWN),
        ("accept-own", Self(0xFFFF_0001)),
        ("llgr-stale", Self(0xFFFF_0006)),
        ("no-llgr", Self(0xFFFF_0007)),
        ("blackhole", Self(0xFFFF_029A)),
        ("no-export", Self(0xFFFF_FF01)),
        ("no-advertise", Self(0xFFFF_FF02)),
        ("no-export-subconfed", Self(0xFFFF_FF03)),
    ];
}

impl fmt::Display for Community {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match Self::WELL_KNOWN.iter().find(|(_, known)| known == self) {
            Some((name, _)) => f.write_str(name),
            None => write!(f, "{}:{}", self.0 >> 16, self.0 & 0xFFFF),
        }
    }
}

/// A text that is no community.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not a community; write two numbers from 0 to 65535 as `65010:100`, or a well-known name such as `no-export`"
)]
pub struct BadCommunity(String);

impl FromStr for Community {
    type Err = BadCommunity;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Some((_, known)) = Self::WELL_KNOWN.iter().find(|(name, _)| *name == text) {
            return Ok(*known);
        }
        let bad = || BadCommunity(text.to_owned());
        let (high, low) = text.split_once(':').ok_or_else(bad)?;
        let (high, low) = (decimal::<u16>(high).ok_or_else(bad)?, decimal::<u16>(low).ok_or_else(bad)?);
        Ok(Self(u32::from(high) << 16 | u32::from(low)))
    }
}

/// A large community of three four-octet parts (RFC 8092), written `65010:1:2`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct LargeCommunity {
    /// Global Administrator: an AS number.
    pub global: u32,
    /// Local Data Part 1.
    pub local1: u32,
    /// Local Data Part 2.
    pub local2: u32,
}

impl fmt::Display for LargeCommunity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.global, self.local1, self.local2)
    }
}

/// A text that is no large community.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a large community; write three numbers from 0 to 4294967295 as `65010:1:2`")]
pub struct BadLargeCommunity(String);

impl FromStr for LargeCommunity {
    type Err = BadLargeCommunity;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bad = || BadLargeCommunity(text.to_owned());
        let parts: Vec<u32> = text.split(':').map(decimal).collect::<Option<_>>().ok_or_else(bad)?;
        match parts[..] {
            [global, local1, local2] => Ok(Self { global, local1, local2 }),
            _ => Err(bad()),
        }
    }
}

/// Digits only: no sign, no space.
pub(crate) fn decimal<N: FromStr>(text: &str) -> Option<N> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_replaces_single_values_and_adds_the_others() {
        let community = |text: &str| text.parse::<Community>().expect(text);
        let bandwidth = |text: &str| Some(LinkBandwidth { rate: text.parse().expect(text), transitive: true });
        let base = Attributes {
            med: Some(1),
            local_pref: Some(200),
            as_path_prepend: 30,
            communities: [community("65010:1")].into(),
            link_bandwidth: bandwidth("10Gbps"),
            ..Attributes::default()
        };
        let mut same = base.clone();
        same.change(&Attributes::default());
        assert_eq!(same, base, "nothing is a change of nothing");
        let change = Attributes {
            med: Some(0),
            local_pref: None,
            as_path_prepend: 5,
            communities: [community("65010:1"), community("65010:2")].into(),
            extended_communities: ["rt:65010:1".parse().expect("one")].into(),
            large_communities: ["65010:1:2".parse().expect("one")].into(),
            link_bandwidth: bandwidth("1Gbps"),
        };
        let mut changed = base;
        changed.change(&change);
        let expected = Attributes {
            med: Some(0),
            local_pref: Some(200),
            as_path_prepend: MAX_PREPEND,
            link_bandwidth: change.link_bandwidth,
            ..change
        };
        assert_eq!(changed, expected);
    }
}
