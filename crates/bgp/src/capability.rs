//! Capabilities (RFC 5492): what each end can do beyond RFC 4271.

use std::{collections::BTreeSet, fmt, time::Duration};

use bytes::Bytes;

use crate::{peer::PeerConfig, role::Role, types::Family, wire::Reader};

const MULTIPROTOCOL: u8 = 1;
const ROUTE_REFRESH: u8 = 2;
const EXTENDED_NEXT_HOP: u8 = 5;
const EXTENDED_MESSAGE: u8 = 6;
const ROLE: u8 = 9;
const GRACEFUL_RESTART: u8 = 64;
const FOUR_OCTET_AS: u8 = 65;
const ENHANCED_ROUTE_REFRESH: u8 = 70;
/// The Restart State bit (RFC 4724 §3) and the Notification bit (RFC 8538 §2), both before the 12 bits of the restart time.
const RESTARTED: u16 = 0x8000;
const NOTIFICATION: u16 = 0x4000;
/// The Forwarding State bit of a family (RFC 4724 §3).
const FORWARDING: u8 = 0x80;
/// IPv4 unicast with IPv6 next hops: the one tuple of RFC 8950 that this speaker acts on.
const IPV4_OVER_IPV6: [u8; 6] = [0, 1, 0, 1, 0, 2];

/// One capability of an OPEN.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Capability {
    /// Multiprotocol extensions for a family (RFC 4760 §8).
    Multiprotocol {
        /// Address Family Identifier.
        afi: u16,
        /// Subsequent Address Family Identifier.
        safi: u8,
    },
    /// Route refresh (RFC 2918 §2).
    RouteRefresh,
    /// Four-octet AS numbers, with the speaker's own (RFC 6793 §3).
    FourOctetAs(u32),
    /// Next hops of another family (RFC 8950 §4): of all the tuples, whether IPv4 unicast with IPv6 next hops is among them.
    ExtendedNextHop {
        /// Whether that tuple is there.
        ipv4_over_ipv6: bool,
    },
    /// Messages of up to 65,535 octets (RFC 8654 §3).
    ExtendedMessage,
    /// What the speaker is to its neighbor (RFC 9234 §4.1), by the code of the registry.
    Role(u8),
    /// Routes outlive the connection (RFC 4724 §3).
    GracefulRestart {
        /// The speaker has restarted, and need not be waited for.
        restarted: bool,
        /// NOTIFICATIONs do not end it, but for a hard reset (RFC 8538 §2).
        notification: bool,
        /// In whole seconds, up to 4095.
        restart_time: u16,
        /// The families, by their codes, each with whether its forwarding state was preserved.
        families: BTreeSet<(u16, u8, bool)>,
    },
    /// The answer to a route refresh is marked at both ends (RFC 7313 §3).
    EnhancedRouteRefresh,
    /// One that this speaker does not act on; it never ends a session (RFC 5492 §3).
    Other {
        /// The code of the registry.
        code: u8,
        /// Its value, uninterpreted.
        value: Bytes,
    },
}

/// What an OPEN says of the last restart (RFC 4724 §3).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Restart {
    /// We have restarted, and the neighbor need not wait for our End-of-RIB before it sends its routes.
    pub(crate) restarted: bool,
    /// What was announced before this connection goes on working.
    pub(crate) preserved: bool,
}

fn seconds(time: Duration) -> u16 {
    u16::try_from(time.as_secs()).unwrap_or(u16::MAX).min(0x0FFF)
}

/// A capability whose length is not that of its definition, or that overruns its parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Malformed;

impl Capability {
    /// What we offer. `restart` is what is true of this connection.
    pub(crate) fn ours(config: &PeerConfig, restart: Restart) -> Vec<Self> {
        let families = config.families.iter().map(|family| Self::from(*family));
        let mut ours: Vec<_> = families.chain([Self::RouteRefresh, Self::FourOctetAs(config.local_as.get())]).collect();
        let offers = config.offers;
        if offers.extended_next_hop && config.families.contains(&Family::Ipv4Unicast) {
            ours.push(Self::ExtendedNextHop { ipv4_over_ipv6: true });
        }
        if offers.extended_message {
            ours.push(Self::ExtendedMessage);
        }
        if offers.enhanced_route_refresh {
            ours.push(Self::EnhancedRouteRefresh);
        }
        ours.extend(config.role.map(|role| Self::Role(role.code())));
        ours.extend(config.graceful_restart.map(|graceful| {
            Self::GracefulRestart {
                restarted: restart.restarted,
                notification: true,
                restart_time: seconds(graceful.restart_time),
                families: config
                    .families
                    .iter()
                    .map(|family| family.codes())
                    .map(|(afi, safi)| (afi, safi, restart.preserved))
                    .collect(),
            }
        }));
        ours
    }

    /// The capabilities of one optional parameter: one or several (RFC 5492 §4).
    pub(crate) fn parse_all(parameter: &[u8], into: &mut Vec<Self>) -> Result<(), Malformed> {
        let mut reader = Reader::new(parameter);
        while !reader.is_empty() {
            let code = reader.u8().ok_or(Malformed)?;
            let value = reader.counted_by_u8().ok_or(Malformed)?;
            into.push(Self::parse(code, value)?);
        }
        Ok(())
    }

    fn parse(code: u8, value: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(value);
        let capability = match code {
            MULTIPROTOCOL => {
                let (afi, _reserved, safi) = (reader.u16(), reader.u8(), reader.u8());
                Self::Multiprotocol { afi: afi.ok_or(Malformed)?, safi: safi.ok_or(Malformed)? }
            }
            FOUR_OCTET_AS => Self::FourOctetAs(reader.u32().ok_or(Malformed)?),
            ROUTE_REFRESH => Self::RouteRefresh,
            // RFC 8654 §3, RFC 7313 §3, RFC 8950 §4: a length that is not the defined one is no reason to lose the session.
            EXTENDED_MESSAGE if value.is_empty() => Self::ExtendedMessage,
            ENHANCED_ROUTE_REFRESH if value.is_empty() => Self::EnhancedRouteRefresh,
            EXTENDED_NEXT_HOP if value.len().is_multiple_of(6) => {
                let ipv4_over_ipv6 = value.chunks(6).any(|tuple| tuple == IPV4_OVER_IPV6);
                return Ok(Self::ExtendedNextHop { ipv4_over_ipv6 });
            }
            // RFC 4724 §3: what does not fill the last tuple is no reason to lose the session.
            GRACEFUL_RESTART if value.len() % 4 == 2 => {
                let head = reader.u16().ok_or(Malformed)?;
                let mut families = BTreeSet::new();
                while !reader.is_empty() {
                    let (afi, safi, flags) = (reader.u16(), reader.u8(), reader.u8());
                    let forwarding = flags.ok_or(Malformed)? & FORWARDING != 0;
                    families.insert((afi.ok_or(Malformed)?, safi.ok_or(Malformed)?, forwarding));
                }
                Self::GracefulRestart {
                    restarted: head & RESTARTED != 0,
                    notification: head & NOTIFICATION != 0,
                    restart_time: head & 0x0FFF,
                    families,
                }
            }
            ROLE if value.len() == 1 => Self::Role(reader.u8().ok_or(Malformed)?),
            code => return Ok(Self::Other { code, value: Bytes::copy_from_slice(value) }),
        };
        if reader.is_empty() { Ok(capability) } else { Err(Malformed) }
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        let (code, value) = match self {
            Self::Multiprotocol { afi, safi } => {
                let [high, low] = afi.to_be_bytes();
                (MULTIPROTOCOL, vec![high, low, 0, *safi])
            }
            Self::RouteRefresh => (ROUTE_REFRESH, Vec::new()),
            Self::ExtendedNextHop { ipv4_over_ipv6 } => {
                (EXTENDED_NEXT_HOP, if *ipv4_over_ipv6 { IPV4_OVER_IPV6.to_vec() } else { Vec::new() })
            }
            Self::ExtendedMessage => (EXTENDED_MESSAGE, Vec::new()),
            Self::Role(code) => (ROLE, vec![*code]),
            Self::EnhancedRouteRefresh => (ENHANCED_ROUTE_REFRESH, Vec::new()),
            Self::GracefulRestart { restarted, notification, restart_time, families } => {
                let head = (restart_time & 0x0FFF)
                    | if *restarted { RESTARTED } else { 0 }
                    | if *notification { NOTIFICATION } else { 0 };
                let mut value = head.to_be_bytes().to_vec();
                for (afi, safi, preserved) in families {
                    value.extend(afi.to_be_bytes());
                    value.extend([*safi, if *preserved { FORWARDING } else { 0 }]);
                }
                (GRACEFUL_RESTART, value)
            }
            Self::FourOctetAs(asn) => (FOUR_OCTET_AS, asn.to_be_bytes().to_vec()),
            Self::Other { code, value } => (*code, value.to_vec()),
        };
        out.push(code);
        out.push(u8::try_from(value.len()).unwrap_or(u8::MAX));
        out.extend(value.into_iter().take(usize::from(u8::MAX)));
    }
}

impl From<Family> for Capability {
    fn from(family: Family) -> Self {
        let (afi, safi) = family.codes();
        Self::Multiprotocol { afi, safi }
    }
}

impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Multiprotocol { afi, safi } => match Family::from_codes(*afi, *safi) {
                Some(family) => write!(f, "multiprotocol {family} unicast"),
                None => write!(f, "multiprotocol AFI {afi} SAFI {safi}"),
            },
            Self::RouteRefresh => f.write_str("route refresh"),
            Self::FourOctetAs(asn) => write!(f, "four-octet AS {asn}"),
            Self::ExtendedNextHop { ipv4_over_ipv6: true } => f.write_str("extended next hop (IPv4 over IPv6)"),
            Self::ExtendedNextHop { ipv4_over_ipv6: false } => f.write_str("extended next hop (other families)"),
            Self::ExtendedMessage => f.write_str("extended message"),
            Self::EnhancedRouteRefresh => f.write_str("enhanced route refresh"),
            Self::GracefulRestart { restarted, notification, restart_time, families } => {
                write!(f, "graceful restart ({restart_time} s")?;
                for (afi, safi, preserved) in families {
                    match Family::from_codes(*afi, *safi) {
                        Some(family) => write!(f, ", {family}")?,
                        None => write!(f, ", AFI {afi} SAFI {safi}")?,
                    }
                    f.write_str(if *preserved { " preserved" } else { "" })?;
                }
                f.write_str(if *restarted { ", restarted" } else { "" })?;
                f.write_str(if *notification { ", notifications)" } else { ")" })
            }
            Self::Role(code) => match Role::from_code(*code) {
                Some(role) => write!(f, "role {role}"),
                None => write!(f, "unknown role {code}"),
            },
            Self::Other { code, .. } => match name(*code) {
                Some(name) => f.write_str(name),
                None => write!(f, "unknown capability {code}"),
            },
        }
    }
}

/// Names of the IANA registry, for capabilities that routers show and this speaker does not act on.
const fn name(code: u8) -> Option<&'static str> {
    match code {
        3 => Some("outbound route filtering"),
        5 => Some("extended next hop"),
        6 => Some("extended message"),
        7 => Some("BGPsec"),
        8 => Some("multiple labels"),
        9 => Some("BGP role"),
        64 => Some("graceful restart"),
        67 => Some("dynamic capability"),
        68 => Some("multisession"),
        69 => Some("add-path"),
        70 => Some("enhanced route refresh"),
        71 => Some("long-lived graceful restart"),
        73 => Some("FQDN"),
        75 => Some("software version"),
        77 => Some("link-local next hop"),
        128 => Some("route refresh (old Cisco code)"),
        130 => Some("outbound route filtering (old Cisco code)"),
        131 => Some("multisession (old Cisco code)"),
        _ => None,
    }
}
