//! What is known, as others are to see it: in words, with its time, and a report of each change.

use std::{collections::BTreeMap, net::IpAddr, time::SystemTime};

use anycast_core::{
    Reconciler,
    reconcile::{Binding, Deletion, Owner, Problem, Target},
};

use super::{AddressState, words};
use crate::signal::Sink;

/// What was last shown. A text is written once for each change, so that what did not change stays the same to the letter.
#[derive(Debug)]
pub(super) struct Board {
    sink: Sink,
    addresses: BTreeMap<IpAddr, (Binding, AddressState)>,
    problems: BTreeMap<Target, (Problem, String)>,
}

impl Board {
    /// With what is bound already, as was told before.
    pub(super) fn new(sink: Sink, known: &BTreeMap<IpAddr, AddressState>) -> Self {
        let bound = known.iter().filter_map(|(address, state)| match state {
            AddressState::Bound { owner, interface, .. } => {
                let binding = Binding::Bound { owner: *owner, interface: interface.as_str().into() };
                Some((*address, (binding, state.clone())))
            }
            AddressState::Missing { .. } => None,
        });
        Self { sink, addresses: bound.collect(), problems: BTreeMap::new() }
    }

    /// Reports what changed; what is to be shown now. Before there is a plan, it is not known of what is somebody else's whether it
    /// is needed.
    pub(super) fn update(
        &mut self,
        reconciler: &mut Reconciler,
        planned: bool,
    ) -> (BTreeMap<IpAddr, AddressState>, Vec<String>) {
        while let Some(deletion) = reconciler.poll_deletion() {
            self.tell_deletion(&deletion, reconciler.holds(&deletion.target));
        }
        self.update_addresses(reconciler, planned);
        self.update_problems(reconciler);
        let addresses = self.addresses.iter().map(|(address, (_, state))| (*address, state.clone())).collect();
        (addresses, self.problems.values().map(|(_, text)| text.clone()).collect())
    }

    fn tell_deletion(&self, deletion: &Deletion, back: bool) {
        let Deletion { target, times, retry_at } = deletion;
        let text = if back {
            format!("deleted by somebody else ({}); put back", words::often(*times))
        } else {
            words::problem(&Problem::Deleted { times: *times, retry_at: *retry_at })
        };
        tracing::warn!(%target, times, "{text}");
        self.report(target, &text);
    }

    fn update_addresses(&mut self, reconciler: &Reconciler, planned: bool) {
        let bindings = reconciler.addresses();
        let is_gone = |address: &&IpAddr| planned && !bindings.contains_key(*address);
        let gone: Vec<_> = self.addresses.keys().filter(is_gone).copied().collect();
        for address in gone {
            if let Some((Binding::Bound { owner, interface }, _)) = self.addresses.remove(&address) {
                let text = match owner {
                    Owner::Ours => format!("removed from {interface}"),
                    Owner::Foreign => format!("no longer needed; left on {interface}, where somebody else put it"),
                };
                tracing::info!(%address, "{text}");
                self.sink.report("address", address, text);
            }
        }
        for (address, binding) in bindings {
            let before = self.addresses.get(&address).map(|(binding, _)| binding);
            let unseen = binding == Binding::Missing(Problem::Unknown);
            if before == Some(&binding) || (unseen && matches!(before, Some(Binding::Bound { .. }))) {
                continue;
            }
            self.tell_binding(address, before, &binding);
            let since = match self.addresses.get(&address) {
                Some((_, AddressState::Missing { since, .. })) if matches!(binding, Binding::Missing(_)) => *since,
                _ => SystemTime::now(),
            };
            let state = state(&binding, since);
            self.addresses.insert(address, (binding, state));
        }
    }

    fn tell_binding(&self, address: IpAddr, before: Option<&Binding>, now: &Binding) {
        let text = match now {
            Binding::Bound { owner: Owner::Ours, interface } => format!("bound on {interface}"),
            Binding::Bound { owner: Owner::Foreign, interface } => {
                format!("bound on {interface} by somebody else; counts, and is left alone")
            }
            Binding::Missing(problem) => {
                let known = matches!(before, Some(Binding::Missing(before)) if is_alike(before, problem));
                if !known && is_news(problem) {
                    let text = format!("cannot be bound: {}", words::problem(problem));
                    tracing::warn!(%address, "{text}");
                    self.sink.report("address", address, text);
                }
                return;
            }
        };
        tracing::info!(%address, "{text}");
        self.sink.report("address", address, text);
    }

    fn update_problems(&mut self, reconciler: &Reconciler) {
        let mut problems = reconciler.missing_anchors();
        problems.extend(reconciler.leftovers());
        self.problems.retain(|target, _| {
            let lasts = problems.contains_key(target);
            if !lasts && reconciler.holds(target) {
                tracing::info!(%target, "in place");
            }
            lasts
        });
        for (target, problem) in problems {
            let before = self.problems.get(&target).map(|(before, _)| before);
            if before == Some(&problem) {
                continue;
            }
            let known = before.is_some_and(|before| is_alike(before, &problem));
            let why = words::problem(&problem);
            let text = match &target {
                Target::Anchor { prefix, .. } if !reconciler.holds(&target) => {
                    format!("no anchor route for {prefix}, so that its unused addresses may loop: {why}")
                }
                Target::Anchor { .. } | Target::Address { .. } => format!("cannot remove {target}: {why}"),
            };
            if !known && is_news(&problem) {
                tracing::warn!("{text}");
                self.report(&target, &text);
            }
            self.problems.insert(target, (problem, text));
        }
    }

    fn report(&self, target: &Target, text: &str) {
        match target {
            Target::Address { address, .. } => self.sink.report("address", address, text),
            Target::Anchor { prefix, .. } => self.sink.report("route", prefix, format!("anchor route: {text}")),
        }
    }
}

fn state(binding: &Binding, since: SystemTime) -> AddressState {
    match binding {
        Binding::Bound { owner, interface } => {
            AddressState::Bound { owner: *owner, interface: interface.to_string(), since }
        }
        Binding::Missing(problem) => AddressState::Missing { problem: words::problem(problem), since },
    }
}

/// The same problem, at another time.
fn is_alike(one: &Problem, other: &Problem) -> bool {
    match (one, other) {
        (Problem::Failed { why: one, .. }, Problem::Failed { why: other, .. }) => one == other,
        (Problem::Taken { .. }, Problem::Taken { .. }) => true,
        (one, other) => one == other,
    }
}

/// What passes by itself, or is told as a deletion, is none.
const fn is_news(problem: &Problem) -> bool {
    match problem {
        Problem::Unknown | Problem::Pending | Problem::Deleted { .. } => false,
        Problem::NoInterface(_)
        | Problem::InterfaceDown(_)
        | Problem::Silent(_)
        | Problem::Taken { .. }
        | Problem::Failed { .. } => true,
    }
}
