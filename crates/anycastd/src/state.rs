//! What survives a restart: the orders of operators, in one file of the state directory.
//!
//! The directory is locked for the life of the process, so that two agents never fight over one node.

use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use anycast_api::{Timestamp, WithdrawMode};
use anycast_core::ServiceName;
use nix::fcntl::{Flock, FlockArg};
use serde::{Deserialize, Serialize};

/// The standing orders, by service.
pub(crate) type Orders = BTreeMap<ServiceName, Order>;

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
    /// When it ends by itself.
    pub(crate) until: Option<Timestamp>,
    /// It was given for all services.
    #[serde(default)]
    pub(crate) whole_node: bool,
}

impl Order {
    /// In how long it ends by itself, if it does.
    pub(crate) fn remaining(&self, now: SystemTime) -> Option<Duration> {
        self.until.map(|until| until.system_time().duration_since(now).unwrap_or_default())
    }
}

/// What went wrong with the state directory.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StateError {
    #[error("state directory {path}: {source}; create it, or name another with `state: {{ directory: … }}`")]
    Directory { path: PathBuf, source: io::Error },
    #[error("state directory {path} is in use by another anycastd; one node runs one agent")]
    Locked { path: PathBuf },
    #[error(
        "{path}: {source}; it says which services are withdrawn for maintenance. Move it away to begin with none withdrawn"
    )]
    Read { path: PathBuf, source: io::Error },
    #[error(
        "{path} cannot be understood: {source}; it says which services are withdrawn for maintenance. \
         Mend it, or move it away to begin with none withdrawn"
    )]
    Parse { path: PathBuf, source: serde_json::Error },
    #[error("cannot write {path}: {source}; nothing was changed")]
    Write { path: PathBuf, source: io::Error },
}

/// The locked state directory.
#[derive(Debug)]
pub(crate) struct StateDirectory {
    path: PathBuf,
    _lock: Flock<File>,
}

#[derive(Serialize, Deserialize)]
struct Contents {
    version: u32,
    orders: BTreeMap<String, Order>,
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
        Ok(Self { path: path.to_owned(), _lock: lock })
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

    /// Reads the orders; a file that is not there means none.
    pub(crate) fn load(&self) -> Result<Orders, StateError> {
        let path = self.orders_file();
        let text = match read(&path) {
            Ok(Some(text)) => text,
            Ok(None) => return Ok(Orders::new()),
            Err(source) => return Err(StateError::Read { path, source }),
        };
        let contents: Contents =
            serde_json::from_slice(&text).map_err(|source| StateError::Parse { path: path.clone(), source })?;
        let foreign = |what: String| StateError::Parse { path: path.clone(), source: serde::de::Error::custom(what) };
        if contents.version != VERSION {
            return Err(foreign(format!("version {} is not {VERSION}", contents.version)));
        }
        let named = |(name, order): (String, Order)| {
            Ok((ServiceName::new(&name).map_err(|bad| foreign(bad.to_string()))?, order))
        };
        contents.orders.into_iter().map(named).collect()
    }
}

/// Writes the orders so that a crash at any moment leaves either the old file or the new one.
pub(crate) fn save(path: &Path, orders: &Orders) -> Result<(), StateError> {
    let contents = Contents {
        version: VERSION,
        orders: orders.iter().map(|(name, order)| (name.to_string(), order.clone())).collect(),
    };
    let fail = |source| StateError::Write { path: path.to_owned(), source };
    let text = serde_json::to_vec_pretty(&contents).map_err(|error| fail(error.into()))?;
    write_atomically(path, &text).map_err(fail)
}

/// Reads a file of the state directory; `None` where there is none. What is no file is not opened: it could wait for ever, or
/// have no end.
pub(crate) fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    let irregular = || io::Error::other("not a regular file; remove it");
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
        return Err(io::Error::other(format!("larger than {} MiB; remove it", LARGEST >> 20)));
    }
    Ok(Some(text))
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

#[cfg(test)]
mod tests {
    use super::*;

    fn orders() -> Orders {
        let order = Order {
            mode: WithdrawMode::Graceful,
            by: "root".into(),
            at: "2026-11-23T20:00:00Z".parse().unwrap(),
            reason: Some("kernel update".into()),
            until: None,
            whole_node: true,
        };
        Orders::from([(ServiceName::new("dns").unwrap(), order)])
    }

    #[test]
    fn orders_survive() {
        let home = tempfile::tempdir().unwrap();
        let state = StateDirectory::open(home.path()).unwrap();
        assert_eq!(state.load().unwrap(), Orders::new());
        save(&state.orders_file(), &orders()).unwrap();
        assert_eq!(state.load().unwrap(), orders());
        save(&state.orders_file(), &Orders::new()).unwrap();
        assert_eq!(state.load().unwrap(), Orders::new());
    }

    /// As [`StateDirectory::load`], within a time: what hangs must fail, not hang the tests.
    fn in_time<T: Send + 'static>(what: impl FnOnce() -> T + Send + 'static) -> T {
        let (done, waits) = std::sync::mpsc::channel();
        std::thread::spawn(move || done.send(what()));
        waits.recv_timeout(Duration::from_secs(30)).expect("it does not hang")
    }

    #[test]
    fn what_is_no_file_is_refused_and_not_waited_for() {
        let home = tempfile::tempdir().unwrap();
        let state = StateDirectory::open(home.path()).unwrap();
        let orders = state.orders_file();
        nix::unistd::mkfifo(&orders, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let (error, state) = in_time(move || (state.load().unwrap_err().to_string(), state));
        assert!(error.contains("orders.json: not a regular file; remove it"), "{error}");
        assert!(error.contains("begin with none withdrawn"), "the remedy: {error}");
        fs::remove_file(&orders).unwrap();
        std::os::unix::fs::symlink("/dev/zero", &orders).unwrap();
        assert!(state.load().unwrap_err().to_string().contains("not a regular file"));
        fs::remove_file(&orders).unwrap();
        // Nor is what lies in the way of a write.
        nix::unistd::mkfifo(&orders.with_extension("json.new"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        in_time(move || save(&orders, &Orders::new())).unwrap();
        drop(state);
        fs::remove_file(home.path().join("lock")).unwrap();
        nix::unistd::mkfifo(&home.path().join("lock"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        let path = home.path().to_owned();
        assert!(in_time(move || StateDirectory::open(&path)).is_err());
    }

    #[test]
    fn a_second_agent_is_refused_until_the_first_is_gone() {
        let home = tempfile::tempdir().unwrap();
        let first = StateDirectory::open(home.path()).unwrap();
        assert!(matches!(StateDirectory::open(home.path()), Err(StateError::Locked { .. })));
        drop(first);
        StateDirectory::open(home.path()).unwrap();
    }

    #[test]
    fn what_cannot_be_understood_is_said_and_left_alone() {
        let home = tempfile::tempdir().unwrap();
        let state = StateDirectory::open(home.path()).unwrap();
        let bad = ["", "{", "[]", r#"{"version":2,"orders":{}}"#, r#"{"version":1,"orders":{"a b":{}}}"#];
        for text in bad {
            fs::write(state.orders_file(), text).unwrap();
            let error = state.load().unwrap_err().to_string();
            assert!(error.contains("orders.json"), "{error}");
            assert_eq!(fs::read_to_string(state.orders_file()).unwrap(), text);
        }
    }

    #[test]
    fn a_write_that_fails_leaves_the_old_orders() {
        let home = tempfile::tempdir().unwrap();
        let state = StateDirectory::open(home.path()).unwrap();
        save(&state.orders_file(), &orders()).unwrap();
        // The name beside is taken by a directory: the write must fail before it touches the file.
        fs::create_dir(state.orders_file().with_extension("json.new")).unwrap();
        assert!(save(&state.orders_file(), &Orders::new()).is_err());
        assert_eq!(state.load().unwrap(), orders());
    }
}
