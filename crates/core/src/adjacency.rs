//! The router at the other end of a link, found by what routers advertise (RFC 4861): the neighbor of an unnumbered session.
//!
//! We advertise ourselves, as a router that nobody should send anything to by default, since routers (FRR among them) speak BGP
//! to a link-local address only once it has; and listen for the other's advertisements, which tell its link-local address.

use std::{
    net::Ipv6Addr,
    time::{Duration, Instant},
};

/// How often we advertise: at random between both (RFC 4861 §6.2.1: MaxRtrAdvInterval from 4 s on, MinRtrAdvInterval a third
/// of it). A router that forgot us should not wait for long.
const INTERVAL: (Duration, Duration) = (Duration::from_millis(3300), Duration::from_secs(10));
/// RFC 4861 §10, MIN_DELAY_BETWEEN_RAS.
const LEAST: Duration = Duration::from_secs(3);
/// RFC 4861 §10: RTR_SOLICITATION_INTERVAL and MAX_RTR_SOLICITATIONS.
const SOLICIT: Duration = Duration::from_secs(4);
const SOLICITATIONS: u32 = 3;
/// A router that was not heard for this long gives way to another. One that speaks BGP over the link advertises as often as we.
const SILENT: Duration = Duration::from_secs(30);

/// ICMPv6 types (RFC 4861 §4.1, §4.2).
const SOLICITATION: u8 = 133;
const ADVERTISEMENT: u8 = 134;
/// An option of an advertisement: source link-layer address (RFC 4861 §4.6.1).
const SOURCE_LINK_LAYER: u8 = 1;

/// What is to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outgoing {
    /// To all nodes (ff02::1), see [`advertisement`].
    Advertisement,
    /// To all routers (ff02::2), see [`solicitation`].
    Solicitation,
}

/// What was received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heard {
    /// From a router.
    Advertisement,
    /// From a node that wants to know the routers.
    Solicitation,
}

/// Both ends of one link, as a machine without clock and socket.
#[derive(Debug)]
pub struct Adjacency {
    router: Option<(Ipv6Addr, Instant)>,
    /// Another than the router that was heard while the router was, too.
    other: Option<Ipv6Addr>,
    advertise_at: Instant,
    advertised: Option<Instant>,
    solicit_at: Option<Instant>,
    solicited: u32,
    random: u64,
}

impl Adjacency {
    /// Nothing is known; both messages are due at once. `seed` makes the intervals differ between nodes.
    #[must_use]
    pub const fn new(seed: u64, now: Instant) -> Self {
        Self {
            router: None,
            other: None,
            advertise_at: now,
            advertised: None,
            solicit_at: Some(now),
            solicited: 0,
            random: seed,
        }
    }

    /// A message came from `source`, which is link-local ([`judge`]).
    pub fn handle(&mut self, heard: Heard, source: Ipv6Addr, now: Instant) {
        match heard {
            Heard::Solicitation => self.hasten(now),
            Heard::Advertisement => {
                let known = self.router;
                match known {
                    Some((router, at)) if router != source && now.saturating_duration_since(at) < SILENT => {
                        self.other = Some(source);
                    }
                    _ => {
                        self.router = Some((source, now));
                        self.solicit_at = None;
                        // One that is new to us does not know us either.
                        if known.is_none_or(|(router, _)| router != source) {
                            self.other = None;
                            self.hasten(now);
                        }
                    }
                }
            }
        }
    }

    /// RFC 4861 §6.2.6: an answer to all, but not sooner after the last than is allowed.
    fn hasten(&mut self, now: Instant) {
        let soonest = self.advertised.map_or(now, |at| at + LEAST).max(now);
        self.advertise_at = self.advertise_at.min(soonest);
    }

    /// What is due.
    pub fn poll_transmit(&mut self, now: Instant) -> Option<Outgoing> {
        if self.advertise_at <= now {
            self.advertised = Some(now);
            self.advertise_at = now + self.interval();
            return Some(Outgoing::Advertisement);
        }
        if self.solicit_at.is_some_and(|at| at <= now) {
            self.solicited += 1;
            self.solicit_at = (self.solicited < SOLICITATIONS).then_some(now + SOLICIT);
            return Some(Outgoing::Solicitation);
        }
        None
    }

    /// When something is due.
    #[must_use]
    pub fn poll_timeout(&self) -> Instant {
        self.solicit_at.map_or(self.advertise_at, |at| at.min(self.advertise_at))
    }

    /// The router's link-local address, once it was heard.
    #[must_use]
    pub fn router(&self) -> Option<Ipv6Addr> {
        self.router.map(|(router, _)| router)
    }

    /// A second router on the link, if one was heard: an unnumbered session needs a link of its own.
    #[must_use]
    pub const fn other(&self) -> Option<Ipv6Addr> {
        self.other
    }

    fn interval(&mut self) -> Duration {
        // The high bits of a linear congruential generator (Knuth's constants): enough to be out of step with others.
        self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let (least, most) = INTERVAL;
        let permille = u32::try_from((self.random >> 33) % 1001).unwrap_or(0);
        least + (most - least) * permille / 1000
    }
}

/// A router advertisement without its checksum, which the kernel writes (RFC 3542 §3.1): lifetime 0, so that nobody takes us
/// for a default router, and no prefix.
#[must_use]
pub fn advertisement(link_layer: Option<[u8; 6]>) -> Vec<u8> {
    // Type, code, checksum, hop limit (0: unspecified), flags, lifetime, reachable time, retransmission timer.
    let mut message = vec![ADVERTISEMENT, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    message.extend(link_layer_option(link_layer));
    message
}

/// A router solicitation without its checksum.
#[must_use]
pub fn solicitation(link_layer: Option<[u8; 6]>) -> Vec<u8> {
    let mut message = vec![SOLICITATION, 0, 0, 0, 0, 0, 0, 0];
    message.extend(link_layer_option(link_layer));
    message
}

fn link_layer_option(link_layer: Option<[u8; 6]>) -> Vec<u8> {
    // The length counts units of eight octets.
    link_layer.map_or_else(Vec::new, |address| [&[SOURCE_LINK_LAYER, 1][..], &address].concat())
}

/// What an ICMPv6 message is, if it is good (RFC 4861 §6.1): from this link, which its hop limit proves, whole, and every option
/// with a length. The kernel has proven the checksum.
#[must_use]
pub fn judge(message: &[u8], source: Ipv6Addr, hop_limit: u8) -> Option<Heard> {
    if hop_limit != 255 || message.get(1) != Some(&0) {
        return None;
    }
    let (heard, head) = match *message.first()? {
        ADVERTISEMENT if source.is_unicast_link_local() => (Heard::Advertisement, 16),
        SOLICITATION => (Heard::Solicitation, 8),
        _ => return None,
    };
    let mut options = message.get(head..)?;
    while !options.is_empty() {
        let length = usize::from(*options.get(1)?) * 8;
        options = options.get(length..).filter(|_| length > 0)?;
    }
    Some(heard)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROUTER: Ipv6Addr = Ipv6Addr::new(0xFE80, 0, 0, 0, 0, 0, 0, 1);
    const OTHER: Ipv6Addr = Ipv6Addr::new(0xFE80, 0, 0, 0, 0, 0, 0, 2);
    const SECOND: Duration = Duration::from_secs(1);

    /// Everything that is sent up to `until`, with when.
    fn sent(adjacency: &mut Adjacency, from: Instant, until: Instant) -> Vec<(Outgoing, Duration)> {
        let (mut all, mut now) = (Vec::new(), from);
        while now <= until {
            while let Some(outgoing) = adjacency.poll_transmit(now) {
                all.push((outgoing, now - from));
            }
            now = adjacency.poll_timeout();
        }
        all
    }

    #[test]
    fn it_advertises_at_random_times_and_asks_three_times() {
        let start = Instant::now();
        let sent = sent(&mut Adjacency::new(7, start), start, start + SECOND * 600);
        let of = |kind| sent.iter().filter(|(one, _)| *one == kind).map(|(_, at)| *at).collect::<Vec<_>>();
        assert_eq!(of(Outgoing::Solicitation), [Duration::ZERO, SECOND * 4, SECOND * 8]);
        let advertised = of(Outgoing::Advertisement);
        let gaps: Vec<Duration> = advertised.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert_eq!(advertised[0], Duration::ZERO);
        assert!(gaps.iter().all(|gap| (INTERVAL.0..=INTERVAL.1).contains(gap)), "{gaps:?}");
        assert!(gaps.iter().max() > gaps.iter().min());
    }

    #[test]
    fn a_router_that_is_heard_is_asked_no_more_and_told_at_once() {
        let start = Instant::now();
        let mut adjacency = Adjacency::new(7, start);
        sent(&mut adjacency, start, start);
        adjacency.handle(Heard::Advertisement, ROUTER, start + SECOND);
        assert_eq!(adjacency.router(), Some(ROUTER));
        let then = sent(&mut adjacency, start + SECOND, start + SECOND * 4);
        assert_eq!(then, [(Outgoing::Advertisement, SECOND * 2)], "three seconds after the last, and no solicitation");
    }

    #[test]
    fn a_solicitation_is_answered_and_a_flood_of_them_is_not() {
        let start = Instant::now();
        let mut adjacency = Adjacency::new(7, start);
        sent(&mut adjacency, start, start);
        let mut count = 0;
        for millis in (0..30_000).step_by(10) {
            let now = start + Duration::from_millis(millis);
            adjacency.handle(Heard::Solicitation, OTHER, now);
            while let Some(outgoing) = adjacency.poll_transmit(now) {
                count += usize::from(outgoing == Outgoing::Advertisement);
            }
        }
        assert!((8..=10).contains(&count), "{count} in 30 s");
    }

    #[test]
    fn a_second_router_takes_over_only_when_the_first_is_silent() {
        let start = Instant::now();
        let mut adjacency = Adjacency::new(7, start);
        adjacency.handle(Heard::Advertisement, ROUTER, start);
        adjacency.handle(Heard::Advertisement, OTHER, start + SECOND * 29);
        assert_eq!((adjacency.router(), adjacency.other()), (Some(ROUTER), Some(OTHER)));
        adjacency.handle(Heard::Advertisement, ROUTER, start + SECOND * 29);
        adjacency.handle(Heard::Advertisement, OTHER, start + SECOND * 40);
        assert_eq!(adjacency.router(), Some(ROUTER));
        adjacency.handle(Heard::Advertisement, OTHER, start + SECOND * 59);
        assert_eq!((adjacency.router(), adjacency.other()), (Some(OTHER), None));
    }

    #[test]
    fn messages_are_judged_by_the_rules() {
        let good = advertisement(Some([2, 0, 0, 0, 0, 1]));
        assert_eq!(good.len(), 24);
        assert_eq!(judge(&good, ROUTER, 255), Some(Heard::Advertisement));
        assert_eq!(judge(&advertisement(None), ROUTER, 255), Some(Heard::Advertisement));
        assert_eq!(judge(&solicitation(None), ROUTER, 255), Some(Heard::Solicitation));
        assert_eq!(judge(&good, ROUTER, 254), None, "it came through a router");
        assert_eq!(judge(&good, "2001:db8::1".parse().unwrap(), 255), None, "not link-local");
        assert_eq!(judge(&good[..15], ROUTER, 255), None);
        assert_eq!(judge(&good[..23], ROUTER, 255), None, "half an option");
        let mut zero = good.clone();
        zero[17] = 0;
        assert_eq!(judge(&zero, ROUTER, 255), None, "an option of no length");
        let mut code = good;
        code[1] = 1;
        assert_eq!(judge(&code, ROUTER, 255), None);
        assert_eq!(judge(&[], ROUTER, 255), None);
        assert_eq!(judge(&[128, 0, 0, 0], ROUTER, 255), None, "an echo request");
    }
}
