//! From one program to the next in the same process: the descriptors that stay open over execve(2), and the one that names them.

use std::{
    collections::BTreeMap,
    ffi::{CString, OsStr},
    fs::File,
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
    net::TcpStream,
    os::{
        fd::{AsFd, AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd, RawFd},
        unix::ffi::OsStrExt as _,
    },
    path::Path,
};

use anycast_core::PeerId;
use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use rustix::fs::MemfdFlags;

use super::{Bad, Document, Place, Places};
use crate::{agent::GoesOn, peer::Left};

/// What the next program is told: where the document is.
pub(crate) const OPTION: &str = "--handover";
/// No document is larger: 100,000 routes to each of 64 neighbors are smaller.
pub(super) const LARGEST: u64 = 1 << 30;

/// Puts the document where the next program finds it.
///
/// # Errors
/// What the kernel says; there may be no memory for it.
pub(crate) fn deposit(document: &Document) -> io::Result<File> {
    let bytes = document.write().map_err(io::Error::other)?;
    let mut file = File::from(rustix::fs::memfd_create(c"anycastd-handover", MemfdFlags::CLOEXEC)?);
    file.write_all(&bytes)?;
    file.seek(SeekFrom::Start(0))?;
    Ok(file)
}

/// Runs the program in place of this one, with the same process id, arguments and environment. It comes back only where that is not
/// possible, with nothing changed. No child may be begun meanwhile: it would have the connections too.
pub(crate) fn replace(
    binary: &Path,
    document: &File,
    sessions: &BTreeMap<PeerId, Left>,
    places: &[&Places],
) -> io::Error {
    match try_replace(binary, document, sessions, places) {
        Ok(never) => match never {},
        Err(error) => {
            for descriptor in kept(document, sessions, places) {
                let _ = set_flags(descriptor, FdFlag::FD_CLOEXEC);
            }
            error
        }
    }
}

fn try_replace(
    binary: &Path,
    document: &File,
    sessions: &BTreeMap<PeerId, Left>,
    places: &[&Places],
) -> io::Result<std::convert::Infallible> {
    let text = |text: &OsStr| CString::new(text.as_bytes()).map_err(io::Error::other);
    let (mut arguments, mut given) = (Vec::new(), std::env::args_os());
    while let Some(argument) = given.next() {
        // That of the program before this one.
        if argument == OPTION {
            given.next();
        } else {
            arguments.push(text(&argument)?);
        }
    }
    arguments.push(text(OPTION.as_ref())?);
    arguments.push(text(document.as_raw_fd().to_string().as_ref())?);
    let environment = std::env::vars_os().map(|(name, value)| {
        let mut both = name;
        both.push("=");
        both.push(value);
        text(&both)
    });
    let environment: Vec<CString> = environment.collect::<io::Result<_>>()?;
    let binary = text(binary.as_os_str())?;
    for descriptor in kept(document, sessions, places) {
        set_flags(descriptor, FdFlag::empty())?;
    }
    Ok(nix::unistd::execve(&binary, &arguments, &environment)?)
}

fn kept<'a>(
    document: &'a File,
    sessions: &'a BTreeMap<PeerId, Left>,
    places: &'a [&'a Places],
) -> impl Iterator<Item = BorrowedFd<'a>> {
    let sessions = sessions.values().map(|left| left.stream.as_fd());
    let places = places.iter().flat_map(|places| places.0.values());
    sessions.chain(places.map(OwnedFd::as_fd)).chain([document.as_fd()])
}

fn set_flags(descriptor: BorrowedFd<'_>, flags: FdFlag) -> io::Result<()> {
    fcntl(descriptor, FcntlArg::F_SETFD(flags))?;
    Ok(())
}

/// What the program before this one has left. Every descriptor that it names is this process's from now on, and closes where nothing
/// goes on with it.
///
/// # Errors
/// [`Bad`]: nothing can go on; the descriptors that are known are closed.
pub(crate) fn arrive(document: RawFd) -> Result<GoesOn, Bad> {
    let mut bytes = Vec::new();
    File::from(adopt(document)?).take(LARGEST).read_to_end(&mut bytes)?;
    let mut document = Document::read(&bytes)?;
    let mut sessions = BTreeMap::new();
    for neighbor in document.neighbors.values_mut() {
        let Ok(descriptor) = adopt(neighbor.descriptor) else { continue };
        let Some((_, id)) = neighbor.ids() else { continue };
        let unsent = std::mem::take(&mut neighbor.unsent);
        sessions.insert(id, Left { session: neighbor.session.clone(), stream: TcpStream::from(descriptor), unsent });
    }
    let places = std::mem::take(&mut document.places).into_iter();
    // What another version keeps, and this one does not know, closes.
    let places = places.filter_map(|(name, descriptor)| Some((name, adopt(descriptor).ok()?)));
    let places = places.filter_map(|(name, descriptor)| Some((Place::named(&name)?, descriptor))).collect();
    Ok(GoesOn::new(document, sessions, Places(places)))
}

/// Makes a descriptor ours that was left open over execve(2), if there is one, and has it close at the next.
fn adopt(descriptor: RawFd) -> io::Result<OwnedFd> {
    // The standard streams have their owners; and what closes by itself was opened by this process.
    if descriptor <= 2 {
        return Err(io::Error::other("it is a standard stream"));
    }
    // SAFETY: the descriptor is looked at only, and its number may be any: one that is not open is an error.
    #[allow(unsafe_code)]
    let borrowed = unsafe { BorrowedFd::borrow_raw(descriptor) };
    let flags = FdFlag::from_bits_retain(fcntl(borrowed, FcntlArg::F_GETFD)?);
    if flags.contains(FdFlag::FD_CLOEXEC) {
        return Err(io::Error::other("it was not left by another program"));
    }
    set_flags(borrowed, FdFlag::FD_CLOEXEC)?;
    // SAFETY: it is open, and was not opened by this program, all of whose descriptors close at execve(2); so nothing else owns it. No
    // number is taken twice, for then it closes at execve(2).
    #[allow(unsafe_code)]
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
}

#[cfg(test)]
mod tests {
    use anycast_api::Timestamp;

    use super::*;

    fn document() -> Document {
        Document::new(b"services: []".to_vec(), Timestamp::now(), std::time::Duration::ZERO)
    }

    #[test]
    fn what_is_deposited_is_found_once() {
        let file = deposit(&document()).unwrap();
        let number = file.as_raw_fd();
        let foreign = arrive(number).unwrap_err().to_string();
        assert!(foreign.contains("not left by another program"), "{foreign}");
        set_flags(file.as_fd(), FdFlag::empty()).unwrap();
        // As over execve(2): nobody here knows of it any more.
        std::mem::forget(file);
        assert_eq!(arrive(number).unwrap().document.configuration, b"services: []");
        assert!(arrive(number).is_err(), "it is closed");
    }

    #[test]
    fn what_is_no_document_is_refused() {
        for number in [-1, 0, 2, 100_000] {
            assert!(arrive(number).is_err(), "{number}");
        }
        let mut file = File::from(rustix::fs::memfd_create(c"test", MemfdFlags::CLOEXEC).unwrap());
        file.write_all(b"{ \"version\": 7 }").unwrap();
        file.seek(SeekFrom::Start(0)).unwrap();
        set_flags(file.as_fd(), FdFlag::empty()).unwrap();
        let number = file.as_raw_fd();
        std::mem::forget(file);
        assert!(arrive(number).unwrap_err().to_string().contains("format 7"));
    }

    #[test]
    fn a_program_that_cannot_be_run_changes_nothing() {
        let file = deposit(&document()).unwrap();
        let error = replace(Path::new("/no/such/program"), &file, &BTreeMap::new(), &[&Places::default()]);
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
        let flags = fcntl(file.as_fd(), FcntlArg::F_GETFD).unwrap();
        assert!(FdFlag::from_bits_retain(flags).contains(FdFlag::FD_CLOEXEC));
    }
}
