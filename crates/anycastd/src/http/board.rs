//! The status as those who follow it are shown it: written out once for all of them, and not too often.

use std::time::Duration;

use anycast_api::{StatusNow, Timestamp};
use bytes::Bytes;
use tokio::{
    sync::Mutex,
    time::{Instant, sleep_until},
};

use super::events::frame;
use crate::agent::Handle;

/// Between two times that the status is written out, at least.
const PAUSE: Duration = Duration::from_millis(250);
/// The same on a node with so much to say that it takes long: so many times as long as that, …
const SHARE: u32 = 20;
/// … and no longer. Who follows is told that often, or believes that nobody is there.
const LONGEST_PAUSE: Duration = Duration::from_secs(3);

/// What is shown.
#[derive(Debug, Clone)]
pub(super) struct Drawn {
    /// When the loop was asked.
    pub(super) at: Instant,
    /// In JSON; `None`: the loop does not answer.
    pub(super) status: Option<Bytes>,
    /// As one event of a stream.
    pub(super) frame: Bytes,
    /// The next is drawn no sooner.
    next: Instant,
}

/// Draws it.
pub(super) struct Board {
    agent: Handle,
    latest: Mutex<Option<Drawn>>,
}

impl Board {
    pub(super) fn new(agent: Handle) -> Self {
        Self { agent, latest: Mutex::default() }
    }

    /// What was so at `wanted` or later. Whoever comes meanwhile shares it.
    pub(super) async fn after(&self, wanted: Instant) -> Drawn {
        let mut latest = self.latest.lock().await;
        if let Some(drawn) = &*latest {
            if drawn.at >= wanted {
                return drawn.clone();
            }
            sleep_until(drawn.next).await;
        }
        let drawn = self.draw().await;
        *latest = Some(drawn.clone());
        drawn
    }

    async fn draw(&self) -> Drawn {
        let at = Instant::now();
        let status = self.written().await;
        let frame = match &status {
            Some(status) => frame("status", None, status),
            None => frame("silent", None, b"{}"),
        };
        let pause = (at.elapsed() * SHARE).clamp(PAUSE, LONGEST_PAUSE);
        Drawn { at, status, frame, next: Instant::now() + pause }
    }

    /// Where it takes nobody's time.
    async fn written(&self) -> Option<Bytes> {
        let status = self.agent.ask(|agent| agent.status()).await.ok()?;
        let now = StatusNow { now: Timestamp::now(), status };
        let written = tokio::task::spawn_blocking(move || serde_json::to_vec(&now)).await;
        written.ok()?.ok().map(Bytes::from)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use futures_util::future::join_all;

    use super::*;
    use crate::agent::tests::idle;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn all_are_shown_the_same_and_not_too_often() {
        let home = tempfile::tempdir().unwrap();
        let (run, agent) = idle(home.path());
        let running = tokio::spawn(run);
        let board = Arc::new(Board::new(agent));
        let began = Instant::now();
        let follower = async || {
            let mut seen = Vec::new();
            for _ in 0..4 {
                seen.push(board.after(Instant::now()).await.at);
            }
            seen
        };
        let mut all: Vec<Instant> = join_all((0..20).map(|_| follower())).await.into_iter().flatten().collect();
        all.sort_unstable();
        all.dedup();
        let most = 2 + began.elapsed().as_millis() / PAUSE.as_millis();
        assert!((4..=most).contains(&(all.len() as u128)), "{} times, {most} at most", all.len());
        let drawn = board.after(began).await;
        let told: StatusNow = serde_json::from_slice(&drawn.status.unwrap()).unwrap();
        assert_eq!(told.status.asn, 65010);
        running.abort();
    }

    #[tokio::test]
    async fn that_nobody_answers_is_shown() {
        let drawn = Board::new(Handle::to_nobody()).after(Instant::now()).await;
        assert_eq!((drawn.status, &drawn.frame[..]), (None, &b"event: silent\ndata: {}\n\n"[..]));
    }
}
