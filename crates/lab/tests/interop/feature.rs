//! What is tried with each peer.

use std::{fs, path::PathBuf};

use anyhow::Context as _;

/// The variable that names the directory where what was seen to work is written down, for [`crate::page`].
pub(crate) const TABLE: &str = "ANYCAST_INTEROP_TABLE";

/// A row of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Feature {
    BothFamilies,
    Ipv6Session,
    FourOctetAs,
    Med,
    Communities,
    LargeCommunities,
    ExtendedCommunities,
    LinkBandwidth,
    Withdraw,
    Prepend,
    GracefulShutdown,
    RouteRefresh,
    EnhancedRefresh,
    ExtendedMessage,
    ExtendedNextHop,
    GlobalAndLinkLocal,
    LinkLocalAlone,
    Role,
    OnlyToCustomer,
    HoldTime3,
    HoldTime0,
    FrozenPeer,
    PeerRestart,
    AgentRestart,
    AgentUpgrade,
    Md5,
    WrongMd5,
    Gtsm,
    PeerDials,
    PeerDialsProtected,
    GracefulRestart,
    Farewell,
    Unnumbered,
}

impl Feature {
    /// All of them, with the words that the table has for them.
    pub(crate) const ALL: [(Self, &'static str); 33] = [
        (Self::BothFamilies, "IPv4 and IPv6 routes over one session"),
        (Self::Ipv6Session, "the same over an IPv6 session"),
        (Self::FourOctetAs, "four-octet AS numbers (RFC 6793)"),
        (Self::Med, "MED"),
        (Self::Communities, "communities (RFC 1997)"),
        (Self::LargeCommunities, "large communities (RFC 8092)"),
        (Self::ExtendedCommunities, "extended communities: route target and route origin (RFC 4360)"),
        (Self::LinkBandwidth, "link bandwidth, shown as such (RFC 10005)"),
        (Self::Withdraw, "withdraw, and announce again"),
        (Self::Prepend, "a longer path while degraded"),
        (Self::GracefulShutdown, "GRACEFUL_SHUTDOWN before a withdraw (RFC 8326)"),
        (Self::RouteRefresh, "route refresh that the peer asks for (RFC 2918)"),
        (Self::EnhancedRefresh, "the same with marks (RFC 7313)"),
        (Self::ExtendedMessage, "messages beyond 4096 octets (RFC 8654)"),
        (Self::ExtendedNextHop, "IPv4 routes with an IPv6 next hop (RFC 8950)"),
        (Self::GlobalAndLinkLocal, "IPv6 next hop: global and link-local (RFC 2545)"),
        (Self::LinkLocalAlone, "IPv6 next hop: link-local alone"),
        (Self::Role, "roles, and a wrong one refused (RFC 9234)"),
        (Self::OnlyToCustomer, "Only To Customer shown by the peer (RFC 9234)"),
        (Self::HoldTime3, "hold time 3 s"),
        (Self::HoldTime0, "hold time 0: no keepalives"),
        (Self::FrozenPeer, "a peer that freezes, and comes back"),
        (Self::PeerRestart, "a peer that is killed, and started again"),
        (Self::AgentRestart, "an agent that is killed: routes gone at once, and back"),
        (Self::AgentUpgrade, "an agent that is upgraded in place: the session goes on, and nothing is told again"),
        (Self::Md5, "TCP MD5 (RFC 2385)"),
        (Self::WrongMd5, "a wrong password is not heard"),
        (Self::Gtsm, "GTSM (RFC 5082), asked for by the peer"),
        (Self::PeerDials, "the peer dials, and the agent waits"),
        (Self::PeerDialsProtected, "the same over IPv6 with TCP MD5 and GTSM"),
        (
            Self::GracefulRestart,
            "graceful restart: routes kept while the agent restarts, gone at its end (RFC 4724, RFC 8538)",
        ),
        (Self::Farewell, "why the agent ended, shown by the peer (RFC 9003)"),
        (Self::Unnumbered, "unnumbered: each finds the other on the link, by router advertisements"),
    ];

    /// Writes down that it was seen to work, where that is asked for.
    pub(crate) fn proven(self, peer: &str) -> anyhow::Result<()> {
        note(&format!("{peer}.{self:?}"), "yes")
    }
}

/// Leaves a note for the page.
pub(crate) fn note(name: &str, text: &str) -> anyhow::Result<()> {
    let Some(directory) = std::env::var_os(TABLE).map(PathBuf::from) else { return Ok(()) };
    fs::create_dir_all(&directory).and_then(|()| fs::write(directory.join(name), text)).context(TABLE)
}

/// Reads one.
pub(crate) fn noted(name: &str) -> Option<String> {
    fs::read_to_string(PathBuf::from(std::env::var_os(TABLE)?).join(name)).ok()
}
