//! Server-sent events (WHATWG HTML §9.2): what happens, and how all is since. Whoever is slow is told less often, never later: but for the
//! events, which the ring keeps, nothing waits for anybody.

use std::{collections::VecDeque, convert::Infallible, sync::Arc, time::Duration};

use anycast_api::Event;
use bytes::{BufMut as _, Bytes, BytesMut};
use futures_util::{Stream, future::BoxFuture, stream};
use hyper::body::Frame;
use tokio::{
    sync::{OwnedSemaphorePermit, broadcast},
    time::{Instant, Interval, MissedTickBehavior, interval, sleep_until},
};

use super::{
    board::{Board, Drawn},
    followers::Follows,
};
use crate::agent::{Handle, NoAnswer};

/// How long a stream lasts before another is to be asked for.
pub(super) const LASTS: Duration = Duration::from_secs(300);
/// The status is told that often where nothing happens. What is told is a little older at most.
const TICK: Duration = Duration::from_secs(2);
const FRESH: Duration = Duration::from_secs(1);
/// Events that are told of what was before: to whoever comes for the first time, and to whoever comes again.
const FIRST: usize = 200;
const AGAIN: usize = 1000;
/// Events in one piece.
const TOGETHER: usize = 64;

/// One event of a stream. The data is one line.
pub(super) fn frame(kind: &str, id: Option<&str>, data: &[u8]) -> Bytes {
    let mut frame = BytesMut::with_capacity(data.len() + 64);
    put(&mut frame, kind, id, data);
    frame.freeze()
}

fn put(frame: &mut BytesMut, kind: &str, id: Option<&str>, data: &[u8]) {
    for (field, value) in [("id", id), ("event", Some(kind))] {
        let Some(value) = value else { continue };
        frame.put_slice(field.as_bytes());
        frame.put_slice(b": ");
        frame.put_slice(value.as_bytes());
        frame.put_u8(b'\n');
    }
    // JSON has no line breaks of its own; what is something else is not torn apart by one.
    for line in data.split(|byte| matches!(byte, b'\n' | b'\r')) {
        frame.put_slice(b"data: ");
        frame.put_slice(line);
        frame.put_u8(b'\n');
    }
    frame.put_u8(b'\n');
}

/// The last event that somebody has seen: `PROCESS-NUMBER`. Numbers begin anew with the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Seen {
    process: u64,
    number: u64,
}

impl Seen {
    /// `None`: what nobody was told.
    pub(super) fn read(text: &str) -> Option<Self> {
        let (process, number) = text.split_once('-')?;
        Some(Self { process: process.parse().ok()?, number: number.parse().ok()? })
    }
}

/// Why a stream ends, as its last event says. Another may be asked for at once.
#[derive(Debug, Clone, Copy)]
enum Bye {
    /// It has lasted for as long as one may.
    Time,
    /// Another program goes on for this one, which takes a moment.
    Upgrade,
    /// The agent ends.
    End,
}

impl Bye {
    const fn data(self) -> &'static [u8] {
        match self {
            Self::Time => b"{\"reason\":\"time\"}",
            Self::Upgrade => b"{\"reason\":\"upgrade\"}",
            Self::End => b"{\"reason\":\"end\"}",
        }
    }
}

/// What one follower is told.
pub(super) struct Follower {
    process: u64,
    board: Arc<Board>,
    /// What has happened before it came.
    past: VecDeque<Event>,
    missed: u64,
    live: broadcast::Receiver<Event>,
    tick: Interval,
    /// What is being drawn for it.
    drawing: Option<BoxFuture<'static, Drawn>>,
    /// It is to be shown what is so then, or later.
    owed: Option<Instant>,
    ends: Instant,
    over: bool,
    follows: Follows,
    _place: OwnedSemaphorePermit,
}

impl Follower {
    /// One who has seen the events up to `seen`.
    ///
    /// # Errors
    /// The loop does not answer.
    pub(super) async fn begin(
        agent: &Handle,
        board: Arc<Board>,
        seen: Option<Seen>,
        (place, follows): (OwnedSemaphorePermit, Follows),
    ) -> Result<Self, NoAnswer> {
        let (process, (past, missed), live) = agent
            .ask(move |agent| {
                let process = agent.process();
                let past = match seen.filter(|seen| seen.process == process) {
                    Some(seen) => agent.ring().after(seen.number, AGAIN),
                    // Nobody has missed what was before they came.
                    None => (agent.ring().after(0, FIRST).0, 0),
                };
                (process, past, agent.ring().follow())
            })
            .await?;
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Ok(Self {
            process,
            board,
            past: past.into(),
            missed,
            live,
            tick,
            drawing: None,
            owed: None,
            ends: Instant::now() + LASTS,
            over: false,
            follows,
            _place: place,
        })
    }

    pub(super) fn told(self) -> impl Stream<Item = Result<Frame<Bytes>, Infallible>> {
        stream::unfold(self, async |mut follower| Some((Ok(Frame::data(follower.next().await?)), follower)))
    }

    async fn next(&mut self) -> Option<Bytes> {
        if self.over {
            // What was said last is written before the stream ends: whoever waits for its end may close everything.
            tokio::task::yield_now().await;
            return None;
        }
        if self.missed > 0 {
            return Some(missed(std::mem::take(&mut self.missed)));
        }
        if !self.past.is_empty() {
            let some: Vec<Event> = self.past.drain(..self.past.len().min(TOGETHER)).collect();
            return Some(self.happened(&some));
        }
        loop {
            self.draw();
            tokio::select! {
                event = self.live.recv() => return Some(self.heard(event)),
                drawn = drawn(&mut self.drawing) => {
                    self.drawing = None;
                    self.owed = self.owed.filter(|owed| *owed > drawn.at);
                    return Some(drawn.frame);
                }
                _ = self.tick.tick() => self.owe(Instant::now().checked_sub(FRESH).unwrap_or_else(Instant::now)),
                () = self.follows.is_to_go() => return Some(self.bye(Bye::Upgrade)),
                () = sleep_until(self.ends) => return Some(self.bye(Bye::Time)),
            }
        }
    }

    /// Has drawn what is owed, unless something is being drawn.
    fn draw(&mut self) {
        if let (Some(owed), None) = (self.owed, &self.drawing) {
            let board = Arc::clone(&self.board);
            self.drawing = Some(Box::pin(async move { board.after(owed).await }));
        }
    }

    fn owe(&mut self, at: Instant) {
        self.owed = self.owed.max(Some(at));
    }

    fn heard(&mut self, event: Result<Event, broadcast::error::RecvError>) -> Bytes {
        match event {
            Ok(event) => {
                let mut events = vec![event];
                while events.len() < TOGETHER
                    && let Ok(event) = self.live.try_recv()
                {
                    events.push(event);
                }
                self.owe(Instant::now());
                self.happened(&events)
            }
            Err(broadcast::error::RecvError::Lagged(number)) => missed(number),
            // The loop has ended.
            Err(broadcast::error::RecvError::Closed) => self.bye(Bye::End),
        }
    }

    fn happened(&self, events: &[Event]) -> Bytes {
        let mut frames = BytesMut::new();
        for event in events {
            let id = format!("{}-{}", self.process, event.id);
            put(&mut frames, "happened", Some(&id), &serde_json::to_vec(event).unwrap_or_default());
        }
        frames.freeze()
    }

    fn bye(&mut self, why: Bye) -> Bytes {
        self.over = true;
        frame("bye", None, why.data())
    }
}

fn missed(number: u64) -> Bytes {
    frame("missed", None, format!("{{\"events\":{number}}}").as_bytes())
}

async fn drawn(drawing: &mut Option<BoxFuture<'static, Drawn>>) -> Drawn {
    match drawing {
        Some(drawing) => drawing.await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_one_whatever_is_in_it() {
        assert_eq!(&frame("status", None, b"{}")[..], b"event: status\ndata: {}\n\n");
        assert_eq!(&frame("happened", Some("7-9"), b"{}")[..], b"id: 7-9\nevent: happened\ndata: {}\n\n");
        let torn = frame("x", None, b"a\n\nevent: bye\r\ndata: b\rc");
        assert_eq!(&torn[..], b"event: x\ndata: a\ndata: \ndata: event: bye\ndata: \ndata: data: b\ndata: c\n\n");
    }

    #[test]
    fn what_was_seen_is_read() {
        assert_eq!(Seen::read("1790000000000-42"), Some(Seen { process: 1_790_000_000_000, number: 42 }));
        for bad in ["", "42", "-", "1-", "-1", "a-b", "1-2-3", "1--2", "1-99999999999999999999"] {
            assert_eq!(Seen::read(bad), None, "{bad}");
        }
    }
}
