//! OPEN (RFC 4271 §4.2, §6.2), with the extended optional parameters of RFC 9072, and what two of them agree on.

use std::{collections::BTreeSet, net::Ipv4Addr, time::Duration};

use bytes::Bytes;

use crate::{
    capability::{Capability, Malformed, Restart},
    framing::MessageType,
    notification::Notification,
    peer::{PeerAs, PeerConfig},
    role::Role,
    types::{AS_TRANS, Asn, Family, HoldTime, RouterId},
    wire::{self, Reader},
};

const VERSION: u8 = 4;
/// Optional parameter: capabilities (RFC 5492 §4).
const CAPABILITIES: u8 = 2;
/// As a parameter type: the extended format follows (RFC 9072 §2).
const EXTENDED: u8 = 255;

/// An OPEN that ends the attempt: OPEN Message Error (RFC 4271 §6.2).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// Subcode 0.
    #[error("the neighbor's OPEN is malformed: {0}")]
    Malformed(&'static str),
    /// Subcode 1.
    #[error("the neighbor speaks BGP version {0}, not 4")]
    Version(u8),
    /// Subcode 2.
    #[error("the neighbor says it is AS {found}, but {} is configured", wanted(.expected, .ours))]
    BadPeerAs {
        /// What its OPEN says.
        found: u32,
        /// What the configuration says.
        expected: PeerAs,
        /// Our own AS number.
        ours: Asn,
    },
    /// Subcode 3.
    #[error("the neighbor's BGP Identifier 0.0.0.0 is not allowed")]
    ZeroIdentifier,
    /// Subcode 3, within one AS (RFC 6286 §2.2).
    #[error("the neighbor has our own BGP Identifier {0}; each router of an AS needs its own")]
    OurIdentifier(Ipv4Addr),
    /// Subcode 4.
    #[error("the neighbor's OPEN has the optional parameter {0}, which is not supported")]
    Parameter(u8),
    /// Subcode 6.
    #[error("the neighbor proposes a hold time of {0} s; it must be 0 or at least 3 s")]
    HoldTime(u16),
    /// Subcode 7 (RFC 5492 §5).
    #[error("no address family in common: we offer {}, the neighbor {}", list(.ours), list(.theirs))]
    NoCommonFamily {
        /// What we offer.
        ours: Vec<Capability>,
        /// What the neighbor offers.
        theirs: Vec<Capability>,
    },
    /// Subcode 11 (RFC 9234 §4.2).
    #[error("our role is {ours}, so the neighbor's must be {}, but it says {}", .ours.counterpart(), roles(.theirs))]
    RoleMismatch {
        /// What we are to it.
        ours: Role,
        /// What it says it is to us: codes of the registry; none, or more than one that differ, are a mismatch too.
        theirs: Vec<u8>,
    },
}

fn roles(codes: &[u8]) -> String {
    let name = |code: &u8| Role::from_code(*code).map_or_else(|| format!("role {code}"), |role| role.to_string());
    let names: Vec<String> = codes.iter().map(name).collect();
    if names.is_empty() { "none, and `role_strict` is set".to_owned() } else { names.join(" and ") }
}

fn wanted(expected: &PeerAs, ours: &Asn) -> String {
    match expected {
        PeerAs::Exactly(wanted) => format!("AS {wanted}"),
        PeerAs::External => format!("any AS but our own {ours}"),
        PeerAs::Internal => format!("our own AS {ours}"),
    }
}

fn list(capabilities: &[Capability]) -> String {
    let names: Vec<String> = capabilities.iter().map(ToString::to_string).collect();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

impl OpenError {
    /// What the neighbor is told.
    #[must_use]
    pub fn notification(&self) -> Notification {
        match self {
            Self::Malformed(_) => Notification::new(2, 0, &[]),
            Self::Version(_) => Notification::new(2, 1, &[0, VERSION]),
            Self::BadPeerAs { .. } => Notification::new(2, 2, &[]),
            Self::ZeroIdentifier | Self::OurIdentifier(_) => Notification::new(2, 3, &[]),
            Self::Parameter(_) => Notification::new(2, 4, &[]),
            Self::HoldTime(_) => Notification::new(2, 6, &[]),
            Self::NoCommonFamily { ours, .. } => {
                let mut data = Vec::new();
                ours.iter().for_each(|capability| capability.encode(&mut data));
                Notification::new(2, 7, &data)
            }
            Self::RoleMismatch { .. } => Notification::new(2, 11, &[]),
        }
    }
}

impl From<Malformed> for OpenError {
    fn from(Malformed: Malformed) -> Self {
        Self::Malformed("a capability does not have the length it should")
    }
}

/// An OPEN that is good by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Open {
    /// The field My Autonomous System: AS_TRANS when the number needs four octets.
    pub(crate) my_as: u16,
    pub(crate) hold_time: HoldTime,
    pub(crate) identifier: RouterId,
    pub(crate) capabilities: Vec<Capability>,
}

impl Open {
    pub(crate) fn ours(config: &PeerConfig, restart: Restart) -> Self {
        Self {
            // RFC 6793 §9: a number that needs four octets stands in the capability, AS_TRANS here.
            my_as: u16::try_from(config.local_as.get()).unwrap_or(AS_TRANS),
            hold_time: config.hold_time,
            identifier: config.router_id,
            capabilities: Capability::ours(config, restart),
        }
    }

    pub(crate) fn encode(&self) -> Bytes {
        let mut capabilities = Vec::new();
        self.capabilities.iter().for_each(|capability| capability.encode(&mut capabilities));
        let count = u8::try_from(capabilities.len()).unwrap_or(u8::MAX);

        let mut body = vec![VERSION];
        body.extend(self.my_as.to_be_bytes());
        body.extend(self.hold_time.to_wire().to_be_bytes());
        body.extend(self.identifier.get().octets());
        body.extend([count.saturating_add(2), CAPABILITIES, count]);
        body.extend(capabilities);
        wire::message(MessageType::Open, &body)
    }

    pub(crate) fn parse(body: &[u8]) -> Result<Self, OpenError> {
        const SHORT: OpenError = OpenError::Malformed("it is too short");
        let mut reader = Reader::new(body);
        let version = reader.u8().ok_or(SHORT)?;
        if version != VERSION {
            return Err(OpenError::Version(version));
        }
        let my_as = reader.u16().ok_or(SHORT)?;
        let hold_time = reader.u16().ok_or(SHORT)?;
        let identifier = Ipv4Addr::from(reader.u32().ok_or(SHORT)?);
        let capabilities = parameters(reader.rest())?;
        Ok(Self {
            my_as,
            hold_time: HoldTime::from_secs(hold_time).ok_or(OpenError::HoldTime(hold_time))?,
            identifier: RouterId::new(identifier).ok_or(OpenError::ZeroIdentifier)?,
            capabilities,
        })
    }

    /// The AS number in the capability where there is one, else in the fixed field (RFC 6793 §4.1).
    fn asn(&self) -> u32 {
        self.four_octet_as().unwrap_or_else(|| u32::from(self.my_as))
    }

    fn four_octet_as(&self) -> Option<u32> {
        self.capabilities.iter().find_map(|capability| match capability {
            Capability::FourOctetAs(asn) => Some(*asn),
            _ => None,
        })
    }

    /// Whether it offers graceful restart, and then whether with NOTIFICATIONs (RFC 8538 §2).
    fn graceful(&self) -> Option<bool> {
        self.capabilities.iter().find_map(|capability| match capability {
            Capability::GracefulRestart { notification, .. } => Some(*notification),
            _ => None,
        })
    }

    /// The roles it shows, each once.
    fn roles(&self) -> BTreeSet<u8> {
        let role = |capability: &Capability| match capability {
            Capability::Role(code) => Some(*code),
            _ => None,
        };
        self.capabilities.iter().filter_map(role).collect()
    }

    /// RFC 4760 §8: the families named; a speaker that names none means IPv4 unicast.
    fn families(&self) -> BTreeSet<Family> {
        let mut families = BTreeSet::new();
        let mut named_any = false;
        for capability in &self.capabilities {
            if let Capability::Multiprotocol { afi, safi } = capability {
                named_any = true;
                families.extend(Family::from_codes(*afi, *safi));
            }
        }
        if !named_any {
            families.insert(Family::Ipv4Unicast);
        }
        families
    }
}

/// The optional parameters, from their length on: RFC 4271 §4.2 and RFC 9072 §2.
fn parameters(field: &[u8]) -> Result<Vec<Capability>, OpenError> {
    const OVERRUN: OpenError = OpenError::Malformed("its optional parameters do not fill their length");
    // RFC 9072 §2: whatever a non-zero length says, a first parameter of type 255 means the extended format.
    let extended = matches!(field, [1..=255, EXTENDED, ..]);
    let mut reader = Reader::new(field);
    let inner = if extended {
        reader.take(2).ok_or(OVERRUN)?;
        reader.counted_by_u16()
    } else {
        reader.counted_by_u8()
    };
    let mut inner = Reader::new(inner.ok_or(OVERRUN)?);
    if !reader.is_empty() {
        return Err(OVERRUN);
    }
    let mut capabilities = Vec::new();
    while !inner.is_empty() {
        let kind = inner.u8().ok_or(OVERRUN)?;
        let value = if extended { inner.counted_by_u16() } else { inner.counted_by_u8() }.ok_or(OVERRUN)?;
        match kind {
            CAPABILITIES => Capability::parse_all(value, &mut capabilities)?,
            kind => return Err(OpenError::Parameter(kind)),
        }
    }
    Ok(capabilities)
}

/// Graceful restart as both ends offer it (RFC 4724).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Graceful {
    /// Routes outlive a NOTIFICATION too, unless it is a hard reset (RFC 8538).
    pub notification: bool,
}

/// What both OPENs together mean for the session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Negotiated {
    /// The neighbor's AS number.
    pub peer_as: Asn,
    /// The neighbor's BGP Identifier.
    pub peer_router_id: RouterId,
    /// Whether the neighbor is of another AS.
    pub external: bool,
    /// The smaller of both proposals.
    pub hold_time: HoldTime,
    /// How often we send a KEEPALIVE at the least: a third of the hold time.
    pub keepalive: Option<Duration>,
    /// The families both can.
    pub families: BTreeSet<Family>,
    /// Whether AS_PATH carries four octets for each number (RFC 6793).
    pub four_octet_as: bool,
    /// Whether the neighbor may ask for everything again, and we it (RFC 2918).
    pub route_refresh: bool,
    /// Whether the answer to a route refresh is marked at both ends (RFC 7313).
    pub enhanced_route_refresh: bool,
    /// Whether messages may be longer than 4096 octets (RFC 8654).
    pub extended_message: bool,
    /// Whether IPv4 routes may have an IPv6 next hop (RFC 8950).
    pub extended_next_hop: bool,
    /// Whether routes outlive the connection; `None` where one of the two ends does not offer it.
    pub graceful_restart: Option<Graceful>,
    /// What we are to the neighbor, if that is settled and it is of another AS (RFC 9234).
    pub role: Option<Role>,
    /// What we offered.
    pub offered: Vec<Capability>,
    /// What the neighbor offered.
    pub received: Vec<Capability>,
}

impl Negotiated {
    /// What of the capabilities is in force beside the families, in words.
    #[must_use]
    pub fn in_force(&self) -> Vec<String> {
        let refresh = if self.enhanced_route_refresh { "enhanced route refresh" } else { "route refresh" };
        let named = [
            (self.four_octet_as, "four-octet AS"),
            (self.route_refresh || self.enhanced_route_refresh, refresh),
            (self.extended_message, "extended message"),
            (self.extended_next_hop, "extended next hop"),
        ];
        let mut words: Vec<String> = named.iter().filter(|(on, _)| *on).map(|(_, name)| (*name).to_owned()).collect();
        words.extend(self.graceful_restart.map(|graceful| match graceful.notification {
            true => "graceful restart, notifications included".to_owned(),
            false => "graceful restart".to_owned(),
        }));
        words.extend(self.role.map(|role| format!("our role {role}")));
        words
    }

    /// `ours` is the OPEN that was sent.
    pub(crate) fn new(config: &PeerConfig, ours: &Open, theirs: &Open) -> Result<Self, OpenError> {
        let bad_as = || OpenError::BadPeerAs { found: theirs.asn(), expected: config.peer_as, ours: config.local_as };
        // RFC 7607 §2: AS 0 is a bad peer AS whatever is configured.
        let peer_as = Asn::new(theirs.asn()).ok_or_else(bad_as)?;
        if !config.peer_as.accepts(peer_as, config.local_as) {
            return Err(bad_as());
        }
        let external = peer_as != config.local_as;
        // RFC 6286 §2.2: identifiers need to differ within an AS only.
        if !external && theirs.identifier == config.router_id {
            return Err(OpenError::OurIdentifier(config.router_id.get()));
        }
        let families: BTreeSet<Family> = theirs.families().intersection(&config.families).copied().collect();
        if families.is_empty() {
            let multiprotocol = |capability: &Capability| matches!(capability, Capability::Multiprotocol { .. });
            let theirs = theirs.families_shown();
            return Err(OpenError::NoCommonFamily {
                ours: ours.capabilities.iter().filter(|one| multiprotocol(one)).cloned().collect(),
                theirs,
            });
        }
        let role = config.role.filter(|_| external);
        if let Some(ours) = role {
            check_role(ours, config.role_strict, &theirs.roles())?;
        }
        let hold_time = config.hold_time.negotiate(theirs.hold_time);
        let both = |capability: &Capability| {
            ours.capabilities.contains(capability) && theirs.capabilities.contains(capability)
        };
        Ok(Self {
            peer_as,
            peer_router_id: theirs.identifier,
            external,
            hold_time,
            keepalive: hold_time.duration().map(|hold| hold / 3),
            families,
            four_octet_as: theirs.four_octet_as().is_some(),
            route_refresh: theirs.capabilities.contains(&Capability::RouteRefresh),
            enhanced_route_refresh: both(&Capability::EnhancedRouteRefresh),
            extended_message: both(&Capability::ExtendedMessage),
            extended_next_hop: both(&Capability::ExtendedNextHop { ipv4_over_ipv6: true }),
            graceful_restart: theirs
                .graceful()
                .and_then(|theirs| Some(Graceful { notification: ours.graceful()? && theirs })),
            role,
            offered: ours.capabilities.clone(),
            received: theirs.capabilities.clone(),
        })
    }
}

/// RFC 9234 §4.2: the roles must be a pair. A neighbor that shows none is let be, unless the operator wants it strict.
fn check_role(ours: Role, strict: bool, theirs: &BTreeSet<u8>) -> Result<(), OpenError> {
    let fits = match theirs.len() {
        0 => !strict,
        1 => theirs.contains(&ours.counterpart().code()),
        _ => false,
    };
    if fits { Ok(()) } else { Err(OpenError::RoleMismatch { ours, theirs: theirs.iter().copied().collect() }) }
}

impl Open {
    /// The families the neighbor offers, those unknown to us too.
    fn families_shown(&self) -> Vec<Capability> {
        let named =
            self.capabilities.iter().filter(|capability| matches!(capability, Capability::Multiprotocol { .. }));
        let named: Vec<_> = named.cloned().collect();
        if named.is_empty() { vec![Family::Ipv4Unicast.into()] } else { named }
    }
}

#[cfg(test)]
mod tests;
