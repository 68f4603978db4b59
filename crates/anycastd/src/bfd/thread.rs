//! The thread that has the sessions.
//!
//! It waits for packets, timers and commands, and for nothing else: not for a disk, not for the runtime. Packets that wait are taken
//! before any timer is looked at, so that a thread that was late itself takes nobody for gone.

mod leaving;
mod ports;

use std::{
    collections::BTreeMap,
    num::NonZeroU32,
    os::fd::{AsFd as _, OwnedFd},
    sync::{
        Arc,
        atomic::Ordering,
        mpsc::{Receiver, TryRecvError},
    },
    time::{Duration, Instant, SystemTime},
};

use anycast_bfd::{Arrival, Entry, Event, Micros, Session, State, Table};
use anycast_core::PeerId;
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    rand::{GetRandomFlags, getrandom},
};
use tokio::sync::oneshot;

use super::{
    PATIENCE, Shared,
    line::{Command, Open, Target},
    priority,
    sockets::{Listener, Port},
    tenant::Tenant,
    timers::Timers,
};
use crate::fence::Fence;

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
    /// Other ports may be needed than are open.
    unsettled: bool,
    /// Nothing is heard and sent: somebody else goes on.
    parted: bool,
    /// The other ends wait longer for us than is configured.
    slow: Option<Slow>,
    /// The heartbeat is missing.
    stale: bool,
    looked: Instant,
    /// The last beat that was seen, and for how long of our own time there has been no other.
    beat: u64,
    silent: Duration,
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
            unsettled: false,
            parted: false,
            slow: None,
            stale: false,
            looked: now,
            beat: 0,
            silent: Duration::ZERO,
            told: now,
            flooded: 0,
        }
    }

    pub(super) fn run(mut self) {
        let priority = priority::raise().map_err(|error| error.to_string());
        let _ = self.shared.priority.set(priority);
        while self.obey() {
            let now = Instant::now();
            if !self.parted {
                self.look(now);
                let drained = self.hear();
                self.listen(now);
                // Not a later moment: what has come since is not heard yet.
                self.act(now, drained);
                self.tell(now);
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
            tenant.is_some_and(|tenant| tenant.target.is_that_of(target) && !parting(tenant))
        });
        let discriminator = match there {
            Some(discriminator) => discriminator,
            None => {
                if let Some(other) = self.current.remove(id) {
                    self.make_way(other, target, now);
                }
                let discriminator = self.table.discriminator(random() as u32);
                let mut session = Session::new(config.clone(), discriminator, random());
                session.set_suspended(self.stale);
                self.table.insert(Entry::new(target.remote, target.path, session));
                self.tenants.insert(discriminator, Tenant::new(open));
                self.current.insert(id.clone(), discriminator);
                discriminator
            }
        };
        if let Some(tenant) = self.tenants.get_mut(&discriminator) {
            tenant.belong(open);
        }
        self.unsettled = true;
        if let Some(entry) = self.table.get_mut(discriminator) {
            entry.path = target.path;
        }
        self.configure(discriminator, config.clone(), now);
    }

    /// One that is elsewhere than the neighbor's next, or is being ended.
    fn make_way(&mut self, other: NonZeroU32, target: &Target, now: Instant) {
        let elsewhere = self.tenants.get(&other).is_some_and(|tenant| Port::of(&tenant.target) != Port::of(target));
        match elsewhere && !self.is_parting(other) {
            true => self.end(other, now),
            // Where both would be found by the same packets, the other end takes the new one for one that has begun anew.
            false => self.forget(other),
        }
    }

    fn is_parting(&self, discriminator: NonZeroU32) -> bool {
        self.table.get(discriminator).is_some_and(|entry| entry.session.state() == State::AdminDown)
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
            tenant.part(now, if heard { farewell } else { Duration::ZERO });
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
        self.unsettled = true;
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
        let up = self.table.get(discriminator).is_some_and(|entry| entry.session.state() == State::Up);
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
            self.configure(discriminator, config, now);
        }
    }

    fn configure(&mut self, discriminator: NonZeroU32, config: anycast_bfd::Config, now: Instant) {
        let config = self.in_force(discriminator, config);
        if let Some(entry) = self.table.get_mut(discriminator) {
            entry.session.set_config(config);
        }
        self.timers.set(discriminator, Some(now));
    }

    fn handle(&mut self, datagram: &[u8], from: Arrival) {
        let now = Instant::now();
        match self.table.handle_datagram(datagram, &from, now) {
            Ok(discriminator) => self.serve(discriminator, now),
            Err(why) => {
                self.shared.count(&why);
                let found = self.table.with(from.source).next();
                if let Some(tenant) = found.and_then(|discriminator| self.tenants.get_mut(&discriminator)) {
                    tenant.note_discard(why, from.ttl);
                }
            }
        }
    }

    /// Without a heartbeat of the decision loop nothing that we announce can be vouched for.
    fn look(&mut self, now: Instant) {
        // Only the time that this thread was run itself: a machine that was suspended, or a process that was stopped, is no loop that hangs.
        let passed = now.saturating_duration_since(std::mem::replace(&mut self.looked, now)).min(LOOK * 2);
        let beat = self.fence.loop_beats();
        self.silent =
            if std::mem::replace(&mut self.beat, beat) == beat { self.silent + passed } else { Duration::ZERO };
        let stale = self.silent > self.fence.stale_after() || self.fence.is_closed();
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
                    tenant.note(event, silent, now);
                }
            }
            let discriminator = self.rename(discriminator).unwrap_or(discriminator);
            self.serve(discriminator, now);
            let over = self.tenants.get(&discriminator).and_then(|tenant| tenant.over);
            if over.is_some_and(|over| over <= now) {
                self.end(discriminator, now);
            }
        }
        self.settle_slow(now);
    }

    /// Where the session is to have another discriminator: which that is.
    fn rename(&mut self, discriminator: NonZeroU32) -> Option<NonZeroU32> {
        let fresh = self.table.rename(discriminator, random() as u32)?;
        self.timers.set(discriminator, None);
        if let Some(tenant) = self.tenants.remove(&discriminator) {
            if let Some(current) = self.current.get_mut(&tenant.id).filter(|current| **current == discriminator) {
                *current = fresh;
            }
            self.tenants.insert(fresh, tenant);
        }
        Some(fresh)
    }

    /// One that is over is forgotten; one that nobody asked for after all is taken down.
    fn end(&mut self, discriminator: NonZeroU32, now: Instant) {
        if self.is_parting(discriminator) {
            return self.forget(discriminator);
        }
        if let (Some(entry), Some(tenant)) = (self.table.get_mut(discriminator), self.tenants.get_mut(&discriminator)) {
            tenant.part(now, entry.session.remote_detection_time().min(LONGEST_FAREWELL));
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
        tenant.repeat(&mut entry.session, now);
        let mut is_up = false;
        while let Some(event) = entry.session.poll_event() {
            is_up |= matches!(event, Event::Changed { to: State::Up, .. });
            tenant.note(event, None, now);
        }
        tenant.tell(entry, false);
        let next = [entry.session.poll_timeout(now), tenant.over, tenant.repeats_at()].into_iter().flatten().min();
        self.timers.set(discriminator, next);
        // It is asked as those were that had been Up before.
        if is_up && self.slow.is_some() {
            let config = tenant.config.clone();
            self.configure(discriminator, config, now);
        }
    }

    fn settle_slow(&mut self, now: Instant) {
        let Some(slow) = &mut self.slow else { return };
        let waits = |entry: &Entry| entry.session.is_polling();
        // What is said of one that is being ended is said by this program.
        let parting = self.shared.parting.load(Ordering::Acquire) > 0;
        let agreed = !parting && !self.table.iter().any(|(_, entry)| waits(entry));
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
        if self.flooded > 0 {
            std::thread::sleep(PAUSE);
        }
        let now = Instant::now();
        let next = if self.parted || self.tenants.is_empty() {
            None
        } else {
            let slow = self.slow.as_ref().filter(|slow| slow.reply.is_some()).map(|slow| slow.until);
            let others = [self.timers.next(), slow, self.asks_again()];
            Some(others.into_iter().flatten().fold(self.looked + LOOK, Instant::min))
        };
        let mut all = vec![PollFd::new(&*self.bell, PollFlags::IN)];
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

#[cfg(test)]
mod tests;
