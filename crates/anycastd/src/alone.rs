//! One agent for each network namespace: two would take each other's addresses for leftovers and delete them, for ever.
//!
//! The lock of the state directory does not see an agent that has another directory. An abstract Unix socket belongs to the
//! network namespace as the addresses do, and goes with the process however that ends.

use std::{
    io,
    os::{
        fd::{AsFd as _, OwnedFd},
        linux::net::SocketAddrExt as _,
        unix::net::{SocketAddr, UnixListener},
    },
};

use nix::{
    sys::socket::{UnixCredentials, getsockopt, sockopt::PeerCredentials},
    unistd::geteuid,
};
use socket2::{Domain, SockAddr, Socket, Type};

const NAME: &str = "anycastd";
/// Who may change addresses could harm us in simpler ways; anybody else may not keep an agent from starting.
const CAP_NET_ADMIN: u32 = 12;

/// Another agent runs here.
#[derive(Debug, thiserror::Error)]
#[error(
    "another anycastd (process {0}) runs in this network namespace; they would delete each other's addresses, so one \
     node runs one agent"
)]
pub(crate) struct NotAlone(i32);

/// Held for the life of the process; nobody is ever served. `None` where the name could not be had and no agent has it.
#[derive(Debug)]
pub(crate) struct Alone {
    name: Option<UnixListener>,
}

/// Claims this network namespace.
///
/// # Errors
/// When another agent has it.
pub(crate) fn claim() -> Result<Alone, NotAlone> {
    claim_name(NAME)
}

/// As the program before this one has claimed it.
pub(crate) fn take_over(name: OwnedFd) -> Alone {
    Alone { name: Some(UnixListener::from(name)) }
}

impl Alone {
    /// Another descriptor of it, where there is one.
    pub(crate) fn duplicate(&self) -> io::Result<OwnedFd> {
        let name = self.name.as_ref().ok_or_else(|| io::Error::other("it is not held"))?;
        name.as_fd().try_clone_to_owned()
    }
}

fn claim_name(name: &str) -> Result<Alone, NotAlone> {
    let error = match SocketAddr::from_abstract_name(name).and_then(|address| UnixListener::bind_addr(&address)) {
        Ok(listener) => return Ok(Alone { name: Some(listener) }),
        Err(error) => error,
    };
    match holder(name) {
        Ok(holder) if is_agent(&holder) => Err(NotAlone(holder.pid())),
        Ok(holder) => {
            let (process, user) = (holder.pid(), holder.uid());
            tracing::warn!(process, user, "somebody else has the socket @{name}: a second agent would not be noticed");
            Ok(Alone { name: None })
        }
        Err(_) => {
            tracing::warn!(%error, "the socket @{name} cannot be had: a second agent would not be noticed");
            Ok(Alone { name: None })
        }
    }
}

/// Who listens there.
fn holder(name: &str) -> io::Result<UnixCredentials> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM.nonblocking(), None)?;
    socket.connect(&SockAddr::unix(format!("\0{name}"))?)?;
    Ok(getsockopt(&socket, PeerCredentials)?)
}

fn is_agent(holder: &UnixCredentials) -> bool {
    holder.uid() == 0 || holder.uid() == geteuid().as_raw() || has_net_admin(holder.pid()).unwrap_or(false)
}

/// CapEff of proc_pid_status(5).
fn has_net_admin(process: i32) -> Option<bool> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let capabilities = status.lines().find_map(|line| line.strip_prefix("CapEff:"))?;
    Some(u64::from_str_radix(capabilities.trim(), 16).ok()? >> CAP_NET_ADMIN & 1 == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_agent_is_refused_until_the_first_is_gone() {
        let name = format!("anycastd-test-{}", std::process::id());
        let first = claim_name(&name).unwrap();
        let NotAlone(process) = claim_name(&name).unwrap_err();
        assert_eq!(process, i32::try_from(std::process::id()).unwrap());
        drop(first);
        claim_name(&name).unwrap();
    }

    #[test]
    fn aname_that_nobody_serves_does_not_keep_an_agent_from_starting() {
        let name = format!("anycastd-test-bound-{}", std::process::id());
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
        socket.bind(&SockAddr::unix(format!("\0{name}")).unwrap()).unwrap();
        assert!(claim_name(&name).unwrap().name.is_none());
    }

    #[test]
    fn capabilities_are_read() {
        assert!(has_net_admin(std::process::id().cast_signed()).is_some());
        assert_eq!(has_net_admin(-1), None);
    }
}
