//! A ring of octets that holds whole entries, the latest that fit.

/// The length of an entry, before it.
const LENGTH: usize = 4;

/// So many octets and never more; they are there from the beginning, so that nothing a neighbor sends makes it grow.
#[derive(Debug)]
pub(super) struct Ring {
    octets: Box<[u8]>,
    /// Where the oldest entry begins.
    oldest: usize,
    used: usize,
}

impl Ring {
    pub(super) fn new(capacity: usize) -> Self {
        Self { octets: vec![0; capacity].into_boxed_slice(), oldest: 0, used: 0 }
    }

    /// Keeps an entry, given in parts; the oldest make room for it. One that is longer than the ring is not kept.
    pub(super) fn push(&mut self, parts: &[&[u8]]) {
        let length: usize = parts.iter().map(|part| part.len()).sum();
        let fits = LENGTH + length <= self.octets.len();
        let Some(header) = u32::try_from(length).ok().filter(|_| fits) else { return };
        while self.used + LENGTH + length > self.octets.len() {
            self.forget_oldest();
        }
        self.append(&header.to_be_bytes());
        for part in parts {
            self.append(part);
        }
    }

    /// The entries, oldest first.
    pub(super) fn entries(&self) -> impl Iterator<Item = Vec<u8>> + '_ {
        let mut at = 0;
        std::iter::from_fn(move || {
            if at >= self.used {
                return None;
            }
            let length = self.length_at(at);
            let entry = self.read(at + LENGTH, length);
            at += LENGTH + length;
            Some(entry)
        })
    }

    fn forget_oldest(&mut self) {
        let whole = (LENGTH + self.length_at(0)).min(self.used);
        self.oldest = (self.oldest + whole) % self.octets.len().max(1);
        self.used -= whole;
    }

    fn length_at(&self, offset: usize) -> usize {
        let (head, tail) = self.slices(offset, LENGTH);
        head.iter().chain(tail).fold(0, |length, octet| length << 8 | usize::from(*octet))
    }

    fn read(&self, offset: usize, length: usize) -> Vec<u8> {
        let (head, tail) = self.slices(offset, length);
        [head, tail].concat()
    }

    /// `length` octets from `offset` after the oldest; the second part is what goes round the end.
    fn slices(&self, offset: usize, length: usize) -> (&[u8], &[u8]) {
        let start = (self.oldest + offset) % self.octets.len().max(1);
        let first = length.min(self.octets.len() - start);
        let part = |from: usize, length: usize| self.octets.get(from..from + length).unwrap_or_default();
        (part(start, first), part(0, length - first))
    }

    fn append(&mut self, part: &[u8]) {
        let start = (self.oldest + self.used) % self.octets.len().max(1);
        let first = part.len().min(self.octets.len() - start);
        let (to_the_end, from_the_start) = part.split_at(first);
        for (at, part) in [(start, to_the_end), (0, from_the_start)] {
            if let Some(place) = self.octets.get_mut(at..at + part.len()) {
                place.copy_from_slice(part);
            }
        }
        self.used += part.len();
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use proptest::prelude::*;

    use super::*;

    fn contents(ring: &Ring) -> Vec<Vec<u8>> {
        ring.entries().collect()
    }

    #[test]
    fn the_oldest_make_room() {
        let mut ring = Ring::new(20);
        ring.push(&[b"one"]);
        ring.push(&[b"t", b"wo"]);
        assert_eq!(contents(&ring), [b"one", b"two"]);
        ring.push(&[b"three"]);
        assert_eq!(contents(&ring), [&b"two"[..], b"three"]);
        ring.push(&[&[7; 16]]);
        assert_eq!(contents(&ring), [[7; 16]]);
    }

    #[test]
    fn what_does_not_fit_moves_nothing() {
        let mut ring = Ring::new(20);
        ring.push(&[b"one"]);
        ring.push(&[&[7; 17]]);
        assert_eq!(contents(&ring), [b"one"]);
        let mut none = Ring::new(0);
        none.push(&[b"one"]);
        none.push(&[]);
        assert_eq!(contents(&none), Vec::<Vec<u8>>::new());
    }

    proptest! {
        /// The ring is the tail of all that was pushed, as long as it fits.
        #[test]
        fn it_is_always_the_longest_tail_that_fits(
            capacity in 0_usize..200,
            entries in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..90), 0..60),
        ) {
            let mut ring = Ring::new(capacity);
            let mut model: VecDeque<Vec<u8>> = VecDeque::new();
            for entry in entries {
                let (left, right) = entry.split_at(entry.len() / 2);
                ring.push(&[left, right]);
                if entry.len() + LENGTH <= capacity {
                    model.push_back(entry);
                    while model.iter().map(|entry| entry.len() + LENGTH).sum::<usize>() > capacity {
                        model.pop_front();
                    }
                }
                prop_assert_eq!(contents(&ring), Vec::from(model.clone()));
            }
        }
    }
}
