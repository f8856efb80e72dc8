//! Durations of the last hour or day, and how they are spread: a ring of histograms, so that what is old drops out.
//!
//! What it does not: survive a restart. Prometheus keeps the long story.

use std::collections::VecDeque;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

/// Longer ones count as this.
const LONGEST_MS: u64 = 3_600_000;
/// A hundredth is exact enough, and a histogram then has 8 KiB.
const DIGITS: u8 = 2;

/// Durations, each for a while.
#[derive(Clone, Debug)]
pub(crate) struct Window {
    slice: Duration,
    most: usize,
    slices: VecDeque<Slice>,
    last: Option<u64>,
}

#[derive(Clone, Debug)]
struct Slice {
    begins: Duration,
    longest: u64,
    durations: Histogram<u32>,
}

/// How durations are spread.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub(crate) struct Spread {
    pub(crate) count: u64,
    pub(crate) p50_ms: u64,
    pub(crate) p99_ms: u64,
    pub(crate) max_ms: u64,
    /// The newest of all, however old.
    pub(crate) last_ms: u64,
}

impl Window {
    pub(crate) fn hour() -> Self {
        Self::new(Duration::from_mins(10), 6)
    }

    pub(crate) fn day() -> Self {
        Self::new(Duration::from_hours(4), 6)
    }

    fn new(slice: Duration, most: usize) -> Self {
        Self {
            slice,
            most,
            slices: VecDeque::new(),
            last: None,
        }
    }

    /// `now` as the clock that never goes back counts it.
    pub(crate) fn record(&mut self, ms: u64, now: Duration) {
        self.drop_old(now);
        let is_over = |slice: &Slice| now.saturating_sub(slice.begins) >= self.slice;
        if self.slices.back().is_none_or(is_over) {
            let Ok(durations) = Histogram::new_with_bounds(1, LONGEST_MS, DIGITS) else {
                return;
            };
            self.slices.push_back(Slice {
                begins: now,
                longest: 0,
                durations,
            });
        }
        if let Some(slice) = self.slices.back_mut() {
            slice.durations.saturating_record(ms.max(1));
            slice.longest = slice.longest.max(ms);
        }
        self.last = Some(ms);
    }

    /// `None` if there was nothing in all that time.
    pub(crate) fn spread(&self, now: Duration) -> Option<Spread> {
        let mut recent = self.clone();
        recent.drop_old(now);
        let mut slices = recent.slices.into_iter();
        let first = slices.next()?;
        let (mut all, mut longest) = (first.durations, first.longest);
        for slice in slices {
            all.add(slice.durations).ok()?;
            longest = longest.max(slice.longest);
        }
        Some(Spread {
            count: all.len(),
            p50_ms: all.value_at_quantile(0.5).min(longest),
            p99_ms: all.value_at_quantile(0.99).min(longest),
            max_ms: longest,
            last_ms: self.last.unwrap_or_default(),
        })
    }

    /// The slice in which the window's end lies goes with its last moment.
    fn drop_old(&mut self, now: Duration) {
        let length = self
            .slice
            .saturating_mul(u32::try_from(self.most).unwrap_or(u32::MAX));
        let slice = self.slice;
        let is_old = |begins: Duration| now.saturating_sub(begins.saturating_add(slice)) >= length;
        while self.slices.front().is_some_and(|first| is_old(first.begins)) {
            self.slices.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_old_drops_out() {
        let mut window = Window::hour();
        let minute = |minute| Duration::from_mins(minute);
        assert_eq!(window.spread(minute(0)), None);
        for ms in 1..=98 {
            window.record(ms, minute(0));
        }
        window.record(2000, minute(1));
        window.record(5000, minute(30));
        let spread = window.spread(minute(40)).expect("durations");
        assert_eq!((spread.count, spread.max_ms, spread.last_ms), (100, 5000, 5000));
        assert!((49..=51).contains(&spread.p50_ms), "{spread:?}");
        assert!((1980..=2020).contains(&spread.p99_ms), "{spread:?}");
        let spread = window.spread(minute(75)).expect("one is left");
        assert_eq!((spread.count, spread.p50_ms, spread.max_ms), (1, 5000, 5000));
        assert_eq!(window.spread(minute(300)), None);
        for n in 0..1000 {
            window.record(u64::MAX, minute(300 + n));
        }
        assert!(window.slices.len() <= 8, "it does not grow");
    }
}
