//! The services whose `disable_file` is there: they are withdrawn for as long as it is. It is an order like an operator's, but
//! for that the file is all that is kept of it.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::Arc,
};

use anycast_api::{Timestamp, WithdrawMode};
use anycast_core::ServiceName;

use super::Agent;
use crate::{
    config::Settings,
    disable::{DisableFiles, Look, files_of},
    state::Order,
};

/// Under what it is a problem that a file cannot be looked for.
const UNSEEN: &str = "disable_file";

impl Agent {
    /// What is known before anything is announced. Where it cannot be told, the service waits.
    pub(super) fn begin_disabled(&mut self, looks: BTreeMap<ServiceName, Look>) {
        if let Some(goes_on) = &self.goes_on {
            // What has changed meanwhile is seen soon, and then obeyed as it always is.
            let left = goes_on.document.disabled.iter().filter_map(|(name, order)| {
                let name = ServiceName::new(name).ok()?;
                let file = self.settings.core.services.get(&name)?.disable_file.clone()?;
                Some((name, Order { file: Some(file), ..order.clone() }))
            });
            self.disabled = left.collect();
            return;
        }
        for (name, look) in &looks {
            let Some(file) = self.settings.core.services.get(name).and_then(|service| service.disable_file.clone())
            else {
                continue;
            };
            let reason = match look {
                Look::Absent => continue,
                Look::Present => None,
                Look::Unseen(why) => Some(cannot_be_seen(&file, why)),
            };
            self.disabled.insert(name.clone(), disabled(&file, reason));
        }
        self.tell_unseen(&looks);
    }

    /// The files that a new configuration names and that nobody has looked for yet.
    pub(crate) fn new_disable_files(&self, settings: &Settings) -> BTreeMap<ServiceName, PathBuf> {
        let mut files = files_of(settings);
        let before = files_of(&self.settings);
        files.retain(|name, file| before.get(name) != Some(file));
        files
    }

    /// The files that will be there under a new configuration; `looks`: what was seen of those that it names anew.
    pub(super) fn disabled_after(
        &self,
        settings: &Settings,
        looks: &BTreeMap<ServiceName, Look>,
    ) -> BTreeMap<ServiceName, Order> {
        let order = |(name, file): (ServiceName, PathBuf)| {
            let before = self.disabled.get(&name);
            let waits = before.is_some() || !self.settings.core.services.contains_key(&name);
            let order = match looks.get(&name) {
                Some(Look::Present) => disabled(&file, None),
                // As at the start: a service that was not there before waits, any other stays what it is.
                Some(Look::Unseen(why)) if waits => disabled(&file, Some(cannot_be_seen(&file, why))),
                Some(Look::Absent | Look::Unseen(_)) => return None,
                None => before.filter(|order| order.file.as_ref() == Some(&file))?.clone(),
            };
            Some((name, order))
        };
        files_of(settings).into_iter().filter_map(order).collect()
    }

    /// Obeys the files that are there under the configuration in force, which is a new one.
    pub(super) fn take_disabled(&mut self, disabled: BTreeMap<ServiceName, Order>) {
        let before = std::mem::replace(&mut self.disabled, disabled);
        let named: BTreeSet<ServiceName> = before.keys().chain(self.disabled.keys()).cloned().collect();
        for name in named {
            if before.get(&name).is_none_or(|order| self.disabled.get(&name).map(|it| &it.file) != Some(&order.file)) {
                self.follow(&name);
            }
        }
    }

    /// The file that is there beside the order of an operator, and keeps the service withdrawn when that is over.
    pub(super) fn file_beside(&self, name: &ServiceName) -> Option<&Path> {
        let order = self.standing(name)?;
        self.disabled.get(name)?.file.as_deref().filter(|_| order.file.is_none())
    }

    /// The file that is there, where no order of an operator stands.
    pub(super) fn file_alone(&self, name: &ServiceName) -> Option<&Path> {
        self.disabled.get(name)?.file.as_deref().filter(|_| !self.orders.contains_key(name))
    }

    /// Has the files looked for that are configured now.
    pub(super) fn settle_disable_files(&mut self) {
        let files = Arc::new(files_of(&self.settings));
        self.disable_files.send_if_modified(|held| {
            let changed = *held != files;
            *held = files;
            changed
        });
    }

    /// What was seen of the files. What cannot be seen changes nothing, and is told.
    pub(crate) fn saw_disable_files(&mut self, files: &DisableFiles, looks: &BTreeMap<ServiceName, Look>) {
        // What is being ended is not begun anew.
        if self.is_stopping() {
            return;
        }
        for (name, look) in looks {
            let file = self.settings.core.services.get(name).and_then(|service| service.disable_file.clone());
            // A reload came meanwhile: what is configured now is looked for next.
            if file.as_ref() != files.get(name) {
                continue;
            }
            let before = self.disabled.get(name).map(|order| order.reason.clone());
            let after = match (look, file) {
                (Look::Present, Some(file)) => Some(disabled(&file, None)),
                (Look::Absent, _) | (_, None) => None,
                (Look::Unseen(_), Some(_)) => continue,
            };
            if before == after.as_ref().map(|order| order.reason.clone()) {
                continue;
            }
            match after {
                Some(order) => drop(self.disabled.insert(name.clone(), order)),
                None => drop(self.disabled.remove(name)),
            }
            self.follow(name);
        }
        self.tell_unseen(looks);
    }

    fn tell_unseen(&mut self, looks: &BTreeMap<ServiceName, Look>) {
        let unseen = looks.iter().filter_map(|(name, look)| match look {
            Look::Unseen(why) => Some(format!("`disable_file` of {name} cannot be looked for: {why}")),
            Look::Present | Look::Absent => None,
        });
        let unseen: Vec<String> = unseen.collect();
        let text = (!unseen.is_empty()).then(|| format!("{}; it counts as it was last seen", unseen.join("; ")));
        if let Some(text) = text.as_ref().filter(|_| !self.problems.contains_key(UNSEEN)) {
            tracing::warn!("{text}");
        }
        self.problem(UNSEEN, text);
    }
}

fn cannot_be_seen(file: &Path, why: &str) -> String {
    format!("whether {} is there cannot be seen: {why}", file.display())
}

fn disabled(file: &Path, reason: Option<String>) -> Order {
    Order {
        mode: WithdrawMode::Graceful,
        by: "its `disable_file`".to_owned(),
        at: Timestamp::now(),
        reason: Some(reason.unwrap_or_else(|| format!("disable_file {} is there", file.display()))),
        until: None,
        whole_node: false,
        boot: None,
        file: Some(file.to_owned()),
    }
}
