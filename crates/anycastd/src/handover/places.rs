//! Descriptors beside those of the sessions: what others would miss if it were closed and opened again.

use std::{collections::BTreeMap, os::fd::OwnedFd};

/// What it is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Place {
    /// The control socket: who comes meanwhile waits.
    Control,
    /// The lock of the state directory: nobody else gets it meanwhile.
    State,
    /// The name by which a second agent is noticed.
    Alone,
    /// The ports of BFD: what comes meanwhile is heard afterwards.
    BfdSingleHopV4,
    BfdSingleHopV6,
    BfdMultihopV4,
    BfdMultihopV6,
}

impl Place {
    const ALL: [Self; 7] = [
        Self::Control,
        Self::State,
        Self::Alone,
        Self::BfdSingleHopV4,
        Self::BfdSingleHopV6,
        Self::BfdMultihopV4,
        Self::BfdMultihopV6,
    ];

    /// In the document.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Control => "control",
            Self::State => "state",
            Self::Alone => "alone",
            Self::BfdSingleHopV4 => "bfd_single_hop_v4",
            Self::BfdSingleHopV6 => "bfd_single_hop_v6",
            Self::BfdMultihopV4 => "bfd_multihop_v4",
            Self::BfdMultihopV6 => "bfd_multihop_v6",
        }
    }

    /// `None`: one of another version.
    pub(super) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|place| place.name() == name)
    }
}

/// The descriptors; those that nobody takes close.
#[derive(Debug, Default)]
pub(crate) struct Places(pub(super) BTreeMap<Place, OwnedFd>);

impl Places {
    /// Keeps it; one that could not be had is done without.
    pub(crate) fn keep(&mut self, place: Place, descriptor: std::io::Result<OwnedFd>) {
        match descriptor {
            Ok(descriptor) => drop(self.0.insert(place, descriptor)),
            Err(error) => tracing::debug!(?place, %error, "cannot be handed on"),
        }
    }

    pub(crate) fn take(&mut self, place: Place) -> Option<OwnedFd> {
        self.0.remove(&place)
    }
}
