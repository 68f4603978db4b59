//! A neighbor that says as much as it is let.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};
use tokio::{
    io::AsyncWriteExt as _,
    net::tcp::OwnedWriteHalf,
    sync::mpsc::{self, UnboundedReceiver},
    task::JoinHandle,
    time::interval,
};

use super::{Ear, Heard, message::KEEPALIVE};

/// What is written at once.
const CHUNK: usize = 256 * 1024;
/// Between two KEEPALIVEs, once all is said.
const PULSE: Duration = Duration::from_secs(1);

/// It speaks on a task of its own, which ends with this.
#[derive(Debug)]
pub struct Flood {
    poured: Arc<AtomicBool>,
    task: JoinHandle<()>,
}

impl Flood {
    /// Says all of it as fast as it is taken, and from then on only that it lives.
    pub fn begin(mut mouth: OwnedWriteHalf, messages: impl Iterator<Item = Bytes> + Send + 'static) -> Self {
        let poured = Arc::new(AtomicBool::new(false));
        let done = poured.clone();
        let task = tokio::spawn(async move {
            let all = pour(&mut mouth, messages).await;
            done.store(true, Ordering::Relaxed);
            let mut pulse = interval(PULSE);
            let mut heard = all.is_ok();
            while heard {
                pulse.tick().await;
                heard = mouth.write_all(&KEEPALIVE).await.is_ok();
            }
        });
        Self { poured, task }
    }

    /// Whether all is said, or nobody hears it any more.
    #[must_use]
    pub fn is_poured(&self) -> bool {
        self.poured.load(Ordering::Relaxed)
    }
}

impl Drop for Flood {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn pour(mouth: &mut OwnedWriteHalf, messages: impl Iterator<Item = Bytes>) -> std::io::Result<()> {
    let mut chunk = BytesMut::with_capacity(2 * CHUNK);
    for message in messages {
        chunk.extend_from_slice(&message);
        if chunk.len() >= CHUNK {
            mouth.write_all(&chunk).await?;
            chunk.clear();
        }
    }
    mouth.write_all(&chunk).await
}

/// Listens on a task of its own, so that nothing else delays the times; ends with the connection.
#[must_use]
pub fn listening(mut ear: Ear) -> UnboundedReceiver<Heard> {
    let (tell, told) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok(Some(heard)) = ear.next().await {
            if tell.send(heard).is_err() {
                break;
            }
        }
    });
    told
}

/// The longest silence, as a hold timer would see it: any KEEPALIVE and any UPDATE ends one.
#[derive(Debug, Clone, Copy)]
pub struct Silence {
    last: Instant,
    longest: Duration,
}

impl Silence {
    /// From a moment on.
    #[must_use]
    pub const fn since(start: Instant) -> Self {
        Self { last: start, longest: Duration::ZERO }
    }

    /// Something was heard then.
    pub fn broken(&mut self, at: Instant) {
        self.longest = self.longest.max(at.saturating_duration_since(self.last));
        self.last = at;
    }

    /// The longest, the one that lasts included.
    #[must_use]
    pub fn longest(mut self, now: Instant) -> Duration {
        self.broken(now);
        self.longest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_silence_may_be_the_last() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut silence = Silence::since(start);
        silence.broken(at(2));
        silence.broken(at(3));
        assert_eq!(silence.longest(at(4)), Duration::from_secs(2));
        assert_eq!(silence.longest(at(9)), Duration::from_secs(6));
    }
}
