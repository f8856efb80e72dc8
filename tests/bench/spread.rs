//! What many measurements come to.

use serde::Serialize;

/// Median and extremes of some samples.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) least: f64,
    pub(crate) most: f64,
}

impl Spread {
    pub(crate) fn of(values: impl Iterator<Item = f64>) -> Self {
        let values = sorted(values);
        let at = |index: usize| values.get(index).copied().unwrap_or(f64::NAN);
        Self {
            median: at(values.len() / 2),
            least: at(0),
            most: at(values.len().saturating_sub(1)),
        }
    }
}

/// A median, and between which bounds nine of ten medians of as many samples would lie.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Interval {
    pub(crate) median: f64,
    pub(crate) low: f64,
    pub(crate) high: f64,
}

const RESAMPLES: usize = 2000;

impl Interval {
    /// By the bootstrap: the medians of samples drawn again, with replacement, from these.
    pub(crate) fn of(values: &[f64]) -> Self {
        let mut seed = 7u64;
        let medians = sorted((0..RESAMPLES).map(|_| {
            let drawn = (0..values.len()).map(|_| {
                let at = usize::try_from(random(&mut seed) >> 11).unwrap_or(0) % values.len().max(1);
                values.get(at).copied().unwrap_or(f64::NAN)
            });
            Spread::of(drawn).median
        }));
        let at = |part: usize| medians.get(RESAMPLES * part / 100).copied().unwrap_or(f64::NAN);
        Self {
            median: Spread::of(values.iter().copied()).median,
            low: at(5),
            high: at(95),
        }
    }

    /// Whether both bounds are within this part of the median.
    pub(crate) fn is_within(self, part: f64) -> bool {
        self.high - self.median <= part * self.median && self.median - self.low <= part * self.median
    }
}

fn sorted(values: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values
}

/// The next of a fixed sequence (splitmix64): every run draws the same.
pub(crate) fn random(seed: &mut u64) -> u64 {
    *seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (*seed ^ (*seed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
