//! Who among the suspects it is: halves on test, one after the other.
//!
//! Each test that fails costs a session, so what follows from earlier tests is not tested. Each step makes what is left smaller, or
//! finds somebody: it ends.

use std::{collections::BTreeSet, sync::Arc};

use super::Route;
use crate::{attributes::Attributes, notification::Notification, types::Family};

/// Routes that are tried together.
pub(super) type Group = BTreeSet<Route>;

/// What is to be tried. On test is the `test` of the last one; all others wait.
#[derive(Debug)]
enum Task {
    /// Nothing is known of it.
    Test(Group),
    /// One of the two is refused, or both are.
    Half { test: Group, other: Group },
    /// Halves of routes with the same attributes. `failed` is refused; if `test` is as well, it is for the attributes.
    Both { failed: Group, test: Group },
}

impl Task {
    const fn on_test(&self) -> &Group {
        match self {
            Self::Test(test) | Self::Half { test, .. } | Self::Both { test, .. } => test,
        }
    }

    const fn waiting(&self) -> Option<&Group> {
        match self {
            Self::Test(_) => None,
            Self::Half { other, .. } => Some(other),
            Self::Both { failed, .. } => Some(failed),
        }
    }

    fn into_groups(self) -> (Group, Group) {
        match self {
            Self::Test(test) => (test, Group::new()),
            Self::Half { test, other: aside } | Self::Both { failed: aside, test } => (test, aside),
        }
    }
}

/// A search under way.
#[derive(Debug)]
pub(super) struct Search {
    pub(super) notification: Notification,
    tasks: Vec<Task>,
    found: bool,
}

impl Search {
    /// Begins among those of which one at least is refused; gives whoever that is, where it is clear.
    pub(super) fn new(notification: Notification, suspects: Group) -> (Self, Group) {
        let mut search = Self { notification, tasks: Vec::new(), found: false };
        let found = search.narrow(suspects);
        (search, found)
    }

    /// The routes that are told to find out about them.
    pub(super) fn on_test(&self) -> impl Iterator<Item = &Route> {
        self.tasks.last().into_iter().flat_map(Task::on_test)
    }

    /// The routes that wait for their turn.
    pub(super) fn waiting(&self) -> impl Iterator<Item = &Route> {
        let (last, before) = self.tasks.split_last().map_or((None, &[][..]), |(last, before)| (Some(last), before));
        let beside = last.into_iter().filter_map(Task::waiting).flatten();
        before.iter().flat_map(|task| task.on_test().iter().chain(task.waiting().into_iter().flatten())).chain(beside)
    }

    pub(super) const fn is_over(&self) -> bool {
        self.tasks.is_empty()
    }

    /// Whether nobody was found so far.
    pub(super) const fn found_nothing(&self) -> bool {
        !self.found
    }

    /// What is on test was taken. Gives those who it must be then.
    pub(super) fn passed(&mut self) -> Group {
        match self.tasks.pop() {
            None | Some(Task::Test(_)) => Group::new(),
            Some(Task::Half { other, .. }) => self.narrow(other),
            Some(Task::Both { failed, .. }) => self.narrow(failed),
        }
    }

    /// The session was refused while these were under way. Gives those who it must have been.
    pub(super) fn refused(&mut self, suspects: &Group) -> Group {
        let expected = self.tasks.last().is_some_and(|task| task.on_test() == suspects);
        match self.tasks.pop() {
            Some(Task::Half { test, other }) if expected => {
                if attributes(&test).eq(attributes(&other)) {
                    self.tasks.push(Task::Both { failed: test, test: other });
                    return Group::new();
                }
                self.tasks.push(Task::Test(other));
                self.narrow(test)
            }
            Some(Task::Both { failed, test }) if expected => {
                self.found = true;
                &failed | &test
            }
            // Some of what is on test was not told yet, or somebody came who was not there when the search began.
            task => {
                let (test, aside) = task.map_or_else(Default::default, Task::into_groups);
                self.leave([&aside - suspects, &test - suspects]);
                self.narrow(suspects.clone())
            }
        }
    }

    /// Only these are of interest any more. What followed from the others does not follow then.
    pub(super) fn retain(&mut self, wanted: impl Fn(&Route) -> bool) {
        let all = |group: &Group| group.iter().all(&wanted);
        let tasks = std::mem::take(&mut self.tasks);
        for task in tasks {
            if all(task.on_test()) && task.waiting().is_none_or(all) {
                self.tasks.push(task);
                continue;
            }
            let (test, aside) = task.into_groups();
            self.leave([aside, test].map(|group| group.into_iter().filter(&wanted).collect()));
        }
    }

    /// For later: nothing is known of these.
    fn leave(&mut self, groups: [Group; 2]) {
        self.tasks.extend(groups.into_iter().filter(|group| !group.is_empty()).map(Task::Test));
    }

    /// One of these at least is refused.
    fn narrow(&mut self, group: Group) -> Group {
        if group.len() < 2 {
            self.found |= !group.is_empty();
            return group;
        }
        let (test, other) = halves(group);
        self.tasks.push(Task::Half { test, other });
        Group::new()
    }
}

/// Two parts that share no attributes, if there are such; else two of any kind.
fn halves(group: Group) -> (Group, Group) {
    let kinds: Vec<_> = attributes(&group).collect();
    let (first, _) = kinds.split_at(kinds.len() / 2);
    if first.is_empty() {
        let mut routes = group.into_iter();
        let half = routes.len() / 2;
        return (routes.by_ref().take(half).collect(), routes.collect());
    }
    let first: BTreeSet<_> = first.iter().cloned().collect();
    group.into_iter().partition(|(prefix, attributes)| first.contains(&(prefix.family(), Arc::clone(attributes))))
}

/// The sets of attributes of a group. Those of the two families differ on the wire.
fn attributes(group: &Group) -> impl Iterator<Item = (Family, Arc<Attributes>)> {
    let all: BTreeSet<_> = group.iter().map(|(prefix, attributes)| (prefix.family(), Arc::clone(attributes))).collect();
    all.into_iter()
}
