//! The services whose `disable_file` is there: they are withdrawn for as long as it is. It is an order like an operator's, but
//! for that the file is all that is kept of it.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use anycast_api::{Timestamp, WithdrawMode};
use anycast_core::ServiceName;

use super::Agent;
use crate::{disable::Look, state::Order};

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
                Look::Unseen(why) => Some(format!("whether {} is there cannot be seen: {why}", file.display())),
            };
            self.disabled.insert(name.clone(), disabled(&file, reason));
        }
        self.tell_unseen(&looks);
    }

    /// Has the files looked for that are configured now, and forgets those that are not.
    pub(super) fn settle_disable_files(&mut self) {
        let services = self.settings.core.services.iter();
        let files: BTreeMap<_, _> =
            services.filter_map(|(name, service)| Some((name.clone(), service.disable_file.clone()?))).collect();
        let gone =
            |(name, order): (&ServiceName, &Order)| (files.get(name) != order.file.as_ref()).then(|| name.clone());
        for name in self.disabled.iter().filter_map(gone).collect::<Vec<_>>() {
            self.disabled.remove(&name);
            self.follow(&name);
        }
        let files = Arc::new(files);
        self.disable_files.send_if_modified(|held| {
            let changed = *held != files;
            *held = files;
            changed
        });
    }

    /// What was seen of the files. What cannot be seen changes nothing, and is told.
    pub(crate) fn saw_disable_files(&mut self, looks: &BTreeMap<ServiceName, Look>) {
        // What is being ended is not begun anew.
        if self.is_stopping() {
            return;
        }
        for (name, look) in looks {
            let file = self.settings.core.services.get(name).and_then(|service| service.disable_file.clone());
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
