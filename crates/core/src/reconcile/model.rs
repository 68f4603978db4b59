//! Any order of plans, quarrels, failures and lost events, and then calm.

use anycast_bgp::Prefix;
use proptest::prelude::*;

use super::*;
use crate::config::Anchor;

const INTERFACES: [&str; 2] = ["lo", "eth0"];

#[derive(Debug, Clone)]
enum Step {
    Plan {
        interface: usize,
        addresses: BTreeSet<u8>,
        anchor: Anchor,
        anchors: BTreeSet<u8>,
    },
    NoPlan,
    /// Somebody else adds, or deletes whatever is there.
    ForeignAdds {
        address: u8,
        interface: usize,
        usable: bool,
    },
    SomebodyDeletes {
        address: u8,
        interface: usize,
    },
    SomebodyDeletesAnchor(u8),
    SetLink {
        interface: usize,
        up: bool,
    },
    /// One in so many operations fails from here on.
    Fail(u8),
    /// Whether events arrive.
    Deaf(bool),
    /// Whether listings fail.
    Mute(bool),
    Wait(u16),
}

fn step() -> impl Strategy<Value = Step> {
    let set = || prop::collection::btree_set(0u8..4, 0..4);
    let anchor = prop_oneof![Just(Anchor::Unreachable), Just(Anchor::Blackhole), Just(Anchor::None)];
    prop_oneof![
        4 => (0usize..2, set(), anchor, set()).prop_map(|(interface, addresses, anchor, anchors)| {
            Step::Plan { interface, addresses, anchor, anchors }
        }),
        1 => Just(Step::NoPlan),
        3 => (0u8..4, 0usize..2, any::<bool>()).prop_map(|(address, interface, usable)| {
            Step::ForeignAdds { address, interface, usable }
        }),
        3 => (0u8..4, 0usize..2).prop_map(|(address, interface)| Step::SomebodyDeletes { address, interface }),
        1 => (0u8..4).prop_map(Step::SomebodyDeletesAnchor),
        2 => (0usize..2, any::<bool>()).prop_map(|(interface, up)| Step::SetLink { interface, up }),
        1 => (0u8..4).prop_map(Step::Fail),
        1 => any::<bool>().prop_map(Step::Deaf),
        1 => any::<bool>().prop_map(Step::Mute),
        4 => (0u16..5000).prop_map(Step::Wait),
    ]
}

fn address(number: u8) -> IpAddr {
    if number.is_multiple_of(2) {
        [203, 0, 113, number].into()
    } else {
        [0x2001, 0xdb8, 0, 0, 0, 0, 0, number.into()].into()
    }
}

fn prefix(number: u8) -> Prefix {
    format!("198.51.{number}.0/24").parse().unwrap()
}

struct Kernel {
    links: BTreeMap<Arc<str>, Link>,
    held: BTreeMap<(IpAddr, Arc<str>), (Owner, bool)>,
    anchors: BTreeMap<Prefix, RouteKind>,
    fail: u8,
    operations: u32,
    mute: bool,
}

impl Kernel {
    fn listing(&self) -> Listing {
        let addresses = self.held.iter().map(|((address, interface), (owner, usable))| Listed {
            address: *address,
            interface: interface.clone(),
            owner: *owner,
            usable: *usable,
        });
        Listing { links: self.links.clone(), addresses: addresses.collect(), anchors: self.anchors.clone() }
    }

    fn perform(&mut self, operation: &Operation) -> Result<(), Failure> {
        self.operations += 1;
        if self.fail > 0 && self.operations.is_multiple_of(self.fail.into()) {
            return Err(Failure::Other("no".into()));
        }
        match operation {
            Operation::Add(Target::Address { address, interface }) => {
                if !self.links[interface].up {
                    return Err(Failure::Other("the interface is down".into()));
                }
                let key = (*address, interface.clone());
                if self.held.contains_key(&key) {
                    return Err(Failure::Exists);
                }
                self.held.insert(key, (Owner::Ours, true));
            }
            Operation::Delete(Target::Address { address, interface }) => {
                match self.held.remove(&(*address, interface.clone())) {
                    Some((owner, _)) => assert_eq!(owner, Owner::Ours, "somebody else's was deleted"),
                    None => return Err(Failure::Gone),
                }
            }
            Operation::Add(Target::Anchor { prefix, kind }) => {
                if self.anchors.contains_key(prefix) {
                    return Err(Failure::Exists);
                }
                self.anchors.insert(*prefix, *kind);
            }
            Operation::Delete(Target::Anchor { prefix, kind }) => {
                if self.anchors.get(prefix) != Some(kind) {
                    return Err(Failure::Gone);
                }
                self.anchors.remove(prefix);
            }
        }
        Ok(())
    }
}

/// As the driver would, until nothing is due at `now`.
fn drive(reconciler: &mut Reconciler, kernel: &mut Kernel, now: Instant) {
    for turn in 0.. {
        assert!(turn < 20, "it never rests");
        if reconciler.poll_listing(now) {
            if kernel.mute {
                reconciler.handle_unlisted(now);
            } else {
                reconciler.handle_listing(kernel.listing(), Duration::from_millis(1), now);
            }
        }
        let operations = reconciler.operations(now);
        for operation in &operations {
            let result = kernel.perform(operation);
            reconciler.handle_result(operation, result, now);
        }
        if operations.is_empty() && !reconciler.poll_listing(now) {
            break;
        }
    }
    let next = reconciler.poll_timeout();
    assert!(next > now && next <= now + AUDIT, "what is due is done, and there is always a next time");
    while reconciler.poll_deletion().is_some() {}
}

fn apply(step: Step, reconciler: &mut Reconciler, kernel: &mut Kernel, plan: &mut Option<AddressPlan>) {
    match step {
        Step::Plan { interface, addresses, anchor, anchors } => {
            *plan = Some(AddressPlan {
                interface: INTERFACES[interface].to_owned(),
                addresses: addresses.into_iter().map(address).collect(),
                anchor,
                anchors: anchors.into_iter().map(prefix).collect(),
            });
            reconciler.handle_plan(plan.as_ref());
        }
        Step::NoPlan => {
            *plan = None;
            reconciler.handle_plan(None);
        }
        Step::ForeignAdds { address: number, interface, usable } => {
            kernel.held.entry((address(number), INTERFACES[interface].into())).or_insert((Owner::Foreign, usable));
        }
        Step::SomebodyDeletes { address: number, interface } => {
            kernel.held.remove(&(address(number), INTERFACES[interface].into()));
        }
        Step::SomebodyDeletesAnchor(number) => {
            kernel.anchors.remove(&prefix(number));
        }
        Step::SetLink { interface, up } => {
            kernel.links.get_mut(INTERFACES[interface]).unwrap().up = up;
            if !up {
                // As Linux does with IPv6.
                kernel.held.retain(|(address, name), _| address.is_ipv4() || &**name != INTERFACES[interface]);
            }
        }
        Step::Fail(one_in) => kernel.fail = one_in,
        Step::Mute(mute) => kernel.mute = mute,
        Step::Deaf(_) | Step::Wait(_) => {}
    }
}

proptest! {
    #[test]
    fn after_any_order_of_inputs_the_kernel_is_as_planned(steps in prop::collection::vec(step(), 0..60)) {
        let mut now = Instant::now();
        let mut reconciler = Reconciler::new(now);
        let links = INTERFACES.map(|name| (name.into(), Link { index: 1, up: true }));
        let mut kernel = Kernel {
            links: links.into(),
            held: [((address(0), "lo".into()), (Owner::Ours, true))].into(),
            anchors: [(prefix(0), RouteKind::Blackhole)].into(),
            fail: 0,
            operations: 0,
            mute: false,
        };
        let mut plan = None;
        let mut deaf = false;
        for step in steps {
            // Two things never happen at the same moment; a listing proves nothing about what comes after it.
            now += Duration::from_millis(11);
            match &step {
                Step::Deaf(yes) => deaf = *yes,
                // A wait passes as the driver would sleep: from one time to the next.
                Step::Wait(ms) => {
                    let until = now + Duration::from_millis((*ms).into());
                    while reconciler.poll_timeout() < until {
                        now = now.max(reconciler.poll_timeout());
                        drive(&mut reconciler, &mut kernel, now);
                    }
                    now = until;
                }
                _ => {}
            }
            apply(step, &mut reconciler, &mut kernel, &mut plan);
            if !deaf {
                reconciler.handle_event(now);
            }
            drive(&mut reconciler, &mut kernel, now);
        }

        // Calm. Not one event any more: the audit must find everything by itself.
        let foreign: Vec<_> =
            kernel.held.iter().filter(|(_, (owner, _))| *owner == Owner::Foreign).map(|(key, _)| key.clone()).collect();
        (kernel.fail, kernel.mute) = (0, false);
        kernel.links.values_mut().for_each(|link| link.up = true);
        let calm = now + AUDIT * 4;
        while now < calm {
            now = reconciler.poll_timeout();
            drive(&mut reconciler, &mut kernel, now);
        }

        let before = kernel.operations;
        for key in foreign {
            prop_assert_eq!(kernel.held[&key].0, Owner::Foreign);
        }
        let Some(plan) = plan else { return Ok(()) };
        let answers = |address: &IpAddr, wanted: Owner| {
            kernel.held.iter().any(|((held, _), (owner, usable))| held == address && *owner == wanted && *usable)
        };
        for (address, binding) in reconciler.addresses() {
            prop_assert!(plan.addresses.contains(&address));
            let place = (address, Arc::from(plan.interface.as_str()));
            let taken = kernel.held.get(&place).is_some_and(|(owner, usable)| *owner == Owner::Foreign && !usable);
            match binding {
                Binding::Bound { owner, .. } => prop_assert!(answers(&address, owner)),
                Binding::Missing(problem) => {
                    let named = matches!(problem, Problem::Taken { .. });
                    prop_assert!(taken && named, "{} is missing: {:?}", address, problem);
                }
            }
            prop_assert!(taken || answers(&address, Owner::Ours) || answers(&address, Owner::Foreign));
        }
        for ((address, interface), (owner, _)) in &kernel.held {
            if *owner == Owner::Ours {
                prop_assert!(plan.addresses.contains(address));
                // It stays where it was if somebody's silent address has the place it should move to.
                let place = (*address, Arc::from(plan.interface.as_str()));
                let blocked = kernel.held.get(&place).is_some_and(|(owner, _)| *owner == Owner::Foreign);
                prop_assert!(**interface == *plan.interface || blocked, "{} on {}", address, interface);
            }
        }
        let wanted: BTreeMap<_, _> = RouteKind::of(plan.anchor)
            .map(|kind| plan.anchors.iter().map(|prefix| (*prefix, kind)).collect())
            .unwrap_or_default();
        prop_assert_eq!(&kernel.anchors, &wanted);
        prop_assert_eq!(kernel.operations, before);
    }
}
