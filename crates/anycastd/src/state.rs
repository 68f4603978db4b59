//! What survives a restart: the orders of operators, in one file of the state directory.
//!
//! The directory is locked for the life of the process, so that two agents never fight over one node. A file that cannot be read
//! is [kept aside](aside), and the node starts withdrawn: what it said may have been just that.

mod aside;
mod boot;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Write},
    os::{
        fd::{AsFd as _, OwnedFd},
        unix::fs::OpenOptionsExt,
    },
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use anycast_api::{Timestamp, WithdrawMode};
use anycast_core::ServiceName;
use nix::fcntl::{Flock, FlockArg};
use serde::{Deserialize, Serialize};

pub(crate) use self::{
    aside::{keep_aside, kept_aside},
    boot::boot_id,
};

/// The standing orders, by service.
pub(crate) type Orders = BTreeMap<ServiceName, Order>;

/// What is on the disk of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Book {
    /// The orders.
    pub(crate) orders: Orders,
    /// The services that there are while an order for the whole node stands: one that is not among them has come since.
    pub(crate) services: BTreeSet<ServiceName>,
}

/// One operator's order for one service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Order {
    /// How.
    pub(crate) mode: WithdrawMode,
    /// Who gave it.
    pub(crate) by: String,
    /// When.
    pub(crate) at: Timestamp,
    /// Why.
    pub(crate) reason: Option<String>,
    /// When it ends by itself; not before the boot is another, where [`boot`](Self::boot) says one.
    pub(crate) until: Option<Timestamp>,
    /// It was given for all services.
    #[serde(default)]
    pub(crate) whole_node: bool,
    /// It lasts until the machine starts anew; so long it is the one that runs since this boot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) boot: Option<String>,
    /// It is not an operator's but that of the service's `disable_file`, which is there; such an order is not on the disk.
    #[serde(skip)]
    pub(crate) file: Option<PathBuf>,
}

impl Order {
    /// In how long it ends by itself, if it does while the machine runs. It lasts no longer than it was meant to: the clock of a machine
    /// that has just started may be years behind.
    pub(crate) fn remaining(&self, now: SystemTime) -> Option<Duration> {
        let until = self.until.filter(|_| self.boot.is_none())?.system_time();
        let whole = until.duration_since(self.at.system_time()).unwrap_or_default();
        Some(until.duration_since(now).unwrap_or_default().min(whole))
    }

    /// When it ends, in words: `until 2026-11-23T22:00:00.000Z`; `None`: with `announce` alone.
    pub(crate) fn end(&self) -> Option<String> {
        match (&self.file, &self.boot, self.until) {
            (Some(file), ..) => Some(format!("as long as {} is there", file.display())),
            (None, Some(_), Some(until)) => Some(format!("until the machine starts anew, and until {until} at least")),
            (None, Some(_), None) => Some("until the machine starts anew".to_owned()),
            (None, None, Some(until)) => Some(format!("until {until}")),
            (None, None, None) => None,
        }
    }

    /// Whether it has ended while nobody looked; the machine may have started anew.
    fn is_over(&mut self, boot: &str, now: SystemTime) -> bool {
        // Where the boot cannot be told nothing has ended by it.
        if self.boot.as_ref().is_some_and(|of| of != boot && !boot.is_empty()) {
            self.boot = None;
            return self.until.is_none() || self.remaining(now) == Some(Duration::ZERO);
        }
        self.remaining(now) == Some(Duration::ZERO)
    }
}

/// What the file of the orders says.
#[derive(Debug, Default)]
pub(crate) struct Loaded {
    pub(crate) orders: Orders,
    /// The services that there were, where an order for the whole node stands.
    pub(crate) services: BTreeSet<ServiceName>,
    /// Those that ended while no agent ran: they are on the disk still.
    pub(crate) over: Orders,
    /// Why it cannot be read: nothing is known of what is withdrawn.
    pub(crate) unreadable: Option<String>,
}

/// What went wrong with the state directory.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StateError {
    #[error("state directory {path}: {source}; create it, or name another with `state: {{ directory: … }}`")]
    Directory { path: PathBuf, source: io::Error },
    #[error("state directory {path} is in use by another anycastd; one node runs one agent")]
    Locked { path: PathBuf },
    #[error(
        "{path}: {source}; it says which services are withdrawn for maintenance, so that the agent does not start without it"
    )]
    Read { path: PathBuf, source: io::Error },
    #[error("cannot write {path}: {source}; nothing was changed")]
    Write { path: PathBuf, source: io::Error },
}

/// The locked state directory.
#[derive(Debug)]
pub(crate) struct StateDirectory {
    path: PathBuf,
    lock: Flock<File>,
}

#[derive(Serialize, Deserialize)]
struct Contents {
    version: u32,
    orders: BTreeMap<String, Order>,
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    services: BTreeSet<String>,
}

const VERSION: u32 = 1;
/// Those of thousands of services are smaller.
const LARGEST: u64 = 16 << 20;

impl StateDirectory {
    /// Creates the directory where it is missing, and locks it.
    pub(crate) fn open(path: &Path) -> Result<Self, StateError> {
        let fail = |source| StateError::Directory { path: path.to_owned(), source };
        fs::create_dir_all(path).map_err(fail)?;
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            // Whatever is there, it is not waited for.
            .custom_flags(libc::O_NONBLOCK)
            .open(path.join("lock"))
            .map_err(fail)?;
        let lock = Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(_, errno)| match errno {
            nix::errno::Errno::EWOULDBLOCK => StateError::Locked { path: path.to_owned() },
            errno => fail(errno.into()),
        })?;
        Ok(Self { path: path.to_owned(), lock })
    }

    /// As the program before this one has locked it: nothing is asked of the disk.
    pub(crate) fn take_over(lock: OwnedFd, path: &Path) -> Option<Self> {
        // It is locked, and by this process: that makes it ours to unlock.
        let lock = Flock::lock(File::from(lock), FlockArg::LockExclusiveNonblock).ok()?;
        Some(Self { path: path.to_owned(), lock })
    }

    /// Another descriptor of the lock.
    pub(crate) fn duplicate(&self) -> io::Result<OwnedFd> {
        self.lock.as_fd().try_clone_to_owned()
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Where the addresses' intents are kept on kernels that cannot tag an address.
    pub(crate) fn intents(&self) -> PathBuf {
        self.path.join("addresses.json")
    }

    /// Where the orders are kept.
    pub(crate) fn orders_file(&self) -> PathBuf {
        self.path.join("orders.json")
    }

    /// Where the flaps are kept.
    pub(crate) fn flaps_file(&self) -> PathBuf {
        self.path.join("flaps.json")
    }

    /// Reads the orders; a file that is not there means none. One that cannot be read is kept aside.
    pub(crate) fn load(&self, boot: &str, now: SystemTime) -> Result<Loaded, StateError> {
        let path = self.orders_file();
        let text = match read(&path) {
            Ok(None) => return Ok(Loaded::default()),
            // That says nothing of the file.
            Err(source) if is_passing(&source) => return Err(StateError::Read { path, source }),
            Ok(Some(text)) => understand(&text),
            Err(source) => Err(source.to_string()),
        };
        let text = text.inspect_err(|_| {
            if let Err(error) = keep_aside(&path, now) {
                tracing::warn!(path = %path.display(), %error, "cannot be kept aside");
            }
        });
        let (Book { orders, services }, unreadable) = match text {
            Ok(book) => (book, None),
            Err(why) => (Book::default(), Some(why)),
        };
        let ended = |(name, mut order): (ServiceName, Order)| (order.is_over(boot, now), name, order);
        let (over, orders): (Vec<_>, Vec<_>) = orders.into_iter().map(ended).partition(|(over, ..)| *over);
        let book = |orders: Vec<(bool, ServiceName, Order)>| orders.into_iter().map(|(_, name, order)| (name, order));
        Ok(Loaded { orders: book(orders).collect(), services, over: book(over).collect(), unreadable })
    }
}

/// Fields that are unknown are those of a newer version, and do not change what the others mean; where they do, the version is
/// another.
fn understand(text: &[u8]) -> Result<Book, String> {
    let contents: Contents = serde_json::from_slice(text).map_err(|error| error.to_string())?;
    if contents.version != VERSION {
        return Err(format!("its version is {}, and this anycastd knows {VERSION}", contents.version));
    }
    let service = |name: &str| ServiceName::new(name).map_err(|bad| bad.to_string());
    let orders = contents.orders.into_iter().map(|(name, order)| Ok::<_, String>((service(&name)?, order)));
    Ok(Book {
        orders: orders.collect::<Result<_, _>>()?,
        services: contents.services.iter().map(|name| service(name)).collect::<Result<_, _>>()?,
    })
}

/// What is wrong with this process, or passes, and not with the file.
fn is_passing(error: &io::Error) -> bool {
    use nix::errno::Errno;
    let passing = [Errno::EMFILE, Errno::ENFILE, Errno::ENOMEM, Errno::EINTR];
    error.raw_os_error().is_some_and(|code| passing.contains(&Errno::from_raw(code)))
}

/// Writes the orders so that a crash at any moment leaves either the old file or the new one.
pub(crate) fn save(path: &Path, book: &Book) -> Result<(), StateError> {
    let contents = Contents {
        version: VERSION,
        orders: book.orders.iter().map(|(name, order)| (name.to_string(), order.clone())).collect(),
        services: book.services.iter().map(ToString::to_string).collect(),
    };
    let fail = |source| StateError::Write { path: path.to_owned(), source };
    let text = serde_json::to_vec_pretty(&contents).map_err(|error| fail(error.into()))?;
    write_atomically(path, &text).map_err(fail)
}

/// Reads a file of the state directory; `None` where there is none. What is no file is not opened: it could wait for ever, or
/// have no end.
pub(crate) fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    let irregular = || io::Error::other("not a regular file");
    match fs::metadata(path) {
        Ok(about) if about.is_file() => {}
        Ok(_) => return Err(irregular()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    }
    // What it is may change before it is open: hence the second look.
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(irregular());
    }
    let mut text = Vec::new();
    file.take(LARGEST + 1).read_to_end(&mut text)?;
    if text.len() as u64 > LARGEST {
        return Err(io::Error::other(format!("larger than {} MiB", LARGEST >> 20)));
    }
    Ok(Some(text))
}

/// Reads a file of the state directory and understands it. One that cannot be read or understood is kept aside, unless that says
/// nothing of it.
pub(crate) fn recall<T>(path: &Path, understand: impl FnOnce(&[u8]) -> io::Result<T>) -> io::Result<Option<T>> {
    let understood = match read(path) {
        Ok(None) => return Ok(None),
        Err(error) if is_passing(&error) => return Err(error),
        Ok(Some(text)) => understand(&text),
        Err(error) => Err(error),
    };
    understood.map(Some).inspect_err(|_| drop(keep_aside(path, SystemTime::now())))
}

/// Write beside, sync, rename over, sync the directory.
pub(crate) fn write_atomically(path: &Path, text: &[u8]) -> io::Result<()> {
    let beside = path.with_extension("json.new");
    let written = (|| {
        // What an earlier attempt left, or whatever else it is: it is not opened.
        let _ = fs::remove_file(&beside);
        let mut file = OpenOptions::new().create_new(true).write(true).mode(0o600).open(&beside)?;
        file.write_all(text)?;
        file.sync_all()?;
        fs::rename(&beside, path)
    })();
    if written.is_err() {
        let _ = fs::remove_file(&beside);
    }
    written?;
    match path.parent() {
        Some(parent) => File::open(parent)?.sync_all(),
        None => Ok(()),
    }
}
