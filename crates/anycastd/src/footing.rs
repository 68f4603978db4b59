//! What an agent needs of the machine before it begins: its directory, its name, what it has to remember, and the control socket.

use std::{os::fd::OwnedFd, path::Path, time::SystemTime};

use anycast_core::ServiceName;
use tokio::sync::watch;

use crate::{
    agent::GoesOn,
    alone::{self, Alone},
    config::Settings,
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
            return Ok(Self { state, alone, loaded, flaps, kept, socket: ControlSocket::bind(path, group).await? });
        };
        let orders = std::mem::take(&mut document.orders).into_iter();
        let orders = orders.filter_map(|(name, order)| Some((ServiceName::new(&name).ok()?, order))).collect();
        let (flaps, kept) = Flaps::take_over(std::mem::take(&mut document.flaps), document.age());
        Ok(Self {
            state: state(places.take(Place::State), &document.state_directory, directory)?,
            alone: places.take(Place::Alone).map(alone::take_over).map_or_else(alone::claim, Ok)?,
            loaded: Loaded { orders, ..Loaded::default() },
            flaps,
            kept,
            socket: control(places.take(Place::Control), path, group).await?,
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

/// The directory that is locked. Where another is configured by now, that one; but none that cannot be had.
fn state(lock: Option<OwnedFd>, before: &Path, configured: &Path) -> Result<StateDirectory, StateError> {
    // Nothing of it is asked of a disk that may have filled up since.
    let held = lock.and_then(|lock| StateDirectory::take_over(lock, before));
    let Some(held) = held else { return StateDirectory::open(configured) };
    if before == configured {
        return Ok(held);
    }
    StateDirectory::open(configured).or_else(|error| {
        tracing::error!("{error}; {} is used as before", before.display());
        Ok(held)
    })
}

/// Likewise the socket.
async fn control(listener: Option<OwnedFd>, path: &Path, group: Option<&str>) -> Result<ControlSocket, SocketError> {
    let held = listener.and_then(|listener| ControlSocket::take_over(listener).ok());
    let Some(held) = held else { return ControlSocket::bind(path, group).await };
    if held.path() == path {
        return Ok(held);
    }
    ControlSocket::bind(path, group).await.or_else(|error| {
        tracing::error!("{error}; {} is used as before", held.path().display());
        Ok(held)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_configured_anew_and_cannot_be_had_is_as_before() {
        let home = tempfile::tempdir().unwrap();
        let (before, other) = (home.path().join("state"), home.path().join("other"));
        let lock = |held: &StateDirectory| Some(held.duplicate().unwrap());
        let held = StateDirectory::open(&before).unwrap();
        assert_eq!(state(lock(&held), &before, &before).unwrap().path(), before);
        assert_eq!(state(lock(&held), &before, Path::new("/proc/no/such")).unwrap().path(), before);
        assert_eq!(state(lock(&held), &before, &other).unwrap().path(), other);
        assert_eq!(state(None, &before, &other).unwrap().path(), other);

        let (before, other) = (home.path().join("a.sock"), home.path().join("b.sock"));
        let socket = ControlSocket::bind(&before, None).await.unwrap();
        let listener = || Some(socket.duplicate().unwrap());
        let kept = control(listener(), &before, None).await.unwrap();
        assert_eq!(kept.path(), before);
        std::mem::forget(kept);
        let kept = control(listener(), &other, Some("no-such-group")).await.unwrap();
        assert_eq!(kept.path(), before);
        std::mem::forget(kept);
        assert_eq!(control(listener(), &other, None).await.unwrap().path(), other);
    }
}
