//! `anycastd`: one process per edge node that announces anycast prefixes while the services behind them are healthy.
//!
//! Wiring only. The tasks, and what each of them owns:
//!
//! | task | owns | cancel safety |
//! |---|---|---|
//! | [`agent`], the decision loop | all that is known, the orders | runs to its end |
//! | [`checker`], one per check | the check and its probe | a drop ends the probe |
//! | [`peer`], one per neighbor | the session and its socket | a drop closes the connection |
//! | [`listener`] | the sockets that neighbors connect to | a drop closes them |
//! | [`kernel`] | the netlink sockets | a drop leaves the kernel as it is |
//! | [`hints`] | the socket that hears of closed listeners; pidfds; connections that are held | a drop closes them |
//! | [`flaps`] | the file of what flapped | a drop loses what is not written |
//! | [`control`], [`http`] | the listeners | a drop closes them |
//! | [`signals`], [`reload`], [`manager`] | nothing | at any await |
//!
//! And two threads of their own: [`fence`], which depends on none of them and looks whether they live, and [`bfd`], whose packets none of
//! them can delay.

mod agent;
mod alone;
mod bfd;
mod blocking;
mod checker;
mod cli;
mod clock;
mod complaints;
mod config;
mod control;
mod descriptors;
mod disable;
mod dns;
mod doctor;
mod drop_in;
#[cfg(debug_assertions)]
mod faults;
mod fence;
mod flaps;
mod footing;
mod handover;
mod hints;
#[cfg(test)]
mod hostile;
mod http;
mod kernel;
mod listener;
mod lock;
mod logging;
mod manager;
mod metrics;
mod peer;
mod pid_file;
mod probe;
mod query;
mod reload;
mod signal;
mod signals;
mod state;
mod traffic;
mod units;
mod unread;
mod upgrade;

use std::{
    io::{IsTerminal as _, Write as _},
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
    time::Duration,
};

use anyhow::Context as _;
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
};

use crate::{
    agent::{GoesOn, Listening, OrderDesk, Parts},
    bfd::Bfd,
    cli::{Arguments, Exit},
    config::Settings,
    control::{Counter, Desk},
    fence::{Fence, Watcher},
    footing::Footing,
    http::Followers,
    listener::{Deaf, ListenPlan, Listener, Refusals},
    logging::Logging,
    metrics::Instruments,
    reload::Reloader,
    signal::{Sink, Wake},
    traffic::Meter,
    upgrade::Upgrader,
};

/// Threads for the tasks: few do much at once, and probes and sessions must not wait for each other.
const THREADS: usize = 4;
/// Turns of tasks after which a thread that always has one looks for timers and sockets. A turn may take a millisecond where a
/// server floods a check: no timeout is to be late by sixty of them.
const EVENTS_EVERY: u32 = 8;
/// Reports the decision loop may be behind with.
const HAPPENINGS: usize = 4096;
/// Connections of neighbors that the decision loop may be behind with.
const ARRIVALS: usize = 64;
/// How long a process with a fault may take to say so.
const LAST_WORDS: Duration = Duration::from_secs(1);

fn main() -> ExitCode {
    match begin() {
        Ok(exit) | Err(exit) => exit.into(),
    }
}

/// Reads the command line and the configuration, then runs until told to end.
fn begin() -> Result<Exit, Exit> {
    signals::hold_hangup();
    let arguments = Arguments::read()?;
    if arguments.man {
        return manual();
    }
    if arguments.schema {
        return schema();
    }
    let file = arguments.config;
    if arguments.handover_trial {
        return try_handover(&file);
    }
    // Before anything can be put in its place.
    let program = upgrade::program().map_err(|error| error.to_string());
    let colour = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let goes_on = arguments.handover.map(handover::arrive);
    let goes_on = goes_on.and_then(|arrived| {
        // The process before this one has withdrawn nothing: whatever it announced ends with its connections, which are closed now.
        arrived.map_err(|error| say(&format!("anycastd: {error}; every session begins anew\n"))).ok()
    });
    let loaded = match &goes_on {
        Some(goes_on) => config::load_bytes(&file, &goes_on.document.configuration),
        None => config::load(&file, arguments.check),
    };
    let loaded = loaded.map_err(|error| {
        say(&format!("{}\n", error.render(colour)));
        Exit::Config
    })?;
    say(&loaded.warnings.render(colour));
    if arguments.check {
        // Whoever closed our output knows from the exit code.
        let _ = writeln!(std::io::stdout(), "{}: good", file.display());
        for (drop_in, why) in config::drop_ins(&loaded.settings) {
            say(&format!("note: the packaged unit needs its drop-in {drop_in} for this: {why}\n"));
        }
        return Ok(Exit::Done);
    }
    let started = start(Begin { loaded, file, program, goes_on });
    started.map(|()| Exit::Done).map_err(|error| {
        let error = in_full(&error);
        tracing::error!("{error}");
        say(&format!("anycastd: {error}\n"));
        Exit::Failed
    })
}

/// Everything that is known before there is anything else.
struct Begin {
    loaded: config::Loaded,
    file: PathBuf,
    /// The program that runs; `Err`: why it is not known.
    program: Result<PathBuf, String>,
    goes_on: Option<GoesOn>,
}

/// For an agent that runs: would we go on with what it has?
fn try_handover(file: &Path) -> Result<Exit, Exit> {
    let verdict = handover::answer_trial(file).map_err(|unable| {
        say(&format!("{unable}\n"));
        match unable {
            handover::Unable::Configuration { .. } => Exit::Config,
            handover::Unable::Document(_) => Exit::Failed,
        }
    })?;
    let text = serde_json::to_vec(&verdict).map_err(|_| Exit::Software)?;
    std::io::stdout().write_all(&text).map_err(|_| Exit::Failed)?;
    Ok(Exit::Done)
}

fn schema() -> Result<Exit, Exit> {
    let text = format!("{:#}\n", config::schema());
    std::io::stdout().write_all(text.as_bytes()).map_err(|_| Exit::Failed)?;
    Ok(Exit::Done)
}

fn manual() -> Result<Exit, Exit> {
    let page = Arguments::manual().map_err(|_| Exit::Software)?;
    std::io::stdout().write_all(page.as_bytes()).map_err(|_| Exit::Failed)?;
    Ok(Exit::Done)
}

/// The error with its causes, but for those that it names itself.
fn in_full(error: &anyhow::Error) -> String {
    error
        .chain()
        .skip(1)
        .map(ToString::to_string)
        .fold(error.to_string(), |text, cause| if text.contains(&cause) { text } else { format!("{text}: {cause}") })
}

/// To whoever started us. That nobody listens, or that the disk behind it is full, is no reason to end.
fn say(text: &str) {
    let _ = std::io::stderr().write_all(text.as_bytes());
}

fn start(begin: Begin) -> anyhow::Result<()> {
    signals::hold();
    let logging = logging::begin(&begin.loaded.settings.log).context("cannot begin to log")?;
    end_on_panic(logging.clone());
    let threads = std::thread::available_parallelism().map_or(1, |cores| cores.get().min(THREADS)).max(2);
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let runtime = builder.worker_threads(threads).event_interval(EVENTS_EVERY).enable_all().build();
    let runtime = runtime.context("cannot start the runtime")?;
    let ended = runtime.block_on(run(begin, &logging));
    // A disk that hangs under a blocked write must not keep a process that has withdrawn everything.
    runtime.shutdown_background();
    logging.finish();
    ended
}

/// A task that dies would leave its part of the node unattended, and nobody would notice. So the process ends: the
/// neighbors see the connections close and the service manager starts it anew. The tasks of checks are restarted.
fn end_on_panic(logging: logging::Logging) {
    std::panic::set_hook(Box::new(move |panic| {
        if checker::is_check_task() {
            tracing::error!("a fault of the agent itself, in the task of a check: {panic}");
            return;
        }
        // Whatever becomes of the last words: nobody may read them.
        let limit = std::thread::Builder::new().spawn(|| {
            std::thread::sleep(LAST_WORDS);
            std::process::exit(Exit::Software as i32);
        });
        tracing::error!("a fault of the agent itself: {panic}");
        logging.finish();
        if limit.is_ok() {
            say(&format!("anycastd: a fault of the agent itself: {panic}\n"));
        }
        std::process::exit(Exit::Software as i32);
    }));
}

/// The sessions of BFD, those that another program has left among them.
fn start_bfd(
    settings: &Settings,
    fence: &Fence,
    instruments: &Instruments,
    goes_on: Option<&mut GoesOn>,
) -> std::io::Result<Bfd> {
    let left = goes_on.and_then(|goes_on| {
        let left = goes_on.document.bfd.take()?;
        Some(bfd::Begin { left, neighbors: &settings.core.neighbors, places: &mut goes_on.places })
    });
    Bfd::start(fence.clone(), instruments.lateness(), left)
}

async fn run(begin: Begin, logging: &Logging) -> anyhow::Result<()> {
    let Begin { loaded: config::Loaded { settings, text, .. }, file, program, mut goes_on } = begin;
    descriptors::raise();
    let checks = settings.core.services.values().map(|service| service.checks.len()).sum();
    descriptors::warn_if_few(checks, settings.core.neighbors.len());
    let signals = signals::Signals::new().context("cannot listen to signals")?;
    let instruments = Instruments::new().context("metrics")?;
    let fence = Fence::new(settings.stale_after, instruments.fencings());
    // Soon: the neighbors wait for a packet.
    let bfd = start_bfd(&settings, &fence, &instruments, goes_on.as_mut()).context("BFD")?;
    let footing = Footing::find(&settings, goes_on.as_mut()).await?;
    let places = Arc::new(footing.places());
    let Footing { state, alone: _alone, loaded, flaps, kept, socket, lasting } = footing;
    let operators = Arc::new(control::operators(&lasting.control.operators));
    let http = settings.http;
    let (wake, desk) = (Wake::default(), OrderDesk::default());
    let (sink, happenings) = Sink::new(HAPPENINGS);
    let (plan, planned) = watch::channel(None);
    // Asked before anything is bound: what is there was left by the process before this one.
    let restarted = if goes_on.is_some() {
        // A session that does not go on began with what the others go on with.
        goes_on.as_ref().is_some_and(|goes_on| !goes_on.document.bound.is_empty())
    } else if settings.core.neighbors.values().any(|neighbor| neighbor.restart_time.is_some()) {
        let left = kernel::left_behind(state.intents()).await;
        let wanted: Vec<_> = settings.core.services.values().flat_map(|service| &service.addresses).collect();
        // Not all of them: a service may be new, or drained and unbound. What was announced was bound.
        wanted.into_iter().any(|address| left.contains(address))
    } else {
        false
    };
    let (links_told, links) = watch::channel(None);
    // What was bound a moment ago still is; the kernel is asked before anything is decided anew.
    let bound = goes_on.as_ref().map(|goes_on| goes_on.addresses(&settings.core.interface));
    let left = kernel::KernelState::left(bound.unwrap_or_default());
    let (kernel, netlink) = kernel::start(planned, state.intents(), sink.clone(), links_told, left);
    let (listen, listened) = watch::channel(ListenPlan::default());
    let (deaf_told, deaf) = watch::channel(Deaf::new());
    let (arrived, arrivals) = mpsc::channel(ARRIVALS);
    let refusals = Arc::new(Refusals::default());
    let listener = Listener::new(listened, arrived, deaf_told, Arc::clone(&refusals), wake.clone());
    let disable_files = disable::files_of(&settings);
    // Before anything is announced.
    let looks = disable::look(&disable_files).await;
    let (disable_files, looked_for) = watch::channel(Arc::new(disable_files));
    let (watched, woken) = (sink.clone(), wake.clone());
    let (traffic, traffic_ended) = Meter::start().context("cannot start a thread")?;
    let (agent, handle) = agent::new(Parts {
        settings,
        text,
        lasting,
        loaded,
        looks,
        disable_files,
        orders_file: state.orders_file(),
        flaps,
        plan,
        kernel: kernel.clone(),
        links,
        wake,
        sink,
        happenings,
        instruments: instruments.clone(),
        desk: desk.clone(),
        listening: Listening { plan: listen, deaf, arrivals, refusals },
        restarted,
        connections: descriptors::spare(),
        fence: fence.clone(),
        bfd: bfd.clone(),
        traffic,
        goes_on,
    });
    let _watcher =
        Watcher::start(fence, watched, woken, tokio::runtime::Handle::current()).context("cannot start a thread")?;
    let keeper = tokio::spawn(flaps::run(kept, state.flaps_file(), handle.clone()));
    let mut tasks = JoinSet::new();
    let reloader = Reloader::new(handle.clone(), file.clone());
    let (replace, mut replacements) = mpsc::channel(1);
    let (counter, followers) = (Counter::default(), Followers::default());
    let upgrader = Upgrader {
        agent: handle.clone(),
        orders: desk.clone(),
        reloader: reloader.clone(),
        signals: signals.turn(),
        program,
        file,
        state_directory: state.path().to_owned(),
        places,
        bfd,
        replace,
        counter: counter.clone(),
        followers: followers.clone(),
        turn: Arc::default(),
    };
    let desk = Desk { agent: handle.clone(), orders: desk, reloader: reloader.clone(), upgrader, counter, operators };
    tasks.spawn(control::serve(socket, desk));
    tasks.spawn(listener.run());
    tasks.spawn(disable::run(looked_for, handle.clone()));
    tasks.spawn(manager::report(handle.clone(), kernel));
    tasks.spawn(signals.obey(reloader, handle.clone()));
    if let Some(address) = http {
        tasks.spawn(http::run(address, handle, instruments, followers));
    }
    // A task like those that wake it and those that it wakes: they follow each other on one thread, and nobody has to be roused.
    let mut agent = tokio::spawn(agent);
    let ended = loop {
        tokio::select! {
            ended = &mut agent => break ended,
            // On the thread that runs `main`: it is the one that holds the signals back for the next program.
            Some(replacement) = replacements.recv() => replacement.carry_out(logging),
        }
    };
    tasks.shutdown().await;
    let _ = tokio::time::timeout(flaps::LAST_WRITE, keeper).await;
    netlink.abort();
    traffic_ended.wait().await;
    ended.context("the decision loop")?;
    tracing::info!("ended");
    Ok(())
}
