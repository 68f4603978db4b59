//! Messages by hand: the agent's own encoder is not asked what is right.

use std::net::Ipv4Addr;

use anyhow::ensure;
use bytes::{BufMut as _, Bytes, BytesMut};
use ipnet::Ipv4Net;

/// Octets of the header (RFC 4271 §4.1).
pub const HEADER: usize = 19;
/// The marker of every message.
pub const MARKER: [u8; 16] = [0xFF; 16];
/// A KEEPALIVE (RFC 4271 §4.4).
pub const KEEPALIVE: [u8; HEADER] =
    [0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0, 19, 4];
/// Where BGP listens (RFC 4271 §8).
pub const PORT: u16 = 179;
/// Where the speaker is in `lab/speaker.clab.yml`, whom the scripted peers are neighbors of.
pub const SPEAKER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 254);
/// The AS of a scripted peer.
pub const ASN: u16 = 65_101;

/// The types (RFC 4271 §4.1, RFC 2918 §3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// OPEN.
    Open = 1,
    /// UPDATE.
    Update = 2,
    /// NOTIFICATION.
    Notification = 3,
    /// KEEPALIVE.
    Keepalive = 4,
    /// ROUTE-REFRESH.
    RouteRefresh = 5,
}

impl Kind {
    /// Of a whole message.
    #[must_use]
    pub fn of(message: &[u8]) -> Option<Self> {
        [Self::Open, Self::Update, Self::Notification, Self::Keepalive, Self::RouteRefresh]
            .into_iter()
            .find(|kind| message.get(HEADER - 1) == Some(&(*kind as u8)))
    }
}

/// How long the message is that begins here; `None`: too little of it has come to tell.
///
/// # Errors
/// When no message begins like this.
pub(super) fn length(octets: &[u8]) -> anyhow::Result<Option<usize>> {
    let Some((header, _)) = octets.split_first_chunk::<HEADER>() else { return Ok(None) };
    let length = usize::from(u16::from_be_bytes([header[16], header[17]]));
    ensure!(header.starts_with(&MARKER) && length >= HEADER, "this is not BGP: {header:?}");
    Ok(Some(length))
}

/// A message of any type and body; a body that is too long is for the caller to answer for.
#[must_use]
pub fn message(kind: Kind, body: &[u8]) -> Bytes {
    let mut octets = BytesMut::with_capacity(HEADER + body.len());
    octets.put_slice(&MARKER);
    octets.put_u16(u16::try_from(HEADER + body.len()).unwrap_or(u16::MAX));
    octets.put_u8(kind as u8);
    octets.put_slice(body);
    octets.freeze()
}

/// An OPEN of [`ASN`] (RFC 4271 §4.2) with unicast of IPv4 and four-octet AS numbers (RFC 4760 §8, RFC 6793 §3).
#[must_use]
pub fn open(hold_time: u16, identifier: Ipv4Addr) -> Bytes {
    let [high, low] = ASN.to_be_bytes();
    open_with(hold_time, identifier, &[1, 4, 0, 1, 0, 1, 65, 4, 0, 0, high, low])
}

/// An OPEN with these capabilities; without any it is as short as one can be.
#[must_use]
pub fn open_with(hold_time: u16, identifier: Ipv4Addr, capabilities: &[u8]) -> Bytes {
    let mut body = BytesMut::new();
    body.put_u8(4);
    body.put_u16(ASN);
    body.put_u16(hold_time);
    body.put_slice(&identifier.octets());
    let length = |octets: usize| u8::try_from(octets).unwrap_or(u8::MAX);
    if capabilities.is_empty() {
        body.put_u8(0);
    } else {
        // RFC 5492 §4: parameter 2.
        body.put_slice(&[length(capabilities.len() + 2), 2, length(capabilities.len())]);
        body.put_slice(capabilities);
    }
    message(Kind::Open, &body)
}

/// An UPDATE with these attributes, whole, and these prefixes (RFC 4271 §4.3).
#[must_use]
pub fn update(attributes: &[u8], prefixes: &[Ipv4Net]) -> Bytes {
    let mut body = BytesMut::new();
    body.put_u16(0);
    body.put_u16(u16::try_from(attributes.len()).unwrap_or(u16::MAX));
    body.put_slice(attributes);
    for prefix in prefixes {
        body.put_u8(prefix.prefix_len());
        let octets = usize::from(prefix.prefix_len().div_ceil(8));
        body.put_slice(prefix.network().octets().get(..octets).unwrap_or_default());
    }
    message(Kind::Update, &body)
}

/// A table of so many IPv4 routes, each UPDATE with at most `each` of them and a path of its own.
pub fn table(routes: u32, each: u32, next_hop: Ipv4Addr) -> impl Iterator<Item = Bytes> {
    (0..routes).step_by(each.max(1) as usize).map(move |first| {
        let prefixes: Vec<Ipv4Net> = (first..routes.min(first + each)).map(route).collect();
        update(&path(first, next_hop), &prefixes)
    })
}

/// The n-th /24 from 16.0.0.0 on: a million end at 31.66.63.0.
fn route(n: u32) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::from((16 << 24) + (n << 8)), 24)
}

/// ORIGIN, AS_PATH with four hops, NEXT_HOP, and two communities, as a table of the Internet has them.
fn path(n: u32, next_hop: Ipv4Addr) -> Bytes {
    let mut octets = BytesMut::new();
    octets.put_slice(&[0x40, 1, 1, 0, 0x40, 2, 18, 2, 4]);
    for asn in [ASN.into(), 64_496 + n % 16, 65_536 + n % 16, 4_200_000_000 + n] {
        octets.put_u32(asn);
    }
    octets.put_slice(&[0x40, 3, 4]);
    octets.put_slice(&next_hop.octets());
    octets.put_slice(&[0xC0, 8, 8]);
    octets.put_u16(ASN);
    octets.put_u16(1);
    octets.put_u16(ASN);
    octets.put_u16((n % 1000) as u16);
    octets.freeze()
}

/// The prefixes of IPv4 that an UPDATE withdraws, and those that it announces.
///
/// # Errors
/// When it is malformed.
pub fn prefixes(body: &[u8]) -> anyhow::Result<[Vec<Ipv4Net>; 2]> {
    let counted = |octets: &[u8]| {
        let (length, rest) = octets.split_first_chunk().map(|(l, rest)| (u16::from_be_bytes(*l).into(), rest))?;
        rest.split_at_checked(length).map(|(field, rest)| (field.to_owned(), rest.to_owned()))
    };
    let parsed = counted(body).and_then(|(withdrawn, rest)| {
        let (_attributes, announced) = counted(&rest)?;
        Some([listed(&withdrawn)?, listed(&announced)?])
    });
    parsed.ok_or_else(|| anyhow::anyhow!("a malformed UPDATE: {body:?}"))
}

fn listed(mut octets: &[u8]) -> Option<Vec<Ipv4Net>> {
    let mut listed = Vec::new();
    while let Some((length, rest)) = octets.split_first() {
        let (known, rest) = rest.split_at_checked(usize::from(length.div_ceil(8)))?;
        let mut address = [0; 4];
        address.get_mut(..known.len())?.copy_from_slice(known);
        listed.push(Ipv4Net::new(address.into(), *length).ok()?);
        octets = rest;
    }
    Some(listed)
}

#[cfg(test)]
mod tests {
    use bgpkit_parser::{
        models::{AsnLength, BgpMessage},
        parser::bgp::messages::parse_bgp_message,
    };

    use super::*;

    fn read(message: &Bytes) -> BgpMessage {
        parse_bgp_message(&mut message.clone(), false, &AsnLength::Bits32).unwrap()
    }

    #[test]
    fn another_decoder_reads_what_is_written() {
        assert!(matches!(read(&KEEPALIVE.to_vec().into()), BgpMessage::KeepAlive));
        let BgpMessage::Open(opened) = read(&open(9, Ipv4Addr::LOCALHOST)) else { panic!() };
        assert_eq!((opened.hold_time, opened.opt_params.len()), (9, 1));
        let BgpMessage::Update(update) = read(&table(7, 3, Ipv4Addr::LOCALHOST).last().unwrap()) else { panic!() };
        assert_eq!(update.announced_prefixes.iter().map(|p| p.prefix.to_string()).collect::<Vec<_>>(), ["16.0.6.0/24"]);
        assert_eq!(update.attributes.into_iter().count(), 4);
    }

    #[test]
    fn a_table_has_as_many_routes_as_asked_for() {
        let count = |each| {
            let table: Vec<_> = table(1000, each, Ipv4Addr::LOCALHOST).collect();
            let routes = table.iter().map(|message| prefixes(&message[HEADER..]).unwrap()[1].len()).sum::<usize>();
            (table.len(), routes)
        };
        assert_eq!([count(1), count(3), count(1000)], [(1000, 1000), (334, 1000), (1, 1000)]);
        assert_eq!(route(999_999).to_string(), "31.66.63.0/24");
    }

    #[test]
    fn withdrawn_and_announced_prefixes_are_told_apart() {
        let body = [&[0, 4, 24, 203, 0, 113, 0, 0][..], &[8, 10]].concat();
        let [withdrawn, announced] = prefixes(&body).unwrap();
        assert_eq!(
            (withdrawn[0].to_string(), announced[0].to_string()),
            ("203.0.113.0/24".into(), "10.0.0.0/8".into())
        );
        for broken in [&body[..1], &body[..5], &body[..body.len() - 1], &[0, 9, 0, 0]] {
            assert!(prefixes(broken).is_err(), "{broken:?}");
        }
    }
}
