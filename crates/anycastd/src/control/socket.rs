//! The Unix socket in the file system: made with its mode and group, and removed at the end.

use std::{
    io,
    os::{
        fd::{AsFd as _, OwnedFd},
        unix::fs::{FileTypeExt, MetadataExt, PermissionsExt},
    },
    path::{Path, PathBuf},
};

use nix::{
    sys::stat::{Mode, umask},
    unistd::{Gid, Group, chown},
};
use tokio::net::{UnixListener, UnixStream};

use crate::drop_in;

/// Group members may read; see [`super`] for who may change things.
const MODE: u32 = 0o660;

/// Why there is no control socket.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SocketError {
    #[error("control socket {path}: {source}")]
    Io { path: PathBuf, source: io::Error },
    #[error("control socket {path}: another program answers there; name another with `control: {{ socket: … }}`")]
    InUse { path: PathBuf },
    #[error("control socket {path}: something that is no socket is in its place; move it away")]
    NoSocket { path: PathBuf },
    #[error(
        "control.group: this system has no group `{name}`; create it (`groupadd --system {name}`), or leave the key out"
    )]
    NoGroup { name: String },
    #[error("control socket {path}: cannot be given to group {group}: {source}; {}", drop_in::CONTROL_GROUP)]
    Group { path: PathBuf, group: String, source: nix::Error },
}

/// The listening socket; its file goes with it.
#[derive(Debug)]
pub(crate) struct ControlSocket {
    listener: UnixListener,
    path: PathBuf,
    /// Device and number of the file, once it is there.
    file: Option<(u64, u64)>,
}

impl ControlSocket {
    /// Takes the place of a socket that nobody answers at any more.
    pub(crate) async fn bind(path: &Path, group: Option<&str>) -> Result<Self, SocketError> {
        let fail = |source| SocketError::Io { path: path.to_owned(), source };
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).map_err(fail)?;
        }
        clear(path).await?;
        // The file must never be there with a wider mode, not even for a moment.
        let before = umask(Mode::from_bits_truncate(0o777 & !MODE));
        let listener = UnixListener::bind(path);
        umask(before);
        let socket = Self { listener: listener.map_err(fail)?, path: path.to_owned(), file: file(path) };
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(MODE)).map_err(fail)?;
        if let Some(name) = group {
            let found = Group::from_name(name).map_err(|errno| fail(errno.into()))?;
            let found = found.ok_or_else(|| SocketError::NoGroup { name: name.to_owned() })?;
            give(path, found.gid).map_err(|source| SocketError::Group {
                path: path.to_owned(),
                group: name.to_owned(),
                source,
            })?;
        }
        Ok(socket)
    }

    /// The socket that the program before this one listened at, wherever that is.
    ///
    /// # Errors
    /// What the kernel says; or its file has gone, so that nobody comes to it.
    pub(crate) fn take_over(listener: OwnedFd) -> io::Result<Self> {
        let listener = std::os::unix::net::UnixListener::from(listener);
        let gone = || io::Error::from(io::ErrorKind::NotFound);
        let path = listener.local_addr()?.as_pathname().ok_or_else(gone)?.to_owned();
        let file = Some(file(&path).ok_or_else(gone)?);
        listener.set_nonblocking(true)?;
        Ok(Self { listener: UnixListener::from_std(listener)?, path, file })
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Another descriptor of it.
    pub(crate) fn duplicate(&self) -> io::Result<OwnedFd> {
        self.listener.as_fd().try_clone_to_owned()
    }

    pub(super) async fn accept(&self) -> io::Result<UnixStream> {
        self.listener.accept().await.map(|(stream, _)| stream)
    }
}

impl Drop for ControlSocket {
    fn drop(&mut self) {
        // Somebody may have removed it, and another taken the place.
        if self.file.is_some() && file(&self.path) == self.file {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// A group that has it already needs no leave to be given it.
fn give(path: &Path, group: Gid) -> nix::Result<()> {
    let has = std::fs::symlink_metadata(path).is_ok_and(|found| found.gid() == group.as_raw());
    if has { Ok(()) } else { chown(path, None, Some(group)) }
}

fn file(path: &Path) -> Option<(u64, u64)> {
    std::fs::symlink_metadata(path).ok().map(|found| (found.dev(), found.ino()))
}

/// Removes what a killed agent left; never something that answers or is no socket.
async fn clear(path: &Path) -> Result<(), SocketError> {
    let Ok(found) = std::fs::symlink_metadata(path) else { return Ok(()) };
    if !found.file_type().is_socket() {
        return Err(SocketError::NoSocket { path: path.to_owned() });
    }
    let fail = |source| SocketError::Io { path: path.to_owned(), source };
    match UnixStream::connect(path).await {
        Ok(_) => Err(SocketError::InUse { path: path.to_owned() }),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => std::fs::remove_file(path).map_err(fail),
        // Its queue is full: whoever has it is alive, and busy.
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Err(SocketError::InUse { path: path.to_owned() }),
        Err(error) => Err(fail(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_is_made_with_its_mode_and_removed() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("run/control.sock");
        let socket = ControlSocket::bind(&path, None).await.unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, MODE);
        assert!(matches!(ControlSocket::bind(&path, None).await, Err(SocketError::InUse { .. })));
        drop(socket);
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn a_dead_socket_is_replaced_and_a_file_is_not() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("control.sock");
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        assert!(path.exists(), "left behind, as by a kill -9");
        drop(ControlSocket::bind(&path, None).await.unwrap());
        std::fs::write(&path, "mine").unwrap();
        assert!(matches!(ControlSocket::bind(&path, None).await, Err(SocketError::NoSocket { .. })));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "mine");
    }

    #[tokio::test]
    async fn another_program_takes_it_over_with_those_who_wait() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("control.sock");
        let socket = ControlSocket::bind(&path, None).await.unwrap();
        let waits = UnixStream::connect(&path).await.unwrap();
        let kept = socket.duplicate().unwrap();
        // As over execve(2): nobody tidies up.
        std::mem::forget(socket);
        let socket = ControlSocket::take_over(kept).unwrap();
        assert_eq!(socket.path(), path);
        let another = socket.duplicate().unwrap();
        let accepted = socket.accept().await.unwrap();
        drop(accepted);
        drop((waits, socket));
        assert!(!path.exists());
        assert!(ControlSocket::take_over(another).is_err(), "nobody comes to it any more");
    }

    #[tokio::test]
    async fn one_that_is_busy_is_left_alone() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("control.sock");
        let _busy = std::os::unix::net::UnixListener::bind(&path).unwrap();
        let mut waiting = Vec::new();
        while let Ok(stream) = UnixStream::connect(&path).await {
            waiting.push(stream);
        }
        assert!(matches!(ControlSocket::bind(&path, None).await, Err(SocketError::InUse { .. })));
        assert!(path.exists());
    }

    #[tokio::test]
    async fn another_that_took_the_place_is_not_removed() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("control.sock");
        let first = ControlSocket::bind(&path, None).await.unwrap();
        std::fs::rename(&path, home.path().join("away")).unwrap();
        let _second = ControlSocket::bind(&path, None).await.unwrap();
        drop(first);
        assert!(path.exists());
    }

    #[tokio::test]
    async fn a_group_that_does_not_exist_is_named() {
        let home = tempfile::tempdir().unwrap();
        let error = ControlSocket::bind(&home.path().join("s"), Some("no-such-group")).await.unwrap_err();
        assert!(error.to_string().contains("groupadd --system no-such-group"), "{error}");
    }
}
