//! How many different prefixes a neighbor has announced: exactly while they are few, nearly when they are many, and never which.
//!
//! Received routes are not stored, so what was announced once, again, and withdrawn cannot be told apart by counting messages: a
//! table that only churns would grow without end. A HyperLogLog sketch sees each prefix once, however often it comes, in
//! fixed memory.

use std::{collections::BTreeSet, num::NonZeroU64};

use crate::update::Key;

/// So many are counted exactly.
const FEW: usize = 1024;
/// Bits of the hash that choose a register. 4096 of them are wrong by 1.6 % (1.04 / √4096) on average.
const BITS: u32 = 12;
const REGISTERS: usize = 1 << BITS;

/// What a neighbor has announced in this session, beside what it should not exceed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Received {
    /// Different prefixes of all families, withdrawn ones included; within about 2 % where they are more than 1024.
    pub prefixes: u64,
    /// The most there should be.
    pub limit: NonZeroU64,
    /// There were more, at some time in this session.
    pub exceeded: bool,
}

/// Counts them.
#[derive(Debug)]
pub(crate) struct Census {
    limit: NonZeroU64,
    exceeded: bool,
    /// The hashes, until there are too many.
    few: Option<BTreeSet<u64>>,
    registers: Box<[u8; REGISTERS]>,
    /// Of 2^-register, over all of them: kept up to date, since it is wanted after every UPDATE.
    sum: f64,
}

impl Census {
    pub(crate) fn new(limit: NonZeroU64) -> Self {
        let registers = Box::new([0; REGISTERS]);
        Self { limit, exceeded: false, few: Some(BTreeSet::new()), registers, sum: REGISTERS as f64 }
    }

    /// What was over the old limit need not be over the new one.
    pub(crate) fn set_limit(&mut self, limit: NonZeroU64) {
        if self.limit != limit {
            self.limit = limit;
            self.exceeded = false;
            self.judge();
        }
    }

    pub(crate) fn report(&self) -> Received {
        Received { prefixes: self.count(), limit: self.limit, exceeded: self.exceeded }
    }

    /// A prefix was announced.
    pub(crate) fn see(&mut self, prefix: Key) {
        let hash = hash(prefix);
        if let Some(few) = &mut self.few {
            few.insert(hash);
            if few.len() > FEW {
                self.few = None;
            }
        }
        let rank = (hash << BITS | 1 << (BITS - 1)).leading_zeros() as u8 + 1;
        if let Some(register) = self.registers.get_mut((hash >> (u64::BITS - BITS)) as usize)
            && rank > *register
        {
            self.sum += power(rank) - power(*register);
            *register = rank;
        }
    }

    /// After an UPDATE: whether there are more than there should be.
    pub(crate) fn judge(&mut self) {
        self.exceeded |= self.count() > self.limit.get();
    }

    fn count(&self) -> u64 {
        if let Some(few) = &self.few {
            return few.len() as u64;
        }
        let size = REGISTERS as f64;
        let raw = 0.7213 / (1.0 + 1.079 / size) * size * size / self.sum;
        let estimate = if raw <= 2.5 * size { self.by_empty_registers().unwrap_or(raw) } else { raw };
        (estimate.round() as u64).max(FEW as u64)
    }

    /// Flajolet et al. 2007, §4: where many registers are empty, their number tells more. Looked at only then: it takes a walk
    /// over all of them.
    fn by_empty_registers(&self) -> Option<f64> {
        let empty = self.registers.iter().filter(|register| **register == 0).count();
        let size = REGISTERS as f64;
        (empty > 0).then(|| size * (size / empty as f64).ln())
    }
}

/// 2^-rank.
fn power(rank: u8) -> f64 {
    (-f64::from(rank)).exp2()
}

/// FNV-1a, stirred: neighbors do not choose their prefixes to mislead an alarm about them.
fn hash(prefix: Key) -> u64 {
    let mut hash = prefix
        .into_iter()
        .fold(0xCBF2_9CE4_8422_2325, |hash: u64, octet| (hash ^ u64::from(octet)).wrapping_mul(0x0100_0000_01B3));
    hash = (hash ^ hash >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    hash = (hash ^ hash >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
    hash ^ hash >> 31
}

#[cfg(test)]
mod tests {
    use super::*;

    fn census(limit: u64) -> Census {
        Census::new(NonZeroU64::new(limit).expect("not 0"))
    }

    fn see(census: &mut Census, numbers: std::ops::Range<u32>) {
        for number in numbers {
            let mut key = [0; 18];
            key[..4].copy_from_slice(&number.to_be_bytes());
            census.see(key);
        }
        census.judge();
    }

    #[test]
    fn few_are_counted_exactly_and_each_once() {
        let mut census = census(100);
        for _ in 0..50 {
            see(&mut census, 0..100);
        }
        assert_eq!((census.report().prefixes, census.report().exceeded), (100, false));
        see(&mut census, 100..101);
        assert_eq!((census.report().prefixes, census.report().exceeded), (101, true));
        see(&mut census, 101..1024);
        assert_eq!(census.report().prefixes, 1024);
    }

    #[test]
    fn many_are_counted_nearly_in_the_memory_of_few() {
        let mut census = census(u64::MAX);
        let mut known = 0;
        for wanted in [1025, 2000, 5000, 9000, 11_000, 20_000, 100_000, 1_000_000] {
            see(&mut census, known..wanted);
            see(&mut census, 0..known);
            known = wanted;
            let (found, wanted) = (census.report().prefixes as f64, f64::from(wanted));
            assert!((found / wanted - 1.0).abs() < 0.04, "{found} for {wanted}");
        }
        assert!(census.few.is_none());
    }

    #[test]
    fn an_alarm_stays_until_the_limit_is_another() {
        let mut census = census(5);
        see(&mut census, 0..6);
        let limit = |number| NonZeroU64::new(number).expect("not 0");
        census.set_limit(limit(5));
        assert!(census.report().exceeded);
        census.set_limit(limit(6));
        assert!(!census.report().exceeded);
        census.set_limit(limit(4));
        assert!(census.report().exceeded);
    }
}
