//! Which addresses are ours, on a kernel that cannot tag them (before 5.18).
//!
//! What is about to be added is written down first, and crossed out when it is gone. After a crash, what the file names and
//! the kernel has is ours. The file is void after a reboot: so are the addresses.

use std::{
    collections::BTreeSet,
    fs,
    io::{self, ErrorKind},
    net::IpAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anycast_core::reconcile::Target;
use serde::{Deserialize, Serialize};
use tokio::task::{JoinHandle, spawn_blocking};

use crate::state::{boot_id, recall, write_atomically};

/// A disk that does not answer for this long counts as broken; the address then waits.
const DEADLINE: Duration = Duration::from_secs(5);
const VERSION: u32 = 1;

/// Why nothing could be written down.
#[derive(Debug, thiserror::Error)]
#[error("cannot write down in {path} that it is ours: {source}")]
pub(super) struct NotWritten {
    path: PathBuf,
    source: io::Error,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Contents {
    version: u32,
    boot: String,
    addresses: BTreeSet<Entry>,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Entry {
    address: IpAddr,
    interface: String,
}

#[derive(Debug)]
pub(super) struct Intents {
    path: PathBuf,
    boot: String,
    /// What the file names; it does not exist while this is empty.
    entries: BTreeSet<Entry>,
    /// A write failed: what the file names may be something else.
    uncertain: bool,
    /// A write that has not ended. The next one waits for it: writes must not overtake each other.
    writing: Option<JoinHandle<io::Result<()>>>,
}

impl Intents {
    /// Nothing, until [`load`](Self::load)ed.
    pub(super) const fn new(path: PathBuf) -> Self {
        Self { path, boot: String::new(), entries: BTreeSet::new(), uncertain: false, writing: None }
    }

    /// Reads the file. What cannot be understood names nothing: an address that is taken for somebody else's is left alone.
    pub(super) async fn load(&mut self) {
        let path = self.path.clone();
        let read = spawn_blocking(move || (boot_id(), read(&path)));
        let Ok(Ok((boot, contents))) = tokio::time::timeout(DEADLINE, read).await else {
            tracing::warn!(path = %self.path.display(), "cannot be read in time; addresses of a former agent are left alone");
            return;
        };
        match contents {
            Ok(contents) if contents.boot == boot => self.entries = contents.addresses,
            Ok(_) => {}
            Err(error) => {
                tracing::warn!(path = %self.path.display(), %error, "addresses of a former agent are left alone");
                // The next write takes its place.
                self.uncertain = true;
            }
        }
        self.boot = boot;
    }

    /// Whether this address is ours.
    pub(super) fn contains(&self, address: IpAddr, interface: &str) -> bool {
        self.entries.contains(&Entry { address, interface: interface.to_owned() })
    }

    /// Writes down what is about to be added.
    pub(super) async fn record(&mut self, targets: impl Iterator<Item = &Target>) -> Result<(), NotWritten> {
        let mut entries = self.entries.clone();
        entries.extend(targets.filter_map(|target| match target {
            Target::Address { address, interface } => {
                Some(Entry { address: *address, interface: interface.to_string() })
            }
            Target::Anchor { .. } => None,
        }));
        self.write(entries).await
    }

    /// Crosses out what is not there.
    pub(super) async fn keep(&mut self, held: impl Fn(&Target) -> bool) {
        let mut entries = self.entries.clone();
        entries.retain(|entry| {
            let interface: Arc<str> = entry.interface.as_str().into();
            held(&Target::Address { address: entry.address, interface })
        });
        if let Err(error) = self.write(entries).await {
            tracing::warn!("{error}");
        }
    }

    async fn write(&mut self, entries: BTreeSet<Entry>) -> Result<(), NotWritten> {
        if entries == self.entries && !self.uncertain {
            return Ok(());
        }
        let contents = Contents { version: VERSION, boot: self.boot.clone(), addresses: entries.clone() };
        let path = self.path.clone();
        let write = async {
            if let Some(before) = &mut self.writing {
                let _ = before.await;
            }
            let current = self.writing.insert(spawn_blocking(move || save(&path, &contents)));
            current.await.map_err(io::Error::other).flatten()
        };
        let written = match tokio::time::timeout(DEADLINE, write).await {
            Ok(written) => {
                self.writing = None;
                written
            }
            Err(_) => Err(ErrorKind::TimedOut.into()),
        };
        self.uncertain = written.is_err();
        written.map_err(|source| NotWritten { path: self.path.clone(), source })?;
        self.entries = entries;
        Ok(())
    }
}

fn read(path: &Path) -> io::Result<Contents> {
    recall(path, understand).map(Option::unwrap_or_default)
}

fn understand(text: &[u8]) -> io::Result<Contents> {
    let contents: Contents = serde_json::from_slice(text)?;
    if contents.version == VERSION { Ok(contents) } else { Err(io::Error::other("written by another version")) }
}

fn save(path: &Path, contents: &Contents) -> io::Result<()> {
    if !contents.addresses.is_empty() {
        return write_atomically(path, &serde_json::to_vec_pretty(contents)?);
    }
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
