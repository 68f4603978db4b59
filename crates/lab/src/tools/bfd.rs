//! The other end of many BFD sessions, one for each of this node's addresses that somebody speaks to.
//!
//! A router has one session with an agent. What hundreds of them take of the agent needs hundreds of routers, or one program that
//! answers in the name of each. IPv4 and single-hop only; the TTL of what comes is not looked at: nobody attacks a bench.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{self, IoSliceMut},
    net::{IpAddr, Ipv4Addr, SocketAddr},
    num::{NonZeroU8, NonZeroU32},
    os::fd::{AsFd as _, AsRawFd as _},
    time::{Duration, Instant},
};

use anycast_bfd::{Config, LONGEST, Micros, Packet, SINGLE_HOP_PORT, Session, TTL};
use anyhow::{Context as _, bail};
use clap::Args;
use nix::sys::socket::{
    ControlMessageOwned, MsgFlags, SockaddrIn, recvmsg, setsockopt,
    sockopt::{Ipv4PacketInfo, RcvBufForce},
};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use socket2::{Domain, Protocol, Socket, Type};

use super::{
    output::Lines,
    record::{Nanos, Record},
    server::more_descriptors,
};

/// More sessions than any bench has: somebody else speaks.
const MOST: usize = 4096;
/// Packets that are taken before timers are looked at.
const BATCH: usize = 512;
/// What may wait meanwhile, in octets.
const QUEUE: usize = 4 << 20;
/// RFC 5881 §4: packets come from this port or a higher one.
const SOURCE_PORT: u16 = 49152;
/// How long packets are waited for where there is no session.
const IDLE: Duration = Duration::from_secs(1);

/// `bfd`.
#[derive(Debug, Args)]
pub struct Bfd {
    /// How often to send, and to be sent to, at most
    #[arg(long, value_name = "TIME", default_value = "300ms", value_parser = humantime::parse_duration)]
    interval: Duration,
    /// Without so many packets in a row the other end is gone
    #[arg(long, value_name = "N", default_value = "3")]
    multiplier: NonZeroU8,
}

impl Bfd {
    /// Answers until it is killed.
    pub(super) fn run(self) -> anyhow::Result<()> {
        more_descriptors()?;
        let at = Nanos::now();
        let mut peers = Peers::listen(SINGLE_HOP_PORT, SINGLE_HOP_PORT, self.config())?;
        Lines::new().say(&Record::Ready { at });
        loop {
            peers.turn()?;
            peers.wait()?;
        }
    }

    fn config(&self) -> Config {
        let interval = Micros::from_duration(self.interval);
        // It is spoken to first: it does not know by whom.
        Config {
            desired_min_tx: interval,
            required_min_rx: interval,
            detect_mult: self.multiplier,
            passive: true,
            key: None,
        }
    }
}

/// All sessions.
struct Peers {
    listener: Socket,
    /// The port that packets go to.
    to: u16,
    config: Config,
    all: Vec<Peer>,
    /// Which of them it is, by our address and theirs.
    by_ends: BTreeMap<[Ipv4Addr; 2], usize>,
    /// When each has something to do.
    timers: BTreeSet<(Instant, usize)>,
}

struct Peer {
    session: Session,
    socket: Socket,
    due: Option<Instant>,
}

impl Peers {
    fn listen(port: u16, to: u16, config: Config) -> anyhow::Result<Self> {
        let listen = || {
            let socket = Socket::new(Domain::IPV4, Type::DGRAM.nonblocking(), Some(Protocol::UDP))?;
            setsockopt(&socket, Ipv4PacketInfo, &true)?;
            // Who may not have it has what there is.
            let _ = setsockopt(&socket, RcvBufForce, &QUEUE);
            socket.bind(&SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)).into())?;
            io::Result::Ok(socket)
        };
        let listener = listen().with_context(|| format!("cannot listen at UDP port {port}"))?;
        Ok(Self { listener, to, config, all: Vec::new(), by_ends: BTreeMap::new(), timers: BTreeSet::new() })
    }

    /// Hears what has come, and does what is due.
    fn turn(&mut self) -> anyhow::Result<()> {
        // Not a later moment: what has come since is not heard yet.
        let now = Instant::now();
        let drained = self.hear()?;
        // First all of them: what is still due because not all was heard would be due again at once.
        let due: Vec<_> = std::iter::from_fn(|| self.due(now)).collect();
        for which in due {
            if drained && let Some(peer) = self.all.get_mut(which) {
                peer.session.handle_timeout(now);
            }
            self.serve(which, now);
        }
        Ok(())
    }

    /// One whose time has come.
    fn due(&mut self, now: Instant) -> Option<usize> {
        let (_, which) = self.timers.first().copied().filter(|(at, _)| *at <= now)?;
        self.timers.pop_first();
        if let Some(peer) = self.all.get_mut(which) {
            peer.due = None;
        }
        Some(which)
    }

    /// `false`: more waits.
    fn hear(&mut self) -> anyhow::Result<bool> {
        let mut buffer = [0; LONGEST + 1];
        for _ in 0..BATCH {
            let Some((length, ends)) = receive(&self.listener, &mut buffer).context("cannot receive")? else {
                return Ok(true);
            };
            self.handle(buffer.get(..length).unwrap_or_default(), ends)?;
        }
        Ok(false)
    }

    fn handle(&mut self, datagram: &[u8], ends: [Ipv4Addr; 2]) -> anyhow::Result<()> {
        let Ok(received) = Packet::read(datagram) else { return Ok(()) };
        let which = match self.by_ends.get(&ends) {
            Some(which) => *which,
            None => self.begin(ends)?,
        };
        let Some(peer) = self.all.get_mut(which) else { return Ok(()) };
        // It may still mean a session that there was before this program was started.
        let meant = received.packet.your_discriminator;
        if meant != 0 && meant != peer.session.discriminators().0.get() {
            return Ok(());
        }
        let now = Instant::now();
        // Nothing is authenticated.
        if peer.session.handle_packet(&received, now).is_ok() {
            self.serve(which, now);
        }
        Ok(())
    }

    fn begin(&mut self, ends: [Ipv4Addr; 2]) -> anyhow::Result<usize> {
        let which = self.all.len();
        if which >= MOST {
            bail!("there are {MOST} sessions; {} wants one more with {}", ends[1], ends[0]);
        }
        let discriminator = NonZeroU32::MIN.saturating_add(u32::try_from(which)?);
        let seed = Nanos::now().0.wrapping_add(which as u64);
        let socket = transmitter(ends, self.to)
            .with_context(|| format!("cannot send to {} from {}; is that an address here?", ends[1], ends[0]))?;
        self.all.push(Peer { session: Session::new(self.config.clone(), discriminator, seed), socket, due: None });
        self.by_ends.insert(ends, which);
        Ok(which)
    }

    /// Sends, and sets the next time.
    fn serve(&mut self, which: usize, now: Instant) {
        let Some(peer) = self.all.get_mut(which) else { return };
        while let Some(packet) = peer.session.poll_transmit(now) {
            // As if it had been lost on the way: nobody may listen there any more.
            let _ = peer.socket.send(&packet);
        }
        while peer.session.poll_event().is_some() {}
        let next = peer.session.poll_timeout(now);
        let before = std::mem::replace(&mut peer.due, next);
        if before != next {
            if let Some(before) = before {
                self.timers.remove(&(before, which));
            }
            if let Some(next) = next {
                self.timers.insert((next, which));
            }
        }
    }

    fn wait(&self) -> anyhow::Result<()> {
        let timeout = self.timers.first().map_or(IDLE, |(at, _)| at.saturating_duration_since(Instant::now()));
        let timeout = Timespec::try_from(timeout)?;
        match poll(&mut [PollFd::from_borrowed_fd(self.listener.as_fd(), PollFlags::IN)], Some(&timeout)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(error) => Err(error).context("cannot wait for packets"),
        }
    }
}

/// The next datagram: its length, where it came to and where from; `None`: nothing waits.
fn receive(socket: &Socket, buffer: &mut [u8]) -> io::Result<Option<(usize, [Ipv4Addr; 2])>> {
    let mut space = nix::cmsg_space!(nix::libc::in_pktinfo);
    loop {
        let mut parts = [IoSliceMut::new(buffer)];
        let received = recvmsg::<SockaddrIn>(socket.as_raw_fd(), &mut parts, Some(&mut space), MsgFlags::empty());
        let received = match received {
            Ok(received) => received,
            Err(nix::Error::EAGAIN) => return Ok(None),
            Err(nix::Error::EINTR) => continue,
            Err(error) => return Err(error.into()),
        };
        let destination = received.cmsgs()?.find_map(|message| match message {
            ControlMessageOwned::Ipv4PacketInfo(info) => Some(Ipv4Addr::from(u32::from_be(info.ipi_addr.s_addr))),
            _ => None,
        });
        if let (Some(destination), Some(source)) = (destination, received.address) {
            return Ok(Some((received.bytes, [destination, source.ip()])));
        }
    }
}

/// A socket that sends from one to the other.
fn transmitter([from, to]: [Ipv4Addr; 2], port: u16) -> io::Result<Socket> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM.nonblocking(), Some(Protocol::UDP))?;
    socket.set_ttl_v4(TTL.into())?;
    let mut own = SOURCE_PORT;
    loop {
        match socket.bind(&SocketAddr::new(IpAddr::V4(from), own).into()) {
            // This address speaks to somebody else, too.
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && own < u16::MAX => own += 1,
            bound => break bound?,
        }
    }
    socket.connect(&SocketAddr::new(IpAddr::V4(to), port).into())?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use anycast_bfd::State;
    use clap::Parser as _;

    use super::*;
    use crate::harness::AMPLE;

    const AGENT: Ipv4Addr = Ipv4Addr::LOCALHOST;

    #[derive(Debug, clap::Parser)]
    struct Line {
        #[command(flatten)]
        bfd: Bfd,
    }

    fn config(words: &str) -> Config {
        Line::try_parse_from(std::iter::once("bfd").chain(words.split_whitespace())).unwrap().bfd.config()
    }

    fn port(socket: &Socket) -> u16 {
        socket.local_addr().unwrap().as_socket().unwrap().port()
    }

    #[test]
    fn each_address_has_a_session_of_its_own() {
        let ears = Socket::new(Domain::IPV4, Type::DGRAM.nonblocking(), Some(Protocol::UDP)).unwrap();
        ears.bind(&SocketAddr::from((AGENT, 0)).into()).unwrap();
        setsockopt(&ears, Ipv4PacketInfo, &true).unwrap();
        let mut peers = Peers::listen(0, port(&ears), config("--interval 10ms --multiplier 200")).unwrap();
        let to = port(&peers.listener);
        let active = Config { passive: false, ..config("--interval 20ms --multiplier 200") };
        let mut ours = [2_u8, 3, 4].map(|last| {
            let address = Ipv4Addr::new(127, 0, 0, last);
            let session = Session::new(active.clone(), NonZeroU32::new(last.into()).unwrap(), last.into());
            (address, session, transmitter([AGENT, address], to).unwrap())
        });
        let deadline = Instant::now() + AMPLE;
        let up = |session: &Session| session.state() == State::Up && session.transmit_interval().as_millis() == 20;
        while !ours.iter().all(|(_, session, _)| up(session)) {
            let now = Instant::now();
            assert!(now < deadline, "{ours:?}");
            for (_, session, socket) in &mut ours {
                while let Some(packet) = session.poll_transmit(now) {
                    socket.send(&packet).unwrap();
                }
            }
            peers.turn().unwrap();
            let mut buffer = [0; 64];
            while let Some((length, [_, from])) = receive(&ears, &mut buffer).unwrap() {
                let received = Packet::read(&buffer[..length]).unwrap();
                let (_, session, _) = ours.iter_mut().find(|(address, _, _)| *address == from).unwrap();
                let meant = received.packet.your_discriminator;
                assert!(meant == 0 || meant == session.discriminators().0.get());
                session.handle_packet(&received, now).unwrap();
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        assert_eq!(peers.all.len(), 3);
        let theirs: BTreeSet<_> = ours.iter().map(|(_, session, _)| session.discriminators().1).collect();
        assert_eq!(theirs.into_iter().collect::<Vec<_>>(), [1, 2, 3]);
    }

    #[test]
    fn what_is_none_of_its_sessions_begins_none() {
        let mut peers = Peers::listen(0, 9, config("")).unwrap();
        peers.handle(b"no packet of BFD, but as long as one", [AGENT; 2]).unwrap();
        assert!(peers.all.is_empty() && peers.timers.is_empty());
        // One of an earlier program: this one is silent until it is asked anew.
        let mut octets = crate::peer::bfd::Forged::down(5, 6).octets();
        peers.handle(&octets, [AGENT; 2]).unwrap();
        assert_eq!(peers.all[0].session.remote(), None);
        octets[8..12].fill(0);
        peers.handle(&octets, [AGENT; 2]).unwrap();
        assert_eq!(peers.all[0].session.remote().unwrap().0, State::Down);
    }
}
