//! The BFD Control packet (RFC 5880 §4).

use std::{fmt, num::NonZeroU32, time::Duration};

/// The version of the protocol.
const VERSION: u8 = 1;
/// The mandatory section, in octets.
pub(crate) const MANDATORY: usize = 24;
/// The longest packet there is: the length is one octet. Nothing longer is read from the wire.
pub const LONGEST: usize = 255;
/// One authentication section is at least so long: type, length, key ID.
const LEAST_AUTHENTICATION: usize = 2;

/// The state of a session (RFC 5880 §4.1, `Sta`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum State {
    /// It is held down by whoever operates it.
    AdminDown,
    /// The other end has not been heard, or not lately.
    Down,
    /// The other end was heard, and has not heard us yet.
    Init,
    /// Both ends hear each other.
    Up,
}

impl State {
    pub(crate) const fn to_bits(self) -> u8 {
        match self {
            Self::AdminDown => 0,
            Self::Down => 1,
            Self::Init => 2,
            Self::Up => 3,
        }
    }

    pub(crate) const fn from_bits(bits: u8) -> Self {
        match bits & 0b11 {
            0 => Self::AdminDown,
            1 => Self::Down,
            2 => Self::Init,
            _ => Self::Up,
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AdminDown => "AdminDown",
            Self::Down => "Down",
            Self::Init => "Init",
            Self::Up => "Up",
        })
    }
}

/// Why the state of a session changed last (RFC 5880 §4.1, `Diag`; IANA "BFD Diagnostic Codes").
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Diagnostic(u8);

impl Diagnostic {
    /// No Diagnostic.
    pub const NONE: Self = Self(0);
    /// Control Detection Time Expired.
    pub const DETECTION_TIME_EXPIRED: Self = Self(1);
    /// Echo Function Failed.
    pub const ECHO_FAILED: Self = Self(2);
    /// Neighbor Signaled Session Down.
    pub const NEIGHBOR_SIGNALED_DOWN: Self = Self(3);
    /// Forwarding Plane Reset.
    pub const FORWARDING_PLANE_RESET: Self = Self(4);
    /// Path Down.
    pub const PATH_DOWN: Self = Self(5);
    /// Concatenated Path Down.
    pub const CONCATENATED_PATH_DOWN: Self = Self(6);
    /// Administratively Down.
    pub const ADMINISTRATIVELY_DOWN: Self = Self(7);
    /// Reverse Concatenated Path Down.
    pub const REVERSE_CONCATENATED_PATH_DOWN: Self = Self(8);

    /// Of five bits; the others are cut off.
    #[must_use]
    pub const fn new(code: u8) -> Self {
        Self(code & 0x1f)
    }

    /// The code, 0 to 31.
    #[must_use]
    pub const fn code(self) -> u8 {
        self.0
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self.0 {
            0 => "No Diagnostic",
            1 => "Control Detection Time Expired",
            2 => "Echo Function Failed",
            3 => "Neighbor Signaled Session Down",
            4 => "Forwarding Plane Reset",
            5 => "Path Down",
            6 => "Concatenated Path Down",
            7 => "Administratively Down",
            8 => "Reverse Concatenated Path Down",
            9 => "Mis-connectivity Defect",
            code => return write!(f, "Diagnostic {code}"),
        };
        f.write_str(name)
    }
}

/// A whole number of microseconds, as the wire has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Micros(pub u32);

impl Micros {
    /// As a time.
    #[must_use]
    pub const fn duration(self) -> Duration {
        Duration::from_micros(self.0 as u64)
    }

    /// What is longer than the wire can say is as long as it can say, a little over 71 minutes.
    #[must_use]
    pub fn from_duration(time: Duration) -> Self {
        Self(u32::try_from(time.as_micros()).unwrap_or(u32::MAX))
    }
}

/// A packet, without its authentication section.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Packet {
    /// Why the sender's state changed last.
    pub diagnostic: Diagnostic,
    /// The sender's state.
    pub state: State,
    /// It asks for an answer with the Final bit.
    pub poll: bool,
    /// It is that answer.
    pub is_final: bool,
    /// The sender's BFD does not share the fate of its control plane.
    pub control_plane_independent: bool,
    /// The sender wishes to hear nothing while all is well.
    pub demand: bool,
    /// Without so many packets in a row the receiver takes the sender for gone.
    pub detect_mult: u8,
    /// The sender's name for the session.
    pub my_discriminator: NonZeroU32,
    /// The receiver's, as far as the sender knows it; 0: it does not.
    pub your_discriminator: u32,
    /// How often the sender would send at most.
    pub desired_min_tx: Micros,
    /// How often it can take packets at most; 0: it wants none.
    pub required_min_rx: Micros,
    /// Likewise of echoes; 0: it answers none.
    pub required_min_echo_rx: Micros,
}

/// A packet as it came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Received<'a> {
    /// What it says.
    pub packet: Packet,
    /// Its authentication section, type and length included.
    pub authentication: Option<&'a [u8]>,
    /// All that the length of the packet covers; digests are over it.
    pub octets: &'a [u8],
}

/// What is not a packet (RFC 5880 §6.8.6); it is discarded and counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, thiserror::Error)]
pub enum Malformed {
    /// It ends early.
    #[error("shorter than 24 octets")]
    Short,
    /// Version is not 1.
    #[error("another version than 1")]
    Version,
    /// Length is too short, or longer than what came.
    #[error("a length that does not fit")]
    Length,
    /// Detect Mult is 0.
    #[error("a Detect Mult of 0")]
    DetectMult,
    /// The Multipoint bit is set.
    #[error("the Multipoint bit is set")]
    Multipoint,
    /// My Discriminator is 0.
    #[error("a My Discriminator of 0")]
    MyDiscriminator,
    /// Your Discriminator is 0 in a state that is not Down or AdminDown.
    #[error("a Your Discriminator of 0 in state Init or Up")]
    YourDiscriminator,
    /// The authentication section is not there, or does not fill the packet.
    #[error("an authentication section that does not fit")]
    Authentication,
}

impl Packet {
    /// Reads one datagram. What follows the length that the packet says is not looked at.
    ///
    /// # Errors
    /// What the first of the checks of RFC 5880 §6.8.6 finds that needs no session.
    pub fn read(datagram: &[u8]) -> Result<Received<'_>, Malformed> {
        let head: &[u8; MANDATORY] = datagram.first_chunk().ok_or(Malformed::Short)?;
        if head[0] >> 5 != VERSION {
            return Err(Malformed::Version);
        }
        let flags = head[1];
        let has_authentication = flags & 0b100 != 0;
        let least = if has_authentication { MANDATORY + LEAST_AUTHENTICATION } else { MANDATORY };
        let length = usize::from(head[3]);
        if length < least {
            return Err(Malformed::Length);
        }
        let octets = datagram.get(..length).ok_or(Malformed::Length)?;
        if head[2] == 0 {
            return Err(Malformed::DetectMult);
        }
        if flags & 1 != 0 {
            return Err(Malformed::Multipoint);
        }
        let word = |at: usize| u32::from_be_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
        let my_discriminator = NonZeroU32::new(word(4)).ok_or(Malformed::MyDiscriminator)?;
        let state = State::from_bits(flags >> 6);
        if word(8) == 0 && matches!(state, State::Init | State::Up) {
            return Err(Malformed::YourDiscriminator);
        }
        // §6.5 forbids to send Poll and Final in one packet, but §6.8.6 does not have such a packet discarded: both are taken.
        let packet = Self {
            diagnostic: Diagnostic::new(head[0]),
            state,
            poll: flags & 0b10_0000 != 0,
            is_final: flags & 0b1_0000 != 0,
            control_plane_independent: flags & 0b1000 != 0,
            demand: flags & 0b10 != 0,
            detect_mult: head[2],
            my_discriminator,
            your_discriminator: word(8),
            desired_min_tx: Micros(word(12)),
            required_min_rx: Micros(word(16)),
            required_min_echo_rx: Micros(word(20)),
        };
        let authentication = octets.get(MANDATORY..).filter(|_| has_authentication);
        // RFC 5880 §4.1: the section says its own length, and nothing follows it.
        if authentication
            .is_some_and(|section| section.get(1).map(|length| usize::from(*length)) != Some(section.len()))
        {
            return Err(Malformed::Authentication);
        }
        Ok(Received { packet, authentication, octets })
    }

    /// The mandatory section, for a packet with so many octets of authentication, at most 231.
    pub(crate) fn head(&self, authentication: usize) -> [u8; MANDATORY] {
        let bit = |set: bool, bit: u8| if set { bit } else { 0 };
        let flags = self.state.to_bits() << 6
            | bit(self.poll, 0b10_0000)
            | bit(self.is_final, 0b1_0000)
            | bit(self.control_plane_independent, 0b1000)
            | bit(authentication > 0, 0b100)
            | bit(self.demand, 0b10);
        let mut head = [0; MANDATORY];
        head[0] = VERSION << 5 | self.diagnostic.code();
        head[1] = flags;
        head[2] = self.detect_mult;
        head[3] = u8::try_from(MANDATORY + authentication).unwrap_or(u8::MAX);
        let words = [
            self.my_discriminator.get(),
            self.your_discriminator,
            self.desired_min_tx.0,
            self.required_min_rx.0,
            self.required_min_echo_rx.0,
        ];
        for (to, word) in head[4..].chunks_exact_mut(4).zip(words) {
            to.copy_from_slice(&word.to_be_bytes());
        }
        head
    }
}

#[cfg(test)]
mod tests;
