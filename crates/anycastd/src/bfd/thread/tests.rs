//! The thread with real sockets, each in a network namespace of its own; the other end is played by the test.

use std::{
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    num::NonZeroU8,
};

use anycast_bfd::{Config, Path, Received, State};
use anycast_core::config::Neighbor;
use tokio::sync::watch;

use super::*;
use crate::{
    bfd::{Begin, Bfd, Line, Parted, Seen},
    kernel::tests::world::{AMPLE, eventually, ip, isolated},
};

const OURS: &str = "192.0.2.2";
const THEIRS: &str = "192.0.2.1";

type Job = Box<dyn FnOnce() + Send>;

/// The other end, behind a link: what it says is what the test has it say.
struct Other {
    /// What is done on its side of the link.
    jobs: std::sync::mpsc::Sender<Job>,
    socket: UdpSocket,
    heard: UdpSocket,
    discriminator: u32,
}

impl Other {
    fn new() -> Self {
        let (jobs, given) = std::sync::mpsc::channel::<Job>();
        let (told, thread) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET).unwrap();
            told.send(nix::unistd::gettid()).unwrap();
            given.into_iter().for_each(|job| job());
        });
        let there = thread.recv().unwrap();
        ip(&format!("link add ours type veth peer name theirs netns {there}"));
        ip(&format!("address add {OURS}/24 dev ours"));
        ip("link set ours up");
        let set_up = || {
            ip(&format!("address add {THEIRS}/24 dev theirs"));
            ip("address add 192.0.2.9/24 dev theirs");
            ip("link set theirs up");
            let heard = UdpSocket::bind((THEIRS, anycast_bfd::SINGLE_HOP_PORT)).unwrap();
            heard.set_nonblocking(true).unwrap();
            heard
        };
        let heard = on(&jobs, set_up);
        let socket = on(&jobs, || sender(THEIRS, 255));
        Self { jobs, socket, heard, discriminator: 7 }
    }

    fn sender(&self, from: &'static str, ttl: u32) -> UdpSocket {
        on(&self.jobs, move || sender(from, ttl))
    }

    fn packet(&self, state: State, ours: u32) -> Vec<u8> {
        let bits = match state {
            State::AdminDown => 0,
            State::Down => 1,
            State::Init => 2,
            State::Up => 3,
        };
        // A multiplier that a busy machine does not exceed.
        let mut packet = vec![0x20, bits << 6, 200, 24];
        for number in [self.discriminator, ours, 50_000, 50_000, 0] {
            packet.extend(u32::to_be_bytes(number));
        }
        packet
    }

    fn say(&self, state: State, ours: u32) {
        let to: SocketAddr = (OURS.parse::<Ipv4Addr>().unwrap(), anycast_bfd::SINGLE_HOP_PORT).into();
        self.socket.send_to(&self.packet(state, ours), to).unwrap();
    }

    /// The next packet of ours that says `state`; its discriminator, and the port that it came from.
    async fn hears(&self, state: State) -> (u32, u16) {
        let mut found = None;
        eventually("a packet comes", async || {
            let mut buffer = [0; 512];
            while let Ok((length, from)) = self.heard.recv_from(&mut buffer) {
                let Ok(Received { packet, .. }) = anycast_bfd::Packet::read(&buffer[..length]) else {
                    panic!("it is well formed")
                };
                if packet.state == state {
                    found = Some((packet.my_discriminator.get(), from.port()));
                    return true;
                }
            }
            false
        })
        .await;
        found.unwrap()
    }

    /// Brings it Up.
    async fn greet(&self) -> (u32, u16) {
        let (ours, port) = self.hears(State::Down).await;
        self.say(State::Init, ours);
        assert_eq!(self.hears(State::Up).await, (ours, port));
        (ours, port)
    }
}

fn on<T: Send + 'static>(jobs: &std::sync::mpsc::Sender<Job>, job: impl FnOnce() -> T + Send + 'static) -> T {
    let (done, result) = std::sync::mpsc::channel();
    jobs.send(Box::new(move || drop(done.send(job())))).unwrap();
    result.recv().unwrap()
}

fn sender(from: &str, ttl: u32) -> UdpSocket {
    let socket = UdpSocket::bind((from, 0)).unwrap();
    socket.set_ttl(ttl).unwrap();
    socket
}

fn config() -> Config {
    let interval = Micros::from_duration(Duration::from_millis(50));
    Config {
        desired_min_tx: interval,
        required_min_rx: interval,
        // Long enough for a busy machine.
        detect_mult: NonZeroU8::new(200).unwrap(),
        passive: false,
        key: None,
    }
}

fn target() -> Target {
    Target {
        remote: THEIRS.parse().unwrap(),
        scope: 0,
        source: OURS.parse().ok(),
        device: None,
        path: Path::SingleHop { interface: nix::net::if_::if_nametoindex("ours").ok() },
    }
}

fn open(bfd: &Bfd) -> (Line, watch::Receiver<Seen>) {
    let id = PeerId::new("leaf").unwrap();
    let (told, seen) = watch::channel(Seen::default());
    (Line::open(bfd, (&id, &id), target(), config(), Arc::new(told)), seen)
}

async fn until(seen: &mut watch::Receiver<Seen>, what: &str, so: impl Fn(&Seen) -> bool) -> Seen {
    let found = tokio::time::timeout(AMPLE, seen.wait_for(|seen| so(seen))).await;
    found.unwrap_or_else(|_| panic!("it never came to this: {what}")).unwrap().clone()
}

/// A session that is Up, with our discriminator and the port that packets come from.
async fn up(bfd: &Bfd) -> (Other, Line, watch::Receiver<Seen>, (u32, u16)) {
    let other = Other::new();
    let (line, mut seen) = open(bfd);
    let (ours, port) = other.greet().await;
    assert!(port >= 49152, "RFC 5881 §4: {port}");
    until(&mut seen, "Up", |seen| seen.state == State::Up).await;
    (other, line, seen, (ours, port))
}

/// The other end calls until it is answered.
async fn comes_up_again(other: &Other, ours: u32, seen: &watch::Receiver<Seen>) {
    let up = async || {
        other.say(State::Init, ours);
        seen.borrow().state == State::Up
    };
    eventually("it comes up again", up).await;
}

#[test]
fn it_comes_up_is_lost_and_says_so() {
    isolated(|| async {
        let bfd = Bfd::for_tests();
        let (other, _line, mut seen, (ours, _)) = up(&bfd).await;
        let up = seen.borrow().clone();
        assert_eq!((up.discriminators, up.lost, up.multihop), ((ours, 7), 0, false));
        assert_eq!(up.ends, Some((OURS.parse().unwrap(), THEIRS.parse().unwrap())));
        let late = || bfd.lateness.with_label_values(&["leaf"]).get_sample_count();
        eventually("it is noted how late packets leave", async || late() > 3).await;
        other.say(State::Down, ours);
        let down = until(&mut seen, "Down", |seen| seen.state == State::Down).await;
        assert_eq!((down.losses, down.lost), (1, 1));
        assert!(down.last_loss.unwrap().0.contains("the neighbor told"));
    });
}

#[test]
fn an_end_is_said() {
    isolated(|| async {
        let bfd = Bfd::for_tests();
        let (other, line, ..) = up(&bfd).await;
        assert!(bfd.is_quiet());
        drop(line);
        assert!(!bfd.is_quiet(), "from that moment on");
        // One that is lost is not missed.
        for _ in 0..3 {
            other.hears(State::AdminDown).await;
        }
        eventually("all is said", async || bfd.is_quiet()).await;
        // Another one may begin.
        let (_line, mut seen) = open(&bfd);
        other.greet().await;
        until(&mut seen, "Up", |seen| seen.state == State::Up).await;
    });
}

/// One that is opened anew while the one before it is being ended does not wait for that, and leaves no count behind.
#[test]
fn one_that_begins_anew_at_once_is_another() {
    isolated(|| async {
        let bfd = Bfd::for_tests();
        let (other, line, _, (first, _)) = up(&bfd).await;
        drop(line);
        let (_line, mut seen) = open(&bfd);
        eventually("none is being ended", async || bfd.is_quiet()).await;
        let (second, _) = other.greet().await;
        assert_ne!(first, second);
        until(&mut seen, "Up", |seen| seen.state == State::Up).await;
    });
}

#[test]
fn what_is_not_the_other_ends_is_discarded_and_counted() {
    isolated(|| async {
        let bfd = Bfd::for_tests();
        let (other, _line, seen, (ours, _)) = up(&bfd).await;
        let to: SocketAddr = (OURS.parse::<Ipv4Addr>().unwrap(), anycast_bfd::SINGLE_HOP_PORT).into();
        let down = other.packet(State::Down, ours);
        let cases: [(&str, &'static str, u32, Vec<u8>); 5] = [
            ("ttl", THEIRS, 254, down.clone()),
            ("discriminator", THEIRS, 255, other.packet(State::Down, ours ^ 1)),
            ("unknown_sender", "192.0.2.9", 255, other.packet(State::Down, 0)),
            ("address", "192.0.2.9", 255, down.clone()),
            ("malformed", THEIRS, 255, down[..23].to_vec()),
        ];
        for (reason, from, ttl, packet) in cases {
            assert_eq!(bfd.discards()[reason], 0);
            other.sender(from, ttl).send_to(&packet, to).unwrap();
            eventually(reason, async || bfd.discards()[reason] == 1).await;
        }
        eventually("what was discarded is told", async || seen.borrow().discarded.is_some()).await;
        let now = seen.borrow().clone();
        assert_eq!((now.state, now.losses), (State::Up, 0));
    });
}

#[test]
fn a_port_that_somebody_has_is_told_and_asked_for_again() {
    isolated(|| async {
        let _other = Other::new();
        let holder = UdpSocket::bind((OURS, anycast_bfd::SINGLE_HOP_PORT)).unwrap();
        let bfd = Bfd::for_tests();
        let (_line, mut seen) = open(&bfd);
        let told = until(&mut seen, "the problem", |seen| seen.problem.is_some()).await;
        assert!(told.problem.unwrap().contains("UDP port 3784 cannot be had"));
        drop(holder);
        until(&mut seen, "no problem any more", |seen| seen.problem.is_none()).await;
    });
}

#[test]
fn without_a_heartbeat_no_session_is_up() {
    isolated(|| async {
        let fence = Bfd::fence_for_tests();
        let bfd = Bfd::start(fence.clone(), Bfd::lateness_for_tests(), None).unwrap();
        let (other, _line, mut seen, (ours, _)) = up(&bfd).await;
        fence.close_for_tests(Some("it hangs"));
        other.hears(State::Down).await;
        let down = until(&mut seen, "Down", |seen| seen.state == State::Down).await;
        assert_eq!(down.lost, 0, "the path is well");
        // Who calls meanwhile is not answered with more than that we hear.
        other.say(State::Init, ours);
        fence.close_for_tests(None);
        comes_up_again(&other, ours, &seen).await;
    });
}

/// The time in which the thread itself was not run does not count, so this takes as long as it says.
#[test]
fn a_loop_that_is_silent_for_too_long_is_not_vouched_for() {
    isolated(|| async {
        let fence = Bfd::fence_for_tests();
        let bfd = Bfd::start(fence.clone(), Bfd::lateness_for_tests(), None).unwrap();
        let (other, _line, mut seen, (ours, _)) = up(&bfd).await;
        fence.set_stale_after(Duration::from_millis(200));
        until(&mut seen, "Down", |seen| seen.state == State::Down).await;
        other.hears(State::Down).await;
        fence.set_stale_after(Duration::from_secs(3_600));
        fence.beat();
        comes_up_again(&other, ours, &seen).await;
    });
}

#[test]
fn another_program_goes_on_with_it() {
    isolated(|| async {
        let bfd = Bfd::for_tests();
        let (other, line, _seen, (ours, port)) = up(&bfd).await;
        line.leave();
        // The other end agrees to wait, or does not answer.
        bfd.slow_down().await;
        let (left, mut places) = bfd.hand_over().await.unwrap();
        let left: Parted = serde_json::from_str(&serde_json::to_string(&left).unwrap()).unwrap();
        // What comes meanwhile waits in the socket.
        other.say(State::Up, ours);
        drop(bfd);

        let settings = anycast_core::config::Bfd { multiplier: NonZeroU8::new(200).unwrap(), ..Default::default() };
        let address = anycast_core::config::Endpoint::Address(THEIRS.parse().unwrap());
        let neighbor = Neighbor { bfd: Some(settings), ..Neighbor::new(address, anycast_bgp::PeerAs::External) };
        let neighbors = BTreeMap::from([(PeerId::new("leaf").unwrap(), neighbor)]);
        let begin = Begin { left, neighbors: &neighbors, places: &mut places };
        let bfd = Bfd::start(Bfd::fence_for_tests(), Bfd::lateness_for_tests(), Some(begin)).unwrap();
        while other.heard.recv_from(&mut [0; 512]).is_ok() {}
        assert_eq!(other.hears(State::Up).await, (ours, port));
        let (_line, mut seen) = open(&bfd);
        let now = until(&mut seen, "it is told", |seen| seen.discriminators.0 == ours).await;
        assert_eq!((now.state, now.lost), (State::Up, 0));
    });
}
