//! A received UPDATE (RFC 4271 §4.3): checked as RFC 7606 says, counted, and dropped.
//!
//! Nothing of it is stored, so "treat-as-withdraw" and "attribute discard" are counted here and done by forgetting. What is
//! left of the strictness is where RFC 7606 still demands that the session ends.

mod attribute;

use std::collections::BTreeSet;

use crate::{notification::Notification, open::Negotiated, types::Family, wire::Reader};
use attribute::{MP_REACH_NLRI, MP_UNREACH_NLRI, Raw, Verdict};

/// An UPDATE that ends the session: UPDATE Message Error (RFC 4271 §6.3), where RFC 7606 leaves no milder way.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UpdateError {
    /// Subcode 1 (RFC 7606 §4).
    #[error("an UPDATE's length fields say more than there is")]
    Overrun,
    /// Subcode 1 (RFC 7606 §3 g).
    #[error("an UPDATE has more than one attribute of type {0}")]
    Repeated(u8),
    /// Subcode 1 (RFC 7606 §5.2): it cannot be told which routes the error concerns.
    #[error("an UPDATE has a malformed attribute and announces nothing that could be treated as withdrawn")]
    NothingReachable,
    /// Subcode 9 (RFC 4760 §7, RFC 7606 §5.3); the attribute.
    #[error("an UPDATE has a multiprotocol attribute that cannot be read")]
    Multiprotocol(Vec<u8>),
    /// Subcode 10 (RFC 7606 §5.3).
    #[error("an UPDATE has a prefix that is too long or cut off")]
    Network,
}

impl UpdateError {
    /// What the neighbor is told.
    #[must_use]
    pub fn notification(&self) -> Notification {
        match self {
            Self::Overrun | Self::Repeated(_) | Self::NothingReachable => Notification::new(3, 1, &[]),
            Self::Multiprotocol(attribute) => Notification::new(3, 9, attribute),
            Self::Network => Notification::new(3, 10, &[]),
        }
    }
}

/// What of the session an UPDATE is read by.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Context<'a> {
    pub(crate) external: bool,
    pub(crate) four_octet_as: bool,
    pub(crate) families: &'a BTreeSet<Family>,
    pub(crate) extended_next_hop: bool,
}

impl<'a> Context<'a> {
    pub(crate) const fn new(negotiated: &'a Negotiated) -> Self {
        Self {
            external: negotiated.external,
            four_octet_as: negotiated.four_octet_as,
            families: &negotiated.families,
            extended_next_hop: negotiated.extended_next_hop,
        }
    }
}

/// What there is to count.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) announced: usize,
    pub(crate) withdrawn: usize,
    pub(crate) treated_as_withdraw: bool,
    pub(crate) discarded: usize,
}

pub(crate) fn check(body: &[u8], context: Context<'_>) -> Result<Tally, UpdateError> {
    let mut reader = Reader::new(body);
    // RFC 7606 §4: these two lengths are what everything else relies on.
    let withdrawn = reader.counted_by_u16().ok_or(UpdateError::Overrun)?;
    let attributes = reader.counted_by_u16().ok_or(UpdateError::Overrun)?;
    // RFC 7606 §3 j, §5.3: the prefixes must be readable whatever else is wrong.
    let withdrawn = count_prefixes(withdrawn, 32).ok_or(UpdateError::Network)?;
    let announced = count_prefixes(reader.rest(), 32).ok_or(UpdateError::Network)?;

    let mut walk = Walk {
        context,
        seen: BTreeSet::new(),
        tally: Tally { withdrawn, ..Tally::default() },
        reachable: announced,
        bad_next_hop: false,
    };
    walk.attributes(attributes)?;
    walk.finish(announced)
}

struct Walk<'a> {
    context: Context<'a>,
    seen: BTreeSet<u8>,
    tally: Tally,
    /// Announced prefixes, and those of a family that was not negotiated as one.
    reachable: usize,
    bad_next_hop: bool,
}

impl Walk<'_> {
    fn attributes(&mut self, field: &[u8]) -> Result<(), UpdateError> {
        let mut reader = Reader::new(field);
        while !reader.is_empty() {
            let Some(attribute) = Raw::read(&mut reader) else {
                // RFC 7606 §4: an attribute that overruns the field hides the rest of it; the prefixes are still known.
                self.tally.treated_as_withdraw = true;
                return Ok(());
            };
            self.attribute(&attribute)?;
        }
        Ok(())
    }

    fn attribute(&mut self, attribute: &Raw<'_>) -> Result<(), UpdateError> {
        let multiprotocol = matches!(attribute.code, MP_REACH_NLRI | MP_UNREACH_NLRI);
        if !self.seen.insert(attribute.code) {
            // RFC 7606 §3 g: of the others the first counts.
            self.tally.discarded += 1;
            return if multiprotocol { Err(UpdateError::Repeated(attribute.code)) } else { Ok(()) };
        }
        match attribute::judge(attribute, self.context.external, self.context.four_octet_as) {
            Verdict::Good => {}
            Verdict::Discard => self.tally.discarded += 1,
            Verdict::TreatAsWithdraw if attribute.code == attribute::NEXT_HOP => self.bad_next_hop = true,
            Verdict::TreatAsWithdraw => self.tally.treated_as_withdraw = true,
        }
        if multiprotocol { self.multiprotocol(attribute) } else { Ok(()) }
    }

    /// RFC 4760 §3 and §4; RFC 7606 §5.3 and §7.11.
    fn multiprotocol(&mut self, attribute: &Raw<'_>) -> Result<(), UpdateError> {
        let unreadable = || UpdateError::Multiprotocol(attribute.whole.to_vec());
        let reach = attribute.code == MP_REACH_NLRI;
        let mut reader = Reader::new(attribute.value);
        let afi = reader.u16().ok_or_else(unreadable)?;
        let safi = reader.u8().ok_or_else(unreadable)?;
        let next_hop = if reach {
            let next_hop = reader.counted_by_u8().ok_or_else(unreadable)?;
            reader.u8().ok_or_else(unreadable)?;
            Some(next_hop)
        } else {
            None
        };
        let family = Family::from_codes(afi, safi).filter(|family| self.context.families.contains(family));
        let Some(family) = family else {
            // Not negotiated: how its prefixes are written is not known, only that there are some.
            self.reachable += usize::from(reach && !reader.is_empty());
            return Ok(());
        };
        let (bits, hops): (u8, &[usize]) = match family {
            // RFC 8950 §3.
            Family::Ipv4Unicast if self.context.extended_next_hop => (32, &[4, 16, 32]),
            Family::Ipv4Unicast => (32, &[4]),
            Family::Ipv6Unicast => (128, &[16, 32]),
        };
        let prefixes = count_prefixes(reader.rest(), bits).ok_or_else(unreadable)?;
        match next_hop {
            Some(next_hop) if !hops.contains(&next_hop.len()) => return Err(unreadable()),
            Some(_) => {
                self.tally.announced += prefixes;
                self.reachable += prefixes;
            }
            None => self.tally.withdrawn += prefixes,
        }
        Ok(())
    }

    fn finish(mut self, classic: usize) -> Result<Tally, UpdateError> {
        self.tally.announced += classic;
        // RFC 7606 §3 d: missing mandatory attributes; NEXT_HOP is one beside the NLRI field only.
        let missing = |code: u8| !self.seen.contains(&code);
        if self.reachable > 0 && (missing(attribute::ORIGIN) || missing(attribute::AS_PATH)) {
            self.tally.treated_as_withdraw = true;
        }
        if classic > 0 && missing(attribute::NEXT_HOP) {
            self.tally.treated_as_withdraw = true;
        }
        // RFC 4760 §3: beside MP_REACH_NLRI alone NEXT_HOP is ignored; some routers set it to 0.0.0.0 there.
        if self.bad_next_hop && (classic > 0 || missing(MP_REACH_NLRI)) {
            self.tally.treated_as_withdraw = true;
        }
        // RFC 7606 §5.2: with no reachable prefix in sight it may be that they were not found.
        if self.tally.treated_as_withdraw && self.reachable == 0 {
            return Err(UpdateError::NothingReachable);
        }
        if self.tally.treated_as_withdraw {
            self.tally.withdrawn += std::mem::take(&mut self.tally.announced);
        }
        Ok(self.tally)
    }
}

/// How many prefixes there are; `None` if one has more than `bits` bits or is cut off (RFC 7606 §5.3). Host bits do not matter
/// (RFC 4271 §4.3).
fn count_prefixes(field: &[u8], bits: u8) -> Option<usize> {
    let mut reader = Reader::new(field);
    let mut count = 0;
    while !reader.is_empty() {
        let length = reader.u8().filter(|length| *length <= bits)?;
        reader.take(usize::from(length.div_ceil(8)))?;
        count += 1;
    }
    Some(count)
}

#[cfg(test)]
mod tests;
