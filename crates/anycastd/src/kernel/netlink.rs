//! Questions to the kernel and orders, each with a deadline.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::Arc,
    time::Duration,
};

use anycast_bgp::Prefix;
use anycast_core::reconcile::{Failure, Link, Operation, RouteKind, Target};
use futures_util::StreamExt;
use ipnet::IpNet;
use netlink_packet_core::{
    NLM_F_ACK, NLM_F_CREATE, NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_EXCL, NLM_F_REQUEST, NetlinkMessage, NetlinkPayload,
};
use netlink_packet_route::{
    AddressFamily, RouteNetlinkMessage as Message,
    address::{AddressAttribute, AddressFlags, AddressHeaderFlags, AddressMessage, AddressProtocol, AddressScope},
    link::{LinkAttribute, LinkExtentMask, LinkFlags, LinkMessage},
    route::{RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteProtocol, RouteScope, RouteType},
};
use tokio_util::task::AbortOnDropHandle;

use super::{ANCHOR_METRIC, TAG, words};

/// The kernel answers within a millisecond; what takes this long will never come.
const DEADLINE: Duration = Duration::from_secs(5);
/// How often a list is read again that changed while it was read.
const READINGS: usize = 5;

/// Why the kernel's answer is missing.
#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    #[error("cannot open a netlink socket: {0}")]
    Open(#[source] io::Error),
    #[error("the kernel refuses: {0}")]
    Refused(#[source] io::Error),
    #[error("what the kernel holds kept changing while it was listed")]
    Changing,
    #[error("the kernel did not answer within {} s", DEADLINE.as_secs())]
    Silent,
    #[error("the netlink socket broke: {0}")]
    Broken(#[source] io::Error),
    #[error("the netlink socket was closed")]
    Closed,
}

impl Fault {
    /// Whether the socket is of no more use.
    pub(super) const fn is_final(&self) -> bool {
        match self {
            Self::Open(_) | Self::Silent | Self::Broken(_) | Self::Closed => true,
            Self::Refused(_) | Self::Changing => false,
        }
    }
}

/// An address as the kernel lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RawAddress {
    pub(super) address: IpAddr,
    /// With the length of its prefix.
    pub(super) network: IpNet,
    pub(super) index: u32,
    pub(super) tag: Option<u8>,
    pub(super) usable: bool,
    /// Deprecated, or made to be replaced soon.
    pub(super) passing: bool,
}

impl RawAddress {
    /// /32 or /128.
    pub(super) fn is_host(&self) -> bool {
        self.network.prefix_len() == self.network.max_prefix_len()
    }
}

/// All that matters of what the kernel holds.
#[derive(Debug, Default)]
pub(super) struct Raw {
    pub(super) links: BTreeMap<Arc<str>, Link>,
    /// The interfaces that carry packets: set up, with a carrier.
    pub(super) running: BTreeSet<u32>,
    pub(super) addresses: Vec<RawAddress>,
    pub(super) anchors: BTreeMap<Prefix, RouteKind>,
}

pub(super) struct Netlink {
    handle: rtnetlink::Handle,
    /// Whether addresses are tagged.
    tags: bool,
    _connection: AbortOnDropHandle<()>,
}

impl Netlink {
    pub(super) fn open(tags: bool) -> Result<Self, Fault> {
        // Strict checking lets the kernel filter routes by protocol (since 4.20); without it we do so ourselves.
        let opened = rtnetlink::new_connection_with_strict_check().or_else(|_| rtnetlink::new_connection());
        let (mut connection, handle, _) = opened.map_err(Fault::Open)?;
        // An answer is over when the kernel says so. That the stream ends may as well mean that the socket broke, and half a
        // list looks as if the other half had been deleted.
        connection.set_forward_ack(true);
        connection.set_forward_done(true);
        Ok(Self { handle, tags, _connection: AbortOnDropHandle::new(tokio::spawn(connection)) })
    }

    /// Lists interfaces, addresses, and the routes of ours.
    pub(super) async fn list(&mut self) -> Result<Raw, Fault> {
        let mut raw = Raw::default();
        let mut by_index = LinkMessage::default();
        by_index.attributes.push(LinkAttribute::ExtMask(vec![LinkExtentMask::SkipStats]));
        // Addresses first: every interface they are on is then in the list of interfaces, unless it has gone.
        let addresses = self.dump(Message::GetAddress(AddressMessage::default())).await?;
        raw.addresses.extend(addresses.into_iter().filter_map(|message| self.address(message)));
        let links = self.dump(Message::GetLink(by_index)).await?;
        raw.running.extend(links.iter().filter_map(running));
        raw.links.extend(links.into_iter().filter_map(link));
        for family in [AddressFamily::Inet, AddressFamily::Inet6] {
            let mut ours = RouteMessage::default();
            ours.header.address_family = family;
            ours.header.table = RouteHeader::RT_TABLE_MAIN;
            ours.header.protocol = RouteProtocol::Other(TAG);
            raw.anchors.extend(self.dump(Message::GetRoute(ours)).await?.into_iter().filter_map(anchor));
        }
        Ok(raw)
    }

    /// Performs an operation; `link` is the interface of an address. `Err` is a fault of the socket.
    pub(super) async fn perform(
        &mut self,
        operation: &Operation,
        link: Option<Link>,
    ) -> Result<Result<(), Failure>, Fault> {
        let index = link.map_or(0, |link| link.index);
        let (message, flags) = match (operation, operation.target()) {
            (Operation::Add(_), Target::Address { address, .. }) => {
                (Message::NewAddress(self.address_to_add(*address, index)), NLM_F_CREATE | NLM_F_EXCL)
            }
            (Operation::Delete(_), Target::Address { address, .. }) => {
                (Message::DelAddress(address_message(*address, index)), 0)
            }
            // Never NLM_F_REPLACE: it takes over what is somebody else's.
            (Operation::Add(_), Target::Anchor { prefix, kind }) => {
                (Message::NewRoute(route_message(*prefix, *kind)), NLM_F_CREATE | NLM_F_EXCL)
            }
            (Operation::Delete(_), Target::Anchor { prefix, kind }) => {
                (Message::DelRoute(route_message(*prefix, *kind)), 0)
            }
        };
        match self.exchange(message, NLM_F_ACK | flags).await {
            Ok(_) => Ok(Ok(())),
            Err(Fault::Refused(error)) => Ok(Err(words::failure(operation, &error))),
            Err(fault) => Err(fault),
        }
    }

    /// A whole list, read again when it changed meanwhile: entries may be missing from such a one.
    async fn dump(&mut self, question: Message) -> Result<Vec<Message>, Fault> {
        for _ in 0..READINGS {
            let (answer, consistent) = self.exchange(question.clone(), NLM_F_DUMP).await?;
            if consistent {
                return Ok(answer);
            }
        }
        Err(Fault::Changing)
    }

    /// One question or order, and the whole answer; whether it is of one piece.
    async fn exchange(&mut self, message: Message, flags: u16) -> Result<(Vec<Message>, bool), Fault> {
        #[cfg(debug_assertions)]
        if let Some(error) = crate::faults::netlink() {
            return Err(Fault::Refused(error));
        }
        let mut request = NetlinkMessage::from(message);
        request.header.flags = NLM_F_REQUEST | flags;
        let mut answer = self.handle.request(request).map_err(|_| Fault::Closed)?;
        let whole = async {
            let (mut parts, mut consistent) = (Vec::new(), true);
            while let Some(part) = answer.next().await {
                consistent &= part.header.flags & NLM_F_DUMP_INTR == 0;
                match part.payload {
                    NetlinkPayload::InnerMessage(inner) => parts.push(inner),
                    NetlinkPayload::Error(error) => {
                        let refused = error.code.map(|code| Fault::Refused(errno(code.get())));
                        return refused.map_or(Ok((parts, consistent)), Err);
                    }
                    NetlinkPayload::Done(done) if done.code < 0 => return Err(Fault::Refused(errno(done.code))),
                    NetlinkPayload::Done(_) => return Ok((parts, consistent)),
                    // An overrun of this socket loses an answer, not an event: the deadline sees to it.
                    _ => {}
                }
            }
            Err(Fault::Closed)
        };
        tokio::time::timeout(DEADLINE, whole).await.unwrap_or(Err(Fault::Silent))
    }

    fn address(&self, message: Message) -> Option<RawAddress> {
        let Message::NewAddress(AddressMessage { header, attributes, .. }) = message else { return None };
        let (mut local, mut remote, mut tag) = (None, None, None);
        let mut flags = AddressFlags::from_bits_retain(u32::from(header.flags.bits()));
        for attribute in attributes {
            match attribute {
                AddressAttribute::Local(address) => local = Some(address),
                AddressAttribute::Address(address) => remote = Some(address),
                AddressAttribute::Flags(all) => flags = all,
                AddressAttribute::Protocol(protocol) if self.tags => tag = Some(u8::from(protocol)),
                _ => {}
            }
        }
        // IFA_ADDRESS is the far end of a point-to-point address; IPv6 has only that one otherwise.
        let address = local.or(remote)?;
        Some(RawAddress {
            address,
            network: IpNet::new(address, header.prefix_len).ok()?,
            index: header.index,
            tag,
            usable: !flags.intersects(AddressFlags::Tentative | AddressFlags::Dadfailed)
                || flags.contains(AddressFlags::Optimistic),
            // IFA_F_SECONDARY is IFA_F_TEMPORARY of an IPv6 address.
            passing: flags.contains(AddressFlags::Deprecated)
                || address.is_ipv6() && flags.contains(AddressFlags::Secondary),
        })
    }

    fn address_to_add(&self, address: IpAddr, index: u32) -> AddressMessage {
        let mut message = address_message(address, index);
        // Global, as everybody else's: routing daemons and source address selection pass over addresses of a lesser scope.
        message.header.scope = AddressScope::Universe;
        if address.is_ipv6() {
            // Nobody else on this interface can have it, and what is tentative does not answer. No route of the prefix:
            // the table `local` has all that it takes.
            message.header.flags = AddressHeaderFlags::Nodad;
            message.attributes.push(AddressAttribute::Flags(AddressFlags::Nodad | AddressFlags::Noprefixroute));
        }
        if self.tags {
            message.attributes.push(AddressAttribute::Protocol(AddressProtocol::Other(TAG)));
        }
        message
    }
}

fn errno(code: i32) -> io::Error {
    io::Error::from_raw_os_error(code.saturating_abs())
}

fn address_message(address: IpAddr, index: u32) -> AddressMessage {
    let mut message = AddressMessage::default();
    message.header.family = family(address);
    message.header.prefix_len = IpNet::from(address).max_prefix_len();
    message.header.index = index;
    message.attributes = vec![AddressAttribute::Local(address), AddressAttribute::Address(address)];
    message
}

fn route_message(prefix: Prefix, kind: RouteKind) -> RouteMessage {
    let mut message = RouteMessage::default();
    message.header.address_family = family(prefix.net().addr());
    message.header.destination_prefix_length = prefix.net().prefix_len();
    message.header.table = RouteHeader::RT_TABLE_MAIN;
    message.header.protocol = RouteProtocol::Other(TAG);
    message.header.scope = RouteScope::Universe;
    message.header.kind = match kind {
        RouteKind::Unreachable => RouteType::Unreachable,
        RouteKind::Blackhole => RouteType::BlackHole,
    };
    let destination = RouteAttribute::Destination(prefix.net().addr().into());
    message.attributes = vec![destination, RouteAttribute::Priority(ANCHOR_METRIC)];
    message
}

/// The number of an interface that carries packets.
fn running(message: &Message) -> Option<u32> {
    let Message::NewLink(LinkMessage { header, .. }) = message else { return None };
    header.flags.contains(LinkFlags::Up | LinkFlags::Running).then_some(header.index)
}

fn link(message: Message) -> Option<(Arc<str>, Link)> {
    let Message::NewLink(LinkMessage { header, attributes, .. }) = message else { return None };
    let name = attributes.into_iter().find_map(|attribute| match attribute {
        LinkAttribute::IfName(name) => Some(name),
        _ => None,
    })?;
    Some((name.into(), Link { index: header.index, up: header.flags.contains(LinkFlags::Up) }))
}

/// A route with our mark, kind and metric, in the main table; anything else is not ours, whatever its mark.
fn anchor(message: Message) -> Option<(Prefix, RouteKind)> {
    let Message::NewRoute(RouteMessage { header, attributes, .. }) = message else { return None };
    let kind = match header.kind {
        RouteType::Unreachable => RouteKind::Unreachable,
        RouteType::BlackHole => RouteKind::Blackhole,
        _ => return None,
    };
    let mut destination = match header.address_family {
        AddressFamily::Inet => IpAddr::from(Ipv4Addr::UNSPECIFIED),
        AddressFamily::Inet6 => IpAddr::from(Ipv6Addr::UNSPECIFIED),
        _ => return None,
    };
    let (mut metric, mut table) = (0, u32::from(header.table));
    for attribute in attributes {
        match attribute {
            RouteAttribute::Destination(RouteAddress::Inet(address)) => destination = address.into(),
            RouteAttribute::Destination(RouteAddress::Inet6(address)) => destination = address.into(),
            RouteAttribute::Priority(value) => metric = value,
            RouteAttribute::Table(value) => table = value,
            _ => {}
        }
    }
    let ours = header.protocol == RouteProtocol::Other(TAG)
        && table == u32::from(RouteHeader::RT_TABLE_MAIN)
        && metric == ANCHOR_METRIC;
    let net = IpNet::new(destination, header.destination_prefix_length).ok()?;
    ours.then(|| Prefix::new(net).ok()).flatten().map(|prefix| (prefix, kind))
}

const fn family(address: IpAddr) -> AddressFamily {
    match address {
        IpAddr::V4(_) => AddressFamily::Inet,
        IpAddr::V6(_) => AddressFamily::Inet6,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A connection that takes questions and, when told so, breaks.
    fn unanswering(breaks: impl Future<Output = ()> + Send + 'static) -> Netlink {
        let (connection, handle, _) = rtnetlink::new_connection().unwrap();
        let task = tokio::spawn(async move {
            breaks.await;
            drop(connection);
        });
        Netlink { handle, tags: true, _connection: AbortOnDropHandle::new(task) }
    }

    #[tokio::test(start_paused = true)]
    async fn a_question_that_is_not_answered_has_an_end() {
        let mut netlink = unanswering(std::future::pending());
        let fault = netlink.list().await.unwrap_err();
        assert!(matches!(fault, Fault::Silent) && fault.is_final(), "{fault}");
    }

    #[tokio::test]
    async fn an_answer_that_breaks_off_is_none() {
        let (give_up, given_up) = tokio::sync::oneshot::channel::<()>();
        let mut netlink = unanswering(async { drop(given_up.await) });
        let broken = async {
            tokio::task::yield_now().await;
            drop(give_up);
        };
        let (listed, ()) = tokio::join!(netlink.list(), broken);
        let fault = listed.expect_err("an empty list would say that everything is gone");
        assert!(matches!(fault, Fault::Closed) && fault.is_final(), "{fault}");
        assert!(matches!(netlink.list().await, Err(Fault::Closed)), "and so is the next");
    }
}
