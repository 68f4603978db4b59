//! The path to the neighbor as BFD sees it: where it is lost the session ends, and it begins when there is one.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::{Instant, SystemTime},
};

use anycast_bfd::State as BfdState;
use anycast_bgp::Farewell;
use anycast_core::{
    PeerId,
    config::{self, Endpoint},
    path::{Coupling, Sight, Verdict},
};
use tokio::sync::watch;

use super::{
    super::{socket, unnumbered::Router, way::carries},
    Driver,
};
use crate::{
    bfd::{self, Bfd, Line, Seen, Target},
    fence::Order,
};

/// What is said where a session waits for the path.
pub(super) const WAITS: &str = "waits until its session is Up (`strict`)";

/// What the driver has of it.
pub(in crate::peer) struct Path {
    pub(in crate::peer) bfd: Bfd,
    /// The configured neighbor that this one belongs to.
    pub(in crate::peer) of: PeerId,
    /// As configured; `None`: there is no BFD session.
    pub(in crate::peer) settings: watch::Receiver<Option<config::Bfd>>,
    pub(in crate::peer) told: Arc<watch::Sender<Seen>>,
    pub(in crate::peer) seen: watch::Receiver<Seen>,
    pub(in crate::peer) line: Option<Line>,
    pub(in crate::peer) coupling: Coupling,
    /// As whoever comes after this task, and operators, are to know it.
    pub(in crate::peer) known: watch::Sender<Coupling>,
    /// What was last told of it; `None`: nothing yet.
    pub(in crate::peer) shown: Option<Shown>,
    /// What was so before is no news.
    began: SystemTime,
}

/// What operators are told of as it changes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::peer) struct Shown {
    up: bool,
    problem: Option<String>,
}

impl Path {
    pub(in crate::peer) fn new(
        bfd: Bfd,
        of: PeerId,
        settings: watch::Receiver<Option<config::Bfd>>,
        told: watch::Sender<Seen>,
        known: watch::Sender<Coupling>,
    ) -> Self {
        let (seen, coupling) = (told.subscribe(), known.borrow().clone());
        Self {
            bfd,
            of,
            settings,
            told: Arc::new(told),
            seen,
            line: None,
            coupling,
            known,
            shown: None,
            began: SystemTime::now(),
        }
    }

    /// Until there is something new of it.
    pub(super) async fn changed(&mut self) {
        let Self { settings, seen, .. } = self;
        tokio::select! {
            Ok(()) = seen.changed() => {}
            Ok(()) = settings.changed() => {}
            else => std::future::pending().await,
        }
    }

    fn publish(&self) {
        self.known.send_replace(self.coupling.clone());
    }
}

impl Driver {
    /// There is to be a BFD session, or none, as configured and as the way to the neighbor is now.
    pub(super) fn aim(&mut self) {
        let path = &mut self.parts.path;
        let settings = path.settings.borrow_and_update().clone();
        path.coupling.set_strict(settings.as_ref().is_some_and(|settings| settings.strict));
        let needed = self.needs_path();
        let path = &mut self.parts.path;
        let configured = settings.is_some();
        let Some(settings) = settings.filter(|_| needed) else {
            let ends = path.line.take().is_some();
            // What was lost is nobody's affair any more where there is to be no BFD.
            if ends || !configured {
                path.coupling.begin_anew();
                path.publish();
            }
            if ends {
                path.shown = None;
                path.told.send_modify(|seen| *seen = std::mem::take(seen).over());
            }
            return;
        };
        let Some(target) = self.target(&settings) else { return };
        let config = bfd::session_config(&settings);
        let path = &mut self.parts.path;
        match &mut path.line {
            Some(line) => line.set(target, config),
            None => {
                let ids = (&self.parts.id, &path.of);
                path.line = Some(Line::open(&path.bfd, ids, target, config, Arc::clone(&path.told)));
            }
        }
    }

    /// Whom the session is with. `None`: that is not known, or not known any more; then what there is stays.
    fn target(&self, settings: &config::Bfd) -> Option<Target> {
        let neighbor = &self.parts.neighbor;
        let (source, device) = (neighbor.transport.source, neighbor.transport.device.clone());
        let external = self.parts.session.config().is_external();
        let distance = neighbor.transport.distance;
        match &neighbor.endpoint {
            Endpoint::Interface(_) => {
                let Router::Known(router) = *self.parts.router.as_ref()?.borrow() else { return None };
                let path = anycast_bfd::Path::SingleHop { interface: Some(router.scope_id()) };
                Some(Target { remote: IpAddr::V6(*router.ip()), scope: router.scope_id(), source, device, path })
            }
            Endpoint::Address(address) => {
                let remote = SocketAddr::new(*address, neighbor.port.get());
                let all = socket::interfaces_towards(source.map(|source| SocketAddr::new(source, 0)), remote);
                let links = self.parts.links.borrow().clone();
                let best = all.iter().find(|interface| carries(interface, &links)).or_else(|| all.first());
                let index = best.and_then(|interface| nix::net::if_::if_nametoindex(interface.as_str()).ok());
                let mut path = bfd::path(settings, distance, external, index);
                // An interface that has no address at this moment is still the one.
                if let (anycast_bfd::Path::SingleHop { interface: found @ None }, Some(line)) =
                    (&mut path, &self.parts.path.line)
                    && let anycast_bfd::Path::SingleHop { interface: before } = line.target().path
                {
                    *found = before;
                }
                Some(Target { remote: *address, scope: 0, source, device, path })
            }
            Endpoint::Network(..) => None,
        }
    }

    /// Whether there is to be a BFD session now.
    pub(super) fn needs_path(&self) -> bool {
        let path = &self.parts.path;
        // While nobody vouches for what is announced it is Down. AdminDown would say that nothing is wrong (RFC 5882 §3.2).
        // One that ends says so after the Cease.
        let suspended = || path.line.is_some() && (self.stopping || self.parts.fence.order() != Order::Go);
        path.settings.borrow().is_some() && (self.is_established() || path.coupling.is_needed() || suspended())
    }

    /// Takes a look at what BFD knows.
    pub(super) fn look_at_path(&mut self, now: Instant) {
        let path = &mut self.parts.path;
        let seen = path.seen.borrow_and_update().clone();
        if path.line.is_none() {
            return;
        }
        let remote = seen.remote.map(|(state, _)| state);
        path.coupling.handle(Sight { state: seen.state, remote, lost: seen.lost }, now);
        if self.parts.session.state() == anycast_bgp::State::Established {
            path.coupling.handle_established();
        }
        path.publish();
        let shown = Shown { up: seen.state == BfdState::Up, problem: seen.problem.clone() };
        let before = path.shown.replace(shown.clone()).unwrap_or_default();
        // What was Up before this process was is no news.
        let is_news = shown.up != before.up && !(shown.up && seen.since < path.began);
        if is_news {
            let text = words(&seen);
            if shown.up || self.stopping {
                tracing::info!("{text}");
            } else {
                tracing::warn!("{text}");
            }
            self.parts.sink.report("neighbor", &self.parts.id, text);
        }
        if let (Some(problem), true) = (&shown.problem, shown.problem != before.problem) {
            tracing::warn!("{problem}");
            self.parts.sink.report("neighbor", &self.parts.id, problem.clone());
        }
        self.parts.wake.wake();
    }

    /// What the session is to do, as the path is, and as `order` says.
    pub(super) fn mind_path(&self, order: Order) -> Order {
        let path = &self.parts.path;
        match path.coupling.verdict() {
            _ if matches!(order, Order::End(_)) => order,
            Verdict::End => {
                let lost = path.seen.borrow().last_loss.as_ref().map(|(why, _)| why.clone());
                Order::End(Farewell::BfdDown(lost.unwrap_or_else(|| "the path was lost".to_owned())))
            }
            Verdict::Wait if !self.is_established() => Order::End(Farewell::BfdDown(WAITS.to_owned())),
            Verdict::Wait | Verdict::Go => order,
        }
    }

    fn is_established(&self) -> bool {
        self.parts.session.state() == anycast_bgp::State::Established
    }
}

/// In an event, and in the log.
fn words(seen: &Seen) -> String {
    if seen.state == BfdState::Up {
        return "BFD Up".to_owned();
    }
    let why = match (&seen.last_loss, seen.remote) {
        _ if seen.diagnostic == anycast_bfd::Diagnostic::NONE => return "BFD begins anew".to_owned(),
        (_, Some((BfdState::AdminDown, _))) => "the neighbor's operator has taken it down".to_owned(),
        (Some((why, at)), _) if *at == seen.since => why.clone(),
        _ => seen.diagnostic.to_string(),
    };
    format!("BFD {}: {why}", seen.state)
}

#[cfg(test)]
mod tests;
