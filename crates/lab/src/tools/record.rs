//! What a tool says: one JSON object a line.
//!
//! All times are of one clock, the machine's wall clock (`CLOCK_REALTIME`), which namespaces and containers share and which
//! the kernel stamps packets with. Durations within one tool are measured with the monotonic clock.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde::{Deserialize, Serialize};

/// Nanoseconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Nanos(pub u64);

impl Nanos {
    /// The present.
    #[must_use]
    pub fn now() -> Self {
        SystemTime::now().into()
    }

    /// Milliseconds from `start` to this; negative where this is earlier.
    #[must_use]
    pub fn millis_since(self, start: Self) -> f64 {
        let (sign, nanos) = match self.0.checked_sub(start.0) {
            Some(after) => (1.0, after),
            None => (-1.0, start.0 - self.0),
        };
        sign * Duration::from_nanos(nanos).as_secs_f64() * 1000.0
    }

    /// This much later.
    #[must_use]
    pub fn plus(self, time: Duration) -> Self {
        Self(self.0.saturating_add(nanos(time)))
    }

    /// This much earlier.
    #[must_use]
    pub fn minus(self, time: Duration) -> Self {
        Self(self.0.saturating_sub(nanos(time)))
    }

    /// The first of two that may not have been.
    #[must_use]
    pub fn earlier(one: Option<Self>, other: Option<Self>) -> Option<Self> {
        one.into_iter().chain(other).min()
    }

    /// The time from `start` to this; zero where this is earlier.
    #[must_use]
    pub const fn after(self, start: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(start.0))
    }
}

impl From<SystemTime> for Nanos {
    fn from(time: SystemTime) -> Self {
        Self(nanos(time.duration_since(UNIX_EPOCH).unwrap_or_default()))
    }
}

/// Enough for 584 years.
fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// A line of a tool.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "record", rename_all = "snake_case")]
pub enum Record {
    /// The tool watches from now on.
    Ready {
        /// Since when.
        at: Nanos,
    },
    /// A request whose fate is known.
    Request(Request),
    /// The fate of every request sent before `upto`, or every packet that passed before it, has been told.
    Decided {
        /// When this was said.
        at: Nanos,
        /// Up to when.
        upto: Nanos,
    },
    /// A long request has begun to be answered.
    Open {
        /// When.
        at: Nanos,
        /// Who answers.
        node: String,
    },
    /// A BGP message was on the wire.
    Message(Message),
    /// The TCP of the receiver has acknowledged the whole of an UPDATE.
    Acked {
        /// When the acknowledgement was on the wire.
        at: Nanos,
        /// When the UPDATE was.
        sent: Nanos,
        /// Who had sent the UPDATE.
        from: SocketAddr,
        /// To whom.
        to: SocketAddr,
    },
    /// A BGP connection begins or ends.
    Segment {
        /// When it was on the wire.
        at: Nanos,
        /// Who sent it.
        from: SocketAddr,
        /// To whom.
        to: SocketAddr,
        /// What it says.
        flag: Flag,
    },
    /// A BFD control packet was on the wire (RFC 5880 §4.1).
    Bfd {
        /// When.
        at: Nanos,
        /// Who sent it.
        from: SocketAddr,
        /// To whom.
        to: SocketAddr,
        /// The sender's state, as the RFC writes it.
        state: String,
        /// Why that changed last, as the RFC writes it.
        diagnostic: String,
    },
    /// The capture has holes: the kernel dropped packets.
    Missed {
        /// When this was noticed.
        at: Nanos,
        /// How many, since the start.
        packets: u64,
    },
    /// Connections were made, one after the other.
    Connections {
        /// Since when.
        at: Nanos,
        /// For how many nanoseconds.
        took: u64,
        /// How many were answered.
        made: u64,
        /// How many were not.
        failed: u64,
    },
    /// A name server gave another answer than before, or its first.
    Resolved(Resolved),
    /// A signal was sent.
    Killed {
        /// Right before the call.
        at: Nanos,
        /// To which process.
        pid: i32,
    },
    /// A process that was sent a signal has ended.
    Gone {
        /// When this was seen.
        at: Nanos,
        /// Which process.
        pid: i32,
    },
}

/// How something was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum How {
    /// One datagram there, one back.
    Udp,
    /// A connection of its own, opened for this.
    Http,
    /// A connection that stays open.
    Long,
}

impl fmt::Display for How {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Udp => "UDP",
            Self::Http => "HTTP",
            Self::Long => "long TCP",
        })
    }
}

/// A request and its fate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Request {
    /// How it was asked.
    pub how: How,
    /// Who was asked; the unspecified address where the name was not resolved.
    pub target: IpAddr,
    /// The name that had this address, where one was looked up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The source port: what makes a flow stick to one of several paths.
    pub flow: u16,
    /// When it left.
    pub sent: Nanos,
    /// Nanoseconds until the whole answer was there; nothing: it is lost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub took: Option<u64>,
    /// Who answered, even where the answer was not whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// What went wrong, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

impl Request {
    /// When the whole answer was there.
    #[must_use]
    pub fn answered(&self) -> Option<Nanos> {
        self.took.map(|took| self.sent.plus(Duration::from_nanos(took)))
    }
}

/// What a name server answers with from now on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resolved {
    /// When the answer came.
    pub at: Nanos,
    /// Whose it is.
    pub by: SocketAddr,
    /// What was asked for.
    pub name: String,
    /// In ascending order.
    pub addresses: Vec<IpAddr>,
    /// How long this answer may be kept, in seconds.
    pub ttl: u32,
}

/// A BGP message.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Message {
    /// When the packet that completed it was on the wire.
    pub at: Nanos,
    /// Who sent it.
    pub from: SocketAddr,
    /// To whom.
    pub to: SocketAddr,
    /// Its type, as the RFC writes it.
    pub kind: String,
    /// How long it is, header included.
    #[serde(default)]
    pub octets: usize,
    /// The prefixes it announces, in CIDR notation.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub announced: Vec<String>,
    /// The prefixes it withdraws.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub withdrawn: Vec<String>,
    /// The communities of what it announces, the well-known ones by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub communities: Vec<String>,
    /// Anything else: the error of a NOTIFICATION, or why the message could not be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// What a TCP segment says about its connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Flag {
    /// It begins.
    Syn,
    /// The sender has nothing more to say.
    Fin,
    /// There is no such connection (any more).
    Rst,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_compared_in_both_directions() {
        let (early, late) = (Nanos(1_000_000_000), Nanos(1_002_500_000));
        assert_eq!((late.millis_since(early), early.millis_since(late)), (2.5, -2.5));
        assert_eq!((late.after(early), early.after(late)), (Duration::from_micros(2500), Duration::ZERO));
        assert_eq!(early.plus(Duration::from_micros(2500)), late);
        assert_eq!(late.minus(Duration::from_secs(9)), Nanos(0));
    }

    #[test]
    fn records_travel_as_one_line() {
        let request = Request {
            how: How::Udp,
            target: "203.0.113.80".parse().unwrap(),
            name: None,
            flow: 40_000,
            sent: Nanos(1_790_000_000_123_456_789),
            took: Some(350_000),
            node: Some("ap-edge1".to_owned()),
            error: None,
        };
        assert_eq!(request.answered(), Some(Nanos(1_790_000_000_123_806_789)));
        let lost = Request { took: None, node: None, ..request.clone() };
        assert_eq!(lost.answered(), None);
        for record in [Record::Request(request), Record::Request(lost), Record::Ready { at: Nanos(1) }] {
            let line = serde_json::to_string(&record).unwrap();
            assert!(!line.contains('\n') && !line.contains("null"), "{line}");
            assert_eq!(serde_json::from_str::<Record>(&line).unwrap(), record);
        }
    }
}
