//! Another program in place of this one, on request: tried first, and then begun with everything that this one has.
//!
//! Until the last moment there is a way back: where anything is not as it must be, the agent goes on as if nothing had been, and says
//! why. What has no way back is execve(2) itself, which keeps the process, its number and the descriptors that are left to it.

mod refused;
mod trial;

use std::{
    collections::BTreeMap,
    fs::File,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anycast_api::{UpgradeRequest, UpgradeTrial};
use anycast_core::PeerId;
use nix::{
    errno::Errno,
    sys::wait::{Id, WaitPidFlag, WaitStatus, waitid},
};
use tokio::{
    sync::{Mutex, mpsc, oneshot},
    time::{Instant, sleep, timeout},
};

use self::trial::Unfit;
pub(crate) use self::{refused::Refused, trial::version};
use crate::{
    agent::{Agent, GoesOn, Handle, NoAnswer, OrderDesk, Refusal, Seat, collect, glance},
    bfd::Bfd,
    blocking::{FILES, PROGRAMS},
    control::Counter,
    flaps,
    handover::{self, Document, Places, Upgrade, Verdict},
    http::Followers,
    logging::Logging,
    peer::Left,
    reload::Reloader,
    signals::Turn,
};

/// How long an order, a reload or an upgrade before this one may take.
const TURN: Duration = Duration::from_secs(5);
/// How long those who have asked something may take to have their answer.
const ANSWERED: Duration = Duration::from_secs(1);
/// How long the programs of checks may take to be gone once they are killed.
const ENDED: Duration = Duration::from_secs(2);
/// How often that is looked at.
const LOOK: Duration = Duration::from_millis(2);

/// The program that runs, as it was found at the start: what is installed later is at the same path. Where it was called by a whole
/// path, as a service manager does, that is it: behind a symbolic link there may be another one later.
pub(crate) fn program() -> std::io::Result<PathBuf> {
    let called = std::env::args_os().next().map(PathBuf::from);
    if let Some(called) = called.filter(|path| path.is_absolute() && path.is_file()) {
        return Ok(called);
    }
    let path = std::env::current_exe()?;
    // What /proc/self/exe says of a file that was replaced before we looked.
    let text = path.to_str().and_then(|text| text.strip_suffix(" (deleted)"));
    Ok(text.map_or_else(|| path.clone(), PathBuf::from))
}

/// What the thread that runs `main` is to do.
#[derive(Debug)]
pub(crate) struct Replacement {
    program: PathBuf,
    document: File,
    sessions: BTreeMap<PeerId, Left>,
    places: Arc<Places>,
    /// The ports of BFD.
    ports: Places,
    /// Told where it has failed, with everything as it was.
    failed: oneshot::Sender<(std::io::Error, BTreeMap<PeerId, Left>)>,
}

impl Replacement {
    /// Comes back only where it fails.
    pub(crate) fn carry_out(self, logging: &Logging) {
        let Self { program, document, sessions, places, ports, failed } = self;
        logging.finish();
        let error = handover::replace(&program, &document, &sessions, &[&places, &ports]);
        // Whoever asked may have gone: then the sessions end, and begin anew.
        let _ = failed.send((error, sessions));
    }
}

/// Whoever has all this can have another program begin.
#[derive(Clone)]
pub(crate) struct Upgrader {
    pub(crate) agent: Handle,
    pub(crate) orders: OrderDesk,
    pub(crate) reloader: Reloader,
    pub(crate) signals: Turn,
    /// `Err`: why it is not known.
    pub(crate) program: Result<PathBuf, String>,
    pub(crate) file: PathBuf,
    pub(crate) state_directory: PathBuf,
    pub(crate) places: Arc<Places>,
    pub(crate) bfd: Bfd,
    pub(crate) replace: mpsc::Sender<Replacement>,
    pub(crate) counter: Counter,
    pub(crate) followers: Followers,
    /// One at a time.
    pub(crate) turn: Arc<Mutex<()>>,
}

#[cfg(test)]
impl Upgrader {
    /// One that has nothing to put in place of anything.
    pub(crate) fn for_tests(agent: Handle, reloader: Reloader) -> Self {
        Self {
            agent,
            orders: OrderDesk::default(),
            reloader,
            signals: Turn::default(),
            program: Err("this is a test".to_owned()),
            file: PathBuf::new(),
            state_directory: PathBuf::new(),
            places: Arc::default(),
            bfd: Bfd::for_tests(),
            replace: mpsc::channel(1).0,
            counter: Counter::default(),
            followers: Followers::default(),
            turn: Arc::default(),
        }
    }
}

impl Upgrader {
    /// Has the installed program tell what it would do.
    ///
    /// # Errors
    /// [`Refused`]: it could not go on.
    pub(crate) async fn try_out(&self) -> Result<UpgradeTrial, Refused> {
        let program = self.program.clone().map_err(|why| Refused::Not(format!("{UNKNOWN}: {why}")))?;
        let (mut document, seats) = self.agent.ask(|agent| agent.describe()).await??;
        glance(seats, &mut document).await;
        let count = document.neighbors.len();
        let tried = trial::hold(&program, &self.file, &document).await;
        let Verdict { version, lost } = tried.map_err(|unfit| Refused::Program { program: program.clone(), unfit })?;
        Ok(UpgradeTrial {
            program: program.display().to_string(),
            from: env!("CARGO_PKG_VERSION").to_owned(),
            to: version,
            sessions: count.saturating_sub(lost.len()),
            lost,
        })
    }

    /// Comes back only where another program does not go on.
    pub(crate) async fn upgrade(&self, request: UpgradeRequest, by: String) -> Refused {
        let Ok(_one) = self.turn.clone().try_lock_owned() else {
            return Refused::Not("another upgrade is under way".to_owned());
        };
        let refused = match self.try_out().await {
            Ok(trial) => {
                tracing::info!("upgrade by {by}: {} {} has been tried, and begins", trial.program, trial.to);
                let order = Upgrade { id: request.id, by: by.clone(), missed: BTreeMap::new() };
                self.replace(order, Path::new(&trial.program)).await
            }
            Err(refused) => refused,
        };
        tracing::error!("upgrade by {by} refused: {refused}");
        let (why, lasts) = (refused.in_brief(), refused.lasts());
        let _ = self.agent.order(move |agent| agent.upgrade_refused(&by, &why, lasts)).await;
        refused
    }

    /// Nothing else is under way from here on: no reload, no order, no signal.
    async fn replace(&self, order: Upgrade, program: &Path) -> Refused {
        let _closed = tokio::join!(self.counter.close(ANSWERED), self.followers.send_away(ANSWERED));
        let turns = async { (self.reloader.hold().await, self.orders.hold().await, self.signals.lock().await) };
        let Ok(_turns) = timeout(TURN, turns).await else {
            return Refused::Not("a reload or an order is under way, and does not end: try again".to_owned());
        };
        // The neighbors are not to miss us meanwhile.
        self.bfd.slow_down().await;
        let (mut document, seats) = match self.freeze().await {
            Ok(frozen) => frozen,
            Err(refused) => {
                self.bfd.go_on();
                return refused;
            }
        };
        document.order = Some(order);
        let sessions = collect(seats, &mut document).await;
        let (why, sessions) = self.begin(program, &mut document, sessions).await;
        self.bfd.go_on();
        (document.order, document.bfd) = (None, None);
        let goes_on = GoesOn::new(document, sessions, Places::default());
        match self.agent.order(move |agent| agent.thaw(goes_on)).await {
            Ok(()) => match why {
                Some(why) => Refused::Program { program: program.to_owned(), unfit: Unfit::at_last(program, why) },
                None => Refusal::Stopping.into(),
            },
            Err(none) => none.into(),
        }
    }

    /// An agent that freezes when nobody waits for that any more goes on at once.
    async fn freeze(&self) -> Result<(Document, Vec<Seat>), Refused> {
        let (reply, frozen) = oneshot::channel();
        let freeze = move |agent: &mut Agent| {
            if reply.is_closed() {
                return;
            }
            if let Err(Ok((document, _))) = reply.send(agent.freeze()) {
                agent.resume_all(GoesOn::new(document, BTreeMap::new(), Places::default()));
            }
        };
        self.agent.order(freeze).await?;
        Ok(frozen.await.map_err(|_| NoAnswer)??)
    }

    /// Why it has not begun, and the sessions; `None`: the agent is ending.
    async fn begin(
        &self,
        program: &Path,
        document: &mut Document,
        sessions: BTreeMap<PeerId, Left>,
    ) -> (Option<String>, BTreeMap<PeerId, Left>) {
        // execve(2) waits for every thread to end, and one whose disk hangs does not: there would be no way back.
        let rest = async { (PROGRAMS.rest().await, FILES.rest().await, flaps::WRITING.acquire().await) };
        let Ok((Some(_programs), Some(_files), Ok(_flaps))) = timeout(ENDED, rest).await else {
            let why = "a disk hangs: the start of a check's program, a file of a check, or the state directory";
            return (Some(format!("cannot begin while {why}")), sessions);
        };
        if !childless().await {
            return (Some("a program of a check has been killed, and does not end".to_owned()), sessions);
        }
        // An order to end that came to a thread while it started a program was obeyed, and the next program would not find it.
        if self.agent.order(|agent| agent.is_stopping()).await.unwrap_or(true) {
            return (None, sessions);
        }
        let (parted, ports) = self.bfd.hand_over().await.unzip();
        let ports = ports.unwrap_or_default();
        document.bfd = parted;
        document.set_places(&[&self.places, &ports]);
        document.state_directory.clone_from(&self.state_directory);
        let deposited = match handover::deposit(document) {
            Ok(deposited) => deposited,
            Err(error) => return (Some(format!("what the agent knows cannot be handed over: {error}")), sessions),
        };
        let (failed, failure) = oneshot::channel();
        let (program, places) = (program.to_owned(), Arc::clone(&self.places));
        let replacement = Replacement { program, document: deposited, sessions, places, ports, failed };
        if let Err(refused) = self.replace.send(replacement).await {
            return (None, refused.0.sessions);
        }
        match failure.await {
            Ok((error, sessions)) => (Some(format!("cannot be run: {error}")), sessions),
            Err(_) => (None, BTreeMap::new()),
        }
    }
}

const UNKNOWN: &str = "the path of the program that runs is not known";

/// Waits until there is no child of this process any more, not even a dead one: none has a copy of our descriptors.
async fn childless() -> bool {
    let deadline = Instant::now() + ENDED;
    while Instant::now() < deadline {
        let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
        match waitid(Id::All, flags) {
            Err(Errno::ECHILD) => return true,
            // The runtime reaps it.
            Ok(WaitStatus::StillAlive | _) | Err(_) => sleep(LOOK).await,
        }
    }
    false
}
