//! The task that listens to one bus.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::{StreamExt, future::BoxFuture};
use tokio::time;
use zbus::{Connection, Message, MessageStream, OwnedObjectPath, OwnedVariant, connection::Builder};

use super::{Seen, State, Watched, socket::BusSocket};

/// To connect, and for each answer.
const DEADLINE: Duration = Duration::from_secs(5);
/// How long a failed connection is not tried again, at first and at most.
const PAUSE: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(5));
/// How often everything is read anew.
const REFRESH: Duration = Duration::from_secs(10);

const SYSTEMD: &str = "org.freedesktop.systemd1";
const MANAGER_PATH: &str = "/org/freedesktop/systemd1";
const MANAGER: &str = "org.freedesktop.systemd1.Manager";
const SERVICE: &str = "org.freedesktop.systemd1.Service";
const PROPERTIES: &str = "org.freedesktop.DBus.Properties";
const DBUS: &str = "org.freedesktop.DBus";
const DBUS_PATH: &str = "/org/freedesktop/DBus";

pub(super) struct Listener {
    socket: PathBuf,
    watched: Arc<Watched>,
}

impl Listener {
    pub(super) fn new(socket: &Path, watched: Arc<Watched>) -> Self {
        Self { socket: socket.to_owned(), watched }
    }

    /// Connects, listens until that breaks, and begins again.
    pub(super) async fn run(self) {
        let mut pause = PAUSE.0;
        loop {
            let connected = Instant::now();
            let why = match self.connect().await {
                Ok((connection, messages)) => Talk::new(connection, messages, &self.watched).listen().await,
                Err(why) => why,
            };
            if connected.elapsed() > PAUSE.1 {
                pause = PAUSE.0;
            }
            tracing::debug!(bus = %self.socket.display(), "no longer listening to systemd: {why}");
            self.watched.all_told(&Seen::Trouble(format!("cannot ask systemd: {why}")));
            time::sleep(pause).await;
            pause = (pause * 2).min(PAUSE.1);
        }
    }

    async fn connect(&self) -> Result<(Connection, MessageStream), String> {
        let connecting = async {
            let socket = &self.socket;
            // By hand, so that the words are the system's.
            let stream = tokio::net::UnixStream::connect(socket).await;
            let stream = stream.map_err(|error| format!("{}: {error}", socket.display()))?;
            let (stream, trusted) = BusSocket::new(stream);
            let built = Builder::socket(stream).method_timeout(DEADLINE).build().await;
            let connection = built.map_err(|error| format!("{}: {}", socket.display(), words(error)))?;
            trusted.lift();
            // Before anything is asked for, so that nothing is missed.
            let messages = MessageStream::from(&connection);
            let owner =
                format!("type='signal',sender='{DBUS}',interface='{DBUS}',member='NameOwnerChanged',arg0='{SYSTEMD}'");
            listen_to(&connection, &owner).await.map_err(words)?;
            let subscribed = connection.call_method(Some(SYSTEMD), MANAGER_PATH, Some(MANAGER), "Subscribe", &()).await;
            subscribed.map_err(words)?;
            Ok((connection, messages))
        };
        match time::timeout(2 * DEADLINE, connecting).await {
            Ok(connected) => connected,
            Err(_) => Err(format!("{}: no answer", self.socket.display())),
        }
    }
}

type Asked = (String, Result<(State, OwnedObjectPath), zbus::Error>);

/// One connection. Messages are taken while an answer is awaited, or a full queue would hold up that very answer.
struct Talk<'a> {
    connection: Connection,
    messages: MessageStream,
    watched: &'a Watched,
    /// The objects whose signals come, with the names by which they are watched: several where some are aliases.
    paths: BTreeMap<String, BTreeSet<String>>,
    known: BTreeSet<String>,
    /// To be read.
    stale: BTreeSet<String>,
}

impl<'a> Talk<'a> {
    fn new(connection: Connection, messages: MessageStream, watched: &'a Watched) -> Self {
        let (paths, known, stale) = (BTreeMap::new(), BTreeSet::new(), watched.names().into_iter().collect());
        Self { connection, messages, watched, paths, known, stale }
    }

    /// Returns why it is over.
    async fn listen(mut self) -> String {
        let mut refresh = time::interval_at(time::Instant::now() + REFRESH, REFRESH);
        refresh.set_missed_tick_behavior(time::MissedTickBehavior::Delay);
        let mut asked: Option<BoxFuture<'static, Asked>> = None;
        loop {
            if asked.is_none()
                && let Some(name) = self.stale.pop_first()
            {
                asked = Some(Box::pin(ask(self.connection.clone(), name)));
            }
            let answer = async {
                match &mut asked {
                    Some(asked) => asked.await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                message = self.messages.next() => match message {
                    Some(Ok(message)) => {
                        if let Err(why) = self.handle_message(&message) {
                            return why;
                        }
                    }
                    Some(Err(error)) => return words(error),
                    None => return "the bus has closed the connection".to_owned(),
                },
                (name, answer) = answer => {
                    asked = None;
                    if let Err(why) = self.handle_answer(name, answer).await {
                        return why;
                    }
                }
                () = self.watched.wake.notified() => self.stale.extend(self.watched.names()),
                _ = refresh.tick() => self.stale.extend(self.watched.names()),
            }
        }
    }

    /// What a signal says is not read, only whom it is about: a state that is asked for cannot be put together wrongly.
    fn handle_message(&mut self, message: &Message) -> Result<(), String> {
        let header = message.header();
        if header.message_type() != zbus::message::Type::Signal {
            return Ok(());
        }
        match header.member().map(|member| member.as_str()) {
            Some("NameOwnerChanged") => {
                let changed = message.body().deserialize::<(String, String, String)>();
                match changed {
                    Ok((name, _, _)) if name != SYSTEMD => Ok(()),
                    _ => Err("it has left the bus".to_owned()),
                }
            }
            Some("PropertiesChanged") => {
                let path = header.path().map(|path| path.as_str().to_owned()).unwrap_or_default();
                if let Some(names) = self.paths.get(&path) {
                    self.stale.extend(names.iter().cloned());
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    async fn handle_answer(
        &mut self,
        name: String,
        answer: Result<(State, OwnedObjectPath), zbus::Error>,
    ) -> Result<(), String> {
        let (state, path) = match answer {
            Ok(answer) => answer,
            // An answer, if not the wanted one: the others may do better.
            Err(error) if is_refusal(&error) => {
                self.watched.told(&name, Seen::Trouble(format!("systemd refuses: {}", words(error))));
                return Ok(());
            }
            Err(error) => return Err(words(error)),
        };
        if self.known.insert(name.clone()) {
            let new = !self.paths.contains_key(path.as_str());
            self.paths.entry(path.as_str().to_owned()).or_default().insert(name.clone());
            if new {
                let rule = format!(
                    "type='signal',sender='{SYSTEMD}',interface='{PROPERTIES}',member='PropertiesChanged',path='{}'",
                    path.as_str()
                );
                listen_to(&self.connection, &rule).await.map_err(words)?;
            }
            // It may have changed before the bus was told to pass its signals on.
            self.stale.insert(name);
            return Ok(());
        }
        self.watched.told(&name, Seen::Told(state, Instant::now()));
        Ok(())
    }
}

async fn listen_to(connection: &Connection, rule: &str) -> zbus::Result<()> {
    connection.call_method(Some(DBUS), DBUS_PATH, Some(DBUS), "AddMatch", &rule).await.map(drop)
}

/// A row of `ListUnitsByNames`: name, description, load state, active state, sub state, the unit it follows, its object, and
/// the job that is queued for it.
type Row = (String, String, String, String, String, String, OwnedObjectPath, u32, String, OwnedObjectPath);

async fn ask(connection: Connection, name: String) -> Asked {
    let state = read(&connection, &name).await;
    (name, state)
}

/// This call alone tells all states as of one moment, and loads a unit that is not in memory.
async fn read(connection: &Connection, name: &str) -> zbus::Result<(State, OwnedObjectPath)> {
    let reply =
        connection.call_method(Some(SYSTEMD), MANAGER_PATH, Some(MANAGER), "ListUnitsByNames", &(vec![name],)).await?;
    let rows: Vec<Row> = reply.body().deserialize()?;
    let Some((_, _, load, active, sub, _, path, ..)) = rows.into_iter().next() else {
        return Err(zbus::Error::Failure("it knows nothing of such a unit".to_owned()));
    };
    let wanted = name.ends_with(".service") && load == "loaded" && active != "active";
    let result = if wanted { result(connection, &path).await? } else { None };
    Ok((State { load, active, sub, result }, path))
}

async fn result(connection: &Connection, path: &OwnedObjectPath) -> zbus::Result<Option<String>> {
    let asked = connection.call_method(Some(SYSTEMD), path, Some(PROPERTIES), "Get", &(SERVICE, "Result")).await;
    let reply = match asked {
        Err(error) if is_refusal(&error) => return Ok(None),
        asked => asked?,
    };
    let value: OwnedVariant = reply.body().deserialize()?;
    Ok(String::try_from(value).ok())
}

/// Whether somebody was there to answer.
fn is_refusal(error: &zbus::Error) -> bool {
    use zbus::fdo::Error;

    match error {
        zbus::Error::MethodError(..) => true,
        zbus::Error::FDO(error) => !matches!(
            **error,
            Error::ZBus(_)
                | Error::NoReply(_)
                | Error::Timeout(_)
                | Error::TimedOut(_)
                | Error::Disconnected(_)
                | Error::ServiceUnknown(_)
                | Error::NameHasNoOwner(_)
        ),
        _ => false,
    }
}

/// An error of the bus, without the names that only programs care about.
fn words(error: zbus::Error) -> String {
    match error {
        zbus::Error::MethodError(name, text, _) => text.unwrap_or_else(|| name.to_string()),
        zbus::Error::FDO(error) => {
            let text = error.to_string();
            text.split_once(": ")
                .filter(|(name, _)| !name.contains(' '))
                .map_or(text.clone(), |(_, text)| text.to_owned())
        }
        zbus::Error::InputOutput(error) => error.to_string(),
        other => other.to_string(),
    }
}
