//! Noise that is the same in every run.

/// Numbers that are the same in every run (xorshift64). The seed is not 0.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % u64::try_from(limit.max(1)).unwrap()).unwrap()
    }

    pub(crate) fn pick<'a, T: ?Sized>(&mut self, list: &[&'a T]) -> &'a T {
        list[self.below(list.len())]
    }

    /// Changes, repeats, or leaves out some bytes.
    pub(crate) fn disturb(&mut self, bytes: &mut Vec<u8>) {
        for _ in 0..self.below(4) {
            let (at, length) = (self.below(bytes.len()), self.below(12));
            let range = at..(at + length).min(bytes.len());
            match self.below(4) {
                0 => drop(bytes.drain(range)),
                1 => {
                    let again = bytes[range].to_vec();
                    bytes.splice(at..at, again);
                }
                2 => bytes.insert(at, u8::try_from(self.below(256)).unwrap()),
                _ if at < bytes.len() => bytes[at] = u8::try_from(self.below(256)).unwrap(),
                _ => {}
            }
        }
    }
}
