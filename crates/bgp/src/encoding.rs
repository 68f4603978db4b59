//! What we announce, in octets. The only file that names bgpkit-parser: its types and codecs for attributes and NLRI.
//!
//! It never sets the extended-length flag and knows no message size, so both are seen to here and in the packing.

use bgpkit_parser::models::{
    Afi, AsPath, AsPathSegment, Asn as WireAsn, AsnLength, AttrFlags, Attribute, AttributeValue,
    Community as WireCommunity, ExtendedCommunity as WireExtendedCommunity, LargeCommunity as WireLargeCommunity,
    NetworkPrefix, NextHopAddress, Nlri, Origin, Safi,
};
use bytes::Bytes;

use crate::{
    attributes::Attributes,
    terms::{NextHop, NextHop6, Terms},
    types::{AS_TRANS, Family, Prefix},
};

/// LOCAL_PREF where none was chosen.
const DEFAULT_LOCAL_PREF: u32 = 100;
/// The most AS numbers one segment can hold (RFC 4271 §4.3).
const MAX_SEGMENT: usize = 255;

/// An attribute that has no encoding: longer than its length field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TooLong;

/// Every attribute but MP_REACH_NLRI, in ascending order of types (RFC 4271 §5).
pub(crate) fn path_attributes(attributes: &Attributes, terms: &Terms, family: Family) -> Result<Bytes, TooLong> {
    let asn_length = if terms.four_octet_as { AsnLength::Bits32 } else { AsnLength::Bits16 };
    let mut block = Vec::new();
    for value in values(attributes, terms, family) {
        block.extend_from_slice(&encode(value, asn_length)?);
    }
    Ok(block.into())
}

fn values(attributes: &Attributes, terms: &Terms, family: Family) -> Vec<AttributeValue> {
    let path = as_path_numbers(attributes, terms);
    let local_as = terms.local_as.get();
    // RFC 6793 §4.2.2: to a two-octet speaker AS_TRANS stands in the path, and AS4_PATH says what it stands for.
    let hidden = !terms.four_octet_as && u16::try_from(local_as).is_err() && !path.is_empty();
    let shown = if hidden { vec![u32::from(AS_TRANS); path.len()] } else { path.clone() };

    let mut values = vec![AttributeValue::Origin(Origin::IGP), AttributeValue::AsPath(as_path(&shown))];
    // RFC 4760 §3: NEXT_HOP belongs to the NLRI field only; routers reset for one of 0.0.0.0 beside MP_REACH_NLRI.
    if let Some(NextHop::Ipv4(next_hop)) = terms.next_hop(family) {
        values.push(AttributeValue::NextHop(next_hop.into()));
    }
    values.extend(attributes.med.map(AttributeValue::MultiExitDiscriminator));
    // RFC 4271 §5.1.5: to every internal neighbor, to no external one.
    if !terms.external {
        values.push(AttributeValue::LocalPreference(attributes.local_pref.unwrap_or(DEFAULT_LOCAL_PREF)));
    }
    if !attributes.communities.is_empty() {
        let community = |number: u32| {
            let [a, b, c, d] = number.to_be_bytes();
            WireCommunity::Custom(WireAsn::new_16bit(u16::from_be_bytes([a, b])), u16::from_be_bytes([c, d]))
        };
        values.push(AttributeValue::Communities(attributes.communities.iter().map(|c| community(c.0)).collect()));
    }
    let extended = attributes.extended(terms.local_as);
    if !extended.is_empty() {
        // As they are: the codec's own kinds would take ours apart and put them together again.
        let raw = extended.iter().map(|community| WireExtendedCommunity::Raw(community.0));
        values.push(AttributeValue::ExtendedCommunities(raw.collect()));
    }
    if hidden {
        values.push(AttributeValue::As4Path(as_path(&path)));
    }
    if !attributes.large_communities.is_empty() {
        let large = attributes.large_communities.iter();
        let large = large.map(|c| WireLargeCommunity::new(c.global, [c.local1, c.local2]));
        values.push(AttributeValue::LargeCommunities(large.collect()));
    }
    values.extend(terms.only_to_customer.map(|asn| AttributeValue::OnlyToCustomer(WireAsn::new_32bit(asn.get()))));
    values
}

/// RFC 4271 §5.1.2: our number once and again for each time it is prepended. On iBGP the path is empty and nothing is
/// prepended: every router of our AS would take its own number for a loop (§9.1.2) and drop the route.
fn as_path_numbers(attributes: &Attributes, terms: &Terms) -> Vec<u32> {
    let count = if terms.external { 1 + usize::from(attributes.as_path_prepend) } else { 0 };
    vec![terms.local_as.get(); count]
}

fn as_path(numbers: &[u32]) -> AsPath {
    let mut path = AsPath::new();
    for segment in numbers.chunks(MAX_SEGMENT) {
        path.append_segment(AsPathSegment::sequence(segment));
    }
    path
}

/// MP_REACH_NLRI (RFC 4760 §3) with an IPv6 next hop, which IPv4 prefixes may have too (RFC 8950 §3).
pub(crate) fn mp_reach(family: Family, next_hop: NextHop6, prefixes: &[Prefix]) -> Result<Bytes, TooLong> {
    let next_hop = match next_hop {
        NextHop6::One(address) => NextHopAddress::Ipv6(address),
        NextHop6::GlobalAndLinkLocal(global, link_local) => NextHopAddress::Ipv6LinkLocal(global, link_local),
    };
    let nlri = multiprotocol(family, prefixes, Some(next_hop));
    encode(AttributeValue::MpReachNlri(nlri), AsnLength::Bits32)
}

/// MP_UNREACH_NLRI (RFC 4760 §4). With no prefix it is an End-of-RIB.
pub(crate) fn mp_unreach(family: Family, prefixes: &[Prefix]) -> Result<Bytes, TooLong> {
    encode(AttributeValue::MpUnreachNlri(multiprotocol(family, prefixes, None)), AsnLength::Bits32)
}

fn multiprotocol(family: Family, prefixes: &[Prefix], next_hop: Option<NextHopAddress>) -> Nlri {
    Nlri {
        afi: match family {
            Family::Ipv4Unicast => Afi::Ipv4,
            Family::Ipv6Unicast => Afi::Ipv6,
        },
        safi: Safi::Unicast,
        next_hop,
        prefixes: prefixes.iter().map(|prefix| wire_prefix(*prefix)).collect(),
        labeled_prefixes: None,
        link_state_nlris: None,
        flowspec_nlris: None,
    }
}

/// The NLRI of IPv4 prefixes as the UPDATE's own fields hold them (RFC 4271 §4.3).
pub(crate) fn nlri(prefixes: &[Prefix]) -> Vec<u8> {
    prefixes.iter().flat_map(|prefix| wire_prefix(*prefix).encode()).collect()
}

/// The octets of one prefix in any NLRI.
pub(crate) fn nlri_octets(prefix: Prefix) -> usize {
    1 + usize::from(prefix.net().prefix_len().div_ceil(8))
}

fn wire_prefix(prefix: Prefix) -> NetworkPrefix {
    NetworkPrefix::new(prefix.net(), None)
}

fn encode(value: AttributeValue, asn_length: AsnLength) -> Result<Bytes, TooLong> {
    let mut attribute = Attribute::from(value);
    // With the short length field anything past 255 octets is an error: then it takes the long one.
    attribute.encode(asn_length).or_else(|_| {
        attribute.flag.insert(AttrFlags::EXTENDED);
        attribute.encode(asn_length).map_err(|_| TooLong)
    })
}
