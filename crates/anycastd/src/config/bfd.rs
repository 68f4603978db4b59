//! `bfd`: a dead path to a neighbor is noticed in a fraction of the hold time (RFC 5880 to 5883).

use std::{num::NonZeroU8, time::Duration};

use anycast_bfd::{AuthType, Key};
use anycast_bgp::{Asn, HoldTime, PeerAs};
use anycast_core::config::{Bfd, BfdAuthentication, Distance, Endpoint, Neighbor, OnExit};

use super::{
    diagnostic::Report,
    neighbors::Draft,
    reader::{Listed, Section},
    secrets::{self, Most},
    settings::Host,
    source::Span,
    values::{choice, duration, in_words, number, truth},
    yaml::{Kind, Node},
};

/// Below this nothing is promised.
const SHORTEST: Duration = Duration::from_millis(10);
/// What is rarer than this is of no use beside a hold timer.
const LONGEST: Duration = Duration::from_secs(60);
/// Below this a thread among others is too late too often: it needs to be ahead of them.
pub(crate) const NEEDS_REAL_TIME: Duration = Duration::from_millis(50);
/// The number of the key where none is configured.
const KEY_ID: u8 = 1;

const EXAMPLE: &str = "`bfd: { interval: 300ms, multiplier: 3 }`";

/// Where it is written, for what is said of it together with the rest.
#[derive(Debug, Clone, Copy)]
pub(super) struct Places {
    /// The interval, else the key `bfd`.
    pub(super) interval: Span,
    multihop: Option<Span>,
    min_ttl: Option<Span>,
}

/// What was read, with its places; the inner `None`: no BFD.
pub(super) type Read = Option<Option<(Places, Bfd)>>;

/// `bfd`: `true`, `false` or a mapping.
pub(super) fn read(
    section: &mut Section<'_>,
    endpoint: Option<&Endpoint>,
    hold_time: Option<HoldTime>,
    host: &Host,
    report: &mut Report<'_>,
) -> Read {
    let Some(at) = section.has("bfd") else { return Some(None) };
    let node = section.take("bfd", report)?;
    if !matches!(node.kind, Kind::Map(_)) {
        let places = Places { interval: at, multihop: None, min_ttl: None };
        return on_or_off(node, report).map(|on| on.then(|| (places, Bfd::default())));
    }
    let mut section = section.inner("bfd", EXAMPLE, report)?;
    let places = Places {
        interval: section.has("interval").unwrap_or(at),
        multihop: section.has("multihop"),
        min_ttl: section.has("min_ttl"),
    };
    let interval = section.or("interval", Bfd::INTERVAL, report, interval);
    let multiplier = section.or("multiplier", Bfd::MULTIPLIER, report, |node, report| {
        let multiplier = octet(node, "multiplier", report)?;
        if multiplier == NonZeroU8::MIN {
            let message = "`multiplier: 1`: a single lost packet ends the session, and the routes go with it";
            report.warning(node.span, message, "write 3, as is usual: what is lost now and then is then no loss");
        }
        Some(multiplier)
    });
    let strict_at = section.has("strict");
    let strict = section.or("strict", false, report, |node, report| truth(node, "strict", report));
    let multihop = section.maybe("multihop", report, |node, report| truth(node, "multihop", report));
    let min_ttl = section.maybe("min_ttl", report, |node, report| octet(node, "min_ttl", report));
    let authentication = authentication(&mut section, host, report);
    section.close(report);

    if let (Some(Endpoint::Network(..)), Some(true), Some(span)) = (endpoint, strict, strict_at) {
        let hint = "remove it: who of a `prefix` there is, is known when it connects, and its BFD session begins then";
        report.error(span, "`strict` with `prefix`", hint);
        return None;
    }
    let bfd = Bfd {
        interval: interval?,
        multiplier: multiplier?,
        strict: strict?,
        multihop: multihop?,
        min_ttl: min_ttl?,
        authentication: authentication?,
    };
    beside_the_hold_timer(&bfd, hold_time, places.interval, report);
    Some(Some((places, bfd)))
}

/// `none` is what the key is called where it is left out.
fn on_or_off(node: &Node, report: &mut Report<'_>) -> Option<bool> {
    match &node.kind {
        Kind::Scalar { text, plain: true } if text == "none" => Some(false),
        Kind::Scalar { text, .. } if matches!(text.as_str(), "true" | "false") => truth(node, "bfd", report),
        _ => {
            report.error(node.span, "`bfd` must be keys of its own, or true or false", format!("write {EXAMPLE}"));
            None
        }
    }
}

fn octet(node: &Node, key: &str, report: &mut Report<'_>) -> Option<NonZeroU8> {
    u8::try_from(number(node, key, 1..=u8::MAX.into(), report)?).ok().and_then(NonZeroU8::new)
}

fn interval(node: &Node, report: &mut Report<'_>) -> Option<Duration> {
    let time = duration(node, "interval", Duration::ZERO..=Duration::MAX, report)?;
    if time > LONGEST {
        let message = format!("`interval` of {} is longer than {}", in_words(time), in_words(LONGEST));
        report.error(node.span, message, "write a time from 10ms to 1m; 300ms is usual");
        return None;
    }
    if time < SHORTEST {
        let message = format!("`interval` of {} is shorter than 10ms", in_words(time));
        let hint = "a packet that is late by as much is nothing special on a machine that does other things: write 10ms or more; \
                    with `interval: 50ms` and `multiplier: 3` a dead path is noticed in 150 ms";
        report.error(node.span, message, hint);
        return None;
    }
    // The wire has microseconds.
    Some(Duration::from_micros(u64::try_from(time.as_micros()).ok()?))
}

/// What is no faster than the hold timer is for nothing.
fn beside_the_hold_timer(bfd: &Bfd, hold_time: Option<HoldTime>, at: Span, report: &mut Report<'_>) {
    let detection = bfd.interval * u32::from(bfd.multiplier.get());
    if let Some(hold) = hold_time.and_then(HoldTime::duration).filter(|hold| detection >= *hold) {
        let (detection, hold) = (in_words(detection), in_words(hold));
        let message = format!("BFD notices a dead path after {detection}, and the hold timer after {hold}");
        report.warning(
            at,
            message,
            "write a shorter `interval` or a smaller `multiplier`: it is to be the first to notice",
        );
    }
}

/// `authentication`. The inner `None`: left out.
fn authentication(
    section: &mut Section<'_>,
    host: &Host,
    report: &mut Report<'_>,
) -> Option<Option<BfdAuthentication>> {
    const EXAMPLE: &str =
        "`authentication: { type: meticulous-keyed-sha1, key_id: 1, password_file: /etc/anycastd/leaf1.bfd }`";
    let types = AuthType::ALL.map(|auth_type| (auth_type.name(), auth_type));
    if section.has("authentication").is_none() {
        return Some(None);
    }
    let mut section = section.inner("authentication", EXAMPLE, report)?;
    let at = section.span;
    let known = "write `simple`, `keyed-md5`, `meticulous-keyed-md5`, `keyed-sha1` or `meticulous-keyed-sha1`, as the router has it";
    let type_at = section.has("type");
    let auth_type = section.require("type", known, report).and_then(|node| choice(node, "type", &types, report));
    let key_id = section.or("key_id", KEY_ID, report, |node, report| {
        u8::try_from(number(node, "key_id", 0..=u8::MAX.into(), report)?).ok()
    });
    let any_key = section.has("password_file").or(section.has("credential")).is_some();
    let longest = auth_type.map_or(AuthType::KeyedSha1.longest(), AuthType::longest);
    let key = secrets::password(&mut section, Most { octets: longest, says: "RFC 5880 §4.2 to §4.4" }, host, report);
    section.close(report);
    if !any_key {
        report.error(at, "`authentication` without a key", format!("write {EXAMPLE}, or a `credential`"));
        return None;
    }
    if let (Some(AuthType::Simple), Some(span)) = (auth_type, type_at) {
        let message = "`type: simple` sends the password with every packet: who sees one has it";
        report.warning(
            span,
            message,
            "write `type: meticulous-keyed-sha1`, and at the router too, with another password",
        );
    }
    // Where only the file is checked, a credential may be missing.
    let (auth_type, key_id, Some(key)) = (auth_type?, key_id?, key?) else { return Some(None) };
    if let Err(bad) = Key::new(auth_type, key_id, key.expose()) {
        report.error(at, bad.to_string(), "write another into the file, and at the router");
        return None;
    }
    Some(Some(BfdAuthentication { auth_type, key_id, key }))
}

/// What spans the neighbor and the rest of the file.
pub(super) fn check(
    neighbors: &Listed<Draft>,
    asn: Option<Asn>,
    on_exit: Option<(Span, OnExit)>,
    report: &mut Report<'_>,
) {
    let configured = || {
        neighbors.values().filter_map(|draft| {
            let neighbor = draft.neighbor.as_ref()?;
            Some((draft, neighbor, draft.bfd?, neighbor.bfd.as_ref()?))
        })
    };
    for (_, neighbor, places, bfd) in configured() {
        hops(neighbor, bfd, places, asn, report);
    }
    if let Some((span, OnExit::Keep)) = on_exit
        && let Some((draft, ..)) = configured().next()
    {
        let name = draft.name.as_ref().map_or("?", |name| name.text.as_str());
        let message = format!(
            "`on_exit: keep`, and neighbor `{name}` has `bfd`: a router that takes the end of the BFD session (AdminDown) for a dead path \
             drops the routes all the same"
        );
        report.warning(span, message, "see that the router leaves BGP alone then (RFC 5882 §3.2), or leave `bfd` out");
    }
}

/// Over one hop packets come with TTL 255 and are taken with no other (RFC 5881 §5); over several it is a matter of configuration.
fn hops(neighbor: &Neighbor, bfd: &Bfd, places: Places, asn: Option<Asn>, report: &mut Report<'_>) {
    let on_link = matches!(neighbor.endpoint, Endpoint::Interface(_));
    if let (true, Some(true), Some(span)) = (on_link, bfd.multihop, places.multihop) {
        report.error(span, "`bfd.multihop` with `interface`", "remove it: both ends are on one link");
        return;
    }
    let external = match (neighbor.peer_as, asn) {
        (PeerAs::External, _) => Some(true),
        (PeerAs::Internal, _) => Some(false),
        (PeerAs::Exactly(peer), asn) => asn.map(|asn| peer != asn),
    };
    let distance = neighbor.transport.distance;
    // An internal neighbor without a word on how far it is may be anywhere.
    let direct = on_link || external.is_some_and(|external| distance.is_direct(external));
    let single = bfd.multihop.map_or(direct, |multihop| !multihop);
    if let (true, Some(span)) = (single, places.min_ttl) {
        let hint = "remove it: over one hop only packets with TTL 255 are taken (RFC 5881 §5); or write `multihop: true` beside it";
        report.error(span, "`min_ttl` of a session over one hop", hint);
    }
    if let (Some(false), Some(span), Distance::Multihop(hops)) = (bfd.multihop, places.multihop, distance)
        && hops.get() > 1
    {
        let message = format!("`multihop: false` of BFD, and the neighbor is up to {hops} hops away");
        report.warning(
            span,
            message,
            "remove it, unless the neighbor is on the same link after all: nothing comes over a router",
        );
    }
}
