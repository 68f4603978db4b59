//! What an event is about: those who look for one service or neighbor need not read the others.

use std::collections::BTreeSet;

use anycast_api::Event;

use super::{Agent, Refusal};

/// What is asked for; nothing in particular: everything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct About {
    service: Option<Service>,
    neighbor: Option<String>,
}

/// What a service has, as it is configured now.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Service {
    name: String,
    prefixes: BTreeSet<String>,
    addresses: BTreeSet<String>,
}

impl About {
    /// Whether an event is about what is asked for.
    pub(crate) fn concerns(&self, event: &Event) -> bool {
        if self.service.is_none() && self.neighbor.is_none() {
            return true;
        }
        let of_service = self.service.as_ref().is_some_and(|service| service.concerns(event));
        // A router of a network is `NAME@ADDRESS`.
        let of_neighbor = self.neighbor.as_ref().is_some_and(|name| {
            let rest = event.subject.strip_prefix(name.as_str());
            event.kind == "neighbor" && rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('@'))
        });
        of_service || of_neighbor
    }
}

impl Service {
    fn concerns(&self, event: &Event) -> bool {
        let subject = event.subject.as_str();
        match event.kind.as_str() {
            "service" | "hold_down" | "drain" => subject == self.name,
            "check" => subject.split_once('/').is_some_and(|(service, _)| service == self.name),
            "route" => self.prefixes.contains(subject),
            "address" => self.addresses.contains(subject),
            _ => false,
        }
    }
}

impl Agent {
    /// What is asked for by name.
    pub(crate) fn about(&self, service: Option<&str>, neighbor: Option<&str>) -> Result<About, Refusal> {
        let services = &self.settings.core.services;
        let service = service.map(|name| match services.get(name) {
            Some(service) => Ok(Service {
                name: name.to_owned(),
                prefixes: service.prefixes.iter().map(ToString::to_string).collect(),
                addresses: service.addresses.iter().map(ToString::to_string).collect(),
            }),
            None => Err(Refusal::NoSuchService {
                name: name.to_owned(),
                known: services.keys().map(ToString::to_string).collect(),
            }),
        });
        let neighbors = &self.settings.core.neighbors;
        let neighbor = neighbor.map(|name| {
            let known = neighbors.keys().any(|known| known.as_str() == name);
            // One router of a network may be gone by now, and its events are there.
            let of_network = name.split_once('@').is_some_and(|(network, _)| neighbors.contains_key(network));
            if known || of_network {
                return Ok(name.to_owned());
            }
            let known = neighbors.keys().map(ToString::to_string).collect();
            Err(Refusal::NoSuchNeighbor { name: name.to_owned(), known })
        });
        Ok(About { service: service.transpose()?, neighbor: neighbor.transpose()? })
    }
}

#[cfg(test)]
mod tests {
    use anycast_api::Timestamp;

    use super::*;

    #[test]
    fn an_event_is_about_a_service_or_a_neighbor() {
        let set = |text: &str| BTreeSet::from([text.to_owned()]);
        let dns = Service { name: "dns".to_owned(), prefixes: set("203.0.113.0/24"), addresses: set("203.0.113.53") };
        let service = About { service: Some(dns.clone()), neighbor: None };
        let neighbor = About { service: None, neighbor: Some("leaf1".to_owned()) };
        let both = About { service: Some(dns), neighbor: Some("leaf1".to_owned()) };
        // (kind, subject, of the service, of the neighbor)
        let events = [
            ("service", "dns", true, false),
            ("service", "dns2", false, false),
            ("check", "dns/resolves", true, false),
            ("check", "dns2/resolves", false, false),
            ("hold_down", "dns", true, false),
            ("drain", "dns", true, false),
            ("route", "203.0.113.0/24", true, false),
            ("route", "198.51.100.0/24", false, false),
            ("address", "203.0.113.53", true, false),
            ("neighbor", "leaf1", false, true),
            ("neighbor", "leaf1@192.0.2.1", false, true),
            ("neighbor", "leaf10", false, false),
            ("neighbor", "dns", false, false),
            ("agent", "leaf1", false, false),
        ];
        for (kind, subject, of_service, of_neighbor) in events {
            let (kind, subject) = (kind.to_owned(), subject.to_owned());
            let event = Event { id: 1, at: Timestamp::now(), kind, subject, text: String::new() };
            assert_eq!(service.concerns(&event), of_service, "{event:?}");
            assert_eq!(neighbor.concerns(&event), of_neighbor, "{event:?}");
            assert_eq!(both.concerns(&event), of_service || of_neighbor, "{event:?}");
            assert!(About::default().concerns(&event));
        }
    }
}
