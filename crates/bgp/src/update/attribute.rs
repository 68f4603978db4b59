//! Path attributes one by one: which flags and lengths they may have, and what follows if they have others (RFC 7606 §7).

use crate::wire::Reader;

pub(super) const ORIGIN: u8 = 1;
pub(super) const AS_PATH: u8 = 2;
pub(super) const NEXT_HOP: u8 = 3;
const MULTI_EXIT_DISC: u8 = 4;
const LOCAL_PREF: u8 = 5;
const ATOMIC_AGGREGATE: u8 = 6;
const AGGREGATOR: u8 = 7;
const COMMUNITIES: u8 = 8;
const ORIGINATOR_ID: u8 = 9;
const CLUSTER_LIST: u8 = 10;
pub(super) const MP_REACH_NLRI: u8 = 14;
pub(super) const MP_UNREACH_NLRI: u8 = 15;
const EXTENDED_COMMUNITIES: u8 = 16;
const AS4_PATH: u8 = 17;
const AS4_AGGREGATOR: u8 = 18;
const IPV6_EXTENDED_COMMUNITIES: u8 = 25;
const LARGE_COMMUNITY: u8 = 32;
const ONLY_TO_CUSTOMER: u8 = 35;

const OPTIONAL: u8 = 0x80;
const TRANSITIVE: u8 = 0x40;
const EXTENDED_LENGTH: u8 = 0x10;

/// One attribute as it stands in the message.
#[derive(Debug, Clone, Copy)]
pub(super) struct Raw<'a> {
    flags: u8,
    pub(super) code: u8,
    pub(super) value: &'a [u8],
    /// Flags, type and length included.
    pub(super) whole: &'a [u8],
}

impl<'a> Raw<'a> {
    /// `None` when it overruns what is left.
    pub(super) fn read(reader: &mut Reader<'a>) -> Option<Self> {
        let field = reader.rest();
        let (flags, code) = (reader.u8()?, reader.u8()?);
        let value = if flags & EXTENDED_LENGTH == 0 { reader.counted_by_u8() } else { reader.counted_by_u16() }?;
        let whole = field.get(..field.len() - reader.rest().len())?;
        Some(Self { flags, code, value, whole })
    }

    const fn optional(&self) -> bool {
        self.flags & OPTIONAL != 0
    }

    const fn transitive(&self) -> bool {
        self.flags & TRANSITIVE != 0
    }
}

/// The approaches of RFC 7606 §2 short of ending the session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Good,
    Discard,
    TreatAsWithdraw,
}

/// Judges flags and value. Of the flags octet only Optional and Transitive are looked at: Partial says nothing about an error,
/// and the four low bits are ignored (RFC 4271 §4.3).
pub(super) fn judge(attribute: &Raw<'_>, external: bool, four_octet_as: bool) -> Verdict {
    let Some((optional, transitive)) = category(attribute.code) else {
        // RFC 4271 §9: an unrecognized optional attribute is of no concern. One that claims to be well-known is more likely one
        // with broken flags than a new one: then RFC 7606 §3 c applies.
        return if attribute.optional() { Verdict::Good } else { Verdict::TreatAsWithdraw };
    };
    // RFC 7606 §7.5, §7.9, §7.10: an external neighbor has no business sending these, however they look.
    if external && matches!(attribute.code, LOCAL_PREF | ORIGINATOR_ID | CLUSTER_LIST) {
        return Verdict::Discard;
    }
    // RFC 6793 §4.1, §6: for two-octet neighbors only; malformed ones are discarded.
    if matches!(attribute.code, AS4_PATH | AS4_AGGREGATOR) && four_octet_as {
        return Verdict::Discard;
    }
    let flags_match = attribute.optional() == optional && attribute.transitive() == transitive;
    if flags_match && well_formed(attribute.code, attribute.value, external, four_octet_as) {
        return Verdict::Good;
    }
    match attribute.code {
        // RFC 7606 §3 f, §7.6, §7.7; RFC 6793 §6.
        ATOMIC_AGGREGATE | AGGREGATOR | AS4_PATH | AS4_AGGREGATOR => Verdict::Discard,
        _ => Verdict::TreatAsWithdraw,
    }
}

/// Whether an attribute that is known is optional, and whether it is transitive.
const fn category(code: u8) -> Option<(bool, bool)> {
    match code {
        ORIGIN | AS_PATH | NEXT_HOP | LOCAL_PREF | ATOMIC_AGGREGATE => Some((false, true)),
        MULTI_EXIT_DISC | ORIGINATOR_ID | CLUSTER_LIST | MP_REACH_NLRI | MP_UNREACH_NLRI => Some((true, false)),
        AGGREGATOR | COMMUNITIES | EXTENDED_COMMUNITIES | AS4_PATH | AS4_AGGREGATOR | IPV6_EXTENDED_COMMUNITIES => {
            Some((true, true))
        }
        LARGE_COMMUNITY | ONLY_TO_CUSTOMER => Some((true, true)),
        _ => None,
    }
}

fn well_formed(code: u8, value: &[u8], external: bool, four_octet_as: bool) -> bool {
    let list_of = |octets: usize| !value.is_empty() && value.len().is_multiple_of(octets);
    match code {
        ORIGIN => matches!(value, [0..=2]),
        // RFC 5065 §5: confederation segments come from within the confederation, if we are in one, and so from our own AS only.
        AS_PATH => good_path(value, four_octet_as, !external),
        // RFC 4271 §6.3: it must be an address of a host.
        NEXT_HOP => value.len() == 4 && !matches!(value, [0 | 224..=255, ..]),
        MULTI_EXIT_DISC | LOCAL_PREF | ORIGINATOR_ID | ONLY_TO_CUSTOMER => value.len() == 4,
        ATOMIC_AGGREGATE => value.is_empty(),
        AGGREGATOR => good_aggregator(value, four_octet_as),
        COMMUNITIES | CLUSTER_LIST => list_of(4),
        EXTENDED_COMMUNITIES => list_of(8),
        // RFC 6793 §6: confederation segments are dropped from it, and no reason to drop it.
        AS4_PATH => good_path(value, true, true),
        AS4_AGGREGATOR => good_aggregator(value, true),
        IPV6_EXTENDED_COMMUNITIES => list_of(20),
        LARGE_COMMUNITY => list_of(12),
        // The multiprotocol attributes have a reader of their own.
        _ => true,
    }
}

/// RFC 7606 §7.2: segments of a known type, none of them empty, which fill the attribute. RFC 7607 §2: no AS 0.
fn good_path(value: &[u8], four_octet_as: bool, confederation: bool) -> bool {
    let width = as_octets(four_octet_as);
    let last_type = if confederation { 4 } else { 2 };
    let mut reader = Reader::new(value);
    while !reader.is_empty() {
        let (Some(kind), Some(count @ 1..)) = (reader.u8(), reader.u8()) else { return false };
        let Some(numbers) = reader.take(usize::from(count) * width) else { return false };
        if !(1..=last_type).contains(&kind) || numbers.chunks(width).any(is_zero) {
            return false;
        }
    }
    true
}

/// An AS number, which is not 0 (RFC 7607 §2), and an address.
fn good_aggregator(value: &[u8], four_octet_as: bool) -> bool {
    let width = as_octets(four_octet_as);
    value.len() == width + 4 && value.get(..width).is_some_and(|number| !is_zero(number))
}

const fn as_octets(four_octet_as: bool) -> usize {
    if four_octet_as { 4 } else { 2 }
}

fn is_zero(number: &[u8]) -> bool {
    number.iter().all(|octet| *octet == 0)
}
