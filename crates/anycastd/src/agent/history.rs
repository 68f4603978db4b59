//! What each service was in the last hour, for those who want to see how it came about. It is lost with the process.

use std::{
    collections::{BTreeMap, VecDeque},
    time::{Duration, Instant, SystemTime},
};

use anycast_api::{self as api, ServiceState, Span};
use anycast_core::ServiceName;

use super::Agent;

/// How far it goes back.
const WINDOW: Duration = Duration::from_secs(3600);
/// Changes that are kept of a service, however fast it flaps: one every seven seconds of an hour.
const KEPT: usize = 512;

/// The changes of each service, oldest first: when, and to what. The first may be older than the window: it is what the service was
/// when that began.
#[derive(Debug, Default)]
pub(super) struct History {
    services: BTreeMap<ServiceName, VecDeque<(Instant, ServiceState)>>,
}

impl History {
    /// Sees what a service is now.
    pub(super) fn note(&mut self, name: &ServiceName, state: ServiceState, now: Instant) {
        let Some(changes) = self.services.get_mut(name) else {
            self.services.insert(name.clone(), VecDeque::from([(now, state)]));
            return;
        };
        if changes.back().is_none_or(|(_, last)| *last != state) {
            changes.push_back((now, state));
            forget(changes, now);
        }
    }

    /// Forgets the services that are not to be kept.
    pub(super) fn keep(&mut self, kept: impl Fn(&ServiceName) -> bool) {
        self.services.retain(|name, _| kept(name));
    }

    /// What all of them were.
    fn told(&self, now: Instant) -> Vec<api::ServiceHistory> {
        let told = |(name, changes): (&ServiceName, _)| api::ServiceHistory {
            name: name.to_string(),
            spans: spans(changes, now),
        };
        self.services.iter().map(told).collect()
    }
}

/// Lets go of what ended before the window, and of the oldest where there is too much.
fn forget(changes: &mut VecDeque<(Instant, ServiceState)>, now: Instant) {
    let over = |(at, _): &(Instant, ServiceState)| now.saturating_duration_since(*at) >= WINDOW;
    while changes.len() > KEPT || changes.get(1).is_some_and(over) {
        changes.pop_front();
    }
}

fn spans(changes: &VecDeque<(Instant, ServiceState)>, now: Instant) -> Vec<Span> {
    let ago = |at: &Instant| now.saturating_duration_since(*at).min(WINDOW).as_secs_f64();
    let ends = changes.iter().skip(1).map(|(at, _)| ago(at)).chain([0.0]);
    let all = changes.iter().zip(ends);
    all.map(|((at, state), to_seconds)| Span { state: *state, from_seconds: ago(at), to_seconds })
        .filter(|span| span.to_seconds < WINDOW.as_secs_f64())
        .collect()
}

impl Agent {
    /// What each service was of late.
    pub(crate) fn history(&self) -> api::History {
        api::History {
            now: SystemTime::now().into(),
            window_seconds: WINDOW.as_secs_f64(),
            services: self.history.told(Instant::now()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ServiceState::{Degraded, Down, Up};

    fn name() -> ServiceName {
        ServiceName::new("web").unwrap()
    }

    fn told(history: &History, now: Instant) -> Vec<(ServiceState, u64, u64)> {
        let all = history.told(now).into_iter().flat_map(|service| service.spans);
        all.map(|span| (span.state, span.from_seconds.round() as u64, span.to_seconds.round() as u64)).collect()
    }

    #[test]
    fn it_goes_back_an_hour() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut history = History::default();
        assert_eq!(told(&history, start), []);
        for (second, state) in [(0, Up), (10, Up), (100, Down), (100, Down), (160, Degraded), (200, Up)] {
            history.note(&name(), state, at(second));
        }
        let all = [(Up, 300, 200), (Down, 200, 140), (Degraded, 140, 100), (Up, 100, 0)];
        assert_eq!(told(&history, at(300)), all);
        // What ended before the hour is not told, what reaches into it is, as far as it does.
        assert_eq!(told(&history, at(3720)), [(Down, 3600, 3560), (Degraded, 3560, 3520), (Up, 3520, 0)]);
        assert_eq!(told(&history, at(3760)), [(Degraded, 3600, 3560), (Up, 3560, 0)]);
        assert_eq!(told(&history, at(90_000)), [(Up, 3600, 0)]);
        history.note(&name(), Down, at(90_000));
        assert_eq!(told(&history, at(90_060)), [(Up, 3600, 60), (Down, 60, 0)]);
        assert_eq!(history.services[&name()].len(), 2, "what is over is let go of");
    }

    #[test]
    fn what_flaps_does_not_grow() {
        let start = Instant::now();
        let mut history = History::default();
        for number in 0..5000 {
            let state = if number % 2 == 0 { Up } else { Down };
            history.note(&name(), state, start + Duration::from_millis(number));
        }
        let all = told(&history, start + Duration::from_secs(10));
        assert_eq!((all.len(), all[KEPT - 1].0), (KEPT, Down));
    }

    #[test]
    fn what_is_not_configured_any_more_is_forgotten() {
        let mut history = History::default();
        history.note(&name(), Up, Instant::now());
        history.keep(|_| false);
        assert_eq!(told(&history, Instant::now()), []);
    }
}
