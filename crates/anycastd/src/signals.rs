//! What the signals order: the end, or a reload.
//!
//! All threads hold them back, and they are read from a descriptor: what has come and is not read yet waits in the kernel, where a program
//! that takes the place of this one finds it.

use std::{future::Future, io, pin::Pin, sync::Arc};

use nix::{
    errno::Errno,
    sys::{
        signal::{SigSet, Signal as Number},
        signalfd::{SfdFlags, SignalFd},
    },
};
use tokio::{
    io::{Interest, unix::AsyncFd},
    signal::unix::{Signal, SignalKind, signal},
    sync::{Mutex, OwnedMutexGuard},
};

use crate::{
    agent::Handle,
    manager,
    reload::{Reloader, Wish},
};

/// What we obey.
const OBEYED: [Number; 3] = [Number::SIGTERM, Number::SIGINT, Number::SIGHUP];

/// Whoever has it keeps the signals unread.
pub(crate) type Turn = Arc<Mutex<()>>;

/// The signals we obey; from [`Signals::new`] on none of them ends the process by itself.
#[derive(Debug)]
pub(crate) struct Signals {
    held: AsyncFd<SignalFd>,
    /// Those that come to a thread in the moment in which it [does not hold them back](released).
    others: [(Number, Signal); 3],
    turn: Turn,
}

/// Until [`Signals::new`], an order to reload waits: it would end a process that does not know of it yet. For the thread that runs
/// `main`, before there are others, which take it over.
pub(crate) fn hold_hangup() {
    let _ = SigSet::from(Number::SIGHUP).thread_block();
}

/// Holds back whatever we obey, likewise; from now on it waits for [`Signals`].
pub(crate) fn hold() {
    let _ = obeyed().thread_block();
}

fn obeyed() -> SigSet {
    OBEYED.into_iter().collect()
}

/// Does what starts a program, which must not hold back what we hold back. For threads that have a moment only: a signal that comes
/// meanwhile is obeyed, but no other program would find it.
pub(crate) fn released<T>(work: impl FnOnce() -> T) -> io::Result<T> {
    let before = SigSet::thread_get_mask()?;
    obeyed().thread_unblock()?;
    let done = work();
    before.thread_set_mask()?;
    Ok(done)
}

impl Signals {
    /// What was held comes now.
    ///
    /// # Errors
    /// What the kernel says.
    pub(crate) fn new() -> io::Result<Self> {
        let other = |number: Number| io::Result::Ok((number, signal(SignalKind::from_raw(number as i32))?));
        let [terminate, interrupt, hangup] = OBEYED.map(other);
        let flags = SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK;
        let held = watched(SignalFd::with_flags(&obeyed(), flags)?)?;
        Ok(Self { held, others: [terminate?, interrupt?, hangup?], turn: Turn::default() })
    }

    /// By which they are kept unread.
    pub(crate) fn turn(&self) -> Turn {
        Arc::clone(&self.turn)
    }

    /// The next, and the turn, which lasts until it is obeyed. Cancel safe.
    async fn next(&mut self) -> (Number, Option<OwnedMutexGuard<()>>) {
        let [terminate, interrupt, hangup] = &mut self.others;
        tokio::select! {
            held = held(&self.held, &self.turn) => held,
            Some(()) = terminate.1.recv() => (terminate.0, None),
            Some(()) = interrupt.1.recv() => (interrupt.0, None),
            Some(()) = hangup.1.recv() => (hangup.0, None),
        }
    }

    /// Obeys them until it is dropped. The end does not wait for a reload whose file hangs; another reload does.
    pub(crate) async fn obey(mut self, reloader: Reloader, agent: Handle) {
        let mut reloading: Option<Pin<Box<dyn Future<Output = ()> + Send>>> = None;
        let mut again = false;
        loop {
            if again && reloading.is_none() {
                again = false;
                let reloader = reloader.clone();
                let wish = Wish { dry_run: false, yes: false, by: "SIGHUP".to_owned() };
                reloading = Some(Box::pin(async move { reloader.in_time(wish).await }));
            }
            let reloaded = async {
                match &mut reloading {
                    Some(reloading) => reloading.await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                (number, _turn) = self.next() => match number {
                    Number::SIGHUP => again = true,
                    number => stop(&agent, number.as_str()).await,
                },
                () = reloaded => reloading = None,
            }
        }
    }
}

#[allow(deprecated, reason = "the successor is unsafe for types that can swap their descriptor; a SignalFd cannot")]
fn watched(signals: SignalFd) -> io::Result<AsyncFd<SignalFd>> {
    AsyncFd::with_interest(signals, Interest::READABLE)
}

/// One that was held back, once it is our turn.
async fn held(signals: &AsyncFd<SignalFd>, turn: &Turn) -> (Number, Option<OwnedMutexGuard<()>>) {
    loop {
        let read = async {
            let mut ready = signals.readable().await?;
            let turn = Arc::clone(turn).lock_owned().await;
            match ready.get_inner().read_signal() {
                Ok(Some(info)) => Ok(i32::try_from(info.ssi_signo).ok().map(|number| (number, turn))),
                Ok(None) | Err(Errno::EAGAIN) => {
                    ready.clear_ready();
                    Ok(None)
                }
                Err(errno) => Err(io::Error::from(errno)),
            }
        };
        match read.await {
            Ok(Some((number, turn))) => {
                if let Ok(number) = Number::try_from(number) {
                    return (number, Some(turn));
                }
            }
            Ok(None) => {}
            Err(error) => {
                tracing::error!(%error, "signals cannot be read");
                std::future::pending::<()>().await;
            }
        }
    }
}

async fn stop(agent: &Handle, why: &'static str) {
    manager::stopping();
    if agent.order(move |agent| agent.stop(why)).await.is_err() {
        // A loop that does not answer cannot withdraw. The end of the process closes the sessions, and that does.
        tracing::error!("{why}: the decision loop does not answer; ending without it");
        std::process::exit(crate::cli::Exit::Failed as i32);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const AMPLE: Duration = Duration::from_secs(20);

    /// Whoever starts the agent and reloads it at once must not kill it.
    #[tokio::test]
    async fn an_order_to_reload_that_comes_too_early_is_kept() {
        hold_hangup();
        nix::sys::signal::raise(Number::SIGHUP).unwrap();
        let mut signals = Signals::new().unwrap();
        let (came, _) = tokio::time::timeout(AMPLE, signals.next()).await.expect("it comes");
        assert_eq!(came, Number::SIGHUP);
    }

    /// Another program would find it.
    #[tokio::test]
    async fn while_it_is_not_our_turn_a_signal_waits_in_the_kernel() {
        hold();
        let mut signals = Signals::new().unwrap();
        let turn = signals.turn().lock_owned().await;
        nix::sys::signal::raise(Number::SIGTERM).unwrap();
        assert!(tokio::time::timeout(Duration::from_millis(50), signals.next()).await.is_err());
        let pending = std::fs::read_to_string("/proc/thread-self/status").unwrap();
        let pending = pending.lines().find_map(|line| line.strip_prefix("SigPnd:")).unwrap().trim().to_owned();
        assert_eq!(u64::from_str_radix(&pending, 16).unwrap(), 1 << (Number::SIGTERM as u32 - 1));
        drop(turn);
        let (came, turn) = tokio::time::timeout(AMPLE, signals.next()).await.expect("it comes");
        assert_eq!((came, turn.is_some()), (Number::SIGTERM, true));
    }

    /// A thread that starts a program may get it in that moment.
    #[tokio::test]
    async fn one_that_comes_while_a_program_is_started_is_obeyed() {
        hold();
        let mut signals = Signals::new().unwrap();
        released(|| nix::sys::signal::raise(Number::SIGINT).unwrap()).unwrap();
        let (came, _) = tokio::time::timeout(AMPLE, signals.next()).await.expect("it comes");
        assert_eq!(came, Number::SIGINT);
    }
}
