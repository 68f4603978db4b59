//! The end of a session that its neighbor's task has.

use std::{
    net::IpAddr,
    sync::{Arc, atomic::Ordering},
    time::Instant,
};

use anycast_bfd::{Config, Path};
use anycast_core::PeerId;
use prometheus::Histogram;
use tokio::sync::{oneshot, watch};

use super::{Bfd, Parted, Seen};
use crate::handover::Places;

/// Whom a session is with, and how packets get there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) remote: IpAddr,
    /// The number of the interface, where `remote` is a link-local address.
    pub(crate) scope: u32,
    /// Our address; `None`: the kernel's choice.
    pub(crate) source: Option<IpAddr>,
    /// The interface or VRF that packets are bound to.
    pub(crate) device: Option<String>,
    pub(crate) path: Path,
}

impl Target {
    /// Whether it is the same session, whatever is asked of its packets.
    pub(super) fn is_that_of(&self, other: &Self) -> bool {
        let Self { remote, scope, source, device, path } = self;
        let same = (remote, scope, source, device) == (&other.remote, &other.scope, &other.source, &other.device);
        same && match (path, &other.path) {
            (Path::SingleHop { interface }, Path::SingleHop { interface: before }) => interface == before,
            (Path::Multihop { .. }, Path::Multihop { .. }) => true,
            (Path::SingleHop { .. }, Path::Multihop { .. }) | (Path::Multihop { .. }, Path::SingleHop { .. }) => false,
        }
    }
}

/// What the thread is told.
#[derive(Debug)]
pub(super) enum Command {
    /// There is to be this session; one that is there goes on.
    Open(Box<Open>),
    /// Its end was dropped; the session that goes by this number is taken down.
    Close {
        id: PeerId,
        serial: u64,
    },
    /// Its end was left behind; there will be another.
    Leave {
        id: PeerId,
        serial: u64,
    },
    SlowDown {
        until: Instant,
        reply: oneshot::Sender<()>,
    },
    HandOver(oneshot::Sender<(Parted, Places)>),
    GoOn,
}

#[derive(Debug)]
pub(super) struct Open {
    pub(super) id: PeerId,
    pub(super) of: PeerId,
    pub(super) serial: u64,
    pub(super) target: Target,
    pub(super) config: Config,
    pub(super) told: Arc<watch::Sender<Seen>>,
    /// Where it is noted how late packets leave.
    pub(super) lateness: Histogram,
}

/// A session; a drop takes it down (AdminDown).
#[derive(Debug)]
pub(crate) struct Line {
    bfd: Bfd,
    id: PeerId,
    of: PeerId,
    serial: u64,
    told: Arc<watch::Sender<Seen>>,
    set: (Target, Config),
    left: bool,
}

impl Line {
    /// With the neighbor `id`, one of those that are configured as `of`. What there is to know is told from now on.
    pub(crate) fn open(
        bfd: &Bfd,
        (id, of): (&PeerId, &PeerId),
        target: Target,
        config: Config,
        told: Arc<watch::Sender<Seen>>,
    ) -> Self {
        let serial = bfd.shared.serial.fetch_add(1, Ordering::Relaxed);
        let line =
            Self { bfd: bfd.clone(), id: id.clone(), of: of.clone(), serial, told, set: (target, config), left: false };
        line.tell();
        line
    }

    /// What is to be from now on: another configuration is agreed on with the other end, another target is another session.
    pub(crate) fn set(&mut self, target: Target, config: Config) {
        let set = (target, config);
        if self.set != set {
            self.set = set;
            self.tell();
        }
    }

    /// With whom it is.
    pub(crate) const fn target(&self) -> &Target {
        &self.set.0
    }

    fn tell(&self) {
        let (target, config) = self.set.clone();
        let (id, of, told) = (self.id.clone(), self.of.clone(), Arc::clone(&self.told));
        let (serial, lateness) = (self.serial, self.bfd.lateness.with_label_values(&[id.as_str()]));
        self.bfd.tell(Command::Open(Box::new(Open { id, of, serial, target, config, told, lateness })));
    }

    /// The session goes on without this end, until there is another.
    pub(crate) fn leave(mut self) {
        self.left = true;
        self.bfd.tell(Command::Leave { id: self.id.clone(), serial: self.serial });
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        if !self.left {
            // Whoever looks is to see at once that a session is being ended.
            self.bfd.shared.parting.fetch_add(1, Ordering::AcqRel);
            self.bfd.tell(Command::Close { id: self.id.clone(), serial: self.serial });
        }
    }
}
