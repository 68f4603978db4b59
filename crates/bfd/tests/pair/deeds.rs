//! Whatever is done to a pair on a good link, in any order.

use std::time::Duration;

use anycast_bfd::{Session, State};
use proptest::prelude::*;

use crate::world::{Link, MS, Pair, config};

/// What is done to the pair.
#[derive(Debug, Clone)]
pub(crate) enum Deed {
    Wait(u64),
    Cut,
    /// One way only: what this end sends is lost.
    Mute(usize),
    Mend,
    Link(Link),
    Configure(usize, u32, u8),
    AdminDown(usize, bool),
    Suspend(usize, bool),
    HandOver(usize),
}

fn deed() -> impl Strategy<Value = Deed> {
    let end = 0..2_usize;
    prop_oneof![
        4 => (1..2_000_u64).prop_map(Deed::Wait),
        1 => Just(Deed::Cut),
        1 => end.clone().prop_map(Deed::Mute),
        1 => Just(Deed::Mend),
        1 => link(200).prop_map(Deed::Link),
        2 => (end.clone(), 10..400_u32, 1..6_u8).prop_map(|(end, interval, mult)| Deed::Configure(end, interval, mult)),
        1 => (end.clone(), any::<bool>()).prop_map(|(end, down)| Deed::AdminDown(end, down)),
        1 => (end.clone(), any::<bool>()).prop_map(|(end, held)| Deed::Suspend(end, held)),
        2 => end.prop_map(Deed::HandOver),
    ]
}

/// Up to so many milliseconds one way; packets overtake one another, and come twice.
pub(crate) fn link(longest: u32) -> impl Strategy<Value = Link> {
    (0..longest, 0..longest, any::<bool>(), 0..50_u64).prop_map(|(delay, spread, in_order, twice)| Link {
        delay: delay * MS,
        spread: spread * MS,
        in_order,
        twice,
    })
}

/// By how much clocks may be fast: more than any that is not broken.
pub(crate) fn clocks() -> impl Strategy<Value = [i32; 2]> {
    [-2_000..2_000, -2_000..2_000]
}

pub(crate) fn do_it(pair: &mut Pair, deed: &Deed) {
    match *deed {
        Deed::Wait(ms) => pair.run(Duration::from_millis(ms)),
        Deed::Cut => pair.cut(),
        Deed::Mute(end) => pair.lost = Box::new(move |sender| sender == end),
        Deed::Mend => pair.mend(),
        Deed::Link(link) => pair.link = link,
        Deed::Configure(end, interval, mult) => pair.ends[end].session.set_config(config(interval, mult)),
        Deed::AdminDown(end, down) => pair.ends[end].session.set_admin_down(down),
        Deed::Suspend(end, held) => pair.ends[end].session.set_suspended(held),
        Deed::HandOver(end) => {
            let now = pair.ends[end].clock(pair.now);
            let session = &mut pair.ends[end].session;
            // What it has to tell stays behind, and is told here as an agent would before.
            let left = session.hand_over(now);
            let next = Session::take_over(session.config().clone(), &left, now).expect("it is ours");
            pair.flush_events(end);
            pair.ends[end].session = next;
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), ..ProptestConfig::default() })]

    /// Whatever was done, two ends that want to and can hear each other are Up soon.
    #[test]
    fn they_come_together_in_the_end(clocks in clocks(), seed in any::<u64>(), deeds in proptest::collection::vec(deed(), 0..30)) {
        let mut pair = Pair::new(config(50, 3), config(50, 3)).with(clocks, seed);
        deeds.iter().for_each(|deed| do_it(&mut pair, deed));
        pair.mend();
        // What is under way is 400 ms old at most.
        pair.link = Link::GOOD;
        for end in &mut pair.ends {
            end.session.set_admin_down(false);
            end.session.set_suspended(false);
        }
        pair.run(400 * MS);
        // Each speaks at least once a second; the three steps follow at once.
        pair.run(1_010 * MS);
        prop_assert_eq!(pair.states(), [State::Up, State::Up]);
        pair.ends.iter_mut().for_each(|end| end.changes.clear());
        // Two seconds at most until no answer is under way, and an interval.
        pair.run(3_500 * MS);
        prop_assert!(pair.ends.iter().all(|end| !end.session.is_polling()));
        prop_assert!(pair.quiet(), "they stay so");
    }

    /// Nothing that is no fault takes a session down: other intervals, and other processes.
    #[test]
    fn what_is_no_fault_is_no_flap(
        clocks in clocks(),
        deeds in proptest::collection::vec(prop_oneof![
            (1..500_u64).prop_map(Deed::Wait),
            (0..2_usize, 10..400_u32, 2..6_u8).prop_map(|(end, interval, mult)| Deed::Configure(end, interval, mult)),
            (0..2_usize).prop_map(Deed::HandOver),
        ], 0..40),
    ) {
        let mut pair = Pair::up(config(50, 3), config(50, 3)).with(clocks, 1);
        deeds.iter().for_each(|deed| do_it(&mut pair, deed));
        pair.run(Duration::from_secs(5));
        prop_assert!(pair.quiet(), "{:?} {:?}", pair.ends[0].changes, pair.ends[1].changes);
    }
}

pub(crate) fn cases() -> u32 {
    std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(256)
}
