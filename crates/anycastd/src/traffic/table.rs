//! The table of the packet filter that counts, as it is to be. Every call here waits for the kernel, so none is made by a task.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    net::IpAddr,
    time::Duration,
};

use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_NETFILTER};
use socket2::SockRef;

use super::{
    Received,
    message::{Batch, RULES, Set, counts, is_dormant, messages, question, question_of_rules, question_of_table},
};

/// How long the kernel may take for an answer.
const DEADLINE: Duration = Duration::from_secs(2);
/// How often a list is read that changes all the time, and a table made that somebody takes away.
const TRIES: usize = 3;

pub(super) type Counts = BTreeMap<IpAddr, Received>;

/// Has these addresses counted and no others, and reads the counters; whether some of them began anew with this. What is there already goes
/// on counting.
///
/// # Errors
/// The kernel does not do it: it has no nf_tables, or is older than Linux 5.7; or `EPERM`.
pub(super) fn settle(addresses: &BTreeSet<IpAddr>) -> io::Result<(Counts, bool)> {
    let mut outcome = Err(io::ErrorKind::NotFound.into());
    for _ in 0..TRIES {
        outcome = once(addresses);
        // Somebody has flushed the whole packet filter between the reading and the writing.
        if !matches!(&outcome, Err(error) if error.kind() == io::ErrorKind::NotFound) {
            break;
        }
    }
    outcome
}

fn once(addresses: &BTreeSet<IpAddr>) -> io::Result<(Counts, bool)> {
    let mut batch = Batch::new();
    let anew = match read() {
        // Somebody has taken the rules away and left the counters, which would stand still for ever.
        Ok(_) if !counts_on()? => {
            batch.delete();
            batch.create();
            batch.insert(addresses);
            true
        }
        Ok(found) => {
            let gone: Vec<IpAddr> = found.keys().filter(|address| !addresses.contains(address)).copied().collect();
            let new: Vec<IpAddr> = addresses.iter().filter(|address| !found.contains_key(address)).copied().collect();
            if gone.is_empty() && new.is_empty() {
                return Ok((found, false));
            }
            batch.remove(&gone);
            batch.insert(&new);
            !new.is_empty()
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            batch.create();
            batch.insert(addresses);
            true
        }
        Err(error) => return Err(error),
    };
    carry_out(batch)?;
    let found = read()?;
    // An older kernel takes the set, and no counters in it.
    let all = addresses.iter().all(|address| found.contains_key(address));
    if all { Ok((found, anew)) } else { Err(io::Error::from_raw_os_error(libc::EOPNOTSUPP)) }
}

/// Takes the table away.
///
/// # Errors
/// `NotFound`: there is none; and what the kernel says.
pub(super) fn remove() -> io::Result<()> {
    let mut batch = Batch::new();
    batch.delete();
    carry_out(batch)
}

/// What is counted, and how much.
fn read() -> io::Result<Counts> {
    let mut found = Counts::new();
    for set in Set::ALL {
        found.extend(read_set(set)?);
    }
    Ok(found)
}

/// Whether what is read still changes: all rules are there, and the table is awake.
fn counts_on() -> io::Result<bool> {
    let (mut rules, mut dormant) = (0, false);
    exchange(&question_of_rules(), None, |_| rules += 1)?;
    let (question, number) = question_of_table();
    exchange(&question, Some(number), |body| dormant |= is_dormant(body))?;
    Ok(rules == RULES && !dormant)
}

fn read_set(set: Set) -> io::Result<Counts> {
    for _ in 0..TRIES {
        let mut found = Counts::new();
        let of_one_piece = exchange(&question(set), None, |body| found.extend(counts(body)))?;
        if of_one_piece {
            return Ok(found);
        }
    }
    Err(io::Error::other("the packet filter changes all the time"))
}

fn carry_out(batch: Batch) -> io::Result<()> {
    let (bytes, last) = batch.finish();
    exchange(&bytes, Some(last), |_| {}).map(drop)
}

/// Asks, and hears the answer until it is over: acknowledged up to that message, or done. `false`: it changed while it was read.
fn exchange(request: &[u8], last: Option<u32>, mut heard: impl FnMut(&[u8])) -> io::Result<bool> {
    // A new socket each time: what is left of an answer that was not waited for must not be taken for the next.
    let socket = Socket::new(NETLINK_NETFILTER)?;
    SockRef::from(&socket).set_read_timeout(Some(DEADLINE))?;
    socket.send_to(request, &SocketAddr::new(0, 0), 0)?;
    let mut of_one_piece = true;
    loop {
        let (datagram, _) = socket.recv_from_full().map_err(unanswered)?;
        for message in messages(&datagram) {
            let body = message.payload();
            let code = || body.get(..4).and_then(|code| code.try_into().ok()).map_or(0, i32::from_ne_bytes);
            of_one_piece &= i32::from(message.flags()) & libc::NLM_F_DUMP_INTR == 0;
            match i32::from(message.message_type()) {
                libc::NLMSG_ERROR | libc::NLMSG_DONE if code() < 0 => {
                    return Err(io::Error::from_raw_os_error(-code()));
                }
                libc::NLMSG_ERROR if last == Some(message.sequence_number()) => return Ok(of_one_piece),
                libc::NLMSG_ERROR => {}
                libc::NLMSG_DONE => return Ok(of_one_piece),
                _ => heard(body),
            }
        }
    }
}

/// What a read that has waited for too long says is none of the operator's words.
fn unanswered(error: io::Error) -> io::Error {
    if error.kind() == io::ErrorKind::WouldBlock { io::ErrorKind::TimedOut.into() } else { error }
}

#[cfg(test)]
mod tests;
