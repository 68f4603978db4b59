//! Whether a unit of systemd is active, as systemd tells it: a run reads what is known, and a change makes the check run
//! at once.

use std::{sync::OnceLock, time::Duration};

use anycast_core::config::SystemdProbe;
use tokio::{
    sync::{Mutex, watch},
    time,
};

use super::{Finding, words};
use crate::units::{Seen, State, Unit};

/// Everything is read anew three times within it: what is older is not believed any more.
const BELIEVED: Duration = Duration::from_secs(30);

/// A systemd check, made ready.
#[derive(Debug)]
pub(super) struct SystemdProber {
    config: SystemdProbe,
    /// Watched from the first run on.
    unit: OnceLock<Unit>,
    changes: Mutex<Option<Changes>>,
}

/// What [`SystemdProber::changed`] has told so far.
#[derive(Debug)]
struct Changes {
    seen: watch::Receiver<Seen>,
    last: Option<State>,
}

impl SystemdProber {
    pub(super) fn new(config: &SystemdProbe) -> Self {
        Self { config: config.clone(), unit: OnceLock::new(), changes: Mutex::new(None) }
    }

    /// Waits only for the very first answer of the bus.
    pub(super) async fn run(&self, timeout: Duration) -> Finding {
        let unit = self.unit();
        let mut changes = unit.changes();
        let known = async {
            // The sender is the bus's, which the unit holds.
            let _ = changes.wait_for(|seen| *seen != Seen::Asking).await;
        };
        let _ = time::timeout(timeout, known).await;
        match unit.seen() {
            Seen::Asking => {
                let bus = self.config.bus.display();
                Finding::unknown(format!("systemd has not answered on {bus} within {}", words::time(timeout)))
            }
            Seen::Trouble(why) => Finding::unknown(why),
            Seen::Told(_, at) if at.elapsed() > BELIEVED => {
                Finding::unknown(format!("systemd has not answered for {}", words::age(at.elapsed())))
            }
            Seen::Told(state, _) => judge(&self.config.unit, &state),
        }
    }

    /// Ends when the unit's state is another than it was. Of a bus that comes and goes the check learns in time.
    pub(super) async fn changed(&self) {
        let mut held = self.changes.lock().await;
        let changes = held.get_or_insert_with(|| Changes { seen: self.unit().changes(), last: None });
        loop {
            if changes.turned() {
                return;
            }
            if changes.seen.changed().await.is_err() {
                return std::future::pending().await;
            }
        }
    }

    fn unit(&self) -> &Unit {
        self.unit.get_or_init(|| Unit::watch(&self.config.bus, &self.config.unit))
    }
}

impl Changes {
    fn turned(&mut self) -> bool {
        let seen = self.seen.borrow_and_update();
        let Seen::Told(now, _) = &*seen else { return false };
        let before = self.last.replace(now.clone());
        before.is_some_and(|before| before != *now)
    }
}

/// systemd.unit(5), org.freedesktop.systemd1(5): a unit that reloads or refreshes goes on serving.
fn judge(unit: &str, state: &State) -> Finding {
    match state.load.as_str() {
        "loaded" | "merged" => {}
        "not-found" => return Finding::down(format!("there is no {unit}")),
        "masked" => return Finding::down(format!("{unit} is masked")),
        other if state.active != "active" => {
            return Finding::down(format!("{unit} cannot be loaded ({other}); it is {}", state.active));
        }
        _ => {}
    }
    let (active, sub) = (&state.active, &state.sub);
    let said = if active == sub || sub.is_empty() { active.clone() } else { format!("{active} ({sub})") };
    match (active.as_str(), &state.result) {
        ("active" | "reloading" | "refreshing", _) => Finding::up(format!("{unit} is {said}")),
        (_, Some(result)) if result != "success" => Finding::down(format!("{unit} is {said}, result {result}")),
        _ => Finding::down(format!("{unit} is {said}")),
    }
}

#[cfg(test)]
mod tests;
