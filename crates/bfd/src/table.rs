//! All sessions of a system, and which of them a packet is for (RFC 5880 §6.3, §6.8.6; RFC 5881 §3 to §5; RFC 5883 §3 to §5).

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    num::NonZeroU32,
    time::Instant,
};

use crate::{
    auth::Unauthentic,
    packet::{Malformed, Packet},
    session::Session,
};

/// The UDP port of single-hop sessions (RFC 5881 §4).
pub const SINGLE_HOP_PORT: u16 = 3784;
/// The UDP port of multihop sessions (RFC 5883 §5).
pub const MULTIHOP_PORT: u16 = 4784;
/// What single-hop packets are sent with, and must come with (RFC 5881 §5, RFC 5082).
pub const TTL: u8 = 255;

/// What a session's packets look like on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Path {
    /// Over one link, the interface of this index.
    SingleHop {
        /// The kernel's index of the interface; `None`: whichever the packets of that address come by.
        interface: Option<u32>,
    },
    /// Over routers: so many hops may have been taken off.
    Multihop {
        /// The least TTL or hop limit that packets may have.
        min_ttl: u8,
    },
}

/// Where a packet came from, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arrival {
    /// Who sent it.
    pub source: IpAddr,
    /// To which of our addresses.
    pub destination: IpAddr,
    /// The kernel's index of the interface.
    pub interface: u32,
    /// Its TTL or hop limit.
    pub ttl: u8,
    /// It came to the port of multihop sessions.
    pub multihop: bool,
}

/// Why a packet was discarded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, thiserror::Error)]
pub enum Discard {
    /// It is no packet.
    #[error("malformed: {0}")]
    Malformed(#[from] Malformed),
    /// Its TTL says that it came from farther away than the other end is.
    #[error("a TTL that is too low")]
    Ttl,
    /// No session has its Your Discriminator.
    #[error("an unknown Your Discriminator")]
    Discriminator,
    /// It has none, and no session is with its sender.
    #[error("an unknown sender")]
    Sender,
    /// It is for a session with another address.
    #[error("another sender than the session's")]
    Address,
    /// It came to the port of the other kind of sessions.
    #[error("the other UDP port: one end takes the path for a single hop, the other for several")]
    Port,
    /// It came by another interface than the session's.
    #[error("another interface than the session's")]
    Interface,
    /// It is not authentic.
    #[error("not authentic: {0}")]
    Unauthentic(#[from] Unauthentic),
}

/// A session with where its packets come from.
#[derive(Debug)]
pub struct Entry {
    remote: IpAddr,
    /// How packets get there.
    pub path: Path,
    /// The session.
    pub session: Session,
}

/// The sessions, by our discriminator.
#[derive(Debug, Default)]
pub struct Table {
    sessions: BTreeMap<NonZeroU32, Entry>,
    /// Whose they are: what comes from strangers is to cost no more where there are many sessions.
    senders: BTreeMap<IpAddr, BTreeSet<NonZeroU32>>,
    discards: BTreeMap<Discard, u64>,
}

impl Table {
    /// Takes one in; it takes the place of one with the same discriminator.
    pub fn insert(&mut self, entry: Entry) {
        let discriminator = entry.session.discriminators().0;
        self.remove(discriminator);
        self.senders.entry(entry.remote).or_default().insert(discriminator);
        self.sessions.insert(discriminator, entry);
    }

    /// Gives one back.
    pub fn remove(&mut self, discriminator: NonZeroU32) -> Option<Entry> {
        let entry = self.sessions.remove(&discriminator)?;
        if let Some(all) = self.senders.get_mut(&entry.remote) {
            all.remove(&discriminator);
            if all.is_empty() {
                self.senders.remove(&entry.remote);
            }
        }
        Some(entry)
    }

    /// Gives one that [is known too well](Session::is_known_too_well) another discriminator, from a random number; says which.
    pub fn rename(&mut self, discriminator: NonZeroU32, random: u32) -> Option<NonZeroU32> {
        if !self.get(discriminator)?.session.is_known_too_well() {
            return None;
        }
        let fresh = self.discriminator(random);
        let mut entry = self.remove(discriminator)?;
        entry.session.rename(fresh);
        self.insert(entry);
        Some(fresh)
    }

    /// The discriminators of the sessions with an address.
    pub fn with(&self, remote: IpAddr) -> impl Iterator<Item = NonZeroU32> {
        self.senders.get(&remote).into_iter().flatten().copied()
    }

    /// One of them.
    #[must_use]
    pub fn get(&self, discriminator: NonZeroU32) -> Option<&Entry> {
        self.sessions.get(&discriminator)
    }

    /// One of them.
    pub fn get_mut(&mut self, discriminator: NonZeroU32) -> Option<&mut Entry> {
        self.sessions.get_mut(&discriminator)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = (NonZeroU32, &Entry)> {
        self.sessions.iter().map(|(discriminator, entry)| (*discriminator, entry))
    }

    /// A discriminator that no session has, from a random number.
    #[must_use]
    pub fn discriminator(&self, mut random: u32) -> NonZeroU32 {
        loop {
            match NonZeroU32::new(random) {
                Some(free) if !self.sessions.contains_key(&free) => return free,
                // There are 2^32 - 1 of them, and memory for fewer sessions.
                Some(_) | None => random = random.wrapping_add(1),
            }
        }
    }

    /// How many packets were discarded, and why.
    #[must_use]
    pub const fn discards(&self) -> &BTreeMap<Discard, u64> {
        &self.discards
    }

    /// Gives a datagram to its session, and says which that is.
    ///
    /// # Errors
    /// Why it was discarded; it is counted.
    pub fn handle_datagram(&mut self, datagram: &[u8], from: &Arrival, now: Instant) -> Result<NonZeroU32, Discard> {
        self.deliver(datagram, from, now).inspect_err(|why| *self.discards.entry(*why).or_default() += 1)
    }

    fn deliver(&mut self, datagram: &[u8], from: &Arrival, now: Instant) -> Result<NonZeroU32, Discard> {
        // RFC 5881 §5: before anything else is looked at.
        if !from.multihop && from.ttl != TTL {
            return Err(Discard::Ttl);
        }
        let received = Packet::read(datagram)?;
        let discriminator = match NonZeroU32::new(received.packet.your_discriminator) {
            Some(ours) if self.sessions.contains_key(&ours) => ours,
            Some(_) => return Err(self.stranger(from)),
            None => self.by_sender(from)?,
        };
        let entry = self.sessions.get_mut(&discriminator).ok_or(Discard::Discriminator)?;
        entry.admits(from)?;
        entry.session.handle_packet(&received, now)?;
        Ok(discriminator)
    }

    /// §6.3: where Your Discriminator is 0, the addresses and the interface say whose it is.
    fn by_sender(&self, from: &Arrival) -> Result<NonZeroU32, Discard> {
        let mut why = Discard::Sender;
        for discriminator in self.with(from.source) {
            match self.get(discriminator).map(|entry| entry.admits(from)) {
                Some(Ok(())) => return Ok(discriminator),
                // A session with that sender, but not in that way: say what is wrong with it.
                Some(Err(other)) => why = other,
                None => {}
            }
        }
        Err(why)
    }

    /// Why a packet with a discriminator that is no session's is none of ours. One that came to the port of the other kind cannot be
    /// for a session with its sender, whatever it says.
    fn stranger(&self, from: &Arrival) -> Discard {
        let mut all = self.with(from.source).filter_map(|discriminator| self.get(discriminator)).peekable();
        let other_port = all.peek().is_some() && all.all(|entry| entry.admits(from) == Err(Discard::Port));
        if other_port { Discard::Port } else { Discard::Discriminator }
    }
}

impl Entry {
    /// A session with `remote`.
    #[must_use]
    pub const fn new(remote: IpAddr, path: Path, session: Session) -> Self {
        Self { remote, path, session }
    }

    /// The other end.
    #[must_use]
    pub const fn remote(&self) -> IpAddr {
        self.remote
    }

    /// Whether a packet that came so may be the other end's.
    fn admits(&self, from: &Arrival) -> Result<(), Discard> {
        match (self.path, from.multihop) {
            _ if self.remote != from.source => Err(Discard::Address),
            (Path::SingleHop { .. }, true) | (Path::Multihop { .. }, false) => Err(Discard::Port),
            (Path::SingleHop { interface: Some(ours) }, false) if ours != from.interface => Err(Discard::Interface),
            (Path::SingleHop { .. }, false) => Ok(()),
            // RFC 5883 §6 leaves it to who configures it.
            (Path::Multihop { min_ttl }, true) if from.ttl < min_ttl => Err(Discard::Ttl),
            (Path::Multihop { .. }, true) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
