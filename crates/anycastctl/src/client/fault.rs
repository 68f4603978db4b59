//! Why there is no answer, or not the wished one.

use std::{fs, io, os::unix::fs::FileTypeExt as _, path::PathBuf, time::Duration};

use anycast_api::ErrorReply;
use hyper::StatusCode;

use crate::exit::Exit;

/// The agent is there, and that of it which decides does not answer in time.
const NO_ANSWER: StatusCode = StatusCode::SERVICE_UNAVAILABLE;
/// It has too many callers at a time.
const NO_PLACE: StatusCode = StatusCode::TOO_MANY_REQUESTS;

/// What stands between us and an answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fault {
    /// Nothing is at the socket's path.
    #[error("the agent does not answer: there is no socket {}", .socket.display())]
    NoSocket {
        /// The path.
        socket: PathBuf,
    },
    /// The socket is there, and nobody listens.
    #[error("the agent does not answer: nobody listens at {}", .socket.display())]
    NotListening {
        /// The path.
        socket: PathBuf,
    },
    /// Something else is at the socket's path.
    #[error("{} is not a socket", .socket.display())]
    NotASocket {
        /// The path.
        socket: PathBuf,
    },
    /// The file system forbids it.
    #[error("no permission to use {}", .socket.display())]
    Forbidden {
        /// The path.
        socket: PathBuf,
    },
    /// Connecting failed for another reason.
    #[error("the agent does not answer: cannot connect to {}", .socket.display())]
    Connect {
        /// The path.
        socket: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// The deadline passed.
    #[error("the agent does not answer: nothing came from {} within {}", .socket.display(), humantime::format_duration(*.deadline))]
    Silent {
        /// The path.
        socket: PathBuf,
        /// How long we waited.
        deadline: Duration,
    },
    /// The answer broke off, or is not HTTP.
    #[error("the agent's answer is cut short or garbled: {0}")]
    Talk(hyper::Error),
    /// The body could not be read.
    #[error("the agent's answer is garbled: {0}")]
    Body(Box<dyn std::error::Error + Send + Sync>),
    /// The question cannot be put as HTTP.
    #[error("the request cannot be written: {0}")]
    Request(hyper::http::Error),
    /// The answer is longer than any real one.
    #[error("the agent's answer is garbled: longer than {} MiB", .limit >> 20)]
    TooLong {
        /// The most that is read, in bytes.
        limit: usize,
    },
    /// The answer is not UTF-8.
    #[error("the agent's answer is garbled: not UTF-8")]
    NotText,
    /// The answer is not what was asked for.
    #[error("the agent's answer is garbled: {0}")]
    Meaning(serde_json::Error),
    /// The agent closed a stream that should go on.
    #[error("the agent ended the stream")]
    Ended,
    /// The agent said no.
    #[error("{}", .reply.error)]
    Refused {
        /// How HTTP puts it.
        status: StatusCode,
        /// How the agent puts it.
        reply: ErrorReply,
        /// The path of the socket.
        socket: PathBuf,
    },
    /// Somebody said no, and not in the agent's words.
    #[error("the answer is garbled: HTTP {status}, without the agent's reason")]
    Foreign {
        /// How HTTP puts it.
        status: StatusCode,
        /// The path of the socket.
        socket: PathBuf,
    },
}

impl Fault {
    /// The fault behind a connect that failed.
    pub(super) fn from_connect(socket: PathBuf, source: io::Error) -> Self {
        // The kernel says the same of a file as of a socket that nobody listens at.
        let other = || fs::metadata(&socket).is_ok_and(|about| !about.file_type().is_socket());
        match source.kind() {
            io::ErrorKind::ConnectionRefused if other() => Self::NotASocket { socket },
            io::ErrorKind::NotFound => Self::NoSocket { socket },
            io::ErrorKind::ConnectionRefused => Self::NotListening { socket },
            io::ErrorKind::PermissionDenied => Self::Forbidden { socket },
            _ => Self::Connect { socket, source },
        }
    }

    /// How to exit for it.
    pub(crate) fn exit(&self) -> Exit {
        match self {
            Self::Forbidden { .. } | Self::Refused { status: StatusCode::FORBIDDEN, .. } => Exit::Permission,
            // It has not said no: it could not be asked.
            Self::Refused { status: NO_ANSWER | NO_PLACE, .. } => Exit::Unavailable,
            Self::Refused { .. } => Exit::Refused,
            Self::NoSocket { .. }
            | Self::NotListening { .. }
            | Self::NotASocket { .. }
            | Self::Connect { .. }
            | Self::Silent { .. }
            | Self::Talk(_)
            | Self::Body(_)
            | Self::Request(_)
            | Self::TooLong { .. }
            | Self::NotText
            | Self::Meaning(_)
            | Self::Ended
            | Self::Foreign { .. } => Exit::Unavailable,
        }
    }

    /// Whether the request may have been heard all the same.
    pub(crate) fn leaves_doubt(&self) -> bool {
        match self {
            // What waits for the decision loop is done when it turns again.
            Self::Refused { status: NO_ANSWER, .. } => true,
            Self::NoSocket { .. }
            | Self::NotListening { .. }
            | Self::NotASocket { .. }
            | Self::Forbidden { .. }
            | Self::Connect { .. }
            | Self::Request(_)
            | Self::Refused { .. } => false,
            Self::Silent { .. }
            | Self::Talk(_)
            | Self::Body(_)
            | Self::TooLong { .. }
            | Self::NotText
            | Self::Meaning(_)
            | Self::Ended
            | Self::Foreign { .. } => true,
        }
    }

    /// What to do about it.
    pub(crate) fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::NoSocket { .. } => {
                "is the agent running? systemctl status anycastd; where its configuration names another control \
                 socket, give it with --socket PATH or ANYCASTD_SOCKET"
            }
            Self::NotListening { .. } => {
                "the agent has ended and left its socket: systemctl status anycastd, journalctl -u anycastd"
            }
            Self::NotASocket { .. } => {
                "give the agent's control socket with --socket PATH or ANYCASTD_SOCKET; `control: socket:` of its \
                 configuration names it"
            }
            Self::Forbidden { .. } => "run it as root, or as a member of the socket's group (see ls -l)",
            Self::Silent { .. } => "the agent may be hanging or stopped: systemctl status anycastd",
            Self::Foreign { .. } | Self::Meaning(_) | Self::TooLong { .. } | Self::NotText | Self::Body(_) => {
                "is this the socket of anycastd, and do the versions of anycastctl and anycastd fit?"
            }
            Self::Talk(_) => "has the agent ended meanwhile? systemctl status anycastd; is it anycastd's socket?",
            Self::Refused { status: NO_ANSWER, reply: ErrorReply { hint: None, .. }, .. } => {
                "the agent is there, and busy or hanging: systemctl status anycastd, journalctl -u anycastd"
            }
            Self::Refused { reply, .. } => return reply.hint.clone(),
            Self::Ended | Self::Connect { .. } | Self::Request(_) => return None,
        };
        Some(hint.to_owned())
    }
}
