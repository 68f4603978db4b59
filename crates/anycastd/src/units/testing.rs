//! A bus with a systemd on it that says what a test wants, as far as the agent asks.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use tempfile::TempDir;
use tokio::{net::UnixListener, task::JoinHandle};
use zbus::{Connection, Guid, OwnedObjectPath, Variant, connection::Builder, fdo, interface};

type States = Arc<Mutex<BTreeMap<String, [&'static str; 4]>>>;

/// The units, each with its load state, active state, sub state and result.
pub(crate) struct Fake {
    directory: TempDir,
    states: States,
    connections: Arc<Mutex<Vec<Connection>>>,
    task: Option<JoinHandle<()>>,
}

impl Fake {
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut fake = Self { directory, states: States::default(), connections: Arc::default(), task: None };
        fake.start();
        fake
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.directory.path().join("bus")
    }

    pub(crate) fn start(&mut self) {
        let listener = UnixListener::bind(self.socket()).unwrap();
        let (states, connections) = (self.states.clone(), self.connections.clone());
        self.task = Some(tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let served = Builder::unix_stream(stream.into_std().unwrap())
                    .server(Guid::generate())
                    .p2p()
                    .serve_at("/org/freedesktop/DBus", Daemon)
                    .serve_at("/org/freedesktop/systemd1", Manager(states.clone()))
                    .serve_at(path("a.service").as_str(), Service(states.clone(), "a.service"))
                    .build()
                    .await;
                if let Ok(connection) = served {
                    connections.lock().unwrap().push(connection);
                }
            }
        }));
    }

    /// The bus goes, with all its connections.
    pub(crate) async fn stop(&mut self) {
        self.task.take().unwrap().abort();
        let connections = std::mem::take(&mut *self.connections.lock().unwrap());
        for connection in connections {
            let _ = connection.close().await;
        }
        std::fs::remove_file(self.socket()).unwrap();
    }

    pub(crate) fn connections(&self) -> usize {
        self.connections.lock().unwrap().len()
    }

    /// The unit is in another state, of which nobody is told.
    pub(crate) fn set(&self, unit: &str, state: [&'static str; 4]) {
        self.states.lock().unwrap().insert(unit.to_owned(), state);
    }

    /// As [`set`](Self::set), and systemd signals that something has changed.
    pub(crate) async fn signal(&self, unit: &str, state: [&'static str; 4]) {
        self.set(unit, state);
        let connections = self.connections.lock().unwrap().clone();
        for connection in connections {
            let changed: (&str, BTreeMap<&str, Variant<'_>>, Vec<&str>) =
                ("org.freedesktop.systemd1.Unit", BTreeMap::new(), vec!["ActiveState"]);
            let _ = connection
                .emit_signal(
                    None::<&str>,
                    path(unit).as_str(),
                    "org.freedesktop.DBus.Properties",
                    "PropertiesChanged",
                    &changed,
                )
                .await;
        }
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        if let Some(task) = self.task.take() {
            task.abort();
        }
    }
}

fn path(unit: &str) -> String {
    format!("/org/freedesktop/systemd1/unit/{}", unit.replace('.', "_2e"))
}

/// The bus itself.
struct Daemon;

#[interface(name = "org.freedesktop.DBus")]
impl Daemon {
    fn hello(&self) -> &'static str {
        ":1.7"
    }

    fn add_match(&self, _rule: &str) {}
}

struct Manager(States);

#[interface(name = "org.freedesktop.systemd1.Manager")]
impl Manager {
    fn subscribe(&self) {}

    #[allow(clippy::type_complexity, reason = "it is what systemd's signature says")]
    fn list_units_by_names(
        &self,
        names: Vec<String>,
    ) -> fdo::Result<Vec<(String, String, String, String, String, String, OwnedObjectPath, u32, String, OwnedObjectPath)>>
    {
        let states = self.0.lock().unwrap();
        let row = |name: &String| {
            let [load, active, sub, _] = states.get(name).copied().unwrap_or(["not-found", "inactive", "dead", ""]);
            if load == "refused" {
                return Err(fdo::Error::AccessDenied("not you".to_owned()));
            }
            let object = |path: &str| OwnedObjectPath::try_from(path.to_owned()).unwrap();
            let (name, text) = (name.clone(), str::to_owned);
            let unit = object(&path(&name));
            Ok((name, text(""), text(load), text(active), text(sub), text(""), unit, 0, text(""), object("/")))
        };
        names.iter().map(row).collect()
    }
}

/// What `Properties.Get` finds at a unit.
struct Service(States, &'static str);

#[interface(name = "org.freedesktop.systemd1.Service")]
impl Service {
    #[zbus(property)]
    fn result(&self) -> String {
        self.0.lock().unwrap().get(self.1).map_or("", |state| state[3]).to_owned()
    }
}

#[tokio::test]
async fn all_checks_share_one_connection() {
    use super::{Seen, Unit};

    let fake = Fake::new();
    fake.set("a.service", ["loaded", "active", "running", "success"]);
    let told = async |bus: &Path, unit: &str| {
        let unit = Unit::watch(bus, unit);
        unit.changes().wait_for(|seen| matches!(seen, Seen::Told(..))).await.unwrap();
        unit
    };
    let units = [
        told(&fake.socket(), "a.service").await,
        told(&fake.socket(), "a.service").await,
        told(&fake.socket(), "b.service").await,
    ];
    assert_eq!(fake.connections(), 1);
    let Seen::Told(state, _) = units[2].seen() else { panic!() };
    assert_eq!(state.load, "not-found");
    drop(units);
    // And when it is wanted again, there is another.
    let _again = told(&fake.socket(), "a.service").await;
    assert_eq!(fake.connections(), 2);
}
