//! A node's own clock: so far off, and so much too fast.

use shared::time::UnixMillis;

use crate::config::{Fault, Faults};
use crate::deployment::START_MS;
use crate::rng::Rng;

/// 10 minutes; or so little that it could be taken for a delay.
const OFFSETS_US: [u64; 2] = [600_000_000, 15_000_000];
const MAX_DRIFT_PPM: u64 = 200;

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Clock {
    offset_us: i64,
    ppm: i64,
}

impl Clock {
    pub(super) fn draw(faults: Faults, rng: &mut Rng) -> Self {
        let around = |rng: &mut Rng, limit: u64| rng.between(0, 2 * limit) as i64 - limit as i64;
        Self {
            offset_us: if faults.has(Fault::Clocks) {
                let limit = OFFSETS_US[rng.place(2)];
                around(rng, limit)
            } else {
                around(rng, 1000)
            },
            ppm: if faults.has(Fault::Drift) {
                around(rng, MAX_DRIFT_PPM)
            } else {
                0
            },
        }
    }

    /// What it shows at a true time.
    pub(super) fn at(self, now_us: u64) -> UnixMillis {
        let now = now_us as i64;
        let shown = now + now * self.ppm / 1_000_000 + self.offset_us;
        UnixMillis((START_MS as i64 + shown.div_euclid(1000)) as u64)
    }

    /// Puts it to a time.
    pub(super) fn set(&mut self, now_us: u64, to: UnixMillis) {
        let off = to.0 as i64 - self.at(now_us).0 as i64;
        self.offset_us += off * 1000;
    }

    /// True microseconds that pass while it counts so many milliseconds, at least.
    pub(super) fn true_us(self, millis: u64) -> u64 {
        millis * 1000 * 1_000_000 / (1_000_000 + self.ppm) as u64
    }
}
