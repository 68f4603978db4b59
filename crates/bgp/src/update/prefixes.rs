//! The prefixes that an UPDATE announces, one by one. For messages that were found good: what cannot be read is passed over.

use super::{
    Context,
    attribute::{MP_REACH_NLRI, Raw},
};
use crate::{types::Family, wire::Reader};

/// A prefix as octets that no other one has: its AFI, its length, and its address.
pub(crate) type Key = [u8; 18];

/// Gives each prefix of a negotiated family.
pub(crate) fn each_announced(body: &[u8], context: Context<'_>, mut seen: impl FnMut(Key)) {
    let mut reader = Reader::new(body);
    let (Some(_), Some(attributes)) = (reader.counted_by_u16(), reader.counted_by_u16()) else { return };
    each(Family::Ipv4Unicast, reader.rest(), &mut seen);
    let mut attributes = Reader::new(attributes);
    while let Some(attribute) = Raw::read(&mut attributes) {
        if attribute.code == MP_REACH_NLRI
            && let Some((family, field)) = reachable(attribute.value)
            && context.families.contains(&family)
        {
            each(family, field, &mut seen);
        }
    }
}

/// RFC 4760 §3.
fn reachable(value: &[u8]) -> Option<(Family, &[u8])> {
    let mut reader = Reader::new(value);
    let family = Family::from_codes(reader.u16()?, reader.u8()?)?;
    reader.counted_by_u8()?;
    reader.u8()?;
    Some((family, reader.rest()))
}

fn each(family: Family, field: &[u8], seen: &mut impl FnMut(Key)) {
    let mut reader = Reader::new(field);
    while let Some(length) = reader.u8() {
        let Some(octets) = reader.take(usize::from(length.div_ceil(8))) else { return };
        let mut key = [0; 18];
        (key[0], key[1]) = (family.codes().0.to_be_bytes()[1], length);
        let Some(address) = key.get_mut(2..2 + octets.len()) else { return };
        address.copy_from_slice(octets);
        // RFC 4271 §4.3: bits beyond the length have no meaning.
        if let Some(last) = address.last_mut() {
            *last &= 0xFF << ((8 - length % 8) % 8);
        }
        seen(key);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn seen(body: &[u8], families: &[Family]) -> Vec<(u8, u8, Vec<u8>)> {
        let families: BTreeSet<Family> = families.iter().copied().collect();
        let context = Context { external: true, four_octet_as: true, families: &families, extended_next_hop: true };
        let mut seen = Vec::new();
        each_announced(body, context, |key| {
            let [afi, length, address @ ..] = key;
            seen.push((afi, length, address[..usize::from(length.div_ceil(8))].to_vec()));
        });
        seen
    }

    #[test]
    fn prefixes_of_both_fields_are_given_without_what_lies_beyond_their_length() {
        let next_hop = [0x20; 16];
        let reach = [&[0x80, 14, 26, 0, 2, 1, 16][..], &next_hop, &[0, 17, 0x20, 0x01, 0xFF, 0]].concat();
        let attributes = [&reach, &[0x40, 1, 1, 0][..]].concat();
        let mut body = vec![0, 4, 24, 198, 51, 100, 0, attributes.len() as u8];
        body.extend(&attributes);
        body.extend([25, 203, 0, 113, 255, 0]);
        let (one, all, other) = ((1, 25, vec![203, 0, 113, 128]), (1, 0, vec![]), (2, 17, vec![0x20, 0x01, 0x80]));
        let default = (2, 0, vec![]);
        assert_eq!(seen(&body, &Family::ALL), [one.clone(), all.clone(), other, default]);
        assert_eq!(seen(&body, &[Family::Ipv4Unicast]), [one, all]);
    }
}
