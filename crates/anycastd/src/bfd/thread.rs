//! The thread that has the sessions.
//!
//! It waits for packets, timers and commands, and for nothing else: not for a disk, not for the runtime. Packets that wait are taken
//! before any timer is looked at, so that a thread that was late itself takes nobody for gone.

use std::{
    collections::BTreeMap,
    io,
    num::NonZeroU32,
    os::fd::{AsFd as _, OwnedFd},
    sync::{
        Arc,
        atomic::Ordering,
        mpsc::{Receiver, TryRecvError},
    },
    time::{Duration, Instant, SystemTime},
};

use anycast_bfd::{Arrival, Entry, Micros, Session, Table};
use anycast_core::{PeerId, config::Neighbor};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    rand::{GetRandomFlags, getrandom},
};
use tokio::sync::oneshot;

use super::{
    PATIENCE, Shared,
    handover::Parted,
    line::{Command, Open},
    priority,
    sockets::{BUFFER, Listener, Port},
    tenant::Tenant,
    timers::Timers,
};
use crate::{
    clock::since_boot,
    fence::Fence,
    handover::{Place, Places},
};

/// Packets that are taken before timers are looked at; where there are more, they come faster than any sessions' would.
const BATCH: usize = 512;
/// The pause after that: whoever floods the port does not get the processor.
const PAUSE: Duration = Duration::from_millis(1);
/// Batches in a row within which all that had waited was taken, or has been dropped by the kernel.
const FLOOD: u32 = 16;
/// How often the heartbeat is looked at, at least.
const LOOK: Duration = Duration::from_millis(50);
/// How often counts and measurements are told.
const TELL: Duration = Duration::from_secs(1);
/// How soon a port that another program has is asked for again.
const AGAIN: Duration = Duration::from_secs(1);
/// No other end is told for longer that a session is being ended.
const LONGEST_FAREWELL: Duration = Duration::from_secs(1);

pub(super) struct Thread {
    commands: Receiver<Command>,
    bell: Arc<OwnedFd>,
    shared: Arc<Shared>,
    fence: Fence,
    table: Table,
    tenants: BTreeMap<NonZeroU32, Tenant>,
    /// The session that a neighbor has now.
    current: BTreeMap<PeerId, NonZeroU32>,
    timers: Timers,
    listeners: BTreeMap<Port, Listener>,
    /// Why a port cannot be had, and when it is asked for again.
    deaf: BTreeMap<Port, (String, Instant)>,
    /// Nothing is heard and sent: somebody else goes on.
    parted: bool,
    /// The other ends wait longer for us than is configured.
    slow: Option<Slow>,
    /// The heartbeat is missing.
    stale: bool,
    looked: Instant,
    told: Instant,
    /// Batches in a row that did not take all that waited.
    flooded: u32,
}

struct Slow {
    until: Instant,
    /// Told when all have agreed.
    reply: Option<oneshot::Sender<()>>,
}

impl Thread {
    pub(super) fn new(commands: Receiver<Command>, bell: Arc<OwnedFd>, shared: Arc<Shared>, fence: Fence) -> Self {
        let now = Instant::now();
        Self {
            commands,
            bell,
            shared,
            fence,
            table: Table::default(),
            tenants: BTreeMap::new(),
            current: BTreeMap::new(),
            timers: Timers::default(),
            listeners: BTreeMap::new(),
            deaf: BTreeMap::new(),
            parted: false,
            slow: None,
            stale: false,
            looked: now,
            told: now,
            flooded: 0,
        }
    }

    /// Goes on with what another program has left, before anybody asks for it.
    pub(super) fn take_over(&mut self, parted: Parted, neighbors: &BTreeMap<PeerId, Neighbor>, places: &mut Places) {
        let now = Instant::now();
        let at = now.checked_sub(since_boot().saturating_sub(parted.at)).unwrap_or(now);
        for left in parted.sessions {
            let Ok(of) = PeerId::new(&left.of) else { continue };
            let Some(bfd) = neighbors.get(&of).and_then(|neighbor| neighbor.bfd.as_ref()) else { continue };
            let id = left.router.map_or_else(|| of.clone(), |router| of.at(router));
            let config = super::session_config(bfd, left.passive);
            let session = match Session::take_over(config, &left.session, at) {
                Ok(session) => session,
                Err(error) => {
                    tracing::warn!(neighbor = %id, "its BFD session begins anew: {error}");
                    continue;
                }
            };
            let tenant = Tenant::left(&left, (id.clone(), of), session.config().clone(), now);
            let discriminator = session.discriminators().0;
            self.table.insert(Entry { remote: tenant.target.remote, path: tenant.target.path, session });
            self.tenants.insert(discriminator, tenant);
            self.current.insert(id, discriminator);
            self.timers.set(discriminator, Some(now));
        }
        for (place, port) in PLACES {
            let Some(descriptor) = places.take(place) else { continue };
            match Listener::adopt(port, descriptor) {
                Ok(listener) => drop(self.listeners.insert(port, listener)),
                Err(error) => tracing::debug!(?port, %error, "a socket that was left is of no use"),
            }
        }
        self.listen(now);
    }

    pub(super) fn run(mut self) {
        let priority = priority::raise().map_err(|error| error.to_string());
        let _ = self.shared.priority.set(priority);
        while self.obey() {
            let now = Instant::now();
            if !self.parted {
                self.look(now);
                let drained = self.hear();
                self.listen(Instant::now());
                self.act(Instant::now(), drained);
                self.tell(Instant::now());
            }
            self.wait();
        }
    }

    /// `false`: there is nobody left to obey.
    fn obey(&mut self) -> bool {
        loop {
            match self.commands.try_recv() {
                Ok(command) => self.carry_out(command, Instant::now()),
                Err(TryRecvError::Empty) => return true,
                Err(TryRecvError::Disconnected) => return false,
            }
        }
    }

    fn carry_out(&mut self, command: Command, now: Instant) {
        match command {
            Command::Open(open) => self.open(&open, now),
            Command::Close { id, serial } => self.close(&id, serial, now),
            Command::Leave { id, serial } => {
                let discriminator = self.current.get(&id);
                let tenant = discriminator.and_then(|it| self.tenants.get_mut(it));
                if let Some(tenant) = tenant.filter(|tenant| tenant.serial == Some(serial)) {
                    tenant.orphan(now);
                }
            }
            Command::SlowDown { until, reply } => {
                self.slow = Some(Slow { until, reply: Some(reply) });
                self.reconfigure(now);
            }
            Command::HandOver(reply) => {
                let handed = self.hand_over(now);
                self.parted = reply.send(handed).is_ok();
            }
            Command::GoOn => {
                (self.parted, self.slow) = (false, None);
                self.reconfigure(now);
            }
        }
    }

    fn open(&mut self, open: &Open, now: Instant) {
        let Open { id, target, config, .. } = open;
        let there = self.current.get(id).copied().filter(|discriminator| {
            let tenant = self.tenants.get(discriminator);
            let parting = |tenant: &Tenant| tenant.serial.is_none() && self.is_parting(*discriminator);
            tenant.is_some_and(|tenant| tenant.target == *target && !parting(tenant))
        });
        let discriminator = match there {
            Some(discriminator) => discriminator,
            None => {
                // One that is elsewhere, or is being ended: the other end takes this one for another that has begun.
                if let Some(other) = self.current.remove(id) {
                    self.forget(other);
                }
                let discriminator = self.table.discriminator(random() as u32);
                let mut session = Session::new(config.clone(), discriminator, random());
                session.set_suspended(self.stale);
                self.table.insert(Entry { remote: target.remote, path: target.path, session });
                self.tenants.insert(discriminator, Tenant::new(open));
                self.current.insert(id.clone(), discriminator);
                discriminator
            }
        };
        if let Some(tenant) = self.tenants.get_mut(&discriminator) {
            tenant.belong(open);
        }
        let config = self.in_force(discriminator, config.clone());
        if let Some(entry) = self.table.get_mut(discriminator) {
            entry.session.set_config(config);
        }
        self.timers.set(discriminator, Some(now));
    }

    fn is_parting(&self, discriminator: NonZeroU32) -> bool {
        self.table.get(discriminator).is_some_and(|entry| entry.session.state() == anycast_bfd::State::AdminDown)
    }

    /// Tells the other end, for as long as it waits for a packet of ours.
    fn close(&mut self, id: &PeerId, serial: u64, now: Instant) {
        let discriminator = self.current.get(id).copied();
        let ours = |tenant: &&mut Tenant| tenant.serial == Some(serial);
        let found = discriminator.and_then(|it| Some((it, self.tenants.get_mut(&it).filter(ours)?)));
        let Some((discriminator, tenant)) = found else { return self.one_less() };
        if let Some(entry) = self.table.get_mut(discriminator) {
            let farewell = entry.session.remote_detection_time().min(LONGEST_FAREWELL);
            let heard = entry.session.remote().is_some();
            tenant.part(now + if heard { farewell } else { Duration::ZERO });
            entry.session.set_admin_down(true);
        }
        self.timers.set(discriminator, Some(now));
    }

    fn one_less(&self) {
        let less = |parting: usize| Some(parting.saturating_sub(1));
        let _ = self.shared.parting.fetch_update(Ordering::AcqRel, Ordering::Acquire, less);
    }

    fn forget(&mut self, discriminator: NonZeroU32) {
        let was_parting = self.is_parting(discriminator);
        self.table.remove(discriminator);
        self.timers.set(discriminator, None);
        let Some(tenant) = self.tenants.remove(&discriminator) else { return };
        if self.current.get(&tenant.id) == Some(&discriminator) {
            self.current.remove(&tenant.id);
        }
        if was_parting && tenant.serial.is_none() {
            self.one_less();
        }
    }

    /// What is configured, or what the other ends are to agree on while nothing is sent.
    fn in_force(&self, discriminator: NonZeroU32, mut config: anycast_bfd::Config) -> anycast_bfd::Config {
        let up = self.table.get(discriminator).is_some_and(|entry| entry.session.state() == anycast_bfd::State::Up);
        if self.slow.is_some() && up {
            let each = PATIENCE.as_micros().div_ceil(config.detect_mult.get().into());
            let slower = Micros(u32::try_from(each).unwrap_or(u32::MAX));
            config.desired_min_tx = config.desired_min_tx.max(slower);
        }
        config
    }

    /// All sessions are told anew of what is in force.
    fn reconfigure(&mut self, now: Instant) {
        let all: Vec<_> =
            self.tenants.iter().map(|(discriminator, tenant)| (*discriminator, tenant.config.clone())).collect();
        for (discriminator, config) in all {
            let config = self.in_force(discriminator, config);
            if let Some(entry) = self.table.get_mut(discriminator) {
                entry.session.set_config(config);
            }
            self.timers.set(discriminator, Some(now));
        }
    }

    fn hand_over(&self, now: Instant) -> (Parted, Places) {
        let left = |(discriminator, tenant): (&NonZeroU32, &Tenant)| {
            let entry = self.table.get(*discriminator).filter(|_| !self.is_parting(*discriminator))?;
            let router = (tenant.id != tenant.of).then_some(tenant.target.remote);
            Some(tenant.leave(&entry.session, router, now))
        };
        let parted = Parted { at: since_boot(), sessions: self.tenants.iter().filter_map(left).collect() };
        let mut places = Places::default();
        for (place, port) in PLACES {
            if let Some(listener) = self.listeners.get(&port) {
                places.keep(place, listener.descriptor());
            }
        }
        (parted, places)
    }

    /// The ports that are needed are opened, the others are closed.
    fn listen(&mut self, now: Instant) {
        let needed = |port: Port| self.tenants.values().any(|tenant| Port::of(&tenant.target) == port);
        for (_, port) in PLACES {
            if !needed(port) {
                self.listeners.remove(&port);
                self.deaf.remove(&port);
            } else if !self.listeners.contains_key(&port) && self.deaf.get(&port).is_none_or(|(_, at)| *at <= now) {
                match Listener::open(port) {
                    Ok(listener) => {
                        self.listeners.insert(port, listener);
                        self.deaf.remove(&port);
                    }
                    Err(error) => drop(self.deaf.insert(port, (no_port(port, &error), now + AGAIN))),
                }
            }
        }
        for (discriminator, tenant) in &mut self.tenants {
            let hearing = self.deaf.get(&Port::of(&tenant.target)).map(|(why, _)| why.clone());
            if tenant.hearing != hearing {
                tenant.hearing = hearing;
                self.timers.set(*discriminator, Some(now));
            }
        }
    }

    /// Takes what waits; whether that was all.
    fn hear(&mut self) -> bool {
        let mut buffer = [0; BUFFER];
        let ports: Vec<Port> = self.listeners.keys().copied().collect();
        let mut drained = true;
        for port in ports {
            let mut left = BATCH;
            loop {
                let Some(listener) = self.listeners.get(&port) else { break };
                match listener.receive(&mut buffer) {
                    Ok(Some((datagram, arrival))) => self.handle(datagram.to_owned(), arrival),
                    Ok(None) => break,
                    // It is told once, and is nothing that the next packet would not survive.
                    Err(error) => {
                        tracing::debug!(?port, %error, "cannot hear");
                        break;
                    }
                }
                left -= 1;
                if left == 0 {
                    drained = false;
                    break;
                }
            }
        }
        self.flooded = if drained { 0 } else { self.flooded.saturating_add(1) };
        drained
    }

    fn handle(&mut self, datagram: Vec<u8>, from: Arrival) {
        let now = Instant::now();
        match self.table.handle_datagram(&datagram, &from, now) {
            Ok(discriminator) => self.serve(discriminator, now),
            Err(why) => {
                self.shared.count(&why);
                let from_there = |tenant: &&mut Tenant| tenant.target.remote == from.source;
                if let Some(tenant) = self.tenants.values_mut().find(from_there) {
                    tenant.note_discard(why);
                }
            }
        }
    }

    /// Without a heartbeat of the decision loop nothing that we announce can be vouched for.
    fn look(&mut self, now: Instant) {
        self.looked = now;
        let stale = self.fence.is_stale();
        if std::mem::replace(&mut self.stale, stale) == stale {
            return;
        }
        let all: Vec<_> = self.tenants.keys().copied().collect();
        for discriminator in all {
            if let Some(entry) = self.table.get_mut(discriminator) {
                entry.session.set_suspended(stale);
            }
            self.serve(discriminator, now);
        }
    }

    /// Does what is due; detection times only where all that had come was heard.
    fn act(&mut self, now: Instant, drained: bool) {
        // First all of them: what is still due because not all was heard would be due again at once.
        let due: Vec<_> = std::iter::from_fn(|| self.timers.due(now)).collect();
        for discriminator in due {
            if (drained || self.flooded >= FLOOD)
                && let Some(entry) = self.table.get_mut(discriminator)
                && let Some(tenant) = self.tenants.get_mut(&discriminator)
            {
                let silent = entry.session.heard().map(|at| now.saturating_duration_since(at));
                entry.session.handle_timeout(now);
                while let Some(event) = entry.session.poll_event() {
                    tenant.note(event, silent);
                }
            }
            self.serve(discriminator, now);
            let over = self.tenants.get(&discriminator).and_then(|tenant| tenant.over);
            if over.is_some_and(|over| over <= now) {
                self.end(discriminator, now);
            }
        }
        self.settle_slow(now);
    }

    /// One that is over is forgotten; one that nobody asked for after all is taken down.
    fn end(&mut self, discriminator: NonZeroU32, now: Instant) {
        if self.is_parting(discriminator) {
            return self.forget(discriminator);
        }
        if let (Some(entry), Some(tenant)) = (self.table.get_mut(discriminator), self.tenants.get_mut(&discriminator)) {
            tenant.part(now + entry.session.remote_detection_time().min(LONGEST_FAREWELL));
            entry.session.set_admin_down(true);
            self.shared.parting.fetch_add(1, Ordering::AcqRel);
        }
        self.serve(discriminator, now);
    }

    /// Sends, tells, and sets the next time.
    fn serve(&mut self, discriminator: NonZeroU32, now: Instant) {
        let found = (self.table.get_mut(discriminator), self.tenants.get_mut(&discriminator));
        let (Some(entry), Some(tenant)) = found else { return };
        tenant.transmit(&mut entry.session, now, random);
        while let Some(event) = entry.session.poll_event() {
            tenant.note(event, None);
        }
        tenant.tell(entry, false);
        let next = [entry.session.poll_timeout(now), tenant.over].into_iter().flatten().min();
        self.timers.set(discriminator, next);
    }

    fn settle_slow(&mut self, now: Instant) {
        let Some(slow) = &mut self.slow else { return };
        let waits = |entry: &Entry| entry.session.is_polling();
        let agreed = !self.table.iter().any(|(_, entry)| waits(entry));
        if (agreed || slow.until <= now)
            && let Some(reply) = slow.reply.take()
        {
            let _ = reply.send(());
        }
    }

    /// Counts and measurements.
    fn tell(&mut self, now: Instant) {
        if now.saturating_duration_since(self.told) < TELL {
            return;
        }
        self.told = now;
        for (discriminator, tenant) in &mut self.tenants {
            if let Some(entry) = self.table.get(*discriminator) {
                tenant.tell(entry, true);
            }
        }
    }

    fn wait(&self) {
        let now = Instant::now();
        let next = if self.parted || self.tenants.is_empty() {
            None
        } else {
            let slow = self.slow.as_ref().filter(|slow| slow.reply.is_some()).map(|slow| slow.until);
            let others = [self.timers.next(), slow];
            Some(others.into_iter().flatten().fold(self.looked + LOOK, Instant::min))
        };
        let mut all = vec![PollFd::new(&*self.bell, PollFlags::IN)];
        if self.flooded > 0 {
            std::thread::sleep(PAUSE);
        }
        if !self.parted {
            all.extend(
                self.listeners.values().map(|listener| PollFd::from_borrowed_fd(listener.as_fd(), PollFlags::IN)),
            );
        }
        let timeout = next.map(|at| at.saturating_duration_since(now));
        let timeout =
            timeout.map(|time| Timespec { tv_sec: time.as_secs() as i64, tv_nsec: time.subsec_nanos().into() });
        // An interruption is as good as a timer.
        let _ = poll(&mut all, timeout.as_ref());
        let mut rung = [0; 8];
        let _ = rustix::io::read(self.bell.as_fd(), &mut rung);
    }
}

/// Where the sockets are that hear, for another program.
const PLACES: [(Place, Port); 4] = [
    (Place::BfdSingleHopV4, Port::SingleHopV4),
    (Place::BfdSingleHopV6, Port::SingleHopV6),
    (Place::BfdMultihopV4, Port::MultihopV4),
    (Place::BfdMultihopV6, Port::MultihopV6),
];

fn no_port(port: Port, error: &io::Error) -> String {
    let hint = if error.kind() == io::ErrorKind::AddrInUse {
        " (another BFD daemon on this node? stop it, or have it leave these neighbors alone)"
    } else {
        ""
    };
    format!("UDP port {} cannot be had: {error}{hint}", port.number())
}

fn random() -> u64 {
    let mut bytes = [0; 8];
    match getrandom(&mut bytes, GetRandomFlags::empty()) {
        Ok(8) => u64::from_ne_bytes(bytes),
        // Before the kernel has any randomness of its own.
        Ok(_) | Err(_) => {
            SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(1, |time| time.as_nanos() as u64)
        }
    }
}
