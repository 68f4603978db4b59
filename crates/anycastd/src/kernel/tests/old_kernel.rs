//! As on a kernel before 5.18, which keeps no tag on an address.

use super::*;

const OLD: Options = Options { tags: false, receive_buffer: None };

fn boot() -> String {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap().trim().to_owned()
}

fn names(world: &World, text: &str) -> bool {
    world.intents().is_some_and(|written| written.contains(&format!("\"{text}\"")))
}

#[test]
fn what_is_ours_is_written_down_as_long_as_it_is_there() {
    isolated(async || {
        let mut world = World::start_with(OLD);
        world.plan(plan(&[A, B], &[]));
        world.until_bound(&[A, B], "lo").await;
        assert!(held().await.values().all(Option::is_none), "no tag");
        assert!(names(&world, A) && names(&world, B), "{:?}", world.intents());
        world.plan(plan(&[B], &[]));
        world.until("only B", |state| state.addresses.len() == 1).await;
        assert!(!names(&world, A) && names(&world, B), "{:?}", world.intents());
        world.plan(plan(&[], &[]));
        world.until("nothing", KernelState::nothing_is_ours).await;
        assert_eq!((held().await, world.intents()), ([].into(), None));
    });
}

#[test]
fn after_a_crash_the_file_says_what_is_ours() {
    isolated(async || {
        ip("addr add 203.0.113.99/32 dev lo");
        let mut world = World::start_with(OLD);
        world.plan(plan(&[A, B, "203.0.113.99"], &[]));
        world.until_bound(&[A, B], "lo").await;
        let mut world = world.crash().await;
        world.plan(plan(&[B], &[]));
        world.until("swept", |state| state.addresses.len() == 1 && is_bound(state, B)).await;
        let left = [((address("203.0.113.99"), 1), None), ((address(B), 1), None)];
        assert_eq!(held().await, left.into());
    });
}

#[test]
fn a_crash_between_the_intent_and_the_deed_does_no_harm() {
    isolated(async || {
        let world = World::start_with(OLD);
        let entry = |text: &str| format!(r#"{{"address": "{text}", "interface": "lo"}}"#);
        world.write_intents(&format!(
            r#"{{"version": 1, "boot": "{}", "addresses": [{}, {}]}}"#,
            boot(),
            entry(A),
            entry(B)
        ));
        // One of the two was added before the end, the other was not.
        ip("addr add 2001:db8:53::53/128 dev lo nodad");
        let mut world = world.crash().await;
        world.until("seen", |state| is_bound(state, B)).await;
        assert!(!names(&world, A) && names(&world, B), "what is not there is crossed out: {:?}", world.intents());
        // Now somebody else adds the one that was only intended: it is theirs.
        ip("addr add 203.0.113.53/32 dev lo");
        world.plan(plan(&[], &[]));
        world.until("nothing", KernelState::nothing_is_ours).await;
        assert_eq!(held().await, [((address(A), 1), None)].into());
    });
}

#[test]
fn a_file_of_another_boot_or_one_that_makes_no_sense_names_nothing() {
    let foreign =
        format!(r#"{{"version": 1, "boot": "another", "addresses": [{{"address": "{A}", "interface": "lo"}}]}}"#);
    for text in [foreign, String::new(), "[]".to_owned(), r#"{"version": 2, "boot": "", "addresses": []}"#.to_owned()] {
        isolated(async move || {
            ip("addr add 203.0.113.53/32 dev lo");
            let world = World::start_with(OLD);
            world.write_intents(&text);
            let mut world = world.crash().await;
            world.plan(plan(&[B], &[]));
            world.until_bound(&[B], "lo").await;
            assert!(held().await.contains_key(&(address(A), 1)), "{text}");
        });
    }
}

#[test]
fn what_cannot_be_written_down_is_not_added() {
    isolated(async || {
        let mut world = World::start_with(OLD);
        world.block_intents();
        world.plan(plan(&[A], &["203.0.113.0/24"]));
        world.until_missing(A, "cannot write down").await;
        assert_eq!(held().await, [].into());
        world.unblock_intents();
        world.until_bound(&[A], "lo").await;
    });
}

#[test]
fn a_kernel_that_keeps_tags_needs_no_file_for_long() {
    isolated(async || {
        // Not even the loopback's own address, whose tag would tell.
        ip("link set lo down");
        ip("addr flush dev lo");
        let mut world = World::start();
        world.plan(plan(&[A], &[]));
        world.until_missing(A, "down").await;
        std::fs::write("/proc/sys/net/ipv6/conf/lo/disable_ipv6", "1").unwrap();
        ip("link set lo up");
        world.until_bound(&[A], "lo").await;
        eventually("the tag is seen", async || world.intents().is_none()).await;
        let mut world = world.crash().await;
        world.plan(plan(&[], &[]));
        world.until("nothing", KernelState::nothing_is_ours).await;
    });
}
