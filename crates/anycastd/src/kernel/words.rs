//! What is said of addresses and routes to people.

use std::{
    io,
    time::{Instant, SystemTime},
};

use anycast_api::Timestamp;
use anycast_core::reconcile::{Failure, Operation, Problem, Target};

/// What the kernel said to an operation.
pub(super) fn failure(operation: &Operation, error: &io::Error) -> Failure {
    let code = error.raw_os_error().unwrap_or_default();
    match (operation, code) {
        (Operation::Add(_), libc::EEXIST) => Failure::Exists,
        (Operation::Delete(_), libc::EADDRNOTAVAIL | libc::ENODEV | libc::ESRCH | libc::ENOENT) => Failure::Gone,
        (_, code) => Failure::Other(refusal(operation.target(), code, error)),
    }
}

fn refusal(target: &Target, code: i32, error: &io::Error) -> String {
    match (code, target.interface()) {
        (libc::EPERM, _) => "not permitted: the agent needs CAP_NET_ADMIN".to_owned(),
        (libc::EACCES, Some(interface)) => {
            format!("IPv6 is switched off on {interface} (net.ipv6.conf.{interface}.disable_ipv6)")
        }
        (libc::EOPNOTSUPP | libc::EAFNOSUPPORT, _) => "this kernel does without that family of addresses".to_owned(),
        (libc::ENODEV, Some(interface)) => format!("{interface} has just gone"),
        (libc::ENETDOWN, None) => "interface lo is down".to_owned(),
        _ => error.to_string(),
    }
}

/// What is wrong with an address or an anchor route.
pub(super) fn problem(problem: &Problem) -> String {
    match problem {
        Problem::Unknown => "the kernel has not been asked yet".to_owned(),
        Problem::Pending => "not tried yet".to_owned(),
        Problem::NoInterface(interface) => format!("there is no interface {interface}"),
        Problem::InterfaceDown(interface) => format!("interface {interface} is down"),
        Problem::Silent(interface) => {
            format!("{interface} has it and does not answer: duplicate address detection is not over, or found another")
        }
        Problem::Deleted { times, retry_at } => {
            format!("deleted by somebody else {}; will be put back {}", often(*times), next(*retry_at))
        }
        Problem::Taken { retry_at } => {
            format!("somebody else has its place, and is left alone; next try {}", next(*retry_at))
        }
        Problem::Failed { why, retry_at } => format!("{why}; next try {}", next(*retry_at)),
    }
}

pub(super) fn often(times: u32) -> String {
    if times == 1 { "once".to_owned() } else { format!("{times} times") }
}

/// When, on the wall clock.
fn next(at: Option<Instant>) -> String {
    let Some(at) = at else { return "now".to_owned() };
    let ahead = at.saturating_duration_since(Instant::now());
    format!("at {}", Timestamp::from(SystemTime::now().checked_add(ahead).unwrap_or(SystemTime::now())))
}
