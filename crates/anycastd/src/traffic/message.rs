//! What the kernel's packet filter is told, and what it says (linux/netfilter/nfnetlink.h, linux/netfilter/nf_tables.h), byte by byte.
//! Nothing here asks or waits.

use std::net::IpAddr;

use netlink_packet_core::{NLA_F_NESTED, NetlinkBuffer};

use super::Received;

/// The table, of family inet, that has all of it.
const TABLE: &str = "anycastd";
const CHAIN: &str = "received";

/// `struct nlmsghdr`, and `struct nfgenmsg` behind it.
const HEADER: usize = 16;
const FAMILY: usize = 4;

const BATCH_BEGIN: u16 = 0x10;
const BATCH_END: u16 = 0x11;
const SUBSYSTEM: u16 = 10;
/// Kinds of messages of nf_tables.
const NEW_TABLE: u16 = SUBSYSTEM << 8;
const GET_TABLE: u16 = NEW_TABLE + 1;
const DELETE_TABLE: u16 = NEW_TABLE + 2;
const NEW_CHAIN: u16 = NEW_TABLE + 3;
const NEW_RULE: u16 = NEW_TABLE + 6;
const GET_RULES: u16 = NEW_TABLE + 7;
const NEW_SET: u16 = NEW_TABLE + 9;
const NEW_ELEMENT: u16 = NEW_TABLE + 12;
const GET_ELEMENTS: u16 = NEW_TABLE + 13;
const DELETE_ELEMENT: u16 = NEW_TABLE + 14;

/// NFPROTO_INET.
const INET: u8 = 1;
/// NF_INET_PRE_ROUTING: before an address is translated to that of a container.
const PREROUTING: u32 = 0;
/// That of `raw`: before anything is dropped by the rules that most write.
const PRIORITY: i32 = -300;
/// NF_ACCEPT.
const ACCEPT: u32 = 1;
/// NFT_RETURN: none of the rules that follow.
const RETURN: i32 = -5;
/// NFT_REG_1, which takes any value.
const REGISTER: u32 = 1;
const META_INTERFACE_TYPE: u32 = 8;
const META_PROTOCOL: u32 = 15;
const META_INTERFACE_KIND: u32 = 26;
const NETWORK_HEADER: u32 = 1;

/// Attributes, by what they belong to (NFTA_TABLE_NAME and so on).
const TABLE_NAME: u16 = 1;
const TABLE_FLAGS: u16 = 2;
const SET_TABLE: u16 = 1;
const SET_NAME: u16 = 2;
const SET_FLAGS: u16 = 3;
const SET_KEY_TYPE: u16 = 4;
const SET_KEY_LENGTH: u16 = 5;
const SET_ID: u16 = 10;
const SET_EXPRESSION: u16 = 17;
const CHAIN_TABLE: u16 = 1;
const CHAIN_NAME: u16 = 3;
const CHAIN_HOOK: u16 = 4;
const CHAIN_POLICY: u16 = 5;
const CHAIN_TYPE: u16 = 7;
const HOOK_NUMBER: u16 = 1;
const HOOK_PRIORITY: u16 = 2;
const RULE_TABLE: u16 = 1;
const RULE_CHAIN: u16 = 2;
const RULE_EXPRESSIONS: u16 = 4;
const ELEMENTS_TABLE: u16 = 1;
const ELEMENTS_SET: u16 = 2;
const ELEMENTS_LIST: u16 = 3;
const ELEMENT_KEY: u16 = 1;
const ELEMENT_EXPRESSION: u16 = 7;
const COUNTER_BYTES: u16 = 1;
const COUNTER_PACKETS: u16 = 2;
/// An entry of any list.
const ENTRY: u16 = 1;
const EXPRESSION_NAME: u16 = 1;
const EXPRESSION_DATA: u16 = 2;
const DATA_VALUE: u16 = 1;
const DATA_VERDICT: u16 = 2;
const VERDICT_CODE: u16 = 1;

/// NFT_TABLE_F_DORMANT: none of its chains sees a packet.
const DORMANT: u32 = 1;
/// That of [`Batch::create`].
pub(super) const RULES: usize = 4;

/// No list of elements is longer than that: an attribute has at most 65535 octets.
const ELEMENTS: usize = 1000;

/// A set of addresses of one family, each with its counter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Set {
    V4,
    V6,
}

impl Set {
    pub(super) const ALL: [Self; 2] = [Self::V4, Self::V6];

    pub(super) const fn of(address: &IpAddr) -> Self {
        if address.is_ipv4() { Self::V4 } else { Self::V6 }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::V4 => "received_v4",
            Self::V6 => "received_v6",
        }
    }

    /// What nft(8) calls the keys (`ipv4_addr`, `ipv6_addr`), their length, where in the header the destination is, and NFPROTO_*.
    const fn layout(self) -> (u32, u32, u32, u8) {
        match self {
            Self::V4 => (7, 4, 16, 2),
            Self::V6 => (8, 16, 24, 10),
        }
    }
}

/// Messages that are carried out together, or not at all.
#[derive(Debug)]
pub(super) struct Batch {
    bytes: Vec<u8>,
    sequence: u32,
}

impl Batch {
    pub(super) fn new() -> Self {
        let begin = message(BATCH_BEGIN, 0, 0, 0, SUBSYSTEM, &[]);
        Self { bytes: begin, sequence: 0 }
    }

    /// The octets, and the number of the message whose acknowledgement says that all is done.
    pub(super) fn finish(mut self) -> (Vec<u8>, u32) {
        self.bytes.extend(message(BATCH_END, 0, self.sequence + 1, 0, SUBSYSTEM, &[]));
        (self.bytes, self.sequence)
    }

    fn add(&mut self, kind: u16, flags: i32, parts: &[Vec<u8>]) {
        self.sequence += 1;
        self.bytes.extend(message(kind, flags | libc::NLM_F_ACK, self.sequence, INET, 0, &parts.concat()));
    }

    /// The table with its sets and rules, and no address in it.
    pub(super) fn create(&mut self) {
        self.add(NEW_TABLE, libc::NLM_F_CREATE, &[text(TABLE_NAME, TABLE)]);
        for set in Set::ALL {
            let (kind, length, ..) = set.layout();
            let counter = nested(SET_EXPRESSION, &[text(EXPRESSION_NAME, "counter"), nested(EXPRESSION_DATA, &[])]);
            let parts = [
                text(SET_TABLE, TABLE),
                text(SET_NAME, set.name()),
                number(SET_FLAGS, 0),
                number(SET_KEY_TYPE, kind),
                number(SET_KEY_LENGTH, length),
                number(SET_ID, set as u32 + 1),
                counter,
            ];
            self.add(NEW_SET, libc::NLM_F_CREATE, &parts);
        }
        let hook = [number(HOOK_NUMBER, PREROUTING), number(HOOK_PRIORITY, PRIORITY.cast_unsigned())];
        let parts = [
            text(CHAIN_TABLE, TABLE),
            text(CHAIN_NAME, CHAIN),
            nested(CHAIN_HOOK, &hook),
            number(CHAIN_POLICY, ACCEPT),
            text(CHAIN_TYPE, "filter"),
        ];
        self.add(NEW_CHAIN, libc::NLM_F_CREATE, &parts);
        // What this node sends to itself is no traffic of clients: the checks do so.
        let loopback = [meta(META_INTERFACE_TYPE), equals(&libc::ARPHRD_LOOPBACK.to_ne_bytes()), leave()];
        // A VRF shows each packet once more. Interfaces that are of no kind go on to the next rule.
        let vrf = [meta(META_INTERFACE_KIND), equals(b"vrf\0\0\0\0\0\0\0\0\0\0\0\0\0"), leave()];
        self.rule(&loopback);
        self.rule(&vrf);
        for set in Set::ALL {
            let (_, length, offset, protocol) = set.layout();
            self.rule(&[meta(META_PROTOCOL), equals(&[protocol]), destination(offset, length), lookup(set.name())]);
        }
    }

    fn rule(&mut self, expressions: &[Vec<u8>]) {
        let parts = [text(RULE_TABLE, TABLE), text(RULE_CHAIN, CHAIN), nested(RULE_EXPRESSIONS, expressions)];
        self.add(NEW_RULE, libc::NLM_F_CREATE | libc::NLM_F_APPEND, &parts);
    }

    /// Counts what comes for these from now on.
    pub(super) fn insert<'a>(&mut self, addresses: impl IntoIterator<Item = &'a IpAddr>) {
        self.elements(NEW_ELEMENT, libc::NLM_F_CREATE, addresses);
    }

    /// Forgets these.
    pub(super) fn remove<'a>(&mut self, addresses: impl IntoIterator<Item = &'a IpAddr>) {
        self.elements(DELETE_ELEMENT, 0, addresses);
    }

    fn elements<'a>(&mut self, kind: u16, flags: i32, addresses: impl IntoIterator<Item = &'a IpAddr>) {
        let all: Vec<&IpAddr> = addresses.into_iter().collect();
        for set in Set::ALL {
            let of_set: Vec<Vec<u8>> =
                all.iter().filter(|address| Set::of(address) == set).map(|address| element(address)).collect();
            for some in of_set.chunks(ELEMENTS) {
                let parts = [text(ELEMENTS_TABLE, TABLE), text(ELEMENTS_SET, set.name()), nested(ELEMENTS_LIST, some)];
                self.add(kind, flags, &parts);
            }
        }
    }

    /// The table goes, with all that is in it.
    pub(super) fn delete(&mut self) {
        self.add(DELETE_TABLE, 0, &[text(TABLE_NAME, TABLE)]);
    }
}

/// The question what is in a set.
pub(super) fn question(set: Set) -> Vec<u8> {
    let parts = [text(ELEMENTS_TABLE, TABLE), text(ELEMENTS_SET, set.name())];
    message(GET_ELEMENTS, libc::NLM_F_DUMP, 1, INET, 0, &parts.concat())
}

/// The question which rules the chain has: a message for each.
pub(super) fn question_of_rules() -> Vec<u8> {
    let parts = [text(RULE_TABLE, TABLE), text(RULE_CHAIN, CHAIN)];
    message(GET_RULES, libc::NLM_F_DUMP, 1, INET, 0, &parts.concat())
}

/// The question what the table is, and the number of the message that is acknowledged.
pub(super) fn question_of_table() -> (Vec<u8>, u32) {
    (message(GET_TABLE, libc::NLM_F_ACK, 1, INET, 0, &text(TABLE_NAME, TABLE)), 1)
}

/// Whether a table that the kernel tells of does nothing.
pub(super) fn is_dormant(body: &[u8]) -> bool {
    let flags = body.get(FAMILY..).and_then(|attributes| find(attributes, TABLE_FLAGS)?.try_into().ok());
    flags.is_some_and(|flags| u32::from_be_bytes(flags) & DORMANT != 0)
}

fn element(address: &IpAddr) -> Vec<u8> {
    let octets = match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    };
    nested(ENTRY, &[nested(ELEMENT_KEY, &[attribute(DATA_VALUE, &octets)])])
}

/// What is in a set, as far as one message tells of it.
pub(super) fn counts(body: &[u8]) -> Vec<(IpAddr, Received)> {
    let list = body.get(FAMILY..).and_then(|attributes| find(attributes, ELEMENTS_LIST)).unwrap_or_default();
    attributes(list).filter_map(|(_, element)| counted(element)).collect()
}

fn counted(element: &[u8]) -> Option<(IpAddr, Received)> {
    let key = find(find(element, ELEMENT_KEY)?, DATA_VALUE)?;
    let address = match key.len() {
        4 => IpAddr::from(<[u8; 4]>::try_from(key).ok()?),
        16 => IpAddr::from(<[u8; 16]>::try_from(key).ok()?),
        _ => return None,
    };
    let counter = find(find(element, ELEMENT_EXPRESSION)?, EXPRESSION_DATA)?;
    let wide = |kind| Some(u64::from_be_bytes(find(counter, kind)?.try_into().ok()?));
    Some((address, Received { bytes: wide(COUNTER_BYTES)?, packets: wide(COUNTER_PACKETS)? }))
}

/// Every message of a datagram; what cannot be read is passed over.
pub(super) fn messages(datagram: &[u8]) -> impl Iterator<Item = NetlinkBuffer<&[u8]>> {
    let mut rest = datagram;
    std::iter::from_fn(move || {
        let message = NetlinkBuffer::new_checked(rest).ok()?;
        rest = rest.get((message.length() as usize).next_multiple_of(4)..).unwrap_or_default();
        Some(message)
    })
}

fn attributes(bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let kind = u16::from_ne_bytes(rest.get(2..4)?.try_into().ok()?) & !NLA_F_NESTED;
        let length = usize::from(u16::from_ne_bytes(rest.get(..2)?.try_into().ok()?));
        let value = rest.get(4..length)?;
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, value))
    })
}

fn find(bytes: &[u8], kind: u16) -> Option<&[u8]> {
    attributes(bytes).find(|(other, _)| *other == kind).map(|(_, value)| value)
}

fn message(kind: u16, flags: i32, sequence: u32, family: u8, resource: u16, attributes: &[u8]) -> Vec<u8> {
    let length = (HEADER + FAMILY + attributes.len()) as u32;
    let flags = (flags | libc::NLM_F_REQUEST) as u16;
    let mut bytes = length.to_ne_bytes().to_vec();
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(flags.to_ne_bytes());
    bytes.extend(sequence.to_ne_bytes());
    bytes.extend([0; 4]);
    // `struct nfgenmsg`: the family, version 0, and for whom.
    bytes.extend([family, 0]);
    bytes.extend(resource.to_be_bytes());
    bytes.extend(attributes);
    bytes
}

/// `struct nlattr`, with its value.
fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let length = (4 + value.len()) as u16;
    let mut bytes = length.to_ne_bytes().to_vec();
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(value);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

fn nested(kind: u16, parts: &[Vec<u8>]) -> Vec<u8> {
    attribute(kind | NLA_F_NESTED, &parts.concat())
}

fn text(kind: u16, text: &str) -> Vec<u8> {
    attribute(kind, &[text.as_bytes(), &[0]].concat())
}

fn number(kind: u16, value: u32) -> Vec<u8> {
    attribute(kind, &value.to_be_bytes())
}

fn expression(name: &str, data: &[Vec<u8>]) -> Vec<u8> {
    nested(ENTRY, &[text(EXPRESSION_NAME, name), nested(EXPRESSION_DATA, data)])
}

/// Loads what is known of the packet besides its octets (NFTA_META_KEY, NFTA_META_DREG).
fn meta(key: u32) -> Vec<u8> {
    expression("meta", &[number(2, key), number(1, REGISTER)])
}

/// Goes on only where that was loaded (NFTA_CMP_SREG, NFTA_CMP_OP: NFT_CMP_EQ, NFTA_CMP_DATA).
fn equals(value: &[u8]) -> Vec<u8> {
    expression("cmp", &[number(1, REGISTER), number(2, 0), nested(3, &[attribute(DATA_VALUE, value)])])
}

/// Loads the address that the packet is for (NFTA_PAYLOAD_DREG, _BASE, _OFFSET, _LEN).
fn destination(offset: u32, length: u32) -> Vec<u8> {
    let parts = [number(1, REGISTER), number(2, NETWORK_HEADER), number(3, offset), number(4, length)];
    expression("payload", &parts)
}

/// Counts at the element that was loaded (NFTA_LOOKUP_SET, NFTA_LOOKUP_SREG).
fn lookup(set: &str) -> Vec<u8> {
    expression("lookup", &[text(1, set), number(2, REGISTER)])
}

/// Looks at no further rule (NFTA_IMMEDIATE_DREG: NFT_REG_VERDICT, NFTA_IMMEDIATE_DATA).
fn leave() -> Vec<u8> {
    let verdict = nested(DATA_VERDICT, &[number(VERDICT_CODE, RETURN.cast_unsigned())]);
    expression("immediate", &[number(1, 0), nested(2, &[verdict])])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_the_kernel_tells_of_an_element_is_read() {
        let counter = |packets: u64, bytes: u64| {
            let data = [attribute(1, &bytes.to_be_bytes()), attribute(2, &packets.to_be_bytes())];
            nested(7, &[text(1, "counter"), nested(2, &data)])
        };
        let element =
            |octets: &[u8], packets, bytes| nested(1, &[nested(1, &[attribute(1, octets)]), counter(packets, bytes)]);
        let six = [0x20, 1, 0xd, 0xb8, 0, 0x53, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x80];
        let list = nested(3, &[element(&[203, 0, 113, 80], 5, 420), element(&six, 1, 104), element(&[1, 2], 9, 9)]);
        let body = [vec![INET, 0, 0, 0], text(1, TABLE), text(2, "received_v4"), list].concat();
        let expected = [
            ("203.0.113.80".parse().unwrap(), Received { packets: 5, bytes: 420 }),
            ("2001:db8:53::80".parse().unwrap(), Received { packets: 1, bytes: 104 }),
        ];
        assert_eq!(counts(&body), expected, "a key that is no address is passed over");
    }

    proptest! {
        /// Whatever comes, in whatever pieces.
        #[test]
        fn nothing_that_comes_is_a_fault(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = (counts(&bytes), is_dormant(&bytes));
            prop_assert!(messages(&bytes).count() <= bytes.len());
        }
    }
}
