//! Another implementation of BGP: how it is configured, started and asked, in words that all of them share.

use std::collections::BTreeSet;

use anycast_lab::harness::Lab;

use crate::feature::Feature;

/// The agent's AS number; the peer's is [`PEER_AS`].
pub(crate) const AGENT_AS: u32 = 4_200_000_010;
pub(crate) const PEER_AS: u32 = 65101;

/// How a session is set up at both of its ends.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Options {
    /// Each end finds the other on the link between them, by router advertisements.
    pub(crate) unnumbered: bool,
    /// The session runs over IPv6.
    pub(crate) ipv6: bool,
    /// Seconds; 0: no keepalives. A peer that cannot propose 0 agrees to it.
    pub(crate) hold_time: u16,
    /// The peer dials, and the agent waits.
    pub(crate) dials: bool,
    /// The key of TCP MD5 (RFC 2385).
    pub(crate) md5: Option<&'static str>,
    /// GTSM (RFC 5082), one hop.
    pub(crate) gtsm: bool,
    /// What the peer is to the agent (RFC 9234).
    pub(crate) role: Option<&'static str>,
    /// IPv4 routes with an IPv6 next hop (RFC 8950).
    pub(crate) extended_next_hop: bool,
    /// Graceful restart (RFC 4724).
    pub(crate) graceful_restart: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            unnumbered: false,
            ipv6: false,
            hold_time: 9,
            dials: false,
            md5: None,
            gtsm: false,
            role: None,
            extended_next_hop: false,
            graceful_restart: false,
        }
    }
}

impl Options {
    /// The agent's end of the session; unnumbered, the interface that leads there.
    pub(crate) fn agent(&self) -> &'static str {
        match (self.unnumbered, self.ipv6) {
            (true, _) => "eth1",
            (false, true) => "2001:db8:1::2",
            (false, false) => "192.0.2.2",
        }
    }

    /// The peer's end.
    pub(crate) fn peer(&self) -> &'static str {
        if self.ipv6 { "2001:db8:1::1" } else { "192.0.2.1" }
    }
}

/// What the peer knows of a prefix.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Route {
    pub(crate) next_hop: String,
    pub(crate) as_path: Vec<u32>,
    pub(crate) med: Option<u32>,
    /// As numbers, well-known ones too: `65535:0`.
    pub(crate) communities: BTreeSet<String>,
    pub(crate) large_communities: BTreeSet<String>,
    /// `rt:65010:100`, `soo:192.0.2.1:5`; what else there is, as the peer shows it.
    pub(crate) extended_communities: BTreeSet<String>,
    /// Octets per second (RFC 10005), where the peer shows it as such.
    pub(crate) bandwidth: Option<u64>,
    /// Only To Customer (RFC 9234), where the peer shows it.
    pub(crate) otc: Option<u32>,
}

/// What the peer says of its Established session.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Session {
    /// The hold time in force, in seconds.
    pub(crate) hold_time: u64,
    /// UPDATEs or routes it has heard in this session, as it counts them.
    pub(crate) updates: u64,
    /// The capabilities of ours that it knows by name.
    pub(crate) heard: BTreeSet<Capability>,
    /// Our role, as it calls it.
    pub(crate) role: Option<String>,
}

/// Those that not every peer knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Capability {
    EnhancedRefresh,
    ExtendedMessage,
    ExtendedNextHop,
    GracefulRestart,
}

/// An implementation; what has no state of its own, since all of it is in the node.
pub(crate) trait Peer {
    /// Its name.
    const NAME: &'static str;
    /// The version that [`CANNOT`](Self::CANNOT) speaks of.
    const TRIED: &'static str;
    /// Its processes, by name.
    const PROCESS: &'static str;
    /// What it cannot do, and why.
    const CANNOT: &'static [(Feature, &'static str)];

    /// Its version, as it says itself.
    async fn version(lab: &Lab) -> anyhow::Result<String>;

    /// Writes its configuration.
    async fn configure(lab: &Lab, options: &Options) -> anyhow::Result<()>;

    /// Starts it.
    async fn start(lab: &Lab) -> anyhow::Result<()>;

    /// What it has of a prefix; `None`: nothing.
    async fn route(lab: &Lab, prefix: &str) -> anyhow::Result<Option<Route>>;

    /// How many IPv4 prefixes it has.
    async fn count(lab: &Lab) -> anyhow::Result<usize>;

    /// Its session with the agent; `None`: it is not Established.
    async fn session(lab: &Lab, options: &Options) -> anyhow::Result<Option<Session>>;

    /// Has it ask for all IPv4 routes again.
    async fn refresh(lab: &Lab, options: &Options) -> anyhow::Result<()>;

    /// All that it says of how the last session ended.
    async fn farewell(lab: &Lab, options: &Options) -> anyhow::Result<String>;

    /// Why it cannot do it, if it cannot.
    fn cannot(feature: Feature) -> Option<&'static str> {
        Self::CANNOT.iter().find(|(what, _)| *what == feature).map(|(_, why)| *why)
    }
}

/// A community as two numbers, whatever the peer calls it.
pub(crate) fn community(name: &str) -> String {
    let plain: String = name.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_lowercase();
    match plain.as_str() {
        "gracefulshutdown" => "65535:0".to_owned(),
        "noexport" => "65535:65281".to_owned(),
        _ => name.to_owned(),
    }
}

/// The numbers of a path that is written as a sequence.
pub(crate) fn path(text: &str) -> Vec<u32> {
    text.split_whitespace().filter_map(|number| number.parse().ok()).collect()
}
