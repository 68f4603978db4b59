//! Those who follow the events: another program sends them away before it goes on.

use std::{sync::Arc, time::Duration};

use tokio::{sync::watch, time::timeout};

/// All of them. Clones are one.
#[derive(Debug, Clone)]
pub(crate) struct Followers(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    /// They are to go, and nobody is to come.
    leave: watch::Sender<bool>,
    /// Whoever is here has a receiver.
    here: watch::Sender<()>,
}

/// As long as it is there nobody is taken in.
#[derive(Debug)]
pub(crate) struct SentAway(Followers);

/// One who follows, and is here as long as there is this.
#[derive(Debug)]
pub(super) struct Follows {
    leave: watch::Receiver<bool>,
    _here: watch::Receiver<()>,
}

impl Default for Followers {
    fn default() -> Self {
        Self(Arc::new(Shared { leave: watch::Sender::new(false), here: watch::Sender::new(()) }))
    }
}

impl Followers {
    /// The next, once somebody may come.
    pub(super) async fn take_in(&self) -> Follows {
        let mut leave = self.0.leave.subscribe();
        // We hold the sender ourselves.
        let _ = leave.wait_for(|leave| !*leave).await;
        Follows { leave, _here: self.0.here.subscribe() }
    }

    /// Tells them to come again, and waits for them to have heard it; those who take longer are cut off when they are.
    pub(crate) async fn send_away(&self, within: Duration) -> SentAway {
        let sent_away = SentAway(self.clone());
        self.0.leave.send_replace(true);
        let _ = timeout(within, self.0.here.closed()).await;
        sent_away
    }
}

impl Drop for SentAway {
    fn drop(&mut self) {
        self.0.0.leave.send_replace(false);
    }
}

impl Follows {
    /// Until it is to go.
    pub(super) async fn is_to_go(&mut self) {
        if self.leave.wait_for(|leave| *leave).await.is_err() {
            // Nobody is left who could say so.
            std::future::pending::<()>().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    const WITHIN: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn whoever_goes_is_waited_for_and_whoever_stays_is_not_for_long() {
        let followers = Followers::default();
        let began = Instant::now();
        drop(followers.send_away(WITHIN).await);
        assert_eq!(began.elapsed(), Duration::ZERO, "there is nobody");

        let mut goes = followers.take_in().await;
        let going = async {
            goes.is_to_go().await;
            drop(goes);
        };
        let (_, sent_away) = tokio::join!(going, followers.send_away(WITHIN));
        assert_eq!(began.elapsed(), Duration::ZERO, "it went at once");

        let soon = timeout(WITHIN, followers.take_in()).await;
        assert!(soon.is_err(), "nobody is taken in");
        drop(sent_away);
        let stays = followers.take_in().await;
        let began = Instant::now();
        drop(followers.send_away(WITHIN).await);
        assert_eq!(began.elapsed(), WITHIN, "it reads nothing");
        drop(stays);
    }
}
