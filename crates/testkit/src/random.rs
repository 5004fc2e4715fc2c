//! Randomness that a failed run can be repeated with.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::ops::Range;

/// SplitMix64. Not for secrets; for load that no two runs repeat unless they are asked to.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// Seeded by `SEAWALL_TEST_SEED` when it is set, else by the operating system.
    pub fn new() -> Self {
        let given = std::env::var("SEAWALL_TEST_SEED").ok().and_then(|text| text.parse().ok());
        Self(given.unwrap_or_else(|| RandomState::new().build_hasher().finish()))
    }

    /// A stream of its own for a task, from this one.
    pub fn fork(&mut self) -> Self {
        Self(self.next())
    }

    pub const fn seed(&self) -> u64 {
        self.0
    }

    pub const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub const fn between(&mut self, range: Range<u64>) -> u64 {
        range.start + self.next() % (range.end - range.start)
    }
}

impl Default for Random {
    fn default() -> Self {
        Self::new()
    }
}
