//! Extended communities (RFC 4360), of which the link's bandwidth (RFC 10005) is one.

use std::{fmt, net::Ipv4Addr, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::{
    attributes::decimal,
    types::{AS_TRANS, Asn},
};

/// Types of what may cross the border of an AS (RFC 7153 §5.1): by whom the value is administered.
const TWO_OCTET_AS: u8 = 0x00;
const IPV4_ADDRESS: u8 = 0x01;
const FOUR_OCTET_AS: u8 = 0x02;
/// RFC 4360 §2: set in the type of what may not.
const NON_TRANSITIVE: u8 = 0x40;

const ROUTE_TARGET: u8 = 0x02;
const ROUTE_ORIGIN: u8 = 0x03;
const LINK_BANDWIDTH: u8 = 0x04;

/// An extended community of eight octets (RFC 4360), written `rt:65010:100`, `soo:192.0.2.1:5` or as its octets,
/// `0x030c000000000001`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ExtendedCommunity(pub [u8; 8]);

impl ExtendedCommunity {
    /// The bandwidth of a link (RFC 10005), said by `asn`.
    #[must_use]
    pub fn link_bandwidth(bandwidth: LinkBandwidth, asn: Asn) -> Self {
        let kind = if bandwidth.transitive { TWO_OCTET_AS } else { TWO_OCTET_AS | NON_TRANSITIVE };
        // There are two octets for it. RFC 6793 §9: AS_TRANS stands for what does not fit.
        let [high, low] = u16::try_from(asn.get()).unwrap_or(AS_TRANS).to_be_bytes();
        let [a, b, c, d] = bandwidth.rate.octets_per_second().to_be_bytes();
        Self([kind, LINK_BANDWIDTH, high, low, a, b, c, d])
    }
}

impl fmt::Display for ExtendedCommunity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [kind, sub, a, b, c, d, e, g] = self.0;
        let name = match sub {
            ROUTE_TARGET => "rt",
            ROUTE_ORIGIN => "soo",
            LINK_BANDWIDTH if kind | NON_TRANSITIVE == NON_TRANSITIVE => {
                let name = if kind == NON_TRANSITIVE { "link-bandwidth-non-transitive" } else { "link-bandwidth" };
                let rate = f32::from_be_bytes([c, d, e, g]);
                return write!(f, "{name}:{}:{}", u16::from_be_bytes([a, b]), InBits(rate));
            }
            _ => return raw(self.0, f),
        };
        let number = u32::from_be_bytes([a, b, c, d]);
        match kind {
            TWO_OCTET_AS => write!(f, "{name}:{}:{}", u16::from_be_bytes([a, b]), u32::from_be_bytes([c, d, e, g])),
            IPV4_ADDRESS => write!(f, "{name}:{}:{}", Ipv4Addr::from(number), u16::from_be_bytes([e, g])),
            // A number that fits two octets would be read as one of two octets.
            FOUR_OCTET_AS if number > u32::from(u16::MAX) => {
                write!(f, "{name}:{number}:{}", u16::from_be_bytes([e, g]))
            }
            _ => raw(self.0, f),
        }
    }
}

fn raw(octets: [u8; 8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    write!(f, "0x{:016x}", u64::from_be_bytes(octets))
}

/// A text that is no extended community.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadExtendedCommunity {
    /// Nothing of it can be read.
    #[error(
        "`{0}` is not an extended community; write a route target as `rt:65010:100`, a route origin as `soo:192.0.2.1:5`, or eight \
         octets as `0x` and 16 hexadecimal digits"
    )]
    Unknown(String),
    /// RFC 5668 §2, RFC 4360 §3.2: two octets are left beside four.
    #[error(
        "`{0}` does not fit eight octets; after an address, or an AS number over 65535, write a number from 0 to 65535"
    )]
    TooLong(String),
}

impl FromStr for ExtendedCommunity {
    type Err = BadExtendedCommunity;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bad = || BadExtendedCommunity::Unknown(text.to_owned());
        if let Some(digits) = text.strip_prefix("0x") {
            let whole = digits.len() == 16 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
            let octets = whole.then(|| u64::from_str_radix(digits, 16).ok()).flatten().ok_or_else(bad)?;
            return Ok(Self(octets.to_be_bytes()));
        }
        let [name, administrator, value] = text.split(':').collect::<Vec<_>>()[..] else { return Err(bad()) };
        let sub = match name {
            "rt" => ROUTE_TARGET,
            "soo" => ROUTE_ORIGIN,
            _ => return Err(bad()),
        };
        let value: u32 = decimal(value).ok_or_else(bad)?;
        if let Some(asn) = decimal::<u16>(administrator) {
            let ([a, b], [c, d, e, f]) = (asn.to_be_bytes(), value.to_be_bytes());
            return Ok(Self([TWO_OCTET_AS, sub, a, b, c, d, e, f]));
        }
        let (kind, [a, b, c, d]) = match (administrator.parse::<Ipv4Addr>(), decimal::<u32>(administrator)) {
            (Ok(address), _) => (IPV4_ADDRESS, address.octets()),
            (Err(_), Some(asn)) => (FOUR_OCTET_AS, asn.to_be_bytes()),
            (Err(_), None) => return Err(bad()),
        };
        let value = u16::try_from(value).map_err(|_| BadExtendedCommunity::TooLong(text.to_owned()))?;
        let [e, f] = value.to_be_bytes();
        Ok(Self([kind, sub, a, b, c, d, e, f]))
    }
}

/// What a link carries, for routers that share traffic by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct LinkBandwidth {
    /// How much.
    pub rate: BitRate,
    /// Whether it may cross the border of an AS: both kinds are in the wild (RFC 10005 §2).
    pub transitive: bool,
}

/// Bits in a second, more than none, written `10Gbps`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct BitRate(u64);

const UNITS: [(&str, u64); 5] =
    [("Tbps", 1_000_000_000_000), ("Gbps", 1_000_000_000), ("Mbps", 1_000_000), ("kbps", 1000), ("bps", 1)];
/// No link has more.
const MOST: u64 = 1_000_000 * 1_000_000_000_000;

impl BitRate {
    /// As RFC 10005 §2 wants it: octets, in an IEEE floating point number.
    #[must_use]
    pub fn octets_per_second(self) -> f32 {
        // The nearest that there is: seven digits are kept.
        (self.0 as f64 / 8.0) as f32
    }
}

impl fmt::Display for BitRate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        in_units(self.0 as f64, f)
    }
}

/// Octets in a second, in bits.
struct InBits(f32);

impl fmt::Display for InBits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The shortest decimal number that makes the same float is the one that somebody wrote.
        let octets: f64 = self.0.to_string().parse().unwrap_or_default();
        in_units(octets * 8.0, f)
    }
}

fn in_units(bits: f64, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let (unit, size) = UNITS.into_iter().find(|(_, size)| bits >= *size as f64).unwrap_or(("bps", 1));
    write!(f, "{}{unit}", bits / size as f64)
}

/// A text that is no rate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not a rate; write a number greater than 0 with its unit, `bps`, `kbps`, `Mbps`, `Gbps` or `Tbps`: `10Gbps`"
)]
pub struct BadBitRate(String);

impl FromStr for BitRate {
    type Err = BadBitRate;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bad = || BadBitRate(text.to_owned());
        let (number, size) =
            UNITS.iter().find_map(|(unit, size)| Some((text.strip_suffix(unit)?, *size))).ok_or_else(bad)?;
        let (whole, part) = number.split_once('.').unwrap_or((number, "0"));
        let digits = |text: &str| (1..=15).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
        if !digits(whole) || !digits(part) {
            return Err(bad());
        }
        let number: f64 = number.parse().map_err(|_| bad())?;
        // A saturating cast; what it saturates at is beyond any link.
        let bits = (number * size as f64).round() as u64;
        if (1..=MOST).contains(&bits) { Ok(Self(bits)) } else { Err(bad()) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn octets(text: &str) -> [u8; 8] {
        text.parse::<ExtendedCommunity>().expect(text).0
    }

    /// RFC 4360 §3.1, §3.2, §4, §5; RFC 5668 §2.
    #[test]
    fn the_octets_of_what_is_written() {
        let table = [
            ("rt:65010:100", [0x00, 0x02, 0xFD, 0xF2, 0, 0, 0, 100]),
            ("soo:65010:4294967295", [0x00, 0x03, 0xFD, 0xF2, 0xFF, 0xFF, 0xFF, 0xFF]),
            ("rt:192.0.2.1:100", [0x01, 0x02, 192, 0, 2, 1, 0, 100]),
            ("soo:192.0.2.1:5", [0x01, 0x03, 192, 0, 2, 1, 0, 5]),
            ("rt:4200000000:1", [0x02, 0x02, 0xFA, 0x56, 0xEA, 0x00, 0, 1]),
            ("soo:65536:65535", [0x02, 0x03, 0, 1, 0, 0, 0xFF, 0xFF]),
            ("0x030c000000000001", [0x03, 0x0C, 0, 0, 0, 0, 0, 1]),
            ("0x0202000000010002", [0x02, 0x02, 0, 0, 0, 1, 0, 2]),
        ];
        for (text, expected) in table {
            assert_eq!(octets(text), expected, "{text}");
            assert_eq!(ExtendedCommunity(expected).to_string(), text, "and back");
        }
        assert_eq!(octets("0x4304ABCDEF012345"), [0x43, 0x04, 0xAB, 0xCD, 0xEF, 0x01, 0x23, 0x45]);
    }

    #[test]
    fn what_is_no_extended_community() {
        let unknown = |text: &str| matches!(text.parse::<ExtendedCommunity>(), Err(BadExtendedCommunity::Unknown(_)));
        let bad = [
            "",
            "rt",
            "rt:1",
            "rt:1:2:3",
            "ro:1:2",
            "RT:1:2",
            "rt::1",
            "rt:1:",
            "rt:-1:2",
            "rt:1:+2",
            "rt:4294967296:1",
            "rt:1:4294967296",
            "rt:2001:db8::1:5",
            "rt:192.0.2:5",
            "0x",
            "0x1",
            "0x030c00000000000",
            "0x030c0000000000010",
            "0x+30c000000000001",
            "030c000000000001",
            "65010:100",
        ];
        for text in bad {
            assert!(unknown(text), "{text}");
        }
        for text in ["rt:192.0.2.1:65536", "soo:65536:65536"] {
            let error = text.parse::<ExtendedCommunity>().expect_err(text);
            assert_eq!(error, BadExtendedCommunity::TooLong(text.to_owned()));
        }
    }

    /// RFC 10005 §2: octets in a second, as an IEEE float, and our AS number in two octets.
    #[test]
    fn the_octets_of_a_bandwidth() {
        let table = [
            ("10Gbps", true, 65010, [0x00, 0x04, 0xFD, 0xF2, 0x4E, 0x95, 0x02, 0xF9], "link-bandwidth:65010:10Gbps"),
            (
                "8bps",
                false,
                65010,
                [0x40, 0x04, 0xFD, 0xF2, 0x3F, 0x80, 0, 0],
                "link-bandwidth-non-transitive:65010:8bps",
            ),
            ("400Gbps", true, 1, [0x00, 0x04, 0, 1, 0x51, 0x3A, 0x43, 0xB7], "link-bandwidth:1:400Gbps"),
            ("1Mbps", true, 4_200_000_000, [0x00, 0x04, 0x5B, 0xA0, 0x47, 0xF4, 0x24, 0], "link-bandwidth:23456:1Mbps"),
        ];
        for (rate, transitive, asn, octets, words) in table {
            let bandwidth = LinkBandwidth { rate: rate.parse().expect(rate), transitive };
            let community = ExtendedCommunity::link_bandwidth(bandwidth, Asn::new(asn).expect("not 0"));
            assert_eq!((community.0, community.to_string().as_str()), (octets, words));
        }
        let odd = ExtendedCommunity([0, 4, 0, 1, 0x7F, 0xC0, 0, 0]).to_string();
        assert_eq!(odd, "link-bandwidth:1:NaNbps", "whatever somebody wrote in octets can be shown");
    }

    proptest! {
        #[test]
        fn whatever_is_shown_can_be_written(octets: [u8; 8], known in 0u8..8) {
            // Half of them of the kinds that have names.
            let kinds = [[0x00, 2], [0x00, 3], [0x01, 2], [0x02, 3]];
            let octets = match kinds.get(usize::from(known)) {
                Some([kind, sub]) => [*kind, *sub, octets[2], octets[3], octets[4], octets[5], octets[6], octets[7]],
                None => octets,
            };
            let shown = ExtendedCommunity(octets).to_string();
            prop_assert!(shown.starts_with("link-bandwidth") || shown.parse() == Ok(ExtendedCommunity(octets)), "{}", shown);
        }

        #[test]
        fn no_text_panics(text in "[a-z0-9:.x]{0,20}", rate in "[0-9.]{0,20}[kMGT]?bps") {
            let _ = text.parse::<ExtendedCommunity>();
            if let Ok(rate) = rate.parse::<BitRate>() {
                prop_assert!(rate.octets_per_second().is_finite() && rate.octets_per_second() > 0.0);
            }
        }
    }

    #[test]
    fn rates_have_a_unit() {
        let bits = |text: &str| text.parse::<BitRate>().map(|rate| rate.0).ok();
        let table = [
            ("1bps", 1),
            ("9.6kbps", 9600),
            ("1.5kbps", 1500),
            ("100Mbps", 100_000_000),
            ("2.5Gbps", 2_500_000_000),
            ("25.6Tbps", 25_600_000_000_000),
        ];
        for (text, expected) in table {
            assert_eq!(bits(text), Some(expected), "{text}");
            assert_eq!(BitRate(expected).to_string(), text, "and back");
        }
        let bad = [
            "",
            "10",
            "0Gbps",
            "0.1bps",
            "Gbps",
            "-1Gbps",
            "1e9bps",
            ".5Gbps",
            "5.Gbps",
            "10 Gbps",
            "10gbps",
            "10GB",
            "infbps",
            "1.2.3Gbps",
            "1000001Tbps",
            "9999999999999999Tbps",
        ];
        for text in bad {
            assert_eq!(bits(text), None, "{text}");
        }
    }
}
