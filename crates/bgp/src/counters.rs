//! What a session has counted since it was made; no ending of a connection resets it.

use serde::{Deserialize, Serialize};

use crate::framing::MessageType;

/// Messages by type.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MessageCounts {
    /// OPEN.
    pub open: u64,
    /// UPDATE.
    pub update: u64,
    /// NOTIFICATION.
    pub notification: u64,
    /// KEEPALIVE.
    pub keepalive: u64,
    /// ROUTE-REFRESH.
    pub route_refresh: u64,
}

impl MessageCounts {
    pub(crate) fn count(&mut self, kind: MessageType) {
        let counter = match kind {
            MessageType::Open => &mut self.open,
            MessageType::Update => &mut self.update,
            MessageType::Notification => &mut self.notification,
            MessageType::Keepalive => &mut self.keepalive,
            MessageType::RouteRefresh => &mut self.route_refresh,
        };
        *counter += 1;
    }

    /// Of all types.
    #[must_use]
    pub const fn total(&self) -> u64 {
        self.open + self.update + self.notification + self.keepalive + self.route_refresh
    }
}

/// The counters of a session.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counters {
    /// Messages given to the driver.
    pub sent: MessageCounts,
    /// Messages received whole, with a good header.
    pub received: MessageCounts,
    /// Octets the kernel took.
    pub bytes_sent: u64,
    /// Octets received while a connection was up.
    pub bytes_received: u64,
    /// Times the session became Established.
    pub established: u64,
    /// Sessions that were Established and ended because the link went down.
    pub link_downs: u64,
    /// Connections of the neighbor that were closed at once: it came too soon after a failure, or while there was another.
    pub refused: u64,
    /// Prefixes the neighbor announced; they are counted, never stored.
    pub prefixes_announced: u64,
    /// Prefixes the neighbor withdrew.
    pub prefixes_withdrawn: u64,
    /// Received UPDATEs that were treated as a withdraw (RFC 7606 §2).
    pub treated_as_withdraw: u64,
    /// Received attributes that were discarded (RFC 7606 §2).
    pub attributes_discarded: u64,
}
