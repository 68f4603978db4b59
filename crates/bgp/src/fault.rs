//! Why a session ended, in words and on the wire.

use std::{fmt, time::Duration};

use crate::{
    framing::{HeaderError, MessageType},
    notification::Notification,
    open::OpenError,
    refresh::RefreshError,
    session::State,
    update::UpdateError,
};

/// What the neighbor did, or did not do, that made us close the connection with a NOTIFICATION.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Code 1.
    #[error(transparent)]
    Header(#[from] HeaderError),
    /// Code 2.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// Code 3.
    #[error(transparent)]
    Update(#[from] UpdateError),
    /// Code 4.
    #[error("the neighbor sent no KEEPALIVE and no UPDATE for {} s", .0.as_secs())]
    HoldTimer(Duration),
    /// Code 4, before there was a negotiated hold time.
    #[error("the neighbor did not complete the exchange of OPENs within {} s", .0.as_secs())]
    Handshake(Duration),
    /// Code 5 (RFC 6608 §3).
    #[error("the neighbor sent a message of type {kind} in state {state}")]
    Unexpected {
        /// What it sent.
        kind: MessageType,
        /// When it should not have.
        state: State,
    },
    /// Code 7.
    #[error(transparent)]
    Refresh(#[from] RefreshError),
    /// Code 8 (RFC 9687).
    #[error("the neighbor did not read what we send for {} s", .0.as_secs())]
    SendHoldTimer(Duration),
}

impl Fault {
    /// What the neighbor is told.
    #[must_use]
    pub fn notification(&self) -> Notification {
        match self {
            Self::Header(error) => error.notification(),
            Self::Open(error) => error.notification(),
            Self::Update(error) => error.notification(),
            Self::HoldTimer(_) | Self::Handshake(_) => Notification::new(4, 0, &[]),
            Self::Unexpected { kind, state } => {
                // RFC 6608 §3: the subcode names the state, the data the type of the message.
                let subcode = match state {
                    State::OpenSent => 1,
                    State::OpenConfirm => 2,
                    State::Established => 3,
                    State::Idle | State::Connect | State::Active => 0,
                };
                Notification::new(5, subcode, &[kind.code()])
            }
            Self::Refresh(error) => error.notification(),
            Self::SendHoldTimer(_) => Notification::new(8, 0, &[]),
        }
    }
}

/// Why there is no session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DownReason {
    /// The dial failed; the driver's words.
    Dial(String),
    /// The dial took too long.
    DialTimeout(Duration),
    /// The connection ended without a NOTIFICATION; the driver's words, where it has any.
    Closed(Option<String>),
    /// The neighbor ended it.
    Received(Notification),
    /// We ended it.
    Fault(Fault),
    /// The interface that leads to the neighbor, by this name, is down or gone.
    LinkDown(String),
    /// The neighbor had been silent and dialled anew.
    Replaced,
    /// The path to the neighbor is lost, for this reason (RFC 5882 §4).
    BfdDown(String),
    /// [`crate::Session::shutdown`], with its text.
    Shutdown(String),
    /// [`crate::Session::suspend`], with its text.
    Suspended(String),
}

impl fmt::Display for DownReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dial(words) => f.write_str(words),
            Self::DialTimeout(limit) => write!(f, "connect: no answer within {} s", limit.as_secs()),
            Self::Closed(None) => f.write_str("the neighbor closed the connection without a NOTIFICATION"),
            Self::Closed(Some(words)) => write!(f, "the connection ended: {words}"),
            Self::LinkDown(interface) => write!(f, "interface {interface} is down"),
            Self::BfdDown(why) => write!(f, "BFD: {why}"),
            Self::Received(notification) => write!(f, "received NOTIFICATION {notification}"),
            Self::Fault(fault) => write!(f, "{fault}; sent NOTIFICATION {}", fault.notification()),
            Self::Replaced => f.write_str("the neighbor, silent for a while, connected anew"),
            Self::Shutdown(text) if text.is_empty() => f.write_str("shut down"),
            Self::Shutdown(text) => write!(f, "shut down: {text}"),
            Self::Suspended(text) => write!(f, "ended by us for a while: {text}"),
        }
    }
}
