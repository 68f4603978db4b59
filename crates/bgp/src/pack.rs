//! UPDATEs that carry as many prefixes as the message size allows, and one that carries none.

use std::collections::BTreeSet;

use bytes::Bytes;

use crate::{
    attributes::Attributes,
    encoding,
    framing::{HEADER_LEN, MessageType},
    terms::{NextHop, NextHop6, Terms, Unsendable},
    types::{Family, Prefix},
    wire,
};

/// Header and both length fields of an UPDATE.
const FIXED: usize = HEADER_LEN + 4;
/// Flags, type and the long length of an attribute.
const ATTRIBUTE_HEADER: usize = 4;
/// Of MP_REACH_NLRI beside next hop and prefixes: AFI, SAFI, length of the next hop, reserved.
const MP_REACH_FIXED: usize = 5;
/// Of MP_UNREACH_NLRI beside the prefixes: AFI, SAFI.
const MP_UNREACH_FIXED: usize = 3;
/// The octets of a host prefix of IPv6, the longest there is.
const LONGEST_NLRI: usize = 17;

/// Where the prefixes of an announcement go, with the attributes they share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Block {
    place: Place,
    attributes: Bytes,
    /// The longest message, in octets.
    max_len: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// The NLRI field, with NEXT_HOP among the attributes.
    Nlri,
    /// MP_REACH_NLRI.
    MpReach(Family, NextHop6),
}

impl Block {
    /// The encoded attributes, if they leave room for any prefix of the family.
    pub(crate) fn new(attributes: &Attributes, terms: &Terms, family: Family) -> Result<Self, Unsendable> {
        terms.check(family)?;
        let too_large = Unsendable::TooLarge(family, terms.max_len);
        let encoded = encoding::path_attributes(attributes, terms, family).map_err(|_| too_large.clone())?;
        let place = match terms.next_hop(family) {
            Some(NextHop::Ipv4(_)) => Place::Nlri,
            Some(NextHop::Ipv6(next_hop)) => Place::MpReach(family, next_hop),
            None => return Err(Unsendable::NoNextHop(family)),
        };
        let block = Self { place, attributes: encoded, max_len: terms.max_len };
        if block.room() < LONGEST_NLRI { Err(too_large) } else { Ok(block) }
    }

    /// The octets left for prefixes.
    const fn room(&self) -> usize {
        let place = match self.place {
            Place::Nlri => 0,
            Place::MpReach(_, next_hop) => ATTRIBUTE_HEADER + MP_REACH_FIXED + next_hop.octets(),
        };
        self.max_len.saturating_sub(FIXED + self.attributes.len() + place)
    }

    /// Takes as many prefixes from `queue` as fit into one UPDATE, and gives both.
    pub(crate) fn announce(&self, queue: &mut BTreeSet<Prefix>) -> Option<(Bytes, Vec<Prefix>)> {
        let prefixes = take(queue, self.room());
        let message = match self.place {
            Place::Nlri => update(&[], &[&self.attributes], &encoding::nlri(&prefixes)),
            // RFC 7606 §5.1: MP_REACH_NLRI is the very first attribute.
            Place::MpReach(family, next_hop) => {
                update(&[], &[&encoding::mp_reach(family, next_hop, &prefixes).ok()?, &self.attributes], &[])
            }
        };
        (!prefixes.is_empty()).then_some((message, prefixes))
    }
}

/// Takes as many prefixes of one family from `queue` as one UPDATE can withdraw. `None` when there is nothing to withdraw, so
/// that it can never come out as an End-of-RIB.
pub(crate) fn withdraw(queue: &mut BTreeSet<Prefix>, terms: &Terms) -> Option<(Bytes, Vec<Prefix>)> {
    let family = queue.first()?.family();
    match terms.next_hop(family) {
        Some(NextHop::Ipv4(_)) => {
            let prefixes = take(queue, terms.max_len.saturating_sub(FIXED));
            Some((update(&encoding::nlri(&prefixes), &[], &[]), prefixes))
        }
        // What came in MP_REACH_NLRI goes in MP_UNREACH_NLRI.
        Some(NextHop::Ipv6(_)) | None => {
            let prefixes = take(queue, terms.max_len.saturating_sub(FIXED + ATTRIBUTE_HEADER + MP_UNREACH_FIXED));
            let unreach = encoding::mp_unreach(family, &prefixes).ok()?;
            Some((update(&[], &[&unreach], &[]), prefixes))
        }
    }
}

/// RFC 4724 §2: the initial routes of the family were all sent.
pub(crate) fn end_of_rib(family: Family) -> Option<Bytes> {
    match family {
        Family::Ipv4Unicast => Some(update(&[], &[], &[])),
        Family::Ipv6Unicast => encoding::mp_unreach(family, &[]).ok().map(|unreach| update(&[], &[&unreach], &[])),
    }
}

/// The first prefixes of the first one's family, up to `room` octets of NLRI.
fn take(queue: &mut BTreeSet<Prefix>, mut room: usize) -> Vec<Prefix> {
    let mut taken = Vec::new();
    let family = queue.first().map(|prefix| prefix.family());
    while let Some(prefix) = queue.first().copied() {
        let octets = encoding::nlri_octets(prefix);
        if Some(prefix.family()) != family || octets > room {
            break;
        }
        room -= octets;
        queue.pop_first();
        taken.push(prefix);
    }
    taken
}

fn update(withdrawn: &[u8], attributes: &[&Bytes], nlri: &[u8]) -> Bytes {
    let attributes = attributes.iter().flat_map(|attribute| attribute.iter().copied()).collect::<Vec<u8>>();
    let mut body = Vec::with_capacity(4 + withdrawn.len() + attributes.len() + nlri.len());
    for field in [withdrawn, &attributes] {
        body.extend(u16::try_from(field.len()).unwrap_or(u16::MAX).to_be_bytes());
        body.extend_from_slice(field);
    }
    body.extend_from_slice(nlri);
    wire::message(MessageType::Update, &body)
}

#[cfg(test)]
mod tests;
