//! How long a connection may last.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};

/// The end of a connection, which what it is asked for may put off. Clones are one.
#[derive(Debug, Clone)]
pub(super) struct Life(Arc<watch::Sender<Instant>>);

impl Life {
    pub(super) fn new(length: Duration) -> Self {
        Self(Arc::new(watch::channel(Instant::now() + length).0))
    }

    /// It lasts this much longer from now on, at least.
    pub(super) fn at_least(&self, length: Duration) {
        self.0.send_modify(|end| *end = (*end).max(Instant::now() + length));
    }

    /// Until it is over.
    pub(super) async fn over(&self) {
        let mut end = self.0.subscribe();
        loop {
            let at = *end.borrow_and_update();
            tokio::select! {
                () = sleep_until(at) => return,
                // We hold the sender ourselves.
                _ = end.changed() => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn its_end_is_put_off() {
        let life = Life::new(Duration::from_secs(60));
        let began = Instant::now();
        let longer = async {
            tokio::time::sleep(Duration::from_secs(50)).await;
            life.at_least(Duration::from_secs(300));
            life.at_least(Duration::from_secs(3));
        };
        tokio::join!(life.over(), longer);
        assert_eq!(began.elapsed().as_secs(), 350);
    }
}
