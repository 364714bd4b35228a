//! Mutations of inputs, for runs without libFuzzer.

/// Makes new inputs out of others, the same ones in every run.
#[derive(Debug, Clone)]
pub struct Mutator {
    state: u64,
}

/// Pieces that mean something to one target or another.
const WORDS: [&[u8]; 24] = [
    b"\x1e",
    b"{",
    b"}",
    b"[",
    b"]",
    b"\"",
    b"\\",
    b"\\ud83d\\ude00",
    b"null",
    b"true",
    b"\"type\":",
    b"\"error\":\"\"",
    b"\"url\":\"https://h/\"",
    b"\"accessToken\":\"t\"",
    b"\"streamIds\":[]",
    b"-0",
    b"9223372036854775807",
    b"1e9",
    b"\n",
    b"\r\n",
    b"data: ",
    b"\xff\xff\xff\xff\x07",
    b"\x96\x01\x80",
    b"\xc7\x0c\xff",
];

impl Mutator {
    /// Begins at a number; the same number gives the same inputs.
    #[must_use]
    pub fn new(start: u64) -> Self {
        // Zero would stay zero.
        Self { state: start | 1 }
    }

    /// xorshift64*: good enough to choose bytes.
    fn next(&mut self) -> u64 {
        self.state ^= self.state >> 12;
        self.state ^= self.state << 25;
        self.state ^= self.state >> 27;
        self.state.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() >> 33).unwrap_or(0) % end.max(1)
    }

    fn pick<'a, T>(&mut self, all: &'a [T]) -> Option<&'a T> {
        let at = self.below(all.len());
        all.get(at)
    }

    /// A new input: one of the seeds, changed in one to four places.
    pub fn input(&mut self, seeds: &[Vec<u8>]) -> Vec<u8> {
        let mut input = self.pick(seeds).cloned().unwrap_or_default();
        for _ in 0..=self.below(4) {
            self.change(&mut input, seeds);
        }
        input
    }

    fn change(&mut self, input: &mut Vec<u8>, seeds: &[Vec<u8>]) {
        let at = self.below(input.len() + 1);
        let end = at + self.below((input.len() - at).min(16) + 1);
        match self.below(8) {
            0 => drop(input.drain(at..end)),
            1 => {
                let again = input[at..end].to_vec();
                drop(input.splice(at..at, again));
            }
            2 => {
                let word = self.pick(&WORDS).copied().unwrap_or_default();
                drop(input.splice(at..at, word.iter().copied()));
            }
            3 => {
                let other = self.pick(seeds).cloned().unwrap_or_default();
                let from = self.below(other.len() + 1);
                let to = from + self.below(other.len() - from + 1);
                drop(input.splice(at..end, other[from..to].iter().copied()));
            }
            4 => input.insert(at, self.next() as u8),
            kind => {
                let bit = self.below(8);
                if let Some(byte) = input.get_mut(at) {
                    *byte = match kind {
                        5 => *byte ^ (1 << bit),
                        6 => byte.wrapping_add(if bit < 4 { 1 } else { 255 }),
                        _ => [0, 1, b'0', b'9', b' ', 0x7f, 0x80, 0xff][bit],
                    };
                }
            }
        }
    }
}
