//! Which addresses lie in which prefixes, against looking at each of them.

use proptest::{collection::vec, prelude::*};

use super::*;

/// Few enough to meet: of sixteen networks of each family.
fn at(v6: bool, high: u8, low: u32) -> IpAddr {
    match v6 {
        true => IpAddr::from((u128::from(high) << 120 | u128::from(low)).to_be_bytes()),
        false => IpAddr::from((u32::from(high) << 28 | low >> 4).to_be_bytes()),
    }
}

fn any_prefixes() -> impl Strategy<Value = BTreeSet<Prefix>> {
    vec((any::<bool>(), 0u8..16, 0u8..=128), 0..6).prop_map(|nets| {
        let nets = nets.into_iter().filter_map(|(v6, high, length)| IpNet::new(at(v6, high, 0), length).ok());
        nets.filter_map(|net| Prefix::new(net.trunc()).ok()).collect()
    })
}

fn any_address() -> impl Strategy<Value = IpAddr> {
    (any::<bool>(), 0u8..16, any::<u32>()).prop_map(|(v6, high, low)| at(v6, high, low))
}

/// Some anywhere, and the first and the last of each prefix.
fn any_addresses() -> impl Strategy<Value = (BTreeSet<Prefix>, BTreeSet<IpAddr>)> {
    (any_prefixes(), vec(any_address(), 0..8)).prop_map(|(prefixes, some)| {
        let ends = prefixes.iter().flat_map(|prefix| [prefix.net().network(), prefix.net().broadcast()]);
        let addresses = ends.chain(some).collect();
        (prefixes, addresses)
    })
}

proptest! {
    #[test]
    fn a_cover_is_the_union_of_its_prefixes((prefixes, addresses) in any_addresses()) {
        let cover = Cover::of(prefixes.iter().copied());
        for address in addresses {
            prop_assert_eq!(cover.contains(address), prefixes.iter().any(|prefix| prefix.contains(address)));
        }
    }

    #[test]
    fn a_prefix_waits_for_its_own_addresses_and_for_no_other(
        (prefixes, addresses) in any_addresses(),
        bound in vec(any::<bool>(), 20),
    ) {
        let (name, mut service) = service("dns", &[], &[], &["a"]);
        (service.prefixes, service.addresses) = (prefixes.clone(), addresses.clone());
        let config = config(&["a"], vec![(name.clone(), service)]);
        let mut view = all_well(&config, Health::Up);
        let unbound = addresses.iter().zip(bound.iter().cycle()).filter(|(_, bound)| !**bound);
        let unbound: BTreeSet<IpAddr> = unbound.map(|(address, _)| *address).collect();
        view.bound.retain(|address| !unbound.contains(address));
        let desired = decide(&config, &view);
        for prefix in prefixes {
            let missing = addresses.iter().filter(|address| prefix.contains(**address) && !view.bound.contains(*address));
            let missing: BTreeSet<IpAddr> = missing.copied().collect();
            let serves = Contribution::Serves { despite: None, leaving: false, degraded: false };
            let expected = if missing.is_empty() { serves } else { Contribution::Blocked(Blocker::NotBound(missing)) };
            prop_assert_eq!(&desired.prefixes[&prefix].services[&name], &expected, "{}", prefix);
        }
    }
}
