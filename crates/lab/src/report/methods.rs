//! The ways to fail over that are compared, and what each of them means.

use std::{str::FromStr, time::Duration};

use super::data::{Failure, Method, Steering};

/// The TTLs that are measured, in seconds.
pub(super) const TTLS: [u32; 3] = [5, 30, 60];
/// The TTL of round robin: one minute, as the longest of the others.
pub(super) const ROUND_ROBIN_TTL: u32 = 60;
/// The TTL that is computed, and the measured one that it is computed from.
pub(super) const COMPUTED: (u32, u32) = (300, 60);

/// Whose routers carry the traffic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Routers {
    Frr,
    Bird,
}

impl Routers {
    pub(super) const ALL: [Self; 2] = [Self::Frr, Self::Bird];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Frr => "FRR",
            Self::Bird => "BIRD",
        }
    }

    const fn id(self) -> &'static str {
        match self {
            Self::Frr => "frr",
            Self::Bird => "bird",
        }
    }
}

/// What happens to a node whose address is anycast, and how that is noticed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Way {
    Listener,
    Polling,
    AgentKilled,
    FrozenBfd,
    FrozenHoldTime,
    Drain,
}

impl Way {
    pub(super) const ALL: [Self; 6] =
        [Self::Listener, Self::Polling, Self::AgentKilled, Self::FrozenBfd, Self::FrozenHoldTime, Self::Drain];

    /// Whether it takes seconds rather than a fraction of one, so that labs beside it do not matter.
    pub(super) const fn is_slow(self) -> bool {
        matches!(self, Self::FrozenHoldTime | Self::Drain)
    }

    /// What the moment of the failure is random in: the time between two checks, or two packets that keep a session up.
    pub(super) const fn spread(self) -> Duration {
        Duration::from_millis(match self {
            Self::Listener | Self::Polling | Self::AgentKilled | Self::Drain => 1000,
            Self::FrozenBfd => 500,
            Self::FrozenHoldTime => 3000,
        })
    }

    const fn id(self) -> &'static str {
        match self {
            Self::Listener => "listener",
            Self::Polling => "polling",
            Self::AgentKilled => "agent-killed",
            Self::FrozenBfd => "frozen-bfd",
            Self::FrozenHoldTime => "frozen-hold-time",
            Self::Drain => "drain",
        }
    }

    const fn title(self) -> &'static str {
        match self {
            Self::Listener => "Anycast, service killed, kernel hint",
            Self::Polling => "Anycast, service killed, polling",
            Self::AgentKilled => "Anycast, agent and service killed",
            Self::FrozenBfd => "Anycast, node frozen, BFD 50 ms × 3",
            Self::FrozenHoldTime => "Anycast, node frozen, hold time 9 s",
            Self::Drain => "Anycast, planned drain",
        }
    }

    const fn meaning(self) -> &'static str {
        match self {
            Self::Listener => {
                "The service is killed with SIGKILL. `watch: listener`: the kernel tells the agent that nobody listens any more, the check asks at \
                 once, is refused, and the agent withdraws the prefix."
            }
            Self::Polling => {
                "The service is killed with SIGKILL. Every default of the agent: a check each second finds that, and the agent withdraws the prefix."
            }
            Self::AgentKilled => {
                "The agent and the service are killed together with SIGKILL, the service first. The kernel closes the agent's connection, and \
                 the router drops the routes with the session. (Where only the agent is killed, its addresses stay and the service goes on: \
                 nothing is lost but the node.)"
            }
            Self::FrozenBfd => {
                "Every program of the node is stopped with SIGSTOP; its kernel goes on, and closes nothing. The router misses three packets of \
                 BFD in a row, 50 ms apart, and ends the session."
            }
            Self::FrozenHoldTime => {
                "Every program of the node is stopped with SIGSTOP, and there is no BFD: the router waits until its hold timer expires, 9 s after the last \
                 message of the node (RFC 4271 §6.5). One is due every 3 s, so that is 6 to 9 s after the node froze through \
                 FRR, which waits just so long. BIRD varies its timers at random (RFC 4271 §10)."
            }
            Self::Drain => {
                "`anycastctl withdraw --wait` with the default times: GRACEFUL_SHUTDOWN (RFC 8326), 10 s later the withdraw, 5 s later \"safe to \
                 stop\", and then the service is killed. Zero is the order. The first good answer is the first from another node, while the node \
                 still serves."
            }
        }
    }

    const fn failure(self) -> Failure {
        match self {
            Self::Listener | Self::Polling => Failure::ServiceKilled,
            Self::AgentKilled => Failure::AgentKilled,
            Self::FrozenBfd | Self::FrozenHoldTime => Failure::NodeFrozen,
            Self::Drain => Failure::Drained,
        }
    }
}

/// A way that is measured, in the order of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Measured {
    RoundRobin,
    /// By TTL.
    Switched(u32),
    /// Anycast at the kills of the names' lab.
    Beside,
    Anycast(Way, Routers),
}

const SWITCHED: &str = "The service is killed with SIGKILL. gdnsd asks it for its health each 2 s; two failures in a row take its address out of the \
                        answers to this region's name. The client asks its region's resolver (unbound, which keeps an answer for as long as the \
                        TTL says, and no longer) before each request, so nothing but that cache delays it: programs that keep addresses \
                        themselves take longer. A request each 50 ms from each of two regions.";
const ROUND_ROBIN: &str = "The service is killed with SIGKILL. Both nodes' addresses are in every answer, in turn, and nobody takes one out before \
                           somebody edits the zone. 20 clients in each of two regions look the name up through their resolver, take the first address, \
                           and keep it for as long as the answer lives (TTL 60 s): those that were given the dead one lose everything until the end of \
                           the run. When they look it up again, as many others are given it. Programs that try one address after the other lose \
                           time instead.";
const BESIDE: &str = "In the same lab at the same kills as DNS: `watch: listener`, FRR. Up to four such labs run at once, so these figures are a little \
                      worse than those of the row below. A request each 10 ms from each of two regions.";
const ANYCAST: &str = "A request each 10 ms from each of two regions.";
const SCALED: &str = "Not measured: each run of TTL 60 s with the time from the name server's new answer to the client's first good one, which is \
                      what was left of the cached answer's life, five times as long; so are the lost requests of that time.";

impl Measured {
    /// All of them.
    pub(super) fn all() -> Vec<Self> {
        let names = std::iter::once(Self::RoundRobin).chain(TTLS.map(Self::Switched)).chain([Self::Beside]);
        let anycast = Way::ALL.into_iter().flat_map(|way| Routers::ALL.map(|routers| Self::Anycast(way, routers)));
        names.chain(anycast).collect()
    }

    pub(super) fn id(self) -> String {
        match self {
            Self::RoundRobin => "dns-round-robin".to_owned(),
            Self::Switched(ttl) => format!("dns-ttl-{ttl}"),
            Self::Beside => "anycast-beside-dns".to_owned(),
            Self::Anycast(way, routers) => format!("anycast-{}-{}", way.id(), routers.id()),
        }
    }

    /// Whether it is measured in the lab with the name server.
    pub(super) const fn is_beside_names(self) -> bool {
        !matches!(self, Self::Anycast(..))
    }

    /// What it is, without runs.
    pub(super) fn method(self) -> Method {
        let (title, meaning, steering, failure, routers, ttl) = match self {
            Self::RoundRobin => {
                let title = "DNS, round robin".to_owned();
                let ttl = Some(ROUND_ROBIN_TTL);
                (title, ROUND_ROBIN.to_owned(), Steering::RoundRobin, Failure::ServiceKilled, None, ttl)
            }
            Self::Switched(ttl) => {
                let title = format!("DNS, switched, TTL {ttl} s");
                (title, SWITCHED.to_owned(), Steering::SwitchedDns, Failure::ServiceKilled, None, Some(ttl))
            }
            Self::Beside => {
                let title = "Anycast, the same kills as DNS".to_owned();
                let routers = Some(Routers::Frr);
                (title, BESIDE.to_owned(), Steering::Anycast, Failure::ServiceKilled, routers, None)
            }
            Self::Anycast(way, routers) => {
                let meaning = format!("{} {ANYCAST}", way.meaning());
                let title = format!("{}, {}", way.title(), routers.name());
                (title, meaning, Steering::Anycast, way.failure(), Some(routers), None)
            }
        };
        let routers = routers.map(|routers| routers.name().to_owned());
        Method { id: self.id(), title, meaning, steering, failure, routers, ttl, computed_from: None, runs: Vec::new() }
    }
}

impl FromStr for Measured {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let known = Self::all();
        known.iter().copied().find(|measured| measured.id() == text).ok_or_else(|| {
            let ids: Vec<_> = known.into_iter().map(Self::id).collect();
            format!("there is no such method; there are {}", ids.join(", "))
        })
    }
}

/// The method that is computed, without runs.
pub(super) fn computed() -> Method {
    let (ttl, from) = (COMPUTED.0, Measured::Switched(COMPUTED.1));
    let measured = Measured::Switched(ttl).method();
    Method { meaning: SCALED.to_owned(), computed_from: Some(from.id()), ..measured }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_method_is_found_by_its_id() {
        let all = Measured::all();
        assert_eq!(all.len(), 17);
        for measured in all {
            let method = measured.method();
            assert_eq!(method.id.parse(), Ok(measured));
            assert!(method.id.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-'));
            assert_eq!(method.ttl.is_some(), method.steering != Steering::Anycast, "{}", method.id);
            assert_eq!(method.routers.is_some(), method.steering == Steering::Anycast, "{}", method.id);
        }
        assert!("dns-ttl-300".parse::<Measured>().unwrap_err().contains("dns-ttl-60"));
        assert_eq!(computed().id, "dns-ttl-300");
    }
}
