//! Links that lose, delay, repeat and reorder packets, between clocks that drift.

use std::time::Duration;

use anycast_bfd::State;
use proptest::prelude::*;

use crate::{
    deeds::{Deed, cases, clocks, do_it, link},
    world::{Chance, Link, MS, Pair, config},
};

/// Loses packets by chance, but never more than so many in a row one way.
fn losses(seed: u64, most: u8) -> Box<dyn FnMut(usize) -> bool> {
    let (mut in_a_row, mut chance) = ([0; 2], Chance::new(seed));
    Box::new(move |end| {
        let row = &mut in_a_row[end];
        *row = if chance.of(2) == 0 && *row < most { *row + 1 } else { 0 };
        *row > 0
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), ..ProptestConfig::default() })]

    /// One packet less than the multiplier may be lost in a row.
    #[test]
    fn losses_that_are_borne(seed in any::<u64>(), mult in 2..6_u8) {
        let mut pair = Pair::up(config(50, mult), config(50, mult));
        pair.lost = losses(seed, mult - 1);
        pair.run(Duration::from_secs(10));
        prop_assert!(pair.quiet(), "{:?}", pair.ends[0].changes);
    }

    /// Two less, where packets are also late by less than an interval, come twice and overtake one another, and clocks drift.
    #[test]
    fn bad_links_that_are_borne(clocks in clocks(), link in link(22), seed in any::<u64>(), mult in 2..6_u8) {
        let mut pair = Pair::up(config(50, mult), config(50, mult)).with(clocks, seed);
        pair.link = link;
        pair.lost = losses(seed, mult - 2);
        pair.run(Duration::from_secs(10));
        prop_assert!(pair.quiet(), "{:?} {:?}", pair.ends[0].changes, pair.ends[1].changes);
    }

    /// Intervals change, again and before it is agreed, while packets are lost and many are under way: an end that believes in a
    /// longer interval than the other has heard of would be taken for gone.
    #[test]
    fn changes_on_bad_links_are_no_flaps(
        seed in any::<u64>(),
        mult in 2..6_u8,
        delay in 0..150_u32,
        twice in 0..50_u64,
        deeds in proptest::collection::vec(prop_oneof![
            (1..300_u64).prop_map(Deed::Wait),
            (0..2_usize, 10..400_u32).prop_map(|(end, interval)| Deed::Configure(end, interval, 0)),
            (0..2_usize).prop_map(Deed::HandOver),
        ], 0..40),
    ) {
        let mut pair = Pair::up(config(50, mult), config(50, mult)).with([0, 0], seed);
        pair.link = Link { delay: delay * MS, twice, ..Link::GOOD };
        // What was under way a moment ago was not late.
        pair.run(1_000 * MS);
        pair.ends.iter_mut().for_each(|end| end.changes.clear());
        if pair.states() != [State::Up; 2] {
            return Ok(());
        }
        pair.lost = losses(seed, mult - 2);
        for deed in &deeds {
            match deed {
                Deed::Configure(end, interval, _) => do_it(&mut pair, &Deed::Configure(*end, *interval, mult)),
                other => do_it(&mut pair, other),
            }
        }
        pair.run(10_000 * MS);
        prop_assert!(pair.quiet(), "{:?} {:?}", pair.ends[0].changes, pair.ends[1].changes);
        prop_assert!(pair.ends.iter().all(|end| !end.session.is_polling()));
    }

    /// A link that is cut, both ways or one: no end is Up for longer than a detection time, from what came last.
    #[test]
    fn a_cut_is_never_overlooked(
        clocks in clocks(),
        link in link(100),
        seed in any::<u64>(),
        ends in [(10..400_u32, 1..6_u8), (10..400_u32, 1..6_u8)],
        wait in 0..3_000_u64,
        mute in proptest::option::of(0..2_usize),
    ) {
        let [one, other] = ends.map(|(interval, mult)| config(interval, mult));
        let mut pair = Pair::up(one, other).with(clocks, seed);
        // In order: a late Up after a Down that comes twice is believed, as the protocol has no numbers that tell.
        pair.link = Link { in_order: true, ..link };
        pair.run(Duration::from_millis(wait));
        do_it(&mut pair, &mute.map_or(Deed::Cut, Deed::Mute));
        let longest = link.delay + link.spread;
        pair.run(longest);
        // By the clock of each end; a thousandth is for its drift, and for a millisecond.
        let left = [0, 1].map(|end| pair.ends[end].session.detection_time() * 1_003 / 1_000 + MS);
        // Who is heard but does not hear says so by the next packet, at once.
        let deaf = mute.map_or(left[0].max(left[1]), |mute| left[1 - mute] + longest);
        match mute {
            None => {
                pair.run(left[0].min(left[1]));
                let first = usize::from(left[1] < left[0]);
                prop_assert_ne!(pair.states()[first], State::Up);
                pair.run(deaf - left[0].min(left[1]));
            }
            Some(_) => pair.run(deaf),
        }
        prop_assert!(pair.states().iter().all(|state| *state != State::Up), "{:?}", pair.states());
        // And they stay so.
        pair.run(Duration::from_secs(10));
        prop_assert!(pair.states().iter().all(|state| *state != State::Up));
    }
}
