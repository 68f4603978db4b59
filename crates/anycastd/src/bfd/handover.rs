//! The sessions go on in another program.

use std::{net::IpAddr, num::NonZeroU8, time::Duration};

use anycast_api::Timestamp;
use anycast_bfd::{Handover, Path};
use serde::{Deserialize, Serialize};

use super::line::Target;

/// All of them, as they were.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Parted {
    /// When, since the machine was booted.
    pub(crate) at: Duration,
    pub(crate) sessions: Vec<Left>,
}

/// One of them.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Left {
    /// The neighbor that it is with.
    pub(crate) id: String,
    /// The configured neighbor that it belongs to.
    pub(crate) of: String,
    /// The router, where that is a network.
    #[serde(default)]
    pub(crate) router: Option<IpAddr>,
    pub(super) remote: IpAddr,
    #[serde(default)]
    pub(super) scope: u32,
    #[serde(default)]
    pub(super) source: Option<IpAddr>,
    #[serde(default)]
    pub(super) device: Option<String>,
    /// The least TTL of a multihop session.
    #[serde(default)]
    pub(super) min_ttl: Option<NonZeroU8>,
    /// The interface of a single-hop session.
    #[serde(default)]
    pub(super) interface: Option<u32>,
    pub(super) port: Option<u16>,
    pub(super) since: Timestamp,
    #[serde(default)]
    pub(super) losses: u64,
    #[serde(default)]
    pub(super) lost: u64,
    /// The other end has been taken down by its operator.
    #[serde(default)]
    pub(super) admin_down: bool,
    #[serde(default)]
    pub(super) last_loss: Option<(String, Timestamp)>,
    #[serde(default)]
    pub(super) last_detection: Option<Duration>,
    pub(super) session: Handover,
}

impl Left {
    pub(super) fn target(&self) -> Target {
        let path = match self.min_ttl {
            Some(least) => Path::Multihop { min_ttl: least.get() },
            None => Path::SingleHop { interface: self.interface },
        };
        Target { remote: self.remote, scope: self.scope, source: self.source, device: self.device.clone(), path }
    }
}
