//! Which requests are under way, and what became of the others.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use crate::tools::{
    output::Lines,
    record::{How, Nanos, Record, Request, Resolved},
};

/// A request of this probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Ticket(u64);

impl Ticket {
    /// As a datagram carries it.
    pub(super) const fn to_wire(self) -> [u8; 8] {
        self.0.to_be_bytes()
    }

    pub(super) const fn from_wire(bytes: [u8; 8]) -> Self {
        Self(u64::from_be_bytes(bytes))
    }
}

#[derive(Debug)]
struct UnderWay {
    how: How,
    target: IpAddr,
    name: Option<String>,
    flow: u16,
    sent: Nanos,
    started: Instant,
}

/// Every request is entered before it is sent and told exactly once: when it is answered, or when its time is over.
#[derive(Debug)]
pub(super) struct Ledger {
    timeout: Duration,
    book: Mutex<Book>,
}

#[derive(Debug)]
struct Book {
    next: u64,
    /// By age: tickets count up.
    under_way: BTreeMap<Ticket, UnderWay>,
    lines: Lines,
}

impl Ledger {
    pub(super) fn new(timeout: Duration, lines: Lines) -> Self {
        let book = Book { next: 0, under_way: BTreeMap::new(), lines };
        Self { timeout, book: Mutex::new(book) }
    }

    /// Tells that the asking has begun.
    pub(super) fn ready(&self) {
        self.book().lines.say(&Record::Ready { at: Nanos::now() });
    }

    /// A request that is about to be sent.
    pub(super) fn enter(&self, how: How, target: IpAddr, flow: u16) -> Ticket {
        self.enter_whole(how, target, None, flow)
    }

    /// A request to a name, whose address is to be looked up.
    pub(super) fn enter_named(&self, how: How, name: &str, flow: u16) -> Ticket {
        self.enter_whole(how, Ipv4Addr::UNSPECIFIED.into(), Some(name.to_owned()), flow)
    }

    fn enter_whole(&self, how: How, target: IpAddr, name: Option<String>, flow: u16) -> Ticket {
        let mut book = self.book();
        let ticket = Ticket(book.next);
        book.next += 1;
        // Under the lock: no request enters with an earlier time once `decided` is told.
        let entry = UnderWay { how, target, name, flow, sent: Nanos::now(), started: Instant::now() };
        book.under_way.insert(ticket, entry);
        ticket
    }

    /// The source port of a connection is known only once there is one.
    pub(super) fn set_flow(&self, ticket: Ticket, flow: u16) {
        if let Some(entry) = self.book().under_way.get_mut(&ticket) {
            entry.flow = flow;
        }
    }

    /// The address of a name is known only once it was looked up.
    pub(super) fn set_target(&self, ticket: Ticket, target: IpAddr) {
        if let Some(entry) = self.book().under_way.get_mut(&ticket) {
            entry.target = target;
        }
    }

    /// A name server gave another answer.
    pub(super) fn resolved(&self, resolved: Resolved) {
        self.book().lines.say(&Record::Resolved(resolved));
    }

    /// The answer to a datagram. It counts if `target` was asked with this ticket and its time is not over.
    pub(super) fn answered(&self, ticket: Ticket, target: IpAddr, node: &str) {
        let mut book = self.book();
        if book.under_way.get(&ticket).is_some_and(|entry| entry.target == target) {
            let timeout = self.timeout;
            book.close(ticket, Some(node.to_owned()), None, timeout);
        }
    }

    /// The end of a request: who answered, as far as that is known, and what went wrong.
    pub(super) fn close(&self, ticket: Ticket, node: Option<String>, error: Option<String>) {
        self.book().close(ticket, node, error, self.timeout);
    }

    /// Gives up what is overdue, and shows all that is known.
    pub(super) fn tell(&self) {
        let mut book = self.book();
        let now = Instant::now();
        let overdue: Vec<Ticket> = book
            .under_way
            .iter()
            .take_while(|(_, entry)| now.saturating_duration_since(entry.started) > self.timeout)
            .map(|(ticket, _)| *ticket)
            .collect();
        for ticket in overdue {
            book.close(ticket, None, None, self.timeout);
        }
        let at = Nanos::now();
        let upto = book.under_way.values().map(|entry| entry.sent).min().unwrap_or(at);
        book.lines.say(&Record::Decided { at, upto });
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        // A panic under the lock leaves a book that is at worst one line short.
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Book {
    fn close(&mut self, ticket: Ticket, node: Option<String>, error: Option<String>, timeout: Duration) {
        let Some(UnderWay { how, target, name, flow, sent, started }) = self.under_way.remove(&ticket) else { return };
        let took = started.elapsed();
        // An answer that was there only after the time is a loss, even if the ledger had no chance to say so before.
        let late = || (node.is_none() || took > timeout).then(|| "no answer in time".to_owned());
        let error = error.or_else(late);
        let took = error.is_none().then(|| u64::try_from(took.as_nanos()).unwrap_or(u64::MAX));
        self.lines.push(&Record::Request(Request { how, target, name, flow, sent, took, node, error }));
    }
}
