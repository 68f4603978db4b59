//! What an agent needs of the machine before it begins: its directory, its name, what it has to remember, and the control socket.

use std::{os::fd::OwnedFd, path::Path, time::SystemTime};

use anycast_core::ServiceName;
use tokio::sync::watch;

use crate::{
    agent::GoesOn,
    alone::{self, Alone},
    config::{Lasting, Settings},
    control::{ControlSocket, SocketError},
    flaps::{Book, Flaps},
    handover::{Place, Places},
    state::{self, Loaded, StateDirectory, StateError},
};

/// What an agent stands on, found as it is, or taken over from the program before.
pub(crate) struct Footing {
    pub(crate) state: StateDirectory,
    pub(crate) alone: Alone,
    pub(crate) loaded: Loaded,
    pub(crate) flaps: Flaps,
    pub(crate) kept: watch::Receiver<Option<Book>>,
    pub(crate) socket: ControlSocket,
    /// What is in force of the settings that wait for a restart, where they are configured otherwise by now.
    pub(crate) lasting: Lasting,
}

impl Footing {
    /// Finds it, or takes it over.
    ///
    /// # Errors
    /// What is missing, in words.
    pub(crate) async fn find(settings: &Settings, goes_on: Option<&mut GoesOn>) -> anyhow::Result<Self> {
        let (directory, path, group) =
            (&settings.state_directory, &settings.control.socket, settings.control.group.as_deref());
        let Some(GoesOn { document, places, .. }) = goes_on else {
            let state = StateDirectory::open(directory)?;
            let alone = alone::claim()?;
            let loaded = state.load(&state::boot_id(), SystemTime::now())?;
            let (flaps, kept) = Flaps::load(&state.flaps_file());
            let socket = ControlSocket::bind(path, group).await?;
            return Ok(Self { state, alone, loaded, flaps, kept, socket, lasting: Lasting::of(settings) });
        };
        let orders = std::mem::take(&mut document.orders).into_iter();
        let orders = orders.filter_map(|(name, order)| Some((ServiceName::new(&name).ok()?, order))).collect();
        let (flaps, kept) = Flaps::take_over(std::mem::take(&mut document.flaps), document.age());
        let state = state(places.take(Place::State), &document.state_directory, directory)?;
        let socket = control(places.take(Place::Control), path, group).await?;
        let mut lasting = Lasting::of(settings);
        lasting.state = state.path().to_owned();
        lasting.control.socket = socket.path().to_owned();
        if let Some(operators) = document.operators.take() {
            lasting.control.operators = operators;
        }
        Ok(Self {
            state,
            alone: places.take(Place::Alone).map(alone::take_over).map_or_else(alone::claim, Ok)?,
            loaded: Loaded { orders, ..Loaded::default() },
            flaps,
            kept,
            socket,
            lasting,
        })
    }

    /// What another program takes over of it.
    pub(crate) fn places(&self) -> Places {
        let mut places = Places::default();
        places.keep(Place::State, self.state.duplicate());
        places.keep(Place::Alone, self.alone.duplicate());
        places.keep(Place::Control, self.socket.duplicate());
        places
    }
}

/// The directory that is locked: another that is configured by now has none of the orders, and waits for a restart.
fn state(lock: Option<OwnedFd>, before: &Path, configured: &Path) -> Result<StateDirectory, StateError> {
    // Nothing of it is asked of a disk that may have filled up since.
    lock.and_then(|lock| StateDirectory::take_over(lock, before)).map_or_else(|| StateDirectory::open(configured), Ok)
}

/// The socket at which people ask: likewise.
async fn control(listener: Option<OwnedFd>, path: &Path, group: Option<&str>) -> Result<ControlSocket, SocketError> {
    match listener.and_then(|listener| ControlSocket::take_over(listener).ok()) {
        Some(held) => Ok(held),
        None => ControlSocket::bind(path, group).await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_waits_for_a_restart_waits_over_an_upgrade() {
        let home = tempfile::tempdir().unwrap();
        let (before, other) = (home.path().join("state"), home.path().join("other"));
        let held = StateDirectory::open(&before).unwrap();
        let lock = Some(held.duplicate().unwrap());
        assert_eq!(state(lock, &before, &other).unwrap().path(), before);
        assert_eq!(state(None, &before, &other).unwrap().path(), other);

        let (before, other) = (home.path().join("a.sock"), home.path().join("b.sock"));
        let socket = ControlSocket::bind(&before, None).await.unwrap();
        let kept = control(Some(socket.duplicate().unwrap()), &other, None).await.unwrap();
        assert_eq!(kept.path(), before);
        assert_eq!(control(None, &other, None).await.unwrap().path(), other);
    }
}
