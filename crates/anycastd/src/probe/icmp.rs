//! ICMP echoes are answered by each address.
//!
//! Over a ping socket where the agent's group may have one (`net.ipv4.ping_group_range`), else over a raw one, which
//! needs CAP_NET_RAW. Both are connected: the kernel passes on what the address itself sends, and no more.

use std::{
    io::{self, Read as _},
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::Duration,
};

use anycast_core::config::IcmpProbe;
use rustix::rand::{GetRandomFlags, getrandom};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::{
    io::{Interest, unix::AsyncFd},
    time::{Instant, sleep_until},
};

use super::{Finding, several, words};

/// RFC 792, RFC 4443 §4.1 and §4.2.
const ECHO_V4: u8 = 8;
const REPLY_V4: u8 = 0;
const ECHO_V6: u8 = 128;
const REPLY_V6: u8 = 129;
const HEADER: usize = 8;
/// Between two echoes of a run; less where the timeout is short.
const PACE: Duration = Duration::from_millis(100);
const FORBIDDEN: &str = "not permitted to send ICMP echoes: the agent needs CAP_NET_RAW (the unit's drop-in raw.conf gives it), \
                         or a group within net.ipv4.ping_group_range";

#[derive(Debug)]
pub(super) struct IcmpProber {
    config: IcmpProbe,
}

/// Enough answers from one address.
#[derive(Debug)]
struct Seen {
    answered: usize,
    /// The slowest of them.
    took: Duration,
}

impl IcmpProber {
    pub(super) fn new(config: &IcmpProbe) -> Self {
        Self { config: config.clone() }
    }

    pub(super) async fn run(&self, timeout: Duration) -> Finding {
        let seen = several::each(&self.config.addresses, |address| self.ask(address, timeout)).await;
        seen.map_or_else(|failure| failure, |seen| self.good(&seen))
    }

    /// Ends as soon as enough are answered.
    async fn ask(&self, address: IpAddr, timeout: Duration) -> Result<Seen, Finding> {
        let fault = |error: io::Error| Finding::fault(&address.to_string(), &error);
        let packets = self.config.packets.get();
        let needed = usize::from(packets - self.config.max_loss.min(packets - 1));
        let deadline = Instant::now() + timeout;
        let pace = PACE.min(timeout / (2 * u32::from(packets)));
        let echo = Echo::new(address)?;
        let mut sent: Vec<Instant> = Vec::new();
        let mut answered: Vec<Option<Duration>> = Vec::new();
        let mut next = Instant::now();
        loop {
            if sent.len() < usize::from(packets) && Instant::now() >= next {
                next = Instant::now() + pace;
                let number = u16::try_from(sent.len()).unwrap_or(u16::MAX);
                sent.push(Instant::now());
                answered.push(None);
                echo.send(number).await.map_err(fault)?;
            }
            tokio::select! {
                number = echo.receive() => {
                    let number = usize::from(number.map_err(fault)?);
                    if let (Some(at), Some(answered)) = (sent.get(number), answered.get_mut(number)) {
                        answered.get_or_insert(at.elapsed());
                    }
                }
                () = sleep_until(next), if sent.len() < usize::from(packets) => {}
                () = sleep_until(deadline) => return Err(late(address, &answered, needed, timeout)),
            }
            let times: Vec<Duration> = answered.iter().flatten().copied().collect();
            if times.len() >= needed {
                return Ok(Seen { answered: times.len(), took: times.into_iter().max().unwrap_or_default() });
            }
        }
    }

    fn good(&self, seen: &[(IpAddr, Seen)]) -> Finding {
        let Some((address, last)) = seen.iter().max_by_key(|(_, seen)| seen.took) else {
            return Finding::unknown("no address to ask");
        };
        let took = words::took(last.took);
        let packets = self.config.packets.get();
        match seen {
            [_] if packets == 1 => Finding::up(format!("{address} answered in {took}")),
            // It is not waited for the others, which are not lost for that.
            [_] if last.answered < usize::from(packets) => {
                let echoes = if last.answered == 1 { "1 echo".to_owned() } else { format!("{} echoes", last.answered) };
                let allowed = format!("`packets: {packets}` and `max_loss: {}`", self.config.max_loss);
                Finding::up(format!("{address} answered {echoes}, enough for {allowed}, the slowest in {took}"))
            }
            [_] => Finding::up(format!("{address} answered all {packets} echoes, the slowest in {took}")),
            _ => Finding::up(format!("all {} addresses answered, the slowest, {address}, in {took}", seen.len())),
        }
    }
}

fn late(address: IpAddr, answered: &[Option<Duration>], needed: usize, timeout: Duration) -> Finding {
    let timeout = words::time(timeout);
    match answered.iter().flatten().count() {
        0 => Finding::late(format!("{address}: no answer within {timeout}")),
        some => Finding::late(format!(
            "{address} answered {some} of {} echoes within {timeout}, and {needed} are needed",
            answered.len()
        )),
    }
}

/// Whether this process may send echoes at all. What allows it is the same for both families.
pub(crate) fn may_ping() -> bool {
    !matches!(open(Ipv4Addr::UNSPECIFIED.into()), Err(error) if is_forbidden(&error))
}

/// The echoes of one run to one address.
#[derive(Debug)]
struct Echo {
    socket: AsyncFd<Socket>,
    form: Form,
    address: IpAddr,
    id: u16,
    /// No answer to another's echo, or to one of a run before, holds it.
    secret: [u8; 16],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// The kernel gives each such socket an id, and passes on its replies alone.
    Ping,
    /// The kernel passes on all ICMP of the address; of IPv4 with the header.
    Raw,
}

impl Echo {
    fn new(address: IpAddr) -> Result<Self, Finding> {
        let fault = |error: io::Error| Finding::fault(&address.to_string(), &error);
        let (socket, form) = open(address).map_err(|error| match error {
            error if is_forbidden(&error) => Finding::unknown(FORBIDDEN),
            error => fault(error),
        })?;
        socket.set_nonblocking(true).map_err(fault)?;
        socket.connect(&SocketAddr::new(address, 0).into()).map_err(fault)?;
        let mut random = [0; 18];
        getrandom(&mut random, GetRandomFlags::empty()).map_err(|error| fault(error.into()))?;
        let [high, low, secret @ ..] = random;
        let socket = watched(socket).map_err(fault)?;
        Ok(Self { socket, form, address, id: u16::from_be_bytes([high, low]), secret })
    }

    async fn send(&self, number: u16) -> io::Result<()> {
        let packet = self.packet(number);
        self.socket.async_io(Interest::WRITABLE, |socket| socket.send(&packet)).await.map(drop)
    }

    /// The number of the next echo that is answered. Cancel safe.
    async fn receive(&self) -> io::Result<u16> {
        // Larger than any answer to what we send, whatever the options in its header.
        let mut received = [0; 256];
        loop {
            let read = |mut socket: &Socket| socket.read(&mut received);
            let length = self.socket.async_io(Interest::READABLE, read).await?;
            if let Some(number) = self.reply(&received[..length]) {
                return Ok(number);
            }
        }
    }

    fn packet(&self, number: u16) -> Vec<u8> {
        let kind = if self.address.is_ipv4() { ECHO_V4 } else { ECHO_V6 };
        let mut packet = vec![kind, 0, 0, 0];
        packet.extend(self.id.to_be_bytes());
        packet.extend(number.to_be_bytes());
        packet.extend(self.secret);
        // Of ICMPv6, whose sum covers the addresses, the kernel sets it.
        if self.address.is_ipv4() {
            let sum = checksum(&packet);
            packet[2..4].copy_from_slice(&sum.to_be_bytes());
        }
        packet
    }

    fn reply(&self, received: &[u8]) -> Option<u16> {
        let message = match (self.form, self.address) {
            (Form::Raw, IpAddr::V4(_)) => received.get(usize::from(received.first()? & 0x0f) * 4..)?,
            (Form::Raw, IpAddr::V6(_)) | (Form::Ping, _) => received,
        };
        let (header, data) = message.split_at_checked(HEADER)?;
        let &[kind, code, _, _, id_high, id_low, number_high, number_low] = header else { return None };
        let reply = if self.address.is_ipv4() { REPLY_V4 } else { REPLY_V6 };
        let ours = self.form == Form::Ping || [id_high, id_low] == self.id.to_be_bytes();
        let fits = kind == reply && code == 0 && ours && data == self.secret;
        fits.then(|| u16::from_be_bytes([number_high, number_low]))
    }
}

#[allow(deprecated, reason = "the successor is unsafe for types that can swap their descriptor; a Socket cannot")]
fn watched(socket: Socket) -> io::Result<AsyncFd<Socket>> {
    AsyncFd::new(socket)
}

fn open(address: IpAddr) -> io::Result<(Socket, Form)> {
    let (domain, protocol) =
        if address.is_ipv4() { (Domain::IPV4, Protocol::ICMPV4) } else { (Domain::IPV6, Protocol::ICMPV6) };
    match Socket::new(domain, Type::DGRAM, Some(protocol)) {
        Ok(socket) => Ok((socket, Form::Ping)),
        Err(error) if words::is_ours(&error) && !is_forbidden(&error) => Err(error),
        Err(_) => Ok((Socket::new(domain, Type::RAW, Some(protocol))?, Form::Raw)),
    }
}

fn is_forbidden(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::PermissionDenied
}

/// RFC 1071.
fn checksum(bytes: &[u8]) -> u16 {
    let word = |pair: &[u8]| u32::from(u16::from_be_bytes([pair[0], pair.get(1).copied().unwrap_or(0)]));
    let mut sum: u32 = bytes.chunks(2).map(word).sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests;
