//! Moments that nobody chose: random, and the same again from the same seed.

use std::time::Duration;

/// SplitMix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, 2014).
#[derive(Debug, Clone)]
pub(super) struct Chance(u64);

impl Chance {
    /// Of one run: whichever runs come before it, or beside it, it gets the same.
    pub(super) fn of(seed: u64, method: &str, run: u32) -> Self {
        let mut chance = Self(seed);
        for byte in method.bytes() {
            chance.0 ^= u64::from(byte);
            chance.0 = chance.next();
        }
        chance.0 ^= u64::from(run);
        chance.0 = chance.next();
        chance
    }

    /// Any time shorter than this.
    pub(super) fn below(&mut self, most: Duration) -> Duration {
        // The upper 53 bits, which is what a float holds.
        most.mul_f64((self.next() >> 11) as f64 / (1_u64 << 53) as f64)
    }

    const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_spread_over_all_of_the_time() {
        let most = Duration::from_secs(60);
        let mut all: Vec<_> = (0..600).map(|run| Chance::of(1, "dns-ttl-60", run).below(most).as_secs()).collect();
        all.sort_unstable();
        assert!(all.iter().all(|second| *second < 60));
        // A tenth of them in each tenth, more or less.
        for tenth in 0..10 {
            let within = all.iter().filter(|second| **second / 6 == tenth).count();
            assert!((30..=90).contains(&within), "{within} in tenth {tenth}");
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_moments() {
        let moments = |seed, method, run| {
            let mut chance = Chance::of(seed, method, run);
            [chance.below(Duration::from_secs(1)), chance.below(Duration::from_secs(1))]
        };
        assert_eq!(moments(1, "a", 1), moments(1, "a", 1));
        assert_ne!(moments(1, "a", 1)[0], moments(1, "a", 1)[1]);
        for (seed, method, run) in [(2, "a", 1), (1, "b", 1), (1, "a", 2)] {
            assert_ne!(moments(seed, method, run), moments(1, "a", 1));
        }
    }
}
