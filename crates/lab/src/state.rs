//! What is known of labs that stay up: one file each, below a directory that does not outlive the machine's run.

use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions},
    io,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};
use nix::{
    errno::Errno,
    fcntl::{Flock, FlockArg},
};
use serde::{Deserialize, Serialize};

use crate::runner::namespaces::Pin;

const VERSION: u32 = 1;

/// A lab that stays up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    version: u32,
    /// Its topology's file.
    pub topology: PathBuf,
    /// Its nodes' first processes.
    pub nodes: BTreeMap<String, Pin>,
}

impl Standing {
    /// A lab that came up just now.
    #[must_use]
    pub const fn new(topology: PathBuf, nodes: BTreeMap<String, Pin>) -> Self {
        Self { version: VERSION, topology, nodes }
    }

    /// Whether anything of it runs.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        self.nodes.values().any(|pin| pin.is_alive())
    }
}

/// Where the files are.
#[derive(Debug, Clone)]
pub struct Register {
    directory: PathBuf,
}

impl Default for Register {
    fn default() -> Self {
        Self { directory: "/run/anycast-lab".into() }
    }
}

/// Held while a lab is brought up or taken down; it is unlocked when it is dropped.
#[derive(Debug)]
pub struct Lock {
    _held: Flock<File>,
}

impl Register {
    /// Locks a name.
    ///
    /// # Errors
    /// When somebody else holds it.
    pub fn lock(&self, name: &str) -> anyhow::Result<Lock> {
        fs::create_dir_all(&self.directory).with_context(|| format!("cannot make {}", self.directory.display()))?;
        // It is never removed: a lock on a file that is gone is none.
        let path = self.path(name, "lock");
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(&path);
        let file = file.with_context(|| format!("cannot open {}", path.display()))?;
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => Ok(Lock { _held: lock }),
            Err((_, Errno::EWOULDBLOCK)) => {
                bail!("lab {name} is being brought up or taken down by another anycast-lab")
            }
            Err((_, errno)) => Err(errno).with_context(|| format!("cannot lock {}", path.display())),
        }
    }

    /// What is known of a lab.
    ///
    /// # Errors
    /// When it cannot be read or understood.
    pub fn find(&self, name: &str) -> anyhow::Result<Option<Standing>> {
        let path = self.path(name, "json");
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
        };
        let remedy = || {
            format!("{} cannot be understood; take the lab down with the program that brought it up", path.display())
        };
        let standing: Standing = serde_json::from_slice(&text).with_context(remedy)?;
        if standing.version != VERSION {
            bail!("{}: it is of version {}, not {VERSION}", remedy(), standing.version);
        }
        Ok(Some(standing))
    }

    /// Remembers a lab.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn keep(&self, name: &str, standing: &Standing) -> anyhow::Result<()> {
        let (path, beside) = (self.path(name, "json"), self.path(name, "json.new"));
        let write = || {
            fs::write(&beside, serde_json::to_vec_pretty(standing)?)?;
            fs::rename(&beside, &path)
        };
        write().with_context(|| format!("cannot write {}", path.display()))
    }

    /// Forgets a lab.
    ///
    /// # Errors
    /// When its file cannot be removed.
    pub fn forget(&self, name: &str) -> anyhow::Result<()> {
        let path = self.path(name, "json");
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(error).with_context(|| format!("cannot remove {}", path.display()))
            }
            _ => Ok(()),
        }
    }

    fn path(&self, name: &str, kind: &str) -> PathBuf {
        Path::new(&self.directory).join(format!("{name}.{kind}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn register() -> (tempfile::TempDir, Register) {
        let home = tempfile::tempdir().unwrap();
        let register = Register { directory: home.path().join("labs") };
        (home, register)
    }

    #[test]
    fn a_lab_is_remembered_until_it_is_forgotten() {
        let (_home, register) = register();
        let nodes = BTreeMap::from([("r1".to_owned(), Pin { pid: 4_000_000, started: 17 })]);
        let standing = Standing::new("/lab/topology.clab.yml".into(), nodes);
        let _lock = register.lock("a").unwrap();
        assert_eq!(register.find("a").unwrap(), None);
        register.keep("a", &standing).unwrap();
        assert_eq!(register.find("a").unwrap().as_ref(), Some(&standing));
        assert_eq!(register.find("b").unwrap(), None);
        assert!(!standing.is_alive());
        register.forget("a").unwrap();
        register.forget("a").unwrap();
        assert_eq!(register.find("a").unwrap(), None);
    }

    #[test]
    fn a_name_is_locked_for_one() {
        let (_home, register) = register();
        let first = register.lock("a").unwrap();
        let error = register.lock("a").unwrap_err().to_string();
        assert!(error.contains("lab a is being brought up"), "{error}");
        register.lock("b").unwrap();
        drop(first);
        register.lock("a").unwrap();
    }

    #[test]
    fn what_cannot_be_understood_is_an_error() {
        let (_home, register) = register();
        drop(register.lock("a").unwrap());
        for text in ["", "{}", r#"{"version":2,"topology":"/x","nodes":{}}"#] {
            fs::write(register.path("a", "json"), text).unwrap();
            let error = register.find("a").unwrap_err().to_string();
            assert!(error.contains("a.json cannot be understood"), "{error}");
        }
    }
}
