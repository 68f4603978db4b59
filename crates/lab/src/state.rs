//! What is known of labs that stay up: one file each, below a directory that does not outlive the machine's run.

use std::{
    collections::BTreeMap,
    fs::{self, File, Metadata, OpenOptions},
    io,
    os::unix::fs::MetadataExt as _,
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

/// Held while a lab is brought up or taken down. When it is dropped its file is removed, and then unlocked.
#[derive(Debug)]
pub struct Lock {
    path: PathBuf,
    held: Flock<File>,
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Only who holds the file that is there removes it. One that stays does no harm.
        if is_there(&self.held, &self.path) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Whether an open file is the one that has this path now.
fn is_there(file: &File, path: &Path) -> bool {
    let which = |about: io::Result<Metadata>| about.ok().map(|about| (about.dev(), about.ino()));
    let there = which(fs::metadata(path));
    there.is_some() && there == which(file.metadata())
}

impl Register {
    /// Locks a name.
    ///
    /// # Errors
    /// When somebody else holds it.
    pub fn lock(&self, name: &str) -> anyhow::Result<Lock> {
        fs::create_dir_all(&self.directory).with_context(|| format!("cannot make {}", self.directory.display()))?;
        let path = self.path(name, "lock");
        loop {
            let file = OpenOptions::new().create(true).truncate(false).write(true).open(&path);
            let file = file.with_context(|| format!("cannot open {}", path.display()))?;
            match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
                Ok(held) if is_there(&held, &path) => return Ok(Lock { path, held }),
                // Who held it removed it after we had opened it, and a lock on a file that is gone keeps nobody out.
                Ok(_gone) => {}
                Err((_, Errno::EWOULDBLOCK)) => {
                    bail!("lab {name} is being brought up or taken down by another anycast-lab")
                }
                Err((_, errno)) => return Err(errno).with_context(|| format!("cannot lock {}", path.display())),
            }
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
    use std::{
        sync::atomic::{AtomicUsize, Ordering},
        thread,
    };

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
    fn a_lock_leaves_no_file_and_takes_nobody_elses() {
        let (_home, register) = register();
        let path = register.path("a", "lock");
        let first = register.lock("a").unwrap();
        // As somebody who opens the file just before it is removed, and locks it just after.
        let late = File::open(&path).unwrap();
        drop(first);
        assert!(!path.exists());
        let late = Flock::lock(late, FlockArg::LockExclusiveNonblock).unwrap();
        let second = register.lock("a").unwrap();
        assert!(!is_there(&late, &path) && is_there(&second.held, &path));
        drop(Lock { path: path.clone(), held: late });
        assert!(is_there(&second.held, &path), "the file of the second is left alone");
    }

    #[test]
    fn of_many_who_lock_and_unlock_one_has_it_at_a_time() {
        let (_home, register) = register();
        let (holders, times) = (AtomicUsize::new(0), AtomicUsize::new(0));
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    while times.load(Ordering::Relaxed) < 200 {
                        let Ok(lock) = register.lock("a") else { continue };
                        assert_eq!(holders.fetch_add(1, Ordering::SeqCst), 0);
                        times.fetch_add(1, Ordering::Relaxed);
                        thread::yield_now();
                        holders.fetch_sub(1, Ordering::SeqCst);
                        drop(lock);
                    }
                });
            }
        });
        assert!(!register.path("a", "lock").exists());
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
