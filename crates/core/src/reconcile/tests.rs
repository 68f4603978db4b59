use super::*;
use crate::{
    config::Anchor,
    testing::{ip, prefix},
};

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

/// A kernel that does what it is told, with a clock.
struct World {
    reconciler: Reconciler,
    kernel: Listing,
    now: Instant,
    refusal: Option<Failure>,
}

impl World {
    fn new() -> Self {
        let now = Instant::now();
        let links = [("lo", 1), ("eth0", 2)].map(|(name, index)| (name.into(), Link { index, up: true }));
        let kernel = Listing { links: links.into(), ..Listing::default() };
        Self { reconciler: Reconciler::new(now), kernel, now, refusal: None }
    }

    fn plan(&mut self, addresses: &[&str], anchors: &[&str]) {
        self.reconciler.handle_plan(Some(&plan(addresses, anchors)));
    }

    /// Lists if it is time; performs what is due; what was done.
    fn turn(&mut self) -> Vec<Operation> {
        let mut done = Vec::new();
        for _ in 0..10 {
            if self.reconciler.poll_listing(self.now) {
                self.reconciler.handle_listing(self.kernel.clone(), MS, self.now);
            }
            let operations = self.reconciler.operations(self.now);
            if operations.is_empty() {
                break;
            }
            for operation in &operations {
                let result = self.refusal.clone().map_or_else(|| self.perform(operation), Err);
                self.reconciler.handle_result(operation, result, self.now);
            }
            done.extend(operations);
        }
        done
    }

    fn perform(&mut self, operation: &Operation) -> Result<(), Failure> {
        let addresses = &mut self.kernel.addresses;
        match operation {
            Operation::Add(Target::Address { address, interface }) => {
                if addresses.iter().any(|held| held.address == *address && held.interface == *interface) {
                    return Err(Failure::Exists);
                }
                addresses.push(listed(*address, interface, Owner::Ours));
            }
            Operation::Delete(Target::Address { address, interface }) => {
                let ours = |held: &mut Listed| held.address == *address && held.interface == *interface;
                assert!(addresses.extract_if(.., ours).all(|held| held.owner == Owner::Ours));
            }
            Operation::Add(Target::Anchor { prefix, kind }) => {
                assert_eq!(self.kernel.anchors.insert(*prefix, *kind), None, "the other kind goes first");
            }
            Operation::Delete(Target::Anchor { prefix, kind }) => {
                assert_eq!(self.kernel.anchors.remove(prefix), Some(*kind));
            }
        }
        Ok(())
    }

    /// Something happens in the kernel, `after` that time, and it says so.
    fn happen(&mut self, after: Duration, what: impl FnOnce(&mut Listing)) {
        self.now += after;
        what(&mut self.kernel);
        self.reconciler.handle_event(self.now);
    }

    fn binding(&self, address: &str) -> Binding {
        self.reconciler.addresses()[&ip(address)].clone()
    }
}

fn plan(addresses: &[&str], anchors: &[&str]) -> AddressPlan {
    AddressPlan {
        interface: "lo".into(),
        addresses: addresses.iter().map(|text| ip(text)).collect(),
        anchor: Anchor::Unreachable,
        anchors: anchors.iter().map(|text| prefix(text)).collect(),
    }
}

fn listed(address: IpAddr, interface: &str, owner: Owner) -> Listed {
    Listed { address, interface: interface.into(), owner, usable: true }
}

fn address(text: &str, interface: &str) -> Target {
    Target::Address { address: ip(text), interface: interface.into() }
}

fn bound(owner: Owner, interface: &str) -> Binding {
    Binding::Bound { owner, interface: interface.into() }
}

const A: &str = "203.0.113.53";

#[test]
fn nothing_is_touched_before_there_is_a_plan_and_a_listing() {
    let mut world = World::new();
    world.kernel.addresses.push(listed(ip(A), "lo", Owner::Ours));
    assert_eq!(world.reconciler.ours(), None);
    assert_eq!(world.turn(), []);
    assert_eq!((world.binding(A), world.reconciler.ours()), (bound(Owner::Ours, "lo"), Some(1)), "but it is seen");

    let mut blind = World::new();
    blind.plan(&[A], &[]);
    assert_eq!(blind.reconciler.operations(blind.now), []);
    assert_eq!(blind.binding(A), Binding::Missing(Problem::Unknown));
}

#[test]
fn what_is_wanted_is_added_and_what_an_agent_left_behind_is_swept() {
    let mut world = World::new();
    world.kernel.addresses.push(listed(ip("203.0.113.1"), "lo", Owner::Ours));
    world.kernel.addresses.push(listed(ip("203.0.113.2"), "lo", Owner::Foreign));
    world.kernel.anchors.insert(prefix("198.51.100.0/24"), RouteKind::Blackhole);
    world.plan(&[A], &["203.0.113.0/24"]);
    world.turn();
    assert_eq!(
        world.kernel.addresses,
        [listed(ip("203.0.113.2"), "lo", Owner::Foreign), listed(ip(A), "lo", Owner::Ours)]
    );
    assert_eq!(world.kernel.anchors, [(prefix("203.0.113.0/24"), RouteKind::Unreachable)].into());
    assert_eq!(world.binding(A), bound(Owner::Ours, "lo"));
    world.plan(&[], &[]);
    world.turn();
    assert_eq!(world.reconciler.ours(), Some(0));
}

#[test]
fn an_address_of_somebody_else_counts_while_it_answers() {
    let mut world = World::new();
    world.kernel.addresses.push(listed(ip(A), "eth0", Owner::Foreign));
    world.plan(&[A], &[]);
    assert_eq!((world.turn(), world.binding(A)), (vec![], bound(Owner::Foreign, "eth0")));
    world.happen(SECOND, |kernel| kernel.links.get_mut("eth0").unwrap().up = false);
    world.turn();
    assert_eq!(world.binding(A), bound(Owner::Ours, "lo"), "its interface is down");
    world.happen(SECOND, |kernel| kernel.links.get_mut("eth0").unwrap().up = true);
    assert_eq!((world.turn(), world.binding(A)), (vec![], bound(Owner::Ours, "lo")), "ours stays");
}

#[test]
fn a_place_that_is_taken_is_tried_again_as_soon_as_it_is_free() {
    let mut world = World::new();
    let silent = Listed { usable: false, ..listed(ip(A), "lo", Owner::Foreign) };
    world.kernel.addresses.push(silent);
    world.plan(&[A], &[]);
    world.turn();
    assert_eq!(world.binding(A), Binding::Missing(Problem::Taken { retry_at: Some(world.now + 100 * MS) }));
    world.happen(10 * MS, |kernel| kernel.addresses.clear());
    world.turn();
    assert_eq!(world.binding(A), bound(Owner::Ours, "lo"));
}

#[test]
fn a_fight_is_counted_and_slows_down_and_is_forgotten() {
    let mut world = World::new();
    world.plan(&[A], &[]);
    world.turn();
    for (times, pause) in [(1, 0), (2, 100), (3, 200), (4, 400)] {
        world.happen(SECOND, |kernel| kernel.addresses.clear());
        let retry_at = (pause > 0).then(|| world.now + pause * MS);
        let done = world.turn();
        let told = Deletion { target: address(A, "lo"), times, retry_at };
        assert_eq!(world.reconciler.poll_deletion(), Some(told));
        if let Some(at) = retry_at {
            assert_eq!(done, []);
            assert_eq!(world.binding(A), Binding::Missing(Problem::Deleted { times, retry_at }));
            assert_eq!(world.reconciler.poll_timeout(), at);
            world.now = at;
            assert_eq!(world.turn(), [Operation::Add(address(A, "lo"))]);
        } else {
            assert_eq!(done, [Operation::Add(address(A, "lo"))], "the first time at once");
        }
        assert_eq!(world.binding(A), bound(Owner::Ours, "lo"));
    }
    world.happen(STABLE, |kernel| kernel.addresses.clear());
    assert_eq!(world.turn(), [Operation::Add(address(A, "lo"))], "it was stable in between");
    assert_eq!(world.reconciler.poll_deletion().unwrap().times, 1);
}

#[test]
fn what_goes_with_its_interface_was_deleted_by_nobody() {
    let mut world = World::new();
    world.plan(&[A], &["2001:db8::/48"]);
    world.turn();
    world.happen(SECOND, |kernel| {
        kernel.links.get_mut("lo").unwrap().up = false;
        kernel.addresses.clear();
        kernel.anchors.clear();
    });
    world.refusal = Some(Failure::Other("device is down".into()));
    world.turn();
    assert_eq!(world.binding(A), Binding::Missing(Problem::InterfaceDown("lo".into())));
    assert_eq!(world.reconciler.missing_anchors().len(), 1);
    world.refusal = None;
    world.happen(10 * MS, |kernel| kernel.links.get_mut("lo").unwrap().up = true);
    world.turn();
    assert_eq!(world.binding(A), bound(Owner::Ours, "lo"));
    assert_eq!(world.reconciler.missing_anchors(), [].into(), "the pause of what failed before is over too");
    world.happen(SECOND, |kernel| kernel.links.retain(|name, _| &**name != "lo"));
    world.turn();
    assert_eq!(world.binding(A), Binding::Missing(Problem::NoInterface("lo".into())));
    assert_eq!(world.reconciler.poll_deletion(), None);
}

#[test]
fn an_address_that_changes_its_interface_is_never_missing() {
    let mut world = World::new();
    world.plan(&[A], &[]);
    world.turn();
    world.reconciler.handle_plan(Some(&AddressPlan { interface: "eth1".into(), ..plan(&[A], &[]) }));
    assert_eq!((world.turn(), world.binding(A)), (vec![], bound(Owner::Ours, "lo")), "there is no eth1 yet");
    world.happen(SECOND, |kernel| kernel.links.extend([("eth1".into(), Link { index: 9, up: true })]));
    assert_eq!(world.turn(), [Operation::Add(address(A, "eth1")), Operation::Delete(address(A, "lo"))]);
    assert_eq!(world.binding(A), bound(Owner::Ours, "eth1"));
}

#[test]
fn an_anchor_changes_its_kind() {
    let mut world = World::new();
    world.plan(&[], &["203.0.113.0/24"]);
    world.turn();
    let blackhole = AddressPlan { anchor: Anchor::Blackhole, ..plan(&[], &["203.0.113.0/24"]) };
    world.reconciler.handle_plan(Some(&blackhole));
    world.turn();
    assert_eq!(world.kernel.anchors, [(prefix("203.0.113.0/24"), RouteKind::Blackhole)].into());
    let none = AddressPlan { anchor: Anchor::None, ..blackhole };
    world.reconciler.handle_plan(Some(&none));
    world.turn();
    assert_eq!(world.kernel.anchors, [].into());
}

#[test]
fn what_fails_is_tried_again_and_shown() {
    let mut world = World::new();
    world.refusal = Some(Failure::Other("not permitted".into()));
    world.plan(&[A], &[]);
    for pause in [100, 200, 400] {
        world.turn();
        let at = world.now + pause * MS;
        let problem = Problem::Failed { why: "not permitted".into(), retry_at: Some(at) };
        assert_eq!(world.binding(A), Binding::Missing(problem));
        world.now = at;
    }
    world.refusal = None;
    world.turn();
    assert_eq!(world.binding(A), bound(Owner::Ours, "lo"));
    world.refusal = Some(Failure::Other("not permitted".into()));
    world.plan(&[], &[]);
    world.turn();
    assert_eq!(world.reconciler.leftovers().keys().collect::<Vec<_>>(), [&address(A, "lo")]);
    assert_eq!(world.binding(A), bound(Owner::Ours, "lo"), "it still answers");
    world.refusal = Some(Failure::Gone);
    world.now += SECOND;
    world.turn();
    assert_eq!((world.reconciler.ours(), world.reconciler.leftovers().len()), (Some(0), 0));
}

#[test]
fn while_the_kernel_does_not_answer_nothing_is_done_and_nothing_forgotten() {
    let mut world = World::new();
    world.plan(&[A], &[]);
    world.turn();
    world.now += AUDIT;
    world.reconciler.handle_unlisted(world.now);
    world.plan(&[A, "203.0.113.54"], &[]);
    assert_eq!(world.reconciler.operations(world.now), []);
    assert_eq!(world.binding(A), bound(Owner::Ours, "lo"));
    assert_eq!(world.reconciler.poll_timeout(), world.now + 100 * MS);
    world.now += 100 * MS;
    assert_eq!(world.turn(), [Operation::Add(address("203.0.113.54", "lo"))]);
}

#[test]
fn nothing_is_deleted_on_the_word_of_an_old_listing() {
    let mut world = World::new();
    world.plan(&[A], &[]);
    world.turn();
    // Ours makes way for somebody else's, and the event is lost.
    world.kernel.addresses = vec![listed(ip(A), "lo", Owner::Foreign)];
    world.now += SECOND;
    world.plan(&[], &[]);
    assert_eq!(world.reconciler.operations(world.now), []);
    assert!(world.reconciler.poll_listing(world.now), "it looks first");
    assert_eq!(world.turn(), []);
    assert_eq!(world.reconciler.ours(), Some(0));
}
