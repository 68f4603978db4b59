//! Messages taken apart and put together, in the plainest way there is.

use std::{collections::BTreeSet, net::IpAddr};

use anycast_bgp::{Family, Prefix};
use ipnet::IpNet;

/// A message with a header that is right, whatever its body.
pub fn frame(kind: u8, body: &[u8]) -> Vec<u8> {
    let body = &body[..body.len().min(65_535 - 19)];
    let length = u16::try_from(body.len() + 19).expect("it was cut");
    [&[0xFF; 16][..], &length.to_be_bytes(), &[kind], body].concat()
}

/// What an UPDATE says.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Contents {
    /// Withdrawn in the message's own field and in MP_UNREACH_NLRI.
    pub withdrawn: Vec<Prefix>,
    /// Announced in the message's own field and in MP_REACH_NLRI.
    pub announced: Vec<Prefix>,
    /// MULTI_EXIT_DISC.
    pub med: Option<u32>,
    /// The types of all attributes, in their order.
    pub types: Vec<u8>,
}

/// Where in `field` each attribute begins, its flags and type, and where its value begins and ends; up to the first that overruns.
pub fn attributes(field: &[u8]) -> Vec<(usize, u8, u8, std::ops::Range<usize>)> {
    let (mut found, mut at) = (Vec::new(), 0);
    while let Some([flags, code, length, more @ ..]) = field.get(at..).filter(|rest| !rest.is_empty()) {
        let (length, header) = if flags & 0x10 == 0 {
            (usize::from(*length), 3)
        } else {
            let Some(low) = more.first() else { break };
            (usize::from(u16::from_be_bytes([*length, *low])), 4)
        };
        let value = at + header..at + header + length;
        if value.end > field.len() {
            break;
        }
        let start = at;
        at = value.end;
        found.push((start, *flags, *code, value));
    }
    found
}

/// Reads an UPDATE that has no error; multiprotocol attributes as far as they are of `families`.
pub fn contents(body: &[u8], families: &BTreeSet<Family>) -> Option<Contents> {
    let counted = |at: usize| -> Option<&[u8]> {
        let length = usize::from(u16::from_be_bytes([*body.get(at)?, *body.get(at + 1)?]));
        body.get(at + 2..at + 2 + length)
    };
    let withdrawn = counted(0)?;
    let field = counted(2 + withdrawn.len())?;
    let nlri = body.get(4 + withdrawn.len() + field.len()..)?;
    let mut contents =
        Contents { withdrawn: prefixes(withdrawn, true)?, announced: prefixes(nlri, true)?, ..Contents::default() };
    for (_, _, code, value) in attributes(field) {
        let value = &field[value];
        let first = !contents.types.contains(&code);
        contents.types.push(code);
        let known = |afi: u8| Family::from_codes(u16::from(afi), 1).is_some_and(|family| families.contains(&family));
        match (code, value) {
            (4, [a, b, c, d]) if first => contents.med = Some(u32::from_be_bytes([*a, *b, *c, *d])),
            (14, [0, afi, 1, hop, rest @ ..]) if known(*afi) => {
                contents.announced.extend(prefixes(rest.get(usize::from(*hop) + 1..)?, *afi == 1)?);
            }
            (15, [0, afi, 1, rest @ ..]) if known(*afi) => contents.withdrawn.extend(prefixes(rest, *afi == 1)?),
            _ => {}
        }
    }
    Some(contents)
}

fn prefixes(mut field: &[u8], ipv4: bool) -> Option<Vec<Prefix>> {
    let mut found = Vec::new();
    while let Some((length, rest)) = field.split_first() {
        let octets = usize::from(length.div_ceil(8));
        let mut address = [0; 16];
        address.get_mut(..octets)?.copy_from_slice(rest.get(..octets)?);
        let address =
            if ipv4 { IpAddr::from([address[0], address[1], address[2], address[3]]) } else { IpAddr::from(address) };
        // Host bits are nobody's fault: they are dropped.
        let network = IpNet::new(address, *length).ok()?.trunc();
        found.push(Prefix::new(network).expect("the host bits are gone"));
        field = &rest[octets..];
    }
    Some(found)
}
