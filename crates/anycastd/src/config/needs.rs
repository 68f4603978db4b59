//! What the configuration relies on outside of itself: programs, users, groups and files.
//!
//! They may come later than the agent, or be on another machine than that on which the file is checked: what is missing is a
//! warning. It is looked up at the end, aside and in bounded time: a user database or a disk that hangs must not keep the agent
//! from its work.

use std::{
    fs,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    sync::mpsc,
    time::{Duration, Instant},
};

use nix::unistd::{Group, User, geteuid, getgrouplist};

use super::{
    diagnostic::{Report, quoted},
    privileges::Lacks,
    source::Span,
};
use crate::drop_in;

/// For all of it.
const WITHIN: Duration = Duration::from_secs(2);

/// Something that must be there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Need {
    /// The program of an exec check, and as whom it runs if not as the agent.
    Program(PathBuf, Option<String>),
    /// The user of an exec check.
    User(String),
    /// The group of the control socket.
    Group(String),
    /// Somebody who may give orders.
    Operator(String),
    /// Certificates that are trusted.
    Roots(PathBuf),
}

/// A message, and what to do about it.
type Fault = (String, String);

/// Warns of what is not there.
pub(super) fn judge(needs: Vec<(Span, Need)>, lacks: Lacks, report: &mut Report<'_>) {
    if needs.is_empty() {
        return;
    }
    let spans: Vec<Span> = needs.iter().map(|(span, _)| *span).collect();
    let (found, faults) = mpsc::channel();
    let look = move || {
        for (_, need) in needs {
            if found.send(need.fault(lacks)).is_err() {
                return;
            }
        }
    };
    if std::thread::Builder::new().name("needs".to_owned()).spawn(look).is_err() {
        return;
    }
    let end = Instant::now() + WITHIN;
    for span in spans {
        match faults.recv_timeout(end.saturating_duration_since(Instant::now())) {
            Ok(None) => {}
            Ok(Some((message, hint))) => report.warning(span, message, hint),
            Err(_) => {
                let message = format!("cannot be looked up within {} s", WITHIN.as_secs());
                report.warning(
                    span,
                    message,
                    "see why the disk or the user database does not answer; checks wait as long",
                );
                return;
            }
        }
    }
}

impl Need {
    fn fault(&self, lacks: Lacks) -> Option<Fault> {
        match self {
            Self::Program(path, user) => program(path, user.as_deref()),
            Self::User(name) => {
                let hint = "the check proves nothing until there is: create it, or name another";
                let found = User::from_name(name);
                match &found {
                    Ok(Some(user)) if lacks.users && user.uid != geteuid() => Some((
                        format!(
                            "this process may not run programs as {}: the check would never know anything",
                            quoted(name)
                        ),
                        format!("give the agent CAP_SETUID, CAP_SETGID and CAP_KILL; {}", drop_in::USERS),
                    )),
                    _ => absent("user", name, found, hint),
                }
            }
            Self::Group(name) => {
                let hint = "the agent does not start without: create it (`groupadd --system`), or leave the key out";
                absent("group", name, Group::from_name(name), hint)
            }
            Self::Operator(name) => {
                let hint = "nobody of that name may give orders until the agent is started anew with the user there";
                absent("user", name, User::from_name(name), hint)
            }
            Self::Roots(file) => {
                let why = crate::probe::fault_of_roots(file)?;
                Some((
                    why,
                    "the check proves nothing until the file is good: name one with PEM certificates".to_owned(),
                ))
            }
        }
    }
}

fn program(path: &Path, user: Option<&str>) -> Option<Fault> {
    let name = path.display();
    let hint = "the check proves nothing until it can be run here: install it, or mend the path".to_owned();
    let about = match fs::metadata(path) {
        Ok(about) => about,
        Err(error) => return Some((format!("cannot run {name}: {}", crate::probe::in_words(&error)), hint)),
    };
    if !about.is_file() {
        return Some((format!("cannot run {name}: it is no file"), hint));
    }
    let mode = about.permissions().mode();
    let who = match user {
        Some(user) => may_execute(&about, mode, user)?,
        None if mode & 0o111 == 0 => "anybody".to_owned(),
        None => return None,
    };
    Some((
        format!("{name} cannot be executed by {who} (mode {:04o})", mode & 0o7777),
        format!("`chmod +x {name}`, or mend the path"),
    ))
}

/// Who may not; `None`: that user may, or it is not known who that is.
fn may_execute(about: &fs::Metadata, mode: u32, name: &str) -> Option<String> {
    let user = User::from_name(name).ok().flatten()?;
    let c_name = std::ffi::CString::new(name).ok()?;
    let groups = getgrouplist(&c_name, user.gid).ok()?;
    // The first class that fits decides (path_resolution(7)).
    let bit = if user.uid.as_raw() == about.uid() {
        0o100
    } else if groups.iter().any(|group| group.as_raw() == about.gid()) {
        0o010
    } else {
        0o001
    };
    (mode & bit == 0).then(|| name.to_owned())
}

/// What is said where there is nobody of that name, and where that cannot be found out.
fn absent<T>(what: &str, name: &str, found: nix::Result<Option<T>>, hint: &str) -> Option<Fault> {
    match found {
        Ok(Some(_)) => None,
        Ok(None) => Some((format!("there is no {what} {} here", quoted(name)), hint.to_owned())),
        Err(error) => {
            Some((format!("the {what} {} cannot be looked up: {}", quoted(name), error.desc()), DATABASE.to_owned()))
        }
    }
}

const DATABASE: &str = "see what /etc/nsswitch.conf says of users and groups";

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(need: &Need) -> String {
        need.fault(Lacks::default()).map(|(message, hint)| format!("{message}; {hint}")).unwrap_or_default()
    }

    #[test]
    fn what_is_missing_is_named_with_its_remedy() {
        let home = tempfile::tempdir().unwrap();
        let (program, roots) = (home.path().join("check"), home.path().join("ca.pem"));
        let run = |user: Option<&str>| fault(&Need::Program(program.clone(), user.map(str::to_owned)));
        assert!(run(None).contains("no such file; the check proves nothing"), "{}", run(None));
        fs::write(&program, "#!/bin/sh\n").unwrap();
        let mode = |mode: u32| fs::set_permissions(&program, fs::Permissions::from_mode(mode)).unwrap();
        mode(0o644);
        assert!(run(None).contains("cannot be executed by anybody (mode 0644); `chmod +x"), "{}", run(None));
        mode(0o744);
        assert_eq!(run(None), "");
        assert!(run(Some("nobody")).contains("cannot be executed by nobody"), "{}", run(Some("nobody")));
        mode(0o755);
        assert_eq!(run(Some("nobody")), "");
        assert_eq!(run(Some("no-such-user")), "", "that is said of the user");
        assert!(fault(&Need::Program(home.path().to_owned(), None)).contains("it is no file"));
        assert!(fault(&Need::User("no-such-user".to_owned())).contains("there is no user `no-such-user` here"));
        assert!(fault(&Need::Operator("no-such-user".to_owned())).contains("there is no user `no-such-user` here"));
        assert!(fault(&Need::Group("no-such-group".to_owned())).contains("there is no group `no-such-group` here"));
        assert_eq!(fault(&Need::User("root".to_owned())) + &fault(&Need::Group("root".to_owned())), "");
        let nobody = Need::User("nobody".to_owned());
        assert_eq!(fault(&nobody), "");
        let (told, remedy) = nobody.fault(Lacks { users: true, ..Lacks::default() }).unwrap();
        assert!(told.contains("may not run programs as `nobody`") && remedy.contains("users.conf"), "{told}; {remedy}");
        let ca = |text: &str| {
            fs::write(&roots, text).unwrap();
            fault(&Need::Roots(roots.clone()))
        };
        assert!(ca("hello").contains("ca.pem holds no certificate; "), "{}", ca("hello"));
        assert!(fault(&Need::Roots(home.path().join("none"))).contains("cannot read"));
    }
}
