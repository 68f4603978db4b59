//! As whom a program runs, where that is another than the agent.

use std::{ffi::CString, io};

use nix::unistd::{User, geteuid, getgrouplist};
use rustix::{
    process::{Gid, Uid},
    thread::{
        CapabilitySet, CapabilitySets, capabilities, set_capabilities, set_thread_groups, set_thread_res_gid,
        set_thread_res_uid,
    },
};
use tokio::process::Command;

use crate::drop_in;

/// To become somebody else, and to kill what then belongs to them.
const NEEDED: [(CapabilitySet, &str); 3] =
    [(CapabilitySet::SETUID, "CAP_SETUID"), (CapabilitySet::SETGID, "CAP_SETGID"), (CapabilitySet::KILL, "CAP_KILL")];

/// A user with its groups, as the system knows them now.
#[derive(Debug)]
pub(super) struct Identity {
    uid: Uid,
    gid: Gid,
    groups: Vec<Gid>,
    environment: [(&'static str, String); 4],
}

impl Identity {
    /// Looks a user up. Blocks, as long as the system's user database does. `None`: the agent is that user.
    ///
    /// # Errors
    /// In words: why programs cannot be run as that user.
    pub(super) fn of(name: &str) -> Result<Option<Self>, String> {
        let failed = |why: String| format!("cannot run programs as {name}: {why}");
        let user = User::from_name(name).map_err(|error| failed(error.desc().to_owned()))?;
        let user = user.ok_or_else(|| failed("this system has no such user".to_owned()))?;
        if user.uid == geteuid() {
            return Ok(None);
        }
        if user.uid.is_root() {
            return Err(failed("the agent makes nobody root".to_owned()));
        }
        let missing = missing().map_err(|error| failed(error.to_string()))?;
        if !missing.is_empty() {
            let missing = missing.join(" and ");
            return Err(failed(format!("the agent lacks {missing}; {}", drop_in::USERS)));
        }
        let c_name = CString::new(name).map_err(|error| failed(error.to_string()))?;
        let groups = getgrouplist(&c_name, user.gid).map_err(|error| failed(error.desc().to_owned()))?;
        let environment = [
            ("HOME", user.dir.display().to_string()),
            ("USER", user.name.clone()),
            ("LOGNAME", user.name),
            ("SHELL", user.shell.display().to_string()),
        ];
        Ok(Some(Self {
            uid: Uid::from_raw(user.uid.as_raw()),
            gid: Gid::from_raw(user.gid.as_raw()),
            groups: groups.into_iter().map(|group| Gid::from_raw(group.as_raw())).collect(),
            environment,
        }))
    }

    /// Has a program run as this user. The variables are set before those that the operator wrote.
    pub(super) fn assume(self, command: &mut Command) {
        let Self { uid, gid, groups, environment } = self;
        command.envs(environment);
        let become_them = move || become_user(uid, gid, &groups);
        // SAFETY: between fork and exec only what is async-signal-safe may be done, since another thread may have held any
        // lock: no allocation, no lock. `become_user` makes five system calls on memory that was allocated before the fork,
        // and nothing else; an error is made of its number alone.
        #[allow(unsafe_code)]
        unsafe {
            command.pre_exec(become_them);
        }
    }
}

/// In the child. The groups first: afterwards it may not change them any more. Each call is the kernel's own, which changes
/// one thread; the C library's would look for the other threads of a process that has none.
fn become_user(uid: Uid, gid: Gid, groups: &[Gid]) -> io::Result<()> {
    set_thread_groups(groups)?;
    set_thread_res_gid(gid, gid, gid)?;
    set_thread_res_uid(uid, uid, uid)?;
    // An agent that is not root keeps what it has over a change of its user.
    let none = CapabilitySet::empty();
    set_capabilities(None, CapabilitySets { effective: none, permitted: none, inheritable: none })?;
    Ok(())
}

fn missing() -> io::Result<Vec<&'static str>> {
    let held = capabilities(None)?.effective;
    Ok(NEEDED.iter().filter(|(needed, _)| !held.contains(*needed)).map(|(_, name)| *name).collect())
}
