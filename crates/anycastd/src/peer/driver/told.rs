//! What the agent is told of the session.

use std::sync::Arc;

use anycast_bgp::{DownReason, Event, Prefix, QuarantineEvent, Received};

use super::{Driver, PeerState, path, state_with};

impl Driver {
    /// Tells the agent what changed.
    pub(super) fn publish(&mut self) {
        let mut moved = false;
        let mut advertised = false;
        while let Some(event) = self.parts.session.poll_event() {
            match event {
                Event::Established => {
                    moved = true;
                    tracing::info!("established");
                    self.parts.sink.report("neighbor", &self.parts.id, "Established");
                }
                // Nothing has ended: nothing had begun.
                Event::Down(DownReason::BfdDown(why)) if why == path::WAITS => {
                    moved = true;
                    tracing::info!("BFD: {why}");
                    self.parts.sink.report("neighbor", &self.parts.id, format!("BFD: {why}"));
                }
                // Likewise: what was lost before is known.
                Event::Down(DownReason::BfdDown(why)) if self.parts.session.counters().established == 0 => {
                    moved = true;
                    tracing::info!("BFD: {why}: the session waits for the path");
                }
                Event::Down(reason) => {
                    moved = true;
                    self.pace.forget();
                    if !self.stopping {
                        tracing::warn!(%reason, "session down");
                    }
                    self.parts.sink.report("neighbor", &self.parts.id, format!("down: {reason}"));
                }
                Event::Advertised => advertised = true,
                Event::NextHop(change) => {
                    moved = true;
                    if change.now.is_some() {
                        tracing::info!("{change}");
                    } else {
                        tracing::warn!("{change}");
                    }
                    self.parts.sink.report("neighbor", &self.parts.id, change.to_string());
                }
                Event::Quarantine(event) => {
                    match &event {
                        QuarantineEvent::Searching(..) | QuarantineEvent::Held(..) => tracing::warn!("{event}"),
                        QuarantineEvent::Released(_) | QuarantineEvent::Cleared => tracing::info!("{event}"),
                    }
                    self.parts.sink.report("neighbor", &self.parts.id, event.to_string());
                }
            }
        }
        let old = self.parts.state.borrow().clone();
        let session = &self.parts.session;
        let mut new = state_with(session, &self.parts.neighbor, self.taken.clone(), old.advertised.clone());
        if advertised {
            self.pace.handle_progress(session.advertised());
        }
        if advertised || moved {
            new.advertised = Arc::new(session.advertised().clone());
        }
        let alarm = |state: &PeerState| state.received.filter(|received| received.exceeded);
        if let (None, Some(received)) = (alarm(&old), alarm(&new)) {
            let Received { prefixes, limit, .. } = received;
            tracing::warn!(prefixes, %limit, "the neighbor announces more prefixes than `max_prefixes`; the session stays up");
            let text = format!("announces {prefixes} prefixes, more than `max_prefixes: {limit}`");
            self.parts.sink.report("neighbor", &self.parts.id, text);
            moved = true;
        }
        // What is in quarantine has said so itself.
        let untold = |state: &PeerState| -> Vec<Prefix> {
            let told = |prefix: &&Prefix| !state.quarantined.contains_key(prefix);
            state.unsendable.keys().filter(told).copied().collect()
        };
        let all = untold(&new);
        if let (true, Some(prefix)) = (untold(&old).is_empty(), all.first()) {
            let (count, why) = (all.len(), new.unsendable.get(prefix).cloned().unwrap_or_default());
            tracing::warn!(%prefix, count, "the neighbor cannot be told of it: {why}");
            let others = if count > 1 { format!(" and {} others", count - 1) } else { String::new() };
            self.parts.sink.report("neighbor", &self.parts.id, format!("cannot be told of {prefix}{others}: {why}"));
        }
        let taken = !Arc::ptr_eq(&old.routes, &new.routes);
        let matters = advertised
            || moved
            || taken
            || old.state != new.state
            || old.unsendable != new.unsendable
            || old.quarantined != new.quarantined;
        self.parts.state.send_replace(new);
        if matters {
            self.parts.wake.wake();
        }
    }
}
